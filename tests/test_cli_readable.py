"""Answers of `ask` and `chat` stay readable: in pipes and old encodings, on terminals that have less, and long ones."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from commands import command, environment, on_a_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from barechat.simulator import Simulator

posix = pytest.mark.skipif(os.name == "nt", reason="terminals as POSIX has them")

if os.name != "nt":
    from screens import Person

HEBREW = "שלום **עולם** مرحبا"
MIXED = f"{HEBREW}, 日本 café 🎉"
WORDS = [f"w{number}" for number in range(20_000)]  # a token each, and more
LONG = "\n\n".join(" ".join(WORDS[at : at + 40]) for at in range(0, len(WORDS), 40))


def piped(name: str, url: str, **more: str) -> tuple[bytes, bytes, int]:
    """Run `ask` or `chat` with a message piped in, and return the bytes that it wrote, and its exit code."""
    done = subprocess.run(  # noqa: S603 - our own command
        command(name), env=environment(url, **more), input=b"Hi", capture_output=True, check=False, timeout=60
    )
    return done.stdout, done.stderr, done.returncode


both = pytest.mark.parametrize("name", ["ask", "chat"])


@both
def test_a_pipe_gets_the_text_as_the_server_wrote_it(name: str, simulator: Simulator) -> None:
    simulator.fail_next(reply=MIXED)
    out, err, code = piped(name, simulator.url)
    assert (out.decode(), code) == (MIXED + os.linesep, 0)
    assert b"\x1b" not in err


@both
@pytest.mark.parametrize(
    ("encoding", "shown", "dot"),
    [
        ("cp1252", "???? **????** ?????, ?? café ?", " · "),
        ("cp437", "???? **????** ?????, ?? café ?", " · "),
        ("ascii", "???? **????** ?????, ?? caf? ?", ", "),
    ],
)
def test_an_encoding_that_lacks_characters_gets_the_others(
    name: str, encoding: str, shown: str, dot: str, simulator: Simulator
) -> None:
    simulator.fail_next(reply=MIXED)
    out, err, code = piped(name, simulator.url, PYTHONUTF8="0", PYTHONIOENCODING=encoding)
    assert (out.decode(encoding), code) == (shown + os.linesep, 0)
    assert err.decode(encoding).startswith(f"gpt-4o-mini-2024-07-18{dot}")


@posix
def test_a_terminal_of_such_an_encoding_gets_text_instead_of_markdown(simulator: Simulator, tmp_path: Path) -> None:
    simulator.fail_next(reply=MIXED)
    ascii_only = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C.UTF-8"}
    with Person("chat", url=simulator.url, BARECHAT_SESSIONS=str(tmp_path), **ascii_only) as person:
        person.look_for("Enter sends |")
        person.type("Hi\r")
        person.look_for("\n???? **????** ?????, ?? caf? ?\n", "| turn")


@posix
@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colours_gets_none(variables: dict[str, str], simulator: Simulator) -> None:
    simulator.fail_next(reply=MIXED)
    shown, code = on_a_terminal("ask", "Hi", url=simulator.url, **variables)
    assert (shown.splitlines()[0], code) == (MIXED, 0)
    assert "\x1b[3" not in shown
    assert "TERM" not in variables or "\x1b" not in shown


@posix
def test_a_terminal_gets_text_from_right_to_left_in_the_order_in_which_it_was_written(
    simulator: Simulator, tmp_path: Path
) -> None:
    simulator.fail_next(reply=MIXED)
    shown, _ = on_a_terminal("ask", "Hi", url=simulator.url)
    assert shown.splitlines()[0] == MIXED
    simulator.fail_next(reply=HEBREW)
    with Person("chat", url=simulator.url, BARECHAT_SESSIONS=str(tmp_path)) as person:
        person.look_for("Enter sends")
        person.type("Hi\r")
        person.look_for(f"\n{HEBREW.replace('*', '')}\n")


@both
def test_20_000_tokens_come_whole_through_a_pipe(name: str, simulator: Simulator) -> None:
    simulator.fail_next(reply=LONG)
    out, _, code = piped(name, simulator.url)
    assert (out.decode().split(), code) == (WORDS, 0)


@posix
def test_20_000_tokens_scroll_by_on_a_terminal(simulator: Simulator, tmp_path: Path) -> None:
    simulator.fail_next(reply=LONG)
    shown, code = on_a_terminal("ask", "Hi", url=simulator.url)
    assert (shown.split()[: len(WORDS)], code) == (WORDS, 0)
    simulator.fail_next(reply=LONG)
    with Person("chat", url=simulator.url, BARECHAT_SESSIONS=str(tmp_path)) as person:
        person.look_for("Enter sends")
        person.type("Hi\r")
        person.look_for("w19999\n", "│ turn")
