"""Where does a chunked body end, and what is its data? Bytes as they come in, data out, wherever they are cut.

Bytes are pushed here, where http.client pulls them, one chunk a read: of a stream whose tokens are a chunk each, many
of which come together, each then cost a whole round of the call's story.
"""

from __future__ import annotations

import re

from barechat.transport.common import Cut, NotHttp
from barechat.transport.heads import CHUNK_SIZE, MOST_LINES, chunk_size, fault_of_trailer, head_end

_LINE_BYTES = 65536
_FIRST = re.compile(CHUNK_SIZE)
_NEXT = re.compile(rb"\r?\n" + CHUNK_SIZE)  # a bare line feed is sloppy, but can be read one way only
_LINE_ENDS = (b"\n", b"\r\n")
_NOTHING_YET = frozenset([b"", b"\r", *_LINE_ENDS])  # what mostly comes last in a piece


class Chunks:
    """A body in chunks (RFC 9112, section 7.1), as far as it has come.

    A body that ends too early is Cut, a broken one NotHttp, raised once the data before it is out.
    """

    def __init__(self) -> None:
        self.is_whole = False  # its trailer has come too
        self.surplus = b""  # what came after it in the same piece
        self._fault: NotHttp | None = None
        self._held = b""  # of a line that hasn't come whole, or of the trailer
        self._left = 0  # how much of the present chunk's data is to come
        self._line = _FIRST  # which is to come after that
        self._is_in_trailer = False

    def feed(self, piece: bytes) -> bytes:
        """Return the data that the next piece of the body holds, which may be none."""
        data: list[bytes] = []
        if self._fault is None and piece:
            text = self._held + piece
            if not self._is_in_trailer:
                self._take_chunks(text, data)
            else:
                self._take_trailer(text, len(self._held))
        if self._fault is not None and not data:
            raise self._fault
        return b"".join(data)

    def end(self) -> None:
        """Refuse the body, unless it is whole: nothing more comes."""
        if not self.is_whole and self._fault is None and not self._is_in_trailer and not self._left:
            self._fault = self._fault_of_line(self._held, is_ended=True)
        if not self.is_whole:
            raise self._fault or Cut("the connection broke: the answer ended before its last chunk")

    def _take_chunks(self, text: bytes, data: list[bytes]) -> None:
        at, left, size = 0, self._left, len(text)
        while True:
            if left:
                data.append(text[at : at + left])
                if size - at < left:
                    self._held, self._left = b"", left - size + at
                    return
                at += left
                self._line = _NEXT
            found = self._line.match(text, at)
            if found is None or found.end() - at > _LINE_BYTES:
                break
            at, left = found.end(), int(found[1], 16)
            if not left:
                self._is_in_trailer = True
                self._take_trailer(text[at:], 0)
                return
        self._held, self._left = text[at:], 0
        if self._held not in _NOTHING_YET:
            self._fault = self._fault_of_line(self._held, is_ended=False)

    def _take_trailer(self, text: bytes, seen: int) -> None:
        end = head_end(b"\n" + text, seen) - 1  # the blank line may be the first
        is_ended = end > 0
        self._held = text
        if is_ended or text.count(b"\n") > MOST_LINES or len(text) - text.rfind(b"\n") - 1 > _LINE_BYTES:
            fault = fault_of_trailer(text[:end] if is_ended else text)
            self._fault = None if fault is None else NotHttp(fault)
            self.is_whole = fault is None
            self.surplus = text[end:] if is_ended else b""

    def _fault_of_line(self, text: bytes, *, is_ended: bool) -> NotHttp | None:
        """Return what is wrong with a line that isn't the awaited one, or None if it is that one as far as it goes."""
        if self._line is _NEXT:
            end = text[: 1 if text[:1] == b"\n" else 2]
            if end not in _LINE_ENDS:
                is_open = end in {b"", b"\r"} or (len(end) == 1 and not is_ended)
                return None if is_open else NotHttp(f"a chunk's data is followed by {end!r}")
            text = text[len(end) :]
        line = text[: text.find(b"\n") + 1] or text
        if len(line) > _LINE_BYTES:
            return NotHttp(f"a chunk's size has more than {_LINE_BYTES} bytes")
        if not line.endswith(b"\n") and (not is_ended or chunk_size(line.rstrip(b"\r") + b"\r\n") is not None):
            return None
        return NotHttp(f"a chunk's size is {line[:200]!r}") if line else None
