"""`barechat chat` and its ledger: each turn is filed, budgets refuse turns and no conversation, faults end none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from barechat import Budget, Ledger
from commands import run
from ledgers import file_at_home, home, made, refuse_rows, rows

if TYPE_CHECKING:
    from pathlib import Path

    from barechat.simulator import Simulator

posix = pytest.mark.skipif(os.name == "nt", reason="terminals as POSIX has them")

if os.name != "nt":
    from screens import Person


def test_turns_are_filed_under_their_session_s_name_unless_a_tag_says_another(
    simulator: Simulator, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    chat = ["chat", "-c", "talk", "--ledger", str(path), "--tag", "job=x"]
    for more in ([], ["--tag", "session=mine"]):
        done = run(*chat, *more, url=simulator.url, stdin="Hi", BARECHAT_SESSIONS=str(tmp_path))
        assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert [msgspec.json.decode(tags) for tags in rows(Ledger(path), "tags")] == [
        {"session": "talk", "job": "x"},
        {"session": "mine", "job": "x"},
    ]


@posix
def test_a_budget_refuses_a_turn_and_the_conversation_goes_on(simulator: Simulator, tmp_path: Path) -> None:
    ledger = made(tmp_path / "ledger.db", Budget("0.50"))
    where = {"BARECHAT_LEDGER": ledger.path, "BARECHAT_SESSIONS": str(tmp_path)}
    simulator.fail_next(reply="Rain.")
    with Person("chat", "-m", "o3", url=simulator.url, **where) as person:
        person.look_for("Enter sends")
        person.type("How?\r")
        person.look_for("error: the call can cost up to $", "the budget of $0.50 in all", "Nothing was sent.\n\n> How?")
        person.type("\x03/model gpt-4o-mini\r")
        person.look_for("the model is gpt-4o-mini")
        person.type("How?\r")
        person.look_for("\nRain.", "│ turn")
        person.type("/quit\r")
        assert person.wait() == 0
    (state,) = ledger.budgets()
    assert (state.spent_pd > 0, state.held_pd) == (True, 0)
    assert rows(ledger, "model", "certainty") == [("gpt-4o-mini", "exact")]
    assert len(simulator.requests) == 1


@posix
def test_a_budget_that_is_set_meanwhile_holds_from_the_next_turn_on(simulator: Simulator, tmp_path: Path) -> None:
    ledger = made(tmp_path / "ledger.db", Budget("0.000001"))
    where = {"BARECHAT_LEDGER": ledger.path, "BARECHAT_SESSIONS": str(tmp_path)}
    with Person("chat", url=simulator.url, **where) as person:
        person.look_for("Enter sends")
        person.type("How?\r")
        person.look_for("the budget of $0.000001 in all", "Nothing was sent.\n\n> How?")
        ledger.set_budget(Budget("1"))
        simulator.fail_next(reply="Rain.")
        person.type("\r")
        person.look_for("\nRain.", "│ turn")
        ledger.set_budget(Budget("0.000002"))
        person.type("Sure?\r")
        person.look_for("the budget of $0.000002 in all", "> Sure?")
    assert len(simulator.requests) == 1


@posix
def test_a_fault_of_the_user_s_own_ledger_is_told_once_and_ends_nothing(simulator: Simulator, tmp_path: Path) -> None:
    with Person("chat", url=simulator.url, BARECHAT_SESSIONS=str(tmp_path), **home(tmp_path)) as person:
        person.look_for("Enter sends")
        refuse_rows(file_at_home(tmp_path))
        for number in (1, 2):
            simulator.fail_next(reply=f"Rain {number}.")
            person.type("How?\r")
            seen = person.look_for(f"\nRain {number}.", "│ turn")
        person.type("/quit\r")
        assert person.wait() == 0
    assert " ".join(seen.split()).count("warning: what this cost is not filed: the ledger ") == 1


@pytest.mark.parametrize("is_broken_before", [True, False])
def test_a_ledger_that_was_named_must_keep_what_is_piped_in(
    is_broken_before: bool, simulator: Simulator, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    made(path)
    if is_broken_before:
        path.write_bytes(b"no ledger at all, but long enough to be looked at" * 100)
    else:
        refuse_rows(path)
    done = run("chat", "--ledger", str(path), url=simulator.url, stdin="Hi")
    assert (done.returncode, len(simulator.requests)) == (1, 0 if is_broken_before else 1)
    assert f"error: the ledger {path} " in done.stderr
    done = run("chat", "--ledger", str(path), "--no-ledger", url=simulator.url, stdin="Hi")
    assert (done.returncode, "contradict each other" in done.stderr) == (2, True)
