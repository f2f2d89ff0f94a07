"""What does a regular expression say? A small parser for those of JSON schemas. Pure.

They are ECMAScript's, without lookarounds, backreferences and flags. https://tc39.es/ecma262/#sec-patterns
"""

import functools
import re
from typing import Final

import msgspec

from barechat.simulator.schema.strict import SchemaFault

Ranges = tuple[tuple[int, int], ...]

_HIGHEST: Final = 0x10FFFF
_DIGITS: Final[Ranges] = ((48, 57),)
_WORD: Final[Ranges] = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Final[Ranges] = ((9, 13), (32, 32), (160, 160), (0x2028, 0x2029), (0xFEFF, 0xFEFF))
_LINE_ENDS: Final[Ranges] = ((10, 10), (13, 13), (0x2028, 0x2029))
_CONTROLS: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_COUNT: Final = re.compile(r"\{(\d{1,9})(,(\d{0,9}))?\}", re.ASCII)
_NUMERALS: Final = frozenset(",0123456789")
_HEX: Final = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})")
_GROUP: Final = re.compile(r"\?(?::|P?<[A-Za-z_]\w*>)", re.ASCII)
_READABLE: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_PRINTABLE: Final = "".join(map(chr, range(32, 127)))
_DEEPEST: Final = 30
_SHOWN: Final = 120


class One(msgspec.Struct, frozen=True):
    """One character out of `ranges`, drawn from `choices`."""

    ranges: Ranges
    choices: str

    def has(self, character: str) -> bool:
        """Say whether a character is in the ranges."""
        return any(low <= ord(character) <= high for low, high in self.ranges)


class Edge(msgspec.Struct, frozen=True):
    """A place between characters: `^`, `$`, or `b` and `B` for a word's edge and its opposite."""

    kind: str

    def holds(self, text: str, at: int) -> bool:
        """Say whether the place is such an edge."""
        if self.kind == "^":
            return at == 0
        if self.kind == "$":
            return at == len(text)
        before = at > 0 and _is_in(_WORD, text[at - 1])
        after = at < len(text) and _is_in(_WORD, text[at])
        return (before != after) == (self.kind == "b")


class Row(msgspec.Struct, frozen=True):
    """Parts one after another."""

    parts: "tuple[Part, ...]"


class Either(msgspec.Struct, frozen=True):
    """One of several rows."""

    options: tuple[Row, ...]


class Repeat(msgspec.Struct, frozen=True):
    """A part so many times; `most` None is without end."""

    part: "Part"
    least: int
    most: int | None


Part = One | Edge | Row | Either | Repeat


@functools.lru_cache(maxsize=256)
def parse(pattern: str) -> Part:
    """Return the parts of a pattern; raises SchemaFault for one that isn't supported."""
    return _Parser(pattern).whole()


class _Parser:
    """Reads a pattern by recursive descent."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0

    def whole(self) -> Part:
        tree = self._either()
        if self._at < len(self._pattern):
            raise self._no("an unbalanced ')'")
        return tree

    def _no(self, what: str) -> SchemaFault:
        return unsupported(self._pattern, what)

    def _take(self, text: str) -> bool:
        found = self._pattern.startswith(text, self._at)
        if found:
            self._at += len(text)
        return found

    def _next(self) -> str:
        if self._at == len(self._pattern):
            raise self._no("an early end")
        self._at += 1
        return self._pattern[self._at - 1]

    def _either(self) -> Part:
        options = [self._row()]
        while self._take("|"):
            options.append(self._row())
        return options[0] if len(options) == 1 else Either(tuple(options))

    def _row(self) -> Row:
        parts: list[Part] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            parts.append(self._repeated(self._atom()))
        return Row(tuple(parts))

    def _repeated(self, part: Part) -> Part:
        least: int = 1
        most: int | None = 1
        if counted := _COUNT.match(self._pattern, self._at):
            self._at = counted.end()
            least = int(counted[1])
            most = least if counted[2] is None else int(counted[3]) if counted[3] else None
        elif self._take("*"):
            least, most = 0, None
        elif self._take("+"):
            most = None
        elif self._take("?"):
            least = 0
        else:
            return part
        self._take("?")
        if isinstance(part, Edge) or (most is not None and most < least):
            raise self._no("a repetition of nothing or below its least")
        return Repeat(part, least, most)

    def _atom(self) -> Part:
        character = self._next()
        if character == "(":
            return self._group()
        if character == "[":
            return _one(self._class())
        if character == "\\":
            return self._escape()
        if character in "^$":
            return Edge(character)
        if character == ".":
            return _one(_but(_LINE_ENDS))
        if character in "*+?" or (character == "{" and self._pattern[self._at : self._at + 1] in _NUMERALS):
            raise self._no(f"the '{character}' in it")
        return _one(_only(character))

    def _group(self) -> Part:
        if opening := _GROUP.match(self._pattern, self._at):
            self._at = opening.end()
        elif self._take("?"):
            raise self._no("a lookaround or a flag")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._no("groups nested too deeply")
        tree = self._either()
        self._depth -= 1
        if not self._take(")"):
            raise self._no("a group without its end")
        return tree

    def _escape(self) -> Part:
        if self._pattern[self._at : self._at + 1] in {"b", "B"}:
            return Edge(self._next())
        return _one(self._escaped())

    def _escaped(self) -> Ranges:
        if code := _HEX.match(self._pattern, self._at):
            self._at = code.end()
            return _only(chr(int(code[1] or code[2], 16)))
        character = self._next()
        for name, ranges in (("d", _DIGITS), ("w", _WORD), ("s", _SPACE)):
            if character.lower() == name:
                return ranges if character == name else _but(ranges)
        if character in _CONTROLS and not self._pattern[self._at : self._at + 1].isdecimal():
            return _only(chr(_CONTROLS[character]))
        if character.isalnum():
            raise self._no(f"'\\{character}'")
        return _only(character)

    def _class(self) -> Ranges:
        is_negated = self._take("^")
        if self._take("]"):
            raise self._no("a class that begins with ']'")
        ranges: list[tuple[int, int]] = []
        while not self._take("]"):
            low = self._member()
            is_range = self._pattern.startswith("-", self._at) and not self._pattern.startswith("-]", self._at)
            if is_range and _is_single(low):
                self._at += 1
                high = self._member()
                if not _is_single(high) or high < low:
                    raise self._no("a range without an order")
                ranges.append((low[0][0], high[0][1]))
            else:
                ranges.extend(low)
        return _but(tuple(ranges)) if is_negated else tuple(ranges)

    def _member(self) -> Ranges:
        if not self._take("\\"):
            return _only(self._next())
        return _only("\b") if self._take("b") else self._escaped()


def _only(character: str) -> Ranges:
    return ((ord(character), ord(character)),)


def _but(ranges: Ranges) -> Ranges:
    """Return the ranges of all other characters."""
    gaps: list[tuple[int, int]] = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            gaps.append((start, low - 1))
        start = max(start, high + 1)
    return (*gaps, (start, _HIGHEST)) if start <= _HIGHEST else tuple(gaps)


def _one(ranges: Ranges) -> One:
    """Return a character of these ranges, drawn from the readable ones where there are some."""
    has_many = any(high - low > len(_PRINTABLE) for low, high in ranges)
    known = _READABLE if has_many else _PRINTABLE
    choices = "".join(character for character in known if _is_in(ranges, character))
    if not choices:
        low, high = ranges[0] if ranges else (1, 0)
        codes = range(low, min(high, low + len(_PRINTABLE)) + 1)
        choices = "".join(chr(code) for code in codes if not 0xD800 <= code <= 0xDFFF)  # noqa: PLR2004 - surrogates
    return One(ranges, choices)


def _is_in(ranges: Ranges, character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in ranges)


def _is_single(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]


def unsupported(pattern: str, what: str) -> SchemaFault:
    """Return the fault of a pattern that is beyond this parser, or beyond reason."""
    return SchemaFault(f"'{short(pattern)}': this pattern isn't supported: {what}.")


def short(pattern: str) -> str:
    """Return a pattern, cut where it is long."""
    return pattern if len(pattern) <= _SHOWN else f"{pattern[:_SHOWN]}…"
