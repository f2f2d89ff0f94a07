"""A conversation: what it sends, what it remembers, and what it forgets when a send fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from barechat import BarechatError, ChatSession, Client, NotFound, ParameterError, RetryPolicy, StreamTruncated
from support import KEY, MODEL, QUICK, ByteServer, Sent, chunked, head, piece, whole_body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat.simulator import Simulator


@pytest.fixture
def client(simulator: Simulator) -> Iterator[Client]:
    with Client(KEY, simulator.url, retry=QUICK) as made:
        yield made


def roles(session: ChatSession) -> list[str]:
    return [message["role"] for message in session.messages]


def test_a_turn_is_remembered_and_sent_with_the_next(byte_server: ByteServer) -> None:
    body = whole_body()
    byte_server.answer(head(f"Content-Length: {len(body)}"), body, closes=False)
    with Client(KEY, byte_server.url) as client:
        session = ChatSession(client, "Be brief.", model=MODEL, temperature=0)
        assert session.send("Will it rain?").text == "It will rain."
        session.send("When?", temperature=1, seed=3)
    first, second = (request.json for request in byte_server.requests)
    assert first["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Will it rain?"},
    ]
    assert second["messages"] == [
        *first["messages"],
        {"role": "assistant", "content": "It will rain."},
        {"role": "user", "content": "When?"},
    ]
    assert (first["temperature"], second["temperature"], second["seed"]) == (0, 1, 3)
    assert roles(session) == ["system", "user", "assistant", "user", "assistant"]


def test_a_tool_call_is_remembered_as_the_api_takes_it_back(byte_server: ByteServer) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    body = whole_body(choices=choices)
    byte_server.answer(head(f"Content-Length: {len(body)}"), body, closes=False)
    with Client(KEY, byte_server.url) as client:
        session = ChatSession(client, model=MODEL)
        session.send("Go")
    assert session.messages == [{"role": "user", "content": "Go"}, message]


def test_a_streamed_turn_is_remembered_once_it_is_whole(client: Client) -> None:
    session = ChatSession(client, "Be brief.", model=MODEL)
    with session.stream("Hello") as stream:
        assert roles(session) == ["system"]
        text = "".join(stream)
    assert session.messages[-1] == {"role": "assistant", "content": text}
    assert roles(session) == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [({"status": 404}, NotFound), ({"cut_after": 3}, StreamTruncated), ({"error_after": 3}, BarechatError)],
)
def test_a_failed_send_leaves_the_history_as_it_was(
    fault: dict[str, Any], kind: type[BarechatError], client: Client, simulator: Simulator
) -> None:
    session = ChatSession(client, "Be brief.", model=MODEL)
    session.send("Hello")
    before = list(session.messages)
    simulator.fail_next(**fault)
    with pytest.raises(kind), session.stream("Again") as stream:
        list(stream)
    assert session.messages == before
    simulator.fail_next(status=404)
    with pytest.raises(NotFound):
        session.send("Again")
    assert session.messages == before
    session.send("Again")
    assert roles(session) == ["system", "user", "assistant", "user", "assistant"]


def test_an_abandoned_stream_leaves_the_history_as_it_was_and_is_counted(client: Client, simulator: Simulator) -> None:
    session = ChatSession(client, "Be brief.", model=MODEL)
    simulator.fail_next(stall_after=2)
    with session.stream("Hello") as stream:
        next(stream)
    assert roles(session) == ["system"]
    assert (session.cost.call_count, session.cost.total_cost > 0) == (1, True)


def test_a_refused_parameter_leaves_the_history_as_it_was(client: Client) -> None:
    session = ChatSession(client, model=MODEL)
    with pytest.raises(ParameterError):
        session.send("Hello", temperature=3)
    with pytest.raises(ParameterError):
        session.stream("Hello", temperature=3)
    assert session.messages == []


def test_old_turns_go_as_a_whole(client: Client) -> None:
    session = ChatSession(client, "Be brief.", model=MODEL, max_history=4)
    for number in range(5):
        session.send(f"Question {number}")
        assert len(session.messages) <= 5
    assert roles(session) == ["system", "user", "assistant", "user", "assistant"]
    assert [m["content"] for m in session.messages if m["role"] == "user"] == ["Question 3", "Question 4"]


def test_a_limit_shorter_than_a_turn_keeps_the_newest_turn(client: Client) -> None:
    session = ChatSession(client, model=MODEL, max_history=1)
    session.send("One")
    session.send("Two")
    assert roles(session) == ["user", "assistant"]


@pytest.mark.parametrize("max_history", [0, -1, 1.5, "10"])
def test_a_limit_that_is_none_is_refused(max_history: Any, client: Client) -> None:
    with pytest.raises(ParameterError, match="max_history"):
        ChatSession(client, model=MODEL, max_history=max_history)


def test_the_session_s_cost_is_the_sum_of_its_calls_lost_ones_included(byte_server: ByteServer) -> None:
    body = whole_body()
    whole = Sent([head(f"Content-Length: {len(body)}"), body], closes=False)
    cut = Sent([head("Transfer-Encoding: chunked", kind="text/event-stream"), *chunked([piece("Hi")])[:-1]])
    byte_server.answers.extend([whole, Sent([]), cut])
    with Client(KEY, byte_server.url, retry=RetryPolicy(max_attempts=1)) as client:
        session = ChatSession(client, model=MODEL)
        reply = session.send("Hello")
        costs = [reply.cost.usd]
        with pytest.raises(BarechatError) as caught:
            session.send("Lost")
        assert caught.value.cost is not None
        costs.append(caught.value.cost.usd)
        with pytest.raises(StreamTruncated) as cut_short, session.stream("Cut") as stream:
            list(stream)
        assert cut_short.value.cost is not None
        costs.append(cut_short.value.cost.usd)
        assert session.cost.total_cost == client.cost.total_cost == sum(cost or 0 for cost in costs)
        assert session.cost.call_count == 3
