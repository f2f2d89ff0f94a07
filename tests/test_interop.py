"""Clients and servers that others wrote: the official client against our simulator, llmock under both our clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
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
from support import QUICK, make_caller

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat.simulator import Simulator
    from support import Caller, Connect


# The official client, against our simulator


@pytest.fixture
def official(simulator: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-any", base_url=simulator.url, max_retries=0) as client:
        yield client


def test_the_official_client_completes_a_whole_call(official: openai.OpenAI, simulator: Simulator) -> None:
    theirs = official.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello, sea."}], n=2
    )
    ours = make_caller("blocking", simulator.url)
    reply = ours.chat("Hello, sea.", n=2)
    ours.close()
    assert theirs.usage is not None
    assert reply.usage is not None
    assert [c.message.content for c in theirs.choices] == [c.message.content for c in reply.choices]
    assert theirs.usage.total_tokens == reply.usage.total_tokens
    assert theirs._request_id
    # Code that knows their records reads ours unchanged.
    for choice, twin in zip(theirs.choices, reply.choices, strict=True):
        assert (choice.index, choice.finish_reason, choice.message.role) == (
            twin.index,
            twin.finish_reason,
            twin.message.role,
        )


def test_the_official_client_completes_a_streamed_call(official: openai.OpenAI, simulator: Simulator) -> None:
    chunks = list(
        official.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Hello, sea."}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    ours = make_caller("blocking", simulator.url)
    with ours.stream("Hello, sea.") as stream:
        assert "".join(stream) == text
    ours.close()
    assert chunks[-1].usage is not None


def test_the_official_client_reads_our_simulator_s_errors_as_its_own(
    official: openai.OpenAI, simulator: Simulator
) -> None:
    simulator.fail_next(status=429, headers={"retry-after": "1"})
    with pytest.raises(openai.RateLimitError):
        official.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}])
    with pytest.raises(openai.NotFoundError):
        official.chat.completions.create(model="no-such", messages=[{"role": "user", "content": "Hi"}])


# llmock, under both our clients


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
    llmock.fail(503, times=2)
    assert len(caller.chat().attempts) == 3
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
        connect(llmock.base_url("openai"), retry=RetryPolicy(max_attempts=3, base_s=0.01)).chat()
    assert len(caught.value.attempts) == 3


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
