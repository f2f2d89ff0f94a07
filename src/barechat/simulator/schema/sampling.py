"""Which value fits a JSON schema? Makes one, the same for the same dice. Pure, and bounded whatever the schema.

A value is made of the plain schema that stands for the given one, checked where that one can't say everything, and
drawn again where it doesn't fit.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from barechat.simulator.schema.branching import Branching, Choices
from barechat.simulator.schema.fitting import Budget, Exhausted, Fitting, identity_of, schemas_of
from barechat.simulator.schema.merging import both, types_of
from barechat.simulator.schema.patterns import sample_pattern
from barechat.simulator.schema.scalars import make_number, make_text
from barechat.simulator.schema.strict import SchemaFault, fault_at, find_misfit, find_schema_fault
from barechat.simulator.words import Dice

__all__ = ["SchemaFault", "find_schema_fault", "sample"]

Path = tuple[str, ...]

_DEEPEST: Final = 32
# From this depth on, and after so many values, each is made as small as it can be.
_DEEP: Final = 7
_MANY: Final = 200
_ATTEMPTS: Final = 64
_MOST_ATTEMPTS: Final = 256
_USUAL_ITEMS: Final = 3
_USUAL_MEMBERS: Final = 2
_SPARE_NAMES: Final = 16
_MOST_ITEMS: Final = 1_000_000
_MOST_PROPERTIES: Final = 1_000_000
_VALUE_COST: Final = 8
_PATTERN_COST: Final = 32
_CHARACTERS_A_STEP: Final = 16
_IMPLIED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("properties", "required", "additionalProperties", "patternProperties"), "object"),
    **dict.fromkeys(("propertyNames", "minProperties", "maxProperties"), "object"),
    **dict.fromkeys(("items", "prefixItems", "minItems", "maxItems", "contains", "uniqueItems"), "array"),
    **dict.fromkeys(("pattern", "format", "minLength", "maxLength"), "string"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), "number"),
}
_ANYTHING: Final = (*("string",) * 4, "integer", "boolean", "null")
_BY_SIZE: Final = ("null", "boolean", "integer", "number", "string", "array", "object")
_NAMES: Final = ("harbour", "garden", "river", "train", "bridge", "market")


def sample(schema: Any, dice: Dice) -> Any:
    """Return a value that fits a JSON schema (draft 2020-12).

    Raises SchemaFault where none can be made: the schema contradicts itself, needs what isn't supported, or has no end.
    """
    if (fault := find_misfit(schema)) is not None:
        raise fault
    return _Sampler(schema, dice).value(schema, (), 0)


class _Sampler:
    """Makes the values of one document."""

    def __init__(self, root: Any, dice: Dice) -> None:
        self._dice = dice
        self._budget = Budget()
        self._fitting = Fitting(root, self._budget)
        self._branching = Branching(root, self._budget)
        self._values = 0

    def value(self, schema: Any, path: Path, depth: int) -> Any:
        """Return a value that fits the schema, at the first of a few attempts that gives one."""
        self._values += 1
        self._budget.spend(_VALUE_COST)
        if depth > _DEEPEST:
            raise fault_at(path, f"a value would be nested deeper than {_DEEPEST} levels.")
        soon = self._is_late(depth)
        start = 0 if soon else self._dice.number(0, 0xFFFF)
        fault = fault_at(path, "no value was found that fits.")
        attempt, attempts = 0, 1
        while attempt < attempts:
            choices = Choices(self._dice, attempt, start)
            attempt += 1
            try:
                plain = self._branching.plain(schema, path, choices, soon=soon)
                value = self._make(plain.schema, path, depth, choices)
                if plain.is_sure or self._fitting.fits(value, schema):
                    return value
                attempts = max(attempts, _ATTEMPTS)
            except Exhausted:
                raise
            except SchemaFault as found:
                fault = found
            if choices.options > 1:
                attempts = min(max(_ATTEMPTS, 2 * choices.options), _MOST_ATTEMPTS)
        raise fault

    def _is_late(self, depth: int) -> bool:
        return depth >= _DEEP or self._values > _MANY

    def _make(self, plain: dict[str, Any], path: Path, depth: int, choices: Choices) -> Any:
        """Return a value of a plain schema."""
        if "enum" in plain:
            return self._listed(plain, path)
        kinds: Sequence[str] = types_of(plain["type"]) if "type" in plain else _implied(plain)
        if not kinds:
            raise fault_at(path, "no type is left that fits.")
        kind = choices.pick(sorted(kinds, key=_BY_SIZE.index) if self._is_late(depth) else kinds)
        if kind == "object":
            return self._object(plain, path, depth)
        if kind == "array":
            return self._array(plain, path, depth)
        if kind == "string":
            return self._text(plain, path)
        if kind in {"integer", "number"}:
            return make_number(plain, self._dice, path, whole=kind == "integer")
        return None if kind == "null" else self._dice.number(0, 1) == 1

    def _listed(self, plain: dict[str, Any], path: Path) -> Any:
        """Return one of the values of `enum` that fits the rest."""
        values = plain["enum"]
        rest = {keyword: value for keyword, value in plain.items() if keyword != "enum"}
        start = self._dice.number(0, max(0, len(values) - 1))
        for at in range(len(values)):
            value = values[(start + at) % len(values)]
            if self._fitting.fits(value, rest):
                self._budget.spend(len(identity_of(value)) // _CHARACTERS_A_STEP)
                return value
        raise fault_at(path, "'enum' has no value that fits.")

    def _text(self, plain: Mapping[str, Any], path: Path) -> str:
        if "pattern" in plain:
            self._budget.spend(_PATTERN_COST)
        text = make_text(plain, self._dice, path)
        self._budget.spend(len(text) * (1 + len(plain.get("pattern", ""))) // _CHARACTERS_A_STEP)
        return text

    def _object(self, plain: Mapping[str, Any], path: Path, depth: int) -> dict[str, Any]:
        properties, required = plain.get("properties", {}), dict.fromkeys(plain.get("required", ()))
        least, most = int(plain.get("minProperties", 0)), int(plain.get("maxProperties", _MOST_PROPERTIES))
        self._budget.spend((len(properties) + len(required)) // _VALUE_COST)
        late = self._is_late(depth)
        members = {name: self._member(plain, name, path, depth) for name in required}
        spare = [name for name in properties if name not in required]
        chosen = [] if late else [name for name in spare if self._dice.number(0, 2)]
        self._add(members, chosen, most, plain, path, depth)
        is_map = not properties and (
            isinstance(plain.get("additionalProperties"), dict) or "patternProperties" in plain
        )
        usual = self._dice.number(1, _USUAL_MEMBERS) if is_map and not late else 0
        self._add(members, chain(spare, self._names(plain)), min(max(least, usual), most), plain, path, depth)
        if not least <= len(members) <= most:
            raise fault_at(path, f"no object of {least} to {most} properties fits.")
        listed = {name: members.pop(name) for name in properties if name in members}
        return {**listed, **members}

    def _member(self, plain: Mapping[str, Any], name: str, path: Path, depth: int) -> Any:
        inner: Any = True
        for one in schemas_of(name, plain):
            inner = both(inner, one)
        return self.value(inner, (*path, "properties", name), depth + 1)

    def _add(
        self,
        members: dict[str, Any],
        names: Iterable[str],
        size: int,
        plain: Mapping[str, Any],
        path: Path,
        depth: int,
    ) -> None:
        """Add properties that may also be left out, up to a size."""
        for name in names:
            if len(members) >= size:
                break
            if name not in members:
                try:
                    members[name] = self._member(plain, name, path, depth)
                except Exhausted:
                    raise
                except SchemaFault:
                    continue

    def _names(self, plain: Mapping[str, Any]) -> Iterator[str]:
        """Yield names for properties that the schema doesn't name, as far as it allows any."""
        patterns = list(plain.get("patternProperties", ()))
        is_open = plain.get("additionalProperties", True) is not False
        for index in range(int(plain.get("minProperties", 0)) + _SPARE_NAMES):
            if "propertyNames" in plain:
                yield self.value(both({"type": "string"}, plain["propertyNames"]), (), 0)
            elif patterns and not (is_open and index % 2):
                yield sample_pattern(self._dice.choose(patterns), self._dice)
            elif is_open:
                yield _NAMES[index] if index < len(_NAMES) else f"{_NAMES[index % len(_NAMES)]}_{index}"

    def _array(self, plain: Mapping[str, Any], path: Path, depth: int) -> list[Any]:
        first, rest = plain.get("prefixItems", []), plain.get("items", True)
        least = int(plain.get("minItems", 0))
        most = min(int(plain.get("maxItems", _MOST_ITEMS)), len(first) if rest is False else _MOST_ITEMS)
        wanted = int(plain.get("minContains", 1)) if "contains" in plain else 0
        size = least
        if not self._is_late(depth):
            # Where items may be what they are items of, some have none: a tree's leaves aren't all at one depth.
            fewest = 0 if depth > _USUAL_ITEMS - 1 and isinstance(rest, dict) and "$ref" in rest else 1
            usual = max(least, _USUAL_ITEMS - depth // 2, 1)
            size = max(len(first), self._dice.number(max(least, fewest), usual))
        items: list[Any] = []
        for at in range(min(max(size, len(first) + wanted if wanted else 0), most)):
            inner = first[at] if at < len(first) else rest
            if len(first) <= at < len(first) + wanted:
                inner = both(inner, plain["contains"])
            if items and plain.get("uniqueItems"):
                self._budget.spend(len(items))
                inner = both(inner, {"not": {"enum": items}})
            try:
                items.append(self.value(inner, (*path, "items"), depth + 1))
            except Exhausted:
                raise
            except SchemaFault:
                if at < least:
                    raise
                break
        if len(items) < least:
            raise fault_at(path, f"no array of {least} to {most} items fits.")
        return items


def _implied(plain: Mapping[str, Any]) -> Sequence[str]:
    """Return the type that a schema without one is about."""
    return next(([_IMPLIED[keyword]] for keyword in plain if keyword in _IMPLIED), _ANYTHING)
