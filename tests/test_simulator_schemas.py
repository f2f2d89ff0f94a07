"""What the simulator makes of a JSON schema fits it, is the same each time, and is made or refused in bounded time."""

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.simulator.schema.sampling import SchemaFault, sample
from barechat.simulator.words import Dice

Schema = dict[str, Any]

NODE: Schema = {
    "type": "object",
    "properties": {"value": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    "required": ["value", "next"],
    "additionalProperties": False,
}
TREE: Schema = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["name", "children"],
}


def check(schema: Any, draws: int = 20) -> list[Any]:
    """Return samples of a schema, each of which fits it and is the same when drawn again."""
    validator = jsonschema.Draft202012Validator(schema)
    values = [sample(schema, Dice(str(draw).encode())) for draw in range(draws)]
    for draw, value in enumerate(values):
        validator.validate(value)
        assert json.dumps(value) == json.dumps(sample(schema, Dice(str(draw).encode())))
    return values


def refuse(schema: Any) -> SchemaFault:
    with pytest.raises(SchemaFault) as caught:
        sample(schema, Dice(b"seed"))
    return caught.value


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth_of, inner), default=0)


names = st.sampled_from(["a", "b", "name", "email", "due_date", "id", "x y", "a/b", "~"])
strings = st.one_of(
    st.fixed_dictionaries({"type": st.just("string")}),
    st.builds(
        lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more}, *[st.integers(0, 40)] * 2
    ),
    st.sampled_from(["date-time", "time", "date", "email", "ipv4", "uuid", "uri", "else"]).map(
        lambda form: {"type": "string", "format": form}
    ),
    st.sampled_from(["^[A-Z]{3}-\\d{2,4}$", "^(red|green)+$", "\\w+@\\w+", "^$"]).map(
        lambda pattern: {"type": "string", "pattern": pattern}
    ),
)
numbers = st.one_of(
    st.sampled_from(["integer", "number"]).map(lambda kind: {"type": kind}),
    st.builds(
        lambda kind, low, more: {"type": kind, "minimum": low, "maximum": low + more},
        st.sampled_from(["integer", "number"]),
        st.integers(-1000, 1000),
        st.integers(0, 5),
    ),
    st.builds(
        lambda low, more: {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + more},
        st.floats(-1e6, 1e6),
        st.floats(1e-3, 10),
    ),
    st.builds(
        lambda kind, step, low: {"type": kind, "multipleOf": step, "minimum": low},
        st.sampled_from(["integer", "number"]),
        st.sampled_from([1, 2, 7, 0.5, 0.25, 1.5, 0.01]),
        st.integers(-50, 50),
    ),
)
leaves = st.one_of(
    strings,
    numbers,
    st.sampled_from(["boolean", "null"]).map(lambda kind: {"type": kind}),
    st.sampled_from([True, {}, {"description": "whatever"}, {"type": ["string", "null"], "enum": ["F", "C", None]}]),
    st.lists(st.sampled_from(["a", 1, 1.5, None, True, [1], {"k": "v"}]), min_size=1).map(lambda all_: {"enum": all_}),
    st.sampled_from([{"const": {"deep": [1, "two"]}}, {"const": False}]),
    st.sampled_from([{"$ref": "#/$defs/node"}, {"$ref": "#/$defs/a%25b~1c"}, {"$ref": "#/definitions/old"}]),
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(
            lambda properties, optional, closed: {
                "type": "object",
                "properties": properties,
                "required": [name for name in properties if name not in optional],
                **({"additionalProperties": False} if closed else {}),
            },
            st.dictionaries(names, inner, max_size=4),
            st.sets(names),
            st.booleans(),
        ),
        st.builds(
            lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
            inner,
            st.integers(0, 4),
            st.integers(0, 3),
        ),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda first: {"type": "array", "prefixItems": first, "items": False, "minItems": len(first)}
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        inner.map(lambda one: {"anyOf": [one, {"type": "null"}], "description": "maybe"}),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda options: {
                "oneOf": [
                    {"type": "object", "properties": {"kind": {"const": at}, "data": one}, "required": ["kind"]}
                    for at, one in enumerate(options)
                ]
            }
        ),
        st.tuples(inner, inner).map(
            lambda pair: {
                "allOf": [{"properties": {"left": pair[0]}, "required": ["left"]}, {"properties": {"right": pair[1]}}],
                "type": "object",
            }
        ),
        inner.map(lambda one: {"type": "object", "additionalProperties": one, "minProperties": 2}),
    )


schemas = st.recursive(leaves, containers, max_leaves=8).map(
    lambda schema: {
        "$defs": {"node": NODE, "a%b/c": {"type": "integer"}},
        "definitions": {"old": {"type": "boolean"}},
        "allOf": [schema],
    }
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(schemas, st.binary(max_size=4))
def test_every_sample_of_a_schema_that_can_be_met_fits_it(schema: Schema, key: bytes) -> None:
    jsonschema.Draft202012Validator(schema).validate(sample(schema, Dice(key)))


keywords = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "number", "integer", "object", "array", ["string", "null"], ["array"]]),
        "enum": st.lists(st.sampled_from(["a", "abc", 1, 2.5, None, True, [], {"a": 1}]), max_size=4),
        "minimum": st.integers(-3, 3),
        "exclusiveMaximum": st.integers(-3, 3),
        "multipleOf": st.sampled_from([1, 3, 0.1]),
        "minLength": st.integers(0, 5),
        "maxLength": st.integers(0, 5),
        "pattern": st.sampled_from(["^a", "b$", "^[ab]*$"]),
        "minItems": st.integers(0, 3),
        "maxItems": st.integers(0, 3),
        "uniqueItems": st.booleans(),
        "minProperties": st.integers(0, 3),
        "maxProperties": st.integers(0, 3),
        "required": st.lists(st.sampled_from("abc"), max_size=2),
    },
)


def combinations(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    below = st.one_of(inner, st.just({"$ref": "#"}))
    named = st.dictionaries(st.sampled_from("abc"), below, max_size=3)
    extra = st.fixed_dictionaries(
        {},
        optional={
            "properties": named,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=2),
            "additionalProperties": inner,
            "propertyNames": inner,
            "dependentRequired": st.just({"a": ["b"]}),
            "dependentSchemas": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "items": below,
            "prefixItems": some,
            "contains": inner,
            "allOf": some,
            "anyOf": some,
            "oneOf": some,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
        },
    )
    return st.tuples(keywords, extra).map(lambda pair: {**pair[0], **pair[1]})


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.recursive(st.one_of(st.booleans(), keywords), combinations, max_leaves=6), st.binary(max_size=2))
def test_whatever_the_keywords_a_value_is_made_only_if_it_fits(schema: Any, key: bytes) -> None:
    try:
        value = sample(schema, Dice(key))
    except SchemaFault:
        return
    jsonschema.Draft202012Validator(schema).validate(value)


def test_the_same_dice_give_the_same_value_and_others_give_others() -> None:
    assert len({json.dumps(value) for value in check(TREE)}) == 20


def test_optional_properties_are_sometimes_given_and_sometimes_not_and_required_ones_always() -> None:
    schema = {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["b"]}
    assert {tuple(value) for value in check(schema)} == {("a", "b"), ("b",)}


def test_properties_come_in_the_order_of_the_schema() -> None:
    properties = {name: {"type": "null"} for name in "zyxwv"}
    (value,) = check({"type": "object", "properties": properties, "required": list("vwxyz")}, 1)
    assert list(value) == list("zyxwv")


def test_an_array_has_one_to_three_items_unless_told_otherwise() -> None:
    assert {len(value) for value in check({"type": "array", "items": {"type": "null"}}, 40)} == {1, 2, 3}
    assert {len(value) for value in check({"type": "array", "maxItems": 0})} == {0}
    assert {len(value) for value in check({"type": "array", "minItems": 9, "maxItems": 9})} == {9}


def test_a_text_suits_the_name_of_its_property() -> None:
    wanted = {
        "email": r"\S+@example\.com",
        "start_date": r"2026-\d\d-\d\d",
        "imageUrl": r"https://example\.com/\S+",
        "userId": r"[a-z]+-\d+",
        "summary": r"[A-Z].*\.",
        "city": r"[A-Z][a-z]+",
        "title": r"The [a-z]+ [a-z]+",
        "colour": r"[a-z]+ [a-z]+",
    }
    for value in check({"properties": {name: {"type": "string"} for name in wanted}, "required": list(wanted)}):
        for name, pattern in wanted.items():
            assert re.fullmatch(pattern, value[name]), name


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("date-time", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
        ("date", r"\d{4}-\d\d-\d\d"),
        ("time", r"\d\d:\d\d:\d\dZ"),
        ("duration", r"P\d+DT\d+H"),
        ("email", r"[a-z0-9.]+@[a-z]+\.com"),
        ("hostname", r"[a-z]+\.example\.com"),
        ("ipv4", r"192\.0\.2\.\d{1,3}"),
        ("ipv6", r"2001:db8::[0-9a-f]{1,4}"),
        ("uuid", r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("uri", r"https://example\.com/[a-z]+/\d+"),
    ],
)
def test_a_format_is_kept(form: str, pattern: str) -> None:
    for value in check({"type": "string", "format": form}):
        assert re.fullmatch(pattern, value)


def test_null_is_one_of_the_values_of_a_nullable_property_but_not_most_of_them() -> None:
    nulls = [value is None for value in check({"type": ["string", "null"]}, 60)]
    assert 5 < sum(nulls) < 30


def test_every_branch_of_a_union_comes_up() -> None:
    assert set(check({"anyOf": [{"const": "a"}, {"const": "b"}, {"enum": ["c", "d"]}]}, 60)) == {"a", "b", "c", "d"}


def test_one_of_is_met_by_exactly_one_even_where_the_branches_overlap() -> None:
    check({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 5}]}, 60)
    check({"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {}, "b": {}}, "type": "object"}, 60)


def test_limits_are_kept_however_large_small_or_close() -> None:
    for low, high in (
        (10**400, 10**400 + 9),
        (-1e308, -1e307),
        (1e-300, 2e-300),
        (0.1, 0.1),
        (0.30000000000000004, 1 / 3),
    ):
        check({"type": "number", "minimum": low, "maximum": high})
    check({"type": "integer", "minimum": 10**400, "multipleOf": 7})
    check({"type": "number", "minimum": 10**20, "multipleOf": 0.5})
    check({"type": "integer", "multipleOf": 1.5, "exclusiveMaximum": -2})


def test_what_is_forbidden_by_not_is_never_drawn() -> None:
    assert set(check({"enum": ["a", "b", "c"], "not": {"enum": ["a", "c"]}})) == {"b"}
    check({"type": "string", "not": {"minLength": 12}})


def test_unique_items_run_out_only_when_the_values_do() -> None:
    for value in check({"type": "array", "uniqueItems": True, "minItems": 6, "items": {"enum": list("abcdef")}}):
        assert sorted(value) == list("abcdef")
    check({"type": "array", "uniqueItems": True, "minItems": 2, "items": {"type": "boolean"}})
    refuse({"type": "array", "uniqueItems": True, "minItems": 3, "items": {"type": "boolean"}})


def test_an_array_contains_what_it_must() -> None:
    check({"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 7, "maximum": 8}, "minContains": 2})


def test_what_two_parts_of_all_of_ask_for_is_given_together() -> None:
    base = {"properties": {"id": {"type": "integer"}}, "required": ["id"]}
    schema = {
        "allOf": [base, {"properties": {"id": {"minimum": 3, "maximum": 4}, "tag": {"const": "x"}}}],
        "required": ["tag"],
        "unevaluatedProperties": False,
    }
    assert {value["id"] for value in check(schema)} == {3, 4}


def test_a_recursive_schema_ends_by_itself() -> None:
    linked = {"$defs": {"node": NODE}, "$ref": "#/$defs/node"}
    always = {
        "anyOf": [
            {"type": "object", "properties": {"child": {"$ref": "#"}}, "required": ["child"]},
            {"type": "object", "properties": {"leaf": {"type": "string"}}, "required": ["leaf"]},
        ]
    }
    for schema in (linked, TREE, always):
        values = check(schema, 60)
        assert max(map(depth_of, values)) <= 12
        assert len({depth_of(value) for value in values}) > 2


def test_a_recursive_schema_with_many_branches_stays_small() -> None:
    many = {f"list_{at}": {"type": "array", "items": {"$ref": "#"}} for at in range(10)}
    for value in check({"type": "object", "properties": many, "required": list(many)}, 5):
        assert len(json.dumps(value)) < 100_000


@pytest.mark.parametrize(
    ("schema", "path", "words"),
    [
        (False, (), "no value fits 'false'"),
        ({"enum": []}, (), "'enum' has no value that fits"),
        ({"type": "string", "enum": [1, 2]}, (), "'enum' has no value that fits"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, (), "no integer fits its limits"),
        ({"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4}, (), "no integer fits its limits"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, (), "no text has from 3 to 2 characters"),
        ({"type": "string", "pattern": "(?=a)"}, (), "this pattern isn't supported"),
        ({"type": "string", "pattern": "^abc$", "maxLength": 2}, (), "no text of 0 to 2 characters"),
        ({"type": "array", "minItems": 2, "maxItems": 1}, (), "no array of 2 to 1 items fits"),
        ({"type": "object", "minProperties": 1, "additionalProperties": False}, (), "no object of 1 to"),
        ({"type": "object", "required": ["a"], "additionalProperties": False}, ("properties", "a"), "'false'"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, (), "no type is left that fits"),
        ({"oneOf": [{"type": "string"}, {"type": "string"}]}, (), "no value was found that fits"),
        ({"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/gone"}}, ("items",), "'#/$defs/gone' which was"),
        ({"$ref": "https://example.com/schema"}, (), "which was not found in the schema"),
        ({"$ref": "#"}, (), "made of too many others, or of itself"),
        ({"type": "text"}, (), "'text' is not valid under any of the given schemas."),
        ({"properties": {"a": "string"}}, ("properties", "a"), "'string' is not of type 'object', 'boolean'."),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, None, "deeper than 32 levels"),
    ],
)
def test_a_schema_that_no_value_can_be_made_of_is_refused_with_its_place(
    schema: Any, path: tuple[str, ...] | None, words: str
) -> None:
    fault = refuse(schema)
    assert words in str(fault)
    if path is not None:
        assert fault.path == path
