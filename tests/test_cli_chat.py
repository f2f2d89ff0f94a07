"""`barechat chat`, as a person at a terminal and a shell's pipe meet it, against the simulator."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from chat_screens import DIRECTORY, make_screens
from commands import command, environment, run

if TYPE_CHECKING:
    from pathlib import Path

    from barechat.simulator import Simulator

PASTES_ARE_MARKED = 2004 << 5  # as pyte counts the modes that are DEC's own
posix = pytest.mark.skipif(os.name == "nt", reason="terminals as POSIX has them")

if os.name != "nt":
    from screens import Person


# At a terminal


@posix
def test_the_committed_screens_are_what_a_person_sees(tmp_path: Path) -> None:
    """Markdown; Ctrl-C in the midst of the reply to a message of two lines; the session resumed by its name."""
    drawn = dict(make_screens(tmp_path))
    assert {name: (DIRECTORY / name).read_text("utf-8") for name in drawn} == drawn, "run `make docs`"
    assert {path.name for path in DIRECTORY.iterdir()} == set(drawn)
    for name in ("python.json", "history"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


@posix
def test_what_goes_wrong_is_told_and_the_conversation_goes_on(simulator: Simulator, tmp_path: Path) -> None:
    simulator.fail_next(status=429, headers={"retry-after-ms": "1"})
    simulator.fail_next(status=404)
    simulator.fail_next(reply="One two three", cut_after=2)
    simulator.fail_next(reply="a\x1b]0;title\x07b [red]c[/red] שלום 🎉")
    with Person("chat", "-c", "talk", url=simulator.url, BARECHAT_SESSIONS=str(tmp_path)) as person:
        person.look_for("Enter sends")
        person.type("\x03")
        person.look_for("Ctrl-D leaves")
        person.type("Hi\r")
        person.look_for("429 rate_limit_exceeded; trying again in", "error: the server answered 404", "│ turn")
        # What failed is in the line again, to be sent once more.
        person.type("\r")
        person.look_for("One two", "error: the stream ended before the answer did", "at most $", "turn ≤ $")
        (tmp_path / "dot.gif").write_bytes(b"GIF89a")
        person.type(f"\x03/image {tmp_path / 'dot.gif'}\r")
        person.look_for("goes")
        person.type("\x1b[200~//one\rtwo\x1b[201~\r")
        shown = person.look_for("  two", "a\\x1b]0;title\\x07b [red]c[/red] שלום 🎉", "│ session talk 773 + 4")
        assert shown.splitlines()[-1].startswith(" gpt-4o-mini │ turn")
        person.type("/wriet\r")
        person.look_for("did you mean /wire?")
        person.type("/wire\r/retry\r")
        person.look_for("data: [DONE]")
        person.type("/quit\r")
        person.look_for("in all")
        assert person.wait() == 0
    asked, answer = json.loads((tmp_path / "talk.json").read_text())
    text, image = asked["content"]
    assert text == {"type": "text", "text": "/one\ntwo"}
    assert image["image_url"]["url"] == "data:image/gif;base64,R0lGODlh"
    assert answer["content"] not in {"", "One two"}
    assert [record["status"] for record in simulator.requests] == [429, 404, 200, 200, 200]


@posix
@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_has_less_gets_the_text_as_it_was_written(
    variables: dict[str, str], simulator: Simulator, tmp_path: Path
) -> None:
    simulator.fail_next(reply="One **two** three\n- four\x1b[31m")
    with Person("chat", url=simulator.url, BARECHAT_SESSIONS=str(tmp_path), **variables) as person:
        person.look_for("Enter sends")
        person.type("Count.\r")
        person.look_for("\nOne **two** three\n- four\\x1b[31m\n", "$0.0000", "\n\n>")
        person.type("/quit\r")
        assert person.wait() == 0
    assert all(cell.fg == "default" for row in person.cells for cell in row)


@posix
def test_ctrl_c_stops_a_reply_at_whatever_moment_it_comes(simulator: Simulator, tmp_path: Path) -> None:
    with Person("chat", url=simulator.url, BARECHAT_SESSIONS=str(tmp_path)) as person:
        person.look_for("Enter sends")
        for number in range(20):
            simulator.fail_next(reply="One two three four five six", stall_after=1 + number % 5)
            person.type("Hi\r")
            person.look_for("\nOne")
            person.type("\x03")
            person.look_for("stopped", "> Hi", "turn ≤ $")
            person.type("\x03\x0c")  # clears the line, and the screen
            person.look_until(lambda seen: "stopped" not in seen, "an empty screen")


@posix
def test_a_paste_during_a_reply_is_one_message_and_not_one_a_line(simulator: Simulator, tmp_path: Path) -> None:
    simulator.fail_next(reply="One two", stall_after=1)
    with Person("chat", url=simulator.url, BARECHAT_SESSIONS=str(tmp_path)) as person:
        person.look_for("Enter sends")
        person.type("Hi\r")
        person.look_for("One")
        assert PASTES_ARE_MARKED in person.screen.mode
        person.type("\x1b[200~, you\rthere\x1b[201~\x03")
        person.look_for("stopped", "> Hi, you\n  there\n", "turn ≤ $")
    assert simulator.wait_for(1)[0]["hung_up"] is True


@posix
def test_a_turn_that_can_t_be_written_is_told_and_kept_with_the_next(simulator: Simulator, tmp_path: Path) -> None:
    kept, gone = tmp_path / "kept", tmp_path / "gone"
    with Person("chat", "-c", "talk", url=simulator.url, BARECHAT_SESSIONS=str(kept)) as person:
        person.look_for("Enter sends")
        kept.rename(gone)
        simulator.fail_next(reply="One.")
        person.type("Hi\r")
        shown = person.look_for("\nOne.\nwarning: the session", "can't be written: No such file", "│ turn")
        assert "Exception" not in shown  # though the history's file can't be written either
        gone.rename(kept)
        simulator.fail_next(reply="Two.")
        person.type("Ho\r")
        person.look_for("\nTwo.\n\n>", "session talk 22 + 2")
        person.type("/quit\r")
        assert person.wait() == 0
    assert [message["content"] for message in json.loads((kept / "talk.json").read_text())] == [
        "Hi",
        "One.",
        "Ho",
        "Two.",
    ]


# From a pipe


def test_what_is_piped_in_is_one_message_of_the_session(simulator: Simulator, tmp_path: Path) -> None:
    simulator.fail_next(reply="Two **words**")
    simulator.fail_next(reply="Three\x1b[1m")
    first = run(
        "chat", "-c", "talk", "-s", "Be brief.", url=simulator.url, stdin="/one\n\n", BARECHAT_SESSIONS=str(tmp_path)
    )
    second = run("chat", "-c", "talk", url=simulator.url, stdin="two", BARECHAT_SESSIONS=str(tmp_path))
    assert (first.stdout, second.stdout) == ("Two **words**\n", "Three\x1b[1m\n")
    assert "exact" in first.stderr
    assert (first.returncode, second.returncode) == (0, 0)
    kept = [message["content"] for message in json.loads((tmp_path / "talk.json").read_text())]
    assert kept == ["Be brief.", "/one", "Two **words**", "two", "Three\x1b[1m"]


@posix
def test_a_piped_message_that_its_session_can_t_keep_is_an_error_after_its_reply(
    simulator: Simulator, tmp_path: Path
) -> None:
    simulator.fail_next(reply="One.")
    no_files = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh"]  # which writes to none, as on a full disk
    done = subprocess.run(  # noqa: S603 - our own command
        [*no_files, *command("chat", "-c", "talk")],
        env=environment(simulator.url, BARECHAT_SESSIONS=str(tmp_path)),
        input="Hi",
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("One.\n", 1)
    told, bill = done.stderr.splitlines()
    assert told.startswith(f"warning: the session {tmp_path / 'talk.json'} can't be written: ")
    assert "exact" in bill


def test_a_piped_message_without_a_whole_reply_says_so_by_its_exit_code(simulator: Simulator) -> None:
    simulator.fail_next(reply="One two", cut_after=1)
    cut = run("chat", url=simulator.url, stdin="Hi")
    assert (cut.returncode, cut.stdout) == (1, "One\n")
    assert cut.stderr.startswith("error: the stream ended before the answer did")
    assert "at most $0." in cut.stderr
    limited = run("chat", "-p", "max_completion_tokens=3", url=simulator.url, stdin="Hi")
    assert (limited.returncode, limited.stderr[:9]) == (3, "limited: ")


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["-p", "temperature=3"], "error: temperature must be a number from 0 to 2", 2),
        (["--base-url", "nowhere"], "error: ", 1),
    ],
)
def test_what_can_t_be_done_is_one_line(arguments: list[str], said: str, code: int, tmp_path: Path) -> None:
    result = run("chat", *arguments, stdin="Hi", BARECHAT_SESSIONS=str(tmp_path))
    assert (result.returncode, len(result.stderr.splitlines())) == (code, 1)
    assert result.stderr.startswith(said)


def test_nothing_piped_in_is_a_usage_error() -> None:
    result = run("chat", stdin=" \n")
    assert (result.returncode, result.stderr[:26]) == (2, "error: there is no message")
