"""Where a call's receipt goes when the call ends: the meter, and a line in the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barechat.money.meter import CostTracker
    from barechat.receipt import Receipt

logger = logging.getLogger("barechat")


def file_receipt(receipt: Receipt, tracker: CostTracker) -> None:
    """Count what each attempt cost or may have cost, and say how the call ended."""
    reply, request = receipt.reply, receipt.call.request
    for attempt in receipt.attempts:
        is_the_reply = reply is not None and attempt is receipt.attempts[-1]
        if is_the_reply or attempt.cost.picodollars != 0:
            tracker.record(
                (reply.model if is_the_reply and reply else "") or request.model,
                reply.usage if is_the_reply and reply else None,
                attempt.cost,
            )
    if reply is None:
        last = receipt.attempts[-1].message if receipt.attempts else "nothing was sent"
        logger.info("%s: no reply after %d attempts (%s)", request.model, len(receipt.attempts), last)
    elif reply.verdict == "unknown":
        logger.warning(
            "%s: the server never said why the answer ended; it may not be whole (request %s)",
            request.model,
            reply.request_id,
        )
    else:
        logger.info("%s: %s after %d attempts, $%s", request.model, reply.verdict, len(receipt.attempts), reply.cost)
