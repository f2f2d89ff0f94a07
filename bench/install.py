"""What does each client bring onto the disk? The packages that it needs, without extras, and their size."""

import importlib.metadata
import importlib.util
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from bench.compare import compared, installed
from bench.results import Row
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOTS: Final = {
    "bare": ("urllib3", "aiohttp", "msgspec"),
    "barechat": ("barechat",),
    "openai": ("openai",),
    "httpx": ("httpx",),
    "requests": ("requests",),
    "litellm": ("litellm",),
}
_MIB: Final = 1024 * 1024


def measure(_runs: int, only: Sequence[str]) -> list[Row]:
    """Return the number of packages and their size."""
    names = installed(only or [name for name in _ROOTS if name != "litellm"])
    needed = {name: _needed(_ROOTS[name]) for name in names if name in _ROOTS}
    numbers = {name: [float(len(packages))] for name, packages in needed.items()}
    sizes = {name: [sum(map(_size, packages)) / _MIB] for name, packages in needed.items()}
    return [*compared("packages", "packages", numbers), *compared("size on the disk", "MiB", sizes)]


def _needed(roots: Iterable[str]) -> set[str]:
    """Return the packages that some need on this platform, themselves included."""
    needed, left = set[str](), [canonicalize_name(root) for root in roots]
    while left:
        name = left.pop()
        if name in needed:
            continue
        needed.add(name)
        for line in importlib.metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                left.append(canonicalize_name(requirement.name))
    return needed


def _size(name: str) -> int:
    """Return the bytes of a package's files, as its record has them: without what Python compiles of them."""
    package = importlib.metadata.distribution(name)
    if json.loads(package.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable"):
        found = importlib.util.find_spec(name)
        assert found is not None
        return sum(
            file.stat().st_size
            for folder in found.submodule_search_locations or ()
            for file in Path(folder).rglob("*")
            if file.is_file() and file.suffix != ".pyc"
        )
    return sum(file.size or 0 for file in package.files or ())
