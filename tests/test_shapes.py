"""barechat.shapes: any type that a Python programmer would name has a strict schema, and its values are read back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import subprocess
import sys
import uuid
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NotRequired, TypedDict, TypeVar

import msgspec
import pydantic
import pydantic.dataclasses
import pytest

from barechat.errors import ParameterError
from barechat.shapes import Misfit, Shape
from barechat.simulator.schema.sampling import sample
from barechat.simulator.schema.strict import find_schema_fault
from barechat.simulator.words import Dice

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Rank(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Point:
    """A point.

    On a plane.
    """

    x: int
    y: Annotated[float, msgspec.Meta(ge=0, description="the height")] = 0.5
    colour: Colour = Colour.RED
    tags: frozenset[str] = frozenset()


@dataclasses.dataclass
class Tree:
    name: str
    trees: list[Tree]
    parent: Tree | None = None


class Settings(TypedDict):
    name: str
    size: NotRequired[int]


class Walk(msgspec.Struct, tag=True):
    to: Point | None


class Wait(msgspec.Struct, tag=True, rename="camel"):
    how_long: int


@dataclasses.dataclass
class Cat:
    name: str


@dataclasses.dataclass
class Dog:
    name: str
    breed: str


@dataclasses.dataclass
class Box(Generic[T]):
    value: T


@dataclasses.dataclass
class Lost:
    place: Nowhere  # type: ignore[name-defined]  # noqa: F821 - as after an import for type checkers alone


class Opaque:
    pass


class Person(pydantic.BaseModel):
    name: str
    colour: Colour = pydantic.Field(description="the favourite")
    age: int = pydantic.Field(default=3, ge=0, le=150)
    friends: list[Person] = []


class Square(pydantic.BaseModel):
    kind: Literal["square"]
    side: float


class Circle(pydantic.BaseModel):
    kind: Literal["circle"]
    radius: float


class Drawing(pydantic.BaseModel):
    shape: Square | Circle = pydantic.Field(discriminator="kind")


@pydantic.dataclasses.dataclass
class Spot:
    at: int


@dataclasses.dataclass
class Home:
    person: Person


class Numbers(pydantic.RootModel[list[int]]):
    pass


KINDS: list[Any] = [
    *(Point, Tree, Settings, Walk, Cat, Colour, Rank, Box[int], Box[Cat]),
    *(str, int, float, bool, None, Decimal | None, dt.date, Literal["a", 1] | None, tuple[int, int], uuid.UUID),
    *(list[Point], list[Walk | Wait], Walk | Wait, Cat | Dog, Point | None, int | str, list[list[Colour]]),
    *(Person, Square | Circle, Drawing, list[Person], Person | None, Spot, Home, Numbers, Box[Person]),
]


def shaped(kind: Any) -> Shape[Any]:
    return Shape(kind, "into")


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_strict_schema_is_one_that_the_api_takes_and_what_fits_it_is_read(kind: Any) -> None:
    shape = shaped(kind)
    schema = shape.schema(is_strict=True)
    assert find_schema_fault(schema, strict=True) is None
    for draw in range(20):
        text = json.dumps(sample(schema, Dice(str(draw).encode())))
        if kind == Decimal | None:
            continue  # the strict mode has no word for a decimal's text
        shape.read(text)


@pytest.mark.parametrize("kind", [*KINDS, dict[str, int], Any, dict[str, Person]], ids=str)
def test_the_schema_without_the_strict_mode_is_one_that_the_api_takes_too(kind: Any) -> None:
    assert find_schema_fault(shaped(kind).schema(is_strict=False), strict=False) is None


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Point, '{"x":1,"y":2,"colour":"blue","tags":["a"]}', Point(1, 2.0, Colour.BLUE, frozenset("a"))),
        (Tree, '{"name":"a","trees":[{"name":"b","trees":[],"parent":null}]}', Tree("a", [Tree("b", [])])),
        (Settings, '{"name":"a","size":1}', {"name": "a", "size": 1}),
        (list[Colour], '{"value":["red","blue"]}', [Colour.RED, Colour.BLUE]),
        (Rank, '{"value":2}', Rank.HIGH),
        (Walk | Wait, '{"value":{"type":"Wait","howLong":3}}', Wait(3)),
        (Point | None, '{"value":null}', None),
        (tuple[int, str], '{"value":[1,"a"]}', (1, "a")),
        (Person, '{"name":"Ada","colour":"red","age":1,"friends":[]}', Person(name="Ada", colour=Colour.RED, age=1)),
        (list[Square], '{"value":[{"kind":"square","side":1}]}', [Square(kind="square", side=1.0)]),
        (Square | Circle, '{"value":{"kind":"circle","radius":1}}', Circle(kind="circle", radius=1)),
        (Numbers, '{"value":[1,2]}', Numbers([1, 2])),
    ],
)
def test_a_value_is_read_as_its_own_type(kind: Any, text: str, value: Any) -> None:
    found = shaped(kind).read(text)
    assert found == value
    assert type(found) is type(value)


def test_of_two_dataclasses_the_one_that_has_all_the_members_is_read() -> None:
    both = shaped(Cat | Dog)
    assert both.read('{"value":{"name":"Rex","breed":"pug"}}') == Dog("Rex", "pug")
    assert both.read('{"value":{"name":"Tom"}}') == Cat("Tom")
    with pytest.raises(Misfit, match="Cat has no 'wings'; Dog has no 'wings'"):
        both.read('{"value":{"name":"Tom","wings":2}}')
    with pytest.raises(Misfit, match=r"it is no Cat: Expected `object`, got `int`; it is no Dog"):
        both.read('{"value":7}')


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (Point, '{"x":"a"}', r"Expected `int`, got `str` - at `\$\.x`"),
        (Point, '{"x":', "truncated"),
        (Point, "", "truncated"),
        (Point, "Here you are: {}", "malformed"),
        (Point, "\ud800", "surrogates"),
        (Tree, '{"name":"a","trees":[' * 100_000, "recursion"),
        (list[int], "[1]", "Expected `object`, got `array`"),
        (list[int], '{"value":["a"]}', r"Expected `int`, got `str` - at `\$\[0\]`"),
        (Colour, '{"value":"green"}', "Invalid enum value 'green'"),
        (Person, '{"name":"Ada","colour":"red","age":999}', "less than or equal to 150 - at `age`"),
        (Person, "no JSON", "Invalid JSON"),
        (Person, "\ud800", "unable to parse"),
    ],
)
def test_what_doesn_t_fit_is_told_with_its_place(kind: Any, text: str, told: str) -> None:
    with pytest.raises(Misfit, match=told):
        shaped(kind).read(text)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (complex, "type <class 'complex'> is not supported"),
        (list[Cat | Dog], r"list\[Cat \| Dog\].*tag the classes"),
        (Cat | complex, "complex"),
        (Lost, "Nowhere.*isn't known when the program runs"),
        (Person | Opaque, "Unable to generate"),
    ],
)
def test_a_type_that_has_no_schema_is_refused_by_name(kind: Any, told: str) -> None:
    with pytest.raises(ParameterError, match=told) as caught:
        shaped(kind)
    assert caught.value.param == "into"


def test_a_name_is_derived_from_the_type() -> None:
    assert shaped(Point).name == "Point"
    assert shaped(list[Point]).name == "list_Point"
    assert shaped(Cat | Dog).name == "Cat_Dog"
    assert shaped(None).name == "None"


def test_pydantic_is_loaded_for_its_own_types_alone() -> None:
    code = (
        "import dataclasses, sys\n"
        "from barechat.shapes import Shape\n"
        "A = dataclasses.make_dataclass('A', [('a', int)])\n"
        "Shape(list[A], 'into').read('{\"value\":[{\"a\":1}]}')\n"
        "assert 'pydantic' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)  # noqa: S603 - our own code
