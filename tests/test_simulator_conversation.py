"""Messages that don't fit together are refused, and the refusal names the one that is wrong."""

from typing import Any

import pytest

from barechat.simulator.contract.conversation import refuse_conversation

HELLO = {"role": "user", "content": "Hello."}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OTHER_CALL = {**CALL, "id": "call_2"}
ASKS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ASKS_TWICE = {"role": "assistant", "content": None, "tool_calls": [CALL, OTHER_CALL]}
ANSWER = {"role": "tool", "tool_call_id": "call_1", "content": "1"}
OTHER_ANSWER = {"role": "tool", "tool_call_id": "call_2", "content": "2"}
UNANSWERED = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
    "The following tool_call_ids did not have response messages: "
)
NO_CALL = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
NO_CONTENT = "Invalid value for 'content': expected a string, got null."


@pytest.mark.parametrize(
    "messages",
    [
        [HELLO],
        [{"role": "assistant", "content": ""}],
        [{"role": "assistant", "content": None, "refusal": "No."}],
        [{"role": "assistant", "audio": {"id": "audio_1"}}],
        [{"role": "assistant", "function_call": {"name": "f", "arguments": ""}}],
        [{"role": "function", "name": "f", "content": None}],
        [HELLO, ASKS, ANSWER, HELLO],
        [HELLO, ASKS_TWICE, OTHER_ANSWER, ANSWER],
        [HELLO, ASKS, ANSWER, ASKS, ANSWER],
        [HELLO, ASKS, ANSWER, ANSWER],
        [{**HELLO, "tool_calls": "anything"}],
    ],
)
def test_messages_that_fit_together_are_taken(messages: list[dict[str, Any]]) -> None:
    assert refuse_conversation(messages) is None


@pytest.mark.parametrize(
    ("messages", "param", "message"),
    [
        ([HELLO, {"role": "user"}], "messages.[1].content", NO_CONTENT),
        ([{"role": "system", "content": None}], "messages.[0].content", NO_CONTENT),
        ([HELLO, {"role": "assistant", "content": None, "refusal": None}], "messages.[1].content", NO_CONTENT),
        ([HELLO, ASKS, {**ANSWER, "content": None}], "messages.[2].content", NO_CONTENT),
        (
            [HELLO, ANSWER],
            "messages.[1].role",
            NO_CALL,
        ),
        (
            [HELLO, ASKS, ANSWER, HELLO, ANSWER],
            "messages.[4].role",
            NO_CALL,
        ),
        (
            [HELLO, ASKS, OTHER_ANSWER],
            "messages.[2].tool_call_id",
            "Invalid parameter: 'tool_call_id' of 'call_2' not found in 'tool_calls' of previous message.",
        ),
        ([HELLO, ASKS], "messages", f"{UNANSWERED}call_1"),
        ([HELLO, ASKS_TWICE, OTHER_ANSWER], "messages", f"{UNANSWERED}call_1"),
        ([HELLO, ASKS_TWICE, HELLO], "messages.[2].role", f"{UNANSWERED}call_1, call_2"),
        ([HELLO, ASKS_TWICE, ANSWER, ASKS, ANSWER], "messages.[3].role", f"{UNANSWERED}call_2"),
    ],
)
def test_messages_that_do_not_are_refused(messages: list[dict[str, Any]], param: str, message: str) -> None:
    refused = refuse_conversation(messages)
    assert refused is not None
    assert (refused.status, refused.message, refused.param, refused.code) == (400, message, param, None)
