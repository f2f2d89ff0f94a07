"""What the simulator refuses in a JSON schema is what the API refuses, in its words and at its place."""

import datetime as dt
import enum
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from barechat.simulator.schema.sampling import SchemaFault, find_schema_fault, sample
from barechat.simulator.schema.strict import follow_reference
from barechat.simulator.words import Dice

Schema = dict[str, Any]


def closed(properties: Schema, **more: Any) -> Schema:
    names = list(properties)
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False, **more}


def words_of(schema: Any, *, strict: bool) -> str | None:
    fault = find_schema_fault(schema, strict=strict)
    return None if fault is None else str(fault)


@pytest.mark.parametrize(
    "schema",
    [
        closed({}),
        closed({"a": {"type": ["string", "null"], "enum": ["x", None]}, "b": {"type": "array", "items": closed({})}}),
        closed({"a": {"anyOf": [{"type": "string", "format": "date-time"}, {"$ref": "#"}]}}),
        closed({"a": {"$ref": "#/$defs/x~1%79"}}, **{"$defs": {"x/y": {"type": "number", "minimum": 0}}}),
        closed({"type": {"type": "string", "pattern": "^a"}, "properties": {"type": "integer", "multipleOf": 2}}),
        closed({"a": {"type": "string", "const": "x"}}, description="d", title="t"),
    ],
)
def test_a_strict_schema_is_taken_strictly_and_loosely(schema: Schema) -> None:
    assert words_of(schema, strict=True) is None
    assert words_of(schema, strict=False) is None


@pytest.mark.parametrize(
    "more",
    [
        {"properties": {"a": {}, "b": True, "c": {"type": "object"}}, "required": ["a"]},
        {"oneOf": [{"required": ["a"]}], "not": {}, "if": True, "patternProperties": {"^x": {"type": "string"}}},
        {"properties": {"a": {"format": "anything"}, "b": {"enum": [1, "x", None]}}, "additionalProperties": {}},
        {"minProperties": 1.0, "unknown": object},
        {"properties": {str(at): {"type": "string"} for at in range(6_000)}},
    ],
)
def test_what_only_the_strict_mode_refuses_is_taken_without_it(more: Schema) -> None:
    assert words_of({"type": "object", **more}, strict=False) is None
    assert words_of({"type": "object", **more}, strict=True) is not None


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("string", "'string' is not of type 'object'."),
        (None, "None is not of type 'object'."),
        ({}, "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'."),
        ({"type": "array"}, "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"array\"'."),
        (
            {"anyOf": [closed({})]},
            "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'.",
        ),
    ],
)
def test_a_root_that_is_no_object_is_refused_strictly_and_loosely(schema: Any, words: str) -> None:
    assert words_of(schema, strict=False) == words
    assert words_of(schema, strict=True) == words


@pytest.mark.parametrize(
    ("inner", "path", "words"),
    [
        ("string", (), "'string' is not of type 'object', 'boolean'."),
        ({"type": "text"}, (), "'text' is not valid under any of the given schemas."),
        ({"type": None}, (), "None is not valid under any of the given schemas."),
        ({"type": ["string", "text"]}, (), "['string', 'text'] is not valid under any of the given schemas."),
        ({"required": True}, (), "True is not of type 'array'."),
        ({"required": ["a", 1]}, (), "1 is not of type 'string'."),
        ({"properties": ["a"]}, (), "['a'] is not of type 'object'."),
        ({"properties": {"b": 1}}, ("properties", "b"), "1 is not of type 'object', 'boolean'."),
        ({"enum": "a"}, (), "'a' is not of type 'array'."),
        ({"anyOf": {}}, (), "{} is not of type 'array'."),
        ({"anyOf": []}, (), "[] should be non-empty."),
        ({"anyOf": [{"items": 1}]}, ("anyOf", "0", "items"), "1 is not of type 'object', 'boolean'."),
        ({"minimum": "1"}, (), "'1' is not of type 'number'."),
        ({"exclusiveMinimum": True}, (), "True is not of type 'number'."),
        ({"minLength": 1.5}, (), "1.5 is not of type 'integer'."),
        ({"maxItems": -1}, (), "-1 is less than the minimum of 0."),
        ({"multipleOf": 0}, (), "0 is less than or equal to the minimum of 0."),
        ({"pattern": 1}, (), "1 is not of type 'string'."),
        ({"uniqueItems": "yes"}, (), "'yes' is not of type 'boolean'."),
        ({"type": "array"}, (), "In context=('properties', 'a'), array schema missing items."),
        (
            {"$ref": "#/$defs/x"},
            (),
            "In context=('properties', 'a'), reference to component '#/$defs/x' which was not found in the schema.",
        ),
    ],
)
def test_what_is_no_schema_is_refused_strictly_and_loosely(inner: Any, path: tuple[str, ...], words: str) -> None:
    for strict in (False, True):
        fault = find_schema_fault(closed({"a": inner}), strict=strict)
        assert fault is not None
        assert str(fault) == words
        assert fault.path == ("properties", "a", *path)


REQUIRED = "'required' is required to be supplied and to be an array including every key in properties."
CLOSED = "'additionalProperties' is required to be supplied and to be false."


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object"}, f"In context=(), {CLOSED}"),
        (closed({"a": closed({}, additionalProperties=True)}), f"In context=('properties', 'a'), {CLOSED}"),
        (
            closed({"a": {"type": ["null", "object"]}}),
            f"In context=('properties', 'a', 'type', '1'), {CLOSED}",
        ),
        (closed({"a": {"type": "array", "items": {"type": "object"}}}), f"('properties', 'a', 'items'), {CLOSED}"),
        (closed({"a": {"anyOf": [{"type": "object"}]}}), f"('properties', 'a', 'anyOf', '0'), {CLOSED}"),
        (closed({}, **{"$defs": {"x": {"type": "object"}}}), f"In context=('$defs', 'x'), {CLOSED}"),
        (
            closed({"a": {"type": "null"}, "b": {"type": "null"}}, required=["a"]),
            f"In context=(), {REQUIRED} Missing 'b'.",
        ),
        (closed({}, required=["a"]), f"In context=(), {REQUIRED} Extra required key 'a' supplied."),
        (
            closed({}, anyOf=[closed({})]),
            "not have 'oneOf'/'anyOf'/'allOf'/'enum'/'const'/'not' at the top level.",
        ),
        (closed({"a": {}}), "In context=('properties', 'a'), schema must have a 'type' key."),
        (closed({"a": True}), "In context=('properties', 'a'), schema must have a 'type' key."),
        (closed({"a": {"const": "x"}}), "In context=('properties', 'a'), schema must have a 'type' key."),
        (
            closed({"a": {"type": "string", "format": "uri"}}),
            "In context=('properties', 'a'), 'uri' is not a valid format.",
        ),
        (
            closed({"a": {"$ref": "#", "title": "t", "description": "d"}}),
            "context=('properties', 'a'), $ref cannot have keywords {'description', 'title'}.",
        ),
    ],
)
def test_what_breaks_a_strict_rule_is_refused_in_strict_mode_only(schema: Schema, words: str) -> None:
    assert words_of(schema, strict=False) is None
    refused = words_of(schema, strict=True)
    assert refused is not None
    assert refused.endswith(words)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("allOf", [{}]),
        ("oneOf", [{}]),
        ("not", {}),
        ("if", {}),
        ("then", {}),
        ("else", {}),
        ("dependentRequired", {}),
        ("dependentSchemas", {}),
        ("patternProperties", {}),
        ("uniqueItems", True),
    ],
)
def test_keywords_that_the_strict_mode_lacks_are_not_permitted(keyword: str, value: Any) -> None:
    assert words_of(closed({}, **{keyword: value}), strict=True) == f"In context=(), '{keyword}' is not permitted."


def nested(levels: int) -> Schema:
    schema = closed({})
    for _ in range(levels - 1):
        schema = closed({"a": schema})
    return schema


def test_ten_levels_are_taken_and_eleven_are_not() -> None:
    assert words_of(nested(10), strict=True) is None
    assert words_of(nested(11), strict=True) == "11 levels of nesting exceeds limit of 10."
    assert words_of(closed({"a": {"anyOf": [nested(10)]}}), strict=True) == "11 levels of nesting exceeds limit of 10."
    assert words_of(closed({"a": {"$ref": "#/$defs/x"}}, **{"$defs": {"x": nested(10)}}), strict=True) is None


def test_five_thousand_properties_and_a_thousand_enum_values_are_taken_and_no_more() -> None:
    def properties(count: int) -> Schema:
        return closed({str(at): {"type": "null"} for at in range(count)})

    assert words_of(properties(5_000), strict=True) is None
    assert words_of(properties(5_001), strict=True) == "5001 parameters exceeds limit of 5000."
    assert words_of(closed({"a": {"type": "integer", "enum": list(range(1_000))}}), strict=True) is None
    refused = words_of(closed({"a": {"type": "integer", "enum": list(range(1_001))}}), strict=True)
    assert refused is not None
    assert refused.startswith("Expected at most 1000 enum values in total within a single schema")
    assert "but received 1001." in refused


@pytest.mark.parametrize("wrap", ["properties", "items", "not", "anyOf", "$defs"])
def test_ten_thousand_levels_are_judged_without_a_crash(wrap: str) -> None:
    inner: Any = 7
    for _ in range(10_000):
        if wrap in {"properties", "$defs"}:
            inner = {"type": "object", wrap: {"a": inner}}
        else:
            inner = {"type": "object", wrap: inner if wrap != "anyOf" else [inner]}
    fault = find_schema_fault(inner, strict=False)
    assert str(fault) == "7 is not of type 'object', 'boolean'."
    assert find_schema_fault(inner, strict=True) is not None


def test_a_reference_is_followed_through_escapes_and_arrays_and_no_further() -> None:
    root = {"$defs": {"a/b": [{"x~y": 1}], "50%": 2}, "": 3}
    assert follow_reference(root, "#") is root
    assert follow_reference(root, "#/$defs/a~1b/0/x~0y") == 1
    assert follow_reference(root, "#/$defs/50%25") == 2
    assert follow_reference(root, "#/") == 3
    for lost in ("#/$defs/c", "#/$defs/a~1b/1", "#/$defs/a~1b/-1", "#anchor", "other.json#/a", None):
        with pytest.raises(SchemaFault, match="which was not found in the schema"):
            follow_reference(root, lost)


def test_what_only_a_reference_leads_to_is_judged_too() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/shared/x"}}, "shared": {"x": {"type": "text"}}}
    assert words_of(schema, strict=False) == "'text' is not valid under any of the given schemas."


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


class Reading(BaseModel):
    kind: Literal["wind", "rain"]
    value: float = Field(ge=0, lt=40)
    unit: Unit
    note: str | None


class Report(BaseModel):
    city: str
    at: dt.datetime
    readings: list[Reading] = Field(min_length=2, max_length=4)
    code: str = Field(pattern=r"^[A-Z]{2}-\d{3}$")
    follows: "Report | None"


def test_what_the_official_sdk_makes_of_a_model_is_taken_and_its_samples_load_into_the_model() -> None:
    schema = openai.pydantic_function_tool(Report)["function"].get("parameters")
    assert words_of(schema, strict=True) is None
    for draw in range(30):
        Report.model_validate(sample(schema, Dice(str(draw).encode())))
