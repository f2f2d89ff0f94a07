"""How a stream's events become deltas, and the deltas one folded reply.

The fold keeps the server's own names, so what comes out has the shape of a whole reply and is read by the same code
(`reply.py`). Shapes: https://platform.openai.com/docs/api-reference/chat/streaming.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from barechat.errors import BarechatError, ProtocolBroken
from barechat.records import Custom, Delta, Function, ToolCall
from barechat.wire.reply import api_error, content_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from barechat.wire.sse import Event

MAX_INDEX = 127  # n is at most 128; the same bound serves tool calls
_SPACE = " \t\r\n"
_CHOICE_KEYS = frozenset({"index", "delta", "finish_reason", "logprobs"})
_DELTA_KEYS = frozenset(
    {"role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call", "audio"}
)
_NOT_FOLDED = frozenset({"choices", "usage", "obfuscation", "object"})

_decode = msgspec.json.Decoder().decode


class Fold:
    """Take a stream's events; hand out deltas; hold the reply so far.

    done: the server's [DONE] has come; what follows it is never parsed.
    fault: the error that the stream held, or how it broke the protocol. The deltas before it were handed out.
    begun: the answer has begun, so the call can't be tried again unnoticed.
    """

    def __init__(self, n: int | None = None, *, max_bytes: int = 64 * 2**20) -> None:
        self.done = False
        self.begun = False
        self.fault: BarechatError | None = None
        self._index_limit = MAX_INDEX + 1 if n is None else n
        self._max_bytes = max_bytes
        self._size = 0
        self._top: dict[str, Any] = {}
        self._usage: Any = None
        self._choices: dict[int, _Choice] = {}

    def take(self, events: Sequence[Event]) -> list[Delta]:
        """Return the deltas of `events`, up to [DONE] or a fault."""
        deltas: list[Delta] = []
        try:
            for event in events:
                self._take(event, deltas)
                if self.done:
                    break
        except BarechatError as fault:
            self.fault = fault
        if deltas:
            self.begun = True
        return deltas

    def raw(self) -> dict[str, Any]:
        """Return the reply so far, in the shape of a whole one."""
        raw = {name: value for name, value in self._top.items() if name not in _NOT_FOLDED}
        raw["object"] = "chat.completion"
        raw["choices"] = [self._choices[index].raw() for index in sorted(self._choices)]
        if self._usage is not None:
            raw["usage"] = self._usage
        return raw

    def _take(self, event: Event, deltas: list[Delta]) -> None:
        data = event.data
        if not data.startswith("{") or event.event != "message":
            stripped = data.strip(_SPACE)
            if stripped == "[DONE]":
                self.done = True
                return
            if event.event == "error":
                raise _stream_error(stripped)
            if not stripped:
                return
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ProtocolBroken(
                f"an event of the stream is not JSON: {error}; it begins {data[:200]!r}", body=data[:200].encode()
            ) from error
        if not isinstance(chunk, dict):
            raise ProtocolBroken(
                f"an event of the stream is not a JSON object: {data[:200]!r}", body=data[:200].encode()
            )
        if chunk.get("error") is not None:
            raise api_error(200, chunk, data)
        if "choices" in chunk:  # what has none is a vendor's own event
            self._fold(chunk, deltas)

    def _fold(self, chunk: dict[str, Any], deltas: list[Delta]) -> None:
        usage = chunk.pop("usage", None)
        if usage:
            self._usage = usage  # cumulative where there are several: the last one counts
        choices = chunk.pop("choices")
        if None in chunk.values() or not chunk.get("id"):
            chunk = {name: value for name, value in chunk.items() if value is not None and value != ""}
        self._top.update(chunk)
        if not isinstance(choices, list):
            if choices is None:
                return
            raise ProtocolBroken(f"an event's choices are no list: {str(choices)[:200]!r}")
        for raw in choices:
            choice = self._choice(raw)
            delta = choice.take_text(raw) or choice.take(raw)
            if delta is not None:
                deltas.append(delta)
                self._size += len(delta.content or "")
                if delta.tool_calls is not None:
                    self._size += sum(len(call.function.arguments) for call in delta.tool_calls if call.function)
        if self._size > self._max_bytes:
            raise ProtocolBroken(f"the answer has passed {self._max_bytes} characters")

    def _choice(self, raw: Any) -> _Choice:
        """Return the choice that an event's choice goes on with."""
        if not isinstance(raw, dict):
            raise ProtocolBroken(f"a choice of an event is not an object: {str(raw)[:200]!r}")
        index = _index(raw.get("index", 0), self._index_limit, "choice")
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(index)
        return choice


class _Choice:
    """One choice, growing."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.finish_reason: str | None = None
        self.content: list[str] = []
        self.texts: dict[str, list[str]] = {"content": self.content}
        self.calls: dict[int, _Call] = {}
        self.function_call: _Call | None = None
        self.logprobs: dict[str, list[Any]] = {}
        self.message: dict[str, Any] = {}
        self.others: dict[str, Any] = {}

    def take_text(self, raw: dict[str, Any]) -> Delta | None:
        """Fold in what nearly every event is, a piece of text and nothing else; None if this is something more.

        Half the time of `take`: 0.7 µs against 1.5 a token.
        """
        delta = raw.get("delta")
        if (
            type(delta) is dict
            and len(delta) == 1
            and raw.get("finish_reason") is None
            and raw.get("logprobs") is None
            and raw.keys() <= _CHOICE_KEYS
        ):
            content = delta.get("content")
            if type(content) is str and content:
                self.content.append(content)
                return Delta(index=self.index, content=content)
        return None

    def take(self, raw: dict[str, Any]) -> Delta | None:
        """Fold one event's choice in; return what it added, or None if that is nothing."""
        if not raw.keys() <= _CHOICE_KEYS:
            self.others.update({k: v for k, v in raw.items() if k not in _CHOICE_KEYS and v is not None})
        delta = raw.get("delta")
        reason = raw.get("finish_reason")
        logprobs = raw.get("logprobs")
        content = refusal = reasoning = calls = function_call = audio = None
        if isinstance(delta, dict):
            content = self._add("content", delta.get("content"))
            if len(delta) > 1 or content is None:
                refusal = self._add("refusal", delta.get("refusal"))
                reasoning = self._add("reasoning_content", delta.get("reasoning_content") or delta.get("reasoning"))
                calls = self._add_calls(delta.get("tool_calls"))
                function_call = self._add_function_call(delta.get("function_call"))
                audio = self._add_audio(delta.get("audio"))
                self._add_rest(delta)
        elif delta is not None:
            raise ProtocolBroken(f"a choice's delta is not an object: {str(delta)[:200]!r}")
        if isinstance(reason, str) and reason:
            self.finish_reason = reason
        else:
            reason = None
        if logprobs is not None:
            logprobs = self._add_logprobs(logprobs)
        if content or refusal or reasoning or calls or function_call or audio or reason is not None:
            return Delta(
                index=self.index,
                content=content,
                refusal=refusal,
                reasoning=reasoning,
                tool_calls=calls,
                function_call=function_call,
                audio=audio,
                finish_reason=reason,
                logprobs=logprobs,
            )
        return None

    def raw(self) -> dict[str, Any]:
        """Return the choice in the shape of a whole reply's."""
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        message.update(self.message)
        message.update({name: "".join(pieces) for name, pieces in self.texts.items() if pieces})
        if self.calls:
            message["tool_calls"] = [self.calls[index].raw(index) for index in sorted(self.calls)]
        if self.function_call is not None:
            message["function_call"] = self.function_call.function()
        return {
            "index": self.index,
            "message": message,
            "logprobs": dict(self.logprobs) or None,
            "finish_reason": self.finish_reason,
            **self.others,
        }

    def _add(self, name: str, value: Any) -> str | None:
        if value is None:
            return None
        text = value if isinstance(value, str) else content_text(value)
        if text is not None:
            pieces = self.texts.get(name)
            if pieces is None:
                self.texts[name] = [text]
            else:
                pieces.append(text)
        return text

    def _add_calls(self, raw: Any) -> tuple[ToolCall, ...] | None:
        if not raw:
            return None
        if not isinstance(raw, list):
            raise ProtocolBroken(f"a delta's tool_calls are no list: {str(raw)[:200]!r}")
        return tuple(self._add_call(call) for call in raw)

    def _add_call(self, raw: Any) -> ToolCall:
        if not isinstance(raw, dict):
            raise ProtocolBroken(f"a tool call's delta is not an object: {str(raw)[:200]!r}")
        index = raw.get("index")
        if index is None:
            # Some servers number nothing: an id that is new begins a call, all else goes on with the last one.
            last = max(self.calls, default=0)
            is_new = bool(raw.get("id")) and last in self.calls and self.calls[last].id not in {"", raw["id"]}
            index = last + 1 if is_new else last
        index = _index(index, MAX_INDEX + 1, "tool call")
        call = self.calls.get(index)
        if call is None:
            call = self.calls[index] = _Call()
        return call.take(raw, index)

    def _add_logprobs(self, raw: Any) -> dict[str, Any] | None:
        if not isinstance(raw, dict):
            return None
        for name, items in raw.items():
            if isinstance(items, list):
                self.logprobs.setdefault(name, []).extend(items)
        return raw

    def _add_function_call(self, raw: Any) -> Function | None:
        if not isinstance(raw, dict):
            return None
        if self.function_call is None:
            self.function_call = _Call()
        return self.function_call.take({"function": raw}, 0).function

    def _add_audio(self, raw: Any) -> dict[str, Any] | None:
        if not isinstance(raw, dict):
            return None
        whole = self.message.setdefault("audio", {})
        for name, value in raw.items():
            grows = name in {"data", "transcript"} and isinstance(value, str)
            whole[name] = whole.get(name, "") + value if grows else value
        return raw

    def _add_rest(self, delta: dict[str, Any]) -> None:
        """Keep the role, and whatever a server adds of its own: lists grow, all else is replaced."""
        role = delta.get("role")
        if isinstance(role, str) and role:
            self.message["role"] = role
        if delta.keys() <= _DELTA_KEYS:
            return
        for name, value in delta.items():
            if name not in _DELTA_KEYS and value is not None:
                held = self.message.get(name)
                self.message[name] = held + value if isinstance(held, list) and isinstance(value, list) else value


class _Call:
    """One tool call, growing. An id or name may be sent again in full: the last one that isn't empty holds."""

    def __init__(self) -> None:
        self.id = ""
        self.type = ""
        self.name = ""
        self.is_custom = False
        self.pieces: list[str] = []

    def take(self, raw: dict[str, Any], index: int) -> ToolCall:
        call_id, kind = raw.get("id"), raw.get("type")
        if isinstance(call_id, (str, int)) and call_id != "":
            self.id = str(call_id)
        if isinstance(kind, str) and kind:
            self.type = kind
        function, custom = raw.get("function"), raw.get("custom")
        if isinstance(custom, dict):
            self.is_custom = True
            name, text = self._grow(custom.get("name"), custom.get("input"))
            return ToolCall(id=self.id, type="custom", custom=Custom(name=name, input=text), index=index)
        if isinstance(function, dict):
            name, text = self._grow(function.get("name"), function.get("arguments"))
            return ToolCall(id=self.id, function=Function(name=name, arguments=text), index=index)
        return ToolCall(id=self.id, type=self.type or "function", index=index)

    def raw(self, index: int) -> dict[str, Any]:
        kind = self.type or ("custom" if self.is_custom else "function")
        body = {"name": self.name, "input": "".join(self.pieces)} if self.is_custom else self.function()
        return {"id": self.id, "type": kind, "custom" if self.is_custom else "function": body, "index": index}

    def function(self) -> dict[str, Any]:
        return {"name": self.name, "arguments": "".join(self.pieces)}

    def _grow(self, name: Any, text: Any) -> tuple[str, str]:
        if isinstance(name, str) and name:
            self.name = name
        if isinstance(text, (dict, list)):
            text = msgspec.json.encode(text).decode()
        piece = text if isinstance(text, str) else ""
        if piece:
            self.pieces.append(piece)
        return self.name, piece


def _index(value: Any, limit: int, what: str) -> int:
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value < limit:
        raise ProtocolBroken(
            f"the stream names a {what} {str(value)[:40]!r}; it must be a number from 0 to {limit - 1}"
        )
    return value


def _stream_error(data: str) -> BarechatError:
    """Return the error of an `event: error`, whatever its payload is."""
    try:
        payload = _decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        payload = data
    return api_error(200, payload, data)
