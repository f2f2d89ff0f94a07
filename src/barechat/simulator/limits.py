"""Is a request within its limits, and what is its client told of them? Pure: readings of a clock come in.

What is enforced is a bucket for each rate (`buckets.py`). The words are those of the official API:
https://platform.openai.com/docs/guides/rate-limits.
"""

import email.utils
import math
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from barechat.simulator.buckets import Buckets, go_duration, whole_ms, whole_s
from barechat.simulator.refusals import Refusal

# The bounds keep every wait within the years that a date can tell.
_Rate = Annotated[float, Meta(ge=0.001, le=1e12)]
_Seconds = Annotated[float, Meta(ge=0, le=1e9)]
_Count = Annotated[int, Meta(ge=1)]
_RetryStyle = Literal["s", "date", "none"]
_QuotaCode = Literal["insufficient_quota", "credit_balance_exhausted"]
# False, a key and a model; or True and the `key` and `model` of a limit that is shared.
_Owner = tuple[bool, str | None, str | None]

_ROOMY_REQUESTS: Final = 10_000
_ROOMY_TOKENS: Final = 200_000
_ROOMY_RESET_S: Final = 8.64
_FEWEST_SWEPT: Final = 1024
_VISIT: Final = "Visit https://platform.openai.com/account/rate-limits to learn more."
_QUOTA_MESSAGES: Final = {
    "insufficient_quota": "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
    "credit_balance_exhausted": "You have no credits remaining. Add credits to continue using the API at "
    "https://platform.openai.com/settings/organization/billing/.",
}


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One limit: which requests it meets, how much they may, and how it is told.

    `key` is what the API key starts with; `from_s` and `until_s` count from the simulator's start. `burst_s` is how
    many seconds of its rate a minute's bucket holds (a day's holds the day). The request that uses up a quota is the
    last one answered.
    """

    # which requests
    key: str | None = None
    model: str | None = None
    from_s: _Seconds = 0.0
    until_s: _Seconds | None = None
    shared: bool = False
    # how much
    requests_per_min: _Rate | None = None
    tokens_per_min: _Rate | None = None
    requests_per_day: _Rate | None = None
    burst_s: Annotated[float, Meta(gt=0, le=1e9)] = 60.0
    concurrent: _Count | None = None
    quota_requests: _Count | None = None
    quota_tokens: _Count | None = None
    count_refused: bool = False
    # how it is told
    quota_code: _QuotaCode = "insufficient_quota"
    retry_after: _RetryStyle = "s"
    headers: bool = True

    def __post_init__(self) -> None:
        """Refuse a time that ends before it begins."""
        if self.until_s is not None and self.until_s <= self.from_s:
            raise ValueError("`until_s` is not after `from_s`")

    @property
    def has_quota(self) -> bool:
        """Whether what it gives is used up for good one day."""
        return self.quota_requests is not None or self.quota_tokens is not None

    def meets(self, key: str | None, model: str | None) -> bool:
        """Say whether a request with this key for this model is meant, whatever the time."""
        return (self.model is None or self.model == model) and (self.key is None or (key or "").startswith(self.key))


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about a request, and how its limits stand after it; None where there is no such limit.

    `reset_*_s` is how long until the bucket is full; `ticket` is the simulator's own name for it, 0 when it holds
    nothing.
    """

    now: float
    refusal: Refusal | None = None
    retry_after_s: float | None = None
    limit_requests: int | None = None
    limit_tokens: int | None = None
    remaining_requests: int | None = None
    remaining_tokens: int | None = None
    reset_requests_s: float | None = None
    reset_tokens_s: float | None = None
    retry_style: _RetryStyle = "s"
    is_told: bool = True
    ticket: int = 0


def openai_headers(admission: Admission) -> dict[str, str]:
    """Return the x-ratelimit-* headers with resets as Go durations; those of a limit that isn't set are left out."""
    if not admission.is_told:
        return {}
    requests_s, tokens_s = admission.reset_requests_s, admission.reset_tokens_s
    headers = {
        "x-ratelimit-limit-requests": admission.limit_requests,
        "x-ratelimit-limit-tokens": admission.limit_tokens,
        "x-ratelimit-remaining-requests": admission.remaining_requests,
        "x-ratelimit-remaining-tokens": admission.remaining_tokens,
        "x-ratelimit-reset-requests": None if requests_s is None else go_duration(requests_s),
        "x-ratelimit-reset-tokens": None if tokens_s is None else go_duration(tokens_s),
    }
    return {name: str(value) for name, value in headers.items() if value is not None}


def azure_headers(admission: Admission) -> dict[str, str]:
    """Return the x-ratelimit-* headers with resets in whole seconds; an unknown limit or remainder is -1."""
    if not admission.is_told:
        return {}
    headers = {
        "x-ratelimit-limit-requests": admission.limit_requests,
        "x-ratelimit-limit-tokens": admission.limit_tokens,
        "x-ratelimit-remaining-requests": admission.remaining_requests,
        "x-ratelimit-remaining-tokens": admission.remaining_tokens,
    }
    return {
        **{name: "-1" if value is None else str(value) for name, value in headers.items()},
        "x-ratelimit-reset-requests": str(whole_s(admission.reset_requests_s or 0.0)),
        "x-ratelimit-reset-tokens": str(whole_s(admission.reset_tokens_s or 0.0)),
    }


def retry_headers(admission: Admission) -> dict[str, str]:
    """Return the headers that say when to try again: none unless the request was refused and waiting helps.

    A date has whole seconds, so it is the next one; it needs a clock that counts from the epoch.
    """
    delay_s = admission.retry_after_s
    if delay_s is None or admission.retry_style == "none":
        return {}
    if admission.retry_style == "date":
        return {"retry-after": email.utils.formatdate(math.ceil(admission.now + delay_s), usegmt=True)}
    return {"retry-after": str(whole_s(delay_s)), "retry-after-ms": str(whole_ms(delay_s))}


class _Account:
    """What one owner has left under a limit, what it has spent, and how many of its answers are under way."""

    __slots__ = ("_answered", "_buckets", "_spent_tokens", "limit", "running")

    def __init__(self, limit: Limit, at_s: float) -> None:
        self.running = 0
        self._answered = 0
        self._spent_tokens = 0
        self._buckets = Buckets()
        self.follow(limit, at_s)

    def follow(self, limit: Limit, at_s: float) -> None:
        """Go on under another limit with what is left."""
        self.limit = limit
        self._buckets.refit(
            requests_per_min=limit.requests_per_min,
            requests_per_day=limit.requests_per_day,
            tokens_per_min=limit.tokens_per_min,
            burst_s=limit.burst_s,
            now_s=at_s,
        )

    def decide(self, model: str | None, tokens: int, at_s: float) -> tuple[Refusal | None, float | None]:
        """Take all that the request needs, or return the refusal and, if it is known, when to try again."""
        name = model or "unknown"
        refusal = self._refuse_quota() or self._refuse_size(name, tokens) or self._refuse_crowd(name)
        if refusal is None and self._buckets.shortage(tokens, at_s) is None:
            self._take(tokens, at_s)
            return None, None
        if self.limit.count_refused:
            self._buckets.drain_request(at_s)
        shortage = self._buckets.shortage(tokens, at_s)
        if refusal is not None or shortage is None:
            return refusal, None
        delay_s = whole_ms(shortage.wait_s) / 1000
        most, left = shortage.bucket.limit, shortage.bucket.remaining(at_s)
        counts = f"Limit {most}, Used {max(0, most - left)}, Requested {shortage.requested}"
        return _reached(name, shortage.what, f"{counts}. Please try again in {go_duration(delay_s)}"), delay_s

    def describe(
        self, at_s: float, now: float, refusal: Refusal | None, delay_s: float | None, ticket: int
    ) -> Admission:
        """Return a decision and how things stand after it."""
        requests, tokens = self._buckets.requests(at_s), self._buckets.tokens
        return Admission(
            now=now,
            refusal=refusal,
            retry_after_s=delay_s,
            limit_requests=None if requests is None else requests.limit,
            limit_tokens=None if tokens is None else tokens.limit,
            remaining_requests=None if requests is None else requests.remaining(at_s),
            remaining_tokens=None if tokens is None else tokens.remaining(at_s),
            reset_requests_s=None if requests is None else requests.reset_s(at_s),
            reset_tokens_s=None if tokens is None else tokens.reset_s(at_s),
            retry_style=self.limit.retry_after,
            is_told=self.limit.headers,
            ticket=ticket,
        )

    def can_be_forgotten(self, at_s: float) -> bool:
        """Say whether a new account would be the same."""
        return not (self.running or self._answered) and self._buckets.are_full(at_s)

    def _take(self, tokens: int, at_s: float) -> None:
        self._buckets.take(tokens, at_s)
        if self.limit.has_quota:
            self._answered += 1
            self._spent_tokens += tokens

    def _refuse_quota(self) -> Refusal | None:
        requests, tokens, code = self.limit.quota_requests, self.limit.quota_tokens, self.limit.quota_code
        if (requests is None or self._answered < requests) and (tokens is None or self._spent_tokens < tokens):
            return None
        return Refusal(status=429, message=_QUOTA_MESSAGES[code], type="insufficient_quota", code=code)

    def _refuse_size(self, name: str, tokens: int) -> Refusal | None:
        """Refuse what the bucket could not hold if it were full."""
        bucket = self._buckets.tokens
        if bucket is None or tokens <= bucket.capacity:
            return None
        return Refusal(
            status=429,
            message=f"Request too large for {name} in organization org-simulated on tokens per min (TPM): "
            f"Limit {math.floor(bucket.capacity)}, Requested {tokens}. "
            f"The input or output tokens must be reduced in order to run successfully. {_VISIT}",
            type="tokens",
            code="rate_limit_exceeded",
        )

    def _refuse_crowd(self, name: str) -> Refusal | None:
        most = self.limit.concurrent
        if most is None or self.running < most:
            return None
        return _reached(name, "concurrent requests", f"Limit {most}, Used {self.running}, Requested 1")


class Limits:
    """Limits in their order, and what each key and model has left; the first limit that meets a request applies.

    `started` and every `now` are readings of one clock in seconds; one that goes backwards is taken to stand still.
    """

    def __init__(self, limits: Sequence[Limit], *, started: float) -> None:
        self._started = started
        self._at_s = 0.0
        self._accounts: dict[_Owner, _Account] = {}
        self._sweep_above = _FEWEST_SWEPT
        self._running: dict[int, _Account] = {}
        self._tickets = 0
        self._set(limits)

    def admit(self, key: str | None, model: str | None, tokens: int, now: float) -> Admission:
        """Decide about a request that came now; whoever was admitted is to be released when the answer has ended."""
        at_s = self._advance(now)
        limit = self._find(key, model)
        if limit is None:
            return roomy(tokens, now)
        account = self._account(limit, key, model)
        refusal, delay_s = account.decide(model, tokens, at_s)
        ticket = 0
        if refusal is None:
            self._tickets += 1
            ticket = self._tickets
            account.running += 1
            self._running[ticket] = account
        return account.describe(at_s, now, refusal, delay_s, ticket)

    def release(self, admission: Admission) -> None:
        """Note that an answer has ended; once more, or after a refusal, it changes nothing."""
        account = self._running.pop(admission.ticket, None)
        if account is not None:
            account.running -= 1

    def change(self, limits: Sequence[Limit], now: float) -> None:
        """Put other limits in place of these; whoever has spent something goes on with what is left."""
        self._advance(now)
        self._set(limits)

    def _set(self, limits: Sequence[Limit]) -> None:
        self._limits = tuple(limits)
        moments = {limit.from_s for limit in limits} | {limit.until_s for limit in limits if limit.until_s is not None}
        self._turns_s = sorted((moment for moment in moments if moment > self._at_s), reverse=True)
        self._turn(self._at_s)

    def _advance(self, now: float) -> float:
        """Return the time since the start, and let the limits change that do so by then."""
        at_s = max(self._at_s, now - self._started)
        while self._turns_s and self._turns_s[-1] <= at_s:
            self._turn(self._turns_s.pop())
        self._at_s = at_s
        return at_s

    def _turn(self, at_s: float) -> None:
        """Let the limits of a moment apply, and every account go on under its own from then."""
        self._current = [
            limit for limit in self._limits if limit.from_s <= at_s and (limit.until_s is None or at_s < limit.until_s)
        ]
        for owner, account in self._accounts.items():
            limit = self._find_for(owner)
            if limit is not None and limit is not account.limit:
                account.follow(limit, at_s)

    def _find(self, key: str | None, model: str | None) -> Limit | None:
        for limit in self._current:
            if limit.meets(key, model):
                return limit
        return None

    def _find_for(self, owner: _Owner) -> Limit | None:
        is_shared, key, model = owner
        if is_shared:
            return next((limit for limit in self._current if _owner(limit, key, model) == owner), None)
        limit = self._find(key, model)
        return None if limit is None or limit.shared else limit

    def _account(self, limit: Limit, key: str | None, model: str | None) -> _Account:
        owner = _owner(limit, key, model)
        account = self._accounts.get(owner)
        if account is None:
            if len(self._accounts) >= self._sweep_above:
                self._sweep()
            account = self._accounts[owner] = _Account(limit, self._at_s)
        return account

    def _sweep(self) -> None:
        """Forget who has nothing to remember; seldom enough that a request's share of it is small."""
        kept = {owner: one for owner, one in self._accounts.items() if not one.can_be_forgotten(self._at_s)}
        self._accounts = kept
        self._sweep_above = max(_FEWEST_SWEPT, 2 * len(kept))


def _owner(limit: Limit, key: str | None, model: str | None) -> _Owner:
    return (True, limit.key, limit.model) if limit.shared else (False, key, model)


def _reached(name: str, what: str, counts: str) -> Refusal:
    return Refusal(
        status=429,
        message=f"Rate limit reached for {name} in organization org-simulated on {what}: {counts}. {_VISIT}",
        type="tokens" if what.startswith("tokens") else "requests",
        code="rate_limit_exceeded",
    )


def roomy(tokens: int, now: float) -> Admission:
    """Return the admission of a request that no limit meets: it is told of limits, but they never run out."""
    used = min(tokens, _ROOMY_TOKENS)
    return Admission(
        now=now,
        limit_requests=_ROOMY_REQUESTS,
        limit_tokens=_ROOMY_TOKENS,
        remaining_requests=_ROOMY_REQUESTS - 1,
        remaining_tokens=_ROOMY_TOKENS - used,
        reset_requests_s=_ROOMY_RESET_S,
        reset_tokens_s=used * 60 / _ROOMY_TOKENS,
    )
