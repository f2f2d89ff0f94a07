"""Eight processes race for one budget: `python racing.py FOLDER SEED KILLED` leaves what they did in a folder.

2,000 calls of 64 tasks a process want money that fits 1,000 of them. A reply has as many tokens as it may have, or a
few less, so that room is freed late and must be fought for. With KILLED, so many of the processes are killed as by
`kill -9`, each when a random number of calls has been answered: whatever it does at that moment.

The simulator is a process of its own, and logs what it served; `Race` reads that and the ledger, and compares them.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barechat import AsyncClient, Budget, BudgetExceeded, Ledger, Prices
from barechat.simulator import Simulator
from support import KEY, MODEL, ONCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROCESSES, TASKS, CALLS, FIT = 8, 64, 2000, 1000
CAP = 100  # tokens of a reply
TOKEN_PD = 10**6
LIMIT_PD = FIT * CAP * TOKEN_PD
PRICES = {"rows": [{"model": MODEL, "tiers": {"standard": {"input": "0", "output": "1"}}}]}  # dollars for 10**6 tokens


@dataclass
class Race:
    """A race that has been run in a folder."""

    folder: Path

    def run(self, seed: int, killed: int = 0) -> None:
        (self.folder / "prices.json").write_text(json.dumps(PRICES), "utf-8")
        command = [sys.executable, "-W", "ignore", __file__, str(self.folder), str(seed), str(killed)]
        subprocess.run(command, check=True, timeout=120)  # noqa: S603 - our own code

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.folder / "ledger.db")

    def served_pd(self) -> dict[str, int]:
        """Return what each call that the server answered costs, by its id, as the server's own log has it."""
        records = [json.loads(line) for line in (self.folder / "served.jsonl").read_text("utf-8").splitlines()]
        served = {
            record["client_request_id"]: record["usage"]["completion_tokens"] * TOKEN_PD
            for record in records
            if record["usage"] is not None
        }
        assert len(served) == sum(record["usage"] is not None for record in records)
        return served

    def judge(self, *, least_settled: float, least_in_all: float) -> None:
        """Check that the budget held, was used up, and that the ledger and the server tell the same, call by call."""
        ledger, served = self.ledger, self.served_pd()
        assert ledger.check() == []
        (budget,) = ledger.budgets()
        assert budget.limit_pd == LIMIT_PD
        assert budget.spent_pd + budget.held_pd <= LIMIT_PD
        assert sum(served.values()) <= LIMIT_PD
        assert budget.spent_pd >= least_settled * LIMIT_PD
        assert budget.spent_pd + budget.held_pd >= least_in_all * LIMIT_PD
        rows = {row["key"]: row for row in ledger.attempts()}
        assert served.keys() <= rows.keys()
        settled = {key: row["cost_pd"] for key, row in rows.items() if row["state"] == "settled" and row["cost_pd"]}
        assert settled == {key: served[key] for key in settled}
        unknown = [key for key, row in rows.items() if row["state"] != "settled"]
        assert served.keys() - settled.keys() <= set(unknown)
        assert all(rows[key]["held_pd"] == CAP * TOKEN_PD for key in unknown)
        assert budget.held_pd == len(unknown) * CAP * TOKEN_PD
        assert ledger.reconcile() == (len(unknown), budget.held_pd, 0)
        assert [(after.spent_pd, after.held_pd) for after in ledger.budgets()] == [
            (budget.spent_pd + budget.held_pd, 0)
        ]
        ledger.close()


def main(folder: str, seed: str, killed: str) -> None:
    noise = random.Random(int(seed))  # noqa: S311 - so that a race can be run again
    url_from, url_to = os.pipe()
    server = fork(lambda: serve(folder, url_to))
    url = os.read(url_from, 1000).decode()
    answered_from, answered_to = os.pipe()
    names = [f"{seed}-{number}" for number in range(PROCESSES)]
    workers = [fork(functools.partial(work, folder, url, name, answered_to)) for name in names]
    os.close(answered_to)
    moments = dict(
        zip(sorted(noise.sample(range(FIT * 9 // 10), int(killed))), noise.sample(workers, int(killed)), strict=True)
    )
    for answered in count(answered_from):
        if answered in moments:
            os.kill(moments[answered], signal.SIGKILL)
    for worker in workers:
        status = os.waitpid(worker, 0)[1]
        assert status == (signal.SIGKILL if worker in moments.values() else 0), status
    os.kill(server, signal.SIGTERM)
    os.waitpid(server, 0)


def fork(act: Callable[[], object]) -> int:
    """Do it in a process of its own; return its number."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            act()
            status = 0
        finally:
            if status:
                traceback.print_exc()
            os._exit(status)
    return child


def count(pipe: int) -> Iterator[int]:
    """Yield 1, 2, 3 … as bytes come, until the last process that writes them has ended."""
    answered = 0
    while data := os.read(pipe, 1000):
        for _ in data:
            answered += 1
            yield answered


def serve(folder: str, url_to: int) -> None:
    simulator = Simulator(log=Path(folder) / "served.jsonl")
    simulator.run(on_ready=lambda url: os.write(url_to, url.encode()))


def work(folder: str, url: str, seed: str, answered_to: int) -> None:
    noise = random.Random(seed)  # noqa: S311 - likewise
    calls = iter(range(CALLS // PROCESSES))
    options: dict[str, Any] = {
        "ledger": Ledger(Path(folder) / "ledger.db"),
        "budget": Budget(Decimal(LIMIT_PD) / 10**12, wait=True),
        "prices": Prices.load(Path(folder) / "prices.json"),
        "retry": ONCE,
    }

    async def ask(client: AsyncClient) -> None:
        for number in calls:
            tokens = json.dumps({"tokens": noise.randint(CAP * 9 // 10, CAP + 5)})
            headers = {"X-Simulate": tokens}
            try:
                await client.chat(f"Question {number}", model=MODEL, max_completion_tokens=CAP, headers=headers)
            except BudgetExceeded as error:
                assert not error.fits_later  # noqa: PT017 - others may be answered
            else:
                os.write(answered_to, b".")

    async def run() -> None:
        async with AsyncClient(KEY, url, **options) as client:
            await asyncio.gather(*(ask(client) for _ in range(TASKS)))

    asyncio.run(run())


if __name__ == "__main__":
    main(*sys.argv[1:])
