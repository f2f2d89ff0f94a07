"""Faults are told in the API's own words, with the place and the code."""

import json
from typing import Any

import pytest

from barechat.simulator.refusals import refuse
from barechat.simulator.request import read_request

HELLO: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello."}]}


def calling(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def saying(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def showing(url: Any) -> dict[str, Any]:
    return saying({"type": "image_url", "image_url": {"url": url}})


@pytest.mark.parametrize(
    ("parameters", "param", "code", "message"),
    [
        (
            {"tools": [{"type": "function"}]},
            "tools[0].function",
            "missing_required_parameter",
            "Missing required parameter: 'tools[0].function'.",
        ),
        (
            {"tools": [{"type": "retrieval"}]},
            "tools[0].type",
            "invalid_value",
            "Invalid value: 'retrieval'. Supported values are: 'function' and 'custom'.",
        ),
        (
            {"tools": []},
            "tools",
            "empty_array",
            "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        ),
        (
            {"tools": [calling(f"f{index}") for index in range(129)]},
            "tools",
            "array_above_max_length",
            (
                "Invalid 'tools': array too long. Expected an array with maximum length 128, "
                "but got an array with length 129 instead."
            ),
        ),
        (
            {"tools": [calling("get x")]},
            "tools[0].function.name",
            "invalid_value",
            (
                "Invalid 'tools[0].function.name': string does not match pattern. "
                "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
            ),
        ),
        (
            {"tools": [calling("f" * 70)]},
            "tools[0].function.name",
            "string_above_max_length",
            (
                "Invalid 'tools[0].function.name': string too long. Expected a string with maximum length 64, "
                "but got a string with length 70 instead."
            ),
        ),
        (
            {"tools": [calling("")]},
            "tools[0].function.name",
            "empty_string",
            (
                "Invalid 'tools[0].function.name': empty string. Expected a string with minimum length 1, "
                "but got an empty string instead."
            ),
        ),
        (
            {"tools": None},
            "tools",
            "invalid_type",
            "Invalid type for 'tools': expected an array of objects, but got null instead.",
        ),
        (
            {"tools": [calling("get_x")], "tool_choice": 7},
            "tool_choice",
            "invalid_type",
            (
                "Invalid type for 'tool_choice': expected one of one of 'none', 'auto', or 'required' or object, "
                "but got an integer instead."
            ),
        ),
        (
            {"tools": [calling("get_x")], "tool_choice": '{"type": "function", "function": {"name": "current"}}'},
            "tool_choice",
            "invalid_value",
            "Invalid value: '{\"t...\"}}'. Supported values are: 'none', 'auto', and 'required'.",
        ),
        (
            {"functions": "x"},
            "functions",
            "invalid_type",
            "Invalid type for 'functions': expected an array of function definitions, but got a string instead.",
        ),
        (
            {"response_format": {"type": "json_schema", "schema": {}}},
            "response_format.json_schema",
            "missing_required_parameter",
            "Missing required parameter: 'response_format.json_schema'.",
        ),
        (
            {"response_format": {"type": "json_object", "schema": {}}},
            "response_format.schema",
            "unknown_parameter",
            "Unknown parameter: 'response_format.schema'.",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "my answer"}}},
            "response_format.json_schema.name",
            "invalid_value",
            (
                "Invalid 'response_format.json_schema.name': string does not match pattern. "
                "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
            ),
        ),
        (
            {"metadata": {f"k{index}": "v" for index in range(17)}},
            "metadata",
            "object_above_max_properties",
            (
                "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
                "but got an object with 17 properties instead."
            ),
        ),
        (
            {"metadata": {"k": "x" * 600}},
            "metadata.k",
            "string_above_max_length",
            (
                "Invalid 'metadata.k': string too long. Expected a string with maximum length 512, "
                "but got a string with length 600 instead."
            ),
        ),
        (
            {"metadata": {"k" * 70: "v"}},
            f"metadata.{'k' * 70}",
            "property_name_above_max_length",
            (
                "Invalid property name in 'metadata': 'kkk...kkk' is too long. "
                "Expected a string with maximum length 64, but got a string with length 70 instead."
            ),
        ),
        (
            {"metadata": "x"},
            "metadata",
            "invalid_type",
            "Invalid type for 'metadata': expected a metadata object, but got a string instead.",
        ),
        (
            {"service_tier": {"a": 1}},
            "service_tier",
            "invalid_type",
            (
                "Invalid type for 'service_tier': expected one of 'auto', 'default', 'flex', 'scale', 'priority', or "
                "'fast', but got an object instead."
            ),
        ),
        (
            {"logit_bias": {"1": 101}},
            "logit_bias.1",
            "integer_above_max_value",
            "Invalid 'logit_bias.1': integer above maximum value. Expected a value <= 100, but got 101 instead.",
        ),
        (
            {"moderation": {}},
            "moderation.model",
            "missing_required_parameter",
            "Missing required parameter: 'moderation.model'.",
        ),
        (
            {"stream": True, "stream_options": {"usage": True}},
            "stream_options.usage",
            "unknown_parameter",
            "Unknown parameter: 'stream_options.usage'.",
        ),
        (
            {"prediction": {"type": "guess", "content": ""}},
            "prediction.type",
            "invalid_value",
            "Invalid value: 'guess'. Value must be 'content'.",
        ),
        (
            saying({"type": "text", "text": "?"}, {"type": "image_url", "image_url": {}}),
            "messages[0].content[1].image_url.url",
            "missing_required_parameter",
            "Missing required parameter: 'messages[0].content[1].image_url.url'.",
        ),
        (
            showing("iVBORw0KGgo="),
            "messages[0].content[0].image_url.url",
            "invalid_value",
            (
                "Invalid image URL: 'messages[0].content[0].image_url.url'. Expected a base64-encoded data URL with an "
                "image MIME type (e.g. 'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU='), "
                "but got a value without the 'data:' prefix."
            ),
        ),
        (
            showing("data:text/plain;base64,eA=="),
            "messages[0].content[0].image_url.url",
            "invalid_value",
            (
                "Invalid image URL: 'messages[0].content[0].image_url.url'. Expected a base64-encoded data URL with an "
                "image MIME type (e.g. 'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU='), "
                "but got unsupported MIME type 'text/plain'."
            ),
        ),
        (
            showing(7),
            "messages[0].content[0].image_url.url",
            "invalid_type",
            "Invalid type for 'messages[0].content[0].image_url.url': expected a string, but got an integer instead.",
        ),
        (
            saying({"type": "video", "video": {}}),
            "messages[0].content[0].type",
            "invalid_value",
            "Invalid value: 'video'. Supported values are: 'text', 'image_url', 'input_audio', and 'file'.",
        ),
        (
            {"messages": [{"role": "user", "content": "Hi", "name": "Ann Lee"}]},
            "messages[0].name",
            "invalid_value",
            (
                "Invalid 'messages[0].name': string does not match pattern. "
                r"Expected a string that matches the pattern '^[^\s<|\\/>]+$'."
            ),
        ),
        (
            {"messages": [{"role": "developer", "content": None}]},
            "messages[0].content",
            "invalid_type",
            (
                "Invalid type for 'messages[0].content': expected one of a string or array of objects, "
                "but got null instead."
            ),
        ),
        (
            {"messages": [{"role": "tool", "tool_call_id": "c" * 41, "content": "7"}]},
            "messages[0].tool_call_id",
            "string_above_max_length",
            (
                "Invalid 'messages[0].tool_call_id': string too long. Expected a string with maximum length 40, "
                "but got a string with length 41 instead."
            ),
        ),
        (
            {"messages": [{"role": "assistant", "content": "Hi", "tool_calls": []}]},
            "messages[0].tool_calls",
            "empty_array",
            (
                "Invalid 'messages[0].tool_calls': empty array. Expected an array with minimum length 1, "
                "but got an empty array instead."
            ),
        ),
    ],
)
def test_a_fault_is_told_in_the_apis_own_words(parameters: dict[str, Any], param: str, code: str, message: str) -> None:
    body = json.dumps({**HELLO, **parameters}).encode()
    refused = refuse(read_request(body, "/v1/chat/completions", "sk-good"))
    assert refused is not None
    assert refused.status == 400
    assert refused.error == {"message": message, "type": "invalid_request_error", "param": param, "code": code}
