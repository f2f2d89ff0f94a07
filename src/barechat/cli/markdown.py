"""Which pieces of a markdown text that is still coming are finished? Pure: the same ones however the text is split.

A piece is what can be shown by itself and will not change any more: a paragraph with what belongs to it, a table, an
item of a list, a line of code. So a reply of any length is shown in time that grows with its length, and only its last
piece is drawn anew as it grows. What markdown means across pieces is lost: a link whose target stands elsewhere.

The rules are those of https://spec.commonmark.org/0.31.2/, as far as they say where a block ends.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Kind = Literal["text", "item", "fence", "code"]

_FENCE = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,})(?P<info>[^`]*|(?<=~).*)")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_RULE = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})")
_QUOTE = re.compile(r" {0,3}>")
_MARKER = re.compile(r"(?P<indent> {0,3})(?P<mark>[-*+]|(?P<number>\d{1,9})[.)])(?P<gap>[ \t]+|$)(?P<rest>.*)")
_CODE_INDENT = 4
_WINDOW = 16  # lines of code; what colours a line is looked for in so many before it, at least


class Piece(NamedTuple):
    """What can be shown by itself.

    kind: markdown (`text`, or an `item` of a list), the `fence` around code, or a line of `code`, or several.
    is_joined: whether it follows the piece before without an empty line.
    language: what the code is said to be written in. before: the lines of code before it, which may colour it.
    """

    kind: Kind
    text: str
    is_joined: bool = False
    language: str = ""
    before: tuple[str, ...] = ()


def with_code_joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield the pieces, lines of code that follow one another as one: what comes before them is looked at once."""
    for is_code, found in itertools.groupby(pieces, lambda piece: piece.kind == "code"):
        if is_code:
            first, *others = found
            yield first._replace(text="\n".join([first.text, *(piece.text for piece in others)]))
        else:
            yield from found


class Blocks:
    """A text as it comes, cut into pieces."""

    def __init__(self) -> None:
        self._partial: list[str] = []  # of a line
        self._lines: list[str] = []  # of the open piece
        self._item: _Item | None = None  # which it is, if it is one
        self._fence: _Fence | None = None  # around the code that is open

    def feed(self, text: str) -> list[Piece]:
        """Take what has come, and return the pieces that it finished."""
        first, *rest = text.split("\n")
        self._partial.append(first)
        pieces: list[Piece] = []
        for begun in rest:
            line, self._partial = "".join(self._partial), [begun]
            self._take(line, pieces)
        return pieces

    def end(self) -> list[Piece]:
        """Return the pieces that the end of the text finishes."""
        pieces: list[Piece] = []
        line, self._partial = "".join(self._partial), []
        if line:
            self._take(line, pieces)
        self._close(pieces)
        return pieces

    @property
    def tail(self) -> Piece | None:
        """The piece that isn't finished yet, as far as it has come."""
        line = "".join(self._partial)
        if self._fence is not None:
            return self._fence.code(line) if line else None
        lines = [*self._lines, line] if line else self._lines
        if not lines:
            return None
        return self._item.piece(lines) if self._item is not None else Piece("text", "\n".join(lines))

    def _take(self, line: str, pieces: list[Piece]) -> None:
        if self._fence is not None:
            if self._fence.is_closed_by(line):
                self._fence = None
                pieces.append(Piece("fence", line, is_joined=True))
            else:
                pieces.append(self._fence.code(line))
                self._fence.keep(line)
        elif not line.strip():
            if self._item is not None:
                self._lines.append("")  # the item may go on
            else:
                self._close(pieces)
        elif self._goes_on(line):
            self._lines.append(line)
        else:
            self._begin(line, pieces)

    def _goes_on(self, line: str) -> bool:
        """Say whether a line belongs to the piece that is open."""
        if not self._lines:
            return False
        if self._item is not None and _indent(line) >= self._item.width:
            return True
        if not self._lines[-1] or _FENCE.fullmatch(line) or _HEADING.match(line):
            return False
        marker = _MARKER.fullmatch(line)
        if self._item is not None:
            return not (marker or _RULE.fullmatch(line) or _QUOTE.match(line))
        # A list that interrupts a paragraph begins with a bullet or 1, and isn't empty; "---" underlines a heading.
        begins_list = marker is not None and marker["rest"] != "" and marker["number"] in {None, "1"}
        return not begins_list or _RULE.fullmatch(line) is not None

    def _begin(self, line: str, pieces: list[Piece]) -> None:
        marker = None if _RULE.fullmatch(line) else _MARKER.fullmatch(line)
        item = (
            None if marker is None else _Item(marker, after=self._item, is_joined=bool(self._lines and self._lines[-1]))
        )
        self._close(pieces)
        fence = _FENCE.fullmatch(line)
        if fence is not None:
            self._fence = _Fence(fence)
            pieces.append(Piece("fence", line))
        elif _HEADING.match(line) or _RULE.fullmatch(line):
            pieces.append(Piece("text", line))
        else:
            self._item = item
            self._lines = [line]

    def _close(self, pieces: list[Piece]) -> None:
        lines, item = self._lines, self._item
        self._lines, self._item = [], None
        while lines and not lines[-1]:
            lines.pop()
        if lines:
            pieces.append(item.piece(lines) if item is not None else Piece("text", "\n".join(lines)))


class _Item:
    """An item of a list, and which number it has there: the first item's says where the list begins to count."""

    def __init__(self, marker: re.Match[str], *, after: _Item | None, is_joined: bool) -> None:
        gap = len(marker["gap"].expandtabs(_CODE_INDENT))
        self.width = marker.start("gap") + (gap if marker["rest"] and gap <= _CODE_INDENT else 1)
        self._sort = marker["mark"][-1]
        self._number = None if marker["number"] is None else int(marker["number"])
        self._span = marker.span("mark")
        is_same_list = after is not None and after._sort == self._sort  # noqa: SLF001 - of its own kind
        self._is_joined = is_joined and is_same_list
        if is_same_list and after is not None and after._number is not None:  # noqa: SLF001
            self._number = after._number + 1  # noqa: SLF001

    def piece(self, lines: list[str]) -> Piece:
        """Return these lines with the number that is the item's."""
        start, end = self._span
        mark = lines[0][start:end] if self._number is None else f"{self._number}{self._sort}"
        longer = " " * (len(mark) - (end - start))
        first, rest = (
            f"{lines[0][:start]}{mark}{lines[0][end:]}",
            [f"{longer}{line}" if line else "" for line in lines[1:]],
        )
        return Piece("item", "\n".join([first, *rest]), self._is_joined)


class _Fence:
    """A fence, and the last lines of the code behind it."""

    def __init__(self, found: re.Match[str]) -> None:
        self._mark = found["mark"]
        self._indent = found.start("mark")
        self._language = (found["info"].split() or [""])[0]
        self._before: list[str] = []

    def is_closed_by(self, line: str) -> bool:
        """Say whether a line is the fence's end: as long as its beginning, at least."""
        mark = line.strip()
        is_mark = len(mark) >= len(self._mark) and set(mark) == set(self._mark)
        return is_mark and _indent(line) < _CODE_INDENT

    def code(self, line: str) -> Piece:
        """Return a line of code, or its beginning."""
        cut = min(_indent(line), self._indent)
        return Piece("code", line[cut:], is_joined=True, language=self._language, before=tuple(self._before))

    def keep(self, line: str) -> None:
        """Keep a line to colour those after it, in place of the oldest where they are many."""
        if len(self._before) == 2 * _WINDOW:
            del self._before[:_WINDOW]
        self._before.append(line[min(_indent(line), self._indent) :])


def _indent(line: str) -> int:
    expanded = line.expandtabs(_CODE_INDENT)
    return len(expanded) - len(expanded.lstrip(" "))
