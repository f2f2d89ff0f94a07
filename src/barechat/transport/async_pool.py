"""Which of an event loop's connections may the next request have? Those to one origin, kept while nobody uses them."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barechat.steps import Deadline
    from barechat.transport.async_connection import Connection
    from barechat.transport.async_dialer import Dialer

KEPT_S = 15.0  # that a connection is kept while nobody uses it


class Pool:
    """Connections to one origin, on the running loop. How many at once is the caller's choice."""

    def __init__(self, dialer: Dialer) -> None:
        self.pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._dialer = dialer
        self._open: set[Connection] = set()
        self._idle: deque[tuple[float, Connection]] = deque()  # since when; the last one is used first
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def idle(self) -> Connection | None:
        """Return a connection that nobody uses, tested: the loop may not have heard yet that the server closed it."""
        oldest = time.monotonic() - KEPT_S
        while self._idle:
            since, connection = self._idle.pop()
            if since > oldest and connection.is_sound():
                return connection
            connection.abort()
        return None

    async def connect(self, by: Deadline | None) -> Connection:
        """Return a new connection.

        Raises:
            BarechatError: ConnectionFailed or DeadlineExceeded; nothing was sent.
        """
        connection = await self._dialer.connect(by)
        if self._is_closed:
            connection.abort()
        elif not connection.has_ended:
            self._open.add(connection)
            connection.on_end = self._open.discard
        return connection

    def keep(self, connection: Connection) -> None:
        """Take a connection back whose answer has come whole."""
        if self._is_closed:
            connection.abort()
            return
        connection.rest()
        self._idle.append((time.monotonic(), connection))
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(KEPT_S, self._sweep)

    def close(self) -> None:
        """Close all connections, those that are used too."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._idle.clear()
        for connection in list(self._open):
            connection.abort()

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        oldest = time.monotonic() - KEPT_S
        while self._idle and self._idle[0][0] <= oldest:
            self._idle.popleft()[1].abort()
        self._sweeper = self._loop.call_later(self._idle[0][0] - oldest, self._sweep) if self._idle else None
