"""What is an answer before it is bytes? Choices, tool calls, and what they count."""

import re
from typing import Any, Final, Literal

import msgspec

# What counts as a token here: a word with the space before it; long ones are several, so that any script streams.
_TOKEN: Final = re.compile(r"\s*\S{1,12}|\s+")


def split_tokens(text: str) -> list[str]:
    """Split text into tokens, which joined are the text again."""
    return _TOKEN.findall(text)


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a function, whose arguments are a string of JSON, or of a custom tool, whose input is any text."""

    id: str
    kind: Literal["function", "custom"] = "function"
    name: str
    tokens: list[str]

    @property
    def text(self) -> str:
        """The arguments or the input."""
        return "".join(self.tokens)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One choice: its tokens, which joined are its text, what else it says, and why it ends.

    `refuses` marks the text as a refusal; `reasoning` is thought before it, which not every server shows. `legacy_call`
    makes the tool call the deprecated `function_call`. `annotations` and `audio` are the message's, ready made.
    """

    tokens: list[str]
    finish_reason: str
    refuses: bool = False
    reasoning: list[str] = []
    tool_calls: tuple[ToolCall, ...] = ()
    legacy_call: bool = False
    annotations: tuple[dict[str, Any], ...] = ()
    audio: dict[str, Any] | None = None

    @property
    def content(self) -> str | None:
        """The content: None beside tool calls, a refusal or audio."""
        if self.refuses or self.audio is not None or (self.tool_calls and not self.tokens):
            return None
        return "".join(self.tokens)

    @property
    def refusal(self) -> str | None:
        """The refusal, if it is one."""
        return "".join(self.tokens) if self.refuses else None

    @property
    def spoken(self) -> int:
        """The tokens of text and calls; a call's name is one."""
        return len(self.tokens) + sum(1 + len(call.tokens) for call in self.tool_calls)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer before it is bytes; `top_logprobs` is None where no logprobs are wanted."""

    id: str
    created: int
    model: str
    service_tier: str
    system_fingerprint: str
    choices: tuple[Choice, ...]
    prompt_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int | None = None
    prompt_audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0
    top_logprobs: int | None = None
    moderation: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None

    @property
    def reasoning_tokens(self) -> int:
        """The reasoning tokens of all choices."""
        return sum(len(choice.reasoning) for choice in self.choices)

    @property
    def completion_tokens(self) -> int:
        """The tokens of all choices, with those that don't show."""
        return sum(choice.spoken for choice in self.choices) + self._unseen_tokens

    @property
    def longest(self) -> int:
        """The tokens that the longest choice takes, reasoning included."""
        return max(choice.spoken + len(choice.reasoning) for choice in self.choices)

    @property
    def _unseen_tokens(self) -> int:
        return self.reasoning_tokens + self.rejected_prediction_tokens

    def usage(self, spoken: int | None = None) -> dict[str, Any]:
        """Return the usage object, for all tokens or for the first few spoken ones that a cut stream got out."""
        count = self.completion_tokens if spoken is None else min(spoken + self._unseen_tokens, self.completion_tokens)
        prompt_details = {"cached_tokens": self.cached_tokens, "audio_tokens": self.prompt_audio_tokens}
        if self.cache_write_tokens is not None:
            prompt_details["cache_write_tokens"] = self.cache_write_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": count,
            "total_tokens": self.prompt_tokens + count,
            "prompt_tokens_details": prompt_details,
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning_tokens,
                "audio_tokens": sum(len(choice.tokens) for choice in self.choices if choice.audio is not None),
                "accepted_prediction_tokens": self.accepted_prediction_tokens,
                "rejected_prediction_tokens": self.rejected_prediction_tokens,
            },
        }
