"""`barechat ask` and its ledger: what is filed and where, which budgets hold, and what stops no call."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from barechat import Budget, Ledger
from commands import run, start
from ledgers import file_at_home, home, made, refuse_rows, rows
from support import DONE, event, piece
from test_ledger_faults import executed

if TYPE_CHECKING:
    from pathlib import Path

    from barechat.simulator import Simulator

posix = pytest.mark.skipif(os.name == "nt", reason="a home and a file's mode as POSIX has them")

SHORT = ("-p", "max_completion_tokens=5")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


# Where


@posix
def test_a_call_is_filed_in_the_user_s_own_directory_for_their_eyes_only(simulator: Simulator, tmp_path: Path) -> None:
    asked = ["ask", "How?", "--tag", "job=nightly", "--tag", "user=ada"]
    result = run(*asked, url=simulator.url, **home(tmp_path))
    assert (result.returncode, len(result.stderr.splitlines())) == (0, 1)
    file = file_at_home(tmp_path)
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    ((tags, certainty),) = rows(Ledger(file), "tags", "certainty")
    assert (msgspec.json.decode(tags), certainty) == ({"job": "nightly", "user": "ada"}, "exact")


def test_the_option_goes_before_the_environment(simulator: Simulator, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    assert run("ask", "How?", url=simulator.url, BARECHAT_LEDGER=str(path)).returncode == 0
    assert run("ask", "How?", "--ledger", str(other), url=simulator.url, BARECHAT_LEDGER=str(path)).returncode == 0
    assert [len(rows(Ledger(file), "key")) for file in (path, other)] == [1, 1]


@posix
@pytest.mark.parametrize("off", [["--no-ledger"], ["--curl"], []])
def test_no_ledger_is_made_where_none_is_wanted(off: list[str], simulator: Simulator, tmp_path: Path) -> None:
    environment = home(tmp_path) if off else {**home(tmp_path), "BARECHAT_LEDGER": ""}
    assert run("ask", "How?", *off, url=simulator.url, **environment).returncode == 0
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--tag", "nightly"], "--tag 'nightly': write it as NAME=VALUE"),
        (["--tag", "a=1", "--tag", "a=2"], "--tag a is given twice"),
        (["--tag", "a="], "tags must be names and values of printable text"),
        (["-p", "tags=a"], "tags are given by --tag"),
        (["--ledger", "x", "--no-ledger"], "contradict each other"),
    ],
)
def test_a_tag_that_cannot_be_kept_is_a_usage_error(given: list[str], said: str, simulator: Simulator) -> None:
    result = run("ask", "Hi", *given, url=simulator.url)
    assert (result.returncode, simulator.requests) == (2, [])
    assert said in result.stderr


# One that can't be used


@posix
def test_the_user_s_own_ledger_stops_no_call(simulator: Simulator, tmp_path: Path) -> None:
    simulator.fail_next(reply="Rain.")
    run("ask", "How?", url=simulator.url, **home(tmp_path))
    file_at_home(tmp_path).write_bytes(b"no ledger at all, but long enough to be looked at" * 100)
    simulator.fail_next(reply="Rain again.")
    result = run("ask", "Again?", url=simulator.url, **home(tmp_path))
    assert (result.stdout, result.returncode) == ("Rain again.\n", 0)
    said, bill = result.stderr.splitlines()
    assert said.startswith("warning: what this costs is not filed, and no budget holds for it: the ledger ")
    assert "is no SQLite file" in said
    assert "exact" in bill


@posix
def test_nor_does_a_directory_that_cannot_be_made(simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    (tmp_path / "Library").write_bytes(b"")
    result = run("ask", "How?", url=simulator.url, **home(tmp_path))
    assert result.returncode == 0
    assert "barechat can't be made: " in result.stderr


@pytest.mark.parametrize("how", ["option", "environment"])
def test_one_that_was_named_must_be_usable_before_anything_is_sent(how: str, simulator: Simulator, path: Path) -> None:
    path.write_bytes(b"no ledger at all, but long enough to be looked at" * 100)
    options = ["--ledger", str(path)] if how == "option" else []
    environment = {} if options else {"BARECHAT_LEDGER": str(path)}
    result = run("ask", "How?", *options, url=simulator.url, **environment)
    assert (result.stdout, result.returncode, simulator.requests) == ("", 1, [])
    assert result.stderr == f"error: the ledger {path} is no SQLite file: name another path\n"


@posix
def test_a_call_that_cannot_be_filed_in_the_end_is_told(simulator: Simulator, tmp_path: Path) -> None:
    run("ask", "How?", url=simulator.url, **home(tmp_path))
    file = file_at_home(tmp_path)
    refuse_rows(file)
    simulator.fail_next(reply="Rain.")
    result = run("ask", "How?", url=simulator.url, **home(tmp_path))
    assert (result.stdout, result.returncode) == ("Rain.\n", 0)
    assert result.stderr.splitlines()[1] == (
        f"warning: what this cost is not filed: the ledger {file} failed: the disk is full"
    )
    simulator.fail_next(reply="Rain.")
    result = run("ask", "How?", "--ledger", str(file), url=simulator.url)
    assert (result.stdout, result.returncode) == ("Rain.\n", 1)
    assert result.stderr.splitlines()[1] == f"error: the ledger {file} failed: the disk is full"


def test_a_ledger_that_is_locked_is_told_at_once_and_waited_for(simulator: Simulator, path: Path) -> None:
    simulator.fail_next(reply="Rain.")
    lock = executed(made(path).path, "BEGIN IMMEDIATE")
    with contextlib.closing(lock), start("ask", "How?", "--ledger", str(path), url=simulator.url) as asking:
        assert asking.stderr is not None
        bill, said = asking.stderr.readline().decode(), asking.stderr.readline().decode()
        lock.close()
        out, err = asking.communicate()
    assert "exact" in bill
    assert said.startswith(f"warning: the ledger {path} is locked by another program: waiting for it, ")
    assert (out, err, asking.returncode) == (b"Rain.\n", b"", 0)
    assert rows(Ledger(path), "certainty") == ["exact"]


# Budgets


def test_a_standing_budget_holds_for_the_calls_that_it_covers(simulator: Simulator, path: Path) -> None:
    made(path, Budget("0.000001", "day", "job=nightly"))
    where = ["--ledger", str(path)]
    result = run("ask", "How?", *where, "--tag", "job=nightly", url=simulator.url)
    assert (result.stdout, result.returncode, simulator.requests) == ("", 1, [])
    assert result.stderr.startswith("error: the call can cost up to $0.0")
    assert "the budget of $0.000001 a day for job=nightly has $0.000001 left" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert run("ask", "How?", *where, "--tag", "job=other", url=simulator.url).returncode == 0
    assert run("ask", "How?", *where, url=simulator.url).returncode == 0


def test_a_call_within_its_budget_is_counted_there(simulator: Simulator, path: Path) -> None:
    ledger = made(path, Budget("1"))
    assert run("ask", "How?", "--ledger", str(path), url=simulator.url).returncode == 0
    (state,) = ledger.budgets()
    assert (state.spent_pd > 0, state.held_pd) == (True, 0)


@posix
def test_a_budget_that_cannot_be_kept_stops_the_call(simulator: Simulator, tmp_path: Path) -> None:
    run("ask", "How?", url=simulator.url, **home(tmp_path))
    file = file_at_home(tmp_path)
    made(file, Budget("1"))
    refuse_rows(file)
    result = run("ask", "How?", url=simulator.url, **home(tmp_path))
    assert (result.stdout, result.returncode, len(simulator.requests)) == ("", 1, 1)
    assert result.stderr.startswith(f"error: the ledger {file} failed: the disk is full\n")


def test_a_call_that_cost_more_than_it_could_is_told_and_closes_the_budget(simulator: Simulator, path: Path) -> None:
    made(path, Budget("1"))
    usage = event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 90_000, "total_tokens": 90_009})
    simulator.fail_next(raw=(piece("Long.") + piece(finish_reason="stop") + usage + DONE).decode())
    result = run("ask", "How?", *SHORT, "--ledger", str(path), url=simulator.url)
    assert (result.stdout, result.returncode) == ("Long.\n", 0)
    _, said = result.stderr.splitlines()
    assert said.startswith("warning: gpt-4o-mini: a call cost $0.05400135, more than the $0.000")
    assert said.endswith("it is counted in full, and the total budget is closed")
    result = run("ask", "How?", *SHORT, "--ledger", str(path), url=simulator.url)
    assert (result.returncode, "is closed" in result.stderr) == (1, True)
