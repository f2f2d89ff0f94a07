"""docs/prices.md is what the table says, its examples are read, and a price that was read long ago is told."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import TYPE_CHECKING

import pytest

from barechat.money import table
from barechat.money.prices import Prices
from prices_page import PAGE, TABLE, make_page, stale_rows
from usage_examples import TODAY, usage

if TYPE_CHECKING:
    import msgspec

TEXT = PAGE.read_text("utf-8")
EXAMPLE = next(iter(re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)))


def test_the_committed_page_is_the_one_that_the_table_makes() -> None:
    assert make_page() == TEXT, "run `make docs`"


def test_the_example_of_a_file_of_one_s_own_is_read() -> None:
    prices = Prices.read(EXAMPLE.encode())
    assert prices.cost(usage(1000, 1000), "llama-3.3-70b", None, TODAY).usd == 0
    # 1,000 * $0.28 + 1,000 * $0.42 = $0.00028 + $0.00042
    assert str(prices.cost(usage(1000, 1000), "deepseek-chat", None, TODAY)) == "0.0007"
    assert len(json.loads(EXAMPLE)["rows"]) == len(prices.models)


@pytest.mark.parametrize("struct", [table._Row, table._Tier])
def test_every_field_of_the_form_is_explained(struct: type[msgspec.Struct]) -> None:
    explained = TEXT.partition("## Prices of your own")[2].partition("## The table")[0]
    assert {name for name in struct.__struct_fields__ if name not in explained} == set()


def test_a_row_is_told_once_it_was_read_more_than_90_days_ago() -> None:
    assert stale_rows(date(2026, 11, 26)) == []
    oldest = [row for row in TABLE["rows"] if row["read"] == "2026-11-22"]
    assert len(stale_rows(date(2027, 2, 20))) == 0
    assert len(stale_rows(date(2027, 2, 21))) == len(oldest)
    assert "gpt-4o, 2024-10-02: read 2026-11-26" in stale_rows(date(2027, 2, 25))
    assert len(stale_rows(date(2027, 2, 25))) == len(TABLE["rows"])
