"""Calls with a ledger and budgets, by both clients: what is filed, what is held, and what is refused."""

from __future__ import annotations

import asyncio
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from barechat import (
    Budget,
    BudgetExceeded,
    ChatSession,
    Client,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    Ledger,
    Overloaded,
    ParameterError,
    Reply,
    RetryPolicy,
    ServerFailed,
    StreamTruncated,
    Timeouts,
)
from ledgers import hold, rows, state
from support import KEY, MODEL, ONCE, AsyncCaller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from barechat.simulator import Simulator
    from support import Connect

ONE_TOKEN: Any = {"max_completion_tokens": 1}
CAP: Any = {"max_completion_tokens": 20}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.db")
    yield made
    made.close()


def room_for_one(simulator: Simulator, ledger: Ledger) -> int:
    """Return the most that such a call can cost, in picodollars, and leave no budget's trace."""
    with Client(KEY, simulator.url, ledger=ledger, budget=Budget("1", tag="probe"), tags={"t": "probe"}) as client:
        client.chat("Hello, sea.", model=MODEL, max_completion_tokens=20)
    simulator.requests.clear()
    most: int = rows(ledger, "held_pd")[-1]
    return most


def dollars(picodollars: int) -> Decimal:
    return Decimal(picodollars) / 10**12


def test_every_attempt_is_a_row_with_what_is_known_of_it(
    connect: Connect, simulator: Simulator, ledger: Ledger
) -> None:
    caller = connect(simulator.url, ledger=ledger, tags={"job": "nightly"})
    simulator.fail_next(status=503)
    reply = caller.chat(tags={"user": "ada"}, service_tier="default")
    failed, answered = rows(ledger, "error", "status", "cost_pd", "certainty", "output_tokens", "usage")
    assert failed == ("Overloaded", 503, 0, "exact", None, None)
    assert reply.usage is not None
    assert answered[:4] == (None, 200, reply.attempts[1].cost.picodollars, "exact")
    assert answered[4] == reply.usage.completion_tokens
    assert msgspec.json.decode(answered[5]) == reply.raw["usage"]
    row = list(ledger.attempts())[1]
    assert (row["model"], row["served"], row["tier"], row["served_tier"]) == (MODEL, reply.model, "default", "default")
    assert msgspec.json.decode(row["tags"]) == {"job": "nightly", "user": "ada"}
    assert (row["request_id"], row["client_request_id"]) == (
        reply.request_id,
        reply.attempts[1].client_request_id,
    )
    assert row["elapsed_s"] >= row["first_byte_s"] > 0
    assert row["price_version"]


def test_no_word_of_prompt_or_reply_nor_the_key_is_in_the_file(
    connect: Connect, simulator: Simulator, ledger: Ledger, tmp_path: Path
) -> None:
    reply = connect(simulator.url, ledger=ledger).chat("A very private prompt.")
    ledger.close()
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"private prompt" not in held
    assert reply.text[:20].encode() not in held
    assert KEY.encode() not in held


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_settles_at_what_it_cost(connect: Connect, simulator: Simulator, ledger: Ledger, streamed: bool) -> None:
    caller = connect(simulator.url, ledger=ledger, budget=Budget("0.01"))
    if streamed:
        with caller.stream(**CAP) as stream:
            assert "".join(stream)
        reply = stream.reply
    else:
        reply = caller.chat(**CAP)
    assert state(ledger) == (reply.cost.picodollars, 0)
    ((held, cost),) = rows(ledger, "held_pd", "cost_pd")
    assert held > cost == reply.cost.picodollars


def test_a_stream_that_is_cut_keeps_its_bound(connect: Connect, simulator: Simulator, ledger: Ledger) -> None:
    caller = connect(simulator.url, ledger=ledger, budget=Budget("0.01"))
    simulator.fail_next(cut_after=2)
    with pytest.raises(StreamTruncated) as caught, caller.stream(**CAP) as stream:
        "".join(stream)
    assert caught.value.cost is not None
    assert state(ledger) == (0, caught.value.cost.picodollars)
    assert rows(ledger, "state", "certainty") == [("kept", "bound")]
    assert ledger.budgets()[0].kept_pd == caught.value.cost.picodollars


def test_so_does_one_that_is_closed_early(connect: Connect, simulator: Simulator, ledger: Ledger) -> None:
    caller = connect(simulator.url, ledger=ledger, budget=Budget("0.01"))
    with caller.stream(**CAP) as stream:
        for _ in stream:
            break
    spent, held = state(ledger)
    assert (spent, held > 0) == (0, True)
    assert ledger.reconcile() == (1, held, 0)
    assert state(ledger) == (held, 0)


def test_what_the_server_refused_or_never_saw_is_freed(connect: Connect, simulator: Simulator, ledger: Ledger) -> None:
    caller = connect(simulator.url, ledger=ledger, budget=Budget("0.01"), retry=ONCE)
    simulator.fail_next(status=503)
    with pytest.raises(Overloaded):
        caller.chat(**CAP)
    nobody = connect("http://127.0.0.1:9/v1", ledger=ledger, budget=Budget("0.01"), retry=ONCE)
    with pytest.raises(ConnectionFailed):
        nobody.chat(**CAP)
    assert state(ledger) == (0, 0)
    assert rows(ledger, "state", "cost_pd") == [("settled", 0)] * 2


def test_a_lost_attempt_keeps_its_hold_and_the_next_one_has_its_own(
    connect: Connect, simulator: Simulator, ledger: Ledger
) -> None:
    caller = connect(simulator.url, ledger=ledger, budget=Budget("0.01"))
    simulator.fail_next(reset_before=True)
    reply = caller.chat(**CAP)
    lost, answered = (attempt.cost.picodollars for attempt in reply.attempts)
    assert state(ledger) == (answered, lost)


def test_a_call_that_can_never_fit_is_refused_before_anything_is_sent(
    connect: Connect, simulator: Simulator, ledger: Ledger
) -> None:
    caller = connect(simulator.url, ledger=ledger, budget=Budget("0.0001"))
    with pytest.raises(
        BudgetExceeded, match=r"can cost up to \$0\.\d+, and the budget of \$0.0001 in all has"
    ) as caught:
        caller.chat(**CAP)
    error = caught.value
    assert (error.fits_later, error.attempts, error.partial) == (False, (), None)
    assert error.cost is not None
    assert error.cost.picodollars == 0
    assert simulator.requests == []
    assert rows(ledger, "key") == []
    assert pickle.loads(pickle.dumps(error)).fits_later is False  # noqa: S301 - our own


def test_a_call_whose_room_is_held_by_a_running_one_may_fit_later(
    connect: Connect, simulator: Simulator, ledger: Ledger
) -> None:
    budget = Budget("0.0002")
    running = hold(budget.limit_pd - 1, budget)
    ledger.reserve(running, None)
    caller = connect(simulator.url, ledger=ledger, budget=budget)
    with pytest.raises(BudgetExceeded, match="Running calls hold") as caught:
        caller.chat(**CAP)
    assert caught.value.fits_later is True


def test_a_retry_that_does_not_fit_says_so_and_why_there_was_one(
    connect: Connect, simulator: Simulator, ledger: Ledger
) -> None:
    caller = connect(simulator.url, ledger=ledger, budget=Budget(dollars(room_for_one(simulator, ledger) * 3 // 2)))
    simulator.fail_next(reset_before=True)
    with pytest.raises(BudgetExceeded) as caught:
        caller.chat(**CAP)
    assert [attempt.error for attempt in caught.value.attempts] == ["ConnectionFailed"]
    assert isinstance(caught.value.__cause__, ConnectionFailed)
    assert caught.value.cost == caught.value.attempts[0].cost


@pytest.mark.parametrize("options", [{"model": "a-local-model"}, {"web_search_options": {}}, {"service_tier": "scale"}])
def test_what_can_t_be_bounded_is_refused_under_a_budget(
    connect: Connect, simulator: Simulator, ledger: Ledger, options: dict[str, Any]
) -> None:
    caller = connect(simulator.url, ledger=ledger, budget=Budget("5"))
    with pytest.raises(ConfigurationError, match="can't be bounded"):
        caller.chat(**CAP, **options)
    assert simulator.requests == []


def test_without_a_budget_it_is_filed_as_unpriced(connect: Connect, simulator: Simulator, ledger: Ledger) -> None:
    connect(simulator.url, ledger=ledger).chat(model="a-local-model")
    assert rows(ledger, "cost_pd", "certainty", "state") == [(None, "unpriced", "settled")]
    assert [line.unpriced for line in ledger.spending()] == [1]


def test_a_server_that_breaks_its_cap_is_counted_in_full_and_closes_the_budget(
    connect: Connect, simulator: Simulator, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 100_000, "total_tokens": 100_010}
    body = {"id": "c", "model": MODEL, "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}
    simulator.fail_next(body=msgspec.json.encode({**body, "usage": usage}).decode(), status=200)
    caller = connect(simulator.url, ledger=ledger, budget=Budget("0.05"))
    reply = caller.chat(**CAP)
    assert reply.cost.picodollars == 10 * 150_000 + 100_000 * 600_000 > Budget("0.05").limit_pd
    assert state(ledger) == (reply.cost.picodollars, 0)
    assert rows(ledger, "overran") == [1]
    assert [record.levelno for record in caplog.records if "than the" in record.message] == [logging.ERROR]
    with pytest.raises(BudgetExceeded, match="is closed") as caught:
        caller.chat(**CAP)
    assert caught.value.fits_later is False
    ledger.set_budget(Budget("0.10"))
    connect(simulator.url, ledger=ledger, budget=Budget("0.10")).chat(**CAP)


def test_only_calls_with_its_tag_draw_on_a_budget_and_several_hold_at_once(
    connect: Connect, simulator: Simulator, ledger: Ledger
) -> None:
    budgets = [Budget("0.0001", tag="job=nightly"), Budget("1", "day")]
    caller = connect(simulator.url, ledger=ledger, budget=budgets)
    reply = caller.chat(**CAP)
    with pytest.raises(BudgetExceeded, match="for job=nightly"):
        caller.chat(**CAP, tags={"job": "nightly"})
    assert {(b.tag, b.per): (b.spent_pd, b.held_pd) for b in ledger.budgets()} == {
        (None, "day"): (reply.cost.picodollars, 0),
        ("job=nightly", "total"): (0, 0),
    }


def test_waiting_calls_all_come_through_and_none_is_overspent(
    connect: Connect, simulator: Simulator, ledger: Ledger
) -> None:
    """There is room for two calls at a time, and forty ask at once."""
    budget = Budget(dollars(room_for_one(simulator, ledger) * 5 // 2), wait=True)
    caller = connect(simulator.url, ledger=ledger, budget=budget)
    if isinstance(caller, AsyncCaller):
        replies = caller.run(gather(caller.client.chat("Hi", model=MODEL, **ONE_TOKEN) for _ in range(40)))
    else:
        with ThreadPoolExecutor(40) as pool:
            replies = list(pool.map(lambda _: caller.chat("Hi", **ONE_TOKEN), range(40)))
    spent = sum(reply.cost.picodollars or 0 for reply in replies)
    assert (len(replies), state(ledger)) == (40, (spent, 0))
    assert spent <= budget.limit_pd


async def gather(calls: Iterator[Awaitable[Reply]]) -> list[Reply]:
    return await asyncio.gather(*calls)


def test_a_wait_for_room_counts_in_the_total_deadline(connect: Connect, simulator: Simulator, ledger: Ledger) -> None:
    budget = Budget("0.01", wait=True)
    ledger.reserve(hold(budget.limit_pd, budget), None)
    caller = connect(simulator.url, ledger=ledger, budget=budget)
    with pytest.raises(DeadlineExceeded, match=r"the budget had no room within 0\.05 s") as caught:
        caller.chat(**ONE_TOKEN, timeouts=Timeouts(total_s=0.05))
    assert (caught.value.which, caught.value.sent) == ("total", False)
    assert simulator.requests == []
    assert state(ledger) == (0, budget.limit_pd)


def test_other_budgets_hold_from_the_next_call_on(connect: Connect, simulator: Simulator, ledger: Ledger) -> None:
    caller = connect(simulator.url, ledger=ledger, budget=Budget("0.000001"))
    with pytest.raises(BudgetExceeded):
        caller.chat()
    ledger.set_budget(Budget("1"))
    caller.client.budgets = ledger.standing_budgets()
    caller.chat()
    assert caller.client.budgets == (Budget("1"),)
    wrong: Any = "5.00"
    with pytest.raises(ConfigurationError, match="budget must be"):
        caller.client.budgets = wrong
    with pytest.raises(ConfigurationError, match="another amount"):
        caller.client.budgets = Budget("2")
    assert caller.client.budgets == (Budget("1"),)
    caller.client.budgets = None
    caller.chat()
    costs = rows(ledger, "cost_pd")
    assert (len(costs), ledger.budgets()[0].spent_pd) == (2, costs[0])


def test_a_budget_needs_a_ledger_and_one_amount(connect: Connect, ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="needs a ledger"):
        connect("http://127.0.0.1:9/v1", budget=Budget("5"))
    for wrong in ("5.00", [5], 5):
        with pytest.raises(ConfigurationError, match="budget must be"):
            connect("http://127.0.0.1:9/v1", ledger=ledger, budget=wrong)
    with pytest.raises(ConfigurationError, match="ledger must be"):
        connect("http://127.0.0.1:9/v1", ledger="ledger.db")
    with pytest.raises(ConfigurationError, match="same tag and per"):
        connect("http://127.0.0.1:9/v1", ledger=ledger, budget=[Budget("5"), Budget("6")])
    budget = Budget("5")
    ledger.reserve(hold(1, budget), None)
    with pytest.raises(ConfigurationError, match=r"another amount in this ledger, \$5.00"):
        connect("http://127.0.0.1:9/v1", ledger=ledger, budget=Budget("6"))


@pytest.mark.parametrize("tags", [{"job": 5}, {"": "a"}, {"a\nb": "c"}, {"a": "\ud83d"}])
def test_tags_are_text_that_a_ledger_can_keep(connect: Connect, simulator: Simulator, tags: Any) -> None:
    with pytest.raises(ConfigurationError, match="tags must be"):
        connect(simulator.url, tags=tags)
    with pytest.raises(ParameterError, match="tags must be"):
        connect(simulator.url).chat(tags=tags)


def test_a_session_s_calls_stand_together(simulator: Simulator, ledger: Ledger) -> None:
    with Client(KEY, simulator.url, ledger=ledger) as client:
        for _ in range(2):
            session = ChatSession(client, model=MODEL)
            session.send("Hi")
            session.send("Again")
    assert [line.attempts for line in ledger.spending("session")] == [2, 2]


def test_closing_a_client_waits_for_the_disk(connect: Connect, simulator: Simulator, ledger: Ledger) -> None:
    caller = connect(simulator.url, ledger=ledger)
    caller.chat()
    caller.client.close() if isinstance(caller.client, Client) else caller.run(caller.client.close())  # type: ignore[attr-defined]
    assert len(list(ledger.attempts())) == 1


def test_an_error_of_the_server_s_own_is_filed_with_its_code(
    connect: Connect, simulator: Simulator, ledger: Ledger
) -> None:
    simulator.fail_next(status=500, body='{"error": {"message": "Oh", "code": "broken"}}')
    with pytest.raises(ServerFailed):
        connect(simulator.url, ledger=ledger, retry=RetryPolicy(max_attempts=1)).chat()
    assert rows(ledger, "error", "code", "status") == [("ServerFailed", "broken", 500)]


def test_a_ledger_that_broke_meanwhile_keeps_no_client_from_closing(
    connect: Connect, simulator: Simulator, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caller = connect(simulator.url, ledger=ledger)
    whole = Path(ledger.path).rename(f"{ledger.path}.whole")
    Path(ledger.path).mkdir()
    assert caller.chat().verdict == "complete"
    caller.client.close() if isinstance(caller.client, Client) else caller.run(caller.client.close())  # type: ignore[attr-defined]
    assert [record.levelno for record in caplog.records if "kept in memory" in record.message] == [logging.WARNING]
    Path(ledger.path).rmdir()
    whole.rename(ledger.path)
    assert rows(ledger, "status") == [200]


def test_an_estimate_keeps_its_hold_and_then_its_figure(connect: Connect, simulator: Simulator, ledger: Ledger) -> None:
    caller = connect(simulator.url, ledger=ledger, budget=Budget("0.01"))
    simulator.fail_next(omit=["usage"])
    reply = caller.chat(**CAP)
    assert reply.cost.certainty == "estimate"
    spent, held = state(ledger)
    assert (spent, held > (reply.cost.picodollars or 0)) == (0, True)
    assert ledger.reconcile() == (1, held, 0)
    assert state(ledger) == (held, 0)
    assert rows(ledger, "cost_pd", "certainty") == [(reply.cost.picodollars, "estimate")]
