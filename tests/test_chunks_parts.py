"""barechat.wire.chunks: every part of a delta, in every dialect, is handed out once and kept in bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.errors import ApiError, BarechatError, ProtocolBroken
from barechat.records import Custom, Delta, Function, ToolCall
from barechat.wire.chunks import Fold
from barechat.wire.sse import Event
from folding import assert_deltas_are_the_reply, call, calls_of, choice, message, take


def test_every_kind_of_delta_is_handed_out_once_and_folded() -> None:
    folded, deltas = take(
        choice({"role": "assistant", "content": "", "refusal": None}, finish_reason=None, logprobs=None),
        choice({"content": "Hi"}, finish_reason=None),
        choice({"content": " you"}, logprobs={"content": [{"token": " you"}], "refusal": None}),
        choice({"refusal": "No"}),
        choice({"reasoning": "Hm"}),
        choice({"reasoning_content": "m", "reasoning": "ignored"}),
        choice({"function_call": {"name": "f", "arguments": "{"}}),
        choice({"function_call": {"name": "f", "arguments": "}"}}),
        choice({"function_call": "auto", "audio": None, "role": 7}),
        choice({}, finish_reason="stop", logprobs="none"),
    )
    assert deltas == [
        Delta(index=0, content="Hi"),
        Delta(index=0, content=" you", logprobs={"content": [{"token": " you"}], "refusal": None}),
        Delta(index=0, refusal="No"),
        Delta(index=0, reasoning="Hm"),
        Delta(index=0, reasoning="m"),
        Delta(index=0, function_call=Function(name="f", arguments="{")),
        Delta(index=0, function_call=Function(name="", arguments="}")),
        Delta(index=0, finish_reason="stop"),
    ]
    assert message(folded) == {
        "role": "assistant",
        "content": "Hi you",
        "refusal": "No",
        "reasoning_content": "Hmm",
        "function_call": {"name": "f", "arguments": "{}"},
    }
    assert folded.raw()["choices"][0]["logprobs"] == {"content": [{"token": " you"}]}


def test_a_role_or_empty_text_alone_is_no_beginning_so_the_call_may_be_tried_again() -> None:
    empty: dict[str, Any] = {"content": [], "refusal": None}
    folded, deltas = take(choice({"role": "assistant", "content": ""}, logprobs=empty), choice(None), choice({}))
    assert (deltas, folded.begun) == ([], False)
    assert message(folded)["content"] == ""
    assert take(choice({"content": ""}, logprobs={"content": [{"token": "\\xe2"}]}))[0].begun


def test_content_in_parts_or_as_a_number_is_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "thinking"}, {"type": "text", "text": "b"}]
    folded, _ = take(choice({"content": parts}), choice({"content": 1}), choice({"reasoning": {"effort": "low"}}))
    assert message(folded)["content"] == "ab1"


def test_the_last_usage_that_is_not_null_counts_wherever_it_stands() -> None:
    one, two = {"prompt_tokens": 1, "completion_tokens": 1}, {"prompt_tokens": 1, "completion_tokens": 2}
    folded, _ = take(
        {"choices": [], "usage": one}, {"choices": [], "usage": None}, {"choices": [], "usage": {}}, {"choices": []}
    )
    assert folded.raw()["usage"] == one
    assert take({"choices": [], "usage": one}, {"usage": two})[0].raw()["usage"] == two
    assert take({"choices": [], "usage": one}, {"usage": {"output_tokens": 5}})[0].raw()["usage"] == one
    assert "usage" not in take(choice({"content": "x"}))[0].raw()


def test_the_last_of_each_top_field_that_says_something_holds() -> None:
    folded, _ = take(
        {"id": "", "model": "", "choices": [], "prompt_filter_results": [1]},
        {"id": "c", "model": "m", "choices": [], "service_tier": "default", "object": "chat.completion.chunk"},
        {"id": "c", "model": "", "choices": [], "service_tier": None, "obfuscation": "xx"},
    )
    assert folded.raw() == {
        "id": "c",
        "model": "m",
        "service_tier": "default",
        "prompt_filter_results": [1],
        "object": "chat.completion",
        "choices": [],
    }


def test_what_a_server_adds_of_its_own_is_kept_and_its_lists_grow() -> None:
    folded, deltas = take(
        choice({"content": "a", "details": [1], "provider": "x"}, matched=None, token_ids=[1], stop_reason=3),
        choice({"content": "b", "details": [2], "provider": "y", "note": None}, token_ids=[2], message="no", index=0),
    )
    assert [delta.content for delta in deltas] == ["a", "b"]
    found = folded.raw()["choices"][0]
    assert (found["token_ids"], found["stop_reason"]) == ([1, 2], 3)
    assert found["message"] == {
        "role": "assistant",
        "content": "ab",
        "refusal": None,
        "details": [1, 2],
        "provider": "y",
    }


def test_audio_grows_by_its_texts() -> None:
    folded, deltas = take(
        choice({"audio": {"id": "a1", "data": None, "transcript": "Hel"}}),
        choice({"audio": {"data": "QUJD", "transcript": "lo"}}),
        choice({"audio": {"data": "REVG", "expires_at": 9}}),
        choice({"audio": {}}),
        choice({"audio": "x"}),
    )
    assert message(folded)["audio"] == {"id": "a1", "data": "QUJDREVG", "transcript": "Hello", "expires_at": 9}
    assert len(deltas) == 3


def test_what_was_taken_before_stays_as_it_was() -> None:
    """A partial reply doesn't grow behind its holder's back."""
    event = choice({"content": "a", "details": [1], "audio": {"data": "A"}}, logprobs={"content": [1]}, ids=[1])
    folded, _ = take(event)
    before = folded.raw()
    copy = json.dumps(before)
    folded.take([Event(data=json.dumps(event))])
    assert json.dumps(before) == copy
    assert json.dumps(folded.raw()) != copy


@pytest.mark.parametrize(
    ("calls", "wanted"),
    [
        ([{"index": 0, "id": "a", "function": {"name": "f"}}, {"index": 0, "id": "a"}], [("a", "f", "")]),
        ([{"index": 1, "id": "a", "function": {"name": "f", "arguments": "{}"}}], [("a", "f", "{}")]),
        ([{"index": 0, "function": {"name": "f"}}, {"index": 0, "id": "late"}], [("late", "f", "")]),
        ([{"index": 0, "id": 7, "function": {"name": "f"}}], [("7", "f", "")]),
        ([{"index": 0, "id": "", "function": {"name": "", "arguments": None}}], [("", "", "")]),
        ([{"index": 0, "id": {}, "type": 1, "function": {"name": [], "arguments": 5}}], [("", "", "")]),
        ([{"index": 0, "function": {"name": "f", "arguments": {"x": [1]}}}], [("", "f", '{"x":[1]}')]),
        ([{"index": 0, "id": "a", "custom": {"name": "f", "input": "x"}}, {"index": 0, "custom": {"input": "y"}}],
         [("a", "f", "xy")]),
        # Numbered by nobody: a new id begins a call, as does a new name; all else goes on with the last one.
        ([{"id": "a", "function": {"name": "f", "arguments": "1"}}, {"function": {"arguments": "2"}},
          {"id": "b", "function": {"name": "f", "arguments": "3"}}, {"id": "b", "function": {"arguments": "4"}}],
         [("a", "f", "12"), ("b", "f", "34")]),
        ([{"id": "", "function": {"name": "f", "arguments": "1"}}, {"function": {"name": "f", "arguments": "2"}},
          {"function": {"name": "g", "arguments": "3"}}, {"custom": {"name": 7}}],
         [("", "f", "12"), ("", "g", "3")]),
        ([{"function": {"name": "f"}}, {"id": 7, "function": {}}, {"id": 7, "function": {}}], [("7", "f", "")]),
    ],
)  # fmt: skip
def test_tool_calls_fold_in_every_dialect(calls: list[dict[str, Any]], wanted: list[tuple[str, str, str]]) -> None:
    folded, deltas = take(*(call(one) for one in calls))
    assert folded.fault is None
    assert calls_of(folded)[: len(wanted)] == wanted
    assert_deltas_are_the_reply(deltas, folded)


def test_unnumbered_calls_in_one_event_are_calls_of_their_own() -> None:
    folded, _ = take(call({"function": {"name": "f", "arguments": "1"}}, {"function": {"name": "f", "arguments": "2"}}))
    assert calls_of(folded) == [("", "f", "1"), ("", "f", "2")]


def test_a_delta_names_its_call_only_where_that_is_news() -> None:
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}
    _, deltas = take(call(first), call({**first, "function": {"name": "f", "arguments": "}"}}), call({"index": 0}))
    pieces = [delta.tool_calls[0] for delta in deltas if delta.tool_calls]
    assert pieces == [
        ToolCall(id="a", function=Function(name="f", arguments="{")),
        ToolCall(function=Function(arguments="}")),
        ToolCall(),
    ]
    _, (delta,) = take(call({"index": 2, "id": "c", "custom": {"name": "g", "input": "x"}}))
    assert delta.tool_calls == (ToolCall(id="c", type="custom", custom=Custom(name="g", input="x"), index=2),)


def test_more_than_128_unnumbered_calls_break_the_protocol() -> None:
    folded, _ = take(*(call({"id": f"c{number}"}) for number in range(200)))
    assert isinstance(folded.fault, ProtocolBroken)
    assert len(message(folded)["tool_calls"]) == 128


@pytest.mark.parametrize(
    "event",
    [
        choice({"content": "x" * 60}),
        choice({"content": "x" * 60, "role": "assistant"}),
        choice({"refusal": "x" * 60}),
        choice({"reasoning": "x" * 60}),
        choice({"function_call": {"arguments": "x" * 60}}),
        call({"index": 0, "function": {"arguments": "x" * 60}}),
        call({"index": 0, "custom": {"input": "x" * 60}}),
        choice({"audio": {"data": "x" * 60}}),
        choice({"vendors": ["x" * 60]}),
        choice({}, vendors=["x" * 60]),
        choice({}, logprobs={"content": ["x" * 60]}),
    ],
    ids=lambda event: json.dumps(event["choices"])[:60].replace("x", ""),
)
def test_whatever_a_stream_lets_grow_is_bounded(event: dict[str, Any]) -> None:
    assert take(*[event] * 3, max_bytes=1000)[0].fault is None
    folded, _ = take(*[event] * 30, max_bytes=1000)
    assert isinstance(folded.fault, ProtocolBroken)
    assert "1000" in str(folded.fault)


def test_names_without_end_are_bounded_too() -> None:
    folded, _ = take(*({"choices": [], f"name{number}": 1} for number in range(100)), max_bytes=1000)
    assert isinstance(folded.fault, ProtocolBroken)
    folded, _ = take(*(choice({f"name{number}": 1}) for number in range(100)), max_bytes=1000)
    assert isinstance(folded.fault, ProtocolBroken)


def test_events_that_add_nothing_take_no_room() -> None:
    folded, _ = take(*[choice({"content": "", "role": "assistant", "kind": "x"})] * 1000, max_bytes=1000)
    assert folded.fault is None
    assert len(folded._choices[0].content) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 130) | st.floats(allow_nan=False) | st.text("ab{", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
    max_leaves=4,
)
TEXT = st.text("ab", max_size=3) | st.none()
CALL = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 3) | JSON,
        "id": TEXT | JSON,
        "type": TEXT | JSON,
        "function": st.fixed_dictionaries({}, optional={"name": TEXT | JSON, "arguments": TEXT | JSON}) | JSON,
        "custom": st.fixed_dictionaries({}, optional={"name": TEXT | JSON, "input": TEXT | JSON}) | JSON,
    },
)
DELTA = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(["content", "refusal", "reasoning", "reasoning_content", "role"], TEXT | JSON),
        "tool_calls": st.lists(CALL, max_size=3) | JSON,
        "function_call": CALL | JSON,
        "audio": st.dictionaries(st.sampled_from(["id", "data", "transcript"]), TEXT | JSON) | JSON,
        "own": JSON,
    },
)
CHOICE = st.fixed_dictionaries(
    {"delta": DELTA | JSON},
    optional={
        "index": st.integers(0, 2) | JSON,
        "finish_reason": TEXT | JSON,
        "logprobs": st.dictionaries(st.sampled_from(["content", "refusal"]), JSON) | JSON,
        "message": JSON,
    },
)
CHUNK = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, max_size=2) | JSON},
    optional={"id": TEXT | JSON, "model": TEXT | JSON, "usage": JSON, "created": JSON, "error": st.none()},
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(CHUNK | JSON, max_size=6))
def test_any_chunks_fold_to_what_was_handed_out_or_to_one_of_our_errors(chunks: list[Any]) -> None:
    folded, deltas = take(*(json.dumps(chunk) for chunk in chunks))
    assert folded.fault is None or isinstance(folded.fault, BarechatError)
    assert_deltas_are_the_reply(deltas, folded)
    assert folded.begun == bool(deltas)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.text(), st.sampled_from(["message", "error", "x"]))
def test_any_text_as_an_event_is_an_answer_or_one_of_our_errors(data: str, event: str) -> None:
    folded = Fold()
    assert folded.take([Event(data=data, event=event)]) == []
    assert folded.fault is None or isinstance(folded.fault, (ApiError, ProtocolBroken))
