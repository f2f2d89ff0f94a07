"""Runs of tools, by both clients: what is called and when, what the model is told, and how a run ends."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

import openai
import pydantic
import pytest

from barechat import (
    AnswerFiltered,
    AnswerLimited,
    AsyncClient,
    Budget,
    BudgetExceeded,
    Cost,
    Delta,
    Ledger,
    Message,
    Overloaded,
    ParameterError,
    RoundsExceeded,
    Run,
    Tool,
    ToolsFailed,
)
from ledgers import rows
from support import KEY, MODEL, ONCE, AsyncCaller, done

if TYPE_CHECKING:
    from pathlib import Path

    from barechat.simulator import Simulator
    from barechat.wire.trace import TraceEvent
    from support import Caller, Connect

ASKED = "What is it like in Oslo?"


def weather(city: str) -> dict[str, Any]:
    """Tell the weather of a city."""
    if city == "Nowhere":
        raise LookupError("no such city")
    return {"city": city, "sky": "grey"}


def asks(*calls: tuple[str, Any], **more: Any) -> dict[str, Any]:
    """Return a scripted reply that calls these tools with these arguments, each with an id of its own."""
    made = [{"name": name, "arguments": arguments, "id": f"c{at}"} for at, (name, arguments) in enumerate(calls)]
    return {"reply": {"tool_calls": made, **more}}


OSLO = asks(("weather", {"city": "Oslo"}))
FAULTY = asks(("weather", {"city": 7}))


def run(caller: Caller, tools: Any = (weather,), messages: Any = ASKED, **options: Any) -> Run:
    found: Run = done(caller, caller.client.run(messages, list(tools), model=MODEL, **options))
    return found


def told(run: Run) -> list[str]:
    """Return what the model was told of its calls."""
    return [message["content"] for message in run.messages if message["role"] == "tool"]


def bodies(events: list[TraceEvent]) -> list[dict[str, Any]]:
    return [json.loads(event.body) for event in events if event.kind == "request" and event.body]


# What happens


def test_a_run_calls_what_the_model_asks_for_and_ends_with_its_answer(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(**OSLO)
    simulator.fail_next(reply="Grey.")
    ended = run(caller)
    assert (ended.text, ended.reply.text, len(ended.rounds)) == ("Grey.", "Grey.", 2)
    assert [message["role"] for message in ended.messages] == ["user", "assistant", "tool", "assistant"]
    assert ended.messages[2] == {"role": "tool", "tool_call_id": "c0", "content": '{"city":"Oslo","sky":"grey"}'}
    assert ended.cost == Cost.sum(reply.cost for reply in ended.rounds)
    assert ended.cost.picodollars == caller.client.cost.total_cost * 10**12
    assert pickle.loads(pickle.dumps(ended)) == ended  # noqa: S301 - our own bytes


def test_the_simulator_s_own_calls_fit_the_tools_that_they_call(caller: Caller) -> None:
    seen: list[Any] = []

    def note(days: int, cities: list[str], *, loud: bool = False) -> None:
        seen.append((days, cities, loud))

    ended = run(caller, [note])
    assert told(ended) == ["null"]
    assert len(ended.rounds) == 2
    assert [type(part) for part in seen[0]] == [int, list, bool]


def test_a_run_without_calls_is_one_round(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(reply="Grey.")
    ended = run(caller)
    assert ended.messages == [{"role": "user", "content": ASKED}, {"role": "assistant", "content": "Grey."}]


def test_one_can_go_on_with_a_run_s_messages(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(**OSLO)
    simulator.fail_next(reply={"content": ""})
    first = run(caller, messages=[Message(role="user", content=ASKED)])
    again = run(caller, messages=[*first.messages, {"role": "user", "content": "And now?"}])
    assert again.messages[:4] == first.messages


def test_every_round_is_sent_the_tools_and_the_parameters(connect: Connect, simulator: Simulator) -> None:
    events: list[TraceEvent] = []
    simulator.fail_next(**OSLO)
    run(connect(simulator.url, trace=events.append), temperature=0, parallel_tool_calls=False, tool_choice="auto")
    first, second = bodies(events)
    assert first["tools"] == second["tools"] == [Tool(weather).definition]
    for body in (first, second):
        assert (body["temperature"], body["parallel_tool_calls"], body["tool_choice"]) == (0, False, "auto")


WEATHER = {"type": "function", "function": {"name": "weather"}}


@pytest.mark.parametrize(
    ("choice", "then"),
    [
        ("auto", "auto"),
        ("required", None),
        (WEATHER, None),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [WEATHER]}},
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [WEATHER]}},
        ),
    ],
)
def test_a_call_that_is_demanded_is_demanded_once(
    connect: Connect, simulator: Simulator, choice: Any, then: Any
) -> None:
    events: list[TraceEvent] = []
    ended = run(connect(simulator.url, trace=events.append), tool_choice=choice)
    assert len(ended.rounds) == 2
    assert [body.get("tool_choice") for body in bodies(events)] == [choice, then]


# Calls of one round


def test_the_calls_of_a_round_run_at_the_same_time_and_answer_in_order(caller: Caller, simulator: Simulator) -> None:
    meeting = threading.Barrier(3, timeout=10)

    def meet(name: str) -> str:
        meeting.wait()
        return name

    simulator.fail_next(**asks(*(("meet", {"name": name}) for name in ("a", "b", "c"))))
    assert told(run(caller, [meet])) == ["a", "b", "c"]


def test_a_function_sees_the_context_variables_of_its_caller(caller: Caller, simulator: Simulator) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    def name() -> str:
        return who.get()

    who.set("ada")
    simulator.fail_next(**asks(("name", {}), ("name", {})))
    if isinstance(caller, AsyncCaller):
        with asyncio.Runner() as runner:
            client = AsyncClient(KEY, simulator.url)
            assert told(runner.run(client.run(ASKED, [name], model=MODEL))) == ["ada", "ada"]
            runner.run(client.close())
    else:
        assert told(run(caller, [name])) == ["ada", "ada"]


def test_coroutine_functions_run_as_tasks_beside_functions(simulator: Simulator) -> None:
    started = threading.Event()

    async def early() -> str:
        started.set()
        await asyncio.sleep(0)
        return "early"

    def late() -> str:
        assert started.wait(10)
        return "late"

    def promise() -> Any:
        return early()

    async def main() -> Run:
        async with AsyncClient(KEY, simulator.url) as client:
            return await client.run(ASKED, [early, late, promise], model=MODEL)

    simulator.fail_next(**asks(("late", ""), ("early", ""), ("promise", "")))
    assert told(asyncio.run(main())) == ["late", "early", "early"]


def test_what_a_coroutine_function_raises_is_told_the_model(simulator: Simulator) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise StopAsyncIteration("that's all")

    async def main() -> Run:
        async with AsyncClient(KEY, simulator.url) as client:
            return await client.run(ASKED, [fail], model=MODEL)

    simulator.fail_next(**asks(("fail", {})))
    assert told(asyncio.run(main())) == ['{"error":"StopAsyncIteration: that\'s all"}']


def test_ids_that_are_empty_repeated_or_too_long_are_replaced_on_both_sides(
    caller: Caller, simulator: Simulator
) -> None:
    call = {"name": "weather", "arguments": {"city": "Oslo"}}
    ids = ["same", "same", "x" * 41]
    simulator.fail_next(reply={"tool_calls": [{**call, "id": one} for one in ids]})
    ended = run(caller)
    asked = [one["id"] for one in ended.messages[1]["tool_calls"]]
    assert asked == [message["tool_call_id"] for message in ended.messages if message["role"] == "tool"]
    assert asked == ["same", "call_1_1", "call_1_2"]


# What goes wrong, and the model is told of


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (("weather", {"city": "Nowhere"}), "LookupError: no such city"),
        (("weather", {"city": 7}), "the arguments of weather are not what it takes: Expected `str`, got `int`"),
        (("weather", '{"city":"Os'), "the arguments of weather are not what it takes: Input data was truncated"),
        (("weather", ""), "missing required field `city`"),
        (("wether", {"city": "Oslo"}), "there is no tool 'wether'; there are weather"),
        (("w\n" * 100, {}), "there is no tool "),
    ],
)
def test_a_call_that_comes_to_nothing_is_told_and_the_model_may_try_again(
    caller: Caller, simulator: Simulator, call: tuple[str, Any], error: str
) -> None:
    simulator.fail_next(**asks(call, ("weather", {"city": "Oslo"})))
    simulator.fail_next(**OSLO)
    simulator.fail_next(reply="Grey.")
    ended = run(caller)
    first, *others = told(ended)
    assert error in json.loads(first)["error"]
    assert others == ['{"city":"Oslo","sky":"grey"}'] * 2
    assert ended.text == "Grey."


def test_a_name_that_the_api_would_not_take_back_is_sent_back_as_one_that_it_does(
    caller: Caller, simulator: Simulator
) -> None:
    simulator.fail_next(**asks(("get weather!", {}), ("", {}), ("🌧", {})))
    ended = run(caller)
    assert [call["function"]["name"] for call in ended.messages[1]["tool_calls"]] == [
        "get_weather",
        "unnamed",
        "unnamed",
    ]


@pytest.fixture
def _unlogged(caplog: pytest.LogCaptureFixture) -> None:
    """Keep half a character out of the report, which pytest's workers can't send."""
    caplog.set_level(logging.CRITICAL, "barechat")


@pytest.mark.usefixtures("_unlogged")
def test_errors_are_told_in_no_more_than_a_thousand_characters(caller: Caller, simulator: Simulator) -> None:
    def fail() -> None:
        raise ValueError("x" * 5000 + "\ud800")

    simulator.fail_next(**asks(("fail", {})))
    (error,) = told(run(caller, [fail]))
    assert len(json.loads(error)["error"]) == 1000


@pytest.mark.usefixtures("_unlogged")
def test_half_a_character_in_an_error_stops_nothing(caller: Caller, simulator: Simulator) -> None:
    def fail() -> None:
        raise ValueError("half: \ud800")

    simulator.fail_next(**asks(("fail", {})))
    assert told(run(caller, [fail])) == ['{"error":"ValueError: half: ?"}']


def test_what_a_tool_raises_is_in_the_log_too(
    caller: Caller, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.fail_next(**asks(("weather", {"city": "Nowhere"})))
    run(caller)
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.name == "barechat"
    assert record.getMessage() == "tool weather raised LookupError, which the model is told"
    assert record.exc_info is not None


def test_a_result_that_is_too_long_is_told_and_not_cut(caller: Caller, simulator: Simulator) -> None:
    def read() -> str:
        return "x" * 101

    simulator.fail_next(**asks(("read", {})))
    (error,) = told(run(caller, [Tool(read, max_result_chars=100)]))
    assert "101 characters, more than the 100" in json.loads(error)["error"]


# How a run ends before its answer


def test_rounds_are_counted_and_the_last_one_s_calls_are_not_made(caller: Caller, simulator: Simulator) -> None:
    made = []

    def weather(city: str) -> str:
        made.append(city)
        return "grey"

    simulator.fail_next(times=3, **OSLO)
    with pytest.raises(RoundsExceeded, match="after 3 rounds the model still calls tools") as caught:
        run(caller, [weather], max_rounds=3)
    error = caught.value
    assert len(made) == 2
    assert len(simulator.requests) == len(error.attempts) == 3
    assert error.cost == Cost.sum(attempt.cost for attempt in error.attempts)
    assert error.partial is not None
    assert error.partial.message.tool_calls
    assert error.messages is not None
    assert run(caller, [weather], error.messages).messages[:-1] == error.messages
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(twin), vars(twin)) == (RoundsExceeded, vars(error))


def test_one_round_is_one_reply(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(reply="Grey.")
    assert run(caller, max_rounds=1).text == "Grey."


def test_three_rounds_in_a_row_without_a_call_that_works_end_a_run(caller: Caller, simulator: Simulator) -> None:
    for answer in (FAULTY, FAULTY, OSLO, FAULTY, FAULTY, FAULTY):
        simulator.fail_next(**answer)
    with pytest.raises(ToolsFailed, match="3 rounds in a row") as caught:
        run(caller)
    assert len(simulator.requests) == 6
    assert caught.value.cost == Cost.sum(attempt.cost for attempt in caught.value.attempts)
    assert caught.value.messages is not None
    assert caught.value.messages[-1]["role"] == "tool"


def test_a_round_in_which_one_call_works_counts_for_none_that_failed(caller: Caller, simulator: Simulator) -> None:
    both = asks(("weather", {"city": 7}), ("weather", {"city": "Oslo"}))
    simulator.fail_next(times=5, **both)
    simulator.fail_next(reply="Grey.")
    assert run(caller).text == "Grey."


class Stop(Exception):
    pass


@pytest.mark.parametrize("count", [1, 3])
def test_what_a_tool_is_to_raise_ends_the_run(caller: Caller, simulator: Simulator, count: int) -> None:
    def stop() -> None:
        raise Stop("enough")

    simulator.fail_next(**asks(*[("stop", {})] * count))
    with pytest.raises(Stop, match="enough"):
        run(caller, [Tool(stop, raises=Stop)])
    assert len(simulator.requests) == 1


def test_it_doesn_t_wait_for_the_calls_beside_it(caller: Caller, simulator: Simulator) -> None:
    is_over = threading.Event()

    def stop() -> None:
        raise Stop("enough")

    def wait() -> None:
        is_over.wait(60)

    simulator.fail_next(**asks(("wait", {}), ("stop", {})))
    began = time.monotonic()
    with pytest.raises(Stop):
        run(caller, [Tool(stop, raises=(KeyError, Stop)), wait])
    assert time.monotonic() - began < 30
    is_over.set()


@pytest.mark.parametrize(("end", "kind"), [("length", AnswerLimited), ("content_filter", AnswerFiltered)])
def test_a_reply_that_is_cut_among_its_calls_makes_none_of_them(
    caller: Caller, simulator: Simulator, end: str, kind: type[AnswerLimited | AnswerFiltered]
) -> None:
    def weather(city: str) -> None:
        pytest.fail("it was called")

    simulator.fail_next(**asks(("weather", {"city": "Oslo"}), ("weather", '{"ci'), finish_reason=end))
    with pytest.raises(kind) as caught:
        run(caller, [weather])
    assert caught.value.messages == [{"role": "user", "content": ASKED}]
    assert caught.value.partial is not None
    assert caught.value.cost == caught.value.partial.cost


def test_a_server_s_error_carries_what_was_spent_and_said_before_it(connect: Connect, simulator: Simulator) -> None:
    caller = connect(simulator.url, retry=ONCE)
    simulator.fail_next(**OSLO)
    simulator.fail_next(status=503)
    with pytest.raises(Overloaded) as caught:
        run(caller)
    error = caught.value
    assert error.cost == error.attempts[0].cost
    assert error.messages is not None
    assert [message["role"] for message in error.messages] == ["user", "assistant", "tool"]
    simulator.fail_next(reply="Grey.")
    assert run(caller, messages=error.messages).text == "Grey."


def test_every_round_is_filed_and_under_the_budget(connect: Connect, simulator: Simulator, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    caller = connect(simulator.url, ledger=ledger, budget=Budget("0.001"))
    simulator.fail_next(times=200, **OSLO)
    with pytest.raises(BudgetExceeded) as caught:
        run(caller, max_rounds=100, max_completion_tokens=20, tags={"who": "ada"})
    filed = rows(ledger, "tags")
    assert filed == ['{"who":"ada"}'] * len(caught.value.attempts)
    assert 1 < len(filed) < 100
    ledger.close()


def test_a_cancelled_run_ends_at_once_and_cancels_its_coroutine_functions(simulator: Simulator) -> None:
    is_over = threading.Event()
    seen = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    def block() -> None:
        running.set()
        is_over.wait(60)

    running = threading.Event()

    async def main() -> None:
        async with AsyncClient(KEY, simulator.url) as client:
            task = asyncio.create_task(client.run(ASKED, [forever, block], model=MODEL))
            await asyncio.to_thread(running.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    simulator.fail_next(**asks(("forever", {}), ("block", {})))
    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 30
    assert seen == ["cancelled"]
    is_over.set()


def test_ctrl_c_ends_a_run_and_the_program_whatever_the_tools_do(simulator: Simulator) -> None:
    code = """
        import sys, threading, time
        from barechat import Client

        def sleep() -> None:
            print("sleeping", flush=True)
            time.sleep(600)

        try:
            Client("any-key", sys.argv[1]).run("Sleep.", [sleep], model="gpt-4o-mini")
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    simulator.fail_next(**asks(("sleep", {}), ("sleep", {})))
    with subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", textwrap.dedent(code), simulator.url], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        for _ in range(2):
            assert program.stdout.readline() == "sleeping\n"
        program.send_signal(signal.SIGINT)
        assert program.stdout.read() == "interrupted\n"
        assert program.wait(30) == 0


# Streaming


def test_text_and_calls_are_shown_as_they_come(caller: Caller, simulator: Simulator) -> None:
    deltas: list[Delta] = []
    simulator.fail_next(**OSLO)
    ended = run(caller, on_delta=deltas.append)
    assert [record["stream"] for record in simulator.requests] == [True, True]
    assert "".join(delta.content or "" for delta in deltas) == ended.text
    written = [call.function.arguments for delta in deltas for call in delta.tool_calls or () if call.function]
    assert json.loads("".join(written)) == {"city": "Oslo"}
    assert told(ended) == ['{"city":"Oslo","sky":"grey"}']
    assert ended.cost.certainty == "exact"


def test_what_on_delta_raises_ends_the_run_and_its_stream(caller: Caller, simulator: Simulator) -> None:
    def stop(delta: Delta) -> None:
        raise Stop("enough")

    with pytest.raises(Stop):
        run(caller, on_delta=stop)
    assert caller.client.cost.call_count == 1


def test_on_delta_may_be_a_coroutine_function_of_the_async_client_s(simulator: Simulator) -> None:
    said = []

    async def show(delta: Delta) -> None:
        await asyncio.sleep(0)
        said.append(delta.content or "")

    async def main() -> Run:
        async with AsyncClient(KEY, simulator.url) as client:
            return await client.run(ASKED, [weather], model=MODEL, on_delta=show)

    assert asyncio.run(main()).text == "".join(said)


def test_calls_are_told_before_they_are_made_and_once_more_with_what_came_of_them(
    caller: Caller, simulator: Simulator
) -> None:
    told: list[tuple[str, str | None]] = []
    made: list[str] = []

    def look(city: str) -> str:
        made.append(city)
        return f"{city}: grey, {len(told)} told before"

    simulator.fail_next(**asks(("look", {"city": "Oslo"}), ("look", {"city": "Rome"}), ("nonsuch", {})))
    run(caller, [look], on_call=lambda call, answer: told.append((call.function.name, answer)))
    assert [name for name, _ in told] == ["look", "look", "nonsuch"] * 2
    assert [answer for _, answer in told] == [
        *(None, None, None, "Oslo: grey, 3 told before", "Rome: grey, 3 told before"),
        '{"error":"there is no tool \'nonsuch\'; there are look"}',
    ]
    assert sorted(made) == ["Oslo", "Rome"]


def test_what_on_call_raises_ends_the_run_before_the_call(caller: Caller, simulator: Simulator) -> None:
    made: list[str] = []

    def look(city: str) -> None:
        made.append(city)

    def stop(call: Any, answer: str | None) -> None:
        raise Stop("enough")

    simulator.fail_next(**asks(("look", {"city": "Oslo"})))
    with pytest.raises(Stop):
        run(caller, [look], on_call=stop)
    assert (made, len(simulator.requests)) == ([], 1)


def test_on_call_may_be_a_coroutine_function_of_the_async_client_s(simulator: Simulator) -> None:
    told: list[str | None] = []

    async def note(call: Any, answer: str | None) -> None:
        await asyncio.sleep(0)
        told.append(answer)

    async def main() -> Run:
        async with AsyncClient(KEY, simulator.url) as client:
            return await client.run(ASKED, [weather], model=MODEL, on_call=note)

    simulator.fail_next(**OSLO)
    asyncio.run(main())
    assert told == [None, '{"city":"Oslo","sky":"grey"}']


# What can't be asked


async def later() -> None: ...


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tools": []}, "at least one function"),
        ({"tools": [7]}, "a tool is a function"),
        ({"tools": [weather, Tool(print, name="weather", arguments={"type": "object"}, strict=False)]}, "two tools"),
        ({"max_rounds": 0}, "max_rounds must be a whole number from 1"),
        ({"max_rounds": None}, "max_rounds must be a whole number from 1"),
        ({"functions": [{"name": "f"}]}, "pass tools"),
        ({"function_call": "auto"}, "pass tool_choice"),
        ({"n": 2}, "one answer"),
        ({"on_delta": "print"}, "on_delta must be a function or None, not str"),
        ({"on_call": 7}, "on_call must be a function or None, not int"),
        ({"messages": 7}, "messages must be"),
        ({"temperature": 9}, "temperature must be"),
    ],
)
def test_what_can_t_be_asked_is_refused_before_anything_is_sent(
    caller: Caller, simulator: Simulator, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ParameterError, match=sentence):
        run(caller, **options)
    assert simulator.requests == []


@pytest.mark.parametrize("tools", ["weather", {"a": 1}, 7, None])
def test_tools_that_are_no_list_are_refused(caller: Caller, tools: Any) -> None:
    with pytest.raises(ParameterError, match="tools must be a list"):
        done(caller, caller.client.run(ASKED, tools, model=MODEL))


def test_the_blocking_client_refuses_coroutine_functions_by_name(connect: Connect, kind: str) -> None:
    caller = connect("http://127.0.0.1:9/v1", retry=ONCE)
    if kind == "blocking":
        with pytest.raises(ParameterError, match="later is a coroutine function: it needs an AsyncClient"):
            run(caller, [later])


def test_a_function_that_gives_the_blocking_client_something_to_await_is_told_the_model(
    connect: Connect, simulator: Simulator, kind: str
) -> None:
    def promise() -> Any:
        return later()

    simulator.fail_next(**asks(("promise", {})))
    (answer,) = told(run(connect(simulator.url), [promise]))
    assert (
        answer
        == {
            "blocking": '{"error":"promise gave something to await, which only an AsyncClient does"}',
            "asyncio": "null",
        }[kind]
    )


# The official client's examples: https://github.com/openai/openai-python/blob/main/examples/parsing_tools_stream.py


class GetWeather(pydantic.BaseModel):
    city: str
    country: str


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
BY_HAND: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather of a city.",
        "strict": True,
        "parameters": {**SCHEMA, "additionalProperties": False},
    },
}


@pytest.mark.parametrize(
    ("tool", "official_tool"),
    [
        (Tool(lambda asked: asked, name="GetWeather", arguments=GetWeather), openai.pydantic_function_tool(GetWeather)),
        (Tool(weather, arguments=SCHEMA), BY_HAND),
        (weather, BY_HAND),
    ],
)
def test_what_goes_over_the_wire_is_what_the_official_client_sends(
    connect: Connect, simulator: Simulator, tool: Any, official_tool: Any
) -> None:
    events: list[TraceEvent] = []
    messages: Any = [{"role": "user", "content": "What's the weather like in SF and New York?"}]
    run(connect(simulator.url, trace=events.append), [tool], messages, parallel_tool_calls=True)
    with openai.OpenAI(api_key=KEY, base_url=simulator.url) as official:
        response = official.chat.completions.with_raw_response.parse(
            model=MODEL, messages=messages, tools=[official_tool], parallel_tool_calls=True
        )
    assert {**bodies(events)[0], "stream": False} == json.loads(response.http_request.content)
