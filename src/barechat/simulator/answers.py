"""What is sent: the API's reply, its refusal, or what a fault puts in their place? Pure, and before any fault strikes.

`plan.py` then lays an answer out on the wire.
"""

import http
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from barechat.simulator.refusals import Refusal
from barechat.simulator.request import Request
from barechat.simulator.scenario import Fault
from barechat.simulator.script import Piece, Reply, events, identity, whole

_SSE: Final = "text/event-stream; charset=utf-8"
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_REQUEST_LIMIT: Final = 10_000
_TOKEN_LIMIT: Final = 200_000
_encode: Final = msgspec.json.Encoder().encode
# status: message, type, code
_ERRORS: Final = {
    400: ("The simulator's scenario refuses this request.", "invalid_request_error", "invalid_value"),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    403: ("Country, region, or territory not supported.", "request_forbidden", "unsupported_country_region_territory"),
    404: ("The model does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"),
    429: ("Rate limit reached for requests. Please try again later.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request. Sorry about that!", "server_error", "server_error"),
    503: ("The server is overloaded. Please try again later.", "service_unavailable_error", "server_is_overloaded"),
}


class Pace(msgspec.Struct, frozen=True):
    """Seconds to the first token, and tokens a second after it (0: all at once)."""

    first_token_s: float = 0.0
    tokens_per_s: float = 0.0

    def under(self, fault: Fault) -> "Pace":
        """Return this pace with what the fault sets put in its place."""
        first, rate = fault.first_token_s, fault.tokens_per_s
        return Pace(self.first_token_s if first is None else first, self.tokens_per_s if rate is None else rate)

    def at(self, token: int) -> float:
        """Return when a token is due, in seconds after the request came."""
        return self.first_token_s + (token / self.tokens_per_s if self.tokens_per_s else 0.0)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent.

    `contents` is how many content pieces there are, `pace` when they go out, `head_due_s` when the head does, and
    `length` the body's size where it is told beforehand: a stream has none.
    """

    status: int
    content_type: str
    pieces: Iterator[Piece]
    contents: int = 0
    pace: Pace = Pace()
    head_due_s: float = 0.0
    length: int | None = None


def choose_answer(request: Request, outcome: Reply | Refusal | None, fault: Fault, pace: Pace) -> Answer:
    """Return the fault's own answer if it has one, else the refusal or the reply.

    `outcome` may be None only for a fault that answers by itself; `pace` is the one under the fault.
    """
    if (raw := fault.raw_bytes) is not None:
        return _raw(raw, fault, pace)
    own_wait_s = fault.first_token_s or 0.0
    if fault.answers_itself:
        kind = fault.content_type or (_TEXT if isinstance(fault.body, str) else _JSON)
        return _fixed(fault.status or 200, _fault_body(fault), kind, fault, own_wait_s)
    if isinstance(outcome, Refusal):
        return _fixed(outcome.status, _encode({"error": outcome.error}), _JSON, fault, own_wait_s)
    if outcome is None:
        raise ValueError("a request without a reply needs a fault with an answer of its own")
    if request.stream:
        return Answer(
            status=fault.status or 200,
            content_type=fault.content_type or _SSE,
            pieces=events(outcome, include_usage=request.include_usage, omit=fault.omit),
            contents=outcome.completion_tokens,
            pace=pace,
        )
    body = whole(outcome, omit=fault.omit)
    if fault.error_after is not None:
        body = _encode({"error": error_object(fault)})
    return _fixed(fault.status or 200, body, fault.content_type or _JSON, fault, pace.at(outcome.longest))


def error_object(fault: Fault) -> Any:
    """Return the error that a fault announces within a body."""
    return fault.error if fault.error is not None else _api_error(500)


def api_headers(request: Request, *, seed: int, attempt: int, processing_s: float) -> dict[str, str]:
    """Return the headers that the API adds to its answers; the limits are roomy and never run out."""
    tokens = sum(len(text.split()) for text in request.texts) + (request.max_tokens or 16)
    used = min(tokens, _TOKEN_LIMIT)
    return {
        "x-request-id": f"req_{identity(seed, request.digest, attempt).hex()[:32]}",
        "openai-version": "2020-10-01",
        "openai-processing-ms": str(1 + round(processing_s * 1000)),
        "x-ratelimit-limit-requests": str(_REQUEST_LIMIT),
        "x-ratelimit-limit-tokens": str(_TOKEN_LIMIT),
        "x-ratelimit-remaining-requests": str(_REQUEST_LIMIT - 1),
        "x-ratelimit-remaining-tokens": str(_TOKEN_LIMIT - used),
        "x-ratelimit-reset-requests": "8.64s",
        "x-ratelimit-reset-tokens": f"{max(1, round(used * 60_000 / _TOKEN_LIMIT))}ms",
    }


def _raw(data: bytes, fault: Fault, pace: Pace) -> Answer:
    parts: list[bytes] = []
    for size in fault.raw_chunks or ():
        parts.append(data[:size])
        data = data[size:]
    parts = [part for part in (*parts, data) if part]
    return Answer(
        status=fault.status or 200,
        content_type=fault.content_type or _SSE,
        pieces=(Piece(part, is_content=True, token=index) for index, part in enumerate(parts)),
        contents=len(parts),
        pace=pace,
    )


def _fixed(status: int, body: bytes, content_type: str, fault: Fault, head_due_s: float) -> Answer:
    """Answer with a whole body, in two halves when something is to happen between them."""
    half = len(body) // 2 if fault.breaks_off else 0
    length = len(body)
    if fault.cut_after is not None and fault.clean:
        length = half if fault.cut_after else 0
    halves = [Piece(body[:half], is_content=half > 0), Piece(body[half:])]
    return Answer(
        status=status,
        content_type=content_type,
        pieces=iter([piece for piece in halves if piece.data]),
        contents=min(half, 1),
        head_due_s=head_due_s,
        length=length,
    )


def _fault_body(fault: Fault) -> bytes:
    if isinstance(fault.body, str):
        return fault.body.encode()
    if fault.body is not None:
        return _encode(fault.body)
    status = fault.status or 200
    return _encode({"error": _api_error(status)}) if status >= http.HTTPStatus.BAD_REQUEST else b""


def _api_error(status: int) -> dict[str, str | None]:
    nearest = 500 if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else 400
    message, kind, code = _ERRORS.get(status, _ERRORS[nearest])
    return {"message": message, "type": kind, "param": None, "code": code}
