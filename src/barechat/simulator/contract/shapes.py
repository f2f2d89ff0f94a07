"""Which shape must a value have? A vocabulary of shapes, each of which finds the first fault of a value.

Every request is checked, so that nothing is built for what is as it should be: a place is a bare tuple until it is
in a refusal, and an absent key costs one look into a dict.
"""

import re
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from barechat.simulator.contract import wording
from barechat.simulator.contract.wording import Path, Refusal


class Shape(Protocol):
    """What a value must be."""

    @property
    def kind(self) -> str:
        """What is expected, in the API's words: "an object"."""
        ...

    def find_fault(self, value: Any, path: Path) -> Refusal | None:
        """Refuse the first fault of a value that stands at a path; None when it has none."""
        ...


class Boolean(msgspec.Struct, frozen=True):
    """True or false."""

    kind: str = "a boolean"

    def find_fault(self, value: Any, path: Path) -> Refusal | None:
        """Refuse what is neither true nor false."""
        return None if type(value) is bool else wording.wrong_type(path, self.kind, value)


class Integer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole number within bounds that belong to it."""

    low: int | None = None
    high: int | None = None
    kind: str = "an integer"

    def find_fault(self, value: Any, path: Path) -> Refusal | None:
        """Refuse other types, decimals such as 1.0 too, and numbers out of bounds."""
        if type(value) is not int:
            return wording.wrong_type(path, self.kind, value)
        return _out_of_bounds(path, "integer", value, self.low, self.high)


class Decimal(msgspec.Struct, frozen=True, kw_only=True):
    """A number within bounds that belong to it."""

    low: int | None = None
    high: int | None = None
    kind: str = "a decimal"

    def find_fault(self, value: Any, path: Path) -> Refusal | None:
        """Refuse other types and numbers out of bounds."""
        if type(value) is not float and type(value) is not int:
            return wording.wrong_type(path, self.kind, value)
        return _out_of_bounds(path, "decimal", value, self.low, self.high)


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A string, of a length and a pattern when there are any."""

    pattern: re.Pattern[str] | None = None
    is_filled: bool = False
    longest: int | None = None
    kind: str = "a string"

    def find_fault(self, value: Any, path: Path) -> Refusal | None:
        """Refuse other types, the empty string unless it will do, and what is too long or doesn't match."""
        if type(value) is not str:
            return wording.wrong_type(path, self.kind, value)
        if self.is_filled and not value:
            return wording.empty(path, "string")
        if self.longest is not None and len(value) > self.longest:
            return wording.too_long(path, "string", len(value), self.longest)
        if self.pattern is not None and self.pattern.fullmatch(value) is None:
            return wording.mismatch(path, self.pattern)
        return None


class Choice(msgspec.Struct, frozen=True):
    """One of some strings."""

    values: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The strings."""
        return f"one of {wording.listed(self.values, 'or')}"

    def find_fault(self, value: Any, path: Path) -> Refusal | None:
        """Refuse other types and other strings."""
        if type(value) is not str:
            return wording.wrong_type(path, self.kind, value)
        return None if value in self.values else wording.wrong_value(path, value, self.values)


class Array(msgspec.Struct, frozen=True, kw_only=True):
    """An array of items of one shape."""

    item: Shape
    is_filled: bool = False
    longest: int | None = None
    kind: str = "an array of objects"

    def find_fault(self, value: Any, path: Path) -> Refusal | None:
        """Refuse other types, the empty array unless it will do, what is too long, and an item's fault."""
        if type(value) is not list:
            return wording.wrong_type(path, self.kind, value)
        if self.is_filled and not value:
            return wording.empty(path, "array")
        if self.longest is not None and len(value) > self.longest:
            return wording.too_long(path, "array", len(value), self.longest)
        find_fault = self.item.find_fault
        for index, item in enumerate(value):
            fault = find_fault(item, (*path, index))
            if fault is not None:
                return fault
        return None


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """An object of named members, in the order in which their faults are told; a closed one has no others."""

    members: Mapping[str, Shape] = {}
    required: frozenset[str] = frozenset()
    is_closed: bool = False
    kind: str = "an object"

    def find_fault(self, value: Any, path: Path) -> Refusal | None:
        """Refuse other types, a member's fault or absence, and unknown keys of a closed one."""
        if type(value) is not dict:
            return wording.wrong_type(path, self.kind, value)
        for name, shape in self.members.items():
            if name in value:
                fault = shape.find_fault(value[name], (*path, name))
                if fault is not None:
                    return fault
            elif name in self.required:
                return wording.missing((*path, name))
        if self.is_closed:
            return next((wording.unknown((*path, name)) for name in value if name not in self.members), None)
        return None


def object_of(members: Mapping[str, Shape], *required: str, is_closed: bool = False) -> Object:
    """Return the shape of an object of these members, some of them required."""
    return Object(members=members, required=frozenset(required), is_closed=is_closed)


class Map(msgspec.Struct, frozen=True, kw_only=True):
    """An object of any keys whose values have one shape."""

    item: Shape
    most: int | None = None
    longest_key: int | None = None
    kind: str = "an object"

    def find_fault(self, value: Any, path: Path) -> Refusal | None:
        """Refuse other types, too many keys, keys that are too long, and a value's fault."""
        if type(value) is not dict:
            return wording.wrong_type(path, self.kind, value)
        if self.most is not None and len(value) > self.most:
            return wording.too_many_keys(path, len(value), self.most)
        for name, item in value.items():
            if self.longest_key is not None and len(name) > self.longest_key:
                return wording.key_too_long((*path, name), self.longest_key)
            fault = self.item.find_fault(item, (*path, name))
            if fault is not None:
                return fault
        return None


class Tagged(msgspec.Struct, frozen=True, kw_only=True):
    """An object whose member `tag` says which of several shapes it has."""

    tag: str = "type"
    shapes: Mapping[str, Object]
    kind: str = "an object"

    def find_fault(self, value: Any, path: Path) -> Refusal | None:
        """Refuse other types, an absent or unknown tag, and a fault of the shape that the tag names."""
        if type(value) is not dict:
            return wording.wrong_type(path, self.kind, value)
        tag = value.get(self.tag)
        if type(tag) is str and tag in self.shapes:
            return self.shapes[tag].find_fault(value, path)
        if self.tag not in value:
            return wording.missing((*path, self.tag))
        return Choice(tuple(self.shapes)).find_fault(tag, (*path, self.tag))


class Either(msgspec.Struct, frozen=True, kw_only=True):
    """A value of one of several JSON types, each with its shape."""

    shapes: Mapping[type, Shape]
    kind: str

    def find_fault(self, value: Any, path: Path) -> Refusal | None:
        """Refuse other types, and a fault of the shape that the value's type has."""
        shape = self.shapes.get(type(value))
        return wording.wrong_type(path, self.kind, value) if shape is None else shape.find_fault(value, path)


class Nullable(msgspec.Struct, frozen=True):
    """A value of a shape, or null."""

    shape: Shape

    @property
    def kind(self) -> str:
        """The shape's kind: the API doesn't mention null."""
        return self.shape.kind

    def find_fault(self, value: Any, path: Path) -> Refusal | None:
        """Refuse a fault of what isn't null."""
        return None if value is None else self.shape.find_fault(value, path)


def _out_of_bounds(path: Path, kind: str, value: float, low: int | None, high: int | None) -> Refusal | None:
    if low is not None and value < low:
        return wording.below(path, kind, value, low)
    if high is not None and value > high:
        return wording.above(path, kind, value, high)
    return None
