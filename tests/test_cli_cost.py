"""`barechat cost`, run as a shell runs it, on ledgers made by hand."""

from __future__ import annotations

import csv
import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from barechat import Ledger
from commands import on_a_terminal, run
from ledgers import entry, new_key

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.skipif(os.name == "nt", reason="terminals as POSIX has them")

MINI = "gpt-4o-mini-2024-07-18"


def at(day: int) -> float:
    return datetime(2026, 11, day, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def file(path: Path, *entries: dict[str, Any]) -> None:
    """File attempts, each with these facts."""
    ledger = Ledger(path)
    for facts in entries:
        named = {"served": MINI, "input_tokens": 1_000, "output_tokens": 100, **facts}
        ledger.settle(entry(new_key(), named.pop("pd"), held=False, **named))
    ledger.close()


EXACT: dict[str, Any] = {"pd": 210_000_000, "at": at(1), "tags": {"job": "nightly", "user": "ada"}}
LOST: dict[str, Any] = {"pd": 9_830_000_000, "at": at(2), "known": False, "error": "StreamTruncated"}
LOST |= {"input_tokens": None, "output_tokens": None}
DEAR: dict[str, Any] = {"pd": 30_000_000_000, "at": at(3), "served": "gpt-4.1-2025-04-14"}
ABOUT: dict[str, Any] = {"pd": 5_000_000, "at": at(3), "served": "o3", "certainty": "estimate"}
UNPRICED: dict[str, Any] = {"pd": None, "at": at(3), "model": "llama-at-home", "served": None}


def test_each_model_has_its_line_with_what_is_known_and_how_sure_it_is(path: Path) -> None:
    file(path, EXACT, EXACT, LOST, DEAR, ABOUT, UNPRICED)
    done = run("cost", "--ledger", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == """\
Spending by model

model                   calls     in  out         cost  unpriced
gpt-4.1-2025-04-14          1  1,000  100    $0.03                ##############
gpt-4o-mini-2024-07-18    2/3  2,000  200  ≤ $0.01025             #####
o3                          1  1,000  100  ≈ $0.000005            #
llama-at-home               1  1,000  100     unpriced         1
total                     5/6  5,000  500  ≈ $0.040255         1

$0.00983 of it is the most that interrupted or running calls can have cost.
$0.000005 of it is an estimate of answers that the server didn't count.
1 attempt is unpriced, and not in the total.
"""
    )


def test_days_are_in_their_order_and_since_leaves_out_what_began_before(path: Path) -> None:
    file(path, DEAR, EXACT, EXACT)
    assert (
        run("cost", "--by", "day", "--ledger", str(path)).stdout
        == """\
Spending by day

day         calls     in  out      cost
2026-11-01      2  2,000  200  $0.00042  #
2026-11-03      1  1,000  100  $0.03     ########################
total           3  3,000  300  $0.03042
"""
    )
    shown = run("cost", "--by", "day", "--since", "2026-11-02", "--ledger", str(path)).stdout
    assert shown.startswith("Spending by day since 2026-11-02 00:00 UTC\n")
    assert "2026-11-01" not in shown


def test_an_attempt_with_several_tags_stands_by_each_and_once_in_the_total(path: Path) -> None:
    file(path, EXACT, DEAR)
    lines = run("cost", "--by", "tag", "--ledger", str(path)).stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[3:7]] == ["(no tag)", "job=nightly", "user=ada", "total"]
    assert lines[6].split() == ["total", "2", "2,000", "200", "$0.03021"]
    assert lines[8] == "An attempt with several tags stands by each of them, and once in the total."


def test_sessions_are_told_apart(path: Path) -> None:
    file(path, EXACT | {"tags": {"session": "a1"}}, EXACT | {"tags": {"session": "a1"}}, EXACT)
    lines = run("cost", "--by", "session", "--ledger", str(path)).stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[3:]] == ["a1", "(no session)", "total"]


def test_no_name_or_figure_makes_a_line_longer_than_80_columns_or_two(path: Path) -> None:
    long = EXACT | {"served": "ft:gpt-4o-mini-2024-07-18:acme:\x1b[2J\n语言模型" + "x" * 99, "input_tokens": 10**12}
    file(path, long | {"pd": 10**18 + 1}, UNPRICED)
    done = run("cost", "--ledger", str(path))
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line[0] for line in lines[2:6]] == ["m", "f", "l", "t"]
    assert "\x1b" not in done.stdout
    assert "$1,000,000.000000000001" in done.stdout


def test_json_has_exact_figures(path: Path) -> None:
    file(path, EXACT, LOST, UNPRICED, DEAR | {"pd": 1_234_567_890_123_456_789})
    figures = json.loads(run("cost", "--format", "json", "--since", "2026-11-01", "--ledger", str(path)).stdout)
    assert {name: figures[name] for name in ("ledger", "by", "since")} == {
        "ledger": str(path),
        "by": "model",
        "since": "2026-11-01T00:00:00+00:00",
    }
    dear, mini, llama = figures["lines"]
    assert (dear["usd"], dear["picodollars"]) == ("1234567.890123456789", 1_234_567_890_123_456_789)
    assert mini == {
        "model": MINI,
        "attempts": 2,
        "answered": 1,
        "unpriced": 0,
        "input_tokens": 1_000,
        "output_tokens": 100,
        "usd": "0.01004",
        "picodollars": 10_040_000_000,
        "certainty": "bound",
        "by_certainty": {
            "bound": {"usd": "0.00983", "picodollars": 9_830_000_000},
            "exact": {"usd": "0.00021", "picodollars": 210_000_000},
        },
    }
    assert (llama["usd"], llama["picodollars"], llama["certainty"]) == (None, None, "unpriced")
    assert (figures["total"]["attempts"], figures["total"]["unpriced"]) == (4, 1)


def test_csv_has_a_row_each_in_utf_8_whatever_the_locale(path: Path) -> None:
    file(path, EXACT | {"tags": {"für": "a,b"}}, UNPRICED)
    done = run(
        "cost",
        "--format",
        "csv",
        "--by",
        "tag",
        "--ledger",
        str(path),
        PYTHONUTF8="0",
        LC_ALL="C",
        PYTHONCOERCECLOCALE="0",
    )
    assert list(csv.DictReader(done.stdout.splitlines())) == [
        {
            "tag": name,
            "attempts": "1",
            "answered": "1",
            "unpriced": unpriced,
            "input_tokens": "1000",
            "output_tokens": "100",
            "usd": usd,
            "picodollars": picodollars,
            "certainty": certainty,
        }
        for name, unpriced, usd, picodollars, certainty in (
            ("für=a,b", "0", "0.00021", "210000000", "exact"),
            ("", "1", "", "", "unpriced"),
        )
    ]


def test_an_empty_ledger_is_told_in_a_sentence(path: Path) -> None:
    file(path)
    assert run("cost", "--ledger", str(path)).stdout == f"Nothing is filed in {path}.\n"
    assert run("cost", BARECHAT_LEDGER=str(path)).stdout == f"Nothing is filed in {path}.\n"
    since = run("cost", "--since", "2026-11-02", "--ledger", str(path)).stdout
    assert since == f"Nothing is filed in {path} since 2026-11-02 00:00 UTC.\n"


def test_a_ledger_that_is_not_there_is_an_error_and_none_is_made(path: Path) -> None:
    done = run("cost", "--ledger", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: there is no ledger at {path}\n")
    assert not path.exists()
    path.write_bytes(b"no ledger at all, but long enough to be looked at" * 100)
    done = run("cost", BARECHAT_LEDGER=str(path))
    assert (done.returncode, done.stderr) == (1, f"error: the ledger {path} is no SQLite file: name another path\n")


def test_what_cannot_be_understood_is_a_usage_error() -> None:
    for arguments in (["--since", "yesterday"], ["--by", "week"], ["--format", "xml"], []):
        done = run("cost", *arguments)  # and no ledger is wanted, by the environment
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1


@posix
def test_a_terminal_gets_blocks_unless_no_color_is_set(path: Path) -> None:
    file(path, EXACT, DEAR)
    shown, code = on_a_terminal("cost", "--ledger", str(path))
    assert (code, "█" * 24 in shown, "▏" in shown) == (0, True, True)
    shown, _ = on_a_terminal("cost", "--ledger", str(path), NO_COLOR="1")
    assert ("█" in shown, "#" * 24 in shown) == (False, True)
