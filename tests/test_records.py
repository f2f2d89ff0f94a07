"""barechat.records: frozen, compared by value, pickled, and costs that are exact whatever the caller's decimals."""

from __future__ import annotations

import copy
import decimal
import pickle
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from barechat import records
from barechat.records import (
    FREE,
    UNPRICED,
    Attempt,
    Choice,
    Cost,
    Custom,
    Delta,
    Function,
    Message,
    Parsed,
    Patches,
    Price,
    RateLimits,
    Record,
    Reply,
    Run,
    ToolCall,
    Usage,
)

PRICE = Price(
    model="m", tier="default", since="2026-01-01", input_pd=1, output_pd=2, image=Patches(multiplier="1.2", high=2500)
)
CALL = ToolCall(id="a", function=Function(name="f", arguments="{}"))
CHOICE = Choice(index=0, message=Message(content="Hi", tool_calls=(CALL,)), finish_reason="stop", logprobs={"a": [1]})
USAGE = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
REPLY = Reply(
    id="r",
    model="m",
    choices=(CHOICE,),
    usage=USAGE,
    cost=Cost(picodollars=5, certainty="exact", price=PRICE),
    verdict="complete",
    raw={"id": "r"},
    rate_limits=RateLimits(limit_requests=1),
    attempts=(Attempt(number=1, client_request_id="x"),),
)
PARSED = Parsed(value=5, tries=(REPLY, REPLY))
RUN = Run(messages=[{"role": "user", "content": "Hi"}], rounds=(REPLY, REPLY))
ALL: list[Record] = [REPLY, CHOICE, CALL, USAGE, PRICE, FREE, Custom(name="g", input="x"), Delta(index=0), PARSED, RUN]


def reply(content: str | None, **changes: Any) -> Reply:
    return msgspec.structs.replace(REPLY, choices=(Choice(index=0, message=Message(content=content)),), **changes)


@pytest.mark.parametrize("record", ALL, ids=lambda record: type(record).__name__)
def test_every_record_pickles_copies_and_equals_its_twin(record: Record) -> None:
    for twin in (pickle.loads(pickle.dumps(record)), copy.copy(record), copy.deepcopy(record)):  # noqa: S301 - our own
        assert twin == record
        assert type(twin) is type(record)
    assert record != object()


@pytest.mark.parametrize("record", ALL, ids=lambda record: type(record).__name__)
def test_every_record_is_frozen_and_made_from_keywords(record: Record) -> None:
    name = msgspec.structs.fields(record)[0].name
    with pytest.raises(AttributeError):
        setattr(record, name, 1)
    kinds: list[Any] = [kind for kind in vars(records).values() if isinstance(kind, type) and issubclass(kind, Record)]
    assert len(kinds) == 19
    for kind in kinds:
        assert kind.__struct_config__.frozen
        with pytest.raises(TypeError):
            kind(1)


def test_a_cost_is_exact_in_dollars_whatever_the_callers_own_precision() -> None:
    cost = Cost(picodollars=1_234_567_890_123_456_789, certainty="exact")
    with decimal.localcontext() as context:
        context.prec = 3
        assert cost.usd == Decimal("1234567.890123456789")
        assert str(cost) == "1234567.890123456789"


@pytest.mark.parametrize(
    ("picodollars", "spec", "wanted"),
    [
        (123_000_000, ".6f", "0.000123"),
        (123_456_789, "", "0.000123456789"),
        (1, "", "0.000000000001"),
        (0, "", "0"),
        (0, ".2f", "0.00"),
        (10**14, "", "100"),
        (25 * 10**11, ".2f", "2.50"),
        (25 * 10**11, ">8.1f", "     2.5"),
        (None, ".6f", "unpriced"),
        (None, "", "unpriced"),
    ],
)
def test_a_cost_formats_as_dollars_or_says_that_it_is_unpriced(picodollars: int | None, spec: str, wanted: str) -> None:
    cost = Cost(picodollars=picodollars, certainty="exact")
    assert format(cost, spec) == wanted
    assert f"${cost:{spec}}" == f"${wanted}"


def test_a_sum_of_costs_is_as_sure_as_its_least_sure_part() -> None:
    exact, bound, estimate = (
        Cost(picodollars=1, certainty="exact", price=PRICE),
        Cost(picodollars=2, certainty="bound"),
        Cost(picodollars=4, certainty="estimate"),
    )
    assert Cost.sum([]) == FREE
    assert Cost.sum([FREE, exact, FREE]) is exact
    assert Cost.sum([UNPRICED]) is UNPRICED
    assert Cost.sum([exact, exact]) == Cost(picodollars=2, certainty="exact")
    assert Cost.sum(iter([bound, exact])) == Cost(picodollars=3, certainty="bound")
    assert Cost.sum([exact, estimate, bound]) == Cost(picodollars=7, certainty="estimate")
    assert Cost.sum([exact, UNPRICED, estimate]) == UNPRICED
    assert Cost.sum([exact, UNPRICED]).usd is None


def test_a_reply_reads_as_its_first_choice() -> None:
    assert (REPLY.text, str(REPLY), REPLY.finish_reason, REPLY.message) == ("Hi", "Hi", "stop", CHOICE.message)
    assert (reply(None).text, reply(None).finish_reason) == ("", None)
    none = msgspec.structs.replace(REPLY, choices=())
    assert (none.text, str(none), none.finish_reason, none.message) == ("", "", None, Message())


def test_a_replys_json_is_parsed_and_what_is_none_is_a_value_error_that_quotes_it() -> None:
    assert reply('{"a": [1]}').json() == {"a": [1]}
    for text in ("", '{"a": 1', "Sure! {}", "[" * 5000, '"\ud800"'):
        with pytest.raises(ValueError, match="verdict limited"):
            reply(text, verdict="limited").json()


def test_a_message_goes_back_as_the_api_takes_it() -> None:
    assert Message(content="x").to_dict() == {"role": "assistant", "content": "x"}
    custom = ToolCall(id="b", type="custom", custom=Custom(name="g", input="y"), index=1)
    full = Message(
        refusal="no",
        reasoning="never sent back",
        tool_calls=(CALL, custom, ToolCall(id="c")),
        function_call=Function(name="f", arguments="{}"),
        annotations=[1],
        audio={"id": "a1", "data": "never sent back"},
    )
    assert full.to_dict() == {
        "role": "assistant",
        "content": None,
        "refusal": "no",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "type": "custom", "custom": {"name": "g", "input": "y"}},
            {"id": "c", "type": "function", "function": {"name": "", "arguments": ""}},
        ],
        "function_call": {"name": "f", "arguments": "{}"},
        "audio": {"id": "a1"},
    }
    assert "audio" not in Message(audio={"data": "x"}).to_dict()
