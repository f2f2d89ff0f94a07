"""What a docstring says of a function and of each parameter, in the styles of Google, NumPy, Sphinx, and plain lines.

Google: `name (type): text` under `Args:`. NumPy: `name : type` and the text below. Sphinx: `:param name: text`. Plain:
`name: text`, as in this house.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_PARAMETER = re.compile(
    r"(?P<indent>\s*)(?::param\s+(?:[^:]+\s)?)?\*{0,2}(?P<name>\w+)(?:\s+\([^)]*\))?(?P<numpy>\s+)?:\s*(?P<text>.*)"
)
_SECTION = re.compile(
    r"(?:args?|arguments|parameters|params|keyword args|attributes|returns?|yields?|raises|examples?|notes?|see also):",
    re.IGNORECASE,
)
_UNDERLINE = re.compile(r"-{3,}")


def read_docstring(docstring: str, parameters: Collection[str]) -> tuple[str, dict[str, str]]:
    """Return the prose before the first section, and what is said of each of these parameters."""
    prose: list[str] = []
    found: dict[str, str] = {}
    name, depth, is_prose = "", 0, True
    for line in inspect.cleandoc(docstring).splitlines():
        text = line.strip()
        told = _PARAMETER.fullmatch(line)
        if told and told["name"] in parameters:
            name, depth, is_prose = told["name"], len(told["indent"]), False
            found[name] = "" if told["numpy"] else told["text"]
        elif name and text and len(line) - len(line.lstrip()) > depth:
            found[name] = f"{found[name]} {text}".strip()
        elif text:
            name = ""
            if is_prose and _UNDERLINE.fullmatch(text) and prose:
                prose.pop()  # the section's name
            is_prose = is_prose and not (_SECTION.fullmatch(text) or _UNDERLINE.fullmatch(text) or text[0] == ":")
        if is_prose:
            prose.append(line)
    return "\n".join(prose).strip(), {name: text for name, text in found.items() if text}
