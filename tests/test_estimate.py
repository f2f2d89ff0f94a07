"""barechat.money.estimate: how tokens are told from bytes, where a server doesn't count."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from barechat.money.estimate import Ratios, estimated
from barechat.records import UNPRICED, Cost
from barechat.wire.reply import read_whole, reply_of

TEXT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
SEEN: dict[str, Any] = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}


def reply(message: dict[str, Any], usage: tuple[int, int] | None = None) -> Any:
    body: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return reply_of(read_whole(msgspec.json.encode(body)).raw, "complete")


def tokens(ratios: Ratios, body_bytes: int, message: dict[str, Any], model: str = "m") -> tuple[int, int]:
    usage = ratios.usage(TEXT, body_bytes, model, reply(message))
    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return usage.prompt_tokens, usage.completion_tokens


def test_before_anything_is_learned_four_bytes_are_a_token_and_a_part_counts_as_one() -> None:
    assert tokens(Ratios(), 401, {"content": "12345678"}) == (101, 2)
    assert tokens(Ratios(), 400, {"content": "123456789"}) == (100, 3)
    assert tokens(Ratios(), 0, {"content": None}) == (0, 0)


def test_a_model_s_own_measure_is_over_all_that_was_counted() -> None:
    ratios = Ratios()
    ratios.learn(TEXT, 100, "m", reply({"content": "12345678"}, (10, 4)))
    assert tokens(ratios, 200, {"content": "1234"}) == (20, 2)
    ratios.learn(TEXT, 100, "m", reply({"content": "12345678"}, (30, 4)))
    assert tokens(ratios, 200, {"content": "1234"}) == (40, 2)
    assert tokens(ratios, 200, {"content": "1234"}, "other") == (50, 1)


@pytest.mark.parametrize(
    "message",
    [
        {"content": "ü" * 20},
        {"content": "a" * 20, "refusal": "b" * 20},
        {"content": None, "reasoning_content": "c" * 40},
        {"tool_calls": [{"id": "1", "function": {"name": "f" * 10, "arguments": "g" * 30}}]},
        {"tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "f" * 10, "input": "g" * 30}}]},
    ],
)
def test_all_that_a_reply_says_counts_by_its_bytes(message: dict[str, Any]) -> None:
    assert tokens(Ratios(), 4, message) == (1, 10)


def test_what_is_more_than_text_teaches_nothing_and_is_not_told() -> None:
    ratios = Ratios()
    ratios.learn(SEEN, 100, "m", reply({"content": "12345678"}, (1000, 4)))
    ratios.learn(TEXT, 100, "m", reply({"content": "12345678"}))
    assert tokens(ratios, 400, {"content": "1234"}) == (100, 1)
    assert ratios.usage(SEEN, 400, "m", reply({"content": "1234"})) is None


def test_an_estimate_says_what_it_is_and_stays_below_the_bound() -> None:
    def cost(picodollars: int) -> Cost:
        return Cost(picodollars=picodollars, certainty="exact")

    assert estimated(cost(5), cost(9)) == Cost(picodollars=5, certainty="estimate")
    assert estimated(cost(9), cost(5)) == Cost(picodollars=5, certainty="estimate")
    assert estimated(cost(9), UNPRICED) == Cost(picodollars=9, certainty="estimate")
    assert estimated(UNPRICED, cost(5)) is UNPRICED


def test_a_prompt_is_told_by_the_densest_so_far_and_a_sixteenth() -> None:
    ratios = Ratios()
    assert ratios.prompt_tokens(TEXT, 400, "m") is None
    ratios.learn(TEXT, 100, "m", reply({"content": "Hi"}, (16, 1)))
    assert ratios.prompt_tokens(TEXT, 100, "m") == 17
    ratios.learn(TEXT, 100, "m", reply({"content": "Hi"}, (32, 1)))
    ratios.learn(TEXT, 1000, "m", reply({"content": "Hi"}, (160, 1)))
    assert ratios.prompt_tokens(TEXT, 100, "m") == 34
    assert ratios.prompt_tokens(TEXT, 101, "m") == 35
    assert (ratios.prompt_tokens(SEEN, 100, "m"), ratios.prompt_tokens(TEXT, 100, "other")) == (None, None)
