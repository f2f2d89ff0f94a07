"""What came out, and on which machine? Rows, their table on the terminal and their file."""

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

_PACKAGES: Final = ("barechat", "aiohttp", "msgspec")
_SMALL: Final = 100


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure: the median of its runs."""

    name: str
    value: float
    unit: str
    runs: list[float]


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A workload's rows, and what must be known to compare them with others."""

    workload: str
    date: str
    machine: dict[str, str | int]
    versions: dict[str, str]
    rows: list[Row]


def row(name: str, unit: str, runs: Iterable[float]) -> Row:
    """Return the row of a figure's runs, each with the digits that mean something."""
    rounded = [round(run, 2) if run < _SMALL else round(run) for run in runs]
    return Row(name=name, value=statistics.median(rounded), unit=unit, runs=rounded)


def machine() -> dict[str, str | int]:
    """Return what is known of this machine."""
    return {
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that the figures depend on."""
    return {package: version(package) for package in _PACKAGES}


def table(results: Results) -> str:
    """Return the rows as plain text, under a line that says where they come from."""
    facts = ", ".join([results.date, *map(str, results.machine.values())])
    cells = [
        (one.name, _figure(one.value), one.unit, f"{_figure(min(one.runs))} to {_figure(max(one.runs))}")
        for one in results.rows
    ]
    name, value, unit, spread = (max(map(len, column)) for column in zip(*cells, strict=True))
    lines = [f"{one[0]:{name}}  {one[1]:>{value}}  {one[2]:{unit}}  {one[3]:>{spread}}" for one in cells]
    return "\n".join([f"{results.workload} ({facts})", *lines])


def write(results: Results, folder: Path) -> Path:
    """Write the results to the workload's file in a folder, in place of earlier ones, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results.workload}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    return path


def _figure(value: float) -> str:
    return f"{value:,.2f}" if value < _SMALL else f"{value:,.0f}"


def _cpu_model() -> str:
    try:
        lines: Sequence[str] = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
