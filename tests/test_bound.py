"""barechat.money.bound: no server that honours the cap can cost more, and what can't be bounded isn't."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barechat.money.bound import FRAMING_TOKENS, bound
from barechat.money.prices import Prices
from barechat.money.table import TIERS
from barechat.records import UNPRICED, CompletionTokensDetails, PromptTokensDetails, Usage
from pictures import PNG, data_url, png

TODAY = date(2026, 11, 26)
PRICES = Prices.builtin()
MODELS = sorted(PRICES._table.history)
TEXT = [{"role": "user", "content": "hi"}]


def usd(model: str = "gpt-4o", body_bytes: int = 488, **request: Any) -> Decimal | None:
    """Bound a request of 488 bytes, so that its prompt is at most 488 + 512 = 1,000 tokens."""
    cost = bound({"messages": TEXT, **request}, body_bytes, model, PRICES, TODAY)
    assert cost.certainty == ("unpriced" if cost.usd is None else "bound")
    return cost.usd


def made_up(**row: Any) -> Prices:
    """Build a table of one model, m, at $1 in and $2 out."""
    base = {
        "model": "m",
        "since": "2026-01-01",
        "tiers": {"standard": {"input": "1", "output": "2", "cached": "0.5"}},
        "sources": [],
        "read": "2026-01-01",
    }
    return Prices.read(msgspec.json.encode({"about": [], "sources": {}, "rows": [{**base, **row}]}))


# Hand-worked figures


def test_text_is_bounded_by_its_bytes_and_priced_at_the_dearest_tier() -> None:
    # gpt-4o's dearest is priority: 1,000 * $4.25 + 100 * $17
    assert usd(max_completion_tokens=100) == Decimal("0.00595")


def test_the_dearest_input_is_a_cache_write_where_those_cost_more() -> None:
    # gpt-6-sol priority: 1,000 written * $5 + 100 * $20
    assert usd("gpt-6-sol", max_completion_tokens=100) == Decimal("0.007")


def test_each_of_n_choices_may_be_as_long_as_the_cap() -> None:
    # 1,000 * $4.25 + 3 * 100 * $17
    assert usd(n=3, max_completion_tokens=100) == Decimal("0.00935")
    assert usd(n=None, max_completion_tokens=100) == usd(n=1, max_completion_tokens=100) == Decimal("0.00595")


def test_without_a_cap_the_reply_may_be_the_models_longest() -> None:
    # 1,000 * $4.25 + 16,384 * $17
    assert usd() == Decimal("0.282778")


@pytest.mark.parametrize("cap", [None, 0, -5, True, "100", 1.5])
def test_what_is_no_cap_caps_nothing(cap: object) -> None:
    assert usd(max_tokens=cap) == usd()


def test_of_two_caps_the_larger_counts_since_servers_differ_on_which_they_honour() -> None:
    assert usd(max_tokens=100) == usd(max_completion_tokens=100) == Decimal("0.00595")
    assert usd(max_tokens=100, max_completion_tokens=1) == usd(max_tokens=1, max_completion_tokens=100)
    assert usd(max_tokens=100, max_completion_tokens=1) == Decimal("0.00595")


def test_a_prompt_is_never_longer_than_the_context_window() -> None:
    # 128,000 * $4.25
    assert usd(body_bytes=10**9, max_tokens=1) == Decimal("0.544017")


def test_long_context_counts_as_soon_as_the_prompt_may_pass_its_threshold() -> None:
    # gpt-6-luna priority: 272,000 * $0.25, then 272,001 * $0.50; 1,000 * $1, then * $1.50
    assert usd("gpt-6-luna", 272_000 - FRAMING_TOKENS, max_tokens=1000) == Decimal("0.069")
    assert usd("gpt-6-luna", 272_001 - FRAMING_TOKENS, max_tokens=1000) == Decimal("0.1375005")


IMAGE = [{"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": "x"}}]}]
AUDIO = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}]


def test_an_image_or_a_file_may_fill_the_context_window() -> None:
    # gpt-4o: 128,000 * $4.25 + 1 * $17
    assert usd(messages=IMAGE, max_tokens=1) == Decimal("0.544017")
    assert usd(messages=[{"role": "user", "content": [{"type": "file"}]}], max_tokens=1) == Decimal("0.544017")
    assert usd(messages=[{"role": "user", "content": ({"text": "no type"},)}], max_tokens=1) == Decimal("0.544017")


def test_gpt_4o_mini_bills_an_image_as_34_times_its_tokens() -> None:
    # 34 * 128,000 * $0.25 + 1 * $1
    assert usd("gpt-4o-mini", messages=IMAGE, max_tokens=1) == Decimal("1.088001")


def with_images(*urls: str, detail: str = "high") -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": u, "detail": detail}} for u in urls]}
    ]


def size_of(messages: list[dict[str, Any]]) -> int:
    return len(msgspec.json.encode({"messages": messages}))


def test_an_image_takes_its_rules_tokens_in_place_of_its_bytes() -> None:
    url = data_url(png(1024, 1024) + bytes(10 * 2**20))
    rest = size_of(with_images(url)) - len(url.partition(",")[2])
    # The body without the image, 512 and 765 tokens * $4.25; 1 * $17
    most = usd(messages=with_images(url), body_bytes=size_of(with_images(url)), max_tokens=1)
    assert most == (rest + FRAMING_TOKENS + 765) * Decimal("0.00000425") + Decimal("0.000017")
    assert rest < 250
    # Two of them, and one behind a URL, which may take 1,445
    several = with_images(url, url, "https://example.com/a.png")
    rest = size_of(several) - 2 * len(url.partition(",")[2])
    most = usd(messages=several, body_bytes=size_of(several), max_tokens=1)
    assert most == (rest + FRAMING_TOKENS + 2 * 765 + 1445) * Decimal("0.00000425") + Decimal("0.000017")


def test_beside_one_part_that_nobody_can_count_an_image_is_no_bound() -> None:
    messages = [*with_images(data_url(PNG)), {"role": "user", "content": [{"type": "file"}]}]
    # 128,000 * $4.25 + 1 * $17
    assert usd(messages=messages, max_tokens=1) == Decimal("0.544017")
    assert usd(messages=with_images(data_url(PNG), detail="original"), max_tokens=1) == Decimal("0.544017")


def test_images_never_take_more_than_the_context_window_as_it_is_billed() -> None:
    # 1,000 images behind URLs: 34 * 128,000 * $0.25 + 1 * $1
    urls = ["https://example.com/a.png"] * 1000
    assert usd("gpt-4o-mini", messages=with_images(*urls), max_tokens=1) == Decimal("1.088001")


def test_images_are_bounded_by_their_rule_where_the_context_window_is_not_known() -> None:
    ruled = made_up(image={"kind": "patches", "multiplier": "1.5", "high": 10})
    # 488 + 512 + 10 * 1.5 tokens * $1, 1 * $2
    request = {"messages": with_images("https://example.com/a.png"), "max_tokens": 1}
    assert bound(request, 488, "m", ruled, TODAY).usd == Decimal("0.001017")


def test_text_parts_and_the_callers_own_tools_are_in_the_body() -> None:
    parts = [{"role": "assistant", "content": [{"type": "text", "text": "?"}, {"type": "refusal", "refusal": "no"}]}]
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "custom", "custom": {"name": "g"}}]
    assert usd(messages=[*parts, "odd"], tools=tools, max_tokens=100) == Decimal("0.00595")


def test_a_predictions_rejected_tokens_are_billed_as_output() -> None:
    # 1,000 * $4.25 + (100 + 488) * $17
    assert usd(prediction={"type": "content", "content": "x"}, max_tokens=100) == Decimal("0.014246")


# What can't be bounded


@pytest.mark.parametrize(
    "request_parts",
    [
        {"web_search_options": {}},
        {"plugins": [{"id": "web"}]},
        {"data_sources": [{"type": "azure_search"}]},
        {"models": ["openai/o1"]},
        {"tools": [{"type": "web_search"}]},
        {"messages": AUDIO},
        {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "alloy", "format": "wav"}},
        {"service_tier": "scale"},
        {"service_tier": "flex"},  # gpt-4o isn't sold in it
        {"n": "2"},
        {"n": 0},
        {"prompt_cache_options": {"ttl": "12h"}},
    ],
)
def test_what_may_cost_more_than_tokens_of_known_price_is_unpriced(request_parts: dict[str, Any]) -> None:
    assert usd(**request_parts, max_tokens=1) is None


def test_an_unknown_model_is_unpriced() -> None:
    assert usd("my-model", max_tokens=1) is None


@pytest.mark.parametrize(
    "request_parts",
    [
        {"web_search_options": None},
        {"tools": None},
        {"audio": None, "modalities": ["text"]},
        {"service_tier": None},
        {"service_tier": "auto"},
        {"service_tier": "fast"},
        {"prompt_cache_options": {"ttl": "30m"}},
        {"prompt_cache_options": None},
    ],
)
def test_a_parameter_that_asks_for_nothing_dearer_changes_nothing(request_parts: dict[str, Any]) -> None:
    assert usd(**request_parts, max_tokens=100) == Decimal("0.00595")


def test_sizes_that_neither_the_request_nor_the_table_bounds_are_unpriced() -> None:
    nothing_known = made_up()
    request: dict[str, Any] = {"messages": TEXT}
    assert bound(request, 488, "m", nothing_known, TODAY) == UNPRICED
    # 1,000 * $1 + 10 * $2
    assert bound({**request, "max_tokens": 10}, 488, "m", nothing_known, TODAY).usd == Decimal("0.00102")
    assert bound({"messages": IMAGE, "max_tokens": 10}, 488, "m", nothing_known, TODAY) == UNPRICED


def test_the_context_window_bounds_the_reply_where_the_largest_output_is_not_known() -> None:
    # 1,000 * $1 + 2 * 4,000 * $2
    window = made_up(context_window=4000)
    assert bound({"messages": TEXT, "n": 2}, 488, "m", window, TODAY).usd == Decimal("0.017")


def test_audio_is_bounded_where_it_has_a_price() -> None:
    spoken = made_up(
        context_window=4000,
        max_output=1000,
        image_factor=1,
        tiers={"standard": {"input": "1", "output": "2", "audio_input": "30", "audio_output": "60"}},
    )
    # 4,000 * $30 + 1,000 * $60
    assert bound({"messages": AUDIO, "modalities": ["audio"]}, 488, "m", spoken, TODAY).usd == Decimal("0.18")


def test_audio_prices_count_only_where_there_may_be_audio() -> None:
    # gpt-audio: 1,000 * $2.50 + 100 * $10; asked to speak, 1,000 * $2.50 + 100 * $64
    assert usd("gpt-audio", max_tokens=100) == Decimal("0.0035")
    assert usd("gpt-audio", modalities=["text", "audio"], max_tokens=100) == Decimal("0.0089")
    # heard: 128,000 * $32 + 100 * $10
    assert usd("gpt-audio", messages=AUDIO, max_tokens=100) == Decimal("4.097")


def test_a_tier_that_excludes_long_context_is_bounded_at_its_threshold() -> None:
    # gpt-5.5: priority 272,000 * $12.50 + 1 * $75, or standard in long context 273,000 * $10 + 1 * $45
    assert usd("gpt-5.5", 273_000 - FRAMING_TOKENS, max_tokens=1) == Decimal("3.400075")
    # 1,000,000 * $10 + 1 * $45
    assert usd("gpt-5.5", 1_000_000 - FRAMING_TOKENS, max_tokens=1) == Decimal("10.000045")


def test_a_tier_that_can_not_be_bounded_leaves_the_request_unbounded() -> None:
    deaf = made_up(
        context_window=4000,
        tiers={
            "standard": {"input": "1", "output": "2", "audio_input": "30", "audio_output": "60"},
            "priority": {"input": "2", "output": "4"},
        },
    )
    assert bound({"messages": AUDIO}, 488, "m", deaf, TODAY) == UNPRICED


# Property


@st.composite
def attempts(draw: st.DrawFn) -> tuple[dict[str, Any], int, Usage, str, str]:
    """Draw a request and a reply to it that honours its cap, served in any tier that the model has."""
    model = draw(st.sampled_from(MODELS))
    size = draw(st.integers(0, 500_000))
    n = draw(st.integers(1, 4))
    request: dict[str, Any] = {"messages": TEXT, "n": n}
    price = PRICES.find(model, None, TODAY)
    assert price is not None
    window = price.context_window or 272_000
    longest = price.max_output or price.context_window
    caps = st.integers(1, longest or 100_000)
    cap = draw(caps if longest is None else st.none() | caps)
    if cap is not None:
        request[draw(st.sampled_from(["max_tokens", "max_completion_tokens"]))] = cap
    tier = draw(st.sampled_from([tier for tier in TIERS if tier in PRICES.tiers(model, TODAY)]))
    prompt = draw(st.integers(0, min(size + FRAMING_TOKENS, window)))
    if PRICES.find(model, tier, TODAY, prompt) is None:
        tier = "standard"  # which serves what the tier excludes
    cached = draw(st.integers(0, prompt))
    completion = draw(st.integers(0, n * (cap or longest or 0)))
    used = Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetails(
            cached_tokens=cached, cache_write_tokens=draw(st.integers(0, prompt))
        ),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=draw(st.integers(0, completion))),
    )
    return request, size, used, model, tier


@given(attempts())
def test_no_reply_within_the_cap_costs_more_than_the_bound(
    attempt: tuple[dict[str, Any], int, Usage, str, str],
) -> None:
    request, size, used, model, tier = attempt
    if used.prompt_tokens_details.cached_tokens + used.prompt_tokens_details.cache_write_tokens > used.prompt_tokens:
        used = msgspec.structs.replace(used, prompt_tokens_details=PromptTokensDetails())
    most = bound(request, size, model, PRICES, TODAY)
    cost = PRICES.cost(used, model, tier, TODAY)
    assert most.picodollars is not None
    assert cost.picodollars is not None
    assert cost.picodollars <= most.picodollars
