"""How much has been spent so far: totals in memory, and how much of them is sure.

Totals are one frozen record, replaced as a whole: whoever reads them sees one moment, without a lock.
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from barechat.money.prices import Prices
from barechat.records import PICODOLLARS_PER_DOLLAR, UNPRICED, Certainty, Cost, Record, Reply, Usage, dollars
from barechat.usage import read_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Totals(Record, frozen=True):
    """What was recorded until one moment. The dicts are in picodollars: by certainty, model, and tag ("name=value")."""

    calls: int = 0
    unpriced_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    by_certainty_pd: dict[Certainty, int] = msgspec.field(default_factory=dict)
    by_model_pd: dict[str, int] = msgspec.field(default_factory=dict)
    by_tag_pd: dict[str, int] = msgspec.field(default_factory=dict)

    def plus(self, other: Totals) -> Totals:
        """Return both together."""
        return Totals(
            calls=self.calls + other.calls,
            unpriced_calls=self.unpriced_calls + other.unpriced_calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            by_certainty_pd=_added(self.by_certainty_pd, other.by_certainty_pd),
            by_model_pd=_added(self.by_model_pd, other.by_model_pd),
            by_tag_pd=_added(self.by_tag_pd, other.by_tag_pd),
        )

    def __str__(self) -> str:
        exact = self.by_certainty_pd.get("exact", 0)
        total = sum(self.by_certainty_pd.values())
        lines = [
            f"calls          {self.calls:,}",
            f"input tokens   {self.input_tokens:,}",
            f"output tokens  {self.output_tokens:,}",
            f"total cost     {dollars(total)}",
            f"not exact      {dollars(total - exact)}{self._reasons()}",
            f"unpriced       {_calls(self.unpriced_calls)}" + (", not in the total" if self.unpriced_calls else ""),
        ]
        return "\n".join(lines)

    def _reasons(self) -> str:
        told: dict[Certainty, str] = {"bound": "is at most", "estimate": "is about"}
        reasons = [
            f"{dollars(self.by_certainty_pd[certainty])} {words}"
            for certainty, words in told.items()
            if self.by_certainty_pd.get(certainty)
        ]
        return f" ({', '.join(reasons)})" if reasons else ""


def _utc_today() -> date:
    return datetime.now(UTC).date()


class CostTracker:
    """Running totals of calls, tokens and money. Safe to share between threads; pickles and copies with its totals.

    `prices` is the table for `calculate`, by default `Prices.default()`; `today` tells the day (UTC) to price on.
    """

    def __init__(self, prices: Prices | None = None, *, today: Callable[[], date] = _utc_today) -> None:
        self._prices = prices
        self._today = today
        self._totals = Totals()
        self._lock = threading.RLock()
        self._pid = os.getpid()

    def record(
        self,
        model: str,
        usage: Usage | None,
        cost: Cost,
        *,
        calls: int = 1,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add one call. `usage` is None if it isn't known.

        calls: 0 for what else a call cost, such as a lost attempt, when the call itself is counted elsewhere. An
            unpriced cost says something of a call that it counts, and adds nothing with calls=0.
        tags: those of the call; it counts for each of them.
        """
        spent = cost.picodollars or 0
        self._add(
            Totals(
                calls=calls,
                unpriced_calls=calls if cost.picodollars is None else 0,
                input_tokens=usage.prompt_tokens if usage else 0,
                output_tokens=usage.completion_tokens if usage else 0,
                by_certainty_pd={} if cost.picodollars is None else {cost.certainty: spent},
                by_model_pd={model: spent},
                by_tag_pd={f"{name}={value}": spent for name, value in tags.items()} if tags else {},
            )
        )

    def merge(self, other: CostTracker | Totals) -> None:
        """Add another's totals, as they are now: those of a thread, or of a process that sent them back."""
        self._add(other.totals if isinstance(other, CostTracker) else other)

    def _add(self, more: Totals) -> None:
        with self._guard():
            while True:  # again, if this thread recorded meanwhile: its garbage collector may close a forgotten stream
                before = self._totals
                after = before.plus(more)
                if self._totals is before:
                    self._totals = after
                    return

    def calculate(self, response_data: Mapping[str, Any] | Reply) -> Cost:
        """Price a reply, add it to the totals, and return its cost.

        Takes the reply's JSON object as a dict (`model`, `usage`, `service_tier`), or a `Reply`, whose own cost
        stands. Without usage, or from a model without a price, it counts as a call and is unpriced.
        """
        if isinstance(response_data, Reply):
            self.record(response_data.model, response_data.usage, response_data.cost)
            return response_data.cost
        model = str(response_data.get("model") or "")
        tier = response_data.get("service_tier")
        usage = read_usage(response_data.get("usage"))
        cost = UNPRICED
        if usage is not None:
            prices = self._prices or Prices.default()
            cost = prices.cost(usage, model, None if tier is None else str(tier), self._today())
        self.record(model, usage, cost)
        return cost

    @property
    def totals(self) -> Totals:
        """All the totals, as of one moment."""
        return self._totals

    @property
    def total_cost(self) -> Decimal:
        """Dollars: all that is priced, exact or not. What is unpriced isn't in it; see `unpriced_calls`."""
        return _usd(sum(self._totals.by_certainty_pd.values()))

    @property
    def total_input_tokens(self) -> int:
        """The prompts' tokens, as the servers counted them."""
        return self._totals.input_tokens

    @property
    def total_output_tokens(self) -> int:
        """The replies' tokens, reasoning included, as the servers counted them."""
        return self._totals.output_tokens

    @property
    def call_count(self) -> int:
        """How many calls were recorded, unpriced ones included."""
        return self._totals.calls

    @property
    def unpriced_calls(self) -> int:
        """How many calls cost an amount that isn't known."""
        return self._totals.unpriced_calls

    @property
    def by_certainty(self) -> dict[Certainty, Cost]:
        """The cost of each certainty that was recorded; "unpriced" is there if any call was."""
        totals = self._totals
        costs: dict[Certainty, Cost] = {
            certainty: Cost(picodollars=spent, certainty=certainty)
            for certainty, spent in totals.by_certainty_pd.items()
        }
        if totals.unpriced_calls:
            costs["unpriced"] = UNPRICED
        return costs

    @property
    def by_model(self) -> dict[str, Decimal]:
        """Dollars by model, all that is priced."""
        return {model: _usd(spent) for model, spent in self._totals.by_model_pd.items()}

    @property
    def by_tag(self) -> dict[str, Decimal]:
        """Dollars by tag ("name=value"), all that is priced. A call with several tags counts for each."""
        return {tag: _usd(spent) for tag, spent in self._totals.by_tag_pd.items()}

    def summary(self) -> None:
        """Print calls, tokens, the total, how much of it isn't exact, and how many calls are unpriced."""
        print(self)  # noqa: T201 - what it is for

    def __str__(self) -> str:
        return str(self._totals)

    def __repr__(self) -> str:
        totals = self._totals
        return f"<CostTracker: {_calls(totals.calls)}, ${self.total_cost:f}, {totals.unpriced_calls} unpriced>"

    def _guard(self) -> threading.RLock:
        # A lock that another thread held at a fork stays held in the child for ever.
        if self._pid != os.getpid():
            self._lock, self._pid = threading.RLock(), os.getpid()
        return self._lock

    def __getstate__(self) -> dict[str, Any]:
        return {"_prices": self._prices, "_today": self._today, "_totals": self._totals}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_prices"], today=state["_today"])  # type: ignore[misc]
        self._totals = state["_totals"]


def _usd(picodollars: int) -> Decimal:
    return Decimal(picodollars) / PICODOLLARS_PER_DOLLAR


Name = TypeVar("Name", bound=str)


def _added(one: dict[Name, int], other: dict[Name, int]) -> dict[Name, int]:
    if not other:
        return one
    both = one.copy()
    for name, spent in other.items():
        both[name] = both.get(name, 0) + spent
    return both


def _calls(count: int) -> str:
    return f"{count:,} call{'' if count == 1 else 's'}"
