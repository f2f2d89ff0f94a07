"""`barechat ask --tool module:function`: what is called is told line by line, and all rounds are in the bill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest

from barechat.cli.tool_names import tools_of
from commands import command, environment, on_a_terminal, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from barechat.simulator import Simulator

posix = pytest.mark.skipif(os.name == "nt", reason="terminals and signals as POSIX has them")

TOOLS = '''
import random  # Python's own, whatever lies beside this file
import threading

from barechat import Tool


def weather(city: str) -> str:
    """Tell the weather of a city."""
    if city == "Nowhere":
        raise LookupError("no such city,\\nand no weather")
    return f"grey in {city}"


class Forecast:
    @staticmethod
    def tomorrow(city: str) -> str:
        """Tell tomorrow's."""
        return "x" * 1000


class Declined(Exception):
    pass


def book(city: str) -> None:
    raise Declined("ask a person")


booking = Tool(book, raises=Declined)


def hang(city: str) -> str:
    while True:  # a signal that comes just before a wait is heard only after it
        threading.Event().wait(0.05)


async def later(city: str) -> str:
    return city


def anything(**what: str) -> str:
    return ""


number = 7
'''


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(TOOLS)
    (tmp_path / "broken.py").write_text("import no_such_module")
    (tmp_path / "script.py").write_text("raise SystemExit('usage: script FILE')")
    return tmp_path


def ask(here: Path, *arguments: str, url: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        command("ask", *arguments),
        env=environment(url, **more),
        cwd=here,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )


def calls(*made: tuple[str, Any], text: str = "") -> dict[str, Any]:
    asked = [{"name": name, "arguments": arguments} for name, arguments in made]
    return {"reply": {"tool_calls": asked, **({"content": text} if text else {})}}


# What is called


@pytest.mark.parametrize("more", [[], ["--no-stream"]])
def test_each_call_and_result_is_a_line_and_the_answer_alone_is_on_stdout(
    more: list[str], simulator: Simulator, here: Path
) -> None:
    simulator.fail_next(**calls(("weather", {"city": "Oslo"}), ("weather", {"city": "Nowhere"}), text="Let me see."))
    simulator.fail_next(reply="It is grey.")
    done = ask(here, "How?", "--tool", "mine:weather", *more, url=simulator.url)
    assert (done.stdout, done.returncode) == ("Let me see.\nIt is grey.\n", 0)
    *lines, bill = done.stderr.splitlines()
    assert lines == [
        'calls weather({"city": "Oslo"})',
        'calls weather({"city": "Nowhere"})',
        "weather gave grey in Oslo",
        'weather gave {"error":"LookupError: no such city,\\nand no weather"}',
    ]
    used = [record["usage"] or {} for record in simulator.requests]
    tokens = [sum(usage[name] for usage in used) for name in ("prompt_tokens", "completion_tokens")]
    assert re.fullmatch(
        rf"gpt-4o-mini-2024-07-18 · {tokens[0]} \+ {tokens[1]} tokens · \$0\.0\d+ exact · 2 rounds · \d+\.\d s", bill
    )
    assert [record["stream"] for record in simulator.requests] == [not more] * 2


def test_a_method_and_a_tool_are_named_likewise_and_a_long_result_is_cut_in_its_line(
    simulator: Simulator, here: Path
) -> None:
    simulator.fail_next(**calls(("tomorrow", {"city": "Oslo"})))
    simulator.fail_next(reply="Long.")
    tools = ["--tool", "mine:Forecast.tomorrow", "--tool", "mine:weather"]
    done = ask(here, "How?", *tools, url=simulator.url)
    _, told, _ = done.stderr.splitlines()
    assert (told[:20], told[-3:], len(told)) == ("tomorrow gave " + "x" * 6, "...", 200)


@posix
def test_on_a_terminal_the_lines_stand_between_the_texts(
    simulator: Simulator, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    simulator.fail_next(**calls(("weather", {"city": "Oslo"}), text="Let me see."))
    simulator.fail_next(reply="Grey.")
    shown, code = on_a_terminal("ask", "How?", "--tool", "mine:weather", url=simulator.url, NO_COLOR="1")
    assert code == 0
    assert re.sub(r"\x1b\[\d*m", "", shown).startswith(
        'Let me see.\ncalls weather({"city": "Oslo"})\nweather gave grey in Oslo\nGrey.\n'
    )


def test_a_turn_with_tools_is_remembered_whole(simulator: Simulator, here: Path) -> None:
    simulator.fail_next(**calls(("weather", {"city": "Oslo"})))
    done = ask(
        here, "How?", "-c", "trip", "--tool", "mine:weather", url=simulator.url, BARECHAT_SESSIONS=str(here / "kept")
    )
    assert done.returncode == 0
    roles = [message["role"] for message in json.loads((here / "kept" / "trip.json").read_text())]
    assert roles == ["user", "assistant", "tool", "assistant"]


def test_json_is_the_last_reply_s_object_and_curl_shows_the_first_request(simulator: Simulator, here: Path) -> None:
    simulator.fail_next(**calls(("weather", {"city": "Oslo"})))
    simulator.fail_next(reply="Grey.")
    done = ask(here, "How?", "--tool", "mine:weather", "--json", url=simulator.url)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "Grey."
    asked = ask(here, "How?", "--tool", "mine:weather", "--curl")
    body = json.loads(asked.stdout.partition("--data-binary '")[2].rstrip("'\n"))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["weather"]


# How it ends


@pytest.mark.parametrize("more", [[], ["--no-stream"]])
def test_what_a_tool_lets_through_ends_it_with_the_cost_and_what_was_said(
    more: list[str], simulator: Simulator, here: Path
) -> None:
    simulator.fail_next(**calls(("weather", {"city": "Oslo"}), text="Let me see."))
    simulator.fail_next(**calls(("book", {"city": "Oslo"}), text="I book."))
    done = ask(here, "Book.", "--tool", "mine:weather", "--tool", "mine:booking", *more, url=simulator.url)
    assert (done.stdout, done.returncode) == ("Let me see.\nI book.\n", 1)
    *_, said, bill = done.stderr.splitlines()
    assert said == "error: a tool ended it: Declined: ask a person"
    assert "exact" in bill


@posix
@pytest.mark.parametrize("more", [[], ["--no-stream"]])
@pytest.mark.parametrize("where", ["in a tool", "after it"])
def test_what_was_said_before_ctrl_c_is_printed(
    where: str, more: list[str], simulator: Simulator, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    tool = "hang" if where == "in a tool" else "weather"
    simulator.fail_next(**calls((tool, {"city": "Oslo"}), text="Let me see."))
    simulator.fail_next(stall_after=0)
    with start("ask", "How?", "--tool", f"mine:{tool}", *more, url=simulator.url) as asking:
        assert asking.stderr is not None
        assert asking.stderr.readline().startswith(b"calls ")
        if where == "after it":
            assert asking.stderr.readline() == b"weather gave grey in Oslo\n"
        asking.send_signal(signal.SIGINT)
        out, err = asking.communicate()
    assert (out.decode(), asking.returncode) == ("Let me see.\n", 3)
    assert "partial: interrupted" in err.decode()


@pytest.mark.parametrize("more", [[], ["--no-stream"]])
def test_too_many_rounds_are_an_error_with_the_cost_of_all(more: list[str], simulator: Simulator, here: Path) -> None:
    simulator.fail_next(**calls(("weather", {"city": "Oslo"}), text="Hm."), times=10)
    done = ask(here, "How?", "--tool", "mine:weather", *more, url=simulator.url)
    assert (done.stdout, done.returncode) == ("Hm.\n" * 10, 1)
    *_, said, facts = done.stderr.splitlines()
    assert said.startswith("error: after 10 rounds the model still calls tools")
    assert facts.startswith("10 attempts · $0.")


@pytest.mark.parametrize("more", [[], ["--no-stream"], ["--no-stream", "-c", "trip"]])
def test_what_rounds_said_whose_calls_all_failed_is_printed_once(
    more: list[str], simulator: Simulator, here: Path
) -> None:
    where = {"BARECHAT_SESSIONS": str(here / "kept")}
    simulator.fail_next(reply="Where?")
    ask(here, "Hello.", "-c", "trip", url=simulator.url, **where)
    for text in ("One.", "Two.", "Three."):
        simulator.fail_next(**calls(("weather", {"city": "Nowhere"}), text=text))
    done = ask(here, "How?", "--tool", "mine:weather", *more, url=simulator.url, **where)
    assert (done.stdout, done.returncode) == ("One.\nTwo.\nThree.\n", 1)
    assert "error: none of the model's calls worked" in done.stderr


@pytest.mark.parametrize("more", [[], ["--no-stream"]])
def test_a_round_that_the_server_fails_leaves_what_was_said_before_it(
    more: list[str], simulator: Simulator, here: Path
) -> None:
    simulator.fail_next(**calls(("weather", {"city": "Oslo"}), text="Let me see."))
    simulator.fail_next(status=400)
    done = ask(here, "How?", "--tool", "mine:weather", *more, url=simulator.url)
    assert (done.stdout, done.returncode) == ("Let me see.\n", 1)


# What can't be asked


@pytest.fixture
def found_here(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("mine", "broken", "script"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("found_here")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine", "write it as MODULE:FUNCTION"),
        (":weather", "write it as MODULE:FUNCTION"),
        ("absent.part:f", "there is no module absent, neither here nor where Python looks"),
        ("mine.part:f", "there is no module mine.part, neither"),
        ("broken:f", "its module can't be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("script:f", "its module can't be imported: SystemExit: usage: script FILE"),
        ("mine:wether", "there is no wether in mine; did you mean weather\\?"),
        ("mine:Forecast.xyz", "there is no xyz in mine:Forecast\\."),
        ("mine:number", "a tool is a function"),
        ("mine:later", "it is a coroutine function"),
        ("mine:anything", "of which a model can't be told"),
    ],
)
def test_a_name_that_can_t_be_called_is_told(name: str, said: str) -> None:
    with pytest.raises(click.UsageError, match=said) as caught:
        tools_of([name])
    assert name in caught.value.message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--tool", "mine:wether"], "there is no wether in mine"),
        (["--tool", "mine:weather", "-p", "n=2"], "--tool takes no -p n: one answer is gone on with"),
        (["--tool", "mine:weather", "-x", "tools=[]"], "--tool takes no -x tools"),
        (["--tool", "mine:weather", "--tool", "mine:weather"], "two tools are named weather"),
    ],
)
def test_it_is_refused_before_anything_is_sent(given: list[str], said: str, simulator: Simulator, here: Path) -> None:
    done = ask(here, "How?", *given, url=simulator.url)
    assert (done.returncode, done.stdout, simulator.requests) == (2, "", [])
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
