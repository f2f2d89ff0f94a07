"""A run against a server's limits on a clock that is only counted: the limiter, and the simulator's own buckets."""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from barechat import RateLimits
from barechat.bulk.limiter import Limiter
from barechat.simulator.limits import Admission, Limit, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from barechat.bulk.limiter import Ticket

WIRE_S = 0.02


@dataclass
class Outcome:
    """How many requests were sent and served, with how many tokens; and another client's."""

    sent: int = 0
    served: int = 0
    refused: int = 0
    tokens: int = 0
    others: int = 0


class World:
    """A run of requests of about `need` tokens each, which take 1 to 3 s; `other` more a second come from elsewhere."""

    def __init__(self, limit: Limit, *, need: int = 100, thought: int | None = None, other: float = 0.0) -> None:
        self.outcome = Outcome()
        self.limiter = Limiter(now=0.0)
        self._server = Limits([limit], started=0.0)
        self._limit, self._need, self._thought = limit, need, thought or need
        self._random = random.Random(7)  # noqa: S311 - not for secrets
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = itertools.count()
        self._other = other
        self._wakes_at = float("inf")
        self._at(0.0, self._go_on)
        if other:
            self._at(0.0, self._take_elsewhere)

    def run(self, seconds: float, *, halved_at: float | None = None) -> Outcome:
        if halved_at is not None:
            self._at(halved_at, self._halve)
        while self._events[0][0] <= seconds:
            now, _, act = heapq.heappop(self._events)
            act(now)
        return self.outcome

    def _at(self, when: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), act))

    def _go_on(self, now: float) -> None:
        if now >= self._wakes_at:
            self._wakes_at = float("inf")
        while (wait := self.limiter.wait_s(self._thought, now)) == 0.0:
            self._send(self.limiter.start(self._thought, now), now)
        if wait is not None and now + wait < self._wakes_at:
            self._wakes_at = now + wait
            self._at(self._wakes_at, self._go_on)

    def _send(self, ticket: Ticket, now: float) -> None:
        self.outcome.sent += 1
        self._at(now + self._random.uniform(0.5, 1.5) * WIRE_S, lambda then: self._arrive(ticket, then))

    def _arrive(self, ticket: Ticket, now: float) -> None:
        tokens = int(self._need * self._random.uniform(0.6, 1.4))
        admission = self._server.admit("k", "m", tokens, now)
        told = limits_of(admission)
        if admission.refusal is not None:
            self.outcome.refused += 1
            self._at(now + WIRE_S, lambda then: self._refuse(ticket, told, admission.retry_after_s, then))
            return
        self.outcome.served += 1
        self.outcome.tokens += tokens
        self._at(now + self._random.uniform(1, 3), lambda then: self._answer(ticket, told, admission, then))

    def _answer(self, ticket: Ticket, told: RateLimits, admission: Admission, now: float) -> None:
        self._server.release(admission)
        self.limiter.succeed(ticket, told)
        self._go_on(now)

    def _refuse(self, ticket: Ticket, told: RateLimits, retry_after_s: float | None, now: float) -> None:
        self.limiter.refuse(ticket, told, retry_after_s, now)
        self._go_on(now)

    def _take_elsewhere(self, now: float) -> None:
        admission = self._server.admit("k", "m", self._need, now)
        self.outcome.others += admission.refusal is None
        self._server.release(admission)
        self._at(now + self._random.expovariate(self._other), self._take_elsewhere)

    def _halve(self, now: float) -> None:
        rates: dict[str, Any] = {
            name: rate / 2
            for name in ("requests_per_min", "tokens_per_min")
            if (rate := getattr(self._limit, name)) is not None
        }
        self._server.change([msgspec.structs.replace(self._limit, **rates)], now)


def limits_of(admission: Admission) -> RateLimits:
    return RateLimits(
        limit_requests=admission.limit_requests,
        remaining_requests=admission.remaining_requests,
        reset_requests_s=admission.reset_requests_s,
        limit_tokens=admission.limit_tokens,
        remaining_tokens=admission.remaining_tokens,
        reset_tokens_s=admission.reset_tokens_s,
    )
