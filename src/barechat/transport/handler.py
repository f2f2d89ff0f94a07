"""What aiohttp's connections lack: the shared judge of heads, answers apart from what follows, a test when idle.

And names that are looked up where nobody has to wait for the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import select
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError

from barechat.transport.heads import fault_of_head, head_end, is_interim
from barechat.transport.names import Addresses, look_up

if TYPE_CHECKING:
    from aiohttp.connector import Connection


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool, whose idle connections are tested before they are used.

    The loop may not have heard yet that the server has closed one, and the call would fail.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(resolver=_Resolver(), **options)
        loop = asyncio.get_running_loop()
        self._factory = functools.partial(Handler, loop)  # type: ignore[assignment]  # a subclass's

    async def _get(self, key: Any, traces: Any) -> Connection | None:
        for idle, _ in self._conns.get(key, ()):
            if idle.is_connected() and not _has_news(idle):
                break
            idle.abort()  # the pool then passes it over
        return await super()._get(key, traces)


class Handler(ResponseHandler):
    """aiohttp's end of a connection, which reads a head by itself and has it judged."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._pid = os.getpid()
        self._awaited: bytearray | None = bytearray()  # what has come of a head; None once it has come whole

    def set_response_params(self, **parameters: Any) -> None:
        """Get ready for the next answer."""
        self._awaited = bytearray()
        super().set_response_params(**parameters)

    def data_received(self, data: bytes) -> None:
        """Take what has come. The head goes in by itself, once it has been judged.

        By itself, since aiohttp's parser would give up a whole answer for what follows it in the same piece.
        """
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


def _has_news(idle: ResponseHandler) -> bool:
    """Say whether something has come over a connection that nobody uses: its end, or what nobody asked for."""
    sock = None if idle.transport is None else idle.transport.get_extra_info("socket")
    if sock is None:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
