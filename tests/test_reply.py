"""barechat.wire.reply: status, headers and body become a reply, or the right error, whatever shape they have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from barechat import errors
from barechat.errors import (
    ApiError,
    AuthenticationFailed,
    BadRequest,
    BarechatError,
    ContentFiltered,
    ContextTooLong,
    NotFound,
    Overloaded,
    PermissionDenied,
    ProtocolBroken,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    StreamTruncated,
)
from barechat.records import Custom, Function, Message, ToolCall, Usage
from barechat.wire.faults import BODY_KEPT, api_error, read_error
from barechat.wire.reply import read_whole, reply_of, verdict_of
from vectors import Case, case_id, cases

# The cases name classes as their sources do; each of ours is that class, or a closer one.
CLASSES: dict[str, type[ApiError]] = {
    "APIError(generic)": errors.ApiError,
    "Authentication": errors.AuthenticationFailed,
    "BadRequest": errors.BadRequest,
    "Conflict": errors.Conflict,
    "InternalServer": errors.ServerFailed,
    "NotFound": errors.NotFound,
    "PermissionDenied": errors.PermissionDenied,
    "RateLimit": errors.RateLimited,
}


PAGE = b"""<!DOCTYPE html><html><head><title>502 Bad &amp; Gateway</title><style>p{}</style></head>
<body><script>var a = 1 < 2;</script><h1>too
hot</h1></body></html>"""


def error_of(body: Any, status: int = 400) -> ApiError:
    return read_error(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize("case", cases("errors"), ids=case_id)
def test_every_recorded_error_is_of_its_class_with_its_facts(case: Case) -> None:
    expected = case["expected"]
    error = read_error(case["status"], case["headers"], json.dumps(case["body"]).encode())
    assert isinstance(error, CLASSES[expected["class"]])
    assert error.status == case["status"]
    assert expected.get("message", "") in str(error)
    assert expected.get("message_startswith", "") in str(error)
    for name in ("code", "type", "param"):
        if name in expected:
            assert getattr(error, name) == expected[name]
    assert isinstance(error, ContextTooLong) == bool(expected.get("context_overflow"))
    assert isinstance(error, QuotaExhausted) == (expected.get("code") == "insufficient_quota")


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (400, BadRequest),
        (401, AuthenticationFailed),
        (402, ApiError),
        (403, PermissionDenied),
        (404, NotFound),
        (408, ApiError),
        (409, errors.Conflict),
        (413, errors.TooLarge),
        (418, ApiError),
        (422, BadRequest),
        (429, RateLimited),
        (500, ServerFailed),
        (501, ServerFailed),
        (502, ServerFailed),
        (503, Overloaded),
        (504, ServerFailed),
        (529, Overloaded),
        (599, ServerFailed),
    ],
)
def test_every_status_has_its_class_whatever_the_body(status: int, wanted: type[ApiError]) -> None:
    for body in (b"", b"\xff", b"<html>", b"null", b"[]", b"{}", b'{"error": {"code": "odd", "type": "odder"}}'):
        error = error_of(body, status)
        assert type(error) is wanted
        assert str(status) in str(error)


@pytest.mark.parametrize(
    ("status", "facts", "wanted"),
    [
        (429, {"code": "insufficient_quota"}, QuotaExhausted),
        (429, {"type": "insufficient_quota"}, QuotaExhausted),
        (403, {"code": "credit_balance_exhausted"}, QuotaExhausted),
        (429, {"code": "billing_not_active"}, QuotaExhausted),
        (400, {"code": "billing_hard_limit_reached"}, BadRequest),
        (429, {"code": "slow_down"}, RateLimited),
        (400, {"code": "content_filter"}, ContentFiltered),
        (400, {"code": "odd", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, ContentFiltered),
        (400, {"code": "odd", "innererror": "odd"}, BadRequest),
        (400, {"code": "context_length_exceeded"}, ContextTooLong),
        (400, {"message": "This model's maximum context length is 8192 tokens."}, ContextTooLong),
        (400, {"message": "prompt is too long: 9 > 8"}, ContextTooLong),
        (400, {"message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."},
         ContextTooLong),
        (500, {"message": "context length"}, ServerFailed),
        (200, {"code": "context_length_exceeded"}, ContextTooLong),
        (200, {"code": 429}, RateLimited),
        (200, {"code": "503"}, Overloaded),
        (200, {"status_code": 404}, NotFound),
        (200, {"statusCode": 401}, AuthenticationFailed),
        (200, {"status": 403, "code": "odd"}, PermissionDenied),
        (200, {"code": 200}, ApiError),
        (200, {"type": "rate_limit_error"}, RateLimited),
        (200, {"type": "overloaded_error"}, Overloaded),
        (200, {"type": "RateLimitError"}, RateLimited),
        (200, {"code": "billing_not_active"}, QuotaExhausted),
        (200, {"type": "odd"}, ApiError),
    ],
)  # fmt: skip
def test_a_code_or_type_tells_more_than_the_status(status: int, facts: dict[str, Any], wanted: type[ApiError]) -> None:
    assert type(api_error(status, {"error": facts}, b"")) is wanted


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "too\n  hot"}}, "too hot"),
        ({"error": "too hot"}, "too hot"),
        ({"error": "Bad Request", "message": "too hot"}, "too hot"),
        ({"error": True, "message": "too hot"}, "too hot"),
        ({"error": 7}, "7"),
        ({"error": ["too", "hot"]}, '["too","hot"]'),
        ({"object": "error", "message": "too hot", "code": 400}, "too hot"),
        ({"detail": "too hot"}, "too hot"),
        ({"detail": [{"loc": ["body", "model"], "msg": "required"}]}, '"msg":"required"'),
        ({"statusCode": 400, "message": "too hot"}, "too hot"),
        ({"error": "invalid", "error_description": "too hot"}, "invalid"),
        ({"msg": "too hot"}, "too hot"),
        ([{"error": {"message": "too hot"}}], "too hot"),
        ("too hot", "too hot"),
        (5, "5"),
        ({}, "nothing more"),
        ({"error": {}}, "nothing more"),
        ({"error": {"message": ""}}, "nothing more"),
        ({"error": {"message": None, "detail": "too hot"}}, "too hot"),
        (None, "nothing more"),
        ([], "nothing more"),
        (b"", "nothing more"),
        (b"too hot", "too hot"),
        (b"\xef\xbb\xbftoo hot", "too hot"),
        (b'\xef\xbb\xbf{"error": "too hot"}', "too hot"),
        (b"\xff\xfe", "\ufffd"),
        (b"[" * 5000, "[[["),
        (PAGE, "502 Bad & Gateway too hot"),
        (b"<STYLE>x</STYLE>too hot<script>never closed", "too hot"),
        (b"  <p>too<br>hot", "too hot"),
        (b"<" * 32_000, "<<<"),
    ],
)
def test_an_error_says_what_the_server_said_in_whatever_shape(body: Any, said: str) -> None:
    error = error_of(body)
    assert said in str(error)
    assert "var a" not in str(error)
    assert "never closed" not in str(error)
    assert len(str(error)) < 1500
    assert isinstance(error, BadRequest)


def test_a_page_that_names_a_character_by_thousands_of_digits_is_an_error_like_any() -> None:
    for digits in (5000, 30_000):
        error = read_error(500, {}, b"<p>&lt;hot&gt; &#" + b"9" * digits + b"; <b>&amp;</b></p>")
        assert isinstance(error, ServerFailed)
        assert "<hot>" in str(error)


def test_an_error_in_a_list_is_the_error_itself() -> None:
    """As Gemini sends it through its OpenAI-shaped endpoint."""
    error = error_of([{"error": {"message": "too hot", "code": 400, "param": "temperature"}}])
    assert str(error) == "the server answered 400: too hot."
    assert error.param == "temperature"


def test_codes_of_any_type_are_read_as_text_or_not_at_all() -> None:
    for value, wanted in ((7, "7"), ("x", "x"), ("None", None), ("", None), (None, None), (True, None), (1.5, None)):
        error = error_of({"error": {"message": "m", "code": value, "type": value, "param": value}})
        assert (error.code, error.type, error.param) == (wanted, wanted, wanted)
    assert error_of({"error": {"code": [], "type": {}, "param": ["a"]}}).code is None


def test_an_error_keeps_the_first_bytes_of_the_body() -> None:
    assert error_of(b"x" * 5000).body == b"x" * BODY_KEPT
    assert api_error(200, {}, "é" * 5000).body == ("é" * 5000).encode()[:BODY_KEPT]


def test_a_redirect_is_an_error_that_names_its_target_in_bounded_length() -> None:
    error = read_error(307, {"location": "https://elsewhere/" + "x" * 5000}, b"")
    assert type(error) is ApiError
    assert error.status == 307
    assert "https://elsewhere/" in str(error)
    assert len(str(error)) < 600
    assert "nowhere" in str(read_error(301, {}, b""))


CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"", ProtocolBroken),
        (b"<html>login</html>", ProtocolBroken),
        (b"ok", ProtocolBroken),
        (b"\xff", ProtocolBroken),
        (b"[]", ProtocolBroken),
        (b"null", ProtocolBroken),
        (b"[" * 5000, ProtocolBroken),
        (b"{}", ProtocolBroken),
        (b'{"choices": []}', ProtocolBroken),
        (b'{"choices": {}}', ProtocolBroken),
        (b'{"choices": [1]}', ProtocolBroken),
        (b'{"choices": [{"text": "x"}]}', ProtocolBroken),
        (b'{"choices": [{"message": "x"}]}', ProtocolBroken),
        (b'{"error": {"message": "no", "code": 404}}', NotFound),
        (b'{"error": "no"}', ApiError),
        (b'{"object": "error", "message": "no", "code": 404}', NotFound),
        (b'{"detail": "no"}', ApiError),
        (b'{"statusCode": 401, "message": "no"}', AuthenticationFailed),
    ],
)
def test_a_200_that_is_no_reply_never_passes_for_one(body: bytes, wanted: type[BarechatError]) -> None:
    with pytest.raises(BarechatError) as caught:
        read_whole(body)
    assert type(caught.value) is wanted
    assert caught.value.body == body[:BODY_KEPT]


def test_a_bom_before_a_reply_is_nothing() -> None:
    raw = {"choices": [CHOICE], "error": None}
    assert read_whole(b"\xef\xbb\xbf" + json.dumps(raw).encode()).raw == raw


def verdict(*reasons: Any, n: int | None = None, ended: bool = True) -> str:
    return verdict_of({"choices": [{"finish_reason": reason} for reason in reasons]}, n, ended=ended)


def test_the_verdict_is_what_the_choices_ends_say() -> None:
    assert verdict("stop") == verdict("tool_calls") == verdict("function_call") == "complete"
    assert verdict("stop", "tool_calls", n=2, ended=False) == "complete"
    assert verdict("length") == verdict("stop", "length") == "limited"
    assert verdict("content_filter") == verdict("length", "content_filter") == "filtered"
    assert verdict("odd") == verdict(None) == verdict("stop", None) == verdict("stop", n=2) == verdict("") == "unknown"
    for reasons, n in ((("stop",), 2), ((None,), 1), (("stop", None), None), ((), None)):
        with pytest.raises(StreamTruncated):
            verdict(*reasons, n=n, ended=False)


def test_a_server_that_gives_up_half_way_is_no_answer() -> None:
    with pytest.raises(StreamTruncated, match="gave up"):
        verdict("error")
    with pytest.raises(Overloaded, match="busy"):
        verdict_of({"choices": [{"finish_reason": "error", "error": {"message": "busy", "code": 503}}]}, 1, ended=True)


def test_a_whole_reply_is_read_leniently_and_keeps_the_servers_object() -> None:
    raw = {
        "id": 7,
        "model": None,
        "created": "x",
        "service_tier": "default",
        "system_fingerprint": "fp",
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        "choices": [
            {
                "message": {
                    "role": None,
                    "content": [{"type": "text", "text": "Hi"}, {"type": "x"}],
                    "refusal": None,
                    "reasoning": "Hm",
                    "annotations": [1],
                    "audio": {"id": "a"},
                    "function_call": {"name": "f", "arguments": None},
                    "tool_calls": [
                        {"id": 5, "function": {"name": "f", "arguments": {"a": 1}}},
                        {"id": None, "type": None, "custom": {"name": "g", "input": None}, "index": 9},
                        {},
                    ],
                },
                "finish_reason": "",
                "logprobs": [1],
            },
            {"index": 4, "message": {"content": 5, "tool_calls": [], "annotations": 1}, "logprobs": {"content": []}},
        ],
    }
    reply = reply_of(raw, "unknown")
    assert (reply.id, reply.model, reply.created, reply.service_tier) == ("7", "", 0, "default")
    assert reply.usage == Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    assert reply.raw is raw
    first, second = reply.choices
    assert (first.index, first.finish_reason, first.logprobs) == (0, None, None)
    assert first.message == Message(
        content="Hi",
        reasoning="Hm",
        annotations=[1],
        audio={"id": "a"},
        function_call=Function(name="f"),
        tool_calls=(
            ToolCall(id="5", function=Function(name="f", arguments='{"a":1}')),
            ToolCall(type="custom", custom=Custom(name="g"), index=9),
            ToolCall(index=2),
        ),
    )
    assert (second.index, second.message, second.logprobs) == (4, Message(content="5"), {"content": []})


VALUES: list[Any] = [
    None,
    "",
    "tide",
    3,
    True,
    1.0,
    2**70,
    [],
    [{"a": 1}],
    {},
    {"id": "a"},
    {"name": "f", "arguments": ""},
]


def outcome(raw: dict[str, Any]) -> Any:
    try:
        return replace(reply_of(raw, "partial"), raw={})
    except ProtocolBroken as error:
        return str(error)


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("name", ["role", "content", "refusal", "reasoning", "function_call", "annotations", "audio"])
def test_a_message_is_read_alike_whether_or_not_another_part_takes_leniency(name: str, value: Any) -> None:
    message = {"role": "user", "content": "Hi", name: value}
    plain, odd = ({"choices": [{"index": 0, "message": one}]} for one in (message, {**message, "tool_calls": None}))
    assert outcome(plain) == outcome(odd)


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("name", ["index", "finish_reason", "logprobs", "id", "model", "created", "service_tier"])
def test_a_reply_is_read_alike_whether_or_not_another_part_takes_leniency(name: str, value: Any) -> None:
    choice = {"index": 0, "message": {"role": "user"}, name: value}
    odd = {**choice, "message": {"role": "user", "tool_calls": None}}
    assert outcome({"choices": [choice], name: value}) == outcome({"choices": [odd], name: value})


@pytest.mark.parametrize("message", [{"content": {"a": 1}}, {"content": ["x"]}, {"refusal": {}}, {"tool_calls": ["x"]}])
def test_what_would_be_lost_in_silence_breaks_the_protocol(message: dict[str, Any]) -> None:
    with pytest.raises(ProtocolBroken):
        reply_of({"choices": [{"message": message}]}, "complete")


def test_arguments_nested_beyond_reason_are_cut_and_not_a_crash() -> None:
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    call = {"function": {"name": "f", "arguments": nested}}
    made = reply_of({"choices": [{"message": {"tool_calls": [call]}}]}, "complete").message.tool_calls
    assert made is not None
    assert made[0].function is not None
    assert made[0].function.arguments.startswith("[[[")
    while nested:
        nested = nested[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
FACTS = st.dictionaries(
    st.sampled_from(["message", "code", "type", "param", "error", "detail", "status", "innererror", "object"]), JSON
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.integers(300, 599), st.binary(max_size=60) | (JSON | FACTS).map(lambda value: json.dumps(value).encode()))
def test_any_failed_answer_is_an_api_error(status: int, body: bytes) -> None:
    error = read_error(status, {}, body)
    assert isinstance(error, ApiError)
    assert error.status == status
    assert error.body == body[:BODY_KEPT]


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.binary(max_size=60) | (JSON | FACTS).map(lambda value: json.dumps(value).encode()))
def test_any_body_of_a_200_is_a_reply_or_one_of_our_errors(body: bytes) -> None:
    with pytest.raises(BarechatError):  # no value drawn here has choices with messages
        read_whole(body)
    assert isinstance(api_error(200, body.decode("utf-8", "replace"), body), ApiError)
