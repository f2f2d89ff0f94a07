"""What a ledger's budgets allow, by plain values: reserving, waiting, settling, and putting right afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from barechat import Budget, BudgetExceeded, ConfigurationError, DeadlineExceeded, Ledger, Prices
from barechat.money.budget import LARGEST_PD
from barechat.steps import Deadline
from ledgers import entry, hold, leave_behind, new_key, rows, run_python, state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


HUNDRED = Budget("0.0000000001")  # 100 picodollars
PATIENT = Budget("0.0000000001", wait=True)
Ask = Callable[..., "Waiting"]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.db")
    yield made
    made.close()


def reserved(ledger: Ledger, picodollars: int, *budgets: Budget, **facts: Any) -> str:
    """Hold money; return the attempt's key."""
    one = hold(picodollars, *budgets, **facts)
    ledger.reserve(one, None)
    return one.key


@dataclass
class Waiting:
    """A reservation in another thread."""

    answer: Future[None]

    @property
    def waits(self) -> bool:
        return not self.answer.done()

    def result(self) -> None:
        self.answer.result(20)


@pytest.fixture
def ask(ledger: Ledger) -> Iterator[Ask]:
    """Let another thread wait for room; return once the ledger has it waiting."""
    with ThreadPoolExecutor(8) as pool:

        def wait(picodollars: int, *budgets: Budget) -> Waiting:
            one = hold(picodollars, *budgets)
            answer = pool.submit(ledger.reserve, one, None)
            while not any(order.hold is one for order in ledger._writer()._waiting):
                ledger.flush()  # each is a transaction, and it waits after its own
            return Waiting(answer)

        yield wait
        ledger.close()


# Reserving


def test_money_is_held_of_all_budgets_or_of_none(ledger: Ledger) -> None:
    small, large = Budget("0.00000000005", tag="t"), HUNDRED
    reserved(ledger, 50, small, large)
    with pytest.raises(BudgetExceeded, match="for t"):
        reserved(ledger, 1, large, small)
    assert {budget.tag: budget.held_pd for budget in ledger.budgets()} == {None: 50, "t": 50}
    assert ledger.check() == []


def test_a_budget_is_used_to_its_last_picodollar_and_not_beyond(ledger: Ledger) -> None:
    reserved(ledger, 99, HUNDRED)
    with pytest.raises(BudgetExceeded):
        reserved(ledger, 2, HUNDRED)
    reserved(ledger, 1, HUNDRED)
    reserved(ledger, 0, HUNDRED)  # of a free model
    assert state(ledger) == (0, 100)


def test_a_hold_of_more_than_sqlite_can_hold_is_refused_as_any_other(ledger: Ledger) -> None:
    with pytest.raises(BudgetExceeded) as caught:
        reserved(ledger, 10**30, HUNDRED)
    assert caught.value.fits_later is False


def test_what_one_budget_can_never_fit_does_not_wait_for_another_one(ledger: Ledger) -> None:
    reserved(ledger, 100, PATIENT)
    with pytest.raises(BudgetExceeded) as caught:
        reserved(ledger, 60, PATIENT, Budget("0.00000000005", tag="t", wait=True))
    assert caught.value.fits_later is False


def test_days_and_months_begin_anew_in_utc(ledger: Ledger) -> None:
    day, month = Budget("0.0000000001", "day"), Budget("0.0000000001", "month", tag="m")
    last = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC).timestamp()
    for at in (last, last + 1):
        reserved(ledger, 100, day, month, at=at)
        with pytest.raises(BudgetExceeded):
            reserved(ledger, 1, day, at=at)
    periods = {(budget.per, budget.period) for budget in ledger.budgets()}
    assert periods == {("day", "2026-11-30"), ("day", "2026-12-01"), ("month", "2026-11"), ("month", "2026-12")}


# Waiting


def test_who_waits_is_served_in_the_order_of_asking_and_nobody_goes_before(ledger: Ledger, ask: Ask) -> None:
    first = reserved(ledger, 90, PATIENT)
    large, small = ask(80, PATIENT), ask(5, PATIENT)
    with pytest.raises(BudgetExceeded) as caught:
        reserved(ledger, 1, HUNDRED)  # it would fit, and doesn't wait
    assert caught.value.fits_later is True
    assert (large.waits, small.waits) == (True, True)
    ledger.settle(entry(first, 10))
    large.result()
    small.result()
    assert state(ledger) == (10, 85)


def test_a_wait_ends_when_the_room_is_spent(ledger: Ledger, ask: Ask) -> None:
    first = reserved(ledger, 90, PATIENT)
    waiting = ask(80, PATIENT)
    ledger.settle(entry(first, 90))
    with pytest.raises(BudgetExceeded) as caught:
        waiting.result()
    assert caught.value.fits_later is False


def test_a_wait_ends_when_another_ledger_makes_room(ledger: Ledger, ask: Ask) -> None:
    other = Ledger(ledger.path)
    first = reserved(other, 90, PATIENT)
    waiting = ask(80, PATIENT)
    other.settle(entry(first, 10))
    waiting.result()
    other.close()
    assert state(ledger) == (10, 80)


def test_who_gives_up_waiting_holds_nothing_and_lets_the_next_one_pass(ledger: Ledger) -> None:
    reserved(ledger, 90, PATIENT)
    one = hold(80, PATIENT)
    with pytest.raises(DeadlineExceeded):
        ledger.reserve(one, Deadline(0.0, "total", 0.0))
    ledger.settle(entry(one.key, 0))  # as the call does that gave up
    reserved(ledger, 5, PATIENT)
    assert state(ledger) == (0, 95)


def test_money_that_was_held_just_after_its_caller_gave_up_is_freed(ledger: Ledger) -> None:
    key = reserved(ledger, 90, HUNDRED)
    ledger.settle(entry(key, 0))
    assert state(ledger) == (0, 0)


def test_whoever_waits_when_the_ledger_is_closed_is_told(ledger: Ledger, ask: Ask) -> None:
    reserved(ledger, 90, PATIENT)
    waiting = ask(80, PATIENT)
    ledger.close()
    with pytest.raises(BudgetExceeded, match="closed while the call waited"):
        waiting.result()


# Settling


def test_an_attempt_is_settled_once_however_often_it_is_filed(ledger: Ledger) -> None:
    key = reserved(ledger, 90, HUNDRED)
    for _ in range(2):  # in one transaction, or in two
        ledger.settle(entry(key, 40))
        ledger.settle(entry(key, 30))
        ledger.flush()
    assert state(ledger) == (40, 0)
    assert rows(ledger, "key", "cost_pd", "held_pd") == [(key, 40, 90)]


def test_an_attempt_that_was_reconciled_stays_as_it_is(ledger: Ledger) -> None:
    key = reserved(ledger, 90, HUNDRED)
    ledger.settle(entry(key, 90, known=False))
    assert ledger.reconcile() == (1, 90, 0)
    ledger.settle(entry(key, 10))
    assert state(ledger) == (90, 0)


def test_an_overrun_is_counted_in_full_flagged_and_closes_the_budget(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    key = reserved(ledger, 10, HUNDRED)
    ledger.settle(entry(key, 1000))
    assert state(ledger) == (1000, 0)
    assert rows(ledger, "overran") == [1]
    assert [budget.is_closed for budget in ledger.budgets()] == [True]
    assert "is closed" in caplog.text
    with pytest.raises(BudgetExceeded, match="is closed"):
        reserved(ledger, 0, PATIENT)


def test_costs_beyond_what_sqlite_can_add_up_still_add_up(ledger: Ledger) -> None:
    """A server may count 18 digits of tokens, and do it again and again."""
    budget = Budget("4000000")
    keys = [reserved(ledger, 1000, budget) for _ in range(6)]
    for key in keys[:5]:
        ledger.settle(entry(key, 10**18 * 600_000, input_tokens=10**18, output_tokens=10**30))
    ledger.flush()
    ledger.settle(entry(keys[5], 1000))
    assert state(ledger) == (LARGEST_PD + 1000, 0)
    for grouping in ("model", "day", "tag", "session"):
        (line,) = ledger.spending(grouping)
        assert line.cost.picodollars == 5 * LARGEST_PD + 1000 > 2**63
    assert ledger.prune(datetime(2100, 1, 1, tzinfo=UTC)) == 6
    assert state(ledger) == (LARGEST_PD + 1000, 0)


def test_no_text_of_a_server_s_is_too_long_to_be_filed(ledger: Ledger) -> None:
    long = "x" * 100_000
    ledger.settle(entry(new_key(), 5, held=False, served=long, code=long, request_id=long, usage={"x": long}))
    ((served, code, request_id, usage),) = rows(ledger, "served", "code", "request_id", "usage")
    assert served == code == request_id == "x" * 1000
    assert usage is None


# Putting right


DIE = """
import os, sys
from barechat import Budget, Ledger
from ledgers import hold
ledger = Ledger(sys.argv[1])
ledger.reserve(hold(60, Budget("0.0000000001"), key="of the dead"), None)
os._exit(0)
"""


def test_what_the_dead_hold_never_fits_later_until_it_is_released(ledger: Ledger) -> None:
    run_python(DIE, ledger.path)
    reserved(ledger, 20, PATIENT)
    with pytest.raises(BudgetExceeded, match="held by calls of unknown outcome") as caught:
        reserved(ledger, 41, PATIENT)
    assert caught.value.fits_later is False
    with pytest.raises(BudgetExceeded, match="Running calls hold") as caught:
        reserved(ledger, 40, HUNDRED)
    assert caught.value.fits_later is True
    assert ledger.release() == (1, 60, 0)
    assert state(ledger) == (0, 20)


def test_reconciling_counts_what_the_dead_held_as_spent_and_leaves_the_living(ledger: Ledger) -> None:
    run_python(DIE, ledger.path)
    reserved(ledger, 20, PATIENT)
    assert ledger.reconcile() == (1, 60, 0)
    assert ledger.reconcile() == (0, 0, 0)
    assert state(ledger) == (60, 20)
    assert rows(ledger, "state", "cost_pd", "certainty") == [("settled", 60, "bound"), ("held", None, None)]


def test_an_attempt_of_the_dead_that_no_budget_bound_costs_at_most_what_it_held(ledger: Ledger) -> None:
    leave_behind(ledger.path, 60, None)
    ledger.reserve(hold(7), None)
    ledger.flush()
    (line,) = ledger.spending()
    assert (line.by_certainty_pd, line.attempts, line.answered, line.unpriced) == ({"bound": 67}, 3, 0, 1)
    assert ledger.abandoned() == ledger.reconcile() == (2, 60, 1)
    assert rows(ledger, "state", "cost_pd", "certainty") == [
        ("settled", 60, "bound"),
        ("settled", None, "unpriced"),
        ("held", None, None),
    ]
    assert ledger.spending() == [line]
    assert (ledger.check(), ledger.budgets()) == ([], [])


def test_released_it_costs_nothing_whatever_its_price(ledger: Ledger) -> None:
    leave_behind(ledger.path, 60, None)
    assert ledger.release() == (2, 60, 1)
    assert rows(ledger, "state", "cost_pd", "certainty") == [("settled", 0, "exact")] * 2


def test_an_attempt_that_no_budget_binds_settles_at_what_it_cost_or_can_have(ledger: Ledger) -> None:
    keys = [reserved(ledger, most) for most in (60, 60, 10**30)]
    ledger.settle(entry(keys[0], 40, held=False))
    ledger.settle(entry(keys[1], 60, held=False, known=False))
    assert rows(ledger, "state", "held_pd", "cost_pd") == [
        ("settled", 60, 40),
        ("settled", 60, 60),
        ("held", LARGEST_PD, None),
    ]


def test_an_attempt_whose_hold_is_in_no_file_is_reconciled_at_its_bound(ledger: Ledger) -> None:
    """Its file was replaced while it ran."""
    ledger.settle(entry(new_key(), 70, known=False))
    assert ledger.reconcile() == (1, 70, 0)
    assert rows(ledger, "state", "cost_pd") == [("settled", 70)]


def test_pruning_forgets_what_has_ended_and_keeps_what_was_spent(ledger: Ledger) -> None:
    keys = [reserved(ledger, 20, HUNDRED) for _ in range(3)]
    ledger.settle(entry(keys[0], 15))
    ledger.settle(entry(keys[1], 20, known=False))
    ledger.flush()
    assert ledger.prune(datetime(2100, 1, 1, tzinfo=UTC)) == 1
    assert state(ledger) == (15, 40)
    assert rows(ledger, "key") == keys[1:]


def table(folder: Path, model: str, dollars: str) -> Prices:
    path = folder / "prices.json"
    tiers = {"standard": {"input": dollars, "output": dollars}}
    path.write_text(json.dumps({"rows": [{"model": model, "tiers": tiers}]}), "utf-8")
    return Prices.load(path)


def test_repricing_corrects_attempts_and_budgets_and_keeps_the_first_figure(ledger: Ledger, tmp_path: Path) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
    budget = Budget("1")
    key = reserved(ledger, 10**9, budget)
    ledger.settle(entry(key, 5, usage=usage, served="gpt-4o-mini"))
    ledger.settle(entry(new_key(), 7, held=False))  # of whose usage nothing is known
    ledger.flush()
    assert [change.before_pd for change in ledger.reprice(table(tmp_path, "gpt-4o-mini", "2"))] == [5]
    assert rows(ledger, "cost_pd", "first_cost_pd") == [(40_000_000, 5), (7, None)]
    assert state(ledger) == (40_000_000, 0)
    assert [change.before_pd for change in ledger.reprice(table(tmp_path, "gpt-4o-mini", "1"))] == [40_000_000]
    assert rows(ledger, "cost_pd", "first_cost_pd")[0] == (20_000_000, 5)
    assert state(ledger) == (20_000_000, 0)


def test_repricing_by_a_table_without_the_model_leaves_its_costs(ledger: Ledger, tmp_path: Path) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
    key = reserved(ledger, 90, HUNDRED, model="a-local-model")
    ledger.settle(entry(key, 50, usage=usage, model="a-local-model"))
    ledger.flush()
    assert ledger.reprice(table(tmp_path, "another", "1")) == []
    assert state(ledger) == (50, 0)


def test_a_budget_s_amount_is_changed_by_setting_it_alone(ledger: Ledger) -> None:
    reserved(ledger, 90, HUNDRED)
    with pytest.raises(ConfigurationError, match="another amount"):
        reserved(ledger, 1, Budget("0.0000000002"))
    ledger.set_budget(Budget("0.0000000002"))
    reserved(ledger, 110, Budget("0.0000000002"))
    assert ledger.standing_budgets() == [Budget("0.0000000002")]
    assert (ledger.drop_budget("total"), ledger.drop_budget("total")) == (True, False)
