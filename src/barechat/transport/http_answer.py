"""What http.client lets pass and the async transport's parser doesn't: the blocking transport's stricter answers."""

from __future__ import annotations

from http.client import (
    SWITCHING_PROTOCOLS,
    BadStatusLine,
    HTTPException,
    HTTPResponse,
    IncompleteRead,
    LineTooLong,
    RemoteDisconnected,
)
from typing import Any

from barechat.transport.heads import MOST_LINES, chunk_size, fault_of_head, fault_of_trailer

_LINE_BYTES = 65536
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
    """http.client's answer, its head judged by `heads.py`, and every chunk ending where it says it does."""

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
            self.chunked, self.chunk_left, self.length = True, None, None
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

    def _get_chunk_left(self: Any) -> int | None:
        if not self.chunk_left:
            if self.chunk_left is not None:
                self._end_chunk()
            self.chunk_left = self._read_next_chunk_size() or None
            if self.chunk_left is None:
                self._read_trailer()
                self._close_conn()
        left: int | None = self.chunk_left
        return left

    def _read_next_chunk_size(self: Any) -> int:
        line: bytes = self.fp.readline(_LINE_BYTES + 1)
        if len(line) > _LINE_BYTES:
            raise LineTooLong("chunk size")
        size = chunk_size(line)
        if size is not None:
            return size
        if not line or (not line.endswith(b"\n") and chunk_size(line.rstrip(b"\r") + b"\r\n") is not None):
            raise IncompleteRead(b"")  # it is one as far as it goes
        raise HTTPException(f"a chunk's size is {line[:200]!r}")

    def _end_chunk(self: Any) -> None:
        end: bytes = self.fp.readline(2)
        if end in {b"", b"\r"}:
            raise IncompleteRead(b"")
        if end not in _BLANK:
            raise HTTPException(f"a chunk's data is followed by {end!r}")

    def _read_trailer(self: Any) -> None:
        lines: list[bytes] = []
        while not lines or (lines[-1] not in _BLANK and len(lines) <= MOST_LINES):
            lines.append(self.fp.readline(_LINE_BYTES + 1))
        if not lines[-1].endswith(b"\n") and len(lines[-1]) <= _LINE_BYTES:
            raise IncompleteRead(b"")
        fault = fault_of_trailer(b"".join(lines))
        if fault is not None:
            raise HTTPException(fault)


def _check(lines: list[bytes]) -> None:
    if not lines[-1].endswith(b"\n") and len(lines[-1]) <= _LINE_BYTES:
        raise RemoteDisconnected("the connection was cut in the answer's head")
    fault = fault_of_head(b"".join(lines))
    if fault is not None:
        raise HTTPException(fault)
