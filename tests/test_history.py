"""Trimming a conversation: whole turns go, and what is left can be sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barechat.history import trim

SYSTEM = {"role": "system", "content": "s"}


def user(text: str = "u") -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str = "a") -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def tool_turn(count: int) -> list[dict[str, Any]]:
    calls = [{"id": f"c{number}", "type": "function"} for number in range(count)]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "r"} for call in calls]
    return [{"role": "assistant", "content": None, "tool_calls": calls}, *results, assistant()]


turns = st.lists(
    st.one_of(
        st.just([user(), assistant()]),
        st.just([user()]),
        st.builds(lambda count: [user(), *tool_turn(count)], st.integers(1, 3)),
    ),
    max_size=8,
)
leads = st.lists(st.sampled_from([SYSTEM, {"role": "developer", "content": "d"}]), max_size=2)


@given(leads, turns, st.integers(1, 12))
def test_what_is_left_can_always_be_sent(
    lead: list[dict[str, Any]], conversation: list[list[dict[str, Any]]], max_history: int
) -> None:
    messages = lead + [message for turn in conversation for message in turn]
    kept = trim(messages, max_history)
    assert kept[: len(lead)] == lead
    rest = kept[len(lead) :]
    assert rest == messages[len(messages) - len(rest) :]
    assert not rest or rest[0]["role"] == "user"
    called = {call["id"] for message in rest for call in message.get("tool_calls", ())}
    assert {message["tool_call_id"] for message in rest if message["role"] == "tool"} <= called
    newest = conversation[-1] if conversation else []
    assert rest[len(rest) - len(newest) :] == newest
    assert len(rest) <= max(max_history, len(newest))


@given(leads, turns, st.integers(1, 12))
def test_no_more_goes_than_must(
    lead: list[dict[str, Any]], conversation: list[list[dict[str, Any]]], max_history: int
) -> None:
    messages = lead + [message for turn in conversation for message in turn]
    kept = len(trim(messages, max_history)) - len(lead)
    sizes = [len(turn) for turn in conversation]
    fitting = [sum(sizes[start:]) for start in range(len(sizes)) if sum(sizes[start:]) <= max_history]
    assert kept == max(fitting, default=sizes[-1] if sizes else 0)


def test_without_a_limit_all_stays_as_a_list_of_its_own() -> None:
    messages = [assistant(), user()]
    kept = trim(messages, None)
    assert kept == messages
    assert kept is not messages


@pytest.mark.parametrize("max_history", [1, 2, 3])
def test_a_beginning_by_the_assistant_goes(max_history: int) -> None:
    assert trim([SYSTEM, assistant(), user(), assistant()], max_history)[:2] == [SYSTEM, user()]


def test_the_newest_turn_stays_whole_however_long_it_is() -> None:
    turn = [user(), *tool_turn(3)]
    assert trim([SYSTEM, user(), assistant(), *turn], 1) == [SYSTEM, *turn]


def test_messages_without_any_user_stay() -> None:
    assert trim([SYSTEM, assistant()], 1) == [SYSTEM, assistant()]
