"""barechat.wire.limits: the server's headers about limits and delays become numbers, or None."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.records import RateLimits
from barechat.wire.limits import duration_s, rate_limits, server_delay_s
from vectors import case_id, cases

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110


@pytest.mark.parametrize("case", cases("ratelimit_headers"), ids=case_id)
def test_recorded_headers_are_read(case: dict[str, Any]) -> None:
    limits = rate_limits(case["headers"])
    assert {name: getattr(limits, name) for name in case["expected"]} == case["expected"]
    assert (limits.remaining_requests, limits.remaining_tokens) == (59, 149984)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("12ms", 0.012),
        ("1m30.5s", 90.5),
        ("1h2m3s", 3723),
        ("7m12.5s", 432.5),
        ("28.8s", 28.8),
        ("0s", 0),
        ("0", 0),
        ("1.s", 1),
        (".5s", 0.5),
        ("100us", 1e-4),
        ("100µs", 1e-4),
        ("100μs", 1e-4),
        ("5ns", 5e-9),
        ("7", 7),
        ("7.25", 7.25),
        (" 7 ", 7),
        ("1e1", 10),
        ("-1", None),
        ("-1s", None),
        ("", None),
        ("s", None),
        ("1x", None),
        ("1s ", 1),
        ("1 s", None),
        ("1s junk", None),
        ("junk1s", None),
        ("1d", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("1_0", None),
        ("٣", None),
        ("2026-01-01T00:00:00Z", None),
    ],
)
def test_a_reset_is_a_go_duration_or_plain_seconds(text: str, wanted: float | None) -> None:
    assert duration_s(text) == (None if wanted is None else pytest.approx(wanted))


def test_azures_unknown_and_what_is_absent_or_garbled_are_none() -> None:
    assert rate_limits({}) == RateLimits()
    assert rate_limits({"content-type": "x"}) == RateLimits()
    headers = {
        "x-ratelimit-limit-requests": "-1",
        "x-ratelimit-remaining-requests": "many",
        "x-ratelimit-reset-requests": "10",
        "x-ratelimit-limit-tokens": "1e999",
        "x-ratelimit-remaining-tokens": "120000.0",
        "x-ratelimit-limit-project-tokens": "x",
    }
    assert rate_limits(headers) == RateLimits(reset_requests_s=10.0, remaining_tokens=120000)


IMF, RFC850, ASCTIME = "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("this platform's zone can't be set")
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize("date", [IMF, RFC850, ASCTIME, "Sun, 06 Nov 1994 08:49:37 -0000"])
def test_a_date_in_each_of_http_s_three_formats_is_utc_wherever_the_machine_stands(date: str) -> None:
    assert server_delay_s({"retry-after": date}, NOW - 30) == 30
    assert server_delay_s({"retry-after": date}, NOW + 30) is None


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"retry-after": "20"}, 20),
        ({"retry-after": " 20 "}, 20),
        ({"retry-after": "+20"}, 20),
        ({"retry-after": "0.1"}, 0.1),
        ({"retry-after": "1e2"}, 100),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "junk", "retry-after": "9"}, 9),
        ({"retry-after-ms": "0", "retry-after": "9"}, 9),
        ({"retry-after-ms": "-5", "retry-after": "9"}, 9),
        ({"retry-after-ms": "nan", "retry-after": "9"}, 9),
        # A number too large for a float asks for a wait that nobody makes; "inf" is no number at all.
        ({"retry-after": "1e999"}, math.inf),
        ({"retry-after": "9" * 400}, math.inf),
        ({"retry-after-ms": "1e999"}, math.inf),
        ({"retry-after": "-1e999"}, None),
        ({"retry-after": "1e-999"}, None),
        *(({"retry-after": text}, None) for text in ("", " ", "0", "-5", "inf", "Infinity", "nan", "NaN", "1_0")),
        *(({"retry-after": text}, None) for text in ("soon", "10 s", "10s", "Sun, 06", "1 2 3 4 5", "٣", "1,5", "\0")),
        ({"retry-after": "Sun, 99 Nov 9999 99:99:99 GMT"}, None),
        ({"retry-after": "Fri, 31 Dec 99999999 23:59:59 GMT"}, None),
        ({}, None),
    ],
)
def test_a_delay_is_milliseconds_else_seconds_or_a_date_else_nothing(
    headers: dict[str, str], wanted: float | None
) -> None:
    assert server_delay_s(headers, NOW) == wanted


def test_a_header_of_64_kib_takes_no_time() -> None:
    """Each of these took minutes with a pattern that backtracks, or with int()."""
    for text in ("1" * 65_000, "1" * 65_000 + "x", "1" * 30_000 + "." + "1" * 30_000 + "x", "1s" * 30_000 + "x"):
        server_delay_s({"retry-after": text}, NOW)
        duration_s(text)


HEADER = (
    st.text(max_size=30)
    | st.text("0123456789.-+e hmsuµn:,", max_size=20)
    | st.from_regex(r"[A-Z][a-z]{2,8},? ?[0-9]{1,3}[ -][A-Z][a-z]{2}[ -][0-9]{1,5} [0-9:]{0,9} ?[A-Z+0-9-]{0,5}")
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(HEADER)
def test_any_text_in_a_header_is_a_number_from_0_or_none(text: str) -> None:
    for found in (
        duration_s(text),
        server_delay_s({"retry-after": text}, NOW),
        server_delay_s({"retry-after-ms": text}, NOW),
        rate_limits({"x-ratelimit-limit-tokens": text}).limit_tokens,
        rate_limits({"x-ratelimit-reset-requests": text}).reset_requests_s,
    ):
        assert found is None or found >= 0
