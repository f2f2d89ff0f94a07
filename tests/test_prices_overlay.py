"""A price file of the user's own, over barechat's table: what it replaces, what stays, and what is refused.

{"rows": [{"model": "llama-3", "tiers": {"standard": {"input": "0", "output": "0"}}}]}
"""

from __future__ import annotations

import json
import pickle
import re
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from barechat import AsyncClient, Client, CostTracker, guide
from barechat.errors import ConfigurationError
from barechat.money.bound import bound
from barechat.money.prices import Prices
from barechat.records import UNPRICED
from usage_examples import TODAY, usage

if TYPE_CHECKING:
    from pathlib import Path

    from barechat.simulator import Simulator

FREE = {"standard": {"input": "0", "output": "0"}}
LLAMA = {"model": "llama-3", "tiers": FREE}


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "prices.json"
    path.write_text(json.dumps({"rows": rows}), "utf-8")
    return path


def loaded(folder: Path, *rows: dict[str, Any]) -> Prices:
    return Prices.load(written(folder, *rows))


def usd(prices: Prices, model: str, tier: str | None = None, on: date = TODAY) -> Decimal | None:
    """Price 1,000 tokens in and 1,000 out."""
    return prices.cost(usage(1000, 1000), model, tier, on).usd


def test_a_local_model_at_0_dollars_is_exact_on_any_day_whatever_its_server_counts(tmp_path: Path) -> None:
    prices = loaded(tmp_path, LLAMA)
    for used in (usage(1000, 1000), usage(1000, 0, cached=800), usage(10, 10, reasoning=50)):
        cost = prices.cost(used, "llama-3", None, date(1999, 1, 1))
        assert (cost.picodollars, cost.certainty) == (0, "exact")


def test_a_local_model_at_0_dollars_is_bounded_without_a_cap_or_sizes(tmp_path: Path) -> None:
    request = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}
    most = bound(request, 488, "llama-3", loaded(tmp_path, LLAMA), TODAY)
    assert (most.picodollars, most.certainty) == (0, "bound")


def test_a_model_in_neither_table_is_unpriced_and_every_other_keeps_its_price(tmp_path: Path) -> None:
    prices = loaded(tmp_path, LLAMA)
    assert prices.cost(usage(1, 1), "llama-4", None, TODAY) == UNPRICED
    # gpt-4o: 1,000 * $2.50 + 1,000 * $10
    assert usd(prices, "gpt-4o") == usd(Prices.builtin(), "gpt-4o") == Decimal("0.0125")


def test_a_model_in_the_file_replaces_all_days_and_tiers_of_that_model_and_no_other(tmp_path: Path) -> None:
    row = {"model": "O3", "since": "2026-01-01", "tiers": {"standard": {"input": "1", "output": "3"}}}
    prices = loaded(tmp_path, row)
    # 1,000 * $1 + 1,000 * $3
    assert usd(prices, "o3") == usd(prices, "o3-2025-04-16") == Decimal("0.004")
    assert usd(prices, "o3", "flex") is None
    assert usd(prices, "o3", on=date(2025, 12, 31)) is None
    assert usd(prices, "o3-mini") == usd(Prices.builtin(), "o3-mini")


def test_a_snapshot_with_a_price_of_its_own_keeps_it(tmp_path: Path) -> None:
    prices = loaded(tmp_path, {"model": "gpt-4o", "tiers": FREE})
    assert usd(prices, "gpt-4o-2024-08-06") == 0
    # 1,000 * $5 + 1,000 * $15
    assert usd(prices, "gpt-4o-2024-05-13") == Decimal("0.02")


def test_a_name_in_the_file_leads_to_the_file_s_model(tmp_path: Path) -> None:
    prices = loaded(tmp_path, {"model": "Mine", "also": ["gpt-5.6", "openai/o3", "ft:gpt-4o:acme"], "tiers": FREE})
    assert prices.resolve("gpt-5.6") == "mine"
    assert prices.resolve("gpt-5.6-sol") == "gpt-5.6-sol"
    # the longest of what is known counts: a whole name before one without its prefix, more of an ft: name before less
    assert (prices.resolve("openai/o3"), prices.resolve("o3")) == ("mine", "o3")
    assert prices.resolve("ft:gpt-4o:acme::id:ckpt-step-7") == "mine"
    assert prices.resolve("ft:gpt-4o:acme-two::id") == "ft:gpt-4o-2024-08-06"


def test_a_row_names_its_source_or_else_its_file(tmp_path: Path) -> None:
    path = written(tmp_path, LLAMA)
    price = Prices.load(str(path)).find("llama-3", None, TODAY)
    assert price is not None
    assert (price.source, price.since) == (f"the price file {path}", "0001-01-01")


def test_each_table_has_a_version_of_its_own_which_a_copy_keeps(tmp_path: Path) -> None:
    builtin, once = Prices.builtin(), loaded(tmp_path, LLAMA)
    other = loaded(tmp_path, {**LLAMA, "read": "2026-11-30"})
    assert builtin.version.startswith("2026-11-26-")
    assert once.version.startswith(f"{builtin.version}+")
    assert other.version.startswith(f"{builtin.version}+2026-11-30-")
    assert len({builtin.version, once.version, other.version}) == 3
    copy: Prices = pickle.loads(pickle.dumps(once.with_aliases({"mine": "o3"})))  # noqa: S301 - our own bytes
    assert copy.version == once.version


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, LLAMA)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert Prices.load(path).resolve("llama-3") == "llama-3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "can't be read: .*truncated"),
        ('{"rows": [{"model": "m"}]}', r"can't be read: .*tiers"),
        ('{"rows": [{"model": "m", "tiers": {"standard": {"input": 0, "output": 0}}}]}', "can't be read: .*str"),
        ('{"rows": [{"model": "m", "tiers": {"standard": {"input": "-1", "output": "0"}}}]}', "'-1' where a decimal"),
        ('{"rows": [{"model": "m", "price": "0", "tiers": {}}]}', "can't be read: .*price"),
    ],
)
def test_a_file_that_is_no_price_file_is_refused_by_its_name(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=f"^the price file .*prices.json .*{message}"):
        Prices.load(path)


def test_a_file_that_is_not_there_or_no_file_is_refused_by_its_name(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(ConfigurationError, match=re.escape(f"the price file {path} can't be read: ")):
            Prices.load(path)


def test_clients_trackers_and_the_guide_take_the_file_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    monkeypatch.setenv("BARECHAT_PRICES", str(written(tmp_path, LLAMA, {"model": "gpt-4o", "tiers": FREE})))
    with Client("sk-any", simulator.url, price_as={"mine": "llama-3"}) as client:
        for model in ("llama-3", "mine"):
            cost = client.chat("Hello?", model=model).cost
            assert (cost.picodollars, cost.certainty) == (0, "exact")
    assert CostTracker().calculate({"model": "llama-3", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).usd == 0
    assert guide.estimate_cost("gpt-4o", 1000, 1000) == 0
    assert Prices.default().version != Prices.builtin().version


def test_without_a_file_in_the_environment_the_table_is_barechat_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Prices.default() is Prices.builtin()
    monkeypatch.setenv("BARECHAT_PRICES", "")
    assert Prices.default() is Prices.builtin()


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_bad_file_in_the_environment_is_told_when_a_client_is_made(
    kind: type[Client | AsyncClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BARECHAT_PRICES", str(tmp_path / "missing.json"))
    with pytest.raises(ConfigurationError, match=r"^BARECHAT_PRICES: the price file .*missing\.json can't be read"):
        kind("sk-any")


def test_a_table_that_is_given_goes_before_the_environment_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    monkeypatch.setenv("BARECHAT_PRICES", str(tmp_path / "missing.json"))
    with Client("sk-any", simulator.url, prices=Prices.builtin()) as client:
        assert client.chat("Hello?", model="llama-3").cost == UNPRICED
