"""Which plain schema stands for one with references, unions and `allOf`? Pure: dice choose the branches.

Whatever fits the plain schema fits the other, unless it is said to need a check.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from barechat.simulator.schema.fitting import Budget
from barechat.simulator.schema.merging import merge, types_of
from barechat.simulator.schema.strict import fault_at, follow_reference
from barechat.simulator.words import Dice

_MOST_PARTS: Final = 1_000
_ENDS_WITHIN: Final = (2, 4, 8, 16)
_UNIONS: Final = ("anyOf", "oneOf")
# What the plain schema leaves out or can't promise.
_TO_CHECK: Final = frozenset(
    ("oneOf", "not", "if", "contains", "patternProperties", "propertyNames", "dependentRequired", "dependentSchemas")
)
_NO_ASSERTIONS: Final = frozenset(
    (
        *("$ref", "allOf", "anyOf", "oneOf", "if", "then", "else", "const", "$defs", "definitions"),
        *("title", "description", "default", "examples", "deprecated", "$schema", "$id", "$comment"),
    )
)
_PLACES_A_STEP: Final = 8


class Choices:
    """The branches of one attempt: the first union's take turns from attempt to attempt, all others are drawn."""

    def __init__(self, dice: Dice, attempt: int, start: int) -> None:
        self.options = 1
        self._dice = dice
        self._attempt = attempt
        self._start = start

    def pick(self, options: Sequence[Any]) -> Any:
        """Return one of the options; null, among others, less often."""
        is_first = self.options == 1
        self.options = max(self.options, len(options))
        at = self._start + self._attempt if is_first else self._dice.number(0, len(options) - 1)
        if self._attempt == 0 and options[at % len(options)] in ("null", {"type": "null"}):
            at += self._dice.number(0, 1)
        return options[at % len(options)]


class Plain(msgspec.Struct, frozen=True):
    """A schema without references and unions; `is_sure` when whatever fits it fits what it was made of."""

    schema: dict[str, Any]
    is_sure: bool


class Branching:
    """Makes the schemas of one document plain."""

    def __init__(self, root: Any, budget: Budget) -> None:
        self._root = root
        self._budget = budget
        self._ends: dict[tuple[int, int], bool] = {}

    def plain(self, schema: Any, path: tuple[str, ...], choices: Choices, *, soon: bool) -> Plain:
        """Return a plain schema, `soon` with branches that end a recursion; raises SchemaFault where there is none."""
        plain: dict[str, Any] = {}
        merged, is_sure = 0, True
        todo = [schema]
        for _ in range(_MOST_PARTS):
            if not todo:
                return Plain(plain, is_sure and merged <= 1)
            part = todo.pop()
            if part is False:
                raise fault_at(path, "no value fits 'false'.")
            if part is True:
                continue
            own = {keyword: value for keyword, value in part.items() if keyword not in _NO_ASSERTIONS}
            merged += bool(own)
            is_sure = is_sure and not _TO_CHECK & part.keys()
            if "const" in part:
                own = merge(own, {"enum": [part["const"]]})
            places = len(plain.get("properties", ())) + len(own.get("properties", ()))
            self._budget.spend(1 + places // _PLACES_A_STEP)
            plain = merge(plain, own) if plain else own
            todo.extend(reversed(list(self._parts(part, path, choices, soon=soon))))
        raise fault_at(path, "this schema is made of too many others, or of itself.")

    def _parts(
        self, schema: Mapping[str, Any], path: tuple[str, ...], choices: Choices, *, soon: bool
    ) -> Iterator[Any]:
        """Yield the schemas that are to be fitted beside this one's own keywords."""
        if "$ref" in schema:
            yield follow_reference(self._root, schema["$ref"], path)
        yield from schema.get("allOf", ())
        for keyword in _UNIONS:
            if keyword in schema:
                options = schema[keyword]
                yield choices.pick(self._soonest(options) if soon else options)
        if "if" in schema:
            yield choices.pick([{"allOf": [schema["if"], schema.get("then", True)]}, schema.get("else", True)])

    def _soonest(self, options: list[Any]) -> list[Any]:
        """Return the options that end first: in a recursive schema, those that don't go on."""
        for steps in _ENDS_WITHIN:
            if found := [option for option in options if self._has_end(option, steps)]:
                return found
        return options

    def _has_end(self, schema: Any, steps: int) -> bool:
        """Say, roughly, whether a value can be made in so many steps down the schema."""
        if not isinstance(schema, dict) or "enum" in schema or "const" in schema:
            return schema is not False
        if steps == 0:
            return False
        key = (id(schema), steps)  # of the document itself, so that no other schema takes the identity over
        if key not in self._ends:
            self._budget.spend(1)
            self._ends[key] = False
            self._ends[key] = all(self._ends_of_parts(schema, steps - 1))
        return self._ends[key]

    def _ends_of_parts(self, schema: Mapping[str, Any], steps: int) -> Iterator[bool]:
        if "$ref" in schema:
            yield self._has_end(follow_reference(self._root, schema["$ref"]), steps)
        for one in schema.get("allOf", ()):
            yield self._has_end(one, steps)
        for keyword in _UNIONS:
            if keyword in schema:
                yield any(self._has_end(one, steps) for one in schema[keyword])
        kinds = types_of(schema.get("type", "object"))
        if not {"object", "array"}.issuperset(kinds):
            return
        if "object" in kinds:
            properties = schema.get("properties", {})
            for name in schema.get("required", ()):
                yield self._has_end(properties.get(name, True), steps)
        elif schema.get("minItems", 0):
            yield self._has_end(schema.get("items", True), steps)
