"""barechat.money.prices against genai-prices (https://github.com/pydantic/genai-prices): every row, to the picodollar.

Where the two differ, the reason is given; a difference without a reason, or a reason without a difference, fails.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

import genai_prices
from genai_prices.data import providers

from barechat.money.prices import Prices
from usage_examples import TODAY, usage

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
NO_LONG_PRIORITY = "priority excludes long context: it bills the short price there, we say unpriced"
NO_AUDIO = "it bills the preview models' audio as text; OpenAI's pages and LiteLLM agree on audio's own price"
FT_CACHE = "OpenAI's list and LiteLLM have a cached price for fine-tuned models; it has none"
FT_UNKNOWN = "it doesn't list fine-tuned gpt-4.1 models; OpenAI's list and LiteLLM agree on them"
KINDS = {
    "input": usage(1000, 0),
    "cached": usage(1000, 0, cached=1000),
    "cache_write": usage(1000, 0, written=1000),
    "output": usage(0, 1000),
    "long": usage(300_000, 1000, cached=100_000, written=100_000),
    "heard": usage(1000, 0, audio_in=1000),
    "spoken": usage(0, 1000, audio_out=1000),
}
TEXT_KINDS = [kind for kind in KINDS if kind not in {"heard", "spoken"}]
DIFFERENT = {
    **{
        (f"{m} batch", k): NO_BATCH_CACHE
        for m in ("gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "o3", "o4-mini")
        for k in ("cached", "long")
    },
    **{("o3 standard 2025-04-16", kind): OLD_CACHE for kind in ("cached", "long")},
    **{
        (f"gpt-5.6-sol {tier} 2026-07-09", kind): OLD_TIERS
        for tier in ("flex", "priority", "batch")
        for kind in TEXT_KINDS
    },
    **{(f"{model} priority", "long"): NO_LONG_PRIORITY for model in ("gpt-5.4", "gpt-5.5")},
    **{
        (f"gpt-4o{m} standard", kind): NO_AUDIO
        for m in ("-audio-preview", "-audio-preview-2024-10-01", "-mini-audio-preview")
        for kind in ("heard", "spoken")
    },
    **{
        (f"ft:gpt-4o-{m}", kind): FT_CACHE
        for m in ("2024-08-06 standard", "mini-2024-07-18 standard", "mini-2024-07-18 batch")
        for kind in ("cached", "long")
    },
    **{
        (f"ft:gpt-4.1{m}-2025-04-14 {tier}", kind): FT_UNKNOWN
        for m in ("", "-mini", "-nano")
        for tier in ("standard", "batch")
        for kind in TEXT_KINDS
    },
}

ROUNDED = "it rounds"
OF_ITS_SIBLING = "it takes the chat variant for the reasoning model; LiteLLM has the variant's own"
OF_ITS_SUCCESSOR = "the snapshot was smaller; sources differ by one, so that we say nothing"
WINDOWS = {
    **dict.fromkeys(("gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-5.5", "gpt-4-32k"), ROUNDED),
    **dict.fromkeys(("gpt-5-chat-latest", "gpt-5.1-chat-latest", "gpt-5.2-chat-latest"), OF_ITS_SIBLING),
    "gpt-3.5-turbo-0613": OF_ITS_SUCCESSOR,
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
            input_audio_tokens=used.prompt_tokens_details.audio_tokens,
            output_tokens=used.completion_tokens,
            output_audio_tokens=used.completion_tokens_details.audio_tokens,
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
            for tier, price in dated.tiers.items():
                on = dated.since if newer or tier == "standard" else max(dated.since, TIERS_KNOWN_SINCE)
                row = f"{model} {tier}" + (f" {dated.since}" if newer else "")
                for kind in TEXT_KINDS if price.audio_input_pd is None else KINDS:
                    ours = PRICES.cost(KINDS[kind], model, tier, date.fromisoformat(on)).picodollars
                    theirs = second_opinion(KINDS[kind], model, tier, date.fromisoformat(on))
                    if ours != theirs:
                        found[row, kind] = (ours, theirs)
    return found


def test_every_row_agrees_with_genai_prices_but_where_a_reason_is_given() -> None:
    found = differences()
    assert set(found) == set(DIFFERENT), {key: found.get(key, "agree") for key in set(found) ^ set(DIFFERENT)}


def test_context_windows_agree_with_genai_prices_but_where_a_reason_is_given() -> None:
    different = set()
    for model in MODELS:
        info = OPENAI.find_model(model)
        window = PRICES.tiers(model, TODAY)["standard"].context_window
        if info is not None and info.context_window not in {None, window}:
            different.add(model)
    assert different == set(WINDOWS)


def drawn_usage(draw: random.Random, row: str, *, is_audio: bool) -> Usage:
    """Draw a usage of any size, without what the two are known to differ on."""
    prompt = int(10 ** draw.uniform(0, 5.8))  # up to 630,000
    completion = int(10 ** draw.uniform(0, 5.1))
    if (row, "long") in DIFFERENT:
        prompt = min(prompt, 272_000)
    if is_audio and (row, "heard") not in DIFFERENT:
        return usage(
            prompt,
            completion,
            audio_in=draw.randint(0, prompt),
            audio_out=draw.choice([0, draw.randint(0, completion)]),
        )
    cached = 0 if (row, "cached") in DIFFERENT else draw.randint(0, prompt)
    written = draw.choice([0, draw.randint(0, prompt - cached)])
    return usage(prompt, completion, cached=cached, written=written, reasoning=draw.randint(0, completion))


def test_2000_generated_usages_agree_with_genai_prices_to_the_picodollar() -> None:
    draw = random.Random(2718)  # noqa: S311 - the same usages each time
    rows = [
        (model, price)
        for model in MODELS
        for price in PRICES.tiers(model, TODAY).values()
        if (f"{model} {price.tier}", "input") not in DIFFERENT
    ]
    for _ in range(2000):
        model, price = draw.choice(rows)
        used = drawn_usage(draw, f"{model} {price.tier}", is_audio=price.audio_input_pd is not None)
        ours = PRICES.cost(used, model, price.tier, TODAY).picodollars
        assert ours == second_opinion(used, model, price.tier, TODAY), (model, price.tier, used)
