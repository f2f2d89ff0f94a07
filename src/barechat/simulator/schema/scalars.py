"""Which number, or which text, fits a JSON schema? Pure: dice decide which of many."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from barechat.simulator.schema.fitting import exact, fits_number
from barechat.simulator.schema.patterns import sample_pattern
from barechat.simulator.schema.strict import SchemaFault, fault_at
from barechat.simulator.words import Dice, sentence

_DRAWS: Final = 32
_SPAN: Final = 1_000
# A number without `multipleOf` has two decimals, or more where its limits are too close for that.
_STEPS: Final = tuple(Fraction(1, 10**digits) for digits in (2, 4, 8, 16, 32))
# From here on floats have no decimals: https://en.wikipedia.org/wiki/Double-precision_floating-point_format
_WHOLE_FROM: Final = 2**53
_LONGEST: Final = 10_000

_NAMES: Final = ("Ada Brook", "Jonas Field", "Mina Harper", "Otto Lane", "Rosa Winter", "Tomas Reed")
_CITIES: Final = ("Lisbon", "Bergen", "Nagoya", "Turin", "Halifax", "Valencia")
_COUNTRIES: Final = ("Portugal", "Norway", "Japan", "Italy", "Canada", "Spain")
_ADJECTIVES: Final = ("quiet", "careful", "steady", "narrow", "patient", "simple", "early", "honest")
_NOUNS: Final = ("harbour", "garden", "lighthouse", "river", "train", "bridge", "map", "market")
_LAST_WORD: Final = re.compile(r"[A-Za-z][a-z]*(?=[^A-Za-z]*$)")


def make_number(schema: Mapping[str, Any], dice: Dice, path: tuple[str, ...], *, whole: bool) -> int | float:
    """Return a number within the schema's limits, whole if asked for; raises SchemaFault where there is none."""
    low, high = _limit(schema, "minimum", max), _limit(schema, "maximum", min)
    multiple = exact(schema["multipleOf"]) if "multipleOf" in schema else None
    steps = [Fraction(multiple.numerator if multiple else 1)] if whole else [multiple] if multiple else _STEPS
    for step in steps:
        first, last = _range(low, high, step)
        for _ in range(_DRAWS if first <= last else 0):
            number = dice.number(first, last) * step
            value = float(number) if number.denominator > 1 and abs(number) < _WHOLE_FROM else int(number)
            if fits_number(value, schema) and _divides(value, multiple):
                return value
    ends: list[int | float | None] = [schema.get("minimum"), schema.get("maximum")]
    for end in ends:
        if end is not None and not whole and fits_number(end, schema):
            return end
    raise fault_at(path, f"no {'integer' if whole else 'number'} fits its limits.")


def _limit(schema: Mapping[str, Any], keyword: str, choose: Callable[[list[Fraction]], Fraction]) -> Fraction | None:
    names = (keyword, f"exclusive{keyword.capitalize()}")
    given = [exact(schema[name]) for name in names if name in schema]
    return choose(given) if given else None


def _range(low: Fraction | None, high: Fraction | None, step: Fraction) -> tuple[int, int]:
    """Return the first and the last multiple of `step` to draw from; the ends themselves may be excluded."""
    span = math.ceil(_SPAN / step) if step < 1 else _SPAN
    if low is None and high is None:
        return 0, span
    first = math.ceil(low / step) if low is not None else 0
    last = math.floor(high / step) if high is not None else first + span
    return (first if low is not None else last - span), last


def _divides(value: float, multiple: Fraction | None) -> bool:
    """Say whether validators that divide by floats find a multiple too."""
    if multiple is None or multiple.denominator == 1 or abs(value) >= _WHOLE_FROM:
        return True
    return (value / float(multiple)).is_integer()


def make_text(schema: Mapping[str, Any], dice: Dice, path: tuple[str, ...]) -> str:
    """Return a text that fits the schema, shaped by its format or its property's name where these say something.

    Raises SchemaFault where there is none.
    """
    shortest, longest = int(schema.get("minLength", 0)), int(schema.get("maxLength", _LONGEST))
    if shortest > longest or shortest > _LONGEST:
        raise fault_at(path, f"no text has from {shortest} to {longest} characters.")
    if "pattern" in schema:
        try:
            return sample_pattern(schema["pattern"], dice, shortest=shortest, longest=longest)
        except SchemaFault as fault:
            raise fault_at(path, str(fault)) from None
    for make in _makers(schema.get("format"), path):
        text = make(dice)
        if shortest <= len(text) <= longest:
            return text
    text = _few_words(dice)
    while len(text) < shortest:
        text = f"{text} {sentence(dice)}"
    return text[:longest].rstrip().ljust(shortest, "a")


def _makers(form: Any, path: tuple[str, ...]) -> Iterator[Callable[[Dice], str]]:
    if form in _FORMATS:
        yield _FORMATS[form]
    elif len(path) > 1 and path[-2] == "properties" and (word := _LAST_WORD.search(path[-1])):
        yield _KINDS.get(word[0].lower(), _few_words)


def _few_words(dice: Dice) -> str:
    return f"{dice.choose(_ADJECTIVES)} {dice.choose(_NOUNS)}"


def _title(dice: Dice) -> str:
    return f"The {dice.choose(_ADJECTIVES)} {dice.choose(_NOUNS)}"


def _date(dice: Dice) -> str:
    return f"2026-{dice.number(1, 12):02}-{dice.number(1, 28):02}"


def _time(dice: Dice) -> str:
    return f"{dice.number(0, 23):02}:{dice.number(0, 59):02}:{dice.number(0, 59):02}Z"


def _uuid(dice: Dice) -> str:
    """Return an identifier of version 4. https://www.rfc-editor.org/rfc/rfc9562#section-5.4."""
    digits = "".join(f"{dice.number(0, 0xFFFF):04x}" for _ in range(8))
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{dice.choose('89ab')}{digits[17:20]}-{digits[20:]}"


def _uri(dice: Dice) -> str:
    return f"https://example.com/{dice.choose(_NOUNS)}/{dice.number(1, 999)}"


# The addresses are those set aside for examples: https://www.rfc-editor.org/rfc/rfc5737, rfc3849, rfc2606.
_FORMATS: Final[Mapping[str, Callable[[Dice], str]]] = {
    "date-time": lambda dice: f"{_date(dice)}T{_time(dice)}",
    "date": _date,
    "time": _time,
    "duration": lambda dice: f"P{dice.number(1, 9)}DT{dice.number(1, 23)}H",
    "email": lambda dice: f"{dice.choose(_NOUNS)}.{dice.number(1, 99)}@example.com",
    "hostname": lambda dice: f"{dice.choose(_NOUNS)}.example.com",
    "ipv4": lambda dice: f"192.0.2.{dice.number(1, 254)}",
    "ipv6": lambda dice: f"2001:db8::{dice.number(1, 0xFFFF):x}",
    "uuid": _uuid,
    "uri": _uri,
}
_KINDS: Final[Mapping[str, Callable[[Dice], str]]] = {
    **dict.fromkeys(("name", "author", "person"), lambda dice: dice.choose(_NAMES)),
    **dict.fromkeys(("city", "location", "place"), lambda dice: dice.choose(_CITIES)),
    "country": lambda dice: dice.choose(_COUNTRIES),
    "email": _FORMATS["email"],
    "date": _date,
    **dict.fromkeys(("url", "uri", "link"), _uri),
    "title": _title,
    "id": lambda dice: f"{dice.choose(_NOUNS)}-{dice.number(100, 999)}",
    **dict.fromkeys(("answer", "content", "description", "explanation", "message", "reason", "summary"), sentence),
}
