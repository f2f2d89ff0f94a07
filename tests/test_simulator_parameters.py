"""Whatever the official description forbids is refused, and what it allows, in all its kinds, is not."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from barechat.simulator.contract.parameters import BODY, PARAMETERS
from barechat.simulator.refusals import refuse
from barechat.simulator.request import read_request

OPENAPI = json.loads((Path(__file__).parent / "data" / "chat-completions.openapi.json").read_text("utf-8"))


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**OPENAPI, "$ref": f"#/components/schemas/{name}"})


REQUEST_SCHEMA = validator("CreateChatCompletionRequest")
ERROR_SCHEMA = validator("ErrorResponse")


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def after_hello(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hello, as JSON."}, *messages]}


def as_schema(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}


POINT = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"], "additionalProperties": False}
FUNCTION = {"type": "function", "function": {"name": "get_x", "description": "Gets x.", "parameters": POINT}}
STRICT = {"type": "function", "function": {"name": "strictly", "parameters": POINT, "strict": True}}
CUSTOM = {"type": "custom", "custom": {"name": "sql", "description": "Runs SQL.", "format": {"type": "text"}}}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": 'start: "a"'}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
DATA_IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
SOUND = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
CALLS: list[dict[str, Any]] = [
    {"id": "call_1", "type": "function", "function": {"name": "get_x", "arguments": "{}"}},
    {"id": "call_2", "type": "custom", "custom": {"name": "sql", "input": "select 1"}},
]
ANSWERS: list[dict[str, Any]] = [
    {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "1"}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "7"},
]
VALID: list[dict[str, Any]] = [
    {},
    {"temperature": 0, "top_p": 1, "presence_penalty": -2, "frequency_penalty": 2.0, "n": 128, "seed": -1},
    {"temperature": None, "top_p": None, "n": None, "seed": None, "stop": None, "logit_bias": None, "store": None},
    {"max_tokens": 16},
    {"max_completion_tokens": 16384},
    {"stop": "."},
    {"stop": ["a", "b", "c", ""]},
    {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
    {"stream": True, "stream_options": None},
    {"logprobs": True, "top_logprobs": 20},
    {"logit_bias": {"50256": -100, "1": 100}},
    {"user": "u-1", "safety_identifier": "s" * 64, "prompt_cache_key": "key", "prompt_cache_retention": "24h"},
    {"prompt_cache_options": {"ttl": "30m", "mode": "explicit"}},
    {"service_tier": "fast", "verbosity": "low", "store": True},
    {"metadata": {f"key {index}": "v" * 512 for index in range(16)}},
    {"model": "gpt-4o-audio-preview", "modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
    {"model": "gpt-audio", "modalities": ["audio"], "audio": {"voice": {"id": "voice_1"}, "format": "pcm16"}},
    {"modalities": ["text"], "moderation": {"model": "omni", "policy": {"input": {"mode": "block"}, "output": None}}},
    {"prediction": {"type": "content", "content": "Hello."}},
    {"prediction": {"type": "content", "content": [{"type": "text", "text": "Hello."}]}},
    {"web_search_options": {}},
    {
        "web_search_options": {
            "search_context_size": "high",
            "user_location": {"type": "approximate", "approximate": {"country": "DE", "city": "Köln"}},
        }
    },
    {"response_format": {"type": "text"}},
    {"response_format": {"type": "json_object"}},
    {"response_format": as_schema(POINT, strict=True, description="A point.")},
    {"response_format": as_schema({"type": "object"}, strict=None)},
    {"tools": [FUNCTION, STRICT, CUSTOM], "tool_choice": "auto", "parallel_tool_calls": False},
    {"tools": [{"type": "function", "function": {"name": "now"}}], "tool_choice": "none"},
    {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "get_x"}}},
    {"tools": [FUNCTION, CUSTOM], "tool_choice": {"type": "custom", "custom": {"name": "sql"}}},
    {"tools": [{"type": "custom", "custom": {"name": "abc", "format": GRAMMAR}}], "tool_choice": "required"},
    {
        "tools": [FUNCTION, CUSTOM],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_x"}}]},
        },
    },
    {"functions": [{"name": "get_x", "parameters": POINT}], "function_call": "auto"},
    {"functions": [{"name": "get_x", "description": "Gets x."}], "function_call": {"name": "get_x"}},
    user({"type": "text", "text": "What is this?"}, IMAGE, DATA_IMAGE),
    user({"type": "text", "text": "", "prompt_cache_breakpoint": {"mode": "explicit"}}, SOUND),
    user({"type": "file", "file": {"file_id": "file-1"}}, {"type": "file", "file": {}}),
    user({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}}),
    {"messages": [{"role": "developer", "content": "Be brief.", "name": "boss"}, {"role": "user", "content": ""}]},
    {"messages": [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}]},
    after_hello({"role": "assistant", "content": "Hi."}, {"role": "user", "content": "?", "name": "Zoë"}),
    after_hello({"role": "assistant", "content": None, "tool_calls": CALLS}, *ANSWERS),
    after_hello({"role": "assistant", "tool_calls": CALLS[:1]}, ANSWERS[1], {"role": "user", "content": "Thanks."}),
    after_hello({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}),
    after_hello({"role": "assistant", "refusal": "No.", "name": "bot"}),
    after_hello({"role": "assistant", "audio": {"id": "audio_1"}, "function_call": None}),
    after_hello(
        {"role": "assistant", "function_call": {"name": "get_x", "arguments": "{}"}},
        {"role": "function", "name": "get_x", "content": None},
    ),
    {"model": "o3", "reasoning_effort": "low", "max_completion_tokens": 100_000, "temperature": 1, "top_p": 1.0},
    {"model": "gpt-5-mini", "reasoning_effort": "minimal", "presence_penalty": 0, "logprobs": False},
    {"model": "gpt-6.1-sol", "reasoning_effort": "xhigh", "temperature": 0.3, "logprobs": True},
    {"model": "mistral/tiny", "temperature": 0.7, "max_tokens": 10_000_000, "reasoning_effort": "max"},
]
VALID = [{"model": "gpt-4o", **after_hello(), **parameters} for parameters in VALID]


def outcome(body: Any) -> dict[str, Any] | None:
    """Return the error's status and object, None when the request is taken."""
    refused = refuse(read_request(json.dumps(body).encode(), "/v1/chat/completions", "sk-good"))
    return None if refused is None else {"status": refused.status, "error": refused.error}


@pytest.mark.parametrize("body", VALID, ids=range(len(VALID)))
def test_requests_of_every_kind_are_taken(body: dict[str, Any]) -> None:
    REQUEST_SCHEMA.validate(body)
    assert outcome(body) is None


def test_the_valid_requests_use_every_parameter() -> None:
    assert set().union(*VALID) == set(PARAMETERS)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every value inside a value."""
    inside: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for step, one in inside for found in [(*path, step), *places(one, (*path, step))]]


def changed(body: dict[str, Any], path: tuple[str | int, ...], action: str, value: Any) -> dict[str, Any]:
    """Return a copy whose value at a path is replaced, removed, wrapped, or has got another beside it."""
    mutant: dict[str, Any] = copy.deepcopy(body)
    parent: Any = mutant
    for step in path[:-1]:
        parent = parent[step]
    last: Any = path[-1]
    if action == "remove":
        del parent[last]
    elif action == "wrap":
        parent[last] = [parent[last]]
    elif action == "add" and isinstance(parent, dict):
        parent["another"] = value
    else:
        parent[last] = value
    return mutant


# fmt: off
JUNK: list[Any] = [
    None, True, 0, -1, 3, 129, 1.5, -1e300, 2**64, "", "x", "text", "function", "user", "tool", "x" * 600, "a b", [],
    {}, [None], [1], ["x"] * 5, [{}], {"a": None}, {"type": "text"}, {"type": "function"}, {"role": "user"},
    {"name": 1}, {"id": "x", "more": 1},
]
# fmt: on


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    body: dict[str, Any] = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(places(body)))
        body = changed(
            body, path, draw(st.sampled_from(["replace", "remove", "wrap", "add"])), draw(st.sampled_from(JUNK))
        )
        if not body:
            break
    return body


@settings(max_examples=200, deadline=None, derandomize=True)
@given(mutants())
@example({**VALID[0], "top_logprobs": None, "logprobs": True})
@example({**VALID[0], "user": None})
@example(
    {
        **VALID[0],
        "tools": [CUSTOM],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": []}]}},
    }
)
@example({**VALID[0], "seed": 2**63 + 10**5})
def test_whatever_violates_the_official_description_is_refused(body: dict[str, Any]) -> None:
    refused = outcome(body)
    if refused is not None:
        assert refused["status"] == 400
        ERROR_SCHEMA.validate({"error": refused["error"]})
    assert refused is not None or REQUEST_SCHEMA.is_valid(body)


def test_of_two_faults_the_same_one_is_told_whatever_the_order_of_keys() -> None:
    faults = {"n": 0, "stop": [], "verbosity": "loud", "tools": "x"}
    forwards = BODY.find_fault({**VALID[0], **faults}, ())
    backwards = BODY.find_fault(dict(reversed({**VALID[0], **faults}.items())), ())
    assert forwards is not None
    assert forwards == backwards
    assert forwards.param == "tools"
