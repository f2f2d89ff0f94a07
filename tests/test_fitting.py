"""barechat.fitting: what doesn't fit a schema is named by its path; another's judge says the same of any value."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from barechat.errors import ParameterError
from barechat.fitting import misfit
from barechat.schema import Schema, check_schema, enclosed, strict
from barechat.wire.body import plain
from schemas import ANY_JSON, ANY_SCHEMA

STRING = {"type": "string"}
NODE = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}


def of_members(**members: Schema) -> Schema:
    return strict({"type": "object", "properties": members}, "it")


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ({"type": "array", "items": STRING}, 5, "it's a is no array, as the schema wants one: it is 5"),
        ({"type": "array", "items": STRING}, ["b", 5], "it's a[1] is no string, as the schema wants one: it is 5"),
        ({"type": ["integer", "null"]}, "b", "it's a is no integer or null, as the schema wants one: it is 'b'"),
        ({"type": "integer"}, 1.5, "it's a is no integer, as the schema wants one: it is 1.5"),
        ({"type": "integer"}, True, "it's a is no integer, as the schema wants one: it is True"),
        ({"type": "number"}, float("inf"), "it's a is no number, as the schema wants one: it is inf"),
        (
            {"type": "array", "items": {"type": ["boolean", "integer"]}, "enum": [[1]]},
            [True],
            "it's a is [True], which isn't the schema's enum",
        ),
        ({"const": "b"}, "c", "it's a is 'c', which isn't the schema's const"),
        (of_members(b=STRING), {}, "it's a has no 'b', which the schema wants"),
        (of_members(), {"b c": 1}, "it's a has a 'b c', which the schema has not"),
        (of_members(**{"b c": STRING}), {"b c": 1}, "it's a['b c'] is no string, as the schema wants one: it is 1"),
        ({"type": "number", "minimum": 2}, 1, "it's a is 1, against the schema's minimum of 2"),
        ({"type": "number", "exclusiveMaximum": 2}, 2, "it's a is 2, against the schema's exclusiveMaximum of 2"),
        ({"type": "number", "multipleOf": 0.1}, 0.25, "it's a is 0.25, against the schema's multipleOf of 0.1"),
        ({**STRING, "minLength": 2}, "b", "it's a is 'b', against the schema's minLength of 2"),
        (
            {"type": "array", "items": STRING, "maxItems": 0},
            ["b"],
            "it's a is ['b'], against the schema's maxItems of 0",
        ),
        ({"anyOf": [STRING, {"type": "null"}]}, 1, "it's a is 1, which fits none that the schema's anyOf allows"),
        (
            {"anyOf": [{"type": "null"}, of_members(b=STRING)]},
            {"b": 1},
            "it's a.b is no string, as the schema wants one: it is 1",
        ),
    ],
)
def test_what_doesn_t_fit_is_named_by_its_path(member: Schema, value: Any, said: str) -> None:
    assert misfit({"a": value}, of_members(a=member), "it") == said


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ({"type": "integer"}, 2.0),
        ({"type": "number", "multipleOf": 0.1}, 0.3),
        ({"const": 1}, 1.0),
        ({**of_members(b=STRING), "const": {"b": "c"}}, {"b": "c"}),
    ],
)
def test_what_is_the_same_in_json_fits(member: Schema, value: Any) -> None:
    assert misfit({"a": value}, of_members(a=member), "it") is None


def test_a_schema_may_hold_itself_and_a_value_end_somewhere() -> None:
    schema = strict(NODE, "it")
    assert misfit({"next": {"next": None}}, schema, "it") is None
    assert (
        misfit({"next": {"next": 5}}, schema, "it")
        == "it's next.next is 5, which fits none that the schema's anyOf allows"
    )


def test_a_value_without_end_is_no_crash() -> None:
    value: Any = None
    for _ in range(5_000):
        value = {"next": value}
    assert misfit(value, strict(NODE, "it"), "it") == "it nests too deeply"


def test_a_reference_to_itself_alone_ends() -> None:
    itself = {"$ref": "#/$defs/a"}
    definitions = {"a": {"anyOf": [itself]}}
    made = strict({"type": "object", "properties": {"b": itself}, "$defs": definitions}, "it")
    assert misfit({"b": 1}, made, "it") == "it's b is 1, which fits none that the schema's anyOf allows"


def test_ways_that_double_with_each_level_are_gone_once() -> None:
    both = {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}
    node = {"type": "object", "properties": {"c": both}}
    schema = strict({"type": "object", "properties": {"c": both}, "$defs": {"a": node, "b": node}}, "it")
    value: Any = 5
    for _ in range(60):
        value = {"c": value}
    assert (misfit(value, schema, "it") or "").endswith("c is 5, which fits none that the schema's anyOf allows")


@settings(max_examples=400)
@given(schema=ANY_SCHEMA, value=ANY_JSON)
def test_another_s_judge_says_the_same_of_any_value(schema: Any, value: Any) -> None:
    try:
        schema = plain(schema, "it")
        check_schema(schema, "it")
        root, is_enclosed = enclosed(schema)
        made, value = strict(root, "it"), plain(value, "it")
    except ParameterError:
        return
    value = {"value": value} if is_enclosed else value
    assert (misfit(value, made, "it") is None) == jsonschema.Draft202012Validator(made).is_valid(value)
