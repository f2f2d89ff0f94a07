"""How does a reply become a stream? Its events, in the way of a dialect, each with what it carries."""

import hashlib
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from barechat.simulator.bodies import tell_logprobs
from barechat.simulator.dialect import Dialect
from barechat.simulator.fault import EndPart
from barechat.simulator.reply import Choice, Reply, ToolCall

_BATCH: Final = 128
_PADDINGS: Final = 16
_PADDING: Final = hashlib.sha256(b"obfuscation").hexdigest()
_encode: Final = msgspec.json.Encoder().encode


class Piece(msgspec.Struct, frozen=True):
    """Some parts of a body, each sent as one chunk, and what they carry.

    `contents` counts the chunks that carry output, `spoken` its tokens, and `token` is the place of the first in its
    choice (for pacing) or `due_s` its very time. `finish_reason` is set where choice 0 ends; `end` says which part of a
    stream's end it is.
    """

    parts: list[bytes]
    contents: int = 0
    spoken: int = 0
    token: int | None = None
    finish_reason: str | None = None
    end: EndPart | None = None
    due_s: float | None = None


class _Delta(msgspec.Struct, frozen=True):
    """The inside of a delta's JSON, the tokens that it speaks, and the text that its logprobs are of."""

    inside: bytes
    spoken: int = 0
    text: tuple[str, ...] | None = None


def events(
    reply: Reply,
    dialect: Dialect,
    *,
    include_usage: bool = False,
    obfuscate: bool = False,
    omit: Collection[EndPart] = (),
    batch: bool = False,
) -> Iterator[Piece]:
    """Yield a stream's events: a role for each choice, the tokens in turn, the reasons, usage and `[DONE]`.

    A choice's tokens interleave with the other choices', as the API's do. `omit` leaves out "finish_reason" (its whole
    chunk), "usage" or "done". With `batch`, a piece holds many events.
    """
    stream = _Stream(reply, dialect, include_usage=include_usage, obfuscate=obfuscate, omit=omit)
    return _batched(stream.pieces()) if batch else stream.pieces()


class _Stream:
    """A reply's events in the making."""

    def __init__(
        self, reply: Reply, dialect: Dialect, *, include_usage: bool, obfuscate: bool, omit: Collection[EndPart]
    ) -> None:
        self._reply = reply
        self._dialect = dialect
        self._omit = omit
        self._paddings = _PADDINGS if obfuscate else 1
        self._sends_usage = dialect.usage_place != "nowhere" and (include_usage or dialect.usage_unasked)
        self._common: dict[str, Any] = {
            "id": reply.id,
            "object": "chat.completion.chunk",
            "created": reply.created,
            "model": reply.model,
            "service_tier": reply.service_tier,
            "system_fingerprint": reply.system_fingerprint,
            "choices": [],
        }
        if self._sends_usage and dialect.usage_place == "own chunk":
            self._common["usage"] = None

    def pieces(self) -> Iterator[Piece]:
        """Yield the events one by one."""
        dialect, reply = self._dialect, self._reply
        yield from (Piece([part]) for part in dialect.opening(reply))
        columns = [self._column(index, choice) for index, choice in enumerate(reply.choices)]
        for index, choice in enumerate(reply.choices):
            yield Piece([self._event(index, dialect.role_delta(choice))], token=0)
        while columns:
            for column in tuple(columns):
                piece = next(column, None)
                if piece is None:
                    columns.remove(column)
                else:
                    yield piece
        yield from self._end()

    def _column(self, index: int, choice: Choice) -> Iterator[Piece]:
        """Yield a choice's events."""
        dialect = self._dialect
        deltas = list(_deltas(choice, dialect))
        # Thoughts that aren't shown take their time all the same.
        token = 0 if dialect.reasoning_name else len(choice.reasoning)
        last = deltas.pop() if dialect.ends_with_content and deltas and deltas[-1].spoken else None
        head, rests = self._frame(index)
        for delta in deltas:
            inside = delta.inside
            rest = rests[len(inside) % self._paddings]
            if delta.text is not None and self._reply.top_logprobs is not None:
                rest = _tell_logprobs(rest, self._reply, choice, delta.text)
            yield Piece([head + inside + rest], 1 if delta.spoken else 0, delta.spoken, token)
            token += delta.spoken
        if "finish_reason" not in self._omit:
            reason = choice.finish_reason if dialect.tells_finish_reason else None
            is_last = index == len(self._reply.choices) - 1
            event = self._event(index, last.inside if last else b"", reason, is_last=is_last)
            if last is not None and last.text is not None and self._reply.top_logprobs is not None:
                event = _tell_logprobs(event, self._reply, choice, last.text)
            yield Piece(
                [event],
                1 if last else 0,
                last.spoken if last else 0,
                token if last else None,
                None if index else reason,
                "finish_reason",
            )

    def _end(self) -> Iterator[Piece]:
        dialect, reply = self._dialect, self._reply
        if self._sends_usage and "usage" not in self._omit and dialect.usage_place.startswith("own"):
            chunk = {**self._common, "usage": dialect.usage(reply)}
            if dialect.usage_place == "own chunk with a choice":
                chunk["choices"] = [_choice(0)]
            dialect.amend_chunk(chunk, reply)
            yield Piece([_event(chunk)], end="usage")
        if reply.moderation is not None:
            chunk = {**self._common, "moderation": reply.moderation}
            dialect.amend_chunk(chunk, reply)
            yield Piece([_event(chunk)])
        if dialect.ends_with_done and "done" not in self._omit:
            yield Piece([b"data: [DONE]\n\n"], end="done")

    def _frame(self, index: int) -> tuple[bytes, list[bytes]]:
        """Return what is around a delta: before it, and after it in each of the paddings."""
        # Built from parts, not encoded a dict at a time: a chunk costs a microsecond.
        before, _, after = self._event(index, b"").partition(b'"delta":{}')
        rests = [b"}" + after]
        if self._paddings > 1:
            end = b"}\n\n"
            pads = [b',"obfuscation":"%b"' % _PADDING[:size].encode() for size in range(_PADDINGS, 0, -1)]
            rests = [rests[0].removesuffix(end) + pad + end for pad in pads]
        return before + b'"delta":{', rests

    def _event(self, index: int, inside: bytes, reason: str | None = None, *, is_last: bool = False) -> bytes:
        chunk = {**self._common, "choices": [_choice(index, reason)]}
        place = self._dialect.usage_place
        if is_last and self._sends_usage and place == "last chunk" and "usage" not in self._omit:
            chunk["usage"] = self._dialect.usage(self._reply)
        self._dialect.amend_chunk(chunk, self._reply, is_last=is_last)
        return _event(chunk).replace(b'"delta":{}', b'"delta":{%b}' % inside, 1)


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % _encode(chunk)


def _choice(index: int, reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": {}, "logprobs": None, "finish_reason": reason}


def _tell_logprobs(event: bytes, reply: Reply, choice: Choice, text: tuple[str, ...]) -> bytes:
    """Put the logprobs of a delta's text in their place."""
    logprobs = _encode(tell_logprobs(reply, choice.refuses, text))
    return event.replace(b'"logprobs":null', b'"logprobs":' + logprobs, 1)


def _batched(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Join pieces, for a stream that nothing is to happen within."""
    while held := list(islice(pieces, _BATCH)):
        yield Piece(
            [part for piece in held for part in piece.parts],
            sum(piece.contents for piece in held),
            sum(piece.spoken for piece in held),
            finish_reason=next((piece.finish_reason for piece in held if piece.finish_reason is not None), None),
        )


def _deltas(choice: Choice, dialect: Dialect) -> Iterator[_Delta]:
    """Yield what a choice says, in its order: thoughts where they are shown, text, calls, and what goes with them."""
    size = dialect.tokens_per_chunk
    if dialect.reasoning_name:
        yield from _text(b'"%b":' % dialect.reasoning_name.encode(), choice.reasoning, size, has_logprobs=False)
    if choice.audio is not None:
        yield from _audio(choice.audio, choice.tokens)
    else:
        yield from _text(b'"refusal":' if choice.refuses else b'"content":', choice.tokens, size)
    if choice.annotations:
        yield _Delta(b'"annotations":' + _encode(choice.annotations))
    for index, call in enumerate(choice.tool_calls):
        yield from _call(index, call, dialect, legacy=choice.legacy_call)


def _text(name: bytes, tokens: list[str], size: int, *, has_logprobs: bool = True) -> Iterator[_Delta]:
    if size == 1:
        yield from (_Delta(name + _encode(token), 1, (token,) if has_logprobs else None) for token in tokens)
        return
    for start in range(0, len(tokens), size):
        held = tuple(tokens[start : start + size])
        yield _Delta(name + _encode("".join(held)), len(held), held if has_logprobs else None)


def _audio(audio: dict[str, Any], tokens: list[str]) -> Iterator[_Delta]:
    yield _Delta(b'"audio":' + _encode({"id": audio["id"], "transcript": ""}))
    yield from (_Delta(b'"audio":' + _encode({"transcript": token}), 1) for token in tokens)
    yield _Delta(b'"audio":' + _encode({"data": audio["data"]}))
    yield _Delta(b'"audio":' + _encode({"expires_at": audio["expires_at"]}))


def _call(index: int, call: ToolCall, dialect: Dialect, *, legacy: bool) -> Iterator[_Delta]:
    """Yield a call's opening, with its id and name, and its arguments in parts."""
    if legacy:
        yield _Delta(b'"function_call":' + _encode({"name": call.name, "arguments": ""}), 1)
        yield from (_Delta(b'"function_call":' + _encode({"arguments": token}), 1) for token in call.tokens)
        return
    kind, field = ("custom", "input") if call.kind == "custom" else ("function", "arguments")
    opening: dict[str, Any] = {"index": index, "id": call.id, kind: {"name": call.name, field: ""}}
    if kind == "function":  # the description of a chunk knows no other type
        opening["type"] = kind
    if dialect.calls_at_once:
        opening[kind][field] = call.text
        yield _Delta(b'"tool_calls":' + _encode([opening]), 1 + len(call.tokens))
        return
    yield _Delta(b'"tool_calls":' + _encode([opening]), 1)
    yield from (_Delta(b'"tool_calls":' + _encode([{"index": index, kind: {field: part}}]), 1) for part in call.tokens)
