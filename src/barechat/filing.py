"""Where a call's receipt goes when the call ends: a meter, and a line in the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barechat.money.meter import CostTracker
    from barechat.receipt import Receipt

logger = logging.getLogger("barechat")


def file_receipt(receipt: Receipt, tracker: CostTracker) -> None:
    """Count the call, as `count_receipt` does, and say how it ended."""
    count_receipt(receipt, tracker)
    reply, request = receipt.reply, receipt.call.request
    if reply is None:
        last = receipt.attempts[-1].message if receipt.attempts else "nothing was sent"
        logger.info("%s: no reply after %d attempts (%s)", request.model, len(receipt.attempts), last)
    elif reply.verdict == "unknown":
        logger.warning(
            "%s: the server never said why the answer ended; it may not be whole (request %s)",
            request.model,
            reply.request_id,
        )
    elif logger.isEnabledFor(logging.INFO):  # the words take longer than the rest
        cost = str(reply.cost) if reply.cost.picodollars is None else f"${reply.cost}"
        logger.info("%s: %s after %d attempts, %s", request.model, reply.verdict, len(receipt.attempts), cost)


def count_receipt(receipt: Receipt, tracker: CostTracker) -> None:
    """Count the call, once, and what each attempt cost or may have cost.

    A call that brought no reply and surely cost nothing isn't counted.
    """
    reply, request = receipt.reply, receipt.call.request
    tags = dict(receipt.call.tags)
    tags.pop("session", None)  # of which there may be many
    answered = receipt.attempts[-1] if reply is not None else None
    costly = [attempt for attempt in receipt.attempts if attempt is answered or attempt.cost.picodollars != 0]
    # One attempt stands for the call: an unpriced one if there is any, since the call's cost is then unknown too.
    counted = costly[-1] if costly else None
    if len(costly) > 1:
        counted = next((attempt for attempt in costly if attempt.cost.picodollars is None), counted)
    for attempt in costly:
        came = reply if attempt is answered else None
        tracker.record(
            (came.model if came else "") or request.model,
            came.usage if came else None,
            attempt.cost,
            calls=int(attempt is counted),
            tags=tags,
        )
