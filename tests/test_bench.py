"""What `bench/` compares does the same job: each candidate gets the whole answer and every token. Nothing is timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_each_candidate_gets_the_answer_and_every_token() -> None:
    command = [sys.executable, "-m", "bench.check"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert run.returncode == 0, run.stderr
    assert set(run.stdout.split()) >= {"socket", "bare", "barechat", "openai", "httpx", "requests"}
