"""What aiohttp's connections lack: the shared judge of heads, answers apart from what follows, a test when idle.

And names that are looked up where nobody has to wait for the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import select
import socket
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError

from barechat.transport.heads import INTERIM, fault_of_head, head_end, is_interim
from barechat.transport.http_request import ONE_PIECE_BYTES
from barechat.transport.names import Addresses, look_up

if TYPE_CHECKING:
    import ssl

    from aiohttp.connector import Connection
    from aiohttp.http import RawResponseMessage
    from aiohttp.streams import StreamReader

    from barechat.steps import Deadline

KEPT_S = 15.0  # that a connection is kept while nobody uses it: as long as aiohttp does
_MAX_HEADER_BYTES = 65536


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool of connections to one origin, idle ones being tested before they are used.

    The loop may not have heard yet that the server has closed one, and the call would fail.
    """

    def __init__(
        self, origin: str, *, tls: ssl.SSLContext | None, proxy: str | None, proxy_headers: dict[str, str] | None
    ) -> None:
        # How many at once is the caller's choice.
        super().__init__(resolver=_Resolver(), limit=0, ssl=tls or True, keepalive_timeout=KEPT_S)
        loop = asyncio.get_running_loop()
        self._factory = functools.partial(Handler, loop)  # type: ignore[assignment]  # a subclass's
        self._request = functools.partial(  # one for each new connection, since aiohttp writes into it
            aiohttp.ClientRequest,
            "POST",
            yarl.URL(origin, encoded=True),
            loop=loop,
            proxy=None if proxy is None else yarl.URL(proxy),
            proxy_headers=proxy_headers,
        )
        self._key = self._request().connection_key

    async def connection(self, by: Deadline | None) -> Connection:
        """Return an idle connection, or make one."""
        return await self._get(self._key, []) or await self.connect(self._request(), [], _timeout(by, time.monotonic()))

    async def _get(self, key: Any, traces: Any) -> Connection | None:
        oldest = time.monotonic() - KEPT_S
        for idle, since in self._conns.get(key, ()):
            if since >= oldest and isinstance(idle, Handler) and idle.is_sound():
                break
            idle.abort()  # the pool then passes it over
        return await super()._get(key, traces)


class Handler(ResponseHandler):
    """aiohttp's end of a connection, which reads a head by itself and has it judged."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._pid = os.getpid()
        self.body_fault: HttpProcessingError | None = None  # why the last answer's body ended, where it wasn't whole
        self._poll: select.poll | None = None  # for what comes while nobody uses it
        self._awaited: bytearray | None = bytearray()  # what has come of a head; None once it has come whole
        self._is_idle = False

    def set_response_params(self, **parameters: Any) -> None:
        """Get ready for the next answer."""
        self._awaited, self._is_idle = bytearray(), False
        super().set_response_params(**parameters)

    async def ask(self, head: bytes, body: bytes) -> tuple[RawResponseMessage, StreamReader]:
        """Send a request; return its answer's head, and whence its body will come."""
        self.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )
        self.body_fault = None
        assert self.transport is not None  # noqa: S101 - the pool hands out none that is closed
        if len(body) <= ONE_PIECE_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)
        while True:
            message, content = await self.read()
            if message.code not in INTERIM:
                return message, content

    def is_writing(self) -> bool:
        """Say whether something of the request hasn't left yet."""
        return self.transport is not None and bool(self.transport.get_write_buffer_size())

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Tell whoever waits of a fault: a body's reader too, whom aiohttp's compiled parser lets wait for ever.

        The reader gets what came before the fault, and then an end; `body_fault` says that it is none.
        """
        super().set_exception(exc, *(() if exc_cause is None else (exc_cause,)))
        content = self._payload
        if isinstance(exc, HttpProcessingError) and content is not None and not content.is_eof():
            self.body_fault, self._payload = exc, None
            content.feed_eof()

    def data_received(self, data: bytes) -> None:
        """Take what has come. The head goes in by itself, once it has been judged.

        By itself, since aiohttp's parser would give up a whole answer for what follows it in the same piece.
        """
        if self._is_idle and data:  # nobody asked for it, and it would pass for the answer to whoever asks next
            self.abort()
            return
        while data and self._awaited is not None:
            seen = len(self._awaited)
            self._awaited += data
            end = head_end(self._awaited, seen)
            if end < 0:
                break
            head, data = bytes(self._awaited[:end]), bytes(self._awaited[end:])
            fault = fault_of_head(head)
            if fault is not None:
                self._refuse(fault)
                return
            self._awaited = bytearray() if is_interim(head) else None
            super().data_received(head[seen:])
        if data:
            super().data_received(data)

    def rest(self) -> None:
        """Note that its answer has come whole, and that nothing more is to come until somebody asks."""
        self._is_idle = True

    def is_sound(self) -> bool:
        """Say whether the next request can go over it."""
        return self.is_connected() and not self.should_close and not self._has_news()

    def _has_news(self) -> bool:
        """Say whether something has come while nobody used it, its end or what nobody asked for."""
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        if sock is None:
            return True
        if not hasattr(select, "poll"):  # Windows
            return bool(select.select([sock], [], [], 0)[0])
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(sock, select.POLLIN)
        return bool(self._poll.poll(0))

    def abort(self) -> None:
        """Close the connection now. A forked child only lets go of its parent's: they have one selector for it."""
        if self._pid != os.getpid() or self._loop.is_closed():
            self.transport = None
            return
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):  # the server has closed it already
                sock.shutdown(socket.SHUT_RDWR)  # a child may hold a copy, which would keep it open
        super().abort()

    def close(self) -> None:
        """As `abort`: TLS's farewell would take up to 30 s, if the server doesn't answer it."""
        self.abort()

    def _refuse(self, fault: str) -> None:
        if self.transport is not None:
            self.transport.close()
        self.set_exception(HttpProcessingError(message=fault))


class _Resolver(AbstractResolver):
    """aiohttp's own asks the loop's executor, which asyncio.run waits for."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        """Return the host's addresses."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Addresses] = loop.create_future()

        def answer(found: Addresses | OSError | UnicodeError) -> None:
            if answered.done():  # nobody waits any more
                return
            if isinstance(found, (OSError, UnicodeError)):
                answered.set_exception(found)
            else:
                answered.set_result(found)

        def tell(found: Addresses | OSError | UnicodeError) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(answer, found)

        look_up(host, port, tell, family)
        return [
            ResolveResult(
                hostname=host,
                host=f"{address[0]}%{address[3]}" if kind == socket.AF_INET6 and address[3] else address[0],
                port=address[1],
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in await answered
        ]

    async def close(self) -> None:
        """Nothing is kept."""


def handler_of(connection: Connection) -> Handler:
    """Return a connection's end that is ours."""
    handler = connection.protocol
    assert isinstance(handler, Handler)  # noqa: S101 - the pool makes no others
    return handler


def _timeout(by: Deadline | None, now: float) -> aiohttp.ClientTimeout:
    """Return what aiohttp itself is to time: connecting alone, and to the fraction of a second."""
    connect_s = None if by is None else max(by.at - now, 1e-3)
    return aiohttp.ClientTimeout(total=None, connect=connect_s, sock_read=None, ceil_threshold=math.inf)
