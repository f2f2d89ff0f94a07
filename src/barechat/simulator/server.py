"""How is the simulator started, asked and stopped? A server on loopback, in a thread or on the running loop.

It also finds the scenario and reads the files, so that the rest stays pure.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import ipaddress
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import web

from barechat.simulator.decide import Judge
from barechat.simulator.endpoint import Endpoint
from barechat.simulator.journal import Journal, Record
from barechat.simulator.recorder import RecordingEndpoint
from barechat.simulator.replies import Replies, parse_replies
from barechat.simulator.scenario import Scenario, ScenarioError, parse_fault, parse_limits, parse_scenario, parse_toml
from barechat.simulator.tls import make_certificate

if TYPE_CHECKING:
    import ssl

_BACKLOG: Final = 4096
_ROUNDS: Final = 6
_SHUTDOWN_S: Final = 0.2
_SHIPPED: Final = Path(__file__).parent / "scenarios"


def scenario_summaries() -> dict[str, str]:
    """Return the scenarios that come with the simulator: what each is, by name."""
    paths = sorted(_SHIPPED.glob("*.toml"))
    return {path.stem: _first_comment(path.read_text("utf-8")) for path in paths}


def _first_comment(text: str) -> str:
    """Return the comment that a file begins with, as one line."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.removeprefix("#").strip() for line in lines)


class Simulator:
    """A server of the Chat Completions API on loopback, which answers, refuses and fails as it is told.

    `scenario` is the name of one that comes with it, a TOML file's path or such a file's table. `dialect`, `seed`,
    `first_token_s` (seconds to the first token) and `tokens_per_s` (0: no pacing) go before the scenario's own.
    `replies` is a JSONL file of answers to give. `tls` serves HTTPS with a certificate made on the spot, whose
    authority is in `authority`. `log` is a file that gets a JSON line a request; `clock` gives seconds since the epoch.
    With `record`, it answers nothing by itself but passes all on to the server at `upstream` (a base URL) and appends
    its answers to that file, for `replies`. Hosts off loopback need `allow_remote`.

    As `with` it serves from a thread of its own, as `async with` from the running loop. Raises ScenarioError (a
    ValueError) for a scenario or replies that can't be followed, OSError for a port that is taken or a file that can't
    be read, and ImportError for `tls` without the extra of that name.
    """

    def __init__(
        self,
        scenario: str | Path | Mapping[str, Any] | None = None,
        *,
        dialect: str | None = None,
        replies: str | Path | None = None,
        seed: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        log: str | Path | None = None,
        first_token_s: float | None = None,
        tokens_per_s: float | None = None,
        record: str | Path | None = None,
        upstream: str | None = None,
        allow_remote: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not allow_remote and not _is_loopback(host):
            raise ValueError(f"{host} is not loopback; `allow_remote` serves it all the same")
        if (record is None) != (upstream is None):
            raise ValueError("`record` names the file and `upstream` the server whose answers go there: give both")
        if record is not None and (scenario is not None or dialect is not None or replies is not None):
            raise ValueError("what is recorded is the upstream's: `record` goes without scenario, dialect and replies")
        given = {"dialect": dialect, "seed": seed, "first_token_s": first_token_s, "tokens_per_s": tokens_per_s}
        self._scenario = _load(scenario, {name: value for name, value in given.items() if value is not None})
        self._replies = None if replies is None else _load_replies(Path(replies))
        self._host = "127.0.0.1" if host == "localhost" else host
        self._port = port
        self._tls = tls
        self._journal = Journal(None if log is None else Path(log))
        self._clock = clock
        self._recorder: RecordingEndpoint | None = None
        if record is not None and upstream is not None:
            self._recorder = RecordingEndpoint(upstream, Path(record), self._journal, clock)
        self._url: str | None = None
        self._authority: Path | None = None
        self._judge: Judge | None = None
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
    def authority(self) -> Path:
        """The PEM file of the authority to trust, for `SSL_CERT_FILE`; it is there while the simulator runs on TLS."""
        if self._authority is None:
            raise RuntimeError("there is an authority only while a simulator with tls=True runs")
        return self._authority

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

    def limit(self, **limit: Any) -> None:
        """Put one limit, given by its keys, in place of all; none without keys. What was spent stays spent.

        Raises ScenarioError for keys that can't be followed.
        """
        limits = parse_limits([limit] if limit else [], "limit")
        self._scenario.limits = limits
        if self._judge is None or self._loop is None:
            return
        change = functools.partial(self._judge.limits.change, limits, self._clock())
        if _running_loop() is self._loop:
            change()
        else:
            _call_in(self._loop, change)

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
            stack.callback(self._forget_run)
            self._journal.open()
            stack.callback(self._journal.close)
            endpoint = await self._open_endpoint(stack)
            server = web.Server(
                endpoint.handle,
                request_factory=functools.partial(web.BaseRequest, loop=self._loop, client_max_size=0),
                handler_cancellation=True,
                access_log=None,
            )
            context = self._open_tls(stack)
            listener = await self._loop.create_server(server, self._host, self._port, backlog=_BACKLOG, ssl=context)
            stack.push_async_callback(_shut_down, listener, server, endpoint)
            address = listener.sockets[0].getsockname()
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            self._url = f"{'https' if self._tls else 'http'}://{host}:{address[1]}/v1"
            self._closing = stack.pop_all()
        return self

    def _forget_run(self) -> None:
        """Drop what is there only while it runs."""
        self._judge = None
        self._authority = None

    async def _open_endpoint(self, stack: contextlib.AsyncExitStack) -> Endpoint | RecordingEndpoint:
        if self._recorder is not None:
            await self._recorder.open()
            stack.push_async_callback(self._recorder.close)
            return self._recorder
        self._judge = Judge(self._scenario, self._replies, started=self._clock())
        return Endpoint(self._judge, self._journal, self._clock, self._scenario.settings.load.slots)

    def _open_tls(self, stack: contextlib.AsyncExitStack) -> "ssl.SSLContext | None":
        if not self._tls:
            return None
        certificate = make_certificate(self._host)
        self._authority = stack.enter_context(certificate.authority_file())
        return certificate.context

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


async def _shut_down(listener: asyncio.Server, server: web.Server, endpoint: Endpoint | RecordingEndpoint) -> None:
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
        table: Mapping[str, Any] = parse_toml(_read_scenario(scenario), source)
    else:
        source, table = "scenario", scenario or {}
    return parse_scenario({**table, **given}, source)


def _read_scenario(scenario: str | Path) -> str:
    """Read a scenario's file; a bare name without an ending is one of those that come with the simulator."""
    names = scenario_summaries()
    if scenario in names:
        return _read(_SHIPPED / f"{scenario}.toml")
    path = Path(scenario)
    if isinstance(scenario, str) and path.name == scenario and not path.suffix and not path.exists():
        raise ScenarioError(
            f"no scenario `{scenario}`: it is no file, and those that come with it are {', '.join(names)}"
        )
    return _read(path)


def _load_replies(path: Path) -> Replies:
    return parse_replies(_read(path), str(path))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: not UTF-8: {error}") from None


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Call a function in a loop that runs in another thread, and wait until it is done."""

    async def call() -> None:
        function()

    asyncio.run_coroutine_threadsafe(call(), loop).result()


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
