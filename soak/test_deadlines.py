"""How late is each deadline? Twenty real calls at every place where one can stall: never early, at most 250 ms late."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from barechat import AsyncClient, BarechatError, Client, DeadlineExceeded, Overloaded, RetryPolicy, Timeouts
from stalling import PLACES, Place, Stalled, alone
from support import KEY, MODEL, ONCE, ByteServer, head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AFTER_S = 0.3
LATE_S = 0.25
REPETITIONS = 20
TOGETHER = 10  # calls at a time


@dataclass(frozen=True)
class Asked:
    """A call to be made again and again. `from_last_news` if its deadline runs from the last text that came."""

    url: str
    client: dict[str, Any]
    options: dict[str, Any]
    streamed: bool = False
    from_last_news: bool = False
    text: str = "Hello, sea."
    together: int = TOGETHER


Ended = list[tuple[float, BarechatError]]  # how many seconds it took, and how each ended


def ask_blocking(asked: Asked, stack: ExitStack) -> Ended:
    def ask(number: int) -> tuple[float, BarechatError]:
        began = time.monotonic()
        try:
            if not asked.streamed:
                client.chat(asked.text, model=MODEL, **asked.options)
            with client.stream(asked.text, model=MODEL, **asked.options) as stream:
                for _ in stream:
                    began = time.monotonic() if asked.from_last_news else began
        except BarechatError as error:
            return time.monotonic() - began, error
        raise AssertionError("it came to an end")

    client = stack.enter_context(Client(KEY, asked.url, **asked.client))
    with ThreadPoolExecutor(asked.together) as pool:
        return list(pool.map(ask, range(REPETITIONS)))


def ask_async(asked: Asked, stack: ExitStack) -> Ended:
    async def ask(client: AsyncClient, turn: asyncio.Semaphore) -> tuple[float, BarechatError]:
        async with turn:
            began = time.monotonic()
            try:
                if not asked.streamed:
                    await client.chat(asked.text, model=MODEL, **asked.options)
                async with client.stream(asked.text, model=MODEL, **asked.options) as stream:
                    async for _ in stream:
                        began = time.monotonic() if asked.from_last_news else began
            except BarechatError as error:
                return time.monotonic() - began, error
            raise AssertionError("it came to an end")

    async def run() -> Ended:
        turn = asyncio.Semaphore(asked.together)
        async with AsyncClient(KEY, asked.url, **asked.client) as client:
            return await asyncio.gather(*(ask(client, turn) for _ in range(REPETITIONS)))

    return stack.enter_context(asyncio.Runner()).run(run())


# What the stack holds is closed last: an event loop that ends waits for its look-ups of names.
ASK: dict[str, Callable[[Asked, ExitStack], Ended]] = {"blocking": ask_blocking, "asyncio": ask_async}
Told = dict[str, tuple[float, float]]


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """The earliest and the latest of each kind of call, in seconds after its deadline; printed at the end."""
    found: Told = {}
    yield found
    print()
    for name, (least, most) in sorted(found.items(), key=lambda item: item[1][1]):
        print(f"{1000 * least:+6.1f} to {1000 * most:+6.1f} ms  {name}")


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ASK)
def test_a_call_that_stalls_ends_in_time(place: Place, streamed: bool, kind: str, told: Told) -> None:
    which = place.streamed if streamed else place.whole
    together = 1 if place.is_deaf else TOGETHER  # its text is long
    with ExitStack() as stack, Stalled(place) as stalled:
        options = {"timeouts": alone(which, AFTER_S), "retry": ONCE}
        asked = Asked(stalled.url, stalled.options, options, streamed, which == "idle", place.text, together)
        ended = ASK[kind](asked, stack)
    late_s = [took_s - AFTER_S for took_s, _ in ended]
    told[f"{place}, {'streamed' if streamed else 'whole'}, {which}, {kind}"] = min(late_s), max(late_s)
    assert [error.which for _, error in ended if isinstance(error, DeadlineExceeded)] == [which] * REPETITIONS
    assert min(late_s) >= 0
    assert max(late_s) <= LATE_S


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ASK)
def test_a_call_that_waits_to_try_again_ends_in_time(streamed: bool, kind: str, told: Told) -> None:
    """It ends before its deadline, at the first wait that would outlast it."""
    policy = RetryPolicy(max_attempts=10**6, base_s=0.1, cap_s=0.1, retry_budget=None)
    with ByteServer() as server, ExitStack() as stack:
        server.answer(head("Content-Length: 0", status="503 Service Unavailable"), closes=False)
        options = {"timeouts": Timeouts(total_s=AFTER_S), "retry": policy}
        ended = ASK[kind](Asked(server.url, {}, options, streamed), stack)
    late_s = [took_s - AFTER_S for took_s, _ in ended]
    told[f"a wait, {'streamed' if streamed else 'whole'}, total, {kind}"] = min(late_s), max(late_s)
    assert all(isinstance(error, (Overloaded, DeadlineExceeded)) for _, error in ended)
    assert all(len(error.attempts) > 1 for _, error in ended)
    assert max(late_s) <= LATE_S
