"""barechat.money.meter: totals that lose nothing, and say how much of them is sure."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barechat.money.meter import CostTracker
from barechat.money.prices import Prices
from barechat.records import UNPRICED, Certainty, Choice, Cost, Message, Reply, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator


def november() -> date:
    return date(2026, 11, 22)


def tracker() -> CostTracker:
    return CostTracker(today=november)


def used(prompt: int = 1000, completion: int = 500) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def response(model: str = "gpt-4o-mini-2024-07-18", **more: Any) -> dict[str, Any]:
    return {"model": model, "usage": {"prompt_tokens": 1000, "completion_tokens": 500}, **more}


def test_a_reply_as_a_dict_is_priced_and_added() -> None:
    costs = tracker()
    cost = costs.calculate(response())
    # 1,000 * $0.15 + 500 * $0.60 = $0.00045
    assert (cost.usd, cost.certainty) == (Decimal("0.00045"), "exact")
    assert costs.total_cost == Decimal("0.00045")
    assert (costs.call_count, costs.total_input_tokens, costs.total_output_tokens) == (1, 1000, 500)


def test_the_served_tier_of_a_dict_counts() -> None:
    # gpt-4o-mini priority: 1,000 * $0.25 + 500 * $1
    assert tracker().calculate(response(service_tier="priority")).usd == Decimal("0.00075")
    assert tracker().calculate(response(service_tier=None)).usd == Decimal("0.00045")
    assert tracker().calculate(response(service_tier=7)) == UNPRICED


@pytest.mark.parametrize(
    "data", [response("llama-3"), response(usage=None), {"model": "gpt-4o"}, {"usage": {"prompt_tokens": 1}}, {}]
)
def test_what_has_no_price_or_no_usage_is_counted_as_unpriced_and_never_as_free(data: dict[str, Any]) -> None:
    costs = tracker()
    assert costs.calculate(data) == UNPRICED
    assert (costs.call_count, costs.unpriced_calls, costs.total_cost) == (1, 1, Decimal(0))
    assert costs.by_certainty == {"unpriced": UNPRICED}


def test_an_unpriced_calls_tokens_are_counted() -> None:
    costs = tracker()
    costs.calculate(response("llama-3"))
    assert (costs.total_input_tokens, costs.total_output_tokens) == (1000, 500)


def test_a_reply_records_own_cost_stands() -> None:
    costs = tracker()
    reply = Reply(
        id="1",
        model="gpt-4o",
        choices=(Choice(index=0, message=Message(content="hi")),),
        usage=used(),
        cost=Cost(picodollars=42, certainty="bound"),
        verdict="complete",
        raw={},
    )
    assert costs.calculate(reply) is reply.cost
    assert costs.by_certainty == {"bound": Cost(picodollars=42, certainty="bound")}
    assert costs.total_input_tokens == 1000


def test_prices_with_aliases_are_used() -> None:
    costs = CostTracker(Prices.builtin().with_aliases({"mine": "gpt-4o"}), today=november)
    # 1,000 * $2.50 + 500 * $10
    assert costs.calculate(response("mine")).usd == Decimal("0.0075")


def test_today_is_asked_for_each_call() -> None:
    days = iter([date(2025, 6, 9), date(2025, 6, 10)])
    costs = CostTracker(today=lambda: next(days))
    # o3: 1,000 * $10 + 500 * $40, then 1,000 * $2 + 500 * $8
    assert [costs.calculate(response("o3")).usd for _ in range(2)] == [Decimal("0.03"), Decimal("0.006")]


def test_the_default_day_is_one_on_which_prices_hold() -> None:
    assert CostTracker().calculate(response()).certainty == "exact"


def test_totals_say_what_is_not_exact_and_what_is_unpriced() -> None:
    costs = tracker()
    costs.record("gpt-4o", used(1200, 34), Cost(picodollars=1_250_000_000_000, certainty="exact"))
    costs.record("gpt-4o", None, Cost(picodollars=7_500_000, certainty="bound"))
    costs.record("o3", None, Cost(picodollars=1, certainty="estimate"))
    costs.record("llama", None, UNPRICED)
    assert costs.total_cost == Decimal("1.250007500001")
    assert costs.by_certainty == {
        "exact": Cost(picodollars=1_250_000_000_000, certainty="exact"),
        "bound": Cost(picodollars=7_500_000, certainty="bound"),
        "estimate": Cost(picodollars=1, certainty="estimate"),
        "unpriced": UNPRICED,
    }
    assert costs.by_model == {"gpt-4o": Decimal("1.2500075"), "o3": Decimal("1E-12"), "llama": Decimal(0)}
    assert str(costs) == (
        "calls          4\n"
        "input tokens   1,200\n"
        "output tokens  34\n"
        "total cost     $1.250007500001\n"
        "not exact      $0.000007500001 ($0.0000075 is at most, $0.000000000001 is about)\n"
        "unpriced       1 call, not in the total"
    )
    assert repr(costs) == "<CostTracker: 4 calls, $1.250007500001, 1 unpriced>"


def test_the_summary_prints_what_str_says(capsys: pytest.CaptureFixture[str]) -> None:
    costs = tracker()
    costs.summary()
    assert capsys.readouterr().out == f"{costs}\n"
    assert "total cost     $0.00\nnot exact      $0.00\nunpriced       0 calls" in str(costs)
    assert repr(costs) == "<CostTracker: 0 calls, $0, 0 unpriced>"


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda costs: pickle.loads(pickle.dumps(costs))])  # noqa: S301 - our own bytes
def test_a_copy_keeps_the_totals_and_goes_its_own_way(again: Any) -> None:
    costs = tracker()
    costs.calculate(response())
    other: CostTracker = again(costs)
    other.calculate(response())
    assert (costs.call_count, other.call_count) == (1, 2)
    assert other.total_cost == 2 * costs.total_cost


def test_what_else_a_counted_call_cost_is_added_without_a_call() -> None:
    costs = tracker()
    costs.calculate(response())
    costs.record("gpt-4o-mini", None, Cost(picodollars=50_000_000, certainty="bound"), calls=0)
    costs.record("llama", None, UNPRICED, calls=0)
    assert (costs.call_count, costs.unpriced_calls) == (1, 0)
    assert costs.total_cost == Decimal("0.0005")
    assert "unpriced" not in costs.by_certainty


def test_totals_once_read_do_not_change() -> None:
    costs = tracker()
    costs.calculate(response())
    before = costs.totals
    costs.calculate(response())
    assert (before.calls, before.by_model_pd) == (1, {"gpt-4o-mini-2024-07-18": 450_000_000})


@pytest.fixture
def _impatient_threads() -> Iterator[None]:
    """Let threads take turns as often as they can, so that a lost update is seen."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_impatient_threads")
def test_threads_lose_nothing() -> None:
    costs = tracker()

    def spend() -> None:
        for _ in range(500):
            costs.record("m", used(1, 2), Cost(picodollars=3, certainty="exact"))

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (costs.call_count, costs.total_input_tokens, costs.total_output_tokens) == (4000, 4000, 8000)
    assert costs.total_cost == Decimal(12_000) / 10**12


def test_a_lock_that_was_held_at_a_fork_does_not_hang_the_child() -> None:
    costs = tracker()
    with costs._lock:  # as if another thread held it when this process was forked
        costs._pid = -1
        recording = threading.Thread(target=costs.record, args=("m", None, UNPRICED), daemon=True)
        recording.start()
        recording.join(timeout=10)
    assert costs.call_count == 1


class _Nosy(str):
    """A model's name that records a call of its own while it is added to the totals: at the third look at it."""

    __slots__ = ("costs", "looks")
    costs: CostTracker | None
    looks: int

    def __hash__(self) -> int:
        self.looks += 1
        if self.looks == 3 and self.costs is not None:
            costs, self.costs = self.costs, None
            costs.record("inner", None, Cost(picodollars=2, certainty="bound"))
        return super().__hash__()


def test_a_record_within_a_record_neither_hangs_nor_is_lost() -> None:
    # As when the garbage collector closes a forgotten stream, whose call is filed then and there.
    costs = tracker()
    model = _Nosy("outer")
    model.costs, model.looks = costs, 0
    cost = Cost(picodollars=1, certainty="exact")
    recording = threading.Thread(target=costs.record, args=(model, None, cost), daemon=True)
    recording.start()
    recording.join(timeout=10)
    assert (costs.call_count, dict(costs.by_model)) == (2, {"outer": Decimal("1E-12"), "inner": Decimal("2E-12")})


CERTAINTIES: list[Certainty] = ["exact", "bound", "estimate"]
COSTS = st.builds(Cost, picodollars=st.integers(0, 10**15), certainty=st.sampled_from(CERTAINTIES)) | st.just(UNPRICED)


@given(st.lists(COSTS, max_size=20))
def test_totals_are_the_sum_of_what_was_recorded(costs: list[Cost]) -> None:
    total = tracker()
    for cost in costs:
        total.record("m", None, cost)
    assert total.total_cost == Decimal(sum(cost.picodollars or 0 for cost in costs)) / 10**12
    assert total.unpriced_calls == sum(cost.picodollars is None for cost in costs)
    priced = sum(cost.usd or Decimal(0) for cost in total.by_certainty.values())
    assert priced == total.total_cost == sum(total.by_model.values())


def test_a_call_counts_for_each_of_its_tags() -> None:
    costs = tracker()
    cost = Cost(picodollars=5 * 10**11, certainty="exact")
    costs.record("gpt-4o", None, cost, tags={"job": "nightly", "user": "ada"})
    costs.record("gpt-4o", None, cost, tags={"job": "nightly"})
    costs.record("gpt-4o", None, cost)
    assert costs.by_tag == {"job=nightly": Decimal(1), "user=ada": Decimal("0.5")}
    assert costs.total_cost == Decimal("1.5")


def test_trackers_of_threads_and_processes_become_one() -> None:
    costs, other = tracker(), tracker()
    for each in (costs, other):
        each.calculate(response())
        each.record("llama", None, UNPRICED, tags={"job": "nightly"})
    other.record("gpt-4o", used(), Cost(picodollars=7, certainty="bound"), tags={"job": "nightly"})
    costs.merge(pickle.loads(pickle.dumps(other)))  # noqa: S301 - our own
    assert (costs.call_count, costs.unpriced_calls, costs.total_input_tokens) == (5, 2, 3000)
    assert costs.totals.by_certainty_pd == {"exact": 2 * 450_000_000, "bound": 7}
    assert costs.totals.by_model_pd == {"gpt-4o-mini-2024-07-18": 2 * 450_000_000, "llama": 0, "gpt-4o": 7}
    assert costs.by_tag == {"job=nightly": Decimal(7) / 10**12}
    costs.merge(tracker().totals)
    assert costs.call_count == 5
