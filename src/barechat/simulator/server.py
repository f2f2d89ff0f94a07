"""How is the simulator started, asked and stopped? A server on loopback, in a thread or on the running loop.

It also reads the scenario file, so that `scenario.py` stays pure.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import ipaddress
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

from aiohttp import web

from barechat.simulator.endpoint import Endpoint
from barechat.simulator.journal import Journal, Record
from barechat.simulator.scenario import Scenario, parse_fault, parse_scenario, parse_toml

_BACKLOG: Final = 4096
_ROUNDS: Final = 6
_SHUTDOWN_S: Final = 0.2


class Simulator:
    """A server of the Chat Completions API on loopback, which answers, refuses and fails as it is told.

    `scenario` is a TOML file's path or such a file's table. `seed`, `first_token_s` (seconds to the first token) and
    `tokens_per_s` (0: no pacing) go before the scenario's own. `log` is a file that gets a JSON line a request;
    `clock` gives seconds since the epoch. Hosts off loopback need `allow_remote`.

    As `with` it serves from a thread of its own, as `async with` from the running loop. Raises ScenarioError (a
    ValueError) for a scenario that can't be followed and OSError for a port that is taken.
    """

    def __init__(
        self,
        scenario: str | Path | Mapping[str, Any] | None = None,
        *,
        seed: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        log: str | Path | None = None,
        first_token_s: float | None = None,
        tokens_per_s: float | None = None,
        allow_remote: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not allow_remote and not _is_loopback(host):
            raise ValueError(f"{host} is not loopback; allow_remote=True serves it all the same")
        given = {"seed": seed, "first_token_s": first_token_s, "tokens_per_s": tokens_per_s}
        self._scenario = _load(scenario, {name: value for name, value in given.items() if value is not None})
        self._host = "127.0.0.1" if host == "localhost" else host
        self._port = port
        self._journal = Journal(None if log is None else Path(log))
        self._clock = clock
        self._url: str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: contextlib.AsyncExitStack | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """The base URL, `/v1` included; raises RuntimeError before the start."""
        if self._url is None:
            raise RuntimeError("the simulator has no URL before it is started: use it in a `with` statement")
        return self._url

    @property
    def requests(self) -> list[Record]:
        """The records of all requests that have ended, in that order.

        Whoever has seen an answer's end finds its record here.
        """
        return self._journal.snapshot()

    def wait_for(self, count: int, timeout_s: float = 10) -> list[Record]:
        """Block until `count` requests have ended, and return all records; raises TimeoutError."""
        if self._loop is not None and _running_loop() is self._loop:
            raise RuntimeError("this would block the simulator's own loop: await asyncio.to_thread(…wait_for, count)")
        return self._journal.wait_for(count, timeout_s)

    def fail_next(self, times: int = 1, **fault: Any) -> None:
        """Apply a fault, given by its keys, to the next `times` requests that match it; raises ScenarioError."""
        self._scenario.add(parse_fault({"first": times, **fault}, "fail_next"))

    def run(
        self,
        *,
        on_ready: Callable[[str], object] | None = None,
        on_record: Callable[[Record], object] | None = None,
    ) -> None:
        """Serve from the main thread until SIGINT or SIGTERM, then end cleanly.

        `on_ready` is called with the URL once it listens, `on_record` with each request's record.
        """
        self._journal.on_record = on_record

        async def live() -> None:
            stop = asyncio.Event()
            async with self:
                with _signals(stop):
                    if on_ready is not None:
                        on_ready(self.url)
                    await stop.wait()

        asyncio.run(live())

    def __enter__(self) -> Self:
        self._refuse_second_start()
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(started)), name="barechat-simulator", daemon=True
        )
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self._thread.join()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is None or self._stop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None

    async def _live(self, started: concurrent.futures.Future[None]) -> None:
        try:
            await self.__aenter__()
            self._stop = asyncio.Event()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for the start
            started.set_exception(error)
            return
        try:
            started.set_result(None)
            await self._stop.wait()
        finally:
            await self.__aexit__(None, None, None)

    def _refuse_second_start(self) -> None:
        if self._closing is not None:
            raise RuntimeError("this simulator is running already")

    async def __aenter__(self) -> Self:
        self._refuse_second_start()
        self._loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            self._journal.open()
            stack.callback(self._journal.close)
            endpoint = Endpoint(self._scenario, self._journal, self._clock)
            server = web.Server(
                endpoint.handle,
                request_factory=functools.partial(web.BaseRequest, loop=self._loop, client_max_size=0),
                handler_cancellation=True,
                access_log=None,
            )
            listener = await self._loop.create_server(server, self._host, self._port, backlog=_BACKLOG)
            stack.push_async_callback(_shut_down, listener, server, endpoint)
            address = listener.sockets[0].getsockname()
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            self._url = f"http://{host}:{address[1]}/v1"
            self._closing = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closing is not None:
            await self._closing.aclose()
            self._closing = None


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` at SIGINT and SIGTERM, in a way that Windows knows too."""
    loop = asyncio.get_running_loop()

    def handle(_: int, __: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.set)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _shut_down(listener: asyncio.Server, server: web.Server, endpoint: Endpoint) -> None:
    """Take no more connections and drop those there are, whatever they wait for."""
    endpoint.is_stopping = True
    # Python 3.11 leaks a connection that is accepted just before its listener closes (`Server._attach` asserts):
    # so no more are accepted first, and those on the way get their round of the loop.
    with contextlib.suppress(NotImplementedError):  # Windows' loop knows no readers
        for listening in listener.sockets:
            asyncio.get_running_loop().remove_reader(listening)
    await _rounds(2)
    listener.close()
    # A connection accepted just now takes some rounds of the loop to be known, and a lost one a round to be told,
    # which cancels its handler.
    for _ in range(_ROUNDS):
        for connection in server.connections:
            if isinstance(connection.transport, asyncio.Transport):
                connection.transport.abort()
        await _rounds(1)
    await server.shutdown(_SHUTDOWN_S)
    await listener.wait_closed()


async def _rounds(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def _load(scenario: str | Path | Mapping[str, Any] | None, given: Mapping[str, Any]) -> Scenario:
    if isinstance(scenario, str | Path):
        source = str(scenario)
        table: Mapping[str, Any] = parse_toml(Path(scenario).read_text("utf-8"), source)
    else:
        source, table = "scenario", scenario or {}
    return parse_scenario({**table, **given}, source)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
