"""How the async transport connects: by a deadline, through a proxy or not, over TLS or not.

asyncio does it, and aiohappyeyeballs where a name has several addresses (RFC 8305).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from copy import copy
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import aiohappyeyeballs

from barechat.errors import BarechatError
from barechat.transport.async_connection import Connection, PlainConnection, TlsConnection
from barechat.transport.common import (
    PIECE_BYTES,
    Cut,
    NotHttp,
    proxy_failed,
    proxy_refused,
    tls_fault,
    translated,
)
from barechat.transport.http_answer import Answer
from barechat.transport.http_request import tunnel_request
from barechat.transport.names import Addresses, addresses_of, look_up

if TYPE_CHECKING:
    import ssl

    from barechat.settings import Proxy
    from barechat.steps import Deadline

_NEXT_ADDRESS_S = 0.25  # till the next address is tried beside the last one (RFC 8305, section 5)
_PORTS = {"http": 80, "https": 443}
_Found = Addresses | OSError | UnicodeError


class Dialer:
    """The way to one origin, from the running loop. `tls` is for the server and the proxy, where they speak it."""

    def __init__(self, origin: str, proxy: Proxy | None, tls: ssl.SSLContext | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = urlsplit(origin)
        self._proxy = proxy
        self._first = self._server if proxy is None else urlsplit(proxy.url)
        self._tls = tls
        self._buffer = memoryview(bytearray(PIECE_BYTES))
        self._looking_up: asyncio.Future[_Found] | None = None

    async def connect(self, by: Deadline | None) -> Connection:
        """Return a new connection.

        Raises:
            BarechatError: ConnectionFailed or DeadlineExceeded; nothing was sent.
        """
        limit = asyncio.timeout(None if by is None else max(by.at - time.monotonic(), 0))
        try:
            async with limit:
                return await self._connected()
        except (BarechatError, Cut, NotHttp, OSError, UnicodeError) as error:  # the last: a name that DNS can't carry
            fault = self._fault(error, by if limit.expired() else None)
            if fault is error:
                raise
            cause = tls_fault(error) or error
        raise fault from (None if isinstance(cause, NotHttp) else cause)  # out here, to be no part of what it hides

    async def _connected(self) -> Connection:
        first, server, proxy = self._first, self._server, self._proxy
        sock = await aiohappyeyeballs.start_connection(
            await self._addresses(first.hostname or "", _port(first)), happy_eyeballs_delay=_NEXT_ADDRESS_S
        )
        plain = PlainConnection(self._loop, self._buffer)
        await self._loop.create_connection(lambda: plain, sock=sock)
        connection: Connection = plain
        try:
            if first.scheme == "https":
                connection = await self._secured(connection, first)
            if proxy is not None and server.scheme == "https":
                await self._tunnel(connection, proxy)
                connection = await self._secured(connection, server)
        except BaseException:
            plain.abort()  # and all TLS above it
            raise
        return connection

    async def _secured(self, connection: Connection, server: SplitResult) -> Connection:
        """Speak TLS with a server over a connection to it."""
        if connection.has_come():
            raise ConnectionAbortedError("something came before TLS had begun")
        secured = TlsConnection(self._loop, connection.tcp)
        assert self._tls is not None  # noqa: S101 - whoever speaks TLS has been given it
        transport = await self._loop.start_tls(
            connection.transport,
            secured,
            self._tls,
            server_hostname=(server.hostname or "").rstrip(".").partition("%")[0],
        )
        if transport is None:
            raise ConnectionAbortedError("the connection was closed as TLS began")
        secured.connection_made(transport)
        return secured

    async def _tunnel(self, connection: Connection, proxy: Proxy) -> None:
        """Have the proxy let us through to the server."""
        connection.send(tunnel_request(self._server.hostname or "", _port(self._server), proxy.headers), b"")
        answer = Answer()
        while not answer.take_head(await connection.receive(None)):
            pass
        if answer.status != HTTPStatus.OK:
            raise proxy_refused(proxy.url, answer.status)

    async def _addresses(self, host: str, port: int) -> Addresses:
        """Return a host's addresses. Those who ask at once share one look-up, and none waits for it after its end.

        asyncio's own asks the loop's executor, which asyncio.run waits for.
        """
        if (addresses := addresses_of(host, port)) is not None:
            return addresses
        if self._looking_up is None:
            self._looking_up = self._loop.create_future()
            look_up(host, port, self._tell)
        found = await asyncio.shield(self._looking_up)
        if isinstance(found, (OSError, UnicodeError)):
            raise copy(found)  # each its own: it collects the traceback of all who raise it
        return found

    def _tell(self, found: _Found) -> None:
        """Hand what was found over to the loop, from the thread that looked it up."""
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._take, found)

    def _take(self, found: _Found) -> None:
        looking_up, self._looking_up = self._looking_up, None
        if looking_up is not None and not looking_up.done():
            looking_up.set_result(found)

    def _fault(self, error: Exception, expired: Deadline | None) -> BarechatError:
        is_refused = isinstance(error, BarechatError) or tls_fault(error) is not None
        if self._proxy is None or expired is not None or is_refused:
            return translated(error, sent=False, expired=expired, server=self._server.netloc)
        return proxy_failed(self._proxy.url, error)


def _port(server: SplitResult) -> int:
    return server.port or _PORTS[server.scheme]
