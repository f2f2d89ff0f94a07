"""What goes over the wire, in which order and when? An answer and a fault become plain steps for `delivery.py`.

Steps are data, so that every fault can be tested without a socket. The bytes are HTTP/1.1's own (head, framing
and body), since a fault may strike at any of them.
"""

import http
from collections.abc import Generator, Iterator, Mapping
from typing import Final, Literal

import msgspec

from barechat.simulator.answers import Answer, Pace, error_object
from barechat.simulator.scenario import Fault

_COMMENT: Final = b": keep-alive\n\n"
_NO_BODY: Final = (http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED)
_encode: Final = msgspec.json.Encoder().encode


class Write(msgspec.Struct, frozen=True):
    """Bytes for the socket, and what they carry."""

    data: bytes
    is_content: bool = False
    finish_reason: str | None = None


class Until(msgspec.Struct, frozen=True):
    """Wait until this many seconds after the request came; stalls since then are added."""

    seconds: float


class Stall(msgspec.Struct, frozen=True):
    """Send nothing for so long (None: for ever) but, where given, a comment at an interval."""

    seconds: float | None
    comment: bytes = b""
    every_s: float | None = None


class Close(msgspec.Struct, frozen=True):
    """Close the connection: once what was written has gone out, or by a reset."""

    reset: bool = False


Step = Write | Until | Stall | Close
# What a fault leaves of the body: all of it, its end only, or nothing at all.
_Left = Literal["all", "end", "nothing"]


class Framing:
    """How a body's end is told: by Content-Length, by chunks, or by closing."""

    def __init__(self, answer: Answer, *, until_close: bool) -> None:
        self._answer = answer
        self._has_body = answer.status not in _NO_BODY
        self.until_close = until_close and self._has_body
        self._chunked = self._has_body and answer.length is None and not until_close

    def head(self, headers: Mapping[str, str], *, keep_alive: bool) -> bytes:
        """Return the status line and the headers; those given win over the answer's own."""
        answer = self._answer
        lines = {"content-type": answer.content_type} if self._has_body else {}
        lines.update({name.lower(): value for name, value in headers.items()})
        if self._chunked:
            lines["transfer-encoding"] = "chunked"
        elif self._has_body and not self.until_close:
            lines.setdefault("content-length", str(answer.length))
        if self.until_close or not keep_alive:
            lines["connection"] = "close"
        try:
            reason = http.HTTPStatus(answer.status).phrase
        except ValueError:
            reason = ""
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {answer.status} {reason}\r\n{text}\r\n".encode("utf-8", "surrogateescape")

    def wrap(self, data: bytes) -> bytes:
        """Return a part of the body as it goes over the wire."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    @property
    def end(self) -> bytes:
        """What tells the body's end."""
        return b"0\r\n\r\n" if self._chunked else b""


def plan(
    answer: Answer, fault: Fault, headers: Mapping[str, str], *, keep_alive: bool = True, chunks: bool = True
) -> Iterator[Step]:
    """Yield the steps that send an answer, with the fault's stalls, errors, cuts and resets in their places.

    `headers` are the API's; the fault's own win over them. `keep_alive` says whether the client lets the connection
    live on, `chunks` whether it knows chunked bodies.
    """
    if fault.reset_before or fault.close_before:
        yield Close(reset=fault.reset_before)
        return
    if fault.stall_head:
        yield Stall(fault.stall_s)
    if answer.head_due_s:
        yield Until(answer.head_due_s)
    framing = Framing(answer, until_close=fault.until_close or (answer.length is None and not chunks))
    own = {name.lower(): str(value) for name, value in fault.headers.items()}
    yield Write(framing.head({**headers, **own}, keep_alive=keep_alive))
    left = yield from _body(answer, fault, framing)
    if left != "nothing" and framing.end:
        yield Write(framing.end)
    if left == "nothing" or framing.until_close or not keep_alive:
        yield Close()


def _body(answer: Answer, fault: Fault, framing: Framing) -> Generator[Step, None, _Left]:
    pace = answer.pace
    is_paced = pace != Pace()
    count = 0
    left = yield from _strike(count, answer, fault, framing)
    while left == "all" and (piece := next(answer.pieces, None)) is not None:
        if is_paced and piece.token is not None:
            yield Until(pace.at(piece.token))
        yield Write(framing.wrap(piece.data), piece.is_content, piece.finish_reason)
        if piece.is_content and fault.breaks_off:
            count += 1
            left = yield from _strike(count, answer, fault, framing)
    return left


def _strike(count: int, answer: Answer, fault: Fault, framing: Framing) -> Generator[Step, None, _Left]:
    """Do what the fault does after `count` content pieces; past the last one it strikes there."""

    def is_due(after: int | None) -> bool:
        return after is not None and count == min(after, answer.contents)

    is_stream = answer.length is None
    if is_due(fault.stall_after):
        yield Stall(fault.stall_s, framing.wrap(_COMMENT), fault.comments_s if is_stream else None)
    if is_stream and is_due(fault.error_after):
        yield Write(framing.wrap(b"data: " + _encode({"error": error_object(fault)}) + b"\n\n"))
        return "end"
    if is_due(fault.cut_after):
        return "end" if fault.clean else "nothing"
    return "all"
