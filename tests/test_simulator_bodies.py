"""Bodies: tools, structures, thoughts, logprobs and all else that a reply can hold, alike whole and streamed."""

from __future__ import annotations

import base64
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.simulator.dialects import DIALECTS
from barechat.simulator.events import events
from barechat.simulator.fault import Fault, Scripted, ScriptedCall
from barechat.simulator.prompt_cache import CacheUse, PromptCache
from barechat.simulator.refusals import refuse
from barechat.simulator.script import compose
from simulating import CHUNK_SCHEMA, HELLO, REPLY_SCHEMA, REQUEST_SCHEMA, body, chunks, fold, parts, reply, request

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["c", "f"]},
                "days": {"type": ["integer", "null"], "minimum": 1, "maximum": 14},
                "at": {"type": "array", "items": {"type": "string", "format": "time"}, "minItems": 1},
            },
            "required": ["city", "unit", "days", "at"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
BARE: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
CODE: dict[str, Any] = {"type": "custom", "custom": {"name": "run_code"}}
PLATE: dict[str, Any] = {
    "type": "custom",
    "custom": {
        "name": "plate",
        "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "^[A-Z]{2}-[0-9]{3}$"}},
    },
}
PERSON: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "nick": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "role": {"type": "string", "enum": ["cook", "sailor"]},
                "friends": {"type": "array", "items": {"$ref": "#/$defs/friend"}},
            },
            "required": ["name", "nick", "role", "friends"],
            "additionalProperties": False,
            "$defs": {
                "friend": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "years": {"type": "integer", "minimum": 0}},
                    "required": ["name", "years"],
                    "additionalProperties": False,
                }
            },
        },
    },
}
USER = HELLO["messages"][0]


def message(**parameters: Any) -> dict[str, Any]:
    found = body(reply(**parameters))["choices"][0]["message"]
    assert isinstance(found, dict)
    return found


# Tools


def test_a_question_with_a_tool_gets_a_call_whose_arguments_fit() -> None:
    choice = body(reply(tools=[WEATHER]))["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert call["id"].startswith("call_")
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    jsonschema.validate(json.loads(call["function"]["arguments"]), WEATHER["function"]["parameters"])


def test_after_the_tool_s_reply_comes_an_answer() -> None:
    (call,) = message(tools=[WEATHER])["tool_calls"]
    turns = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "12 degrees"},
    ]
    answered = message(tools=[WEATHER], messages=turns)
    assert answered["content"]
    assert "tool_calls" not in answered
    again = message(tools=[WEATHER], messages=[*turns, {"role": "assistant", "content": "12."}, USER])
    assert again["tool_calls"]


def test_calls_are_parallel_when_that_is_asked_for() -> None:
    both = message(tools=[WEATHER, BARE], parallel_tool_calls=True)["tool_calls"]
    assert {call["function"]["name"] for call in both} == {"get_weather", "now"}
    assert len({call["id"] for call in both}) == 2
    assert len(message(tools=[WEATHER], parallel_tool_calls=True)["tool_calls"]) == 2
    assert len(message(tools=[WEATHER, BARE], parallel_tool_calls=False)["tool_calls"]) == 1


@pytest.mark.parametrize(
    ("choice", "names", "reason"),
    [
        ("auto", {"get_weather", "now"}, "tool_calls"),
        ("required", {"get_weather", "now"}, "tool_calls"),
        ({"type": "function", "function": {"name": "now"}}, {"now"}, "stop"),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "now"}}]},
            },
            {"now"},
            "tool_calls",
        ),
    ],
)
def test_the_choice_of_tools_is_followed(choice: Any, names: set[str], reason: str) -> None:
    for seed in range(5):
        answered = body(reply(seed=seed, tools=[WEATHER, BARE], tool_choice=choice))["choices"][0]
        assert {call["function"]["name"] for call in answered["message"]["tool_calls"]} <= names
        assert answered["finish_reason"] == reason


def test_no_tool_is_called_when_none_may_be() -> None:
    assert message(tools=[WEATHER], tool_choice="none")["content"]


def test_a_custom_tool_gets_input_in_its_format() -> None:
    (call,) = message(tools=[PLATE])["tool_calls"]
    assert call["type"] == "custom"
    jsonschema.validate(call["custom"]["input"], {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"})
    (free,) = message(tools=[CODE])["tool_calls"]
    assert free["custom"]["input"].endswith(".")


def test_deprecated_functions_are_called_in_the_deprecated_way() -> None:
    choice = body(reply(functions=[WEATHER["function"]]))["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"]["name"] == "get_weather"
    assert message(functions=[WEATHER["function"]], function_call="none")["content"]


def test_a_call_that_the_limit_cuts_ends_by_length() -> None:
    choice = body(reply(tools=[WEATHER], max_completion_tokens=2))["choices"][0]
    assert choice["finish_reason"] == "length"
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])


# Structure


def test_a_schema_gets_a_value_that_validates() -> None:
    for seed in range(20):
        text = body(reply(seed=seed, response_format=PERSON))["choices"][0]["message"]["content"]
        jsonschema.validate(json.loads(text), PERSON["json_schema"]["schema"])


# Thoughts


def test_a_reasoning_model_counts_thoughts_that_it_does_not_show() -> None:
    counted = {
        effort: body(reply(model="o3", reasoning_effort=effort))["usage"]["completion_tokens_details"]
        for effort in ("low", "high")
    }
    assert 0 < counted["low"]["reasoning_tokens"] < counted["high"]["reasoning_tokens"]
    assert body(reply(model="gpt-4o"))["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0
    usage = body(reply(model="o3"))["usage"]
    said = reply(model="o3").choices[0].spoken
    assert usage["completion_tokens"] == said + usage["completion_tokens_details"]["reasoning_tokens"]


def test_thoughts_can_use_up_the_limit_before_a_word_is_said() -> None:
    choice = body(reply(model="o3", max_completion_tokens=10))["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
    assert body(reply(model="o3", max_completion_tokens=10))["usage"]["completion_tokens"] == 10


@pytest.mark.parametrize(("dialect", "name"), [("vllm", "reasoning_content"), ("openrouter", "reasoning")])
def test_servers_that_show_thoughts_show_them_before_the_answer(dialect: str, name: str) -> None:
    answer = reply(model="deepseek-r1")
    shown = body(answer, dialect)["choices"][0]["message"][name]
    assert fold(answer, dialect)[0][name] == shown
    assert shown == "".join(answer.choices[0].reasoning)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(answer, dialect) if chunk["choices"]]
    kinds = [name if name in delta else "content" for delta in deltas if delta.get(name) or delta.get("content")]
    assert kinds == sorted(kinds, key=[name, "content"].index)


# Everything else


def test_logprobs_are_of_every_token_and_as_many_as_asked_for() -> None:
    answer = reply(logprobs=True, top_logprobs=3)
    told = body(answer)["choices"][0]["logprobs"]["content"]
    assert "".join(one["token"] for one in told) == body(answer)["choices"][0]["message"]["content"]
    assert all(bytes(one["bytes"]).decode() == one["token"] for one in told)
    assert all(len(one["top_logprobs"]) == 3 for one in told)
    assert all(one["top_logprobs"][0]["token"] == one["token"] for one in told)
    assert fold(answer)[0]["logprobs"] == told
    assert body(reply())["choices"][0]["logprobs"] is None
    assert body(reply(logprobs=True))["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []


def test_chunks_are_padded_to_hide_their_tokens_unless_told_not_to() -> None:
    padded = parts(reply(), obfuscate=True)
    spoken = [part for part in padded if b'"obfuscation"' in part]
    assert len(spoken) == reply().choices[0].spoken
    plain = [part for part in parts(reply()) if b'"content":"' in part][1:]
    assert len({len(part) % 16 for part in spoken}) < len({len(part) % 16 for part in plain})
    for part in spoken:
        CHUNK_SCHEMA.validate(json.loads(part[6:]))


def test_audio_is_silence_with_a_transcript() -> None:
    answer = reply(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"})
    audio = body(answer)["choices"][0]["message"]["audio"]
    assert base64.b64decode(audio["data"]).startswith(b"RIFF")
    assert audio["transcript"].endswith(".")
    assert body(answer)["usage"]["completion_tokens_details"]["audio_tokens"] > 0
    streamed = [c["choices"][0]["delta"]["audio"] for c in chunks(answer) if "audio" in c["choices"][0]["delta"]]
    assert "".join(one.get("transcript", "") for one in streamed) == audio["transcript"]
    assert "".join(one.get("data", "") for one in streamed) == audio["data"]


def test_a_search_cites_a_page() -> None:
    (citation,) = message(web_search_options={})["annotations"]
    cited = citation["url_citation"]
    assert message(web_search_options={})["content"][: cited["end_index"]].endswith(".")


def test_moderation_follows_the_usage_in_a_chunk_of_its_own() -> None:
    answer = reply(moderation={"model": "omni-moderation-latest"})
    *_, usage, moderation = chunks(answer, include_usage=True)
    assert usage["usage"]["total_tokens"] > 0
    assert (moderation["choices"], moderation["usage"]) == ([], None)
    assert moderation["moderation"] == body(answer)["moderation"]


def test_a_prediction_counts_what_came_true_and_what_did_not() -> None:
    said = message()["content"]
    usage = body(reply(prediction={"type": "content", "content": f"{said[:10]} but not so"}))["usage"]
    details = usage["completion_tokens_details"]
    assert details["rejected_prediction_tokens"] > 0


def test_metadata_comes_back() -> None:
    assert body(reply(metadata={"job": "nightly"}))["metadata"] == {"job": "nightly"}


@pytest.mark.parametrize(
    ("scripted", "finish_reason"),
    [
        (Scripted(refusal="I can't help with that."), "stop"),
        (Scripted(content="I see.", finish_reason="content_filter"), "content_filter"),
        (Scripted(tool_calls=[ScriptedCall(name="a", arguments={"x": 1}), ScriptedCall(name="b")]), "tool_calls"),
        (Scripted(content="Hm.", reasoning="Let me think."), "stop"),
    ],
)
def test_a_scripted_message_is_given_word_for_word(scripted: Scripted, finish_reason: str) -> None:
    answer = reply(fault=Fault(reply=scripted))
    choice = body(answer, "openrouter")["choices"][0]
    streamed = fold(answer, "openrouter")[0]
    assert choice["finish_reason"] == streamed["finish_reason"] == finish_reason
    assert choice["message"]["content"] == scripted.content
    assert body(answer)["choices"][0]["message"]["refusal"] == scripted.refusal == streamed.get("refusal")
    assert (choice["message"]["reasoning"] or None) == scripted.reasoning == (streamed.get("reasoning") or None)
    called = [call["function"] for call in choice["message"].get("tool_calls", [])]
    assert [json.loads(call["arguments"]) for call in called] == [call.arguments for call in scripted.tool_calls]
    assert [call["text"] for call in streamed["calls"].values()] == [call["arguments"] for call in called]


# The prompt cache


def long_request(words: int, *, end: str = "", key: str = "sk-a") -> Any:
    return request(key=key, messages=[{"role": "user", "content": "word " * words + end}])


def test_a_long_prompt_s_repeated_prefix_is_cached_in_blocks() -> None:
    cache = PromptCache()
    assert cache.use(long_request(2000)).read == 0
    assert cache.use(long_request(2000)).read == 1920
    assert cache.use(long_request(1500, end="and another end")).read == 1408
    assert cache.use(long_request(1500, end="and another end", key="sk-b")).read == 0


def test_a_short_prompt_is_not_cached() -> None:
    cache = PromptCache()
    assert [cache.use(long_request(1000)) for _ in range(2)] == [CacheUse(), CacheUse()]


def test_cached_and_written_tokens_stand_in_the_usage() -> None:
    asked = request(model="gpt-5.6-sol")
    answer = compose(asked, seed=0, created=1, cache=CacheUse(1024, 256))
    details = body(answer)["usage"]["prompt_tokens_details"]
    assert (details["cached_tokens"], details["cache_write_tokens"]) == (1024, 256)
    assert "cache_write_tokens" not in body(reply())["usage"]["prompt_tokens_details"]


# Any request

tool_lists = st.lists(st.sampled_from([WEATHER, BARE, CODE, PLATE]), min_size=1, max_size=4, unique_by=id)
any_requests = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["gpt-4o", "gpt-5.6-terra", "gpt-6-luna", "local/tiny"]),
        "n": st.integers(1, 3),
        "max_completion_tokens": st.integers(1, 300),
        "stop": st.sampled_from([".", [" the", "zebra"]]),
        "tools": tool_lists,
        "logprobs": st.booleans(),
        "response_format": st.sampled_from([{"type": "text"}, PERSON]),
        "verbosity": st.sampled_from(["low", "medium", "high"]),
        "service_tier": st.sampled_from(["auto", "default", "flex", "priority", "fast"]),
        "web_search_options": st.just({}),
        "moderation": st.just({"model": "omni-moderation-latest"}),
        "metadata": st.just({"a": "b"}),
        "prediction": st.just({"type": "content", "content": "The quiet harbour waits."}),
        "seed": st.integers(-5, 5),
    },
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(any_requests, st.integers(0, 3), st.booleans())
def test_whatever_is_asked_reply_and_chunks_validate_and_say_the_same(
    parameters: dict[str, Any], seed: int, obfuscate: bool
) -> None:
    asked = request(**parameters)
    REQUEST_SCHEMA.validate(asked.body)
    assert refuse(asked) is None
    answer = compose(asked, seed=seed, created=1_700_000_000)
    full = body(answer)
    REPLY_SCHEMA.validate(full)
    for chunk in chunks(answer, include_usage=True, obfuscate=obfuscate):
        CHUNK_SCHEMA.validate(chunk)
    streamed = fold(answer, include_usage=True)
    for choice in full["choices"]:
        said = streamed[choice["index"]]
        assert said["finish_reason"] == choice["finish_reason"]
        assert said.get("content") == choice["message"]["content"] or not choice["message"]["content"]
        called = choice["message"].get("tool_calls", [])
        about = [call.get("custom") or call.get("function") for call in called]
        assert [call["id"] for call in said["calls"].values()] == [call["id"] for call in called]
        assert [call["text"] for call in said["calls"].values()] == [
            one.get("arguments", one.get("input")) for one in about
        ]
    spoken = sum(piece.spoken for piece in events(answer, DIALECTS["openai"]))
    assert answer.usage(spoken) == full["usage"] == answer.usage()
    if (limit := parameters.get("max_completion_tokens")) is not None:
        unsaid = full["usage"]["completion_tokens_details"]["rejected_prediction_tokens"]
        assert full["usage"]["completion_tokens"] - unsaid <= limit * len(full["choices"])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(any_requests, st.sampled_from(sorted(DIALECTS)))
def test_batched_events_are_the_same_bytes(parameters: dict[str, Any], dialect: str) -> None:
    answer = compose(request(**parameters), seed=1, created=1)
    batched = list(events(answer, DIALECTS[dialect], include_usage=True, batch=True))
    single = list(events(answer, DIALECTS[dialect], include_usage=True))
    assert [part for piece in batched for part in piece.parts] == [part for piece in single for part in piece.parts]
    assert sum(piece.contents for piece in batched) == sum(piece.contents for piece in single)
    assert sum(piece.spoken for piece in batched) == sum(piece.spoken for piece in single)
    assert len(batched) < len(single)
