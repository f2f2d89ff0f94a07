"""JSON of any kind, and schemas of which about one in ten can be sent: for tests of what reads them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

_SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from((2**64, "\ud800", "a"))
    | st.text(max_size=3)
)
ANY_JSON = st.recursive(
    _SCALARS,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=3), one, max_size=3),
    max_leaves=5,
)
_KINDS = ("object", "array", "string", "number", "integer", "boolean", "null")
_REFERENCES = st.sampled_from(("#", "#/$defs/a", "#/$defs/b"))


def _parts(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return schemas made of others, of which about one in two is at fault somewhere."""
    named = st.dictionaries(st.sampled_from(("a", "b")), one, max_size=2)
    some = st.lists(one, min_size=1, max_size=2)
    rare = dict.fromkeys(
        ("default", "examples", "const", "contains", "required", "pattern", "minimum", "title", "x"), ANY_JSON
    )
    keywords: dict[str, st.SearchStrategy[Any]] = {
        **rare,
        "type": st.sampled_from(_KINDS) | st.lists(st.sampled_from(_KINDS), max_size=2),
        "properties": named,
        "items": one,
        **dict.fromkeys(("anyOf", "oneOf", "prefixItems"), some),
        "enum": st.lists(ANY_JSON, min_size=1, max_size=2),
        "$ref": _REFERENCES,
        "$defs": named,
        "format": ANY_JSON,
        "description": st.text(max_size=3),
    }
    begun = st.fixed_dictionaries({}, optional={name: keywords[name] for name in ("properties", "$defs", "$ref")})
    more = st.lists(st.sampled_from(sorted(keywords)), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: keywords[name] for name in names})
    )
    of_object = st.fixed_dictionaries({"type": st.just("object"), "properties": named}, optional={"$defs": named})
    return st.builds(lambda some, others: {**some, **others}, begun, more) | of_object


ANY_SCHEMA = st.recursive(ANY_JSON | st.sampled_from(_KINDS).map(lambda kind: {"type": kind}), _parts, max_leaves=6)
