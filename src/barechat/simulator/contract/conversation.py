"""Do a request's messages fit together? Every message says something, and tool calls and tool messages belong in pairs.

For messages whose shapes are right.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from barechat.simulator.contract.wording import Refusal

_NEEDS_CONTENT: Final = frozenset(("system", "user", "tool"))
_SUBSTITUTES: Final = ("tool_calls", "function_call", "refusal", "audio")


def refuse_conversation(messages: Sequence[dict[str, Any]]) -> Refusal | None:
    """Return the first thing that the API would refuse in the order of messages."""
    return _unpaired(messages) or _unsaid(messages)


def _unsaid(messages: Sequence[dict[str, Any]]) -> Refusal | None:
    """Refuse a message without content, unless it is the assistant's and something stands in for it."""
    for index, message in enumerate(messages):
        if message.get("content") is not None:
            continue
        role = message["role"]
        is_silent = role == "assistant" and all(message.get(name) is None for name in _SUBSTITUTES)
        if is_silent or role in _NEEDS_CONTENT:
            return _refusal("Invalid value for 'content': expected a string, got null.", index, "content")
    return None


def _unpaired(messages: Sequence[dict[str, Any]]) -> Refusal | None:
    """Refuse a tool call without an answer right after it, and an answer without its call."""
    asked: frozenset[str] = frozenset()
    unanswered: dict[str, None] = {}
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            call = message["tool_call_id"]
            if not asked:
                what = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                return _refusal(f"Invalid parameter: {what}", index, "role")
            if call not in asked:
                what = f"'tool_call_id' of '{call}' not found in 'tool_calls' of previous message."
                return _refusal(f"Invalid parameter: {what}", index, "tool_call_id")
            unanswered.pop(call, None)
            continue
        if unanswered:
            return _unanswered(unanswered, f"messages.[{index}].role")
        calls = message.get("tool_calls", ()) if message["role"] == "assistant" else ()
        unanswered = dict.fromkeys(call["id"] for call in calls)
        asked = frozenset(unanswered)
    return _unanswered(unanswered, "messages") if unanswered else None


def _unanswered(calls: Iterable[str], param: str) -> Refusal:
    return Refusal(
        message="An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(calls)}",
        param=param,
    )


def _refusal(message: str, index: int, name: str) -> Refusal:
    """Return a refusal that names a place among the messages as the API does here, with a dot before the index."""
    return Refusal(message=message, param=f"messages.[{index}].{name}")
