"""How much of one rate, requests or tokens a minute, may be taken now? Pure: readings of a clock come in.

Two buckets hold it back. Our own spreads what we send: it holds two seconds of the rate. The other mirrors the
server's: each answer says what was left there when it took the request, and puts our reckoning right.
What goes missing all the time is somebody else's, or more than we think we take: the mirror fills that much slower.
"""

from __future__ import annotations

_MINUTE_S = 60.0
_DAY_S = 86_400.0
_BURST_S = 2.0
# What we leave at the server, if its bucket is large enough: for requests that overtake one another on the way, for
# what others take before we hear of it, and for a limit that is lowered meanwhile. It is left once, not each minute.
_MARGIN_S = 0.6
_MARGIN_REQUESTS = 3
_FASTER = 1.05  # our own bucket's, where the mirror is the finer measure
_NEWS_S = 1.0  # how far apart two words are that tell what goes missing
_MOST_MISSING = 0.8  # of the rate: so that we come back when others have left
_OVERFLOWS = 0.98  # of the server's bucket: from there on, what it says tells nothing of what was taken
_LONG_WINDOW_S = 3600.0
_LONG_RESET_S = 2.0  # a shorter one may have been rounded up to a second
_GRAIN_S = 1e-6


class Taken:
    """What was reckoned when a request took its share, to be compared with what the server says of it."""

    __slots__ = ("amount", "corrected", "left", "total")

    def __init__(self, amount: float, total: float, left: float, corrected: float) -> None:
        self.amount = amount
        self.total = total  # taken in all, with this
        self.left = left  # in the mirror, after it
        self.corrected = corrected  # what had been put right in all by then


class Rate:
    """One rate: our ceiling, if any, the server's limit as far as it is known, and what has been taken."""

    def __init__(self, ceiling: float | None, now: float) -> None:
        self.limit: int | None = None  # the server's, in its window
        self.is_told = False  # whether the server says what is left
        self._ceiling = ceiling
        self._window_s = _MINUTE_S
        self._level = 0.0 if ceiling is None else _BURST_S * ceiling / _MINUTE_S
        self._left = 0.0  # the mirror's level
        self._filled_at = now
        self._total = 0.0  # taken
        self._corrected = 0.0  # in the mirror
        self._capacity = 0.0  # of the server's bucket: the most that was ever left
        self._missing = 0.0  # a second
        self._newest = 0.0  # the total of the newest word
        self._anchor = (now, 0.0, 0.0)  # an older word: when, what was left, the total
        self._own = self._own_rate()

    @property
    def a_minute(self) -> float | None:
        """The rate that binds, ours or the server's; None if there is none."""
        server = None if self.limit is None or self._window_s != _MINUTE_S else float(self.limit)
        return min((rate for rate in (self._ceiling, server) if rate is not None), default=None)

    def wait_s(self, need: float, now: float) -> float:
        """Return how long until so much may be taken; 0.0 for now. News may make it shorter."""
        self._fill(now)
        wait, own = 0.0, self._own
        if own is not None:
            wait = (min(need, max(_BURST_S * own, 1.0)) - self._level) / own
        if self.limit is not None and self.is_told:
            rate = self.limit / self._window_s
            margin = min(_MARGIN_S * rate + _MARGIN_REQUESTS * need, (self._capacity - need) / 2)
            lacking = min(need + max(margin, 0.0), self._capacity) - self._left
            wait = max(wait, lacking / (rate - self._missing))
        return wait if wait > _GRAIN_S else 0.0

    def take(self, need: float, now: float) -> Taken:
        """Take so much."""
        self._fill(now)
        self._level -= need
        self._left -= need
        self._total += need
        return Taken(need, self._total, self._left, self._corrected)

    def learn(
        self,
        taken: Taken,
        at: float,
        limit: int | None,
        remaining: int | None,
        reset_s: float | None,
        *,
        is_refusal: bool = False,
    ) -> None:
        """Take in the server's word on a request that was sent at `at`; one that it refused took nothing there."""
        if not limit:
            return
        if limit != self.limit:
            self._follow(limit, remaining, reset_s)
        if remaining is not None:
            self._correct(taken, at, limit, remaining, is_refusal=is_refusal)
        self._own = self._own_rate()

    def _correct(self, taken: Taken, at: float, limit: int, remaining: int, *, is_refusal: bool) -> None:
        """Put our reckoning right by what the server says is left."""
        self._capacity = max(self._capacity, remaining + (0.0 if is_refusal else taken.amount))
        if taken.total < self._newest:
            return  # older than another
        self._newest = taken.total
        reckoned = taken.left + self._corrected - taken.corrected + (taken.amount if is_refusal else 0.0)
        self._corrected += remaining - reckoned
        self._left += remaining - reckoned
        if not self.is_told:
            self.is_told, self._anchor = True, (at, remaining, taken.total)
        elif at - self._anchor[0] >= _NEWS_S:
            self._look_for_missing(limit / self._window_s, at, remaining, taken.total)

    def _look_for_missing(self, rate: float, at: float, remaining: float, total: float) -> None:
        """Compare two of the server's words: what is gone between them that we didn't take is missing."""
        since, was_left, had_taken = self._anchor
        self._anchor = (at, remaining, total)
        expected = was_left + rate * (at - since) - (total - had_taken)
        if max(was_left, expected, remaining) < _OVERFLOWS * self._capacity:
            missing = (self._missing + (expected - remaining) / (at - since)) / 2
            self._missing = min(max(-rate, missing), _MOST_MISSING * rate)

    def _follow(self, limit: int, remaining: int | None, reset_s: float | None) -> None:
        """Go on under another limit."""
        before = self._own_rate()
        if self.limit is not None:
            self._capacity *= limit / self.limit
        self._window_s = _MINUTE_S
        if remaining is not None and remaining < limit and (reset_s or 0.0) >= _LONG_RESET_S:
            # A day's limit is told like a minute's; how long it takes to fill up tells them apart.
            is_long = (reset_s or 0.0) * limit / (limit - remaining) >= _LONG_WINDOW_S
            self._window_s = _DAY_S if is_long else _MINUTE_S
        self.limit = limit
        own = self._own_rate()
        if own is not None:
            self._level = _BURST_S * own if before is None else min(self._level, _BURST_S * own)

    def _own_rate(self) -> float | None:
        """Return at what rate our own bucket fills, in a second."""
        a_minute = self.a_minute
        if a_minute is None:
            return None
        if not self.is_told or a_minute == self._ceiling:
            return a_minute / _MINUTE_S
        return a_minute / _MINUTE_S * _FASTER - min(self._missing, 0.0)  # we take less than we think

    def _fill(self, now: float) -> None:
        if now == self._filled_at:
            return
        passed, self._filled_at = now - self._filled_at, now
        own = self._own
        if own is not None:
            self._level = min(self._level + own * passed, max(_BURST_S * own, 1.0))
        if self.limit is not None:
            come = (self.limit / self._window_s - self._missing) * passed
            self._left = min(self._left + come, self._capacity)
