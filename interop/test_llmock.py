"""A server that others wrote, and that judges its clients: llmock, under both of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from barechat import (
    BadRequest,
    ContextTooLong,
    DeadlineExceeded,
    NotFound,
    Overloaded,
    ProtocolBroken,
    RateLimited,
    RetryPolicy,
    StreamTruncated,
    Timeouts,
)
from support import QUICK

if TYPE_CHECKING:
    from support import Caller, Connect


@pytest.fixture
def mocked(connect: Connect, llmock: Any) -> Caller:
    return connect(llmock.base_url("openai"), retry=QUICK)


def test_llmock_s_whole_reply_is_read(mocked: Caller, llmock: Any) -> None:
    llmock.reply("It will rain.")
    reply = mocked.chat()
    assert (reply.text, reply.verdict, reply.cost.certainty) == ("It will rain.", "complete", "exact")
    llmock.assert_resilient(strict=True)


def test_llmock_s_stream_is_read_and_metered(mocked: Caller, llmock: Any) -> None:
    llmock.reply("It will rain in the evening.")
    with mocked.stream() as stream:
        assert "".join(stream) == "It will rain in the evening."
    assert (stream.reply.verdict, stream.reply.usage is not None) == ("complete", True)
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("streamed", [False, True])
def test_llmock_s_tool_calls_are_read(streamed: bool, mocked: Caller, llmock: Any) -> None:
    llmock.call_tool("get_weather", {"city": "Paris"})
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
    if streamed:
        with mocked.stream(tools=tools) as stream:
            list(stream.deltas())
        reply = stream.reply
    else:
        reply = mocked.chat(tools=tools)
    assert reply.message.tool_calls is not None
    (call,) = reply.message.tool_calls
    assert call.function is not None
    assert (call.function.name, call.function.arguments.replace(" ", "")) == ("get_weather", '{"city":"Paris"}')


def test_llmock_finds_nothing_to_say_of_how_we_try_again(connect: Connect, llmock: Any) -> None:
    caller = connect(llmock.base_url("openai"), retry=RetryPolicy(base_s=0.05))
    llmock.fail(503)
    assert len(caller.chat().attempts) == 2
    llmock.fail(400)
    with pytest.raises(BadRequest):
        caller.chat("Another")
    llmock.fail(404)
    with pytest.raises(NotFound):
        caller.chat("A third")
    llmock.context_overflow()
    with pytest.raises(ContextTooLong):
        caller.chat("A fourth")
    llmock.assert_resilient()


def test_llmock_s_rate_limit_is_waited_for(mocked: Caller, llmock: Any) -> None:
    llmock.rate_limit(retry_after=0.01)
    reply = mocked.chat()
    assert reply.attempts[0].delay_s is not None
    assert reply.attempts[0].delay_s >= 0.01
    llmock.assert_resilient()
    llmock.rate_limit(retry_after=300)
    with pytest.raises(RateLimited) as caught:
        mocked.chat("Another")
    assert caught.value.retry_after_s == 300


def test_llmock_s_outage_outlasts_our_tries(connect: Connect, llmock: Any) -> None:
    llmock.outage()
    with pytest.raises(Overloaded) as caught:
        connect(llmock.base_url("openai"), retry=RetryPolicy(max_attempts=2, base_s=0.01)).chat()
    assert len(caught.value.attempts) == 2


@pytest.mark.parametrize("fault", ["disconnect", "truncate"])
def test_llmock_s_broken_streams_are_truncated_with_what_came(fault: str, mocked: Caller, llmock: Any) -> None:
    llmock.reply("It will rain in the evening, and then the sun comes out.")
    getattr(llmock, fault)(after_chunks=3)
    with pytest.raises(StreamTruncated) as caught, mocked.stream() as stream:
        list(stream)
    assert caught.value.partial is not None
    assert caught.value.partial.text
    assert len(llmock.requests) == 1


def test_llmock_s_corrupted_chunk_breaks_the_protocol(mocked: Caller, llmock: Any) -> None:
    llmock.reply("It will rain in the evening.").corrupt(after_chunks=3)
    with pytest.raises(ProtocolBroken), mocked.stream() as stream:
        list(stream)


def test_llmock_s_stall_passes_idle(mocked: Caller, llmock: Any) -> None:
    llmock.reply("It will rain in the evening.").stall(after_chunks=3, seconds=5)
    with pytest.raises(DeadlineExceeded) as caught, mocked.stream(timeouts=Timeouts(idle_s=0.1)) as stream:
        list(stream)
    assert caught.value.which == "idle"
    assert caught.value.partial is not None


def test_llmock_s_slow_first_token_passes_first_byte(mocked: Caller, llmock: Any) -> None:
    llmock.slow_first_token(5)
    with (
        pytest.raises(DeadlineExceeded) as caught,
        mocked.stream(timeouts=Timeouts(first_byte_s=0.1, idle_s=0.1)) as stream,
    ):
        list(stream)
    assert caught.value.which in {"first_byte", "idle"}
