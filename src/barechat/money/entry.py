"""What a ledger is told of one attempt: before it is sent, the most that it can cost; after it, what became of it."""

from __future__ import annotations

from typing import Any

from barechat.money.budget import Budget  # noqa: TC001 - msgspec reads the annotations
from barechat.records import Cost, Record


class Hold(Record, frozen=True, kw_only=True):
    """The most that an attempt can cost, held of its budgets before it is sent; without budgets, only filed.

    key: the attempt's own, unlike any other's. at: when, in seconds since 1970.
    picodollars: None, without budgets alone, where nobody knows.
    """

    key: str
    at: float
    model: str
    picodollars: int | None
    budgets: tuple[Budget, ...]
    tags: dict[str, str]


class Entry(Record, frozen=True, kw_only=True):
    """One attempt that has ended.

    key: that of its `Hold`, if it had one (`is_held`). at: when it began, in seconds since 1970.
    model, tier: as asked; served, served_tier: as the server said, or None.
    usage: the server's own count, as it came.
    cost: what it cost, or may have; `is_known` if that is all that it can have cost, so that no hold need be kept.
    """

    key: str
    at: float
    model: str
    tags: dict[str, str]
    cost: Cost
    is_known: bool
    is_held: bool = False
    served: str | None = None
    tier: str | None = None
    served_tier: str | None = None
    status: int | None = None
    error: str | None = None
    code: str | None = None
    request_id: str | None = None
    client_request_id: str | None = None
    usage: dict[str, Any] | None = None
    cache_ttl: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    elapsed_s: float = 0.0
    first_byte_s: float | None = None
    price_version: str = ""
