"""Files of replies: which line is a request's, whose turn it is, what is refused, and how an answer becomes a line."""

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.simulator.replies import Recorded, describe, parse_replies, split_events
from barechat.simulator.request import Request, read_request
from barechat.simulator.scenario import ScenarioError, parse_fault

KEY = "sk-test/0123456789"


def request(text: str = "Hello.", model: str = "m", *, stream: bool = False, key: str = KEY) -> Request:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
    return read_request(json.dumps(body).encode(), "/v1/chat/completions", key)


def lines(*tables: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(table)}\n" for table in tables)


def taken(text: str, *asked: Request) -> list[Any]:
    replies = parse_replies(text, "replies.jsonl")
    found = [replies.take(one) for one in asked]
    return [None if fault is None else fault.reply for fault in found]


def test_lines_with_the_same_match_keys_are_taken_in_turn_and_the_last_one_stays() -> None:
    text = lines({"reply": "one"}, {"reply": "two"}, {"reply": "three"})
    assert taken(text, *[request(letter) for letter in "abcde"]) == ["one", "two", "three", "three", "three"]


def test_lines_take_turns_though_others_stand_between_them() -> None:
    text = lines({"text": "a", "reply": "a1"}, {"text": "b", "reply": "b1"}, {"text": "a", "reply": "a2"})
    assert taken(text, *[request(letter) for letter in "abaab"]) == ["a1", "b1", "a2", "a2", "b1"]


def test_of_different_match_keys_the_first_in_the_file_goes_first() -> None:
    digest = request("sea").digest.hex()
    anyone, named = {"reply": "anyone"}, {"request": digest, "reply": "named"}
    assert taken(lines(named, anyone), request("sea"), request("sky")) == ["named", "anyone"]
    assert taken(lines(anyone, named), request("sea"), request("sky")) == ["anyone", "anyone"]


def test_a_line_that_is_not_met_is_not_used_up() -> None:
    text = lines({"prompt": "^sea$", "reply": "one"}, {"prompt": "^sea$", "reply": "two"})
    assert taken(text, request("sky"), request("sea"), request("sky"), request("sea")) == [None, "one", None, "two"]


@pytest.mark.parametrize(
    ("match", "meets"),
    [
        ({"model": "m"}, True),
        ({"model": "other"}, False),
        ({"key": "sk-test"}, True),
        ({"key": "sk-other"}, False),
        ({"text": "ell"}, True),
        ({"prompt": "^H.+o[.]$"}, True),
        ({"prompt": "^ello"}, False),
        ({"stream": False}, True),
        ({"stream": True}, False),
        ({"reused": False}, True),
        ({"reused": True}, False),
        ({"request": request("Hello.").digest.hex()}, True),
        ({"request": request("Bye.").digest.hex()}, False),
        ({"request": request("Hello.").digest.hex(), "stream": True}, False),
    ],
)
def test_a_line_meets_only_what_it_is_for(match: dict[str, Any], meets: bool) -> None:
    assert taken(lines({**match, "reply": "yes"}), request("Hello.")) == ["yes" if meets else None]


def test_a_streamed_request_and_its_whole_twin_have_turns_of_their_own() -> None:
    text = lines({"stream": True, "reply": "streamed"}, {"stream": False, "reply": "whole"})
    assert taken(text, request(stream=False), request(stream=True)) == ["whole", "streamed"]


def test_blank_lines_and_comments_are_passed_over() -> None:
    text = f'\n# first\n  \t\r\n{json.dumps({"reply": "one"})}\r\n#{{"reply": "no"}}\n'
    assert taken(text, request(), request()) == ["one", "one"]


def test_line_separators_inside_a_text_end_no_line() -> None:
    text = json.dumps({"reply": "a\u2028b\x85c\x0bd"}, ensure_ascii=False).replace("\\u000b", "\u2029")
    assert taken(text, request()) == ["a\u2028b\x85c\u2029d"]


def test_a_file_without_lines_has_no_reply() -> None:
    assert taken("\n# nothing yet\n", request()) == [None]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "replies.jsonl: line 3: not JSON: "),
        ("[" * 100_000, "replies.jsonl: line 3: not JSON: "),
        ("[]", "replies.jsonl: line 3: not a JSON object"),
        ('{"replay": "x"}', "replies.jsonl: line 3: unknown key `replay`; did you mean `reply`?"),
        ('{"status": 99}', "replies.jsonl: line 3: Expected `int` >= 200 - at `$.status`"),
        ('{"times": 1, "reply": "x"}', "line 3: `times` has no place among replies: lines with the same match keys"),
        ('{"first": 1, "reply": "x"}', "line 3: `first` has no place among replies"),
        ('{"every": 2, "reply": "x"}', "line 3: `every` has no place among replies"),
        ('{"probability": 1, "reply": "x"}', "line 3: `probability` has no place among replies"),
    ],
)
def test_a_line_that_cannot_be_followed_is_refused_by_place_and_key(line: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_replies(f'{{"reply": "fine"}}\n# a comment\n{line}\n', "replies.jsonl")
    assert words in str(caught.value)


def recorded(*parts: bytes, kind: str | None = "application/json", **facts: Any) -> Recorded:
    timed = [(0.25 * number, part) for number, part in enumerate(parts, 1)]
    return Recorded(status=200, headers=[], content_type=kind, parts=timed, is_through=True, ended_s=1.00049, **facts)


def test_a_line_says_which_request_it_is_for() -> None:
    line = describe(request("Is 2 > 1? (Yes.)", stream=True), recorded(b"{}"))
    assert line["request"] == request("Is 2 > 1? (Yes.)").digest.hex()
    assert line["prompt"] == r"^Is 2 > 1\? \(Yes\.\)$"
    assert (line["model"], line["stream"], line["status"]) == ("m", True, 200)


@pytest.mark.parametrize(
    "prompt", ["a", "\\d", "[a-z]{2}|^$", "two\nlines\r\n", "* + ?", "\U0001f600 #", "." * 200, ".*" * 900]
)
def test_a_line_meets_the_request_it_was_made_of_and_no_other_prompt(prompt: str) -> None:
    line = describe(request(prompt), recorded(b"{}"))
    assert parse_fault(line, "test").meets(request(prompt))
    assert re.search(line["prompt"], f"x{prompt}") is None
    assert len(line["prompt"]) <= 402


def test_a_long_prompt_is_told_by_its_beginning() -> None:
    line = describe(request("a" * 201), recorded(b"{}"))
    assert line["prompt"] == "^" + "a" * 200


def test_a_request_without_a_prompt_or_a_model_is_told_by_its_digest() -> None:
    line = describe(read_request(b"no JSON", "/v1/chat/completions"), recorded(b"{}"))
    assert list(line)[:3] == ["request", "stream", "status"]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"a":[1,2.5,null]}', {"a": [1, 2.5, None]}),
        (b'{"a": 1}', '{"a": 1}'),
        (b'{\n  "a": "\\u00e9"\n}', '{\n  "a": "\\u00e9"\n}'),
        (b'{"a":1,"a":2}', '{"a":1,"a":2}'),
        (b"[1]", "[1]"),
        (b"<html>", "<html>"),
        (b"", ""),
        (b"{" * 100_000, "{" * 100_000),
    ],
)
def test_a_body_is_a_table_when_that_gives_the_same_bytes_again(body: bytes, kept: Any) -> None:
    line = describe(request(), recorded(body))
    assert line["body"] == kept
    assert (line["content_type"], line["first_token_s"]) == ("application/json", 1.0)


def test_a_body_that_is_no_text_is_kept_in_base64() -> None:
    assert describe(request(), recorded(b"\xff", b"\x00"))["raw_b64"] == "/wA="


def test_a_cut_comes_after_the_last_byte() -> None:
    assert {"raw": '{"a', "cut_after": 1}.items() <= describe(request(), recorded(b'{"a', is_cut=True)).items()
    assert {"raw_b64": "/w==", "cut_after": 1}.items() <= describe(request(), recorded(b"\xff", is_cut=True)).items()
    events = describe(request(), recorded(b"data: 1\n\ndata:", kind="text/event-stream", is_cut=True))
    assert (events["events"], events["cut_after"]) == ([(0.25, "data: 1\n\n"), (0.25, "data:")], 2)


def test_headers_worth_keeping_are_kept_and_others_are_not() -> None:
    kept = {
        "x-request-id": "req_1",
        "x-ratelimit-remaining-requests": "9",
        "retry-after-ms": "20",
        "openai-processing-ms": "3",
        "apim-request-id": "1",
        "x-ms-region": "Sweden",
        "x-should-retry": "true",
    }
    dropped = {"set-cookie": "a=b", "date": "now", "authorization": "x", "content-length": "2", "server": "s"}
    answer = Recorded(status=200, headers=[(name.title(), value) for name, value in (kept | dropped).items()])
    assert describe(request(), answer)["headers"] == kept


def test_a_header_sent_twice_is_joined() -> None:
    answer = Recorded(status=200, headers=[("Retry-After", "1"), ("retry-after", "2")])
    assert describe(request(), answer)["headers"] == {"retry-after": "1, 2"}


@pytest.mark.parametrize(
    "parts",
    [
        [b'{"key":"sk-test/0123456789"}'],
        [b'{"key":"sk-test', b'/0123456789"}'],
        [b'{"key": "sk-test\\/0123456789"}'],
        [b"\xff sk-test/0123456789"],
        [b'data: "sk-test/01', b'23456789"\n\n', b": sk-test/0123456789\n\n"],
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream; a=sk-test/0123456789"])
def test_the_key_is_nowhere_in_a_line(parts: list[bytes], kind: str) -> None:
    answer = recorded(*parts, kind=kind)
    answer.headers = [("x-request-id", f"for {KEY}")]
    line = describe(request(f"My key is {KEY}.", model=f"m-{KEY}"), answer, ["", KEY])
    assert "0123456789" not in json.dumps(line)
    assert line["headers"] == {"x-request-id": "for sk-***"}
    assert not {"prompt", "model"} & line.keys()
    fault = parse_fault(line, "test")
    played = fault.raw_bytes or json.dumps(fault.body if fault.events is None else fault.events).encode()
    assert b"sk-***" in played


def test_a_placeholder_for_a_key_is_left_where_it_stands() -> None:
    line = describe(request("Is this a test?"), recorded(b'{"a":"A test."}'), ["test", "none"])
    assert (line["prompt"], line["body"]) == (r"^Is this a test\?$", {"a": "A test."})


STREAM = b"data: 1\n\n: ping\r\n\r\ndata: 2\r\rdata: \xc3\xa9\r\n\nid: 3\n\r\n\n\nevent: x\ndata: 4"
EVENTS = ["data: 1\n\n", ": ping\r\n\r\n", "data: 2\r\r", "data: é\r\n\n", "id: 3\n\r\n", "\n\n", "event: x\ndata: 4"]


def test_events_end_at_blank_lines_of_any_kind() -> None:
    assert [event.decode() for _, event in split_events([(1.0, STREAM)])] == EVENTS


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_however_a_stream_comes_its_events_are_the_same_and_each_has_the_time_of_its_last_byte(at: list[int]) -> None:
    bounds = [0, *at, len(STREAM)]
    parts = [(float(end), STREAM[start:end]) for start, end in itertools.pairwise(bounds)]
    found = list(split_events(parts))
    assert [event.decode() for _, event in found] == EVENTS
    end = 0
    for seconds, event in found:
        end += len(event)
        assert seconds == min(bound for bound in bounds if bound >= end)


def test_a_stream_without_a_byte_has_no_event() -> None:
    assert list(split_events([])) == list(split_events([(1.0, b"")])) == []


@pytest.mark.parametrize(
    ("body", "facts", "is_complete"),
    [
        (b"data: 1\n\n", {"is_through": True}, True),
        (b"data: 1\n\n", {"is_cut": True}, True),
        (b"data: 1\n\n", {}, False),
        (b"data: 1\n\ndata: [DONE]\n\n", {}, True),
        (b"data:[DONE]\r\n", {}, True),
        (b"data: [DON", {}, False),
    ],
)
def test_an_answer_is_complete_once_all_was_said(body: bytes, facts: dict[str, bool], is_complete: bool) -> None:
    answer = Recorded(status=200, headers=[], content_type="text/event-stream", parts=[(0.0, body)], **facts)
    assert answer.is_complete is is_complete
