"""What recorded answers cost, worked out by hand: streams that others recorded, and usages in the API's own shape.

Figures are OpenAI's dollars per million tokens, so that tokens times dollars are millionths of a dollar: 79 * $2.50 are
197.5 of them, $0.0001975.
"""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from barechat.money.meter import CostTracker
from barechat.money.prices import Prices
from barechat.wire.reply import reply_of
from folding import fold
from usage_examples import TODAY
from vectors import cases

if TYPE_CHECKING:
    from barechat.records import Cost


def cost_of(answer: dict[str, Any], prices: Prices | None = None) -> Cost:
    return CostTracker(prices, today=lambda: TODAY).calculate(answer)


def recorded(case_id: str) -> dict[str, Any]:
    """Return a recorded stream as the object of a whole reply."""
    case = next(case for case in cases("chat_accumulate") if case["id"] == case_id)
    folded, _ = fold([base64.b64decode(case["wire_b64"])])
    assert reply_of(folded.raw(), "complete").usage is not None
    return folded.raw()


@pytest.mark.parametrize(
    ("case_id", "usd"),
    [
        # gpt-4o-2024-08-06: 79 * $2.50 + 42 * $10 = 197.5 + 420
        ("opy-rec-parse_pydantic_model_multiple_choices", "0.0006175"),
        # gpt-4o-2024-08-06: 19 * $2.50 + 177 * $10 = 47.5 + 1,770
        ("opy-rec-non_pydantic_response_format", "0.0018175"),
        # gpt-5-nano-2025-08-07: 15 * $0.05 + 78 * $0.40, of which 64 were reasoning = 0.75 + 31.2
        ("va-azure-model-router", "0.00003195"),
        # gpt-4.1-nano-2025-04-14: 16 * $0.10 + 300 * $0.40 = 1.6 + 120
        ("va-openai-text", "0.0001216"),
    ],
)
def test_streams_that_others_recorded_cost_what_their_tokens_do(case_id: str, usd: str) -> None:
    cost = cost_of(recorded(case_id))
    assert (cost.usd, cost.certainty) == (Decimal(usd), "exact")


OTHERS = Prices.read(b"""{"rows": [
    {"model": "deepseek-reasoner", "tiers": {"standard": {"input": "0.28", "cached": "0.028", "output": "0.42"}}},
    {"model": "grok-3-mini", "tiers": {"standard": {"input": "0.3", "cached": "0.075", "output": "0.5"}}}
]}""")


def test_another_vendors_answer_is_unpriced_until_a_file_of_ones_own_prices_it() -> None:
    answer = recorded("va-deepseek-tool-call")
    assert cost_of(answer).certainty == "unpriced"
    # 19 * $0.28 + 320 cached * $0.028 + 83 * $0.42 = 5.32 + 8.96 + 34.86
    cost = cost_of(answer, OTHERS)
    assert (cost.usd, cost.certainty) == (Decimal("0.00004914"), "exact")


def test_reasoning_that_a_server_counts_outside_the_completion_gives_a_bound_above_what_it_says_it_bills() -> None:
    answer = recorded("va-xai-tool-call")
    # It counts 307 in, 26 out, 560 in all, and 227 of reasoning: 307 * $0.30 + (560 - 307) * $0.50 = 92.1 + 126.5
    cost = cost_of(answer, OTHERS)
    assert (cost.usd, cost.certainty) == (Decimal("0.0002186"), "bound")
    # Its own figure is in ten-billionths of a dollar: 1 * $0.30 + 306 cached * $0.075 + 253 * $0.50 = 149.75
    told = Decimal(answer["usage"]["cost_in_usd_ticks"]).scaleb(-10)
    assert told == Decimal("0.00014975") < (cost.usd or 0)


def usage(prompt: int, completion: int, **details: int) -> dict[str, Any]:
    """Return a usage object as the API sends it, every detail there."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": details.get("cached", 0),
            "audio_tokens": details.get("heard", 0),
            "cache_write_tokens": details.get("written", 0),
        },
        "completion_tokens_details": {
            "reasoning_tokens": details.get("reasoning", 0),
            "audio_tokens": details.get("spoken", 0),
            "accepted_prediction_tokens": details.get("accepted", 0),
            "rejected_prediction_tokens": details.get("rejected", 0),
        },
    }


@pytest.mark.parametrize(
    ("model", "tier", "used", "usd"),
    [
        # Cached: 2,006 - 1,920 = 86 * $2.50 + 1,920 * $1.25 + 300 * $10 = 215 + 2,400 + 3,000
        ("gpt-4o-2024-08-06", "default", usage(2006, 300, cached=1920), "0.005615"),
        # Reasoning is inside the completion: 75 * $1.10 + 1,186 * $4.40 = 82.5 + 5,218.4
        ("o4-mini-2025-04-16", "default", usage(75, 1186, reasoning=1024), "0.0053009"),
        # So are predictions, the rejected ones too: 100 * $2.50 + 150 * $10 = 250 + 1,500
        ("gpt-4o-2024-11-20", "default", usage(100, 150, accepted=80, rejected=60), "0.00175"),
        # Priority: (1,000 - 512) = 488 * $2.50 + 512 * $0.25 + 200 * $20 = 1,220 + 128 + 4,000
        ("gpt-5-2025-08-07", "priority", usage(1000, 200, cached=512), "0.005348"),
        # Flex: 488 * $0.625 + 512 * $0.0625 + 200 * $5 = 305 + 32 + 1,000
        ("gpt-5-2025-08-07", "flex", usage(1000, 200, cached=512), "0.001337"),
        # Batch: 1,000 * $0.075 + 200 * $0.30 = 75 + 60
        ("gpt-4o-mini-2024-07-18", "batch", usage(1000, 200), "0.000135"),
        # 272,000 tokens: 72,000 * $2 + 150,000 cached * $0.20 + 50,000 written * $2.50 + 4,000 * $10
        #   = 144,000 + 30,000 + 125,000 + 40,000
        ("gpt-6-sol", "default", usage(272_000, 4000, cached=150_000, written=50_000), "0.339"),
        # 272,001: 72,001 * $4 + 150,000 * $0.40 + 50,000 * $5 + 4,000 * $15 = 288,004 + 60,000 + 250,000 + 60,000
        ("gpt-6-sol", "default", usage(272_001, 4000, cached=150_000, written=50_000), "0.658004"),
        # The same with priority: 72,001 * $8 + 150,000 * $0.80 + 50,000 * $10 + 4,000 * $30, twice as much
        ("gpt-6-sol", "priority", usage(272_001, 4000, cached=150_000, written=50_000), "1.316008"),
        # Flex above it, its cached price 0.25 as published: 22,001 * $2.50 + 250,000 * $0.25 + 1,000 * $11.25
        #   = 55,002.5 + 62,500 + 11,250
        ("gpt-5.4-2026-03-05", "flex", usage(272_001, 1000, cached=250_000), "0.1287525"),
        # Fine-tuned: 400 * $3.75 + 600 cached * $1.875 + 50 * $15 = 1,500 + 1,125 + 750
        ("ft:gpt-4o-2024-08-06:acme:support:B1c2D3e4", "default", usage(1000, 50, cached=600), "0.003375"),
        # Fine-tuned, batch: 400 * $1.50 + 600 cached * $0.50 + 50 * $6 = 600 + 300 + 300
        ("ft:gpt-4.1-2025-04-14:acme::B1c2D3e4", "batch", usage(1000, 50, cached=600), "0.0012"),
        # Audio: 13 * $2.50 + 98 heard * $32 + 40 * $10 + 210 spoken * $64 = 32.5 + 3,136 + 400 + 13,440
        ("gpt-audio-2025-08-28", "default", usage(111, 250, heard=98, spoken=210), "0.0170085"),
        # The first preview's audio: 13 * $2.50 + 98 * $100 + 40 * $10 + 210 * $200 = 32.5 + 9,800 + 400 + 42,000
        ("gpt-4o-audio-preview-2024-10-01", "default", usage(111, 250, heard=98, spoken=210), "0.0522325"),
    ],
)
def test_a_usage_of_the_api_costs_what_was_worked_out_by_hand(
    model: str, tier: str, used: dict[str, Any], usd: str
) -> None:
    cost = cost_of({"model": model, "service_tier": tier, "usage": used})
    assert (cost.usd, cost.certainty) == (Decimal(usd), "exact")
