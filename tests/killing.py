"""A ledger's writer is killed at each of its steps in turn, or at random ones.

The process is killed, as by `kill -9`, just before it calls SQLite for the first time, the second, and so on, until it
comes to its end. What it was told meanwhile to be on the disk must be there, and whole.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from barechat import Budget, Ledger
from ledgers import entry, hold
from racing import fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_SQLITE = (sqlite3.Connection, sqlite3.Cursor)
BUDGETS = Budget("1"), Budget("2", "day", tag="job=nightly")
HELD_PD, COST_PD = 5_000_000, 3_000_000
TAGS = {"job": "nightly", "session": "s"}
WHOLE = {  # what may be seen of an attempt: state, held, cost, tags, session
    ("held", HELD_PD, None, '{"job":"nightly","session":"s"}', "s"),
    ("settled", HELD_PD, COST_PD, '{"job":"nightly","session":"s"}', "s"),
    ("settled", HELD_PD, HELD_PD, '{"job":"nightly","session":"s"}', "s"),  # once reconciled
    ("kept", HELD_PD, HELD_PD, '{"job":"nightly","session":"s"}', "s"),
    ("settled", None, COST_PD, "{}", None),  # under no budget
    ("held", HELD_PD, None, "{}", None),  # under none, and filed before it was sent
    ("settled", HELD_PD, COST_PD, "{}", None),
    ("settled", HELD_PD, HELD_PD, "{}", None),
}


def die_at(step: int) -> None:
    """Kill this process just before its call of SQLite of that number."""
    calls = itertools.count(1)

    def watch(_frame: FrameType, event: str, called: object) -> None:
        if event == "c_call" and isinstance(getattr(called, "__self__", None), _SQLITE) and next(calls) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(watch)
    sys.setprofile(watch)


def write(path: str, tell: Callable[[str], object], name: str = "", turns: int = 1) -> None:
    """Do all that a ledger does, and tell of each attempt, once it has been said to be on the disk, how far it was."""
    ledger = Ledger(path)

    def filed(*keys: str) -> None:
        ledger.flush()
        for key in keys:
            tell(f"{key} filed")

    for turn in range(turns):
        first, second, free, early = (f"{name}{turn}-{which}" for which in ("first", "second", "free", "early"))
        for key in (first, second):
            ledger.reserve(hold(HELD_PD, *BUDGETS, key=key, tags=TAGS), None)
            tell(f"{key} held")
        ledger.reserve(hold(HELD_PD, key=early), None)
        ledger.flush()  # for which a call without a budget waits but a moment
        tell(f"{early} held")
        ledger.settle(entry(early, COST_PD, held=False))
        ledger.settle(entry(first, COST_PD, tags=TAGS))
        ledger.settle(entry(free, COST_PD, held=False))
        filed(first, free)
        ledger.settle(entry(second, HELD_PD, known=False, tags=TAGS))
        filed(second)
    ledger.reserve(hold(HELD_PD, *BUDGETS, key=f"{name}last", tags=TAGS), None)
    ledger.reserve(hold(HELD_PD, key=f"{name}last-early"), None)
    tell(f"{name}last held")
    ledger.reconcile()
    ledger.close()


def judge(path: str, told: list[str]) -> None:
    """Check that the file opens, adds up, goes on, and has every attempt that somebody was told of, whole."""
    ledger = Ledger(path)
    assert ledger.check() == []
    rows = {row["key"]: row for row in ledger.attempts()}
    seen = {tuple(row[name] for name in ("state", "held_pd", "cost_pd", "tags", "session")) for row in rows.values()}
    assert seen <= WHOLE, seen - WHOLE
    for line in told:
        key, how = line.split()
        assert how == "held" or rows[key]["state"] != "held", line
        assert rows[key]["model"] == "gpt-4o-mini", line
    ledger.reconcile()
    assert all(budget.held_pd == 0 for budget in ledger.budgets())
    assert ledger.check() == []
    ledger.close()


def killed(act: Callable[[Callable[[str], object]], object]) -> tuple[bool, list[str]]:
    """Let a process do something and tell of it; return whether it was killed, and what it told before."""
    told_from, told_to = os.pipe()
    child = fork(lambda: act(lambda line: os.write(told_to, f"{line}\n".encode())))
    os.close(told_to)
    with os.fdopen(told_from) as pipe:
        told = pipe.read().splitlines()
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status != 0, told


def kill_at_each_step(folder: str, turns: int) -> int:
    """Return how many steps there were."""
    for step in itertools.count(1):
        path = str(Path(folder) / f"{step}.db")

        def act(tell: Callable[[str], object], step: int = step, path: str = path) -> None:
            die_at(step)
            write(path, tell, turns=turns)

        was_killed, told = killed(act)
        judge(path, told)
        if not was_killed:
            return step - 1
    raise AssertionError("unreachable")


def kill_at_any_step(folder: str, kills: int, most: int) -> int:
    """Kill processes of eight threads each, that write to one file, at random steps; return how many were."""
    path, count, told = str(Path(folder) / "ledger.db"), 0, []
    for seed in range(kills):

        def act(tell: Callable[[str], object], seed: int = seed) -> None:
            die_at(random.Random(seed).randint(1, most))  # noqa: S311 - so that it can be done again
            threads = [threading.Thread(target=write, args=(path, tell, f"{seed}-{number}-")) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        was_killed, more = killed(act)
        count += was_killed
        told += more
        judge(path, told)
    return count
