"""The limiter keeps close to the server's limits and hardly ever meets them, whatever becomes of them meanwhile."""

from __future__ import annotations

import pytest

from barechat import RateLimits
from barechat.bulk.limiter import Limiter, Ticket
from barechat.bulk.rates import Rate
from barechat.simulator.limits import Limit
from limiting import Outcome, World

RPM, TPM = 3000, 400_000
SECONDS = 120
BY_REQUESTS, BY_TOKENS = 100, 400  # tokens a request: which limit binds
UNKNOWN = RateLimits()

bursts = pytest.mark.parametrize("burst_s", [60.0, 2.0, 1.0])
larger_bursts = pytest.mark.parametrize("burst_s", [60.0, 2.0])  # a second's can't bear what is heard of a second late
needs = pytest.mark.parametrize("need", [BY_REQUESTS, BY_TOKENS])


def world(burst_s: float, need: int, **facts: float) -> World:
    limit = Limit(requests_per_min=RPM, tokens_per_min=TPM, burst_s=burst_s)
    return World(limit, need=need, thought=int(facts.get("thought", need)), other=facts.get("other", 0.0))


def check(outcome: Outcome, need: int, minutes: float) -> None:
    """Hold a run to 97 % of the limit that binds over so many minutes of it, and fewer than 1 % refusals."""
    share = outcome.served / RPM if need == BY_REQUESTS else outcome.tokens / TPM
    assert share >= 0.97 * minutes
    assert outcome.refused < 0.01 * outcome.sent


@bursts
@needs
def test_it_takes_what_the_limit_gives_and_is_hardly_ever_refused(burst_s: float, need: int) -> None:
    check(world(burst_s, need).run(SECONDS), need, 2.0)


@larger_bursts
@needs
def test_it_follows_a_limit_that_is_halved_in_mid_run(burst_s: float, need: int) -> None:
    check(world(burst_s, need).run(SECONDS, halved_at=SECONDS / 2), need, 1.5)


@larger_bursts
@needs
def test_it_leaves_half_to_another_client_that_takes_half(burst_s: float, need: int) -> None:
    other = RPM / 120 if need == BY_REQUESTS else TPM / need / 120
    outcome = world(burst_s, need, other=other).run(SECONDS)
    by_others = outcome.others / RPM if need == BY_REQUESTS else outcome.others * need / TPM
    check(outcome, need, 2.0 - by_others)
    assert by_others >= 0.9


@bursts
@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_tokens_that_are_thought_too_few_or_too_many_are_put_right_by_what_the_server_says(
    burst_s: float, factor: float
) -> None:
    check(world(burst_s, BY_TOKENS, thought=BY_TOKENS * factor).run(SECONDS), BY_TOKENS, 2.0)


def test_what_is_sent_at_once_is_two_seconds_of_the_rate_however_much_the_server_would_take() -> None:
    limiter = Limiter(now=0.0)
    (ticket,) = start(limiter, 1)
    limiter.succeed(ticket, told(limit=600, remaining=599))
    assert len(start(limiter, 1000)) == 20


def told(limit: int, remaining: int, reset_s: float | None = None) -> RateLimits:
    return RateLimits(limit_requests=limit, remaining_requests=remaining, reset_requests_s=reset_s)


def start(limiter: Limiter, most: int, now: float = 0.0, tokens: int = 10) -> list[Ticket]:
    """Start what may be started now."""
    tickets: list[Ticket] = []
    while len(tickets) < most and limiter.wait_s(tokens, now) == 0.0:
        tickets.append(limiter.start(tokens, now))
    return tickets


def test_ceilings_hold_below_what_the_server_gives() -> None:
    limiter = Limiter(rpm=60, tpm=6000, concurrency=50, now=0.0)
    tickets = start(limiter, 1000)
    assert len(tickets) == 2
    for ticket in tickets:
        limiter.succeed(ticket, told(limit=600, remaining=500))
    assert len(start(limiter, 1000, now=60.0)) == 2
    assert limiter.requests.a_minute == 60
    assert limiter.window <= 50


def test_a_request_of_more_tokens_than_two_seconds_bring_waits_for_a_full_bucket_and_then_for_its_debt() -> None:
    limiter = Limiter(tpm=600, now=0.0)
    assert len(start(limiter, 10, tokens=100)) == 1
    assert limiter.wait_s(100, 0.0) == pytest.approx(10.0)


def test_requests_and_tokens_are_taken_together_or_not_at_all() -> None:
    limiter = Limiter(rpm=6000, tpm=600, now=0.0)
    assert len(start(limiter, 10, tokens=20)) == 1
    assert len(start(limiter, 300, tokens=0)) == 9  # the window: no request was taken meanwhile


def test_a_few_are_sent_until_the_server_has_said_anything() -> None:
    limiter = Limiter(now=0.0)
    tickets = start(limiter, 1000)
    assert len(tickets) == 10
    limiter.succeed(tickets[0], UNKNOWN)
    assert len(start(limiter, 1000)) == 91


def test_a_429_pauses_all_for_as_long_as_the_server_asks() -> None:
    limiter = Limiter(now=0.0)
    first, *_ = start(limiter, 3)
    limiter.refuse(first, UNKNOWN, 7.0, 1.0)
    assert limiter.wait_s(10, 1.0) == 7.0
    assert limiter.wait_s(10, 8.0) == 0.0


def test_a_429_without_a_delay_pauses_all_for_a_second() -> None:
    limiter = Limiter(now=0.0)
    limiter.refuse(start(limiter, 1)[0], UNKNOWN, None, 0.0)
    assert limiter.wait_s(10, 0.0) == 1.0


def test_the_window_is_halved_once_for_all_that_were_sent_before_and_grows_by_one_a_round() -> None:
    limiter = Limiter(now=0.0)
    limiter.succeed(start(limiter, 1)[0], UNKNOWN)
    tickets = start(limiter, 1000)
    assert limiter.window == 100
    for ticket in tickets[:3]:
        limiter.fail(ticket, 1.0, is_overload=True)
    assert limiter.window == 50
    for ticket in tickets[3:]:
        limiter.succeed(ticket, UNKNOWN)
    before = limiter.window
    tickets = start(limiter, 1000, now=2.0)
    assert len(tickets) == before
    for ticket in tickets:
        limiter.succeed(ticket, UNKNOWN)
        start(limiter, 1, now=2.0)
    assert limiter.window == before + 1


def test_a_fault_that_is_no_overload_cuts_nothing() -> None:
    limiter = Limiter(now=0.0)
    limiter.fail(start(limiter, 1)[0], 0.0, is_overload=False)
    start(limiter, 1)
    limiter.drop()
    assert (limiter.window, limiter.running) == (10, 0)


def test_an_outage_is_probed_ever_more_seldom_up_to_once_a_minute_and_forgotten_at_the_first_answer() -> None:
    limiter = Limiter(now=0.0)
    now, waits = 0.0, []
    for ticket in start(limiter, 5):
        limiter.fail(ticket, now, is_overload=True)
    for _ in range(8):
        wait = limiter.wait_s(10, now)
        assert wait is not None
        waits.append(wait)
        now += wait
        (probe,) = start(limiter, 10, now)
        limiter.fail(probe, now, is_overload=True)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    now += 60
    limiter.succeed(start(limiter, 10, now)[0], UNKNOWN)
    assert limiter.wait_s(10, now) == 0.0


def test_a_limit_of_a_day_is_no_limit_of_a_minute() -> None:
    rate = Rate(None, 0.0)
    rate.learn(rate.take(1, 0.0), 0.0, 10_000, 9_999, 8.64)
    assert (rate.limit, rate.a_minute) == (10_000, None)


@pytest.mark.parametrize(("remaining", "reset_s"), [(599, 1.0), (599, None), (600, 0.0), (None, None), (590, 1.0)])
def test_a_minute_s_limit_is_one_however_its_reset_is_rounded(remaining: int | None, reset_s: float | None) -> None:
    rate = Rate(None, 0.0)
    rate.learn(rate.take(1, 0.0), 0.0, 600, remaining, reset_s)
    assert rate.a_minute == 600


def test_a_bucket_that_others_have_emptied_is_waited_for() -> None:
    rate = Rate(None, 0.0)
    rate.learn(rate.take(1, 0.0), 0.0, 600, 0, None)
    assert 0 < rate.wait_s(1, 0.0) <= 1
    assert rate.wait_s(1, 60.0) == 0.0
