"""The simulator's buckets: never more than they hold and what came in, and a wait that is told is enough."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barechat.simulator.buckets import Bucket, Buckets, go_duration, whole_ms, whole_s
from barechat.simulator.limits import Admission, Limit, Limits
from barechat.wire.limits import duration_s

EPOCH_S = 1_763_900_000.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0001, "1ms"),
        (0.006, "6ms"),
        (0.012, "12ms"),
        (0.9999, "1s"),
        (1, "1s"),
        (1.5, "1.5s"),
        (8.64, "8.64s"),
        (1.002, "1.002s"),
        (60, "1m0s"),
        (90.5, "1m30.5s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (9900, "2h45m0s"),
        (86_400, "24h0m0s"),
    ],
)
def test_a_duration_is_written_as_go_writes_it(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


@given(st.floats(0, 1e7))
def test_a_client_reads_from_a_duration_what_was_meant_rounded_up_to_the_millisecond(seconds: float) -> None:
    read_s = duration_s(go_duration(seconds))
    assert read_s is not None
    assert -1e-6 < read_s - seconds < 1e-3


def test_a_wait_is_rounded_up_to_what_can_be_told_but_for_the_grain_of_the_clock() -> None:
    assert (whole_ms(0), whole_ms(1e-6), whole_ms(0.644), whole_ms(0.644_000_2), whole_ms(0.6441)) == (
        0,
        1,
        644,
        644,
        645,
    )
    assert (whole_s(0), whole_s(0.001), whole_s(2.000_000_2), whole_s(2.001)) == (0, 1, 2, 3)


def test_a_bucket_that_is_refitted_keeps_what_it_holds_but_not_what_no_longer_fits() -> None:
    bucket = Bucket(60, 60, 60, 0)
    bucket.take(50, 0)
    bucket.refit(600, 60, 60, 5)
    assert (bucket.remaining(5), bucket.remaining(6), bucket.reset_s(5)) == (15, 25, 58.5)
    bucket.refit(60, 60, 10, 6)
    assert (bucket.remaining(6), bucket.reset_s(6)) == (10, 0)


def test_a_bucket_is_not_drained_below_empty() -> None:
    bucket = Bucket(60, 60, 2, 0)
    for _ in range(5):
        bucket.drain(1, 0)
    assert (bucket.remaining(0), bucket.wait_s(1, 0), bucket.reset_s(0)) == (0, 1, 2)


def test_the_shortage_that_lasts_longest_is_the_one_that_counts() -> None:
    buckets = Buckets()
    buckets.refit(requests_per_min=1, requests_per_day=1, tokens_per_min=10, burst_s=60, now_s=0)
    assert buckets.are_full(0)
    buckets.take(10, 0)
    shortage = buckets.shortage(1, 0)
    assert shortage is not None
    assert (shortage.what, shortage.wait_s) == ("requests per day (RPD)", 86_400)
    assert not buckets.are_full(86_399)
    assert buckets.are_full(86_400)


class Line:
    """One key's requests for one model, whose clock counts from the epoch."""

    def __init__(self, limit: Limit) -> None:
        self._limits = Limits([limit], started=EPOCH_S)

    def ask(self, at_s: float, tokens: int = 10) -> Admission:
        return self._limits.admit("sk-a", "gpt-4o", tokens, EPOCH_S + at_s)

    def admits(self, at_s: float, tokens: int = 10) -> bool:
        return self.ask(at_s, tokens).refusal is None

    def admitted_of(self, tries: int, at_s: float, tokens: int = 10) -> int:
        return sum(self.admits(at_s, tokens) for _ in range(tries))


def test_a_bucket_begins_with_a_minute_of_its_rate_and_refills_evenly() -> None:
    line = Line(Limit(requests_per_min=30))
    assert line.admitted_of(40, at_s=0) == 30
    assert not line.admits(1.999)
    assert line.admits(2)
    assert line.admitted_of(40, at_s=12) == 5
    assert line.admitted_of(40, at_s=1000) == 30


def test_a_clock_that_goes_backwards_stands_still() -> None:
    line = Line(Limit(requests_per_min=60))
    assert line.admitted_of(99, at_s=100) == 60
    assert line.ask(40).retry_after_s == 1
    assert line.admits(101)


def test_burst_s_is_how_many_seconds_of_its_rate_a_bucket_holds() -> None:
    line = Line(Limit(requests_per_min=60, tokens_per_min=6000, burst_s=5))
    assert line.admitted_of(9, at_s=0, tokens=1) == 5
    assert line.ask(5, 500).remaining_tokens == 0
    assert line.admitted_of(200, at_s=1000, tokens=1) == 5


def test_a_bucket_holds_at_least_one_request() -> None:
    line = Line(Limit(requests_per_min=3, burst_s=1))
    assert line.admitted_of(5, at_s=0) == 1
    assert not line.admits(19.9)
    assert line.admits(20)


def test_a_day_of_requests_can_be_had_at_once_and_comes_back_one_by_one() -> None:
    line = Line(Limit(requests_per_day=200, burst_s=1))
    assert line.admitted_of(300, at_s=0) == 200
    assert line.ask(0).retry_after_s == 432
    assert line.admitted_of(5, at_s=432) == 1


def test_of_two_limits_on_requests_the_one_with_fewer_left_is_told() -> None:
    line = Line(Limit(requests_per_min=3, requests_per_day=4))
    assert [line.ask(at_s).limit_requests for at_s in (0, 0, 60, 60)] == [3, 3, 4, 4]
    assert line.ask(60).remaining_requests == 0


def test_a_limit_of_part_of_a_request_a_minute_is_told_as_one() -> None:
    admission = Line(Limit(requests_per_min=0.5)).ask(0)
    assert (admission.limit_requests, admission.remaining_requests, admission.reset_requests_s) == (1, 0, 120)


class Arrivals(msgspec.Struct, frozen=True):
    limit: Limit
    requests: list[tuple[float, int]]


gaps_s = st.one_of(st.just(0.0), st.floats(0, 0.1), st.floats(0, 30))
arrivals = st.builds(
    Arrivals,
    st.builds(
        Limit,
        requests_per_min=st.none() | st.floats(0.5, 600),
        tokens_per_min=st.none() | st.floats(10, 10_000),
        requests_per_day=st.none() | st.floats(1, 100),
        burst_s=st.floats(0.1, 120),
        count_refused=st.booleans(),
    ),
    st.lists(st.tuples(gaps_s, st.integers(0, 3000)), min_size=1, max_size=40),
)


@given(arrivals)
def test_no_window_admits_more_than_a_full_bucket_and_what_comes_in_meanwhile(given: Arrivals) -> None:
    limit, line, at_s = given.limit, Line(given.limit), 0.0
    admitted: list[tuple[float, int]] = []
    for gap_s, tokens in given.requests:
        at_s += gap_s
        if line.admits(at_s, tokens):
            admitted.append((at_s, tokens))
    for first, last in itertools.combinations_with_replacement(range(len(admitted)), 2):
        inside = admitted[first : last + 1]
        window_s = inside[-1][0] - inside[0][0]
        for used, amount, per_s, burst_s in (
            (len(inside), limit.requests_per_min, 60, limit.burst_s),
            (len(inside), limit.requests_per_day, 86_400, 86_400),
            (sum(tokens for _, tokens in inside), limit.tokens_per_min, 60, limit.burst_s),
        ):
            if amount is not None:
                assert used <= max(1, amount / per_s * burst_s) + amount / per_s * (window_s + 1e-5) + 1e-9


@given(arrivals)
def test_a_client_that_waits_as_long_as_it_is_told_is_admitted(given: Arrivals) -> None:
    line, at_s = Line(given.limit), 0.0
    for gap_s, tokens in given.requests:
        at_s += gap_s
        refused = line.ask(at_s, tokens)
        if refused.retry_after_s is not None:
            assert refused.retry_after_s > 0
            at_s += refused.retry_after_s
            assert line.admits(at_s, tokens)


@given(arrivals)
def test_what_is_told_to_be_left_is_admitted_and_one_more_is_not(given: Arrivals) -> None:
    line, at_s = Line(given.limit), 0.0
    for gap_s, tokens in given.requests:
        at_s += gap_s
        line.ask(at_s, tokens)
    told = line.ask(at_s, 0)
    if told.remaining_tokens is not None and told.remaining_requests != 0:
        assert not line.admits(at_s, told.remaining_tokens + 1)
        assert given.limit.count_refused or line.admits(at_s, told.remaining_tokens)
