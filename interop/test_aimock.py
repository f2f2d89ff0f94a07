"""A server that others wrote, and closest to the official shape, under both our clients: CopilotKit's aimock.

It runs on Node 20; `make interop` installs it beside this Python's packages where there is npm.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from barechat import (
    AsyncClient,
    AuthenticationFailed,
    BadRequest,
    Client,
    ConnectionFailed,
    ContextTooLong,
    DeadlineExceeded,
    NotFound,
    Overloaded,
    ProtocolBroken,
    RateLimited,
    RetryPolicy,
    ServerFailed,
    StreamTruncated,
    Timeouts,
)
from support import KEY, ONCE, QUICK, AsyncCaller, BlockingCaller, Caller, make_caller

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat import Reply

NODE = shutil.which("node")
SERVER = next(Path(sys.prefix).glob("aimock-*/node_modules/@copilotkit/aimock/dist/cli.js"), None)
pytestmark = pytest.mark.skipif(
    NODE is None or SERVER is None, reason="needs Node 20 and npm, with which `make interop` installs aimock"
)

TEXT = "It will rain in the evening — très froid. 😀"
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
EITHER_WAY = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def failing(status: int, code: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": f"That is a {status}", "type": "an_error", "code": code}, "status": status, **more}


# What it answers to which message; the first that fits counts.
FIXTURES: list[dict[str, Any]] = [
    {"match": {"userMessage": "umbrella", "hasToolResult": True}, "response": {"content": "Bring it."}},
    {
        "match": {"userMessage": "umbrella"},
        "response": {"toolCalls": [{"name": "get_weather", "arguments": {"city": "Orléans"}}]},
    },
    {"match": {"userMessage": "think"}, "response": {"reasoning": "Hm. ", "content": "Rain."}},
    {"match": {"userMessage": "long"}, "response": {"content": "It will", "finishReason": "length"}},
    {"match": {"userMessage": "bad words"}, "response": {"content": "It", "finishReason": "content_filter"}},
    {
        "match": {"userMessage": "object", "responseFormat": "json_object"},
        "response": {"content": {"rain": True}},
    },
    {
        "match": {"userMessage": "priced"},
        "response": {
            "content": "Rain.",
            "model": "gpt-4o-mini-2024-07-18",
            "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14},
        },
    },
    # Without the pauses, it hangs up before what it has written has left.
    {"match": {"userMessage": "cut"}, "response": {"content": TEXT}, "truncateAfterChunks": 3, "latency": 20},
    {"match": {"userMessage": "slow"}, "response": {"content": TEXT}, "latency": 20_000},
    {"match": {"userMessage": "busy"}, "response": failing(429, "rate_limit_exceeded", retryAfter=300)},
    {"match": {"userMessage": "too much"}, "response": failing(400, "context_length_exceeded")},
    {"match": {"userMessage": "wrong"}, "response": failing(400, "invalid_value")},
    {"match": {"userMessage": "down"}, "response": failing(503, "server_is_overloaded")},
    {"match": {"userMessage": "hello"}, "response": {"content": TEXT}},
    {
        "match": {"userMessage": "routed"},
        "response": {"content": TEXT, "provider": "Someone", "usage": {"cost": 0.0021}},
        "openRouterProcessing": True,
    },
]


@contextmanager
def running(directory: Path, **variables: str) -> Iterator[str]:
    """Run it on a port of its own; yield the URL."""
    assert NODE is not None
    assert SERVER is not None
    answers = directory / "fixtures.json"
    answers.write_text(json.dumps({"fixtures": FIXTURES}), "utf-8")
    command = [NODE, str(SERVER), "--port", "0", "--fixtures", str(answers)]
    with subprocess.Popen(  # noqa: S603 - as the Makefile installed it
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            said = ""
            while (found := re.search(r"listening on (http://\S+)", said)) is None:
                line = process.stdout.readline()
                assert line, f"it ended at once: {said}"
                said += line
            yield found[1]
        finally:
            process.terminate()
            process.communicate()


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("aimock")) as url:
        yield url


@pytest.fixture(params=["blocking", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def caller(kind: str, aimock: str) -> Iterator[Caller]:
    made = make_caller(kind, f"{aimock}/v1", retry=QUICK)
    yield made
    made.close()


def ask(caller: Caller, streamed: bool, messages: Any, **options: Any) -> Reply:
    if not streamed:
        return caller.chat(messages, **options)
    with caller.stream(messages, **options) as stream:
        deltas = list(stream.deltas())
    assert "".join(delta.content or "" for delta in deltas) == stream.reply.text
    return stream.reply


# Answers


@EITHER_WAY
def test_an_answer_is_read_and_metered(streamed: bool, caller: Caller) -> None:
    reply = ask(caller, streamed, "hello")
    assert (reply.text, reply.verdict, reply.finish_reason) == (TEXT, "complete", "stop")
    assert (reply.request_id or "").startswith("req-")
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 2
    assert (reply.cost.certainty, len(reply.attempts)) == ("exact", 1)


@EITHER_WAY
def test_its_count_and_model_are_priced_to_the_picodollar(streamed: bool, caller: Caller) -> None:
    reply = ask(caller, streamed, "priced")
    assert (reply.model, reply.cost.picodollars) == ("gpt-4o-mini-2024-07-18", 10 * 150_000 + 4 * 600_000)


@EITHER_WAY
def test_a_tool_is_called_and_its_result_answered(streamed: bool, caller: Caller) -> None:
    question = {"role": "user", "content": "umbrella?"}
    first = ask(caller, streamed, [question], tools=TOOLS)
    assert (first.finish_reason, first.verdict, first.text) == ("tool_calls", "complete", "")
    assert first.message.tool_calls is not None
    (call,) = first.message.tool_calls
    assert call.function is not None
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Orléans"})
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    assert ask(caller, streamed, [question, first.message, result], tools=TOOLS).text == "Bring it."


@EITHER_WAY
def test_reasoning_the_json_mode_and_cut_ends_are_told_apart(streamed: bool, caller: Caller) -> None:
    thought = ask(caller, streamed, "think")
    assert (thought.message.reasoning, thought.text) == ("Hm. ", "Rain.")
    assert ask(caller, streamed, "object, as JSON", response_format="json").json() == {"rain": True}
    assert ask(caller, streamed, "long").verdict == "limited"
    assert ask(caller, streamed, "bad words").verdict == "filtered"


@EITHER_WAY
@pytest.mark.parametrize("version", ["2024-10-21", None])
def test_it_is_azure_too(streamed: bool, version: str | None, kind: str, aimock: str) -> None:
    made = (Client if kind == "blocking" else AsyncClient).azure(aimock, "gpt-4o-mini", version, api_key=KEY)
    caller = BlockingCaller(made) if isinstance(made, Client) else AsyncCaller(made)
    assert ask(caller, streamed, "hello", model=None).text == TEXT
    caller.close()


@EITHER_WAY
def test_it_is_openrouter_too_with_its_comments_and_its_cost(streamed: bool, kind: str, aimock: str) -> None:
    caller = make_caller(kind, f"{aimock}/api/v1")
    reply = ask(caller, streamed, "routed")
    assert (reply.text, reply.raw["provider"], reply.raw["usage"]["cost"]) == (TEXT, "Someone", 0.0021)
    caller.close()


# Errors


@EITHER_WAY
@pytest.mark.parametrize(
    ("message", "error_class", "code"),
    [
        ("busy", RateLimited, "rate_limit_exceeded"),
        ("too much", ContextTooLong, "context_length_exceeded"),
        ("wrong", BadRequest, "invalid_value"),
        ("nothing that it knows", NotFound, "no_fixture_match"),
    ],
)
def test_its_errors_are_told_by_their_kind(
    message: str, error_class: type[Exception], code: str, streamed: bool, caller: Caller
) -> None:
    with pytest.raises(error_class) as caught:
        ask(caller, streamed, message)
    assert type(caught.value) is error_class
    error: Any = caught.value
    assert (error.code, len(error.attempts), error.cost.picodollars) == (code, 1, 0)
    assert error.request_id.startswith("req-")
    if message == "busy":
        assert error.retry_after_s == 300


@EITHER_WAY
def test_an_outage_is_asked_again_as_often_as_the_policy_says(streamed: bool, caller: Caller) -> None:
    with pytest.raises(Overloaded) as caught:
        ask(caller, streamed, "down", retry=RetryPolicy(max_attempts=3, base_s=0.001))
    assert [attempt.status for attempt in caught.value.attempts] == [503, 503, 503]


def test_a_wrong_key_is_refused_and_a_right_one_taken(kind: str, tmp_path: Path) -> None:
    with running(tmp_path, AIMOCK_API_KEYS=KEY) as url:
        stranger = make_caller(kind, f"{url}/v1", api_key="sk-nobody-0123456789")
        with pytest.raises(AuthenticationFailed) as caught:
            stranger.chat("hello")
        assert len(caught.value.attempts) == 1
        known = make_caller(kind, f"{url}/v1")
        assert known.chat("hello").text == TEXT
        for caller in (stranger, known):
            caller.close()


def test_a_stream_that_it_cuts_is_truncated_with_what_came(caller: Caller) -> None:
    with pytest.raises(StreamTruncated) as caught:
        ask(caller, True, "cut")
    assert caught.value.partial is not None
    assert TEXT.startswith(caught.value.partial.text)
    assert caught.value.partial.text
    assert caught.value.cost is not None
    assert caught.value.cost.certainty == "bound"


def test_a_stream_that_is_too_slow_passes_its_deadline(caller: Caller) -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        ask(caller, True, "slow", timeouts=Timeouts(first_byte_s=0.3, idle_s=0.3))
    assert caught.value.which in {"first_byte", "idle"}


# Its chaos, asked for a request at a time


def chaos(name: str, rate: str = "1") -> dict[str, str]:
    return {f"x-aimock-chaos-{name}": rate}


@EITHER_WAY
@pytest.mark.parametrize(
    ("name", "error_class"), [("drop", ServerFailed), ("disconnect", ConnectionFailed), ("ratelimit", RateLimited)]
)
def test_its_chaos_is_tried_again_until_the_policy_gives_up(
    name: str, error_class: type[Exception], streamed: bool, caller: Caller
) -> None:
    policy = RetryPolicy(max_attempts=2, base_s=0.001, max_server_delay_s=0.5 if name == "ratelimit" else 120)
    with pytest.raises(error_class) as caught:
        ask(caller, streamed, "hello", headers=chaos(name), retry=policy)
    error: Any = caught.value
    assert len(error.attempts) == (1 if name == "ratelimit" else 2)
    assert error.cost.certainty == ("bound" if name == "disconnect" else "exact")
    if name == "ratelimit":
        assert error.retry_after_s >= 1


@EITHER_WAY
def test_its_malformed_json_breaks_the_protocol(streamed: bool, caller: Caller) -> None:
    with pytest.raises(ProtocolBroken, match="malformed json") as caught:
        ask(caller, streamed, "hello", headers=chaos("malformed"), retry=ONCE)
    assert caught.value.cost is not None
    assert caught.value.cost.certainty == "bound"


@EITHER_WAY
def test_half_of_all_calls_that_fail_leave_the_other_half_whole(streamed: bool, caller: Caller) -> None:
    policy = RetryPolicy(max_attempts=30, base_s=0.001, retry_budget=None)
    for name in ("drop", "disconnect"):
        for _ in range(10):
            assert ask(caller, streamed, "hello", headers=chaos(name, "0.5"), retry=policy).text == TEXT


def test_its_delay_passes_the_total_deadline(caller: Caller) -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        caller.chat("hello", headers=chaos("latency", "20000"), timeouts=Timeouts(total_s=0.3))
    assert caught.value.which == "total"
