"""Each shape takes what it describes and tells the first fault of anything else by its place."""

import re
from typing import Any

import pytest

from barechat.simulator.contract.shapes import (
    Array,
    Boolean,
    Choice,
    Decimal,
    Either,
    Integer,
    Map,
    Nullable,
    Object,
    Shape,
    Tagged,
    Text,
    object_of,
)

COLOUR = Choice(("red", "green", "blue"))
NAME = Text(pattern=re.compile("^[a-z]+$"), is_filled=True, longest=5)
POINT = object_of({"x": Integer(), "y": Integer()}, "x", is_closed=True)
SHAPES: list[tuple[Shape, list[Any]]] = [
    (Boolean(), [True, False]),
    (Integer(), [0, -5, 2**70]),
    (Integer(low=1, high=3), [1, 3]),
    (Decimal(low=-2, high=2), [-2, 2, 0.5, 2.0]),
    (Text(), ["", "anything\n"]),
    (NAME, ["abcde", "a"]),
    (COLOUR, ["red", "blue"]),
    (Array(item=Integer()), [[], [1, 2]]),
    (Array(item=Integer(), is_filled=True, longest=2), [[1], [1, 2]]),
    (POINT, [{"x": 1}, {"y": 2, "x": 1}]),
    (Object(), [{}, {"any": "key"}]),
    (Map(item=Integer(), most=1, longest_key=2), [{}, {"ab": 1}]),
    (Tagged(shapes={"point": POINT, "dot": Object()}), [{"type": "dot", "x": "?"}]),
    (Either(shapes={str: COLOUR, list: Array(item=COLOUR)}, kind="a colour"), ["red", ["red"], []]),
    (Nullable(Integer()), [None, 1]),
]
TAKEN = [(shape, value) for shape, values in SHAPES for value in values]


@pytest.mark.parametrize(("shape", "value"), TAKEN)
def test_a_value_that_fits_has_no_fault(shape: Shape, value: Any) -> None:
    assert shape.find_fault(value, ("a",)) is None


@pytest.mark.parametrize(
    ("shape", "value", "param", "code"),
    [
        (Boolean(), 1, "a", "invalid_type"),
        (Integer(), True, "a", "invalid_type"),
        (Integer(), 1.0, "a", "invalid_type"),
        (Integer(low=1), 0, "a", "integer_below_min_value"),
        (Integer(high=3), 4, "a", "integer_above_max_value"),
        (Decimal(), "1", "a", "invalid_type"),
        (Decimal(), False, "a", "invalid_type"),
        (Decimal(low=0), -0.1, "a", "decimal_below_min_value"),
        (Decimal(high=1), 1.1, "a", "decimal_above_max_value"),
        (Text(), None, "a", "invalid_type"),
        (NAME, "", "a", "empty_string"),
        (NAME, "abcdef", "a", "string_above_max_length"),
        (NAME, "a\n", "a", "invalid_value"),
        (COLOUR, "pink", "a", "invalid_value"),
        (COLOUR, ["red"], "a", "invalid_type"),
        (Array(item=COLOUR), "red", "a", "invalid_type"),
        (Array(item=COLOUR, is_filled=True), [], "a", "empty_array"),
        (Array(item=COLOUR, longest=1), ["red", "red"], "a", "array_above_max_length"),
        (Array(item=COLOUR), ["red", "pink"], "a[1]", "invalid_value"),
        (POINT, [], "a", "invalid_type"),
        (POINT, {"y": 1}, "a.x", "missing_required_parameter"),
        (POINT, {"x": 1, "y": "2"}, "a.y", "invalid_type"),
        (POINT, {"x": 1, "z": 3}, "a.z", "unknown_parameter"),
        (Map(item=COLOUR), [], "a", "invalid_type"),
        (Map(item=COLOUR, most=1), {"b": "red", "c": "red"}, "a", "object_above_max_properties"),
        (Map(item=COLOUR, longest_key=1), {"bc": "red"}, "a.bc", "property_name_above_max_length"),
        (Map(item=COLOUR), {"b": "pink"}, "a.b", "invalid_value"),
        (Tagged(shapes={"point": POINT}), "point", "a", "invalid_type"),
        (Tagged(shapes={"point": POINT}), {}, "a.type", "missing_required_parameter"),
        (Tagged(shapes={"point": POINT}), {"type": "dot"}, "a.type", "invalid_value"),
        (Tagged(shapes={"point": POINT}), {"type": None}, "a.type", "invalid_type"),
        (Tagged(shapes={"point": POINT}, tag="kind"), {"kind": {}}, "a.kind", "invalid_type"),
        (Tagged(shapes={"point": POINT}), {"type": "point"}, "a.x", "missing_required_parameter"),
        (Either(shapes={str: COLOUR}, kind="a colour"), 1, "a", "invalid_type"),
        (Either(shapes={str: COLOUR}, kind="a colour"), "pink", "a", "invalid_value"),
        (Nullable(Integer()), "1", "a", "invalid_type"),
    ],
)
def test_a_fault_is_told_by_its_place_and_code(shape: Shape, value: Any, param: str, code: str) -> None:
    fault = shape.find_fault(value, ("a",))
    assert fault is not None
    assert (fault.status, fault.type, fault.param, fault.code) == (400, "invalid_request_error", param, code)
    assert f"'{param}'" in fault.message or code in {"invalid_value", "property_name_above_max_length"}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Integer(), "an integer"),
        (Nullable(Integer()), "an integer"),
        (COLOUR, "one of 'red', 'green', or 'blue'"),
        (Choice(("on", "off")), "one of 'on' or 'off'"),
        (Array(item=Text(), kind="an array of strings"), "an array of strings"),
        (Tagged(shapes={}), "an object"),
        (Either(shapes={}, kind="a colour"), "a colour"),
    ],
)
def test_a_wrong_type_names_what_is_expected_and_what_came(shape: Shape, expected: str) -> None:
    fault = shape.find_fault(1.5, ("messages", 0, "content"))
    assert fault is not None
    assert fault.message == (
        f"Invalid type for 'messages[0].content': expected {expected}, but got a decimal number instead."
    )


def test_a_long_value_is_shown_by_its_ends() -> None:
    fault = COLOUR.find_fault("pink" * 1_000_000, ("a",))
    assert fault is not None
    assert fault.message == "Invalid value: 'pin...ink'. Supported values are: 'red', 'green', and 'blue'."
