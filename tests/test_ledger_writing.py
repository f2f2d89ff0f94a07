"""How a ledger writes: many attempts at once, none lost at a program's end, and as quickly into a file that is old."""

from __future__ import annotations

import gc
import os
import pickle
import re
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from barechat import Budget, BudgetExceeded, Ledger
from barechat.ledger import store
from barechat.ledger.schema import APPLICATION_ID, MIGRATIONS
from holding import open_files
from ledgers import entry, hold, new_key, rows, run_python, state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from barechat.ledger.store import Store


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.db")
    yield made
    made.close()


def test_what_comes_during_one_transaction_goes_into_the_next_together(ledger: Ledger) -> None:
    statements: list[str] = []
    begun, over = threading.Event(), threading.Event()

    def work(store: Store) -> None:
        store.db.set_trace_callback(statements.append)
        begun.set()
        assert over.wait(20)

    blocked = threading.Thread(target=ledger._work, args=[work])
    blocked.start()
    assert begun.wait(20)
    for _ in range(500):
        ledger.settle(entry(new_key(), 5, held=False))
    over.set()
    blocked.join()
    ledger.flush()
    assert len(rows(ledger, "key")) == 500
    assert statements.count("BEGIN IMMEDIATE") <= 3
    assert len(statements) < 30


STATEMENTS = {
    name: text for name, text in vars(store).items() if re.fullmatch("_[A-Z_]+", name) and "SELECT" in str(text)
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_of_a_call_reads_a_whole_table(ledger: Ledger, name: str) -> None:
    def explain(store: Store) -> list[str]:
        statement = STATEMENTS[name]
        found = store.db.execute(f"EXPLAIN QUERY PLAN {statement}", ("[]",) * statement.count("?"))
        return [step for *_, step in found]

    plan = ledger._work(explain)
    assert [step for step in plan if re.match(r"SCAN (a|d|o|b|attempts|draws|owners|budgets)\b", step)] == []


ENDS = """
import sys
from barechat import Client, Ledger
client = Client("a-key", sys.argv[2], ledger=Ledger(sys.argv[1]))
client.chat("Hi", model="gpt-4o-mini")
"""


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "del client", "Ledger(sys.argv[1]).close()"])
def test_a_program_that_ends_right_after_its_call_leaves_the_row(ledger: Ledger, simulator: Any, end: str) -> None:
    run_python(ENDS + end, ledger.path, simulator.url)
    assert rows(ledger, "state") == ["settled"]


def test_a_ledger_can_be_used_after_it_was_closed(ledger: Ledger) -> None:
    for number in range(3):
        ledger.settle(entry(new_key(), 5, held=False))
        ledger.close()
        ledger.close()
        assert len(list(ledger.attempts())) == number + 1


def test_ledgers_that_are_forgotten_leave_no_thread_and_no_open_file(tmp_path: Path) -> None:
    def use(number: int) -> None:
        ledger = Ledger(tmp_path / f"{number % 3}.db")
        ledger.settle(entry(new_key(), 5, held=False))

    use(0)
    gc.collect()
    threads, files = threading.active_count(), open_files()
    for number in range(30):
        use(number)
    gc.collect()
    assert (threading.active_count(), open_files()) == (threads, files)
    assert sum(len(list(Ledger(tmp_path / f"{number}.db").attempts())) for number in range(3)) == 31


def test_a_ledger_that_was_pickled_is_of_the_same_file(ledger: Ledger) -> None:
    copy = pickle.loads(pickle.dumps(Ledger(ledger.path, locked_s=3)))  # noqa: S301 - our own
    copy.settle(entry(new_key(), 5, held=False))
    copy.close()
    assert (copy.path, copy.locked_s, len(rows(ledger, "key"))) == (ledger.path, 3, 1)


def test_a_file_of_an_older_barechat_gains_what_it_lacks_and_keeps_what_it_has(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as db:  # of before the first migration
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("CREATE TABLE migrations (name TEXT PRIMARY KEY, at REAL NOT NULL)")
        db.execute("CREATE TABLE kept (a)")
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.settle(entry(new_key(), 5, held=False))
    ledger.close()
    with closing(sqlite3.connect(ledger.path)) as db:
        assert [name for (name,) in db.execute("SELECT name FROM migrations")] == list(MIGRATIONS)
        assert db.execute("SELECT count(*) FROM kept, attempts").fetchone() == (0,)


MAKE = """
import os, sys
from barechat import Ledger

pipe = os.pipe()
children = []
for _ in range(12):
    child = os.fork()
    if child == 0:
        os.close(pipe[1])
        os.read(pipe[0], 1)  # all begin at once, when its other end is closed
        Ledger(sys.argv[1])
        os._exit(0)
    children.append(child)
os.close(pipe[1])
print(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_twelve_processes_that_make_the_same_file_at_once_all_succeed(tmp_path: Path) -> None:
    for number in range(4):
        assert run_python(MAKE, tmp_path / f"{number}.db") == ["0"]


def test_a_reservation_that_gives_up_early_is_not_taken_for_one_that_holds(ledger: Ledger) -> None:
    """Whoever closes a call wakes its wait; nothing may be sent then."""
    budget = Budget("0.0000000001", wait=True)
    ledger.reserve(hold(90, budget), None)
    one = hold(80, budget)
    ledger.reserve(one, None, lambda wake: wake() if wake is not None else None)
    ledger.settle(entry(one.key, 0))
    assert state(ledger) == (0, 90)
    with pytest.raises(BudgetExceeded):
        ledger.reserve(hold(11, Budget("0.0000000001")), None)
