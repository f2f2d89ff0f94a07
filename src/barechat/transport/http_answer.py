"""What is the answer that comes over a socket? Its head, read and judged, and where its body ends.

http.client would read a head line by line and have it parsed as an e-mail's, which took a quarter of a call's CPU, and
`heads.py` would judge it after that all the same.
"""

from __future__ import annotations

from http import HTTPStatus
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING, Protocol

from barechat.transport.chunked import Chunks
from barechat.transport.common import merged
from barechat.transport.heads import fault_of_beginning, fault_of_head, fields, head_end, is_interim

if TYPE_CHECKING:
    from collections.abc import Mapping

PIECE_BYTES = 65536
_BODILESS = frozenset([HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED])


class Socket(Protocol):
    """What is read from: a socket, or TLS over one."""

    def recv(self, size: int, /) -> bytes:
        """Return whatever bytes have come, b"" at the end."""
        ...


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
            raise IncompleteRead(b"", self._left)


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
    """An answer's status, its headers under lower-case names, its body's end, and what has come of the body already."""

    def __init__(self, sock: Socket) -> None:
        head, self.piece = read_head(sock)
        self.status = int(head[9:12])
        self.headers: Mapping[str, str] = merged(fields(head))
        self.body = _body(self.status, self.headers)
        self.keeps_connection = (
            not isinstance(self.body, UntilClosed)
            and self.status != HTTPStatus.SWITCHING_PROTOCOLS
            and _is_persistent(head, self.headers)
        )


def read_head(sock: Socket) -> tuple[bytes, bytes]:
    """Return an answer's head, past those of interim ones, and what came after it in the same piece.

    Raises:
        RemoteDisconnected: the connection ended before the head did.
        HTTPException: it is no head.
    """
    data, seen = b"", 0
    while True:
        end = head_end(data, seen)
        if end >= 0:
            head, data, seen = data[:end], data[end:], 0
            if (fault := fault_of_head(head)) is not None:
                raise HTTPException(fault)
            if not is_interim(head):
                return head, data
            continue
        if (fault := fault_of_beginning(data)) is not None:
            raise HTTPException(fault)
        seen = len(data)
        piece = sock.recv(PIECE_BYTES)
        if not piece:
            raise _cut(data)
        data += piece


def _cut(data: bytes) -> HTTPException:
    if data and not data.startswith(b"HTTP/"):
        return BadStatusLine(data.decode("latin-1"))
    return RemoteDisconnected("the connection was closed before the answer's head had come")


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
