"""How does a whole reply become bytes? One body, in the way of a dialect."""

import hashlib
import math
from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec

from barechat.simulator.dialect import Dialect
from barechat.simulator.fault import EndPart
from barechat.simulator.reply import Choice, Reply, ToolCall

_encode: Final = msgspec.json.Encoder().encode


def whole(reply: Reply, dialect: Dialect, *, omit: Collection[EndPart] = ()) -> bytes:
    """Return the body of a whole reply, less its usage or finish_reason when they are to be left out."""
    body: dict[str, Any] = {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [
            {
                "index": index,
                "message": _message(choice, dialect),
                "logprobs": tell_logprobs(reply, choice.refuses, choice.tokens),
                "finish_reason": None if "finish_reason" in omit else choice.finish_reason,
            }
            for index, choice in enumerate(reply.choices)
        ],
        "usage": dialect.usage(reply),
        "service_tier": reply.service_tier,
        "system_fingerprint": reply.system_fingerprint,
    }
    if reply.moderation is not None:
        body["moderation"] = reply.moderation
    if reply.metadata is not None:
        body["metadata"] = reply.metadata
    dialect.amend_reply(body, reply)
    if "usage" in omit:
        body.pop("usage", None)
    return _encode(body)


def _message(choice: Choice, dialect: Dialect) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": choice.content,
        "refusal": choice.refusal,
        "annotations": list(choice.annotations),
    }
    if choice.tool_calls and choice.legacy_call:
        message["function_call"] = _function(choice.tool_calls[0])
    elif choice.tool_calls:
        message["tool_calls"] = [_tool_call(call) for call in choice.tool_calls]
    if choice.audio is not None:
        message["audio"] = choice.audio
    if dialect.reasoning_name and choice.reasoning:
        message[dialect.reasoning_name] = "".join(choice.reasoning)
    return message


def _function(call: ToolCall) -> dict[str, str]:
    return {"name": call.name, "arguments": call.text}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    if call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.text}}
    return {"id": call.id, "type": "function", "function": _function(call)}


def tell_logprobs(reply: Reply, refuses: bool, tokens: Iterable[str]) -> dict[str, Any] | None:  # noqa: FBT001 - a choice's own fact
    """Return the logprobs of tokens, None where none are wanted; `refuses` says that they are a refusal's."""
    if reply.top_logprobs is None:
        return None
    told = [_logprob(token, reply.top_logprobs) for token in tokens]
    return {"content": None, "refusal": told} if refuses else {"content": told, "refusal": None}


def _logprob(token: str, count: int) -> dict[str, Any]:
    """Return a token's logprob and those of the likeliest, which it is one of: they halve from its own on."""
    draw = 1 + hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()[0]
    own = {"token": token, "logprob": -draw / 1024, "bytes": list(token.encode("utf-8", "surrogatepass"))}
    others = [
        {
            "token": f"{token}{rank}",
            "logprob": -draw / 1024 - rank * math.log(2),
            "bytes": list(f"{token}{rank}".encode("utf-8", "surrogatepass")),
        }
        for rank in range(1, count)
    ]
    return {**own, "top_logprobs": [own, *others][:count]}
