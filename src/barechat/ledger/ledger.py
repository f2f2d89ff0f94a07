"""`Ledger`: the file in which every attempt stands, and which keeps budgets."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Self

from barechat.errors import ConfigurationError, DeadlineExceeded
from barechat.ledger import reads, repricing
from barechat.ledger.forks import Turn
from barechat.ledger.schema import LOCKED_S, faults_of, opened, opened_to_read
from barechat.ledger.store import check_amount
from barechat.ledger.writer import MOMENT_S, Asked, Writer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from barechat.ledger.reads import Abandoned, BudgetState, By, Spending
    from barechat.ledger.store import Store
    from barechat.money.budget import Budget
    from barechat.money.entry import Entry, Hold
    from barechat.money.prices import Prices
    from barechat.steps import Deadline, Tell


_SHARE_OF_TIME = 0.25  # and the most of what is left of its time, so that it can still be sent and answered


class Ledger:
    """A durable account of every attempt, and of budgets: one SQLite file, shared by threads, tasks and processes.

    path: the file, made if it isn't there, readable by its owner alone. It must be on a disk of this machine, since
        SQLite's write-ahead log doesn't work over networks. No text of prompts or replies is in it.
    locked_s: how long to wait, in seconds, while another program has it locked.

    Give it to clients as `ledger=…`. A row is on the disk a tenth of a second after its attempt has ended; `flush`
    waits for that. What a budget holds is there before a request is sent. A forked child opens the file anew.

    Raises:
        ConfigurationError: the file can't be written, isn't a ledger, is corrupt, or is of a newer barechat.
    """

    def __init__(self, path: str | os.PathLike[str], *, locked_s: float = LOCKED_S) -> None:
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise ConfigurationError(f"a Ledger needs the path of a file, not {path!r}")
        self.path = os.path.abspath(os.fspath(path))  # noqa: PTH100 - as text, for SQLite
        self.locked_s = locked_s
        with Turn():
            opened(self.path, locked_s).close()  # its faults are told here, and not in the middle of a call
        self._writers: dict[int, Writer] = {}  # by the process that made it
        weakref.finalize(self, _stop, self._writers)  # at the program's end at the latest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ledger({self.path!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _ledger, (self.path, self.locked_s)

    # What clients call.

    def reserve(self, hold: Hold, by: Deadline | None, tell: Tell = lambda _: None) -> None:
        """File an attempt, on the disk, before it is sent, and hold its money. Returns early if `tell`'s is called.

        Without a budget the disk is waited for but a moment, and not at all while it is known to be behind: what isn't
        there by then is filed as soon as it can be.

        Raises:
            BudgetExceeded: there is no room. ConfigurationError: the file can't be written, or has this budget at
            another amount. DeadlineExceeded: there was none in time. None of them without a budget.
        """
        answered = threading.Event()
        asked = Asked(answered.set, hold=hold)
        tell(answered.set)
        try:
            within_s = self._patience_s(hold, by)
            self._writer().put(asked)
            answered.wait(within_s)
        finally:
            tell(None)
        if asked.is_answered or not answered.is_set():  # else the call was closed
            self._conclude(asked, hold, by)

    async def reserve_async(self, hold: Hold, by: Deadline | None) -> None:
        """Same as reserve, awaited."""
        asked = await self._asked(self._patience_s(hold, by), hold=hold)
        self._conclude(asked, hold, by)

    def settle(self, entry: Entry) -> None:
        """File an attempt that has ended, some time soon. Takes no time, and never fails: the log says what does."""
        self._writer().put(entry)

    def flush(self) -> None:
        """Wait until all that has been filed is on the disk.

        The log says so if another program has it locked; that is waited for `locked_s` at most.

        Raises:
            ConfigurationError: it can't be written.
        """
        self._work(lambda _: None)

    async def flush_async(self) -> None:
        """Same as flush, awaited."""
        self._writer().hasten()
        _raise(await self._asked(None, work=lambda _: None))

    def close(self) -> None:
        """File what is left, and end the writer's thread. The ledger can still be used; that starts another one."""
        _stop(self._writers)

    def check_budget(self, budget: Budget) -> None:
        """Raise a ConfigurationError if the ledger has this budget, as of now, at another amount."""
        period = budget.period(time.time())
        for state in self.budgets():
            if (state.tag, state.per, state.period) == (*budget.identity, period):
                check_amount(budget, state.limit_pd)

    # What people ask.

    def spending(self, by: By = "model", since: datetime | None = None) -> list[Spending]:
        """Return what each model, day (UTC), tag or session has cost, attempts that are running included.

        An attempt with several tags counts for each of them.
        """
        with self._reading() as db:
            return reads.spending(db, by, None if since is None else since.timestamp())

    def budgets(self) -> list[BudgetState]:
        """Return how each budget stands, in each day or month that it was used in."""
        with self._reading() as db:
            return reads.budgets(db)

    def attempts(self, since: datetime | None = None) -> Iterator[dict[str, Any]]:
        """Yield each attempt as a dict of the table's columns, as they were filed; times in seconds since 1970."""
        after: int | None = 0
        while after is not None:
            with self._reading() as db:  # and closed again between pages, for who reads them may fork
                page = list(reads.attempts(db, None if since is None else since.timestamp(), after))
            yield from page
            after = page[-1]["id"] if page else None

    def abandoned(self) -> Abandoned:
        """Return what reconcile would: attempts that nobody will settle, and what they hold."""
        with self._reading() as db:
            return reads.Abandoned.of(reads.abandoned(db).values())

    def prunable(self, before: datetime) -> int:
        """Return how many attempts `prune` would forget."""
        with self._reading() as db:
            return reads.ended_before(db, before.timestamp())

    def corrections(self, prices: Prices) -> list[repricing.Correction]:
        """Return what `reprice` would correct."""
        return list(repricing.corrections(self.attempts(), prices))

    def check(self) -> list[str]:
        """Return what is wrong with the file, a sentence each: broken pages, sums that don't add up."""
        with self._reading() as db:
            return reads.problems(db)

    # What people change.

    def set_budget(self, budget: Budget) -> None:
        """Set a budget's amount from now on, for all that share it, and open it if it was closed.

        It becomes one that the calls of the `barechat` command carry.
        """
        self._work(lambda store: store.set_standing(budget, time.time()))

    def drop_budget(self, per: str, tag: str | None = None) -> bool:
        """Let the command's calls carry a budget no more; False if they didn't."""
        dropped: bool = self._work(lambda store: store.drop_standing(tag, per))
        return dropped

    def standing_budgets(self) -> list[Budget]:
        """Return the budgets that the command's calls carry."""
        with self._reading() as db:
            return reads.standing(db)

    def reconcile(self) -> Abandoned:
        """Count as spent what is held by attempts of processes that died, and of outcomes that nobody knows.

        Returns how many attempts, how many picodollars, and how many of the attempts have no price and stay unpriced.
        Safe: they can't have cost more.
        """
        ended: Abandoned = self._work(lambda store: store.end_holds(spent=True))
        return ended

    def release(self) -> Abandoned:
        """Same as reconcile, but count them as nothing: for when the server's own bill says so."""
        ended: Abandoned = self._work(lambda store: store.end_holds(spent=False))
        return ended

    def prune(self, before: datetime) -> int:
        """Forget the attempts that began before a moment and have ended. Budgets keep what was spent of them.

        Returns how many.
        """
        count: int = self._work(lambda store: store.prune(before.timestamp()))
        return count

    def reprice(self, prices: Prices) -> list[repricing.Correction]:
        """Price all attempts anew by their stored usage, and correct those whose cost differs, the old figure kept.

        What these prices don't know keeps its figure: it may have been priced by an alias, or by a table of its own.
        """
        corrections = self.corrections(prices)

        def correct(store: Store) -> None:
            for correction in corrections:
                store.reprice(correction.id, correction.cost, prices.version, time.time())

        self._work(correct)
        return corrections

    def _patience_s(self, hold: Hold, by: Deadline | None) -> float | None:
        """Return how long a reservation is waited for; None: until it is answered."""
        left_s = None if by is None else max(by.at - time.monotonic(), 0.0)
        if hold.budgets:
            return left_s
        if self._writer().is_behind:
            return 0.0
        return MOMENT_S if left_s is None else min(MOMENT_S, _SHARE_OF_TIME * left_s)

    def _conclude(self, asked: Asked, hold: Hold, by: Deadline | None) -> None:
        """Raise what a reservation was answered with; where it wasn't in time, that is an error only to budgets."""
        if asked.is_answered:
            _raise(asked)
        elif hold.budgets and by is not None:
            raise _no_room(by)
        else:
            self._writer().note_late(asked)

    def _work(self, work: Callable[[Store], Any]) -> Any:
        answered, writer = threading.Event(), self._writer()
        asked = Asked(answered.set, work=work)
        writer.hasten()
        writer.put(asked)
        if not answered.wait(MOMENT_S):
            writer.tell_waiting()
            answered.wait()
        _raise(asked)
        return asked.result

    async def _asked(
        self, within_s: float | None, *, hold: Hold | None = None, work: Callable[[Store], Any] | None = None
    ) -> Asked:
        """Ask the writer; return the order, which is answered unless it wasn't in time."""
        import asyncio  # noqa: PLC0415 - a program that only blocks never loads it

        loop = asyncio.get_running_loop()
        answered = loop.create_future()

        def answer() -> None:
            if not answered.done():  # by whoever waited no longer
                answered.set_result(None)

        asked = Asked(answer, hold=hold, work=work, loop=loop)
        self._writer().put(asked)
        if work is not None:
            await asyncio.wait([answered], timeout=MOMENT_S)
            if not answered.done():
                self._writer().tell_waiting()
        if within_s is None:
            await answered
            return asked
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await answered
        return asked

    def _writer(self) -> Writer:
        pid = os.getpid()  # and no lock, which a fork could copy locked
        writer = self._writers.get(pid)
        if writer is None:
            writer = self._writers.setdefault(pid, Writer(self.path, self.locked_s))
            if (multiprocessing := sys.modules.get("multiprocessing.util")) is not None:
                # A process of its pools ends without what programs do at their end.
                multiprocessing.Finalize(self, _stop, [self._writers], exitpriority=0)
        return writer

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with Turn(), faults_of(self.path):
            db = opened_to_read(self.path)
            try:
                yield db
            finally:
                db.close()


def _ledger(path: str, locked_s: float) -> Ledger:
    """Return a ledger, as it was pickled."""
    return Ledger(path, locked_s=locked_s)


def _stop(writers: dict[int, Writer]) -> None:
    writer = writers.get(os.getpid())
    if writer is not None:
        writer.stop()


def _raise(asked: Asked) -> None:
    if asked.error is not None:
        raise asked.error


def _no_room(by: Deadline) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"the budget had no room within {by.after_s:g} s (Timeouts.{by.which}_s). Nothing was sent.",
        which=by.which,
        sent=False,
    )
