"""What is asked and answered, word for word? One question, and the API's shapes of a reply and of a stream's events."""

import json
from typing import Any, Final

MODEL: Final = "gpt-4o-mini"
KEY: Final = "sk-bench-0123456789"
WORDS: Final = 50
PIECE: Final = " tide"
TEXT: Final = PIECE * WORDS
_USAGE: Final = {
    "prompt_tokens": 31,
    "completion_tokens": WORDS,
    "total_tokens": 31 + WORDS,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
_COMMON: Final = {
    "id": "chatcmpl-BxR9f2aVqT0kZ7dNc4mWu1yEo8hLs",
    "created": 1795694400,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_72ed7ab54c",
}


def messages(number: int) -> list[dict[str, str]]:
    """Return a question; no two numbers have the same."""
    return [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": f"Question {number}: how does the tide know when to turn?"},
    ]


def _bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _event(choices: list[dict[str, Any]], usage: Any = None) -> bytes:
    return _bytes({**_COMMON, "object": "chat.completion.chunk", "choices": choices, "usage": usage})


def _delta(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    return _event([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}])


_MESSAGE: Final[dict[str, Any]] = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
_CHOICE: Final = {"index": 0, "message": _MESSAGE, "logprobs": None, "finish_reason": "stop"}
WHOLE: Final = _bytes({**_COMMON, "object": "chat.completion", "choices": [_CHOICE], "usage": _USAGE})
ROLE: Final = _delta({"role": "assistant", "content": "", "refusal": None})
TOKEN: Final = _delta({"content": PIECE})
LAST: Final = _delta({}, "stop")
USAGE: Final = _event([], _USAGE)
DONE: Final = b"[DONE]"
