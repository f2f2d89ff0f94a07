"""`barechat ledger`, run as a shell runs it, on ledgers made by hand."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from barechat import Budget, Ledger
from barechat.money.prices import Prices
from commands import Terminal, run
from ledgers import entry, hold, leave_behind, new_key, rows

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

posix = pytest.mark.skipif(os.name == "nt", reason="terminals as POSIX has them")

MINI = "gpt-4o-mini-2024-07-18"
USAGE = {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def at(day: int) -> float:
    return datetime(2026, 11, day, 12, tzinfo=UTC).timestamp()


def file(path: Path, *entries: dict[str, Any]) -> None:
    """File attempts, each with these facts."""
    ledger = Ledger(path)
    for facts in entries:
        named = {"served": MINI, "usage": USAGE, "at": at(1), **facts}
        ledger.settle(entry(new_key(), named.pop("pd"), held=False, **named))
    ledger.close()


def lose(path: Path, picodollars: int) -> None:
    """Have an attempt of unknown outcome hold so much of a budget."""
    ledger, held = Ledger(path), hold(picodollars, Budget("1"))
    ledger.reserve(held, None)
    ledger.settle(entry(held.key, picodollars, known=False))
    ledger.close()


def did(path: Path, *arguments: str) -> CompletedProcess[str]:
    return run("ledger", *arguments, "--ledger", str(path))


# check


def test_a_sound_ledger_is_told_so(path: Path) -> None:
    file(path, {"pd": 1}, {"pd": 2})
    done = did(path, "check")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path} is sound: 2 attempts.\n", "")


def test_sums_that_do_not_add_up_are_told_and_exit_with_1(path: Path) -> None:
    lose(path, 7)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE budgets SET held_pd = 8")
        db.commit()
    done = did(path, "check")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("the total budget says 8 held and 0 spent, and its attempts 7 and 0")


# export


def test_export_has_an_object_a_line_with_all_that_was_filed(path: Path) -> None:
    file(path, {"pd": 210_000_000, "tags": {"job": "für"}}, {"pd": None, "usage": None, "at": at(2)})
    first, second = map(json.loads, did(path, "export").stdout.splitlines())
    assert (first["at"], first["cost_pd"], first["cost_usd"]) == ("2026-11-01T12:00:00+00:00", 210_000_000, "0.00021")
    assert (first["tags"], first["usage"]) == ({"job": "für"}, USAGE)
    assert (second["cost_usd"], second["certainty"], second["usage"]) == (None, "unpriced", None)
    assert "owner" not in first
    (only,) = did(path, "export", "--since", "2026-11-02").stdout.splitlines()
    assert json.loads(only) == second


def test_export_as_csv_is_utf_8_in_any_locale(path: Path) -> None:
    file(path, {"pd": 210_000_000, "tags": {"job": "für"}}, {"pd": 1})
    ascii_only = {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    done = run("ledger", "export", "--format", "csv", "--ledger", str(path), **ascii_only)
    first, second = csv.DictReader(done.stdout.splitlines())
    assert (json.loads(first["tags"]), json.loads(first["usage"])) == ({"job": "für"}, USAGE)
    assert (first["cost_usd"], second["cost_usd"]) == ("0.00021", "0.000000000001")


def test_export_of_nothing_is_nothing(path: Path) -> None:
    file(path)
    assert did(path, "export").stdout == ""
    assert did(path, "export", "--format", "csv").stdout == ""


# reconcile and release


def test_reconcile_counts_what_is_lost_as_spent(path: Path) -> None:
    lose(path, 7_000_000)
    assert did(path, "reconcile").stdout == "1 attempt counted as spent: $0.000007.\n"
    (state,) = Ledger(path).budgets()
    assert (state.spent_pd, state.held_pd) == (7_000_000, 0)
    leave_behind(path, 7_000_000, None)
    assert did(path, "reconcile").stdout == "2 attempts counted as spent: $0.000007; 1 of them is unpriced.\n"
    assert (
        did(path, "reconcile").stdout == "Nothing is held by attempts of programs that died, or of unknown outcome.\n"
    )


def test_release_says_what_it_will_free_and_does_it_by_yes_alone(path: Path) -> None:
    lose(path, 7_000_000)
    refused = did(path, "release")
    assert refused.returncode == 2
    assert refused.stdout.startswith("$0.000007 is held by 1 attempt of programs that died, or of unknown outcome.")
    assert refused.stderr.startswith("error: nobody is there to be asked: --yes does it unasked.")
    assert Ledger(path).abandoned() == (1, 7_000_000, 0)
    assert did(path, "release", "--yes").stdout.endswith("1 attempt released: $0.000007 is free again.\n")
    (state,) = Ledger(path).budgets()
    assert (state.spent_pd, state.held_pd) == (0, 0)
    assert did(path, "release").stdout == "Nothing is held by attempts of programs that died, or of unknown outcome.\n"


@posix
@pytest.mark.parametrize(("said", "left", "code"), [("y\n", 0, 0), ("n\n", 1, 1), ("\n", 1, 1)])
def test_on_a_terminal_it_asks(said: str, left: int, code: int, path: Path) -> None:
    lose(path, 7_000_000)
    with Terminal("ledger", "release", "--ledger", str(path)) as running:
        running.read_until("Release them? [y/N]: ")
        running.type(said)
        shown = running.read_all()
        assert running.wait() == code
    assert ("Nothing is changed." in shown) is bool(left)
    assert Ledger(path).abandoned()[0] == left


# prune


def test_prune_forgets_what_is_old_and_says_so_before(path: Path) -> None:
    file(path, {"pd": 1}, {"pd": 2, "at": at(2)}, {"pd": 3, "at": at(3)})
    refused = did(path, "prune", "--before", "2026-11-03")
    assert (refused.returncode, len(rows(Ledger(path), "id"))) == (2, 3)
    assert refused.stdout.startswith("2 attempts began before 2026-11-03 00:00 UTC.\n")
    assert did(path, "prune", "--before", "2026-11-03", "--yes").stdout.endswith("2 attempts forgotten.\n")
    assert rows(Ledger(path), "cost_pd") == [3]
    done = did(path, "prune", "--before", "2026-11-03")
    assert (done.returncode, done.stdout) == (0, "Nothing that has ended began before 2026-11-03 00:00 UTC.\n")


def test_prune_needs_to_be_told_before_when(path: Path) -> None:
    file(path, {"pd": 1})
    for arguments in ([], ["--before", "long ago"]):
        assert did(path, "prune", *arguments, "--yes").returncode == 2
    assert len(rows(Ledger(path), "id")) == 1


# reprice


def test_reprice_shows_what_changes_for_each_model_and_keeps_the_first_figure(path: Path) -> None:
    gpt = {"model": "gpt-4o", "served": "gpt-4o-2024-08-06"}
    file(path, {"pd": 1_000_000}, {"pd": 210_000_000}, {"pd": None, **gpt}, {"pd": 1, **gpt}, {"pd": None, **gpt})
    table = """\
model                   attempts                   before         now
gpt-4o-2024-08-06              3  2 unpriced + $0.000000000001  $0.0105
gpt-4o-mini-2024-07-18         1                     $0.000001  $0.00021
total                          4  2 unpriced + $0.000001000001  $0.01071
"""
    dry = did(path, "reprice", "--dry-run")
    assert dry.returncode == 0
    assert [line.split() for line in dry.stdout.splitlines()] == [
        *(line.split() for line in table.splitlines()),
        ["Nothing", "is", "changed."],
    ]
    refused = did(path, "reprice")
    assert (refused.returncode, rows(Ledger(path), "cost_pd")[0]) == (2, 1_000_000)
    version = Prices.builtin().version
    done = did(path, "reprice", "--yes")
    assert done.stdout.endswith(f"4 attempts priced by the table {version}; export has the first figures.\n")
    assert rows(Ledger(path), "cost_pd", "first_cost_pd")[:3] == [
        (210_000_000, 1_000_000),
        (210_000_000, None),
        (3_500_000_000, None),
    ]
    again = did(path, "reprice")
    assert (again.returncode, again.stdout) == (
        0,
        f"Every figure is that of the prices {version}, or has no price there.\n",
    )


def test_prices_of_one_s_own_are_those_that_it_goes_by(path: Path, tmp_path: Path) -> None:
    file(path, {"pd": None, "model": "llama-3", "served": None})
    own, broken = tmp_path / "own.json", tmp_path / "broken.json"
    free = {"model": "llama-3", "tiers": {"standard": {"input": "1", "output": "2"}}}
    own.write_text(json.dumps({"rows": [free]}), "utf-8")
    broken.write_text("{", "utf-8")
    arguments = ["ledger", "reprice", "--dry-run", "--ledger", str(path)]
    assert run(*arguments, BARECHAT_PRICES=str(own)).stdout.splitlines()[1].split()[2:] == ["unpriced", "$0.0012"]
    done = run(*arguments, BARECHAT_PRICES=str(broken))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: BARECHAT_PRICES: ")


@pytest.mark.parametrize("name", ["check", "export", "reconcile", "release", "prune", "reprice"])
def test_each_of_them_says_so_if_there_is_no_ledger(name: str, path: Path) -> None:
    done = did(path, name, *(["--before", "1d"] if name == "prune" else []))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: there is no ledger at {path}\n")
