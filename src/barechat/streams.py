"""How a reply is read as it comes: `ChatStream`, and `AsyncChatStream`, which says the same, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Self

from barechat.errors import BarechatError

if TYPE_CHECKING:
    from collections.abc import Callable

    from barechat.drive import AsyncDrive, Drive
    from barechat.receipt import Receipt
    from barechat.records import Delta, Reply


def reply_of_ended(drive: Drive | AsyncDrive) -> Reply:
    """Return the reply of a call that has ended.

    Raises:
        BarechatError: it was closed before its end.
    """
    receipt = drive.receipt
    if receipt.reply is not None:
        return receipt.reply
    raise BarechatError(
        f"the {'stream' if receipt.call.request.streamed else 'call'} was closed before its end",
        attempts=tuple(receipt.attempts),
        partial=receipt.partial(),
        cost=receipt.cost,
    )


class BaseStream:
    """What both kinds of stream know of their call."""

    _drive: Any

    def __init__(self) -> None:
        self._ready: Iterator[Delta] = iter(())  # what has come and wasn't taken

    @property
    def reply(self) -> Reply:
        """The folded reply, once the stream has been read to its end.

        Raises:
            BarechatError: it hasn't; `partial` holds what came.
        """
        if not self._drive.is_closed:
            raise BarechatError("the stream hasn't ended yet", partial=self.partial)
        return reply_of_ended(self._drive)

    @property
    def partial(self) -> Reply | None:
        """The reply as far as it has come, at any time, with what it has cost; None before its first byte."""
        found: Reply | None = self._drive.receipt.partial()
        return found

    def __del__(self) -> None:
        if not self._drive.is_closed:
            self._drive.close()

    def when_filed(self, listener: Callable[[Receipt], None]) -> None:
        """Have `listener` told of the call's receipt, once, when the call ends: whole, failed or closed early."""
        self._drive.listeners.append(listener)


class ChatStream(BaseStream, Iterator[str]):
    """A reply as it comes: iterate for the text of choice 0, or over `deltas()` for everything.

    Leaving the `with` block early closes the connection at once; the call is then accounted for at its bound. Any
    thread may `close` it, one at a time may read it.
    """

    def __init__(self, drive: Drive) -> None:
        super().__init__()
        self._drive: Drive = drive

    def __next__(self) -> str:
        while (delta := self._next_delta()) is not None:
            if delta.content and delta.index == 0:
                return delta.content
        raise StopIteration

    def deltas(self) -> Iterator[Delta]:
        """Yield what each event adds to any choice: text, refusals, reasoning, tool calls, ends."""
        while (delta := self._next_delta()) is not None:
            yield delta

    def close(self) -> None:
        """End the call now, whatever it waits for. The connection is closed if the answer hasn't ended.

        A loop over the stream, here or in another thread, then ends with a BarechatError, whose `partial` holds what
        came. Only a token or `on_retry` function of yours is waited for. Closing twice is fine.
        """
        self._drive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _next_delta(self) -> Delta | None:
        while self._drive.is_closed or (delta := next(self._ready, None)) is None:
            deltas = self._drive.next()
            if deltas is None:
                self.reply  # noqa: B018 - raises if the stream was closed before its end
                return None
            self._ready = iter(deltas)
        return delta


class AsyncChatStream(BaseStream, AsyncIterator[str]):
    """Same as ChatStream, for `async with` and `async for`."""

    def __init__(self, drive: AsyncDrive) -> None:
        super().__init__()
        self._drive: AsyncDrive = drive

    async def __anext__(self) -> str:
        while (delta := await self._next_delta()) is not None:
            if delta.content and delta.index == 0:
                return delta.content
        raise StopAsyncIteration

    async def deltas(self) -> AsyncIterator[Delta]:
        """Same as ChatStream.deltas, for `async for`."""
        while (delta := await self._next_delta()) is not None:
            yield delta

    async def close(self) -> None:
        """Same as ChatStream.close, awaited. An async token or `on_retry` function is cancelled."""
        self._drive.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _next_delta(self) -> Delta | None:
        while self._drive.is_closed or (delta := next(self._ready, None)) is None:
            deltas = await self._drive.next()
            if deltas is None:
                self.reply  # noqa: B018 - raises if the stream was closed before its end
                return None
            self._ready = iter(deltas)
        return delta
