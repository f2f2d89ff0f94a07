"""One suite for both clients, over real sockets: what a call brings back, from answers good and bad."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from barechat import (
    ApiError,
    AsyncClient,
    AuthenticationFailed,
    BadRequest,
    BarechatError,
    Client,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    ContextTooLong,
    DeadlineExceeded,
    NotFound,
    Overloaded,
    ParameterError,
    PermissionDenied,
    ProtocolBroken,
    QuotaExhausted,
    RateLimited,
    RetryPolicy,
    ServerFailed,
    StreamTruncated,
    Timeouts,
    TooLarge,
)
from barechat.settings import Caps
from support import DONE, EXACT_PD, KEY, MODEL, ONCE, STREAM, USAGE, chunked, head, piece, whole_answer, whole_body

if TYPE_CHECKING:
    from barechat import Attempt, Reply
    from barechat.simulator import Simulator
    from barechat.wire.trace import TraceEvent
    from support import ByteServer, Caller, Connect

MINI_PD = (150_000, 600_000)  # a token in and out: $0.15 and $0.60 a million
STREAM_HEAD = head("Transfer-Encoding: chunked", kind="text/event-stream")


def exact_pd(reply: Reply) -> int:
    assert reply.usage is not None
    return reply.usage.prompt_tokens * MINI_PD[0] + reply.usage.completion_tokens * MINI_PD[1]


def read(caller: Caller, **options: Any) -> tuple[str, Reply]:
    with caller.stream(**options) as stream:
        text = "".join(stream)
        return text, stream.reply


# Answers


def test_a_whole_reply_brings_its_text_its_tokens_and_its_exact_cost(caller: Caller) -> None:
    reply = caller.chat()
    assert reply.text == reply.message.content == str(reply) != ""
    assert (reply.verdict, reply.finish_reason, reply.model) == ("complete", "stop", "gpt-4o-mini-2024-07-18")
    assert (reply.cost.picodollars, reply.cost.certainty) == (exact_pd(reply), "exact")
    assert reply.request_id is not None
    assert reply.request_id.startswith("req_")
    assert reply.rate_limits.remaining_requests is not None
    assert [attempt.error for attempt in reply.attempts] == [None]
    assert reply.raw["choices"][0]["message"]["content"] == reply.text


def test_a_stream_brings_what_the_whole_reply_does(caller: Caller) -> None:
    whole = caller.chat()
    text, reply = read(caller)
    assert text == reply.text == whole.text
    assert (reply.id, reply.model, reply.usage, reply.cost) == (whole.id, whole.model, whole.usage, whole.cost)
    assert reply.verdict == "complete"
    assert reply.attempts[0].first_byte_s is not None


def test_several_choices_come_whole_and_streamed_each_under_its_index(caller: Caller) -> None:
    whole = caller.chat(n=3)
    texts = ["", "", ""]
    with caller.stream(n=3) as stream:
        for delta in stream.deltas():
            texts[delta.index] += delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]
    assert [choice.message.content for choice in stream.reply.choices] == texts
    assert "".join(read(caller, n=3)[0]) == texts[0]


def test_json_mode_brings_an_object(caller: Caller) -> None:
    reply = caller.chat("Answer in JSON.", response_format="json")
    assert isinstance(reply.json(), dict)


def test_a_reply_cut_at_its_limit_says_so(caller: Caller) -> None:
    assert caller.chat(max_completion_tokens=3).verdict == "limited"
    assert read(caller, max_completion_tokens=3)[1].verdict == "limited"


def test_the_raw_tier_takes_a_dict_and_brings_the_server_s_own(caller: Caller, simulator: Simulator) -> None:
    payload = {"model": MODEL, "messages": [{"role": "user", "content": "Hello, sea."}]}
    kept = copy.deepcopy(payload)
    raw = caller.call(payload)
    assert raw["choices"][0]["message"]["content"] == caller.chat().text
    assert payload == kept
    with pytest.raises(BadRequest) as caught:
        caller.call({**payload, "temperature": 9})
    assert caught.value.param == "temperature"
    assert len(simulator.requests) == 3


def test_the_raw_tier_tries_again(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(status=503)
    assert caller.call({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]})["choices"]


@pytest.mark.parametrize("payload", ["Hello", [("model", MODEL)], {"model": MODEL, "messages": [], "n": 1}])
def test_a_payload_that_is_none_is_refused_unsent(payload: Any, caller: Caller, simulator: Simulator) -> None:
    with pytest.raises(ParameterError):
        caller.call(payload)
    assert simulator.requests == []


def test_tool_calls_come_in_pieces_and_as_a_whole(caller: Caller, simulator: Simulator) -> None:
    pieces = [
        piece(role="assistant", content=None),
        piece(
            tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]
        ),
        piece(tool_calls=[{"index": 0, "function": {"arguments": '{"a"'}}]),
        piece(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        piece(finish_reason="tool_calls"),
    ]
    simulator.fail_next(raw=(b"".join(pieces) + USAGE + DONE).decode())
    with caller.stream() as stream:
        deltas = list(stream.deltas())
    arguments = [d.tool_calls[0].function.arguments for d in deltas if d.tool_calls and d.tool_calls[0].function]
    assert arguments == ["", '{"a"', ": 1}"]
    assert stream.reply.message.tool_calls is not None
    (call,) = stream.reply.message.tool_calls
    assert call.function is not None
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "f", '{"a": 1}')
    assert (stream.reply.verdict, stream.reply.text) == ("complete", "")
    assert stream.reply.cost.picodollars == EXACT_PD


def test_reasoning_and_refusals_are_deltas_of_their_own(caller: Caller, simulator: Simulator) -> None:
    raw = piece(reasoning_content="Hm.") + piece(refusal="No.") + piece(finish_reason="stop") + DONE
    simulator.fail_next(raw=raw.decode())
    with caller.stream() as stream:
        assert list(stream) == []
    assert (stream.reply.message.reasoning, stream.reply.message.refusal) == ("Hm.", "No.")


def test_a_server_that_ignores_stream_still_brings_the_text(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(body=json.loads(whole_body("All at once.")))
    text, reply = read(caller)
    assert text == reply.text == "All at once."
    assert (reply.verdict, reply.cost.picodollars, reply.cost.certainty) == ("complete", EXACT_PD, "exact")


def test_a_server_that_streams_unasked_still_brings_the_reply(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(raw=STREAM.decode())
    assert caller.chat().text == "It will rain."


def test_a_separator_of_unicode_inside_a_token_stays_in_the_text(caller: Caller, simulator: Simulator) -> None:
    text = "a\u2028b\u0085c\x0bd\u2029e"
    raw = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}, ensure_ascii=False).encode()
    simulator.fail_next(raw=(raw + b"\n\n" + piece(finish_reason="stop") + DONE).decode())
    assert read(caller)[0] == text


# What the stream shows before its end


def test_a_stream_shows_what_has_come_at_any_time(caller: Caller) -> None:
    with caller.stream() as stream:
        assert stream.partial is None
        texts = iter(stream)
        first = next(texts)
        assert stream.partial is not None
        assert stream.partial.verdict == "partial"
        assert stream.partial.text.startswith(first)
        with pytest.raises(BarechatError, match="hasn't ended yet"):
            stream.reply  # noqa: B018 - the property raises
        rest = "".join(texts)
    assert stream.partial == stream.reply
    assert stream.reply.text == first + rest


def test_a_stream_that_was_left_early_has_no_reply_but_what_came(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2)
    with caller.stream() as stream:
        first = next(iter(stream))
    with pytest.raises(BarechatError, match="closed before its end") as caught:
        stream.reply  # noqa: B018 - the property raises
    assert caught.value.partial is not None
    assert caught.value.partial.text.startswith(first)
    assert caught.value.partial.cost.certainty == "bound"


def test_leaving_a_stream_hangs_up_on_the_server(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2)
    with caller.stream() as stream:
        for _ in stream:
            break
    (record,) = simulator.wait_for(1)
    assert record["hung_up"]
    assert caller.client.cost.by_certainty["bound"].picodollars
    assert caller.client.cost.call_count == 1


def test_closing_a_stream_twice_counts_it_once(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2)
    stream = caller.stream()
    next(iter(stream))
    stream.close()
    stream.close()
    assert caller.client.cost.call_count == 1
    with pytest.raises(BarechatError, match="closed before its end"):
        next(iter(stream))


def test_a_stream_that_is_never_read_sends_nothing(caller: Caller, simulator: Simulator) -> None:
    with caller.stream():
        pass
    assert simulator.requests == []
    assert caller.client.cost.call_count == 0


def test_an_abandoned_stream_is_counted_when_it_is_collected(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2)
    stream = caller.stream()
    next(iter(stream))
    del stream
    assert caller.client.cost.call_count == 1


def test_what_was_read_to_its_end_gives_its_connection_back(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(status=400)
    with pytest.raises(BadRequest):
        caller.chat()
    read(caller)
    caller.chat()
    read(caller)
    simulator.fail_next(omit=["done"])
    read(caller)
    caller.chat()
    assert len({record["peer_port"] for record in simulator.requests}) == 1


# Errors


@pytest.mark.parametrize(
    ("status", "kind_of_error"),
    [
        (400, BadRequest),
        (401, AuthenticationFailed),
        (403, PermissionDenied),
        (404, NotFound),
        (409, Conflict),
        (413, TooLarge),
        (418, ApiError),
        (422, BadRequest),
        (429, RateLimited),
        (500, ServerFailed),
        (502, ServerFailed),
        (503, Overloaded),
        (504, ServerFailed),
        (529, Overloaded),
    ],
)
@pytest.mark.parametrize("body", [None, "<html><h1>Bad gateway</h1></html>", ""])
def test_every_status_is_its_own_error_whatever_its_body(
    status: int, kind_of_error: type[BarechatError], body: str | None, caller: Caller, simulator: Simulator
) -> None:
    simulator.fail_next(2, status=status, **({} if body is None else {"body": body}))
    with pytest.raises(ApiError) as whole:
        caller.chat(retry=ONCE)
    with pytest.raises(ApiError) as streamed:
        read(caller, retry=ONCE)
    for caught in (whole.value, streamed.value):
        assert type(caught) is kind_of_error
        assert caught.status == status
        assert (caught.request_id or "").startswith("req_")
        assert [attempt.status for attempt in caught.attempts] == [status]
        assert str(status) in str(caught)


def test_the_simulator_s_own_refusals_are_told_apart(connect: Connect, simulator: Simulator) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        connect(simulator.url, api_key="sk-bad-key-000000").chat()
    assert caught.value.code == "invalid_api_key"
    with pytest.raises(NotFound):
        connect(simulator.url).chat(model="no-such-model")


def test_a_refused_call_costs_nothing(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(status=400)
    with pytest.raises(BadRequest) as caught:
        caller.chat()
    assert caught.value.cost is not None
    assert (caught.value.cost.picodollars, caller.client.cost.call_count) == (0, 0)


@pytest.mark.parametrize(
    ("fault", "kind_of_error"),
    [
        ({"status": 400, "body": {"error": {"message": "m", "code": "context_length_exceeded"}}}, ContextTooLong),
        ({"status": 429, "body": {"error": {"message": "m", "type": "insufficient_quota"}}}, QuotaExhausted),
        ({"body": {"error": {"message": "m", "code": "rate_limit_exceeded"}}}, RateLimited),
        ({"body": "<html>Welcome to the hotel's network</html>"}, ProtocolBroken),
        ({"body": "[1]"}, ProtocolBroken),
        ({"body": {"id": "x"}}, ProtocolBroken),
        ({"body": ""}, ProtocolBroken),
    ],
)
def test_an_error_is_told_by_its_words_too(
    fault: dict[str, Any], kind_of_error: type[BarechatError], caller: Caller, simulator: Simulator
) -> None:
    simulator.fail_next(2, **fault)
    with pytest.raises(kind_of_error):
        caller.chat(retry=ONCE)
    with pytest.raises(kind_of_error):
        read(caller, retry=ONCE)


def test_a_redirect_is_not_followed(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(status=307, headers={"location": "http://127.0.0.1:1/elsewhere"})
    with pytest.raises(ApiError, match=r"redirect to http://127\.0\.0\.1:1/elsewhere"):
        caller.chat()
    assert len(simulator.requests) == 1


def test_an_error_of_a_real_call_pickles_and_copies_with_its_facts(caller: Caller, simulator: Simulator) -> None:
    faults: list[dict[str, Any]] = [{"status": 429}, {"cut_after": 2}, {"close_before": True}, {"stall_after": 2}]
    for fault in faults:
        simulator.fail_next(**fault)
        with pytest.raises(BarechatError) as caught:
            read(caller, retry=ONCE, timeouts=Timeouts(idle_s=0.05))
        for twin in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):  # noqa: S301 - our own
            assert type(twin) is type(caught.value)
            assert twin.__dict__ == caught.value.__dict__
            assert str(twin) == str(caught.value)


def test_a_reply_pickles_equal(caller: Caller) -> None:
    reply = caller.chat()
    assert pickle.loads(pickle.dumps(reply)) == reply  # noqa: S301 - our own


# The key


ECHO = f"Incorrect key {KEY}, in {{'Authorization': 'Bearer {KEY}'}}"


def secrets_in(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error.__dict__) + repr(error) + repr(error.__context__)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 401, "body": {"error": {"message": ECHO, "code": KEY, "type": KEY, "param": KEY}}},
        {"status": 401, "body": ECHO},
        {"status": 500, "body": ECHO},
        {"status": 307, "headers": {"location": f"http://127.0.0.1/{KEY}"}},
        {"body": ECHO},
        {"body": {"error": {"message": ECHO, "code": KEY}}},
        {"status": 401, "body": {"error": {"message": "x" * 980 + KEY}}},
        {"status": 401, "body": "x" * 180 + KEY},
        {"body": "x" * 180 + KEY},
        {"raw": "data: " + ECHO + "\n\n"},
        {"raw": "data: " + "x" * 180 + KEY + "\n\n"},
        {"raw": "event: error\ndata: " + json.dumps({"error": {"message": ECHO, "code": KEY}}) + "\n\n"},
        {"status": 401, "body": "{}", "headers": {"x-request-id": KEY}},
    ],
)
def test_a_server_that_echoes_the_key_doesn_t_get_it_into_an_error(
    fault: dict[str, Any], caller: Caller, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    simulator.fail_next(4, **fault)
    for policy in (ONCE, RetryPolicy(base_s=0.001, max_attempts=3)):
        with pytest.raises(BarechatError) as caught:
            caller.chat(retry=policy) if policy is ONCE else read(caller, retry=policy)
        assert KEY[:8] not in secrets_in(caught.value)
    assert KEY[:8] not in caplog.text


@pytest.mark.parametrize("opening", [b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nno colon here "])
def test_a_server_that_echoes_the_request_s_head_doesn_t_get_the_key_into_an_error(
    opening: bytes, connect: Connect, byte_server: ByteServer
) -> None:
    byte_server.answer(opening + f"Authorization: Bearer {KEY}\r\n\r\n{KEY}\r\n".encode())
    with pytest.raises(BarechatError) as caught:
        connect(byte_server.url, retry=ONCE).chat()
    assert KEY[:8] not in secrets_in(caught.value)


def test_the_key_is_in_no_repr_and_no_curl_text(caller: Caller) -> None:
    client = caller.client
    assert KEY not in repr(client) + repr(vars(client)) + client.curl("Hello", model=MODEL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_curl_text_runs_and_brings_the_same_reply(caller: Caller) -> None:
    text = caller.client.curl('It\'s "quoted" $HOME\n`ls`', model=MODEL)
    assert "$OPENAI_API_KEY" in text
    done = subprocess.run(  # noqa: S603 - our own command
        ["/bin/sh", "-c", text],
        env={"PATH": os.environ["PATH"], "OPENAI_API_KEY": KEY},
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert json.loads(done.stdout)["id"] == caller.chat('It\'s "quoted" $HOME\n`ls`').id


# Trying again


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_tried_again(status: int, caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(status=status)
    seen: list[Attempt] = []
    reply = caller.chat(retry=RetryPolicy(base_s=0.001, on_retry=seen.append))
    assert [attempt.status for attempt in reply.attempts] == [status, 200]
    assert seen == [reply.attempts[0]]
    assert seen[0].delay_s is not None
    ids = [record["client_request_id"] for record in simulator.requests]
    assert ids == [attempt.client_request_id for attempt in reply.attempts]
    assert len(set(ids)) == 2
    assert [a.request_id for a in reply.attempts] == [r for r in [reply.attempts[0].request_id, reply.request_id] if r]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 418, 422, 501, 505])
def test_what_can_t_pass_is_not(status: int, caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(status=status)
    with pytest.raises(ApiError):
        read(caller)
    assert len(simulator.requests) == 1


def test_an_exhausted_quota_is_not_whatever_the_server_says(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(
        status=429,
        headers={"retry-after": "1", "x-should-retry": "true"},
        body={"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}},
    )
    with pytest.raises(QuotaExhausted):
        caller.chat()
    assert len(simulator.requests) == 1


def test_the_server_s_word_overrides_the_status(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(status=400, headers={"x-should-retry": "true"})
    assert len(caller.chat().attempts) == 2
    simulator.fail_next(status=503, headers={"x-should-retry": "false"})
    with pytest.raises(Overloaded):
        caller.chat()


def test_the_server_s_delay_is_waited_for(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(status=429, headers={"retry-after-ms": "5", "retry-after": "100"})
    reply = caller.chat()
    assert reply.attempts[0].delay_s is not None
    assert 0.005 <= reply.attempts[0].delay_s <= 1.005
    assert len(simulator.requests) == 2


def test_a_delay_too_long_to_wait_for_is_on_the_error(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(status=429, headers={"retry-after": "121"})
    with pytest.raises(RateLimited) as caught:
        caller.chat()
    assert caught.value.retry_after_s == 121
    simulator.fail_next(status=429, headers={"retry-after": "30"})
    with pytest.raises(RateLimited) as caught:
        caller.chat(timeouts=Timeouts(total_s=20))
    assert caught.value.retry_after_s == 30
    assert len(simulator.requests) == 2


def test_all_tries_stand_on_the_error(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(3, status=503)
    with pytest.raises(Overloaded) as caught:
        caller.chat(retry=RetryPolicy(max_attempts=3, base_s=0.001))
    assert [attempt.number for attempt in caught.value.attempts] == [1, 2, 3]
    assert [attempt.delay_s is None for attempt in caught.value.attempts] == [False, False, True]


@pytest.mark.parametrize("fault", [{"reset_before": True}, {"close_before": True}, {"cut_after": 0}, {"cut_after": 1}])
def test_a_whole_reply_that_is_lost_is_asked_for_again_and_may_be_billed_twice(
    fault: dict[str, Any], caller: Caller, simulator: Simulator
) -> None:
    simulator.fail_next(**fault)
    reply = caller.chat()
    lost, final = reply.attempts
    assert lost.error == "ConnectionFailed"
    assert (lost.cost.certainty, final.cost.certainty, reply.cost.certainty) == ("bound", "exact", "bound")
    assert reply.cost.picodollars == (lost.cost.picodollars or 0) + exact_pd(reply)
    assert caller.client.cost.total_cost == Decimal(reply.cost.picodollars or 0) / 10**12


@pytest.mark.parametrize(
    "fault", [{"reset_before": True}, {"close_before": True}, {"cut_after": 0}, {"error_after": 0}]
)
def test_a_stream_that_breaks_before_any_output_is_asked_for_again(
    fault: dict[str, Any], caller: Caller, simulator: Simulator
) -> None:
    simulator.fail_next(**fault)
    text, reply = read(caller)
    assert text == reply.text
    assert len(reply.attempts) == len(simulator.requests) == 2


@pytest.mark.parametrize(
    "fault", [{"cut_after": 3}, {"cut_after": 3, "clean": True}, {"cut_after": 3, "until_close": True}]
)
def test_a_stream_cut_half_way_is_never_a_whole_answer(
    fault: dict[str, Any], caller: Caller, simulator: Simulator
) -> None:
    simulator.fail_next(**fault)
    texts: list[str] = []
    with pytest.raises(StreamTruncated) as caught, caller.stream() as stream:
        texts.extend(stream)
    assert len(simulator.requests) == 1
    assert caught.value.partial is not None
    assert caught.value.partial.text == "".join(texts) != ""
    assert (caught.value.partial.verdict, caught.value.status) == ("partial", 200)
    assert caught.value.cost is not None
    assert caught.value.cost.certainty == "bound"
    assert caller.client.cost.total_cost == caught.value.cost.usd


def test_an_error_in_mid_stream_is_the_server_s_own(caller: Caller, simulator: Simulator) -> None:
    error = {"message": "The engine died", "type": "server_error", "code": "internal_error"}
    simulator.fail_next(error_after=3, error=error)
    with pytest.raises(ServerFailed, match="The engine died") as caught, caller.stream() as stream:
        texts = "".join(stream)  # noqa: F841 - read to its end
    assert caught.value.partial is not None
    assert caught.value.partial.text != ""
    assert len(simulator.requests) == 1


def test_a_client_s_outage_budget_runs_out(connect: Connect, simulator: Simulator) -> None:
    policy = RetryPolicy(base_s=0.001, retry_budget=12)
    caller = connect(simulator.url, retry=policy)
    simulator.fail_next(10, status=503)
    for tries in (3, 1):
        with pytest.raises(Overloaded) as caught:
            caller.chat()
        assert len(caught.value.attempts) == tries


def test_nobody_there_is_a_failed_connection_that_was_never_sent(connect: Connect, simulator: Simulator) -> None:
    caller = connect("http://127.0.0.1:1/v1", retry=RetryPolicy(max_attempts=2, base_s=0.001))
    with pytest.raises(ConnectionFailed, match="Nothing was sent") as caught:
        caller.chat()
    assert caught.value.sent is False
    assert [(a.sent, a.cost.picodollars) for a in caught.value.attempts] == [(False, 0), (False, 0)]
    assert caller.client.cost.call_count == 0


# Servers that refuse our stream_options


REFUSAL = b'{"error": {"message": "Unknown parameter: stream_options", "type": "invalid_request_error", "param": null}}'


@pytest.mark.parametrize("status", ["400 Bad Request", "422 Unprocessable Entity"])
def test_a_server_that_refuses_to_count_a_stream_is_asked_without_once_and_remembered(
    status: str, connect: Connect, byte_server: ByteServer
) -> None:
    byte_server.answer(whole_answer(REFUSAL, status=status), closes=False)
    byte_server.answer(STREAM_HEAD, *chunked([STREAM]), closes=False)
    caller = connect(byte_server.url, retry=ONCE)
    assert read(caller)[0] == "It will rain."
    assert read(caller)[0] == "It will rain."
    assert ["stream_options" in request.json for request in byte_server.requests] == [True, False, False]


def test_one_s_own_stream_options_are_not_taken_back(connect: Connect, byte_server: ByteServer) -> None:
    byte_server.answer(whole_answer(REFUSAL, status="400 Bad Request"), closes=False)
    with pytest.raises(BadRequest):
        read(connect(byte_server.url), stream_options={"include_usage": True})
    assert len(byte_server.requests) == 1


# Verdicts and costs of odd endings


@pytest.mark.parametrize(
    ("omit", "verdict", "certainty"),
    [
        (["done"], "complete", "exact"),
        (["usage"], "complete", "estimate"),
        (["usage", "done"], "complete", "bound"),
        (["finish_reason"], "unknown", "exact"),
        (["finish_reason", "usage"], "unknown", "bound"),
    ],
)
def test_an_ending_that_lacks_something_is_weighed_by_what_it_has(
    omit: list[str], verdict: str, certainty: str, caller: Caller, simulator: Simulator
) -> None:
    simulator.fail_next(omit=omit)
    text, reply = read(caller)
    assert text == reply.text != ""
    assert (reply.verdict, reply.cost.certainty) == (verdict, certainty)


def test_an_answer_whose_end_nobody_told_comes_with_a_warning(
    caller: Caller, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.fail_next(omit=["finish_reason"])
    read(caller)
    assert [r.levelname for r in caplog.records if "never said why the answer ended" in r.message] == ["WARNING"]


def test_no_finish_reason_and_no_end_is_truncated(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(omit=["finish_reason", "done"])
    with pytest.raises(StreamTruncated):
        read(caller)


def test_one_choice_of_several_without_an_end_is_truncated(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(raw=(piece("a", "stop", 0) + piece("b", None, 1)).decode())
    with pytest.raises(StreamTruncated) as caught:
        read(caller, n=2)
    assert caught.value.partial is not None
    assert [choice.message.content for choice in caught.value.partial.choices] == ["a", "b"]


def test_an_empty_stream_is_tried_again_and_then_truncated(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(2, raw="")
    with pytest.raises(StreamTruncated) as caught:
        read(caller, retry=RetryPolicy(max_attempts=2, base_s=0.001))
    assert len(caught.value.attempts) == len(simulator.requests) == 2


def test_a_model_without_a_price_is_unpriced_and_counted(caller: Caller, simulator: Simulator) -> None:
    reply = caller.chat(model="llama-9")
    assert (reply.cost.usd, reply.cost.certainty, f"${reply.cost:.6f}") == (None, "unpriced", "$unpriced")
    assert (caller.client.cost.call_count, caller.client.cost.unpriced_calls) == (1, 1)


def test_an_alias_prices_a_model_of_one_s_own(connect: Connect, simulator: Simulator) -> None:
    reply = connect(simulator.url, price_as={"my-model": MODEL}).chat(model="my-model")
    assert reply.cost.picodollars == exact_pd(reply)


def test_the_tracker_s_totals_are_the_sum_of_all_calls(caller: Caller, simulator: Simulator) -> None:
    replies = [caller.chat(), read(caller)[1], caller.chat("Another")]
    cost = caller.client.cost
    assert cost.call_count == 3
    assert cost.total_cost == sum(reply.cost.usd or 0 for reply in replies)
    assert cost.total_input_tokens == sum(reply.usage.prompt_tokens for reply in replies if reply.usage)
    assert cost.total_output_tokens == sum(reply.usage.completion_tokens for reply in replies if reply.usage)


# Deadlines: which one passed, never how long it took


def test_a_stream_that_falls_silent_passes_idle_and_keeps_what_came(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2)
    with pytest.raises(DeadlineExceeded) as caught, caller.stream(timeouts=Timeouts(idle_s=0.1)) as stream:
        text = "".join(stream)  # noqa: F841 - read to its end
    assert (caught.value.which, caught.value.sent) == ("idle", True)
    assert caught.value.partial is not None
    assert caught.value.partial.text != ""
    (record,) = simulator.wait_for(1)
    assert record["hung_up"]


def test_keep_alive_comments_alone_don_t_keep_a_stream_alive(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2, comments_s=0.01)
    with pytest.raises(DeadlineExceeded) as caught:
        read(caller, timeouts=Timeouts(idle_s=0.1))
    assert caught.value.which == "idle"


@pytest.mark.parametrize("fault", [{"stall_head": True}, {"stall_after": 0}])
def test_a_stream_s_first_byte_has_a_deadline(fault: dict[str, Any], caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(**fault)
    with pytest.raises(DeadlineExceeded) as caught:
        read(caller, timeouts=Timeouts(first_byte_s=0.1, idle_s=20))
    assert caught.value.which == "first_byte"
    assert len(caught.value.attempts) == 1


@pytest.mark.parametrize("fault", [{"stall_head": True}, {"stall_after": 0}, {"stall_after": 1}])
def test_a_whole_reply_s_total_holds_wherever_it_stalls(
    fault: dict[str, Any], caller: Caller, simulator: Simulator
) -> None:
    simulator.fail_next(**fault)
    with pytest.raises(DeadlineExceeded) as caught:
        caller.chat(timeouts=Timeouts(total_s=0.1))
    assert caught.value.which == "total"
    (record,) = simulator.wait_for(1)
    assert record["hung_up"]


def test_a_stream_s_total_holds_too(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2, comments_s=0.01)
    with pytest.raises(DeadlineExceeded) as caught:
        read(caller, timeouts=Timeouts(total_s=0.1))
    assert caught.value.which == "total"


@pytest.mark.parametrize("fault", [{"drip": True, "drip_s": 0.01}, {"drip": True, "drip_s": 0.01, "status": 500}])
def test_an_answer_that_drips_is_cut_even_in_its_head(
    fault: dict[str, Any], caller: Caller, simulator: Simulator
) -> None:
    simulator.fail_next(2, **fault)
    with pytest.raises(DeadlineExceeded) as caught:
        caller.chat(timeouts=Timeouts(total_s=0.1), retry=ONCE)
    assert caught.value.which == "total"
    with pytest.raises(DeadlineExceeded) as caught:
        read(caller, timeouts=Timeouts(first_byte_s=0.1), retry=ONCE)
    assert caught.value.which == "first_byte"


def test_an_answer_that_drips_is_whole_if_there_is_time(caller: Caller, simulator: Simulator) -> None:
    whole = caller.chat().text
    simulator.fail_next(2, drip=True)
    assert read(caller)[0] == caller.chat().text == whole


def test_a_timeout_is_sent_again_only_if_asked(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(stall_head=True)
    again = RetryPolicy(base_s=0.001, resend_after_timeout=True)
    _, reply = read(caller, timeouts=Timeouts(first_byte_s=0.1), retry=again)
    assert [attempt.error for attempt in reply.attempts] == ["DeadlineExceeded", None]
    assert reply.cost.certainty == "bound"


def test_one_try_at_a_whole_reply_can_have_its_own_deadline(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(stall_head=True)
    policy = RetryPolicy(base_s=0.001, resend_after_timeout=True, attempt_s=0.1)
    assert [attempt.error for attempt in caller.chat(retry=policy).attempts] == ["DeadlineExceeded", None]


# Where it goes, and as whom


def test_the_account_and_one_s_own_headers_go_along(connect: Connect, simulator: Simulator) -> None:
    caller = connect(simulator.url, organization="org-1", project="proj-1", headers={"X-Mine": "a"})
    caller.chat(headers={"X-Other": "b"})
    sent = simulator.requests[0]["headers"]
    assert (sent["openai-organization"], sent["openai-project"], sent["x-mine"], sent["x-other"]) == (
        "org-1",
        "proj-1",
        "a",
        "b",
    )
    assert sent["user-agent"].startswith("barechat/")
    assert sent["accept-encoding"] == "identity"
    assert simulator.requests[0]["key"] == "sk-***ef"


def test_a_request_names_one_host_and_a_path_alone_however_they_are_written(
    connect: Connect, byte_server: ByteServer
) -> None:
    byte_server.answer(whole_answer(whole_body()), closes=False)
    url = byte_server.url.replace("http://", "HTTP://")
    connect(url).chat()
    connect(url).chat(headers={"host": "elsewhere.example"})
    heads = [request.head.lower().splitlines() for request in byte_server.requests]
    assert [head[0] for head in heads] == ["post /v1/chat/completions http/1.1"] * 2
    hosts = [[line for line in head if line.startswith("host:")] for head in heads]
    assert hosts == [[f"host: {byte_server.url[7:-3]}"], ["host: elsewhere.example"]]


def test_a_large_request_arrives_whole(connect: Connect, byte_server: ByteServer) -> None:
    byte_server.answer(whole_answer(whole_body()), closes=False)
    text = "wave " * 200_000
    connect(byte_server.url).chat(text)
    assert byte_server.requests[0].json["messages"][0]["content"] == text


CLIENTS: dict[str, type[Client | AsyncClient]] = {"blocking": Client, "asyncio": AsyncClient}


def test_a_server_without_keys_is_sent_none(connect: Connect, byte_server: ByteServer) -> None:
    byte_server.answer(whole_answer(whole_body()), closes=False)
    connect(byte_server.url, api_key="").chat()
    assert "authorization" not in byte_server.requests[0].head.lower()


@pytest.mark.parametrize(
    ("version", "deployment", "model", "path"),
    [
        ("2024-10-21", "my mini", None, "/openai/deployments/my%20mini/chat/completions?api-version=2024-10-21"),
        ("2024-10-21", None, "a/b", "/openai/deployments/a%2Fb/chat/completions?api-version=2024-10-21"),
        (None, "mini", None, "/openai/v1/chat/completions"),
    ],
)
def test_azure_is_asked_by_its_own_urls_and_headers(
    version: str | None,
    deployment: str | None,
    model: str | None,
    path: str,
    kind: str,
    connect: Connect,
    byte_server: ByteServer,
) -> None:
    byte_server.answer(whole_answer(whole_body()), closes=False)
    endpoint = byte_server.url.removesuffix("/v1")
    made = CLIENTS[kind].azure(endpoint, deployment, version, api_key=KEY)
    caller = connect(byte_server.url)
    caller.client._endpoint = made._endpoint
    assert caller.chat(model=model).text == "It will rain."
    (request,) = byte_server.requests
    assert request.head.startswith(f"POST {path} HTTP/1.1\r\n")
    assert f"api-key: {KEY}" in request.head
    assert "authorization" not in request.head.lower()
    assert request.json.get("model") == (model if version else deployment)


@pytest.mark.parametrize("version", ["2024-10-21", None])
def test_azure_takes_a_token_in_the_key_s_place(
    version: str | None, kind: str, connect: Connect, byte_server: ByteServer
) -> None:
    byte_server.answer(whole_answer(whole_body()), closes=False)
    endpoint = byte_server.url.removesuffix("/v1")
    caller = connect(byte_server.url)
    caller.client._endpoint = CLIENTS[kind].azure(endpoint, "mini", version, token=lambda: "a-token")._endpoint
    caller.chat(model=None)
    assert "Authorization: Bearer a-token" in byte_server.requests[0].head
    assert "api-key" not in byte_server.requests[0].head
    with pytest.raises(ConfigurationError, match="not both"):
        CLIENTS[kind].azure(endpoint, "mini", version, api_key=KEY, token=lambda: "a-token")


def test_a_token_is_asked_for_anew_with_each_attempt(connect: Connect, simulator: Simulator) -> None:
    tokens = iter(["token-number-01", "token-number-02", "token-number-03"])
    caller = connect(simulator.url, api_key=lambda: next(tokens))
    simulator.fail_next(status=503)
    caller.chat()
    caller.chat()
    assert [record["key"] for record in simulator.requests] == ["tok***01", "tok***02", "tok***03"]


def test_a_token_function_that_has_no_more_is_no_silent_end(connect: Connect, simulator: Simulator) -> None:
    caller = connect(simulator.url, api_key=lambda: next(iter(())))
    with pytest.raises(RuntimeError):
        read(caller)
    with pytest.raises(RuntimeError):
        caller.chat()
    assert simulator.requests == []


@pytest.mark.parametrize("token", ["", "a\nb", None, b"bytes"])
def test_a_token_that_is_none_is_refused_unsent(token: Any, connect: Connect, simulator: Simulator) -> None:
    with pytest.raises(BarechatError, match="token function"):
        connect(simulator.url, api_key=lambda: token).chat()
    assert simulator.requests == []


# Seeing it


def test_a_trace_tells_of_every_byte_and_wait_and_of_no_secret(connect: Connect, simulator: Simulator) -> None:
    events: list[TraceEvent] = []
    caller = connect(simulator.url, trace=events.append)
    simulator.fail_next(status=401, body=ECHO, headers={"x-should-retry": "true"})
    caller.chat()
    kinds = [event.kind for event in events]
    assert [kind for kind, after in zip(kinds, [*kinds[1:], ""], strict=True) if kind != "body" or after != "body"] == [
        *("request", "head", "body", "end", "wait"),
        *("request", "head", "body", "end"),
    ]
    assert [event.attempt for event in events] == sorted(event.attempt for event in events)
    assert json.loads(events[0].body)["model"] == MODEL
    assert events[1].status == 401
    assert KEY not in repr(events)


def test_a_trace_hides_a_token_as_it_hides_a_key(connect: Connect, simulator: Simulator) -> None:
    events: list[TraceEvent] = []
    caller = connect(simulator.url, trace=events.append, api_key=lambda: KEY)
    simulator.fail_next(status=401, body=ECHO)
    with pytest.raises(AuthenticationFailed) as caught:
        caller.chat()
    assert KEY not in repr(events)
    assert KEY not in secrets_in(caught.value)


# Several at a time


def test_many_calls_at_a_time_each_bring_their_own_reply(kind: str, simulator: Simulator) -> None:
    questions = [f"Question {number}" for number in range(24)]
    if kind == "blocking":
        with Client(KEY, simulator.url) as client, ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda question: client.chat(question, model=MODEL).id, questions))
            again = [client.chat(question, model=MODEL).id for question in questions]
            count = client.cost.call_count
    else:
        replies, again, count = run_gathered(simulator.url, questions)
    assert replies == again
    assert len(set(replies)) == len(questions)
    assert count == 2 * len(questions)


def run_gathered(url: str, questions: list[str]) -> tuple[list[str], list[str], int]:
    async def ask() -> tuple[list[str], list[str], int]:
        async with AsyncClient(KEY, url) as client:
            together = await asyncio.gather(*(client.chat(question, model=MODEL) for question in questions))
            again = [await client.chat(question, model=MODEL) for question in questions]
            return [reply.id for reply in together], [reply.id for reply in again], client.cost.call_count

    return asyncio.run(ask())


FORKED = """
import asyncio, os, sys
from barechat import AsyncClient, Client

kind, url = sys.argv[1:]
client = Client("k", url) if kind == "blocking" else AsyncClient("k", url)

def ask():
    if kind == "blocking":
        return client.chat("Hello", model="gpt-4o-mini").id
    async def run():
        try:
            return (await client.chat("Hello", model="gpt-4o-mini")).id
        finally:
            await client.close()
    return asyncio.run(run())

before = ask()
child = os.fork()
if child == 0:
    os._exit(0 if ask() == before and client.cost.call_count == 2 else 1)
assert ask() == before
_, status = os.waitpid(child, 0)
assert ask() == before and client.cost.call_count == 3
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS's own libraries don't survive a fork")
def test_a_client_that_was_used_before_a_fork_can_be_used_on_both_sides(kind: str, simulator: Simulator) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED, kind, simulator.url], check=True, timeout=60)  # noqa: S603 - our own code
    assert len(simulator.requests) == 4


def test_a_body_beyond_its_cap_is_refused(connect: Connect, simulator: Simulator) -> None:
    caller = connect(simulator.url, caps=Caps(body_bytes=2000, line_bytes=1000), retry=ONCE)
    simulator.fail_next(2, reply="x" * 3000)
    with pytest.raises(ProtocolBroken, match="longer than 2000 bytes"):
        caller.chat()
    with pytest.raises(ProtocolBroken):
        read(caller)
