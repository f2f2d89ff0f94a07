"""What is one JSON schema for what fits two? Pure.

Where two keywords can't be said as one, the second stands: whoever makes a value of the result checks it against both.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Final

from barechat.simulator.schema.fitting import exact, identity_of, schemas_of

_SMALLER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxContains", "maxProperties")
_LARGER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minContains", "minProperties")
_OF_PROPERTIES: Final = ("properties", "patternProperties", "additionalProperties")


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema for what fits both; neither has references, unions or `const` at its top."""
    merged = {**first, **second}
    for keyword in second:
        if keyword in first and keyword in _JOINS:
            merged[keyword] = _JOINS[keyword](first[keyword], second[keyword])
    if any(keyword in first for keyword in _OF_PROPERTIES) and any(keyword in second for keyword in _OF_PROPERTIES):
        merged.update(_properties(first, second))
    return merged


def both(first: Any, second: Any) -> Any:
    """Return the schema of what fits two schemas, without looking into them."""
    if first is True or second is False:
        return second
    return first if second is True or first is False or first is second else {"allOf": [first, second]}


def types_of(kinds: str | list[str]) -> list[str]:
    """Return the value of `type` as a list."""
    return [kinds] if isinstance(kinds, str) else kinds


def _properties(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for name in {**first.get("properties", {}), **second.get("properties", {})}:
        inner: Any = True
        for one in (*schemas_of(name, first), *schemas_of(name, second)):
            inner = both(inner, one)
        named[name] = inner
    patterns = dict(first.get("patternProperties", {}))
    for pattern, inner in second.get("patternProperties", {}).items():
        patterns[pattern] = both(patterns.get(pattern, True), inner)
    others = both(first.get("additionalProperties", True), second.get("additionalProperties", True))
    return {"properties": named, "patternProperties": patterns, "additionalProperties": others}


def _types(first: Any, second: Any) -> list[str]:
    """Return the types in both; a whole number is a number too."""
    mine, yours = types_of(first), types_of(second)
    found = [kind for kind in mine if kind in yours or (kind == "integer" and "number" in yours)]
    return found + [kind for kind in yours if kind == "integer" and "number" in mine and kind not in found]


def _values(first: list[Any], second: list[Any]) -> list[Any]:
    known = {identity_of(one) for one in second}
    return [one for one in first if identity_of(one) in known]


def _multiple(first: Any, second: Any) -> Fraction:
    one, other = exact(first), exact(second)
    return Fraction(math.lcm(one.numerator, other.numerator), math.gcd(one.denominator, other.denominator))


def _rows(first: list[Any], second: list[Any]) -> list[Any]:
    shared = [both(one, other) for one, other in zip(first, second, strict=False)]
    return shared + first[len(shared) :] + second[len(shared) :]


_JOINS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    **dict.fromkeys(_SMALLER, min),
    **dict.fromkeys(_LARGER, max),
    **dict.fromkeys(("items", "propertyNames"), both),
    "type": _types,
    "enum": _values,
    "multipleOf": _multiple,
    "required": lambda first, second: list(dict.fromkeys([*first, *second])),
    "not": lambda first, second: {"anyOf": [first, second]},
    "uniqueItems": lambda first, second: first or second,
    "prefixItems": _rows,
}
