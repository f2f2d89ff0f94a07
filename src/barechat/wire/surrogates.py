r"""How JSON that names halves of characters is read all the same.

JSON's escapes name characters beyond U+FFFF in two halves (RFC 8259, section 7: "\ud83d\ude00" is one emoji), and some
servers cut a text between them, one half in an event, the other in the next. No text can hold half a character, and
msgspec refuses it. Read as JavaScript's clients read it: halves that meet become their character; one that stays alone
becomes U+FFFD. Only what msgspec refused comes here, so all else costs nothing.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from typing import NoReturn

_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_FIRST_HALVES = ("\ud800", "\udbff")
_UNKNOWN = "\ufffd"
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
_CALL_TEXTS = (("function", "arguments"), ("custom", "input"))

_decode = msgspec.json.Decoder().decode


def decode(text: bytes | str) -> Any:
    """Parse JSON; halves of characters that stay alone become U+FFFD.

    Raises:
        msgspec.DecodeError, UnicodeError, RecursionError: it can't be parsed.
    """
    try:
        return _decode(text)
    except msgspec.DecodeError:
        if not names_half(text):
            raise
    return _mended(_with_halves(text))


def names_half(text: bytes | str) -> bool:
    """Say whether a JSON text has an escape that names half a character."""
    return _ESCAPED_HALF.search(text if isinstance(text, str) else text.decode("latin-1")) is not None


class Halves:
    """Decode a stream's chunks, from the first on that names half a character.

    A half at a text's end is held back until the next piece of the same text, or until its choice ends.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[object, ...], str] = {}

    def decode(self, data: str) -> Any:
        """Return a chunk's value, each half in it joined with its other half or replaced.

        Raises:
            msgspec.DecodeError, UnicodeError, RecursionError: it can't be parsed.
        """
        chunk = _with_halves(data)
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                choice["delta"] = delta = {} if choice.get("delta") is None else choice["delta"]
                if isinstance(delta, dict):
                    self._join_choice(choice, delta)
        return _mended(chunk)

    def _join_choice(self, choice: dict[str, Any], delta: dict[str, Any]) -> None:
        index = str(choice.get("index") or 0)
        for name in _TEXTS:
            self._join(delta, name, (index, name), ends=bool(choice.get("finish_reason")))
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            for kind, name in _CALL_TEXTS if isinstance(call, dict) else ():
                self._join(call.get(kind), name, (index, kind, str(call.get("index"))))

    def _join(self, holder: Any, name: str, key: tuple[object, ...], *, ends: bool = False) -> None:
        piece = (holder.get(name) or "") if isinstance(holder, dict) else ""
        if not isinstance(piece, str) or not (piece or (ends and key in self._held)):
            return
        text = self._held.pop(key, "") + piece
        if not ends and _FIRST_HALVES[0] <= text[-1] <= _FIRST_HALVES[1]:
            self._held[key] = text[-1]
            text = text[:-1]
        holder[name] = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)


def _with_halves(text: bytes | str) -> Any:
    """Parse JSON with the halves in it, as strict as msgspec in all else."""
    try:
        return json.loads(text if isinstance(text, str) else text.decode(), parse_constant=_refuse)
    except UnicodeError:
        raise
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _mended(value: Any) -> Any:
    """Return a parsed value in which each half that is left is U+FFFD."""
    if isinstance(value, str):
        return _HALF.sub(_UNKNOWN, value)
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {_mended(name): _mended(item) for name, item in value.items()}
    return value
