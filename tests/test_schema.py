"""barechat.schema: what the strict mode takes stays, what it lacks is said in words, what can't be said is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from barechat.errors import ParameterError
from barechat.schema import Schema, check_schema, enclosed, is_name, name_of, rooted, strict
from barechat.simulator.schema.strict import find_schema_fault
from barechat.wire.body import plain
from schemas import ANY_SCHEMA


def member(schema: Schema, **definitions: Any) -> Schema:
    """Return what the strict mode makes of a member's schema, once the simulator has taken the whole."""
    whole = {"type": "object", "properties": {"a": schema}, **({"$defs": definitions} if definitions else {})}
    made = strict(whole, "it")
    assert find_schema_fault(made, strict=True) is None
    found: Schema = made["properties"]["a"]
    return found


def test_every_object_requires_all_its_members_and_takes_no_others() -> None:
    inner = {"type": "object", "properties": {"b": {"type": "string"}}, "required": []}
    closed = {**inner, "required": ["b"], "additionalProperties": False}
    assert member(inner) == closed
    assert member({"type": "array", "items": inner}) == {"type": "array", "items": closed}
    assert member({"anyOf": [inner, {"type": "null"}]}) == {"anyOf": [closed, {"type": "null"}]}
    assert strict({"$ref": "#/$defs/x", "$defs": {"x": inner}}, "it")["$defs"] == {"x": closed}


def test_an_object_that_was_open_besides_its_members_is_closed() -> None:
    open_one = {"type": "object", "properties": {}, "additionalProperties": True}
    assert member(open_one)["additionalProperties"] is False


@pytest.mark.parametrize(
    "kept",
    [
        {"type": "string", "pattern": "^a", "minLength": 1, "format": "date-time", "title": "T"},
        {"type": "number", "minimum": 0, "exclusiveMaximum": 9, "multipleOf": 3},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        {"type": "string", "const": "x"},
        {"type": ["string", "null"], "enum": ["x", None]},
    ],
)
def test_what_the_strict_mode_knows_stays(kept: Schema) -> None:
    assert member(kept) == kept


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "default": 3}, "(default: 3)"),
        ({"type": "integer", "default": 3, "description": "how many"}, "how many (default: 3)"),
        ({"type": "string", "format": "uri"}, "(format: uri)"),
        ({"type": "string", "contentEncoding": "base64"}, '(contentEncoding: "base64")'),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "(uniqueItems: true)"),
    ],
)
def test_what_the_strict_mode_lacks_is_said_in_words(schema: Schema, words: str) -> None:
    made = member(schema)
    assert made.pop("description") == words
    assert made.keys() < schema.keys()


def test_null_as_a_default_needs_no_words() -> None:
    assert member({"type": "null", "default": None}) == {"type": "null"}


def test_a_description_loses_the_indentation_of_the_source() -> None:
    assert member({"type": "null", "description": "One.\n\n    Two."})["description"] == "One.\n\nTwo."


def test_one_of_several_becomes_any_of_them() -> None:
    kinds = [{"type": "string"}, {"type": "null"}]
    assert member({"oneOf": kinds, "discriminator": {"propertyName": "k"}}) == {"anyOf": kinds}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", "b"], "string"),
        ([1, 2], "integer"),
        ([1, "a", None], ["integer", "string", "null"]),
        ([True, 1.5], ["boolean", "number"]),
    ],
)
def test_values_get_the_type_that_they_have(values: list[Any], kind: Any) -> None:
    assert member({"enum": values}) == {"enum": values, "type": kind}
    assert member({"const": values[0]})["type"] in kind


def test_a_tuple_is_a_list_of_its_length_and_its_items_are_of_any_of_its_kinds() -> None:
    pair = {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}], "items": False}
    assert member(pair) == {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
    mixed = member({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}]})
    assert mixed["items"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert mixed["description"] == '(in this order: [{"type":"integer"},{"type":"null"}])'


def test_what_stands_beside_a_reference_goes_into_what_it_refers_to() -> None:
    colour = {"type": "string", "enum": ["red"], "description": "a colour"}
    assert member({"$ref": "#/$defs/c"}, c=colour) == {"$ref": "#/$defs/c"}
    assert member({"$ref": "#/$defs/c", "default": "red"}, c=colour) == {"$ref": "#/$defs/c"}
    assert member({"$ref": "#/$defs/c", "description": "this one"}, c=colour) == {**colour, "description": "this one"}


def test_a_reference_to_itself_with_something_beside_it_ends() -> None:
    link = {"type": "object", "properties": {"next": {"$ref": "#/$defs/l", "description": "the next"}}}
    made = member({"$ref": "#/$defs/l", "description": "the first"}, l=link)
    assert made["properties"]["next"] == {"$ref": "#/$defs/l"}


def test_a_root_that_refers_is_spelt_out_and_its_definition_kept_only_if_something_else_refers_to_it() -> None:
    plain = {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}
    text = {"type": "string"}
    assert rooted({"$ref": "#/$defs/x", "$defs": {"x": plain, "b": text}}) == {**plain, "$defs": {"b": text}}
    assert rooted({"$ref": "#/$defs/x", "$defs": {"x": text}}) == text
    itself = {"type": "object", "properties": {"a": {"type": "array", "items": {"$ref": "#/$defs/x"}}}}
    assert rooted({"$ref": "#/$defs/x", "$defs": {"x": itself}}) == {**itself, "$defs": {"x": itself}}
    assert rooted(text) is text


@pytest.mark.parametrize(
    ("schema", "place", "remedy"),
    [
        ({}, "it.a may be anything", "give it a type"),
        ({"description": "what you like"}, "it.a may be anything", "give it a type"),
        ({"type": "object"}, "it.a is an object of any keys", "give it fields"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "it.a is an object of any keys", "pairs"),
        ({"type": "array"}, "it.a is a list of anything", "list[str]"),
        ({"type": "array", "items": {"type": "object"}}, r"it.a\[\] is an object of any keys", "give it fields"),
        ({"enum": [[]]}, "it.a has a value that is neither", "leave it out"),
    ],
)
def test_what_the_strict_mode_can_t_say_is_refused_by_its_place_with_a_remedy(
    schema: Schema, place: str, remedy: str
) -> None:
    with pytest.raises(ParameterError, match=place) as caught:
        member(schema)
    assert remedy in str(caught.value)
    assert "strict=False" in str(caught.value)
    assert caught.value.param in {"it.a", "it.a[]"}


def test_the_caller_s_schema_is_left_as_it_was() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "prefixItems": [{"type": "null"}]}}}
    before = repr(schema)
    strict(schema, "it")
    assert repr(schema) == before


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Report", "Report"),
        ("list[Cat | Dog]", "list_Cat_Dog"),
        ("Wetter für Köln", "Wetter_f_r_K_ln"),
        ("a" * 70, "a" * 64),
        ("???", ""),
    ],
)
def test_a_name_is_what_the_api_takes_of_it(text: str, name: str) -> None:
    assert name_of(text) == name
    assert is_name(name) == bool(name)
    assert is_name(text) == (text == name)


# What is no schema


STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ([STRING], r"it is no JSON schema, which is an object: it is \[\{'type'"),
        ({"type": "objekt"}, "it is no JSON schema: its type must be one of JSON's types, or a list of them, not 'ob"),
        ({"type": ["string", {}]}, "its type must be one"),
        ({"type": []}, "its type must be one"),
        ({**STRING, "description": 7}, "its description must be text, not 7"),
        ({"enum": []}, r"its enum must be a list of values, not \[\]"),
        ({"enum": "ab"}, "its enum must be a list of values, not 'ab'"),
        ({"type": "object", "properties": [STRING]}, "its properties must be an object of schemas"),
        ({"type": "object", "properties": {"a": {"properties": {"b": True}}}}, "it.a.b is no .* an object, not True"),
        ({"type": "array", "items": [STRING]}, r"it\[\] is no JSON schema: it must be an object"),
        ({"anyOf": STRING}, "its anyOf must be a list of schemas"),
        ({"oneOf": [STRING, 7]}, "it is no JSON schema: it must be an object, not 7"),
        ({"$ref": ["a"]}, r"its \$ref must be text"),
        (
            {"$ref": "#/definitions/a", "definitions": {"a": STRING}},
            r"it refers to '#/definitions/a', which isn't among",
        ),
        ({"$ref": "#"}, "it refers to '#'"),
        ({"type": "object", "$ref": "#"}, "it refers to '#', which"),
        (
            {"$ref": "#/$defs/a", "type": "object", "$defs": {"a": {"type": "array", "items": {"$ref": "#"}}}},
            "refers to",
        ),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
            r"it#/\$defs/a refers to itself alone: say what",
        ),
        (
            {"$defs": {"a": {"type": "object", "$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
            r"it#/\$defs/a refers to itself alone",
        ),
        ({**STRING, "minLength": "one"}, "its minLength must be a number, not 'one'"),
        ({"type": "number", "maximum": True}, "its maximum must be a number, not True"),
        ({"type": "number", "multipleOf": 0}, "its multipleOf must be a number above 0, not 0"),
        ({"type": "object", "required": [7]}, r"its required must be a list of names, not \[7\]"),
        ({**STRING, "format": []}, r"its format must be text, not \[\]"),
        ({**STRING, "$defs": [STRING]}, r"it has \$defs that are no object"),
        ({**STRING, "$defs": {"a": 7}}, r"it#/\$defs/a is no JSON schema"),
    ],
)
def test_what_is_no_schema_is_refused_by_the_part_that_is_none(schema: Any, sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        check_schema(schema, "it")


def test_a_definition_may_be_another_s_or_the_root_s_other_name() -> None:
    check_schema({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": STRING}}, "it")
    check_schema({"type": "object", "properties": {}, "$defs": {"a": {"$ref": "#"}}}, "it")


@settings(max_examples=400)
@given(schema=ANY_SCHEMA)
def test_any_json_is_refused_as_a_schema_or_can_be_sent_as_one_of_an_object(schema: Any) -> None:
    try:
        schema = plain(schema, "it")
        check_schema(schema, "it")
        made = strict(enclosed(schema)[0], "it")
    except ParameterError:
        return
    assert (made["type"], made["required"]) == ("object", list(made["properties"]))
    assert json.dumps(plain(made, "it"))


def test_a_schema_may_refer_to_its_definitions_and_an_object_to_itself() -> None:
    tree = {
        "type": "object",
        "properties": {
            "leaf": {"$ref": "#/$defs/leaf"},
            "more": {"type": ["array", "null"], "items": {"$ref": "#", "description": "a branch"}},
        },
        "$defs": {"leaf": {"enum": ["a", None]}},
    }
    check_schema(tree, "it")
    made = strict(tree, "it")
    assert find_schema_fault(made, strict=True) is None
    assert made["properties"]["more"] == {"type": ["array", "null"], "items": {"$ref": "#"}}


def test_an_object_that_may_be_null_is_closed_too() -> None:
    inner = {"type": ["object", "null"], "properties": {"b": STRING}}
    assert member(inner) == {**inner, "required": ["b"], "additionalProperties": False}


def test_what_is_no_object_is_enclosed_in_one() -> None:
    assert enclosed({"type": "object", "properties": {}}) == ({"type": "object", "properties": {}}, False)
    names = {"type": "array", "items": {"$ref": "#/$defs/a"}}
    assert enclosed({**names, "$defs": {"a": STRING}}) == (
        {"type": "object", "properties": {"value": names}, "required": ["value"], "$defs": {"a": STRING}},
        True,
    )
