"""Every deadline holds wherever a call stalls, in both clients: on a clock of our own, and over real sockets."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from barechat import AsyncClient, DeadlineExceeded, RetryPolicy, ServerFailed, Timeouts
from barechat.steps import Deadline, Send, Wait
from stalling import PLACES, Place, Stalled, alone, ask
from support import KEY, MODEL, ONCE, chunked, head, piece
from test_exchange import START, WHOLE, WHOLE_STREAM, Later, Script, by, refused, status

if TYPE_CHECKING:
    from support import ByteServer, Caller, Connect

SOON_S = 0.05


# On a clock of our own


@pytest.mark.parametrize("connect_s", [10, None])
def test_a_try_s_own_deadline_holds_while_it_connects_too(connect_s: float | None) -> None:
    timeouts = Timeouts(connect_s=connect_s, first_byte_s=4)
    streamed = Script(streamed=True, timeouts=timeouts)
    streamed.tell(*WHOLE_STREAM)
    whole = Script(timeouts=timeouts, policy=RetryPolicy(attempt_s=3))
    whole.tell(*WHOLE)
    one_try = Deadline(START + 3, "first_byte", 3, "RetryPolicy.attempt_s")
    for script, deadline in ((streamed, by("first_byte", 4)), (whole, one_try)):
        (send,) = script.all(Send)
        assert send.connect_by == send.head_by == deadline


def test_a_call_whose_time_went_into_the_caller_s_token_function_sends_nothing() -> None:
    policy = RetryPolicy(resend_after_timeout=True)
    script = Script(with_token=True, timeouts=Timeouts(total_s=5), policy=policy)
    error = script.fail(DeadlineExceeded, Later(5, "token-1"))
    assert isinstance(error, DeadlineExceeded)
    assert (error.which, error.sent, script.all(Send)) == ("total", False, [])
    assert [(attempt.sent, attempt.cost.picodollars) for attempt in error.attempts] == [(False, 0)]
    assert len(Script(with_token=True, timeouts=Timeouts(total_s=5)).tell(Later(4.9, "token-1"), *WHOLE).attempts) == 1


def test_nor_does_one_whose_time_went_into_the_caller_s_on_retry() -> None:
    script = Script(timeouts=Timeouts(total_s=5), on_retry_takes_s=5)
    error = script.fail(DeadlineExceeded, refused())
    assert "no time left" in str(error)
    assert [attempt.error for attempt in error.attempts] == ["ConnectionFailed", "DeadlineExceeded"]
    assert [step.delay_s for step in script.all(Wait)] == [0]


def test_the_time_that_on_retry_takes_is_a_part_of_the_wait() -> None:
    script = Script(on_retry_takes_s=0.75)
    reply = script.tell(refused(), *WHOLE)
    assert reply.attempts[0].delay_s == 1
    assert [step.delay_s for step in script.all(Wait)] == [0.25]


@pytest.mark.parametrize("retry_after", ["3", None])
def test_a_wait_that_the_total_would_cut_is_not_begun(retry_after: str | None) -> None:
    """The failure is raised at once: it says more than a deadline that passed in an idle wait."""
    script = Script(timeouts=Timeouts(total_s=4), policy=RetryPolicy(base_s=4))
    error = script.fail(ServerFailed, *status(500, **({} if retry_after is None else {"retry_after": retry_after})))
    assert (script.now, script.all(Wait), error.attempts[0].delay_s) == (START, [], None)


# Over real sockets: which one passed, never how long it took


def missed(caller: Caller, place: Place, *, streamed: bool, **options: Any) -> DeadlineExceeded:
    with pytest.raises(DeadlineExceeded) as caught:
        ask(caller, place, streamed=streamed, **{"retry": ONCE, **options})
    error = caught.value
    assert len(error.attempts) == 1
    assert error.cost is not None
    assert error.cost.certainty == ("exact" if error.sent is False else "bound")
    if place.whole == "connect":
        assert error.sent is False
    return error


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_call_that_stalls_ends_with_the_deadline_of_that_place(place: Place, connect: Connect) -> None:
    with Stalled(place) as stalled:
        caller = connect(stalled.url, **stalled.options)
        for streamed in (False, True):
            which = place.streamed if streamed else place.whole
            assert missed(caller, place, streamed=streamed, timeouts=alone(which, SOON_S)).which == which
        if place.hears_the_end:
            stalled.wait_until_hung_up()


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_shorter_deadline_of_the_call_or_the_try_holds_wherever_it_stalls(place: Place, connect: Connect) -> None:
    with Stalled(place) as stalled:
        caller = connect(stalled.url, **stalled.options)
        for streamed in (False, True):
            assert missed(caller, place, streamed=streamed, timeouts=alone("total", SOON_S)).which == "total"
        one_try = RetryPolicy(max_attempts=1, attempt_s=SOON_S)
        assert missed(caller, place, streamed=False, timeouts=Timeouts(30), retry=one_try).which == "first_byte"
        if place.streamed == "connect":
            assert missed(caller, place, streamed=True, timeouts=alone("first_byte", SOON_S)).which == "first_byte"


def test_a_name_that_nobody_resolves_keeps_no_event_loop_from_ending() -> None:
    place = next(place for place in PLACES if not place.resolves)
    with Stalled(place) as stalled:

        async def ask_in_vain() -> None:
            async with AsyncClient(KEY, stalled.url, retry=ONCE, timeouts=alone("connect", SOON_S)) as client:
                with pytest.raises(DeadlineExceeded, match="no connection"):
                    await client.chat("Hi", model=MODEL)

        loop = threading.Thread(target=lambda: asyncio.run(ask_in_vain()), daemon=True)
        loop.start()
        loop.join(20)  # the name is still being looked up
        assert not loop.is_alive()


def test_a_refusal_that_never_ends_is_the_server_s_word_all_the_same(connect: Connect) -> None:
    opening = head("Content-Length: 1000000", status="500 Internal Server Error")
    place = Place("a refusal", "total", "idle", opening=opening, drip=b"a")
    with Stalled(place) as stalled:
        with pytest.raises(ServerFailed) as caught:
            ask(connect(stalled.url), place, streamed=True, retry=ONCE, timeouts=alone("idle", SOON_S))
        assert (caught.value.status, len(caught.value.attempts)) == (500, 1)
        stalled.wait_until_hung_up()


def test_a_reader_that_is_slow_by_itself_is_never_cut(connect: Connect, byte_server: ByteServer) -> None:
    pieces = [piece("x" * 1000) for _ in range(300)]  # more than one read takes
    opening = head("Transfer-Encoding: chunked", kind="text/event-stream")
    byte_server.answer(b"".join([opening, *chunked([*pieces, piece(finish_reason="stop")])]), closes=False)
    with connect(byte_server.url, timeouts=alone("idle", 0.3)).stream() as stream:
        for number, _ in enumerate(stream):
            if number in {0, 299}:
                threading.Event().wait(0.5)
    assert stream.reply.verdict == "complete"
