"""Are bulk runs that are killed again and again, fed a million lines or faced with faulty servers still exact?"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from barechat import AsyncClient, Ledger, RetryPolicy
from barechat.simulator import Simulator
from commands import run, start
from support import KEY, MODEL

KILLS = 50
A_MILLION = 1_000_000
MOST_KB = 200 * 1024
FAULTY = {
    "first_token_s": 0.02,
    "fault": [
        {"probability": 0.05, "status": 500},
        {"probability": 0.02, "cut_after": 3},
        {"probability": 0.01, "stall_head": True},
    ],
}

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the system's list of processes")


def test_fifty_killed_runs_leave_one_line_a_request_and_a_ledger_that_knows_all_that_was_served(tmp_path: Path) -> None:
    source, output, ledger = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "ledger.db"
    drawn = random.Random(7)  # noqa: S311 - not for secrets
    count = 5_000
    source.write_text("".join(f'{{"custom_id": "r{number}", "text": "{number}"}}\n' for number in range(count)))
    given = ["bulk", str(source), "-o", str(output), "--prompt", "Say {text}", "--quiet"]
    given += ["--ledger", str(ledger), "-p", "max_completion_tokens=100"]
    budget = ["--budget", "100000"]
    torn = grown = 0
    with Simulator({"first_token_s": 0.2, "jitter": 0.9, "limit": [{"headers": False}]}) as simulator:
        for turn in range(KILLS):
            before = output.stat().st_size if output.exists() else 0
            command = start(*given, "--concurrency", "20", *budget[: 2 * (turn % 2)], url=simulator.url)
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(drawn.uniform(0.3, 2.0))
            command.send_signal(signal.SIGKILL)
            command.communicate()
            grown += output.exists() and output.stat().st_size > before
            torn += output.exists() and output.stat().st_size > 0 and not output.read_bytes().endswith(b"\n")
        done = run(*given, url=simulator.url)
        assert done.returncode == 0, done.stderr
        served = {record["client_request_id"] for record in simulator.requests if record["status"] == 200}
    lines = [json.loads(line) for line in output.read_bytes().splitlines()]
    assert collections.Counter(line["custom_id"] for line in lines) == {f"r{number}": 1 for number in range(count)}
    assert all(line["error"] is None for line in lines)
    rows = {row["key"]: row for row in Ledger(ledger).attempts()}
    assert served <= rows.keys()
    unsettled = [row for row in rows.values() if row["state"] != "settled"]
    answered = [row for row in rows.values() if row["status"] == 200]
    assert len(answered) + len(unsettled) >= len(served)
    assert all(row["held_pd"] for row in unsettled)
    assert Ledger(ledger).abandoned() == (len(unsettled), sum(row["held_pd"] for row in unsettled), 0)
    assert Ledger(ledger).check() == []
    print(f"{KILLS} kills, {grown} of them after answers, {torn} lines torn; {len(served)} served for {count}")
    print(f"in the ledger {len(answered)} answered, and {len(unsettled)} that were under way at a kill")


def test_a_million_lines_are_begun_within_two_seconds_and_stay_under_200_mb(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    with source.open("w") as file:
        file.writelines(
            f'{{"custom_id": "request-{number}", "text": "number {number}"}}\n' for number in range(A_MILLION)
        )
    given = ("bulk", str(source), "-o", str(output), "--prompt", "Say {text}", "--quiet")
    with Simulator() as simulator:
        began = time.monotonic()
        command = start(*given, url=simulator.url)
        simulator.wait_for(1)
        started_s = time.monotonic() - began
        command.kill()
        command.communicate()
        command = start(*given, "--dry-run", url=simulator.url)
        most_kb = 0
        while command.poll() is None:
            status = Path(f"/proc/{command.pid}/status").read_text()
            found = re.search(r"VmHWM:\s+(\d+)", status)
            most_kb = max(most_kb, int(found[1]) if found else 0)
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(0.2)
        out, _ = command.communicate()
    assert b"to send" in out
    print(f"first answer after {started_s:.2f} s; {most_kb / 1024:.0f} MB for a million lines: {out.decode().strip()}")
    assert started_s < 2
    assert most_kb < MOST_KB


def test_every_request_of_a_faulty_server_ends_as_a_reply_or_a_named_error(tmp_path: Path) -> None:
    count, ends = 5_000, collections.Counter[str]()
    retry = RetryPolicy(max_attempts=8, base_s=0.1, attempt_s=2.0, resend_after_timeout=True, retry_budget=None)

    async def ask() -> None:
        with Simulator(FAULTY) as simulator:
            simulator.limit(headers=False)
            async with AsyncClient(KEY, simulator.url) as client:
                prompts = (f"Say {number}." for number in range(count))
                run = client.bulk(prompts, model=MODEL, output=tmp_path / "out.jsonl", retry=retry)
                async for result in run:
                    ends[type(result.error).__name__ if result.error else "reply"] += 1
                print(dict(ends), run.progress.attempts, "attempts")

    asyncio.run(ask())
    assert ends.total() == count
    assert ends["reply"] >= count * 0.99
    lines: list[dict[str, Any]] = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert len({line["custom_id"] for line in lines}) == len(lines) == count
