"""Errors, records and policies copy, pickle and cross processes with all that they carry."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from barechat import (
    Attempt,
    BarechatError,
    Caps,
    CostTracker,
    Message,
    RateLimits,
    RetryPolicy,
    StreamTruncated,
    Timeouts,
    TraceEvent,
    records,
)
from barechat.records import FREE, CompletionTokensDetails, Function, Patches, PromptTokensDetails, Record, Tiles
from holding import fail_with
from support import ONCE
from test_errors import CLASSES, made
from test_records import ALL

if TYPE_CHECKING:
    from barechat.simulator import Simulator
    from support import Caller

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
RECORDS = [
    *ALL,
    Message(content="Hi", audio={"id": "a"}, annotations=[{"type": "url_citation"}]),
    Function(name="f"),
    RateLimits(remaining_tokens=1),
    Attempt(number=1, client_request_id="x", error="RateLimited", delay_s=1.0),
    PromptTokensDetails(cached_tokens=1),
    CompletionTokensDetails(reasoning_tokens=1),
    Tiles(base=85, tile=170),
    Patches(multiplier="1.62", high=1536),
    TraceEvent(kind="head", at=1.0, attempt=1, status=200, headers={"a": "b"}),
    Timeouts(),
    Timeouts(total_s=5),
    Caps(line_bytes=5),
    RetryPolicy(max_attempts=2),
    CostTracker().totals,
]
ERRORS = [made(kind) for kind in CLASSES]


def twins(thing: Any) -> list[Any]:
    pickled = [pickle.loads(pickle.dumps(thing, protocol)) for protocol in PROTOCOLS]  # noqa: S301 - our own
    return [copy.copy(thing), copy.deepcopy(thing), *pickled]


@pytest.mark.parametrize("thing", RECORDS, ids=lambda thing: type(thing).__name__)
def test_every_record_and_policy_copies_and_pickles_by_every_protocol(thing: Any) -> None:
    for twin in twins(thing):
        assert (type(twin), twin) == (type(thing), thing)
    if isinstance(thing, Timeouts):
        assert {twin.stream_total_s for twin in twins(thing)} == {thing.stream_total_s}


def test_no_kind_of_record_is_left_out_of_these() -> None:
    kinds = {kind for kind in vars(records).values() if isinstance(kind, type) and issubclass(kind, Record)}
    assert kinds - {type(record) for record in RECORDS} == {Record}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_error_copies_and_pickles_by_every_protocol(error: BarechatError) -> None:
    for twin in twins(error):
        assert (type(twin), str(twin), vars(twin)) == (type(error), str(error), vars(error))


def test_errors_and_replies_cross_processes_both_ways_with_all_that_they_carry(
    caller: Caller, simulator: Simulator
) -> None:
    simulator.fail_next(cut_after=2)
    with pytest.raises(StreamTruncated) as caught, caller.stream(retry=ONCE) as stream:
        list(stream)
    truncated = caught.value
    assert truncated.partial is not None
    assert truncated.cost is not None
    assert len(truncated.attempts) == 1
    things = [*RECORDS, *ERRORS, truncated, caller.chat()]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for thing, twin in zip(things, pool.map(copy.copy, things), strict=True):
            assert type(twin) is type(thing)
            assert vars(twin) == vars(thing) if isinstance(thing, Exception) else twin == thing
        for error in (*ERRORS, truncated):
            raised = pool.submit(fail_with, error).exception()
            assert raised is not None
            assert type(raised) is type(error)
            assert {**vars(raised), "__notes__": []} == {**vars(error), "__notes__": []}
            assert raised.args == error.args


def test_a_meter_that_threads_share_travels_with_its_totals(caller: Caller) -> None:
    caller.chat()
    for twin in twins(caller.client.cost):
        assert twin.totals == caller.client.cost.totals
        twin.record("m", None, FREE)
        assert (twin.call_count, caller.client.cost.call_count) == (2, 1)
