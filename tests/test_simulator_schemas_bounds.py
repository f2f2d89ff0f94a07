"""However deep, wide or greedy a JSON schema is, the simulator makes a value of it or refuses it, and in no time."""

from typing import Any

import pytest

from barechat.simulator.schema.sampling import SchemaFault, sample
from barechat.simulator.words import Dice

Schema = dict[str, Any]


def refuse(schema: Any) -> SchemaFault:
    with pytest.raises(SchemaFault) as caught:
        sample(schema, Dice(b"seed"))
    return caught.value


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth_of, inner), default=0)


def nested(levels: int, wrap: str) -> Schema:
    schema: Schema = {"type": "string"}
    for _ in range(levels):
        if wrap == "properties":
            schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
        else:
            schema = {wrap: schema if wrap in {"items", "not"} else [schema]}
            schema.update({"type": "array", "minItems": 1} if wrap == "items" else {})
    return schema


@pytest.mark.parametrize("wrap", ["properties", "items", "not", "anyOf", "oneOf", "allOf", "prefixItems"])
def test_ten_thousand_levels_end_in_a_value_or_a_refusal_but_not_in_a_crash(wrap: str) -> None:
    schema = nested(10_000, wrap)
    try:
        value = sample(schema, Dice(b"seed"))
    except SchemaFault:
        return
    assert depth_of(value) <= 33


def test_a_constant_of_ten_thousand_levels_is_refused() -> None:
    deep: Any = []
    for _ in range(10_000):
        deep = [deep]
    assert "nested too deeply" in str(refuse({"const": deep}))
    assert "nested too deeply" in str(refuse({"anyOf": [{"type": "string"}, {"enum": [deep]}]}))


def test_five_thousand_properties_are_all_given() -> None:
    properties = {f"p{at}": {"type": ["string", "null"]} for at in range(5_000)}
    value = sample({"type": "object", "properties": properties, "required": list(properties)}, Dice(b"seed"))
    assert len(value) == 5_000


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "minItems": 1_000_000_000},
        {"type": "array", "minItems": 100_000, "uniqueItems": True},
        {"type": "array", "minItems": 100_000, "items": {"type": "string", "minLength": 9_000}},
        {"type": "string", "minLength": 1_000_000_000},
        {"type": "string", "pattern": "(((a{999}){999}){999}){999}"},
        {"type": "object", "minProperties": 1_000_000},
        {"enum": list(range(200_000)), "type": "string"},
        {
            "$defs": {
                str(at): {"type": "object", "properties": {key: {"$ref": f"#/$defs/{at + 1}"} for key in "ab"}}
                | {"required": ["a", "b"]}
                for at in range(30)
            }
            | {"30": {"type": "null"}},
            "$ref": "#/$defs/0",
        },
    ],
    ids=["items", "unique", "texts", "text", "pattern", "properties", "enum", "doubling"],
)
def test_a_schema_that_asks_for_too_much_is_refused(schema: Schema) -> None:
    refuse(schema)
