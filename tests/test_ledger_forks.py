"""A ledger on both sides of a fork: no row is lost, no lock is inherited, and nobody waits for a thread that isn't."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from barechat import Budget, Ledger
from ledgers import hold, rows, run_python

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or sys.platform == "darwin", reason="needs a fork that the system's libraries survive"
)

BEGIN = """
import os, sys, threading
from barechat import Budget, Ledger
from ledgers import entry, hold

path = sys.argv[1]
ledger = Ledger(path)
to_child, to_parent = os.pipe(), os.pipe()

def fork(in_child):
    child = os.fork()
    if child == 0:
        in_child()
        os._exit(0)
    return child

def end_well(child):
    assert os.waitpid(child, 0)[1] == 0

def file(key):
    ledger.settle(entry(key, 5))
    ledger.flush()
"""

PARENT_CLOSES = """
def in_child():
    file("child-1")
    os.write(to_parent[1], b"1")
    os.read(to_child[0], 1)
    file("child-2")
    os.write(to_parent[1], b"2")
    os.read(to_child[0], 1)
    os.kill(os.getpid(), 9)

file("parent-1")
child = fork(in_child)
os.read(to_parent[0], 1)
ledger.close()
os.write(to_child[1], b"1")
os.read(to_parent[0], 1)
os.write(to_child[1], b"2")
os.waitpid(child, 0)
"""


def test_what_a_child_filed_outlasts_its_parent_s_closing_of_the_same_file(tmp_path: Path) -> None:
    """A child that went by its parent's notes of locks would write to a log that the parent deletes."""
    run_python(BEGIN + PARENT_CLOSES, tmp_path / "ledger.db")
    ledger = Ledger(tmp_path / "ledger.db")
    assert rows(ledger, "key") == ["parent-1", "child-1", "child-2"]
    assert ledger.check() == []


IN_A_TRANSACTION = """
begun, over, forking = threading.Event(), threading.Event(), threading.Event()

def work(store):
    begun.set()
    assert over.wait(20)
    store.settle([entry("parent-1", 5)])

writer = threading.Thread(target=ledger._work, args=[work])
writer.start()
assert begun.wait(20)
os.register_at_fork(before=over.set)  # called before the ledger's own
child = fork(lambda: file("child-1"))
end_well(child)
writer.join()
"""


def test_a_fork_in_the_midst_of_a_transaction_waits_for_its_end(tmp_path: Path) -> None:
    """Else the child would find the file locked by itself, for ever."""
    run_python(BEGIN + IN_A_TRANSACTION, tmp_path / "ledger.db")
    ledger = Ledger(tmp_path / "ledger.db")
    assert rows(ledger, "key") == ["parent-1", "child-1"]
    assert ledger.check() == []


BOTH_SIDES = """
budget, over = Budget("1"), threading.Event()

def call(name):
    one = hold(7, budget, key=name)
    ledger.reserve(one, None)
    ledger.settle(entry(name, 5))

def call_on(name):
    number = 0
    while not over.is_set():
        call(f"{name}-{number}")
        number += 1
    print(f"{name} {number}\\n", end="", flush=True)  # at once, since others print too

def in_child(number):
    for turn in range(3):
        call(f"child-{number}-{turn}")
    ledger.flush()

threads = [threading.Thread(target=call_on, args=[f"parent-{number}"]) for number in range(4)]
for thread in threads:
    thread.start()
for number in range(15):
    end_well(fork(lambda: in_child(number)))
    call(f"between-{number}")
over.set()
for thread in threads:
    thread.join()
ledger.close()
"""


def test_forks_in_the_midst_of_other_threads_calls_lose_no_row_on_either_side(tmp_path: Path) -> None:
    printed = [line.split() for line in run_python(BEGIN + BOTH_SIDES, tmp_path / "ledger.db")]
    filed = [f"{name}-{number}" for name, count in printed for number in range(int(count))]
    filed += [f"child-{number}-{turn}" for number in range(15) for turn in range(3)]
    filed += [f"between-{number}" for number in range(15)]
    ledger = Ledger(tmp_path / "ledger.db")
    assert sorted(rows(ledger, "key")) == sorted(filed)
    assert ledger.check() == []
    (budget,) = ledger.budgets()
    assert (budget.spent_pd, budget.held_pd) == (5 * len(filed), 0)


POOL = """
import multiprocessing

def call(number):
    ledger.settle(entry(f"{number}", 5))

if __name__ == "__main__":
    call("first")
    for _ in range(2):
        pool = multiprocessing.get_context("fork").Pool(3)
        pool.map(call, range(0))
        pool.close()
        pool.join()
    pool = multiprocessing.get_context("fork").Pool(3)
    pool.map(call, range(20))
    pool.close()
    pool.join()
    attempts = ledger.attempts()
    next(attempts)
    end_well(fork(lambda: file("read meanwhile")))
    list(attempts)
"""


def test_the_processes_of_a_pool_file_what_is_left_when_they_end(tmp_path: Path) -> None:
    """They end without what other programs do at their end."""
    run_python(BEGIN + POOL, tmp_path / "ledger.db")
    ledger = Ledger(tmp_path / "ledger.db")
    assert set(rows(ledger, "key")) == {"first", "read meanwhile", *map(str, range(20))}
    assert ledger.check() == []


HOLDER = """
ledger.reserve(hold(60, Budget("0.000000000100"), key="parent"), None)

def in_child():
    ledger.reserve(hold(30, Budget("0.000000000100"), key="child"), None)

end_well(fork(in_child))
"""


def test_a_child_holds_money_in_its_own_name(tmp_path: Path) -> None:
    """So what it held when it ended counts as held by the dead, though its parent still ran."""
    run_python(BEGIN + HOLDER + "assert ledger.reconcile() == (1, 30, 0)", tmp_path / "ledger.db")
    ledger = Ledger(tmp_path / "ledger.db")
    assert [(budget.spent_pd, budget.held_pd) for budget in ledger.budgets()] == [(30, 60)]
    ledger.reserve(hold(10, Budget("0.000000000100")), None)
    assert ledger.reconcile() == (1, 60, 0)
    ledger.close()
