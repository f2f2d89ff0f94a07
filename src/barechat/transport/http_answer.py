"""What is the answer that comes over a connection? Its head, judged, and where its body ends, pushed in as it comes.

http.client would pull it, which an event loop can't wait for, and have its head parsed as an e-mail's, which took a
quarter of a call's CPU.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from barechat.transport.chunked import Chunks
from barechat.transport.common import Cut, NotHttp
from barechat.transport.heads import (
    fault_of_beginning,
    fault_of_framing,
    fault_of_head,
    head_end,
    headers_of,
    is_interim,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_BODILESS = frozenset([HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED])


class Body(Protocol):
    """Where a body ends, as far as it has come."""

    is_whole: bool
    surplus: bytes

    def feed(self, piece: bytes) -> bytes:
        """Return the data that the next piece of the body holds, which may be none."""
        ...

    def end(self) -> None:
        """Refuse the body, unless it is whole: nothing more comes."""
        ...


class Sized:
    """A body of so many bytes."""

    def __init__(self, size: int) -> None:
        self.is_whole = not size
        self.surplus = b""
        self._left = size

    def feed(self, piece: bytes) -> bytes:
        """As Body.feed."""
        data = piece[: self._left]
        self._left -= len(data)
        self.is_whole = not self._left
        self.surplus = piece[len(data) :]
        return data

    def end(self) -> None:
        """As Body.end."""
        if not self.is_whole:
            raise Cut(f"the connection broke: the answer ended {self._left} bytes too early")


class UntilClosed:
    """A body that ends when its connection does."""

    def __init__(self) -> None:
        self.is_whole = False
        self.surplus = b""

    def feed(self, piece: bytes) -> bytes:
        """As Body.feed."""
        return piece

    def end(self) -> None:
        """As Body.end."""
        self.is_whole = True


class Answer:
    """An answer, as far as it has come: its head first, and then its body.

    A piece is what has come over the connection, b"" once that has ended. Cut and NotHttp are raised as soon as they
    are certain, but not before the data that came first is out.
    """

    def __init__(self) -> None:
        self.status = 0  # till the head has come
        self.headers: Mapping[str, str] = {}  # under lower-case names
        self.is_persistent = False  # whether the server keeps the connection open
        self._body: Body
        self._held = b""  # of the head, or of the body, having come along with that

    def take_head(self, piece: bytes) -> bool:
        """Take the next piece, and say whether the answer's own head has come, past those of interim ones."""
        seen = len(self._held)
        self._held += piece
        while (end := head_end(self._held, seen)) >= 0:
            head, self._held, seen = self._held[:end], self._held[end:], 0
            if self._begins_with(head):
                return True
        if (fault := fault_of_beginning(self._held)) is not None:
            raise NotHttp(fault)
        if not piece:
            raise _cut(self._held)
        return False

    def rest(self) -> bytes:
        """Return the data that has come already."""
        held, self._held = self._held, b""
        return self._body.feed(held)

    def take(self, piece: bytes) -> bytes:
        """Return the data that the next piece holds, which may be none."""
        if piece:
            return self._body.feed(piece)
        self._body.end()
        return b""

    @property
    def is_whole(self) -> bool:
        """Whether the body's end has come."""
        return self._body.is_whole

    @property
    def keeps_connection(self) -> bool:
        """Whether another request can go over the connection: what followed a whole body would be its answer."""
        return self.is_persistent and not self._body.surplus

    def _begins_with(self, head: bytes) -> bool:
        """Take a head, unless it is one of those that come before the answer's own."""
        if (fault := fault_of_head(head)) is not None:
            raise NotHttp(fault)
        headers, comes_before = headers_of(head), is_interim(head)
        if (fault := fault_of_framing(headers, is_interim=comes_before)) is not None:
            raise NotHttp(fault)
        if comes_before:
            return False
        self.status, self.headers = int(head[9:12]), headers
        self._body = _body(self.status, headers)
        self.is_persistent = (
            not isinstance(self._body, UntilClosed)
            and self.status != HTTPStatus.SWITCHING_PROTOCOLS
            and _is_persistent(head, headers)
        )
        return True


def _cut(data: bytes) -> Exception:
    if data[:5] != b"HTTP/"[: len(data)]:
        return NotHttp(f"it begins {data[:200].decode('latin-1')!r}")
    return Cut("the server closed the connection without an answer")


def _body(status: int, headers: Mapping[str, str]) -> Body:
    if status in _BODILESS:
        return Sized(0)
    if "transfer-encoding" in headers:  # `heads.py` has let no other pass than chunked, and that by itself
        return Chunks()
    length = headers.get("content-length")
    return UntilClosed() if length is None else Sized(int(length))


def _is_persistent(head: bytes, headers: Mapping[str, str]) -> bool:
    """Say whether the server keeps the connection open (RFC 9112, section 9.3)."""
    connection = headers.get("connection", "").lower()
    if head.startswith(b"HTTP/1.1"):
        return "close" not in connection
    return "keep-alive" in connection or "keep-alive" in headers
