"""How is a bulk run read? `AsyncBulkRun`, and `BulkRun`, which drives one on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from barechat.async_client import AsyncClient
from barechat.base_client import SENSES
from barechat.bulk.limiter import Limiter
from barechat.bulk.requests import BadLine, BulkRequest, Reader
from barechat.bulk.runner import PATIENT, Policies, Runner
from barechat.bulk.sink import Sink
from barechat.errors import BarechatError, ParameterError
from barechat.parameters import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from barechat.base_client import BaseClient
    from barechat.bulk.hashes import Hashes
    from barechat.bulk.progress import Progress
    from barechat.bulk.results import BulkResult
    from barechat.bulk.source import Item
    from barechat.client import Client
    from barechat.settings import Timeouts
    from barechat.wire.retry import RetryPolicy


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a bulk run was asked for."""

    requests: Iterable[Any] | AsyncIterable[Any]
    output: Any = None
    ordered: bool = False
    retry_failed: bool = False
    is_dry: bool = False
    rpm: float | None = None
    tpm: float | None = None
    concurrency: int | None = None
    timeouts: Timeouts | None = None
    retry: RetryPolicy | None = None
    tags: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("rpm", "tpm", "concurrency"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
                raise ParameterError(f"{name} must be a number above 0, or None, not {shown(value)}", param=name)
        if isinstance(self.requests, str | bytes) or not isinstance(self.requests, Iterable | AsyncIterable):
            raise ParameterError(f"requests must be an iterable, not {shown(self.requests)}", param="requests")


class _GivenUpError(Exception):
    """Nobody waits any more for the output to be put into order."""


class AsyncBulkRun:
    """Same as BulkRun, for `async with` and `async for`. It begins when it is first asked for a result."""

    def __init__(self, client: AsyncClient, plan: Plan) -> None:
        self._plan = plan
        self._sink = (
            None if plan.output is None else Sink(Path(plan.output), retry_failed=plan.retry_failed, is_dry=plan.is_dry)
        )
        limiter = Limiter(
            rpm=plan.rpm,
            tpm=plan.tpm,
            concurrency=None if plan.concurrency is None else max(1, int(plan.concurrency)),
            now=SENSES.clock(),
        )
        policies = Policies(timeouts=plan.timeouts, retry=plan.retry or PATIENT, tags=plan.tags, headers=plan.headers)
        self.runner = Runner(client, _items(plan), limiter, policies, self._sink)
        self._task: asyncio.Task[None] | None = None

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self.runner.progress

    def stop(self) -> None:
        """Start no more requests; the results of those under way still come."""
        self.runner.stop()

    def rest(self) -> AsyncIterator[Item]:
        """Yield what is left of the requests: after the end, or instead of sending any."""
        return self.runner.rest()

    async def close(self) -> None:
        """End it where it stands, and wait for the disk.

        The output is put into order only if the run has come to its end, and this isn't cancelled meanwhile.
        """
        if self._task is None:
            self.let_go()
            return
        is_over = self._task.done()
        self._task.cancel()
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            is_over = False
            await asyncio.wait([self._task])  # which nothing holds up; until then it may still write
            raise
        finally:
            if self._task.done() and not self._task.cancelled():
                self._task.exception()  # whoever asks for results is told; nobody has to
            self.runner.close_source()
            if self._sink is not None:
                places = self.runner.names.places if self._plan.ordered and is_over else None
                await self._close_output(self._sink, places)

    def let_go(self) -> None:
        """Close the output of a run that hasn't begun."""
        if self._sink is not None:
            self._sink.close()

    async def _close_output(self, sink: Sink, places: Hashes | None) -> None:
        """Close the output on a thread, since to put it into order may take long."""
        is_given_up = threading.Event()

        def check() -> None:
            if is_given_up.is_set():
                raise _GivenUpError

        closing = asyncio.ensure_future(asyncio.to_thread(sink.close, places, check))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            is_given_up.set()
            with contextlib.suppress(_GivenUpError):
                await closing
            raise

    async def take(self) -> list[BulkResult]:
        """Return the results that have come, at least one; none at the end.

        Raises:
            BarechatError: the run was stopped by it, before its requests ended.
        """
        self._task = self._task or asyncio.create_task(self._run())
        results = self.runner.results
        while not results and not self._task.done():
            await self._news()
        taken = list(results)
        results.clear()
        self.runner.wake()
        if not taken:
            await self._task
            if self.progress.stopped is not None:
                raise self.progress.stopped
        return taken

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[BulkResult]:
        try:
            while results := await self.take():
                for result in results:
                    yield result
        finally:
            await self.close()

    async def _run(self) -> None:
        try:
            await self.runner.run()
        finally:
            self.runner.came.set()

    async def _news(self) -> None:
        self.runner.came.clear()
        await self.runner.came.wait()


class BulkRun:
    """The results of a bulk run, in the order in which they come. Iterate over it once; closing it ends all requests.

    It runs on a thread of its own, from the first result that is asked for, and waits when results aren't taken.

        with client.bulk(prompts, model="gpt-4o-mini", output="replies.jsonl") as run:
            for result in run:
                print(result.custom_id, result.text or result.error)
    """

    def __init__(self, run: AsyncBulkRun, client: AsyncClient, running: set[Any]) -> None:
        self._run = run
        self._client = client
        self._running = running
        self._results: deque[BulkResult] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._pid = os.getpid()

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._run.progress

    def stop(self) -> None:
        """Start no more requests; the results of those under way still come."""
        if self._loop is None:
            self._run.stop()
        else:
            self._loop.call_soon_threadsafe(self._run.stop)

    def close(self) -> None:
        """End it where it stands, and wait for the disk. Doing so twice is fine."""
        if self._is_closed:
            return
        self._is_closed = True
        self._results.clear()
        self._running.discard(self)
        if self._pid != os.getpid():
            return  # a forked child has no thread of the run's; it goes on in the parent
        if self._loop is None or self._thread is None:
            self._run.let_go()
            return
        try:
            self._ask(self._end)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> BulkResult:
        if self._pid != os.getpid():
            raise BarechatError("this run began in the process that this one was forked from, and goes on there")
        if not self._results and not self._is_closed:
            self._begin()
            try:
                self._results.extend(self._ask(self._run.take))
            finally:
                if not self._results:
                    self.close()
        if not self._results:
            raise StopIteration
        return self._results.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_is_closed", True):
            self.close()

    def _begin(self) -> None:
        if self._thread is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="barechat-bulk", daemon=True)
            self._thread.start()
            self._running.add(self)

    def _ask(self, what: Callable[[], Any]) -> Any:
        assert self._loop is not None  # noqa: S101 - it has begun
        return asyncio.run_coroutine_threadsafe(what(), self._loop).result()

    async def _end(self) -> None:
        try:
            await self._run.close()
        finally:
            await self._client.close()


_OWN_OPTIONS = {*(one.name for one in fields(Plan)), "extra"} - {"requests", "is_dry", "parameters"}


def planned(client: BaseClient, requests: Any, model: str | None, options: Mapping[str, Any]) -> Plan:
    """Return what a client's `bulk` was asked for: its own options and policies, and all else parameters of the API.

    Raises:
        ParameterError: one of them can't be used.
    """
    own = {name: value for name, value in options.items() if name in _OWN_OPTIONS}
    parameters = {name: value for name, value in options.items() if name not in _OWN_OPTIONS}
    defaults = client._defaults(model, parameters, own.pop("extra", None), own.get("headers"))  # noqa: SLF001 - its method
    return Plan(requests=requests, parameters=defaults, **own)


def _items(plan: Plan) -> Iterator[Item] | AsyncIterator[Item]:
    """Return a plan's requests, read one by one; what has been read already passes as it is."""
    reader = Reader(parameters=plan.parameters)

    def read(given: Any, number: int) -> Item:
        return given if isinstance(given, BulkRequest | BadLine) else reader.read(given, number)

    if isinstance(plan.requests, AsyncIterable):
        return _read_async(plan.requests, read)
    return (read(given, number) for number, given in enumerate(plan.requests, 1))


async def _read_async(requests: AsyncIterable[Any], read: Callable[[Any, int], Item]) -> AsyncIterator[Item]:
    number = 0
    async for given in requests:
        number += 1
        yield read(given, number)


def blocking_run(client: Client, plan: Plan) -> BulkRun:
    """Return a run of a blocking client: with its policies, ledger and budgets, and counted with its own calls."""
    twin = object.__new__(AsyncClient)
    twin.__dict__.update(vars(client))
    twin._running = set()
    twin._transport = twin._made_transport(*twin._network)
    return BulkRun(AsyncBulkRun(twin, plan), twin, client._running)  # noqa: SLF001 - closing the client closes its runs
