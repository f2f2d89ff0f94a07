"""Does a value fit a JSON schema? Pure, and bounded in time and depth whatever the schema.

https://json-schema.org/draft/2020-12/json-schema-validation is the rule. A `format` is taken for a remark.
"""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

import msgspec

from barechat.simulator.schema.patterns import matches_pattern
from barechat.simulator.schema.strict import SchemaFault, follow_reference

_DEEPEST: Final = 64
_MOST_STEPS: Final = 120_000


def is_integer(value: Any) -> bool:
    """Say whether a JSON value is a whole number; 1.0 is one."""
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


_IS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": is_integer,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}


def exact(number: float | Fraction) -> Fraction:
    """Return a number as it is written: 0.1 is a tenth."""
    return Fraction(str(number)) if isinstance(number, float) else Fraction(number)


def identity_of(value: Any) -> bytes:
    """Return bytes that two values share when JSON Schema takes them for equal: 1 and 1.0 are, 1 and true aren't."""
    return msgspec.json.encode(_plain(value), order="deterministic")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Exhausted(SchemaFault):
    """The schema asks for more than is made for any."""


class Budget:
    """How much may still be done for one document, in steps of a few microseconds."""

    def __init__(self, steps: int = _MOST_STEPS) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """Take steps off the budget; raises Exhausted when there are none left."""
        self._left -= steps
        if self._left < 0:
            raise Exhausted("the schema is too large: it asks for more than can be made.")


class Fitting:
    """Judges values by the schemas of one document, whose references it follows."""

    def __init__(self, root: Any, budget: Budget) -> None:
        self._root = root
        self._budget = budget
        self._depth = 0
        # What is known of (value, schema) pairs, by their identity: without it, nested unions take exponential time.
        # None stands for a pair that is being judged.
        self._known: dict[tuple[int, int], bool | None] = {}

    def fits(self, value: Any, schema: Any) -> bool:
        """Say whether a value fits; raises SchemaFault when that can't be said."""
        self._depth = 0
        self._known.clear()
        return self._fits(value, schema)

    def _fits(self, value: Any, schema: Any) -> bool:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise SchemaFault("a schema is an object or a boolean.")
        pair = (id(value), id(schema))
        if pair in self._known:
            known = self._known[pair]
            if known is None:
                raise SchemaFault("the schema is made of itself.")
            return known
        self._budget.spend(1)
        if self._depth > _DEEPEST:
            raise SchemaFault("the schema is nested too deeply.")
        self._known[pair] = None
        self._depth += 1
        found = self._known[pair] = all(self._judgements(value, schema))
        self._depth -= 1
        return found

    def _judgements(self, value: Any, schema: Mapping[str, Any]) -> Iterator[bool]:
        kinds = schema.get("type")
        if kinds is not None:
            yield any(_IS[kind](value) for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind in _IS)
        if "enum" in schema or "const" in schema:
            yield from _choices(value, schema)
        if isinstance(value, str):
            yield from _text(value, schema)
        elif isinstance(value, list):
            yield from self._array(value, schema)
        elif isinstance(value, dict):
            yield from self._object(value, schema)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield fits_number(value, schema)
        yield from self._combinations(value, schema)

    def _combinations(self, value: Any, schema: Mapping[str, Any]) -> Iterator[bool]:
        if "$ref" in schema:
            yield self._fits(value, follow_reference(self._root, schema["$ref"]))
        for one in schema.get("allOf", ()):
            yield self._fits(value, one)
        if "anyOf" in schema:
            yield any(self._fits(value, one) for one in schema["anyOf"])
        if "oneOf" in schema:
            yield sum(self._fits(value, one) for one in schema["oneOf"]) == 1
        if "not" in schema:
            yield not self._fits(value, schema["not"])
        if "if" in schema:
            yield self._fits(value, schema.get("then" if self._fits(value, schema["if"]) else "else", True))

    def _array(self, value: list[Any], schema: Mapping[str, Any]) -> Iterator[bool]:
        yield schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        first = schema.get("prefixItems", [])
        for one, inner in zip(value, first, strict=False):
            yield self._fits(one, inner)
        if "items" in schema:
            for one in value[len(first) :]:
                yield self._fits(one, schema["items"])
        if schema.get("uniqueItems"):
            yield len({identity_of(one) for one in value}) == len(value)
        if "contains" in schema:
            found = sum(self._fits(one, schema["contains"]) for one in value)
            yield schema.get("minContains", 1) <= found <= schema.get("maxContains", found)

    def _object(self, value: dict[str, Any], schema: Mapping[str, Any]) -> Iterator[bool]:
        yield schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value))
        for name in schema.get("required", ()):
            yield name in value
        for name, needed in schema.get("dependentRequired", {}).items():
            yield name not in value or all(one in value for one in needed)
        for name, inner in schema.get("dependentSchemas", {}).items():
            yield name not in value or self._fits(value, inner)
        for name, one in value.items():
            for inner in schemas_of(name, schema):
                yield self._fits(one, inner)
            if "propertyNames" in schema:
                yield self._fits(name, schema["propertyNames"])


def schemas_of(name: str, schema: Mapping[str, Any]) -> list[Any]:
    """Return the schemas that an object's schema has for the property of this name."""
    properties = schema.get("properties", {})
    found = [properties[name]] if name in properties else []
    patterns = schema.get("patternProperties", {})
    found.extend(inner for pattern, inner in patterns.items() if matches_pattern(pattern, name))
    return found or [schema.get("additionalProperties", True)]


def _choices(value: Any, schema: Mapping[str, Any]) -> Iterator[bool]:
    mine = identity_of(value)
    if "const" in schema:
        yield mine == identity_of(schema["const"])
    if "enum" in schema:
        yield any(mine == identity_of(one) for one in schema["enum"])


def _text(value: str, schema: Mapping[str, Any]) -> Iterator[bool]:
    yield schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
    if "pattern" in schema:
        yield matches_pattern(schema["pattern"], value)


def fits_number(value: float, schema: Mapping[str, Any]) -> bool:
    """Say whether a number is within a schema's limits and a multiple of what it is to be."""
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
        and ("multipleOf" not in schema or (exact(value) / exact(schema["multipleOf"])).denominator == 1)
    )
