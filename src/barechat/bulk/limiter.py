"""May a bulk run send another request now? Pure: readings of a clock come in.

Requests and tokens are taken together, all or nothing (`rates.py`). How many may be under way grows while all goes well
and is cut when the server is overloaded; a 429 pauses all alike for as long as the server asks; and while nothing
succeeds at all, one request now and then is enough to see whether the server is back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from barechat.bulk.rates import Rate, Taken

if TYPE_CHECKING:
    from barechat.records import RateLimits

MOST_CONCURRENT = 1000
_FIRST = 10  # under way until the server has said anything
_SECOND = 100  # then
_CUT = 0.5  # what is left of that after an overload
_CUT_BY_RATE = 0.9  # after a 429 with a delay: it is a rate that was too high, not their number
_SILENT_FAILURES = 5  # in a row, until it counts as an outage
_LONGEST_PAUSE_S = 60.0
_PAUSE_S = 1.0  # after a 429 that doesn't say


@dataclass(frozen=True)
class Ticket:
    """One request under way: when it was sent, and what it took."""

    at: float
    requests: Taken
    tokens: Taken


class Limiter:
    """The limits of one run. rpm, tpm and concurrency are ceilings; below them it follows the server."""

    def __init__(
        self, *, rpm: float | None = None, tpm: float | None = None, concurrency: int | None = None, now: float
    ) -> None:
        self.requests = Rate(rpm, now)
        self.tokens = Rate(tpm, now)
        self.running = 0
        self._most = concurrency or MOST_CONCURRENT
        self._window = float(min(_FIRST, self._most))
        self._is_first = True
        self._is_slow_start = True
        self._cut_at = -1.0  # when the window was last cut: who was sent before that can't cut it again
        self._paused_until = now
        self._failures = 0  # in a row
        self._pauses = 0  # likewise, of an outage

    @property
    def window(self) -> int:
        """How many may be under way."""
        return int(self._window)

    def wait_s(self, tokens: float, now: float) -> float | None:
        """Return how long until a request of so many tokens may be sent, 0.0 for now; None until another one ends.

        It is to be asked again after each end, which may change it.
        """
        if self.running >= self.window:
            return None
        return max(0.0, self._paused_until - now, self.requests.wait_s(1, now), self.tokens.wait_s(tokens, now))

    def start(self, tokens: float, now: float) -> Ticket:
        """Take what a request needs."""
        self.running += 1
        return Ticket(now, self.requests.take(1, now), self.tokens.take(tokens, now))

    def drop(self) -> None:
        """Note that a request ended that says nothing of the server: its own fault, or it wasn't sent."""
        self.running -= 1

    def succeed(self, ticket: Ticket, limits: RateLimits) -> None:
        """Note an answer: the server bears what it is sent."""
        was_full = self.running >= self.window
        self.running -= 1
        self._failures = self._pauses = 0
        self._learn(ticket, limits)
        if self._is_first:
            self._is_first = False
            self._window = min(_SECOND, self._most)
        elif was_full:
            self._window = min(self._window + (1.0 if self._is_slow_start else 1.0 / self._window), self._most)

    def refuse(self, ticket: Ticket, limits: RateLimits, retry_after_s: float | None, now: float) -> None:
        """Note a 429, and pause all for as long as the server asks."""
        self.running -= 1
        self._learn(ticket, limits, is_refusal=True)
        self._cut(ticket, _CUT if retry_after_s is None else _CUT_BY_RATE, now)
        self._paused_until = max(self._paused_until, now + (_PAUSE_S if retry_after_s is None else retry_after_s))

    def fail(self, ticket: Ticket, now: float, *, is_overload: bool) -> None:
        """Note that the server failed, by an overload or otherwise."""
        self.running -= 1
        if is_overload:
            self._cut(ticket, _CUT, now)
        self._failures += 1
        if self._failures >= _SILENT_FAILURES and ticket.at >= self._paused_until:
            self._is_slow_start = False
            self._paused_until = now + min(2.0**self._pauses, _LONGEST_PAUSE_S)
            self._pauses += 1
            self._window = 1.0

    def _learn(self, ticket: Ticket, limits: RateLimits, *, is_refusal: bool = False) -> None:
        told = limits.limit_requests, limits.remaining_requests, limits.reset_requests_s
        self.requests.learn(ticket.requests, ticket.at, *told, is_refusal=is_refusal)
        told = limits.limit_tokens, limits.remaining_tokens, limits.reset_tokens_s
        self.tokens.learn(ticket.tokens, ticket.at, *told, is_refusal=is_refusal)

    def _cut(self, ticket: Ticket, factor: float, now: float) -> None:
        """Let fewer be under way, once for all that were sent before it was last done."""
        self._is_slow_start = False
        if ticket.at > self._cut_at:
            self._window = max(1.0, self._window * factor)
            self._cut_at = now
