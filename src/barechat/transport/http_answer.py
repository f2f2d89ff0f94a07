"""What http.client lets pass and the async transport's parser doesn't: the blocking transport's stricter answers."""

from __future__ import annotations

from http.client import (
    SWITCHING_PROTOCOLS,
    BadStatusLine,
    HTTPException,
    HTTPResponse,
    RemoteDisconnected,
)
from typing import Any

from barechat.transport.chunked import Chunks
from barechat.transport.heads import MOST_LINES, fault_of_head

_LINE_BYTES = 65536
_PIECE_BYTES = 65536
_BLANK = (b"\r\n", b"\n", b"")
_LAST_INTERIM = 199


class _HeadLines:
    """A stream that remembers the lines read from it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.lines: list[bytes] = []

    def readline(self, limit: int) -> bytes:
        line: bytes = self.stream.readline(limit)
        self.lines.append(line)
        return line

    def close(self) -> None:
        self.stream.close()


class StrictAnswer(HTTPResponse):
    """http.client's answer, its head judged by `heads.py`, and its chunks read by `chunked.py`."""

    def begin(self: Any) -> None:
        """Read the head, and those of interim answers before it."""
        head = self.fp = _HeadLines(self.fp)
        try:
            super().begin()
        except BadStatusLine:
            if not head.lines[-1].endswith(b"\n") and head.lines[-1].startswith(b"HTTP/"):
                raise RemoteDisconnected("the connection was cut in the answer's first line") from None
            raise
        finally:
            if self.fp is head:
                self.fp = head.stream
        _check(head.lines)
        if "transfer-encoding" in self.headers:  # it is chunked; http.client doesn't see it for a space too many
            self.chunked, self.length, self._chunks = True, None, Chunks()
            self.will_close = self._check_close()

    def _read_status(self: Any) -> tuple[str, int, str]:
        """Return the answer's own status: http.client knows of no interim one but 100."""
        while True:
            self.fp.lines.clear()
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status > _LAST_INTERIM or status == SWITCHING_PROTOCOLS:
                return version, status, reason
            while self.fp.readline(_LINE_BYTES + 1) not in _BLANK and len(self.fp.lines) <= MOST_LINES:
                pass
            _check(self.fp.lines)

    def read1(self: Any, n: int = -1) -> bytes:
        """Return what has come of the body: of one in chunks, the data of all that came together."""
        if not self.chunked:
            data: bytes = super().read1(n)
            return data
        while self.fp is not None:
            piece = self.fp.read1(_PIECE_BYTES)
            if not piece:
                self._chunks.end()
            data = self._chunks.feed(piece)
            if self._chunks.is_whole:
                self._close_conn()
            if data:
                return data
        return b""


def _check(lines: list[bytes]) -> None:
    if not lines[-1].endswith(b"\n") and len(lines[-1]) <= _LINE_BYTES:
        raise RemoteDisconnected("the connection was cut in the answer's head")
    fault = fault_of_head(b"".join(lines))
    if fault is not None:
        raise HTTPException(fault)
