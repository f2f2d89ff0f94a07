"""How much does the simulator serve on one core? So much that it never limits what is tested against it."""

import asyncio
import json
from collections.abc import Sequence
from typing import Final

from bench.load import Load, Measured, put_under
from bench.results import Row, row
from bench.server import serve

_WARM_UP_S: Final = 1.0
_RUN_S: Final = 2.0
_TOKENS: Final = 1000
_ROLE_AND_REASON: Final = 2
_LOADS: Final = {
    "whole, 20 to 60 tokens": Load(),
    "whole, 50 tokens": Load(headers={"x-simulate": json.dumps({"tokens": 50})}),
    "streamed, 1,000 tokens": Load(
        headers={"x-simulate": json.dumps({"tokens": _TOKENS})}, chunks=_TOKENS + _ROLE_AND_REASON
    ),
}


def measure(runs: int, _only: Sequence[str]) -> list[Row]:
    """Return requests or chunks a second, and a second of the server's CPU, each run with a server of its own."""
    measured: dict[str, list[Measured]] = {name: [] for name in _LOADS}
    for _ in range(runs):  # the loads in turn, so that a busy minute of the machine meets them all
        for name, load in _LOADS.items():
            measured[name].append(asyncio.run(_measure(load)))
    return [one for name, load in _LOADS.items() for one in _rows(name, load, measured[name])]


async def _measure(load: Load) -> Measured:
    with serve() as server:
        return await put_under(load, server.url, warm_up_s=_WARM_UP_S, seconds=_RUN_S, server_cpu=server.cpu_s)


def _rows(name: str, load: Load, measured: list[Measured]) -> list[Row]:
    what = "requests" if load.chunks is None else "chunks"
    counts = [one.answers if load.chunks is None else one.chunks for one in measured]
    rows = [row(name, f"{what}/s", [count / one.seconds for count, one in zip(counts, measured, strict=True)])]
    by_cpu = [count / one.server_cpu_s for count, one in zip(counts, measured, strict=True) if one.server_cpu_s]
    if by_cpu:
        rows.append(row(name, f"{what}/server CPU s", by_cpu))
    return [*rows, row(name, "load's own CPU s/s", [one.own_cpu_s / one.seconds for one in measured])]
