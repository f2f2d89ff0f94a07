"""What happens in one turn of `barechat chat`? A reply is streamed to where it is shown, and ends somehow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from barechat.errors import BarechatError
from barechat.records import FREE, Cost, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from barechat.cli.page import View
    from barechat.receipt import Receipt
    from barechat.streams import ChatStream


@dataclass(frozen=True, kw_only=True)
class Turn:
    """How a turn ended: with a whole reply, an error, or neither if it was stopped. What it cost, or may have."""

    reply: Reply | None
    cost: Cost
    error: BarechatError | None = None


def take_turn(begin: Callable[[], ChatStream], view: View, *, is_live: bool = True) -> Turn:
    """Stream a reply to a view until it ends, or Ctrl-C ends it.

    is_live: whether the reply is shown as it comes, or once nothing more does.
    """
    receipts: list[Receipt] = []
    shown: list[str] = []
    error = None
    try:
        stream = begin()
        stream.when_filed(receipts.append)
        with stream:
            for delta in stream.deltas():
                if delta.index > 0:
                    continue
                if is_live and delta.reasoning:
                    view.think(delta.reasoning)
                text = (delta.content or "") + (delta.refusal or "")
                if is_live:
                    view.write(text)
                else:
                    shown.append(text)
    except KeyboardInterrupt:
        pass  # the `with` has closed the connection
    except BarechatError as caught:
        error = caught
    view.write("".join(shown))
    view.end()
    # A reply that had come whole before Ctrl-C is one.
    return Turn(reply=receipts[0].reply if receipts else None, cost=receipts[0].cost if receipts else FREE, error=error)
