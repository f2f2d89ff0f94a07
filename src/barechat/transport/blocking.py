"""How the blocking client moves bytes: urllib3's connections, under a watchdog that makes deadlines hold.

Foreign exceptions become barechat's here, narrowly, each once. What could have reached the server is told with them.
"""

from __future__ import annotations

import os
import queue
import re
import socket
import ssl
import threading
import time
from http.client import BadStatusLine, HTTPException, HTTPResponse, IncompleteRead, LineTooLong, RemoteDisconnected
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError
from urllib3.util import parse_url

from barechat.errors import BarechatError, ConnectionFailed, ProtocolBroken
from barechat.settings import proxy_for
from barechat.steps import Deadline
from barechat.transport.common import DRAIN_BYTES, DRAIN_S, certificate_refused, deadline_exceeded, merged
from barechat.transport.watchdog import Flight, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from barechat.steps import Send

READ_BYTES = 65536  # never bare read1(), which ends silently on a body cut before its Content-Length
_POOL_SIZE = 256
_LINE_BYTES = 65536
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]+")

_current = threading.local()  # .flight: the request that this thread is sending


class BlockingTransport:
    """Connections to one origin, shared by threads; a forked child drops them and makes its own."""

    def __init__(self, origin: str) -> None:
        self._origin = urlsplit(origin)
        self._proxy = proxy_for(self._origin.scheme, self._origin.hostname or "")
        self._pool: tuple[int, HTTPConnectionPool] | None = None  # and the process that made it

    def send(self, step: Send) -> BlockingAnswer:
        """Send a request; return its answer once the head has come.

        Raises:
            ConnectionFailed, DeadlineExceeded, ProtocolBroken
        """
        flight = _current.flight = Flight(step.connect_by, step.head_by)
        parts = urlsplit(step.url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        if self._proxy is not None and parts.scheme == "http":
            target = step.url  # to a proxy that doesn't tunnel, the whole of it: RFC 9112, section 3.2.2
        try:
            response = self._connections().urlopen(
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
            raise meant from (None if meant is flight.fault else _certificate_fault(error) or flight.fault or error)
        finally:
            _current.flight = None
            if flight.watch is not None:
                flight.watch.disarm(flight)
        return BlockingAnswer(response, flight)

    def close(self) -> None:
        """Close the connections that nobody is using."""
        held, self._pool = self._pool, None
        if held is not None and held[0] == os.getpid():
            held[1].close()

    def _connections(self) -> HTTPConnectionPool:
        # No lock: a fork could copy it locked. Of two pools made at once, one is used once and forgotten.
        held, pid = self._pool, os.getpid()
        if held is None or held[0] != pid:
            origin = self._origin
            held = self._pool = (pid, _pool_for(origin.scheme, origin.hostname or "", origin.port, self._proxy))
        return held[1]


class BlockingAnswer:
    """An answer whose head has come. It goes back to the pool by itself when its body has been read to the end."""

    def __init__(self, response: urllib3.BaseHTTPResponse, flight: Flight) -> None:
        self.status: int = response.status
        self.headers: Mapping[str, str] = merged(response.headers.items())
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
        flight = self._flight
        if flight.watch is not None and flight.pid == os.getpid():  # else it is a parent's, in use there
            flight.watch.cut(flight)
        if not self._is_reading:  # only its reader can close what is being read
            self._response.close()


class _HeadLines:
    """A stream that remembers the last line read from it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.last = b""

    def readline(self, limit: int) -> bytes:
        self.last = self.stream.readline(limit)
        return self.last

    def close(self) -> None:
        self.stream.close()


class _Answer(HTTPResponse):
    """http.client's answer, without what that lets pass: a head or chunk size cut off, and lengths that are none."""

    def begin(self: Any) -> None:
        lines = self.fp = _HeadLines(self.fp)
        try:
            super().begin()
        except BadStatusLine:
            if not lines.last.endswith(b"\n") and lines.last.startswith(b"HTTP/"):
                raise RemoteDisconnected("the connection was cut in the answer's first line") from None
            raise
        finally:
            if self.fp is lines:
                self.fp = lines.stream
        if not lines.last.endswith(b"\n"):
            raise RemoteDisconnected("the connection was cut in the answer's head")
        lengths = {text.strip() for value in self.headers.get_all("content-length", ()) for text in value.split(",")}
        if len(lengths) > 1 or not all(length.isascii() and length.isdigit() for length in lengths):
            raise HTTPException(f"its Content-Length is {' and '.join(sorted(lengths))!r}")

    def _read_next_chunk_size(self: Any) -> int:
        line: bytes = self.fp.readline(_LINE_BYTES + 1)
        if len(line) > _LINE_BYTES:
            raise LineTooLong("chunk size")
        size = line.partition(b";")[0].strip()
        if line and not _CHUNK_SIZE.fullmatch(size):
            raise HTTPException(f"a chunk's size is {size[:200]!r}")
        if not line.endswith(b"\n"):
            raise IncompleteRead(b"")
        return int(size, 16)


class _Watched:
    """What both kinds of connection add to urllib3's: resolving and connecting by a deadline, and a watch."""

    response_class: Any = _Answer

    def board(self: Any) -> Flight:
        flight: Flight = _current.flight
        if not hasattr(self, "barechat_watch"):
            self.barechat_watch = Watch()
        flight.watch = self.barechat_watch
        return flight

    def _new_conn(self: Any) -> socket.socket:
        flight = self.board()
        sock = None
        try:
            sock = _connected(self._dns_host, self.port, flight.connect_by)
        except (OSError, BarechatError) as error:
            flight.fault = error
        if sock is None:  # raised out here, or the fault and what `send` makes of it would be each other's cause
            raise NewConnectionError(self, str(flight.fault))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # TLS and a proxy's CONNECT are still to come, and TLS takes the descriptor from under `sock`: so a second one.
        self.barechat_spare = sock.dup()
        flight.watch.attach(self.barechat_spare)
        flight.watch.arm(flight, flight.connect_by)
        return sock

    def request(self: Any, *args: Any, **kwargs: Any) -> None:
        flight = self.board()
        if self.sock is not None:
            flight.watch.attach(_raw(self.sock))
            flight.watch.arm(flight, flight.head_by)
            flight.sent = None
        super().request(*args, **kwargs)  # type: ignore[misc]

    def connect(self: Any) -> None:
        try:
            super().connect()  # type: ignore[misc]
            flight = self.board()
            flight.watch.attach(_raw(self.sock))
            flight.watch.arm(flight, flight.head_by)
            flight.sent = None
        finally:
            spare = self.__dict__.pop("barechat_spare", None)
            if spare is not None:
                spare.close()


class _Http(_Watched, HTTPConnection):
    pass


class _Https(_Watched, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http  # pyright: ignore[reportAssignmentType]  # urllib3 types its own the same way


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https  # pyright: ignore[reportAssignmentType]  # likewise


def _pool_for(scheme: str, host: str, port: int | None, proxy: str | None) -> HTTPConnectionPool:
    options: dict[str, Any] = {"maxsize": _POOL_SIZE, "block": False}
    if scheme == "https":
        options["ssl_context"] = ssl.create_default_context()
    manager: urllib3.PoolManager
    if proxy is None:
        manager = urllib3.PoolManager(**options)
    else:
        credentials = parse_url(proxy).auth
        headers = urllib3.make_headers(proxy_basic_auth=unquote(credentials)) if credentials else None
        manager = urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager.connection_from_host(host, port, scheme)


def _connected(host: str, port: int, by: Deadline | None) -> socket.socket:
    """Return a connected socket. The addresses share what time there is, so that one black hole can't take it all."""
    addresses = _resolved(host, port, by)
    fault: OSError | None = None
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        left = None if by is None else by.at - time.monotonic()
        if left is not None and left <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(None if left is None else left / (len(addresses) - position))
            sock.connect(address)
        except OSError as error:
            sock.close()
            fault = error
            continue
        sock.settimeout(None)
        return sock
    if by is not None and (fault is None or isinstance(fault, TimeoutError)):
        raise deadline_exceeded(by, sent=False)
    raise fault or OSError(f"{host} has no address")


def _resolved(host: str, port: int, by: Deadline | None) -> list[Any]:
    """Resolve a name in a thread that can be left behind: getaddrinfo takes no deadline."""
    if by is None or _is_address(host):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    answers: queue.SimpleQueue[list[Any] | OSError | UnicodeError] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            answers.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=resolve, name="barechat-resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=max(by.at - time.monotonic(), 0))
    except queue.Empty:
        raise deadline_exceeded(by, sent=False) from None
    if isinstance(answer, (OSError, UnicodeError)):
        raise answer
    return answer


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit() or ":" in host


def _raw(sock: Any) -> socket.socket:
    """Return the socket itself, from within urllib3's TLS-in-TLS."""
    inner: socket.socket = getattr(sock, "socket", sock)
    return inner


def _translated(error: Exception, flight: Flight) -> BarechatError:
    """Return what a foreign exception means."""
    if flight.expired is not None:
        return deadline_exceeded(flight.expired, sent=flight.sent)
    if isinstance(flight.fault, BarechatError):
        return flight.fault
    refused = _certificate_fault(error)
    if refused is not None:
        return certificate_refused(refused)
    for part in _parts(error):
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


def _certificate_fault(error: Exception) -> ssl.SSLCertVerificationError | None:
    """Return TLS's own word on a certificate that can't be verified, or None if it isn't that."""
    return next((part for part in _parts(error) if isinstance(part, ssl.SSLCertVerificationError)), None)


def _parts(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all those that urllib3 has wrapped in it."""
    yield error
    for part in error.args:
        if isinstance(part, BaseException):
            yield from _parts(part)


def _why(error: Exception) -> str:
    """Return the innermost reason, without urllib3's object addresses."""
    while error.args and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    reason = getattr(error, "reason", None)
    return str(reason if isinstance(reason, Exception) else error)
