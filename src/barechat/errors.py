"""Every exception that barechat raises: what can go wrong, and what is known when it does.

    BarechatError
    ├─ ConfigurationError        no key, a bad URL
    ├─ ParameterError            (ValueError)        refused before anything was sent
    ├─ BudgetExceeded            money is held by running calls, or the call can never fit
    ├─ ConnectionFailed          (ConnectionError)   name resolution, refused, TLS, reset
    ├─ DeadlineExceeded          (TimeoutError)      connect, first_byte, idle or total
    ├─ ApiError                  the server's own word: whole, in a 200's body, or mid-stream
    │  ├─ BadRequest             (ValueError)        400, 422
    │  │  ├─ ContextTooLong
    │  │  └─ ContentFiltered
    │  ├─ AuthenticationFailed   (PermissionError, ValueError) 401
    │  ├─ PermissionDenied       (PermissionError)   403
    │  ├─ NotFound                                   404
    │  ├─ Conflict                                   409
    │  ├─ TooLarge                                   413
    │  ├─ RateLimited            (RuntimeError)      429
    │  │  └─ QuotaExhausted      never tried again
    │  └─ ServerFailed           (ConnectionError)   5xx
    │     └─ Overloaded                              503, 529
    ├─ StreamTruncated           the answer's bytes ended before the answer did
    ├─ ProtocolBroken            not HTTP, not JSON, not UTF-8, not an object, no choices
    ├─ AnswerUnusable            a whole answer, but not the one that `parse` or `run` was to bring
    │  ├─ AnswerMismatched       not of the type, each time it was asked for
    │  ├─ AnswerRefused          the model declined
    │  ├─ AnswerLimited          cut at a length
    │  └─ AnswerFiltered         cut by the content filter
    └─ RunUnfinished             `run` ended before the model had its answer
       ├─ RoundsExceeded         it called tools in each of max_rounds rounds
       └─ ToolsFailed            none of its calls worked, several rounds in a row

Rules at this file's heart, beside OSError's odd layout: facts are keyword arguments, `super().__init__` gets one
sentence and nothing else (two arguments would set errno), and no class here has `__slots__`. So every error
pickles and copies with all its facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from barechat.records import Attempt, Cost, Reply

Which = Literal["connect", "first_byte", "idle", "total"]


class BarechatError(Exception):
    """The one base. Catch it for everything; catch a subclass by its cause.

    Facts, each None or empty where unknown:
        status: the HTTP status; code, type, param: the server's own words for the fault.
        request_id: the server's id of the attempt, for its support.
        retry_after_s: the delay that the server asked for, in seconds.
        attempts: one `Attempt` for each try that was made.
        partial: the `Reply` so far, where an answer had begun.
        cost: what the call may have cost, all its attempts together.
        body: the first bytes of the answer's body.
        messages: the conversation so far, where `run` was on its way; it can go on from there.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        type: str | None = None,  # noqa: A002 - the wire's own name
        param: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        attempts: tuple[Attempt, ...] = (),
        partial: Reply | None = None,
        cost: Cost | None = None,
        body: bytes | None = None,
        messages: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.type = type
        self.param = param
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.attempts = attempts
        self.partial = partial
        self.cost = cost
        self.body = body
        self.messages = messages


class ConfigurationError(BarechatError):
    """The client can't be built as asked: no key, a bad URL, a bad file. Nothing was sent."""


class ParameterError(BarechatError, ValueError):
    """A parameter or message that the API is documented to refuse. Nothing was sent. `param` names it."""


class BudgetExceeded(BarechatError):
    """The call's largest cost doesn't fit the budget. `fits_later` is True if running calls hold the room."""

    def __init__(self, message: str, *, fits_later: bool = False, cost: Cost | None = None) -> None:
        super().__init__(message, cost=cost)
        self.fits_later = fits_later


class ConnectionFailed(BarechatError, ConnectionError):
    """No answer came because the connection failed.

    `sent` is False if the request surely never left, True if it surely arrived, None if nobody knows. `retryable` is
    False if another try would fail the same way, as with a certificate that can't be verified.
    """

    def __init__(self, message: str, *, sent: bool | None = None, retryable: bool = True) -> None:
        super().__init__(message)
        self.sent = sent
        self.retryable = retryable


class DeadlineExceeded(BarechatError, TimeoutError):
    """A deadline passed. `which` is connect, first_byte, idle or total; `sent` as in ConnectionFailed."""

    def __init__(self, message: str, *, which: Which = "total", sent: bool | None = None) -> None:
        super().__init__(message)
        self.which = which
        self.sent = sent


class ApiError(BarechatError):
    """The server answered with an error, in its status, in a 200's body or in mid-stream."""


class BadRequest(ApiError, ValueError):
    """400 or 422: the request itself is at fault."""


class ContextTooLong(BadRequest):
    """The messages, or they and the asked-for reply, don't fit the model's context window."""


class ContentFiltered(BadRequest):
    """The server's content filter refused the request."""


class AuthenticationFailed(ApiError, PermissionError, ValueError):
    """401: the key is missing, wrong or revoked."""


class PermissionDenied(ApiError, PermissionError):
    """403: the key is good, but not for this."""


class NotFound(ApiError):
    """404: no such model, deployment or path."""


class Conflict(ApiError):
    """409: the request is at odds with something that the server is doing."""


class TooLarge(ApiError):
    """413: the request's body is larger than the server takes."""


class RateLimited(ApiError, RuntimeError):
    """429: too many requests or tokens for now. `retry_after_s` is the server's own delay, if it gave one."""


class QuotaExhausted(RateLimited):
    """429 that no wait can cure: the account has no credit left. Never tried again."""


class ServerFailed(ApiError, ConnectionError):
    """5xx: the server failed."""


class Overloaded(ServerFailed):
    """503 or 529: the server has more work than it can do."""


class StreamTruncated(BarechatError):
    """The answer's bytes ended before the answer did. `partial` holds what came, `cost` the most it can cost."""


class ProtocolBroken(BarechatError):
    """What came is not the protocol. `body` quotes its first bytes."""


class AnswerUnusable(BarechatError):
    """The model answered, but there is nothing to use in it. `partial` is the answer, `cost` that of all tries."""


class AnswerMismatched(AnswerUnusable):
    """The answer isn't of the type that was asked for, and wasn't when it was asked for again."""


class AnswerRefused(AnswerUnusable):
    """The model declined to answer. `partial.message.refusal` is what it said instead."""


class AnswerLimited(AnswerUnusable):
    """The answer was cut at a length, its own limit or the context's, before a value or tool call was whole."""


class AnswerFiltered(AnswerUnusable):
    """The answer was cut by the server's content filter before a value or tool call was whole."""


class RunUnfinished(BarechatError):
    """`run` ended before the model had its answer. `messages` holds all that was said, `cost` what it cost."""


class RoundsExceeded(RunUnfinished):
    """The model called tools in each of `max_rounds` rounds. The last round's calls, in `partial`, were not made."""


class ToolsFailed(RunUnfinished):
    """None of the model's calls worked, several rounds in a row. What it was told of them is in `messages`."""
