"""How pieces become one tool call, and how a stream's indexes are checked before anything is stored under them."""

from __future__ import annotations

from typing import Any

from barechat.errors import ProtocolBroken
from barechat.records import Custom, Function, ToolCall
from barechat.wire.faults import as_json, quoted

MAX_INDEX = 127  # n is at most 128; the same bound serves tool calls


class GrowingCall:
    """One tool call, growing. An id or name may be sent again in full: the last one that isn't empty holds."""

    def __init__(self) -> None:
        self.id = ""
        self.type = ""
        self.name = ""
        self.is_custom = False
        self.pieces: list[str] = []

    def take(self, raw: dict[str, Any], index: int) -> ToolCall:
        """Fold a piece in; return it, with an id and a name only where they are news."""
        call_id, kind = id_of(raw.get("id")), raw.get("type")
        if call_id in {"", self.id}:
            call_id = ""
        else:
            self.id = call_id
        if isinstance(kind, str) and kind:
            self.type = kind
        function, custom = raw.get("function"), raw.get("custom")
        if isinstance(custom, dict):
            self.is_custom = True
            name, text = self._grow(custom.get("name"), custom.get("input"))
            return ToolCall(id=call_id, type="custom", custom=Custom(name=name, input=text), index=index)
        if isinstance(function, dict):
            name, text = self._grow(function.get("name"), function.get("arguments"))
            return ToolCall(id=call_id, function=Function(name=name, arguments=text), index=index)
        return ToolCall(id=call_id, type=self.type or "function", index=index)

    def raw(self, index: int) -> dict[str, Any]:
        """Return the call in the shape of a whole reply's."""
        kind = self.type or ("custom" if self.is_custom else "function")
        body = {"name": self.name, "input": "".join(self.pieces)} if self.is_custom else self.function()
        return {"id": self.id, "type": kind, "custom" if self.is_custom else "function": body, "index": index}

    def function(self) -> dict[str, Any]:
        """Return the function's name and arguments."""
        return {"name": self.name, "arguments": "".join(self.pieces)}

    def _grow(self, name: Any, text: Any) -> tuple[str, str]:
        if isinstance(name, str) and name not in {"", self.name}:
            self.name = name
        else:
            name = ""
        if isinstance(text, (dict, list)):
            text = as_json(text)
        piece = text if isinstance(text, str) else ""
        if piece:
            self.pieces.append(piece)
        return name, piece


def checked_calls(raw: Any) -> list[tuple[int | None, dict[str, Any]]]:
    """Return a delta's tool calls, each with its index, or None where the server didn't number it."""
    if not raw:
        return []
    if not isinstance(raw, list):
        raise ProtocolBroken(f"a delta's tool_calls are no list: {quoted(raw)}")
    for call in raw:
        if not isinstance(call, dict):
            raise ProtocolBroken(f"a tool call's delta is not an object: {quoted(call)}")
    indexes = [call.get("index") for call in raw]
    return [
        (None if index is None else checked_index(index, MAX_INDEX + 1, "tool call"), call)
        for index, call in zip(indexes, raw, strict=True)
    ]


def id_of(value: Any) -> str:
    """Return a tool call's id as text; some servers number their calls."""
    return str(value) if isinstance(value, (str, int)) else ""


def name_of(call: dict[str, Any]) -> str:
    """Return the name that a piece of a tool call carries, or ""."""
    for kind in ("function", "custom"):
        body = call.get(kind)
        if isinstance(body, dict) and isinstance(body.get("name"), str):
            return str(body["name"])
    return ""


def checked_index(value: Any, limit: int, what: str) -> int:
    """Return an index, 0 where there is none, or raise ProtocolBroken: a hostile one allocates nothing."""
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value < limit:
        raise ProtocolBroken(f"the stream names a {what} {quoted(value)}; it must be a number from 0 to {limit - 1}")
    return value
