"""What the simulator refuses, it refuses in the API's own shapes."""

import json
from pathlib import Path
from typing import Any

import pytest

from barechat.simulator.refusals import KNOWN_PARAMETERS, refuse, refuse_key, refuse_route
from barechat.simulator.request import read_request

OPENAPI = json.loads((Path(__file__).parent / "data" / "chat-completions.openapi.json").read_text("utf-8"))
HELLO: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello."}]}
PATH = "/v1/chat/completions"


def error_of(body: Any) -> dict[str, Any] | None:
    refused = refuse(read_request(json.dumps(body).encode(), PATH, "sk-good"))
    return None if refused is None else {"status": refused.status, **refused.error}


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"temperature": 0},
        {"temperature": 2.0, "top_p": 1, "presence_penalty": -2, "frequency_penalty": 2},
        {"n": 128, "stop": ["a", "b", "c", "d"], "stream": False},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"logprobs": True, "top_logprobs": 20},
        {"temperature": None, "n": None, "stop": None, "stream": None, "metadata": None},
        {"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "As JSON, please"}]},
        {
            "messages": [
                {"role": "assistant", "refusal": "No."},
                {"role": "user", "content": [{"type": "text", "text": ""}]},
            ]
        },
        {"model": "o3", "max_completion_tokens": 1},
    ],
)
def test_what_the_api_takes_is_taken(parameters: dict[str, Any]) -> None:
    assert error_of({**HELLO, **parameters}) is None


@pytest.mark.parametrize(
    ("parameters", "param", "code", "words"),
    [
        ({"model": None}, "model", "missing_required_parameter", "Missing required parameter: 'model'."),
        ({"messages": None}, "messages", "missing_required_parameter", "Missing required parameter"),
        ({"messages": []}, "messages", "empty_array", "minimum length 1"),
        ({"messages": "hello"}, "messages", "invalid_type", "expected an array of objects, but got a string"),
        ({"messages": ["hello"]}, "messages[0]", "invalid_type", "expected an object"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter", "messages[0].role"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role", "invalid_value", "'boss'"),
        ({"messages": [{"role": "user"}]}, "messages.[0].content", None, "expected a string, got null."),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "invalid_type", "an integer"),
        ({"temperature": 3}, "temperature", "decimal_above_max_value", "Expected a value <= 2, but got 3 instead."),
        ({"temperature": -0.5}, "temperature", "decimal_below_min_value", "Expected a value >= 0, but got -0.5"),
        ({"temperature": "hot"}, "temperature", "invalid_type", "expected a decimal, but got a string instead."),
        ({"temperature": True}, "temperature", "invalid_type", "but got a boolean instead."),
        ({"top_p": 1.1}, "top_p", "decimal_above_max_value", "<= 1"),
        ({"presence_penalty": -2.1}, "presence_penalty", "decimal_below_min_value", ">= -2"),
        ({"frequency_penalty": 2.1}, "frequency_penalty", "decimal_above_max_value", "<= 2"),
        ({"n": 0}, "n", "integer_below_min_value", ">= 1"),
        ({"n": 129}, "n", "integer_above_max_value", "<= 128"),
        ({"n": 1.5}, "n", "invalid_type", "expected an integer, but got a decimal number instead."),
        ({"max_completion_tokens": 0}, "max_completion_tokens", "integer_below_min_value", "got 0 instead"),
        ({"max_tokens": "9"}, "max_tokens", "invalid_type", "expected an integer"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "integer_above_max_value", "<= 20"),
        ({"top_logprobs": 2}, "top_logprobs", None, "only allowed when 'logprobs' is enabled"),
        ({"stream": "yes"}, "stream", "invalid_type", "expected a boolean"),
        ({"stream_options": {}}, "stream_options", None, "only allowed when 'stream' is enabled"),
        ({"stream": True, "stream_options": []}, "stream_options", "invalid_type", "but got an array instead."),
        ({"stop": 5}, "stop", "invalid_type", "expected one of a string or array of strings"),
        ({"stop": ["a", {}]}, "stop[1]", "invalid_type", "but got an object instead."),
        ({"stop": list("abcde")}, "stop", "array_above_max_length", "maximum length 4"),
        ({"stop": []}, "stop", "empty_array", "minimum length 1"),
        ({"model": 4}, "model", "invalid_type", "expected a string"),
        ({"service_tier": "gold"}, "service_tier", "invalid_value", "'priority', and 'fast'."),
        ({"response_format": {}}, "response_format.type", "missing_required_parameter", "response_format.type"),
        ({"response_format": {"type": "yaml"}}, "response_format.type", "invalid_value", "'yaml'"),
        ({"response_format": {"type": "json_object"}}, "messages", None, "must contain the word 'json'"),
        ({"model": "o3-mini", "max_tokens": 5}, "max_tokens", "unsupported_parameter", "'max_completion_tokens'"),
        ({"model": "gpt-5", "max_tokens": 5}, "max_tokens", "unsupported_parameter", "'max_completion_tokens'"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", "invalid_parameter_combination", "same time"),
        ({"temprature": 1}, None, None, "Unrecognized request argument supplied: temprature"),
        ({"foo": 1, "bar": 2}, None, None, "Unrecognized request arguments supplied: bar, foo"),
        ({"response_format": None}, "response_format", "invalid_type", "expected an object, but got null instead."),
    ],
)
def test_a_refusal_names_the_parameter_the_code_and_the_cause(
    parameters: dict[str, Any], param: str | None, code: str | None, words: str
) -> None:
    error = error_of({**HELLO, **parameters})
    assert error is not None
    assert error["status"] == 400
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert words in error["message"]


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"a": NaN}', b'{"a": 1e999}', b'{"a":' * 100_000])
def test_a_body_that_is_no_json_is_refused(raw: bytes) -> None:
    refused = refuse(read_request(raw, PATH, "sk-good"))
    assert refused is not None
    assert refused.status == 400
    assert "could not parse the JSON body" in refused.message


@pytest.mark.parametrize("body", [[], "text", 7, None])
def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    error = error_of(body)
    assert error is not None
    assert error["code"] == "invalid_type"


def test_a_missing_key_and_a_bad_one_are_refused_and_any_other_is_good() -> None:
    for key in (None, "sk-bad", "sk-bad-0123456789-0123456789"):
        refused = refuse_key(key)
        assert refused is not None
        assert (refused.status, refused.code) == (401, "invalid_api_key")
    assert refuse_key("x") is None


def test_a_bad_key_is_shown_masked() -> None:
    refused = refuse_key("sk-bad-0123456789-0123456789")
    assert refused is not None
    assert "sk-bad-0****************6789." in refused.message
    short = refuse_key("sk-bad-1")
    assert short is not None
    assert "sk-*****." in short.message


def test_a_model_called_no_something_is_not_found() -> None:
    error = error_of({**HELLO, "model": "no-such"})
    assert error is not None
    assert (error["status"], error["code"]) == (404, "model_not_found")
    assert "`no-such`" in error["message"]


def test_a_body_without_a_model_is_told_so_and_a_deployment_in_the_path_is_one() -> None:
    body = {"messages": HELLO["messages"]}
    error = error_of(body)
    assert error is not None
    assert (error["message"], error["param"], error["code"]) == ("you must provide a model parameter", None, None)
    path = "/openai/deployments/gpt-4o/chat/completions"
    assert refuse(read_request(json.dumps(body).encode(), path, "sk-good")) is None


def test_other_paths_and_methods_are_refused() -> None:
    for method, path, status in (
        ("POST", PATH, None),
        ("GET", PATH, 405),
        ("POST", "/v1/foo", 404),
        ("GET", "/v1/models", None),
        ("POST", "/v1/models", 405),
        ("DELETE", "/v1/models/gpt-4o", 405),
    ):
        refused = refuse_route(method, path)
        assert (None if refused is None else refused.status) == status


def test_the_known_parameters_are_those_of_the_official_description() -> None:
    schemas = OPENAPI["components"]["schemas"]

    def names(schema: dict[str, Any]) -> set[str]:
        if "$ref" in schema:
            return names(schemas[schema["$ref"].rpartition("/")[2]])
        return set(schema.get("properties", {})).union(*(names(part) for part in schema.get("allOf", [])))

    assert names(schemas["CreateChatCompletionRequest"]) == KNOWN_PARAMETERS
