"""How the blocking client moves bytes: urllib3's connections, under a watchdog that makes deadlines hold.

urllib3's urlopen would do the same, and twice as slowly: it is made for any request, and ours are all alike. So its
pool finds and makes the connections, `http_request.py` and `http_answer.py` write and read what goes over them, and the
rest is here.

Foreign exceptions become barechat's here, narrowly, each once. What could have reached the server is told with them.
"""

from __future__ import annotations

import os
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from urllib3.exceptions import ClosedPoolError, HTTPError

from barechat.errors import BarechatError, ConnectionFailed
from barechat.settings import proxy_for
from barechat.steps import Deadline
from barechat.transport.common import (
    DRAIN_BYTES,
    DRAIN_S,
    PIECE_BYTES,
    Cut,
    NotHttp,
    deadline_exceeded,
    proxy_refused,
    tls_fault,
    translated,
)
from barechat.transport.connections import pool_for
from barechat.transport.http_answer import Answer
from barechat.transport.http_request import request_head, send_request
from barechat.transport.tls import asked_context, made_context
from barechat.transport.watchdog import Flight

if TYPE_CHECKING:
    import socket

    from urllib3.connectionpool import HTTPConnectionPool

    from barechat.settings import Certificate, Verify
    from barechat.steps import Send, Tell

_FOREIGN = (BarechatError, Cut, NotHttp, HTTPError, OSError, ValueError)  # and our own, for what they mean in time


class BlockingTransport:
    """Connections to one origin, shared by threads; a forked child drops them and makes its own."""

    def __init__(
        self, origin: str, *, verify: Verify = True, cert: Certificate | None = None, proxy: str | None = None
    ) -> None:
        self._origin = parts = urlsplit(origin)
        self._proxy = proxy_for(parts.scheme, parts.hostname or "", parts.port, proxy)
        self.proxy_headers = {} if self._proxy is None else self._proxy.headers
        self._speaks_tls = parts.scheme == "https" or (self._proxy is not None and self._proxy.speaks_tls)
        self._tls = asked_context(verify, cert, speaks_tls=self._speaks_tls)
        self._pools: dict[int, HTTPConnectionPool] = {}  # by the process that made it

    def send(self, step: Send, tell: Tell = lambda _: None) -> BlockingAnswer:
        """Send a request; return its answer once the head has come.

        `tell` is told whom to wake if the call is closed meanwhile; the request then ends as a failed connection.

        Raises:
            ConnectionFailed, DeadlineExceeded, ProtocolBroken
        """
        flight = Flight(step.connect_by, step.head_by, tell, step.leaving)
        tell(flight.cut)
        connection: Any = None
        try:
            pool, connection = self._connection()
            answer = self._ask(step, pool, connection, flight)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if not isinstance(error, _FOREIGN):
                raise
            meant = translated(error, sent=flight.sent, expired=flight.expired, server=self._origin.netloc)
            if meant is error:
                raise
            raise meant from (tls_fault(error) or error)
        finally:
            tell(None)
            if flight.watch is not None:
                flight.watch.disarm(flight)
        if answer.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED and self._proxy is not None:
            connection.close()  # unread: it may repeat the password
            raise proxy_refused(self._proxy.url, answer.status)
        return BlockingAnswer(answer, pool, connection, flight)

    def _ask(self, step: Send, pool: HTTPConnectionPool, connection: Any, flight: Flight) -> Answer:
        watch = connection.board(flight)
        tunnels = self._origin.scheme == "https"
        if connection.is_closed:
            if self._proxy is not None and tunnels:
                pool._prepare_proxy(connection)  # noqa: SLF001 - it connects through it
            else:
                connection.connect()
        head = request_head(step, None if tunnels else self._proxy)
        watch.arm(flight, flight.head_by)
        flight.leave()
        has_left = send_request(connection.sock, head, step.body)
        answer = Answer()
        while not answer.take_head(connection.sock.recv(PIECE_BYTES)):
            pass
        answer.is_persistent &= has_left
        return answer

    def close(self) -> None:
        """Close the connections that nobody is using."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.close()

    def _connection(self) -> tuple[HTTPConnectionPool, Any]:
        """Return a connection that is idle or that has yet to be opened, and the pool that it goes back to."""
        while True:
            pool = self._connections()
            try:
                return pool, pool._get_conn()  # noqa: SLF001 - as its urlopen does
            except ClosedPoolError:  # by another thread, just now: the client can still be used
                continue

    def _connections(self) -> HTTPConnectionPool:
        # No lock: a fork could copy it locked. Of several pools made at once, all use the same one.
        pid = os.getpid()
        pool = self._pools.get(pid)
        if pool is None:
            origin, proxy = self._origin, self._proxy
            if self._tls is None and self._speaks_tls:
                self._tls = made_context()  # not sooner: it takes 20 ms
            made = pool_for(origin.scheme, origin.hostname or "", origin.port, proxy, self._tls)
            pool = self._pools.setdefault(pid, made)
            for other in self._pools.keys() - {pid}:  # of the process that this one was forked from
                self._pools.pop(other, None)
        return pool


class BlockingAnswer:
    """An answer whose head has come. Its connection goes back to the pool by itself when its body has been read."""

    def __init__(self, answer: Answer, pool: HTTPConnectionPool, connection: Any, flight: Flight) -> None:
        self._connection: Any = connection  # None once it has been given back
        assert flight.watch is not None  # noqa: S101 - the connection has boarded it
        self.status = answer.status
        self.headers = answer.headers
        self._answer = answer
        self._pool = pool
        self._sock: socket.socket = connection.sock
        self._flight = flight
        self._watch = flight.watch
        self._is_reading = False
        self._is_closed = False

    def __del__(self) -> None:
        """Close the connection of an answer that was left unread, as urllib3's responses do."""
        if self._connection is not None:
            self._connection.close()

    def read(self, by: Deadline | None) -> bytes:
        """Return whatever bytes have come, b"" at the end.

        Raises:
            ConnectionFailed, DeadlineExceeded, ProtocolBroken
        """
        if self._connection is None:
            return b""  # and the watch is another call's by now
        self._is_reading = True
        try:
            if self._is_closed:
                raise ConnectionFailed("the answer was closed", sent=True)
            self._watch.arm(self._flight, by)
            data = self._receive()
        except _FOREIGN as error:
            self._is_closed = True
            meant = translated(error, sent=self._flight.sent, expired=self._flight.expired)
            if meant is error:
                raise
            raise meant from error
        finally:
            self._watch.disarm(self._flight)
            self._is_reading = False
            if self._is_closed and self._connection is not None:
                self._connection.close()
        if not data and self._flight.expired is not None:
            raise deadline_exceeded(self._flight.expired, sent=True)
        return data

    def _receive(self) -> bytes:
        answer = self._answer
        data = answer.rest()
        while not data and not answer.is_whole:
            data = answer.take(self._sock.recv(PIECE_BYTES))
        if answer.is_whole:
            self._give_back()
        return data

    def _give_back(self) -> None:
        """Let others use the connection."""
        self._watch.disarm(self._flight)  # before another call can have it
        connection, self._connection = self._connection, None
        if self._answer.keeps_connection:
            self._pool._put_conn(connection)  # noqa: SLF001 - as a urllib3 response does
        else:
            connection.close()

    def drain(self) -> bytes:
        """Read the little that may follow the answer, so that the connection can be used again; return it."""
        by = Deadline(time.monotonic() + DRAIN_S, "idle", DRAIN_S)
        rest = b""
        try:
            while len(rest) < DRAIN_BYTES and (data := self.read(by)):
                rest += data
        except BarechatError:
            pass  # the answer is whole; only the connection is lost, and `close` sees to that
        return rest

    def close(self) -> None:
        """Close the connection if the body wasn't read to the end. A reader in another thread wakes up at once."""
        if self._connection is None:
            return
        self._is_closed = True
        self._flight.cut()
        connection = self._connection
        if connection is not None and not self._is_reading:  # only its reader can close what is being read
            connection.close()
