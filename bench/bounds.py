"""What is promised of barechat's figures, and do they keep it? Each bound is a ratio to another candidate's figure."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from bench.results import Bound, Row

_OURS: Final = "barechat"


class Promise(msgspec.Struct, frozen=True):
    """At most so many times another's figure of a row; or at most so much, of a row that compares nothing."""

    workload: str
    row: str
    unit: str
    against: str | None
    at_most: float


_CPU: Final = "CPU us a call"
_TOKEN: Final = "CPU us a token"
PROMISES: Final = (
    Promise("calls", "100 async calls in flight", _CPU, "bare", 1.35),
    Promise("calls", "100 async calls in flight", _CPU, "openai", 1 / 10),
    Promise("calls", "1,000 async calls in flight", _CPU, "bare", 1.35),
    Promise("calls", "1,000 async calls in flight", _CPU, "openai", 1 / 30),
)


def judged(workload: str, rows: Sequence[Row]) -> Iterator[Bound]:
    """Yield what was promised of a workload's rows that were measured, and whether it holds."""
    found = {(row.name, row.unit, row.candidate): row.value for row in rows}
    for promise in PROMISES:
        if promise.workload != workload:
            continue
        ours = found.get((promise.row, promise.unit, None if promise.against is None else _OURS))
        other = 1.0 if promise.against is None else found.get((promise.row, promise.unit, promise.against))
        if ours is None or other is None:
            continue
        value = round(ours / other, 3)
        yield Bound(
            row=promise.row,
            unit=promise.unit,
            against=promise.against,
            at_most=round(promise.at_most, 4),
            value=value,
            holds=value <= promise.at_most,
        )
