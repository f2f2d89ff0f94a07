"""A server that takes a call as far as one place, holds it there, and sees it end; and what a process has open."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from barechat import AsyncChatStream, AsyncClient, BarechatError, Client, RetryPolicy, Timeouts
from support import KEY, MODEL, chunked, head, piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PLACES = ("handshake", "head", "body", "retry", "token")
# Long enough for whatever is to end sooner; short enough for a test that fails.
PATIENT = Timeouts(connect_s=30, first_byte_s=30, idle_s=30, total_s=60)
_HELD_S = 20
_STOPPED_AT = ("head", "body", "retry")
_REFUSAL = head("Content-Length: 0", status="503 Service Unavailable")
_BEGINNING = [head("Transfer-Encoding: chunked", kind="text/event-stream"), chunked([piece("Hi")])[0]]


@dataclass
class Holder:
    """A server on loopback whose every call is held at `place`; `reached` is set when one has come there."""

    place: str
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._ended = 0
        self._is_closing = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        port = self._listener.getsockname()[1]
        self.url = f"http{'s' if self.place == 'handshake' else ''}://127.0.0.1:{port}/v1"
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_closing = True
        self.released.set()
        with socket.create_connection(self._listener.getsockname()):
            self._threads[0].join()
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    @property
    def options(self) -> dict[str, Any]:
        """What a blocking client of this place is made with."""
        return self._options_with(self._token)

    @property
    def async_options(self) -> dict[str, Any]:
        """What an async client of this place is made with."""
        return self._options_with(self._async_token)

    def wait_until_ended(self, count: int) -> None:
        """Block until so many connections have been closed by the client."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended >= count, timeout=_HELD_S), f"only {self._ended} ended"

    def _options_with(self, token: Any) -> dict[str, Any]:
        policy = RetryPolicy(base_s=30, retry_budget=None, on_retry=lambda _: self.reached.set())
        key = token if self.place == "token" else KEY
        return {"api_key": key, "base_url": self.url, "retry": policy, "timeouts": PATIENT}

    def _token(self) -> str:
        self.reached.set()
        self.released.wait(_HELD_S)
        return "a-token"

    async def _async_token(self) -> str:
        self.reached.set()
        await asyncio.sleep(_HELD_S)
        return "a-token"

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._is_closing:
                sock.close()
                return
            self._open.add(sock)
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._threads.append(threading.Thread(target=self._hold, args=(sock,)))
            self._threads[-1].start()

    def _hold(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):  # a reset is an end too
            came = b""
            while data := sock.recv(65536):
                came = self._take_there(sock, came + data)
        self._open.discard(sock)
        with self._changed:
            self._ended += 1
            self._changed.notify_all()

    def _take_there(self, sock: socket.socket, came: bytes) -> bytes:
        """Answer what came as far as the place is; return what is left of it."""
        if self.place == "handshake":
            self.reached.set()
        elif b"\r\n\r\n" in came and came.endswith(b"}"):
            came = b""
            if self.place == "retry":
                sock.sendall(_REFUSAL)
            else:
                self.reached.set()  # first, so that it can't be the next call that is taken for this one
                sock.sendall(b"".join(_BEGINNING) if self.place == "body" else b"")
        return came


@contextlib.contextmanager
def soon(act: Callable[[], object], reached: threading.Event) -> Iterator[None]:
    """Act in another thread once the place is reached; what is done meanwhile must end by that, and by nothing else."""
    is_over = threading.Event()

    def wait() -> None:
        assert reached.wait(10)
        act()
        for _ in range(500):  # 10 s, where every deadline is later
            if is_over.wait(0.02):
                return
            if act is interrupt:
                # Python leaves a signal for later that comes just before the system blocks; another one wakes it.
                _poke(signal.SIGUSR1)
        raise AssertionError("it went on")

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def interrupt() -> None:
    _poke(signal.SIGINT)


def _poke(number: signal.Signals) -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, number)


def open_files() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd"))  # noqa: PTH208 - counted


def own_threads() -> list[str]:
    """Return the names of the threads that barechat left, its one watchdog aside."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("barechat") and name != "barechat-watchdog"]


def stop_many(kind: str, count: int) -> None:
    """Stop so many calls, by turns at three places and in three ways; check that each was counted once, and ended."""
    turns = list(itertools.islice(itertools.cycle(itertools.product(_STOPPED_AT, ("break", "close", "client"))), count))
    with contextlib.ExitStack() as stack:
        holders = {place: stack.enter_context(Holder(place)) for place in _STOPPED_AT}
        clients: dict[str, Any]
        if kind == "blocking":
            clients = {place: Client(**held.options) for place, held in holders.items()}
            for place, way in turns:
                _stop_one(clients[place], holders[place], way)
            for client in clients.values():
                client.close()
        else:
            clients = {place: AsyncClient(**held.async_options) for place, held in holders.items()}
            asyncio.run(_stop_each(clients, holders, turns))
        for place, client in clients.items():
            costly = 0 if place == "retry" else sum(at == place for at, _ in turns)
            assert client.cost.call_count == costly
            assert list(client.cost.by_certainty) == ["bound"] * (costly > 0)
            holders[place].wait_until_ended(costly)


def _stop_one(client: Client, held: Holder, way: str) -> None:
    held.reached.clear()
    stream = client.stream("Hi", model=MODEL)
    if way == "break" and held.place == "body":
        with stream:
            next(stream)
        return

    def stop() -> None:
        assert held.reached.wait(_HELD_S)
        (client if way == "client" else stream).close()

    stopper = threading.Thread(target=stop)
    stopper.start()
    try:
        list(stream)
    except BarechatError as error:
        assert "closed before its end" in str(error)  # noqa: PT017 - whichever of its ends
    stopper.join()


async def _stop_each(
    clients: dict[str, AsyncClient], holders: dict[str, Holder], turns: Iterable[tuple[str, str]]
) -> None:
    for place, way in turns:
        held, client = holders[place], clients[place]
        held.reached.clear()
        stream = client.stream("Hi", model=MODEL)
        if way == "break" and place == "body":
            async with stream:
                await anext(stream)
            continue
        reader = asyncio.ensure_future(_read(stream))
        await asyncio.to_thread(held.reached.wait, _HELD_S)
        if way == "break":
            reader.cancel()
        else:
            await (client if way == "client" else stream).close()
        await asyncio.wait([reader])
        assert reader.cancelled() == (way == "break")
        if way != "break":
            assert "closed before its end" in str(reader.exception())
    for client in clients.values():
        await client.close()
    assert len(asyncio.all_tasks()) == 1


async def _read(stream: AsyncChatStream) -> None:
    async for _ in stream:
        pass


async def open_streams(client: AsyncClient, count: int) -> list[AsyncChatStream]:
    """Return so many streams, open all at once, the first text of each read."""
    streams = [client.stream(f"Question {number}", model=MODEL, timeouts=PATIENT) for number in range(count)]
    await asyncio.gather(*(anext(stream) for stream in streams))
    return streams


def fail_with(error: Exception) -> None:
    """Raise an error, in a process that can import this."""
    raise error
