"""`barechat ask -c NAME` and `--image`: a turn of a session that `barechat chat` keeps, and pictures with a prompt."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from barechat import ChatSession, Client, Ledger
from commands import run, start
from ledgers import rows
from pictures import PNG, data_url
from support import KEY, MODEL

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from barechat.simulator import Simulator

posix = pytest.mark.skipif(os.name == "nt", reason="signals, and files that go while they are open, as POSIX has them")


def kept(where: Path, name: str = "trip") -> list[Any]:
    """Return what a session's file holds, each message's content by the first letter of its role."""
    return [
        message["role"][0] + ":" + message["content"] for message in json.loads((where / f"{name}.json").read_text())
    ]


def sent(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """Return the messages of the request that `--curl` printed."""
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout.partition("--data-binary '")[2].rstrip("'\n"))
    return [message["content"] for message in body["messages"]]


# A session


def test_a_question_is_a_turn_of_the_session_that_chat_keeps(simulator: Simulator, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    where = {"BARECHAT_SESSIONS": str(tmp_path), "BARECHAT_LEDGER": str(ledger)}
    for reply in ("Rome.", "By train.", "Two days."):
        simulator.fail_next(reply=reply)
    first = run("ask", "Where to?", "-c", "trip", "-s", "Be brief.", url=simulator.url, **where)
    second = run("chat", "-c", "trip", url=simulator.url, stdin="How?", **where)
    third = run("ask", "How long?", "-c", "trip", "--no-stream", url=simulator.url, **where)
    assert [done.stdout for done in (first, second, third)] == ["Rome.\n", "By train.\n", "Two days.\n"]
    assert [done.returncode for done in (first, second, third)] == [0, 0, 0]
    turns = ["u:Where to?", "a:Rome.", "u:How?", "a:By train.", "u:How long?", "a:Two days."]
    assert kept(tmp_path) == ["s:Be brief.", *turns]
    assert [msgspec.json.decode(tags) for tags in rows(Ledger(ledger), "tags")] == [{"session": "trip"}] * 3


def test_a_reply_that_isn_t_whole_is_not_remembered(simulator: Simulator, tmp_path: Path) -> None:
    simulator.fail_next(reply="One two three", cut_after=2)
    asked = ["ask", "Count.", "-c", "trip", "-s", "Be brief."]
    done = run(*asked, url=simulator.url, BARECHAT_SESSIONS=str(tmp_path))
    assert (done.stdout, done.returncode) == ("One two\n", 1)
    assert not (tmp_path / "trip.json").exists()


@posix
def test_nor_is_one_that_ctrl_c_has_ended(simulator: Simulator, tmp_path: Path) -> None:
    simulator.fail_next(reply="One two three", stall_after=2)
    with start("ask", "Count.", "-c", "trip", url=simulator.url, BARECHAT_SESSIONS=str(tmp_path)) as asking:
        assert asking.stdout is not None
        asking.stdout.read(3)
        asking.send_signal(signal.SIGINT)
        asking.communicate()
    assert asking.returncode == 3
    assert not (tmp_path / "trip.json").exists()


def begun(where: Path, simulator: Simulator) -> bytes:
    """Begin a session, and return what its file holds."""
    simulator.fail_next(reply="Rome.")
    done = run("ask", "Where to?", "-c", "trip", "-s", "Be brief.", url=simulator.url, BARECHAT_SESSIONS=str(where))
    assert done.returncode == 0
    return (where / "trip.json").read_bytes()


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        (["ask"], {"reply": "By train.", "cut_after": 2}),
        (["ask", "--no-stream"], {"status": 404}),
        (["chat"], {"reply": "By train.", "cut_after": 2}),
    ],
)
def test_a_turn_that_fails_leaves_the_file_as_it_was_its_system_message_too(
    asked: list[str], fault: dict[str, Any], simulator: Simulator, tmp_path: Path
) -> None:
    before = begun(tmp_path, simulator)
    simulator.fail_next(**fault)
    simulator.fail_next(reply="By train.")
    told = [*asked, "-c", "trip", "-s", "Be rude."]
    failed = run(*told, url=simulator.url, stdin="How?", BARECHAT_SESSIONS=str(tmp_path))
    assert (failed.returncode, (tmp_path / "trip.json").read_bytes()) == (1, before)
    run(*told, url=simulator.url, stdin="How?", BARECHAT_SESSIONS=str(tmp_path))
    assert kept(tmp_path) == ["s:Be rude.", "u:Where to?", "a:Rome.", "u:How?", "a:By train."]


@posix
def test_so_does_one_that_ctrl_c_has_ended(simulator: Simulator, tmp_path: Path) -> None:
    before = begun(tmp_path, simulator)
    simulator.fail_next(reply="One two three", stall_after=2)
    asked = ["ask", "Count.", "-c", "trip", "-s", "Be rude."]
    with start(*asked, url=simulator.url, BARECHAT_SESSIONS=str(tmp_path)) as asking:
        assert asking.stdout is not None
        asking.stdout.read(3)
        asking.send_signal(signal.SIGINT)
        asking.communicate()
    assert (asking.returncode, (tmp_path / "trip.json").read_bytes()) == (3, before)


@posix
@pytest.mark.parametrize("more", [[], ["--no-stream"]])
def test_an_answer_that_its_session_can_t_keep_is_shown_all_the_same(
    more: list[str], simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("import shutil\n\ndef forget() -> None:\n    shutil.rmtree('kept')\n")
    monkeypatch.chdir(tmp_path)
    simulator.fail_next(reply={"tool_calls": [{"name": "forget", "arguments": {}}]})
    simulator.fail_next(reply="Gone.")
    asked = ["ask", "Forget it.", "-c", "trip", "--tool", "mine:forget", *more]
    done = run(*asked, url=simulator.url, BARECHAT_SESSIONS="kept")
    assert (done.stdout, done.returncode) == ("Gone.\n", 1)
    *_, error, bill = done.stderr.splitlines()
    assert error.startswith("error: the session kept/trip.json can't be written: ")
    assert error.endswith("the answer is not remembered")
    assert "exact · 2 rounds" in bill


def test_a_session_that_is_open_elsewhere_is_not_written(simulator: Simulator, tmp_path: Path) -> None:
    with (
        Client(KEY, simulator.url) as client,
        ChatSession(client, model=MODEL, path=tmp_path / "trip.json"),
    ):
        done = run("ask", "Where to?", "-c", "trip", url=simulator.url, BARECHAT_SESSIONS=str(tmp_path))
    assert (done.returncode, done.stdout, simulator.requests) == (1, "", [])
    assert "is open elsewhere" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_curl_shows_what_was_said_before_and_leaves_it(simulator: Simulator, tmp_path: Path) -> None:
    where = {"BARECHAT_SESSIONS": str(tmp_path)}
    assert sent(run("ask", "Where to?", "-c", "trip", "--curl", **where)) == ["Where to?"]
    assert list(tmp_path.iterdir()) == []
    simulator.fail_next(reply="Rome.")
    run("ask", "Where to?", "-c", "trip", "-s", "Be brief.", url=simulator.url, **where)
    asked = ["ask", "How?", "-c", "trip", "--curl"]
    assert sent(run(*asked, **where)) == ["Be brief.", "Where to?", "Rome.", "How?"]
    assert sent(run(*asked, "-s", "Be rude.", **where)) == ["Be rude.", "Where to?", "Rome.", "How?"]
    assert kept(tmp_path) == ["s:Be brief.", "u:Where to?", "a:Rome."]


def test_a_name_that_none_can_have_and_a_file_that_holds_none_are_told(simulator: Simulator, tmp_path: Path) -> None:
    bad = run("ask", "Hi", "-c", "../x", url=simulator.url, BARECHAT_SESSIONS=str(tmp_path))
    assert (bad.returncode, "can't be a session's name" in bad.stderr) == (2, True)
    (tmp_path / "trip.json").write_text("{")
    broken = run("ask", "Hi", "-c", "trip", url=simulator.url, BARECHAT_SESSIONS=str(tmp_path))
    assert (broken.returncode, "trip.json is not JSON" in broken.stderr) == (1, True)
    assert simulator.requests == []


# Images


def test_images_go_with_the_prompt_from_files_and_urls(simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "chart").write_bytes(PNG)
    url = "https://example.com/a.png"
    ((text, first, second),) = sent(run("ask", "What?", "--image", str(tmp_path / "chart"), "--image", url, "--curl"))
    assert text == {"type": "text", "text": "What?"}
    assert (first["image_url"]["url"], second["image_url"]["url"]) == (data_url(PNG), url)
    simulator.fail_next(reply="A chart.")
    done = run("ask", "What?", "--image", str(tmp_path / "chart"), url=simulator.url)
    assert (done.stdout, done.returncode) == ("A chart.\n", 0)


def test_what_is_no_image_is_told_before_anything_is_sent(simulator: Simulator, tmp_path: Path) -> None:
    path = str(tmp_path / "none.png")
    done = run("ask", "What?", "--image", path, url=simulator.url)
    assert (done.returncode, done.stdout, simulator.requests) == (2, "", [])
    assert done.stderr == f"error: image: {path!r} can't be read: No such file or directory\n"
