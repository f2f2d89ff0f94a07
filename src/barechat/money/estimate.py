"""About what an answer cost whose server didn't count its tokens: by the tokens a byte that its model took before.

Only for answers that came whole, of text: what was cut has a bound, and images' tokens aren't told by their bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from barechat.money.bound import is_text
from barechat.records import Cost, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barechat.records import Reply

_BYTES_A_TOKEN = 4  # OpenAI's rule of thumb for English, until something is learned


class Ratios:
    """How many tokens a model has taken for how many bytes, of prompts and of replies; safe to share.

    Prompts count by the request's whole body, replies by the text that came; so what else is billed (framing, hidden
    reasoning) is in the ratio, on the average.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, int, int]] = {}  # replaced as a whole: a lost update costs a sample
        self._densest: dict[str, tuple[int, int]] = {}  # tokens and bytes of the prompt that took the most a byte

    def learn(self, request: Mapping[str, Any], body_bytes: int, model: str, reply: Reply) -> None:
        """Take in an answer whose tokens the server counted."""
        if reply.usage is None or not is_text(request):
            return
        prompt_bytes, prompt_tokens, reply_bytes, reply_tokens = self._seen.get(model, (0, 0, 0, 0))
        self._seen[model] = (
            prompt_bytes + body_bytes,
            prompt_tokens + reply.usage.prompt_tokens,
            reply_bytes + _text_bytes(reply),
            reply_tokens + reply.usage.completion_tokens,
        )
        tokens, size = self._densest.get(model, (0, 1))
        if reply.usage.prompt_tokens * size > tokens * body_bytes:
            self._densest[model] = reply.usage.prompt_tokens, body_bytes

    def prompt_tokens(self, request: Mapping[str, Any], body_bytes: int, model: str) -> int | None:
        """Return how many tokens a prompt is likely to take at most, or None if its bytes don't tell.

        By the most that the model has taken for a byte, and a sixteenth more, since no two texts are alike.
        """
        if model not in self._densest or not is_text(request):
            return None
        tokens, size = self._densest[model]
        return -(-body_bytes * tokens * 17 // (size * 16))

    def usage(self, request: Mapping[str, Any], body_bytes: int, model: str, reply: Reply) -> Usage | None:
        """Return about how many tokens an answer took, or None if its bytes don't tell."""
        if not is_text(request):
            return None
        prompt_bytes, prompt_tokens, reply_bytes, reply_tokens = self._seen.get(model, (0, 0, 0, 0))
        prompt = _about(body_bytes, prompt_tokens, prompt_bytes)
        completion = _about(_text_bytes(reply), reply_tokens, reply_bytes)
        return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def estimated(cost: Cost, at_most: Cost) -> Cost:
    """Return the cost of tokens that were estimated: certainty "estimate", and never above `at_most`; or unpriced."""
    if cost.picodollars is None:
        return cost
    about = cost.picodollars if at_most.picodollars is None else min(cost.picodollars, at_most.picodollars)
    return msgspec.structs.replace(cost, picodollars=about, certainty="estimate")


def _about(size: int, tokens: int, size_seen: int) -> int:
    if not size_seen:
        tokens, size_seen = 1, _BYTES_A_TOKEN
    return -(-size * tokens // size_seen)


def _text_bytes(reply: Reply) -> int:
    """Return how many bytes of text a reply's choices hold, tool calls included."""
    size = 0
    for choice in reply.choices:
        message = choice.message
        size += _size(message.content) + _size(message.refusal) + _size(message.reasoning)
        for call in message.tool_calls or ():
            if call.function is not None:
                size += _size(call.function.name) + _size(call.function.arguments)
            if call.custom is not None:
                size += _size(call.custom.name) + _size(call.custom.input)
    return size


def _size(text: str | None) -> int:
    if text is None or text.isascii():
        return len(text or "")
    return len(text.encode("utf-8", "surrogatepass"))
