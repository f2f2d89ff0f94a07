"""`barechat demo`, run as a shell runs it; and that it would say so if something went wrong."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from barechat.cli import steps
from barechat.cli.demo import Page, Tour
from commands import KEY, Terminal, run, start

if TYPE_CHECKING:
    from barechat.simulator import Simulator

posix = pytest.mark.skipif(os.name == "nt", reason="signals and terminals as POSIX has them")


@pytest.fixture(scope="module")
def shown() -> str:
    """What the demo printed, to a pipe, on a machine whose network has a proxy (which can't reach our loopback)."""
    result = run("demo", HTTP_PROXY="http://127.0.0.1:9")
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.parametrize(
    "line",
    [
        r"1\. Make one call",
        r"    reply = client\.chat\(.*\)",
        r"  │ It walks downhill in fog: .*",
        r"    gpt-4o-mini-2024-07-18 · 10 \+ 22 tokens · \$0\.0000147 exact",
        r"2\. Chat in two turns",
        r"  │ Your name is Ada\.",
        r"3\. Set parameters, .*",
        r"  │ .* \[limited: length\]",
        r"  │ 1: .*",
        r"  │ \{'.*",
        r"4\. Stream, through what fails on the way",
        r"  │ try 1: 429 rate_limit_exceeded; trying again in [12]\.\d s",
        r"  │ try 2: 503 server_is_overloaded; trying again in [01]\.\d s",
        r"  │ A keeper lit the lamp each night, .*",
        r"    gpt-4o-mini-2024-07-18 · .* exact · 3 attempts",
        r"5\. Have an answer as a value of a type",
        r"  │ [A-Z].* (True|False)",
        r"6\. Keep to a budget, and a ledger",
        r"  │ after \d+ calls: the call can cost up to \$0\.000\d+, and the budget of.*",
        r"  │ gpt-4o-mini-2024-07-18: \d+ calls, \$0\.0000\d+",
        r"7\. See what a bad key brings",
        r"  │ AuthenticationFailed: the server answered 401 \(invalid_api_key\): .*",
        r"8\. Sum up what it cost",
        r"  │ calls          9",
        r"  │ total cost     \$0\.\d+",
        r"  │ not exact      \$0\.00",
        r"All 8 steps came out as they should, in .* s\.",
    ],
)
def test_the_demo_shows(line: str, shown: str) -> None:
    assert re.search(f"^{line}$", shown, re.MULTILINE)


def test_the_demo_is_plain_text_of_80_columns_without_a_terminal(shown: str) -> None:
    assert "\x1b" not in shown
    assert [line for line in shown.splitlines() if len(line) > 80 or line != line.rstrip()] == []


def test_the_lines_that_it_shows_are_those_that_it_runs(shown: str) -> None:
    for step in (
        steps.call,
        steps.converse,
        steps.set_parameters,
        steps.stream,
        steps.parse,
        steps.keep_to_a_budget,
        steps.fail,
        steps.sum_up,
    ):
        lines = steps.lines_of(step)
        assert lines
        assert "return" not in lines
        for line in filter(None, lines.splitlines()):
            assert f"    {line}\n" in shown


@posix
def test_on_a_terminal_the_demo_is_in_colour_and_tells_a_retry_before_the_story() -> None:
    with Terminal("demo") as running:
        begun = running.read_until("try 1: 429")
        assert "A keeper" not in begun
        running.read_until("try 2: 503")
        running.read_until("A keeper")
    assert "\x1b[1m1. Make one call" in begun


def test_live_runs_the_same_against_the_environments_server(simulator: Simulator) -> None:
    result = run("demo", "--live", url=simulator.url)
    assert result.returncode == 0, result.stdout
    assert f"Live, against {simulator.url}" in result.stdout
    assert "Nothing fails there on purpose" in result.stdout
    assert "AuthenticationFailed" in result.stdout
    assert len(simulator.requests) == 10


def test_live_without_a_key_says_so() -> None:
    result = run("demo", "--live", url="http://127.0.0.1:9/v1", OPENAI_API_KEY="")
    assert result.returncode == 1
    assert "no API key" in result.stdout


# It is a check, too: what doesn't come out as it should is told, and the exit code says so.


def toured(simulator: Simulator) -> tuple[int, str]:
    """Go through the steps against a simulator that the demo takes for its own."""
    out = io.StringIO()
    code = Tour(Console(file=out, width=80), KEY, simulator.url, "gpt-4o-mini", has_faults=True).run([])
    return code, " ".join(out.getvalue().split())


def test_no_retry_is_a_failure(simulator: Simulator) -> None:
    code, shown = toured(simulator)
    assert code == 1
    assert "Step 4 did not come out as it should: the tries' statuses are [200], not [429, 503, 200]" in shown


def test_an_answer_that_is_cut_is_a_failure(simulator: Simulator) -> None:
    simulator.fail_next(text="gradient", reply="Down", cut_after=0, clean=True)
    simulator.fail_next(text="gradient", tokens=0)
    code, shown = toured(simulator)
    assert code == 1
    assert "Step 1 did not come out as it should: " in shown


def test_parameters_that_do_nothing_are_a_failure(simulator: Simulator) -> None:
    simulator.fail_next(text="Why is the sky blue?", reply="It scatters. So it is.")
    code, shown = toured(simulator)
    assert code == 1
    assert "Step 3 did not come out as it should: max_completion_tokens=8" in shown


# It leaves nothing behind.


def connected(url: str) -> socket.socket:
    """Return a connection to the demo's simulator; its end tells of the simulator's."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=60)


@posix
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_its_simulator_ends_with_it_however_it_ends(how: signal.Signals) -> None:
    # A signal in the middle of an import makes Python itself warn, of the file that it was reading.
    with start("demo", warnings="ignore::ResourceWarning") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        found = re.search(r"http://\S+", process.stdout.readline().decode())
        assert found
        with connected(found[0]) as connection:
            process.send_signal(how)
            process.stdout.read()
            assert "Traceback" not in process.stderr.read().decode()
            assert ended(connection)
    if how is signal.SIGINT:
        assert process.returncode == 130


def ended(connection: socket.socket) -> bool:
    """Block until the other side is gone."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


# What its steps print goes onto a page.


@pytest.mark.parametrize("pieces", [r"(?s).+", r"\s*\S+", r"\S+\s*", r"\s+|\S+", r"\S*\s?"])
def test_a_page_wraps_between_words_however_they_come(pieces: str) -> None:
    out = io.StringIO()
    page = Page(out, "| ", 12)
    text = "one two three four\n\n  five six\nseven"
    for piece in re.findall(pieces, text):
        page.write(piece)
    page.end_line()
    page.end_line()
    assert page.printed == text
    assert out.getvalue() == "| one two\n| three four\n|\n|   five six\n| seven\n"


def test_a_page_never_breaks_a_word_that_fits(shown: str) -> None:
    story = " ".join(re.findall(r"^  │ (.*)$", shown.partition("4. Stream")[2].partition("5. See")[0], re.MULTILINE))
    assert "In the morning a boat lay at the pier" in story


@posix
def test_the_demo_piped_into_head_ends_quietly() -> None:
    with start("demo", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
