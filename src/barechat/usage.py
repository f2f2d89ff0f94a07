"""How a server's usage object is read: leniently, since servers send null, digit strings and their own names.

The shape is the API's (https://platform.openai.com/docs/api-reference/chat/object#chat/object-usage). Every detail
may be missing; a count that can't be read is treated as not sent, never as a guess.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from barechat.records import CompletionTokensDetails, PromptTokensDetails, Usage

_LONGEST_COUNT = 18  # digits: no count of tokens is longer, and int() of a very long text is slow
_TOO_MANY = 10**_LONGEST_COUNT


def read_usage(raw: object) -> Usage | None:
    """Read a usage object as a server sent it, or None if it doesn't count prompt and completion.

    Takes a mapping (a `Usage` passes through). Counts are ints ≥ 0, as ints, digit strings or whole floats; a
    missing total is the sum. Understands DeepSeek's `prompt_cache_hit_tokens` for cached tokens.
    """
    if isinstance(raw, Usage):
        return raw
    if type(raw) is dict and "prompt_cache_hit_tokens" not in raw:
        try:
            return msgspec.convert(raw, Usage)  # as nearly all are; field by field it takes four times as long
        except msgspec.ValidationError:
            pass
    if not isinstance(raw, (dict, Mapping)):
        return None
    prompt, completion = _count(raw.get("prompt_tokens")), _count(raw.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    total = _count(raw.get("total_tokens"))
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion if total is None else total,
        prompt_tokens_details=_read_prompt_details(raw),
        completion_tokens_details=_read_completion_details(raw),
    )


def _read_prompt_details(raw: Mapping[object, object]) -> PromptTokensDetails:
    details = _details(raw, "prompt_tokens_details")
    cached = _count(details.get("cached_tokens"))
    if cached is None:
        cached = _count(raw.get("prompt_cache_hit_tokens"))
    return PromptTokensDetails(
        cached_tokens=cached or 0,
        cache_write_tokens=_count(details.get("cache_write_tokens")) or 0,
        audio_tokens=_count(details.get("audio_tokens")) or 0,
        image_tokens=_count(details.get("image_tokens")) or 0,
        text_tokens=_count(details.get("text_tokens")) or 0,
    )


def _read_completion_details(raw: Mapping[object, object]) -> CompletionTokensDetails:
    details = _details(raw, "completion_tokens_details")
    return CompletionTokensDetails(
        reasoning_tokens=_count(details.get("reasoning_tokens")) or 0,
        audio_tokens=_count(details.get("audio_tokens")) or 0,
        text_tokens=_count(details.get("text_tokens")) or 0,
        accepted_prediction_tokens=_count(details.get("accepted_prediction_tokens")) or 0,
        rejected_prediction_tokens=_count(details.get("rejected_prediction_tokens")) or 0,
    )


def _details(raw: Mapping[object, object], name: str) -> Mapping[object, object]:
    details = raw.get(name)
    return details if isinstance(details, (dict, Mapping)) else {}


def _count(value: object) -> int | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        readable = value.isascii() and value.isdigit() and len(value) <= _LONGEST_COUNT
        return int(value) if readable else None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    return value if isinstance(value, int) and 0 <= value < _TOO_MANY else None
