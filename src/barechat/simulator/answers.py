"""What is sent: the API's reply, its refusal, or what a fault puts in their place? Pure, and before any fault strikes.

`plan.py` then lays an answer out on the wire.
"""

import gzip
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from barechat.simulator.bodies import whole
from barechat.simulator.dialect import JSON, TEXT, Dialect, ErrorBody
from barechat.simulator.errors import ERRORS, error_of
from barechat.simulator.events import Piece, events
from barechat.simulator.fault import Fault, Garbage
from barechat.simulator.refusals import Refusal
from barechat.simulator.reply import Reply
from barechat.simulator.request import Request

_SSE: Final = "text/event-stream; charset=utf-8"
_FIRST_ERROR: Final = 400
_encode: Final = msgspec.json.Encoder().encode
_GARBAGE: Final[dict[Garbage, bytes]] = {
    "utf8": b'data: {"id":"chatcmpl-\xff\xfe","object":"chat.completion.chunk","choices":[]}\n\n',
    "json": b'data: {"id":"chatcmpl-0","object":"chat.completion.chunk","choices":[{"delta":\n\n',
    "binary": bytes(range(256)),
}


class Pace(msgspec.Struct, frozen=True):
    """Seconds to the first token, and tokens a second after it (0: all at once)."""

    first_token_s: float = 0.0
    tokens_per_s: float = 0.0

    def under(self, fault: Fault) -> "Pace":
        """Return this pace with what the fault sets put in its place."""
        first, rate = fault.first_token_s, fault.tokens_per_s
        return Pace(self.first_token_s if first is None else first, self.tokens_per_s if rate is None else rate)

    def slower(self, factor: float) -> "Pace":
        """Return a pace that takes so many times as long."""
        return self if factor == 1 else Pace(self.first_token_s * factor, self.tokens_per_s / factor)

    def at(self, token: int) -> float:
        """Return when a token is due, in seconds after the request came."""
        return self.first_token_s + (token / self.tokens_per_s if self.tokens_per_s else 0.0)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent.

    `contents` is how many content pieces there are, where something is to happen between them; `pace` is when they go
    out, `head_due_s` when the head does, and `length` the body's size where it is told beforehand. `error` is what
    tells of an error within a stream, `garbage` what can be put between its events.
    """

    status: int
    content_type: str
    pieces: Iterator[Piece]
    is_stream: bool = False
    contents: int = 0
    pace: Pace = Pace()
    head_due_s: float = 0.0
    length: int | None = None
    error: bytes = b""
    garbage: bytes = b""


def choose_answer(
    request: Request, outcome: Reply | Refusal | None, fault: Fault, pace: Pace, dialect: Dialect
) -> Answer:
    """Return the fault's own answer if it has one, else the refusal or the reply.

    `outcome` may be None only for a fault that answers by itself; `pace` is the one under the fault.
    """
    if fault.raw_bytes is not None or fault.events is not None:
        return _raw(fault, pace, dialect)
    if fault.answers_itself:
        return _fixed(_own_error(request, fault, dialect), fault, fault.first_token_s or 0.0)
    if isinstance(outcome, Refusal):
        return _fixed(dialect.error(outcome, request), fault, fault.first_token_s or 0.0)
    if outcome is None:
        raise ValueError("a request without a reply needs a fault with an answer of its own")
    if request.stream:
        return _streamed(request, outcome, fault, pace, dialect)
    body = whole(outcome, dialect, omit=fault.omit)
    if fault.error_after is not None:
        body = _encode({"error": _error_object(fault, dialect)})
    kind = fault.content_type or JSON
    return _fixed(ErrorBody(fault.status or 200, body, kind), fault, pace.at(outcome.longest))


def _streamed(request: Request, reply: Reply, fault: Fault, pace: Pace, dialect: Dialect) -> Answer:
    pieces = events(
        reply,
        dialect,
        include_usage=request.include_usage,
        obfuscate=dialect.obfuscates and request.include_obfuscation,
        omit=fault.omit,
        batch=pace == Pace() and not fault.breaks_off,
    )
    return _stream(pieces, fault, pace, dialect.error_events(_error_object(fault, dialect), reply))


def _raw(fault: Fault, pace: Pace, dialect: Dialect) -> Answer:
    """Answer with bytes as they are, in parts of the given sizes or at the given times."""
    data, parts = fault.raw_bytes or b"", []
    for size in fault.raw_chunks or ():
        parts.append(data[:size])
        data = data[size:]
    parts = [part for part in (*parts, data) if part]
    pieces = [Piece([part], 1, 1, token=index) for index, part in enumerate(parts)]
    pieces += [Piece([text.encode()], 1, 1, due_s=due_s) for due_s, text in fault.events or ()]
    return _stream(iter(pieces), fault, pace, dialect.error_events(_error_object(fault, dialect), None))


def _stream(pieces: Iterator[Piece], fault: Fault, pace: Pace, error: bytes) -> Answer:
    """Answer with pieces, counted or measured beforehand where the fault has to know."""
    contents, length = 0, None
    if fault.breaks_off or fault.length_off:
        held = list(pieces)
        pieces = iter(held)
        contents = sum(piece.contents for piece in held)
        if fault.length_off:
            length = sum(len(part) for piece in held for part in piece.parts)
    return Answer(
        status=fault.status or 200,
        content_type=fault.content_type or _SSE,
        pieces=pieces,
        is_stream=True,
        contents=contents,
        pace=pace,
        length=length,
        error=error,
        garbage=_GARBAGE[fault.garble],
    )


def _fixed(answer: ErrorBody, fault: Fault, head_due_s: float) -> Answer:
    """Answer with a whole body, in two halves when something is to happen between them."""
    body = answer.body
    if fault.garble_after is not None:
        body = body[: len(body) // 2] + _GARBAGE[fault.garble] + body[len(body) // 2 :]
    if fault.gzip:
        body = gzip.compress(body, mtime=0)
    half = len(body) // 2 if fault.breaks_off else 0
    length = len(body)
    if fault.cut_after is not None and fault.clean:
        length = half if fault.cut_after else 0
    halves = [Piece([body[:half]], contents=min(half, 1)), Piece([body[half:]])]
    return Answer(
        status=answer.status,
        content_type=answer.content_type,
        pieces=iter([piece for piece in halves if piece.parts[0]]),
        contents=min(half, 1),
        head_due_s=head_due_s,
        length=length,
    )


def _own_error(request: Request, fault: Fault, dialect: Dialect) -> ErrorBody:
    """Return the body that a fault gives, or the error that its code or its status names."""
    status = fault.status or 200
    if isinstance(fault.body, str):
        return ErrorBody(status, fault.body.encode(), fault.content_type or TEXT)
    if fault.body is not None:
        return ErrorBody(status, _encode(fault.body), fault.content_type or JSON)
    if fault.refuse is None and status < _FIRST_ERROR:
        return ErrorBody(status, b"", fault.content_type or JSON)
    error = dialect.error(ERRORS[fault.refuse] if fault.refuse else error_of(status), request)
    return ErrorBody(fault.status or error.status, error.body, fault.content_type or error.content_type)


def _error_object(fault: Fault, dialect: Dialect) -> Any:
    """Return the error that a fault announces within a body."""
    return fault.error if fault.error is not None else dialect.error_object(error_of(500))
