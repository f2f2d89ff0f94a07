"""barechat.wire.request: messages and parameters become a checked request, and the same as a curl command."""

from __future__ import annotations

import pickle
import sys
import warnings
from collections import UserDict
from functools import partial
from typing import Any

import pytest

from barechat import ChatSession, Client
from barechat.errors import ParameterError
from barechat.records import Function, Message, ToolCall
from barechat.wire import request as wire
from requesting import BASE, HI, KEY, azure, build, endpoint, sent

# Bodies.


def test_a_string_is_one_user_message_and_a_list_goes_as_it_is() -> None:
    assert sent(build("Hi")) == {"model": "gpt-4o-mini", "messages": HI}
    call = ToolCall(id="a", function=Function(name="f", arguments="{}"))
    messages = [{"role": "system", "content": None}, Message(tool_calls=(call,)), {"role": "user", "content": [{}]}]
    assert sent(build(tuple(messages)))["messages"] == [
        {"role": "system", "content": None},
        {"role": "assistant", "content": None, "tool_calls": [call.to_dict()]},
        {"role": "user", "content": [{}]},
    ]
    assert sent(build([UserDict(HI[0])]))["messages"] == HI


def test_extra_goes_unchecked_beside_the_parameters_and_over_them() -> None:
    body = sent(build(temperature=0.5, extra={"temperature": 9, "top_k": [1]}))
    assert (body["temperature"], body["top_k"]) == (9, [1])


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ({}, "messages"),
        (None, "messages"),
        (b"Hi", "messages"),
        (5, "messages"),
        (["Hi"], "messages[0]"),
        ([*HI, None], "messages[1]"),
        ([{"content": "Hi"}], "messages[0].role"),
        ([{"role": "", "content": "Hi"}], "messages[0].role"),
        ([{"role": 5, "content": "Hi"}], "messages[0].role"),
        ([{"role": "user", "content": {"text": "Hi"}}], "messages[0].content"),
        ([{"role": "user", "content": b"Hi"}], "messages[0].content"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": "\ud83d"}], "messages[0].content"),
        ([{"role": "user", "content": [{"image": b"x"}]}], "messages[0].content[0].image"),
        ([{"role": "user", "content": "x", "weight": float("nan")}], "messages[0].weight"),
    ],
)
def test_a_message_that_cannot_be_sent_is_refused_by_its_path(messages: Any, param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        build(messages)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"model": "\ud800"}, "model"),
        ({"extra": {"model": 5}}, "model"),
        ({"extra": {"messages": []}}, "messages"),
        ({"extra": {"x": float("inf")}}, "x"),
        ({"extra": {"stream": True}}, "stream"),
        ({"metadata": {"a": b"x"}}, "metadata.a"),
        ({"response_format": "xml"}, "response_format"),
        ({"headers": {"bad name": "x"}}, "headers"),
        ({"headers": {"": "x"}}, "headers"),
        ({"headers": {5: "x"}}, "headers"),
        ({"headers": {"X-A": "a\r\nX-Evil: b"}}, "headers"),
        ({"headers": {"X-A": "\u20ac"}}, "headers"),
        ({"headers": {"X-A": 5}}, "headers"),
        ({"headers": {"Content-Length": "5"}}, "headers"),
        ({"headers": {"transfer-encoding": "chunked"}}, "headers"),
        ({"headers": [("X-A", "b")]}, "headers"),
    ],
)
def test_whatever_else_cannot_be_sent_is_refused_by_name(options: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        build(**options)
    assert caught.value.param == param
    assert "X-Evil" not in str(caught.value)


def test_a_string_among_a_contents_parts_is_a_part_of_text_and_all_else_is_as_it_was() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    given: list[dict[str, Any]] = [{"role": "user", "name": "Ada", "content": ["What is it?", image]}, *HI]
    wanted = {"role": "user", "name": "Ada", "content": [{"type": "text", "text": "What is it?"}, image]}
    assert sent(build(given))["messages"] == [wanted, *HI]
    assert given[0]["content"] == ["What is it?", image]
    build([{"role": "user", "content": ["as JSON"]}], response_format="json")


def test_json_mode_is_refused_unless_a_message_says_json() -> None:
    for shape in ("json", "json_object", {"type": "json_object"}):
        assert sent(build("Answer in Json.", response_format=shape))["response_format"] == {"type": "json_object"}
        with pytest.raises(ParameterError, match="says JSON") as caught:
            build("Answer.", response_format=shape)
        assert caught.value.param == "messages"
    part = {"type": "text", "text": "as JSON"}
    build([{"role": "user", "content": [{"type": "image_url"}, part]}], response_format="json")
    build([Message(content="as JSON"), *HI], response_format="json")
    assert sent(build(response_format="text"))["response_format"] == {"type": "text"}
    schema = {"type": "json_schema", "json_schema": {"name": "x"}}
    assert sent(build(response_format=schema))["response_format"] == schema


def test_a_message_that_holds_itself_is_refused_also_in_json_mode() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for shape in (None, "json"):
        with pytest.raises(ParameterError):
            build([{"role": "user", "content": loop}], response_format=shape)


# max_tokens.

REASONING = ["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5.6-sol", "gpt-6-astra", "gpt-10"]
REASONING += ["openai/gpt-5-mini", "ft:gpt-5:acme::1"]
OTHERS = ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-oss-120b", "o10x", "llama-3", "gpt-3.5-turbo", "solo1", "go1"]


@pytest.mark.parametrize("model", REASONING)
def test_max_tokens_is_sent_by_its_new_name_where_the_old_one_is_refused(model: str) -> None:
    with pytest.warns(UserWarning, match="max_completion_tokens"):
        body = sent(build(model=model, max_tokens=5))
    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body


@pytest.mark.parametrize("version", ["2024-10-21", None])
def test_max_tokens_is_renamed_by_the_deployment_s_name_too(version: str | None) -> None:
    at = azure("https://r.openai.azure.com", "o3-mini", version)
    with pytest.warns(UserWarning, match="o3-mini refuses max_tokens"):
        body = sent(build(model=None, at=at, max_tokens=5))
    assert body["max_completion_tokens"] == 5


def test_neither_an_endpoint_nor_a_client_can_be_pickled_with_its_key() -> None:
    for held in (endpoint(), Client(KEY, BASE)):
        with pytest.raises(TypeError, match="holds the key"):
            pickle.dumps(held)


@pytest.mark.parametrize("model", OTHERS)
def test_max_tokens_is_left_alone_for_every_other_model(model: str) -> None:
    assert sent(build(model=model, max_tokens=5))["max_tokens"] == 5


def shout(text: str) -> str:
    """Say it loudly."""
    return text.upper()


@pytest.mark.parametrize("method", ["chat", "stream", "curl", "parse", "run", "send", "stream in a session"])
def test_the_warning_points_at_the_callers_own_line(method: str) -> None:
    client = Client(api_key=KEY, base_url=BASE)
    session = ChatSession(client, model="o1")
    call: Any = {
        "chat": partial(client.chat, model="o1"),
        "stream": partial(client.stream, model="o1"),
        "curl": partial(client.curl, model="o1"),
        "parse": partial(client.parse, into=int, model="o1"),
        "run": partial(client.run, tools=[shout], model="o1"),
        "send": session.send,
        "stream in a session": session.stream,
    }[method]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line = sys._getframe().f_lineno + 2
        with pytest.raises(ParameterError, match="header name"):  # which ends the call before anything is sent
            call("Hi", max_tokens=5, headers={"no name": "x"})
    (warning,) = caught
    assert (warning.filename, warning.lineno) == (__file__, line)


# Streams.


def test_a_stream_asks_for_usage_unless_its_caller_says_otherwise() -> None:
    def options(**more: Any) -> Any:
        return sent(build(streamed=True, **more)).get("stream_options")

    assert options() == {"include_usage": True}
    assert options(stream_options={"include_obfuscation": False}) == {
        "include_obfuscation": False,
        "include_usage": True,
    }
    assert options(stream_options={"include_usage": False}) == {"include_usage": False}
    assert options(extra={"stream_options": None}) is None
    assert options(ask_usage=False) is None
    assert "stream_options" not in sent(build())
    assert sent(build(streamed=True, extra={"stream": False}))["stream"] is True


def test_what_we_asked_for_by_ourselves_can_be_taken_back_and_no_more() -> None:
    ours = build(streamed=True)
    assert ours.asks_usage
    assert "stream_options" not in sent(ours.without_usage())
    assert not ours.without_usage().asks_usage
    mixed = build(streamed=True, stream_options={"include_obfuscation": False})
    assert sent(mixed.without_usage())["stream_options"] == {"include_obfuscation": False}
    assert sent(mixed)["stream_options"]["include_usage"] is True
    assert not build(streamed=True, stream_options={"include_usage": True}).asks_usage


def test_n_is_what_the_request_says_if_it_says_a_number() -> None:
    assert (build().n, build(n=3).n, build(extra={"n": "3"}).n) == (None, 3, None)


# Headers.


def test_headers_are_ours_then_the_clients_then_the_calls_in_any_case() -> None:
    at = endpoint(**{"X-A": "client", "user-agent": "mine"})
    headers = build(at=at, headers={"x-a": "call", "AUTHORIZATION": "Basic x"}, streamed=True).headers
    assert headers["x-a"] == "call"
    assert headers["user-agent"] == "mine"
    assert headers["Authorization"] == "Basic x"  # so that a key, added with each attempt, takes its place
    assert headers["Accept"] == "text/event-stream"
    assert len({name.lower() for name in headers}) == len(headers)
    assert build().headers["Accept"] == "application/json"


def test_credentials_are_a_key_or_a_token_in_the_servers_own_header() -> None:
    assert endpoint().credentials() == {"Authorization": f"Bearer {KEY}"}
    assert endpoint(key="").credentials() == {}
    assert endpoint().credentials("t") == azure("https://r").credentials("t") == {"Authorization": "Bearer t"}
    assert azure("https://r").credentials() == {"api-key": KEY}


def test_every_header_that_may_hold_a_secret_is_masked() -> None:
    secret = ("Authorization", "api-key", "X-API-Key", "Cookie", "Set-Cookie", "Proxy-Authorization", "x-goog-api-key",
              "Ocp-Apim-Subscription-Key", "X-Auth-Token", "X-Client-Secret")  # fmt: skip
    plain = ("x-ratelimit-remaining-tokens", "x-request-id", "Accept", "openai-processing-ms", "x-keys")
    assert set(wire.mask(dict.fromkeys(secret, "v")).values()) == {"***"}
    assert set(wire.mask(dict.fromkeys(plain, "v")).values()) == {"v"}
