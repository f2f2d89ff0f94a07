"""What does one async candidate spend on one load? The shapes of loads that `job.py` runs in an event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, NoReturn, Protocol

from bench.answers import PIECE, TEXT
from bench.measure import Measure, check
from bench.process import resident_kib

_STARTS_PER_S = 2000  # of streams at the beginning: more at once than a listening socket takes would wait for a second
_SETTLE_S = 1.0
_LONGEST_S = 120


class Async(Protocol):
    """As `job.Blocking`, awaited, and made within the loop."""

    async def call(self, number: int) -> str: ...
    def stream(self, number: int) -> AsyncIterator[str]: ...


def run(order: dict[str, Any], make: Callable[[str, str | None], Async]) -> NoReturn:
    """Do what is ordered."""
    shape = {"calls": calls, "streams": streams, "rolling": rolling}[order["shape"]]

    async def go() -> None:
        await shape(order, make(order["url"], order["authority"]))

    asyncio.run(go())
    raise AssertionError("a shape ends the process")


async def calls(order: dict[str, Any], client: Async) -> NoReturn:
    """So many calls in flight, each followed by the next."""

    async def ask(numbers: Iterator[int]) -> None:
        for number in numbers:
            if await client.call(number) != TEXT:
                raise RuntimeError("not the answer")

    await _in_flight(order, ask, order["warm_up"])
    measure = Measure(order)
    await _in_flight(order, ask, order["count"])
    measure.end(order["count"])


async def streams(order: dict[str, Any], client: Async) -> NoReturn:
    """So many streams in flight, each followed by the next; units are tokens."""

    async def ask(numbers: Iterator[int]) -> None:
        for number in numbers:
            check("".join([text async for text in client.stream(number)]), order["tokens"])

    await _in_flight(order, ask, order["warm_up"])
    measure = Measure(order)
    await _in_flight(order, ask, order["count"])
    measure.end(order["count"] * order["tokens"])


async def _in_flight(
    order: dict[str, Any], ask: Callable[[Iterator[int]], Coroutine[Any, Any, None]], count: int
) -> None:
    numbers = iter(range(count))
    async with asyncio.TaskGroup() as group:
        for _ in range(order["in_flight"]):
            group.create_task(ask(numbers))


class _Rolling:
    """Streams that are open all the time, each followed by the next, with a token each now and then.

    The first token's text says when its request came to the server and when it left there: the rest of the time, from
    the call to the token, is the client's and the way's.
    """

    def __init__(self, in_flight: int, client: Async) -> None:
        self.tokens = 0
        self.all_begun = asyncio.Event()
        self._begun = 0
        self.added_s: list[float] = []
        self._in_flight = in_flight
        self._client = client

    async def go_on(self, number: int) -> NoReturn:
        await asyncio.sleep(number / _STARTS_PER_S)
        while True:
            await self._stream(number)
            number += self._in_flight

    async def _stream(self, number: int) -> None:
        is_first, called_ns = True, time.monotonic_ns()
        async for text in self._client.stream(number):
            self.tokens += 1
            if not is_first:
                if text != PIECE:
                    raise RuntimeError(f"not the answer: {text!r}")
                continue
            came_ns, left_ns = map(int, text.split())
            self.added_s.append((time.monotonic_ns() - called_ns - (left_ns - came_ns)) / 1e9)
            is_first, self._begun = False, self._begun + 1
            if self._begun == self._in_flight:
                self.all_begun.set()
        if is_first:
            raise RuntimeError("an empty answer")


async def rolling(order: dict[str, Any], client: Async) -> NoReturn:
    """So many streams open, for some seconds from when all have begun; units are tokens."""
    async for _ in client.stream(0):  # what a first stream loads is no open one's memory
        pass
    load = _Rolling(order["in_flight"], client)
    closed_kib = resident_kib()
    async with asyncio.timeout(_LONGEST_S), asyncio.TaskGroup() as group:
        for number in range(order["in_flight"]):
            group.create_task(load.go_on(number))
        await load.all_begun.wait()
        await asyncio.sleep(_SETTLE_S)
        open_kib = resident_kib()
        load.added_s.clear()
        measure, before = Measure(order), load.tokens
        await asyncio.sleep(order["seconds"])
        opened_kib = None if open_kib is None or closed_kib is None else open_kib - closed_kib
        measure.end(load.tokens - before, added_s=load.added_s, opened_kib=opened_kib)
    raise AssertionError("the measure ends the process")
