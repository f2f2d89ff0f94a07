"""Whatever body a server sends, both clients bring a reply, or an error that says what is wrong and quotes it."""

from __future__ import annotations

import codecs
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from barechat import (
    ApiError,
    AuthenticationFailed,
    BadRequest,
    BarechatError,
    Caps,
    ContentFiltered,
    ContextTooLong,
    NotFound,
    Overloaded,
    PermissionDenied,
    ProtocolBroken,
    QuotaExhausted,
    RateLimited,
    Reply,
    ServerFailed,
)
from support import DONE, ONCE, ByteServer, Caller, Connect, event, head, piece, whole_body

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = whole_body()


def answered(
    connect: Connect, server: ByteServer, *body: bytes, status: str = "200 OK", kind: str = "application/json"
) -> Caller:
    """Return a caller of a server that answers with these bytes, until it closes."""
    server.answer(head("Connection: close", status=status, kind=kind), *body)
    return connect(server.url, retry=ONCE)


def streamed(caller: Caller) -> Reply:
    with caller.stream() as stream:
        list(stream)
    return stream.reply


def both(caller: Caller) -> list[Callable[[], Reply]]:
    """Return the two ways to ask: for a whole reply and for a stream."""
    return [caller.chat, lambda: streamed(caller)]


def with_value(name: str, literal: str) -> bytes:
    """Return a good reply with one more field, of this JSON text."""
    return b'{"%b":%b,' % (name.encode(), literal.encode()) + GOOD[1:]


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "white space": (b" \r\n ", "not JSON"),
    "text": (b"upstream timed out", "not JSON"),
    "HTML": (b"<html><body>Sign in</body></html>", "not JSON"),
    "cut": (GOOD[:-1], "not JSON"),
    "twice": (GOOD * 2, "not JSON"),
    "NaN": (with_value("x", "NaN"), "not JSON"),
    "Infinity": (with_value("x", "-Infinity"), "not JSON"),
    "a number beyond floats": (with_value("x", "1e999"), "too large"),
    "an integer of 5000 digits": (with_value("x", "9" * 5000), "too large"),
    "10000 lists": (with_value("x", "[" * 10_000 + "]" * 10_000), "too many levels"),
    "10000 objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "too many levels"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "not JSON"),
    "UTF-16 without a mark": (GOOD.decode().encode("utf-16-le"), "not JSON"),
    "UTF-32": (GOOD.decode().encode("utf-32"), "not JSON"),
    "latin-1": (whole_body("caf\xe9").decode().encode("latin-1"), "not JSON"),
    "an encoded surrogate": (GOOD.replace(b"It will", b"\xed\xa0\xbd"), "not JSON"),
    "a NUL": (b"\0" + GOOD, "not JSON"),
    "two marks": (codecs.BOM_UTF8 * 2 + GOOD, "not JSON"),
    "null": (b"null", "not a JSON object"),
    "a list": (b"[" + GOOD + b"]", "not a JSON object"),
    "a string": (b'"choices"', "not a JSON object"),
    "a number": (b"42", "not a JSON object"),
    "an empty object": (b"{}", "no choices"),
    "choices: null": (whole_body(choices=None), "no choices"),
    "choices: none": (whole_body(choices=[]), "no choices"),
    "choices: an object": (whole_body(choices={"0": {}}), "no choices"),
    "a choice: null": (whole_body(choices=[None]), "no message"),
    "a message: null": (whole_body(choices=[{"message": None}]), "no message"),
    "a content: an object": (whole_body(choices=[{"message": {"content": {"a": 1}}, "finish_reason": "stop"}]), "text"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_reply_is_said_and_quoted(name: str, connect: Connect, byte_server: ByteServer) -> None:
    body, said = BROKEN[name]
    caller = answered(connect, byte_server, body)
    for call in both(caller):
        with pytest.raises(ProtocolBroken, match=said) as caught:
            call()
        assert caught.value.status == 200
        assert len(caught.value.attempts) == 1
        assert len(str(caught.value)) < 1500
        if said != "text":
            assert caught.value.body == body[:2048]
            assert repr(body[:100])[:-1] in str(caught.value)


READ: dict[str, bytes] = {
    "a byte order mark": codecs.BOM_UTF8 + GOOD,
    "white space around": b"\r\n \t" + GOOD + b"\n\n",
    "a key twice": GOOD[:-1] + b',"choices":' + json.dumps(json.loads(GOOD)["choices"]).encode() + b"}",
    "900 levels": with_value("x", "[" * 900 + "]" * 900),
    "an integer of 4000 digits": with_value("created", "9" * 4000),
    "usage of 4000 digits": whole_body(usage=None)[:-1] + b',"usage":{"prompt_tokens":' + b"9" * 4000 + b"}}",
    "nulls everywhere": whole_body(id=None, created=None, model=None, usage=None, object=None, service_tier=None),
    "numbers as strings": whole_body(created="1", usage={"prompt_tokens": "10", "completion_tokens": "4"}),
    "strings as numbers": whole_body(id=1, model=2, system_fingerprint=3.5, service_tier=True),
    "lists for objects": whole_body(usage=[], model=[], id={}),
    "half a character": with_value("x", '"\\ud83d"'),
}


@pytest.mark.parametrize(
    ("name", "media_type"), [*zip(READ, itertools.cycle(["application/json; charset=utf-16", "text/html", ""]))]
)
def test_what_is_odd_but_whole_is_a_reply_whatever_its_type_says(
    name: str, media_type: str, connect: Connect, byte_server: ByteServer
) -> None:
    caller = answered(connect, byte_server, READ[name], kind=media_type)
    for reply in (caller.chat(), streamed(caller)):
        assert reply.text == "It will rain."
        assert f"{reply.cost:.6f}" == "unpriced" or reply.cost.usd is not None
        assert caller.client.cost.total_cost >= 0


def test_a_stream_is_utf8_whatever_its_charset_says(connect: Connect, byte_server: ByteServer) -> None:
    body = codecs.BOM_UTF8 + piece("caf\xe9 \u2028 😀") + piece(finish_reason="stop") + DONE
    caller = answered(connect, byte_server, body, kind="text/event-stream; charset=latin-1")
    assert streamed(caller).text == "caf\xe9 \u2028 😀"


def test_a_stream_in_utf16_is_said_not_to_be_utf8(connect: Connect, byte_server: ByteServer) -> None:
    body = (piece("a") + DONE).decode().encode("utf-16")
    caller = answered(connect, byte_server, body, kind="text/event-stream; charset=utf-16")
    with pytest.raises(ProtocolBroken, match="not UTF-8") as caught:
        streamed(caller)
    assert (caught.value.body or b"").startswith(b"\xff\xfe")


def test_a_body_as_long_as_its_cap_is_a_reply_and_a_byte_more_is_not(connect: Connect, byte_server: ByteServer) -> None:
    assert Caps().body_bytes == 64 * 2**20
    room = 2**20 - len(whole_body(""))
    byte_server.answer(head("Connection: close"), whole_body("x" * room))
    caller = connect(byte_server.url, retry=ONCE, caps=Caps(body_bytes=2**20))
    assert len(caller.chat().text) == room
    byte_server.answers.clear()
    byte_server.answer(head("Connection: close"), whole_body("x" * (room + 1)))
    with pytest.raises(ProtocolBroken, match="longer than 1048576 bytes"):
        caller.chat()


# Errors, in every form that servers were seen to give them.

FULL = {"message": "too hot", "type": "some_error", "param": "messages", "code": "a_code"}
FACTS = ("a_code", "some_error", "messages")
AZURE = {
    "message": "The response was filtered due to the prompt triggering the content management policy.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
    "innererror": {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {"hate": {"filtered": True, "severity": "high"}},
    },
}
NONE = (None, None, None)
# Each: the body; its code, type and param; its class under 400 and under 200.
FORMS: dict[str, tuple[Any, tuple[str | None, ...], type[ApiError], type[ApiError]]] = {
    "OpenAI's": ({"error": FULL}, FACTS, BadRequest, ApiError),
    "beside choices": ({"error": FULL, "choices": []}, FACTS, BadRequest, ApiError),
    "nulls": ({"error": {"message": "too hot", "type": None, "param": None, "code": None}}, NONE, BadRequest, ApiError),
    "nothing but a message": ({"error": {"message": "too hot"}}, NONE, BadRequest, ApiError),
    "text": ({"error": "too hot"}, NONE, BadRequest, ApiError),
    "an int code": ({"error": {**FULL, "code": 429}}, ("429", *FACTS[1:]), BadRequest, RateLimited),
    "a digit string": ({"error": {**FULL, "code": "429"}}, ("429", *FACTS[1:]), BadRequest, RateLimited),
    "LiteLLM's": (
        {"error": {"message": "too hot", "type": "None", "param": "None", "code": "401"}},
        ("401", None, None),
        BadRequest,
        AuthenticationFailed,
    ),
    "a code that is a list": ({"error": {**FULL, "code": ["x"]}}, (None, *FACTS[1:]), BadRequest, ApiError),
    "a code that is true": ({"error": {**FULL, "code": True}}, (None, *FACTS[1:]), BadRequest, ApiError),
    "403": ({"error": {**FULL, "code": 403}}, ("403", *FACTS[1:]), BadRequest, PermissionDenied),
    "404": ({"error": {**FULL, "code": "404"}}, ("404", *FACTS[1:]), BadRequest, NotFound),
    "502": ({"error": {**FULL, "code": 502}}, ("502", *FACTS[1:]), BadRequest, ServerFailed),
    "503": ({"error": {**FULL, "code": 503}}, ("503", *FACTS[1:]), BadRequest, Overloaded),
    "quota": (
        {"error": {**FULL, "type": "insufficient_quota"}},
        ("a_code", "insufficient_quota", "messages"),
        QuotaExhausted,
        QuotaExhausted,
    ),
    "too long": (
        {"error": {**FULL, "code": "context_length_exceeded"}},
        ("context_length_exceeded", *FACTS[1:]),
        ContextTooLong,
        ContextTooLong,
    ),
    "overloaded": (
        {"error": {**FULL, "code": "server_is_overloaded"}},
        ("server_is_overloaded", *FACTS[1:]),
        BadRequest,
        Overloaded,
    ),
    "Azure's filter": ({"error": AZURE}, ("content_filter", None, "prompt"), ContentFiltered, ContentFiltered),
    "Azure's filter, the code within": (
        {"error": {**AZURE, "code": None}},
        (None, None, "prompt"),
        ContentFiltered,
        ContentFiltered,
    ),
    "Gemini's list": ([{"error": {"message": "too hot", "code": 503}}], ("503", None, None), BadRequest, Overloaded),
    "flat": ({"object": "error", **FULL}, FACTS, BadRequest, ApiError),
    "flat, an int": ({"object": "error", "message": "too hot", "code": 404}, ("404", None, None), BadRequest, NotFound),
    "detail": ({"detail": "too hot"}, NONE, BadRequest, ApiError),
    "detail, a list": ({"detail": [{"loc": ["body"], "msg": "too hot"}]}, NONE, BadRequest, ApiError),
    "statusCode": ({"statusCode": 429, "message": "too hot"}, NONE, BadRequest, RateLimited),
}


def assert_is(error: BarechatError, name: str, kind: type[ApiError], status: int) -> None:
    body, facts, _, _ = FORMS[name]
    assert type(error) is kind
    assert (error.code, error.type, error.param) == facts
    assert error.status == status
    assert ("filtered" if "Azure" in name else "too hot") in str(error)
    assert json.loads(error.body or b"") == body


@pytest.mark.parametrize("name", FORMS)
def test_an_error_of_any_form_has_its_class_and_facts_under_its_status(
    name: str, connect: Connect, byte_server: ByteServer
) -> None:
    body, _, kind, _ = FORMS[name]
    caller = answered(connect, byte_server, json.dumps(body).encode(), status="400 Bad Request")
    for call in both(caller):
        with pytest.raises(ApiError) as caught:
            call()
        assert_is(caught.value, name, kind, 400)


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if isinstance(form[0], dict)])
def test_an_error_of_any_form_is_one_in_a_200_s_body_too(name: str, connect: Connect, byte_server: ByteServer) -> None:
    body, _, _, kind = FORMS[name]
    caller = answered(connect, byte_server, json.dumps(body).encode())
    for call in both(caller):
        with pytest.raises(ApiError) as caught:
            call()
        assert_is(caught.value, name, kind, 200)


@pytest.mark.parametrize("name", FORMS)
def test_an_error_of_any_form_is_one_in_mid_stream_and_what_came_is_kept(
    name: str, connect: Connect, byte_server: ByteServer
) -> None:
    """Unnamed events must say of themselves that they are errors: others may be a vendor's own."""
    body, _, _, kind = FORMS[name]
    data = b"data: " + json.dumps(body).encode() + b"\n\n"
    says_so = isinstance(body, dict) and ("error" in body or body.get("object") == "error")
    for error, end in [(b"event: error\n" + data, b"")] + [(data, DONE)] * says_so:
        byte_server.answers.clear()
        caller = answered(connect, byte_server, piece("It will"), error, end, kind="text/event-stream")
        with pytest.raises(ApiError) as caught:
            streamed(caller)
        assert_is(caught.value, name, kind, 200)
        assert caught.value.partial is not None
        assert caught.value.partial.text == "It will"


@pytest.mark.parametrize("payload", ["", "too hot", "[]", "null", "42", "{", '"too hot"'])
def test_an_event_named_error_is_one_whatever_it_holds(payload: str, connect: Connect, byte_server: ByteServer) -> None:
    error = f"event: error\ndata: {payload}\n\n".encode()
    caller = answered(connect, byte_server, piece("It will"), error, DONE, kind="text/event-stream")
    with pytest.raises(ApiError, match="too hot" if "too hot" in payload else "answer is an error"):
        streamed(caller)


def test_azure_s_annotations_are_no_fault_and_are_kept(connect: Connect, byte_server: ByteServer) -> None:
    safe = {"hate": {"filtered": False, "severity": "safe"}}
    prompt = [{"prompt_index": 0, "content_filter_results": safe}]
    noted = {"index": 0, "content_filter_results": safe, "content_filter_offsets": {"check_offset": 44}}
    failed = {"index": 0, "content_filter_results": {"error": {"code": "content_filter_error", "message": "timed out"}}}
    caller = answered(
        connect,
        byte_server,
        event(id="", model="", choices=[], prompt_filter_results=prompt),
        piece("It will rain."),
        event(choices=[failed | {"delta": {}}]),
        event(choices=[noted | {"finish_reason": None}]),
        piece(finish_reason="stop"),
        DONE,
        kind="text/event-stream",
    )
    reply = streamed(caller)
    assert (reply.text, reply.verdict, reply.model) == ("It will rain.", "complete", "gpt-4o-mini-2024-07-18")
    assert reply.raw["prompt_filter_results"] == prompt
    assert reply.raw["choices"][0]["content_filter_results"] == safe

    byte_server.answers.clear()
    choice = {**failed, "message": {"content": "It will rain."}, "finish_reason": "stop"}
    caller = answered(connect, byte_server, whole_body(choices=[choice], prompt_filter_results=prompt))
    reply = caller.chat()
    assert (reply.text, reply.verdict) == ("It will rain.", "complete")
    assert reply.raw["prompt_filter_results"] == prompt
    assert reply.raw["choices"][0]["content_filter_results"]["error"]["code"] == "content_filter_error"
