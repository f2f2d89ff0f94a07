"""The API's parameters: their names and types for editors, their documented ranges for a check before sending.

Source: https://platform.openai.com/docs/api-reference/chat/create. All 37 are here but `messages`, `model` and
`stream`, which the client's methods take by themselves.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict

from barechat.errors import BarechatError, ParameterError

Json = Mapping[str, Any]


class ParametersBesideTools(TypedDict, total=False):
    """Every parameter of the API but `tools`, for a method that has its own."""

    audio: Json | None
    frequency_penalty: float | None
    function_call: str | Json | None
    functions: Sequence[Json] | None
    logit_bias: Mapping[str, int] | None
    logprobs: bool | None
    max_completion_tokens: int | None
    max_tokens: int | None
    metadata: Mapping[str, str] | None
    modalities: Sequence[Literal["text", "audio"]] | None
    moderation: Json | None
    n: int | None
    parallel_tool_calls: bool | None
    prediction: Json | None
    presence_penalty: float | None
    prompt_cache_key: str | None
    prompt_cache_options: Json | None
    prompt_cache_retention: Literal["in_memory", "24h"] | None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None
    response_format: Literal["text", "json"] | Json | None
    safety_identifier: str | None
    seed: int | None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None
    stop: str | Sequence[str] | None
    store: bool | None
    stream_options: Json | None
    temperature: float | None
    tool_choice: str | Json | None
    top_logprobs: int | None
    top_p: float | None
    user: str | None
    verbosity: Literal["low", "medium", "high"] | None
    web_search_options: Json | None


class Parameters(ParametersBesideTools, total=False):
    """Every parameter of the API, by its own name. None is the same as not given."""

    tools: Sequence[Json] | None


class _Rule(NamedTuple):
    wanted: str
    fits: Callable[[Any], bool]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def _number(low: float, high: float) -> _Rule:
    return _Rule(f"a number from {low:g} to {high:g}", lambda value: _is_number(value) and low <= value <= high)


def _whole(low: int, high: int | None = None) -> _Rule:
    wanted = f"a whole number from {low}" + ("" if high is None else f" to {high}")
    return _Rule(wanted, lambda value: _is_whole(value) and low <= value and (high is None or value <= high))


def _one_of(*words: str) -> _Rule:
    return _Rule("one of " + ", ".join(map(repr, words)), lambda value: isinstance(value, str) and value in words)


def _text(most: int | None = None) -> _Rule:
    wanted = "a string" + ("" if most is None else f" of at most {most} characters")
    return _Rule(wanted, lambda value: isinstance(value, str) and (most is None or len(value) <= most))


def _objects(most: int | None = None) -> _Rule:
    def fits(value: Any) -> bool:
        return (
            _is_list(value)
            and len(value) > 0
            and (most is None or len(value) <= most)
            and all(isinstance(item, Mapping) for item in value)
        )

    return _Rule("a list of 1 " + ("or more" if most is None else f"to {most}") + " dicts", fits)


def _is_stop(value: Any) -> bool:
    if isinstance(value, str):
        return True
    return _is_list(value) and len(value) in range(1, 5) and all(isinstance(item, str) for item in value)


_BOOLEAN = _Rule("True or False", lambda value: isinstance(value, bool))
_OBJECT = _Rule("a dict", lambda value: isinstance(value, Mapping))
_WORD_OR_OBJECT = _Rule("a string or a dict", lambda value: isinstance(value, (str, Mapping)))
_INT64 = 2**63

RULES: dict[str, _Rule] = {
    "audio": _OBJECT,
    "frequency_penalty": _number(-2, 2),
    "function_call": _WORD_OR_OBJECT,
    "functions": _objects(128),
    "logit_bias": _Rule(
        "a dict of token ids to numbers from -100 to 100",
        lambda value: isinstance(value, Mapping) and all(_number(-100, 100).fits(bias) for bias in value.values()),
    ),
    "logprobs": _BOOLEAN,
    "max_completion_tokens": _whole(1),
    "max_tokens": _whole(1),
    "metadata": _Rule(
        "a dict of at most 16 pairs, keys of at most 64 and values of at most 512 characters",
        lambda value: (
            isinstance(value, Mapping)
            and len(value) <= 16  # noqa: PLR2004 - the sentence above says it
            and all(_text(64).fits(key) and _text(512).fits(text) for key, text in value.items())
        ),
    ),
    "modalities": _Rule(
        "a list of 'text' and 'audio'",
        lambda value: _is_list(value) and len(value) > 0 and all(map(_one_of("text", "audio").fits, value)),
    ),
    "moderation": _OBJECT,
    "n": _whole(1, 128),
    "parallel_tool_calls": _BOOLEAN,
    "prediction": _OBJECT,
    "presence_penalty": _number(-2, 2),
    "prompt_cache_key": _text(),
    "prompt_cache_options": _OBJECT,
    "prompt_cache_retention": _one_of("in_memory", "24h"),
    "reasoning_effort": _one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "response_format": _WORD_OR_OBJECT,
    "safety_identifier": _text(64),
    "seed": _whole(-_INT64, _INT64 - 1),
    "service_tier": _one_of("auto", "default", "flex", "scale", "priority", "fast"),
    "stop": _Rule("a string or a list of 1 to 4 strings", _is_stop),
    "store": _BOOLEAN,
    "stream_options": _OBJECT,
    "temperature": _number(0, 2),
    "tool_choice": _WORD_OR_OBJECT,
    "tools": _objects(),
    "top_logprobs": _whole(0, 20),
    "top_p": _number(0, 1),
    "user": _text(),
    "verbosity": _one_of("low", "medium", "high"),
    "web_search_options": _OBJECT,
}


_ELSEWHERE = {  # by the name that the official SDK's users know: what does it here
    "stream": "call the method stream(…) for a streamed reply, chat(…) for a whole one",
    "timeout": "pass timeouts=Timeouts(total_s=…), or its connect_s, first_byte_s and idle_s for a stream",
    "max_retries": "pass retry=RetryPolicy(max_attempts=max_retries + 1), which counts the first try too",
    "extra_headers": "pass headers={…}",
    "extra_body": "pass extra={…}, whose names go into the body unchecked",
    "extra_query": "no query is sent but Azure's api-version, which Client.azure(api_version=…) sets",
}


def check(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that were given, without the Nones.

    Raises:
        ParameterError: an unknown name, or a value that the API is documented to refuse.
    """
    if not parameters:
        return {}
    given = {name: value for name, value in parameters.items() if value is not None}
    for name, value in given.items():
        rule = RULES.get(name)
        if rule is None:
            raise ParameterError(_unknown(name), param=name)
        if not rule.fits(value):
            raise ParameterError(
                f"{name} must be {rule.wanted}, not {shown(value)}; "
                f"to send it all the same, unchecked, pass extra={{{name!r}: …}}",
                param=name,
            )
    if "top_logprobs" in given and not given.get("logprobs"):
        raise ParameterError("top_logprobs needs logprobs=True beside it", param="top_logprobs")
    if "max_tokens" in given and "max_completion_tokens" in given:
        raise ParameterError("max_tokens and max_completion_tokens are the same limit; pass one", param="max_tokens")
    include_usage = given.get("stream_options", {}).get("include_usage", True)
    if not isinstance(include_usage, bool):
        raise ParameterError(
            f"stream_options.include_usage must be True or False, not {shown(include_usage)}", param="stream_options"
        )
    return given


def check_kinds(error: type[BarechatError], **given: tuple[object, Any]) -> None:
    """Raise `error` for the first of `given`, each a value and its type, that is neither of its type nor None."""
    for name, (value, kind) in given.items():
        if value is not None and not isinstance(value, kind):
            wanted = {Mapping: "dict", Callable: "function"}.get(kind) or kind.__name__
            raise error(f"{name} must be a {wanted} or None, not {type(value).__name__}", param=name)


def check_tags(tags: Mapping[str, str], error: type[BarechatError]) -> dict[str, str]:
    """Return a call's tags, or raise `error` if a name or value is no text that a ledger can keep."""
    for name, value in tags.items():
        for text in (name, value):
            if not isinstance(text, str) or not text or not text.isprintable():
                wanted = "names and values of printable text, as in {'job': 'nightly'}"
                raise error(f"tags must be {wanted}, not {shown(tags)}", param="tags")
    return dict(tags)


def _unknown(name: str) -> str:
    if name in _ELSEWHERE:
        return f"{name} is not a parameter here: {_ELSEWHERE[name]}"
    close = difflib.get_close_matches(name, RULES, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "the API has none of that name."
    return f"unknown parameter {name!r}: {hint} What the API may add later goes through extra={{{name!r}: …}}"


def shown(value: object) -> str:
    """Return a caller's value for an error's sentence, cut short."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of thousands of digits, a list of thousands of levels
        text = f"this {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "…"  # noqa: PLR2004 - a line's worth


def shortened(text: str) -> str:
    """Return a long text for an error's sentence, or for a model, cut where it has more than 1,000 characters."""
    return text if len(text) <= 1000 else text[:999] + "…"  # noqa: PLR2004 - the sentence above says it
