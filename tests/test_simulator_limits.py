"""The simulator's limits: what they let through, what they refuse and in which words, and when waiting helps."""

import itertools
import tomllib
from typing import Any

import msgspec
import pytest

from barechat.simulator.limits import Admission, Limit, Limits, azure_headers, openai_headers, retry_headers

EPOCH_S = 1_763_900_000.0


class Server:
    """Limits whose clock counts from the epoch, asked by seconds since the start."""

    def __init__(self, *limits: Limit) -> None:
        self.limits = Limits(limits, started=EPOCH_S)

    def ask(
        self, at_s: float, tokens: int = 10, *, key: str | None = "sk-a", model: str | None = "gpt-4o"
    ) -> Admission:
        return self.limits.admit(key, model, tokens, EPOCH_S + at_s)

    def admits(self, at_s: float, tokens: int = 10, **who: str) -> bool:
        return self.ask(at_s, tokens, **who).refusal is None

    def admitted_of(self, tries: int, at_s: float, tokens: int = 10, **who: str) -> int:
        return sum(self.admits(at_s, tokens, **who) for _ in range(tries))

    def change(self, at_s: float, *limits: Limit) -> None:
        self.limits.change(limits, EPOCH_S + at_s)


def message(admission: Admission) -> str:
    assert admission.refusal is not None
    return admission.refusal.message


def told_by(admission: Admission) -> dict[str, str]:
    """Return all headers about limits, as the official API writes them."""
    return {**openai_headers(admission), **retry_headers(admission)}


def test_a_limit_is_what_its_toml_table_says() -> None:
    table = tomllib.loads('key = "sk-a"\nrequests_per_min = 60\nquota_tokens = 5\nretry_after = "date"\nshared = true')
    assert msgspec.convert(table, Limit) == Limit(
        key="sk-a", requests_per_min=60.0, quota_tokens=5, retry_after="date", shared=True
    )


@pytest.mark.parametrize(
    "table",
    [
        {"request_per_min": 1},
        {"requests_per_min": 0},
        {"tokens_per_min": float("inf")},
        {"requests_per_day": float("nan")},
        {"burst_s": 0},
        {"concurrent": 0},
        {"quota_requests": 1.5},
        {"quota_code": "no_money"},
        {"retry_after": "ms"},
        {"from_s": -1},
        {"from_s": 5, "until_s": 5},
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table, Limit)


@pytest.mark.parametrize(
    ("tokens", "remaining", "reset"),
    [(1, 199_999, "1ms"), (15, 199_985, "5ms"), (5000, 195_000, "1.5s"), (300_000, 0, "1m0s")],
)
def test_without_a_limit_the_headers_are_those_of_a_large_account(tokens: int, remaining: int, reset: str) -> None:
    server = Server(Limit(model="gpt-5", requests_per_min=1))
    admission = server.ask(0, tokens)
    assert list(told_by(admission).items()) == [
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-limit-tokens", "200000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-remaining-tokens", str(remaining)),
        ("x-ratelimit-reset-requests", "8.64s"),
        ("x-ratelimit-reset-tokens", reset),
    ]
    assert told_by(server.ask(0, tokens)) == told_by(admission)


def test_a_request_refused_for_its_tokens_takes_no_request_and_the_other_way_round() -> None:
    server = Server(Limit(requests_per_min=2, tokens_per_min=100))
    assert server.admits(0, 90)
    for _ in range(5):
        refused = server.ask(0, 11)
        assert refused.refusal is not None
        assert refused.refusal.type == "tokens"
        assert (refused.remaining_requests, refused.remaining_tokens) == (1, 10)
    assert server.admits(0, 1)
    refused = server.ask(0, 9)
    assert refused.refusal is not None
    assert refused.refusal.type == "requests"
    assert refused.remaining_tokens == 9


def test_refused_requests_count_when_told_to_so_that_hammering_never_helps() -> None:
    server = Server(Limit(requests_per_min=60, requests_per_day=1000, tokens_per_min=100, count_refused=True))
    assert server.admits(0, 100)
    assert server.ask(0, 50).remaining_requests == 58
    assert server.admitted_of(100, at_s=0, tokens=50) == 0
    refused = server.ask(0.9, 1)
    assert refused.retry_after_s == 1
    assert not server.admits(1.8, 1)
    assert server.admits(2.8, 1)


def test_each_key_and_each_model_has_a_bucket_of_its_own() -> None:
    server = Server(Limit(requests_per_min=1))
    for key, model in itertools.product(("sk-a", "sk-b", None), ("gpt-4o", "gpt-5", None)):
        assert server.ask(0, key=key, model=model).refusal is None
        assert server.ask(0, key=key, model=model).refusal is not None


def test_a_shared_limit_is_one_bucket_for_all_that_it_meets() -> None:
    server = Server(Limit(key="sk-a", requests_per_min=2, shared=True), Limit(requests_per_min=1))
    assert server.admits(0, key="sk-a1", model="gpt-4o")
    assert server.admits(0, key="sk-a2", model="gpt-5")
    assert not server.admits(0, key="sk-a3", model="gpt-4o")
    assert server.admits(0, key="sk-b", model="gpt-4o")


def test_the_first_limit_that_meets_a_request_applies_and_only_that_one() -> None:
    server = Server(
        Limit(key="sk-vip"),
        Limit(key="sk-a", model="gpt-5", requests_per_min=3),
        Limit(key="sk-a", requests_per_min=2),
        Limit(requests_per_min=1),
    )
    assert server.admitted_of(9, at_s=0, key="sk-vip-7") == 9
    assert server.admitted_of(9, at_s=0, key="sk-abc", model="gpt-5") == 3
    assert server.admitted_of(9, at_s=0, key="sk-abc", model="gpt-5-mini") == 2
    assert server.admitted_of(9, at_s=0, key="sk-b", model="gpt-5") == 1


def test_a_quota_of_requests_is_used_up_for_good() -> None:
    server = Server(Limit(quota_requests=2))
    assert server.admitted_of(9, at_s=0) == 2
    refused = server.ask(1e8)
    assert refused.refusal is not None
    assert refused.refusal.status == 429
    assert refused.refusal.error == {
        "message": "You exceeded your current quota, please check your plan and billing details. For more information "
        "on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
    assert refused.retry_after_s is None
    assert retry_headers(refused) == {}
    assert server.admits(1e8, key="sk-b")


def test_a_quota_of_tokens_ends_with_the_request_that_crosses_it() -> None:
    server = Server(Limit(quota_tokens=100, quota_code="credit_balance_exhausted"))
    assert server.admits(0, 99)
    assert server.admits(0, 500)
    refused = server.ask(0, 1)
    assert refused.refusal is not None
    assert (refused.refusal.type, refused.refusal.code) == ("insufficient_quota", "credit_balance_exhausted")
    assert refused.refusal.message.startswith("You have no credits remaining.")


def test_a_refused_request_spends_no_quota() -> None:
    server = Server(Limit(requests_per_min=1, quota_requests=2))
    assert server.admitted_of(9, at_s=0) == 1
    assert server.admits(60)
    assert "quota" in message(server.ask(120))


def test_an_answer_counts_as_concurrent_until_it_is_released() -> None:
    server = Server(Limit(concurrent=2))
    first, second = server.ask(0), server.ask(0)
    refused = server.ask(100)
    assert "on concurrent requests: Limit 2, Used 2, Requested 1. Visit" in message(refused)
    assert refused.retry_after_s is None
    server.limits.release(refused)
    assert not server.admits(100)
    server.limits.release(first)
    server.limits.release(first)
    assert server.admits(100)
    assert not server.admits(100)
    server.limits.release(second)
    assert server.admits(100)


def test_releasing_what_no_limit_met_changes_nothing() -> None:
    server = Server(Limit(key="sk-b", concurrent=1))
    held = server.ask(0, key="sk-b")
    server.limits.release(server.ask(0, key="sk-a"))
    assert held.refusal is None
    assert not server.admits(0, key="sk-b")


def test_a_limit_applies_from_its_beginning_until_its_end() -> None:
    server = Server(Limit(from_s=10, until_s=20, requests_per_min=1))
    assert server.admitted_of(9, at_s=9.9) == 9
    assert server.admitted_of(9, at_s=10) == 1
    assert server.admitted_of(9, at_s=19.9) == 0
    assert server.admitted_of(9, at_s=20) == 9


def test_when_limits_change_what_is_left_stays_up_to_the_new_capacity() -> None:
    server = Server(Limit(until_s=10, tokens_per_min=600), Limit(tokens_per_min=60))
    assert server.ask(9, 200).remaining_tokens == 400
    assert server.ask(10, 0).remaining_tokens == 60
    server = Server(Limit(until_s=10, tokens_per_min=60), Limit(tokens_per_min=600))
    assert server.ask(10 - 1e-3, 50).remaining_tokens == 10
    assert server.ask(10, 0).remaining_tokens == 10
    assert server.ask(11, 0).remaining_tokens == 20


def test_a_bucket_fills_at_the_old_rate_before_a_change_and_at_the_new_one_after_it() -> None:
    fast, slow = Limit(from_s=10, until_s=20, tokens_per_min=600), Limit(tokens_per_min=60)
    server = Server(fast, slow)
    assert server.ask(5, 60).remaining_tokens == 0
    assert server.ask(12, 0).remaining_tokens == 5 + 20
    server = Server(fast, slow)
    assert server.ask(5, 60).remaining_tokens == 0
    assert server.ask(30, 0).remaining_tokens == 60
    server = Server(fast, slow)
    assert server.ask(5, 60).remaining_tokens == 0
    assert server.ask(13, 35).remaining_tokens == 0
    assert server.ask(20, 0).remaining_tokens == 60


def test_limits_put_in_place_in_mid_run_go_on_with_what_is_left() -> None:
    server = Server(Limit(requests_per_min=60), Limit(model="unused", from_s=50, requests_per_min=1))
    assert server.admitted_of(50, at_s=0) == 50
    server.change(5, Limit(requests_per_min=120, tokens_per_min=1000))
    admission = server.ask(5)
    assert (admission.limit_requests, admission.remaining_requests) == (120, 14)
    assert admission.remaining_tokens == 990
    server.change(5)
    assert server.ask(5).limit_requests == 10_000
    server.change(6, Limit(requests_per_min=120, shared=True))
    assert server.ask(6).remaining_requests == 119


def test_a_shared_limit_that_changes_keeps_its_bucket() -> None:
    server = Server(
        Limit(until_s=10, key="sk-", requests_per_min=6, shared=True),
        Limit(key="sk-", requests_per_min=12, shared=True),
    )
    assert server.admitted_of(9, at_s=9.999, key="sk-a") == 6
    assert not server.admits(10, key="sk-b")
    assert server.admits(15, key="sk-b")


def test_while_a_shared_limit_applies_the_buckets_of_single_keys_go_on_at_their_own_rate() -> None:
    own = Limit(requests_per_min=60)
    server = Server(Limit(from_s=10, until_s=20, requests_per_min=600, shared=True), own)
    assert server.admitted_of(60, at_s=9) == 60
    assert server.ask(10).remaining_requests == 599
    assert server.ask(20).remaining_requests == 10


def test_answers_under_way_and_quotas_outlive_a_change() -> None:
    server = Server(Limit(quota_requests=5, concurrent=3))
    held = server.ask(0)
    server.change(1, Limit(quota_requests=1))
    assert "quota" in message(server.ask(1))
    server.change(2, Limit(quota_requests=5, concurrent=1))
    assert "concurrent" in message(server.ask(2))
    server.limits.release(held)
    assert server.admits(2)


@pytest.mark.parametrize(
    ("limit", "tokens", "what", "counts", "wait"),
    [
        (Limit(tokens_per_min=30_000), (29_937, 385), "tokens per min (TPM)", (30_000, 29_937, 385), "644ms"),
        (Limit(tokens_per_min=10_000), (8554, 3082), "tokens per min (TPM)", (10_000, 8554, 3082), "9.816s"),
        (Limit(requests_per_min=1), (10, 10), "requests per min (RPM)", (1, 1, 1), "1m0s"),
        (Limit(requests_per_day=1, tokens_per_min=9), (1, 9), "requests per day (RPD)", (1, 1, 1), "24h0m0s"),
    ],
)
def test_a_refusal_has_the_words_and_the_wait_of_the_official_api(
    limit: Limit, tokens: tuple[int, int], what: str, counts: tuple[int, int, int], wait: str
) -> None:
    server = Server(limit)
    assert server.admits(0, tokens[0])
    refusal = server.ask(0, tokens[1]).refusal
    assert refusal is not None
    assert refusal.message == (
        f"Rate limit reached for gpt-4o in organization org-simulated on {what}: "
        f"Limit {counts[0]}, Used {counts[1]}, Requested {counts[2]}. Please try again in {wait}. "
        "Visit https://platform.openai.com/account/rate-limits to learn more."
    )
    assert (refusal.status, refusal.param, refusal.code) == (429, None, "rate_limit_exceeded")
    assert refusal.type == what.partition(" ")[0]


def test_a_request_larger_than_the_bucket_is_refused_without_a_time_to_try_again() -> None:
    server = Server(Limit(tokens_per_min=30_000))
    refused = server.ask(0, 40_000)
    assert refused.refusal is not None
    assert refused.refusal.error == {
        "message": "Request too large for gpt-4o in organization org-simulated on tokens per min (TPM): Limit 30000, "
        "Requested 40000. The input or output tokens must be reduced in order to run successfully. "
        "Visit https://platform.openai.com/account/rate-limits to learn more.",
        "type": "tokens",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert refused.retry_after_s is None
    assert retry_headers(refused) == {}
    assert server.ask(0, 30_000).remaining_tokens == 0


def test_the_headers_tell_what_is_left_and_when_the_buckets_are_full_again() -> None:
    server = Server(Limit(requests_per_min=10, tokens_per_min=60_000))
    server.ask(0, 30_000)
    told = {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-limit-tokens": "60000",
        "x-ratelimit-remaining-requests": "8",
        "x-ratelimit-remaining-tokens": "29500",
        "x-ratelimit-reset-requests": "12s",
        "x-ratelimit-reset-tokens": "30.5s",
    }
    assert told_by(server.ask(0, 500)) == told
    refused = server.ask(0, 29_502)
    assert openai_headers(refused) == told
    assert told_by(refused) == {**told, "retry-after": "1", "retry-after-ms": "2"}
    assert azure_headers(refused) == {**told, "x-ratelimit-reset-requests": "12", "x-ratelimit-reset-tokens": "31"}


def test_what_is_not_limited_is_left_out_of_the_official_headers_and_minus_one_in_those_of_azure() -> None:
    admission = Server(Limit(tokens_per_min=600)).ask(0, 5)
    assert told_by(admission) == {
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "595",
        "x-ratelimit-reset-tokens": "500ms",
    }
    assert azure_headers(admission) == {
        "x-ratelimit-limit-requests": "-1",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-requests": "-1",
        "x-ratelimit-remaining-tokens": "595",
        "x-ratelimit-reset-requests": "0",
        "x-ratelimit-reset-tokens": "1",
    }


def test_a_limit_that_tells_nothing_still_says_when_to_try_again() -> None:
    server = Server(Limit(requests_per_min=1, headers=False))
    assert told_by(server.ask(0)) == {}
    refused = server.ask(0)
    assert azure_headers(refused) == {}
    assert told_by(refused) == {"retry-after": "60", "retry-after-ms": "60000"}


@pytest.mark.parametrize(
    ("limit", "headers"),
    [
        (Limit(requests_per_min=40, burst_s=1), {"retry-after": "2", "retry-after-ms": "1500"}),
        (Limit(requests_per_min=40, burst_s=1, retry_after="none"), {}),
        # The epoch's second 1,763,900,000 is 12:13:20; a second and a half later is told as the second after that.
        (Limit(requests_per_min=40, burst_s=1, retry_after="date"), {"retry-after": "Sun, 23 Nov 2025 12:13:22 GMT"}),
    ],
)
def test_retry_after_is_told_in_seconds_as_a_date_or_not_at_all(limit: Limit, headers: dict[str, str]) -> None:
    server = Server(limit)
    assert retry_headers(server.ask(0)) == {}
    refused = server.ask(0)
    assert retry_headers(refused) == headers
    assert refused.retry_after_s == 1.5


def test_keys_that_do_not_come_back_are_forgotten() -> None:
    server = Server(Limit(requests_per_min=60))
    assert server.admitted_of(99, at_s=0, key="sk-spent") == 60
    for number in range(20_000):
        server.limits.release(server.ask(number / 1000, key=f"sk-{number}"))
    assert len(server.limits._accounts) < 5000
    assert server.ask(20, key="sk-spent").remaining_requests == 19


def test_quotas_that_were_touched_and_answers_under_way_are_never_forgotten() -> None:
    server = Server(
        Limit(key="sk-quota", quota_requests=1), Limit(key="sk-busy", concurrent=1), Limit(requests_per_min=60)
    )
    server.limits.release(server.ask(0, key="sk-quota"))
    assert server.admits(0, key="sk-busy")
    for number in range(5000):
        server.limits.release(server.ask(number, key=f"sk-{number}"))
    assert len(server.limits._accounts) < 5000
    assert not server.admits(1e6, key="sk-quota")
    assert not server.admits(1e6, key="sk-busy")
