"""How the blocking transport connects: by a deadline, through a proxy or not, over TLS or not.

urllib3's connections, with our own name resolution, connecting and tunnelling, under a watch.
"""

from __future__ import annotations

import queue
import select
import socket
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from barechat.errors import BarechatError, ConnectionFailed
from barechat.transport.common import PIECE_BYTES, Cut, NotHttp, deadline_exceeded, proxy_failed, proxy_refused
from barechat.transport.http_answer import Answer
from barechat.transport.http_request import tunnel_request
from barechat.transport.names import Addresses, addresses_of, look_up
from barechat.transport.watchdog import Flight, Watch

if TYPE_CHECKING:
    import ssl

    from barechat.settings import Proxy

_POOL_SIZE = 256


class _Watched:
    """What both kinds of connection add to urllib3's: resolving and connecting by a deadline, and a watch."""

    is_tls = False
    watch: Watch | None = None
    flight: Flight  # whose it is
    _poll: select.poll | None = None  # for what comes while nobody uses it

    def board(self: Any, flight: Flight) -> Watch:
        """Let a flight have the connection from now on."""
        self.flight = flight
        if self.watch is None:
            self.watch = Watch()
        flight.watch = self.watch
        watch: Watch = self.watch
        return watch

    @property
    def is_connected(self: Any) -> bool:
        """Whether it is open, and nothing has come over it since it was used: its end, or what nobody asked for."""
        if self.sock is None:
            return False
        if not hasattr(select, "poll"):  # Windows
            return not select.select([self.sock], [], [], 0)[0]
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.sock, select.POLLIN)
        return not self._poll.poll(0)

    def _new_conn(self: Any) -> socket.socket:
        flight = self.flight
        try:
            sock = _connected(self._dns_host.strip("[]"), self.port, flight)
        except BarechatError:
            raise
        except OSError as error:
            if self.proxy is None:
                raise
            raise proxy_failed(_url_of(self.proxy), error) from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.is_tls:
            # TLS is still to come, and takes the descriptor from under `sock`: so a second one.
            self.barechat_spare = sock.dup()
            flight.watch.attach(self.barechat_spare)
        flight.watch.arm(flight, flight.connect_by)
        return sock

    def _tunnel(self: Any) -> None:
        """Ask the proxy for a way through, and for nothing else: what it hears is the server's name and its own key."""
        answer, fault = Answer(), None
        try:
            self.sock.sendall(tunnel_request(self._tunnel_host, self._tunnel_port, self._tunnel_headers))
            while not answer.take_head(self.sock.recv(PIECE_BYTES)):
                pass
        except NotHttp as error:
            fault = proxy_failed(_url_of(self.proxy), error)
        except (OSError, Cut) as error:
            raise proxy_failed(_url_of(self.proxy), error) from error
        if fault is not None:
            raise fault  # out here, so that the proxy's words are no part of it
        if answer.status != HTTPStatus.OK:
            raise proxy_refused(_url_of(self.proxy), answer.status)

    def connect(self: Any) -> None:
        """Connect on behalf of the flight that has the connection."""
        self._poll = None
        try:
            super().connect()  # type: ignore[misc]
            self.watch.attach(raw_socket(self.sock))
        except BaseException:
            self.flight.cut()  # after Ctrl-C, nobody else closes what TLS has taken the descriptor of
            raise
        finally:
            spare = self.__dict__.pop("barechat_spare", None)
            if spare is not None:
                spare.close()


class _Http(_Watched, HTTPConnection):
    pass


class _Https(_Watched, HTTPSConnection):
    is_tls = True


class _Idle:
    """Connections that nobody uses: queue.LifoQueue without its lock, which a fork could copy locked."""

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._items: list[Any] = []

    def get(self, block: bool = False, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002, ARG002 - LifoQueue's
        try:
            return self._items.pop()
        except IndexError:
            raise queue.Empty from None

    def put(self, item: Any, block: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002 - likewise
        if len(self._items) >= self._maxsize:
            raise queue.Full
        self._items.append(item)


class _HttpPool(HTTPConnectionPool):
    QueueCls: Any = _Idle
    ConnectionCls = _Http  # pyright: ignore[reportAssignmentType]  # urllib3 types its own the same way


class _HttpsPool(HTTPSConnectionPool):
    QueueCls: Any = _Idle
    ConnectionCls = _Https  # pyright: ignore[reportAssignmentType]  # likewise


def pool_for(
    scheme: str, host: str, port: int | None, proxy: Proxy | None, tls: ssl.SSLContext | None
) -> HTTPConnectionPool:
    """Return a pool of connections to an origin. `tls` is for the server and for the proxy, where they speak it."""
    options: dict[str, Any] = {"maxsize": _POOL_SIZE, "block": False}
    if tls is not None:
        options["ssl_context"] = tls
    manager: urllib3.PoolManager
    if proxy is None:
        manager = urllib3.PoolManager(**options)
    else:
        manager = urllib3.ProxyManager(proxy.url, proxy_headers=proxy.headers, proxy_ssl_context=tls, **options)
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager.connection_from_host(host, port, scheme)


def _url_of(proxy: Any) -> str:
    return f"{proxy.scheme}://{proxy.netloc}"


def _connected(host: str, port: int, flight: Flight) -> socket.socket:
    """Return a connected socket. The addresses share what time there is, so that one black hole can't take it all."""
    flight.is_connecting = True
    try:
        return _connected_to(_resolved(host, port, flight), host, flight)
    finally:
        flight.is_connecting = False


def _connected_to(addresses: list[Any], host: str, flight: Flight) -> socket.socket:
    by, watch = flight.connect_by, flight.watch
    assert watch is not None  # noqa: S101 - the connection has boarded it
    fault: OSError | None = None
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        left = None if by is None else by.at - time.monotonic()
        if left is not None and left <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            watch.attach(sock)
            watch.arm(flight, None)
            _refuse_if_cut(flight)
            sock.settimeout(None if left is None else left / (len(addresses) - position))
            sock.connect(address)
        except OSError as error:
            sock.close()
            fault = error
            continue
        except BaseException:  # Ctrl-C
            sock.close()
            raise
        sock.settimeout(None)
        return sock
    if by is not None and (fault is None or isinstance(fault, TimeoutError)):
        raise deadline_exceeded(by, sent=False)
    raise fault or OSError(f"{host} has no address")


def _refuse_if_cut(flight: Flight) -> None:
    if flight.is_cut:
        raise ConnectionFailed("the call was closed while it connected. Nothing was sent.", sent=False)


def _resolved(host: str, port: int, flight: Flight) -> list[Any]:
    """Resolve a name by the flight's deadline."""
    if (addresses := addresses_of(host, port)) is not None:
        return addresses
    by = flight.connect_by
    answers: queue.SimpleQueue[Addresses | OSError | UnicodeError | None] = queue.SimpleQueue()
    look_up(host, port, answers.put)
    flight.tell(lambda: answers.put(None))
    try:
        answer = answers.get(timeout=None if by is None else max(by.at - time.monotonic(), 0))
    except queue.Empty:
        assert by is not None  # noqa: S101 - without one, it waits for an answer
        raise deadline_exceeded(by, sent=False) from None
    finally:
        flight.tell(flight.cut)
    if answer is None:
        raise ConnectionFailed(
            "the call was closed while its server's name was looked up. Nothing was sent.", sent=False
        )
    if isinstance(answer, (OSError, UnicodeError)):
        raise answer
    return answer


def raw_socket(sock: Any) -> socket.socket:
    """Return the socket itself, from within urllib3's TLS-in-TLS."""
    inner: socket.socket = getattr(sock, "socket", sock)
    return inner
