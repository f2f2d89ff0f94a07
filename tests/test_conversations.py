"""Sessions beyond the basics, by both kinds: limits, summaries, going back, and files that survive a kill."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from barechat import (
    AsyncChatSession,
    AsyncClient,
    ChatSession,
    Client,
    ConfigurationError,
    NotFound,
    ParameterError,
    Reply,
    StreamTruncated,
    TraceEvent,
)
from support import KEY, MODEL, QUICK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from barechat.simulator import Simulator


class Talk:
    """Both kinds of session behind one face."""

    def __init__(self, kind: str, url: str, *args: Any, **options: Any) -> None:
        self._runner = asyncio.Runner() if kind == "asyncio" else None
        self.sent: list[Any] = []
        self.session: Any
        if self._runner is None:
            self.client: Any = Client(KEY, url, retry=QUICK, trace=self._trace)
            self.session = ChatSession(self.client, *args, model=MODEL, **options)
        else:
            self.client = AsyncClient(KEY, url, retry=QUICK, trace=self._trace)
            self.session = AsyncChatSession(self.client, *args, model=MODEL, **options)

    def _trace(self, event: TraceEvent) -> None:
        if event.kind == "request":
            self.sent.append(json.loads(event.body))

    def do(self, name: str, *args: Any, session: Any = None, **options: Any) -> Any:
        method = getattr(session or self.session, name)
        if self._runner is None:
            return method(*args, **options)

        async def wait() -> Any:
            return await method(*args, **options)

        return self._runner.run(wait())

    def send(self, text: Any, session: Any = None, **options: Any) -> Reply:
        reply: Reply = self.do("send", text, session=session, **options)
        return reply

    def stream(self, *message: str, name: str = "stream", **options: Any) -> str:
        if self._runner is None:
            with getattr(self.session, name)(*message, **options) as pieces:
                return "".join(pieces)

        async def read() -> str:
            async with getattr(self.session, name)(*message, **options) as pieces:
                return "".join([piece async for piece in pieces])

        return self._runner.run(read())

    def close(self) -> None:
        self.do("close")
        if self._runner is None:
            self.client.close()
        else:
            self._runner.run(self.client.close())
            self._runner.close()


@pytest.fixture
def talk(kind: str, simulator: Simulator) -> Iterator[Callable[..., Talk]]:
    made: list[Talk] = []

    def make(*args: Any, **options: Any) -> Talk:
        made.append(Talk(kind, simulator.url, *args, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def roles(session: Any) -> str:
    return "".join(message["role"][0] for message in session.messages)


def said(one: Talk) -> list[Any]:
    return [message["content"] for message in one.sent[-1]["messages"]]


# Limits


def test_a_prompt_stays_under_its_limit_by_what_the_model_counted(
    talk: Callable[..., Talk], simulator: Simulator
) -> None:
    one = talk("Be brief.", max_prompt_tokens=1200)
    for number in range(30):
        reply = one.send(f"Tell me of {number}. " + "And so on and so on. " * 10)
        assert reply.usage is not None
        assert reply.usage.prompt_tokens <= 1200
    assert said(one)[0] == "Be brief."
    assert len(said(one)) > 5


def test_a_message_that_is_too_long_by_itself_is_refused_and_nothing_changes(
    talk: Callable[..., Talk], simulator: Simulator
) -> None:
    one = talk("Be brief.", max_prompt_tokens=1000)
    one.send("Hi")
    before = list(one.session.messages)
    with pytest.raises(ParameterError, match=r"takes .* tokens by itself, .* max_prompt_tokens is 1000"):
        one.send("so on " * 5000)
    assert one.session.messages == before
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("limit", [{"max_prompt_tokens": 0}, {"max_history": True}, {"max_prompt_tokens": "9"}])
def test_limits_are_whole_numbers(talk: Callable[..., Talk], limit: dict[str, Any]) -> None:
    (name,) = limit
    with pytest.raises(ParameterError, match=f"{name} must be a whole number"):
        talk(**limit)


# Summaries


def test_what_would_be_dropped_is_summed_up_by_another_model_and_stays_in_the_messages(
    talk: Callable[..., Talk], simulator: Simulator
) -> None:
    one = talk("Be brief.", max_history=8, summarize_with="gpt-4.1-nano", temperature=0)
    for number in range(6):
        one.send(f"Question {number}?")
    asked = one.sent
    (summary,) = [at for at, request in enumerate(asked) if request["model"] == "gpt-4.1-nano"]
    assert "Question 0?" in asked[summary]["messages"][1]["content"]
    assert "temperature" not in asked[summary]
    assert roles(one.session).count("u") == 6
    after = asked[summary + 1]["messages"]
    assert [(message["role"], message.get("name")) for message in after[:3]] == [
        ("system", None),
        ("system", "summary"),
        ("user", None),
    ]
    assert after[1]["content"]
    assert len(after) <= 2 + 8
    assert one.session.cost.call_count == 7
    assert len(one.session.cost.by_model) == 2


def test_a_summary_is_made_now_and_then_and_takes_in_the_one_before(
    talk: Callable[..., Talk], simulator: Simulator
) -> None:
    one = talk(max_history=8, summarize_with="gpt-4.1-nano")
    for number in range(20):
        one.send(f"Question {number}?")
    summaries = [request for request in one.sent if request["model"] == "gpt-4.1-nano"]
    assert 3 <= len(summaries) <= 10
    assert all(request["messages"][1]["content"].startswith("summary: ") for request in summaries[1:])
    assert roles(one.session).count("u") == 20
    assert roles(one.session).count("s") == len(summaries)


def test_a_summary_that_fails_fails_the_send_and_changes_nothing(
    talk: Callable[..., Talk], simulator: Simulator
) -> None:
    one = talk(max_history=2, summarize_with="gpt-4.1-nano")
    one.send("One")
    before = list(one.session.messages)
    simulator.fail_next(status=404)
    with pytest.raises(NotFound):
        one.send("Two")
    assert one.session.messages == before
    one.send("Two")
    assert roles(one.session) == "uasua"


# Going back


def test_undo_takes_back_a_whole_turn_and_retry_puts_another_reply_in_its_place(
    talk: Callable[..., Talk], simulator: Simulator
) -> None:
    one = talk("Be brief.")
    one.send("One")
    one.stream("Two")
    first = one.session.messages[-1]
    again = one.do("retry_last", seed=7)
    assert said(one)[-1] == "Two"
    assert len(said(one)) == 4
    assert one.session.messages[-1] == {"role": "assistant", "content": again.text} != first
    assert roles(one.session) == "suaua"
    assert [message["content"] for message in one.session.undo()] == ["Two", again.text]
    assert roles(one.session) == "sua"
    one.session.undo()
    assert (one.session.undo(), roles(one.session)) == ([], "s")
    with pytest.raises(ParameterError, match="no turn to try again"):
        one.do("retry_last")


def test_a_retry_that_fails_leaves_the_old_reply(talk: Callable[..., Talk], simulator: Simulator) -> None:
    one = talk()
    one.send("One")
    before = list(one.session.messages)
    simulator.fail_next(status=404)
    with pytest.raises(NotFound):
        one.do("retry_last")
    assert one.session.messages == before


def test_a_streamed_retry_leaves_the_old_reply_until_the_new_one_has_come_whole(
    talk: Callable[..., Talk], simulator: Simulator
) -> None:
    one = talk("Be brief.")
    one.send("One")
    before = list(one.session.messages)
    simulator.fail_next(reply="One two three", cut_after=2)
    with pytest.raises(StreamTruncated):
        one.stream(name="stream_last")
    assert one.session.messages == before
    again = one.stream(name="stream_last", seed=7)
    assert said(one) == ["Be brief.", "One"]
    assert one.session.messages == [*before[:-1], {"role": "assistant", "content": again}] != before


def test_another_system_prompt_holds_from_the_next_turn_on_and_is_in_the_file(
    talk: Callable[..., Talk], tmp_path: Path
) -> None:
    one = talk("Be brief.", path=tmp_path / "talk.json")
    one.send("One")
    assert one.session.system_prompt == "Be brief."
    one.session.system_prompt = "Be rude."
    one.send("Two")
    assert said(one)[0] == "Be rude."
    assert roles(one.session) == "suaua"
    one.session.system_prompt = None
    assert (one.session.system_prompt, roles(one.session)) == (None, "uaua")
    assert json.loads((tmp_path / "talk.json").read_text()) == one.session.messages


def test_a_fork_goes_its_own_way(talk: Callable[..., Talk], tmp_path: Path) -> None:
    one = talk("Be brief.", path=tmp_path / "talk.json", max_history=6, temperature=0)
    one.send("One")
    other = one.session.fork()
    one.send("Two", session=other)
    assert (roles(one.session), roles(other)) == ("sua", "suaua")
    assert (other.max_history, other.cost.call_count, one.session.cost.call_count) == (6, 1, 1)
    assert len(json.loads((tmp_path / "talk.json").read_text())) == 3


def test_parts_are_sent_as_they_are(talk: Callable[..., Talk], simulator: Simulator) -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "https://a/b.png"}}]
    one = talk(max_history=2, summarize_with="gpt-4.1-nano")
    one.send(parts)
    assert said(one) == [parts]
    one.send("And now?")
    told = one.sent[1]["messages"][1]["content"]
    assert told.startswith("user: What is this?\n[image_url]")


# Files


def test_a_file_is_a_messages_list_for_its_owner_alone_and_written_with_each_turn(
    talk: Callable[..., Talk], tmp_path: Path
) -> None:
    path = tmp_path / "talk.json"
    one = talk("Be brief.", path=path)
    for text in ("Ünïcode ✓", "Two"):
        one.send(text)
        assert json.loads(path.read_text("utf-8")) == one.session.messages
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [name.name for name in tmp_path.iterdir() if "new" in name.name] == []


def test_a_session_goes_on_where_its_file_ends(talk: Callable[..., Talk], simulator: Simulator, tmp_path: Path) -> None:
    one = talk("Be brief.", path=tmp_path / "talk.json")
    one.send("One")
    one.do("close")
    two = talk("Be verbose.", path=tmp_path / "talk.json")
    two.send("Two")
    assert said(two)[0] == "Be brief."
    assert roles(two.session) == "suaua"
    two.session.undo()
    assert len(json.loads((tmp_path / "talk.json").read_text())) == 3


def test_a_second_session_on_a_file_is_refused_until_the_first_is_closed(
    talk: Callable[..., Talk], tmp_path: Path
) -> None:
    path = tmp_path / "talk.json"
    one, other = talk(path=path), talk()
    one.send("One")
    with pytest.raises(ConfigurationError, match=r"talk\.json is open elsewhere"):
        talk(path=path)
    other.send("Other")
    with pytest.raises(ConfigurationError, match="open elsewhere"):
        other.session.save(path)
    one.session.save(path)
    one.do("close")
    other.session.save(path)
    assert json.loads(path.read_text()) == other.session.messages


def test_save_and_load_move_a_conversation(talk: Callable[..., Talk], tmp_path: Path) -> None:
    one, two = talk("Be brief."), talk()
    one.send("One")
    one.session.save(tmp_path / "a.json")
    two.session.load(tmp_path / "a.json")
    assert two.session.messages == one.session.messages
    assert two.send("Two").text


@pytest.mark.parametrize(
    ("content", "said_of_it"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ('{"role": "user"}', "holds no list"),
        ('[{"role": "user", "content": "a"}, 5]', "message 2 has no role"),
        ('[{"content": "a"}]', "message 1 has no role"),
        ('[{"role": "human"}]', "message 1 has no role"),
        (None, "can't be read"),
    ],
)
def test_what_is_no_conversation_is_refused_by_name_and_left_as_it_is(
    talk: Callable[..., Talk], tmp_path: Path, content: str | None, said_of_it: str
) -> None:
    path = tmp_path / "talk.json"
    if content is None:
        path.mkdir()
    else:
        path.write_text(content)
    one = talk()
    one.send("Hi")
    for act in (one.session.load, lambda path: talk(path=path)):
        with pytest.raises(ConfigurationError, match=f"talk.json.*{said_of_it}"):
            act(path)
    assert roles(one.session) == "ua"
    assert content is None or path.read_text() == content


def test_a_file_that_can_t_be_written_loses_no_reply(
    talk: Callable[..., Talk], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "talks"
    directory.mkdir()
    one = talk(path=directory / "talk.json")
    (directory / ".talk.json.lock").rename(tmp_path / "lock")
    directory.rmdir()
    assert one.send("One").text
    assert [record.levelno for record in caplog.records if "can't be written" in record.message] == [logging.WARNING]
    with pytest.raises(ConfigurationError, match="can't be"):
        one.session.save(directory / "talk.json")
    directory.mkdir()
    one.send("Two")
    assert len(json.loads((directory / "talk.json").read_text())) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a fork")
def test_a_forked_child_writes_nothing_into_its_parent_s_file(simulator: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    with Client(KEY, simulator.url) as client, ChatSession(client, model=MODEL, path=path) as session:
        session.send("One")
        child = os.fork()
        if child == 0:
            session.undo()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert json.loads(path.read_text()) == session.messages
