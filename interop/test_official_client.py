"""A client that others wrote, and that most programs use: the official one, against our simulator.

It holds one call of everything that it can do, so it is a long list of short tests; `make test` runs a short form.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

import openai
import pydantic
import pytest

from barechat.simulator import Simulator
from support import make_caller

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletion, ChatCompletionChunk, ParsedChatCompletion

HELLO: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello, sea."}]}
EITHER_WAY = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def connected(simulator: Simulator, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(**{"api_key": "sk-any", "base_url": simulator.url, "max_retries": 0, **options})


@pytest.fixture
def official(simulator: Simulator) -> Iterator[openai.OpenAI]:
    with connected(simulator) as client:
        yield client


def whole(client: openai.OpenAI, **parameters: Any) -> ChatCompletion:
    completion: ChatCompletion = client.chat.completions.create(**{**HELLO, **parameters})
    return completion


def chunks(client: openai.OpenAI, **parameters: Any) -> list[ChatCompletionChunk]:
    return list(client.chat.completions.create(**{**HELLO, **parameters}, stream=True))


def spoken(streamed: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)


def parsed(client: openai.OpenAI, *, streamed: bool, **parameters: Any) -> ParsedChatCompletion[Any]:
    """Let the client check the answer, whole or by its helper for streams."""
    if not streamed:
        return client.chat.completions.parse(**{**HELLO, **parameters})
    with client.chat.completions.stream(**{**HELLO, **parameters}) as stream:
        return stream.get_final_completion()


def test_the_official_client_completes_a_whole_call(official: openai.OpenAI, simulator: Simulator) -> None:
    theirs = whole(official, n=2)
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
    streamed = chunks(official, stream_options={"include_usage": True})
    ours = make_caller("blocking", simulator.url)
    with ours.stream("Hello, sea.") as stream:
        assert "".join(stream) == spoken(streamed)
    ours.close()
    assert streamed[-1].usage is not None


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
def test_the_official_client_completes_an_awaited_call(
    is_streamed: bool, official: openai.OpenAI, simulator: Simulator
) -> None:
    async def ask() -> str:
        async with openai.AsyncOpenAI(api_key="sk-any", base_url=simulator.url, max_retries=0) as client:
            if is_streamed:
                stream = await client.chat.completions.create(**HELLO, stream=True)
                return spoken([chunk async for chunk in stream])
            return (await client.chat.completions.create(**HELLO)).choices[0].message.content or ""

    assert asyncio.run(ask()) == whole(official).choices[0].message.content


class Boat(pydantic.BaseModel):
    name: str
    masts: int


class Rank(Enum):
    COOK = "cook"
    CAPTAIN = "captain"


class Sailor(pydantic.BaseModel):
    name: str
    rank: Rank
    mood: Literal["calm", "stormy"]
    nickname: str | None
    boat: Boat
    dream: Boat | None
    songs: list[str]
    fleet: list[Boat]


@EITHER_WAY
def test_the_official_client_s_tool_loop_comes_to_an_answer(streamed: bool, official: openai.OpenAI) -> None:
    tools = [openai.pydantic_function_tool(Boat, name="launch"), openai.pydantic_function_tool(Sailor, name="enlist")]
    asked = parsed(official, streamed=streamed, tools=tools, parallel_tool_calls=True).choices[0]
    assert asked.finish_reason == "tool_calls"
    calls = asked.message.tool_calls or []
    assert {type(call.function.parsed_arguments) for call in calls} == {Boat, Sailor}
    turns = [
        *HELLO["messages"],
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
                for call in calls
            ],
        },
        *({"role": "tool", "tool_call_id": call.id, "content": "Aye."} for call in calls),
    ]
    answered = parsed(official, streamed=streamed, tools=tools, messages=turns).choices[0]
    assert (answered.finish_reason, answered.message.tool_calls or []) == ("stop", [])
    assert answered.message.content


def test_the_official_client_s_streamed_calls_are_its_whole_ones(official: openai.OpenAI) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in "ab"]
    expected = whole(official, tools=tools, parallel_tool_calls=True).choices[0].message.tool_calls or []
    folded: dict[int, list[str]] = {}
    for chunk in chunks(official, tools=tools, parallel_tool_calls=True):
        for part in chunk.choices[0].delta.tool_calls or []:
            assert part.function is not None
            call = folded.setdefault(part.index, ["", "", ""])
            told = (part.id, part.function.name, part.function.arguments)
            folded[part.index] = [known + (new or "") for known, new in zip(call, told, strict=True)]
    assert list(folded.values()) == [
        [call.id, call.function.name, call.function.arguments] for call in expected if call.type == "function"
    ]
    assert len(folded) == 2
    assert all(isinstance(json.loads(arguments), dict) for _, _, arguments in folded.values())


@EITHER_WAY
def test_the_official_client_s_structured_answers_are_what_its_types_say(
    streamed: bool, official: openai.OpenAI
) -> None:
    found = []
    for day in range(30):
        messages = [{"role": "user", "content": f"Who sails on day {day}?"}]
        answer = parsed(official, streamed=streamed, messages=messages, response_format=Sailor).choices[0].message
        assert isinstance(answer.parsed, Sailor)
        assert Sailor.model_validate_json(answer.content or "") == answer.parsed
        found.append(answer.parsed)
    assert {sailor.rank for sailor in found} == set(Rank)
    assert {sailor.mood for sailor in found} == {"calm", "stormy"}
    assert {sailor.dream is None for sailor in found} == {True, False}


@EITHER_WAY
def test_the_official_client_sees_a_structured_answer_break_off(streamed: bool, official: openai.OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        parsed(official, streamed=streamed, response_format=Sailor, max_completion_tokens=3)


@EITHER_WAY
def test_the_official_client_sees_a_refusal(streamed: bool, official: openai.OpenAI, simulator: Simulator) -> None:
    simulator.fail_next(reply={"refusal": "I'm sorry, I can't assist with that."})
    message = parsed(official, streamed=streamed, response_format=Sailor).choices[0].message
    assert (message.refusal, message.content, message.parsed) == ("I'm sorry, I can't assist with that.", None, None)


@EITHER_WAY
def test_the_official_client_gets_logprobs_of_every_token(streamed: bool, official: openai.OpenAI) -> None:
    choice = parsed(official, streamed=streamed, logprobs=True, top_logprobs=3).choices[0]
    assert choice.logprobs is not None
    told = choice.logprobs.content or []
    assert "".join(one.token for one in told) == choice.message.content
    assert bytes(byte for one in told for byte in one.bytes or ()).decode() == choice.message.content
    assert {len(one.top_logprobs) for one in told} == {3}


def test_the_official_client_s_streamed_choices_are_its_whole_ones(official: openai.OpenAI) -> None:
    texts = [
        [choice.message.content for choice in parsed(official, streamed=streamed, n=3).choices]
        for streamed in (False, True)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) == 3


def test_the_official_client_is_told_what_a_model_thought(official: openai.OpenAI) -> None:
    usage = [whole(official, model="gpt-5", reasoning_effort=effort).usage for effort in ("low", "high")]
    thought = [one.completion_tokens_details.reasoning_tokens for one in usage if one and one.completion_tokens_details]
    assert 0 < (thought[0] or 0) < (thought[1] or 0) < (usage[1].completion_tokens if usage[1] else 0)
    with pytest.raises(openai.BadRequestError) as caught:
        whole(official, model="gpt-5", max_tokens=100)
    assert (caught.value.param, caught.value.code) == ("max_tokens", "unsupported_parameter")


def test_the_official_client_hears_the_same_whole_and_streamed(official: openai.OpenAI) -> None:
    asked = {"model": "gpt-audio", "modalities": ["text", "audio"]}
    wav = whole(official, **asked, audio={"voice": "alloy", "format": "wav"}).choices[0].message.audio
    assert wav is not None
    with wave.open(io.BytesIO(base64.b64decode(wav.data))) as sound:
        assert sound.getnframes() > 0
    bare: dict[str, Any] = {**asked, "audio": {"voice": "alloy", "format": "pcm16"}}
    expected = whole(official, **bare).choices[0].message.audio
    assert expected is not None
    parts = [chunk.choices[0].delta.audio for chunk in chunks(official, **bare) if chunk.choices]
    heard = [part for part in parts if part is not None]
    assert "".join(part.transcript or "" for part in heard) == expected.transcript
    assert "".join(part.data or "" for part in heard) == expected.data


@EITHER_WAY
@pytest.mark.parametrize(
    ("status", "kind", "code", "of_type"),
    [
        (400, openai.BadRequestError, "invalid_value", "invalid_request_error"),
        (401, openai.AuthenticationError, "invalid_api_key", "invalid_request_error"),
        (403, openai.PermissionDeniedError, "unsupported_country_region_territory", "request_forbidden"),
        (404, openai.NotFoundError, "model_not_found", "invalid_request_error"),
        (409, openai.ConflictError, "invalid_value", "invalid_request_error"),
        (422, openai.UnprocessableEntityError, "invalid_value", "invalid_request_error"),
        (429, openai.RateLimitError, "rate_limit_exceeded", "requests"),
        (500, openai.InternalServerError, "server_error", "server_error"),
        (503, openai.InternalServerError, "server_is_overloaded", "service_unavailable_error"),
        (529, openai.InternalServerError, "server_error", "server_error"),
    ],
)
def test_the_official_client_knows_every_status_s_error(
    status: int,
    kind: type[openai.APIStatusError],
    code: str,
    of_type: str,
    streamed: bool,
    official: openai.OpenAI,
    simulator: Simulator,
) -> None:
    simulator.fail_next(status=status)
    with pytest.raises(kind) as caught:
        whole(official, stream=streamed)
    error = caught.value
    assert (type(error), error.status_code, error.code, error.type) == (kind, status, code, of_type)
    assert (error.request_id or "").startswith("req_")


def test_the_official_client_knows_what_the_simulator_refuses_by_itself(
    official: openai.OpenAI, simulator: Simulator
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        whole(official, temperature=3)
    assert (refused.value.param, refused.value.code) == ("temperature", "decimal_above_max_value")
    with pytest.raises(openai.NotFoundError) as absent:
        whole(official, model="no-such")
    assert (absent.value.param, absent.value.code) == (None, "model_not_found")
    with connected(simulator, api_key="sk-bad") as stranger, pytest.raises(openai.AuthenticationError) as unknown:
        whole(stranger)
    assert unknown.value.code == "invalid_api_key"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"reset_before": True}, openai.APIConnectionError),
        ({"close_before": True}, openai.APIConnectionError),
        ({"reset_in_head": True}, openai.APIConnectionError),
        ({"stall_head": True}, openai.APITimeoutError),
        ({"stall_after": 2}, openai.APITimeoutError),
        ({"cut_after": 2}, openai.APIConnectionError),
        ({"cut_after": 2, "reset": True}, openai.APIConnectionError),
    ],
    ids=str,
)
def test_the_official_client_knows_a_lost_connection_from_a_slow_one(
    fault: dict[str, Any], kind: type[openai.APIConnectionError], official: openai.OpenAI, simulator: Simulator
) -> None:
    simulator.fail_next(**fault)
    with pytest.raises(openai.APIConnectionError) as caught:
        # What stalls here stalls for good, so that a short wait is enough; anything else has all the time it needs.
        chunks(official, timeout=0.1 if kind is openai.APITimeoutError else 30)
    assert type(caught.value) is kind


def test_the_official_client_reads_an_error_within_a_stream(official: openai.OpenAI, simulator: Simulator) -> None:
    simulator.fail_next(error_after=2)
    seen: list[ChatCompletionChunk] = []
    with pytest.raises(openai.APIError) as caught:
        seen.extend(official.chat.completions.create(**HELLO, stream=True))
    error = caught.value
    assert (type(error), error.code, error.type) == (openai.APIError, "server_error", "server_error")
    assert spoken(seen)


def test_the_official_client_tries_again_until_the_fault_is_over(simulator: Simulator) -> None:
    simulator.fail_next(times=2, status=503, headers={"retry-after-ms": "1"})
    with connected(simulator, max_retries=2) as client:
        assert whole(client).choices[0].message.content
    assert [(record["attempt"], record["status"]) for record in simulator.requests] == [(1, 503), (2, 503), (3, 200)]


def test_the_official_client_does_not_try_again_when_it_is_told_not_to(simulator: Simulator) -> None:
    simulator.fail_next(times=2, status=503, headers={"x-should-retry": "false"})
    with connected(simulator, max_retries=2) as client, pytest.raises(openai.InternalServerError):
        whole(client)
    assert len(simulator.requests) == 1


def test_the_official_client_lists_the_models_and_finds_each(official: openai.OpenAI) -> None:
    models = official.models.list().data
    assert {"gpt-4o-mini", "o3", "gpt-5"} <= {model.id for model in models}
    assert [official.models.retrieve(model.id) for model in models] == models
    with pytest.raises(openai.NotFoundError) as caught:
        official.models.retrieve("no-such")
    assert caught.value.code == "model_not_found"


def azure(simulator: Simulator, *, is_classic: bool, **options: Any) -> openai.OpenAI:
    endpoint = simulator.url.removesuffix("/v1")
    if is_classic:
        return openai.AzureOpenAI(
            **{"api_key": "any", "azure_endpoint": endpoint, "api_version": "2024-10-21", "max_retries": 0, **options}
        )
    return connected(simulator, base_url=f"{endpoint}/openai/v1", **options)


@pytest.mark.parametrize("is_classic", [True, False], ids=["classic", "v1"])
def test_the_official_client_speaks_with_azure(is_classic: bool) -> None:
    with Simulator(dialect="azure") as simulator, azure(simulator, is_classic=is_classic) as client:
        text = whole(client).choices[0].message.content
        assert text == spoken(chunks(client))
        with pytest.raises(openai.NotFoundError) as absent:
            whole(client, model="no-such")
        assert absent.value.code == "DeploymentNotFound"
        with (
            azure(simulator, is_classic=is_classic, api_key="sk-bad") as stranger,
            pytest.raises(openai.AuthenticationError) as unknown,
        ):
            whole(stranger)
        assert unknown.value.code == "401"
        start = "/openai/deployments/gpt-4o-mini/chat/completions?" if is_classic else "/openai/v1/chat/completions"
        assert simulator.requests[0]["path"].startswith(start)


DIALECTS = ("openai", "azure", "vllm", "llama.cpp", "ollama", "groq", "openrouter", "transformers", "litellm")


@pytest.mark.parametrize("model", ["gpt-4o-mini", "deepseek-r1"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_official_client_reads_the_same_of_every_server_whole_and_streamed(dialect: str, model: str) -> None:
    tool = openai.pydantic_function_tool(Sailor)
    with Simulator(dialect=dialect) as simulator, connected(simulator) as client:
        text = whole(client, model=model).choices[0].message.content
        assert text
        assert text == spoken(chunks(client, model=model, stream_options={"include_usage": True}))
        assert text == parsed(client, streamed=True, model=model).choices[0].message.content
        calls = [
            [
                (call.function.name, call.function.parsed_arguments)
                for call in parsed(client, streamed=streamed, model=model, tools=[tool]).choices[0].message.tool_calls
                or ()
            ]
            for streamed in (False, True)
        ]
        assert calls[0] == calls[1]
        assert len(calls[0]) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_official_client_knows_every_server_s_errors_by_their_status(dialect: str) -> None:
    with Simulator(dialect=dialect) as simulator, connected(simulator) as client:
        simulator.fail_next(status=429)
        with pytest.raises(openai.RateLimitError):
            whole(client)
        simulator.fail_next(error_after=2)
        with pytest.raises(openai.APIError):
            chunks(client)
