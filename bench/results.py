"""What came out, and on which machine? Rows, their table on the terminal and their file."""

import contextlib
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import msgspec

_PACKAGES: Final = ("barechat", "aiohttp", "urllib3", "msgspec", "openai", "httpx", "requests", "litellm")
_SMALL: Final = 100


class Ratio(msgspec.Struct, frozen=True):
    """How many times another's figure: of the medians, and of the runs that were made beside each other."""

    value: float
    low: float
    high: float


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure: the median of its runs. Where candidates are compared: whose, and how many times the bare loop's."""

    name: str
    candidate: str | None = None
    value: float
    unit: str
    runs: list[float]
    ratio: Ratio | None = None
    server_share: float | None = None  # of the server's core, at its busiest: near 1, it was the limit


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised of barechat's figure in a row: at most so many times another candidate's, or so much."""

    row: str
    unit: str
    against: str | None
    at_most: float
    value: float
    holds: bool


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A workload's rows, and what must be known to compare them with others."""

    workload: str
    date: str
    machine: dict[str, str | int]
    versions: dict[str, str]
    rows: list[Row]
    bounds: list[Bound] = []


def row(
    name: str,
    unit: str,
    runs: Iterable[float],
    *,
    candidate: str | None = None,
    base: Sequence[float] | None = None,
    server_share: float | None = None,
) -> Row:
    """Return the row of a figure's runs, each with the digits that mean something."""
    figures = list(runs)
    rounded = [round(run, 2) if run < _SMALL else round(run) for run in figures]
    return Row(
        name=name,
        candidate=candidate,
        value=statistics.median(rounded),
        unit=unit,
        runs=rounded,
        ratio=None if base is None else ratio(figures, base),
        server_share=server_share,
    )


def ratio(figures: Sequence[float], base: Sequence[float]) -> Ratio:
    """Return how many times the base's figures these are."""
    beside = [one / other for one, other in zip(figures, base, strict=True)]
    value = statistics.median(figures) / statistics.median(base)
    return Ratio(*(round(one, 3) for one in (value, min(beside), max(beside))))


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
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def table(results: Results) -> str:
    """Return the rows as plain text, under a line that says where they come from."""
    facts = ", ".join([results.date, *map(str, results.machine.values())])
    cells = [
        (
            one.name,
            one.candidate or "",
            figure(one.value),
            one.unit,
            f"{figure(min(one.runs))} to {figure(max(one.runs))}",
            "" if one.ratio is None else f"{one.ratio.value:.2f} x bare",
            "" if one.ratio is None else f"{one.ratio.low:.2f} to {one.ratio.high:.2f}",
            "" if one.server_share is None else f"server {one.server_share:.0%}",
        )
        for one in results.rows
    ]
    sides = "<<><>>>>"
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([f"{results.workload} ({facts})", *lines, *(held(bound) for bound in results.bounds)])


def write(results: Results, folder: Path) -> Path:
    """Write the results to the workload's file in a folder, in place of earlier ones, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results.workload}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    return path


def held(bound: Bound) -> str:
    """Return a line that says whether a bound holds."""
    against = "" if bound.against is None else f" x {bound.against}"
    return (
        f"{'holds' if bound.holds else 'NOT HELD':8}  {bound.row}: {bound.value:,.3g}{against}, at most "
        f"{bound.at_most:.3g}"
    )


def figure(value: float) -> str:
    """Return a figure as it is printed."""
    return f"{value:,.2f}" if value < _SMALL else f"{value:,.0f}"


def _cpu_model() -> str:
    try:
        lines: Sequence[str] = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
