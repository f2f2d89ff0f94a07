"""Does a value fit a JSON schema, as far as the strict mode says what fits? Pure.

`pattern` and `format` aren't looked at: a pattern is ECMAScript's, which Python reads otherwise or takes for ever.
"""

from __future__ import annotations

import math
import operator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from barechat.parameters import shortened, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from barechat.schema import Schema

_KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


class _Misfit(NamedTuple):
    """What of a value doesn't fit, and why."""

    path: tuple[str | int, ...]
    words: str


def misfit(value: Any, schema: Schema, called: str) -> str | None:
    """Return the first thing in a value that doesn't fit a schema, None where all does. `called` is the value's name.

    The schema is one that `check_schema` and `strict` have taken.
    """
    try:
        found = _Judge(schema).judge(value, schema, (), frozenset())
    except RecursionError:
        return f"{called} nests too deeply"
    if found is None:
        return None
    steps = (f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{step!r}]" for step in found.path)
    path = shortened("".join(steps).removeprefix("."))
    return f"{called}'s {path} {found.words}" if path else f"{called} {found.words}"


class _Judge:
    """The judge of one schema's values."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._judged: dict[Any, _Misfit | None] = {}  # or each level of an anyOf would double the work

    def judge(self, value: Any, schema: Schema, path: tuple[str | int, ...], passed: frozenset[str]) -> _Misfit | None:
        """Return what doesn't fit. `passed` are the references that led to this schema with the same value."""
        case = (path, id(schema), passed)
        if case not in self._judged:
            self._judged[case] = self._judge(value, schema, path, passed)
        return self._judged[case]

    def _judge(self, value: Any, schema: Schema, path: tuple[str | int, ...], passed: frozenset[str]) -> _Misfit | None:
        if "$ref" in schema:
            reference = schema["$ref"]
            if reference in passed:
                return _Misfit(path, f"can be no value of {reference}, which refers to itself alone")
            name = reference.removeprefix("#/$defs/")
            referred = self._root if reference == "#" else self._root["$defs"][name]
            return self.judge(value, referred, path, passed | {reference})
        if "anyOf" in schema and (found := self._of_any(value, schema["anyOf"], path, passed)) is not None:
            return found
        if (words := _unfit(value, schema)) is not None:
            return _Misfit(path, words)
        inner = self._members(value, schema) if isinstance(value, dict) else self._items(value, schema)
        judged = (self.judge(one, part, (*path, step), frozenset()) for step, one, part in inner)
        return next((found for found in judged if found is not None), None)

    def _of_any(
        self, value: Any, schemas: list[Schema], path: tuple[str | int, ...], passed: frozenset[str]
    ) -> _Misfit | None:
        """Return what keeps a value from fitting the schema that it comes closest to."""
        closest = _Misfit(path, f"is {shown(value)}, which fits none that the schema's anyOf allows")
        for schema in schemas:
            found = self.judge(value, schema, path, passed)
            if found is None:
                return None
            if len(found.path) > len(closest.path):
                closest = found
        return closest

    def _members(self, value: dict[str, Any], schema: Schema) -> list[tuple[str, Any, Schema]]:
        members = schema.get("properties", {})
        return [(name, one, members[name]) for name, one in value.items() if name in members]

    def _items(self, value: Any, schema: Schema) -> list[tuple[int, Any, Schema]]:
        if not isinstance(value, list) or "items" not in schema:
            return []
        return [(at, one, schema["items"]) for at, one in enumerate(value)]


def _unfit(value: Any, schema: Schema) -> str | None:
    """Return what of a value itself doesn't fit, whatever is within it."""
    wanted = schema.get("type", [])
    kinds = wanted if isinstance(wanted, list) else [wanted]
    if kinds and not any(_is_of(value, kind) for kind in kinds):
        return f"is no {' or '.join(kinds)}, as the schema wants one: it is {shown(value)}"
    for keyword, allowed in (("enum", schema.get("enum")), ("const", [schema["const"]] if "const" in schema else None)):
        if allowed is not None and not any(_is_same(value, one) for one in allowed):
            return f"is {shown(value)}, which isn't the schema's {keyword}"
    return _misnamed(value, schema) if isinstance(value, dict) else _unbounded(value, schema)


def _misnamed(value: dict[str, Any], schema: Schema) -> str | None:
    for name in schema.get("required", ()):
        if name not in value:
            return f"has no {name!r}, which the schema wants"
    if schema.get("additionalProperties") is False:
        for name in value:
            if name not in schema.get("properties", {}):
                return f"has a {shown(name)}, which the schema has not"
    return None


def _unbounded(value: Any, schema: Schema) -> str | None:
    size = value if _is_of(value, "number") else len(value) if isinstance(value, (str, list)) else None
    for keyword, fits in _bounds(value).items():
        if keyword in schema and not fits(size, schema[keyword]):
            return f"is {shown(value)}, against the schema's {keyword} of {schema[keyword]}"
    return None


def _is_of(value: Any, kind: str) -> bool:
    if kind not in {"number", "integer"}:
        return isinstance(value, _KINDS[kind])
    if isinstance(value, float):  # 1e999 is read as infinity, which JSON has not
        return math.isfinite(value) and (kind == "number" or value.is_integer())
    return isinstance(value, int) and not isinstance(value, bool)


def _is_same(one: Any, other: Any) -> bool:
    """Say whether two values are one in JSON, where true isn't 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _is_multiple(value: float, factor: float) -> bool:
    return Fraction(str(value)) % Fraction(str(factor)) == 0


def _bounds(value: Any) -> dict[str, Callable[[Any, Any], bool]]:
    """Return the keywords that bound a value of this kind, by its number, length or count."""
    if isinstance(value, str):
        return {"minLength": operator.ge, "maxLength": operator.le}
    if isinstance(value, list):
        return {"minItems": operator.ge, "maxItems": operator.le}
    return _OF_NUMBERS if _is_of(value, "number") else {}


_OF_NUMBERS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
    "multipleOf": _is_multiple,
}
