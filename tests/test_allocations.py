"""A call, a token and a ledger's entry take no more memory allocations than were recorded: a tenth more is news.

Counted, not timed, so that it can't flake; `allocations.py` says how, and why so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import allocations

RECORD = json.loads(allocations.RECORD.read_text("utf-8"))
PATHS = sorted({path for recorded in RECORD.values() for path in recorded})
_TOLERATED = 0.1
_AGAIN = "If that is meant: PYTHONPATH=src:tests python tests/allocations.py --record"


@pytest.fixture(scope="module")
def counted() -> dict[str, float]:
    """Count in a process of its own, which has nothing of this one's switches, and isn't traced for coverage."""
    if allocations.THIS not in RECORD:
        pytest.skip(f"nothing is recorded for {allocations.THIS}, only for {', '.join(RECORD)}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "PYTHON"))}
    source = os.pathsep.join(path for path in sys.path if path)
    run = subprocess.run(  # noqa: S603 - our own
        [sys.executable, allocations.__file__],
        env={**environment, "PYTHONPATH": source, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, float] = json.loads(run.stdout)
    return found


def test_every_path_is_recorded(counted: dict[str, float]) -> None:
    assert sorted(counted) == sorted(RECORD[allocations.THIS]), _AGAIN


@pytest.mark.parametrize("path", PATHS)
def test_it_takes_no_more_than_a_tenth_more_than_was_recorded(path: str, counted: dict[str, float]) -> None:
    recorded, now = RECORD[allocations.THIS][path], counted[path]
    said = f"{path} takes {now:g} allocations, {now / recorded - 1:+.0%} of the {recorded:g} that are recorded"
    assert now <= recorded * (1 + _TOLERATED), f"{said}: find out what for. {_AGAIN}"
    assert now >= recorded * (1 - _TOLERATED), f"{said}: well done, but the record is to stay true. {_AGAIN}"


def test_what_is_made_and_dropped_is_counted() -> None:
    """Each of these lists is freed before the next is made, so that neither a peak nor a difference would show it."""

    def wasteful() -> None:
        for number in range(100):
            made = [object(), object(), number]
            made.clear()

    assert 300 <= allocations.counted(wasteful) <= 500
