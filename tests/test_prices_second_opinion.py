"""barechat.money.prices against genai-prices (https://github.com/pydantic/genai-prices): every row, to the picodollar.

Where the two differ, the reason is given; a difference without a reason, or a reason without a difference, fails.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

import genai_prices
from genai_prices.data import providers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from barechat.money.prices import Prices
from usage_examples import TODAY, usage, usages

if TYPE_CHECKING:
    from barechat.records import Usage

PRICES = Prices.builtin()
MODELS = sorted(PRICES._table.history)
OPENAI = next(provider for provider in providers if provider.id == "openai")
TIER_CONTEXT = {
    "standard": None,
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "batch": {"processing": "batch"},
}
TIERS_KNOWN_SINCE = "2026-10-14"  # it dates the tiers by the days that it read them

NO_BATCH_CACHE = "OpenAI publishes no cached price for batch: it takes standard's, we take batch's input as a bound"
OLD_CACHE = "o3's cached price at launch was 2.50, a quarter of its input; it has the later 0.50 for all time"
OLD_TIERS = "it knows the tiers only from October 2026 on; LiteLLM and OpenAI's list have them for July"
FT_CACHE = "OpenAI's list and LiteLLM have a cached price for fine-tuned models; it has none"
FT_UNKNOWN = "it doesn't list fine-tuned gpt-4.1 models; OpenAI's list and LiteLLM agree on them"
KINDS = {
    "input": usage(1000, 0),
    "cached": usage(1000, 0, cached=1000),
    "cache_write": usage(1000, 0, written=1000),
    "output": usage(0, 1000),
    "long": usage(300_000, 1000, cached=100_000, written=100_000),
}
DIFFERENT = {
    **{
        (f"{m} batch", k): NO_BATCH_CACHE
        for m in ("gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "o3", "o4-mini")
        for k in ("cached", "long")
    },
    **{("o3 standard 2025-04-16", kind): OLD_CACHE for kind in ("cached", "long")},
    **{(f"gpt-5.6-sol {tier} 2026-07-09", kind): OLD_TIERS for tier in ("flex", "priority", "batch") for kind in KINDS},
    **{
        (f"ft:gpt-4o{m} standard", kind): FT_CACHE
        for m in ("-2024-08-06", "-mini-2024-07-18")
        for kind in ("cached", "long")
    },
    **{(f"ft:gpt-4.1{m}-2025-04-14 standard", k): FT_UNKNOWN for m in ("", "-mini", "-nano") for k in KINDS},
}


def second_opinion(used: Usage, model: str, tier: str, on: date) -> int | None:
    """Return genai-prices' cost in picodollars, or None if it doesn't know the model."""
    info = OPENAI.find_model(f"{model}:acme::id" if model.startswith("ft:") else model)
    if info is None:
        return None
    priced = info.calc_price(
        genai_prices.Usage(
            input_tokens=used.prompt_tokens,
            cache_read_tokens=used.prompt_tokens_details.cached_tokens,
            cache_write_tokens=used.prompt_tokens_details.cache_write_tokens,
            output_tokens=used.completion_tokens,
        ),
        OPENAI,
        genai_request_timestamp=datetime.combine(on, time(12), UTC),
        price_context=TIER_CONTEXT[tier],
    )
    return int(priced.total_price.scaleb(12).to_integral_exact())


def differences() -> dict[tuple[str, str], tuple[int | None, int | None]]:
    found = {}
    for model, history in PRICES._table.history.items():
        for newer, dated in zip((None, *history), history, strict=False):
            for tier in dated.tiers:
                on = dated.since if newer or tier == "standard" else max(dated.since, TIERS_KNOWN_SINCE)
                row = f"{model} {tier}" + (f" {dated.since}" if newer else "")
                for kind, used in KINDS.items():
                    ours = PRICES.cost(used, model, tier, date.fromisoformat(on)).picodollars
                    theirs = second_opinion(used, model, tier, date.fromisoformat(on))
                    if ours != theirs:
                        found[row, kind] = (ours, theirs)
    return found


def test_every_row_agrees_with_genai_prices_but_where_a_reason_is_given() -> None:
    found = differences()
    assert set(found) == set(DIFFERENT), {key: found.get(key, "agree") for key in set(found) ^ set(DIFFERENT)}


def test_context_windows_agree_with_genai_prices_but_for_gpt_4_1s_which_it_rounds() -> None:
    for model in MODELS:
        info = OPENAI.find_model(model)
        window = next(iter(PRICES.tiers(model, TODAY).values())).context_window
        if info is not None and info.context_window is not None:
            assert info.context_window == (1_000_000 if model.startswith("gpt-4.1") else window)


@settings(derandomize=True, max_examples=400, deadline=None)
@given(usages(), st.sampled_from(MODELS), st.sampled_from(list(TIER_CONTEXT)))
def test_generated_usages_agree_with_genai_prices_to_the_picodollar(used: Usage, model: str, tier: str) -> None:
    ours = PRICES.cost(used, model, tier, TODAY).picodollars
    assume(ours is not None and not {(f"{model} {tier}", "input"), (f"{model} {tier}", "cached")} & set(DIFFERENT))
    assert ours == second_opinion(used, model, tier, TODAY)
