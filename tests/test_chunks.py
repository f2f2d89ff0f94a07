"""barechat.wire.chunks: a stream's events fold into the reply that they tell, however its bytes come."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from barechat.errors import ApiError, BadRequest, NotFound, ProtocolBroken
from barechat.wire.chunks import Fold
from barechat.wire.reply import reply_of
from barechat.wire.sse import Event
from folding import assert_deltas_are_the_reply, call, choice, fold, message, shown, take
from vectors import case_id, cases, in_short


@pytest.mark.parametrize("case", cases("chat_accumulate"), ids=case_id)
def test_every_recorded_stream_folds_to_what_it_told_however_it_is_split(case: dict[str, Any]) -> None:
    expected = dict(case["expected"])
    wanted = {name: expected[name] for name in ("id", "model", "usage_last")}
    wanted["choices"] = [{k: v for k, v in one.items() if k != "role"} for one in expected["choices"]]
    for pieces in in_short(base64.b64decode(case["wire_b64"])):
        folded, deltas = fold(pieces)
        assert shown(reply_of(folded.raw(), "partial")) == wanted
        assert_deltas_are_the_reply(deltas, folded)
        if "error" in expected:
            assert isinstance(folded.fault, BadRequest)
            assert str(expected["error"]["message"])[:60] in str(folded.fault)
            assert folded.fault.code == str(expected["error"]["code"])
        else:
            assert folded.fault is None
            assert folded.done
        assert ("moderation" in folded.raw()) == bool(expected.get("moderation_present"))


@pytest.mark.parametrize("case", cases("stream_semantics"), ids=case_id)
def test_a_stream_ends_as_the_house_reads_it(case: dict[str, Any]) -> None:
    """Where sources differ: white space around [DONE] is nothing, a named error is one whatever it holds."""
    folded, deltas = fold([base64.b64decode(case["wire_b64"])])
    assert deltas == []  # none of these holds a choice
    if case["expected_outcome"] == "api_error":
        assert isinstance(folded.fault, ApiError)
        wanted = case.get("expected_error", {})
        assert wanted.get("message", "") in str(folded.fault)
        for name in ("code", "type", "param"):
            assert getattr(folded.fault, name) == wanted.get(name)
    else:
        assert folded.fault is None
        assert folded.done
        assert case["expected_outcome"] == "complete" or case["id"].startswith("done-suffix-")


@pytest.mark.parametrize("case", cases("index_validation"), ids=case_id)
def test_a_hostile_index_is_rejected_and_nothing_is_stored(case: dict[str, Any]) -> None:
    literals = [json.dumps(case["index"])]
    if case["index"] in {"NaN", "Infinity", "-Infinity"}:
        literals.append(case["index"])
    for literal in literals:
        tool = '{"index":0,"delta":{"content":"x","tool_calls":[{"index":0,"id":"a"},{"index":%s,"id":"b"}]}}'
        plain = '{"index":%s,"delta":{"content":"x"}}'
        one = (tool if case["kind"] == "tool call" else plain) % literal
        folded, deltas = take('{"choices":[' + one + "]}", n=case.get("n"))
        assert isinstance(folded.fault, ProtocolBroken)
        assert deltas == []
        assert folded.raw()["choices"] == []
        assert not folded.begun


@pytest.mark.parametrize("index", [-1, 128, 1.0, True, "0", [], {}, 2**70])
def test_an_index_is_a_number_from_0_to_127_and_nothing_else(index: Any) -> None:
    assert isinstance(take(choice({"content": "x"}, index=index))[0].fault, ProtocolBroken)
    assert isinstance(take(call({"index": index, "id": "a"}))[0].fault, ProtocolBroken)


def test_an_index_that_is_missing_or_null_is_0() -> None:
    folded, _ = take({"choices": [{"delta": {"content": "a"}}]}, choice({"content": "b"}, index=None))
    assert message(folded)["content"] == "ab"
    assert take(choice({"content": "x"}, index=127))[0].fault is None


def test_done_is_matched_whole_and_what_follows_is_never_parsed() -> None:
    for text in ("[DONE]", " [DONE]", "[DONE] ", "\t[DONE]\n"):
        folded, deltas = take(choice({"content": "a"}), text, "not json", choice({"content": "b"}))
        assert folded.done
        assert folded.fault is None
        assert [delta.content for delta in deltas] == ["a"]
        assert folded.take([Event(data="not json")]) == []
        assert folded.fault is None
    for text in ("[DONE]x", "[DONE", "x[DONE]", "[done]", '"[DONE]"'):
        folded, _ = take(text)
        assert isinstance(folded.fault, ProtocolBroken)
        assert not folded.done
    assert Fold().take([Event(data="[DONE]", event="error")]) == []


def test_nothing_is_folded_after_a_fault() -> None:
    folded, deltas = take(choice({"content": "a"}), "42", choice({"content": "b"}))
    assert [delta.content for delta in deltas] == ["a"]
    assert folded.take([Event(data=json.dumps(choice({"content": "c"})))]) == []
    assert message(folded)["content"] == "a"


@pytest.mark.parametrize(
    "text", ["42", "null", "[]", '"x"', "{", "nope", '{"a":NaN}', "[" * 5000, '{"a":"\\ud800"', '{"a":1e999}']
)
def test_an_event_that_is_no_json_object_breaks_the_protocol(text: str) -> None:
    folded, _ = take(text)
    assert isinstance(folded.fault, ProtocolBroken)
    assert folded.fault.body == text[:2048].encode()
    assert repr(text[:100])[1:-1] in str(folded.fault)


@pytest.mark.parametrize("data", ["", " ", "\n"])
def test_empty_data_is_nothing(data: str) -> None:
    folded, deltas = take(data, choice({"content": "a"}))
    assert folded.fault is None
    assert len(deltas) == 1


def test_an_event_without_choices_is_a_vendors_own() -> None:
    folded, deltas = take({"type": "ping"}, {"x": [1]}, {"choices": None, "id": "c", "model": "m"})
    assert (folded.fault, deltas, folded.begun) == (None, [], False)
    assert folded.raw() == {"id": "c", "model": "m", "object": "chat.completion", "choices": []}


@pytest.mark.parametrize(
    ("event", "data", "kind"),
    [
        ("error", '{"message":"no","code":404}', NotFound),
        ("error", '{"error":{"message":"no","code":404}}', NotFound),
        ("error", '{"choices":[]}', ApiError),
        ("error", "no", ApiError),
        ("error", "", ApiError),
        ("error", "[" * 5000, ApiError),
        ("message", '{"error":{"message":"no","code":404}}', NotFound),
        ("message", '{"error":"no"}', ApiError),
        ("message", '{"error":{}}', ApiError),
        ("message", '{"error":{"message":"no","code":404},"choices":[{"delta":{"content":"x"}}]}', NotFound),
        ("message", '{"object":"error","message":"no","code":404}', NotFound),
    ],
)
def test_an_error_in_mid_stream_is_an_api_error_of_its_class(event: str, data: str, kind: type[ApiError]) -> None:
    folded = Fold()
    assert folded.take([Event(data=data, event=event)]) == []
    assert type(folded.fault) is kind
    assert folded.raw()["choices"] == []


def test_an_event_by_another_name_is_read_as_any() -> None:
    folded = Fold()
    folded.take([Event(data=json.dumps(choice({"content": "x"})), event="chunk"), Event(data="{}", event="ping")])
    assert message(folded)["content"] == "x"
    assert take({"error": None, **choice({"content": "x"})})[0].fault is None


@pytest.mark.parametrize("bad", [{}, "x", 1, True, [1], ["x"], [[]], [None]])
def test_choices_that_are_no_list_of_objects_break_the_protocol(bad: Any) -> None:
    assert isinstance(take({"choices": bad})[0].fault, ProtocolBroken)


@pytest.mark.parametrize("bad", ["x", 1, [], True])
def test_a_delta_that_is_no_object_breaks_the_protocol(bad: Any) -> None:
    folded, _ = take(choice(bad))
    assert isinstance(folded.fault, ProtocolBroken)
    assert folded.raw()["choices"] == []


@pytest.mark.parametrize("bad", ["x", {"a": 1}, 7, ["x"], [None], [[]]])
def test_tool_calls_that_are_no_list_of_objects_break_the_protocol(bad: Any) -> None:
    folded, deltas = take(choice({"content": "x", "tool_calls": bad}))
    assert isinstance(folded.fault, ProtocolBroken)
    assert (deltas, folded.raw()["choices"]) == ([], [])


def test_a_content_that_is_no_text_breaks_the_protocol_rather_than_being_lost() -> None:
    assert isinstance(take(choice({"content": {"a": "[" * 900}}))[0].fault, ProtocolBroken)
    assert isinstance(take(choice({"refusal": [1]}))[0].fault, ProtocolBroken)
