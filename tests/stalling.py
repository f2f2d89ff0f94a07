"""Places on loopback where a call can stall for ever: nobody accepts, or answers, or ends what has begun."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from barechat import Timeouts
from support import chunked, head, piece

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat.errors import Which
    from support import Caller

_LONG_S = 30.0  # of the deadlines that are not to pass
_NAME = "never-resolved.invalid"
_PERIOD_S = 0.005  # between two dripped bytes


@dataclass(frozen=True)
class Place:
    """Where a call stalls, what the server does there, and which deadline then passes for a whole reply and a stream.

    opening: what it sends at once, when it has the request; drip: what it then sends for ever, a byte at a time.
    awaits_request: if not, it does so once it has accepted. is_deaf: it reads nothing.
    """

    name: str
    whole: Which
    streamed: Which
    opening: bytes = b""
    drip: bytes = b""
    awaits_request: bool = True
    is_deaf: bool = False
    scheme: str = "http"
    is_proxy: bool = False
    accepts: bool = True
    resolves: bool = True

    def __str__(self) -> str:
        return self.name

    @property
    def text(self) -> str:
        """What to ask: more than the buffers on the way hold, where that matters."""
        return "x" * 10_000_000 if self.is_deaf else "Hello, sea."

    @property
    def hears_the_end(self) -> bool:
        """Whether the server comes to know that the client hung up."""
        return self.accepts and self.resolves and not self.is_deaf


def _at_connect(name: str, **more: Any) -> Place:
    return Place(name, "connect", "connect", awaits_request=False, **more)


_ENDLESS = head("Content-Length: 1000000")
_SSE = head("Transfer-Encoding: chunked", kind="text/event-stream")
_EVENT = b"".join(chunked([piece("It will ")])[:-1])
PLACES = (
    *([_at_connect("a full queue", accepts=False)] if sys.platform == "linux" else []),  # elsewhere it refuses
    _at_connect("a name", scheme="https", resolves=False),
    _at_connect("a silent handshake", scheme="https"),
    _at_connect("a dripping handshake", scheme="https", opening=b"\x16\x03\x03\x40\x00", drip=b"\x02"),
    _at_connect("a silent proxy", scheme="https", is_proxy=True),
    _at_connect("a dripping proxy", scheme="https", is_proxy=True, opening=b"HTTP/1.1 200 OK\r\nX-A: ", drip=b"a"),
    Place("an unread request", "total", "first_byte", is_deaf=True),
    Place("a silent server", "total", "first_byte"),
    Place("a dripping head", "total", "first_byte", opening=b"HTTP/1.1 200 OK\r\n", drip=b"X-A: a\r\n"),
    Place("a silent body", "total", "first_byte", opening=_SSE),
    Place("a body of blank lines", "total", "first_byte", opening=_ENDLESS, drip=b"\n"),
    Place("a dripping body", "total", "idle", opening=_ENDLESS + b"data: ", drip=b"a"),
    Place("a stall within an event", "total", "idle", opening=_SSE + _EVENT[:-9]),
    Place("a stall between events", "total", "idle", opening=_SSE + _EVENT),
    Place("comments alone", "total", "idle", opening=_SSE + _EVENT, drip=b"5\r\n: a\n\n\r\n"),
)


def alone(which: Which, after_s: float) -> Timeouts:
    """Return timeouts of which this one passes first, by far."""
    limits = dict.fromkeys(("connect_s", "first_byte_s", "idle_s", "total_s"), _LONG_S)
    return Timeouts(**{**limits, f"{which}_s": after_s})


def ask(caller: Caller, place: Place, *, streamed: bool, **options: Any) -> None:
    """Ask for a whole reply or a stream, and read it to its end."""
    if not streamed:
        caller.chat(place.text, **options)
        return
    with caller.stream(place.text, **options) as stream:
        for _ in stream:
            pass


@dataclass
class Stalled:
    """A server where every call stalls at one place; `url` and `options` are for its clients."""

    place: Place
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stack, place = contextlib.ExitStack(), self.place
        self._closing, self._told = socket.socketpair()
        self._changed = threading.Condition()
        self._accepted = self._ended = 0
        self._listener = self._stack.enter_context(socket.socket())
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128 if place.accepts else 0)
        port = self._listener.getsockname()[1]
        host = "api.example.com" if place.is_proxy else f"127.0.0.1:{port}" if place.resolves else f"{_NAME}:{port}"
        self.url = f"{place.scheme}://{host}/v1"
        self.options: dict[str, Any] = {"proxy": f"http://127.0.0.1:{port}"} if place.is_proxy else {}
        if place.accepts:
            self._start(self._accept)
        else:
            self._fill()
        if not place.resolves:
            self._stack.enter_context(_unresolved())
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.close()
        for thread in self._threads:
            thread.join()
        self._told.close()
        self._stack.close()

    def wait_until_hung_up(self) -> None:
        """Block until the client has closed every connection that was accepted."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended == self._accepted, timeout=20), "it stays connected"

    def _start(self, target: Any, *args: Any) -> None:
        self._threads.append(threading.Thread(target=target, args=args, daemon=True))
        self._threads[-1].start()

    def _fill(self) -> None:
        for _ in range(4):
            filler = self._stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(self._listener.getsockname())

    def _accept(self) -> None:
        while self._told not in select.select([self._listener, self._told], [], [])[0]:
            sock = self._listener.accept()[0]
            self._accepted += 1
            self._start(self._stall, sock)

    def _stall(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):  # the client hung up
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.place.is_deaf:
                select.select([self._told], [], [])
            elif not self.place.awaits_request or self._has_request(sock):
                sock.sendall(self.place.opening)
                self._drip(sock)
        with self._changed:
            self._ended += 1
            self._changed.notify_all()

    def _has_request(self, sock: socket.socket) -> bool:
        came = b""
        while b"\r\n\r\n" not in came or not came.endswith(b"}"):
            data = self._next(sock)
            if not data:
                return False
            came += data
        return True

    def _drip(self, sock: socket.socket) -> None:
        """Drip, or be silent, until the client hangs up or the test ends."""
        for byte in itertools.cycle(self.place.drip):
            if self._next(sock, _PERIOD_S) == b"":
                return
            sock.sendall(bytes([byte]))
        while self._next(sock):
            pass

    def _next(self, sock: socket.socket, timeout_s: float | None = None) -> bytes | None:
        """Return what has come, b"" at the end, None if nothing has in time."""
        ready = select.select([sock, self._told], [], [], timeout_s)[0]
        if self._told in ready:
            return b""
        return sock.recv(65536) if ready else None


_pending: list[threading.Event] = []


@contextlib.contextmanager
def _unresolved() -> Iterator[None]:
    """Let a name's resolution take until the end of this.

    There is no such server to be had without the network; an audit hook holds up the very call, and stays installed.
    """
    if not _pending:
        sys.addaudithook(_hold_up)
    _pending[:] = [threading.Event()]
    try:
        yield
    finally:
        _pending[0].set()


def _hold_up(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo" and arguments[0] == _NAME:
        _pending[0].wait()
        raise OSError(f"{_NAME} has no address")
