"""A ledger that another program has locked costs a call without a budget a moment, once, and no row."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from barechat import Budget, ConfigurationError, DeadlineExceeded, Ledger, Timeouts
from barechat.ledger.writer import AWAITED, MOMENT_S
from barechat.steps import Deadline
from ledgers import entry, hold, new_key, rows
from support import MODEL, AsyncCaller, done
from test_ledger_faults import executed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from barechat.money.entry import Hold
    from barechat.simulator import Simulator
    from support import Connect

    Lock = Callable[[], AbstractContextManager[object]]
    Reserve = Callable[[Ledger, Hold, Deadline | None], None]

LONG_S = 20.0  # for the writer's patience: longer than any test takes, so that none of them waits for it to end


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.db", locked_s=LONG_S)
    yield made
    made.close()


@pytest.fixture
def lock(ledger: Ledger) -> Lock:
    """Lock the ledger's file, as another program's transaction does, for as long as the test says."""
    return lambda: contextlib.closing(executed(ledger.path, "BEGIN IMMEDIATE"))


def blocking(ledger: Ledger, one: Hold, by: Deadline | None) -> None:
    ledger.reserve(one, by)


def awaited(ledger: Ledger, one: Hold, by: Deadline | None) -> None:
    asyncio.run(ledger.reserve_async(one, by))


@pytest.fixture(params=[blocking, awaited])
def reserve(request: pytest.FixtureRequest) -> Reserve:
    made: Reserve = request.param
    return made


def within(seconds: float) -> Deadline:
    return Deadline(time.monotonic() + seconds, "total", seconds)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_bulk_run_with_a_small_total_is_answered_while_the_ledger_is_locked_and_filed_once_it_is_not(
    connect: Connect, simulator: Simulator, ledger: Ledger, lock: Lock, caplog: pytest.LogCaptureFixture
) -> None:
    caller = connect(simulator.url, ledger=ledger)
    options: Any = {"model": MODEL, "timeouts": Timeouts(total_s=3), "concurrency": 1}
    run: Any = caller.client.bulk(["Hi", "Ho", "He"], **options)
    results = aiter(run) if isinstance(caller, AsyncCaller) else iter(run)

    async def step() -> Any:
        return await anext(results, None)

    def take() -> Any:
        return caller.run(step()) if isinstance(caller, AsyncCaller) else next(results, None)

    with lock():
        taken = [take() for _ in range(3)]
    assert take() is None
    assert [(result.error, result.attempts) for result in taken] == [(None, 1)] * 3
    assert rows(ledger, "state", "error") == [("settled", None)] * 3
    assert ledger.check() == []
    (warning,) = told(caplog)
    assert "calls that need no budget go on, to be filed later" in warning


def test_a_lock_is_waited_for_once_until_the_ledger_has_been_written_again(
    reserve: Reserve, ledger: Ledger, lock: Lock, caplog: pytest.LogCaptureFixture
) -> None:
    begun = time.monotonic()
    with lock():
        reserve(ledger, hold(5), within(0.2))
        for _ in range(60):
            reserve(ledger, hold(5), None)
        assert time.monotonic() - begun < 30  # and not a second each
    ledger.flush()
    reserve(ledger, hold(5), within(100))
    assert len(list(ledger.attempts())) == 62  # the last one's row too, before it is sent
    assert len(told(caplog)) == 1


def test_a_fault_is_waited_for_once_too(tmp_path: Path, reserve: Reserve) -> None:
    """A lock that outlasts the writer's own patience is a fault like others: nobody waits for the next try's end."""
    ledger = Ledger(tmp_path / "ledger.db", locked_s=0.0)
    ledger.flush()
    with contextlib.closing(executed(ledger.path, "BEGIN IMMEDIATE")):
        reserve(ledger, hold(5), None)
        assert ledger._writer().is_behind
        reserve(ledger, hold(5), None)
    ledger.flush()
    assert not ledger._writer().is_behind
    ledger.close()


def test_a_call_that_draws_on_a_budget_is_never_sent_without_its_hold(
    reserve: Reserve, ledger: Ledger, lock: Lock
) -> None:
    with lock():
        reserve(ledger, hold(5), within(0.2))
        one = hold(5, Budget("1"))
        with pytest.raises(DeadlineExceeded, match="Nothing was sent"):
            reserve(ledger, one, within(0.2))
        ledger.settle(entry(one.key, 0))  # as the call does that gave up
    ledger.flush()
    assert sum(budget.held_pd for budget in ledger.budgets()) == 0


def test_a_row_that_was_waited_for_in_vain_is_written_late_and_settled_once(
    reserve: Reserve, ledger: Ledger, lock: Lock
) -> None:
    one, other = hold(9), hold(9)
    with lock():
        for each in (one, other):
            reserve(ledger, each, within(0.2))
        ledger.settle(entry(one.key, 5, held=False))
    assert rows(ledger, "key", "state", "cost_pd") == [(one.key, "settled", 5), (other.key, "held", None)]
    ledger.settle(entry(other.key, 6, held=False))
    assert rows(ledger, "key", "state", "cost_pd") == [(one.key, "settled", 5), (other.key, "settled", 6)]
    assert ledger.check() == []


def test_a_row_that_comes_after_its_attempt_has_ended_changes_nothing_and_stops_no_other(
    reserve: Reserve, ledger: Ledger, lock: Lock
) -> None:
    key, first, last = new_key(), hold(9), hold(9)
    ledger.settle(entry(key, 5, held=False))
    ledger.flush()
    with lock():
        for each in (first, hold(9, key=key), last):  # which the lock gathers for one transaction, but for the first
            reserve(ledger, each, within(0.2))
    held = [(first.key, "held", None), (last.key, "held", None)]
    assert rows(ledger, "key", "state", "cost_pd") == [(key, "settled", 5), *held]
    assert not ledger._writer().is_behind


def test_a_call_that_is_closed_waits_for_no_lock(ledger: Ledger, lock: Lock, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is the ledger taken to be slow by who didn't wait for it."""

    async def cancel() -> None:
        waiting = asyncio.create_task(ledger.reserve_async(hold(5), None))
        await asyncio.sleep(0)  # it has asked
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with lock():
        asyncio.run(cancel())
        ledger.reserve(hold(5), None, lambda wake: wake() if wake is not None else None)
        assert not ledger._writer().is_behind
    assert rows(ledger, "state") == ["held"] * 2
    assert told(caplog) == []


class Waiting(logging.Handler):
    """Says when the log has told that somebody waits for a ledger, and how often."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.is_told = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg in AWAITED:
            self.said.append(record.getMessage())
            self.is_told.set()


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    made = Waiting()
    logging.getLogger("barechat").addHandler(made)
    yield made
    logging.getLogger("barechat").removeHandler(made)


@pytest.mark.parametrize("closed", ["client", "ledger"])
def test_who_closes_while_the_ledger_is_locked_is_told_and_loses_no_row(
    closed: str, connect: Connect, simulator: Simulator, ledger: Ledger, lock: Lock, waiting: Waiting
) -> None:
    caller = connect(simulator.url, ledger=ledger)

    def close() -> None:
        done(caller, caller.client.close()) if closed == "client" else ledger.close()

    with ThreadPoolExecutor(1) as pool:
        with lock():
            caller.chat()
            closing = pool.submit(close)
            assert waiting.is_told.wait(10)
            assert not closing.done()
        closing.result(10)
    assert rows(ledger, "state") == ["settled"]
    assert waiting.said == [
        f"the ledger {ledger.path} is locked by another program: waiting for it, {LONG_S - MOMENT_S:.0f} s at most"
    ]


def test_whoever_closes_one_thing_after_another_waits_once(
    tmp_path: Path, waiting: Waiting, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(tmp_path / "ledger.db", locked_s=2 * MOMENT_S)
    begun = time.monotonic()
    with contextlib.closing(executed(ledger.path, "BEGIN IMMEDIATE")):
        ledger.settle(entry(new_key(), 5, held=False))
        for _ in range(20):
            with pytest.raises(ConfigurationError, match="is locked by another program: end it"):
                ledger.flush()
            with pytest.raises(ConfigurationError, match="is locked by another program: end it"):
                asyncio.run(ledger.flush_async())
        ledger.close()
    assert time.monotonic() - begun < 40  # and not two seconds each
    assert len(waiting.said) < 20
    assert told(caplog)[-1] == f"the ledger {ledger.path} lost 1 attempt that could not be filed"
