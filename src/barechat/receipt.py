"""What one call asks for, and what became of it so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from barechat.money.estimate import Ratios
from barechat.records import Attempt, Cost, RateLimits, Reply
from barechat.wire.reply import reply_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barechat.money.budget import Budget
    from barechat.money.entry import Entry
    from barechat.money.prices import Prices
    from barechat.settings import Caps, Timeouts
    from barechat.wire.chunks import Fold
    from barechat.wire.request import Endpoint, Request
    from barechat.wire.retry import Failure, RetryBudget, RetryPolicy


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What one call asks for, and under which policies."""

    endpoint: Endpoint
    request: Request
    timeouts: Timeouts
    policy: RetryPolicy
    prices: Prices
    caps: Caps
    tags: Mapping[str, str] = msgspec.field(default_factory=dict)
    budgets: tuple[Budget, ...] = ()  # on which it draws
    is_filed: bool = False  # in a ledger
    is_filed_first: bool = False  # there before it is sent, with budgets or without


@dataclass
class Origin:
    """What a client knows of its server and has learned of it, shared by all its calls."""

    retry_budget: RetryBudget
    ratios: Ratios = field(default_factory=Ratios)
    refuses_usage_option: bool = False
    secrets: frozenset[str] = frozenset()  # on the way to it: a proxy's


class Receipt:
    """What became of a call so far: its attempts, and its answer as far as it has come. True at every step."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.attempts: list[Attempt] = []
        self.unfiled: list[Entry] = []  # attempts that have ended, for the ledger
        self.fold: Fold | None = None  # of a stream, as far as it has come
        self.whole: dict[str, Any] | None = None  # a whole reply's object
        self.limits = RateLimits()
        self.failure: Failure | None = None  # of the last attempt that failed
        self.reply: Reply | None = None

    @property
    def cost(self) -> Cost:
        """What the call cost or may have cost, all its attempts together."""
        return Cost.sum(attempt.cost for attempt in self.attempts)

    def partial(self) -> Reply | None:
        """Return the reply, or what has come of it; None before its first byte."""
        raw = self.fold.raw() if self.fold is not None else self.whole
        if self.reply is not None or raw is None:
            return self.reply
        return self.sign(reply_of(raw, "partial"))

    def sign(self, reply: Reply) -> Reply:
        """Return the reply with what only the call knows of it."""
        return msgspec.structs.replace(
            reply,
            cost=self.cost,
            request_id=self.attempts[-1].request_id if self.attempts else None,
            rate_limits=self.limits,
            attempts=tuple(self.attempts),
        )
