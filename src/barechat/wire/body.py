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

_MAX_DEPTH = 100
_INT64_MIN = -(2**63)
_UINT64_MAX = 2**64 - 1


def plain(value: Any, path: str, depth: int = 0) -> Any:
    """Return `value` in dicts, lists, strings, numbers, booleans and None; records as the wire spells them.

    Raises:
        ParameterError: something in it is not JSON; `param` is its path, as in messages[0].content.
    """
    if isinstance(value, str):
        return _checked_text(value, path)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _checked_whole(value, path)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ParameterError(f"{path} is {value!r}, which JSON can't carry", param=path)
        return float(value)
    if depth > _MAX_DEPTH:
        raise ParameterError(f"{path[:100]} is nested too deeply, or holds itself", param=path[:100])
    if isinstance(value, (Message, ToolCall)):
        value = spelt(value, path)
    if isinstance(value, Mapping):
        return {
            _key(key, path): plain(item, f"{path}.{key}" if path else str(key), depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    raise ParameterError(f"{path or 'the request'} is a {type(value).__name__}, which JSON can't carry", param=path)


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


def _key(key: object, path: str) -> str:
    if isinstance(key, str):
        return _checked_text(key, path)
    if isinstance(key, int) and not isinstance(key, bool):
        return str(_checked_whole(key, path))  # logit_bias: token ids
    raise ParameterError(f"{path or 'the request'} has the key {shown(key)}; JSON's keys are strings", param=path)


def _checked_whole(number: int, path: str) -> int:
    if not _INT64_MIN <= number <= _UINT64_MAX:
        raise ParameterError(f"{path} is or has an integer of more than 64 bits", param=path)
    return int(number)


def _checked_text(text: str, path: str) -> str:
    if type(text) is not str:  # an enumeration's member or the like, which is written as its plain value
        text = str.__str__(text)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ParameterError(
            f"{path or 'the request'} has a lone surrogate at character {error.start}, which UTF-8 can't carry: "
            "half of an emoji, or a file read with surrogateescape",
            param=path,
        ) from error
    return text
