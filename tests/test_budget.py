"""barechat.money.budget: what an amount, a time and a tag mean."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal
from typing import Any

import pytest

from barechat import Budget, ConfigurationError

NOON = 1_795_694_400.0  # 2026-11-26 12:00 UTC


@pytest.mark.parametrize(
    ("limit", "picodollars"),
    [
        ("5.00", 5 * 10**12),
        (" 5 ", 5 * 10**12),
        (3, 3 * 10**12),
        (Decimal("0.1"), 10**11),
        ("0.000000000001", 1),
        ("4000000", 4 * 10**18),
        ("1e-3", 10**9),
    ],
)
def test_an_amount_is_dollars_to_the_picodollar(limit: Any, picodollars: int) -> None:
    assert Budget(limit).limit_pd == picodollars


@pytest.mark.parametrize(
    "limit",
    ["", "five", "$5", "0", "-1", "NaN", "inf", "1e999", "4000000.01", "0.0000000000001", 1.5, True, None, [5], 0],
)
def test_what_is_no_amount_is_refused_by_name(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="Budget: ") as caught:
        Budget(limit)
    assert repr(limit) in str(caught.value)


@pytest.mark.parametrize("options", [{"per": "week"}, {"per": None}, {"tag": ""}, {"tag": "a\nb"}, {"tag": 5}])
def test_so_is_what_is_no_time_or_tag(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ConfigurationError, match=f"Budget: {name} must be"):
        Budget("5", **options)


def test_days_and_months_are_utc_s() -> None:
    assert [Budget("5", per).period(NOON) for per in ("total", "day", "month")] == ["", "2026-11-26", "2026-11"]
    assert Budget("5", "day").period(NOON + 11.99 * 3600) == "2026-11-26"
    assert Budget("5", "day").period(NOON + 12 * 3600) == "2026-11-27"


@pytest.mark.parametrize(
    ("tag", "tags", "covers"),
    [
        (None, {}, True),
        (None, {"job": "nightly"}, True),
        ("job=nightly", {"job": "nightly", "user": "ada"}, True),
        ("job=nightly", {"job": "daily"}, False),
        ("job=nightly", {"user": "nightly"}, False),
        ("nightly", {"job": "nightly"}, True),
        ("job", {"job": "nightly"}, True),
        ("nightly", {"job": "daily"}, False),
        ("night", {"job": "nightly"}, False),
        ("a=b", {"job": "a=b"}, True),
        ("job=", {"job": "nightly"}, False),
        ("nightly", {}, False),
    ],
)
def test_a_tag_says_which_calls_draw_on_it(tag: str | None, tags: dict[str, str], covers: bool) -> None:
    assert Budget("5", tag=tag).covers(tags) is covers


def test_it_says_what_it_is_and_travels() -> None:
    budget = Budget("0.25", "day", "job=nightly", wait=True)
    assert str(budget) == "the budget of $0.25 a day for job=nightly"
    assert str(Budget(5)) == "the budget of $5.00 in all"
    assert pickle.loads(pickle.dumps(budget)) == copy.copy(budget) == budget  # noqa: S301 - our own
    assert budget.identity == ("job=nightly", "day")
