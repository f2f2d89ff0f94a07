"""A conversation: what it sends, what it remembers, and what it forgets when a send fails."""

from __future__ import annotations

import sys
import threading
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from barechat import (
    AsyncChatSession,
    AsyncClient,
    Attempt,
    BarechatError,
    ChatSession,
    Client,
    ConfigurationError,
    DeadlineExceeded,
    NotFound,
    ParameterError,
    RetryPolicy,
    StreamTruncated,
    Timeouts,
)
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
    other: Any = {"model": "gpt-4o"}
    for turn in (session.send, session.stream, partial(session.run, tools=[])):
        with pytest.raises(ParameterError, match="model is the session's own") as caught:
            turn("Hello", **other)
        assert caught.value.param == "model"
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


def said(session: ChatSession) -> list[str]:
    """Return what the user said, each of it answered."""
    turns = [session.messages[at : at + 2] for at in range(0, len(session.messages), 2)]
    assert all([message["role"] for message in turn] == ["user", "assistant"] for turn in turns)
    return [question["content"] for question, _ in turns]


def test_a_send_during_an_open_stream_is_remembered_and_so_is_the_stream(client: Client) -> None:
    session = ChatSession(client, model=MODEL)
    with session.stream("Long") as stream:
        next(stream)
        session.send("Short")
        assert said(session) == ["Short"]
        list(stream)
    assert said(session) == ["Short", "Long"]


def test_a_send_that_ends_during_another_is_remembered_and_so_is_the_other(
    client: Client, simulator: Simulator
) -> None:
    session = ChatSession(client, model=MODEL)

    def interrupt(_: Attempt) -> None:
        session.send("Inner")

    simulator.fail_next(status=503)
    session.send("Outer", retry=RetryPolicy(base_s=0.001, on_retry=interrupt))
    assert said(session) == ["Inner", "Outer"]


def test_turns_that_end_together_are_trimmed_to_the_limit(client: Client) -> None:
    session = ChatSession(client, model=MODEL, max_history=2)
    with session.stream("Long") as stream:
        next(stream)
        session.send("Short")
        list(stream)
    assert said(session) == ["Long"]


@pytest.fixture
def _impatient_threads() -> Iterator[None]:
    """Let threads take turns as often as they can, so that a lost turn is seen."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_impatient_threads")
def test_threads_lose_no_turn(client: Client) -> None:
    session = ChatSession(client, model=MODEL)
    reply = client.chat("Hello", model=MODEL)
    begin = threading.Barrier(8)

    def remember(name: int) -> None:
        begin.wait(timeout=10)
        for number in range(250):
            session._remember([{"role": "user", "content": f"{name} {number}"}, reply.message.to_dict()])

    threads = [threading.Thread(target=remember, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(said(session))) == 2000


@pytest.mark.parametrize("client", [AsyncClient(KEY, "http://127.0.0.1:1/v1"), KEY, None])
def test_what_is_no_client_that_blocks_is_refused_at_once(client: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"needs a barechat.Client, not {type(client).__name__}"):
        ChatSession(client, model=MODEL)
    with pytest.raises(ConfigurationError, match=r"an AsyncChatSession needs a barechat\.AsyncClient, not Client"):
        AsyncChatSession(Client(KEY, "http://127.0.0.1:1/v1"))  # type: ignore[arg-type]


def test_a_call_s_options_go_before_the_session_s_and_reach_the_wire(byte_server: ByteServer) -> None:
    body = whole_body()
    byte_server.answer(head(f"Content-Length: {len(body)}"), body, closes=False)
    with Client(KEY, byte_server.url) as client:
        session = ChatSession(client, model=MODEL, headers={"X-One": "session"}, extra={"top_k": 1})
        session.send("One", tags={"for": "test"})
        with session.stream("Two", headers={"X-One": "call"}, extra={"top_k": 2}) as stream:
            list(stream)
    assert [request.json["top_k"] for request in byte_server.requests] == [1, 2]
    for request, value in zip(byte_server.requests, ("session", "call"), strict=True):
        assert f"x-one: {value}" in request.head.lower()


def test_a_call_s_timeouts_and_retry_hold(client: Client, simulator: Simulator) -> None:
    session = ChatSession(client, model=MODEL)
    simulator.fail_next(stall_head=True)
    with pytest.raises(DeadlineExceeded) as caught:
        session.send("Hello", timeouts=Timeouts(total_s=0.05))
    assert caught.value.which == "total"
    simulator.fail_next(status=503)
    with pytest.raises(BarechatError), session.stream("Hello", retry=RetryPolicy(max_attempts=1)) as stream:
        list(stream)


def test_a_turn_that_took_two_attempts_is_one_call(client: Client, simulator: Simulator) -> None:
    session = ChatSession(client, model=MODEL)
    simulator.fail_next(close_before=True)
    reply = session.send("Hello")
    assert [attempt.cost.certainty for attempt in reply.attempts] == ["bound", "exact"]
    assert session.cost.call_count == client.cost.call_count == 1
    assert session.cost.total_cost == client.cost.total_cost == reply.cost.usd
    assert "calls          1\n" in str(client.cost)
    simulator.fail_next(2, close_before=True)
    with (
        pytest.raises(BarechatError) as caught,
        session.stream("Lost", retry=RetryPolicy(max_attempts=2, base_s=0.001)) as stream,
    ):
        list(stream)
    assert len([attempt for attempt in caught.value.attempts if attempt.cost.picodollars]) == 2
    assert session.cost.call_count == client.cost.call_count == 2
    assert session.cost.total_cost == client.cost.total_cost


def test_an_unpriced_call_is_one_however_many_attempts_it_took(
    client: Client, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    session = ChatSession(client, model="llama-9")
    simulator.fail_next(close_before=True)
    with caplog.at_level("INFO", "barechat"):
        session.send("Hello")
    for tracker in (session.cost, client.cost):
        assert (tracker.call_count, tracker.unpriced_calls, tracker.total_cost) == (1, 1, Decimal(0))
    assert client.cost.total_output_tokens > 0
    assert caplog.messages[-1] == "llama-9: complete after 2 attempts, unpriced"
    simulator.fail_next(2, close_before=True)
    with pytest.raises(BarechatError):
        session.send("Lost", retry=RetryPolicy(max_attempts=2, base_s=0.001))
    for tracker in (session.cost, client.cost):
        assert (tracker.call_count, tracker.unpriced_calls) == (2, 2)


def test_the_log_says_what_a_priced_call_cost_in_dollars(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "barechat"):
        reply = client.chat("Hello", model=MODEL)
    assert caplog.messages[-1] == f"{MODEL}: complete after 1 attempts, ${reply.cost}"
