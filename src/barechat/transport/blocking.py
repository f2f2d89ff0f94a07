"""How the blocking client moves bytes: urllib3's connections, under a watchdog that makes deadlines hold.

Foreign exceptions become barechat's here, narrowly, each once. What could have reached the server is told with them.
"""

from __future__ import annotations

import os
import time
from http import HTTPStatus
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from urllib3.exceptions import ClosedPoolError, HTTPError, ProtocolError

from barechat.errors import BarechatError, ConnectionFailed, ProtocolBroken
from barechat.settings import proxy_for
from barechat.steps import Deadline
from barechat.transport.common import (
    DRAIN_BYTES,
    DRAIN_S,
    deadline_exceeded,
    merged,
    parts,
    proxy_refused,
    tls_fault,
    tls_refused,
)
from barechat.transport.connections import current, pool_for
from barechat.transport.tls import asked_context, made_context
from barechat.transport.watchdog import Flight

if TYPE_CHECKING:
    from collections.abc import Mapping

    import urllib3
    from urllib3.connectionpool import HTTPConnectionPool

    from barechat.settings import Certificate, Verify
    from barechat.steps import Send, Tell

READ_BYTES = 65536  # never bare read1(), which ends silently on a body cut before its Content-Length


class BlockingTransport:
    """Connections to one origin, shared by threads; a forked child drops them and makes its own."""

    def __init__(
        self, origin: str, *, verify: Verify = True, cert: Certificate | None = None, proxy: str | None = None
    ) -> None:
        self._origin = parts = urlsplit(origin)
        self._proxy = proxy_for(parts.scheme, parts.hostname or "", parts.port, proxy)
        self._speaks_tls = parts.scheme == "https" or (self._proxy is not None and self._proxy.speaks_tls)
        self._tls = asked_context(verify, cert, speaks_tls=self._speaks_tls)
        self._pools: dict[int, HTTPConnectionPool] = {}  # by the process that made it

    def send(self, step: Send, tell: Tell = lambda _: None) -> BlockingAnswer:
        """Send a request; return its answer once the head has come.

        `tell` is told whom to wake if the call is closed meanwhile; the request then ends as a failed connection.

        Raises:
            ConnectionFailed, DeadlineExceeded, ProtocolBroken
        """
        flight = current.flight = Flight(step.connect_by, step.head_by, tell, step.leaving)
        parts = urlsplit(step.url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        if self._proxy is not None and parts.scheme == "http":
            target = step.url  # to a proxy that doesn't tunnel, the whole of it: RFC 9112, section 3.2.2
        tell(flight.cut)
        try:
            response = self._urlopen(
                "POST",
                target,
                body=step.body,
                headers=step.headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=None,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            meant = _translated(error, flight)
            own = meant is flight.fault
            raise meant from (meant.__cause__ if own else tls_fault(error) or flight.fault or error)
        finally:
            current.flight = None
            tell(None)
            if flight.watch is not None:
                flight.watch.disarm(flight)
        if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED and self._proxy is not None:
            response.close()  # unread: it may repeat the password
            raise proxy_refused(self._proxy.url, response.status)
        return BlockingAnswer(response, flight)

    def close(self) -> None:
        """Close the connections that nobody is using."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.close()

    def _urlopen(self, *args: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        while True:
            try:
                return self._connections().urlopen(*args, **options)
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
    """An answer whose head has come. It goes back to the pool by itself when its body has been read to the end."""

    def __init__(self, response: urllib3.BaseHTTPResponse, flight: Flight) -> None:
        self.status: int = response.status
        found = response.headers.items()
        self.headers: Mapping[str, str] = merged(
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in found
        )
        self._response = response
        self._flight = flight
        self._is_ended = False
        self._is_reading = False
        self._is_closed = False

    def read(self, by: Deadline | None) -> bytes:
        """Return whatever bytes have come, b"" at the end.

        Raises:
            ConnectionFailed, DeadlineExceeded
        """
        flight = self._flight
        watch = flight.watch
        assert watch is not None  # noqa: S101 - sending has boarded one
        self._is_reading = True
        try:
            if self._is_closed:
                raise ConnectionFailed("the answer was closed", sent=True)
            watch.arm(flight, by)
            data = self._receive()
        finally:
            watch.disarm(flight)
            self._is_reading = False
            if self._is_closed:
                self._response.close()
        if not data:
            if flight.expired is not None:
                raise deadline_exceeded(flight.expired, sent=True)
            self._is_ended = True
        return data

    def _receive(self) -> bytes:
        try:
            return self._response.read1(READ_BYTES, decode_content=False)
        except (HTTPError, OSError, ValueError) as error:
            raise _translated(error, self._flight) from error

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
        if self._is_ended:
            return
        self._is_closed = True
        self._flight.cut()
        if not self._is_reading:  # only its reader can close what is being read
            self._response.close()


def _translated(error: Exception, flight: Flight) -> BarechatError:
    """Return what a foreign exception means."""
    if flight.expired is not None:
        return deadline_exceeded(flight.expired, sent=flight.sent)
    if isinstance(flight.fault, BarechatError):
        return flight.fault
    refused = tls_fault(error)
    if refused is not None:
        return tls_refused(refused)
    for part in parts(error):
        if isinstance(part, HTTPException) and not isinstance(part, (RemoteDisconnected, IncompleteRead)):
            return _not_http(part)
    if flight.sent is False:
        return ConnectionFailed(f"could not connect: {_why(flight.fault or error)}. Nothing was sent.", sent=False)
    what = f"the connection broke: {_why(error)}"
    if isinstance(error, ProtocolError) and isinstance(error.args[-1], RemoteDisconnected):
        what = "the server closed the connection without an answer"
    return ConnectionFailed(what, sent=flight.sent)


def _not_http(fault: HTTPException) -> ProtocolBroken:
    quoted = f"it begins {fault.args[0][:200]!r}" if isinstance(fault, BadStatusLine) else str(fault)[:200]
    return ProtocolBroken(f"the server's answer is not HTTP: {quoted}")


def _why(error: Exception) -> str:
    """Return the innermost reason, without urllib3's object addresses."""
    while error.args and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    reason = getattr(error, "reason", None)
    return str(reason if isinstance(reason, Exception) else error)
