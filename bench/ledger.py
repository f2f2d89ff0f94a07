"""What does a ledger cost a call, and how many calls does it settle? With and without budgets, alone and among many."""

import asyncio
import contextlib
import itertools
import multiprocessing
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from bench.limits import let_open_many_files
from bench.results import Row, row
from bench.server import serve

from barechat import AsyncClient, Budget, Client, Cost, Ledger, RetryPolicy, Timeouts
from barechat.money.entry import Entry, Hold

_MODEL: Final = "gpt-4o-mini"
_MANY: Final = 1000
_CALLS: Final = {1: 1000, _MANY: 8000}  # by how many are in flight
_PROCESSES: Final = 8
_SETTLED: Final = 16_000
_BUDGET: Final = Budget("1000000")
_HOW: Final = {"alone": (False, False), "ledger": (True, False), "ledger and budget": (True, True)}
_PATIENT: Final = Timeouts(connect_s=60, total_s=600)
_USAGE: Final = {"prompt_tokens": 10, "completion_tokens": 40, "total_tokens": 50}


def measure(runs: int, _only: Sequence[str]) -> list[Row]:
    """Return CPU a call, the wait for a reservation, and settled calls a second."""
    let_open_many_files()
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(runs):  # all in turn, so that a busy minute of the machine meets them all
        for (name, unit), value in itertools.chain(_cpu(), _waits(), _rates()):
            found.setdefault((name, unit), []).append(value)
    return [row(name, unit, values) for (name, unit), values in found.items()]


def _cpu() -> Iterator[tuple[tuple[str, str], float]]:
    """Yield what a ledger adds to the CPU of a call: the same calls with it and without it, one server for all."""
    loads: dict[str, Callable[[str, dict[str, Any]], float]] = {
        "blocking, 1 in flight": _blocking,
        "async, 1 in flight": lambda url, options: asyncio.run(_asynchronous(url, options, 1)),
        "async, 1,000 in flight": lambda url, options: asyncio.run(_asynchronous(url, options, _MANY)),
    }
    with serve() as server:
        for name, load in loads.items():
            used = {}
            for how, (has_ledger, has_budget) in _HOW.items():
                with _ledger() as ledger:
                    options = {"ledger": ledger if has_ledger else None, "budget": _BUDGET if has_budget else None}
                    used[how] = load(server.url, options)
            yield (f"a call alone, {name}", "CPU us"), used["alone"]
            for how in ("ledger", "ledger and budget"):
                yield (f"{how}, {name}", "CPU us a call more"), used[how] - used["alone"]


def _blocking(url: str, options: dict[str, Any]) -> float:
    with Client("a-key", url, **options) as client:
        client.chat("Hi", model=_MODEL, max_completion_tokens=60)
        before = time.process_time()
        for number in range(_CALLS[1]):
            client.chat(f"Question {number}", model=_MODEL, max_completion_tokens=60)
    return (time.process_time() - before) / _CALLS[1] * 1e6


async def _asynchronous(url: str, options: dict[str, Any], in_flight: int) -> float:
    calls = iter(range(_CALLS[in_flight]))

    async def ask(client: AsyncClient) -> None:
        for number in calls:
            await client.chat(f"Question {number}", model=_MODEL, max_completion_tokens=60)

    async with AsyncClient("a-key", url, timeouts=_PATIENT, retry=RetryPolicy(max_attempts=1), **options) as client:
        async with asyncio.TaskGroup() as group:  # which opens all connections
            for number in range(in_flight):
                group.create_task(client.chat(f"Hi {number}", model=_MODEL, max_completion_tokens=60))
        before = time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(ask(client))
    return (time.process_time() - before) / _CALLS[in_flight] * 1e6


def _waits() -> Iterator[tuple[tuple[str, str], float]]:
    for in_flight, count in ((1, 500), (_MANY, 12_000)):
        with _ledger() as ledger:
            waited_s = asyncio.run(_settle(ledger, in_flight, count))
        percentiles = statistics.quantiles(waited_s, n=100)
        for name, place in (("p50", 49), ("p99", 98)):
            yield (f"wait for a reservation, {in_flight:,} in flight, {name}", "ms"), percentiles[place] * 1000


def _rates() -> Iterator[tuple[tuple[str, str], float]]:
    for processes in (1, _PROCESSES):
        with _ledger() as ledger:
            context = multiprocessing.get_context("fork")
            start = context.Barrier(processes + 1)
            share = _MANY // processes, _SETTLED // processes
            workers = [context.Process(target=_work, args=(ledger.path, start, *share)) for _ in range(processes)]
            for worker in workers:
                worker.start()
            start.wait()
            began = time.monotonic()
            for worker in workers:
                worker.join()
            seconds = time.monotonic() - began
            filed = sum(line.attempts for line in ledger.spending())
        if filed != _SETTLED // processes * processes:
            raise RuntimeError(f"{filed} calls were settled, of {_SETTLED}")
        yield (f"settled, {processes} process{'es' * (processes > 1)}, {_MANY:,} in flight", "calls/s"), filed / seconds


def _work(path: str, start: Any, in_flight: int, count: int) -> None:
    ledger = Ledger(path)
    start.wait()
    asyncio.run(_settle(ledger, in_flight, count))
    ledger.close()


async def _settle(ledger: Ledger, in_flight: int, count: int) -> list[float]:
    """Reserve and settle without any server; return how long each reservation took."""
    turns, waited_s = iter(range(count)), list[float]()

    async def go_on() -> None:
        for _ in turns:
            key, began = uuid.uuid4().hex, time.monotonic()
            one = Hold(key=key, at=time.time(), model=_MODEL, picodollars=10**8, budgets=(_BUDGET,), tags={})
            await ledger.reserve_async(one, None)
            waited_s.append(time.monotonic() - began)
            cost = Cost(picodollars=10**7, certainty="exact")
            ledger.settle(
                Entry(key=key, at=one.at, model=_MODEL, tags={}, cost=cost, is_known=True, is_held=True, usage=_USAGE)
            )

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(go_on())
    await ledger.flush_async()
    return waited_s


@contextlib.contextmanager
def _ledger() -> Iterator[Ledger]:
    """Make a ledger, on the disk of the folder that this is started in: the system's own for such may be memory."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        ledger = Ledger(Path(folder) / "ledger.db")
        yield ledger
        ledger.close()
