"""barechat.money.prices: hand-worked costs, and names that must not be mistaken for one another.

Figures in the comments are worked by hand from OpenAI's price list: dollars a million tokens, so that 1,000 tokens
at $2.50 are $0.0025 = 2,500,000,000 picodollars.
"""

from __future__ import annotations

import pickle
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barechat.errors import ConfigurationError
from barechat.money.prices import PREFIXES, Prices, most
from barechat.records import UNPRICED, Usage
from usage_examples import TODAY, usage, usages

PRICES = Prices.builtin()


def usd(used: Usage, model: str, tier: str | None = None, on: date = TODAY) -> Decimal | None:
    cost = PRICES.cost(used, model, tier, on)
    assert cost.certainty == ("unpriced" if cost.usd is None else "exact")
    return cost.usd


# Hand-worked figures


def test_plain_tokens() -> None:
    # 1,000 * $2.50 + 500 * $10 = $0.0025 + $0.005
    assert usd(usage(1000, 500), "gpt-4o") == Decimal("0.0075")
    # 1,000 * $0.15 + 500 * $0.60 = $0.00015 + $0.0003
    assert usd(usage(1000, 500), "gpt-4o-mini") == Decimal("0.00045")


def test_cached_tokens_are_inside_the_prompt_and_cost_less() -> None:
    # gpt-4.1: 1,200 * $2 + 800 cached * $0.50 + 100 * $8 = $0.0024 + $0.0004 + $0.0008
    assert usd(usage(2000, 100, cached=800), "gpt-4.1") == Decimal("0.0036")


def test_reasoning_tokens_are_inside_the_completion_and_not_billed_twice() -> None:
    # o3: 100 * $2 + 1,000 * $8, of which 900 were reasoning = $0.0002 + $0.008
    assert usd(usage(100, 1000, reasoning=900), "o3") == Decimal("0.0082")


def test_cache_writes_cost_a_quarter_more_from_gpt_5_6_on_and_nothing_before() -> None:
    # gpt-6-sol: 100 * $2 + 300 cached * $0.20 + 600 written * $2.50 + 10 * $10
    #          = $0.0002 + $0.00006 + $0.0015 + $0.0001
    assert usd(usage(1000, 10, cached=300, written=600), "gpt-6-sol") == Decimal("0.00186")
    # gpt-5: 1,000 * $1.25, written or not
    assert usd(usage(1000, 0, written=600), "gpt-5") == Decimal("0.00125")


def test_the_served_tier_sets_the_price() -> None:
    used = usage(1_000_000, 1_000_000, cached=400_000)
    # gpt-5 standard: 0.6 * $1.25 + 0.4 * $0.125 + $10
    assert usd(used, "gpt-5", "default") == Decimal("10.80")
    # flex and batch, half: 0.6 * $0.625 + 0.4 * $0.0625 + $5
    assert usd(used, "gpt-5", "flex") == usd(used, "gpt-5", "batch") == Decimal("5.40")
    # priority: 0.6 * $2.50 + 0.4 * $0.25 + $20
    assert usd(used, "gpt-5", "priority") == usd(used, "gpt-5", "fast") == Decimal("21.60")
    # gpt-4o-mini priority: 0.6 * $0.25 + 0.4 * $0.125 + $1
    assert usd(used, "gpt-4o-mini", "priority") == Decimal("1.20")
    # o4-mini flex, whose cached price is published as $0.138: 0.6 * $0.55 + 0.4 * $0.138 + $2.20
    assert usd(used, "o4-mini", "flex") == Decimal("2.5852")


def test_the_272_001st_input_token_reprices_the_whole_request() -> None:
    # gpt-5.6-sol: 272,000 * $4 + 1,000 * $20 = $1.088 + $0.02
    assert usd(usage(272_000, 1000), "gpt-5.6-sol") == Decimal("1.108")
    # one more: 272,001 * $8 + 1,000 * $30 = $2.176008 + $0.03
    assert usd(usage(272_001, 1000), "gpt-5.6-sol") == Decimal("2.206008")
    # with 200,000 cached at $0.80 and 2,000 written at $10: 70,001 * $8 + $0.16 + $0.02 = $0.740008
    assert usd(usage(272_001, 0, cached=200_000, written=2000), "gpt-5.6-sol") == Decimal("0.740008")
    # fast, twice: 272,001 * $16 + 1,000 * $60
    assert usd(usage(272_001, 1000), "gpt-5.6-sol", "priority") == Decimal("4.412016")
    # gpt-4.1 has no such rule: 300,000 * $2
    assert usd(usage(300_000, 0), "gpt-4.1") == Decimal("0.60")


@pytest.mark.parametrize(
    ("model", "prices"),
    [
        ("gpt-4o", "2.5 1.25 10"),
        ("gpt-4o-mini", "0.15 0.075 0.6"),
        ("gpt-4.1", "2 0.5 8"),
        ("gpt-4.1-mini", "0.4 0.1 1.6"),
        ("gpt-4.1-nano", "0.1 0.025 0.4"),
        ("o1", "15 7.5 60"),
        ("o3", "2 0.5 8"),
        ("o4-mini", "1.1 0.275 4.4"),
        ("gpt-5", "1.25 0.125 10"),
        ("gpt-5-mini", "0.25 0.025 2"),
        ("gpt-5-nano", "0.05 0.005 0.4"),
        ("gpt-5.6-luna", "0.2 0.02 1.2"),
        ("gpt-5.6-terra", "2 0.2 12"),
        ("gpt-5.6-sol", "4 0.4 20"),
        ("gpt-6-astra", "10 1 50"),
        ("gpt-6-sol", "2 0.2 10"),
        ("gpt-6-luna", "0.1 0.01 0.5"),
        ("gpt-6.1-sol", "2 0.1 10"),
        ("gpt-6.1-terra", "1 0.05 5"),
    ],
)
def test_input_cached_and_output_cost_what_the_contract_says(model: str, prices: str) -> None:
    price = PRICES.find(model, None, TODAY)
    assert price is not None
    per_million = [Decimal(pd or 0) / 1_000_000 for pd in (price.input_pd, price.cached_pd, price.output_pd)]
    assert per_million == [Decimal(text) for text in prices.split()]


def test_a_price_holds_from_its_day() -> None:
    million = usage(1_000_000, 1_000_000)
    assert usd(million, "o3", on=date(2025, 6, 9)) == Decimal(50)
    assert usd(million, "o3", on=date(2025, 6, 10)) == Decimal(10)
    # above 272,000 tokens: $10 + $45, then $8 + $30
    assert usd(million, "gpt-5.6-sol", on=date(2026, 8, 20)) == Decimal(55)
    assert usd(million, "gpt-5.6-sol", on=date(2026, 8, 21)) == Decimal(38)
    assert usd(million, "o3", on=date(2025, 4, 15)) is None


def test_one_picodollar_is_not_lost() -> None:
    # gpt-5-nano flex: one cached token at $0.0025 a million
    assert PRICES.cost(usage(1, 0, cached=1), "gpt-5-nano", "flex", TODAY).picodollars == 2500


def test_the_cost_names_the_row_that_priced_it() -> None:
    price = PRICES.cost(usage(272_001, 0), "openai/gpt-5.6-sol-2026-07-09", "fast", TODAY).price
    assert price is not None
    assert (price.model, price.tier, price.since, price.input_pd) == (
        "gpt-5.6-sol",
        "priority",
        "2026-08-21",
        16 * 10**6,
    )
    assert "genai-prices" in price.source


# Names


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),  # a search for "gpt-4o" in it would bill 16 times as much
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-20241120", "gpt-4o"),
        ("gpt-4o-1120", "gpt-4o"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("gpt-4o-20240513", "gpt-4o-2024-05-13"),
        ("gpt-4o-0513", "gpt-4o-2024-05-13"),
        ("GPT-4o", "gpt-4o"),
        ("openai/gpt-4o-mini", "gpt-4o-mini"),
        ("azure/gpt-4o", "gpt-4o"),
        ("azure/global/gpt-4o-mini", "gpt-4o-mini"),
        ("azure/global-standard/gpt-4o-2024-08-06", "gpt-4o"),
        ("openrouter/openai/gpt-5", "gpt-5"),
        ("vercel_ai_gateway/openai/gpt-5.4-mini", "gpt-5.4-mini"),
        ("gpt-5.6", "gpt-5.6-sol"),
        ("gpt-3.5-turbo-0125", "gpt-3.5-turbo"),
        ("gpt-3.5-turbo-0613", "gpt-3.5-turbo-0613"),
        ("gpt-3.5-turbo-16k-0613", "gpt-3.5-turbo-16k"),
        ("gpt-4-0314", "gpt-4"),
        ("gpt-4-1106-preview", "gpt-4-turbo"),
        ("gpt-4-32k-0613", "gpt-4-32k"),
        ("o1-mini-2024-09-12", "o1-mini"),
        ("gpt-5-chat-latest", "gpt-5-chat-latest"),
        ("gpt-4o-audio-preview-2024-12-17", "gpt-4o-audio-preview"),
        ("gpt-4o-audio-preview-2024-10-01", "gpt-4o-audio-preview-2024-10-01"),
        ("gpt-audio-mini-2025-12-15", "gpt-audio-mini"),
        ("gpt-6.1-terra-2026-10-26", "gpt-6.1-terra"),
        ("ft:gpt-4o-mini-2024-07-18:acme::AbC123", "ft:gpt-4o-mini-2024-07-18"),
        ("ft:gpt-4o-2024-08-06:acme:name:id:ckpt-step-10", "ft:gpt-4o-2024-08-06"),
        ("openai/ft:gpt-4.1:acme::id", "ft:gpt-4.1-2025-04-14"),
    ],
)
def test_a_known_name_resolves(name: str, model: str) -> None:
    assert PRICES.resolve(name) == model


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt-4o-mini-tts",
        "gpt-4o-search-preview-2025-03-11",  # bills a fee a search too
        "gpt-4o-mini-search-preview",
        "gpt-5-search-api",
        "gpt-5-pro-2025-10-06",  # not served by Chat Completions, nor are codex and deep research
        "gpt-5.2-codex",
        "gpt-4o:extended",
        "gpt-4o-2024-13-01",
        "gpt-4o-2023-02-29",
        "gpt-4o-2024-0806",
        "gpt-4o-9999",
        "gpt-4o-2024",
        "gpt-4o-1999-01-01",
        "gpt-4o-\u0660\u0665\u0661\u0663",
        "-2024-08-06",
        "my-gpt-4o",
        "gpt-4o ",
        "someone/gpt-4o",
        "openai/someone/gpt-4o",
        "openai/openai/gpt-4o",
        "openai",
        "openai/",
        "openrouter/gpt-4o",
        "openrouter/openai/gpt-4o:free",
        "azure/eu/gpt-4o-mini",  # a tenth dearer
        "azure/us/gpt-4o-2024-08-06",
        "azure/global/eu/gpt-4o",
        "replicate/openai/gpt-4o",
        "gpt-4o-2024-08-06-2024-08-06",
        "gpt-4-0613-preview",
        "gpt-3.5-turbo-instruct",  # not a chat model
        "ft:gpt-5:acme::id",
        "ft:o4-mini-2025-04-16:acme::id",
        "ft:gpt-4o-2024-05-13:acme::id",
        "ft:",
        "ft::gpt-4o:acme::id",
        "ft:ft:gpt-4o:acme::id",
        "ft:gpt-4o-min:acme::id",
        "ft:gpt-4o-mini-2024-07-18-tts:acme::id",
        "my-ft:gpt-4o:acme::id",
        "gpt-4o-mini-2024-07-18.ft-0123",
        "llama-3.3-70b",
    ],
)
def test_an_unknown_name_is_unpriced_and_never_free(name: str) -> None:
    assert PRICES.resolve(name) is None
    assert PRICES.find(name, None, TODAY) is None
    assert PRICES.tiers(name, TODAY) == {}
    assert PRICES.cost(usage(1, 1), name, None, TODAY) == UNPRICED


def test_a_server_that_names_a_new_model_each_time_is_not_remembered_for_ever() -> None:
    prices = PRICES.with_aliases({})
    assert [prices.resolve(f"nobody-{number}") for number in range(2500)] == [None] * 2500
    assert len(prices._resolved) <= 1000
    assert prices.resolve("gpt-4o-2024-08-06") == prices.resolve("gpt-4o-2024-08-06") == "gpt-4o"
    assert prices.resolve("x" * 10**6) is None
    assert max(map(len, prices._resolved)) <= 200


@pytest.mark.parametrize(
    "pattern", ["x{}", "{}x", "my-{}", "{}-mine", "{}-", "{}.", "{}/", "someone/{}", "{} {}", "{}{}"]
)
def test_no_model_s_name_is_known_as_a_part_of_another_name(pattern: str) -> None:
    for name in PRICES._table.names:
        longer = pattern.format(name, name)
        assert PRICES.resolve(longer) is None, longer


def test_of_prefixes_the_longest_is_taken_off() -> None:
    for at, prefix in enumerate(PREFIXES):
        assert not any(prefix.startswith(earlier) for earlier in PREFIXES[:at])
        assert PRICES.resolve(f"{prefix}o3") == "o3"


def test_a_snapshot_with_its_own_price_is_not_billed_as_its_family() -> None:
    # 1,000 * $5 + 1,000 * $15
    assert usd(usage(1000, 1000), "gpt-4o-2024-05-13") == Decimal("0.02")


def test_a_fine_tuned_model_costs_more_than_its_base() -> None:
    # 1,000 * $0.30 + 1,000 * $1.20
    assert usd(usage(1000, 1000), "ft:gpt-4o-mini-2024-07-18:acme::id") == Decimal("0.0015")
    assert usd(usage(1000, 1000), "ft:gpt-4o-mini-2024-07-18:acme::id", "priority") is None


@pytest.mark.parametrize("tier", [None, "", "auto", "default", "standard", "DEFAULT"])
def test_no_tier_and_the_default_ones_are_standard(tier: str | None) -> None:
    assert usd(usage(1000, 0), "gpt-4o", tier) == Decimal("0.0025")


@pytest.mark.parametrize(
    ("model", "tier"),
    [("gpt-4o", "scale"), ("gpt-4o", "flex"), ("gpt-5-nano", "priority"), ("o1", "flex"), ("gpt-6-astra", "ultrafast")],
)
def test_a_tier_without_a_price_is_unpriced_and_never_billed_as_standard(model: str, tier: str) -> None:
    assert PRICES.cost(usage(1, 1), model, tier, TODAY) == UNPRICED


# Aliases


def test_an_alias_costs_what_it_stands_for() -> None:
    prices = PRICES.with_aliases({"My-Deployment": "openai/gpt-4o-2024-08-06"}).with_aliases({"other": "o3"})
    assert prices.resolve("my-deployment") == prices.resolve("azure/MY-DEPLOYMENT") == "gpt-4o"
    assert prices.resolve("other") == "o3"
    assert PRICES.resolve("my-deployment") is None


def test_a_deployment_may_bear_another_models_name() -> None:
    prices = PRICES.with_aliases({"gpt-4o": "gpt-4o-mini", "azure/o3": "o1"})
    assert prices.resolve("gpt-4o") == "gpt-4o-mini"
    assert prices.resolve("azure/o3") == "o1"
    assert prices.resolve("o3") == "o3"


def test_an_alias_of_nothing_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="'mine' stands for 'gpt-4p', which has no price"):
        PRICES.with_aliases({"mine": "gpt-4p"})


# What can't be exact


def test_a_tier_that_publishes_no_cached_price_gives_a_bound() -> None:
    # gpt-4.1 batch: at most 1,000 * $1, all as input
    cost = PRICES.cost(usage(1000, 0, cached=800), "gpt-4.1", "batch", TODAY)
    assert (cost.usd, cost.certainty) == (Decimal("0.001"), "bound")


def test_audio_tokens_without_an_audio_price_are_unpriced() -> None:
    assert PRICES.cost(usage(10, 10, audio_in=1), "gpt-4o", None, TODAY) == UNPRICED
    assert PRICES.cost(usage(10, 10, audio_out=1), "gpt-4o", None, TODAY) == UNPRICED


def test_audio_tokens_have_their_own_price() -> None:
    # gpt-audio: 60 * $2.50 + 40 audio * $32 + 10 * $10 + 20 audio * $64 = 150 + 1,280 + 100 + 1,280 millionths
    assert usd(usage(100, 30, audio_in=40, audio_out=20), "gpt-audio") == Decimal("0.00281")


def test_cached_audio_is_a_bound_since_nobody_says_how_much_of_it_was_cached() -> None:
    cost = PRICES.cost(usage(100, 0, audio_in=40, cached=50), "gpt-audio", None, TODAY)
    assert (cost.usd, cost.certainty) == (Decimal("0.0032"), "bound")  # 100 * $32


def test_a_tier_that_excludes_long_context_is_unpriced_there() -> None:
    # gpt-5.5 priority: 272,000 * $12.50
    assert usd(usage(272_000, 0), "gpt-5.5", "priority") == Decimal("3.40")
    assert usd(usage(272_001, 0), "gpt-5.5", "priority") is None


def test_long_lived_cache_writes_are_unpriced_since_they_are_dearer() -> None:
    used = usage(1000, 0, written=600)
    assert PRICES.cost(used, "gpt-6-sol", None, TODAY, cache_ttl="12h") == UNPRICED
    assert PRICES.cost(used, "gpt-6-sol", None, TODAY, cache_ttl="30m").usd == Decimal("0.0023")
    assert PRICES.cost(usage(1000, 0), "gpt-6-sol", None, TODAY, cache_ttl="12h").usd == Decimal("0.002")


@pytest.mark.parametrize(
    ("used", "prompt", "completion"),
    [
        (usage(100, 10, cached=80, written=30), 110, 10),
        (usage(100, 10, cached=-1), 100, 10),
        (usage(-5, 10), 0, 10),
        (usage(100, -10), 100, 0),
        (usage(100, 10, reasoning=50), 100, 50),  # some servers count reasoning outside the completion
        (usage(100, 10, total=160), 100, 60),
        (usage(100, 10, written=-7, reasoning=-1), 100, 10),
    ],
)
def test_counts_that_contradict_one_another_give_a_bound(used: Usage, prompt: int, completion: int) -> None:
    cost = PRICES.cost(used, "gpt-6-sol", None, TODAY)
    # each prompt token at the cache write's $2.50, the dearest; each completion token at $10
    assert cost.certainty == "bound"
    assert cost.picodollars == prompt * 2_500_000 + completion * 10_000_000


def test_a_total_below_the_sum_is_no_contradiction() -> None:
    assert PRICES.cost(usage(100, 10, total=0), "gpt-4o", None, TODAY).certainty == "exact"


# Properties

MODELS = sorted(PRICES._table.history)


@given(usages(), st.sampled_from(MODELS), st.sampled_from([None, "flex", "priority", "batch", "scale"]))
def test_a_cost_is_never_more_than_its_tokens_at_their_dearest(used: Usage, model: str, tier: str | None) -> None:
    cost = PRICES.cost(used, model, tier, TODAY)
    if cost.picodollars is None or cost.price is None:
        assert PRICES.find(model, tier, TODAY, used.prompt_tokens) is None
    else:
        assert 0 <= cost.picodollars <= most(cost.price, used.prompt_tokens, used.completion_tokens)


@given(usages(100_000), usages(100_000), st.sampled_from(MODELS))
def test_two_short_calls_cost_what_their_tokens_cost_together(first: Usage, second: Usage, model: str) -> None:
    both = usage(
        first.prompt_tokens + second.prompt_tokens,
        first.completion_tokens + second.completion_tokens,
        cached=first.prompt_tokens_details.cached_tokens + second.prompt_tokens_details.cached_tokens,
        written=first.prompt_tokens_details.cache_write_tokens + second.prompt_tokens_details.cache_write_tokens,
    )
    parts = [PRICES.cost(used, model, None, TODAY).picodollars for used in (first, second)]
    assert PRICES.cost(both, model, None, TODAY).picodollars == sum(part or 0 for part in parts)


@given(st.sampled_from(MODELS), st.text(min_size=1, max_size=12))
def test_no_tail_but_a_date_leaves_a_name_priced(model: str, tail: str) -> None:
    name = (model + tail).lower()
    resolved = PRICES.resolve(name)
    if resolved is not None:
        dated = tail[0] == "-" and tail.replace("-", "").isdigit()
        assert dated or name in PRICES._table.names or (name.startswith("ft:") and tail[0] == ":")


def test_prices_are_read_once_and_survive_pickling() -> None:
    assert Prices.builtin() is PRICES
    copy: Prices = pickle.loads(pickle.dumps(PRICES.with_aliases({"mine": "o3"})))  # noqa: S301 - our own bytes
    assert copy.resolve("mine") == "o3"
    assert copy.find("gpt-4o", None, TODAY) == PRICES.find("gpt-4o", None, TODAY)


@pytest.mark.parametrize(
    ("asked", "served", "name"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("gpt-4o", "", "gpt-4o"),
        ("my-deployment", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("My-Deployment", "my-deployment", "my-deployment"),
        ("my-deployment", "somebody-elses", "my-deployment"),
        ("gpt-4o", "somebody-elses", "somebody-elses"),
    ],
)
def test_a_reply_is_billed_as_what_served_it_or_by_the_alias_of_what_was_asked(
    asked: str, served: str, name: str
) -> None:
    prices = Prices.builtin().with_aliases({"my-deployment": "gpt-4o"})
    assert prices.billed_as(asked, served) == name


def test_the_models_are_those_of_the_table() -> None:
    assert set(PRICES.models) == set(MODELS)
    assert "gpt-4o-mini" in PRICES.models
