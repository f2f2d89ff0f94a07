"""barechat.wire.retry: what is tried again, after how long, and what keeps an outage from being multiplied."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from barechat.errors import (
    ApiError,
    BarechatError,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    ParameterError,
    ProtocolBroken,
    StreamTruncated,
)
from barechat.records import RateLimits
from barechat.wire.faults import api_error, read_error
from barechat.wire.limits import server_delay_s
from barechat.wire.retry import Failure, RetryBudget, RetryPolicy, budget_of, delay_s, is_paid_by_server
from vectors import Case, case_id, cases

NOW = 1696004797.0
POLICY = RetryPolicy()
# The cases' own backoff is the official SDK's: 0.5 s doubled, capped at 8. Ours, in its place, is 1 s doubled, capped
# at 60, drawn from the upper half; and to a server's delay we add noise of up to the larger of 10 % and 1 s.
OWN_S = {1: (0.5, 1), 2: (1, 2), 3: (2, 4), 4: (4, 8), 5: (8, 16), 7: (30, 60), 99: (30, 60)}


def low(least: float, most: float) -> float:
    return least


def high(least: float, most: float) -> float:
    return most


def failure(
    error: BarechatError, headers: dict[str, str] | None = None, *, begun: bool = False, **limits: Any
) -> Failure:
    """Make a failure as the exchange does."""
    headers = {name.lower(): value for name, value in (headers or {}).items()}
    error.retry_after_s = server_delay_s(headers, NOW)
    return Failure(error, headers, RateLimits(**limits), begun)


def answer(status: int, headers: dict[str, str] | None = None, body: bytes = b"", **more: Any) -> Failure:
    return failure(read_error(status, {}, body), headers, **more)


def delays(failed: Failure, number: int = 1, policy: RetryPolicy = POLICY) -> tuple[float, float] | None:
    """Return the least and the most that may be waited; None if the failure isn't tried again."""
    found = delay_s(policy, failed, number, low), delay_s(policy, failed, number, high)
    return None if found[0] is None or found[1] is None else (found[0], found[1])


TABLE = [case for case in cases("retry") if "expected_delay_seconds_approx" in case and "max_retries" in case]


@pytest.mark.parametrize("case", TABLE, ids=case_id)
def test_a_servers_delay_is_honoured_and_what_is_none_falls_back_to_our_own(case: Case) -> None:
    number = 1 + case["max_retries"] - case["remaining_retries"]
    found = delays(answer(429, case["headers"]), number)
    asked = case["exact_seconds_if_honoured"]
    assert found == ((asked, asked + max(0.1 * asked, 1)) if asked is not None else OWN_S[number])


@pytest.mark.parametrize("case", [case for case in cases("retry") if case not in TABLE], ids=case_id)
def test_what_others_try_again_we_try_again(case: Case) -> None:
    headers = dict(case["headers"])
    if "now - 60 s" in headers.get("Retry-After", ""):
        headers["Retry-After"] = "Fri, 29 Sep 2023 16:25:37 GMT"
    found = delays(answer(case["status"], headers))
    assert (found is not None) == case.get("expected_should_retry", case.get("expected_attempts") == 2)
    if found is not None and "expected_delay_seconds_approx" in case:
        assert found[0] == case["expected_delay_seconds_approx"]
    if case.get("expected_sleep_seconds"):
        asked = case["expected_sleep_seconds"][0]
        assert found is not None
        assert found[0] == asked  # 0.5 s is the SDK's backoff, and the least of ours


@pytest.mark.parametrize("status", [*range(400, 430), *range(500, 530), 599])
def test_the_statuses_that_may_pass_are_tried_again_and_no_others(status: int) -> None:
    again = {408, 409, 425, 429} | set(range(500, 600)) - {501, 505}
    assert (delays(answer(status)) is not None) == (status in again)
    only = RetryPolicy(retry_statuses=frozenset({404}))
    assert (delays(answer(status), policy=only) is not None) == (status == 404)


def test_x_should_retry_overrides_the_status_but_never_an_exhausted_quota() -> None:
    assert delays(answer(400, {"X-Should-Retry": " True "})) is not None
    assert delays(answer(503, {"x-should-retry": "false"})) is None
    assert delays(answer(503, {"x-should-retry": "maybe"})) is not None
    broke = b'{"error": {"code": "insufficient_quota"}}'
    assert delays(answer(429, {"x-should-retry": "true", "retry-after": "1"}, broke)) is None


def test_an_error_in_a_200s_body_is_judged_by_its_class() -> None:
    for code, again in {
        "rate_limit_exceeded": True,
        "server_error": True,
        None: True,
        "invalid_api_key": False,
    }.items():
        error = api_error(200, {"error": {"message": "no", "code": code}}, b"")
        assert (delays(failure(error)) is not None) == again
    assert delays(failure(api_error(200, {"error": {"code": 400}}, b""))) is None


def test_nothing_is_tried_again_once_output_has_begun() -> None:
    assert delays(answer(503, begun=True)) is None
    assert delays(failure(StreamTruncated("cut"), begun=True)) is None
    assert delays(failure(StreamTruncated("cut"))) is not None


def test_a_timeout_is_sent_again_only_if_the_request_never_left_or_the_caller_says_so() -> None:
    again = RetryPolicy(resend_after_timeout=True)
    for which, sent, by_default, if_asked in (
        ("connect", False, True, True),
        ("first_byte", True, False, True),
        ("first_byte", None, False, True),
        ("idle", True, False, True),
        ("total", False, False, False),
        ("total", True, False, False),
    ):
        failed = failure(DeadlineExceeded("late", which=which, sent=sent))  # type: ignore[arg-type]
        assert (delays(failed) is not None) == by_default
        assert (delays(failed, policy=again) is not None) == if_asked


def test_failed_connections_are_tried_again_and_the_callers_own_faults_are_not() -> None:
    for sent in (True, False, None):
        assert delays(failure(ConnectionFailed("reset", sent=sent))) is not None
    for error in (ProtocolBroken("html"), ParameterError("bad"), ConfigurationError("bad"), ApiError("?", status=302)):
        assert delays(failure(error)) is None
    assert delays(failure(ConnectionFailed("nobody trusts its certificate", sent=False, retryable=False))) is None


def test_our_own_delay_doubles_to_a_cap_and_is_drawn_from_its_upper_half() -> None:
    endless = RetryPolicy(max_attempts=10**6)
    for number, wanted in OWN_S.items():
        assert delays(answer(503), number, endless) == wanted
    assert delays(answer(503), 10**5, endless) == (30, 60)
    small = RetryPolicy(base_s=0.25, cap_s=0.75, max_attempts=9)
    assert [delays(answer(503), number, small) for number in (1, 2, 3)] == [(0.125, 0.25), (0.25, 0.5), (0.375, 0.75)]


def test_the_last_attempt_is_the_last() -> None:
    assert delays(answer(503), 4) is not None
    assert delays(answer(503), 5) is None
    assert delays(answer(503), 1, RetryPolicy(max_attempts=1)) is None


def test_a_delay_beyond_the_limit_is_not_waited_for() -> None:
    assert delays(answer(429, {"retry-after": "120"})) == (120, 132)
    for text in ("120.001", "1e999", "9" * 500):
        assert delays(answer(429, {"retry-after": text})) is None
    assert delays(answer(503, {"retry-after": "121"})) is None
    assert delays(answer(429, {"retry-after": "5"}), policy=RetryPolicy(max_server_delay_s=4)) is None
    assert delays(answer(429, {"retry-after": "500"}), policy=RetryPolicy(max_server_delay_s=500)) is not None


def test_what_ran_out_may_only_shorten_our_own_delay() -> None:
    """The reset tells when the bucket is full again. The draw stays a draw, so that clients come back spread out."""
    out: dict[str, Any] = {"remaining_requests": 0, "reset_requests_s": 0.2}
    assert delays(answer(429, **out)) == (0.1, 0.2)
    assert delays(answer(429, **out | {"remaining_tokens": 0, "reset_tokens_s": 0.4})) == (0.2, 0.4)
    assert delays(answer(429, remaining_tokens=0, reset_tokens_s=360.0)) == OWN_S[1]
    assert delays(answer(429, remaining_requests=5, reset_requests_s=0.2)) == OWN_S[1]
    assert delays(answer(429, reset_requests_s=0.2)) == OWN_S[1]
    assert delays(answer(429, remaining_requests=0)) == OWN_S[1]
    assert delays(answer(429, remaining_requests=0, reset_requests_s=0.0)) == OWN_S[1]  # never a retry without a pause
    assert delays(answer(503, **out)) == OWN_S[1]
    assert delays(answer(429, {"retry-after": "3"}, **out)) == (3, 4)


def test_a_429_with_a_servers_own_delay_takes_no_tokens() -> None:
    assert is_paid_by_server(answer(429, {"retry-after": "3"}))
    assert not is_paid_by_server(answer(429))
    assert not is_paid_by_server(answer(503, {"retry-after": "3"}))


def test_an_outage_drains_the_retry_budget_and_successes_fill_it_again() -> None:
    budget = RetryBudget()
    assert [budget.take(100) for _ in range(21)] == [True] * 20 + [False]
    for _ in range(4):
        budget.give()
    assert not budget.take(100)
    budget.give()
    assert budget.take(100)
    for _ in range(1000):
        budget.give()
    assert sum(budget.take(100) for _ in range(100)) == 20


def test_no_budget_is_no_limit_and_a_budget_of_none_is_no_retry() -> None:
    budget = RetryBudget()
    assert all(budget.take(None) for _ in range(1000))
    assert [budget.take(size) for size in (0, 4, 5, 5)] == [False, False, True, False]


def test_one_server_has_one_budget_as_long_as_somebody_holds_it() -> None:
    first = budget_of("https://API.example.com/v1")
    assert budget_of("https://api.example.com/openai/v1") is first
    for other in ("http://api.example.com/v1", "https://api.example.com:8443/v1", "https://example.com/v1"):
        assert budget_of(other) is not first
    first.take(100)
    del first
    gc.collect()
    assert sum(budget_of("https://api.example.com/v1").take(5) for _ in range(2)) == 2  # each time a new one


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        *(("max_attempts", bad) for bad in (0, -1, 1.5, True, "3", None)),
        *(("retry_budget", bad) for bad in (-1, 1.5, True, "3")),
        *((name, bad) for name in ("base_s", "cap_s", "max_server_delay_s") for bad in (-1, "1", None, True)),
        *((name, bad) for name in ("base_s", "cap_s", "max_server_delay_s") for bad in (float("nan"), 1e10, 10**400)),
        *(("attempt_s", bad) for bad in (0, -1, "1", True, float("nan"))),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_name(name: str, bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        RetryPolicy(**{name: bad})


def test_a_policys_statuses_may_be_any_collection() -> None:
    assert RetryPolicy(retry_statuses={500}).retry_statuses == frozenset({500})  # type: ignore[arg-type]
    assert RetryPolicy(attempt_s=5, retry_budget=None).attempt_s == 5
