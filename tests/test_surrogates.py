"""barechat.wire.surrogates: halves of characters find their other halves, or are replaced."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.errors import BadRequest, ProtocolBroken
from barechat.wire.faults import read_error
from barechat.wire.reply import read_whole
from barechat.wire.surrogates import Halves, decode
from folding import assert_deltas_are_the_reply, call, calls_of, choice, message, take
from support import DONE, ByteServer, Connect, head

HIGH, LOW, LOST = "\ud83d", "\ude00", "\ufffd"  # the halves of 😀, and what stands for a half alone


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (r'"\ud83d\ude00"', "😀"),
        (r'"\ud83d"', LOST),
        (r'"\uDE00"', LOST),
        (r'"\ude00\ud83d"', LOST * 2),
        (r'"\ud83d\ud83d\ude00"', LOST + "😀"),
        (r'"\ud83d\u0041"', LOST + "A"),
        (r'{"\ud83d":["a\ud83d",1,null,"\ude00b"]}', {LOST: ["a" + LOST, 1, None, LOST + "b"]}),
        (r'"\\ud83d"', r"\ud83d"),
    ],
)
def test_halves_that_stay_alone_are_replaced_and_nothing_else_is(text: str, wanted: Any) -> None:
    assert decode(text) == decode(text.encode()) == wanted


@pytest.mark.parametrize(
    "text",
    [
        r'["\ud83d"',
        r'["\ud83d", NaN]',
        r'["\ud83d", -Infinity]',
        r'["\ud83d", ' + "1" * 5000 + "]",
        r'["\ud83d"' + ", [" * 5000,
        '["\\ud83d", "\n"]',
        r'["\ud83d" "a"]',
        b'["\\ud83d", "\xff"]',
    ],
)
def test_a_half_excuses_no_other_fault(text: str | bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeError, RecursionError)):
        decode(text)


def test_what_names_no_half_is_refused_as_before() -> None:
    for text in ("{", "nope", r'"\ud7ff'):
        with pytest.raises(msgspec.DecodeError):
            decode(text)


def test_halves_in_two_events_are_one_character_in_every_text() -> None:
    for name in ("content", "refusal", "reasoning_content", "reasoning"):
        folded, deltas = take(*(choice({name: text}) for text in ("a" + HIGH, LOW + "b", "c")))
        told = [delta.content or delta.refusal or delta.reasoning for delta in deltas]
        assert told == ["a", "😀b", "c"]
        assert message(folded)["reasoning_content" if name == "reasoning" else name] == "a😀bc"


def test_a_half_waits_through_events_that_bring_no_more_of_its_text() -> None:
    folded, deltas = take(
        choice({"content": HIGH}),
        choice({"content": ""}),
        choice({"refusal": "no"}),
        choice({"content": HIGH}, index=1),
        {"choices": [], "usage": {}},
        choice({"content": LOW}),
        choice({"content": LOW}, index=1),
    )
    assert [(delta.index, delta.content) for delta in deltas if delta.content] == [(0, "😀"), (1, "😀")]
    assert_deltas_are_the_reply(deltas, folded)


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        ([choice({"content": HIGH}), choice({"content": "b"})], LOST + "b"),
        ([choice({"content": HIGH}), choice({"content": HIGH + LOW})], LOST + "😀"),
        ([choice({"content": LOW}), choice({"content": "b"})], LOST + "b"),
        ([choice({"content": "a" + HIGH}), choice({}, finish_reason="stop")], "a" + LOST),
        ([choice({"content": "a" + HIGH}), choice(None, finish_reason="stop")], "a" + LOST),
        ([choice({"content": "a" + HIGH}), choice({"content": None}, finish_reason="stop")], "a" + LOST),
        ([choice({"content": "a" + HIGH}), choice({"content": LOW}, finish_reason="stop")], "a😀"),
        ([choice({"content": "a" + HIGH}, finish_reason="stop")], "a" + LOST),
        ([choice({"content": "a" + HIGH}), {"choices": [{"index": 0, "finish_reason": "stop"}]}], "a" + LOST),
        ([choice({"content": "a" + HIGH})], "a"),
    ],
)
def test_a_half_whose_other_half_never_comes_is_replaced_before_what_follows(events: list[Any], wanted: str) -> None:
    folded, deltas = take(*events)
    assert folded.fault is None
    assert "".join(delta.content or "" for delta in deltas) == message(folded)["content"] == wanted


def test_halves_in_a_call_s_arguments_are_joined_too() -> None:
    folded, deltas = take(
        call({"index": 0, "id": "1", "function": {"name": "f", "arguments": '{"a":"' + HIGH}}),
        call({"index": 1, "id": "2", "type": "custom", "custom": {"name": "g", "input": HIGH}}),
        call({"index": 0, "function": {"arguments": LOW + '"}'}}, {"index": 1, "custom": {"input": LOW}}),
    )
    assert calls_of(folded) == [("1", "f", '{"a":"😀"}'), ("2", "g", "😀")]
    assert_deltas_are_the_reply(deltas, folded)


@pytest.mark.parametrize("bad", [{"choices": [5]}, {"choices": 5}, choice([]), choice({"content": 5, "tool_calls": 5})])
def test_other_faults_beside_a_half_are_those_that_they_are_without_it(bad: dict[str, Any]) -> None:
    one, _ = take(bad)
    other, _ = take(choice({"role": HIGH}), bad)
    assert type(one.fault) is type(other.fault)


def test_an_event_that_is_no_json_after_a_half_breaks_the_protocol() -> None:
    for bad in ("{", '{"a":"\\ud83d"', "[" * 5000, '{"a":NaN}'):
        for events in ([bad], [choice({"content": HIGH}), bad]):
            folded, _ = take(*events)
            assert isinstance(folded.fault, ProtocolBroken)


def test_halves_in_whole_replies_and_errors_are_read() -> None:
    body = json.dumps({"choices": [{"message": {"content": "a" + HIGH}}]}).encode()
    assert read_whole(body).raw["choices"][0]["message"]["content"] == "a" + LOST
    error = read_error(400, {}, json.dumps({"error": {"message": "no" + HIGH, "code": "c"}}).encode())
    assert isinstance(error, BadRequest)
    assert "no" + LOST in str(error)
    assert error.code == "c"


def test_both_clients_stream_the_character_that_a_server_cut_in_two(connect: Connect, byte_server: ByteServer) -> None:
    events = [choice({"content": text}) for text in ("It is ", HIGH, LOW, "!")] + [choice({}, finish_reason="stop")]
    body = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
    byte_server.answer(head("Connection: close", kind="text/event-stream"), body, DONE)
    with connect(byte_server.url).stream() as stream:
        assert list(stream) == ["It is ", "😀", "!"]
    assert stream.reply.text == "It is 😀!"


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.text(alphabet=["a", "é", HIGH, LOW, "😀"]), st.lists(st.integers(0, 3), min_size=1))
def test_a_text_is_the_same_wherever_its_events_cut_it(text: str, sizes: list[int]) -> None:
    """Also between halves: what JavaScript's clients would show, which join all the pieces first."""
    units = text.encode("utf-16-le", "surrogatepass")
    pieces, at, turn = [], 0, 0
    while at < len(units):
        size = 2 * (sizes[turn % len(sizes)] or 1)
        pieces.append(units[at : at + size].decode("utf-16-le", "surrogatepass"))
        at, turn = at + size, turn + 1
    halves = Halves()
    chunks = [choice({"content": piece}) for piece in pieces] + [choice({}, finish_reason="stop")]
    told = [halves.decode(json.dumps(chunk))["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert "".join(told) == units.decode("utf-16-le", "replace")
