"""The guide's seven names do what the guide says of them, over a default client of the environment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests
import urllib3

from barechat import (
    AuthenticationFailed,
    BadRequest,
    BarechatError,
    ConfigurationError,
    CostTracker,
    NotFound,
    Overloaded,
    ProtocolBroken,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    StreamTruncated,
    guide,
)
from support import KEY, MODEL, ByteServer, Sent, chunked, head, piece, whole_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barechat.simulator import Simulator

PAYLOAD = {"model": MODEL, "messages": [{"role": "user", "content": "Hello, sea."}]}
NOW = {"retry-after-ms": "1"}


pytestmark = pytest.mark.usefixtures("default_client")


# call_openai


def test_call_openai_takes_a_dict_and_brings_a_dict() -> None:
    raw = guide.call_openai(PAYLOAD)
    assert raw["choices"][0]["message"]["content"]
    assert raw["usage"]["total_tokens"] > 0


def test_its_tries_are_attempts(simulator: Simulator) -> None:
    simulator.fail_next(5, status=429, headers=NOW)
    with pytest.raises(RuntimeError) as caught:
        guide.call_openai(PAYLOAD, max_retries=1)
    assert isinstance(caught.value, RateLimited)
    assert len(simulator.requests) == 1


@pytest.mark.parametrize(
    ("status", "builtin", "ours"),
    [(400, ValueError, BadRequest), (401, ValueError, AuthenticationFailed), (404, BarechatError, NotFound)],
)
def test_it_raises_what_the_guide_s_code_raised(
    status: int, builtin: type[Exception], ours: type[BarechatError], simulator: Simulator
) -> None:
    simulator.fail_next(status=status)
    with pytest.raises(builtin) as caught:
        guide.call_openai(PAYLOAD)
    assert isinstance(caught.value, ours)


@pytest.mark.parametrize("fault", [{"status": 503}, {"close_before": True}])
def test_running_out_of_tries_is_a_runtime_error_with_all_facts(fault: dict[str, Any], simulator: Simulator) -> None:
    simulator.fail_next(1, **fault)
    with pytest.raises(RuntimeError, match="gave up after 1 attempts") as caught:
        guide.call_openai(PAYLOAD, max_retries=1)
    assert isinstance(caught.value, guide.TriesExhausted)
    assert len(caught.value.attempts) == 1
    assert caught.value.cost is not None
    assert isinstance(caught.value.__cause__, (ServerFailed, ConnectionError))


# handle_response: real responses of three libraries


def by_requests(url: str, headers: dict[str, str]) -> Any:
    return requests.post(url, json=PAYLOAD, headers=headers, timeout=10)


def by_httpx(url: str, headers: dict[str, str]) -> Any:
    return httpx.post(url, json=PAYLOAD, headers=headers, timeout=10)


def by_urllib3(url: str, headers: dict[str, str]) -> Any:
    with urllib3.PoolManager() as pool:
        return pool.request("POST", url, json=PAYLOAD, headers=headers, retries=False)


POSTS = [by_requests, by_httpx, by_urllib3]


@pytest.mark.parametrize("post", POSTS)
def test_handle_response_reads_the_responses_of_others(post: Callable[..., Any], simulator: Simulator) -> None:
    url, headers = f"{simulator.url}/chat/completions", {"Authorization": f"Bearer {KEY}"}
    assert guide.handle_response(post(url, headers))["choices"]
    for status, kind, builtin in (
        (400, BadRequest, ValueError),
        (401, AuthenticationFailed, ValueError),
        (429, RateLimited, RuntimeError),
        (503, Overloaded, ConnectionError),
    ):
        simulator.fail_next(status=status, headers={"retry-after": "7"})
        with pytest.raises(builtin) as caught:
            guide.handle_response(post(url, headers))
        assert isinstance(caught.value, kind)
        assert (caught.value.status, caught.value.retry_after_s) == (status, 7)
        assert (caught.value.request_id or "").startswith("req_")
    simulator.fail_next(body="<html></html>")
    with pytest.raises(ProtocolBroken):
        guide.handle_response(post(url, headers))


# robust_chat


def test_robust_chat_returns_the_text_and_counts_the_cost(capsys: pytest.CaptureFixture[str]) -> None:
    tracker = CostTracker()
    text = guide.robust_chat(PAYLOAD["messages"], cost_tracker=tracker, temperature=0)  # type: ignore[arg-type]
    assert text
    assert (tracker.call_count, tracker.total_cost > 0) == (1, True)
    assert capsys.readouterr().out == ""


def test_it_prints_a_stream_as_it_comes_and_returns_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    tracker = CostTracker()
    text = guide.robust_chat("Hello, sea.", stream=True, cost_tracker=tracker)
    assert capsys.readouterr().out == f"{text}\n"
    assert tracker.total_output_tokens > 0
    assert text == guide.robust_chat("Hello, sea.")


@pytest.mark.parametrize("stream", [False, True])
def test_it_tries_again(stream: bool, simulator: Simulator) -> None:
    simulator.fail_next(2, status=429, headers=NOW)
    assert guide.robust_chat("Hello", stream=stream)
    assert len(simulator.requests) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_its_failures_count_what_they_may_have_cost(stream: bool, simulator: Simulator) -> None:
    tracker = CostTracker()
    simulator.fail_next(close_before=True)
    with pytest.raises(RuntimeError):
        guide.robust_chat("Hello", stream=stream, max_retries=1, cost_tracker=tracker)
    assert tracker.by_certainty["bound"].picodollars
    simulator.fail_next(status=400)
    with pytest.raises(ValueError, match="400"):
        guide.robust_chat("Hello", stream=stream, cost_tracker=tracker)
    assert tracker.call_count == 1


def test_it_works_without_a_tracker(simulator: Simulator) -> None:
    simulator.fail_next(status=400)
    with pytest.raises(ValueError, match="400"):
        guide.robust_chat("Hello")


# CostTracker


def test_cost_tracker_is_the_guide_s(capsys: pytest.CaptureFixture[str]) -> None:
    tracker = guide.CostTracker()
    raw = guide.call_openai(PAYLOAD)
    assert tracker.calculate(raw).picodollars == (
        raw["usage"]["prompt_tokens"] * 150_000 + raw["usage"]["completion_tokens"] * 600_000
    )
    tracker.summary()
    printed = capsys.readouterr().out
    assert f"input tokens   {tracker.total_input_tokens:,}" in printed
    assert tracker.total_output_tokens == raw["usage"]["completion_tokens"]
    assert tracker.call_count == 1


# ChatSession


def test_chat_session_talks_and_reports(capsys: pytest.CaptureFixture[str], simulator: Simulator) -> None:
    session = guide.ChatSession("Be brief.", max_history=2)
    first = session.send("Hello")
    second = session.send("And then?", stream=True, temperature=0)
    assert capsys.readouterr().out == f"{second}\n"
    assert [message["content"] for message in session.messages] == ["Be brief.", "And then?", second]
    assert first != second
    session.cost_report()
    assert "calls          2" in capsys.readouterr().out


@pytest.mark.parametrize("stream", [False, True])
def test_its_failed_send_is_a_runtime_error_and_forgotten(stream: bool, byte_server: ByteServer) -> None:
    byte_server.answer(head("Content-Length: 2", status="501 Not Implemented"), b"{}")
    session = guide.ChatSession("Be brief.")
    session._client = type(guide.default_client())(KEY, byte_server.url)
    with pytest.raises(RuntimeError, match="gave up"):
        session.send("Hello", stream=stream)
    assert len(session.messages) == 1
    session._client.close()


# estimate_cost


@pytest.mark.parametrize(
    ("model", "prompt", "completion", "usd"),
    [
        ("gpt-4o-mini", 1_000_000, 1_000_000, 0.75),
        ("gpt-4o", 1000, 500, 0.0075),
        ("gpt-4o-mini-2024-07-18", 1_000_000, 0, 0.15),
        ("no-such-model", 1000, 1000, 0.0),
        ("gpt-4o-mini", 0, 0, 0.0),
    ],
)
def test_estimate_cost_is_a_float_of_dollars(model: str, prompt: int, completion: int, usd: float) -> None:
    found = guide.estimate_cost(model, prompt, completion)
    assert isinstance(found, float)
    assert found == usd


# count_streamed_tokens


def lines(*chunks: dict[str, Any]) -> list[str]:
    return [line for chunk in chunks for line in (f"data: {json.dumps(chunk)}", "")]


def delta(content: str | None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content} if content is not None else {}}]}


def test_count_streamed_tokens_counts_pieces_or_takes_the_server_s_count() -> None:
    pieces = lines(delta(""), delta("a"), delta("b"), delta(None))
    assert guide.count_streamed_tokens([*pieces, "data: [DONE]", *lines(delta("c"))]) == 2
    counted = lines({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 7}})
    assert guide.count_streamed_tokens([*pieces, *counted, "data: [DONE]"]) == 7
    assert guide.count_streamed_tokens([]) == 0


def test_it_takes_bytes_and_passes_over_what_is_no_data() -> None:
    odd = [b": hi", b"event: message", b"data:", b"id: 5", b"", *(line.encode() for line in lines(delta("a")))]
    assert guide.count_streamed_tokens(odd) == 1


def test_it_reads_a_real_stream_of_another_library(simulator: Simulator) -> None:
    response = requests.post(
        f"{simulator.url}/chat/completions",
        json={**PAYLOAD, "stream": True, "stream_options": {"include_usage": True}},
        headers={"Authorization": f"Bearer {KEY}"},
        stream=True,
        timeout=10,
    )
    assert (
        guide.count_streamed_tokens(response.iter_lines()) == guide.call_openai(PAYLOAD)["usage"]["completion_tokens"]
    )


def test_a_line_that_is_broken_is_said() -> None:
    with pytest.raises(ProtocolBroken):
        guide.count_streamed_tokens(["data: {broken"])
    with pytest.raises(ProtocolBroken, match="not UTF-8"):
        guide.count_streamed_tokens([b'data: {"choices": []}', b"data: \xff"])


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": [None, 1, "x", []]},
        {"choices": {"delta": {"content": "x"}}},
        {"choices": 5},
        {"choices": [{"delta": None}, {"delta": "x"}, {"delta": [1]}, {}]},
        {"choices": None, "usage": []},
    ],
)
def test_a_chunk_of_another_shape_adds_nothing_and_stops_nothing(odd: dict[str, Any]) -> None:
    assert guide.count_streamed_tokens(lines(delta("a"), odd, delta("b"))) == 2


def test_done_ends_the_count_before_the_next_line_is_asked_for() -> None:
    def still_open() -> Iterator[str]:
        yield from [*lines(delta("a")), "data: [DONE]"]
        pytest.fail("a server may keep the connection open")

    assert guide.count_streamed_tokens(still_open()) == 1


def test_what_follows_no_data_is_no_piece_of_any() -> None:
    assert guide.count_streamed_tokens(["hello", *lines(delta("a")), ": hi", "hello"]) == 1


# The default client


def test_the_default_client_is_made_once_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    guide.default_client().close()
    assert guide.default_client() is guide.default_client()
    guide.robust_chat("Hello")
    assert simulator.requests[0]["key"] == "sk-***ef"
    guide.default_client.cache_clear()
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        guide.robust_chat("Hello")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_out_of_quota_is_raised_at_once(simulator: Simulator) -> None:
    simulator.fail_next(status=429, body={"error": {"message": "m", "code": "insufficient_quota"}})
    with pytest.raises(RuntimeError) as caught:
        guide.call_openai(PAYLOAD)
    assert isinstance(caught.value, QuotaExhausted)


def test_a_stream_cut_half_way_is_a_runtime_error_with_what_came(byte_server: ByteServer) -> None:
    byte_server.answers.append(
        Sent([head("Transfer-Encoding: chunked", kind="text/event-stream"), *chunked([piece("Hi")])[:-1]])
    )
    session = guide.ChatSession("Be brief.")
    session._client = type(guide.default_client())(KEY, byte_server.url)
    with pytest.raises(RuntimeError) as caught:
        session.send("Hello", stream=True)
    assert isinstance(caught.value.__cause__, StreamTruncated)
    assert isinstance(caught.value, BarechatError)
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Hi"
    session._client.close()


def test_whole_bodies_are_the_byte_server_s(byte_server: ByteServer) -> None:
    body = whole_body()
    byte_server.answer(head(f"Content-Length: {len(body)}"), body)
    assert guide.handle_response(by_requests(byte_server.url, {}))["id"] == "chatcmpl-1"
