"""Is this the head of an HTTP/1 answer? One reading for both transports, which are given what comes in pieces.

Sloppy is fine as long as it can be read one way only: bare line feeds, folded lines (RFC 9112, sections 2.2 and 5.2).
What can be read two ways is refused, as are the facts that frame a body where they come twice or in contradiction:
whoever stands between would read them the other way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_LINES = 99  # http.client's own
_LONGEST_LINE = 65536
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LINE = rb"(?:" + _TOKEN + rb":|[ \t])[^\r\n\0]*+\r?\n"  # a field, or one that goes on
_FIELDS = rb"(?![ \t])(?:" + _LINE + rb")*+\r?\n"
_STATUS = rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [^\r\n\0]*)?\r?\n"
_HEAD = re.compile(_STATUS + _FIELDS)
_TRAILER = re.compile(_FIELDS)
_ONE_LINE = re.compile(_LINE + rb"|\r?\n")
_STATUS_LINE = re.compile(_STATUS)
_LENGTH = re.compile("0*[0-9]{1,18}")
_END = re.compile(rb"\n\r?\n")
_FOLD = re.compile("\r?\n[ \t]+")
CHUNK_SIZE = rb"(0*[0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n\0]*)?\r\n"
_CHUNK_SIZE = re.compile(CHUNK_SIZE)
_INTERIM = frozenset(range(100, 200)) - {101}


def head_end(data: bytes | bytearray, start: int) -> int:
    """Return where the head that `data` begins with ends, or -1. There is no end before `start`."""
    found = _END.search(data, max(start - 2, 0))  # an end that the pieces were cut within
    return -1 if found is None else found.end()


def fault_of_head(head: bytes) -> str | None:
    """Return what is wrong with the lines of a head, from its first to its blank one, or None."""
    return _fault_of_lines(head, _HEAD)


def fault_of_framing(headers: Mapping[str, str], *, is_interim: bool) -> str | None:
    """Return what is wrong with what a head says of its body, or None."""
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if length is not None and _LENGTH.fullmatch(length) is None:
        return f"its Content-Length is {length[:200]!r}"
    if coding is not None and not (coding.isascii() and coding.lower() == "chunked"):
        return f"its Transfer-Encoding is {coding[:200]!r}, not chunked"
    if is_interim and not (length is None and coding is None):
        return "an answer that comes before the answer has a body"
    if length is not None and coding is not None:
        return "it has both a Content-Length and a Transfer-Encoding"
    return None


def fault_of_beginning(data: bytes) -> str | None:
    """Return what is wrong with a head that hasn't come whole, or None if it may become a sound one yet."""
    if data.count(b"\n") > MOST_LINES or len(data) - data.rfind(b"\n") - 1 > _LONGEST_LINE:
        return fault_of_head(data)
    line = data[: data.find(b"\n") + 1]
    return f"it begins {_quoted(line)}" if line and _STATUS_LINE.fullmatch(line) is None else None


def headers_of(head: bytes) -> dict[str, str]:
    """Return a sound head's fields under lower-case names, those that came twice joined by a comma (RFC 9110, 5.2).

    Those that are folded over several lines are one. What isn't ASCII is read as UTF-8, as far as it goes.
    """
    text = head.decode("utf-8", "replace")
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub(" ", text)
    found: dict[str, str] = {}
    for line in text.split("\n")[1:-2]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t\r")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def fault_of_trailer(trailer: bytes) -> str | None:
    """Return what is wrong with the lines after a body's last chunk, up to the blank one, or None."""
    return _fault_of_lines(trailer, _TRAILER)


def chunk_size(line: bytes) -> int | None:
    """Return a chunk's size in bytes from the whole line that tells it, or None if it tells none."""
    found = _CHUNK_SIZE.fullmatch(line)
    return None if found is None else int(found[1], 16)


def is_interim(head: bytes) -> bool:
    """Say whether a sound head is one of those that come before the answer's own."""
    return int(head[9:12]) in _INTERIM


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
        allowed = _STATUS_LINE if is_head and number == 0 else _ONE_LINE
        if allowed.fullmatch(line) is None or (number == is_head and line[:1] in b" \t"):
            return bytes(line)
    return text


def _quoted(text: bytes) -> str:
    return repr(text[:200])[1:]
