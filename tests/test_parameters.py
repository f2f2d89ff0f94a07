"""barechat.parameters: every parameter of the API, by its own name, within its documented range."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.errors import ParameterError
from barechat.parameters import RULES, Parameters, check
from vectors import DATA

SCHEMAS: dict[str, Any] = json.loads((DATA / "chat-completions.openapi.json").read_text("utf-8"))["components"][
    "schemas"
]


def properties(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema's properties, with those of what it is made of."""
    if "$ref" in schema:
        return properties(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    found: dict[str, Any] = dict(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        found |= properties(part)
    return found


def facts(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the limits that a schema states, through references and "or null"."""
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]
    names = ("minimum", "maximum", "enum", "maxLength", "maxItems")
    found: dict[str, Any] = {name: schema[name] for name in names if name in schema}
    for part in (*schema.get("anyOf", []), *schema.get("oneOf", [])):
        if part.get("type") != "null":
            found |= facts(part)
    return found


OFFICIAL = properties(SCHEMAS["CreateChatCompletionRequest"])


def refused(name: str, value: Any) -> str:
    """Return the sentence with which a value is refused."""
    with pytest.raises(ParameterError) as caught:
        check({name: value, **({"logprobs": True} if name == "top_logprobs" else {})})
    assert caught.value.param == name
    assert name in str(caught.value)
    return str(caught.value)


def accepted(name: str, value: Any) -> bool:
    companions = {"logprobs": True} if name == "top_logprobs" else {}
    return bool(check({name: value, **companions})[name] == value)


def test_every_name_of_the_official_description_is_a_parameter_and_has_a_rule() -> None:
    taken_by_the_methods = {"messages", "model", "stream"}
    assert len(OFFICIAL) == 37
    assert Parameters.__annotations__.keys() == RULES.keys() == OFFICIAL.keys() - taken_by_the_methods
    assert Parameters.__total__ is False


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_holds_the_official_descriptions_limits(name: str) -> None:
    stated = facts(OFFICIAL[name])
    for word in stated.get("enum", []):
        assert accepted(name, word)
    step = 1 if name in {"n", "top_logprobs", "seed"} else 0.001
    if name != "seed":  # its limits are beyond what the description's JSON can state exactly
        for limit, beyond in (("minimum", -step), ("maximum", step)):
            if limit in stated:
                assert accepted(name, stated[limit])
                refused(name, stated[limit] + beyond)
    if "maxLength" in stated:
        assert accepted(name, "x" * stated["maxLength"])
        refused(name, "x" * (stated["maxLength"] + 1))
    if "maxItems" in stated and name != "stop":
        assert accepted(name, [{}] * stated["maxItems"])
        refused(name, [{}] * (stated["maxItems"] + 1))


GOOD: dict[str, list[Any]] = {
    "logit_bias": [{}, {"50256": -100}, {50256: 100}],
    "max_completion_tokens": [1, 10**9],
    "max_tokens": [1],
    "metadata": [{}, {"k" * 64: "v" * 512}, {str(number): "" for number in range(16)}],
    "modalities": [["text"], ("text", "audio")],
    "n": [1, 128],
    "reasoning_effort": ["none", "max"],
    "response_format": ["json", "text", {"type": "json_object"}],
    "seed": [-(2**63), 0, 2**63 - 1],
    "stop": ["", "x", ["a"], ["a", "b", "c", "d"], ("a",)],
    "store": [True, False],
    "stream_options": [{}, {"include_usage": False}, {"include_obfuscation": True}],
    "temperature": [0, 2, 0.5],
    "tool_choice": ["auto", "required", {"type": "function"}],
    "tools": [[{"type": "function"}], [{}] * 200],
    "top_p": [0, 1],
    "frequency_penalty": [-2, 2.0],
    "user": ["", "x" * 10_000],
}
NAN, INF = float("nan"), float("inf")
BAD: dict[str, list[Any]] = {
    "audio": ["alloy", [], 1],
    "functions": [[], {}, "f", [1], [{}] * 129],
    "logit_bias": [{"1": 101}, {"1": -100.5}, {"1": True}, {"1": NAN}, [1], "x"],
    "logprobs": [1, 0, "true"],
    "max_completion_tokens": [0, -1, 1.5, 2.0, True, "5"],
    "max_tokens": [0, "5"],
    "metadata": [{"k" * 65: "v"}, {"k": "v" * 513}, {"k": 1}, {1: "v"}, {str(n): "" for n in range(17)}, []],
    "modalities": [[], "text", ["video"], [["text"]], [{}], 5],
    "n": [0, 129, 1.0, True, "2", 10**5000],
    "reasoning_effort": ["extreme", "", 1, ["low"]],
    "response_format": [True, 1, ["json"]],
    "safety_identifier": [1, b"x"],
    "seed": [2**63, -(2**63) - 1, 1.5, True],
    "service_tier": ["standard", "Auto", None.__class__],
    "stop": [[], ["a"] * 5, [1], b"x", 1, {"a": 1}],
    "store": [1, "yes"],
    "stream_options": [True, [], {"include_usage": 1}, {"include_usage": None}],
    "temperature": [-0.1, 2.1, True, "1", NAN, INF, -INF, 10**400, None.__class__, [1]],
    "tools": [[], {}, "f", [1], b"x"],
    "top_logprobs": [-1, 21, 1.0, True],
    "top_p": [-0.01, 1.01, NAN, "0.5"],
    "user": [1, b"x"],
    "verbosity": ["none", "HIGH"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_a_value_within_its_range_is_taken_as_it_is(name: str, value: Any) -> None:
    assert accepted(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD.items() for value in values],
    ids=lambda value: str(value)[:30] if not isinstance(value, int) or abs(value) < 2**80 else "huge",
)
def test_a_value_outside_its_range_is_refused_with_its_name_its_range_and_itself(name: str, value: Any) -> None:
    said = refused(name, value)
    assert len(said) < 400
    if name != "stream_options":
        assert RULES[name].wanted in said
        assert "extra=" in said


def test_a_value_that_cannot_even_be_shown_is_refused_by_its_type() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    assert "this list" in refused("temperature", nested)
    assert "this int" in refused("n", 10**5000)
    while nested:  # taken apart by hand: the interpreter's own way down is recursive
        nested = nested[0]


def test_none_is_the_same_as_not_given() -> None:
    assert check({"temperature": None, "stop": None, "n": 2}) == {"n": 2}
    assert check({}) == {}
    assert check({"nonsense": None}) == {}


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    for name, hint in {"temprature": "'temperature'", "max_token": "'max_tokens'", "topp": "'top_p'"}.items():
        with pytest.raises(ParameterError, match=hint) as caught:
            check({name: 1})
        assert caught.value.param == name
        assert "extra=" in str(caught.value)
    with pytest.raises(ParameterError, match="none of that name"):
        check({"zzzzzz": 1})
    with pytest.raises(ParameterError, match=r"stream\(…\)"):
        check({"stream": True})


@pytest.mark.parametrize(
    ("name", "here"),
    {
        "timeout": "timeouts=Timeouts(",
        "max_retries": "retry=RetryPolicy(max_attempts=max_retries + 1)",
        "extra_headers": "headers={",
        "extra_body": "pass extra={",
        "extra_query": "Client.azure(api_version=",
    }.items(),
)
def test_a_name_of_the_official_sdk_is_refused_with_what_does_it_here(name: str, here: str) -> None:
    with pytest.raises(ParameterError) as caught:
        check({name: 1})
    assert caught.value.param == name
    assert here in str(caught.value)
    assert f"extra={{{name!r}" not in str(caught.value)


def test_parameters_that_need_or_exclude_one_another_say_so() -> None:
    for given_ in ({"top_logprobs": 3}, {"top_logprobs": 0}, {"top_logprobs": 3, "logprobs": False}):
        with pytest.raises(ParameterError, match="logprobs=True"):
            check(given_)
    with pytest.raises(ParameterError, match="pass one"):
        check({"max_tokens": 5, "max_completion_tokens": 5})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=5,
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.sampled_from(sorted(RULES)), VALUES)
def test_any_value_is_taken_or_refused_with_our_own_error(name: str, value: Any) -> None:
    try:
        taken = check({name: value})
    except ParameterError as error:
        assert error.param == name  # noqa: PT017 - most values are refused, some are taken
    else:
        assert taken == ({} if value is None else {name: value})
