"""Schemathesis against the simulator, in short: the cases that it makes of two kinds' bounds, without chance.

`make interop` runs all of it. What the official description forbids is tried by `test_simulator_parameters.py` too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from describing import run_schemathesis

if TYPE_CHECKING:
    from pathlib import Path


def test_tools_and_streams_are_answered_at_every_bound(tmp_path: Path) -> None:
    options = ("--phases=examples,coverage", "--mode=positive", "--include-path-regex=/(choosing|calling-streamed)/")
    found = run_schemathesis(tmp_path, *options, narrowed=True)
    assert found.exit_status == 0, found.report
    assert found.statuses[200] > 250
