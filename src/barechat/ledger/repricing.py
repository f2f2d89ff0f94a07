"""Which attempts of a ledger would cost something else by another price table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from barechat.records import Cost, Record
from barechat.usage import read_usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from barechat.money.prices import Prices


class Correction(Record, frozen=True, kw_only=True):
    """An attempt, by its number in the ledger, that costs `cost` and not `before_pd` picodollars (None: unpriced)."""

    id: int
    model: str
    before_pd: int | None
    cost: Cost


def corrections(attempts: Iterable[Mapping[str, Any]], prices: Prices) -> Iterator[Correction]:
    """Yield what differs, of attempts (rows of a ledger) whose usage the server told, at the prices of their days."""
    for row in attempts:
        usage = None if row["usage"] is None else read_usage(msgspec.json.decode(row["usage"]))
        if usage is None or row["state"] != "settled":
            continue
        model = prices.billed_as(row["model"], row["served"] or "")
        on = datetime.fromtimestamp(row["at"], UTC).date()
        cost = prices.cost(usage, model, row["served_tier"] or row["tier"], on, cache_ttl=row["cache_ttl"])
        if cost.picodollars is None:
            continue  # another table, or an alias, may have known more
        if (cost.picodollars, cost.certainty) != (row["cost_pd"], row["certainty"]):
            yield Correction(id=row["id"], model=model, before_pd=row["cost_pd"], cost=cost)
