"""docs/simulator.md and docs/scenarios.md agree with the code: every example runs, every name stands in its table."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from barechat.simulator import Simulator, scenario_summaries
from barechat.simulator.dialects import DIALECTS
from barechat.simulator.errors import ERRORS
from barechat.simulator.fault import Fault, Scripted
from barechat.simulator.journal import Record
from barechat.simulator.limits import Limit
from barechat.simulator.replies import parse_replies
from barechat.simulator.scenario import Load, Settings, parse_header, parse_scenario, parse_toml
from scenario_page import PAGE as SCENARIOS
from scenario_page import make_page

if TYPE_CHECKING:
    import msgspec

PAGE = (Path(__file__).parent.parent / "docs" / "simulator.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert found
    return found


def rows(section: str, *headings: str) -> list[list[str]]:
    """Return the cells of a section's tables, of those with these headings over their first column."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    tables = re.findall(r"^\| ([^|]*?) \|.*\n\|---.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    bodies = [body for heading, body in tables if heading in headings]
    assert len(bodies) >= len(headings)
    return [line.strip("|").split("|") for body in bodies for line in body.splitlines()]


def names(section: str, *headings: str) -> list[str]:
    """Return the names in the first column of those tables."""
    return [name for cells in rows(section, *headings) for name in re.findall(r"`\.?([\w.]+)[^`]*`", cells[0])]


def fields(kind: type[msgspec.Struct]) -> list[str]:
    return sorted(kind.__struct_fields__)


PYTHON = blocks("python")
TESTS = [example for example in PYTHON if "\ndef test_" in example]
PROGRAMS = [example for example in PYTHON if example not in TESTS]


@pytest.mark.parametrize("example", PROGRAMS)
def test_a_python_example_runs(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "docs/simulator.md", "exec"), {"__name__": "example"})  # noqa: S102 - our own page


def test_the_examples_for_pytest_pass_in_a_pytest_that_has_nothing_but_barechat(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    for number, example in enumerate(TESTS):
        (tmp_path / f"test_example_{number}.py").write_text(example, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "barechat.pytest_plugin", "-p", "no:cacheprovider", "-W", "error"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(TESTS)} passed" in done.stdout


def test_the_ten_lines_are_ten_at_most() -> None:
    assert len([line for line in TESTS[0].splitlines() if line]) <= 10


@pytest.mark.parametrize("example", blocks("toml"))
def test_a_scenario_example_is_one(example: str) -> None:
    parse_scenario(parse_toml(example, "docs"), "docs")


@pytest.mark.parametrize("example", blocks("json"))
def test_a_header_example_is_one(example: str) -> None:
    parse_header(example)


@pytest.mark.parametrize("example", blocks("jsonl"))
def test_an_example_of_replies_is_one(example: str) -> None:
    parse_replies(example, "docs")


def test_every_fault_key_is_documented_once() -> None:
    assert sorted(names("Faults", "key")) == fields(Fault)


def test_every_key_of_a_scripted_reply_is_documented() -> None:
    assert sorted(names("Faults", "key of a `reply` table")) == fields(Scripted)


def test_every_code_of_refuse_is_documented_with_its_status() -> None:
    told = {code: int(cells[1]) for cells in rows("Faults", "code") for code in re.findall(r"`(\w+)`", cells[0])}
    assert told == {code: error.status for code, error in ERRORS.items()}


def test_every_setting_of_a_scenario_is_documented() -> None:
    assert sorted(names("Scenarios", "setting")) == fields(Settings)
    assert sorted(names("Scenarios", "key of `load`")) == fields(Load)


def test_every_key_of_a_limit_is_documented_once() -> None:
    assert sorted(names("Limits", "which requests", "how much", "how it is told")) == fields(Limit)


def test_every_dialect_is_documented() -> None:
    assert sorted(names("Dialects", "dialect")) == sorted(DIALECTS)


def test_every_argument_of_the_simulator_is_documented() -> None:
    assert sorted(names("In a program", "argument of `Simulator`")) == sorted(inspect.signature(Simulator).parameters)


def test_every_attribute_of_the_simulator_is_documented() -> None:
    public = {name for name in vars(Simulator) if not name.startswith("_")}
    assert {*names("In a program", "attribute"), "run"} == public
    assert "`.run(" in PAGE


def test_every_parameter_of_the_simulators_methods_is_documented() -> None:
    for name in ("wait_for", "run"):
        told = re.findall(rf"`\.{name}\((.*?)\)`", PAGE)
        assert told
        for parameter in [*inspect.signature(getattr(Simulator, name)).parameters][1:]:
            assert parameter in told[0]


def test_every_field_of_the_log_is_documented() -> None:
    assert sorted(names("The log", "field")) == sorted(Record.__annotations__)


def test_every_scenario_that_ships_has_its_section_under_its_summary() -> None:
    text = SCENARIOS.read_text("utf-8")
    assert sorted(re.findall(r"^## (.+)$", text, re.MULTILINE)) == sorted(scenario_summaries())
    flat = " ".join(text.split())
    for name, summary in scenario_summaries().items():
        assert f"## {name} {summary}" in flat


def test_the_page_of_scenarios_is_what_they_do() -> None:
    assert SCENARIOS.read_text("utf-8") == make_page(), "`make docs` writes it anew"


def test_every_link_between_the_pages_leads_somewhere() -> None:
    docs = SCENARIOS.parent
    for page in (docs / "simulator.md", SCENARIOS):
        for file, anchor in re.findall(r"\]\(([\w.]*)#?([\w.-]*)\)", page.read_text("utf-8")):
            text = (docs / file if file else page).read_text("utf-8")
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            assert not anchor or anchor in {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}
