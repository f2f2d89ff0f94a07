"""What is promised of barechat's figures, and do they keep it? Each bound is a ratio to another candidate's figure."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from bench.results import Bound, Row, ratio

_OURS: Final = "barechat"


class Promise(msgspec.Struct, frozen=True):
    """At most so many times another's figure of a row; or at most so much, of a row that compares nothing."""

    workload: str
    row: str
    unit: str
    against: str | None
    at_most: float


_CALL: Final = "CPU us a call"
_TOKEN: Final = "CPU us a token"
_START: Final = "CPU ms over bare Python"
_STREAMS: Final = {
    "stream": "a blocking stream of 1,000 tokens",
    "streams": "1,000 async streams of 50 tokens",
}
PROMISES: Final = (
    Promise("imports", "import", _START, "openai", 1 / 20),
    Promise("imports", "import and first client", _START, "openai", 1 / 4),
    Promise("call", "one blocking call", _CALL, "bare", 1.35),
    Promise("call", "one blocking call", _CALL, "openai", 1 / 4),
    Promise("calls", "100 async calls in flight", _CALL, "bare", 1.35),
    Promise("calls", "100 async calls in flight", _CALL, "openai", 1 / 10),
    Promise("calls", "1,000 async calls in flight", _CALL, "bare", 1.35),
    Promise("calls", "1,000 async calls in flight", _CALL, "openai", 1 / 30),
    *(Promise(workload, f"{row}, burst", _TOKEN, "bare", 1.8) for workload, row in _STREAMS.items()),
    *(Promise(workload, f"{row}, burst", _TOKEN, "openai", 1 / 15) for workload, row in _STREAMS.items()),
    *(Promise(workload, f"{row}, paced", _TOKEN, "bare", 1.25) for workload, row in _STREAMS.items()),
    *(Promise(workload, f"{row}, paced", _TOKEN, "openai", 1 / 3.5) for workload, row in _STREAMS.items()),
    Promise(
        "tls", "1,000 async streams of 50 tokens, paced, over TLS: memory", "MiB over an idle process", "bare", 1.1
    ),
    Promise("ledger", "ledger, async, 1,000 in flight", "CPU us a call more", None, 60),
)


def judged(workload: str, rows: Sequence[Row]) -> Iterator[Bound]:
    """Yield what was promised of a workload's rows that were measured, and whether it holds."""
    found = {(row.name, row.unit, row.candidate): row for row in rows}
    for promise in PROMISES:
        if promise.workload != workload:
            continue
        ours = found.get((promise.row, promise.unit, None if promise.against is None else _OURS))
        other = found.get((promise.row, promise.unit, promise.against))
        if ours is None or (promise.against is not None and other is None):
            continue
        value = ours.value if other is None or promise.against is None else ratio(ours.runs, other.runs).value
        yield Bound(
            row=promise.row,
            unit=promise.unit,
            against=promise.against,
            at_most=round(promise.at_most, 4),
            value=value,
            holds=value <= promise.at_most,
        )
