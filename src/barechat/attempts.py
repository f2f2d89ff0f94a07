"""What is known of one attempt: while it is made, and once it has ended, for the reply and for the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from barechat.errors import ConnectionFailed
from barechat.money.entry import Entry
from barechat.records import Attempt
from barechat.usage import read_usage
from barechat.wire.secret import without

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barechat.receipt import Call
    from barechat.records import Cost
    from barechat.wire.request import Request

_REQUEST_ID_HEADERS = ("x-request-id", "apim-request-id", "x-ms-request-id", "request-id")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: its error's class, sentence and code, if any, and the wait after it, if another follows."""

    error: str | None = None
    message: str | None = None
    code: str | None = None
    delay_s: float | None = None


ANSWERED = Outcome()


@dataclass(slots=True)
class Try:
    """One attempt in the making."""

    number: int
    key: str  # unlike any other attempt's
    client_request_id: str
    started: float
    at: float  # the time of day
    asked: float = 0.0  # when its request was handed to the transport
    paused: float = 0.0  # seconds that the caller's own loop took
    sent: bool | None = False
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    first_byte: float | None = None
    cost: Cost | None = None  # set once it is known better than the bound
    raw: Mapping[str, Any] = field(default_factory=dict)  # the reply, once it has come
    is_held: bool = False  # whether budgets may hold something for it
    has_ended: bool = False

    def leave(self) -> None:
        """From now on nobody knows whether the request reached the server. What has ended can't leave any more."""
        if self.has_ended:
            raise ConnectionFailed("the call was closed before its request was sent", sent=False)
        self.sent = None

    def end(self, outcome: Outcome, cost: Cost, now: float, secrets: frozenset[str]) -> Attempt:
        """End it, and return what the caller is told of it, without any secret that the server repeated."""
        self.has_ended = True
        request_id = _request_id(self.headers)
        return Attempt(
            number=self.number,
            client_request_id=self.client_request_id,
            request_id=without(secrets, request_id),
            status=self.status,
            error=outcome.error,
            message=without(secrets, outcome.message),
            code=without(secrets, outcome.code),
            sent=self.sent,
            elapsed_s=now - self.started - self.paused,
            first_byte_s=None if self.first_byte is None else self.first_byte - self.started,
            delay_s=outcome.delay_s,
            cost=cost,
        )


def _request_id(headers: Mapping[str, str]) -> str | None:
    for name in _REQUEST_ID_HEADERS:
        if name in headers:
            return headers[name]
    return None


def entry_of(this: Try, attempt: Attempt, call: Call, request: Request) -> Entry:
    """Return what the ledger is told of an attempt that has ended."""
    cost, counted = this.cost, this.raw.get("usage")
    usage = read_usage(counted)
    options = request.payload.get("prompt_cache_options")
    return Entry(
        key=this.key,
        at=this.at,
        model=request.model,
        tags=dict(call.tags),
        cost=attempt.cost,
        is_known=this.sent is False
        or (cost is not None and cost.picodollars is not None and cost.certainty != "estimate"),
        is_held=this.is_held,
        served=_text(this.raw.get("model")),
        tier=_text(request.payload.get("service_tier")),
        served_tier=_text(this.raw.get("service_tier")),
        status=attempt.status,
        error=attempt.error,
        code=attempt.code,
        request_id=attempt.request_id,
        client_request_id=attempt.client_request_id,
        usage=counted if isinstance(counted, dict) else None,
        cache_ttl=_text(options.get("ttl")) if isinstance(options, dict) else None,
        input_tokens=None if usage is None else usage.prompt_tokens,
        output_tokens=None if usage is None else usage.completion_tokens,
        elapsed_s=attempt.elapsed_s,
        first_byte_s=attempt.first_byte_s,
        price_version=call.prices.version,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
