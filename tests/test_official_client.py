"""The official client against our simulator, in short: `make interop` holds it to everything that it can do.

It takes a second to import, so only the test that is running does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support import make_caller

if TYPE_CHECKING:
    from collections.abc import Iterator

    import openai
    from openai.types.chat import ChatCompletionFunctionToolParam

    from barechat.simulator import Simulator

HELLO: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello, sea."}]}
WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object"}},
}


@pytest.fixture
def official(simulator: Simulator) -> Iterator[openai.OpenAI]:
    import openai  # noqa: PLC0415 - see the top

    with openai.OpenAI(api_key="sk-any", base_url=simulator.url, max_retries=0) as client:
        yield client


def test_it_hears_of_the_simulator_what_our_client_hears(official: openai.OpenAI, simulator: Simulator) -> None:
    theirs = official.chat.completions.create(**HELLO, n=2)
    streamed = list(official.chat.completions.create(**HELLO, n=2, stream=True, stream_options={"include_usage": True}))
    ours = make_caller("blocking", simulator.url)
    reply = ours.chat("Hello, sea.", n=2)
    ours.close()
    assert theirs.usage is not None
    assert reply.usage is not None
    assert theirs.usage.total_tokens == reply.usage.total_tokens
    assert theirs._request_id
    # Code that knows their records reads ours unchanged.
    for choice, twin in zip(theirs.choices, reply.choices, strict=True):
        assert (choice.index, choice.finish_reason) == (twin.index, twin.finish_reason)
        assert (choice.message.role, choice.message.content) == (twin.message.role, twin.message.content)
    for twin in reply.choices:
        parts = [one.delta.content for chunk in streamed for one in chunk.choices if one.index == twin.index]
        assert "".join(part or "" for part in parts) == twin.message.content
    assert streamed[-1].usage is not None


def test_its_helper_for_streams_folds_a_tool_call(official: openai.OpenAI) -> None:
    with official.chat.completions.stream(**HELLO, tools=[WEATHER]) as stream:
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    assert [call.function.name for call in choice.message.tool_calls or ()] == ["weather"]


def test_it_knows_an_error_before_an_answer_within_it_and_a_lost_connection(
    official: openai.OpenAI, simulator: Simulator
) -> None:
    import openai  # noqa: PLC0415 - see the top

    simulator.fail_next(status=429)
    with pytest.raises(openai.RateLimitError) as caught:
        official.chat.completions.create(**HELLO)
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")
    simulator.fail_next(error_after=2)
    with pytest.raises(openai.APIError, match="The server had an error"):
        list(official.chat.completions.create(**HELLO, stream=True))
    simulator.fail_next(cut_after=2)
    with pytest.raises(openai.APIConnectionError):
        list(official.chat.completions.create(**HELLO, stream=True))
