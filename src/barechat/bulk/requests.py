"""What is one request of a bulk run, whatever it was given as? Pure.

The forms: the Batch API's (`custom_id`, `body`), a request's body itself, a string, a list of messages, or a row of
fields that templates make messages of. https://platform.openai.com/docs/guides/batch
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from barechat.bulk.hashes import hash_of
from barechat.errors import ParameterError
from barechat.parameters import shown
from barechat.wire.body import plain

if TYPE_CHECKING:
    from collections.abc import Callable

_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PATH = "/chat/completions"


class BulkRequest(msgspec.Struct, kw_only=True, dict=True):
    """One request: its name, its body, and the number of the line or item that it came from.

    `key` tells it from a request of another name or body. `is_plain`: whether its body has been through `plain`; what
    comes from JSON needs that only before it is sent.
    """

    custom_id: str
    body: dict[str, Any]
    line: int
    is_plain: bool = False

    @cached_property
    def name_hash(self) -> int:
        """64 bits of the name."""
        return hash_of(self.custom_id.encode())

    @cached_property
    def key(self) -> int:
        """64 bits of the name and of the body, in whatever order its members stand."""
        return hash_of(self.custom_id.encode(), msgspec.json.encode(self.body, order="sorted"))


class BadLine(msgspec.Struct, frozen=True, kw_only=True):
    """What is no request: its line's or item's number, its name if it has one, and why."""

    line: int
    custom_id: str
    error: ParameterError


class Template:
    """A text with places for a row's fields, as in "Summarise: {text}"; {{ and }} are braces.

    Raises:
        ParameterError: a brace stands alone.
    """

    def __init__(self, text: str, option: str) -> None:
        self._text = text
        for found in _PLACE.finditer(text):
            if found[0] in {"{", "}", "{}"}:
                raise ParameterError(
                    f"{option}: a lone {found[0]} at character {found.start() + 1}; a field is {{name}}, a brace {{{{",
                    param=option,
                )

    def fill(self, row: Mapping[str, Any]) -> str:
        """Return the text with the row's fields in their places: strings as they are, all else as JSON.

        Raises:
            ParameterError: the row has no such field.
        """

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name is None:
                return found[0][0]
            if row.get(name) is None:
                there = ", ".join(str(key) for key in row)
                raise ParameterError(f"there is no {name!r} for the template; there is {shown(there)}", param=name)
            return row[name] if isinstance(row[name], str) else msgspec.json.encode(row[name]).decode()

        return _PLACE.sub(value, self._text)


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How items become requests: by which templates, if any, and with which parameters where an item has none."""

    prompt: Template | None = None
    system: Template | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def read(self, given: object, line: int) -> BulkRequest | BadLine:
        """Return the request that an item is, or what is wrong with it."""
        return self._made(lambda: given, line)

    def read_json(self, text: bytes, line: int) -> BulkRequest | BadLine:
        """Return the request that a line of JSON is, or what is wrong with it."""

        def decoded() -> object:
            try:
                row = msgspec.json.decode(text)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise ParameterError(f"not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ParameterError(f"a JSON {type(row).__name__}, where an object is wanted")
            return row

        return self._made(decoded, line, is_json=True)

    def _made(self, give: Callable[[], object], line: int, *, is_json: bool = False) -> BulkRequest | BadLine:
        custom_id = f"line-{line}"
        try:
            given = give()
            if isinstance(given, Mapping) and given.get("custom_id") is not None:
                custom_id = _checked_id(given["custom_id"])
            body = {**self.parameters, **self._body(given)}
            if not is_json:
                body = plain(body, "")
            _check_messages(body.get("messages"))
            return BulkRequest(custom_id=custom_id, body=body, line=line, is_plain=not is_json)
        except ParameterError as error:
            return BadLine(line=line, custom_id=custom_id, error=error)

    def _body(self, given: object) -> Mapping[str, Any]:
        if isinstance(given, Mapping):
            return self._filled(given) if self.prompt is not None else _own_body(given)
        if isinstance(given, str):
            return {"messages": [{"role": "user", "content": given}]}
        if isinstance(given, Sequence) and not isinstance(given, bytes | bytearray | memoryview):
            return {"messages": given}
        raise ParameterError(f"a request must be a string, messages or a dict, not {shown(given)}")

    def _filled(self, row: Mapping[str, Any]) -> dict[str, Any]:
        messages = [] if self.system is None else [{"role": "system", "content": self.system.fill(row)}]
        assert self.prompt is not None  # noqa: S101 - `_body` has looked
        return {"messages": [*messages, {"role": "user", "content": self.prompt.fill(row)}]}


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise ParameterError("messages must be a list with at least one message", param="messages")


def _checked_id(given: object) -> str:
    if isinstance(given, str) and given:
        try:
            given.encode()
        except UnicodeEncodeError:
            pass
        else:
            return given
    raise ParameterError(f"custom_id must be a string of text, not {shown(given)}", param="custom_id")


def _own_body(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of an item that brings its own."""
    if "body" in given:
        if not isinstance(given["body"], Mapping):
            raise ParameterError(f"body must be an object, not {shown(given['body'])}", param="body")
        method, url = given.get("method", "POST"), given.get("url", _PATH)
        if method != "POST" or not str(url).endswith(_PATH):
            raise ParameterError(f"it is {shown(method)} {shown(url)}: only POST …{_PATH} can be run", param="url")
        body: Mapping[str, Any] = given["body"]
        return body
    if "messages" not in given:
        raise ParameterError("neither a body nor messages are in it; a template (--prompt) makes requests of fields")
    return {name: value for name, value in given.items() if name != "custom_id"}
