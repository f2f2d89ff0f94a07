"""The simulator's judgement of a value by a JSON schema is that of the validator that everybody uses."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.simulator.schema.fitting import Budget, Exhausted, Fitting, identity_of
from barechat.simulator.schema.strict import SchemaFault

values = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 1.0, 2.5, -3, "", "a", "ab", "abc"]),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=4,
)
kinds = st.sampled_from(["string", "number", "integer", "boolean", "object", "array", "null"])
sizes = st.integers(0, 3)


def combined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    keywords = {
        **dict.fromkeys(("items", "contains", "not", "if", "then", "else", "additionalProperties"), inner),
        **dict.fromkeys(("propertyNames",), inner),
        **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), some),
        **dict.fromkeys(("properties", "dependentSchemas"), named),
        **dict.fromkeys(
            ("minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"), sizes
        ),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b|c"]), inner, max_size=2),
        "required": st.lists(st.sampled_from("abc"), max_size=2),
        "dependentRequired": st.just({"a": ["b"]}),
        "uniqueItems": st.booleans(),
        "type": st.one_of(kinds, st.lists(kinds, min_size=1, max_size=3)),
    }
    some_keywords = st.lists(st.sampled_from(sorted(keywords)), min_size=1, max_size=3, unique=True)
    return some_keywords.flatmap(lambda chosen: st.fixed_dictionaries({name: keywords[name] for name in chosen}))


leaves = st.one_of(
    st.booleans(),
    kinds.map(lambda kind: {"type": kind}),
    values.map(lambda value: {"const": value}),
    st.lists(values, max_size=3).map(lambda some: {"enum": some}),
    st.builds(lambda low, high: {"minimum": low, "exclusiveMaximum": high}, sizes, sizes),
    st.builds(lambda low, high: {"exclusiveMinimum": low, "maximum": high}, sizes, sizes),
    st.builds(lambda low, high: {"minLength": low, "maxLength": high}, sizes, sizes),
    st.sampled_from([{"multipleOf": 2}, {"multipleOf": 0.5}, {"pattern": "^a"}, {"pattern": "c$"}, {"format": "date"}]),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.recursive(leaves, combined, max_leaves=6), values)
def test_a_value_fits_where_the_validator_says_so_and_only_there(schema: Any, value: Any) -> None:
    expected = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert Fitting(schema, Budget()).fits(value, schema) is expected


def test_numbers_are_equal_by_value_and_never_to_booleans() -> None:
    assert identity_of([1.0, {"a": 1, "b": 2}]) == identity_of([1, {"b": 2.0, "a": 1}])
    assert identity_of(1) != identity_of(True)
    assert identity_of(0) != identity_of(False)
    assert identity_of("1") != identity_of(1)


def test_a_decimal_multiple_is_one_as_it_is_written() -> None:
    schema = {"multipleOf": 0.1}
    fitting = Fitting(schema, Budget())
    assert fitting.fits(0.3, schema)
    assert not fitting.fits(0.35, schema)


def test_a_union_within_a_union_is_judged_once_for_each_value() -> None:
    twice = {"properties": {"next": {"$ref": "#"}}}
    schema = {"anyOf": [{**twice, "required": ["left"]}, {**twice, "required": ["right"]}]}
    value: dict[str, Any] = {}
    for _ in range(20):
        value = {"next": value}
    assert not Fitting(schema, Budget(1_000)).fits(value, schema)


def test_a_schema_made_of_itself_is_refused() -> None:
    schema = {"$ref": "#"}
    with pytest.raises(SchemaFault, match="made of itself"):
        Fitting(schema, Budget()).fits(1, schema)


def test_a_schema_too_large_or_too_deep_to_judge_is_refused() -> None:
    wide = {"allOf": [{"type": "integer"} for _ in range(1_000)]}
    with pytest.raises(Exhausted, match="too large"):
        Fitting(wide, Budget(500)).fits(1, wide)
    deep: dict[str, Any] = {}
    for _ in range(10_000):
        deep = {"not": deep}
    with pytest.raises(SchemaFault, match="nested too deeply"):
        Fitting(deep, Budget()).fits(1, deep)
