"""Who writes into a ledger: one thread a process, which puts all that is asked of it meanwhile into one transaction.

A commit waits for the disk, some milliseconds; so whatever comes in that time goes into the next one together (group
commit). Where the disk is quick, that alone would make a transaction of every call. So attempts that have ended, which
nobody waits for, gather for a while; and reservations for a moment, when several came together before. An attempt that
couldn't be filed is kept and tried again; nobody who waits is left without an answer.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import queue
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

from barechat.errors import BarechatError, BudgetExceeded
from barechat.ledger.forks import Turn
from barechat.ledger.schema import LOCKED_S, begin, file_number, meant, opened
from barechat.ledger.store import WAITS, Store
from barechat.money.entry import Entry, Hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

logger = logging.getLogger("barechat")

MOMENT_S = 1.0
"""How long the disk is waited for without a word, or by a call without a budget."""
AWAITED = (
    "the ledger %s is locked by another program: waiting for it, %.0f s at most",
    "the ledger %s isn't written yet, since its disk is slow: waiting for it",
)
"""What is logged once somebody has waited longer: a program may want to say so at once."""

_ENTRIES_GATHER_S = 0.05
_HOLDS_GATHER_S = 0.005
_AGAIN_S = 0.05  # how often to look whether another process has made room
_AFTER_FAULT_S = 1.0
_WARN_EVERY_S = 60.0
_MOST_UNFILED = 100_000  # attempts, some 100 MB
_MOST_AT_ONCE = 4096
_STOP_S = 5.0  # besides what the writer waits for another program's transaction
_IN_VAIN_S = 1.0  # nobody waits again so soon after a wait in vain, as who closes one thing after another would


class Asked:
    """What somebody waits for: room for a `hold`, or `work` to be done, in a transaction that has been committed.

    `wake` is called, by the writer's thread or by the event loop `loop`, once there is a `result` or an `error`.
    """

    __slots__ = ("error", "hold", "is_answered", "loop", "result", "wake", "work")

    def __init__(
        self,
        wake: Callable[[], object],
        *,
        hold: Hold | None = None,
        work: Callable[[Store], Any] | None = None,
        loop: Any = None,
    ) -> None:
        self.wake = wake
        self.hold = hold
        self.work = work
        self.loop = loop
        self.is_answered = False
        self.result: Any = None
        self.error: BaseException | None = None


class Writer:
    """The thread, and what it has been asked for. Any thread may ask, at any moment."""

    def __init__(self, path: str, locked_s: float = LOCKED_S) -> None:
        self._path = path
        self._locked_s = locked_s
        self._pid = os.getpid()
        self._inbox: queue.SimpleQueue[Asked | Entry | None] = queue.SimpleQueue()
        self._hurry = threading.Event()  # somebody waits for an answer
        self._is_busy = False  # several waited for the last one
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()  # again, since garbage may be collected in here, and close a forgotten call
        self._turn = Turn(self._close)
        self._store: Store | None = None
        self._file: tuple[int, int] | None = None  # the store's
        self._unfiled: list[Entry] = []
        self._waiting: list[Asked] = []
        self._has_failed = False  # the last time that it wrote
        self._late: Asked | None = None  # who was the first to wait in vain, since the writer last kept up
        self._warned_at: float | None = None
        self._give_up_at: float | None = None  # the end of the patience of those who wait for the disk
        self._is_locked = False  # by another program, as far as is known
        self._told: float | None = None  # the end that was told

    @property
    def is_behind(self) -> bool:
        """Say whether to wait for the disk is in vain, as far as is known: since it failed, or was too slow."""
        return self._has_failed or (self._late is not None and not self._late.is_answered)

    def note_late(self, asked: Asked) -> None:
        """Note that somebody has waited for the disk in vain, and goes on without it."""
        if not self.is_behind:
            self._late = asked
            self._warn(
                f"the ledger {self._path} isn't written in time: another program may have it locked, or its disk is "
                "slow; calls that need no budget go on, to be filed later"
            )

    def put(self, item: Asked | Entry | None) -> None:
        """Take an order: an entry is filed, an `Asked` is answered, and None ends the thread once all is done."""
        self._inbox.put(item)
        if not isinstance(item, Entry):
            self._hurry.set()
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="barechat-ledger", daemon=True)
                self._thread.start()

    def hasten(self) -> None:
        """Have what is asked for from now on done or given up within `locked_s`, whatever else is waited for.

        At once, if somebody has just waited so long in vain.
        """
        now = time.monotonic()
        if self._give_up_at is None or now >= self._give_up_at + _IN_VAIN_S:
            self._give_up_at = now + self._locked_s

    def tell_waiting(self) -> None:
        """Log that somebody waits for the disk, why, and for how long at most; once for all who do."""
        give_up_at = self._give_up_at
        if give_up_at is not None and self._told == give_up_at:
            return
        self._told = give_up_at
        if self._is_locked:
            left_s = self._locked_s if give_up_at is None else max(give_up_at - time.monotonic(), 0.0)
            logger.warning(AWAITED[0], self._path, left_s)
        else:
            logger.warning(AWAITED[1], self._path)

    def stop(self) -> None:
        """Do all that has been asked for, and end the thread. A forked child lets its parent's be."""
        thread = self._thread
        if self._pid != os.getpid() or (thread is None and self._inbox.empty()):
            return
        self.hasten()
        self.put(None)
        thread = thread or self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(MOMENT_S)
            if thread.is_alive():
                self.tell_waiting()
                thread.join(self._locked_s + _STOP_S)

    def _warn(self, said: str) -> None:
        """Log what is wrong with the file, once in a while."""
        now = time.monotonic()
        with self._starting:
            if self._warned_at is not None and now - self._warned_at < _WARN_EVERY_S:
                return
            self._warned_at = now
        logger.warning("%s", said)

    # On the writer's own thread from here on.

    def _run(self) -> None:
        while True:
            items = self._next()
            orders = [item for item in items if item is not None]
            is_last = len(orders) < len(items)
            with self._turn:
                self._try(orders)
                if is_last:
                    self._leave_waiting()
                    self._close()
            with self._starting:
                if is_last and self._inbox.empty():
                    self._thread = None
                    break
        if self._unfiled:
            count = f"{len(self._unfiled)} attempt{'' if len(self._unfiled) == 1 else 's'}"
            logger.error("the ledger %s lost %s that could not be filed", self._path, count)
            self._unfiled.clear()

    def _try(self, orders: list[Asked | Entry]) -> None:
        try:
            self._perform(self._opened(), orders)
        except (sqlite3.Error, BarechatError) as error:
            self._fail(orders, meant(error, self._path) if isinstance(error, sqlite3.Error) else error)
            self._close()
        except Exception as error:
            logger.exception("the ledger %s could not file what it was given", self._path)
            self._unfiled.clear()
            self._fail([order for order in orders if isinstance(order, Asked)], error)
            self._close()

    def _leave_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.error = BudgetExceeded(
                "the ledger was closed while the call waited for a budget's room. Nothing was sent.", fits_later=True
            )
        _wake(waiting)

    def _opened(self) -> Store:
        """Return the store of the file that is at the path now."""
        if self._store is not None and file_number(self._path) != self._file:
            logger.error("the ledger %s was moved, deleted or replaced while in use", self._path)
            self._close()
        if self._store is None:
            self._store = Store(opened(self._path, self._locked_s, make=False))
            self._file = file_number(self._path)
        return self._store

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.db.close()

    def _next(self) -> list[Asked | Entry | None]:
        """Return what has been asked for meanwhile; after a pause nothing, where something is to be tried again."""
        pause_s = _AGAIN_S if self._waiting else _AFTER_FAULT_S if self._unfiled else None
        items: list[Asked | Entry | None] = []
        try:
            items.append(self._inbox.get(timeout=pause_s))
            if isinstance(items[0], Entry) and not self._waiting:  # for what it may free
                self._hurry.wait(_ENTRIES_GATHER_S)
            if self._is_busy:
                time.sleep(_HOLDS_GATHER_S)
            self._hurry.clear()  # first, so that what comes from now on is either taken or hurries the next turn
            while len(items) < _MOST_AT_ONCE:
                items.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        self._is_busy = sum(isinstance(item, Asked) for item in items) > 1
        return items

    def _perform(self, store: Store, orders: list[Asked | Entry]) -> None:
        """Do it all in one transaction, and tell those who wait once that is on the disk."""
        entries = [*self._unfiled, *(order for order in orders if isinstance(order, Entry))]
        ended = {entry.key for entry in entries}
        asked = [order for order in orders if isinstance(order, Asked)]
        # Whoever gave up waiting for room has filed the attempt's end.
        holds = [one for one in (*self._waiting, *asked) if one.hold is not None and one.hold.key not in ended]
        begin(store.db, self._locked_s, self._has_no_time)
        self._is_locked = False
        try:
            overruns = store.settle(entries) if entries else []
            for one in asked:
                if one.work is not None:
                    _do(one, one.work, store)
            answers = store.reserve([one.hold for one in holds if one.hold is not None]) if holds else []
            store.db.execute("COMMIT")
        except BaseException:
            store.undo()
            raise
        self._has_failed = False
        self._give_up_at = None
        self._unfiled.clear()
        for overrun in overruns:
            logger.error("%s", overrun)
        self._waiting = []
        answered = [one for one in asked if one.hold is None]
        for one, answer in zip(holds, answers, strict=True):
            if answer is WAITS:
                self._waiting.append(one)
            else:
                one.error = answer
                answered.append(one)
        _wake(answered)

    def _has_no_time(self) -> bool:
        """Say whether those who wait for the disk have waited long enough for another program's transaction."""
        self._is_locked = True
        give_up_at = self._give_up_at
        return give_up_at is not None and give_up_at <= time.monotonic() < give_up_at + _IN_VAIN_S

    def _fail(self, orders: Iterable[Asked | Entry], error: Exception) -> None:
        """Answer those who wait with what went wrong, and keep what was to be filed for later."""
        self._has_failed = True
        if not self._is_locked:
            self._give_up_at = None  # nobody waits for what failed at once
        asked = [*self._waiting, *(order for order in orders if isinstance(order, Asked))]
        self._waiting = []
        for one in asked:
            if one.hold is None or one.hold.budgets:  # others go on: their end is filed once the file can be written
                one.error = copy.copy(error)  # whoever raises it puts facts of its own on it
        self._unfiled.extend(order for order in orders if isinstance(order, Entry))
        lost = len(self._unfiled) - _MOST_UNFILED
        if lost > 0:
            del self._unfiled[:lost]
            logger.error("the ledger %s lost the %d oldest of too many attempts to keep", self._path, lost)
        if self._unfiled:
            self._warn(f"{error}; {len(self._unfiled)} attempts are kept in memory, to be filed later")
        _wake(asked)


def _do(asked: Asked, work: Callable[[Store], Any], store: Store) -> None:
    try:
        asked.result = work(store)
    except BarechatError as error:  # what it was asked for is at fault, not the file
        asked.error = error


def _wake(asked: Iterable[Asked]) -> None:
    """Tell those who waited. An event loop is told once, of all its own: each time costs it a system call."""
    by_loop: dict[Any, list[Asked]] = {}
    for one in asked:
        one.is_answered = True
        by_loop.setdefault(one.loop, []).append(one)
    for loop, group in by_loop.items():
        if loop is None:
            _wake_each(group)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                loop.call_soon_threadsafe(_wake_each, group)


def _wake_each(group: list[Asked]) -> None:
    for one in group:
        one.wake()
