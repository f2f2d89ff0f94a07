"""docs/speed.md, its charts and the README's figures are what bench/results/ gives, so that nobody edits one alone."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

import speed_page
from speed_lines import LINES, OURS, SECTIONS

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = speed_page.read_results(speed_page.RESULTS)
MACHINE = {"platform": "Linux", "cpu": "Made up", "cores": 2, "python": "CPython 3.11.7"}
BARE, OPENAI, FIGURE = 100.0, 1150.0, 120.0


def measured(line_workload: str, *, holds: bool = True) -> dict[str, Any]:
    """Return made-up results of a workload: every row that the page knows, with the same figures."""
    rows, bounds = [], []
    for line in LINES:
        if line.workload != line_workload:
            continue
        facts: dict[str, Any] = {"name": line.row, "unit": line.unit, "server_share": 0.2}
        for candidate, value in (("bare", BARE), (OURS, FIGURE), ("openai", OPENAI)):
            ratio = {"value": value / BARE, "low": 1.1, "high": 1.3}
            rows.append({**facts, "candidate": candidate, "value": value, "runs": [value], "ratio": ratio})
        bound = {"row": line.row, "unit": line.unit, "against": "bare", "at_most": 1.35, "value": 1.2, "holds": holds}
        bounds.append(bound)
    versions = {"barechat": "0.1.0", "aiohttp": "3.14.5"}
    return {"date": "2026-11-26", "machine": MACHINE, "versions": versions, "rows": rows, "bounds": bounds}


MADE_UP = {workload: measured(workload) for workload in dict.fromkeys(line.workload for line in LINES)}


def test_the_committed_page_and_charts_are_those_of_the_committed_results() -> None:
    assert speed_page.PAGE.read_text("utf-8") == speed_page.make_page(RESULTS), "run `make docs`"
    drawn = {path.name: path.read_text("utf-8") for path in speed_page.CHARTS.glob("*.svg")}
    assert drawn == speed_page.make_charts(RESULTS), "run `make docs`"


def test_the_readme_shows_the_figures_of_the_committed_results() -> None:
    text = speed_page.README.read_text("utf-8")
    assert text == speed_page.readme_with(text, speed_page.make_readme_part(RESULTS)), "run `make docs`"


def test_every_row_has_its_figures_and_a_sentence() -> None:
    page = speed_page.make_page(MADE_UP)
    for line in LINES:
        figures = speed_page.figures_of(MADE_UP, line)
        assert figures is not None
        assert f"*: {line.meaning(figures)}" in page
    assert [title for title in SECTIONS if f"## {title}\n" not in page] == []
    assert page.count("| 100 | 120 | 1,150 | 1.20 (1.10 to 1.30) | ≤ 1.35 × bare: holds |") == len(LINES)
    assert "at most 20% of its core, so it was never what a client waited for" in page


def test_a_server_that_was_the_limit_is_told() -> None:
    results = {"calls": measured("calls")}
    results["calls"]["rows"][0]["server_share"] = 0.97
    assert "at most 97% of its core, so it was what some clients waited for" in speed_page.make_page(results)


def test_a_promise_that_is_not_kept_is_told_in_both_places() -> None:
    results = {"calls": measured("calls", holds=False)}
    assert "≤ 1.35 × bare: **no**, 1.20 ×" in speed_page.make_page(results)
    assert "≤ 1.35 × bare: **no**, 1.20 ×" in speed_page.make_readme_part(results)


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        ({"against": "openai", "at_most": 0.0333, "value": 0.025, "holds": True}, "≤ 1/30 of openai: holds"),
        ({"against": "openai", "at_most": 0.0333, "value": 0.05, "holds": False}, "≤ 1/30 of openai: **no**, 1/20"),
        ({"against": None, "at_most": 60.0, "value": 71.5, "holds": False}, "≤ 60: **no**, 71.5"),
    ],
)
def test_a_bound_reads_as_a_person_says_it(bound: dict[str, Any], said: str) -> None:
    assert speed_page._bound(bound) == said


def test_nothing_is_told_of_what_was_not_measured(tmp_path: Path) -> None:
    (tmp_path / "call.json").write_text(json.dumps(measured("call")), "utf-8")
    results = speed_page.read_results(tmp_path)
    assert set(speed_page.make_charts(results)) == {"calls.svg", "memory.svg"}
    assert "A streamed token" not in speed_page.make_page(results)


def test_a_chart_is_well_formed_and_fetches_nothing() -> None:
    made = speed_page.make_charts(MADE_UP)
    assert set(made) == {chart for chart in SECTIONS.values() if chart is not None}
    for svg in made.values():
        ET.fromstring(svg)  # noqa: S314 - our own
        assert re.findall(r"url\(|@import|href|<script", svg) == []
        assert "prefers-color-scheme: dark" in svg


def test_a_bar_is_as_long_as_its_figure() -> None:
    svg = speed_page.make_charts({"call": measured("call")})["calls.svg"]
    bare, ours, openai = map(float, re.findall(r'<rect class="(?:other|ours)" .*? width="([\d.]+)"', svg))
    assert (ours / bare, openai / bare) == pytest.approx((FIGURE / BARE, OPENAI / BARE), rel=0.01)


def test_a_readme_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="has lost its marks"):
        speed_page.readme_with("# barechat\n", "figures")
