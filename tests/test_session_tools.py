"""Tools within a conversation, by both kinds of session: the whole turn is remembered, or nothing of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from barechat import (
    AsyncChatSession,
    Attempt,
    ChatSession,
    Client,
    RetryPolicy,
    RoundsExceeded,
    Run,
    StreamTruncated,
    Tool,
)
from support import MODEL, done

if TYPE_CHECKING:
    from pathlib import Path

    from barechat.simulator import Simulator
    from support import Caller

CALL: dict[str, Any] = {"reply": {"tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}, "id": "c0"}]}}


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"grey in {city}"


def begun(caller: Caller, *args: Any, **options: Any) -> Any:
    kind: Any = ChatSession if isinstance(caller.client, Client) else AsyncChatSession
    return kind(caller.client, *args, model=MODEL, **options)


def roles(session: Any) -> str:
    return "".join(message["role"][0] for message in session.messages)


def test_a_turn_with_tools_is_remembered_whole_and_sent_with_the_next(
    caller: Caller, simulator: Simulator, tmp_path: Path
) -> None:
    path = tmp_path / "talk.json"
    session = begun(caller, "Be brief.", path=path, tools=[{"type": "function", "function": {"name": "other"}}])
    simulator.fail_next(**CALL)
    simulator.fail_next(reply="It is grey.")
    told: list[str | None] = []
    run: Run = done(caller, session.run("How?", [weather], on_call=lambda _, answer: told.append(answer)))
    assert (run.text, told, roles(session)) == ("It is grey.", [None, "grey in Oslo"], "suata")
    assert session.messages == run.messages == json.loads(path.read_text())
    assert (session.cost.call_count, session.cost.total_cost) == (2, run.cost.usd)
    done(caller, session.send("Sure?", tools=None))
    assert roles(session) == "suataua"
    done(caller, session.close())


def test_a_run_that_fails_leaves_the_messages_as_they_were_and_is_counted(caller: Caller, simulator: Simulator) -> None:
    session = begun(caller)
    done(caller, session.send("Hi"))
    before = (list(session.messages), session.cost.total_cost)
    simulator.fail_next(**CALL)
    with pytest.raises(RoundsExceeded):
        done(caller, session.run("How?", [weather], max_rounds=1))
    assert session.messages == before[0]
    assert session.cost.total_cost > before[1]


class Boom(Exception):
    """What a tool raises."""


def boom(city: str) -> str:
    """Tell nothing."""
    raise Boom(city)


@pytest.mark.parametrize("on_delta", [None, lambda _: None])
def test_what_was_spent_before_a_tool_ended_the_run_is_counted(
    on_delta: Any, caller: Caller, simulator: Simulator
) -> None:
    session = begun(caller)
    simulator.fail_next(**CALL)
    with pytest.raises(Boom):
        done(caller, session.run("How?", [Tool(boom, name="weather", raises=Boom)], on_delta=on_delta))
    assert session.cost.totals.by_certainty_pd == caller.client.cost.totals.by_certainty_pd != {}
    assert (session.cost.call_count, session.messages) == (1, [])


def test_what_was_spent_before_ctrl_c_between_rounds_is_counted(caller: Caller, simulator: Simulator) -> None:
    def interrupt(_: Any, answer: str | None) -> None:
        if answer is not None:
            raise KeyboardInterrupt

    session = begun(caller)
    simulator.fail_next(**CALL)
    with pytest.raises(KeyboardInterrupt):
        done(caller, session.run("How?", [weather], on_call=interrupt))
    assert session.cost.totals.by_certainty_pd == caller.client.cost.totals.by_certainty_pd != {}
    assert (session.cost.call_count, session.messages) == (1, [])


@pytest.mark.parametrize("job", ["send", "run"])
def test_what_a_lost_attempt_may_have_cost_is_counted_when_on_retry_ends_the_call(
    job: str, caller: Caller, simulator: Simulator
) -> None:
    def end(attempt: Attempt) -> None:
        raise Boom(attempt.error)

    session = begun(caller, retry=RetryPolicy(on_retry=end))
    simulator.fail_next(close_before=True)
    with pytest.raises(Boom):
        done(caller, session.send("How?") if job == "send" else session.run("How?", [weather]))
    assert session.cost.totals.by_certainty_pd == caller.client.cost.totals.by_certainty_pd
    assert (session.cost.call_count, session.cost.by_certainty.keys()) == (1, {"bound"})


def test_a_round_that_fails_is_counted_beside_those_before_it(caller: Caller, simulator: Simulator) -> None:
    session = begun(caller)
    simulator.fail_next(**CALL)
    simulator.fail_next(reply="It is grey today.", cut_after=2)
    with pytest.raises(StreamTruncated):
        done(caller, session.run("How?", [weather], on_delta=lambda _: None))
    assert session.cost.totals.by_certainty_pd == caller.client.cost.totals.by_certainty_pd
    assert session.cost.by_certainty.keys() == {"exact", "bound"}


def test_a_turn_with_tools_is_dropped_whole_from_what_is_sent(caller: Caller, simulator: Simulator) -> None:
    session = begun(caller, max_history=4)
    simulator.fail_next(**CALL)
    done(caller, session.run("How?", [weather]))
    assert roles(session) == "uata"
    done(caller, session.send("And now?"))
    assert roles(session) == "ua"
