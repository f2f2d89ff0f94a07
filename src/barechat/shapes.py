"""What a Python type is in JSON, and how a value of it is read back.

By msgspec, or by pydantic where any type within is one of pydantic's: then the user has it, and it is loaded already.
The API wants an object at the root; what is none by itself stands in one, under the key `value`.
"""

from __future__ import annotations

import re
import types
import typing
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from barechat.errors import ParameterError
from barechat.schema import Schema, enclosed, name_of, rooted, strict

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_UNIONS = (typing.Union, types.UnionType)


class Misfit(ValueError):
    """A text that isn't JSON, or not of the type. The message says where and why."""


class Shape(Generic[T]):
    """A type, as the API and we see it. `where` is what an error calls it.

    Raises:
        ParameterError: no schema can be made of the type.
    """

    def __init__(self, kind: Any, where: str) -> None:
        self.name = name_of(_name(kind)) or "answer"
        self._where = where
        self._reader = _reader_of(kind, where)
        self._schema, self._is_wrapped = enclosed(self._reader.schema)

    def schema(self, *, is_strict: bool, said: Mapping[str, Schema] | None = None) -> Schema:
        """Return the type's JSON schema, whose root is an object, by the strict mode's rules or as it is.

        `said` are keywords for its members, besides their own.

        Raises:
            ParameterError: the strict mode doesn't take a part of it.
        """
        schema = dict(self._schema)
        if said:
            members = schema["properties"].items()
            schema["properties"] = {name: {**said.get(name, {}), **member} for name, member in members}
        return strict(schema, self._where) if is_strict else schema

    def read(self, text: str) -> T:
        """Return the value that a JSON text holds.

        Raises:
            Misfit: it holds none of this type.
        """
        value: T = self._reader.read(bytes(_read(text, _Wrapped).value) if self._is_wrapped else text)
        return value


class _Wrapped(msgspec.Struct):
    """The object that holds what is none."""

    value: msgspec.Raw


class _Reader(Protocol):
    """Who makes a type's schema, and reads its values."""

    schema: Schema

    def read(self, text: str | bytes) -> Any:
        """Return the value, or raise Misfit."""
        ...


class _Msgspec:
    """msgspec's way with a type."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self.schema: Schema = msgspec.json.schema(kind)

    def read(self, text: str | bytes) -> Any:
        return _read(text, self._kind)


class _Pydantic:
    """pydantic's way with a type."""

    def __init__(self, kind: Any) -> None:
        import pydantic  # noqa: PLC0415 - the user's type is pydantic's, so it is there

        self._adapter = pydantic.TypeAdapter(kind)
        self._error = pydantic.ValidationError
        self.schema: Schema = self._adapter.json_schema()

    def read(self, text: str | bytes) -> Any:
        try:
            return self._adapter.validate_json(text)
        except self._error as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            told = (f"{fault['msg']} - at `{'.'.join(map(str, fault['loc']))}`" for fault in faults)
            raise Misfit("; ".join(told)) from error


class _OneOf:
    """A union of types that msgspec can't tell apart by their kind, dataclasses say: their members' names do."""

    def __init__(self, kinds: tuple[Any, ...]) -> None:
        schemas, definitions = msgspec.json.schema_components(kinds)
        self.schema: Schema = {"anyOf": list(schemas), "$defs": definitions}
        roots = [rooted({**schema, "$defs": definitions}) for schema in schemas]
        self._known = [(kind, root.get("properties")) for kind, root in zip(kinds, roots, strict=True)]

    def read(self, text: str | bytes) -> Any:
        value = _read(text, Any)
        faults = []
        for kind, known in self._known:
            strange = [name for name in value if name not in known] if known and isinstance(value, dict) else []
            if strange:  # a smaller type would take it all the same, without what it doesn't know
                faults.append(f"{_name(kind)} has no {strange[0]!r}")
                continue
            try:
                return msgspec.convert(value, kind)
            except msgspec.ValidationError as error:
                faults.append(f"it is no {_name(kind)}: {error}")
        raise Misfit("; ".join(faults))


def _read(text: str | bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise Misfit(str(error)) from error


def _reader_of(kind: Any, where: str) -> _Reader:
    try:
        return _Pydantic(kind) if _is_pydantic(kind, set()) else _Msgspec(kind)
    except (TypeError, NameError, ValueError, RuntimeError) as error:
        kinds = typing.get_args(kind) if typing.get_origin(kind) in _UNIONS else ()
        if kinds and isinstance(error, TypeError):
            try:
                return _OneOf(kinds)
            except TypeError:
                pass  # the first error says it better
        raise ParameterError(
            f"{where}: no JSON schema can be made of {_name(kind)}: {_reason(error)}", param=where
        ) from error


def _reason(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    said = lines[-1 if isinstance(error, TypeError) else 0]
    if said.startswith("Type unions may not"):
        said += "; tag the classes (msgspec.Struct, tag=True), or make them pydantic models"
    elif isinstance(error, NameError):
        said += "; a name that is imported for type checkers alone isn't known when the program runs"
    return said


def _is_pydantic(kind: Any, seen: set[Any]) -> bool:
    """Say whether a type, or one within it, is made by pydantic."""
    inner = [typing.get_origin(kind), *typing.get_args(kind)]
    if isinstance(kind, type) and kind not in seen:
        seen.add(kind)
        if hasattr(kind, "__pydantic_validator__"):
            return True
        inner += typing.get_type_hints(kind, include_extras=True).values()
    return any(_is_pydantic(one, seen) for one in inner if one is not None)


def _name(kind: Any) -> str:
    """Return what a type is called, without the names of modules."""
    is_plain = isinstance(kind, type) and not typing.get_args(kind)
    return kind.__name__ if is_plain else re.sub(r"[\w.]+\.", "", str(kind))
