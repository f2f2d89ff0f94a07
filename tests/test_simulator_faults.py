"""Faults over real sockets: what each key does to the bytes and to the connection, and what the log says of it."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest

from barechat.simulator import Record, ScenarioError, Simulator
from barechat.simulator.errors import ERRORS
from simulating import HELLO, METERED, STREAM, TIMEOUT_S, Answer, dial, exchange, post, send

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(clock=lambda: 1_800_000_000.0) as running:  # `created` is the same however long a test takes
        yield running


def only_record(simulator: Simulator) -> Record:
    (record,) = simulator.requests
    return record


def test_a_scenario_file_makes_the_first_tries_fail(tmp_path: Path) -> None:
    file = tmp_path / "flaky.toml"
    file.write_text(
        'seed = 4\n[[fault]]\ntimes = 1\nstatus = 429\nheaders = { retry-after = "1" }\n'
        "[[fault]]\ntimes = 1\nstatus = 503\n",
        "utf-8",
    )
    with Simulator(file) as simulator:
        answers = [post(simulator) for _ in range(3)]
        assert [answer.status for answer in answers] == [429, 503, 200]
        assert answers[0].headers["retry-after"] == "1"
        assert answers[1].json()["error"]["code"] == "server_is_overloaded"
        assert [record["attempt"] for record in simulator.requests] == [1, 2, 3]
    with Simulator(seed=4) as plain:
        assert post(plain).json()["id"] == answers[2].json()["id"]


def test_fail_next_applies_to_the_next_requests_only(simulator: Simulator) -> None:
    simulator.fail_next(status=500)
    simulator.fail_next(2, status=502, body="<html>", content_type="text/html")
    answers = [post(simulator) for _ in range(4)]
    assert [answer.status for answer in answers] == [500, 502, 502, 200]
    assert answers[1].body == b"<html>"
    with pytest.raises(ScenarioError, match="fail_next: unknown key `stauts`"):
        simulator.fail_next(stauts=500)


def test_a_header_that_cannot_be_followed_is_a_400_that_says_so(simulator: Simulator) -> None:
    answer = post(simulator, fault='{"cut_aftr": 1}')
    assert answer.status == 400
    assert "did you mean `cut_after`?" in answer.json()["error"]["message"]


def test_a_scripted_reply_comes_word_for_word(simulator: Simulator) -> None:
    text = "你好 \u2028 \U0001f600 done"
    for body in (HELLO, STREAM):
        answer = post(simulator, body, fault={"reply": text})
        said = answer.text() if body is STREAM else answer.json()["choices"][0]["message"]["content"]
        assert said == text


@pytest.mark.parametrize("is_clean", [False, True])
def test_a_cut_ends_the_stream_after_so_many_chunks(simulator: Simulator, is_clean: bool) -> None:
    answer = post(simulator, STREAM, fault={"cut_after": 3, "clean": is_clean})
    assert answer.is_broken is not is_clean
    assert len(answer.text().split()) == 3
    assert b"[DONE]" not in answer.body
    record = only_record(simulator)
    assert (record["decision"], record["chunks"], record["finish_reason"]) == ("cut_after 3", 3, None)
    assert record["usage"] is not None
    assert record["usage"]["completion_tokens"] == 3


def test_a_whole_reply_is_cut_before_its_length(simulator: Simulator) -> None:
    answer = post(simulator, fault={"cut_after": 1})
    assert answer.is_broken
    assert 0 < len(answer.body) < int(answer.headers["content-length"])


def test_an_error_event_comes_mid_stream(simulator: Simulator) -> None:
    answer = post(simulator, STREAM, fault={"error_after": 2, "error": {"message": "gone", "code": 500}})
    assert not answer.is_broken
    assert answer.events()[-1] == {"error": {"message": "gone", "code": 500}}
    assert len(answer.text().split()) == 2


@pytest.mark.parametrize("omitted", ["done", "usage", "finish_reason"])
def test_a_stream_can_leave_things_out(simulator: Simulator, omitted: str) -> None:
    body = {**STREAM, "stream_options": {"include_usage": True}}
    missing = post(simulator, body, fault={"omit": [omitted]}).events()
    full = post(simulator, body).events()
    assert missing == [
        event for event in full if not (event == "[DONE]" if omitted == "done" else omitted in has(event))
    ]


def has(event: Any) -> set[str]:
    if event == "[DONE]":
        return set()
    found = {"usage"} if event["usage"] else set()
    return found | {"finish_reason" for choice in event["choices"] if choice["finish_reason"]}


def test_a_reset_comes_before_any_answer(simulator: Simulator) -> None:
    with pytest.raises(ConnectionResetError):
        post(simulator, fault={"reset_before": True})
    record = only_record(simulator)
    assert (record["decision"], record["status"], record["hung_up"]) == ("reset_before", None, False)


def test_a_close_comes_before_any_answer(simulator: Simulator) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        post(simulator, fault={"close_before": True})
    assert only_record(simulator)["decision"] == "close_before"


@pytest.mark.parametrize("is_until_close", [False, True])
def test_raw_bytes_come_as_they_are(simulator: Simulator, is_until_close: bool) -> None:
    raw = "data: {not json\r\n\r\n: hm\n\n"
    fault = {"raw": raw, "raw_chunks": [1, 5], "until_close": is_until_close}
    answer = post(simulator, STREAM, fault=fault)
    assert answer.body == raw.encode()
    assert ("transfer-encoding" in answer.headers) is not is_until_close
    assert "content-length" not in answer.headers
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert only_record(simulator)["chunks"] == 3


def test_a_dripped_answer_is_complete(simulator: Simulator) -> None:
    plain, dripped = post(simulator, STREAM), post(simulator, STREAM, fault={"drip": True})
    assert dripped.text() == plain.text()
    assert dripped.events()[-1] == "[DONE]"


def test_a_paced_stream_is_complete() -> None:
    with Simulator(first_token_s=0.001, tokens_per_s=5000) as simulator:
        assert post(simulator, STREAM).text() == post(simulator).json()["choices"][0]["message"]["content"]


def test_a_stall_with_an_end_goes_on(simulator: Simulator) -> None:
    plain = post(simulator, STREAM)
    stalled = post(simulator, STREAM, fault={"stall_after": 2, "stall_s": 0.05, "comments_s": 0.01})
    assert stalled.text() == plain.text()
    assert b"data" in stalled.body.split(b": keep-alive\n\n")[-1]
    assert post(simulator, fault={"stall_head": True, "stall_s": 0.01}).status == 200


# Hanging up -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "body", "chunks", "status"),
    [
        ({"stall_head": True}, STREAM, 0, None),
        ({"stall_after": 0}, STREAM, 0, 200),
        ({"stall_after": 2}, STREAM, 2, 200),
        ({"stall_after": 2, "comments_s": 0.01}, STREAM, 2, 200),
        ({"stall_after": 0}, HELLO, 0, 200),
        ({"first_token_s": 1000}, HELLO, 0, None),
        ({"tokens_per_s": 0.001}, STREAM, 1, 200),
        ({"drip": True, "drip_s": 1000}, STREAM, 0, None),
    ],
)
def test_a_client_that_hangs_up_is_noticed_at_once(
    simulator: Simulator, fault: dict[str, Any], body: dict[str, Any], chunks: int, status: int | None
) -> None:
    with contextlib.closing(dial(simulator)) as connection:
        send(connection, body, fault=fault)
        if status is not None:
            with contextlib.closing(connection.getresponse()) as response:
                seen = b""
                while seen.count(b"data: ") < chunks + (chunks > 0):
                    seen += response.read1()
    (record,) = simulator.wait_for(1)
    assert record["hung_up"] is True
    assert (record["status"], record["chunks"]) == (status, chunks)
    assert record["finish_reason"] is None or body is HELLO


def test_a_client_that_reads_nothing_of_a_long_stream_and_leaves_is_noticed(simulator: Simulator) -> None:
    with contextlib.closing(dial(simulator)) as connection:
        send(connection, STREAM, fault={"tokens": 200_000})
        connection.getresponse().close()
    (record,) = simulator.wait_for(1)
    assert record["hung_up"] is True
    assert 0 < record["chunks"] < 200_000


def test_a_client_that_leaves_before_its_request_is_through_is_noticed(simulator: Simulator) -> None:
    url = urllib.parse.urlsplit(simulator.url)
    with socket.create_connection((url.hostname, url.port), TIMEOUT_S) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
    (record,) = simulator.wait_for(1)
    assert (record["decision"], record["hung_up"]) == ("incomplete request", True)


# Connections that end -------------------------------------------------------------------------------------------------


def test_a_reset_strikes_in_the_middle_of_the_head(simulator: Simulator) -> None:
    got, is_reset = exchange(simulator, fault={"reset_in_head": True})
    assert is_reset
    assert got.startswith(b"HTTP/1.1 200 ")
    assert b"\r\n\r\n" not in got
    assert only_record(simulator)["decision"] == "reset_in_head"


@pytest.mark.parametrize("body", [HELLO, STREAM])
@pytest.mark.parametrize("is_reset", [False, True])
def test_a_cut_closes_or_resets_the_connection(simulator: Simulator, body: dict[str, Any], is_reset: bool) -> None:
    got, was_reset = exchange(simulator, body, fault={"cut_after": 2, "reset": is_reset})
    assert was_reset is is_reset
    assert b"\r\n\r\n" in got
    assert b"[DONE]" not in got
    assert not got.endswith((b"0\r\n\r\n", b"}"))


@pytest.mark.parametrize("body", [HELLO, STREAM])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_connection_is_closed_after_a_whole_answer_though_nothing_said_so(
    simulator: Simulator, body: dict[str, Any], version: str
) -> None:
    got, is_reset = exchange(simulator, body, fault={"close_after": True}, version=version)
    assert not is_reset
    head, _, content = got.partition(b"\r\n\r\n")
    assert (b"connection: close" in head) is (version == "1.0")
    plain = post(simulator, body)
    assert content.endswith(plain.body if version == "1.0" or body is HELLO else b"0\r\n\r\n")


def test_a_connection_can_be_reset_under_the_next_request(simulator: Simulator) -> None:
    simulator.fail_next(reused=True, reset_before=True)
    with contextlib.closing(dial(simulator)) as first, contextlib.closing(dial(simulator)) as other:
        send(first)
        assert Answer(first.getresponse()).status == 200
        send(other)
        assert Answer(other.getresponse()).status == 200
        send(first)
        with pytest.raises(ConnectionResetError):
            first.getresponse()
        send(other)
        assert Answer(other.getresponse()).status == 200
    assert [record["decision"] for record in simulator.requests] == ["reply", "reply", "reset_before", "reply"]


@pytest.mark.parametrize("off", [-30, 30])
@pytest.mark.parametrize("body", [HELLO, STREAM])
def test_a_length_that_lies_is_told_and_the_body_sent_all_the_same(
    simulator: Simulator, body: dict[str, Any], off: int
) -> None:
    plain = post(simulator, body).body
    got, is_reset = exchange(simulator, body, fault={"length_off": off})
    head, _, content = got.partition(b"\r\n\r\n")
    assert not is_reset
    assert content == plain
    assert f"\r\ncontent-length: {len(plain) + off}".encode() in head
    assert b"transfer-encoding" not in head


def test_a_length_is_never_below_nothing(simulator: Simulator) -> None:
    assert b"\r\ncontent-length: 0\r\n" in exchange(simulator, fault={"length_off": -1_000_000})[0]


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("body", [HELLO, STREAM])
def test_nothing_follows_the_head_of_a_status_that_has_no_body(
    simulator: Simulator, body: dict[str, Any], status: int
) -> None:
    for more in ({}, {"body": "but there is one"}, {"gzip": True}, {"length_off": 5}, {"cut_after": 1}):
        got, _ = exchange(simulator, body, fault={"status": status, "close_after": True, **more})
        assert got.startswith(f"HTTP/1.1 {status} ".encode())
        assert got.endswith(b"\r\n\r\n")
        assert got.count(b"\r\n\r\n") == 1


# Ends of a stream -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_clean", [False, True])
@pytest.mark.parametrize("then", [["done"], ["finish_reason"], ["usage"], ["finish_reason", "usage", "done"]])
def test_a_cut_can_be_followed_by_parts_of_the_end(simulator: Simulator, then: list[str], is_clean: bool) -> None:
    answer = post(simulator, METERED, fault={"cut_after": 3, "clean": is_clean, "then": then})
    events = answer.events()
    chunks = [event for event in events if event != "[DONE]"]
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert answer.is_broken is not is_clean
    assert len(answer.text().split()) == 3
    assert (events[-1] == "[DONE]") is ("done" in then)
    assert bool(reasons) is ("finish_reason" in then)
    assert any(chunk["usage"] for chunk in chunks) is ("usage" in then)


def test_both_choices_are_told_the_end_that_follows_a_cut(simulator: Simulator) -> None:
    answer = post(
        simulator, {**STREAM, "n": 2}, fault={"cut_after": 3, "clean": True, "then": ["finish_reason", "done"]}
    )
    choices = [choice for event in answer.events()[:-1] for choice in event["choices"]]
    assert [choice["index"] for choice in choices if choice["finish_reason"]] == [0, 1]


# Bodies that are not as they should be --------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"stall_after": 2, "stall_s": 0.01}, {"until_close": True}, {"drip": True}])
@pytest.mark.parametrize("body", [HELLO, METERED])
def test_a_compressed_body_says_the_same(simulator: Simulator, body: dict[str, Any], more: dict[str, Any]) -> None:
    answer = post(simulator, body, fault={"gzip": True, **more})
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body) == post(simulator, body).body


def test_a_compressed_error_is_an_error(simulator: Simulator) -> None:
    answer = post(simulator, fault={"gzip": True, "status": 503})
    assert json.loads(gzip.decompress(answer.body))["error"]["code"] == "server_is_overloaded"


@pytest.mark.parametrize("garble", ["utf8", "json", "binary"])
def test_garbage_stands_among_the_events_and_within_a_whole_body(simulator: Simulator, garble: str) -> None:
    fault = {"garble_after": 2, "garble": garble}
    plain, garbled = post(simulator, METERED).body, post(simulator, METERED, fault=fault).body
    at = next(at for at, (one, other) in enumerate(zip(plain, garbled, strict=False)) if one != other)
    start, garbage = garbled[:at], garbled[at : at + len(garbled) - len(plain)]
    assert start + garbled[at + len(garbage) :] == plain
    assert start.count(b'"content":"') == 3  # the role's, and two
    whole = post(simulator, fault=fault)
    with pytest.raises((UnicodeDecodeError, json.JSONDecodeError)):
        whole.json()
    assert not whole.is_broken


def test_garbage_can_come_before_everything_and_never_too_late(simulator: Simulator) -> None:
    first = post(simulator, STREAM, fault={"garble_after": 0, "garble": "json"}).body
    last = post(simulator, STREAM, fault={"garble_after": 10_000, "garble": "json"}).body
    assert first.startswith(b'data: {"id":"chatcmpl-0"')
    assert last.endswith(b"data: [DONE]\n\n")
    assert b'"choices":[{"delta":\n\n' in last


# Answers of their own -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("body", [HELLO, STREAM])
def test_every_error_can_be_asked_for_by_its_code(simulator: Simulator, code: str, body: dict[str, Any]) -> None:
    answer = post(simulator, body, fault={"refuse": code})
    error = answer.json()["error"]
    assert (answer.status, error["code"], error["type"]) == (ERRORS[code].status, code, ERRORS[code].type)
    assert only_record(simulator)["decision"] == f"refuse {code}"


def test_a_reply_can_be_a_whole_message(simulator: Simulator) -> None:
    call = {"name": "get_weather", "arguments": {"city": "Rome"}, "id": "call_1"}
    for scripted in ({"tool_calls": [call]}, {"refusal": "No."}, {"content": "I", "finish_reason": "length"}):
        choice = post(simulator, fault={"reply": scripted}).json()["choices"][0]
        message = choice["message"]
        assert message["content"] == scripted.get("content")
        assert message["refusal"] == scripted.get("refusal")
        assert choice["finish_reason"] == (
            "tool_calls" if "tool_calls" in scripted else scripted.get("finish_reason", "stop")
        )
        assert ("tool_calls" in message) is ("tool_calls" in scripted)
    called = post(simulator, fault={"reply": {"tool_calls": [call]}}).json()["choices"][0]["message"]["tool_calls"]
    assert (called[0]["id"], json.loads(called[0]["function"]["arguments"])) == ("call_1", {"city": "Rome"})


def test_another_tier_than_the_one_asked_for_can_be_served(simulator: Simulator) -> None:
    asked = {**STREAM, "service_tier": "priority"}
    assert post(simulator, asked).events()[0]["service_tier"] == "priority"
    assert {event["service_tier"] for event in post(simulator, asked, fault={"tier": "default"}).events()[:-1]} == {
        "default"
    }


def test_events_come_word_for_word(simulator: Simulator) -> None:
    events: list[tuple[float, str]] = [(0, 'data: {"choices": []}\n\n'), (0.01, ": hm\n\ndata: [DO"), (0.02, "NE]\n\n")]
    answer = post(simulator, STREAM, fault={"events": events})
    assert answer.body == "".join(text for _, text in events).encode()
    assert only_record(simulator)["seconds"] >= 0.02


def test_the_record_is_there_when_a_dripped_answer_ends(simulator: Simulator) -> None:
    for count, body in enumerate((HELLO, STREAM) * 10, 1):
        post(simulator, body, fault={"drip": True, "reply": "Hi."})
        assert len(simulator.requests) == count
