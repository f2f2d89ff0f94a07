"""A conversation's messages and their trimming, pure.

The unit of trimming is the turn: a user's message and all that answers it, tool calls and their results included. So
a trimmed history never begins with the assistant, and never has a tool's result without its call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

Message = dict[str, Any]

_LEADING_ROLES = frozenset({"system", "developer"})


def trim(messages: Sequence[Message], max_history: int | None) -> list[Message]:
    """Return the messages without the oldest turns, so that at most `max_history` are left.

    Leading system and developer messages always stay, and don't count. The newest turn stays whole, however long it
    is; so does everything when `max_history` is None.
    """
    messages = list(messages)
    if max_history is None:
        return messages
    lead = next((at for at, message in enumerate(messages) if message["role"] not in _LEADING_ROLES), len(messages))
    turns = [at for at in range(lead, len(messages)) if messages[at]["role"] == "user"]
    start = next((at for at in turns if len(messages) - at <= max_history), turns[-1] if turns else lead)
    return messages[:lead] + messages[start:]
