"""The ten faults of the hand-typed version, each with a test that would fail on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests

from barechat import BarechatError, Client, CostTracker, StreamTruncated, guide
from barechat.wire.retry import RetryPolicy
from support import DONE, KEY, MODEL, ByteServer, head, piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barechat.simulator import Simulator

NOW = {"retry-after-ms": "1"}


pytestmark = pytest.mark.usefixtures("default_client")


def test_1_a_mini_is_not_billed_as_its_big_sister() -> None:
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000}
    cost = guide.CostTracker().calculate({"model": "gpt-4o-mini-2024-07-18", "usage": usage})
    assert str(cost.usd) == "0.15"  # not gpt-4o's 2.5
    assert guide.estimate_cost("gpt-4o-mini-2024-07-18", 1_000_000, 0) == 0.15


def test_2_the_usage_chunk_without_choices_ends_no_stream(capsys: pytest.CaptureFixture[str]) -> None:
    tracker = CostTracker()
    assert guide.robust_chat("Hello", stream=True, cost_tracker=tracker)
    assert tracker.total_output_tokens > 0
    usage: dict[str, Any] = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 5}}
    assert guide.count_streamed_tokens([f"data: {json.dumps(usage)}"]) == 5


@pytest.mark.parametrize("status", [403, 404, 422])
def test_3_a_status_off_the_short_list_is_an_error_and_raised_once(status: int, simulator: Simulator) -> None:
    simulator.fail_next(status=status)
    with pytest.raises(BarechatError) as caught:
        guide.call_openai({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]})
    assert caught.value.status == status
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("status", [502, 504, 529])
def test_3_and_one_that_may_pass_is_tried_again_after_a_pause(status: int, simulator: Simulator) -> None:
    simulator.fail_next(status=status, headers=NOW)
    assert guide.robust_chat("Hello")
    assert len(simulator.requests) == 2
    simulator.fail_next(status=status)
    with Client(KEY, simulator.url, retry=RetryPolicy(base_s=0.01)) as client:
        delay_s = client.chat("Hello", model=MODEL).attempts[0].delay_s
    assert delay_s is not None
    assert delay_s > 0


def test_4_an_error_body_that_is_not_json_is_read_all_the_same(simulator: Simulator) -> None:
    simulator.fail_next(2, status=400, body="<html><body><h1>Request blocked by proxy</h1></body></html>")
    with pytest.raises(ValueError, match="Request blocked by proxy"):
        guide.robust_chat("Hello")
    response = requests.post(f"{simulator.url}/chat/completions", json={}, timeout=10)
    with pytest.raises(ValueError, match="Request blocked by proxy"):
        guide.handle_response(response)


def test_5_an_exhausted_quota_is_not_tried_again(simulator: Simulator) -> None:
    simulator.fail_next(5, status=429, body={"error": {"message": "No credit", "type": "insufficient_quota"}})
    with pytest.raises(RuntimeError, match="No credit"):
        guide.robust_chat("Hello")
    assert len(simulator.requests) == 1


def test_6_a_read_timeout_is_paused_after_and_its_cost_is_told(simulator: Simulator) -> None:
    simulator.fail_next(stall_head=True)
    policy = RetryPolicy(base_s=0.01, resend_after_timeout=True, attempt_s=0.1)
    with Client(KEY, simulator.url, retry=policy) as client:
        reply = client.chat("Hello", model=MODEL)
    lost = reply.attempts[0]
    assert lost.delay_s is not None
    assert lost.delay_s > 0
    assert (lost.cost.certainty, reply.cost.certainty) == ("bound", "bound")
    assert (lost.cost.picodollars or 0) > 0
    assert guide._policy(3).resend_after_timeout
    assert guide._policy(3).attempt_s == guide._TIMEOUTS.first_byte_s == 60


def test_7_a_failed_send_is_not_in_the_history_and_trimming_leaves_no_orphan(simulator: Simulator) -> None:
    session = guide.ChatSession("Be brief.", max_history=3)
    simulator.fail_next(status=400)
    with pytest.raises(ValueError, match="400"):
        session.send("Lost")
    assert [message["role"] for message in session.messages] == ["system"]
    for number in range(4):
        session.send(f"Question {number}")
        assert session.messages[1]["role"] == "user"


def test_8_an_unknown_model_is_unpriced_and_in_the_totals(capsys: pytest.CaptureFixture[str]) -> None:
    tracker = guide.CostTracker()
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
    cost = tracker.calculate({"model": "mystery-9", "usage": usage})
    assert (cost.usd, cost.certainty) == (None, "unpriced")
    assert (tracker.call_count, tracker.unpriced_calls, tracker.total_input_tokens) == (1, 1, 10)
    tracker.summary()
    assert "unpriced       1 call" in capsys.readouterr().out


def test_9_a_stream_cut_half_way_is_no_whole_answer_and_has_its_cost(
    simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = CostTracker()
    simulator.fail_next(cut_after=3)
    with pytest.raises(RuntimeError) as caught:
        guide.robust_chat("Hello", stream=True, cost_tracker=tracker)
    assert isinstance(caught.value.__cause__, StreamTruncated)
    assert tracker.total_cost > 0


def test_10_a_line_separator_of_unicode_stays_in_the_text(
    simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "one\u2028two\u0085three"
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}]}
    raw = f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" + (piece(finish_reason="stop") + DONE).decode()
    simulator.fail_next(raw=raw)
    assert guide.robust_chat("Hello", stream=True) == text


def by_httpx(url: str) -> Iterator[str]:
    with httpx.stream("POST", url, json={}, timeout=10) as response:
        yield from response.iter_lines()


def by_requests(url: str) -> Iterator[str]:
    with requests.post(url, json={}, stream=True, timeout=10) as response:
        yield from response.iter_lines(decode_unicode=True)


@pytest.mark.parametrize("read", [by_httpx, by_requests])
@pytest.mark.parametrize("charset", ["", "; charset=utf-8"])  # without one, requests takes text for Latin-1
@pytest.mark.parametrize(
    "text",
    [
        "one\u2028two",
        "one\u2028\u2028two",
        "\u2029",
        "one\u0085two \u2028",
        "a\u2028b\u2029c\u0085d: e",
        "\u00c5 \u2026",
    ],
    ids=ascii,
)
def test_10_a_line_that_another_library_split_there_is_counted_whole(
    text: str, charset: str, read: Callable[[str], Iterator[str]], byte_server: ByteServer
) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}]}
    raw = f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()
    body = raw + piece("then") + raw + piece(finish_reason="stop") + DONE
    byte_server.answer(head(kind=f"text/event-stream{charset}"), body)
    assert guide.count_streamed_tokens(read(byte_server.url)) == 3
