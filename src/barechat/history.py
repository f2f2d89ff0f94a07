"""A conversation's messages: which are sent, which go, and what stands for those that went. Pure.

The unit is the turn: a user's message and all that answers it, tool calls and their results included. So what is sent
never begins with the assistant, and never has a tool's result without its call.

A summary is a system message named `summary`, which stands for all turns before it. These stay in the list, and aren't
sent; so the list is whole, and a valid `messages` all the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

Message = dict[str, Any]
Fits = Callable[[Sequence[Message]], bool]
"""Says whether messages are few and short enough to be sent; where some are, so are fewer."""

_LEADING_ROLES = frozenset({"system", "developer"})
_SUMMARY = "summary"
_ASKS_SUMMARY = (
    "Summarise the conversation so far, for whoever goes on with it without having seen it: facts, names, figures, "
    "decisions, what the user wants and how, and what is still open. Leave out pleasantries. Write plain text, of 300 "
    "words at the most, in the conversation's own language."
)


def trim(messages: Sequence[Message], max_history: int | None, fits: Fits | None = None) -> list[Message]:
    """Return the messages without the oldest turns, so that at most `max_history` are left, and those fit.

    Leading system and developer messages always stay, and don't count. The newest turn stays whole, however long it
    is; so does everything where there is no limit.
    """
    messages = list(messages)
    if max_history is None and fits is None:
        return messages
    stays, turns = pinned(messages), _turns(messages)

    def is_short(at: int) -> bool:
        if max_history is not None and len(messages) - at > max_history:
            return False
        return fits is None or fits(messages[:stays] + messages[at:])

    start = turns[min(bisect_left(turns, 1, key=is_short), len(turns) - 1)] if turns else stays
    return messages[:stays] + messages[start:]


def sent(messages: Sequence[Message]) -> list[Message]:
    """Return what of a conversation is sent: all of it, or what begins with its last summary."""
    leads = lead(messages)
    start = next((at for at in reversed(range(leads, len(messages))) if _is_summary(messages[at])), leads)
    return [*messages[:leads], *messages[start:]]


def lead(messages: Sequence[Message]) -> int:
    """Return how many messages lead: those of the system before anybody has said anything, summaries apart."""
    return next(
        (at for at, one in enumerate(messages) if one["role"] not in _LEADING_ROLES or _is_summary(one)), len(messages)
    )


def pinned(messages: Sequence[Message]) -> int:
    """Return how many messages always stay: those that lead, and the summary that follows them, if one does."""
    count = lead(messages)
    return count + (count < len(messages) and _is_summary(messages[count]))


def last_turn(messages: Sequence[Message]) -> int | None:
    """Return where the last turn begins; None if there is none, or none after the last summary."""
    turns = _turns(sent(messages))
    return len(messages) - len(sent(messages)) + turns[-1] if turns else None


def turns(messages: Sequence[Message]) -> int:
    """Return how many turns there are."""
    return len(_turns(messages))


def summarized(messages: Sequence[Message], kept: int, summary: str) -> list[Message]:
    """Return the messages with a summary of all before the last `kept` of them."""
    at = len(messages) - kept
    return [*messages[:at], {"role": "system", "name": _SUMMARY, "content": summary}, *messages[at:]]


def summary_request(messages: Sequence[Message]) -> list[Message]:
    """Return what asks a model for a summary of these messages."""
    lines = [f"{message.get('name', message['role'])}: {told(message)}" for message in messages]
    return [{"role": "system", "content": _ASKS_SUMMARY}, {"role": "user", "content": "\n\n".join(lines)}]


def told(message: Message) -> str:
    """Return a message's text, and what it holds besides by its kind."""
    content = message.get("content") or ""
    parts = [content] if isinstance(content, str) else [part.get("text") or f"[{part['type']}]" for part in content]
    for call in message.get("tool_calls") or ():
        asked = call.get("function") or call.get("custom") or {}
        parts.append(f"[calls {asked.get('name')}: {asked.get('arguments') or asked.get('input') or ''}]")
    return "\n".join(parts)


def _turns(messages: Sequence[Message]) -> list[int]:
    return [at for at in range(lead(messages), len(messages)) if messages[at]["role"] == "user"]


def _is_summary(message: Message) -> bool:
    return message["role"] == "system" and message.get("name") == _SUMMARY
