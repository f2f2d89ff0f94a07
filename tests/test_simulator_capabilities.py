"""What a model can't do is refused, of the models that are known, and of no others."""

import json
from typing import Any

import pytest

from barechat.simulator.models import MODELS
from barechat.simulator.refusals import refuse
from barechat.simulator.request import read_request

ALWAYS_REASON = ("o1", "o3", "o4-mini", "gpt-5", "gpt-5-mini", "gpt-5-nano")
FUNCTION = {"type": "function", "function": {"name": "now"}}


def error_of(model: str, words: int = 1, **parameters: Any) -> dict[str, Any] | None:
    body = {"model": model, "messages": [{"role": "user", "content": "word " * words}], **parameters}
    refused = refuse(read_request(json.dumps(body).encode(), "/v1/chat/completions", "sk-good"))
    return None if refused is None else {"status": refused.status, **refused.error}


def refusal(message: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"status": 400, "message": message, "type": "invalid_request_error", "param": param, "code": code}


def unsupported(name: str) -> dict[str, Any]:
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    return refusal(message, name, "unsupported_parameter")


@pytest.mark.parametrize("model", [*ALWAYS_REASON, "o3-2025-04-16", "openai/gpt-5"])
def test_a_model_that_always_reasons_takes_no_sampling_parameters(model: str) -> None:
    assert error_of(model, temperature=0.5) == refusal(
        "Unsupported value: 'temperature' does not support 0.5 with this model. "
        "Only the default (1) value is supported.",
        "temperature",
        "unsupported_value",
    )
    values: dict[str, Any] = {
        "top_p": 0.9,
        "presence_penalty": 1,
        "frequency_penalty": -0.1,
        "logprobs": True,
        "logit_bias": {},
    }
    for name, value in values.items():
        assert error_of(model, **{name: value}) == unsupported(name)
    assert error_of(model, prediction={"type": "content", "content": "x"}) == unsupported("prediction")


@pytest.mark.parametrize("model", [*ALWAYS_REASON, "o3-2025-04-16", "openai/gpt-5"])
def test_a_model_that_always_reasons_takes_the_defaults(model: str) -> None:
    defaults: dict[str, Any] = {
        "temperature": 1,
        "top_p": 1.0,
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
        "logprobs": False,
    }
    nothing: dict[str, Any] = dict.fromkeys(("temperature", "top_p", "logprobs", "logit_bias", "prediction", "stop"))
    assert error_of(model, **defaults) is None
    assert error_of(model, **nothing) is None


def test_other_models_take_sampling_parameters() -> None:
    for model in {model.name for model in MODELS} - set(ALWAYS_REASON) | {"gpt-5.1", "o3-mini", "deepseek-r1"}:
        assert error_of(model, temperature=0.5, top_p=0.5, presence_penalty=1, stop=".", logprobs=True) is None


def test_stop_and_parallel_calls_are_refused_where_the_api_does() -> None:
    calls: dict[str, Any] = {"tools": [FUNCTION], "parallel_tool_calls": False}
    assert [model for model in ALWAYS_REASON if error_of(model, stop=["."])] == list(ALWAYS_REASON[1:])
    assert [model for model in ALWAYS_REASON if error_of(model, **calls)] == ["o1", "o3", "o4-mini"]
    assert error_of("gpt-5-mini", stop=".") == unsupported("stop")
    assert error_of("o4-mini", **calls) == unsupported("parallel_tool_calls")


@pytest.mark.parametrize(
    ("model", "effort", "supported"),
    [
        ("o3", "minimal", "'low', 'medium', and 'high'"),
        ("o1", "none", "'low', 'medium', and 'high'"),
        ("gpt-5", "none", "'minimal', 'low', 'medium', and 'high'"),
        ("gpt-5-nano", "xhigh", "'minimal', 'low', 'medium', and 'high'"),
    ],
)
def test_an_effort_that_a_model_does_not_know_is_refused(model: str, effort: str, supported: str) -> None:
    assert error_of(model, reasoning_effort=effort) == refusal(
        f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model. "
        f"Supported values are: {supported}.",
        "reasoning_effort",
        "unsupported_value",
    )
    assert error_of(model, reasoning_effort="low") is None


def test_an_effort_is_unrecognized_by_models_that_do_not_reason() -> None:
    unrecognized = refusal("Unrecognized request argument supplied: reasoning_effort", None, None)
    assert error_of("gpt-4o", reasoning_effort="none") == unrecognized
    assert error_of("ft:gpt-4.1:acme::1", reasoning_effort="high") == unrecognized
    assert error_of("gpt-4o", reasoning_effort=None) is None
    assert error_of("qwen3", reasoning_effort="high") is None


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_more_output_than_the_model_has_is_refused(name: str) -> None:
    assert error_of("gpt-4o", **{name: 16384}) is None
    assert error_of("gpt-4o-2024-05-13", **{name: 4097}) == refusal(
        "max_tokens is too large: 4097. This model supports at most 4096 completion tokens, whereas you provided 4097.",
        "max_tokens",
        "invalid_value",
    )
    assert error_of("unheard-of", **{name: 10**9}) is None


def test_max_tokens_is_refused_where_reasoning_counts() -> None:
    for model in ("o3-mini", "gpt-6-sol", "openai/o1"):
        error = error_of(model, max_tokens=5)
        assert error is not None
        assert (error["param"], error["code"]) == ("max_tokens", "unsupported_parameter")
        assert error["message"].endswith("Use 'max_completion_tokens' instead.")


def test_a_prompt_beyond_the_window_is_refused_with_the_numbers() -> None:
    # A word is a token, and a message of one part six more.
    assert error_of("gpt-4o", words=127_994) is None
    assert error_of("gpt-4o", words=127_995) == refusal(
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 128001 tokens. "
        "Please reduce the length of the messages.",
        "messages",
        "context_length_exceeded",
    )
    assert error_of("unheard-of", words=127_995) is None


def test_a_prompt_that_leaves_no_room_for_the_output_asked_for_is_refused() -> None:
    assert error_of("gpt-4o", words=119_994, max_tokens=8_000) is None
    assert error_of("gpt-4o", words=119_994, max_completion_tokens=8_001) == refusal(
        "This model's maximum context length is 128000 tokens. However, you requested 128001 tokens "
        "(120000 in the messages, 8001 in the completion). Please reduce the length of the messages or completion.",
        "messages",
        "context_length_exceeded",
    )


def test_gpt_5_has_a_limit_on_input_of_its_own() -> None:
    assert error_of("gpt-5", words=271_994, max_completion_tokens=128_000) is None
    assert error_of("gpt-5-2025-08-07", words=271_995) == refusal(
        "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 272001 tokens. "
        "Please reduce the length of the messages.",
        "messages",
        "context_length_exceeded",
    )
