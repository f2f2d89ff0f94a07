"""How is an answer shown on a page? Its status, the headers that matter, and its body, shortened where it repeats."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raw_exchange import Answer

_WIDTH: Final = 110
_LONGEST_STRING: Final = 90
_LONGEST_LINE: Final = 110
_FEWEST_FOLDED: Final = 4
_HEADERS: Final = ("content-type", "content-encoding", "retry-after", "retry-after-ms")
_CHOICES: Final = '"choices":'
_CONTENT: Final = re.compile(r'"content":"[^"]*"')


def show(answer: Answer, *, in_brief: bool = False) -> str:
    """Return an answer as a block of lines; `in_brief` cuts the long ones."""
    if answer.status is None:
        return f"({answer.ending})"
    body = list(_stream(answer.text) if answer.is_stream else _body(answer.text))
    if in_brief:
        body = [_cut(line) for line in body]
    lines = [f"{answer.status} {answer.reason}", *_heading(answer), *([""] if body else []), *body]
    if answer.ending is not None:
        lines.append(f"({answer.ending})")
    return "\n".join(lines)


def _heading(answer: Answer) -> Iterator[str]:
    for name, value in answer.headers.items():
        is_limit = name.startswith("x-ratelimit-") and answer.status == HTTPStatus.TOO_MANY_REQUESTS
        if name in _HEADERS or is_limit:
            yield f"{name}: {value}"
    length = answer.headers.get("content-length")
    if length is not None and answer.ending is not None:
        yield f"content-length: {length} (and {len(answer.body)} bytes came)"


def _body(text: str) -> Iterator[str]:
    try:
        body = json.loads(text)
    except ValueError:
        yield from text.splitlines()
        return
    yield from arrange(body).splitlines()


def arrange(value: Any, indent: int = 0, before: int = 0) -> str:
    """Return JSON with each array and object on one line where it fits, else with a line for each of its members."""
    if isinstance(value, str) and len(value) > _LONGEST_STRING:
        value = f"{value[:_LONGEST_STRING]}…"
    text = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or indent + before + len(text) <= _WIDTH:
        return text
    inner = indent + 2
    if isinstance(value, list):
        members = [arrange(one, inner) for one in value]
    else:
        members = [f"{json.dumps(name)}: {arrange(one, inner, len(name) + 4)}" for name, one in value.items()]
    opening, closing = ("[", "]") if isinstance(value, list) else ("{", "}")
    lines = ",".join(f"\n{' ' * inner}{member}" for member in members)
    return f"{opening}{lines}\n{' ' * indent}{closing}"


def _stream(text: str) -> Iterator[str]:
    """Yield a stream's lines without the blank ones, and without what they repeat."""
    shortened = _without_repetition([line for line in text.split("\n") if line])
    for _, group in groupby(shortened, key=lambda line: _CONTENT.sub('"content":""', line)):
        alike = list(group)
        if len(alike) < _FEWEST_FOLDED:
            yield from alike
        else:
            yield alike[0]
            yield f"… {len(alike) - 2} more"
            yield alike[-1]


def _without_repetition(lines: list[str]) -> Iterator[str]:
    seen: set[str] = set()
    for line in lines:
        head, found, rest = line.partition(_CHOICES)
        yield f"data: {{…{_CHOICES}{rest}" if found and head in seen else line
        seen.add(head)


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…"
