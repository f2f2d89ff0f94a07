"""Scenarios: what is matched, what is counted, what is refused, and which steps a fault makes of an answer."""

import base64
import json
from typing import Any

import pytest

from barechat.simulator.answers import Pace, choose_answer
from barechat.simulator.dialects import DIALECTS
from barechat.simulator.fault import NO_FAULT, Fault
from barechat.simulator.plan import Close, Stall, Step, Until, Write, plan
from barechat.simulator.request import Request, read_request
from barechat.simulator.scenario import ScenarioError, parse_fault, parse_scenario, parse_toml
from barechat.simulator.script import compose


def request(
    text: str = "Hello.", model: str = "m", key: str = "sk-good", *, stream: bool = False, reused: bool = False
) -> Request:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    body = {"model": model, "stream": stream, "messages": messages}
    return read_request(json.dumps(body).encode(), "/v1/chat/completions", key, reused=reused)


def steps(fault: dict[str, Any], pace: Pace | None = None, *, stream: bool = True, **options: Any) -> list[Step]:
    parsed = parse_fault(fault, "test")
    asked = request(stream=stream)
    outcome = compose(asked, seed=0, created=1, fault=Fault(reply="one two three"))
    answer = choose_answer(asked, outcome, parsed, (pace or Pace()).under(parsed), DIALECTS["openai"])
    return list(plan(answer, parsed, {}, **options))


def wire(taken: list[Step]) -> bytes:
    return b"".join(step.data for step in taken if isinstance(step, Write))


def contents(taken: list[Step]) -> int:
    return sum(step.contents for step in taken if isinstance(step, Write))


def test_times_counts_each_request_and_first_counts_them_all() -> None:
    scenario = parse_scenario({"fault": [{"times": 2, "status": 503}, {"first": 1, "status": 429}]})
    met = [scenario.match(request(text), None).status for text in "aabaabbb"]
    assert met == [503, 503, 503, 429, None, 503, None, None]


def test_faults_of_one_try_each_follow_one_another() -> None:
    scenario = parse_scenario({"fault": [{"times": 1, "status": 429}, {"times": 1, "status": 503}]})
    assert [scenario.match(request(), None).status for _ in range(3)] == [429, 503, None]


def test_a_streamed_retry_is_the_same_request() -> None:
    scenario = parse_scenario({"fault": [{"times": 1, "status": 429}]})
    assert scenario.match(request(stream=False), None).status == 429
    assert scenario.match(request(stream=True), None) is NO_FAULT


@pytest.mark.parametrize(
    ("matcher", "matches"),
    [
        ({"model": "m"}, True),
        ({"model": "mm"}, False),
        ({"key": "sk-g"}, True),
        ({"key": "sk-x"}, False),
        ({"text": "ell"}, True),
        ({"text": "hell"}, False),
        ({"text": "brief"}, True),
        ({"prompt": "^H.l+o[.]$"}, True),
        ({"prompt": "(?i)HELLO"}, True),
        ({"prompt": "brief"}, False),
        ({"stream": False}, True),
        ({"stream": True}, False),
        ({"reused": False}, True),
        ({"reused": True}, False),
        ({"request": request().digest.hex()}, True),
        ({"request": request("Bye.").digest.hex()}, False),
        ({"prompt": "Hello", "stream": True}, False),
    ],
)
def test_a_fault_meets_only_what_it_is_for(matcher: dict[str, Any], matches: bool) -> None:
    fault = parse_scenario({"fault": [{"status": 500, **matcher}]}).match(request(), None)
    assert (fault is not NO_FAULT) is matches


def test_a_fault_can_meet_streams_and_connections_that_have_served_before() -> None:
    assert Fault(stream=True).meets(request(stream=True))
    assert Fault(reused=True).meets(request(reused=True))
    assert Fault(request=request().digest.hex()).meets(request(stream=True))


def test_every_so_many_of_those_that_it_is_for_meet_a_fault() -> None:
    scenario = parse_scenario({"fault": [{"every": 3, "text": "a", "status": 500}]})
    met = [at for at, text in enumerate("aabababbaaa") if scenario.match(request(text), None) is not NO_FAULT]
    assert met == [3, 9]
    few = parse_scenario({"fault": [{"every": 2, "first": 1, "status": 500}]})
    assert [few.match(request(), None).status for _ in range(6)] == [None, 500, None, None, None, None]


def drawn(seed: int, count: int, source: str = "file") -> list[bool]:
    fault = {"probability": 0.25, "status": 500}
    scenario = parse_scenario({"seed": seed, "fault": [fault] if source == "file" else []})
    if source == "added":
        scenario.add(parse_fault(fault, "test"))
    header = json.dumps(fault) if source == "header" else None
    return [scenario.match(request(f"{number}"), header) is not NO_FAULT for number in range(count)]


def test_a_probability_is_the_share_that_it_says_the_same_for_the_same_seed() -> None:
    assert 450 < sum(drawn(1, 2000)) < 550
    assert drawn(1, 2000) == drawn(1, 2000)
    assert drawn(1, 2000) != drawn(2, 2000)


@pytest.mark.parametrize("source", ["added", "header"])
def test_other_faults_than_the_file_s_draw_by_the_seed_too(source: str) -> None:
    assert drawn(1, 100, source) == drawn(1, 100, source)
    assert drawn(1, 100, source) != drawn(2, 100, source)


def test_faults_of_one_probability_draw_each_for_itself() -> None:
    fault = {"probability": 0.5}
    scenario = parse_scenario({"fault": [{**fault, "status": 500}, {**fault, "status": 501}]})
    for status in (502, 503):
        scenario.add(parse_fault({**fault, "status": status}, "test"))
    met = [scenario.match(request(f"{number}"), None).status for number in range(500)]
    assert set(met) == {500, 501, 502, 503, None}


def test_each_try_of_a_request_is_drawn_anew() -> None:
    scenario = parse_scenario({"fault": [{"probability": 0.5, "status": 500}]})
    assert {scenario.match(request(), None).status for _ in range(30)} == {500, None}
    never, ever = ({"probability": share, "status": 500} for share in (0, 1))
    scenario = parse_scenario({"fault": [never, ever]})
    assert {scenario.match(request(), None).status for _ in range(30)} == {500}


def test_the_header_goes_before_added_faults_and_these_before_the_file() -> None:
    scenario = parse_scenario({"fault": [{"status": 500}]})
    scenario.add(parse_fault({"status": 501, "first": 1}, "test"))
    header = '{"status": 502, "times": 1}'
    assert [scenario.match(request(), header).status for _ in range(3)] == [502, 501, 500]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"sead": 1}, "flaky.toml: unknown key `sead`; did you mean `seed`?"),
        ({"fault": [{}, {"satus": 1}]}, "flaky.toml: fault 2: unknown key `satus`; did you mean `status`?"),
        ({"fault": [{"zzz": 1}]}, "the keys are: body, "),
        ({"fault": [{"status": 99}]}, "flaky.toml: fault 1: Expected `int` >= 200 - at `$.status`"),
        ({"fault": [{"times": 0}]}, "$.times"),
        ({"fault": [{"cut_after": True}]}, "$.cut_after"),
        ({"fault": [{"omit": ["everything"]}]}, "$.omit"),
        ({"fault": {"status": 500}}, "$.fault"),
        ({"tokens_per_s": -1}, "$.tokens_per_s"),
        ({"fault": [{"raw": "a", "raw_b64": "YQ=="}]}, "exclude each other"),
        ({"fault": [{"raw_b64": "a"}]}, "is not base64"),
        ({"fault": [{"raw_chunks": [1]}]}, "`raw_chunks` needs `raw` or `raw_b64`"),
        ({"fault": [{"clean": True}]}, "`clean` needs `cut_after`"),
        ({"fault": [{"stall_s": 1}]}, "`stall_s` needs `stall_head` or `stall_after`"),
        ({"fault": [{"comments_s": 1, "stall_head": True}]}, "`comments_s` needs `stall_after`"),
        ({"fault": [{"error": "x"}]}, "`error` needs `error_after`"),
        ({"fault": [{"drip_s": 1}]}, "`drip_s` needs `drip`"),
        ({"fault": [{"headers": {"a": "b\r\nc: d"}}]}, "line break"),
        ({"fault": [{"content_type": "a\nb"}]}, "line break"),
        ({"fault": [{"body": "a", "refuse": "slow_down"}]}, "`body` and `refuse` exclude each other"),
        ({"fault": [{"raw": "a", "events": []}]}, "`raw` and `events` exclude each other"),
        ({"fault": [{"refuse": "nothing"}]}, "`refuse` knows no `nothing`; the codes are: invalid_value, "),
        ({"fault": [{"cut_after": 1, "clean": True, "reset": True}]}, "`clean` and `reset` exclude each other"),
        ({"fault": [{"gzip": True, "stall_after": 1, "comments_s": 1}]}, "`gzip` and `comments_s` exclude"),
        ({"fault": [{"gzip": True, "length_off": 1}]}, "`gzip` and `length_off` exclude each other"),
        ({"fault": [{"until_close": True, "length_off": 1}]}, "`until_close` and `length_off` exclude"),
        ({"fault": [{"then": ["done"]}]}, "`then` needs `cut_after`"),
        ({"fault": [{"reset": True}]}, "`reset` needs `cut_after`"),
        ({"fault": [{"garble": "json"}]}, "`garble` needs `garble_after`"),
        ({"fault": [{"garble_after": 1, "garble": "html"}]}, "$.garble"),
        ({"fault": [{"prompt": "("}]}, "`prompt` is not a regular expression: "),
        ({"fault": [{"probability": 1.5}]}, "$.probability"),
        ({"fault": [{"every": 0}]}, "$.every"),
        ({"fault": [{"tier": "gold"}]}, "$.tier"),
        ({"fault": [{"events": [[-1, "x"]]}]}, "$.events[0][0]"),
        ({"fault": [{"reply": {"contents": "x"}}]}, "$.reply"),
        ({"fault": [{"stall_head": True, "stall_s": float("inf")}]}, "$.stall_s"),
        ({"first_token_s": float("inf")}, "$.first_token_s"),
        ({"first_token_s": float("nan")}, "$.first_token_s"),
        ({"jitter": 1.5}, "$.jitter"),
        ({"dialect": "klingon"}, "flaky.toml: no dialect `klingon`; there are: openai, azure, "),
        ({"load": {"slot": 1}}, "flaky.toml: load: unknown key `slot`; did you mean `slots`?"),
        ({"load": {"slots": 0}}, "flaky.toml: load: Expected `int` >= 1 - at `$.slots`"),
        ({"load": 3}, "$.load"),
        ({"limit": [{}, {"tokens_per_minute": 1}]}, "flaky.toml: limit 2: unknown key `tokens_per_minute`"),
        ({"limit": [{"until_s": 0}]}, "flaky.toml: limit 1: `until_s` is not after `from_s`"),
    ],
)
def test_a_scenario_that_cannot_be_followed_is_refused_by_place_and_key(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(table, "flaky.toml")
    assert words in str(caught.value)


def test_a_file_that_is_no_toml_is_refused_by_name() -> None:
    with pytest.raises(ScenarioError, match=r"^flaky.toml: not TOML: "):
        parse_toml("fault = [", "flaky.toml")


@pytest.mark.parametrize("header", ["", "{", "[]", '"x"', '{"a": 1}', "{'a': 1}"])
def test_a_header_that_cannot_be_followed_is_refused(header: str) -> None:
    with pytest.raises(ScenarioError, match=r"^x-simulate: "):
        parse_scenario({}).match(request(), header)


@pytest.mark.parametrize(
    ("fault", "decision"),
    [
        ({}, "reply"),
        ({"reply": "x"}, "reply"),
        ({"status": 429}, "status 429"),
        ({"name": "busy", "status": 429}, "busy"),
        ({"cut_after": 0}, "cut_after 0"),
        ({"stall_after": 3, "comments_s": 1}, "stall_after 3"),
        ({"reset_before": True}, "reset_before"),
        ({"omit": ["done", "usage"]}, "omit done usage"),
        ({"raw": ""}, "raw"),
        ({"refuse": "slow_down"}, "refuse slow_down"),
        ({"garble_after": 2, "gzip": True}, "garble_after 2"),
        ({"gzip": True}, "gzip"),
        ({"close_after": True}, "close_after"),
        ({"length_off": -1}, "length_off -1"),
        ({"tier": "flex"}, "reply"),
    ],
)
def test_a_fault_has_a_short_name(fault: dict[str, Any], decision: str) -> None:
    assert parse_fault(fault, "test").decision == decision


def test_without_a_fault_everything_is_written_and_the_connection_kept() -> None:
    taken = steps({})
    assert {type(step) for step in taken} == {Write}
    assert contents(taken) == 3
    assert wire(taken).endswith(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 99])
def test_a_cut_strikes_after_so_many_contents_and_never_too_late(count: int) -> None:
    taken = steps({"cut_after": count})
    assert taken[-1] == Close()
    assert contents(taken) == min(count, 3)
    assert b'finish_reason":"' not in wire(taken)
    assert wire(taken).endswith(b"\r\n\r\n" if count == 0 else b"\n\n\r\n")
    clean = steps({"cut_after": count, "clean": True})
    assert wire(clean) == wire(taken) + b"0\r\n\r\n"
    assert Close() not in clean


@pytest.mark.parametrize(("error", "sent"), [(None, "server_error"), ({"code": "mine"}, "mine"), ("text", "text")])
def test_an_error_event_ends_the_stream(error: Any, sent: str) -> None:
    fault = {"error_after": 2} if error is None else {"error_after": 2, "error": error}
    taken = steps(fault)
    assert contents(taken) == 2
    event = json.loads(wire(taken).split(b"data: ")[-1].split(b"\n\n")[0])
    assert sent in json.dumps(event["error"])
    assert wire(taken).endswith(b"\n\n\r\n0\r\n\r\n")


def test_a_stall_sends_nothing_for_a_while_and_goes_on() -> None:
    taken = steps({"stall_after": 2, "stall_s": 5, "comments_s": 1})
    stall = Stall(5, b"e\r\n: keep-alive\n\n\r\n", 1)
    at = taken.index(stall)
    assert contents(taken[:at]) == 2
    assert contents(taken[at:]) == 1
    assert steps({"stall_head": True})[0] == Stall(None)


def test_several_faults_of_one_table_strike_each_at_its_place() -> None:
    taken = steps({"stall_after": 1, "stall_s": 1, "cut_after": 2})
    assert [type(step) for step in taken if not isinstance(step, Write)] == [Stall, Close]
    assert contents(taken) == 2


def test_tokens_are_due_by_the_pace_and_a_whole_reply_when_all_are_said() -> None:
    pace = Pace(first_token_s=1, tokens_per_s=4)
    due = [step.seconds for step in steps({}, pace) if isinstance(step, Until)]
    assert due == [1, 1, 1.25, 1.5]
    assert steps({}, pace, stream=False)[0] == Until(1.75)
    own = [step.seconds for step in steps({"first_token_s": 0, "tokens_per_s": 1}, pace) if isinstance(step, Until)]
    assert own == [0, 0, 1, 2]
    assert not any(isinstance(step, Until) for step in steps({"status": 500}, pace))


@pytest.mark.parametrize("first", [{"raw": "abcdefgh"}, {"raw_b64": base64.b64encode(b"abcdefgh").decode()}])
def test_raw_bytes_are_split_as_told(first: dict[str, Any]) -> None:
    assert wire(steps(first)).endswith(b"\r\n\r\n8\r\nabcdefgh\r\n0\r\n\r\n")
    split = steps({**first, "raw_chunks": [1, 2]})
    assert wire(split).endswith(b"\r\n\r\n1\r\na\r\n2\r\nbc\r\n5\r\ndefgh\r\n0\r\n\r\n")
    until_close = steps({**first, "raw_chunks": [100], "until_close": True})
    assert wire(until_close).endswith(b"connection: close\r\n\r\nabcdefgh")
    assert until_close[-1] == Close()


def test_events_are_due_at_their_own_times_whatever_the_pace() -> None:
    taken = steps({"events": [[0.5, "a"], [0.5, "b"], [2, "c"]]}, Pace(1, 4))
    assert [step.seconds for step in taken if isinstance(step, Until)] == [0.5, 0.5, 2]
    assert contents(taken) == 3
    cut = steps({"events": [[0.5, "a"], [2, "b"]], "cut_after": 1})
    assert [step.seconds for step in cut if isinstance(step, Until)] == [0.5]


def test_a_status_sends_what_it_is_given() -> None:
    head, _, body = wire(steps({"status": 429, "headers": {"Retry-After": 2}})).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"\r\nretry-after: 2\r\n" in head
    assert json.loads(body)["error"]["code"] == "rate_limit_exceeded"
    html = wire(steps({"status": 502, "body": "<html>", "content_type": "text/html"}))
    assert html.endswith(b"\r\n\r\n<html>")
    assert b"content-type: text/html\r\n" in html
    assert wire(steps({"body": {"detail": "no"}})).endswith(b'\r\n\r\n{"detail":"no"}')
    assert wire(steps({"status": 529})).startswith(b"HTTP/1.1 529 \r\n")
    assert b"content-length" not in wire(steps({"status": 204}))


def test_a_whole_reply_is_cut_in_its_middle() -> None:
    full = wire(steps({}, stream=False)).partition(b"\r\n\r\n")[2]
    taken = steps({"cut_after": 1}, stream=False)
    head, _, body = wire(taken).partition(b"\r\n\r\n")
    assert full.startswith(body)
    assert 0 < len(body) < len(full)
    assert f"content-length: {len(full)}".encode() in head
    assert taken[-1] == Close()
    head, _, clean = wire(steps({"cut_after": 1, "clean": True}, stream=False)).partition(b"\r\n\r\n")
    assert clean == body
    assert f"content-length: {len(body)}".encode() in head


def test_an_error_in_a_whole_reply_is_its_body() -> None:
    body = json.loads(wire(steps({"error_after": 1}, stream=False)).partition(b"\r\n\r\n")[2])
    assert body["error"]["type"] == "server_error"


def test_a_client_without_chunks_or_keep_alive_is_answered_until_close() -> None:
    taken = steps({}, chunks=False, keep_alive=False)
    assert b"transfer-encoding" not in wire(taken)
    assert wire(taken).endswith(b"data: [DONE]\n\n")
    assert taken[-1] == Close()


@pytest.mark.parametrize("kind", ["reset", "close"])
def test_nothing_is_written_before_a_reset_or_a_close(kind: str) -> None:
    assert steps({f"{kind}_before": True}) == [Close(reset=kind == "reset")]


def test_a_fault_is_what_its_keys_say() -> None:
    assert Fault().answers_itself is False
    assert [parse_fault({"status": status}, "t").answers_itself for status in (200, 201, 302, 500)] == [
        False,
        False,
        True,
        True,
    ]
