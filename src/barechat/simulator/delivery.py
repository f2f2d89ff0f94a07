"""How do a plan's steps reach the client? Performs them on a connection: writes, waits, stalls, closes.

What follows without a wait between goes out in one write, so that an unpaced stream is as quick as the socket.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from barechat.simulator.plan import Close, Stall, Step, Until, Write

_FLUSH_AT: Final = 65_536
# struct linger {on, seconds}: closing then sends RST. https://man7.org/linux/man-pages/man7/socket.7.html
_LINGER_RESET: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class HungUp(Exception):
    """The client has closed the connection before the answer was through."""


class Delivery:
    """One answer on its way; `contents`, `spoken` and `finish_reason` are what has been handed to the socket so far."""

    def __init__(
        self,
        transport: asyncio.Transport,
        drain: Callable[[], Awaitable[None]],
        *,
        drip_s: float | None = None,
    ) -> None:
        self.contents = 0
        self.spoken = 0
        self.finish_reason: str | None = None
        self.has_begun = False
        self.is_closing = False
        self._transport = transport
        self._drain = drain
        self._drip_s = drip_s
        self._buffer = bytearray()
        self._contents_in_buffer = 0
        self._spoken_in_buffer = 0
        self._reason_in_buffer: str | None = None
        self._is_reset = False
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()

    async def perform(self, steps: Iterable[Step]) -> None:
        """Perform all steps but the last write and the close, left to `finish`; raises HungUp if the client goes."""
        for step in steps:
            if type(step) is Write:
                self._hold(step)
                if len(self._buffer) >= _FLUSH_AT:
                    await self._flush()
            elif type(step) is Until:
                await self._wait_until(self._started + step.seconds)
            elif type(step) is Stall:
                await self._stall(step)
            elif type(step) is Close:
                self.is_closing = True
                self._is_reset = step.reset
        if self._drip_s is not None:
            # The last byte is left to `finish`: whoever has seen an answer's end finds its record.
            last = self._buffer[-1:]
            del self._buffer[-1:]
            await self._flush()
            self._buffer += last

    def finish(self) -> None:
        """Send what is left, and close where the plan said so; never waits."""
        if self._buffer:
            self._send()
        if self._is_reset:
            self._reset()
        elif self.is_closing:
            self._transport.close()

    def _hold(self, step: Write) -> None:
        self._buffer += step.data
        self._contents_in_buffer += step.contents
        self._spoken_in_buffer += step.spoken
        if step.finish_reason is not None:
            self._reason_in_buffer = step.finish_reason

    async def _flush(self) -> None:
        if self._transport.is_closing():
            raise HungUp
        if not self._buffer:
            return
        if self._drip_s is not None:
            await self._drip(self._drip_s)
        else:
            self._send()
        try:
            await self._drain()
        except ConnectionError as error:
            raise HungUp from error

    def _send(self) -> None:
        self._transport.write(bytes(self._buffer))
        self._count()

    async def _drip(self, drip_s: float) -> None:
        for value in bytes(self._buffer):
            if self._transport.is_closing():
                raise HungUp
            self._transport.write(bytes((value,)))
            await asyncio.sleep(drip_s)
        self._count()

    def _count(self) -> None:
        self.has_begun = True
        self.contents += self._contents_in_buffer
        self.spoken += self._spoken_in_buffer
        self.finish_reason = self._reason_in_buffer
        self._contents_in_buffer = self._spoken_in_buffer = 0
        self._buffer.clear()

    async def _wait_until(self, due: float) -> None:
        delay = due - self._loop.time()
        if delay > 0:
            await self._flush()
            await asyncio.sleep(delay)

    async def _stall(self, step: Stall) -> None:
        await self._flush()
        began = self._loop.time()
        end = None if step.seconds is None else began + step.seconds
        while end is None or self._loop.time() < end:
            left = None if end is None else end - self._loop.time()
            pause = left if step.every_s is None else step.every_s if left is None else min(step.every_s, left)
            if pause is None:
                await self._loop.create_future()
            else:
                await asyncio.sleep(pause)
            if step.every_s is not None and pause == step.every_s:
                self._buffer += step.comment
                await self._flush()
        self._started += self._loop.time() - began

    def _reset(self) -> None:
        connection = self._transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self._transport.abort()
