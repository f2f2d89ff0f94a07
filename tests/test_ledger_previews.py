"""What a ledger tells before it is changed, and how its figures add up; on real files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from barechat import Budget, Ledger, Prices
from ledgers import entry, hold, new_key, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USAGE = {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.db")
    yield made
    made.close()


def test_what_nobody_will_settle_is_told_before_it_is_ended(ledger: Ledger) -> None:
    budget = Budget("1")
    running, lost = hold(5, budget), hold(7, budget)
    ledger.reserve(running, None)
    ledger.reserve(lost, None)
    ledger.settle(entry(lost.key, 7, known=False))
    ledger.flush()
    assert ledger.abandoned() == (1, 7, 0)
    assert ledger.release() == (1, 7, 0)
    assert ledger.abandoned() == (0, 0, 0)


def test_what_prune_would_forget_is_told_before_it_does(ledger: Ledger) -> None:
    noon = datetime(2026, 11, 26, 12, tzinfo=UTC)
    for hour in (10, 11, 12):
        ledger.settle(entry(new_key(), 1, held=False, at=noon.replace(hour=hour).timestamp()))
    ledger.flush()
    assert ledger.prunable(noon) == 2
    assert ledger.prune(noon) == 2
    assert ledger.prunable(noon) == 0


def test_what_reprice_would_correct_is_told_before_it_does(ledger: Ledger) -> None:
    ledger.settle(entry(new_key(), 1, held=False, served="gpt-4o-mini-2024-07-18", usage=USAGE))
    ledger.flush()
    (correction,) = ledger.corrections(Prices.builtin())
    assert (correction.before_pd, correction.cost.picodollars) == (1, 210_000_000)
    assert rows(ledger, "cost_pd") == [1]
    assert ledger.reprice(Prices.builtin()) == [correction]
    assert rows(ledger, "cost_pd", "first_cost_pd") == [(210_000_000, 1)]
    assert ledger.corrections(Prices.builtin()) == []


def test_repricing_never_takes_a_price_away_that_its_own_table_lacks(ledger: Ledger) -> None:
    ledger.settle(entry(new_key(), 5, held=False, model="llama-at-home", usage=USAGE))
    ledger.flush()
    assert ledger.reprice(Prices.builtin()) == []
    assert rows(ledger, "cost_pd", "certainty") == [(5, "exact")]


def test_what_is_all_unpriced_is_not_told_as_nothing(ledger: Ledger) -> None:
    ledger.settle(entry(new_key(), None, held=False, model="llama"))
    ledger.settle(entry(new_key(), 0, held=False, model="llama", error="Overloaded"))
    ledger.settle(entry(new_key(), None, held=False))
    ledger.settle(entry(new_key(), 3, held=False))
    ledger.flush()
    mini, llama = ledger.spending()
    assert (llama.name, llama.unpriced, llama.cost.picodollars) == ("llama", 1, None)
    assert (mini.unpriced, mini.cost.picodollars) == (1, 3)
    both = mini.plus(llama)
    assert (both.attempts, both.answered, both.unpriced) == (4, 3, 2)
    assert json.dumps(both.by_certainty_pd) == '{"exact": 3}'


def test_a_budget_s_state_is_told_with_the_budget_itself(ledger: Ledger) -> None:
    budget = Budget("0.000000000001", "day", "job=nightly")
    ledger.reserve(hold(1, budget, tags={"job": "nightly"}), None)
    assert [state.budget for state in ledger.budgets()] == [budget]
