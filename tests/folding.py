"""Short ways to fold a stream and to look at what came of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from barechat.wire.chunks import Fold
from barechat.wire.reply import reply_of
from barechat.wire.sse import Decoder, Event

if TYPE_CHECKING:
    from barechat.records import Delta, Reply


def fold(pieces: list[bytes], n: int | None = None) -> tuple[Fold, list[Delta]]:
    decoder, folded, deltas = Decoder(), Fold(n), []
    for piece in pieces:
        deltas += folded.take(decoder.feed(piece))
        if folded.done or folded.fault is not None:
            break
    return folded, deltas


def take(*chunks: Any, n: int | None = None, **options: Any) -> tuple[Fold, list[Delta]]:
    """Fold chunks that are given as values (or as the event's own text)."""
    folded = Fold(n, **options)
    deltas = folded.take([Event(data=chunk if isinstance(chunk, str) else json.dumps(chunk)) for chunk in chunks])
    return folded, deltas


def choice(delta: Any = None, *, index: Any = 0, **more: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": index, "delta": delta, **more}]}


def call(*calls: dict[str, Any]) -> dict[str, Any]:
    return choice({"tool_calls": list(calls)})


def message(folded: Fold, at: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = folded.raw()["choices"][at]["message"]
    return found


def calls_of(folded: Fold) -> list[tuple[str, str, str]]:
    """Return each call's id, name, and arguments or input."""
    calls = reply_of(folded.raw(), "partial").message.tool_calls or ()
    functions = [(c.index, (c.id, c.function.name, c.function.arguments)) for c in calls if c.function]
    customs = [(c.index, (c.id, c.custom.name, c.custom.input)) for c in calls if c.custom]
    return [facts for _, facts in sorted(functions + customs)]


def shown(reply: Reply) -> dict[str, Any]:
    """Return a reply in the shape of the vectors' `expected`, but for the role, which may never be sent."""
    choices = []
    for one in reply.choices:
        calls = []
        for made in one.message.tool_calls or ():
            found = {"id": made.id, "type": made.type, "index": made.index, "arguments": ""}
            if made.custom is not None:
                found |= {"name": made.custom.name, "input": made.custom.input}
            if made.function is not None:
                found |= {"name": made.function.name, "arguments": made.function.arguments}
            calls.append(found)
        logprobs = one.logprobs or {}
        choices.append(
            {
                "index": one.index,
                "content": one.message.content,
                "refusal": one.message.refusal,
                "reasoning": one.message.reasoning,
                "tool_calls": calls,
                "finish_reason": one.finish_reason,
                "logprobs_content": len(logprobs.get("content", [])),
                "logprobs_refusal": len(logprobs.get("refusal", [])),
            }
        )
    return {"id": reply.id, "model": reply.model, "choices": choices, "usage_last": reply.raw.get("usage")}


def assert_deltas_are_the_reply(deltas: list[Delta], folded: Fold) -> None:
    """Nothing was handed out that isn't held, nothing is held that wasn't handed out."""
    for one in reply_of(folded.raw(), "partial").choices:
        mine = [delta for delta in deltas if delta.index == one.index]
        for name in ("content", "refusal", "reasoning"):
            assert "".join(getattr(delta, name) or "" for delta in mine) == (getattr(one.message, name) or "")
        pieces = [piece for delta in mine for piece in delta.tool_calls or ()]
        for made in one.message.tool_calls or ():
            own = [piece for piece in pieces if piece.index == made.index]
            if made.function:
                told = [piece.function for piece in own if piece.function]
                assert "".join(piece.arguments for piece in told) == made.function.arguments
            assert ([piece.id for piece in own if piece.id] or [""])[-1] == made.id
        ends = [delta.finish_reason for delta in mine if delta.finish_reason]
        assert ends[-1:] == ([one.finish_reason] if one.finish_reason else [])
