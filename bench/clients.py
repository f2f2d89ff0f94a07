"""Which loads are the clients put under, and by which server? One that answers what is fixed, on a core of its own."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from bench.compare import Case, cpu_rows, idle_kib, memory_rows, run
from bench.limits import let_open_many_files
from bench.results import Row
from bench.server import serve_fixed

_BLOCKING: Final = ("socket", "bare", "barechat", "openai", "httpx", "requests")
_ASYNC: Final = ("socket", "bare", "barechat", "openai", "httpx")
_MANY: Final = ("socket", "bare", "barechat", "openai")  # httpx takes half a minute for a thousand
_CALLS: Final[dict[str, Any]] = {"shape": "calls", "answer": "whole", "unit": "call"}

CASES: Final[dict[str, list[Case]]] = {
    "calls": [
        Case(
            name=f"{in_flight:,} async call{'s' * (in_flight > 1)} in flight",
            **_CALLS,
            is_async=True,
            candidates=candidates,
            in_flight=in_flight,
            warm_up=max(200, in_flight),
            count=count,
            counts=counts,
        )
        for in_flight, count, counts, candidates in (
            (1, 2000, {"openai": 500, "httpx": 500}, _ASYNC),
            (100, 5000, {"openai": 500, "httpx": 300}, _ASYNC),
            (1000, 4000, {"httpx": 1000}, _MANY),
        )
    ],
}


def measures(workload: str) -> Callable[[int, Sequence[str]], list[Row]]:
    """Return what measures a workload."""

    def measure(runs: int, only: Sequence[str]) -> list[Row]:
        return list(_rows(CASES[workload], runs, only))

    return measure


def _rows(cases: Sequence[Case], runs: int, only: Sequence[str]) -> Iterator[Row]:
    let_open_many_files()
    idle = idle_kib(runs)
    with contextlib.ExitStack() as stack:
        servers = {tls: stack.enter_context(serve_fixed(tls=tls)) for tls in {case.tls for case in cases}}
        found = run(cases, servers, runs, only)
    for case in cases:
        yield from cpu_rows(case, found)
    for case in cases:
        yield from memory_rows(case, found, idle)
