"""Answers as values of a type, by both clients: what is sent, what is asked again, and what is never half a value."""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import TYPE_CHECKING, Any, Literal

import openai
import pydantic
import pytest

from barechat import (
    AnswerFiltered,
    AnswerLimited,
    AnswerMismatched,
    AnswerRefused,
    AnswerUnusable,
    BadRequest,
    BarechatError,
    Budget,
    BudgetExceeded,
    Cost,
    Ledger,
    Message,
    Overloaded,
    ParameterError,
    Parsed,
)
from ledgers import rows
from support import KEY, MODEL, ONCE, done

if TYPE_CHECKING:
    from pathlib import Path

    from barechat.simulator import Simulator
    from barechat.wire.trace import TraceEvent
    from support import Caller, Connect

ASKED = "Who is it?"


@dataclasses.dataclass
class Person:
    name: str
    age: int


ADA = '{"name":"Ada","age":36}'
NOBODY = '{"name":"Ada","age":"unknown"}'


def parse(caller: Caller, into: Any = Person, messages: Any = ASKED, **options: Any) -> Parsed[Any]:
    found: Parsed[Any] = done(caller, caller.client.parse(messages, into, model=MODEL, **options))
    return found


def bodies(events: list[TraceEvent]) -> list[dict[str, Any]]:
    return [json.loads(event.body) for event in events if event.kind == "request" and event.body]


def test_an_answer_is_a_value_with_its_reply_and_its_cost(caller: Caller) -> None:
    parsed = parse(caller)
    assert isinstance(parsed.value, Person)
    assert json.loads(parsed.reply.text) == dataclasses.asdict(parsed.value)
    assert parsed.cost == parsed.reply.cost
    assert parsed.cost.certainty == "exact"
    assert len(parsed.tries) == 1
    assert pickle.loads(pickle.dumps(parsed)) == parsed  # noqa: S301 - our own bytes


def test_what_is_sent_is_a_strict_schema_and_the_parameters_beside_it(connect: Connect, simulator: Simulator) -> None:
    events: list[TraceEvent] = []
    parse(connect(simulator.url, trace=events.append), list[Person], temperature=0)
    (body,) = bodies(events)
    form = body["response_format"]["json_schema"]
    assert (form["name"], form["strict"], body["temperature"]) == ("list_Person", True, 0)
    assert form["schema"]["required"] == ["value"]
    assert form["schema"]["$defs"]["Person"]["additionalProperties"] is False


def test_types_that_the_strict_mode_lacks_can_be_asked_for_without_it(caller: Caller, simulator: Simulator) -> None:
    with pytest.raises(ParameterError, match="strict=False"):
        parse(caller, dict[str, int])
    assert simulator.requests == []
    simulator.fail_next(reply='{"one":1}')
    assert parse(caller, dict[str, int], strict=False).value == {"one": 1}


def test_an_answer_that_doesn_t_fit_is_asked_for_again_with_what_is_wrong(
    connect: Connect, simulator: Simulator
) -> None:
    events: list[TraceEvent] = []
    caller = connect(simulator.url, trace=events.append)
    simulator.fail_next(reply=NOBODY)
    simulator.fail_next(reply=ADA)
    parsed = parse(caller)
    assert parsed.value == Person("Ada", 36)
    assert [reply.text for reply in parsed.tries] == [NOBODY, ADA]
    assert parsed.cost == Cost.sum(reply.cost for reply in parsed.tries)
    assert parsed.cost.picodollars == caller.client.cost.total_cost * 10**12
    first, second = (body["messages"] for body in bodies(events))
    assert second[:-2] == first == [{"role": "user", "content": ASKED}]
    assert second[-2] == {"role": "assistant", "content": NOBODY}
    assert second[-1]["role"] == "user"
    assert "Expected `int`, got `str` - at `$.age`" in second[-1]["content"]


def test_one_that_never_fits_is_an_error_with_the_cost_of_all_tries(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(times=3, reply=NOBODY)
    with pytest.raises(AnswerMismatched, match=r"is no Person, at try 3: Expected `int`, got `str`") as caught:
        parse(caller, max_tries=3)
    error = caught.value
    assert error.partial is not None
    assert error.partial.text == NOBODY
    assert error.request_id == error.partial.request_id
    assert len(error.attempts) == len(simulator.requests) == 3
    assert error.cost == Cost.sum(attempt.cost for attempt in error.attempts)
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(twin), vars(twin)) == (AnswerMismatched, vars(error))


def test_what_is_wrong_is_told_in_no_more_than_a_thousand_characters(connect: Connect, simulator: Simulator) -> None:
    events: list[TraceEvent] = []
    simulator.fail_next(reply=json.dumps({"value": "x" * 5000}))
    simulator.fail_next(reply='{"value":"a"}')
    parse(connect(simulator.url, trace=events.append), Literal["a", "b"])
    assert len(bodies(events)[1]["messages"][-1]["content"]) < 1200


@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        ({"reply": {"refusal": "I can't help with that."}}, AnswerRefused, "declined to answer: I can't help"),
        ({"reply": {"content": '{"name":"A', "finish_reason": "length"}}, AnswerLimited, "max_completion_tokens"),
        ({"reply": {"content": ADA, "finish_reason": "length"}}, AnswerLimited, "cut at a length"),
        ({"reply": {"content": "", "finish_reason": "content_filter"}}, AnswerFiltered, "content filter"),
    ],
)
def test_a_refusal_and_a_cut_are_errors_of_their_own_and_not_asked_again(
    caller: Caller, simulator: Simulator, fault: dict[str, Any], kind: type[AnswerUnusable], told: str
) -> None:
    simulator.fail_next(**fault)
    with pytest.raises(kind, match=told) as caught:
        parse(caller)
    assert len(simulator.requests) == 1
    assert caught.value.partial is not None
    assert caught.value.cost == caught.value.partial.cost


def test_an_answer_without_text_is_asked_for_again(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(reply={"tool_calls": [{"name": "person", "arguments": {}}]})
    simulator.fail_next(reply=ADA)
    assert parse(caller).value == Person("Ada", 36)


def test_a_server_s_error_at_the_second_try_carries_what_the_first_one_cost(
    connect: Connect, simulator: Simulator
) -> None:
    caller = connect(simulator.url, retry=ONCE)
    simulator.fail_next(reply=NOBODY)
    simulator.fail_next(status=503)
    with pytest.raises(Overloaded) as caught:
        parse(caller)
    error = caught.value
    assert [attempt.error for attempt in error.attempts] == [None, "Overloaded"]
    assert error.cost == error.attempts[0].cost
    assert error.attempts[0].cost.picodollars


def test_one_at_the_first_is_as_chat_s(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(refuse="invalid_value")
    with pytest.raises(BadRequest) as caught:
        parse(caller)
    assert len(caught.value.attempts) == 1


def test_every_try_is_filed_and_under_the_budget(connect: Connect, simulator: Simulator, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    caller = connect(simulator.url, ledger=ledger, budget=Budget("0.0003"))
    simulator.fail_next(times=30, reply=NOBODY)
    with pytest.raises(AnswerMismatched):
        parse(caller, max_completion_tokens=20, tags={"who": "ada"})
    assert rows(ledger, "tags") == ['{"who":"ada"}'] * 2
    with pytest.raises(BudgetExceeded) as caught:
        parse(caller, max_tries=20, max_completion_tokens=20)
    error = caught.value
    assert error.cost == Cost.sum(attempt.cost for attempt in error.attempts)
    assert len(rows(ledger, "tags")) == 2 + len(error.attempts) > 2
    ledger.close()


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"max_tries": 0}, "max_tries"),
        ({"max_tries": "two"}, "max_tries"),
        ({"response_format": "json"}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"n": 2}, "n"),
        ({"into": complex}, "into"),
        ({"messages": 7}, "messages"),
        ({"temperature": 9}, "temperature"),
    ],
)
def test_what_can_t_be_asked_is_refused_by_name_before_anything_is_sent(
    caller: Caller, simulator: Simulator, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        parse(caller, **options)
    assert caught.value.param == param
    assert simulator.requests == []


def test_the_caller_s_messages_are_left_as_they_were(caller: Caller, simulator: Simulator) -> None:
    messages = [Message(role="user", content=ASKED)]
    simulator.fail_next(reply=NOBODY)
    simulator.fail_next(reply=ADA)
    parse(caller, messages=messages)
    assert messages == [Message(role="user", content=ASKED)]


def test_every_error_of_parse_is_barechat_s_own() -> None:
    assert issubclass(AnswerUnusable, BarechatError)
    assert not issubclass(AnswerUnusable, ValueError)


# The official client's examples: https://github.com/openai/openai-python/blob/main/examples/parsing.py and its README


class Step(pydantic.BaseModel):
    explanation: str
    output: str


class MathResponse(pydantic.BaseModel):
    steps: list[Step]
    final_answer: str


class Colour(pydantic.BaseModel):
    """A colour, and how sure that is."""

    name: Literal["red", "blue"]
    shade: str | None = None
    steps: list[Step] = pydantic.Field(description="how it was found", min_length=1)
    first: Step = pydantic.Field(description="the first of them")
    share: float = pydantic.Field(ge=0, le=1)


class Node(pydantic.BaseModel):
    value: int
    following: Node | None


@pytest.mark.parametrize("into", [MathResponse, Colour, Node])
def test_what_goes_over_the_wire_is_what_the_official_client_sends(
    connect: Connect, simulator: Simulator, into: type[pydantic.BaseModel]
) -> None:
    events: list[TraceEvent] = []
    messages: Any = [
        {"role": "system", "content": "You are a helpful math tutor."},
        {"role": "user", "content": "solve 8x + 31 = 2"},
    ]
    ours = parse(connect(simulator.url, trace=events.append), into, messages)
    with openai.OpenAI(api_key=KEY, base_url=simulator.url) as official:
        response = official.chat.completions.with_raw_response.parse(
            model=MODEL, messages=messages, response_format=into
        )
    theirs = json.loads(response.http_request.content)
    assert [{**body, "stream": False} for body in bodies(events)] == [theirs]
    assert ours.value == response.parse().choices[0].message.parsed
