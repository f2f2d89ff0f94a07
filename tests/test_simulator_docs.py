"""Every example in docs/simulator.md runs, and every key and field stands in its tables."""

import re
from pathlib import Path

import msgspec
import pytest

from barechat.simulator.journal import Record
from barechat.simulator.scenario import Fault, parse_header, parse_scenario, parse_toml

PAGE = (Path(__file__).parent.parent / "docs" / "simulator.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert found
    return found


def keys(section: str) -> set[str]:
    """Return the names in the first column of the tables from this heading to the next of its level."""
    text = PAGE.partition(f"\n{section}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("example", blocks("python"))
def test_a_python_example_runs(example: str) -> None:
    exec(compile(example, "docs/simulator.md", "exec"), {"__name__": "example"})  # noqa: S102 - our own page


@pytest.mark.parametrize("example", blocks("toml"))
def test_a_scenario_example_is_one(example: str) -> None:
    parse_scenario(parse_toml(example, "docs"), "docs")


@pytest.mark.parametrize("example", blocks("json"))
def test_a_header_example_is_one(example: str) -> None:
    parse_header(example)


def test_every_fault_key_is_documented() -> None:
    assert keys("## Faults") == {field.name for field in msgspec.structs.fields(Fault)}


def test_every_field_of_the_log_is_documented() -> None:
    assert keys("## The log") == set(Record.__annotations__)
