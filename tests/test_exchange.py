"""A call's story, told by hand: plain answers in, plain steps out, on a clock, a noise and ids of our own."""

from __future__ import annotations

import gzip
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from barechat.drive import advance
from barechat.errors import (
    AuthenticationFailed,
    BadRequest,
    BarechatError,
    ConnectionFailed,
    DeadlineExceeded,
    NotFound,
    Overloaded,
    ProtocolBroken,
    QuotaExhausted,
    RateLimited,
    StreamTruncated,
)
from barechat.exchange import exchange
from barechat.money.prices import Prices
from barechat.receipt import Call, Origin, Receipt
from barechat.records import Reply
from barechat.settings import Caps, Timeouts
from barechat.steps import Authorize, Deadline, Drain, Emit, Head, Read, Reserve, Retry, Send, Senses, Step, Wait
from barechat.wire.request import build, openai_endpoint
from barechat.wire.retry import RetryBudget, RetryPolicy
from support import DONE, EXACT_PD, KEY, MODEL, STREAM, USAGE, event, piece, whole_body

if TYPE_CHECKING:
    from collections.abc import Mapping

START = 1000.0
EPOCH = 1_795_000_000.0  # 2026-11-18
SSE = Head(200, {"content-type": "text/event-stream"})
JSON = Head(200, {"content-type": "application/json", "x-request-id": "req_1"})
BOUND_PD = 16_384 * 600_000  # the reply's share of gpt-4o-mini's bound, without a cap


@dataclass
class Later:
    """An answer that comes so many seconds after its step."""

    seconds: float
    answer: Any


@dataclass
class Script:
    """A story and the world it is told in. `noise` 1 draws the largest of every range, 0 the smallest."""

    streamed: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] | None = None
    key: str = KEY
    with_token: bool = False
    model: str = MODEL
    caps: Caps = field(default_factory=Caps)
    origin: Origin | None = None
    noise: float = 1.0
    caller_takes_s: float = 0.0
    on_retry_takes_s: float = 0.0
    is_filed_first: bool = False

    def __post_init__(self) -> None:
        self.now = START
        self.steps: list[Step] = []
        self.origin = self.origin or Origin(RetryBudget())
        ids = (f"id-{number}" for number in itertools.count(1))
        senses = Senses(
            clock=lambda: self.now,
            epoch=lambda: EPOCH + self.now - START,
            uniform=lambda low, high: low + (high - low) * self.noise,
            new_id=lambda: next(ids),
        )
        endpoint = openai_endpoint("http://server/v1", "" if self.with_token else self.key, None, {})
        if self.with_token:
            endpoint = openai_endpoint("http://server/v1", "", lambda: "unused: the script answers", {})
        ask_usage = not self.origin.refuses_usage_option
        request = build(
            endpoint,
            "Hello",
            self.model,
            self.parameters,
            None,
            self.headers,
            streamed=self.streamed,
            ask_usage=ask_usage,
        )
        call = Call(
            endpoint=endpoint,
            request=request,
            timeouts=self.timeouts,
            policy=self.policy,
            prices=Prices.builtin(),
            caps=self.caps,
            is_filed=self.is_filed_first,
            is_filed_first=self.is_filed_first,
        )
        self.receipt = Receipt(call)
        self.story = exchange(call, self.receipt, self.origin, senses)

    def tell(self, *answers: Any) -> Reply:
        """Tell the story to its end: `answers` are those of Authorize, Send and Read, in order."""
        left = list(answers)
        answer: Any = None
        error: BarechatError | None = None
        while True:
            step = advance(self.story, answer, error)
            answer = error = None
            if isinstance(step, Reply):
                assert not left, "the story ended before its answers did"
                return step
            self.steps.append(step)
            if isinstance(step, Emit):
                self.now += self.caller_takes_s
            elif isinstance(step, Retry):
                self.now += self.on_retry_takes_s
            elif isinstance(step, Wait):
                self.now += step.delay_s
            elif not isinstance(step, Drain | Reserve):
                answer = left.pop(0)
            if isinstance(answer, Later):
                self.now += answer.seconds
                answer = answer.answer
            if isinstance(step, Send) and getattr(answer, "sent", None) is not False:
                step.leaving()
            if isinstance(answer, BarechatError):
                answer, error = None, answer

    def fail(self, kind: type[BarechatError], *answers: Any) -> BarechatError:
        """Tell the story to the error that ends it."""
        with pytest.raises(kind) as caught:
            self.tell(*answers)
        assert type(caught.value) is kind
        return caught.value

    def all(self, kind: type[Any]) -> list[Any]:
        return [step for step in self.steps if isinstance(step, kind)]

    @property
    def delays(self) -> list[float]:
        return [step.delay_s for step in self.all(Wait)]


def status(number: int, body: bytes = b"", /, **headers: str) -> tuple[Head, bytes, bytes]:
    """Return the answers of a failed try: its head, its body, and the body's end."""
    return Head(number, {name.replace("_", "-"): value for name, value in headers.items()}), body or b"{}", b""


WHOLE = (JSON, whole_body(), b"")
WHOLE_STREAM = (SSE, STREAM)
LOST = ConnectionFailed("the connection broke", sent=None)


def lost() -> ConnectionFailed:
    return ConnectionFailed("the connection broke", sent=None)


def refused() -> ConnectionFailed:
    return ConnectionFailed("refused", sent=False)


# One call


def test_a_whole_reply_takes_one_send_and_reads_to_its_end() -> None:
    script = Script()
    body = whole_body()
    reply = script.tell(JSON, body[:50], body[50:], b"")
    assert [type(step) for step in script.steps] == [Send, Read, Read, Read]
    assert (reply.text, reply.verdict, reply.request_id) == ("It will rain.", "complete", "req_1")
    assert (reply.cost.picodollars, reply.cost.certainty) == (EXACT_PD, "exact")
    assert script.receipt.reply == script.receipt.partial() == reply


def test_a_stream_emits_all_deltas_that_one_read_held_in_one_step() -> None:
    script = Script(streamed=True)
    cut = STREAM.index(b"rain")
    reply = script.tell(SSE, STREAM[:cut], STREAM[cut:])
    assert [type(step) for step in script.steps] == [Send, Read, Emit, Read, Emit, Drain]
    assert [[delta.content for delta in step.deltas] for step in script.all(Emit)] == [["It will "], ["rain.", None]]
    assert (reply.text, reply.verdict, reply.cost.picodollars) == ("It will rain.", "complete", EXACT_PD)


def test_every_attempt_has_an_id_and_credentials_of_its_own() -> None:
    script = Script()
    reply = script.tell(*status(503), *WHOLE)
    assert [step.headers["X-Client-Request-Id"] for step in script.all(Send)] == ["id-1", "id-2"]
    assert {step.headers["Authorization"] for step in script.all(Send)} == {f"Bearer {KEY}"}
    assert [attempt.client_request_id for attempt in reply.attempts] == ["id-1", "id-2"]


def test_a_token_is_asked_for_before_each_attempt() -> None:
    script = Script(with_token=True)
    script.tell("token-1", *status(503), "token-2", *WHOLE)
    assert [type(step) for step in script.steps[:2]] == [Authorize, Send]
    assert [step.headers["Authorization"] for step in script.all(Send)] == ["Bearer token-1", "Bearer token-2"]


def test_what_follows_done_is_never_parsed() -> None:
    script = Script(streamed=True)
    assert script.tell(SSE, STREAM + b"data: {broken\n\n\xff\xff\n\n").verdict == "complete"


def test_a_stream_without_done_is_not_drained() -> None:
    script = Script(streamed=True)
    assert script.tell(SSE, piece("Hi", "stop"), b"").verdict == "complete"
    assert script.all(Drain) == []


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_a_body_that_comes_in_pieces_of_any_size_is_the_same(size: int) -> None:
    def pieces(data: bytes) -> list[bytes]:
        return [data[at : at + size] for at in range(0, len(data), size)]

    streamed, whole = Script(streamed=True), Script()
    assert streamed.tell(SSE, *itertools.takewhile(bool, pieces(STREAM.rstrip(b"\n") + b"\n\n"))).text == (
        whole.tell(JSON, *pieces(whole_body()), b"").text
    )


def test_a_compressed_body_is_read_though_none_was_asked_for() -> None:
    head = Head(200, {"content-encoding": "gzip"})
    packed = gzip.compress(whole_body())
    assert Script().tell(head, packed[:9], packed[9:20], packed[20:], b"").text == "It will rain."
    packed = gzip.compress(STREAM)
    assert Script(streamed=True).tell(head, packed[:9], packed[9:20], packed[20:]).text == "It will rain."
    error = Script().fail(NotFound, Head(404, {"content-encoding": "gzip"}), gzip.compress(b'{"detail": "Gone"}'), b"")
    assert "Gone" in str(error)


def test_a_read_that_decompresses_to_a_flood_is_folded_a_piece_at_a_time() -> None:
    flood, end = piece("a") * 20_000, piece(finish_reason="stop") + DONE
    packed = gzip.compress(flood + end)
    assert len(packed) < 16 * 1024
    script = Script(streamed=True)
    reply = script.tell(Head(200, {"content-encoding": "gzip", "content-type": "text/event-stream"}), packed)
    assert (len(reply.text), reply.verdict) == (20_000, "complete")
    assert max(len(step.deltas) for step in script.all(Emit)) <= 64 * 1024 // len(piece("a")) + 1


@pytest.mark.parametrize("streamed", [False, True])
def test_an_encoding_that_nobody_asked_for_or_knows_is_said(streamed: bool) -> None:
    error = Script(streamed=streamed).fail(ProtocolBroken, Head(200, {"content-encoding": "br"}))
    assert "'br'" in str(error)


def test_a_whole_body_in_answer_to_a_streamed_request_is_one_delta_a_choice() -> None:
    script = Script(streamed=True, parameters={"n": 2})
    choices = [{"index": i, "message": {"content": text}, "finish_reason": "stop"} for i, text in enumerate("ab")]
    reply = script.tell(Head(200, {}), b"  ", b"\n", whole_body(choices=choices), b"")
    (emit,) = script.all(Emit)
    assert [(delta.index, delta.content, delta.finish_reason) for delta in emit.deltas] == [
        (0, "a", "stop"),
        (1, "b", "stop"),
    ]
    assert reply.verdict == "complete"


@pytest.mark.parametrize("start", [b"data: ", b"event: ", b": hi\n\n", b"id: 1\n\n", b"retry: 3\n\n", b"\xef\xbb\xbf"])
def test_a_stream_is_known_by_its_beginning_whatever_its_type_says(start: bytes) -> None:
    stream = STREAM.removeprefix(b"data: ") if start == b"data: " else STREAM
    if start == b"event: ":
        start = b"event: message\n"
    script = Script(streamed=True)
    assert script.tell(Head(200, {"content-type": "text/plain"}), start[:2], start[2:] + stream).text == "It will rain."


def test_a_body_of_another_kind_is_no_stream_unless_its_type_says_so() -> None:
    Script(streamed=True).fail(ProtocolBroken, Head(200, {}), b"<html>", b"")
    script = Script(streamed=True)
    assert script.tell(SSE, b"\r\nvendor: x\n\n" + STREAM).text == "It will rain."


# Verdicts


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ([piece("a", "stop"), DONE], "complete"),
        ([piece("a", "tool_calls"), DONE], "complete"),
        ([piece("a", "function_call")], "complete"),
        ([piece("a", "length"), DONE], "limited"),
        ([piece("a", "content_filter")], "filtered"),
        ([piece("a"), DONE], "unknown"),
        ([piece("a"), piece("b", "stop", index=1), DONE], "unknown"),
        ([piece("a", "stop"), DONE.replace(b"[DONE]", b" [DONE] ")], "complete"),
        ([piece("a", "stop"), event(choices=[], moderation={}), event(object="ping"), DONE], "complete"),
    ],
)
def test_the_end_of_a_stream_says_what_its_answer_is(events: list[bytes], verdict: str) -> None:
    ended = [b""] if events[-1].strip(b"data: \n") != b"[DONE]" else []
    assert Script(streamed=True).tell(SSE, b"".join(events), *ended).verdict == verdict


@pytest.mark.parametrize(
    "events",
    [
        [piece("a")],
        [piece("a", "stop"), piece("b", index=1)],
        [piece("a", "error"), DONE],
        [piece("a"), b"data: [DON"],
    ],
)
def test_anything_less_is_truncated_with_what_came_and_the_most_it_can_cost(events: list[bytes]) -> None:
    error = Script(streamed=True).fail(StreamTruncated, SSE, *events, b"") if events[-1] != DONE else None
    if error is None:
        error = Script(streamed=True).fail(StreamTruncated, SSE, *events)
    assert error.partial is not None
    assert (error.partial.text, error.partial.verdict) == ("a", "partial")
    assert error.cost is not None
    assert error.cost.certainty == "bound"
    assert (error.cost.picodollars or 0) > BOUND_PD
    assert error.partial.cost == error.cost
    assert error.status == 200


def test_a_missing_choice_of_those_asked_for_is_truncated() -> None:
    Script(streamed=True, parameters={"n": 2}).fail(StreamTruncated, SSE, piece("a", "stop"), b"")
    assert Script(streamed=True, parameters={"n": 2}).tell(SSE, piece("a", "stop") + DONE).verdict == "unknown"


def test_done_before_any_output_is_no_answer() -> None:
    script = Script(streamed=True, policy=RetryPolicy(max_attempts=1))
    script.fail(StreamTruncated, SSE, piece(role="assistant", content="") + DONE)


@pytest.mark.parametrize("fault", [LOST, DeadlineExceeded("idle", which="idle", sent=True)])
def test_a_break_after_every_finish_reason_takes_nothing_from_the_answer(fault: BarechatError) -> None:
    script = Script(streamed=True)
    reply = script.tell(SSE, piece("a", "stop"), fault)
    assert (reply.verdict, reply.cost.certainty) == ("complete", "bound")
    assert script.all(Drain) == []


def test_silence_half_way_is_a_deadline_and_a_cut_is_a_truncation() -> None:
    error = Script(streamed=True).fail(
        DeadlineExceeded, SSE, piece("a"), DeadlineExceeded("idle", which="idle", sent=True)
    )
    assert error.partial is not None
    error = Script(streamed=True).fail(StreamTruncated, SSE, piece("a"), lost())
    assert isinstance(error.__cause__, ConnectionFailed)


def test_deltas_before_a_fault_are_handed_on_before_it_is_raised() -> None:
    for fault in (b"data: {broken\n\n", b"data: \xff\n\n", b"data: 5\n\n"):
        script = Script(streamed=True)
        script.fail(ProtocolBroken, SSE, piece("a") + fault)
        assert [delta.content for step in script.all(Emit) for delta in step.deltas] == ["a"]


def test_an_error_in_mid_stream_is_raised_after_output_and_tried_again_before_it() -> None:
    fault = event(error={"message": "Overloaded", "code": "server_is_overloaded"})
    error = Script(streamed=True).fail(Overloaded, SSE, piece("a") + fault)
    assert error.partial is not None
    assert error.cost is not None
    assert error.cost.certainty == "bound"
    reply = Script(streamed=True).tell(SSE, piece(role="assistant", content="") + fault, *WHOLE_STREAM)
    assert [attempt.error for attempt in reply.attempts] == ["Overloaded", None]


# Trying again, and after how long


def test_own_delays_double_up_to_their_cap_and_are_drawn_from_the_upper_half() -> None:
    failures = [answer for _ in range(4) for answer in status(503)]
    for noise, delays in ((1.0, [1, 2, 4, 5]), (0.0, [0.5, 1, 2, 2.5])):
        script = Script(policy=RetryPolicy(cap_s=5), noise=noise)
        script.tell(*failures, *WHOLE)
        assert script.delays == delays


def test_five_tries_are_all() -> None:
    script = Script()
    error = script.fail(Overloaded, *[answer for _ in range(5) for answer in status(503)])
    assert [attempt.delay_s for attempt in error.attempts] == [1, 2, 4, 8, None]
    assert [attempt.status for attempt in error.attempts] == [503] * 5


@pytest.mark.parametrize(
    ("headers", "delay_s"),
    [
        ({"retry_after": "20"}, 20 + 2),
        ({"retry_after": "4"}, 4 + 1),
        ({"retry_after": "1.5"}, 2.5),
        ({"retry_after_ms": "1500", "retry_after": "50"}, 2.5),
        ({"retry_after": "Wed, 18 Nov 2026 11:06:50 GMT"}, 10 + 1),
        ({"retry_after": "0"}, 1),
        ({"retry_after": "-3"}, 1),
        ({"retry_after": "inf"}, 1),
        ({"retry_after": "soon"}, 1),
        ({"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "200ms"}, 0.2),
        ({"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "6m0s"}, 1),
        ({"x_ratelimit_remaining_tokens": "5", "x_ratelimit_reset_tokens": "200ms"}, 1),
    ],
)
def test_the_server_s_delay_goes_before_our_own(headers: dict[str, str], delay_s: float) -> None:
    script = Script()
    script.tell(*status(429, **headers), *WHOLE)
    assert script.delays == [pytest.approx(delay_s)]


@pytest.mark.parametrize(
    ("headers", "retry_after_s"), [({"retry_after": "121"}, 121), ({"retry_after_ms": "120001"}, 120.001)]
)
def test_a_delay_above_two_minutes_is_on_the_error_instead(headers: dict[str, str], retry_after_s: float) -> None:
    error = Script().fail(RateLimited, *status(429, **headers))
    assert error.retry_after_s == retry_after_s


def test_a_delay_past_the_deadline_is_not_waited_for() -> None:
    timeouts = Timeouts(total_s=10)
    error = Script(timeouts=timeouts).fail(RateLimited, *status(429, retry_after="9"))
    assert error.retry_after_s == 9
    assert len(Script(timeouts=timeouts).tell(*status(429, retry_after="8"), *WHOLE).attempts) == 2
    Script(timeouts=timeouts, policy=RetryPolicy(base_s=10)).fail(Overloaded, *status(503))
    Script(timeouts=timeouts).fail(Overloaded, Head(503, {}), Later(9.5, b""))


@pytest.mark.parametrize("number", [400, 401, 403, 404, 413, 422, 501, 505])
def test_what_no_wait_can_cure_is_raised_at_once(number: int) -> None:
    with pytest.raises(BarechatError) as caught:
        Script().tell(*status(number))
    assert len(caught.value.attempts) == 1


def test_an_exhausted_quota_is_raised_at_once_whatever_the_server_says() -> None:
    body = b'{"error": {"message": "m", "type": "insufficient_quota"}}'
    Script().fail(QuotaExhausted, *status(429, body, x_should_retry="true", retry_after="1"))


def test_the_server_s_word_overrides_the_status() -> None:
    assert len(Script().tell(*status(400, x_should_retry="true"), *WHOLE).attempts) == 2
    Script().fail(Overloaded, *status(503, x_should_retry="false"))


def test_a_connection_that_fails_is_tried_again_whether_or_not_it_was_sent() -> None:
    script = Script()
    reply = script.tell(refused(), lost(), JSON, lost(), *WHOLE)
    assert [attempt.sent for attempt in reply.attempts] == [False, None, True, True]
    assert [attempt.cost.certainty for attempt in reply.attempts] == ["exact", "bound", "bound", "exact"]
    assert reply.attempts[0].cost.picodollars == 0


def test_a_cut_before_output_is_tried_again_and_after_it_never() -> None:
    script = Script(streamed=True)
    reply = script.tell(SSE, piece(role="assistant", content=""), lost(), *WHOLE_STREAM)
    assert [attempt.error for attempt in reply.attempts] == ["StreamTruncated", None]
    Script(streamed=True).fail(StreamTruncated, SSE, piece("a"), lost())


def timeout(which: Any, *, sent: bool | None) -> DeadlineExceeded:
    return DeadlineExceeded("late", which=which, sent=sent)


def test_a_timeout_before_sending_is_tried_again() -> None:
    assert len(Script().tell(timeout("connect", sent=False), *WHOLE).attempts) == 2


@pytest.mark.parametrize("which", ["connect", "first_byte", "idle"])
def test_a_timeout_after_sending_is_tried_again_only_if_asked(which: str) -> None:
    Script().fail(DeadlineExceeded, timeout(which, sent=None))
    script = Script(policy=RetryPolicy(resend_after_timeout=True))
    reply = script.tell(timeout(which, sent=None), *WHOLE)
    assert [attempt.cost.certainty for attempt in reply.attempts] == ["bound", "exact"]
    assert script.delays == [1]


def test_a_passed_total_is_never_tried_again() -> None:
    Script(policy=RetryPolicy(resend_after_timeout=True)).fail(DeadlineExceeded, timeout("total", sent=False))


def test_what_breaks_the_protocol_is_not_tried_again() -> None:
    error = Script().fail(ProtocolBroken, JSON, b"<html>", b"")
    assert error.cost is not None
    assert error.cost.certainty == "bound"


def test_a_wait_carries_the_failed_attempt_even_if_there_is_nothing_to_wait_for() -> None:
    script = Script(policy=RetryPolicy(base_s=0))
    reply = script.tell(*status(503), refused(), *WHOLE)
    assert [step.attempt for step in script.all(Retry)] == list(reply.attempts[:2])
    assert script.delays == [0, 0]


def test_the_retry_budget_is_shared_and_filled_by_successes() -> None:
    policy = RetryPolicy(retry_budget=10)
    origin = Origin(RetryBudget())
    Script(policy=policy, origin=origin).fail(Overloaded, *status(503), *status(503), *status(503))
    Script(policy=policy, origin=origin).fail(Overloaded, *status(503))
    for _ in range(5):
        Script(policy=policy, origin=origin).tell(*WHOLE)
    assert len(Script(policy=policy, origin=origin).tell(*status(503), *WHOLE).attempts) == 2
    Script(policy=policy, origin=origin).fail(Overloaded, *status(503))


def test_a_429_with_a_delay_takes_nothing_from_the_budget() -> None:
    script = Script(policy=RetryPolicy(retry_budget=0))
    assert len(script.tell(*status(429, retry_after="1"), *WHOLE).attempts) == 2
    Script(policy=RetryPolicy(retry_budget=0)).fail(RateLimited, *status(429))


def test_each_call_says_how_much_of_the_shared_budget_may_be_gone() -> None:
    origin = Origin(RetryBudget())
    for size, tries in ((0, 1), (10, 2), (5, 1), (None, 2), (10, 2), (10, 1), (11, 1), (15, 2)):
        script = Script(policy=RetryPolicy(retry_budget=size, max_attempts=2), origin=origin)
        assert len(script.fail(Overloaded, *[answer for _ in range(tries) for answer in status(503)]).attempts) == tries


# Servers that refuse stream_options

OPTION_REFUSED = b'{"error": {"message": "unknown field", "param": "stream_options"}}'


@pytest.mark.parametrize(
    "body", [OPTION_REFUSED, b'{"detail": [{"loc": ["body", "stream_options"]}]}', b"no include_usage here"]
)
def test_refused_stream_options_are_left_out_at_once_and_from_then_on(body: bytes) -> None:
    script = Script(streamed=True, policy=RetryPolicy(max_attempts=1, retry_budget=0))
    reply = script.tell(*status(400, body), *WHOLE_STREAM)
    assert [b"stream_options" in step.body for step in script.all(Send)] == [True, False]
    assert script.delays == []
    assert [attempt.delay_s for attempt in reply.attempts] == [0, None]
    again = Script(streamed=True, origin=script.origin)
    again.tell(*WHOLE_STREAM)
    assert b"stream_options" not in again.all(Send)[0].body


def test_refused_stream_options_are_left_out_once() -> None:
    Script(streamed=True).fail(BadRequest, *status(400, OPTION_REFUSED), *status(400, OPTION_REFUSED))


def test_another_refusal_is_no_reason_to_leave_them_out() -> None:
    error = Script(streamed=True).fail(BadRequest, *status(400, b'{"error": {"message": "m", "param": "model"}}'))
    assert len(error.attempts) == 1


def test_refused_stream_options_are_no_reason_to_send_again_after_output() -> None:
    fault = event(error={"message": "unknown field", "param": "stream_options", "code": 400})
    Script(streamed=True).fail(BadRequest, SSE, piece("a") + fault)


# Deadlines


def by(which: Any, after_s: float, start: float = START) -> Deadline:
    return Deadline(start + after_s, which, after_s)


def test_a_whole_reply_has_connect_and_total_alone() -> None:
    script = Script(timeouts=Timeouts(connect_s=1, first_byte_s=2, idle_s=3, total_s=40))
    script.tell(Later(5, JSON), Later(6, whole_body()), b"")
    (send,) = script.all(Send)
    assert (send.connect_by, send.head_by) == (by("connect", 1), by("total", 40))
    assert [read.by for read in script.all(Read)] == [by("total", 40)] * 2


def test_one_try_at_a_whole_reply_may_have_a_deadline_of_its_own() -> None:
    script = Script(policy=RetryPolicy(attempt_s=4), timeouts=Timeouts(total_s=None))
    script.tell(refused(), JSON, whole_body(), b"")
    first, second = (Deadline(at, "first_byte", 4, "RetryPolicy.attempt_s") for at in (START + 4, START + 5))
    assert [send.head_by for send in script.all(Send)] == [first, second]
    assert {read.by for read in script.all(Read)} == {second}


def test_a_stream_has_first_byte_and_then_idle_and_no_total() -> None:
    script = Script(streamed=True, timeouts=Timeouts(first_byte_s=20, idle_s=3))
    script.tell(SSE, Later(5, piece("a")), Later(2, piece("b", "stop")), Later(1, DONE))
    (send,) = script.all(Send)
    assert (send.connect_by, send.head_by) == (by("connect", 10), by("first_byte", 20))
    assert [read.by for read in script.all(Read)] == [
        by("first_byte", 20),
        by("idle", 3, START + 5),
        by("idle", 3, START + 7),
    ]


def test_no_limit_is_no_deadline() -> None:
    script = Script(streamed=True, timeouts=Timeouts(None, None, None, None))
    script.tell(*WHOLE_STREAM)
    (send,) = script.all(Send)
    assert (send.connect_by, send.head_by, script.all(Read)[0].by) == (None, None, None)


def test_a_given_total_holds_for_a_stream_and_all_its_attempts_and_waits() -> None:
    script = Script(streamed=True, timeouts=Timeouts(total_s=30, idle_s=50))
    script.tell(*status(503), *WHOLE_STREAM)
    assert [send.head_by for send in script.all(Send)] == [by("total", 30)] * 2
    assert [read.by for read in script.all(Read)] == [by("idle", 5), by("idle", 5), by("total", 30)]


def test_the_total_runs_from_the_first_step_and_not_from_the_call_that_made_the_story() -> None:
    script = Script(timeouts=Timeouts(total_s=4))
    script.now += 100
    script.tell(*WHOLE)
    assert script.all(Send)[0].head_by == by("total", 4, START + 100)


def test_a_failed_answer_s_body_takes_at_most_five_seconds_from_the_next_try() -> None:
    script = Script(timeouts=Timeouts(total_s=None))
    script.tell(*status(503), *WHOLE)
    assert script.all(Read)[0].by == by("idle", 5)


def test_an_answer_that_failed_half_way_is_metered_and_kept_where_it_was_counted() -> None:
    message = {"role": "assistant", "content": "It will"}
    body = whole_body(choices=[{"index": 0, "message": message, "finish_reason": "error"}])
    error = Script(policy=RetryPolicy(max_attempts=1)).fail(StreamTruncated, JSON, body, b"")
    assert error.partial is not None
    assert error.partial.text
    assert error.cost is not None
    assert error.cost.certainty == "exact"


def test_the_caller_s_own_id_of_the_request_is_the_attempt_s() -> None:
    script = Script(headers={"x-client-request-id": "mine"})
    reply = script.tell(*WHOLE)
    assert reply.attempts[0].client_request_id == "mine"
    sent = script.all(Send)[0].headers
    assert [value for name, value in sent.items() if name.lower() == "x-client-request-id"] == ["mine"]


def test_the_caller_s_own_authorization_goes_before_the_key_and_is_a_secret_too() -> None:
    script = Script(headers={"authorization": "Bearer other-key-0123"})
    error = script.fail(AuthenticationFailed, *status(401, b'{"error": "no such key: other-key-0123"}'))
    assert script.all(Send)[0].headers["Authorization"] == "Bearer other-key-0123"
    assert "other-key" not in f"{error} {error.body!r} {error.attempts}"


def test_the_earlier_of_connect_and_total_holds() -> None:
    script = Script(timeouts=Timeouts(connect_s=10, total_s=4))
    script.tell(*WHOLE)
    assert script.all(Send)[0].connect_by == by("total", 4)


def test_comments_and_blank_lines_don_t_keep_a_stream_alive() -> None:
    script = Script(streamed=True, timeouts=Timeouts(first_byte_s=20, idle_s=3))
    script.tell(SSE, b"\n\n", Later(1, b": hi\n\n"), Later(1, b": hi\n\n"), Later(1, b"retry: 1\n\n"), STREAM)
    assert [read.by for read in script.all(Read)] == [
        by("first_byte", 20),
        by("first_byte", 20),
        *[by("idle", 3, START + 1)] * 3,
    ]


def test_a_failed_answer_s_body_can_t_drip_for_ever() -> None:
    script = Script(streamed=True, timeouts=Timeouts(idle_s=3))
    script.fail(NotFound, Head(404, {}), Later(1, b"a"), Later(1, b"b"), b"")
    assert {read.by for read in script.all(Read)} == {by("idle", 3)}


def test_time_in_the_caller_s_own_loop_counts_for_nothing() -> None:
    script = Script(streamed=True, timeouts=Timeouts(idle_s=3, total_s=30), caller_takes_s=100)
    reply = script.tell(SSE, Later(1, piece("a")), Later(2, piece("b", "stop")), Later(1, USAGE + DONE))
    assert [read.by for read in script.all(Read)] == [
        by("total", 30),
        by("idle", 3, START + 1 + 100),
        by("idle", 3, START + 3 + 200),
    ]
    assert reply.attempts[0].elapsed_s == pytest.approx(4)
    script = Script(streamed=True, timeouts=Timeouts(total_s=30, idle_s=None), caller_takes_s=100)
    script.tell(SSE, piece("a"), STREAM)
    assert script.all(Read)[1].by == Deadline(START + 130, "total", 30)


def test_nor_does_it_if_the_answer_came_whole() -> None:
    script = Script(streamed=True, caller_takes_s=100)
    assert script.tell(*WHOLE).attempts[0].elapsed_s == 0


def test_time_in_the_caller_s_token_function_doesn_t_shorten_the_first_byte_s() -> None:
    script = Script(streamed=True, with_token=True, timeouts=Timeouts(first_byte_s=20))
    script.tell(Later(7, "token"), *WHOLE_STREAM)
    assert script.all(Send)[0].head_by == by("first_byte", 20, START + 7)


def test_what_an_attempt_took_stands_on_it() -> None:
    script = Script(streamed=True)
    reply = script.tell(Later(1, SSE), Later(2, piece("a", "stop")), Later(4, DONE))
    assert (reply.attempts[0].first_byte_s, reply.attempts[0].elapsed_s) == (3, 7)


# What it cost


@pytest.mark.parametrize("number", [400, 401, 404, 429, 500, 503])
def test_what_the_server_refused_is_free(number: int) -> None:
    script = Script(policy=RetryPolicy(max_attempts=1))
    with pytest.raises(BarechatError) as caught:
        script.tell(*status(number))
    assert caught.value.cost is not None
    assert (caught.value.cost.picodollars, caught.value.cost.certainty) == (0, "exact")


@pytest.mark.parametrize("number", [408, 502, 504])
def test_what_a_gateway_gave_up_on_may_have_cost_all_it_could(number: int) -> None:
    reply = Script().tell(*status(number), *WHOLE)
    assert [attempt.cost.certainty for attempt in reply.attempts] == ["bound", "exact"]
    assert reply.cost.picodollars == (reply.attempts[0].cost.picodollars or 0) + EXACT_PD
    assert reply.cost.certainty == "bound"


def test_a_body_that_breaks_off_takes_nothing_from_the_status() -> None:
    for fault in (lost(), timeout("idle", sent=True), b"\xff\xffno gzip"):
        head = Head(404, {"content-encoding": "gzip"} if isinstance(fault, bytes) else {})
        error = Script().fail(NotFound, head, *([] if isinstance(fault, bytes) else [b'{"detail": "Go']), fault)
        assert error.status == 404


def test_an_endless_error_body_is_read_no_further_than_any_error_needs() -> None:
    script = Script()
    script.fail(NotFound, Head(404, {}), *[b"x" * 40_000] * 2)
    assert len(script.all(Read)) == 2


def test_an_error_in_a_200_s_body_is_free_and_one_in_mid_stream_is_not() -> None:
    body = b'{"error": {"message": "m", "code": "invalid_api_key"}}'
    with pytest.raises(BarechatError) as caught:
        Script().tell(JSON, body, b"")
    assert caught.value.cost is not None
    assert caught.value.cost.picodollars == 0


def test_a_cap_on_the_reply_caps_the_bound() -> None:
    script = Script(parameters={"max_completion_tokens": 10}, policy=RetryPolicy(max_attempts=1))
    error = script.fail(ConnectionFailed, lost())
    assert error.cost is not None
    # The dearest tier: priority, a dollar a million tokens out, a quarter in.
    assert (error.cost.picodollars or 0) < 700 * 250_000 + 10 * 1_000_000 + 1


def test_a_reply_without_usage_costs_about_what_its_bytes_tell() -> None:
    reply = Script().tell(JSON, whole_body(usage=None), b"")
    assert (reply.usage, reply.cost.certainty) == (None, "estimate")
    bytes_sent = len(Script().receipt.call.request.body)
    tokens = -(-bytes_sent // 4), -(-len(reply.text) // 4)
    assert reply.cost.picodollars == tokens[0] * 150_000 + tokens[1] * 600_000


def test_after_one_that_was_counted_the_estimate_is_by_that_model_s_own_measure() -> None:
    origin = Origin(RetryBudget())
    assert Script(origin=origin).tell(*WHOLE).cost.picodollars == EXACT_PD
    reply = Script(origin=origin).tell(JSON, whole_body(usage=None), b"")
    assert (reply.cost.certainty, reply.cost.picodollars) == ("estimate", EXACT_PD)
    other = Script(origin=origin, model="gpt-4o").tell(JSON, whole_body(usage=None), b"")
    assert other.cost.picodollars == Script(model="gpt-4o").tell(JSON, whole_body(usage=None), b"").cost.picodollars


def test_an_answer_whose_end_nobody_told_is_not_estimated() -> None:
    choices = [{"index": 0, "message": {"role": "assistant", "content": "It"}, "finish_reason": None}]
    reply = Script().tell(JSON, whole_body(choices=choices, usage=None), b"")
    assert (reply.verdict, reply.cost.certainty) == ("unknown", "bound")


def test_an_estimate_is_never_above_the_bound() -> None:
    parameters = {"max_completion_tokens": 1}
    reply = Script(parameters=parameters).tell(JSON, whole_body("x" * 40_000, usage=None), b"")
    assert reply.cost.certainty == "estimate"
    cut = Script(parameters=parameters)
    cut.fail(ProtocolBroken, JSON, b"{", b"")
    assert reply.cost.picodollars == cut.receipt.cost.picodollars


def test_what_bytes_don_t_tell_of_is_not_estimated() -> None:
    heard = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
    reply = Script(model="gpt-audio", parameters=heard).tell(JSON, whole_body(usage=None), b"")
    assert reply.cost.certainty == "bound"
    script = Script(origin=Origin(RetryBudget()), model="a-model-of-their-own")
    assert script.tell(JSON, whole_body(usage=None, model="theirs"), b"").cost.certainty == "unpriced"


def test_the_served_tier_goes_before_the_one_asked_for() -> None:
    asked = {"service_tier": "priority"}
    assert Script(parameters=asked).tell(JSON, whole_body(service_tier="default"), b"").cost.picodollars == EXACT_PD
    assert Script(parameters=asked).tell(*WHOLE).cost.picodollars == 10 * 250_000 + 4 * 1_000_000


@pytest.mark.parametrize("extra", [{"service_tier": 5}, {"service_tier": {}}, {"service_tier": "scale"}])
def test_a_tier_that_nobody_knows_is_unpriced(extra: dict[str, Any]) -> None:
    assert Script(parameters=extra).tell(*WHOLE).cost.certainty == "unpriced"


@pytest.mark.parametrize("options", ["x", [], {"ttl": 5}, {"ttl": "30m"}])
def test_odd_cache_options_cost_nothing_where_nothing_was_cached(options: Any) -> None:
    assert Script(parameters={"prompt_cache_options": options}).tell(*WHOLE).cost.picodollars == EXACT_PD


def test_a_costlier_cache_than_the_table_knows_is_unpriced() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cache_write_tokens": 5}}
    body = whole_body(usage=usage, model="gpt-6-sol")
    for ttl, certainty in (("30m", "exact"), ("24h", "unpriced")):
        script = Script(model="gpt-6-sol", parameters={"prompt_cache_options": {"ttl": ttl}})
        assert script.tell(JSON, body, b"").cost.certainty == certainty


def test_an_unknown_model_is_unpriced_not_free() -> None:
    reply = Script(model="llama-9").tell(JSON, whole_body(model="llama-9"), b"")
    assert (reply.cost.usd, reply.cost.certainty) == (None, "unpriced")


def test_a_body_beyond_its_cap_is_refused_in_one_piece_or_many() -> None:
    caps = Caps(body_bytes=1000)
    body = whole_body("x" * 1000)
    for answers in ([body], [body[:600], body[600:]]):
        error = Script(caps=caps).fail(ProtocolBroken, JSON, *answers)
        assert "1000 bytes" in str(error)


# Its priority tier's rates: 582 tokens are the body's 70 bytes and 512.
@pytest.mark.parametrize(("model", "held"), [(MODEL, 582 * 250_000 + 16_384 * 1_000_000), ("a-local-model", None)])
def test_each_attempt_can_stand_in_the_ledger_first_at_its_bound_though_no_budget_asks(
    model: str, held: int | None
) -> None:
    script = Script(is_filed_first=True, model=model)
    script.tell(lost(), *WHOLE)
    holds = [step.hold for step in script.all(Reserve)]
    assert [hold.key for hold in holds] == [entry.key for entry in script.receipt.unfiled] == ["id-1", "id-2"]
    assert [hold.picodollars for hold in holds] == [held, held]
    assert not any(hold.budgets for hold in holds)
    assert not any(entry.is_held for entry in script.receipt.unfiled)
    assert [type(step) for step in script.steps[:2]] == [Reserve, Send]


# The key


def test_a_key_that_is_echoed_is_in_no_error_attempt_or_body() -> None:
    said = f'{{"error": {{"message": "bad {KEY}", "code": "{KEY}", "type": "{KEY}", "param": "{KEY}"}}}}'.encode()
    script = Script()
    error = script.fail(BadRequest, *status(500, said), *status(400, said, x_request_id=KEY))
    assert KEY not in repr((vars(error), error))
    assert (error.code, error.type, error.param, error.request_id) == ("***",) * 4
    assert error.attempts[0].code == "***"
    assert "bad ***" in str(error)


def test_a_token_that_is_echoed_is_in_none_either() -> None:
    first, second = "token-number-01-abc", "token-number-02-def"
    script = Script(with_token=True, policy=RetryPolicy(max_attempts=2))
    error = script.fail(Overloaded, first, *status(503, first.encode()), second, *status(503, second.encode()))
    assert "token-number" not in repr((vars(error), error))


def test_half_a_key_at_a_cut_end_is_taken_out_too() -> None:
    error = Script().fail(BadRequest, *status(400, b"x" * 185 + KEY.encode() + b" and so on"))
    assert KEY[:8] not in repr((vars(error), error))
    assert str(error).startswith("the server answered 400: xxx")


def test_a_cause_that_holds_the_key_is_dropped_and_another_kept() -> None:
    for words, is_kept in (("harmless", True), (f"GET / Authorization: Bearer {KEY}", False)):
        fault = ConnectionFailed("broke")
        fault.__cause__ = ValueError("outer")
        fault.__cause__.__context__ = OSError(words)
        error = Script(policy=RetryPolicy(max_attempts=1)).fail(ConnectionFailed, fault)
        assert (error.__cause__ is not None) is is_kept


def test_a_ring_of_causes_is_walked_once() -> None:
    fault = ConnectionFailed("broke")
    fault.__cause__ = ValueError("outer")
    fault.__cause__.__cause__ = fault
    Script(policy=RetryPolicy(max_attempts=1)).fail(ConnectionFailed, fault)


@pytest.mark.parametrize("key", ["", "k", "none", "ollama"])
def test_a_word_in_a_key_s_place_is_left_in_the_sentences(key: str) -> None:
    error = Script(key=key).fail(NotFound, *status(404, b"none of ollama's models is known as k"))
    assert "none of ollama's models is known as k" in str(error)


# The receipt


def story_of_everything() -> tuple[Script, list[Any]]:
    """Return a story that takes every kind of step, and its answers."""
    script = Script(streamed=True, with_token=True)
    return script, ["token-1", *status(503), "token-2", SSE, STREAM[:100], STREAM[100:]]


def tell_until(script: Script, answers: list[Any], count: int) -> Step | Reply:
    """Take `count` steps, and return the one that the story stands at."""
    left, answer = list(answers), None
    step: Step | Reply | None = None
    for _ in range(count):
        if isinstance(step, Send):
            step.leaving()
        step = advance(script.story, answer, None)
        answer = left.pop(0) if isinstance(step, (Authorize, Send, Read)) else None
    assert step is not None
    return step


def test_the_receipt_is_true_wherever_the_story_is_left() -> None:
    expected = [
        # the step it is left at, what each attempt is filed as, and how sure its cost is
        (Authorize, [("Interrupted", False, "exact")]),
        (Send, [("Interrupted", False, "exact")]),
        (Read, [("Interrupted", True, "bound")]),
        (Read, [("Interrupted", True, "bound")]),
        (Retry, [("Overloaded", True, "exact")]),
        (Wait, [("Overloaded", True, "exact")]),
        (Authorize, [("Overloaded", True, "exact"), ("Interrupted", False, "exact")]),
        (Send, [("Overloaded", True, "exact"), ("Interrupted", False, "exact")]),
        (Read, [("Overloaded", True, "exact"), ("Interrupted", True, "bound")]),
        (Read, [("Overloaded", True, "exact"), ("Interrupted", True, "bound")]),
        (Emit, [("Overloaded", True, "exact"), ("Interrupted", True, "bound")]),
        (Drain, [("Overloaded", True, "exact"), ("Interrupted", True, "exact")]),
    ]
    for count, (kind, attempts) in enumerate(expected, 1):
        script, answers = story_of_everything()
        assert type(tell_until(script, answers, count)) is kind
        script.story.close()
        receipt = script.receipt
        assert [(a.error, a.sent, a.cost.certainty) for a in receipt.attempts] == attempts
        assert receipt.reply is None
        partial = receipt.partial()
        assert (partial is not None) == any(step in {Emit, Drain} for step in (kind,)) or count == 10
        if partial is not None:
            assert (partial.cost, partial.attempts) == (receipt.cost, tuple(receipt.attempts))
    script, answers = story_of_everything()
    assert isinstance(tell_until(script, answers, len(expected) + 1), Reply)
    assert [attempt.error for attempt in script.receipt.attempts] == ["Overloaded", None]


def test_a_story_that_was_never_begun_leaves_an_empty_receipt() -> None:
    script = Script()
    script.story.close()
    assert (script.receipt.attempts, script.receipt.partial(), script.receipt.cost.picodollars) == ([], None, 0)


def test_a_foreign_exception_in_a_step_files_what_is_known_and_goes_on() -> None:
    script = Script()
    send = script.story.send(None)
    assert isinstance(send, Send)
    send.leaving()
    with pytest.raises(ZeroDivisionError):
        script.story.throw(ZeroDivisionError())
    assert [(a.error, a.sent, a.cost.certainty) for a in script.receipt.attempts] == [("Interrupted", None, "bound")]


def test_a_call_that_was_closed_while_it_connected_costs_nothing_since_it_can_t_be_sent_any_more() -> None:
    script = Script()
    send = script.story.send(None)
    assert isinstance(send, Send)
    script.story.close()
    assert [(a.sent, a.cost.picodollars) for a in script.receipt.attempts] == [(False, 0)]
    with pytest.raises(ConnectionFailed, match="closed before its request was sent"):
        send.leaving()


def test_the_limits_of_the_last_answer_stand_on_the_reply() -> None:
    head = Head(200, {"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-tokens": "-1"})
    limits = Script().tell(head, whole_body(), b"").rate_limits
    assert (limits.remaining_requests, limits.reset_tokens_s) == (7, None)
