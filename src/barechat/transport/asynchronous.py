"""How the async client moves bytes: over an event loop's connections, without a thread.

A library's client would do the same, and more than twice as slowly: it is made for any request, and ours are all alike
(bench/README.md). So asyncio makes the connections, and what goes over them is written and read as for the blocking
client.

What goes wrong becomes barechat's error here, once. What could have reached the server is told with it.
"""

from __future__ import annotations

import asyncio
import os
import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from barechat.errors import BarechatError
from barechat.settings import proxy_for
from barechat.steps import Deadline
from barechat.transport.async_dialer import Dialer
from barechat.transport.async_pool import Pool
from barechat.transport.common import (
    DRAIN_BYTES,
    DRAIN_S,
    Cut,
    NotHttp,
    deadline_exceeded,
    proxy_refused,
    translated,
)
from barechat.transport.http_answer import Answer
from barechat.transport.http_request import ONE_PIECE_BYTES, request_head
from barechat.transport.tls import asked_context, made_context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from barechat.settings import Certificate, Verify
    from barechat.steps import Send
    from barechat.transport.async_connection import Connection


class AsyncTransport:
    """Connections to one origin. Each event loop has its own; those of a loop that has ended are dropped."""

    def __init__(
        self, origin: str, *, verify: Verify = True, cert: Certificate | None = None, proxy: str | None = None
    ) -> None:
        parts = urlsplit(origin)
        self._origin = origin
        self._proxy = proxy_for(parts.scheme, parts.hostname or "", parts.port, proxy)
        self.proxy_headers = {} if self._proxy is None else self._proxy.headers
        self._forwarder = None if parts.scheme == "https" else self._proxy  # hands requests on without a tunnel
        speaks_tls = parts.scheme == "https" or (self._proxy is not None and self._proxy.speaks_tls)
        self._tls = asked_context(verify, cert, speaks_tls=speaks_tls)
        self._speaks_tls = speaks_tls
        self._opened: dict[asyncio.AbstractEventLoop, tuple[Pool, AsyncGenerator[object]]] = {}

    async def send(self, step: Send) -> AsyncAnswer:
        """Send a request; return its answer once the head has come.

        Raises:
            BarechatError: ConnectionFailed, DeadlineExceeded or ProtocolBroken.
        """
        loop = asyncio.get_running_loop()
        opened = self._opened.get(loop)
        pool = await self._opened_for(loop) if opened is None else opened[0]
        if pool.pid != os.getpid():
            raise BarechatError(
                "this event loop has been used in the process that this one was forked from, and the two would hear "
                "each other's answers: run another one here, as asyncio.run does"
            )
        answer = AsyncAnswer(pool, pool.idle() or await pool.connect(step.connect_by), loop)
        try:
            await answer.ask(step, request_head(step, self._forwarder))
            self._refuse_proxy(answer.status)
        except BaseException:
            answer.close()
            raise
        return answer

    async def close(self) -> None:
        """Close the running loop's connections, and drop those of loops that have ended."""
        opened = self._opened.pop(asyncio.get_running_loop(), None)
        await self._drop_ended()
        if opened is not None:
            await opened[1].aclose()

    def _refuse_proxy(self, status: int) -> None:
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED and self._proxy is not None:
            raise proxy_refused(self._proxy.url, status)  # its answer stays unread: it may repeat the password

    async def _opened_for(self, loop: asyncio.AbstractEventLoop) -> Pool:
        pools = self._open()
        pool = await anext(pools)
        self._opened[loop] = pool, pools
        await self._drop_ended()
        return pool

    async def _open(self) -> AsyncGenerator[Pool]:
        """Yield a pool, and close it at the generator's end: asyncio ends those that a loop leaves open."""
        if self._tls is None and self._speaks_tls:
            self._tls = made_context()  # not sooner: it takes 20 ms
        pool = Pool(Dialer(self._origin, self._proxy, self._tls))
        try:
            yield pool
        finally:
            pool.close()

    async def _drop_ended(self) -> None:
        for loop in list(self._opened):  # a copy: other loops run in other threads
            if loop.is_closed() and (opened := self._opened.pop(loop, None)) is not None:
                await opened[1].aclose()


class AsyncAnswer:
    """An answer. Its connection goes back to the pool by itself when its body has been read to the end."""

    def __init__(self, pool: Pool, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._pool = pool
        self._connection: Connection | None = connection  # None once it has been given back
        self._loop = loop
        self._answer = Answer()
        self._is_large = False  # the request: its end may leave long after the answer has come

    def __del__(self) -> None:
        """Close the connection of an answer that was left unread: asyncio would keep it."""
        if self._connection is not None:
            self._connection.drop()

    async def ask(self, step: Send, head: bytes) -> None:
        """Send a request, and wait for the answer's head.

        Raises:
            BarechatError: ConnectionFailed, DeadlineExceeded or ProtocolBroken.
        """
        connection, answer, by = self._connection, self._answer, step.head_by
        assert connection is not None  # noqa: S101 - its answer hasn't come yet
        if by is not None and by.at <= time.monotonic():
            raise deadline_exceeded(by, sent=False)
        self._is_large = len(step.body) > ONE_PIECE_BYTES
        step.leaving()
        try:
            connection.send(head, step.body)
            while not answer.take_head(await connection.receive(by)):
                pass
        except (Cut, NotHttp, OSError) as error:
            raise translated(error, sent=None, expired=connection.expired) from error
        self.status, self.headers = answer.status, answer.headers

    async def read(self, by: Deadline | None) -> bytes:
        """Return whatever bytes have come, b"" at the end.

        Raises:
            BarechatError: ConnectionFailed, DeadlineExceeded or ProtocolBroken.
        """
        connection, answer = self._connection, self._answer
        if connection is None:
            return b""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("a stream is read on the event loop on which it began")
        try:
            data = answer.rest()
            while not data and not answer.is_whole:
                data = answer.take(await connection.receive(by))
        except (Cut, NotHttp, OSError) as error:
            raise translated(error, sent=True, expired=connection.expired) from error
        if answer.is_whole:
            self._give_back(connection)
        return data

    async def drain(self) -> bytes:
        """Read the little that may follow the answer, so that the connection can be used again; return it."""
        by = Deadline(time.monotonic() + DRAIN_S, "idle", DRAIN_S)
        rest = b""
        try:
            while len(rest) < DRAIN_BYTES and (data := await self.read(by)):
                rest += data
        except BarechatError:
            pass  # the answer is whole; only the connection is lost, and `close` sees to that
        return rest

    def close(self) -> None:
        """Close the connection if the body wasn't read to the end, and wake up whoever reads."""
        connection = self._connection
        if connection is not None:
            connection.abort()

    def _give_back(self, connection: Connection) -> None:
        self._connection = None
        # To half a question, whose other half would go before the next one. Over TLS nobody knows how much has left.
        is_half_sent = connection.is_writing() or (self._is_large and self.status >= HTTPStatus.MULTIPLE_CHOICES)
        if is_half_sent or connection.has_ended or not self._answer.keeps_connection:
            connection.abort()
        else:
            self._pool.keep(connection)
