"""No fault passes for a full answer, outlives its deadline or leaves its cost untold: every one, by both clients."""

from __future__ import annotations

import warnings
from decimal import Decimal
from typing import Final

import pytest

from fault_table import FAULTS, MODES, TEXT, Fault, Mode, Outcome, run

_CASES: Final = [
    pytest.param(fault, mode, id=f"{fault.name}, {mode}") for fault in FAULTS for mode in MODES if mode in fault.modes
]
# A call that was refused costs nothing; what else is lost may have cost something.
_FREE: Final = ("AuthenticationFailed", "BadRequest", "NotFound", "RateLimited", "QuotaExhausted", "Overloaded")


@pytest.mark.parametrize(("fault", "mode"), _CASES)
def test_a_fault_is_told_and_both_clients_tell_the_same(fault: Fault, mode: Mode) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an unknown end is told by a warning too
        blocking, asynchronous = (run(fault, kind, mode, patience_s=0.1) for kind in ("blocking", "asyncio"))
    assert _facts(blocking) == _facts(asynchronous)
    _judge(fault, blocking)


def _facts(outcome: Outcome) -> tuple[object, ...]:
    return outcome.got, outcome.text, outcome.requests, outcome.cost and (outcome.cost.certainty, outcome.cost.usd)


def _judge(fault: Fault, outcome: Outcome) -> None:
    if outcome.got == "complete":
        assert outcome.text == TEXT
    if fault.is_silent:
        assert outcome.got.startswith("DeadlineExceeded")
    assert outcome.requests <= 3
    assert outcome.cost is not None
    assert outcome.cost.usd is not None
    if outcome.is_error and outcome.text:
        assert TEXT.startswith(outcome.text)
        assert outcome.cost.usd > 0
    if outcome.got in _FREE:
        assert outcome.cost.usd == Decimal(0)
