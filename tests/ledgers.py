"""What the ledger's tests share: holds and entries made by hand, and a ledger's rows as they are."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from barechat import Budget, Cost, Ledger
from barechat.money.entry import Entry, Hold

_keys = (f"{number:032x}" for number in itertools.count())


def new_key() -> str:
    return next(_keys)


def hold(picodollars: int | None, *budgets: Budget, **facts: Any) -> Hold:
    """Return a hold of a new attempt."""
    named = {"key": new_key(), "at": time.time(), "model": "gpt-4o-mini", "tags": {}, **facts}
    return Hold(picodollars=picodollars, budgets=budgets, **named)


def entry(key: str, picodollars: int | None, *, known: bool = True, held: bool = True, **facts: Any) -> Entry:
    """Return what became of an attempt."""
    certainty: Any = facts.pop("certainty", "exact" if known else "bound")
    named = {"at": time.time(), "model": "gpt-4o-mini", "tags": {}, **facts}
    cost = Cost(picodollars=picodollars, certainty="unpriced" if picodollars is None else certainty)
    return Entry(key=key, cost=cost, is_known=known, is_held=held, **named)


def state(ledger: Ledger, place: int = 0) -> tuple[int, int]:
    """Return what is spent and held of a ledger's budget, in picodollars, once all is filed."""
    ledger.flush()
    assert ledger.check() == []
    budget = ledger.budgets()[place]
    return budget.spent_pd, budget.held_pd


def rows(ledger: Ledger, *columns: str) -> list[Any]:
    """Return these columns of every attempt, once all is filed."""
    ledger.flush()
    found = [tuple(row[name] for name in columns) for row in ledger.attempts()]
    return [row[0] for row in found] if len(columns) == 1 else found


_DIE = """
import os, sys
from barechat import Ledger
from ledgers import hold
ledger = Ledger(sys.argv[1])
for held in sys.argv[2:]:
    ledger.reserve(hold(None if held == "None" else int(held), key=os.urandom(16).hex()), None)
ledger.flush()
os._exit(0)
"""


def leave_behind(path: str | Path, *held: int | None) -> None:
    """Have a process die with attempts under way that no budget binds, which hold so much each."""
    run_python(_DIE, path, *held)


def run_python(code: str, *arguments: object) -> list[str]:
    """Run a program of our own in a process of its own, which must end well; return the lines that it printed."""
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]  # for these tests' own modules
    done = subprocess.run(  # noqa: S603 - our own code
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=True,
        timeout=300,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.splitlines()


def made(path: Path, *budgets: Budget) -> Ledger:
    """Make a ledger with these standing budgets."""
    ledger = Ledger(path)
    for budget in budgets:
        ledger.set_budget(budget)
    ledger.close()
    return ledger


def refuse_rows(path: Path) -> None:
    """Have a ledger refuse to be written, as a full disk would."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON attempts BEGIN SELECT raise(ABORT, 'the disk is full'); END")


def home(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose user keeps data in a directory of the test's, the ledger in `file_at_home`."""
    return {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}


def file_at_home(tmp_path: Path) -> Path:
    (found,) = tmp_path.rglob("barechat/ledger.db")
    return found
