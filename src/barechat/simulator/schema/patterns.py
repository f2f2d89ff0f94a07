"""Which text matches a regular expression? Draws one, and says whether a given one does. Pure.

A text is matched by keeping every place where a match may stand, not by trying one after another, so that no pattern
takes exponential time.
"""

from typing import Final

from barechat.simulator.schema.expressions import Edge, Either, One, Part, Repeat, Row, parse, short, unsupported
from barechat.simulator.schema.strict import SchemaFault
from barechat.simulator.words import Dice

_FILLER: Final = "abcdefghijklmnopqrstuvwxyz"
_LONGEST: Final = 10_000
_MOST_STEPS: Final = 200_000
_FEW: Final = 2
_DRAWS: Final = 64
_PLAIN_DRAWS: Final = 8


def sample_pattern(pattern: str, dice: Dice, *, shortest: int = 0, longest: int = _LONGEST) -> str:
    """Return a text of `shortest` to `longest` characters that matches, the same for the same dice.

    Raises SchemaFault for a pattern that isn't supported and for one to which no such text is found.
    """
    tree = parse(pattern)
    for draw in range(_DRAWS):
        more = _FEW if draw < _PLAIN_DRAWS else dice.number(0, max(_FEW, min(shortest, _LONGEST)) + _FEW)
        text = _Draw(pattern, dice, more).text(tree)
        filler = "".join(dice.choose(_FILLER) for _ in range(min(shortest, _LONGEST) - len(text)))
        for one in (text, text + filler, filler + text) if filler else (text,):
            if shortest <= len(one) <= longest and _Search(pattern, one).finds(tree):
                return one
    raise SchemaFault(f"'{short(pattern)}': no text of {shortest} to {longest} characters was found for this pattern.")


def matches_pattern(pattern: str, text: str) -> bool:
    """Say whether the pattern is found anywhere in a text; raises SchemaFault for one that isn't supported."""
    return _Search(pattern, text).finds(parse(pattern))


class _Draw:
    """Draws a text; `more` is how often at most a part comes beyond the least."""

    def __init__(self, pattern: str, dice: Dice, more: int) -> None:
        self._pattern = pattern
        self._dice = dice
        self._more = more
        self._steps = 0
        self._drawn: list[str] = []

    def text(self, tree: Part) -> str:
        self._add(tree)
        return "".join(self._drawn)

    def _add(self, part: Part) -> None:
        self._steps += 1
        if self._steps > _LONGEST:
            raise unsupported(self._pattern, f"its texts are longer than {_LONGEST:,} characters")
        if isinstance(part, One):
            if not part.choices:
                raise unsupported(self._pattern, "a class without characters")
            self._drawn.append(self._dice.choose(part.choices))
        elif isinstance(part, Row):
            for one in part.parts:
                self._add(one)
        elif isinstance(part, Either):
            self._add(self._dice.choose(part.options))
        elif isinstance(part, Repeat):
            spare = self._more if part.most is None else min(self._more, part.most - part.least)
            for _ in range(part.least + self._dice.number(0, spare)):
                self._add(part.part)


class _Search:
    """Looks for a match in one text, whose cost is bounded."""

    def __init__(self, pattern: str, text: str) -> None:
        self._pattern = pattern
        self._text = text
        self._steps = 0

    def finds(self, tree: Part) -> bool:
        return bool(self._ends(tree, frozenset(range(len(self._text) + 1))))

    def _ends(self, part: Part, starts: frozenset[int]) -> frozenset[int]:
        """Return every place where a match of `part` ends that begins at one of `starts`."""
        self._steps += 1 + len(starts)
        if self._steps > _MOST_STEPS:
            raise unsupported(self._pattern, "matching it takes too long")
        text = self._text
        if isinstance(part, One):
            return frozenset(at + 1 for at in starts if at < len(text) and part.has(text[at]))
        if isinstance(part, Edge):
            return frozenset(at for at in starts if part.holds(text, at))
        if isinstance(part, Either):
            return frozenset().union(*(self._ends(option, starts) for option in part.options))
        if isinstance(part, Repeat):
            return self._repeated(part, starts)
        for one in part.parts:
            if not starts:
                break
            starts = self._ends(one, starts)
        return starts

    def _repeated(self, part: Repeat, starts: frozenset[int]) -> frozenset[int]:
        for _ in range(part.least):
            if not starts:
                return starts
            starts = self._ends(part.part, starts)
        found = fresh = starts
        left = part.most - part.least if part.most is not None else len(self._text)
        while fresh and left:
            fresh = self._ends(part.part, fresh) - found
            found |= fresh
            left -= 1
        return found
