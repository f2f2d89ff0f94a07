"""The event stream of the WHATWG standard, as its text says it and no faster: what the decoder is held against.

https://html.spec.whatwg.org/multipage/server-sent-events.html, sections 9.2.5 and 9.2.6. Three things are the house's:
what isn't UTF-8 is a fault, so is a line that is too long, and a reconnection time of over 18 digits is none.
"""

from __future__ import annotations

from barechat.wire.sse import Event

_BOM = b"\xef\xbb\xbf"
_DIGITS = "0123456789"
_MOST_DIGITS = 18


class _Stream:
    """The buffers of the standard, and the events that they were dispatched as."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.data = self.event_type = self.last_event_id = ""
        self.retry_ms: int | None = None

    def interpret(self, line: str) -> None:
        if line == "":
            self.dispatch()
        elif ":" not in line:
            self.process(line, "")
        else:
            at = line.index(":")  # a comment's field has no name, and so does nothing
            field, value = line[:at], line[at + 1 :]
            if value != "" and value[0] == " ":
                value = value[1:]
            self.process(field, value)

    def process(self, field: str, value: str) -> None:
        if field == "event":
            self.event_type = value
        elif field == "data":
            self.data = self.data + value + "\n"
        elif field == "id":
            if "\0" not in value:
                self.last_event_id = value
        elif field == "retry" and value != "" and all(character in _DIGITS for character in value):
            self.retry_ms = int(value) if len(value.lstrip("0")) <= _MOST_DIGITS else self.retry_ms

    def dispatch(self) -> None:
        if self.data != "":
            if self.data[-1] == "\n":
                self.data = self.data[:-1]
            self.events.append(Event(self.data, self.event_type or "message", self.last_event_id, self.retry_ms))
        self.data, self.event_type, self.retry_ms = "", "", None


def reference(data: bytes, max_line_bytes: int | None = None) -> tuple[list[Event], bool]:
    """Return the events of a whole stream, and whether it was at fault after them."""
    stream = _Stream()
    lines, rest = _lines(data[3:] if data.startswith(_BOM) else data)  # one mark is stripped, if there is any
    for line in lines:
        if max_line_bytes is not None and len(line) > max_line_bytes:
            return stream.events, True
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return stream.events, True
        stream.interpret(text)
    return stream.events, max_line_bytes is not None and len(rest) > max_line_bytes


def _lines(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the lines that end, and what follows the last end: "any pending data must be discarded"."""
    lines, line, at = [], b"", 0
    while at < len(data):
        one = data[at : at + 1]
        at += 1
        if one == b"\r" and data[at : at + 1] == b"\n":
            at += 1
        if one in {b"\r", b"\n"}:
            lines.append(line)
            line = b""
        else:
            line += one
    return lines, line
