"""How fast is it, and what is that to me? Writes docs/speed.md, its charts and the README's part from bench/results/.

`make docs` runs it, after `make bench`. Every figure on those pages is one of the results', or worked out of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import speed_charts as charts
from speed_lines import LINES, OURS, SECTIONS, Figures, Line, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Results = Mapping[str, Any]

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "bench" / "results"
PAGE: Final = ROOT / "docs" / "speed.md"
CHARTS: Final = ROOT / "docs" / "charts"
README: Final = ROOT / "README.md"
BEGIN: Final = "<!-- figures: `make docs` writes what stands here, from bench/results -->\n"
END: Final = "<!-- figures: the end -->\n"
_CANDIDATES: Final = ("socket", "bare", OURS, "openai", "httpx", "requests")
_DRAWN: Final = {
    "start.svg": "Starting",
    "calls.svg": "A call",
    "tokens.svg": "A streamed token",
    "memory.svg": "Memory",
}
_IN_README: Final = "A call"
_BUSY: Final = 0.8  # of the server's core
_INTRODUCTION: Final = """\
# Speed

`make docs` writes this page from what `make bench` measured; how, is in [bench/README.md](../bench/README.md). A figure
is the median of fresh processes, in which the candidates came in turn. The ratios travel to other machines, the figures
don't.

- *bare* is a loop over urllib3 or aiohttp, with msgspec, that does nothing of what barechat is for: no retry, no
  deadline, no verdict, no cost. Where barechat takes less than that, it is because it goes without their sessions.
  *socket* is a socket by hand, and nothing in Python goes below that.
- *CPU* is the client's, the kernel's work for it included. A client waits for its server most of the time; its CPU is
  what it takes from the rest of your program.
- *× bare* is barechat's figure in bare loops, and its range over the runs; *promised* is the most that it may be.
"""


def read_results(folder: Path) -> Results:
    """Return what was measured, by workload."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


def figures_of(results: Results, line: Line) -> Figures | None:
    """Return what was measured of a line; None if nothing was."""
    measured = results.get(line.workload, {"rows": ()})
    rows = {
        row.get("candidate") or OURS: row
        for row in measured["rows"]
        if (row["name"], row["unit"]) == (line.row, line.unit)
    }
    if OURS not in rows:
        return None
    bounds = [bound for bound in measured.get("bounds", ()) if (bound["row"], bound["unit"]) == (line.row, line.unit)]
    return Figures({name: row["value"] for name, row in rows.items()}, rows[OURS].get("ratio"), bounds)


def told(results: Results, section: str | None = None) -> list[tuple[Line, Figures]]:
    """Return the lines of a section, or all, that were measured, with their figures."""
    known = [(line, figures_of(results, line)) for line in LINES if section in {None, line.section}]
    return [(line, figures) for line, figures in known if figures is not None]


def make_page(results: Results) -> str:
    """Return docs/speed.md."""
    parts, drawn = [_INTRODUCTION], make_charts(results)
    for section, chart in SECTIONS.items():
        lines = told(results, section)
        if lines:
            picture = [f"![{section}](charts/{chart})\n"] if chart in drawn else []
            sentences = [f"- *{_titled(line)}*: {line.meaning(figures)}" for line, figures in lines]
            parts += [f"## {section}\n", *picture, *_table(lines), "", *sentences, ""]
    parts += ["## Where and when\n", *_where(results)]
    return "\n".join(parts) + "\n"


def _where(results: Results) -> Iterator[str]:
    machines: dict[str, list[str]] = {}
    for name in dict.fromkeys(line.workload for line, _ in told(results)):
        machines.setdefault(_machine(results[name]), []).append(name)
    for machine, names in machines.items():
        yield f"- {', '.join(names)}: {machine}."
    shares = [row["server_share"] for one in results.values() for row in one["rows"] if "server_share" in row]
    if shares:
        what = "never what a client waited for" if max(shares) < _BUSY else "what some clients waited for"
        yield f"- The server had at most {max(shares):.0%} of its core, so it was {what}."


def _table(lines: Sequence[tuple[Line, Figures]]) -> Iterator[str]:
    names = [name for name in _CANDIDATES if any(name in figures.by for _, figures in lines)]
    yield _row(["", *names, "× bare", "promised"])
    yield _row(["---", *["--:"] * (len(names) + 1), "---"])
    for line, figures in lines:
        cells = [number(figures.by[name]) if name in figures.by else "" for name in names]
        yield _row([_titled(line), *cells, _ratio(figures), _promised(figures)])


def _titled(line: Line) -> str:
    return f"{line.title}, {line.short}" if line.short else line.title


def _ratio(figures: Figures) -> str:
    ratio = figures.ratio
    return "" if ratio is None else f"{ratio['value']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def _promised(figures: Figures) -> str:
    return "; ".join(_bound(bound) for bound in figures.bounds)


def _bound(bound: Mapping[str, Any]) -> str:
    """Return a bound as a person says it, and whether it holds."""
    most, against = bound["at_most"], bound["against"]
    if against is None:
        said = f"≤ {number(most)}"
    else:
        said = f"≤ {most:.3g} × {against}" if most >= 1 else f"≤ 1/{1 / most:.3g} of {against}"
    return f"{said}: {'holds' if bound['holds'] else f'**no**, {_times(bound)}'}"


def _times(bound: Mapping[str, Any]) -> str:
    value = bound["value"]
    if bound["against"] is None:
        return number(value)
    return f"{value:.2f} ×" if value >= 1 else f"1/{1 / value:.3g}"


def make_readme_part(results: Results) -> str:
    """Return what stands in the README: a chart, the promised figures, and where they were measured."""
    lines = [(line, figures) for line, figures in told(results) if figures.bounds]
    parts = []
    if _chart_of(_IN_README) in make_charts(results):
        parts.append(f"![CPU of a call, beside other clients](docs/charts/{_chart_of(_IN_README)})\n")
    if lines:
        parts += [_row(["", OURS, "a bare loop", "openai", "promised"]), _row(["---", "--:", "--:", "--:", "---"])]
        parts += [
            _row(
                [
                    f"{line.section}: {line.title}, {line.short}",
                    *(number(figures.by[name]) if name in figures.by else "" for name in (OURS, "bare", "openai")),
                    _promised(figures),
                ]
            )
            for line, figures in lines
        ]
        workloads = dict.fromkeys(line.workload for line, _ in lines)
        machines = dict.fromkeys(_machine(results[workload]) for workload in workloads)
        parts += ["", f"Printed by `make bench`: {'; '.join(machines)}."]
    parts.append("What each figure means to you, and all others: [docs/speed.md](docs/speed.md).")
    return "\n".join(parts) + "\n"


def _chart_of(section: str) -> str:
    return next(chart for chart, one in _DRAWN.items() if one == section)


def readme_with(text: str, part: str) -> str:
    """Return the README with its part put in place."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README has lost its marks: {BEGIN!r} and {END!r}")
    return f"{before}{begin}{part}{end}{after}"


def make_charts(results: Results) -> dict[str, str]:
    """Return the charts that there are figures for, by their file's name."""
    made = {}
    for name, section in _DRAWN.items():
        panels = [
            charts.Panel(f"{line.title}, {line.short}", _bars(figures))
            for line, figures in told(results, section)
            if "later" not in line.short  # a time of which some clients have a thousand times as much
        ]
        if panels:
            made[name] = charts.bars(section, panels)
    if (growth := _growth(results)) is not None:
        made["growth.svg"] = growth
    return made


def _bars(figures: Figures) -> list[charts.Bar]:
    bare = figures.by.get("bare")
    return [
        charts.Bar(
            name,
            figures.by[name],
            number(figures.by[name])
            if bare is None
            else f"{number(figures.by[name])}, {figures.by[name] / bare:.2f} × bare",
            is_ours=name == OURS,
        )
        for name in _CANDIDATES
        if name in figures.by
    ]


def _growth(results: Results) -> str | None:
    """Return the chart of what all open streams take together: lines that rise straight."""
    panels = []
    for title, unit, own_unit, factor in (
        ("CPU", "% of a core", "CPU us a second", 1e-4),
        ("memory", "MiB", "KiB", 1 / 1024),
    ):
        each = {
            int(line.title.rpartition(" ")[2].replace(",", "")): figures.by
            for line, figures in told(results, "Many open streams")
            if line.unit == own_unit
        }
        if not each:
            return None
        drawn = [
            charts.Line(
                name,
                [(0.0, 0.0), *((float(many), by[name] * many * factor) for many, by in sorted(each.items()))],
                is_ours=name == OURS,
            )
            for name in ("bare", OURS)
        ]
        panels.append((title, unit, drawn))
    return charts.lines("What open streams take together", panels, "open streams")


def _machine(measured: Mapping[str, Any]) -> str:
    machine, versions = measured["machine"], measured["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items() if name != OURS)
    return f"{measured['date']}, {machine['cpu']}, {machine['cores']} cores, {machine['python']}, {packages}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write(results: Results) -> None:
    """Write the page, the charts and the README's part."""
    PAGE.write_text(make_page(results), "utf-8", newline="\n")
    CHARTS.mkdir(exist_ok=True)
    made = make_charts(results)
    for path in CHARTS.glob("*.svg"):
        if path.name not in made:
            path.unlink()
    for name, svg in made.items():
        (CHARTS / name).write_text(svg, "utf-8", newline="\n")
    README.write_text(readme_with(README.read_text("utf-8"), make_readme_part(results)), "utf-8", newline="\n")


if __name__ == "__main__":
    write(read_results(RESULTS))
