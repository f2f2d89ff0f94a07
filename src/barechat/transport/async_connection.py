"""What has come over a connection on an event loop, who waits for more until when, and whether it can be used again.

asyncio's own streams would do the same with a lock, a buffer and a task's turn more for each piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import time
from copy import copy
from typing import TYPE_CHECKING, Any

from barechat.transport.common import PIECE_BYTES
from barechat.transport.http_request import ONE_PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from barechat.steps import Deadline


class Connection(asyncio.BaseProtocol):
    """A connection, from the moment that it is made. One request at a time has it.

    One timer serves all that it is waited for: a deadline that has moved on is looked at when the timer wakes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.transport: Any = None
        self.tcp: Any = None  # the transport below TLS, or the same
        self.has_ended = False  # nothing more comes
        self.expired: Deadline | None = None  # that closed it
        self.on_end: Callable[[Connection], object] | None = None  # told once it is closed
        self._loop = loop
        self._pid = os.getpid()
        self._come: list[bytes] = []
        self._size = 0  # of what has come
        self._is_paused = False
        self._is_idle = False
        self._fault: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._by: Deadline | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._poll: select.poll | None = None  # for what comes while nobody uses it

    async def receive(self, by: Deadline | None) -> bytes:
        """Return whatever has come, b"" at the connection's end.

        Raises:
            OSError: it broke, or was closed; `expired` tells by which deadline, if by one.
        """
        while not self._come:
            if self._fault is not None:
                raise copy(self._fault)  # or its traceback would hold all that waits here, and be held
            if self.has_ended:
                return b""
            self._set_timer(by)
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = self._by = None
        come = self._come.pop() if len(self._come) == 1 else b"".join(self._come)
        self._come.clear()
        self._size = 0
        if self._is_paused:
            self._is_paused = False
            self.tcp.resume_reading()
        return come

    def send(self, head: bytes, body: bytes) -> None:
        """Send a request, or begin to: what the kernel doesn't take at once leaves as it does."""
        self._is_idle = False
        if len(body) <= ONE_PIECE_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)

    def is_writing(self) -> bool:
        """Say whether something of the request hasn't left yet."""
        return bool(self.transport.get_write_buffer_size())

    def has_come(self) -> bool:
        """Say whether something has come that nobody has taken."""
        return bool(self._come)

    def rest(self) -> None:
        """Note that the answer has come whole, and that nothing more is to come until somebody asks."""
        self._is_idle = True
        if self._come:
            self.abort()

    def is_sound(self) -> bool:
        """Say whether the next request can go over it."""
        return not (self.has_ended or self.transport.is_closing() or self._has_news())

    def abort(self) -> None:
        """Close the connection now, and wake up whoever waits. TLS's farewell could take 30 s.

        A forked child only lets go of its parent's: they have one selector for it.
        """
        if self._pid != os.getpid() or self._loop.is_closed():
            return
        self._end(ConnectionAbortedError("the connection was closed"))
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            if sock is not None:
                # A child may hold a copy, which would keep it open. By a copy of our own, since uvloop's lacks this.
                with contextlib.suppress(OSError), socket.fromfd(sock.fileno(), sock.family, sock.type) as other:
                    other.shutdown(socket.SHUT_RDWR)  # if the server hasn't closed it already
            self.transport.abort()

    def drop(self) -> None:
        """Have it closed, from whichever thread."""
        if not self.has_ended and self._pid == os.getpid():
            with contextlib.suppress(RuntimeError):  # the loop has ended, and its connections with it
                self._loop.call_soon_threadsafe(self.abort)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note what it is."""
        self.transport = transport
        self.tcp = self.tcp or transport

    def data_received(self, data: bytes) -> None:
        """Take what has come, and hold the server up when nobody wants it."""
        if self._is_idle:  # nobody asked for it, and it would pass for the answer to whoever asks next
            self.abort()
            return
        self._come.append(data)
        self._size += len(data)
        if self._size > PIECE_BYTES and not self._is_paused:
            self._is_paused = True
            self.tcp.pause_reading()  # not TLS, which would lose what it still holds when the server closes
        self._wake()

    def eof_received(self) -> None:
        """Note that nothing more comes; asyncio then closes it."""
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it is closed, and why."""
        self._end(exc)
        if self.on_end is not None:
            self.on_end(self)

    def _end(self, fault: Exception | None) -> None:
        if not self.has_ended:
            self.has_ended, self._fault = True, fault
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    def _wake(self) -> None:
        waiter, self._by = self._waiter, None  # its deadline is kept, even if the timer wakes before it does
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _has_news(self) -> bool:
        """Say whether something has come while nobody used it, its end or what nobody asked for."""
        if self._come:
            return True
        sock = self.transport.get_extra_info("socket")
        if not hasattr(select, "poll"):  # Windows
            return bool(select.select([sock], [], [], 0)[0])
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(sock, select.POLLIN)
        return bool(self._poll.poll(0))

    def _set_timer(self, by: Deadline | None) -> None:
        self._by = by
        if by is not None and (self._timer is None or by.at < self._timer_at):
            self._start_timer(by.at)

    def _start_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_later(max(at - time.monotonic(), 0), self._look)

    def _look(self) -> None:
        self._timer, by = None, self._by
        if by is None:
            return
        if by.at > time.monotonic():
            self._start_timer(by.at)
            return
        self.expired = by
        self.abort()


class PlainConnection(Connection, asyncio.BufferedProtocol):
    """One in clear. It is read into `buffer`, one for all of a loop: asyncio's own is a quarter of a MiB for a read."""

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview) -> None:
        super().__init__(loop)
        self._buffer = buffer

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """Return what is to be read into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self.data_received(bytes(self._buffer[:nbytes]))


class TlsConnection(Connection, asyncio.Protocol):
    """One over TLS. It is handed all that has been decrypted at once: what a buffer leaves over, a close may lose."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tcp: Any) -> None:
        super().__init__(loop)
        self.tcp = tcp
