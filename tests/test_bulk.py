"""Bulk runs of both clients: every request has one result, through retries, stops and second runs."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from barechat import (
    AsyncClient,
    AuthenticationFailed,
    BarechatError,
    Budget,
    BudgetExceeded,
    BulkResult,
    Client,
    ConfigurationError,
    Ledger,
    ParameterError,
    QuotaExhausted,
    RetryPolicy,
    ServerFailed,
)
from racing import fork
from support import KEY, MODEL, AsyncCaller, Caller, Connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from barechat.simulator import Simulator

QUICK = RetryPolicy(base_s=0.001, retry_budget=None)
PROMPTS = [f"Say {number}." for number in range(20)]


def collect(caller: Caller, requests: Any, **options: Any) -> list[BulkResult]:
    """Return all results of a run of whichever client."""
    return list(each(caller, requests, **options))


def each(caller: Caller, requests: Any, **options: Any) -> Iterator[BulkResult]:
    options = {"model": MODEL, "retry": QUICK, **options}
    if isinstance(caller, AsyncCaller):
        results = aiter(caller.client.bulk(requests, **options))

        async def step() -> BulkResult | None:
            return await anext(results, None)

        while (result := caller.run(step())) is not None:
            yield result
    else:
        assert isinstance(caller.client, Client)
        with caller.client.bulk(requests, **options) as run:
            yield from run


def names(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replies.jsonl"


def test_every_request_has_one_result_and_one_line(caller: Caller, path: Path) -> None:
    results = collect(caller, PROMPTS, output=path)
    expected = [f"line-{number}" for number in range(1, 21)]
    assert sorted(result.custom_id for result in results) == sorted(names(path)) == sorted(expected)
    assert all(result.text and result.error is None and result.attempts == 1 for result in results)
    assert sum(result.cost.usd or 0 for result in results) == caller.client.cost.total_cost


def test_the_output_can_be_put_into_the_requests_order(caller: Caller, path: Path, simulator: Simulator) -> None:
    simulator.fail_next(times=1, status=503)
    collect(caller, PROMPTS[:3], output=path, ordered=True)
    assert names(path) == ["line-1", "line-2", "line-3"]


def test_what_is_recorded_is_not_sent_again(caller: Caller, path: Path, simulator: Simulator) -> None:
    collect(caller, PROMPTS[:5], output=path)
    before = path.read_bytes()
    results = collect(caller, PROMPTS[:7], output=path)
    assert sorted(result.line for result in results) == [6, 7]
    assert path.read_bytes().startswith(before)
    assert len(simulator.requests) == 7


def test_changed_inputs_are_run_anew_and_the_old_lines_go(caller: Caller, path: Path) -> None:
    collect(caller, PROMPTS[:3], output=path)
    (result,) = collect(caller, [PROMPTS[0], "Something else.", PROMPTS[2]], output=path)
    assert result.custom_id == "line-2"
    assert sorted(names(path)) == ["line-1", "line-2", "line-3"]


def test_a_request_that_fails_is_tried_again_and_every_attempt_is_counted(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(times=3, status=503)
    (result,) = collect(caller, ["Hello"])
    assert (result.attempts, result.error) == (4, None)


def test_a_retry_goes_to_the_back_and_holds_no_place(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(times=1, status=500)
    results = collect(caller, PROMPTS[:3], concurrency=1, retry=RetryPolicy(base_s=0.05))
    assert [result.line for result in results] == [2, 3, 1]


def test_what_fails_for_good_is_recorded_and_stops_no_other(caller: Caller, path: Path, simulator: Simulator) -> None:
    requests: list[Any] = [
        {"messages": "no"},
        "Hi",
        {"model": "no-such-model", "messages": [{"role": "user", "content": "a"}]},
    ]
    bad, *rest = sorted(collect(caller, requests, output=path), key=lambda result: result.line)
    assert isinstance(bad.error, ParameterError)
    assert [type(result.error).__name__ for result in rest] == ["NoneType", "NotFound"]
    assert sorted(names(path)) == ["line-2", "line-3"]  # a bad item was never a request
    collect(caller, requests, output=path)
    assert len(simulator.requests) == 2
    collect(caller, requests, output=path, retry_failed=True)
    assert len(simulator.requests) == 3
    assert sorted(names(path)) == ["line-2", "line-3"]


def test_tries_run_out(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(times=9, status=500)
    (result,) = collect(caller, ["Hello"], retry=RetryPolicy(max_attempts=3, base_s=0))
    assert isinstance(result.error, ServerFailed)
    assert result.attempts == 3


@pytest.mark.parametrize("code", ["insufficient_quota", "invalid_api_key"])
def test_what_no_request_can_get_past_ends_the_run_and_is_no_request_s_failure(
    caller: Caller, path: Path, simulator: Simulator, code: str
) -> None:
    simulator.fail_next(times=100, refuse=code)
    with pytest.raises((QuotaExhausted, AuthenticationFailed)):
        collect(caller, PROMPTS, output=path, concurrency=1)
    assert names(path) == []
    assert len(simulator.requests) == 1


def test_an_endless_source_is_read_no_further_than_the_results_are_taken(caller: Caller) -> None:
    numbers = itertools.count()
    results = each(caller, (f"Say {number}." for number in numbers), concurrency=5)
    for _ in range(3):
        next(results)
    results.close()  # type: ignore[attr-defined]
    assert next(numbers) <= 1020  # the results that may lie there, and what is under way


def test_a_source_that_fails_ends_the_run_with_its_error(caller: Caller) -> None:
    def broken() -> Iterator[str]:
        yield "Hi"
        raise LookupError("the database is gone")

    with pytest.raises(LookupError, match="the database is gone"):
        collect(caller, broken())


def test_a_source_may_be_async(caller: Caller) -> None:
    async def prompts() -> AsyncIterator[str]:
        for prompt in PROMPTS[:3]:
            yield prompt

    assert len(collect(caller, prompts())) == 3


def test_a_source_that_takes_its_time_holds_up_neither_a_retry_nor_the_end(simulator: Simulator) -> None:
    simulator.fail_next(times=1, status=503)

    async def prompts() -> AsyncIterator[str]:
        yield "Hi"
        await asyncio.Event().wait()

    async def ask() -> list[BulkResult]:
        async with AsyncClient(KEY, simulator.url) as client, client.bulk(prompts(), model=MODEL, retry=QUICK) as run:
            results = []
            async for result in run:
                results.append(result)
                run.stop()
            return results

    (result,) = asyncio.run(ask())
    assert (result.attempts, result.error) == (2, None)


def test_an_endless_async_source_is_read_no_further_than_the_results_are_taken(simulator: Simulator) -> None:
    numbers = itertools.count()

    async def prompts() -> AsyncIterator[str]:
        for number in numbers:
            yield f"Say {number}."

    async def ask() -> None:
        async with AsyncClient(KEY, simulator.url) as client, client.bulk(prompts(), model=MODEL) as run:
            await anext(aiter(run))

    asyncio.run(ask())
    assert next(numbers) <= 1120  # as above, and a few ahead


def test_parameters_go_to_all_and_are_checked_before_anything_is_sent(caller: Caller, simulator: Simulator) -> None:
    collect(caller, ["Give me JSON."], response_format="json", max_completion_tokens=50)
    assert simulator.requests[0]["status"] == 200
    with pytest.raises(ParameterError, match="temperature"):
        collect(caller, ["Hi"], temperature=9)
    for name in ("rpm", "tpm", "concurrency"):
        with pytest.raises(ParameterError, match=name):
            collect(caller, ["Hi"], **{name: 0})
    with pytest.raises(ParameterError, match="iterable"):
        collect(caller, "Hi")


def test_a_request_without_a_model_is_a_bad_one(caller: Caller) -> None:
    (result,) = collect(caller, ["Hi"], model=None)
    assert isinstance(result.error, ParameterError)


def test_an_output_is_held_by_one_run_at_a_time(caller: Caller, path: Path) -> None:
    results = each(caller, PROMPTS, output=path)
    next(results)
    with pytest.raises(ConfigurationError, match="open elsewhere"):
        collect(caller, PROMPTS, output=path)
    results.close()  # type: ignore[attr-defined]


# Budgets


def test_a_budget_stops_the_run_with_the_error_and_more_money_lets_it_go_on(
    connect: Connect, simulator: Simulator, path: Path, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    caller = connect(simulator.url, ledger=ledger, budget=Budget("0.0007"))
    with pytest.raises(BudgetExceeded) as caught:
        collect(caller, PROMPTS, output=path, max_completion_tokens=500)
    assert not caught.value.fits_later
    done = len(names(path))
    assert 1 <= done < 20
    ledger.set_budget(Budget("1"))
    assert len(collect(connect(simulator.url, ledger=ledger, budget=Budget("1")), PROMPTS, output=path)) > 0
    assert len(set(names(path))) == len(names(path)) == 20
    ledger.flush()
    assert len(list(ledger.attempts())) == len(simulator.requests)


def test_a_request_waits_for_the_money_that_others_hold(connect: Connect, simulator: Simulator, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    caller = connect(simulator.url, ledger=ledger, budget=Budget("0.002"))
    assert len(collect(caller, PROMPTS[:10], max_completion_tokens=500)) == 10  # each may cost up to 0.0009
    ledger.flush()
    assert all(state.held_pd == 0 for state in ledger.budgets())


@pytest.mark.parametrize("model", [MODEL, "a-local-model"])
def test_every_attempt_stands_in_the_ledger_before_it_is_sent_without_a_budget_too(
    connect: Connect, simulator: Simulator, tmp_path: Path, model: str
) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    simulator.fail_next(times=1, status=503)
    caller = connect(simulator.url, ledger=ledger)
    collect(caller, PROMPTS[:3], model=model, max_completion_tokens=500)
    ledger.flush()
    rows = list(ledger.attempts())
    assert [row["state"] for row in rows] == ["settled"] * 4
    assert all((row["held_pd"] is None) == (model != MODEL) and row["owner"] for row in rows)


# Closing and stopping


def test_a_run_that_is_closed_or_left_early_ends_its_requests_and_its_thread(simulator: Simulator) -> None:
    with Client(KEY, simulator.url) as client:
        run = client.bulk(PROMPTS, model=MODEL)
        next(run)
        run.close()
        run.close()
        assert next(run, None) is None
        for _ in client.bulk(PROMPTS, model=MODEL):
            break
        left = client.bulk(PROMPTS, model=MODEL)
        next(left)
        client.close()
        assert next(left, None) is None
        client.bulk(PROMPTS, model=MODEL)  # never begun
    assert not [thread for thread in threading.enumerate() if thread.name == "barechat-bulk"]


def test_a_run_that_is_left_before_its_end_leaves_the_order_of_its_output(caller: Caller, path: Path) -> None:
    results = each(caller, PROMPTS, output=path, ordered=True, concurrency=1)
    collect(caller, PROMPTS[3:4], output=path.with_name("other"))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert "line-1" in names(path)
    assert len(set(names(path))) == len(names(path))


def test_closing_that_is_cancelled_lets_go_of_the_output_all_the_same(simulator: Simulator, path: Path) -> None:
    async def ask() -> None:
        async with AsyncClient(KEY, simulator.url) as client:
            run = client.bulk(PROMPTS, model=MODEL, output=path, ordered=True)
            while await run.take():
                pass
            closing = asyncio.ensure_future(run.close())
            await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert [result async for result in client.bulk(PROMPTS, model=MODEL, output=path)] == []

    asyncio.run(ask())
    assert len(set(names(path))) == len(names(path)) == 20


def test_an_output_that_can_t_be_put_into_order_is_told_and_the_thread_ends(simulator: Simulator, path: Path) -> None:
    with Client(KEY, simulator.url) as client:
        run = client.bulk(PROMPTS, model=MODEL, output=path, ordered=True)
        next(run)
        path.unlink()
        with pytest.raises(ConfigurationError, match="can't be written"):
            list(run)
    assert not [thread for thread in threading.enumerate() if thread.name == "barechat-bulk"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_a_forked_child_lets_its_parent_s_run_be(simulator: Simulator, path: Path) -> None:
    def child() -> None:
        with pytest.raises(BarechatError, match="goes on there"):
            next(run)
        run.close()

    with Client(KEY, simulator.url) as client, client.bulk(PROMPTS, model=MODEL, output=path) as run:
        next(run)
        assert os.waitpid(fork(child), 0)[1] == 0
        assert len(list(run)) == 19
    assert len(names(path)) == 20


def test_a_run_that_is_told_to_stop_hands_over_what_is_under_way(simulator: Simulator) -> None:
    with Client(KEY, simulator.url) as client, client.bulk(itertools.repeat("Hi"), model=MODEL) as run:
        next(run)
        run.stop()
        count = 1 + sum(1 for _ in run)
        assert count == len(simulator.wait_for(count)) == run.progress.done


def test_a_run_that_is_stopped_before_it_began_sends_nothing(simulator: Simulator) -> None:
    with Client(KEY, simulator.url) as client:
        run = client.bulk(PROMPTS, model=MODEL)
        run.stop()
        assert list(run) == []
        assert simulator.requests == []


def test_closing_the_async_client_stops_its_runs_and_makes_no_failures(simulator: Simulator, path: Path) -> None:
    errors: list[BarechatError | None] = []

    async def run() -> None:
        simulator.limit(headers=False)
        async with AsyncClient(KEY, simulator.url) as client:
            results = aiter(client.bulk(itertools.repeat("Hi"), model=MODEL, output=path))
            await anext(results)
            await client.close()
            with pytest.raises(BarechatError, match="closed before its end"):
                errors.extend([result.error async for result in results])

    asyncio.run(run())
    assert not any(errors)
    assert all(json.loads(line)["error"] is None for line in path.read_bytes().splitlines())
