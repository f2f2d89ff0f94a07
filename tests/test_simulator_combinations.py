"""Parameters that need, or exclude, one another are refused in the API's words."""

import json
from typing import Any

import pytest

from barechat.simulator.refusals import refuse
from barechat.simulator.request import read_request

HELLO: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello."}]}
LIST = {"type": "array", "items": {"type": "string"}}
LOOSE = {"type": "object", "properties": {"x": {"type": "number"}}}
TOOL = {"type": "function", "function": {"name": "get_x", "parameters": LOOSE}}
CUSTOM = {"type": "custom", "custom": {"name": "sql"}}
FUNCTION = {"name": "get_x", "parameters": LOOSE}
AUDIO = {"voice": "alloy", "format": "wav"}


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "get_x", "parameters": schema, "strict": True}}


def allowed(name: Any) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}}]
    return {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools}}


def error_of(parameters: dict[str, Any]) -> dict[str, Any] | None:
    body = json.dumps({**HELLO, **parameters}).encode()
    refused = refuse(read_request(body, "/v1/chat/completions", "sk-good"))
    return None if refused is None else {"status": refused.status, **refused.error}


@pytest.mark.parametrize(
    ("parameters", "param", "code", "message"),
    [
        (
            {"tools": [TOOL], "functions": [FUNCTION]},
            None,
            None,
            (
                "Invalid request: 'functions' and 'tools' cannot both be provided. "
                "'functions' are deprecated; use the 'tools' parameter instead."
            ),
        ),
        (
            {"tool_choice": "auto"},
            "tool_choice",
            None,
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
        ),
        (
            {"parallel_tool_calls": True},
            "parallel_tool_calls",
            None,
            (
                "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed "
                "when 'tools' are specified."
            ),
        ),
        (
            {"function_call": "none"},
            "function_call",
            None,
            "Invalid value for 'function_call': 'function_call' is only allowed when 'functions' are specified.",
        ),
        (
            {"tools": [TOOL, CUSTOM], "tool_choice": {"type": "function", "function": {"name": "sql"}}},
            "tool_choice",
            None,
            "Invalid value for 'tool_choice': no function named 'sql' was specified in the 'tools' parameter.",
        ),
        (
            {"tools": [TOOL, CUSTOM], "tool_choice": {"type": "custom", "custom": {"name": "get_x"}}},
            "tool_choice",
            None,
            "Invalid value for 'tool_choice': no custom tool named 'get_x' was specified in the 'tools' parameter.",
        ),
        (
            {"tools": [TOOL], "tool_choice": allowed("get_y")},
            "tool_choice",
            None,
            "Invalid value for 'tool_choice': no function named 'get_y' was specified in the 'tools' parameter.",
        ),
        (
            {"functions": [FUNCTION], "function_call": {"name": "get_y"}},
            "function_call",
            None,
            "Invalid value for 'function_call': no function named 'get_y' was specified in the 'functions' parameter.",
        ),
        (
            {"tools": [TOOL, CUSTOM, TOOL]},
            "tools",
            "invalid_value",
            "Invalid value for 'tools': names must be unique, but 'get_x' was specified 2 times.",
        ),
        (
            {"functions": [FUNCTION, FUNCTION, FUNCTION]},
            "functions",
            "invalid_value",
            "Invalid value for 'functions': names must be unique, but 'get_x' was specified 3 times.",
        ),
        (
            {"tools": [CUSTOM, strict(LOOSE)]},
            "tools[1].function.parameters",
            "invalid_function_parameters",
            (
                "Invalid schema for function 'get_x': In context=(), 'additionalProperties' is required to be supplied "
                "and to be false."
            ),
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "get_x", "parameters": LIST}}]},
            "tools[0].function.parameters",
            "invalid_function_parameters",
            (
                "Invalid schema for function 'get_x': "
                "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"array\"'."
            ),
        ),
        (
            {"functions": [{"name": "get_x", "parameters": LIST}]},
            "functions[0].parameters",
            "invalid_function_parameters",
            (
                "Invalid schema for function 'get_x': "
                "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"array\"'."
            ),
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": LOOSE, "strict": True}}},
            "response_format",
            None,
            (
                "Invalid schema for response_format 'x': In context=(), 'additionalProperties' is required "
                "to be supplied and to be false."
            ),
        ),
        ({"modalities": ["audio"]}, "audio", "missing_required_parameter", "Missing required parameter: 'audio'."),
        (
            {"modalities": ["text"], "audio": AUDIO},
            "audio",
            None,
            "The 'audio' parameter is only allowed when 'modalities' includes 'audio'.",
        ),
        (
            {"modalities": ["audio"], "audio": AUDIO, "stream": True},
            "audio.format",
            "unsupported_value",
            "Unsupported value: 'audio.format' does not support 'wav' when stream=true. Supported values are: 'pcm16'.",
        ),
        (
            {"logit_bias": {"hello": 1}},
            "logit_bias",
            None,
            "Invalid key in 'logit_bias': hello. You should only be submitting non-negative integers.",
        ),
        (
            {"max_tokens": 5, "max_completion_tokens": 5},
            "max_tokens",
            "invalid_parameter_combination",
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        ),
        (
            {"logprobs": False, "top_logprobs": 0},
            "top_logprobs",
            None,
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
        ),
    ],
)
def test_a_contradiction_is_refused(
    parameters: dict[str, Any], param: str | None, code: str | None, message: str
) -> None:
    assert error_of(parameters) == {
        "status": 400,
        "message": message,
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }


@pytest.mark.parametrize(
    "parameters",
    [
        {"tools": [TOOL], "tool_choice": allowed("get_x")},
        {"tools": [TOOL], "tool_choice": allowed(None)},
        {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{}]}}},
        {"tools": [{"type": "function", "function": {"name": "get_x", "parameters": {}}}]},
        {"modalities": ["audio"], "audio": {**AUDIO, "format": "pcm16"}, "stream": True},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": LOOSE, "strict": False}}},
        {"response_format": {"type": "json_object"}, "messages": [{"role": "system", "content": "Say it in Json."}]},
    ],
)
def test_what_only_looks_like_a_contradiction_is_taken(parameters: dict[str, Any]) -> None:
    assert error_of(parameters) is None
