"""barechat.wire.body: a caller's values become plain JSON, or the name of the one that can't."""

from __future__ import annotations

import enum
from collections import OrderedDict, UserDict
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.errors import ParameterError
from barechat.records import Function, Message, ToolCall
from barechat.wire.body import plain


class Colour(str, enum.Enum):  # noqa: UP042 - the spelling that older code has
    RED = "red"


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another text"


class Whole(int):
    pass


class Real(float):
    pass


def test_what_json_has_stays_as_it_is() -> None:
    value = {"a": [1, -1, 1.5, "é", "", True, False, None, {}, []], "b": {"c": {"d": "😀"}}}
    assert plain(value, "") == value
    assert msgspec.json.decode(msgspec.json.encode(plain(value, ""))) == value


def test_what_is_like_a_dict_a_list_or_a_number_is_written_as_one() -> None:
    value = UserDict({"a": (1, range(2)), "b": OrderedDict(c=MappingProxyType({"d": 1})), "e": {50256: -100}})
    assert plain(value, "") == {"a": [1, [0, 1]], "b": {"c": {"d": 1}}, "e": {"50256": -100}}


def test_kinds_of_text_and_number_are_written_as_their_plain_values() -> None:
    found = plain({"c": Colour.RED, "t": Text("x"), "n": Whole(3), "r": Real(1.5), Text("k"): 1}, "")
    assert msgspec.json.encode(found) == b'{"c":"red","t":"x","n":3,"r":1.5,"k":1}'


def test_records_are_written_as_the_wire_spells_them() -> None:
    call = ToolCall(id="a", function=Function(name="f", arguments="{}"))
    spelt = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert plain([Message(content="x", tool_calls=(call,)), call], "m") == [
        {"role": "assistant", "content": "x", "tool_calls": [spelt]},
        spelt,
    ]


LOOP: list[Any] = []
LOOP.append(LOOP)
RING: dict[str, Any] = {}
RING["ring"] = RING


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (float("nan"), "x"),
        (float("inf"), "x"),
        (-float("inf"), "x"),
        ({"a": [{"b": float("nan")}]}, "x.a[0].b"),
        (b"x", "x"),
        (bytearray(b"x"), "x"),
        (memoryview(b"x"), "x"),
        ({1, 2}, "x"),
        (Decimal(1), "x"),
        (1j, "x"),
        (object(), "x"),
        (datetime.now(UTC), "x"),
        (iter([1]), "x"),
        (Function(name="f"), "x"),
        (2**64, "x"),
        (-(2**63) - 1, "x"),
        ([10**5000], "x[0]"),
        ([2**64], "x[0]"),
        ("\ud800", "x"),
        ({"a": "half an emoji \ud83d"}, "x.a"),
        ({"\udc80": 1}, "x"),
        ({None: 1}, "x"),
        ({True: 1}, "x"),
        ({1.5: 1}, "x"),
        ({("a",): 1}, "x"),
        ({10**5000: 1}, "x"),
        ({b"a": 1}, "x"),
    ],
)
def test_what_json_cannot_carry_is_refused_by_its_path(value: Any, path: str) -> None:
    with pytest.raises(ParameterError) as caught:
        plain(value, "x")
    assert caught.value.param == path
    assert str(caught.value).startswith(path)


def test_the_widest_numbers_are_taken() -> None:
    value = [2**64 - 1, -(2**63)]
    assert msgspec.json.decode(msgspec.json.encode(plain(value, ""))) == value


@pytest.mark.parametrize("value", [LOOP, RING, [RING], {"a": LOOP}])
def test_what_holds_itself_is_refused_and_not_followed_for_ever(value: Any) -> None:
    with pytest.raises(ParameterError, match="holds itself") as caught:
        plain(value, "x")
    assert caught.value.param is not None
    assert caught.value.param.startswith("x")
    assert len(str(caught.value)) < 200


def test_a_fault_at_the_top_is_the_requests() -> None:
    for value in (object(), {None: 1}, {"\udc80": 1}):
        with pytest.raises(ParameterError, match="the request"):
            plain(value, "")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(ANY)
def test_any_value_is_sent_as_it_is_or_refused_with_our_own_error(value: Any) -> None:
    try:
        found = plain(value, "x")
    except ParameterError as error:
        assert (error.param or "").startswith("x")  # noqa: PT017 - some values are refused, some are taken
    else:
        assert msgspec.json.decode(msgspec.json.encode(found)) == found
