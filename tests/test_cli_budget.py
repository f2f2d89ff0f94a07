"""`barechat budget`, run as a shell runs it, on ledgers made by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from barechat import Budget, Ledger
from commands import run
from ledgers import entry, hold

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

CENT_PD = 10**10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def did(path: Path, *arguments: str) -> CompletedProcess[str]:
    return run("budget", *arguments, "--ledger", str(path))


def spend(path: Path, budget: Budget, spent_pd: int, held_pd: int = 0) -> None:
    """Spend so much of a budget, and have an attempt of unknown outcome hold so much more."""
    ledger, known, lost = Ledger(path), hold(spent_pd, budget), hold(held_pd, budget)
    ledger.reserve(known, None)
    ledger.settle(entry(known.key, spent_pd))
    if held_pd:
        ledger.reserve(lost, None)
        ledger.settle(entry(lost.key, held_pd, known=False))
    ledger.close()


def test_a_budget_that_is_set_stands_in_a_ledger_that_is_made_for_it(path: Path) -> None:
    done = did(path, "set", "5.00", "--per", "month", "--tag", "job=nightly")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"$5.00 a month for job=nightly ({datetime.now(UTC):%Y-%m})",
        "." * 60,
        "$0.00 spent · $5.00 left",
    ]
    assert Ledger(path).standing_budgets() == [Budget("5", "month", "job=nightly")]


def test_setting_it_again_changes_the_amount_and_keeps_what_was_spent(path: Path) -> None:
    did(path, "set", "1")
    spend(path, Budget("1"), 25 * CENT_PD)
    assert did(path, "set", "0.50").stdout == f"$0.50 in all\n{'#' * 30}{'.' * 30}\n$0.25 spent · $0.25 left\n"
    assert did(path, "set", "0.20").stdout == f"$0.20 in all\n{'#' * 60}\n$0.25 spent · $0.00 left\n"
    assert Ledger(path).standing_budgets() == [Budget("0.20")]


@pytest.mark.parametrize("amount", ["0", "five", "1e99", "nan", "0.0000000000001"])
def test_an_amount_that_is_none_is_a_usage_error(amount: str, path: Path) -> None:
    done = did(path, "set", amount)
    assert (done.returncode, done.stdout, path.exists()) == (2, "", False)
    assert done.stderr.startswith("error: Budget: ")


def test_show_draws_what_is_spent_held_and_left(path: Path) -> None:
    did(path, "set", "1")
    did(path, "set", "2", "--tag", "ada")
    spend(path, Budget("1"), 25 * CENT_PD, 50 * CENT_PD)
    assert (
        did(path, "show").stdout
        == f"""\
$1.00 in all
{"#" * 15}{"=" * 30}{"." * 15}
$0.25 spent · $0.50 held · $0.25 left

$2.00 in all for ada
{"." * 60}
$0.00 spent · $2.00 left

$0.50 is held by 1 attempt of programs that died, or of unknown outcome.
`barechat ledger reconcile` counts that as spent, `barechat budget release` frees it.
"""
    )


def test_show_tells_programs_budgets_and_closed_ones_as_such(path: Path) -> None:
    budget = Budget("1", tag="job")
    overrun, ledger = hold(1, budget), Ledger(path)
    ledger.reserve(overrun, None)
    ledger.settle(entry(overrun.key, 10 * CENT_PD))
    ledger.close()
    assert did(path, "show").stdout.splitlines()[2:] == [
        "$0.10 spent · $0.00 left",
        "closed: a call cost more than it could; `barechat budget set` opens it again",
        "not drawn on by the command's calls: a program's, or dropped",
    ]
    assert did(path, "set", "1", "--tag", "job").stdout.splitlines()[2:] == ["$0.10 spent · $0.90 left"]


def test_show_leaves_out_the_days_that_are_over(path: Path) -> None:
    did(path, "set", "1", "--per", "day")
    ledger = Ledger(path)
    ledger.reserve(hold(1, Budget("1", "day"), at=datetime(2026, 1, 1, tzinfo=UTC).timestamp()), None)
    ledger.close()
    assert "2026-01-01" not in did(path, "show").stdout


def test_where_none_is_set_show_says_how(path: Path) -> None:
    Ledger(path).close()
    assert did(path, "show").stdout == "No budget is set: `barechat budget set AMOUNT` does it.\n"


def test_a_budget_that_is_dropped_holds_no_more(path: Path) -> None:
    did(path, "set", "1", "--per", "day", "--tag", "ada")
    wrong = did(path, "drop", "--per", "day")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr == "error: no day budget is set; `barechat budget show` shows those that are\n"
    assert did(path, "drop", "--per", "day", "--tag", "ada").stdout == "The budget is dropped.\n"
    assert Ledger(path).standing_budgets() == []
    assert "no day budget for ada is set" in did(path, "drop", "--per", "day", "--tag", "ada").stderr


def test_release_is_that_of_the_ledger(path: Path) -> None:
    spend(path, Budget("1"), 1, CENT_PD)
    assert did(path, "release", "--yes").stdout.endswith("1 attempt released: $0.01 is free again.\n")
    assert did(path, "show").stdout.splitlines()[2].startswith("$0.000000000001 spent · $0.999999999999 left")


def test_without_a_dot_in_its_encoding_a_comma_does(path: Path) -> None:
    did(path, "set", "1")
    done = run("budget", "show", "--ledger", str(path), PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert done.stdout.splitlines()[2] == "$0.00 spent, $1.00 left"
