"""How bytes become server-sent events.

The WHATWG standard, to the letter (https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6),
but for two things: what isn't UTF-8 is a fault here, where the standard would put U+FFFD into an answer's text, and a
reconnection time of more digits than any clock needs is ignored.

Bytes may be split anywhere. Time is linear in the bytes fed; memory is bounded by the caps.
"""

from __future__ import annotations

import re

import msgspec

from barechat.errors import ProtocolBroken

MAX_LINE_BYTES = 16 * 2**20
MAX_EVENT_BYTES = 64 * 2**20

_MAX_RETRY_DIGITS = 18  # int() is slow with many, and refuses thousands

_STARTS = (b"data:", b"event:", b":", b"id:", b"retry:")
_LONGEST_START = max(map(len, _STARTS))
_BLANK_BYTES = 64 * 1024  # more than any blank beginning needs
_BOM = b"\xef\xbb\xbf"
_BYTES_LINE_END = re.compile(rb"\r\n|\r|\n")
_LINE_END = re.compile(r"\r\n|\r|\n")  # and nothing else: not str.splitlines, which splits at U+2028 too


class Event(msgspec.Struct, frozen=True):
    """One dispatched event.

    `event` is "message" unless the server named it; `id` is the last one that the stream gave; `retry_ms` is this
    event's own reconnection time, if it carried one.
    """

    data: str
    event: str = "message"
    id: str = ""
    retry_ms: int | None = None


class Decoder:
    """Turn bytes into events: `feed` what came, `close` at the end.

    `fault` is set as soon as the bytes stop being a stream of events (not UTF-8, or past a cap). The events before
    the fault are handed out first: `feed` raises it at once only if it has none to give, else at the next call.
    """

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.fault: ProtocolBroken | None = None
        self._max_line_bytes = max_line_bytes
        self._max_event_bytes = max_event_bytes
        self._pending = bytearray()  # a line whose end hasn't come
        self._at_start = True
        self._after_cr = False  # the last byte was a CR: an LF that follows belongs to it
        self._data: list[str] = []
        self._data_size = 0
        self._event = ""
        self._id = ""
        self._retry_ms: int | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes.

        Raises:
            ProtocolBroken: the stream was at fault already, or is now and there is no event to return first.
        """
        if self.fault is not None:
            raise self.fault
        events: list[Event] = []
        try:
            lines = self._complete_lines(data)
            if len(lines) > self._max_line_bytes:
                self._take_long_lines(lines, events)
            elif lines:
                self._take_sound_lines(lines, events)
            if self._pending:
                self._check_line(self._pending)
        except ProtocolBroken as fault:
            self.fault = fault
            if not events:
                raise
        return events

    def close(self) -> None:
        """End the stream: an event that the end cuts off is dropped, as the standard says.

        Raises:
            ProtocolBroken: the stream was at fault.
        """
        self._pending.clear()
        self._data.clear()
        self._data_size = 0
        if self.fault is not None:
            raise self.fault

    def _complete_lines(self, data: bytes) -> bytes:
        """Return all bytes up to the last line end, that end included; keep the rest."""
        if self._at_start:
            data = self._without_bom(data)
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if data.endswith(b"\n") and not self._pending:  # as nearly all pieces are: whole lines
            return data
        last = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not last:
            self._pending += data
            return b""
        lines = bytes(self._pending) + data[:last] if self._pending else data[:last]
        self._pending[:] = data[last:]
        self._after_cr = lines.endswith(b"\r") and not self._pending
        return lines

    def _without_bom(self, data: bytes) -> bytes:
        """Return the stream's beginning without its BOM; what may yet become one is kept."""
        if self._pending:
            data = bytes(self._pending) + data
            self._pending.clear()
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._pending += data
            return b""
        self._at_start = False
        return data.removeprefix(_BOM)

    def _check_line(self, line: bytes | bytearray) -> None:
        if len(line) > self._max_line_bytes:
            raise ProtocolBroken(
                f"a line of the stream is longer than {self._max_line_bytes} bytes", body=bytes(line[:200])
            )

    def _take_long_lines(self, lines: bytes, events: list[Event]) -> None:
        """Take lines of which one may be too long."""
        start = 0
        for end in _BYTES_LINE_END.finditer(lines):
            if end.start() - start > self._max_line_bytes:
                self._take_sound_lines(lines[:start], events)
                self._check_line(lines[start : end.start()])
            start = end.end()
        self._take_sound_lines(lines, events)

    def _take_sound_lines(self, lines: bytes, events: list[Event]) -> None:
        """Run the standard's line rules over whole lines, appending what they dispatch."""
        try:
            text = lines.decode()
        except UnicodeDecodeError as error:
            # A line end is never inside a character, so everything before the broken line is sound.
            sound = max(lines.rfind(b"\n", 0, error.start), lines.rfind(b"\r", 0, error.start)) + 1
            self._take_sound_lines(lines[:sound], events)
            broken = _BYTES_LINE_END.split(lines[sound : sound + 200], maxsplit=1)[0]
            raise ProtocolBroken(f"the stream is not UTF-8: {error.reason} in {broken!r}", body=broken) from error
        pieces = _LINE_END.split(text) if "\r" in text else text.split("\n")
        pieces.pop()  # what follows the last line end: nothing
        data = self._data
        for line in pieces:
            if line.startswith("data: "):
                data.append(line[6:])
                self._grow(len(line) - len("data:"))
            elif line:
                self._take_field(line)
            else:
                if data:
                    events.append(Event("\n".join(data), self._event or "message", self._id, self._retry_ms))
                    data.clear()
                    self._data_size = 0
                self._event = ""
                self._retry_ms = None

    def _take_field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._grow(len(value) + 1)
        elif name == "event":
            self._event = value
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            digits = value.lstrip("0") or "0"
            if len(digits) <= _MAX_RETRY_DIGITS:
                self._retry_ms = int(digits)

    def _grow(self, size: int) -> None:
        """Count a data line, with the LF that joins it to the next: a million empty lines are a megabyte."""
        self._data_size += size
        if self._data_size > self._max_event_bytes:
            raise ProtocolBroken(f"an event of the stream is longer than {self._max_event_bytes} characters")


def starts_stream(content_type: str, beginning: bytes, *, ended: bool) -> bool | None:
    """Say whether a body is a stream of events, whatever its type says; None if it takes more bytes to tell."""
    start = beginning.removeprefix(_BOM).lstrip()
    if start.startswith(b"{"):
        return False
    if start.startswith(_STARTS):
        return True
    says_stream = "event-stream" in content_type.lower()
    if says_stream and start:
        return True
    is_enough = ended or len(start) >= _LONGEST_START or len(beginning) > _BLANK_BYTES
    return says_stream if is_enough else None
