"""What is left of so many a minute, and how long until there is more? Pure: readings of a clock come in.

A bucket is kept as one number, the moment at which it will be full again, so that nothing has to be refilled.
"""

import math
from typing import Final, NamedTuple

# What a request lacks by less than this, it doesn't lack: a clock that counts from the epoch has a grain of 0.2 µs.
_TOLERANCE_S: Final = 1e-6
_MINUTE_S: Final = 60.0
_DAY_S: Final = 86_400.0


class Bucket:
    """`amount` for every `window_s`, coming in evenly; it holds `burst_s` of that, but 1 at least, and begins full."""

    __slots__ = ("_full_at_s", "_rate_per_s", "capacity", "limit")

    def __init__(self, amount: float, window_s: float, burst_s: float, now_s: float) -> None:
        self._set(amount, window_s, burst_s)
        self._full_at_s = now_s

    def refit(self, amount: float, window_s: float, burst_s: float, now_s: float) -> None:
        """Go on at another rate with what is left, as far as that still finds room."""
        level = self._level(now_s)
        self._set(amount, window_s, burst_s)
        self._full_at_s = now_s + max(0.0, self.capacity - level) / self._rate_per_s

    def wait_s(self, amount: float, now_s: float) -> float:
        """Return how long it takes until so much is there: 0 when it is."""
        behind_s = self._full_at_s - now_s if self._full_at_s > now_s else 0.0
        wait_s = behind_s + (amount - self.capacity) / self._rate_per_s
        return wait_s if wait_s > _TOLERANCE_S else 0.0

    def take(self, amount: float, now_s: float) -> None:
        """Take what is there, as `wait_s` has said."""
        self._full_at_s = max(self._full_at_s, now_s) + amount / self._rate_per_s

    def drain(self, amount: float, now_s: float) -> None:
        """Take so much, or what there is."""
        empty = now_s + self.capacity / self._rate_per_s
        self.take(amount, now_s)
        self._full_at_s = min(self._full_at_s, empty)

    def remaining(self, now_s: float) -> int:
        """Return how much is there, in whole numbers."""
        level = self._level(now_s) + _TOLERANCE_S * self._rate_per_s
        return math.floor(max(0.0, min(self.capacity, level)))

    def reset_s(self, now_s: float) -> float:
        """Return how long it takes until the bucket is full."""
        return max(0.0, self._full_at_s - now_s)

    def _level(self, now_s: float) -> float:
        return self.capacity - self.reset_s(now_s) * self._rate_per_s

    def _set(self, amount: float, window_s: float, burst_s: float) -> None:
        self.limit = math.ceil(amount)
        self.capacity = max(1.0, amount * burst_s / window_s)
        self._rate_per_s = amount / window_s


class Shortage(NamedTuple):
    """Which bucket holds too little for a request, and how long until it holds enough."""

    wait_s: float
    what: str
    bucket: Bucket
    requested: int


class Buckets:
    """The three rates that a request is measured by, taken together: it gets all that it needs, or nothing."""

    __slots__ = ("_day", "_minute", "tokens")

    def __init__(self) -> None:
        self.tokens: Bucket | None = None
        self._minute: Bucket | None = None
        self._day: Bucket | None = None

    def refit(
        self,
        *,
        requests_per_min: float | None,
        requests_per_day: float | None,
        tokens_per_min: float | None,
        burst_s: float,
        now_s: float,
    ) -> None:
        """Go on at other rates with what is left; a new rate begins with a full bucket, and a day's holds the day."""
        self._minute = _fit(self._minute, requests_per_min, _MINUTE_S, burst_s, now_s)
        self._day = _fit(self._day, requests_per_day, _DAY_S, _DAY_S, now_s)
        self.tokens = _fit(self.tokens, tokens_per_min, _MINUTE_S, burst_s, now_s)

    def shortage(self, tokens: int, now_s: float) -> Shortage | None:
        """Return what keeps one request of so many tokens waiting longest, None when nothing does."""
        worst: Shortage | None = None
        for what, bucket, amount in (
            ("requests per min (RPM)", self._minute, 1),
            ("requests per day (RPD)", self._day, 1),
            ("tokens per min (TPM)", self.tokens, tokens),
        ):
            wait_s = 0.0 if bucket is None else bucket.wait_s(amount, now_s)
            if bucket is not None and wait_s > (0.0 if worst is None else worst.wait_s):
                worst = Shortage(wait_s, what, bucket, amount)
        return worst

    def take(self, tokens: int, now_s: float) -> None:
        """Take one request of so many tokens, of which there is no shortage."""
        if self._minute is not None:
            self._minute.take(1, now_s)
        if self._day is not None:
            self._day.take(1, now_s)
        if self.tokens is not None:
            self.tokens.take(tokens, now_s)

    def drain_request(self, now_s: float) -> None:
        """Take one request without tokens, as far as there is one."""
        for bucket in (self._minute, self._day):
            if bucket is not None:
                bucket.drain(1, now_s)

    def requests(self, now_s: float) -> Bucket | None:
        """Return the bucket that has fewer requests left, or that is full later when both have as many."""
        if self._minute is None or self._day is None:
            return self._minute or self._day
        return min(self._minute, self._day, key=lambda one: (one.remaining(now_s), -one.reset_s(now_s)))

    def are_full(self, now_s: float) -> bool:
        """Say whether nothing has been taken that isn't back."""
        return not any(one is not None and one.reset_s(now_s) for one in (self._minute, self._day, self.tokens))


def _fit(bucket: Bucket | None, amount: float | None, window_s: float, burst_s: float, now_s: float) -> Bucket | None:
    if amount is None:
        return None
    if bucket is None:
        return Bucket(amount, window_s, burst_s, now_s)
    bucket.refit(amount, window_s, burst_s, now_s)
    return bucket


def whole_ms(seconds: float) -> int:
    """Return a duration in milliseconds, rounded up; half a microsecond too much doesn't count."""
    return math.ceil(seconds * 1000 - _TOLERANCE_S * 500)


def whole_s(seconds: float) -> int:
    """Return a duration in seconds, rounded up; half a microsecond too much doesn't count."""
    return math.ceil(seconds - _TOLERANCE_S / 2)


def go_duration(seconds: float) -> str:
    """Return a duration as Go's time.Duration writes it, in whole milliseconds: "12ms", "1m30.5s", "2h45m0s".

    Source: https://pkg.go.dev/time#Duration.String
    """
    whole, ms = divmod(whole_ms(seconds), 1000)
    if ms and not whole:
        return f"{ms}ms"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest}.{ms:03}".rstrip("0") if ms else str(rest)
    if hours:
        return f"{hours}h{minutes}m{text}s"
    return f"{minutes}m{text}s" if minutes else f"{text}s"
