"""How the async client moves bytes: aiohttp's connections, with our own timers.

aiohttp's session would do the same, and more than twice as slowly: it is made for any request, and ours are all alike
(bench/README.md). So its connector finds the connections, its parser reads the answers, and the rest is here.

Foreign exceptions become barechat's here, narrowly, each once. What could have reached the server is told with them.
"""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD

from barechat.errors import BarechatError, ConnectionFailed, ProtocolBroken
from barechat.settings import proxy_for
from barechat.steps import Deadline
from barechat.transport.common import (
    DRAIN_BYTES,
    DRAIN_S,
    deadline_exceeded,
    merged,
    proxy_failed,
    proxy_refused,
    tls_fault,
    tls_refused,
)
from barechat.transport.handler import Connector, handler_of
from barechat.transport.http_request import ONE_PIECE_BYTES, request_head
from barechat.transport.tls import asked_context, made_context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from aiohttp.connector import Connection
    from aiohttp.streams import StreamReader

    from barechat.settings import Certificate, Proxy, Verify
    from barechat.steps import Send


class AsyncTransport:
    """Connections to one origin. Each event loop has its own; those of a loop that has ended are dropped."""

    def __init__(
        self, origin: str, *, verify: Verify = True, cert: Certificate | None = None, proxy: str | None = None
    ) -> None:
        parts = urlsplit(origin)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._proxy = proxy_for(parts.scheme, parts.hostname or "", parts.port, proxy)
        self._tunnels = self._proxy is not None and parts.scheme == "https"
        speaks_tls = parts.scheme == "https" or (self._proxy is not None and self._proxy.speaks_tls)
        self._tls = asked_context(verify, cert, speaks_tls=speaks_tls)
        if self._tls is None and speaks_tls:
            self._tls = made_context()  # aiohttp makes its own when imported, and then knows no SSL_CERT_DIR
        self._opened: dict[asyncio.AbstractEventLoop, tuple[Connector, AsyncGenerator[object]]] = {}

    async def send(self, step: Send) -> AsyncAnswer:
        """Send a request; return its answer once the head has come.

        Raises:
            BarechatError: ConnectionFailed, DeadlineExceeded or ProtocolBroken.
        """
        loop = asyncio.get_running_loop()
        pool = await self._pool(loop)
        answer = AsyncAnswer(await self._connection(pool, step.connect_by), loop)
        try:
            await self._ask(answer, step)
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

    async def _connection(self, pool: Connector, by: Deadline | None) -> Connection:
        """Return a connection, idle or new."""
        fault: BarechatError
        cause: Exception
        try:
            return await pool.connection(by)
        except TimeoutError as error:
            assert by is not None  # noqa: S101 - the pool was given this very one
            fault, cause = deadline_exceeded(by, sent=False), error
        except (aiohttp.ClientError, OSError, UnicodeError) as error:  # the last from a name that DNS can't carry
            fault, cause = _translated(error, sent=False, proxy=self._proxy), error
        # Out here, so that a ClientResponseError is no part of it: that one's repr shows all headers, the key's too.
        raise fault from (None if isinstance(cause, aiohttp.ClientResponseError) else cause)

    async def _ask(self, answer: AsyncAnswer, step: Send) -> None:
        by = step.head_by
        if by is not None and by.at <= time.monotonic():
            raise deadline_exceeded(by, sent=False)
        step.leaving()
        await answer.begin(request_head(step, None if self._tunnels else self._proxy), step.body, by)
        if answer.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED and self._proxy is not None:
            raise proxy_refused(self._proxy.url, answer.status)  # unread: it may repeat the password

    def _proxy_headers(self) -> dict[str, str]:
        authorization = None if self._proxy is None else self._proxy.authorization
        return {} if authorization is None else {"Proxy-Authorization": authorization}

    async def _pool(self, loop: asyncio.AbstractEventLoop) -> Connector:
        opened = self._opened.get(loop)
        if opened is None:
            pools = self._open()
            opened = self._opened[loop] = await anext(pools), pools
            await self._drop_ended()
        return opened[0]

    async def _open(self) -> AsyncGenerator[Connector]:
        """Yield a pool, and close it at the generator's end: asyncio ends those that a loop leaves open."""
        pool = Connector(
            self._origin,
            tls=self._tls,
            proxy=None if self._proxy is None else self._proxy.url,
            proxy_headers=self._proxy_headers() if self._tunnels else None,
        )
        try:
            yield pool
        finally:
            await pool.close()

    async def _drop_ended(self) -> None:
        for loop in list(self._opened):  # a copy: other loops run in other threads
            if loop.is_closed() and (opened := self._opened.pop(loop, None)) is not None:
                await opened[1].aclose()


class AsyncAnswer:
    """An answer. Its connection goes back to the pool by itself when its body has been read to the end.

    One timer serves all that it waits for; a deadline that has moved on is looked at when the timer wakes.
    """

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._connection = connection
        self._handler = handler_of(connection)
        self._content: StreamReader = EMPTY_PAYLOAD
        self._is_large = False  # the request: its end may leave long after the answer has come
        self._loop = loop
        self._by: Deadline | None = None
        self._broken: HttpProcessingError | None = None  # why the body's end is none
        self._rung: Deadline | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    async def begin(self, head: bytes, body: bytes, by: Deadline | None) -> None:
        """Send a request, and wait for the answer's head.

        Raises:
            BarechatError: ConnectionFailed, DeadlineExceeded or ProtocolBroken.
        """
        self._is_large = len(body) > ONE_PIECE_BYTES
        self._set_timer(by)
        try:
            message, content = await self._handler.ask(head, body)
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            raise self._fault(error, sent=None) from error
        finally:
            self._by = None
        self.status, self._content = message.code, content
        self.headers = merged(message.raw_headers)
        content.on_eof(self._give_back)

    async def read(self, by: Deadline | None) -> bytes:
        """Return whatever bytes have come, b"" at the end.

        Raises:
            BarechatError: ConnectionFailed, DeadlineExceeded or ProtocolBroken.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("a stream is read on the event loop on which it began")
        self._set_timer(by)
        try:
            data = await self._content.readany()
            if not data and self._broken is not None:
                raise self._broken
            return data
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            raise self._fault(error, sent=True) from error
        except RuntimeError as error:
            # aiohttp's own, where the end of a chunk wakes the reader up, and the answer is closed before it reads on
            if self._content.exception() is None:
                raise
            raise self._fault(error, sent=True) from error
        finally:
            self._by = None

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
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._connection.close()  # nothing, once it has been given back
        content = self._content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientConnectionError("the connection was closed"))

    def _give_back(self) -> None:
        self._broken = self._handler.body_fault
        # To half a question, whose other half would go before the next one. Over TLS nobody knows how much has left.
        if self._handler.is_writing() or (self._is_large and self.status >= HTTPStatus.MULTIPLE_CHOICES):
            self._connection.close()
        else:
            self._handler.rest()
            self._connection.release()

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
        self._rung = by
        self.close()

    def _fault(self, error: Exception, *, sent: bool | None) -> BarechatError:
        if self._rung is not None:
            return deadline_exceeded(self._rung, sent=sent)
        return _translated(error, sent=sent)


def _not_http(message: str) -> ProtocolBroken:
    return ProtocolBroken(f"the server's answer is not HTTP: {' '.join(message.split())[:200]}")


def _translated(error: Exception, sent: bool | None, proxy: Proxy | None = None) -> BarechatError:  # noqa: FBT001 - a fact, not a switch
    """Return what a foreign exception means."""
    if (refused := tls_fault(error)) is not None:
        return tls_refused(refused)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        assert proxy is not None  # noqa: S101 - it is the proxy's refusal
        return proxy_refused(proxy.url, error.status)
    reason = _why(error)
    if proxy is not None and sent is False:
        return proxy_failed(proxy.url, reason)
    if isinstance(error, HttpProcessingError | aiohttp.ClientResponseError):
        return _not_http(reason)
    if sent is False or isinstance(error, aiohttp.ClientConnectorError):
        return ConnectionFailed(f"could not connect: {reason}. Nothing was sent.", sent=False)
    is_silent = isinstance(error, aiohttp.ServerDisconnectedError)
    what = "the server closed the connection without an answer" if is_silent else f"the connection broke: {reason}"
    return ConnectionFailed(what, sent=sent)


def _why(error: Exception) -> str:
    """Return the reason alone, without what aiohttp puts around it: the URL, an SSLContext's address."""
    if isinstance(error, HttpProcessingError | aiohttp.ClientResponseError):
        return error.message
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error)
    return str(error) or type(error).__name__
