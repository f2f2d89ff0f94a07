"""Schemathesis against the simulator, in short: the cases that it makes of every bound, without chance.

`make interop` runs all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from describing import run_schemathesis

if TYPE_CHECKING:
    from pathlib import Path


def test_every_bound_of_the_official_description_is_kept(tmp_path: Path) -> None:
    # The description alone doesn't say what is refused, so that a refusal of what it allows is no difference.
    found = run_schemathesis(tmp_path, "--phases=examples,coverage", "--exclude-checks=positive_data_acceptance")
    assert found.exit_status == 0, found.report
    assert found.statuses[400] > 1000


def test_tools_and_streams_are_answered_at_every_bound(tmp_path: Path) -> None:
    options = ("--phases=examples,coverage", "--mode=positive", "--include-path-regex=/(choosing|calling-streamed)/")
    found = run_schemathesis(tmp_path, *options, narrowed=True)
    assert found.exit_status == 0, found.report
    assert found.statuses[200] > 250
