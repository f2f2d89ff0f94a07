"""What goes over the wire, in which order and when? An answer and a fault become plain steps for `delivery.py`.

Steps are data, so that every fault can be tested without a socket. The bytes are HTTP/1.1's own (head, framing
and body), since a fault may strike at any of them.
"""

import http
import zlib
from collections.abc import Generator, Iterator, Mapping
from typing import Final, Literal

import msgspec

from barechat.simulator.answers import Answer, Pace
from barechat.simulator.events import Piece
from barechat.simulator.fault import Fault

_COMMENT: Final = b": keep-alive\n\n"
_NO_BODY: Final = (http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED)
# zlib's way to ask for a gzip container. https://docs.python.org/3/library/zlib.html#zlib.compressobj
_GZIP_WINDOW: Final = 31


class Write(msgspec.Struct, frozen=True):
    """Bytes for the socket; the chunks of output and the tokens that they carry."""

    data: bytes
    contents: int = 0
    spoken: int = 0
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
    """How a body is coded and its end told: by Content-Length, by chunks, or by closing."""

    def __init__(self, answer: Answer, fault: Fault, *, chunks: bool) -> None:
        self._answer = answer
        self.has_body = answer.status not in _NO_BODY
        has_length = answer.length is not None
        self.until_close = self.has_body and (fault.until_close or not (has_length or chunks))
        self._chunked = self.has_body and not has_length and not self.until_close
        self._length = None if answer.length is None else max(0, answer.length + fault.length_off)
        self._is_gzip = self.has_body and fault.gzip
        # A whole body has been compressed already, so that its length is known.
        self._compressor = zlib.compressobj(wbits=_GZIP_WINDOW) if self._is_gzip and answer.is_stream else None

    def head(self, headers: Mapping[str, str], *, keep_alive: bool) -> bytes:
        """Return the status line and the headers; those given win over the answer's own."""
        answer = self._answer
        lines = {"content-type": answer.content_type} if self.has_body else {}
        if self._is_gzip:
            lines["content-encoding"] = "gzip"
        lines.update({name.lower(): value for name, value in headers.items()})
        if self._chunked:
            lines["transfer-encoding"] = "chunked"
        elif self.has_body and not self.until_close:
            lines.setdefault("content-length", str(self._length))
        if self.until_close or not keep_alive:
            lines["connection"] = "close"
        try:
            reason = http.HTTPStatus(answer.status).phrase
        except ValueError:
            reason = ""
        text = "".join([f"{name}: {value}\r\n" for name, value in lines.items()])
        return f"HTTP/1.1 {answer.status} {reason}\r\n{text}\r\n".encode("utf-8", "surrogateescape")

    def wrap(self, *parts: bytes) -> bytes:
        """Return parts of the body as they go over the wire, each as a chunk of its own."""
        if self._compressor is not None:
            parts = tuple(self._compressor.compress(part) + self._compressor.flush(zlib.Z_SYNC_FLUSH) for part in parts)
        if not self._chunked:
            return b"".join(parts)
        return b"".join([b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part])

    def end(self) -> bytes:
        """Return what tells the body's end."""
        rest = b"" if self._compressor is None else self._compressor.flush()
        last = b"%x\r\n%b\r\n" % (len(rest), rest) if self._chunked and rest else rest
        return last + b"0\r\n\r\n" if self._chunked else last


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
    framing = Framing(answer, fault, chunks=chunks)
    own = {name.lower(): str(value) for name, value in fault.headers.items()}
    head = framing.head({**headers, **own}, keep_alive=keep_alive)
    if fault.reset_in_head:
        yield Write(head[: len(head) // 2])
        yield Close(reset=True)
        return
    yield Write(head)
    left: _Left = (yield from _body(answer, fault, framing)) if framing.has_body else "all"
    if left != "nothing" and (end := framing.end()):
        yield Write(end)
    if left == "nothing" or framing.until_close or fault.length_off or fault.close_after or not keep_alive:
        yield Close(reset=left == "nothing" and fault.reset)


def _body(answer: Answer, fault: Fault, framing: Framing) -> Generator[Step, None, _Left]:
    pace = answer.pace
    is_paced, breaks_off = pace != Pace(), fault.breaks_off
    count = 0
    left = yield from _strike(count, answer, fault, framing)
    while left == "all" and (piece := next(answer.pieces, None)) is not None:
        if piece.due_s is not None:
            yield Until(piece.due_s)
        elif is_paced and piece.token is not None:
            yield Until(pace.at(piece.token))
        yield _write(piece, framing)
        if breaks_off and piece.contents:
            count += piece.contents
            left = yield from _strike(count, answer, fault, framing)
    return left


def _write(piece: Piece, framing: Framing) -> Write:
    return Write(framing.wrap(*piece.parts), piece.contents, piece.spoken, piece.finish_reason)


def _strike(count: int, answer: Answer, fault: Fault, framing: Framing) -> Generator[Step, None, _Left]:
    """Do what the fault does after `count` content pieces; past the last one it strikes there."""

    def is_due(after: int | None) -> bool:
        return after is not None and count == min(after, answer.contents)

    if is_due(fault.stall_after):
        every_s = fault.comments_s if answer.is_stream else None
        yield Stall(fault.stall_s, b"" if every_s is None else framing.wrap(_COMMENT), every_s)
    if answer.is_stream and is_due(fault.garble_after):
        yield Write(framing.wrap(answer.garbage))
    if answer.is_stream and is_due(fault.error_after):
        yield Write(framing.wrap(answer.error))
        return "end"
    if is_due(fault.cut_after):
        for piece in answer.pieces:
            if piece.end in fault.then:
                yield _write(piece, framing)
        return "end" if fault.clean else "nothing"
    return "all"
