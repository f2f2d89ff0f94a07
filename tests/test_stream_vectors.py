"""Streams recorded from real servers, and from other clients' tests, fold to what they should, over real sockets."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from barechat import BadRequest, BarechatError, Reply
from support import ONCE, ByteServer, Caller, Connect, chunked, head, split

CASES: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("data").joinpath("vectors", "chat_accumulate.json").read_text("utf-8")
)["cases"]


def folded(reply: Reply) -> dict[str, Any]:
    """Return a reply in the shape of the vectors' `expected`."""
    choices = []
    for choice in reply.choices:
        message, logprobs = choice.message, choice.logprobs or {}
        calls: list[dict[str, Any]] = []
        for call in message.tool_calls or ():
            found = {"id": call.id, "type": call.type, "index": call.index, "arguments": ""}
            if call.custom is not None:
                found |= {"name": call.custom.name, "input": call.custom.input}
            if call.function is not None:
                found |= {"name": call.function.name, "arguments": call.function.arguments}
            calls.append(found)
        choices.append(
            {
                "index": choice.index,
                "role": message.role,
                "content": message.content,
                "refusal": message.refusal,
                "reasoning": message.reasoning,
                "tool_calls": calls,
                "finish_reason": choice.finish_reason,
                "logprobs_content": len(logprobs.get("content") or ()),
                "logprobs_refusal": len(logprobs.get("refusal") or ()),
            }
        )
    return {"id": reply.id, "model": reply.model, "choices": choices, "usage_last": reply.raw.get("usage")}


def wanted(case: dict[str, Any]) -> dict[str, Any]:
    """Return a case's `expected`, cut to what a reply holds. A role that was never sent is the assistant's."""
    expected = {name: case["expected"][name] for name in ("id", "model", "usage_last")}
    choices = [{**choice, "role": choice["role"] or "assistant"} for choice in case["expected"]["choices"]]
    return {**expected, "choices": choices}


def read_to_end(caller: Caller) -> tuple[Reply | None, BarechatError | None]:
    """Return a stream's reply; or, if it fails, what had come of it and the error."""
    with caller.stream() as stream:
        try:
            for _ in stream.deltas():
                pass
        except BarechatError as error:
            return error.partial, error
        return stream.reply, None


@pytest.mark.parametrize("framing", ["chunked", "until close"])
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_every_stream_folds_to_what_it_should_however_it_is_split(
    case: dict[str, Any], framing: str, connect: Connect, byte_server: ByteServer
) -> None:
    pieces = split(base64.b64decode(case["wire_b64"]), CASES.index(case))
    is_chunked = framing == "chunked"
    opening = head(*(["Transfer-Encoding: chunked"] if is_chunked else []), kind="text/event-stream")
    byte_server.answer(opening, *(chunked(pieces) if is_chunked else pieces), closes=not is_chunked)
    reply, error = read_to_end(connect(byte_server.url, retry=ONCE))
    assert reply is not None
    assert folded(reply) == wanted(case)
    assert_error_is(error, case["expected"].get("error"))


def assert_error_is(error: BarechatError | None, expected: dict[str, Any] | None) -> None:
    if expected is None:
        assert error is None
    else:
        assert isinstance(error, BadRequest)  # both cases' codes say 400
        assert expected["message"].split(":")[0] in str(error)
        assert error.code == str(expected["code"])


def test_the_recordings_hold_what_these_tests_are_for() -> None:
    assert len(CASES) == 44
    assert sum("error" in case["expected"] for case in CASES) == 2
    assert any(len(case["expected"]["choices"]) > 1 for case in CASES)
