"""In which words does the API refuse? A refusal, and the sentences for values that are not what they should be.

A value's place is a path, `("messages", 0, "content")`, which becomes `messages[0].content` only in a refusal.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

Path = tuple[str | int, ...]

# Longer texts of a request are abbreviated to their ends, as the API does in its messages.
_SHOWN_WHOLE: Final = 50
_SHOWN_END: Final = 3
_KINDS: Final[dict[type, str]] = {
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A status and the four fields of the API's error object."""

    status: int = 400
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None

    @property
    def error(self) -> dict[str, str | None]:
        """The error object."""
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}


def param_of(path: Path) -> str:
    """Return a path as the API writes it: `tools[0].function.name`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def listed(values: Sequence[str], conjunction: str) -> str:
    """Return values as a list in English: `'a', 'b', and 'c'`."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) > 2:  # noqa: PLR2004 - two are joined without a comma
        quoted = [f"{', '.join(quoted[:-1])},", quoted[-1]]
    return f" {conjunction} ".join(quoted)


def shown(text: str) -> str:
    """Return a text of the request, or its ends when it is long."""
    return text if len(text) <= _SHOWN_WHOLE else f"{text[:_SHOWN_END]}...{text[-_SHOWN_END:]}"


def missing(path: Path) -> Refusal:
    """Refuse the absence of what is required."""
    return _refusal(path, "missing_required_parameter", f"Missing required parameter: '{param_of(path)}'.")


def unknown(path: Path) -> Refusal:
    """Refuse a key of an object that has no such key."""
    return _refusal(path, "unknown_parameter", f"Unknown parameter: '{param_of(path)}'.")


def wrong_type(path: Path, expected: str, value: Any) -> Refusal:
    """Refuse a value of another type: `expected` is "an integer" or the like."""
    message = f"Invalid type for '{param_of(path)}': expected {expected}, but got {_KINDS[type(value)]} instead."
    return _refusal(path, "invalid_type", message)


def wrong_value(path: Path, value: str, supported: Sequence[str]) -> Refusal:
    """Refuse a string that isn't one of the supported ones."""
    start = f"Invalid value: '{shown(value)}'."
    if len(supported) == 1:
        return _refusal(path, "invalid_value", f"{start} Value must be '{supported[0]}'.")
    return _refusal(path, "invalid_value", f"{start} Supported values are: {listed(supported, 'and')}.")


def below(path: Path, kind: str, value: float, low: float) -> Refusal:
    """Refuse a number under its least; `kind` is "integer" or "decimal"."""
    message = f"{kind} below minimum value. Expected a value >= {low}, but got {value} instead."
    return _invalid(path, f"{kind}_below_min_value", message)


def above(path: Path, kind: str, value: float, high: float) -> Refusal:
    """Refuse a number over its greatest; `kind` is "integer" or "decimal"."""
    message = f"{kind} above maximum value. Expected a value <= {high}, but got {value} instead."
    return _invalid(path, f"{kind}_above_max_value", message)


def empty(path: Path, kind: str) -> Refusal:
    """Refuse an empty "string" or "array"."""
    article = "an" if kind == "array" else "a"
    message = f"empty {kind}. Expected {article} {kind} with minimum length 1, but got an empty {kind} instead."
    return _invalid(path, f"empty_{kind}", message)


def too_long(path: Path, kind: str, length: int, longest: int) -> Refusal:
    """Refuse a "string" or "array" over its greatest length."""
    article = "an" if kind == "array" else "a"
    message = (
        f"{kind} too long. Expected {article} {kind} with maximum length {longest}, "
        f"but got {article} {kind} with length {length} instead."
    )
    return _invalid(path, f"{kind}_above_max_length", message)


def mismatch(path: Path, pattern: re.Pattern[str]) -> Refusal:
    """Refuse a string that a pattern doesn't match."""
    message = f"string does not match pattern. Expected a string that matches the pattern '{pattern.pattern}'."
    return _invalid(path, "invalid_value", message)


def too_many_keys(path: Path, count: int, most: int) -> Refusal:
    """Refuse an object of more than so many properties."""
    message = (
        f"too many properties. Expected an object with at most {most} properties, "
        f"but got an object with {count} properties instead."
    )
    return _invalid(path, "object_above_max_properties", message)


def key_too_long(path: Path, longest: int) -> Refusal:
    """Refuse the last step of a path as a property's name that is too long."""
    *parents, key = path
    name = str(key)
    message = (
        f"Invalid property name in '{param_of(tuple(parents))}': '{shown(name)}' is too long. "
        f"Expected a string with maximum length {longest}, but got a string with length {len(name)} instead."
    )
    return _refusal(path, "property_name_above_max_length", message)


def unsupported_parameter(name: str) -> Refusal:
    """Refuse a parameter that the model doesn't take."""
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    return Refusal(message=message, param=name, code="unsupported_parameter")


def unsupported_value(name: str, value: Any, rest: str) -> Refusal:
    """Refuse a parameter's value that the model doesn't take; `rest` says which it does."""
    shown_value = f"'{value}'" if isinstance(value, str) else value
    message = f"Unsupported value: '{name}' does not support {shown_value} {rest}"
    return Refusal(message=message, param=name, code="unsupported_value")


def _invalid(path: Path, code: str, what: str) -> Refusal:
    return _refusal(path, code, f"Invalid '{param_of(path)}': {what}")


def _refusal(path: Path, code: str, message: str) -> Refusal:
    return Refusal(message=message, param=param_of(path), code=code)
