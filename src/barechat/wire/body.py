"""How a caller's values become plain JSON values, or the name of the one that can't.

msgspec would write NaN as null, bytes as base64 and dates as text without a word; here each is refused by its path.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from barechat.errors import ParameterError
from barechat.parameters import shown
from barechat.records import Message, ToolCall

_Path = str | tuple["_Path", str | int]  # what holds a value, and its key or position there: text only in an error
_MAX_DEPTH = 100
_INT64_MIN = -(2**63)
_UINT64_MAX = 2**64 - 1


def plain(value: Any, path: _Path, depth: int = 0) -> Any:
    """Return `value` in dicts, lists, strings, numbers, booleans and None; records as the wire spells them.

    Raises:
        ParameterError: something in it is not JSON; `param` is its path, as in messages[0].content.
    """
    kind = type(value)
    if kind is not dict and kind is not list:  # as nearly all are; asking for each type takes ten times as long
        if isinstance(value, str):
            return _checked_text(value, path)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            return _checked_number(value, path)
        if isinstance(value, (Message, ToolCall)):
            value = spelt(value, _named(path))
    if depth > _MAX_DEPTH:
        start = _named(path)[:100]
        raise ParameterError(f"{start} is nested too deeply, or holds itself", param=start)
    if kind is dict or (kind is not list and isinstance(value, Mapping)):
        found: dict[str, Any] = {}
        for key, item in value.items():
            name = key if type(key) is str and key.isascii() else _key(key, path)
            is_ascii = type(item) is str and item.isascii()  # as nearly all are: they take no call
            found[name] = item if is_ascii else plain(item, (path, name), depth + 1)
        return found
    if kind is list or (isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview))):
        return [plain(item, (path, index), depth + 1) for index, item in enumerate(value)]
    what = _named(path) or "the request"
    raise ParameterError(f"{what} is a {type(value).__name__}, which JSON can't carry", param=_named(path))


def _named(path: _Path) -> str:
    if isinstance(path, str):
        return path
    holder, step = _named(path[0]), path[1]
    if isinstance(step, int):
        return f"{holder}[{step}]"
    return f"{holder}.{step}" if holder else step


def spelt(record: Message | ToolCall, path: str) -> dict[str, Any]:
    """Return a record as the wire spells it.

    Raises:
        ParameterError: it was made with fields of other types than its own.
    """
    try:
        return record.to_dict()
    except (AttributeError, TypeError) as error:
        kind = type(record).__name__
        raise ParameterError(f"{path} is a {kind} with a field of the wrong type: {error}", param=path) from error


def _key(key: object, path: _Path) -> str:
    if isinstance(key, str):
        return _checked_text(key, path)
    if isinstance(key, int) and not isinstance(key, bool):
        return str(_checked_number(key, path))  # logit_bias: token ids
    what = _named(path) or "the request"
    raise ParameterError(f"{what} has the key {shown(key)}; JSON's keys are strings", param=_named(path))


def _checked_number(number: float, path: _Path) -> float:
    if isinstance(number, float):
        if not math.isfinite(number):
            raise ParameterError(f"{_named(path)} is {number!r}, which JSON can't carry", param=_named(path))
        return float(number)
    if not _INT64_MIN <= number <= _UINT64_MAX:
        raise ParameterError(f"{_named(path)} is or has an integer of more than 64 bits", param=_named(path))
    return int(number)


def _checked_text(text: str, path: _Path) -> str:
    if type(text) is not str:  # an enumeration's member or the like, which is written as its plain value
        text = str.__str__(text)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ParameterError(
            f"{_named(path) or 'the request'} has a lone surrogate at character {error.start}, which UTF-8 can't "
            "carry: half of an emoji, or a file read with surrogateescape",
            param=_named(path),
        ) from error
    return text
