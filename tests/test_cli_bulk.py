"""`barechat bulk`, run as a shell runs it: killed, stopped, started again."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import commands
from barechat import Ledger
from barechat.simulator import Simulator
from commands import on_a_terminal, run, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with twenty prompts."""
    rows = "".join(f'{{"text": "number {number}"}}\n' for number in range(20))
    (tmp_path / "in.jsonl").write_text(rows)
    return tmp_path


def bulk(
    folder: Path, simulator: Simulator, *options: str, source: str = "in.jsonl", stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    given = source if source == "-" else str(folder / source)
    arguments = (given, "-o", str(folder / "out.jsonl"), "--prompt", "Say {text}.", *options)
    return run("bulk", *arguments, url=simulator.url, stdin=stdin)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]


def names(folder: Path) -> list[str]:
    return [line["custom_id"] for line in lines(folder)]


EXPECTED = [f"line-{number}" for number in range(1, 21)]


def test_a_file_of_rows_becomes_a_file_of_replies_and_the_bill_is_told(folder: Path, simulator: Simulator) -> None:
    done = bulk(folder, simulator, "--ordered", "--summary", str(folder / "summary.json"))
    assert (done.returncode, done.stdout) == (0, "")
    assert names(folder) == EXPECTED
    assert "20 done, 0 failed, 0 recorded before" in done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["done"], summary["exit_code"], summary["stopped"]) == (20, 0, None)
    cost = sum(row["cost_pd"] for row in Ledger(folder / "out.jsonl.ledger").attempts())
    assert summary["usd"] == f"{cost / 10**12:.12f}"


def test_a_second_run_sends_only_what_is_new(folder: Path, simulator: Simulator) -> None:
    bulk(folder, simulator)
    done = bulk(folder, simulator, stdin='{"text": "number 0"}\n{"text": "another"}\n', source="-")
    assert done.returncode == 0
    assert "1 done, 0 failed, 1 recorded before, 1 input changed" in done.stderr
    assert sorted(names(folder)) == sorted(EXPECTED)
    assert len(simulator.requests) == 21


def test_bad_lines_are_told_by_their_numbers_and_strict_sends_nothing(folder: Path, simulator: Simulator) -> None:
    (folder / "in.jsonl").write_text('{"text": "a"}\n{\n{"x": 1}\n')
    done = bulk(folder, simulator, "--strict", "--quiet")
    assert done.returncode == 3
    assert [line[:7] for line in done.stderr.splitlines()] == ["line 2:", "line 3:", "error: "]
    assert simulator.requests == []
    done = bulk(folder, simulator, "--quiet")
    assert (done.returncode, names(folder)) == (3, ["line-1"])
    assert bulk(folder, simulator, "--strict", source="-").returncode == 2


def test_texts_and_a_table_are_written_besides(folder: Path, simulator: Simulator) -> None:
    (folder / "in.csv").write_text('custom_id,text\na,hi\nb,"two\nlines"\nc,none\n')
    simulator.fail_next(times=1, refuse="content_filter")
    texts, table = folder / "texts.txt", folder / "table.csv"
    done = bulk(folder, simulator, "--ordered", "--text-only", str(texts), "--csv", str(table), source="in.csv")
    assert done.returncode == 3
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["custom_id"] for row in rows] == ["a", "b", "c"]
    assert sorted(row["error"] for row in rows) == ["", "", "ContentFiltered"]
    told = [json.loads(line) for line in texts.read_text().splitlines()]
    assert [text or "" for text in told] == [row["text"] for row in rows]


def test_a_budget_that_is_used_up_stops_the_run_and_more_lets_it_go_on(folder: Path, simulator: Simulator) -> None:
    few = ("-p", "max_completion_tokens=500", "--quiet")
    done = bulk(folder, simulator, *few, "--budget", "0.0007")
    assert done.returncode == 1
    assert "0.0007" in done.stderr
    count = len(names(folder))
    assert f"{count} are done, {20 - count} remain, which would take about $" in done.stderr
    assert bulk(folder, simulator, *few, "--budget", "$1").returncode == 0
    assert sorted(names(folder)) == sorted(EXPECTED)


def test_a_dry_run_tells_what_it_would_take_and_leaves_all_alone(folder: Path, simulator: Simulator) -> None:
    done = bulk(folder, simulator, "--dry-run", "--rpm", "2", "-p", "max_completion_tokens=10")
    assert done.returncode == 0
    assert "20 to send, 0 of them changed, 0 recorded before" in done.stdout
    assert "about 10 min" in done.stdout
    assert "at most $0.0" in done.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["in.jsonl"]
    done = bulk(folder, simulator, "--dry-run", "-m", "my-own")
    assert "of 20 the price isn't known" in done.stdout
    assert simulator.requests == []


REFUSED = {  # each / stands for the folder's path
    "INPUT and --output are the same file": "/in.jsonl -o /in.jsonl",
    "--output and --csv are the same file": "/in.jsonl -o /out.jsonl --csv /../FOLDER/out.jsonl",
    "--output and --ledger are the same file": "/in.jsonl -o /out.jsonl --ledger /out.jsonl",
    "--summary: there is no directory": "/in.jsonl -o /out.jsonl --summary /none/summary.json",
    "--output: there is no directory": "/in.jsonl -o /none/out.jsonl",
    "-o must be a file": "/in.jsonl -o -",
    "can't be read: No such file": "/none.jsonl -o /out.jsonl",
    "can't be read: ": "/ -o /out.jsonl",
    "--strict reads INPUT twice": "- -o /out.jsonl --strict",
    "--system goes before a --prompt": "/in.jsonl -o /out.jsonl --system Briefly.",
    "--budget '0': it is dollars, above 0": "/in.jsonl -o /out.jsonl --budget 0",
    "--budget 'few': it is dollars": "/in.jsonl -o /out.jsonl --budget few",
    "--prompt: a lone {": "/in.jsonl -o /out.jsonl --dry-run --prompt {",
}


@pytest.mark.parametrize(("said", "arguments"), REFUSED.items(), ids=list(REFUSED))
def test_what_can_t_be_done_is_refused_before_anything_is(folder: Path, said: str, arguments: str) -> None:
    given = [one.replace("/", f"{folder}/", 1).replace("FOLDER", folder.name) for one in arguments.split()]
    done = run("bulk", *given, url="http://127.0.0.1:1/v1")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert [path.name for path in folder.iterdir()] == ["in.jsonl"]


def test_a_model_without_a_price_is_never_told_to_have_cost_nothing(folder: Path, simulator: Simulator) -> None:
    done = bulk(folder, simulator, "-m", "my-own", "--summary", str(folder / "summary.json"))
    assert done.returncode == 0
    assert "unpriced" in done.stderr
    assert "$" not in done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["usd"], summary["unpriced"]) == (None, 20)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_table_that_can_t_be_written_in_the_end_is_told_and_the_output_is_there(
    folder: Path, simulator: Simulator
) -> None:
    (folder / "summary.json").symlink_to(folder / "none" / "summary.json")
    done = bulk(folder, simulator, "--summary", str(folder / "summary.json"))
    assert done.returncode == 1
    assert "error: what was asked for besides" in done.stderr
    assert sorted(names(folder)) == sorted(EXPECTED)


# The answers to number 1 and 10 to 19 take their time: with three under way, nine come before all wait for those.
AT_ONCE = 9
STALLED: dict[str, Any] = {"times": 1000, "text": "number 1", "stall_head": True}
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@contextlib.contextmanager
def running(folder: Path, simulator: Simulator, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run whose first answers have come and are in the file."""
    given = (str(folder / "in.jsonl"), "-o", str(folder / "out.jsonl"), "--prompt", "Say {text}.", "--concurrency", "3")
    command = start("bulk", *given, *options, url=simulator.url)
    simulator.wait_for(AT_ONCE)
    while len(names(folder)) < AT_ONCE:
        assert command.poll() is None
    with command:
        yield command


@posix
@pytest.mark.parametrize("options", [("--budget", "1"), ()], ids=["budget", "no budget"])
def test_a_run_that_was_killed_goes_on_and_every_request_has_one_line(
    folder: Path, simulator: Simulator, options: tuple[str, ...]
) -> None:
    simulator.fail_next(**STALLED)
    with running(folder, simulator, *options) as command:
        command.kill()
        command.communicate()
    with (folder / "out.jsonl").open("ab") as file:
        file.write(b'{"id": "batch_req_0123')  # as a kill in the middle of a line leaves it
    with Simulator() as second:
        done = bulk(folder, second, *options)
        records = second.requests
        assert (done.returncode, len(records)) == (0, 20 - AT_ONCE)
    assert f"{20 - AT_ONCE} done, 0 failed, {AT_ONCE} recorded before" in done.stderr
    assert sorted(names(folder)) == sorted(EXPECTED)
    ledger = Ledger(folder / "out.jsonl.ledger")
    keys = {row["key"] for row in ledger.attempts()}
    assert {record["client_request_id"] for record in (*simulator.requests, *records)} <= keys
    assert 20 <= len(keys) <= 23  # what was in flight at the kill may be billed too: it stands there at its bound
    left = ledger.abandoned()
    assert len(keys) - 20 <= left.attempts <= 3 + AT_ONCE  # the last answers before it may not be filed yet
    assert f"is held by {left.attempts} attempts of programs that died" in done.stderr


@posix
def test_ctrl_c_once_lets_what_is_under_way_end_and_starts_no_more(folder: Path, simulator: Simulator) -> None:
    simulator.fail_next(**STALLED, stall_s=0.5)
    with running(folder, simulator) as command:
        command.send_signal(signal.SIGINT)
        _, told = command.communicate()
        assert command.returncode == 130
    assert AT_ONCE <= len(names(folder)) <= AT_ONCE + 3
    assert f"{len(names(folder))} done".encode() in told


@posix
def test_ctrl_c_twice_ends_at_once_and_the_output_is_whole(folder: Path, simulator: Simulator) -> None:
    simulator.fail_next(**STALLED)
    with running(folder, simulator) as command:
        command.send_signal(signal.SIGINT)
        assert command.stderr is not None
        assert b"Ctrl-C once more" in command.stderr.readline()
        command.send_signal(signal.SIGINT)
        command.communicate()
        assert command.returncode == 130
    assert len(names(folder)) == AT_ONCE


@posix
def test_sigterm_ends_at_once_and_the_ledger_is_filed(folder: Path, simulator: Simulator) -> None:
    simulator.fail_next(**STALLED)
    with running(folder, simulator) as command:
        command.send_signal(signal.SIGTERM)
        command.communicate()
        assert command.returncode == 128 + signal.SIGTERM
    assert len(names(folder)) == AT_ONCE
    states = [row["state"] for row in Ledger(folder / "out.jsonl.ledger").attempts()]
    assert set(states) == {"settled"}


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_of_standard_input_that_says_nothing_more_is_stopped_all_the_same(
    folder: Path, simulator: Simulator, number: signal.Signals
) -> None:
    given = ("bulk", "-", "-o", str(folder / "out.jsonl"), "--prompt", "Say {text}.")
    with start(*given, url=simulator.url, stdin=subprocess.PIPE) as command:
        assert command.stdin is not None
        command.stdin.write(b'{"text": "one"}\n')
        command.stdin.flush()
        simulator.wait_for(1)
        while not (folder / "out.jsonl").read_bytes():
            assert command.poll() is None
        command.send_signal(number)
        assert command.wait(20) == 128 + number
        assert command.stderr is not None
        assert b"Fatal" not in command.stderr.read()
        command.stdin.close()


@posix
def test_a_closed_standard_input_is_told(folder: Path) -> None:
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", *commands.command("bulk", "-", "-o", str(folder / "out.jsonl"))]
    done = subprocess.run(shell, env=commands.environment(), capture_output=True, timeout=60, check=False)  # noqa: S603 - our own
    assert done.returncode == 2
    assert b"standard input is closed; name a file" in done.stderr


@posix
def test_a_terminal_shows_a_bar(folder: Path, simulator: Simulator) -> None:
    simulator.fail_next(**STALLED, stall_s=0.4)
    given = (str(folder / "in.jsonl"), "-o", str(folder / "out.jsonl"), "--prompt", "Say {text}.")
    with (folder / "in.jsonl").open("a") as file:
        file.write('{"no": "text"}\n')
    shown, code = on_a_terminal("bulk", *given, "--concurrency", "3", url=simulator.url)
    assert code == 3
    assert "━" in shown
    assert "20 done, 0 failed, 1 bad line" in shown
    assert re.search(r"━.*\x1b\[2K[^━]*line 21: there is no 'text'", shown, re.DOTALL)  # in place of the bar


@posix
def test_below_the_bar_a_terminal_shows_all_of_how_far_it_is(folder: Path, simulator: Simulator) -> None:
    from screens import Person  # noqa: PLC0415 - Windows has no such terminal

    simulator.fail_next(**STALLED)
    given = (str(folder / "in.jsonl"), "-o", str(folder / "out.jsonl"), "--prompt", "Say {text}.")
    with Person("bulk", *given, "--concurrency", "1", url=simulator.url) as person:
        bar, *line = person.look_for("━", "1 done · 1 in flight", "left").splitlines()
        assert set(bar) <= set("━╸╺")
        told = r"1 done · 1 in flight · [\d,]+/min · \d+ tokens · \$0\.\d+ of about \$0\.\d+ · \d+ \w+ left"
        assert re.fullmatch(told, " ".join(line))
