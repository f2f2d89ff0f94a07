"""How a whole answer's body becomes a reply, and what its end says of it.

Source: https://platform.openai.com/docs/api-reference/chat/object. Fields are read leniently: servers send null,
ints for strings, and keys of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from barechat.errors import ProtocolBroken, StreamTruncated
from barechat.records import UNPRICED, Choice, Custom, Delta, Function, Message, Reply, ToolCall, Verdict
from barechat.usage import read_usage
from barechat.wire.faults import api_error, as_json, decode_object, kept, quoted, quoted_start

if TYPE_CHECKING:
    from collections.abc import Mapping

_LENIENT = frozenset({"tool_calls", "reasoning_content"})  # the records have them in another form
_OWN_END = frozenset({"stop", "tool_calls", "function_call"})


def read_whole(body: bytes) -> Reply:
    """Return the whole reply that a body with status 200 is, its verdict still "partial".

    Raises:
        ApiError: the body is the server's error after all.
        ProtocolBroken: not JSON, an object without choices, or a message that can't be read.
    """
    raw = decode_object(body, "the reply")
    if raw.get("error") is not None:
        raise api_error(200, raw, body)
    choices = raw.get("choices")
    if not isinstance(choices, list) or not choices:
        if raw.get("object") == "error" or "detail" in raw or isinstance(raw.get("message"), str):
            raise api_error(200, raw, body)
        raise ProtocolBroken(f"the reply has no choices; it begins {quoted_start(body)}", body=kept(body))
    for choice in choices:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise ProtocolBroken(
                f"a choice of the reply has no message; it begins {quoted_start(body)}", body=kept(body)
            )
    return reply_of(raw, "partial")


def verdict_of(raw: Mapping[str, Any], n: int | None, *, ended: bool) -> Verdict:
    """Return what the choices' ends say of the answer; `ended` is whether the server properly closed an answer.

    Raises:
        StreamTruncated: the answer isn't whole, or the server says that it failed half-way.
    """
    choices: list[dict[str, Any]] = raw["choices"]
    if len(choices) == 1 and choices[0].get("finish_reason") == "stop" and (n is None or n <= 1):
        return "complete"  # as nearly all are
    reasons = [choice.get("finish_reason") for choice in choices]
    if "error" in reasons:
        for choice in choices:
            if isinstance(choice.get("error"), dict):
                raise api_error(200, choice, as_json(choice["error"]))
        raise StreamTruncated("the server gave up on the answer: a choice's finish_reason is 'error'")
    known = [reason for reason in reasons if isinstance(reason, str) and reason]
    if len(known) < max(n or 1, len(choices)):
        if not ended:
            raise StreamTruncated(
                f"the stream ended before the answer did: {len(known)} of {max(n or 1, len(choices))} choices have a "
                "finish_reason, and there was no proper end"
            )
        return "unknown"
    if "content_filter" in known:
        return "filtered"
    if "length" in known:
        return "limited"
    return "complete" if _OWN_END.issuperset(known) else "unknown"


class _Body(msgspec.Struct):
    """What a reply's record takes from its body, but for usage."""

    choices: tuple[Choice, ...]
    id: str = ""
    model: str = ""
    created: int = 0
    service_tier: str | None = None
    system_fingerprint: str | None = None


def reply_of(raw: dict[str, Any], verdict: Verdict) -> Reply:
    """Return a reply's record, without what only the call knows (cost, request id, limits, attempts)."""
    found = _plain(raw) or _lenient(raw)
    return Reply(
        id=found.id,
        model=found.model,
        choices=found.choices,
        usage=read_usage(raw.get("usage")),
        cost=UNPRICED,
        verdict=verdict,
        raw=raw,
        created=found.created,
        service_tier=found.service_tier,
        system_fingerprint=found.system_fingerprint,
    )


def _plain(raw: dict[str, Any]) -> _Body | None:
    """Read a reply of text in which all is as the API has it, as nearly all are; None for any other."""
    for choice in raw["choices"]:
        message = choice["message"]
        if not _LENIENT.isdisjoint(message) or message.get("role") == "" or choice.get("finish_reason") == "":
            return None
    try:
        return msgspec.convert(raw, _Body)
    except msgspec.ValidationError:
        return None


def _lenient(raw: dict[str, Any]) -> _Body:
    created = raw.get("created")
    return _Body(
        choices=tuple([_choice(choice, position) for position, choice in enumerate(raw["choices"])]),
        id=_text(raw.get("id")) or "",
        model=_text(raw.get("model")) or "",
        created=created if isinstance(created, int) else 0,
        service_tier=_text(raw.get("service_tier")),
        system_fingerprint=_text(raw.get("system_fingerprint")),
    )


def delta_of(choice: Choice) -> Delta:
    """Return a whole choice as the one delta of it."""
    message = choice.message
    return Delta(
        index=choice.index,
        content=message.content,
        refusal=message.refusal,
        reasoning=message.reasoning,
        tool_calls=message.tool_calls,
        function_call=message.function_call,
        audio=message.audio,
        finish_reason=choice.finish_reason,
        logprobs=choice.logprobs,
    )


def content_text(value: Any) -> str | None:
    """Return a content's text: a string as it is, a list of parts as their texts together, None for null.

    Raises:
        ProtocolBroken: it is something else, which would be lost in silence.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        return "".join(part["text"] for part in value if isinstance(part.get("text"), str))
    raise ProtocolBroken(f"a message's text is a {type(value).__name__}: {quoted(value)}")


def reasoning_text(raw: Mapping[str, Any]) -> str | None:
    """Return a message's or a delta's reasoning, by whichever of its two names the server uses."""
    value = raw.get("reasoning_content") or raw.get("reasoning")
    return value if isinstance(value, str) else None


def _choice(raw: Mapping[str, Any], position: int) -> Choice:
    index, logprobs = raw.get("index"), raw.get("logprobs")
    return Choice(
        index=index if isinstance(index, int) else position,
        message=_message(raw["message"]),
        finish_reason=_text(raw.get("finish_reason")) or None,
        logprobs=logprobs if isinstance(logprobs, dict) else None,
    )


def _message(raw: Mapping[str, Any]) -> Message:
    calls, annotations, audio = raw.get("tool_calls"), raw.get("annotations"), raw.get("audio")
    return Message(
        role=_text(raw.get("role")) or "assistant",
        content=content_text(raw.get("content")),
        refusal=content_text(raw.get("refusal")),
        reasoning=reasoning_text(raw),
        tool_calls=tuple(_tool_call(call, at) for at, call in enumerate(calls))
        if isinstance(calls, list) and calls
        else None,
        function_call=_function(raw.get("function_call")),
        annotations=annotations if isinstance(annotations, list) else None,
        audio=audio if isinstance(audio, dict) else None,
    )


def _tool_call(raw: Any, position: int) -> ToolCall:
    if not isinstance(raw, dict):
        raise ProtocolBroken(f"a tool call is not an object: {quoted(raw)}")
    index, custom = raw.get("index"), raw.get("custom")
    return ToolCall(
        id=_text(raw.get("id")) or "",
        type=_text(raw.get("type")) or ("custom" if isinstance(custom, dict) else "function"),
        function=_function(raw.get("function")),
        custom=Custom(name=_text(custom.get("name")) or "", input=_text(custom.get("input")) or "")
        if isinstance(custom, dict)
        else None,
        index=index if isinstance(index, int) else position,
    )


def _function(raw: Any) -> Function | None:
    if not isinstance(raw, dict):
        return None
    arguments = raw.get("arguments")
    if isinstance(arguments, (dict, list)):  # Ollama's own habit, seen through proxies
        arguments = as_json(arguments)
    return Function(name=_text(raw.get("name")) or "", arguments=_text(arguments) or "")


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value) if isinstance(value, (int, float)) else None
