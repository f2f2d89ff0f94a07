"""barechat.money.table: the price file, read exactly or refused with a sentence that says where it is wrong."""

from __future__ import annotations

import copy
import json
from datetime import date
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barechat.errors import ConfigurationError
from barechat.money.table import TIERS, read_table
from barechat.records import Patches, Price, Tiles

SHIPPED: dict[str, Any] = json.loads(resources.files("barechat.money").joinpath("prices.json").read_text("utf-8"))

ROW: dict[str, Any] = {
    "model": "m",
    "since": "2026-01-01",
    "tiers": {"standard": {"input": "1", "output": "2.5"}},
    "sources": ["page"],
    "read": "2026-11-22",
}


def file(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"about": [], "sources": {"page": "https://example.com"}, "rows": rows}).encode()


def with_tier(**prices: Any) -> bytes:
    row = copy.deepcopy(ROW)
    row["tiers"]["standard"].update(prices)
    return file(row)


def test_a_dollar_a_million_tokens_is_a_million_picodollars_a_token() -> None:
    table = read_table(with_tier(cached="0.0125", cache_write="1.25", audio_input="32", audio_output="64"))
    assert table.history["m"][0].tiers["standard"] == Price(
        model="m",
        tier="standard",
        since="2026-01-01",
        input_pd=1_000_000,
        output_pd=2_500_000,
        cached_pd=12_500,
        cache_write_pd=1_250_000,
        audio_input_pd=32_000_000,
        audio_output_pd=64_000_000,
        image_factor=3,
        source="page; read 2026-11-22",
    )


def test_a_rule_for_images_is_read_as_it_stands() -> None:
    tiles = {"kind": "tiles", "base": 85, "tile": 170}
    patches = {"kind": "patches", "multiplier": "1.62", "low": 256, "high": 1536}
    rules = [
        read_table(file({**ROW, "image": image})).history["m"][0].tiers["standard"].image for image in (tiles, patches)
    ]
    assert rules == [Tiles(base=85, tile=170), Patches(multiplier="1.62", low=256, high=1536)]


@pytest.mark.parametrize(
    "rule",
    [
        {"base": 85, "tile": 170},
        {"kind": "squares"},
        {"kind": "tiles", "base": 85},
        {"kind": "tiles", "base": -1, "tile": 170},
        {"kind": "tiles", "base": 85, "tile": 170, "low": 1},
        {"kind": "patches", "multiplier": 1.62},
        {"kind": "patches", "multiplier": "1.62\n"},
        {"kind": "patches", "multiplier": "NaN"},
        {"kind": "patches", "multiplier": "1", "high": 0},
        {"kind": "patches", "multiplier": "1", "medium": 5},
    ],
)
def test_a_rule_for_images_that_is_none_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"can't be read.*image"):
        read_table(file({**ROW, "image": rule}))


def test_the_smallest_price_is_one_picodollar_and_half_of_it_is_refused() -> None:
    assert read_table(with_tier(input="0.000001")).history["m"][0].tiers["standard"].input_pd == 1
    with pytest.raises(ConfigurationError, match=r"\(m, standard\).*0\.0000005.*no whole number of picodollars"):
        read_table(with_tier(input="0.0000005"))


def test_a_price_that_only_rounding_would_make_whole_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no whole number"):
        read_table(with_tier(input="1.000000000000000000000001"))


@pytest.mark.parametrize("text", ["", "-1", "1e3", "NaN", "1/2", " 1", "1.", ".5", "\u0661", "1" * 13, "0." + "0" * 25])
def test_a_price_is_written_as_a_plain_decimal(text: str) -> None:
    with pytest.raises(ConfigurationError, match="where a decimal number"):
        read_table(with_tier(output=text))


@pytest.mark.parametrize("price", [2.5, 2, None, []])
def test_a_price_that_is_no_string_is_refused(price: object) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        read_table(with_tier(input=price))


def test_long_context_multiplies_every_kind_of_input_and_output_by_its_own_factor() -> None:
    row = copy.deepcopy(ROW)
    row["tiers"]["standard"] |= {"cached": "0.1", "cache_write": "1.25"}
    row["long_context"] = {"over": 272000, "input": "2", "output": "1.5"}
    price = read_table(file(row)).history["m"][0].tiers["standard"]
    assert price.long_context_over == 272_000
    dear = price.long_context
    assert dear is not None
    assert (dear.input_pd, dear.cached_pd, dear.cache_write_pd) == (2_000_000, 200_000, 2_500_000)
    assert dear.output_pd == 3_750_000
    assert dear.long_context is None


def test_a_cached_price_of_its_own_in_long_context_goes_before_the_factor() -> None:
    row = copy.deepcopy(ROW)
    row["tiers"]["standard"] |= {"cached": "0.13", "long_cached": "0.25"}
    row["long_context"] = {"over": 272000, "input": "2", "output": "1.5"}
    price = read_table(file(row)).history["m"][0].tiers["standard"]
    assert price.cached_pd == 130_000
    assert price.long_context is not None
    assert (price.long_context.cached_pd, price.long_context.input_pd) == (250_000, 2_000_000)


def test_a_tier_that_excludes_long_context_has_no_price_there() -> None:
    row = copy.deepcopy(ROW)
    row["tiers"]["priority"] = {"input": "2", "output": "5", "long_context": False}
    row["long_context"] = {"over": 272000, "input": "2", "output": "1.5"}
    tiers = read_table(file(row)).history["m"][0].tiers
    assert (tiers["priority"].long_context_over, tiers["priority"].long_context) == (272_000, None)
    assert tiers["standard"].long_context is not None


def test_a_factor_that_leaves_a_fraction_of_a_picodollar_is_refused() -> None:
    row = copy.deepcopy(ROW)
    row["tiers"]["standard"]["output"] = "0.000001"
    row["long_context"] = {"over": 1, "input": "1", "output": "1.5"}
    with pytest.raises(ConfigurationError, match=r"times 1\.5.*no whole number"):
        read_table(file(row))


def test_a_models_rows_come_newest_first_whatever_their_order_in_the_file() -> None:
    days = ["2026-02-01", "2026-03-01", "2026-01-01"]
    table = read_table(file(*({**ROW, "since": day} for day in days)))
    assert [dated.since for dated in table.history["m"]] == sorted(days, reverse=True)


def test_names_lead_to_their_model_in_small_letters() -> None:
    assert read_table(file({**ROW, "also": ["M-Latest"]})).names == {"m": "m", "m-latest": "m"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW, ROW], "two rows of m since 2026-01-01"),
        ([ROW, {**ROW, "model": "other", "also": ["m"]}], "the name 'm' to two models"),
        ([{**ROW, "tiers": {"fast": {"input": "1", "output": "1"}}}], "a tier 'fast'; known are standard"),
        ([{**ROW, "sources": ["elsewhere"]}], "a source 'elsewhere'"),
        ([{**ROW, "cache": "1"}], "can't be read.*cache"),
        ([{**ROW, "since": "soon"}], "can't be read"),
    ],
)
def test_a_wrong_row_is_refused_by_name(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_table(file(*rows))


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[]", b"{}"])
def test_what_is_no_table_is_refused(text: bytes) -> None:
    with pytest.raises(ConfigurationError, match="the price table can't be read"):
        read_table(text)


@given(st.integers(min_value=0, max_value=10**12))
def test_every_whole_number_of_picodollars_survives_the_file(picodollars: int) -> None:
    text = f"{picodollars // 10**6}.{picodollars % 10**6:06d}"
    assert read_table(with_tier(output=text)).history["m"][0].tiers["standard"].output_pd == picodollars


@pytest.mark.parametrize("row", SHIPPED["rows"], ids=lambda row: f"{row['model']} {row['since']}")
def test_each_shipped_row_has_two_sources_a_past_day_and_sensible_sizes(row: dict[str, Any]) -> None:
    assert len(row["sources"]) >= 2
    assert date.fromisoformat(row["since"]) <= date.fromisoformat(row["read"])
    assert row.get("max_output", 0) < row.get("context_window", 2**31)
    assert set(row["tiers"]) <= set(TIERS)
    assert "standard" in row["tiers"]


def test_within_each_shipped_tier_cached_costs_less_than_input_and_a_cache_write_a_quarter_more() -> None:
    text = resources.files("barechat.money").joinpath("prices.json").read_bytes()
    prices = [p for rows in read_table(text).history.values() for dated in rows for p in dated.tiers.values()]
    assert len(prices) > 120
    for price in prices:
        assert 0 < price.input_pd < price.output_pd
        assert (price.audio_input_pd is None) == (price.audio_output_pd is None)
        assert price.cached_pd is None or price.cached_pd * 2 <= price.input_pd
        assert price.cache_write_pd is None or price.cache_write_pd * 4 == price.input_pd * 5
