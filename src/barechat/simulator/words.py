"""What does the simulator say? Plain English that looks like an answer, the same for the same key."""

import hashlib
import itertools
import json
import struct
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
_read_numbers = struct.Struct(">16H").unpack

_OPENERS = (
    "In short,",
    "In practice,",
    "As a rule,",
    "At first,",
    "Over time,",
    "For most people,",
    "Put simply,",
    "On a clear day,",
)
_SUBJECTS = (
    "the quiet harbour",
    "a careful gardener",
    "the old lighthouse",
    "each small step",
    "a steady river",
    "the morning train",
    "a patient teacher",
    "the narrow bridge",
    "every good map",
    "the winter market",
)
_VERBS = (
    "follows the shape of",
    "learns a little from",
    "leaves room for",
    "keeps close to",
    "gives way to",
    "makes light work of",
    "waits for",
    "stands beside",
    "slowly becomes",
    "depends on",
)
_OBJECTS = (
    "the hills around it",
    "what came before",
    "a simpler plan",
    "the changing weather",
    "one clear question",
    "the people who use it",
    "a longer story",
    "the work of many hands",
    "an honest measure",
    "the road to the coast",
)
_TAILS = (
    "before the day is over",
    "without much noise",
    "and nobody minds",
    "when the wind turns",
    "as long as it is kept in order",
    "one piece at a time",
    "which is why it lasts",
    "from spring until autumn",
)
_TITLES = ("harbour", "garden", "lighthouse", "river", "train", "bridge", "map", "market")


class Dice:
    """An endless row of choices drawn from a key by hashing, so that no Python version changes them."""

    def __init__(self, key: bytes) -> None:
        self._numbers = _numbers(key)

    def number(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + next(self._numbers) % (high - low + 1)

    def choose(self, options: Sequence[T]) -> T:
        """Return one of `options`."""
        return options[next(self._numbers) % len(options)]

    def hexadecimal(self, digits: int) -> str:
        """Return so many hexadecimal digits."""
        return "".join(f"{self.number(0, 15):x}" for _ in range(digits))


def _numbers(key: bytes) -> Iterator[int]:
    for block in itertools.count():
        yield from _read_numbers(hashlib.sha256(key + block.to_bytes(8, "big")).digest())


def sentence(dice: Dice) -> str:
    """Return one sentence of five to twenty words."""
    words = [dice.choose(_SUBJECTS), dice.choose(_VERBS), dice.choose(_OBJECTS)]
    shape = dice.number(0, 3)
    if shape & 1:
        words.insert(0, dice.choose(_OPENERS))
    if shape & 2:
        words.append(dice.choose(_TAILS))
    text = " ".join(words)
    return f"{text[0].upper()}{text[1:]}."


def prose(dice: Dice, words: int) -> str:
    """Return whole sentences of at least `words` words in all; no words, no text."""
    sentences: list[str] = []
    count = 0
    while count < words:
        sentences.append(sentence(dice))
        count += sentences[-1].count(" ") + 1
    return " ".join(sentences)


def json_object(dice: Dice, words: int) -> str:
    """Return the text of a JSON object of about `words` words."""
    points: list[str] = []
    count = 8
    while not points or count < words:
        points.append(sentence(dice))
        count += points[-1].count(" ") + 1
    return json.dumps(
        {
            "title": dice.choose(_TITLES),
            "points": points,
            "confidence": dice.number(1, 99) / 100,
            "complete": True,
        }
    )
