"""barechat.usage: any server's usage object, read leniently and never guessed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barechat.records import CompletionTokensDetails, PromptTokensDetails, Usage
from barechat.usage import read_usage


def test_the_apis_own_usage_is_read_whole() -> None:
    raw = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {
            "cached_tokens": 40,
            "cache_write_tokens": 30,
            "audio_tokens": 20,
            "image_tokens": 10,
            "text_tokens": 70,
        },
        "completion_tokens_details": {
            "reasoning_tokens": 25,
            "audio_tokens": 5,
            "text_tokens": 45,
            "accepted_prediction_tokens": 4,
            "rejected_prediction_tokens": 3,
        },
    }
    assert read_usage(raw) == Usage(
        prompt_tokens=100,
        completion_tokens=50,
        total_tokens=150,
        prompt_tokens_details=PromptTokensDetails(
            cached_tokens=40, cache_write_tokens=30, audio_tokens=20, image_tokens=10, text_tokens=70
        ),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=25,
            audio_tokens=5,
            text_tokens=45,
            accepted_prediction_tokens=4,
            rejected_prediction_tokens=3,
        ),
    )


@pytest.mark.parametrize("details", [{}, {"prompt_tokens_details": None}, {"completion_tokens_details": "none"}])
def test_missing_details_are_zeros_and_a_missing_total_is_the_sum(details: dict[str, Any]) -> None:
    usage = read_usage({"prompt_tokens": 3, "completion_tokens": 4, **details})
    assert usage == Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)


def test_the_servers_own_total_is_kept_even_if_it_is_not_the_sum() -> None:
    usage = read_usage({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9})
    assert usage is not None
    assert usage.total_tokens == 9


def test_digit_strings_and_whole_floats_are_counts() -> None:
    usage = read_usage({"prompt_tokens": "12", "completion_tokens": 5.0, "total_tokens": None})
    assert usage == Usage(prompt_tokens=12, completion_tokens=5, total_tokens=17)


@pytest.mark.parametrize(
    "count",
    [
        None,
        True,
        -1,
        "-1",
        "1.5",
        "",
        "\u0663",
        "9" * 5000,
        1.5,
        -2.0,
        math.nan,
        math.inf,
        10**18,
        1e300,
        [],
        {},
        3 + 0j,
    ],
)
def test_what_is_no_count_leaves_the_usage_unknown(count: object) -> None:
    assert read_usage({"prompt_tokens": count, "completion_tokens": 1}) is None
    assert read_usage({"prompt_tokens": 1, "completion_tokens": count}) is None


@pytest.mark.parametrize("raw", [None, "usage", 5, [], {}, {"prompt_tokens": 1}, {"total_tokens": 4}])
def test_what_is_no_usage_is_none(raw: object) -> None:
    assert read_usage(raw) is None


def test_deepseeks_cache_hits_are_cached_tokens_unless_the_apis_own_name_is_there() -> None:
    raw: dict[str, Any] = {"prompt_tokens": 10, "completion_tokens": 1, "prompt_cache_hit_tokens": 8}
    usage = read_usage(raw)
    assert usage is not None
    assert usage.prompt_tokens_details.cached_tokens == 8
    usage = read_usage({**raw, "prompt_tokens_details": {"cached_tokens": 0}})
    assert usage is not None
    assert usage.prompt_tokens_details.cached_tokens == 0


def test_a_usage_record_passes_through() -> None:
    usage = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    assert read_usage(usage) is usage


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_NAMES = ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"]


@given(st.dictionaries(st.sampled_from(_NAMES), _JSON | st.dictionaries(st.just("cached_tokens"), _JSON)))
def test_any_json_is_read_or_refused_and_never_crashes(raw: dict[str, Any]) -> None:
    usage = read_usage(raw)
    assert usage is None or min(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) >= 0
