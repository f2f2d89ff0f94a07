"""What a tool is: a function, what the model is told of it, and how it is called with what the model wrote."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from barechat.docstrings import read_docstring
from barechat.errors import ParameterError
from barechat.parameters import shown
from barechat.schema import Schema, check_schema, is_name, strict
from barechat.shapes import Misfit, Shape
from barechat.wire.body import plain


class _Absent:
    """In the place of an argument that the model left out."""


class Tool:
    """A function that the model may call, with more said of it than its signature and docstring do.

    function: called with the arguments that the model wrote, once they are of the types that it asks for. What it
        returns is told the model: a string as it is, all else as JSON. A coroutine function needs an AsyncClient.
    name: by default the function's own.
    description: by default its docstring, up to the first section.
    strict: False for types that the API's strict mode doesn't take, and for servers that have none.
    arguments: a type, as in `Client.parse`, in place of the signature: the function is called with one value of it. Or
        a JSON schema, as a dict: the function is called with what the model wrote, as keywords, unchecked.
    raises: what the function raises of these types ends the run and reaches you. All else is told the model.
    max_result_chars: a longer result is an error that the model is told of; it is never cut.

    Raises:
        ParameterError: the function or its arguments can't be described to the model; it says why.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        strict: bool = True,
        arguments: Any = None,
        raises: type[Exception] | tuple[type[Exception], ...] = (),
        max_result_chars: int = 100_000,
    ) -> None:
        if not callable(function):
            raise ParameterError(
                f"a tool is a function, or Tool(function, arguments=…) for a schema of your own, not {shown(function)}",
                param="tools",
            )
        self.function = function
        self.name = _checked_name(function, name)
        self.raises = raises if isinstance(raises, tuple) else (raises,)
        if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in self.raises):
            raise ParameterError(f"raises must be exception types, not {shown(raises)}", param="raises")
        self.max_result_chars = max_result_chars
        self.is_async = inspect.iscoroutinefunction(_plain(function))
        where = f"tool {self.name}"
        names = _parameters(function, where) if arguments is None else ()
        prose, told = read_docstring(inspect.getdoc(_whole(function)) or "", names)
        self._read, parameters = _described(function, where, arguments, told, is_strict=strict)
        about = {"description": description or prose} if description or prose else {}
        strictness = {"strict": True} if strict else {}
        self.definition: dict[str, Any] = {
            "type": "function",
            "function": {"name": self.name, **about, **strictness, "parameters": parameters},
        }

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"

    def prepared(self, arguments: str) -> Callable[[], Any]:
        """Return the call of the function with arguments as the model wrote them; none at all are an empty object.

        Raises:
            Misfit: they aren't JSON, or not of the types that the function asks for.
        """
        return self._read(arguments if arguments.strip() else "{}")

    def told(self, result: Any) -> str:
        """Return what the model is told of a result.

        Raises:
            TypeError, ValueError: JSON can't carry it, or it is too long.
        """
        value = plain(result if isinstance(result, str) else _builtins(result), "the result")
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if len(text) > self.max_result_chars:
            raise ValueError(
                f"the result has {len(text):,} characters, more than the {self.max_result_chars:,} that may be sent: "
                "ask for less"
            )
        return text


def tool_of(given: Any) -> Tool:
    """Return a tool as it is, and a function as a tool."""
    return given if isinstance(given, Tool) else Tool(given)


_Read = Callable[[str], Callable[[], Any]]


def _described(
    function: Callable[..., Any], where: str, arguments: Any, told: Mapping[str, str], *, is_strict: bool
) -> tuple[_Read, Schema]:
    """Return how the model's arguments are read, and their schema."""
    if isinstance(arguments, Mapping):
        schema = dict(arguments)
        if is_strict:
            schema = plain(schema, where)
            check_schema(schema, where)
            schema = strict(schema, where)
        return lambda text: functools.partial(function, **_object(text)), schema
    if arguments is not None:
        whole: Shape[Any] = Shape(arguments, where)
        return lambda text: functools.partial(function, whole.read(text)), whole.schema(is_strict=is_strict)
    signature = _Signature(function, where)
    return signature.read, signature.schema(told, is_strict=is_strict)


class _Signature:
    """A function's parameters, as one object."""

    def __init__(self, function: Callable[..., Any], where: str) -> None:
        hints = _hints(function, where)
        self._function = function
        self._parameters = _parameters(function, where)
        self._takes_none: set[str] = set()  # of those with a default, for which null stands otherwise
        fields: list[tuple[str, Any, Any]] = []
        for name, parameter in self._parameters.items():
            kind = hints.get(name, Any)
            if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
                raise ParameterError(
                    f"{where} takes {parameter}, of which a model can't be told: name its parameters, or pass "
                    "Tool(…, arguments=…)",
                    param="tools",
                )
            if parameter.default is parameter.empty:
                fields.append((name, kind, dataclasses.field()))
                continue
            fields.append((name, kind | None, dataclasses.field(default_factory=_Absent)))
            if _takes_none(kind, f"{where}.{name}"):
                self._takes_none.add(name)
        self._shape: Shape[Any] = Shape(dataclasses.make_dataclass("Arguments", fields, kw_only=True), where)

    def schema(self, told: Mapping[str, str], *, is_strict: bool) -> Schema:
        """Return the parameters' schema, with their defaults and what the docstring tells of them."""
        said: dict[str, Schema] = {}
        for name, parameter in self._parameters.items():
            default = {} if parameter.default is parameter.empty else _as_json(parameter.default)
            said[name] = {**default, **({"description": told[name]} if name in told else {})}
        schema = self._shape.schema(is_strict=is_strict, said=said)
        del schema["title"]  # of the object that stands for them
        return schema

    def read(self, text: str) -> Callable[[], Any]:
        """Return the call of the function with these arguments."""
        found = self._shape.read(text)
        positional, keywords = [], {}
        for name, parameter in self._parameters.items():
            value = getattr(found, name)
            is_default = value is None and parameter.default is not parameter.empty and name not in self._takes_none
            if isinstance(value, _Absent) or is_default:
                value = parameter.default
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(value)
            else:
                keywords[name] = value
        return functools.partial(self._function, *positional, **keywords)


def _whole(function: Any) -> Any:
    """Return what a function is a part of, where some of its arguments are given already."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _plain(function: Any) -> Any:
    """Return the function that is called in the end."""
    whole = _whole(function)
    return whole if inspect.isroutine(whole) else type(whole).__call__


def _checked_name(function: Callable[..., Any], given: str | None) -> str:
    name = getattr(_plain(function), "__name__", "") if given is None else given
    if not isinstance(name, str) or not is_name(name) or name == "__call__":
        raise ParameterError(
            f"{shown(function)} needs a name of at most 64 letters, digits, underscores and dashes, not {shown(name)}: "
            "pass Tool(function, name=…)",
            param="tools",
        )
    return name


def _parameters(function: Callable[..., Any], where: str) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"{where} has no signature that Python knows: pass Tool(…, arguments=…)", param="tools"
        ) from error


def _hints(function: Callable[..., Any], where: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(_plain(function), include_extras=True)
    except NameError as error:
        raise ParameterError(
            f"{where}: {error}; a name that is imported for type checkers alone isn't known when the program runs",
            param="tools",
        ) from error


def _takes_none(kind: Any, where: str) -> bool:
    try:
        Shape(kind, where).read('{"value":null}')
    except Misfit:
        return False
    return True


def _as_json(default: Any) -> Schema:
    """Return a default for the schema, or nothing where it is null or JSON can't carry it."""
    try:
        value = plain(_builtins(default), "")
    except (TypeError, ValueError):
        return {}
    return {} if value is None else {"default": value}


def _builtins(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_dumped)


def _dumped(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # a pydantic model
        return value.model_dump(mode="json")
    raise TypeError(f"JSON can't carry a {type(value).__name__}")


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise Misfit(str(error)) from error
