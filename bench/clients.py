"""Which loads are the clients put under, and by which server? One that answers what is fixed, on a core of its own."""

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from bench.compare import Case, Found, compared, cpu_rows, idle_kib, memory_rows, run
from bench.limits import let_open_many_files
from bench.results import Row
from bench.server import serve_fixed

_BLOCKING: Final = ("socket", "bare", "barechat", "openai", "httpx", "requests")
_ASYNC: Final = ("socket", "bare", "barechat", "openai", "httpx")
_MANY: Final = ("socket", "bare", "barechat", "openai")  # httpx takes half a minute for a thousand
_OVER_TLS: Final = ("bare", "barechat", "openai")
_GROWING: Final = ("bare", "barechat")
_TOKENS: Final = 50  # of a stream among many
_EVERY_MS: Final = 500  # so that no client is too busy to read each token alone
_LONG: Final = 1000  # tokens of a stream alone


def _call(*, tls: bool = False) -> Case:
    return Case(
        name="one blocking call" + " over TLS" * tls,
        unit="call",
        shape="calls",
        answer="whole",
        candidates=_OVER_TLS if tls else _BLOCKING,
        tls=tls,
        warm_up=100,
        count=2000,
        slower=dict.fromkeys(("openai", "httpx", "requests"), (50, 500)),
        tells_memory=not tls,
    )


def _stream(how: str, answer: str, *, tls: bool = False, streams: int, slow: int, warm_up: int) -> Case:
    return Case(
        name=f"a blocking stream of {_LONG:,} tokens, {how}" + ", over TLS" * tls,
        unit="token",
        shape="streams",
        answer=answer,
        candidates=_OVER_TLS if tls else _BLOCKING,
        tls=tls,
        tokens=_LONG,
        warm_up=warm_up,
        count=streams,
        slower={"openai": (1, slow)},
    )


def _calls(in_flight: int, count: int, slow: int, candidates: Sequence[str], *, tls: bool = False) -> Case:
    return Case(
        name=f"{in_flight:,} async call{'s' * (in_flight > 1)} in flight" + ", over TLS" * tls,
        unit="call",
        shape="calls",
        answer="whole",
        candidates=candidates,
        is_async=True,
        tls=tls,
        in_flight=in_flight,
        warm_up=max(200, in_flight),
        count=count,
        slower={"openai": (100, slow), "httpx": (100, 300)},  # openai keeps a hundred connections, of all that it opens
        tells_memory=in_flight > 1 and not tls,
    )


def _burst(in_flight: int) -> Case:
    return Case(
        name=f"{in_flight:,} async streams of {_TOKENS} tokens, burst",
        unit="token",
        shape="streams",
        answer=f"burst-{_TOKENS}",
        candidates=_MANY,
        is_async=True,
        in_flight=in_flight,
        tokens=_TOKENS,
        warm_up=in_flight,
        count=2 * in_flight,
        slower={"openai": (100, in_flight)},
    )


def _paced(candidates: Sequence[str], *, tls: bool = False) -> Case:
    name = f"1,000 async streams of {_TOKENS} tokens, paced" + ", over TLS" * tls
    return _rolling(name, 1000, _EVERY_MS, candidates, seconds=5.0, tls=tls)


def _open(in_flight: int) -> Case:
    return _rolling(f"{in_flight:,} open streams, a token a second", in_flight, 1000, _GROWING, seconds=3.0)


def _rolling(
    name: str, in_flight: int, every_ms: int, candidates: Sequence[str], *, seconds: float, tls: bool = False
) -> Case:
    return Case(
        name=name,
        unit="token",
        shape="rolling",
        answer=f"rolling-{_TOKENS}-{every_ms}-{in_flight}",
        candidates=candidates,
        is_async=True,
        tls=tls,
        in_flight=in_flight,
        seconds=seconds,
        tells_memory=True,
    )


CASES: Final[dict[str, list[Case]]] = {
    "call": [_call()],
    "stream": [
        _stream("burst", f"burst-{_LONG}", streams=40, slow=10, warm_up=2),
        _stream("paced", f"paced-{_LONG}-1", streams=1, slow=1, warm_up=1),
    ],
    "calls": [_calls(1, 2000, 500, _ASYNC), _calls(100, 5000, 500, _ASYNC), _calls(1000, 8000, 2000, _MANY)],
    "streams": [_burst(1000), _paced(_MANY)],
    "tls": [
        _call(tls=True),
        _stream("burst", f"burst-{_LONG}", tls=True, streams=40, slow=10, warm_up=2),
        _calls(100, 5000, 500, _OVER_TLS, tls=True),
        _paced(_OVER_TLS, tls=True),
    ],
    "growth": [_open(100), _open(1000), _open(5000)],
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
        if case.shape == "rolling":
            yield from _open_stream_rows(case, found)
    for case in cases:
        if case.tells_memory and idle is not None:
            yield from memory_rows(case, found, idle)


def _first_token_rows(case: Case, found: Found) -> Iterator[Row]:
    """Yield what a client adds to the time to a stream's first token, with so many open."""
    for name, place in (("p50", 49), ("p99", 98)):
        figures = {
            candidate: [statistics.quantiles(one["added_s"], n=100)[place] * 1000 for one in runs]
            for candidate, runs in found[case.name].items()
        }
        yield from compared(f"{case.name}: added to the first token, {name}", "ms", figures)


def _open_stream_rows(case: Case, found: Found) -> Iterator[Row]:
    """Yield what one open stream takes: of a core, and of the memory."""
    cpu: dict[str, list[float]] = {}
    memory: dict[str, list[float]] = {}
    for candidate, runs in found[case.name].items():
        cpu[candidate] = [one["cpu_s"] / one["seconds"] / case.in_flight * 1e6 for one in runs]
        if all(one["opened_kib"] is not None for one in runs):
            memory[candidate] = [one["opened_kib"] / case.in_flight for one in runs]
    if case.candidates is not _GROWING:
        yield from _first_token_rows(case, found)
        return
    yield from compared(f"{case.name}: each", "CPU us a second", cpu)
    yield from compared(f"{case.name}: each", "KiB", memory)
