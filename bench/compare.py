"""How do the candidates compare on one load? Each in fresh processes, in turn, so that a busy minute meets them all."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final

import msgspec
from bench.results import Row, row
from bench.server import Server

BASE: Final = "bare"
MODULES: Final = {
    "socket": "by_hand",
    BASE: "bare",
    "barechat": "barechat",
    "openai": "openai",
    "httpx": "httpx",
    "requests": "requests",
    "litellm": "litellm",
}
BLOCKING_ONLY: Final = {"requests"}
_OWN: Final = {"socket", BASE, "barechat"}
_KIB: Final = 1024


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One load, and who is put under it.

    `slower` are those that take too long for all of `warm_up` and `count`, and how many they have of each.
    """

    name: str
    unit: str  # of which the CPU is told: "call" or "token"
    shape: str
    answer: str  # the server's path
    candidates: Sequence[str]
    is_async: bool = False
    tls: bool = False
    in_flight: int = 1
    tokens: int = 0
    warm_up: int = 1
    count: int = 1
    slower: Mapping[str, tuple[int, int]] = {}
    seconds: float = 0.0
    tells_memory: bool = False

    def order(self, candidate: str, server: Server) -> dict[str, Any]:
        """Return what `job.py` is to do."""
        warm_up, count = self.slower.get(candidate, (self.warm_up, self.count))
        return {
            "candidate": MODULES[candidate],
            "shape": self.shape,
            "is_async": self.is_async,
            "url": f"{server.url}/{self.answer}/v1",
            "authority": server.authority,
            "server": server.pid,
            "in_flight": self.in_flight,
            "tokens": self.tokens,
            "warm_up": warm_up,
            "count": count,
            "seconds": self.seconds,
        }


Found = dict[str, dict[str, list[dict[str, Any]]]]
"""What the jobs printed, by case and candidate, a run each."""


def chosen(case: Case, only: Sequence[str]) -> list[str]:
    """Return who is put under a load: its candidates, or those that are asked for; without those not installed."""
    asked = [name for name in MODULES if name in only and not (case.is_async and name in BLOCKING_ONLY)]
    return installed(asked if only else case.candidates)


def installed(candidates: Sequence[str]) -> list[str]:
    """Return those of the candidates that are there."""
    return [name for name in candidates if name in _OWN or find_spec(name) is not None]


def run(cases: Sequence[Case], server: Mapping[bool, Server], runs: int, only: Sequence[str]) -> Found:
    """Put the candidates under the loads, in another order each time. `server` is by whether it speaks TLS."""
    found: Found = {case.name: {} for case in cases}
    for number in range(runs):
        for case in cases:
            names = chosen(case, only)
            turn = number % len(names) if names else 0
            for name in names[turn:] + names[:turn]:
                found[case.name].setdefault(name, []).append(_job(case.order(name, server[case.tls])))
    return found


def idle_kib(runs: int) -> float | None:
    """Return the memory of a process that does nothing."""
    found = [_job({})["peak_kib"] for _ in range(runs)]
    return None if None in found else statistics.median(found)


def cpu_rows(case: Case, found: Found) -> Iterator[Row]:
    """Yield the CPU of a unit, for each candidate, beside the bare loop's."""
    yield from compared(
        case.name,
        f"CPU us a {case.unit}",
        {name: [one["cpu_s"] / one["units"] * 1e6 for one in runs] for name, runs in found[case.name].items()},
        {name: _server_share(runs) for name, runs in found[case.name].items()},
    )


def memory_rows(case: Case, found: Found, idle: float) -> Iterator[Row]:
    """Yield the most memory that each candidate's processes had over an idle one's."""
    memory = {name: [(one["peak_kib"] - idle) / _KIB for one in runs] for name, runs in found[case.name].items()}
    yield from compared(f"{case.name}: memory", "MiB over an idle process", memory)


def compared(
    name: str, unit: str, figures: Mapping[str, list[float]], shares: Mapping[str, float | None] | None = None
) -> Iterator[Row]:
    """Yield a row a candidate, each with its ratio to the bare loop's, where that was measured."""
    for candidate, runs in figures.items():
        yield row(
            name, unit, runs, candidate=candidate, base=figures.get(BASE), server_share=(shares or {}).get(candidate)
        )


def _server_share(runs: Sequence[Mapping[str, Any]]) -> float | None:
    """Return how much of a core the server had, at its busiest."""
    shares = [one["server_s"] / one["seconds"] for one in runs if one["server_s"] is not None]
    return round(max(shares), 2) if shares else None


def _job(order: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.job", json.dumps(order)], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"a job failed, as it says above: {order}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
