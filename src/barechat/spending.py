"""What a job of several calls has cost when one of them fails."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from barechat.errors import BarechatError
from barechat.records import Cost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from barechat.records import Reply


@contextmanager
def charged(replies: Sequence[Reply], messages: list[dict[str, Any]] | None = None) -> Iterator[None]:
    """Have an error that is raised within carry the attempts and the cost of the replies that came before it, too.

    And the conversation so far, where there is one.
    """
    try:
        yield
    except BarechatError as error:
        if replies:
            attempts = [attempt for reply in replies for attempt in reply.attempts]
            costs = [reply.cost for reply in replies]
            error.attempts = (*attempts, *error.attempts)
            error.cost = Cost.sum(costs if error.cost is None else [*costs, error.cost])
        error.messages = messages
        raise
