"""What happens in one turn of `barechat chat`? A reply is streamed to where it is shown, and ends somehow.

Ctrl-C raises nothing here: an exception in the midst of anything could leave a lock locked for good. Nor is it left to
Python's own handler, which may come only once a read that just began has ended: the signal writes a byte to a socket,
and a thread that waits for it closes the stream.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from barechat.errors import BarechatError
from barechat.records import FREE, Cost, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barechat.cli.page import View
    from barechat.receipt import Receipt
    from barechat.streams import ChatStream

_INTERRUPT, _NONE = bytes([signal.SIGINT]), b"\0"  # as they are told: a signal by its number


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
    error = None
    with _Interrupts() as interrupts:
        try:
            stream = begin()
            stream.when_filed(receipts.append)
            with interrupts.closing(stream), stream:
                _show(stream, view, is_live=is_live)
        except BarechatError as caught:
            error = caught
        view.end()
    # A reply that had come whole before Ctrl-C is one.
    return Turn(
        reply=receipts[0].reply if receipts else None,
        cost=receipts[0].cost if receipts else FREE,
        error=None if interrupts.has_come else error,
    )


def _show(stream: ChatStream, view: View, *, is_live: bool) -> None:
    held: list[str] = []
    try:
        for delta in stream.deltas():
            if delta.index > 0:
                continue
            if is_live and delta.reasoning:
                view.think(delta.reasoning)
            text = (delta.content or "") + (delta.refusal or "")
            if is_live:
                view.write(text)
            else:
                held.append(text)
    finally:
        view.write("".join(held))


class _Interrupts:
    """Ctrl-C, as long as the `with` block lasts."""

    def __init__(self) -> None:
        self.has_come = False
        self._told, self._tells = socket.socketpair()
        self._tells.setblocking(False)

    def __enter__(self) -> Self:
        self._handler = signal.signal(signal.SIGINT, self._hear)
        self._descriptor = signal.set_wakeup_fd(self._tells.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *exception: object) -> None:
        signal.set_wakeup_fd(self._descriptor)
        signal.signal(signal.SIGINT, self._handler)
        self._told.close()
        self._tells.close()

    @contextlib.contextmanager
    def closing(self, stream: ChatStream) -> Iterator[None]:
        """Close a stream when Ctrl-C comes, or came before."""

        def close() -> None:
            while (number := self._told.recv(1)) != _NONE:
                if number == _INTERRUPT:
                    self.has_come = True
                    stream.close()

        closer = threading.Thread(target=close, name="barechat-interrupts", daemon=True)
        closer.start()
        try:
            yield
        finally:
            self._tells.send(_NONE)
            closer.join()

    def _hear(self, *_: object) -> None:
        self.has_come = True
