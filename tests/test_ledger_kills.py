"""A ledger's writer is killed at each of its steps: what was acknowledged is there, and nothing is half there."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from ledgers import run_python

MEMORY = Path("/dev/shm")  # noqa: S108 - a kill takes nothing from a system's cache, so that this tests as much, sooner


@pytest.mark.skipif(
    not hasattr(os, "fork") or sys.platform == "darwin", reason="needs a fork that the system's libraries survive"
)
def test_a_writer_killed_at_any_step_loses_nothing_acknowledged_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    code = "import sys, killing; print(killing.kill_at_each_step(sys.argv[1], turns=1))"
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as folder:
        (steps,) = run_python(code, folder)
    assert int(steps) > 60
