"""How the async client moves bytes: aiohttp's connections, with our own timers.

Foreign exceptions become barechat's here, narrowly, each once. What could have reached the server is told with them.
"""

from __future__ import annotations

import asyncio
import math
import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import yarl
from aiohttp.http import HttpProcessingError

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
from barechat.transport.handler import Connector
from barechat.transport.tls import asked_context, made_context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.client_proto import ResponseHandler

    from barechat.settings import Certificate, Proxy, Verify
    from barechat.steps import Send

_MAX_HEADER_BYTES = 65536


class AsyncTransport:
    """Connections to one origin. Each event loop has its own; those of a loop that has ended are dropped."""

    def __init__(
        self, origin: str, *, verify: Verify = True, cert: Certificate | None = None, proxy: str | None = None
    ) -> None:
        parts = urlsplit(origin)
        self._proxy = proxy_for(parts.scheme, parts.hostname or "", parts.port, proxy)
        self._tunnels = self._proxy is not None and parts.scheme == "https"
        speaks_tls = parts.scheme == "https" or (self._proxy is not None and self._proxy.speaks_tls)
        self._tls = asked_context(verify, cert, speaks_tls=speaks_tls)
        if self._tls is None and speaks_tls:
            self._tls = made_context()  # aiohttp makes its own when imported, and then knows no SSL_CERT_DIR
        self._opened: dict[asyncio.AbstractEventLoop, tuple[aiohttp.ClientSession, AsyncGenerator[object]]] = {}

    async def send(self, step: Send) -> AsyncAnswer:
        """Send a request; return its answer once the head has come.

        Raises:
            BarechatError: ConnectionFailed, DeadlineExceeded or ProtocolBroken.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        body = _Body(step.body, step.leaving)
        fault: BarechatError
        cause: Exception | None
        connect_by, head_by = step.connect_by, step.head_by
        try:
            async with asyncio.timeout_at(None if head_by is None else loop.time() + head_by.at - now):
                response = await (await self._session(loop)).post(
                    yarl.URL(step.url, encoded=True),
                    data=body,
                    headers=step.headers if self._tunnels else {**step.headers, **self._proxy_headers()},
                    allow_redirects=False,
                    proxy=None if self._proxy is None else self._proxy.url,
                    proxy_headers=self._proxy_headers() if self._tunnels else None,
                    timeout=_timeout(connect_by, now),
                )
            if response.status != HTTPStatus.PROXY_AUTHENTICATION_REQUIRED or self._proxy is None:
                return AsyncAnswer(response, loop)
            response.close()  # unread: it may repeat the password
            fault, cause = proxy_refused(self._proxy.url, response.status), None
        except aiohttp.ConnectionTimeoutError as error:
            assert connect_by is not None  # noqa: S101 - aiohttp was given this very one
            fault, cause = deadline_exceeded(connect_by, sent=False), error
        except aiohttp.ClientError as error:
            fault, cause = _translated(error, body.sent, self._proxy), error
        except TimeoutError as error:
            assert head_by is not None  # noqa: S101 - likewise
            fault, cause = deadline_exceeded(head_by, sent=body.sent), error
        except (OSError, UnicodeError) as error:  # the latter from a host's name that DNS can't carry
            fault, cause = _translated(error, body.sent, self._proxy), error
        # Out here, so that a ClientResponseError is no part of it: that one's repr shows all headers, the key's too.
        raise fault from (None if isinstance(cause, aiohttp.ClientResponseError) else cause)

    async def close(self) -> None:
        """Close the running loop's connections, and drop those of loops that have ended."""
        opened = self._opened.pop(asyncio.get_running_loop(), None)
        await self._drop_ended()
        if opened is not None:
            await opened[1].aclose()

    def _proxy_headers(self) -> dict[str, str]:
        authorization = None if self._proxy is None else self._proxy.authorization
        return {} if authorization is None else {"Proxy-Authorization": authorization}

    async def _session(self, loop: asyncio.AbstractEventLoop) -> aiohttp.ClientSession:
        opened = self._opened.get(loop)
        if opened is None:
            sessions = self._open()
            opened = self._opened[loop] = await anext(sessions), sessions
            await self._drop_ended()
        return opened[0]

    async def _open(self) -> AsyncGenerator[aiohttp.ClientSession]:
        """Yield a session, and close it at the generator's end: asyncio ends those that a loop leaves open."""
        session = aiohttp.ClientSession(
            connector=Connector(limit=0, ssl=self._tls or True),  # how many at once is the caller's choice
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,  # it would read .netrc, and send what it finds there
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )
        try:
            yield session
        finally:
            await session.close()

    async def _drop_ended(self) -> None:
        for loop in list(self._opened):  # a copy: other loops run in other threads
            if loop.is_closed() and (opened := self._opened.pop(loop, None)) is not None:
                await opened[1].aclose()


class AsyncAnswer:
    """An answer whose head has come. It goes back to the pool by itself when its body has been read to the end."""

    def __init__(self, response: aiohttp.ClientResponse, loop: asyncio.AbstractEventLoop) -> None:
        self.status: int = response.status
        raw = response.raw_headers
        self.headers: Mapping[str, str] = merged((name.decode("latin-1"), value) for name, value in raw)
        self._response = response
        self._loop = loop
        self._alarm = _Alarm(response, loop)
        if response.connection is not None and response.connection.protocol is not None:
            _tell_reader_of_faults(response.content, response.connection.protocol)

    async def read(self, by: Deadline | None) -> bytes:
        """Return whatever bytes have come, b"" at the end.

        Raises:
            BarechatError: ConnectionFailed, DeadlineExceeded or ProtocolBroken.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("a stream is read on the event loop on which it began")
        alarm, content = self._alarm, self._response.content
        alarm.set(by)
        try:
            return await content.readany()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            # aiohttp's own, where the end of a chunk wakes the reader up, and the answer is closed before it reads on
            if isinstance(error, RuntimeError) and content.exception() is None:
                raise
            if alarm.rung is not None:
                raise deadline_exceeded(alarm.rung, sent=True) from error
            raise _translated(error, sent=True) from error
        finally:
            alarm.set(None)

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
        """Close the connection if the body wasn't read to the end."""
        self._alarm.cancel()
        connection = self._response.connection
        self._response.close()
        if connection is not None and self._loop.is_closed():  # where the response lets its connection be
            connection.close()


def _tell_reader_of_faults(content: aiohttp.StreamReader, protocol: ResponseHandler) -> None:
    """Wake the body's reader up when the connection is closed for broken HTTP.

    aiohttp 3.14's compiled parser tells only whoever waits for the next answer's head, and a body's reader would wait
    for ever.
    """

    def tell(_: object) -> None:
        fault = protocol.exception()
        if isinstance(fault, HttpProcessingError) and not content.is_eof() and content.exception() is None:
            content.set_exception(_not_http(fault.message))

    def forget() -> None:  # the connection may outlive many answers
        if closed is not None:
            closed.remove_done_callback(tell)

    closed = protocol.closed
    if closed is None:  # it is closed already
        tell(None)
    else:
        closed.add_done_callback(tell)
        content.on_eof(forget)


class _Alarm:
    """One timer for all reads of an answer; a deadline that moves on is looked at when the timer wakes."""

    def __init__(self, response: aiohttp.ClientResponse, loop: asyncio.AbstractEventLoop) -> None:
        self.rung: Deadline | None = None
        self._response = response
        self._loop = loop
        self._deadline: Deadline | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def set(self, deadline: Deadline | None) -> None:
        """Ring at `deadline`, or not at all."""
        self._deadline = deadline
        if deadline is not None and (self._timer is None or deadline.at < self._timer_at):
            self._start(deadline.at)

    def cancel(self) -> None:
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_later(max(at - time.monotonic(), 0), self._look)

    def _look(self) -> None:
        self._timer = None
        deadline = self._deadline
        if deadline is None:
            return
        if deadline.at > time.monotonic():
            self._start(deadline.at)
            return
        self.rung = deadline
        self._response.close()  # wakes the reader up


class _Body(aiohttp.Payload):
    """A request's body that knows whether it has begun to leave."""

    _value: bytes
    _autoclose = True  # there is nothing to close

    def __init__(self, data: bytes, leaving: Callable[[], object]) -> None:
        super().__init__(data)
        self._size = len(data)
        self._leaving = leaving
        self.sent: bool | None = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._leaving()
        self.sent = None
        await writer.write(self._value)


def _timeout(connect_by: Deadline | None, now: float) -> aiohttp.ClientTimeout:
    """Return what aiohttp itself is to time: connecting alone, and to the fraction of a second."""
    connect_s = None if connect_by is None else max(connect_by.at - now, 1e-3)
    return aiohttp.ClientTimeout(total=None, connect=connect_s, sock_read=None, ceil_threshold=math.inf)


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
    if isinstance(error, aiohttp.ClientResponseError):
        return _not_http(reason)
    if sent is False or isinstance(error, aiohttp.ClientConnectorError):
        return ConnectionFailed(f"could not connect: {reason}. Nothing was sent.", sent=False)
    is_silent = isinstance(error, aiohttp.ServerDisconnectedError)
    what = "the server closed the connection without an answer" if is_silent else f"the connection broke: {reason}"
    return ConnectionFailed(what, sent=sent)


def _why(error: Exception) -> str:
    """Return the reason alone, without what aiohttp puts around it: the URL, an SSLContext's address."""
    if isinstance(error, aiohttp.ClientResponseError):
        return error.message
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error)
    return str(error) or type(error).__name__
