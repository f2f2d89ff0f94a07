"""barechat.tool: a function's signature, types and docstring become what the model is told, and its arguments."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import openai
import pydantic
import pytest

from barechat import ParameterError, Tool
from barechat.shapes import Misfit
from barechat.simulator.schema.strict import find_schema_fault

if TYPE_CHECKING:
    from decimal import Decimal


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


@dataclasses.dataclass
class Place:
    city: str
    country: str | None = None


class Trip(pydantic.BaseModel):
    """A trip, by pydantic."""

    to: str
    days: int


def weather(
    city: str,
    unit: Unit = Unit.CELSIUS,
    days: Annotated[int, msgspec.Meta(ge=1)] = 3,
    near: str | None = "the sea",
) -> str:
    """Tell the weather.

    Args:
        city: The city.
        unit: Which unit.
    """
    return f"{city} {unit.value} {days} {near}"


def schema_of(tool: Tool) -> dict[str, Any]:
    """Return a tool's schema, once the simulator has taken it."""
    about = tool.definition["function"]
    assert find_schema_fault(about["parameters"], strict=about.get("strict", False)) is None
    found: dict[str, Any] = about["parameters"]
    return found


def call(tool: Tool, arguments: str) -> Any:
    return tool.prepared(arguments)()


def test_the_model_is_told_the_name_the_prose_and_each_parameter() -> None:
    tool = Tool(weather)
    about = tool.definition["function"]
    assert tool.definition["type"] == "function"
    assert (about["name"], about["description"], about["strict"]) == ("weather", "Tell the weather.", True)
    schema = schema_of(tool)
    assert schema["required"] == ["city", "unit", "days", "near"]
    assert schema["properties"]["city"] == {"type": "string", "description": "The city."}
    assert schema["properties"]["unit"]["description"] == 'Which unit. (default: "c")'
    assert schema["properties"]["days"]["description"] == "(default: 3)"
    assert "title" not in schema


def test_what_is_said_of_a_tool_goes_before_what_its_function_says() -> None:
    about = Tool(weather, name="forecast", description="Tell what comes.").definition["function"]
    assert (about["name"], about["description"]) == ("forecast", "Tell what comes.")
    assert repr(Tool(weather, name="forecast")) == "<Tool forecast>"


def test_a_function_of_no_parameters_and_no_docstring_is_a_tool_too() -> None:
    def now() -> str:
        return "noon"

    tool = Tool(now)
    assert "description" not in tool.definition["function"]
    assert schema_of(tool) == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert call(tool, "") == call(tool, " ") == call(tool, "{}") == "noon"


def test_null_stands_for_a_default_unless_it_is_a_value_itself() -> None:
    tool = Tool(weather)
    assert call(tool, '{"city":"Oslo","unit":null,"days":null,"near":null}') == "Oslo c 3 None"
    assert call(tool, '{"city":"Oslo","unit":"f","days":1,"near":"a lake"}') == "Oslo f 1 a lake"


def test_what_is_left_out_all_the_same_has_its_default() -> None:
    assert call(Tool(weather), '{"city":"Oslo"}') == "Oslo c 3 the sea"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{}", "missing required field `city`"),
        ("[]", "Expected `object`, got `array`"),
        ('{"city":"Os', "truncated"),
        ('{"city":7}', r"Expected `str`, got `int` - at `\$.city`"),
        ('{"city":"Oslo","days":0}', "Expected `int` >= 1"),
        ('{"city":"Oslo","unit":"k"}', "Invalid enum value 'k'"),
        ('{"city":"\ud800"}', "surrogates"),
    ],
)
def test_arguments_that_don_t_fit_are_told_by_their_place(arguments: str, told: str) -> None:
    with pytest.raises(Misfit, match=told):
        Tool(weather).prepared(arguments)


def test_arguments_are_of_the_types_that_the_function_names() -> None:
    def visit(place: Place, trip: Trip, /, at: dt.date, *, trips: list[Trip] | None = None) -> Any:
        return place, trip, at, trips

    text = '{"place":{"city":"Rome"},"trip":{"to":"Bari","days":2},"at":"2026-01-31","trips":[{"to":"Bari","days":2}]}'
    trip = Trip(to="Bari", days=2)
    tool = Tool(visit)
    schema_of(tool)
    assert call(tool, text) == (Place("Rome"), trip, dt.date(2026, 1, 31), [trip])
    with pytest.raises(Misfit, match=r"at `trip\.days`"):
        tool.prepared(text.replace('"days":2},"at"', '"days":"many"},"at"'))


def test_methods_partials_and_objects_are_functions_too() -> None:
    class Desk:
        """A desk that tells."""

        def __init__(self) -> None:
            self.city = "Oslo"

        def tell(self, days: int) -> str:
            """Tell of some days."""
            return f"{self.city} {days}"

        def __call__(self, days: int) -> str:
            return f"{self.city}! {days}"

    method, thing = Tool(Desk().tell), Tool(Desk(), name="desk")
    assert (method.name, method.definition["function"]["description"]) == ("tell", "Tell of some days.")
    assert thing.definition["function"]["description"] == "A desk that tells."
    assert schema_of(method) == schema_of(thing)
    assert (call(method, '{"days":1}'), call(thing, '{"days":1}')) == ("Oslo 1", "Oslo! 1")
    partial = Tool(functools.partial(weather, "Rome", days=1))
    assert (partial.name, list(schema_of(partial)["properties"])) == ("weather", ["unit", "days", "near"])
    assert call(partial, "{}") == "Rome c 1 the sea"


def test_a_coroutine_function_is_known_as_one() -> None:
    async def later(days: int) -> int:
        return days

    assert Tool(later).is_async
    assert Tool(functools.partial(later, 1)).is_async
    assert not Tool(weather).is_async


def test_types_that_the_strict_mode_lacks_are_refused_unless_it_is_turned_off() -> None:
    def count(words: dict[str, int], top: Any = 3) -> Any:
        return len(words) + top

    with pytest.raises(ParameterError, match=r"tool count.words is an object of any keys.*strict=False"):
        Tool(count)
    tool = Tool(count, strict=False)
    assert "strict" not in tool.definition["function"]
    schema = schema_of(tool)
    assert schema["required"] == ["words"]
    assert schema["properties"]["top"]["default"] == 3
    assert call(tool, '{"words":{"a":1}}') == 4


def test_a_type_in_place_of_the_signature_brings_one_value() -> None:
    def book(trip: Trip) -> str:
        """Book a trip."""
        return f"{trip.to} {trip.days}"

    tool = Tool(book, arguments=Trip)
    assert list(schema_of(tool)["properties"]) == ["to", "days"]
    assert call(tool, '{"to":"Bari","days":2}') == "Bari 2"
    with pytest.raises(Misfit):
        tool.prepared('{"to":"Bari"}')


def test_a_schema_in_place_of_the_signature_brings_what_the_model_wrote() -> None:
    def book(**details: Any) -> Any:
        return details

    given = {"type": "object", "properties": {"to": {"type": "string"}}}
    tool = Tool(book, arguments=given)
    assert schema_of(tool) == {**given, "required": ["to"], "additionalProperties": False}
    assert schema_of(Tool(book, arguments=given, strict=False)) == given
    assert call(tool, '{"to":[1]}') == {"to": [1]}
    for text in ("[]", "{", '{"a":"\ud800"}'):
        with pytest.raises(Misfit):
            tool.prepared(text)


def test_what_is_no_schema_is_refused_by_name() -> None:
    with pytest.raises(ParameterError, match="tool book is no JSON schema: its properties must be an object"):
        Tool(print, name="book", arguments={"type": "object", "properties": ["city"]})


def lost(a: Decimal) -> None: ...
def pair(a: tuple[int, *tuple[str, ...]]) -> None: ...
def named(*, other: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (7, "not 7"),
        ({"type": "function"}, "a tool is a function"),
        (lambda: 1, "needs a name"),
        (functools.partial(lambda: 1), "needs a name"),
        (Place, "needs a name"),
        (print, r"takes \*args, of which a model can't be told"),
        (lost, "Decimal.*isn't known when the program runs"),
        (max, "no signature|takes"),
        (pair, "no JSON schema can be made"),
    ],
)
def test_what_can_t_be_described_is_refused_by_what_it_lacks(function: Any, told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        Tool(function)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "wetter.köln", 7])
def test_a_name_that_the_api_refuses_is_refused_here(name: Any) -> None:
    with pytest.raises(ParameterError, match="at most 64 letters"):
        Tool(named, name=name)


@pytest.mark.parametrize("raises", ["LookupError", LookupError("x"), (LookupError, 7), KeyboardInterrupt])
def test_what_is_raised_is_named_by_its_type(raises: Any) -> None:
    with pytest.raises(ParameterError, match="raises must be exception types"):
        Tool(weather, raises=raises)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is: {", "as it is: {"),
        (None, "null"),
        (True, "true"),
        ([Place("Rome")], '[{"city":"Rome","country":null}]'),
        ({Unit.CELSIUS: Trip(to="Bari", days=2)}, '{"c":{"to":"Bari","days":2}}'),
        (dt.date(2026, 1, 31), "2026-01-31"),
        ({1: "one"}, '{"1":"one"}'),
    ],
)
def test_a_result_is_told_as_it_is_or_as_json(result: Any, text: str) -> None:
    assert Tool(weather).told(result) == text


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (float("nan"), "nan, which JSON can't carry"),
        (object(), "can't carry a object"),
        ("half: \ud800", "lone surrogate"),
        (2**70, "more than 64 bits"),
        ("x" * 1001, "1,001 characters, more than the 1,000"),
        (["x" * 999], "1,003 characters"),
    ],
)
def test_a_result_that_can_t_be_sent_whole_is_an_error_and_never_cut(result: Any, told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        Tool(weather, max_result_chars=1000).told(result)


# The official client's examples: https://github.com/openai/openai-python/blob/main/examples/parsing_tools.py


class Table(enum.StrEnum):
    orders = "orders"
    customers = "customers"


class Operator(enum.StrEnum):
    eq = "="
    ne = "!="


class DynamicValue(pydantic.BaseModel):
    column_name: str


class Condition(pydantic.BaseModel):
    column: str
    operator: Operator
    value: str | int | DynamicValue


class Query(pydantic.BaseModel):
    table_name: Table
    columns: list[Literal["id", "status"]]
    conditions: list[Condition]
    order_by: str | None = pydantic.Field(default=None, description="a column's name")


class GetWeather(pydantic.BaseModel):
    """Tell the weather."""

    city: str
    country: str


@pytest.mark.parametrize("model", [Query, GetWeather])
def test_the_definition_is_the_one_that_the_official_client_makes_of_a_model(model: type[pydantic.BaseModel]) -> None:
    def handle(asked: Any) -> Any:
        return asked

    tool = Tool(handle, name=model.__name__, description=model.__doc__, arguments=model)
    assert tool.definition == openai.pydantic_function_tool(model)
    schema_of(tool)


def test_a_definition_is_json() -> None:
    assert json.loads(json.dumps(Tool(weather).definition)) == Tool(weather).definition
