"""Dialects: each server's deviations from the official one, whole and streamed, in its errors, and whom it answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from barechat.simulator import Simulator
from barechat.simulator.dialects import DIALECTS
from barechat.simulator.errors import ERRORS, error_of
from barechat.simulator.fault import Fault, Scripted, ScriptedCall
from barechat.simulator.refusals import Refusal, refuse_key
from barechat.simulator.request import read_request
from simulating import HELLO, STREAM, body, chunks, fold, parts, post, reply, request

OTHERS = [name for name in DIALECTS if name not in {"openai", "azure"}]
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
LONG: dict[str, Any] = {"messages": [{"role": "user", "content": "word " * 3000}]}
ASKED: list[dict[str, Any]] = [
    {},
    {"n": 3},
    {"tools": [TOOL], "parallel_tool_calls": True},
    {"functions": [TOOL["function"]]},
    {"model": "deepseek-r1"},
    {"logprobs": True, "top_logprobs": 2},
    {"web_search_options": {}},
    {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
    {"moderation": {"model": "omni-moderation-latest"}},
    {"response_format": {"type": "json_object"}},
]
RECITED = [
    Scripted(refusal="I can't."),
    Scripted(content="I see.", finish_reason="content_filter"),
    Scripted(tool_calls=[ScriptedCall(name="a", arguments={"x": 1}), ScriptedCall(name="b")]),
]


def error(dialect: str, refusal: Refusal, **parameters: Any) -> Any:
    told = DIALECTS[dialect].error(refusal, request(**parameters))
    assert (told.status, told.content_type) == (refusal.status, "application/json")
    return json.loads(told.body)


def error_events(dialect: str, fault: Any = None) -> bytes:
    own = DIALECTS[dialect]
    return own.error_events(own.error_object(error_of(500)) if fault is None else fault, reply())


def bad_key() -> Refusal:
    refused = refuse_key("sk-bad-1")
    assert refused is not None
    return refused


# What all have in common


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_says_what_the_official_api_says(dialect: str) -> None:
    for parameters in ASKED:
        answer = reply(**parameters)
        for mine, official in zip(body(answer, dialect)["choices"], body(answer)["choices"], strict=True):
            assert mine["message"]["content"] == official["message"]["content"]
            assert (mine["message"].get("tool_calls") or []) == official["message"].get("tool_calls", [])
            assert mine["finish_reason"] == official["finish_reason"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("answer", [*(reply(**one) for one in ASKED), *(reply(fault=Fault(reply=r)) for r in RECITED)])
def test_a_stream_says_what_the_whole_reply_says(dialect: str, answer: Any) -> None:
    streamed = fold(answer, dialect, include_usage=True)
    for choice in body(answer, dialect)["choices"]:
        said, message = streamed[choice["index"]], choice["message"]
        assert said["finish_reason"] == (choice["finish_reason"] if dialect != "ollama" else None)
        for name in ("content", "refusal", "reasoning", "reasoning_content"):
            assert (said.get(name) or None) == (message.get(name) or None)
        assert [(call["id"], call["name"], call["text"]) for call in said["calls"].values()] == [
            (call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or ()
        ]
        assert said["logprobs"] == ((choice.get("logprobs") or {}).get("content") or [])
        deltas = [one["choices"][0]["delta"] for one in chunks(answer, dialect) if one["choices"]]
        cited = [citation for delta in deltas for citation in delta.get("annotations", [])]
        assert cited == (message.get("annotations") or [])
        spoken = "".join(delta["audio"].get("transcript", "") for delta in deltas if "audio" in delta)
        assert spoken == (message.get("audio") or {}).get("transcript", "")


@pytest.mark.parametrize("dialect", OTHERS)
def test_nobody_else_has_the_official_service_tier_padding_or_empty_keys(dialect: str) -> None:
    for parameters in ASKED:
        whole = body(reply(**parameters), dialect)
        assert whole.get("service_tier") is None
        for chunk in chunks(reply(**parameters), dialect, include_usage=True):
            assert "service_tier" not in chunk
            assert "obfuscation" not in chunk
    assert DIALECTS[dialect].obfuscates is False


# Azure


def test_azure_begins_with_a_chunk_of_filter_results_and_no_choices() -> None:
    first, *others = chunks(reply(), "azure")
    assert first["choices"] == []
    assert first["prompt_filter_results"][0]["content_filter_results"]["hate"]["filtered"] is False
    assert all(choice["content_filter_results"] is not None for chunk in others for choice in chunk["choices"])
    whole = body(reply(), "azure")
    assert whole["prompt_filter_results"] == first["prompt_filter_results"]
    assert whole["choices"][0]["content_filter_results"]["violence"] == {"filtered": False, "severity": "safe"}


def test_azure_s_gateway_refuses_in_its_own_words_and_the_model_in_the_official_ones() -> None:
    azure = DIALECTS["azure"]
    path = "/openai/deployments/mine/chat/completions"
    no_key = azure.refuse(request(path, key=None), path, "api-version=1")
    no_version = azure.refuse(request(path), path, "")
    no_deployment = azure.refuse(request(path, model="no-such"), path, "api-version=1")
    assert no_key is not None
    assert no_version is not None
    assert no_deployment is not None
    assert error("azure", no_key)["error"].keys() == {"code", "message"}
    assert (no_key.status, error("azure", no_key)["error"]["code"]) == (401, "401")
    assert error("azure", no_version) == {"error": {"code": "404", "message": "Resource not found"}}
    assert error("azure", no_deployment)["error"]["code"] == "DeploymentNotFound"
    assert error("azure", ERRORS["rate_limit_exceeded"])["error"]["code"] == "429"
    assert error("azure", ERRORS["unsupported_parameter"])["error"]["type"] == "invalid_request_error"
    assert azure.refuse(request(path), path, "api-version=1") is None
    assert azure.refuse(request(), "/openai/v1/chat/completions", "") is None


def test_azure_s_classic_url_needs_its_version() -> None:
    with Simulator(dialect="azure") as simulator:
        answer = post(simulator, path="/openai/deployments/mine/chat/completions")
    assert (answer.status, answer.json()["error"]["message"]) == (404, "Resource not found")


def test_azure_s_filter_says_what_it_found() -> None:
    found = error("azure", ERRORS["content_filter"])["error"]
    assert (found["code"], found["status"]) == ("content_filter", 400)
    assert found["innererror"]["code"] == "ResponsibleAIPolicyViolation"
    assert found["innererror"]["content_filter_result"]["hate"] == {"filtered": True, "severity": "high"}


# vLLM


def test_vllm_speaks_several_tokens_a_chunk_and_the_last_with_the_reason() -> None:
    told = [chunk["choices"][0] for chunk in chunks(reply(), "vllm")]
    spoken = [choice["delta"]["content"] for choice in told if choice["delta"].get("content")]
    assert len(spoken) == -(-reply().choices[0].spoken // 3)
    assert told[-1]["finish_reason"] == "stop"
    assert told[-1]["delta"]["content"] == spoken[-1]
    assert told[-1]["stop_reason"] is None


def test_vllm_s_codes_are_numbers_and_a_stream_s_error_is_followed_by_done() -> None:
    assert error("vllm", ERRORS["rate_limit_exceeded"])["error"]["code"] == 429
    assert error("vllm", ERRORS["unsupported_parameter"])["error"]["type"] == "BadRequestError"
    assert error("vllm", bad_key()) == {"error": "Unauthorized"}
    assert error_events("vllm").endswith(b'"code":500}}\n\ndata: [DONE]\n\n')


def test_vllm_s_later_pieces_of_a_call_name_no_id() -> None:
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(reply(tools=[TOOL]), "vllm")]
    opening, *later = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert opening["id"]
    assert later
    assert not any("id" in call for call in later)


# llama.cpp


def test_llama_cpp_answers_a_long_streamed_prompt_with_nothing_and_a_whole_one_with_an_error() -> None:
    with Simulator(dialect="llama.cpp") as simulator:
        streamed, whole = post(simulator, {**STREAM, **LONG}), post(simulator, {**HELLO, **LONG})
    assert (streamed.status, streamed.body) == (200, b"")
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert (whole.status, whole.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_llama_cpp_s_other_errors_are_the_framework_s() -> None:
    with Simulator(dialect="llama.cpp") as simulator:
        unread = post(simulator, b"{")
        unknown = post(simulator, headers={"Authorization": "Bearer sk-bad-1"})
    assert (unread.status, unread.headers["content-type"], unread.body) == (
        500,
        "text/plain; charset=utf-8",
        b"Internal Server Error",
    )
    assert (unknown.status, unknown.json()) == (401, {"detail": "Invalid API key"})


def test_llama_cpp_passes_over_what_it_does_not_know() -> None:
    asked = {"n": 3, "max_completion_tokens": 1, "repeat_penalty": 1.1}
    with Simulator(dialect="llama.cpp") as simulator:
        whole = post(simulator, {**HELLO, **asked}).json()
        streamed = post(simulator, {**STREAM, **asked, "stream_options": {"include_usage": True}})
    assert len(whole["choices"]) == 1
    assert whole["usage"]["completion_tokens"] > 1
    assert streamed.text() == whole["choices"][0]["message"]["content"]
    assert not any("usage" in chunk for chunk in streamed.events()[:-1])


# Ollama


def test_ollama_never_says_in_a_stream_why_it_ends_and_its_errors_are_text() -> None:
    assert {choice["finish_reason"] for chunk in chunks(reply(), "ollama") for choice in chunk["choices"]} == {None}
    assert body(reply(), "ollama")["choices"][0]["finish_reason"] == "stop"
    assert error("ollama", ERRORS["model_not_found"]) == {"error": ERRORS["model_not_found"].message}
    assert error_events("ollama") == b'data: {"error":"%b"}\n\n' % ERRORS["server_error"].message.encode()


@pytest.mark.parametrize("dialect", ["ollama", "transformers"])
@pytest.mark.parametrize("key", ["", "Bearer sk-bad-1"])
def test_servers_of_one_s_own_ask_for_no_key(dialect: str, key: str) -> None:
    with Simulator(dialect=dialect) as simulator:
        assert post(simulator, headers={"Authorization": key}).status == 200


# Groq


def test_groq_s_error_is_a_named_event_without_done() -> None:
    events = error_events("groq")
    assert events.startswith(b'event: error\ndata: {"error":{"message":"The server had')
    assert b"[DONE]" not in events


def test_groq_tells_its_usage_twice() -> None:
    *_, last, usage = chunks(reply(), "groq", include_usage=True)
    assert last["x_groq"]["usage"] == usage["usage"] == body(reply(), "groq")["usage"]
    assert usage["choices"] == []


@pytest.mark.parametrize("dialect", ["groq", "ollama"])
def test_a_call_comes_in_one_piece(dialect: str) -> None:
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(reply(tools=[TOOL]), dialect)]
    (call,) = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert call["function"] == body(reply(tools=[TOOL]), dialect)["choices"][0]["message"]["tool_calls"][0]["function"]


# OpenRouter


def test_openrouter_comments_while_it_looks_for_a_provider() -> None:
    told = parts(reply(), "openrouter")
    assert told[0] == told[1] == b": OPENROUTER PROCESSING\n\n"
    assert {chunk["provider"] for chunk in chunks(reply(), "openrouter")} == {"Simulated"}


@pytest.mark.parametrize("is_asked", [False, True])
def test_openrouter_tells_usage_and_cost_beside_a_choice_asked_or_not(is_asked: bool) -> None:
    usages = [one for one in chunks(reply(), "openrouter", include_usage=is_asked) if one.get("usage")]
    assert len(usages) == 1
    assert usages[0]["usage"]["cost"] == 0
    assert usages[0]["choices"][0]["delta"] == {}


def test_openrouter_s_error_stands_beside_a_choice() -> None:
    chunk = json.loads(error_events("openrouter").removeprefix(b"data: "))
    assert chunk["error"] == {"message": ERRORS["server_error"].message, "code": 500}
    assert chunk["choices"][0]["finish_reason"] == "error"
    assert chunk["id"] == reply().id


# transformers


def test_transformers_ends_without_done_and_usage_rides_on_the_last_choice() -> None:
    assert not any(b"[DONE]" in part for part in parts(reply(), "transformers"))
    told = chunks(reply(n=2), "transformers")
    assert [bool(chunk.get("usage")) for chunk in told] == [False] * (len(told) - 1) + [True]
    assert told[-1]["choices"][0]["finish_reason"] == "stop"


def test_transformers_errors_are_details() -> None:
    assert error("transformers", ERRORS["model_not_found"]) == {"detail": ERRORS["model_not_found"].message}


# LiteLLM


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("unsupported_parameter", "BadRequestError"),
        ("context_length_exceeded", "ContextWindowExceededError"),
        ("content_filter", "ContentPolicyViolationError"),
        ("model_not_found", "NotFoundError"),
        ("rate_limit_exceeded", "RateLimitError"),
        ("server_error", "InternalServerError"),
        ("server_is_overloaded", "ServiceUnavailableError"),
    ],
)
def test_litellm_names_its_own_error_and_writes_codes_and_nothing_as_text(code: str, name: str) -> None:
    told = error("litellm", ERRORS[code])["error"]
    assert told["message"] == f"litellm.{name}: {ERRORS[code].message}"
    assert (told["code"], told["param"]) == (str(ERRORS[code].status), "None")


def test_litellm_fails_without_a_key_and_refuses_a_bad_one() -> None:
    with Simulator(dialect="litellm") as simulator:
        none = post(simulator, headers={"Authorization": ""})
        bad = post(simulator, headers={"Authorization": "Bearer sk-bad-1"})
    assert (none.status, none.body) == (500, b"Internal Server Error")
    assert none.headers["content-type"].startswith("text/plain")
    assert (bad.status, bad.json()["error"]["type"]) == (401, "auth_error")


def test_litellm_tells_usage_beside_a_choice_when_asked() -> None:
    *_, last = chunks(reply(), "litellm", include_usage=True)
    assert last["usage"]["total_tokens"] > 0
    assert last["choices"]
    assert not any(chunk.get("usage") for chunk in chunks(reply(), "litellm"))


@pytest.mark.parametrize(("dialect", "status"), [("litellm", 503), ("llama.cpp", 503), ("litellm", 404)])
def test_an_error_is_told_as_it_is_to_whom_has_no_key_and_no_body(dialect: str, status: int) -> None:
    told = DIALECTS[dialect].error(error_of(status), read_request(b"", "/v1/chat/completions"))
    assert told.status == status
    assert json.loads(told.body)["error"]["message"].endswith(error_of(status).message)
