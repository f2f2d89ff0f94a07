"""The scenarios that come with the simulator: each loads, does what it says, and surprises neither of our clients."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import barechat.simulator
from barechat import BarechatError, RetryPolicy
from barechat.simulator import Simulator, scenario_summaries
from barechat.simulator.dialects import DIALECTS
from barechat.simulator.fault import NO_FAULT
from barechat.simulator.scenario import parse_scenario
from simulating import post, reply, request

if TYPE_CHECKING:
    from barechat import Reply
    from barechat.simulator.request import Request
    from support import Caller, Connect

DIRECTORY = Path(barechat.simulator.__file__).parent / "scenarios"
NAMES = [path.stem for path in sorted(DIRECTORY.glob("*.toml"))]
FAULTY = [name for name in NAMES if name not in DIALECTS]
CALLS = 24
CALLS_OF_A_DIALECT = 3  # it answers each alike
# Nothing that a test would have to wait for: a server that asks for a real pause is taken at its word that it failed.
IMPATIENT = RetryPolicy(base_s=0.0001, max_server_delay_s=0.001, retry_budget=None)


def quick(name: str) -> dict[str, Any]:
    """Return a scenario without its pauses."""
    table = tomllib.loads((DIRECTORY / f"{name}.toml").read_text("utf-8"))
    faults = table.get("fault", [])
    for fault in faults:
        fault.pop("headers", None)
        fault |= {key: seconds for key, seconds in (("stall_s", 0.002), ("comments_s", 0.001)) if key in fault}
    return {**table, "first_token_s": 0, "tokens_per_s": 0, "fault": faults}


def ask(caller: Caller, number: int, *, streamed: bool) -> Reply | BarechatError:
    try:
        if not streamed:
            return caller.chat(f"Call {number}")
        with caller.stream(f"Call {number}") as stream:
            list(stream)
        return stream.reply
    except BarechatError as error:
        return error


def expected(number: int) -> str | None:
    return reply(messages=[{"role": "user", "content": f"Call {number}"}]).choices[0].content


def requests(count: int) -> list[Request]:
    return [request(messages=[{"role": "user", "content": f"Call {number}"}]) for number in range(count)]


def test_every_scenario_says_in_a_line_or_two_what_it_is() -> None:
    summaries = scenario_summaries()
    assert list(summaries) == NAMES
    assert set(DIALECTS) | {"flaky", "hostile", "outage", "rate-limited", "slow"} == set(NAMES)
    for summary in summaries.values():
        assert summary.endswith(".")
        assert 20 < len(summary) < 250


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_that_comes_with_it_loads_and_answers(name: str) -> None:
    with Simulator(name) as simulator:
        assert simulator.url.startswith("http://127.0.0.1:")
    if name in DIALECTS:
        assert tomllib.loads((DIRECTORY / f"{name}.toml").read_text("utf-8")) == {"dialect": name}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_no_scenario_makes_our_clients_take_half_an_answer_for_a_whole_one_or_fail_in_another_way(
    name: str, streamed: bool, connect: Connect
) -> None:
    calls = CALLS if name in FAULTY else CALLS_OF_A_DIALECT
    with Simulator(quick(name)) as simulator:
        caller = connect(simulator.url, retry=IMPATIENT)
        outcomes = [ask(caller, number, streamed=streamed) for number in range(calls)]
    replies = {number: one for number, one in enumerate(outcomes) if not isinstance(one, BarechatError)}
    whole = {number: one.text for number, one in replies.items() if one.verdict == "complete"}
    assert whole == {number: expected(number) for number in whole}
    is_silent = name == "ollama" and streamed  # it never says why it ends
    if name == "outage":
        assert not replies
    elif name in DIALECTS:
        assert len(replies) == calls
        assert {one.verdict for one in replies.values()} == {"unknown" if is_silent else "complete"}
    else:
        assert whole


def test_one_answer_in_three_is_flaky() -> None:
    scenario = parse_scenario(quick("flaky"))
    assert 900 < sum(scenario.match(one, None) is not NO_FAULT for one in requests(3000)) < 1100


def test_whoever_tries_again_gets_through_what_is_flaky(connect: Connect) -> None:
    with Simulator(quick("flaky")) as simulator:
        caller = connect(simulator.url, retry=IMPATIENT)
        outcomes = [ask(caller, number, streamed=False) for number in range(CALLS)]
        decisions = {record["decision"] for record in simulator.requests}
    assert not [one for one in outcomes if isinstance(one, BarechatError)]
    assert decisions - {"reply"}


@pytest.mark.parametrize("name", FAULTY)
def test_every_fault_of_a_scenario_is_met(name: str) -> None:
    table = quick(name)
    scenario = parse_scenario(table)
    met = {scenario.match(one, None).decision for one in requests(200)}
    assert met - {"reply"} == {fault["name"] for fault in table["fault"]}


def test_a_small_account_has_two_requests_at_once_and_then_one_a_second() -> None:
    now_s = 0.0
    with Simulator("rate-limited", clock=lambda: now_s) as simulator:
        assert [post(simulator).status for _ in range(3)] == [200, 200, 429]
        now_s = 1.0
        assert [post(simulator).status for _ in range(2)] == [200, 429]


def test_the_slow_scenario_is_slow_and_its_comments_come_while_it_is_silent() -> None:
    table = tomllib.loads((DIRECTORY / "slow.toml").read_text("utf-8"))
    (fault,) = table["fault"]
    assert (table["first_token_s"], table["tokens_per_s"], table["load"]["slots"]) == (2, 10, 16)
    assert fault["comments_s"] < fault["stall_s"]
