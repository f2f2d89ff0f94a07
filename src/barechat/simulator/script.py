"""What does the simulator answer? A request becomes a reply and its bytes, whole or as a stream's events.

No I/O, no clock, no chance: the same request, seed and `created` give the same bytes, and a whole reply has
the same text as a streamed one.
"""

import hashlib
import re
from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

from barechat.simulator.request import Request
from barechat.simulator.words import Dice, json_object, prose

# What counts as a token here: a word with the space before it; long ones are several, so that any script streams.
_TOKEN: Final = re.compile(r"\s*\S{1,12}|\s+")
_NATURAL_LENGTH: Final = (20, 60)
_SERVED_AS: Final = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
}
_TIERS_SERVED_AS: Final = {"auto": "default", "fast": "priority"}
_encode: Final = msgspec.json.Encoder().encode


class Choice(msgspec.Struct, frozen=True):
    """One choice: its tokens, which joined are its text, and why they end."""

    tokens: list[str]
    finish_reason: str


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer before it is bytes."""

    id: str
    created: int
    model: str
    service_tier: str
    system_fingerprint: str
    choices: tuple[Choice, ...]
    prompt_tokens: int

    @property
    def completion_tokens(self) -> int:
        """The tokens of all choices."""
        return sum(len(choice.tokens) for choice in self.choices)

    @property
    def longest(self) -> int:
        """The tokens of the longest choice."""
        return max(len(choice.tokens) for choice in self.choices)

    def usage(self, completion_tokens: int | None = None) -> dict[str, Any]:
        """Return the usage object, for all tokens or for the first few that a cut stream got out."""
        count = self.completion_tokens if completion_tokens is None else completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": count,
            "total_tokens": self.prompt_tokens + count,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


class Piece(msgspec.Struct, frozen=True):
    """Some bytes of a body, and what they carry.

    `is_content` marks a content chunk, `token` is its place in its choice (for pacing), and `finish_reason`
    is set where choice 0 ends.
    """

    data: bytes
    is_content: bool = False
    token: int | None = None
    finish_reason: str | None = None


def compose(
    request: Request, *, seed: int, created: int, scripted: str | None = None, length: int | None = None
) -> Reply:
    """Compose the reply to a request that nothing refuses.

    `scripted` is the text to give word for word, whatever the request's limits; `length` is the number of tokens
    to say when nothing cuts them, instead of twenty to sixty.
    """
    key = identity(seed, request.digest)
    model = request.model or ""
    tier = request.get("service_tier") or "auto"
    return Reply(
        id=f"chatcmpl-{key.hex()[:29]}",
        created=created,
        model=_SERVED_AS.get(model, model),
        service_tier=_TIERS_SERVED_AS.get(tier, tier),
        system_fingerprint=f"fp_{hashlib.sha256(model.encode()).hexdigest()[:10]}",
        choices=tuple(
            _say(request, key + index.to_bytes(2, "big"), length)
            if scripted is None
            else Choice(_TOKEN.findall(scripted), "stop")
            for index in range(request.get("n") or 1)
        ),
        prompt_tokens=3 + sum(3 + len(text.split()) for text in request.texts),
    )


def identity(seed: int, digest: bytes, attempt: int = 0) -> bytes:
    """Return 32 bytes that name this request under this seed, or one attempt at it."""
    return hashlib.sha256(f"{seed}/{attempt}/".encode() + digest).digest()


def _say(request: Request, key: bytes, length: int | None) -> Choice:
    dice = Dice(key)
    natural = dice.number(*_NATURAL_LENGTH) if length is None else length
    wanted = (request.get("response_format") or {}).get("type", "text")
    text = prose(dice, natural) if wanted == "text" else json_object(dice, natural)
    tokens: list[str] = _TOKEN.findall(text)
    if length is not None and wanted == "text":
        del tokens[length:]
    kept = tokens[: request.max_tokens]
    said = "".join(kept)
    end = _first_stop(said, request.get("stop"))
    if end is not None:
        return Choice(_TOKEN.findall(said[:end]), "stop")
    return Choice(kept, "length" if len(kept) < len(tokens) else "stop")


def _first_stop(text: str, stop: str | list[str] | None) -> int | None:
    """Return where the first stop sequence begins; an empty one stops nothing."""
    sequences = [stop] if isinstance(stop, str) else stop or []
    found = [text.find(sequence) for sequence in sequences if sequence]
    return min((at for at in found if at >= 0), default=None)


def whole(reply: Reply, *, omit: Collection[str] = ()) -> bytes:
    """Return the body of a whole reply, less its usage or finish_reason when they are to be left out."""
    body: dict[str, Any] = {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [
            {
                "index": index,
                "message": {
                    "role": "assistant",
                    "content": "".join(choice.tokens),
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": None if "finish_reason" in omit else choice.finish_reason,
            }
            for index, choice in enumerate(reply.choices)
        ],
        "usage": reply.usage(),
        "service_tier": reply.service_tier,
        "system_fingerprint": reply.system_fingerprint,
    }
    if "usage" in omit:
        del body["usage"]
    return _encode(body)


def events(reply: Reply, *, include_usage: bool = False, omit: Collection[str] = ()) -> Iterator[Piece]:
    """Yield a stream's events: a role for each choice, the tokens in turn, the reasons, usage and `[DONE]`.

    A choice's tokens interleave with the other choices', as the API's do. `omit` leaves out "finish_reason"
    (its whole chunk), "usage" or "done".
    """
    common = _encode(
        {
            "id": reply.id,
            "object": "chat.completion.chunk",
            "created": reply.created,
            "model": reply.model,
            "service_tier": reply.service_tier,
            "system_fingerprint": reply.system_fingerprint,
        }
    )
    # Built from parts, not encoded a dict at a time: a chunk costs a microsecond.
    start = b"data: " + common[:-1] + b',"choices":['
    end = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"
    heads = [b'%b{"index":%d,"delta":{' % (start, index) for index in range(len(reply.choices))]
    rest = b'},"logprobs":null,"finish_reason":null}' + end
    for head in heads:
        yield Piece(head + b'"role":"assistant","content":"","refusal":null' + rest, token=0)
    for token in range(reply.longest + 1):
        for index, (head, choice) in enumerate(zip(heads, reply.choices, strict=True)):
            if token < len(choice.tokens):
                yield Piece(head + b'"content":' + _encode(choice.tokens[token]) + rest, is_content=True, token=token)
            elif token == len(choice.tokens) and "finish_reason" not in omit:
                reason = _encode(choice.finish_reason)
                last = head + b'},"logprobs":null,"finish_reason":' + reason + b"}" + end
                yield Piece(last, finish_reason=None if index else choice.finish_reason)
    if include_usage and "usage" not in omit:
        yield Piece(start + b'],"usage":' + _encode(reply.usage()) + b"}\n\n")
    if "done" not in omit:
        yield Piece(b"data: [DONE]\n\n")
