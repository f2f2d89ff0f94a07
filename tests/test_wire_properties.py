"""Whatever a server sends, the wire returns a value or raises an error of ours: a short form of `make fuzz`."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.wire.sse import Decoder
from vectors import cases, parts
from wire_targets import TARGETS, seeds

WORDS = ["choices", "delta", "message", "content", "refusal", "reasoning", "tool_calls", "function", "custom", "name"]
WORDS += ["arguments", "input", "id", "index", "finish_reason", "logprobs", "usage", "prompt_tokens", "error", "code"]
WORDS += ["completion_tokens", "type", "param", "innererror", "detail", "object", "audio", "text", "function_call"]
NAN, INF = float("nan"), float("inf")
SCALARS: list[Any] = [None, True, False, 0, 1, -1, 127, 128, 429, 2**70, 1.5, 1e300, NAN, INF, 10**4000, "", "x"]
SCALARS += ["stop", "error", "length", "429", "None", "insufficient_quota", "\ud83d", "\ude00", "9" * 5000, [], {}]
REAL = [
    json.loads(event.data)
    for case in cases("chat_accumulate")
    for event in Decoder().feed(parts([case["wire_b64"]])[0])[:30]
    if event.data.startswith("{")
]


def invented(dice: random.Random, depth: int = 4) -> Any:
    """Return a value of the API's own words, put together without sense."""
    kind = dice.random()
    if depth == 0 or kind < 0.3:
        return dice.choice(SCALARS)
    if kind < 0.5:
        return [invented(dice, depth - 1) for _ in range(dice.randrange(3))]
    return {dice.choice(WORDS): invented(dice, depth - 1) for _ in range(dice.randrange(5))}


def spoiled(dice: random.Random, value: Any) -> Any:
    """Return a real value in which one thing, somewhere, is another."""
    if isinstance(value, dict) and value and dice.random() < 0.9:
        name = dice.choice(sorted(value))
        return {**value, name: spoiled(dice, value[name])}
    if isinstance(value, list) and value and dice.random() < 0.9:
        at = dice.randrange(len(value))
        return [*value[:at], spoiled(dice, value[at]), *value[at + 1 :]]
    return invented(dice, 2)


def some_json(seed: int) -> Any:
    """Return the JSON value that a seed stands for: drawn piece by piece by Hypothesis, one takes 100 ms."""
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    if dice.random() < 0.75:
        return spoiled(dice, dice.choice(REAL))
    return {"choices": [{"delta": invented(dice), "message": invented(dice)}, invented(dice)], "id": invented(dice, 1)}


def as_stream(chunks: list[Any]) -> bytes:
    return b"\7" + b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks)


def as_body(chunk: Any) -> bytes:
    return b"\7" + json.dumps(chunk).encode()


def mutated(data: bytes, at: float, removed: int, put: bytes) -> bytes:
    """Return `data` with some bytes replaced, `at` a fraction of its length."""
    start = int(at * len(data))
    return data[:start] + put + data[start + removed :]


SEEDS = {name: sorted(seeds(name), key=len) for name in TARGETS}
PUT = st.binary(max_size=3) | st.sampled_from([b'"', b"{", b"]", b"null", b"\\ud83d", b"1e999", b"NaN", b"\n\n", b"-1"])
MUTATED = {
    name: st.builds(mutated, st.sampled_from(SEEDS[name]), st.floats(0, 1), st.integers(0, 9), PUT) for name in TARGETS
}
JSON = st.integers(0, 2**32).map(some_json)
INPUTS = {
    "decoder": st.binary(max_size=60) | MUTATED["decoder"],
    "fold": st.binary(max_size=60) | MUTATED["fold"] | st.lists(JSON, max_size=4).map(as_stream),
    "errors": st.binary(max_size=60) | MUTATED["errors"] | JSON.map(as_body),
    "headers": st.binary(max_size=60) | MUTATED["headers"],
}


@pytest.mark.parametrize("name", TARGETS)
def test_every_recorded_input_is_sound(name: str) -> None:
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
def test_any_input_is_a_value_or_an_error_of_ours(name: str) -> None:
    @settings(derandomize=True, deadline=None, max_examples=100, database=None)
    @given(INPUTS[name])
    def hold(data: bytes) -> None:
        TARGETS[name](data)

    hold()
