"""How many pieces of memory does a call take, or a token? `python tests/allocations.py` counts; `--record` keeps it.

What is counted: how far `sys.getallocatedblocks()` rises from one instruction of Python to the next, added up. So a
list that is made and dropped counts, and so do the objects that a decoder in C hands back; what C code takes and gives
back within one instruction doesn't. With one minor version of CPython and the same packages it comes out the same, to
a few in a thousand, on a busy machine too and in whatever order tests run: it is counted in a process of its own,
without the garbage collector, after some rounds that fill CPython's own stores of free objects.

Refused: seconds, which say how busy a machine is; tracemalloc's peak, which doesn't see what is made and dropped; and
the number of calls (`sys.setprofile`), which is as exact, but of which one may allocate nothing or a thousand times.

Minor versions differ by a tenth (3.12 has no frames for comprehensions), and so each has a record of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from barechat import AsyncClient, Client
from barechat.drive import advance
from barechat.exchange import exchange
from barechat.ledger.schema import opened
from barechat.ledger.store import Store
from barechat.money.prices import Prices
from barechat.receipt import Call, Origin, Receipt
from barechat.records import Reply
from barechat.settings import Caps, Timeouts
from barechat.steps import Head, Read, Send, Senses
from barechat.wire.request import build, openai_endpoint
from barechat.wire.retry import RetryBudget, RetryPolicy
from support import DONE, KEY, MODEL, USAGE, piece, whole_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from barechat.money.entry import Entry

ROOT: Final = Path(__file__).parent.parent
RECORD: Final = Path(__file__).parent / "data" / "allocations.json"
THIS: Final = f"{sys.platform} {sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]}"
_WARM_UP: Final = 4
_ROUNDS: Final = 5
_ENTRIES: Final = 100
_HEADERS: Final = {"x-request-id": "req_1", "x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "99"}


class Count:
    """Counts the allocations between its two methods. What it does in between allocates nothing that it would count."""

    def __init__(self) -> None:
        self._total: Callable[[], int] = lambda: 0

    def begin(self) -> None:
        counted = last = 0
        blocks = sys.getallocatedblocks

        def look(frame: Any, what: str, _arg: Any) -> Any:
            nonlocal counted, last
            now = blocks()
            if now > last:
                counted += now - last
            last = now
            if what == "call":
                frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return look

        self._total = lambda: counted
        last = blocks()
        sys.settrace(look)

    def end(self) -> int:
        sys.settrace(None)
        return self._total()


def counted(work: Callable[[], object]) -> float:
    """Return what some work allocates."""
    return statistics.median([_once(work) for _ in range(_WARM_UP + _ROUNDS)][_WARM_UP:])


def _once(work: Callable[[], object]) -> int:
    count = Count()
    count.begin()
    work()
    return count.end()


async def counted_async(work: Callable[[], Awaitable[object]]) -> float:
    """As counted, awaited: the event loop's own work is in it."""
    found = []
    for _ in range(_WARM_UP + _ROUNDS):
        count = Count()
        count.begin()
        await work()
        found.append(count.end())
    return statistics.median(found[_WARM_UP:])


class Told:
    """A call's story, told by hand: plain answers in, on a clock that stands still."""

    def __init__(self) -> None:
        self._prices = Prices.builtin()
        self._endpoint = openai_endpoint("http://server/v1", KEY, None, {})
        self._origin = Origin(RetryBudget())
        ids = itertools.count(10_000)
        self._senses = Senses(
            clock=lambda: 1000.0,
            epoch=lambda: 1_795_000_000.0,
            uniform=lambda low, _high: low,
            new_id=lambda: f"id-{next(ids)}",
        )
        self.entries: list[Entry] = []

    def call(self, pieces: list[bytes], *, streamed: bool = False, is_filed: bool = False) -> None:
        """Build a request and tell its story, with these pieces of a body."""
        request = build(self._endpoint, "Hello", MODEL, {}, None, None, streamed=streamed, ask_usage=True)
        call = Call(
            endpoint=self._endpoint,
            request=request,
            timeouts=Timeouts(),
            policy=RetryPolicy(),
            prices=self._prices,
            caps=Caps(),
            is_filed=is_filed,
        )
        receipt = Receipt(call)
        story, left = exchange(call, receipt, self._origin, self._senses), iter(pieces)
        answer: Any = None
        while not isinstance(step := advance(story, answer, None), Reply):
            answer = None
            if isinstance(step, Send):
                step.leaving()
                kind = "text/event-stream" if streamed else "application/json"
                answer = Head(200, {"content-type": kind, **_HEADERS})
            elif isinstance(step, Read):
                answer = next(left, b"")
        self.entries += receipt.unfiled


def _a_token(told: Told, *, together: int) -> float:
    """Return what a token takes, of which so many come in one read: a stream of more, less one of few."""
    end = piece(finish_reason="stop") + USAGE + DONE
    few, many = 1, 3  # reads
    streams = [[*[piece("tide") * together] * reads, end] for reads in (few, many)]
    taken = [counted(partial(told.call, pieces, streamed=True)) for pieces in streams]
    return (taken[1] - taken[0]) / ((many - few) * together)


def _an_entry(told: Told) -> float:
    """Return what an entry takes to be written, a hundred in one transaction that is not ended."""
    told.entries.clear()
    for _ in range(_ENTRIES):
        told.call([whole_body()], is_filed=True)
    entries = list(told.entries)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(opened(str(Path(folder, "ledger.db"))))
        store.settle(entries)  # once: they are known after that, and the same rows are left alone
        found = counted(lambda: store.settle(entries)) / _ENTRIES
        store.db.close()
    return found


def over_sockets(url: str) -> Iterator[tuple[str, float]]:
    """Yield what a whole client takes, its transport and the libraries below included."""
    with Client(KEY, f"{url}/whole/v1") as client:
        yield "a blocking client's call", counted(lambda: client.chat("Hello", model=MODEL))
    yield from asyncio.run(_over_async_sockets(url))


async def _over_async_sockets(url: str) -> list[tuple[str, float]]:
    async with AsyncClient(KEY, f"{url}/whole/v1") as client:
        return [("an async client's call", await counted_async(lambda: client.chat("Hello", model=MODEL)))]


@contextlib.contextmanager
def fixed_server() -> Iterator[str]:
    """Start a server whose answers are fixed; in another process, so that nothing of it is counted."""
    command = [sys.executable, "-m", "bench.fixed"]
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def count_all() -> dict[str, float]:
    """Return the allocations of each path."""
    gc.disable()
    told, whole = Told(), [whole_body()]
    found = {
        "a whole reply's story": counted(lambda: told.call(whole)),
        "the same, for a ledger": counted(lambda: told.call(whole, is_filed=True)),
        "a token that comes alone": _a_token(told, together=1),
        "a token among fifty": _a_token(told, together=50),
        "a ledger's entry": _an_entry(told),
    }
    with fixed_server() as url:
        found |= over_sockets(url)
    return {name: round(number, 1) for name, number in found.items()}


def main() -> None:
    found = count_all()
    sys.stdout.write(json.dumps(found) + "\n")
    if "--record" in sys.argv:
        record = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}
        record = dict(sorted({**record, THIS: found}.items()))
        RECORD.write_text(json.dumps(record, indent=2) + "\n", "utf-8", newline="\n")


if __name__ == "__main__":
    main()
