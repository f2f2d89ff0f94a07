"""Is this the head of an HTTP/1 answer? One reading for both transports, whose parsers let different things pass.

Sloppy is fine as long as it can be read one way only: bare line feeds, folded lines (RFC 9112, sections 2.2 and 5.2).
What can be read two ways is refused, as are the facts that frame a body where they come twice or in contradiction:
whoever stands between would read them the other way.
"""

from __future__ import annotations

import re

MOST_LINES = 99  # http.client's own; aiohttp takes a few more
_LONGEST_LINE = 65536
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE = rb"[^\r\n\0]*(?:\r?\n[ \t][^\r\n\0]*)*"
_FIELDS = rb"(?:" + _TOKEN + rb":" + _VALUE + rb"\r?\n)*\r?\n"
_STATUS = rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [^\r\n\0]*)?\r?\n"
_HEAD = re.compile(_STATUS + _FIELDS)
_TRAILER = re.compile(_FIELDS)
_LINE = re.compile(_TOKEN + rb":[^\r\n\0]*\r?\n|\r?\n|[ \t][^\r\n\0]*\r?\n")
_STATUS_LINE = re.compile(_STATUS)
_FRAMING = re.compile(rb"\n(content-length|transfer-encoding):(" + _VALUE + rb")", re.IGNORECASE)
_LENGTH = re.compile(rb"0*[0-9]{1,18}")
_FIELD = re.compile(rb"\n(" + _TOKEN + rb"):(" + _VALUE + rb")")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_END = re.compile(rb"\n\r?\n")
CHUNK_SIZE = rb"(0*[0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n\0]*)?\r\n"
_CHUNK_SIZE = re.compile(CHUNK_SIZE)
INTERIM = frozenset(range(100, 200)) - {101}
"""The statuses of what comes before the answer's own head."""


def head_end(data: bytes | bytearray, start: int) -> int:
    """Return where the head that `data` begins with ends, or -1. There is no end before `start`."""
    found = _END.search(data, max(start - 2, 0))  # an end that the pieces were cut within
    return -1 if found is None else found.end()


def fault_of_head(head: bytes) -> str | None:
    """Return what is wrong with an answer's head, from its first line to its blank one, or None."""
    fault = _fault_of_lines(head, _HEAD)
    if fault is not None:
        return fault
    lengths: list[bytes] = []
    codings: list[bytes] = []
    for name, value in _FRAMING.findall(head):
        if name[:1] in b"Cc":
            lengths.append(value.strip(b" \t\r\n"))
        else:
            codings.append(value.strip(b" "))  # with a tab or a fold, aiohttp wouldn't know it for what it is
    if lengths and (len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0])):
        return f"its Content-Length is {_quoted(b' and '.join(lengths))}"
    if codings and (len(codings) > 1 or codings[0].lower() != b"chunked"):
        return f"its Transfer-Encoding is {_quoted(b' and '.join(codings))}, not chunked"
    if (lengths or codings) and is_interim(head):
        return "an answer that comes before the answer has a body"
    if lengths and codings:
        return "it has both a Content-Length and a Transfer-Encoding"
    return None


def fault_of_beginning(data: bytes) -> str | None:
    """Return what is wrong with a head that hasn't come whole, or None if it may become a sound one yet."""
    if data.count(b"\n") > MOST_LINES or len(data) - data.rfind(b"\n") - 1 > _LONGEST_LINE:
        return fault_of_head(data)
    line = data[: data.find(b"\n") + 1]
    return f"it begins {_quoted(line)}" if line and _STATUS_LINE.fullmatch(line) is None else None


def fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """Return the names and values of a sound head, those that are folded over several lines as one."""
    return [(name, _FOLD.sub(b" ", value) if b"\n" in value else value) for name, value in _FIELD.findall(head)]


def fault_of_trailer(trailer: bytes) -> str | None:
    """Return what is wrong with the lines after a body's last chunk, up to the blank one, or None."""
    return _fault_of_lines(trailer, _TRAILER)


def chunk_size(line: bytes) -> int | None:
    """Return a chunk's size in bytes from the whole line that tells it, or None if it tells none."""
    found = _CHUNK_SIZE.fullmatch(line)
    return None if found is None else int(found[1], 16)


def is_interim(head: bytes) -> bool:
    """Say whether a sound head is one of those that come before the answer's own."""
    return int(head[9:12]) in INTERIM


def _fault_of_lines(text: bytes, grammar: re.Pattern[bytes]) -> str | None:
    if text.count(b"\n") > MOST_LINES:
        return f"its head has more than {MOST_LINES} lines"
    if len(text) > _LONGEST_LINE and max(map(len, text.split(b"\n"))) >= _LONGEST_LINE:
        return f"a line of its head is longer than {_LONGEST_LINE} bytes"
    if grammar.fullmatch(text) is not None:
        return None
    return f"no head has the line {_quoted(_first_bad_line(text, is_head=grammar is _HEAD))}"


def _first_bad_line(text: bytes, *, is_head: bool) -> bytes:
    for number, line in enumerate(re.findall(rb"[^\n]*\n", text)):
        allowed = _STATUS_LINE if is_head and number == 0 else _LINE
        if allowed.fullmatch(line) is None or (number == is_head and line[:1] in b" \t"):
            return bytes(line)
    return text


def _quoted(text: bytes) -> str:
    return repr(text[:200])[1:]
