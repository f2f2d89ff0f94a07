"""May this be tried again, and after how long.

The policy in one place, pure: what failed and what the server said of it go in, a delay or None comes out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from barechat.errors import (
    ApiError,
    AuthenticationFailed,
    BadRequest,
    BarechatError,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    NotFound,
    PermissionDenied,
    QuotaExhausted,
    StreamTruncated,
    TooLarge,
)
from barechat.records import Attempt, RateLimits  # noqa: TC001 - a public signature resolves at run time

RETRY_STATUSES = frozenset({408, 409, 425, 429, *range(500, 600)} - {501, 505})
_TOKENS_A_RETRY = 5
_ENDLESS_S = 1e9  # thirty years; no clock's sleep takes much more
_OK = 200
_TOO_MANY_REQUESTS = 429
_CALLERS_FAULT = (AuthenticationFailed, BadRequest, NotFound, PermissionDenied, TooLarge)

Uniform = Callable[[float, float], float]


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When a failed attempt is tried again.

    max_attempts: tries in all, the first one included.
    base_s, cap_s: own delays grow from base_s twofold up to cap_s; each is drawn from the upper half.
    max_server_delay_s: a longer delay asked for by the server is not waited for; the error carries it.
    retry_statuses: the statuses that are tried again; x-should-retry overrides them, an exhausted quota never is.
    resend_after_timeout: whether a request that was sent and timed out is sent again. It may be billed twice.
    attempt_s: how long one try at a whole reply may take before it counts as timed out (which="first_byte"); None for
        as long as the whole call may. Streams have first_byte_s and idle_s instead.
    retry_budget: the size of the token bucket that keeps an outage from being multiplied: a retry takes 5 tokens, a
        success gives 1 back, a retry after a 429 with a delay takes none. All of a process's clients of one server
        draw from the same; each call's policy says how much may be gone. 0 for no other retry, None for no limit.
    on_retry: called before each wait with the failed `Attempt`; what it raises ends the call. An AsyncClient awaits
        what it returns, if that can be awaited.
    """

    max_attempts: int = 5
    base_s: float = 1.0
    cap_s: float = 60.0
    max_server_delay_s: float = 120.0
    retry_statuses: frozenset[int] = RETRY_STATUSES
    resend_after_timeout: bool = False
    attempt_s: float | None = None
    retry_budget: int | None = 100
    on_retry: Callable[[Attempt], object] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "retry_statuses", frozenset(self.retry_statuses))
        _check_whole("max_attempts", self.max_attempts, 1)
        if self.retry_budget is not None:
            _check_whole("retry_budget", self.retry_budget, 0)
        for name in ("base_s", "cap_s", "max_server_delay_s"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < _ENDLESS_S:
                raise ConfigurationError(f"RetryPolicy: {name} must be a number of seconds, not {value!r}")
        if self.attempt_s is not None and not (_is_number(self.attempt_s) and self.attempt_s > 0):
            raise ConfigurationError(f"RetryPolicy: attempt_s must be above 0 seconds, or None, not {self.attempt_s!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"RetryPolicy: {name} must be a whole number from {least}, not {value!r}")


class RetryBudget:
    """What is gone of a server's bucket of retry tokens, for all calls of all threads.

    Without a lock, which a fork could copy locked: an update that is lost now and then costs a token.
    """

    def __init__(self) -> None:
        self._gone = 0

    def take(self, size: int | None) -> bool:
        """Take a retry's tokens from a bucket of this size; False if there are too few left."""
        if size is None:
            return True
        if self._gone + _TOKENS_A_RETRY > size:
            return False
        self._gone += _TOKENS_A_RETRY
        return True

    def give(self) -> None:
        """Put a success's token back."""
        self._gone = max(self._gone - 1, 0)


_budgets: WeakValueDictionary[str, RetryBudget] = WeakValueDictionary()


def budget_of(url: str) -> RetryBudget:
    """Return the budget of a URL's server: the same for all who ask, as long as one of them lives.

    One a process and not one a client, since a program may make a client for each of its threads, users or calls, and
    each with a budget of its own would multiply an outage anew.
    """
    parts = urlsplit(url)
    return _budgets.setdefault(f"{parts.scheme}://{parts.netloc}".lower(), RetryBudget())


@dataclass(frozen=True)
class Failure:
    """What is known of a failed attempt: the error, the head of the answer, and whether output had been handed on."""

    error: BarechatError
    headers: Mapping[str, str]
    limits: RateLimits
    output_begun: bool


def delay_s(policy: RetryPolicy, failure: Failure, number: int, uniform: Uniform) -> float | None:
    """Return how long to wait before try `number` + 1, or None if there is to be none."""
    if number >= policy.max_attempts or not _is_curable(policy, failure):
        return None
    asked_s = failure.error.retry_after_s
    if asked_s is not None:
        if asked_s > policy.max_server_delay_s:
            return None
        return asked_s + uniform(0.0, max(0.1 * asked_s, 1.0))
    ceiling = min(policy.base_s * 2.0 ** min(number - 1, 60), policy.cap_s)
    if failure.error.status == _TOO_MANY_REQUESTS:
        ceiling = min(ceiling, _full_again_s(failure.limits))
    return uniform(ceiling / 2, ceiling)


def is_paid_by_server(failure: Failure) -> bool:
    """Say whether the server itself spread its clients out, with a 429 and a delay: such a retry takes no tokens."""
    return failure.error.status == _TOO_MANY_REQUESTS and failure.error.retry_after_s is not None


def _is_curable(policy: RetryPolicy, failure: Failure) -> bool:
    error = failure.error
    if failure.output_begun or isinstance(error, QuotaExhausted):
        return False
    if isinstance(error, ApiError):
        word = failure.headers.get("x-should-retry", "").strip().lower()
        if word in {"true", "false"}:
            return word == "true"
        if error.status == _OK:  # an error in a 200's body: its class is all there is to go by
            return not isinstance(error, _CALLERS_FAULT)
        return error.status in policy.retry_statuses
    if isinstance(error, DeadlineExceeded):
        return error.which != "total" and (error.sent is False or policy.resend_after_timeout)
    return isinstance(error, StreamTruncated) or (isinstance(error, ConnectionFailed) and error.retryable)


def _full_again_s(limits: RateLimits) -> float:
    """Return when what ran out is full again (inf if nobody says); the wait for one place is never longer than that."""
    resets = [
        reset
        for remaining, reset in (
            (limits.remaining_requests, limits.reset_requests_s),
            (limits.remaining_tokens, limits.reset_tokens_s),
        )
        if remaining == 0 and reset  # 0 s would be no answer to a server that just refused
    ]
    return max(resets, default=math.inf)
