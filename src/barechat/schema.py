"""What the API's strict mode makes of a JSON schema: the rules, as a pure function from schema to schema.

https://platform.openai.com/docs/guides/structured-outputs tells them: every object names all its members, requires
them and takes no others; a few keywords aren't taken at all. What the model is to know of those is told in words.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import msgspec

from barechat.errors import ParameterError
from barechat.parameters import shown

if TYPE_CHECKING:
    from collections.abc import Callable

Schema = dict[str, Any]

OR_NOT_STRICT = ", or turn the strict mode off with strict=False"
"""How the sentences end that tell what the strict mode doesn't take."""

_FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))
_UNSAID = frozenset(("discriminator", "examples", "deprecated", "readOnly", "writeOnly"))
_SAID_IN_WORDS = frozenset(
    (
        *("default", "uniqueItems", "contains", "minContains", "maxContains"),
        *("minProperties", "maxProperties", "contentEncoding", "contentMediaType"),
    )
)
_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
_TYPES = frozenset(("object", "array", "string", "number", "integer", "boolean", "null"))
_ROOT = "#"
_LONGEST_NAME = 64


def name_of(text: str) -> str:
    """Return `text` as a name that the API takes: at most 64 letters, digits, underscores and dashes; "" for none."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:_LONGEST_NAME]


def is_name(text: str) -> bool:
    """Say whether the API takes this name of a function or schema."""
    return re.fullmatch(rf"[A-Za-z0-9_-]{{1,{_LONGEST_NAME}}}", text) is not None


def rooted(schema: Schema) -> Schema:
    """Return the schema with its root spelt out, where that is a reference to one of its definitions."""
    reference = schema.get("$ref")
    if reference is None or reference == _ROOT:
        return schema
    definitions: dict[str, Schema] = dict(schema["$defs"])
    name = _referred(reference)
    root = definitions[name]
    if not _refers({"root": root, **definitions, name: {}}, reference):
        del definitions[name]
    return {**root, "$defs": definitions} if definitions else dict(root)


def enclosed(schema: Schema) -> tuple[Schema, bool]:
    """Return a schema whose root is an object, as the API wants it, and whether it encloses one whose root is none.

    That one stands under the key `value`.
    """
    root = rooted(schema)
    if root.get("type") == "object":
        return root, False
    definitions = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    value = _without(schema, "$defs")
    return {"type": "object", "properties": {"value": value}, "required": ["value"], **definitions}, True


def check_schema(schema: Any, where: str) -> None:
    """Refuse plain JSON that is no schema, as far as it is read here. `where` begins the path that an error names.

    Raises:
        ParameterError: a part is of another form, or refers to a definition that isn't there, or to itself alone.
    """
    if not isinstance(schema, dict):
        raise ParameterError(f"{where} is no JSON schema, which is an object: it is {shown(schema)}", param=where)
    definitions = schema.get("$defs", {})
    if not isinstance(definitions, dict):
        raise ParameterError(f"{where} has $defs that are no object of schemas: {shown(definitions)}", param=where)
    is_object = (
        schema.get("type") == "object" and "$ref" not in schema
    )  # a reference is spelt out, in place of the root
    known = {f"#/$defs/{name}" for name in definitions} | ({_ROOT} if is_object else set())
    _check_part(_without(schema, "$defs"), where, known)
    for name, definition in definitions.items():
        _check_part(definition, f"{where}#/$defs/{name}", known)
    for name in definitions:
        _check_ends(definitions, name, f"{where}#/$defs/{name}")


def _check_ends(definitions: dict[str, Schema], name: str, where: str) -> None:
    """Refuse a definition whose references lead back to itself, with nothing on the way."""
    reference, passed = f"#/$defs/{name}", set[str]()
    while reference not in passed and reference != _ROOT:
        passed.add(reference)
        definition = definitions[_referred(reference)]
        if "$ref" not in definition:
            return
        reference = definition["$ref"]
    if reference != _ROOT:
        raise ParameterError(f"{where} refers to itself alone: say what it is", param=where)


def _check_part(schema: Any, where: str, known: set[str]) -> None:
    if not isinstance(schema, dict):
        raise ParameterError(f"{where} is no JSON schema: it must be an object, not {shown(schema)}", param=where)
    for keyword, (fits, form) in _FORMS.items():
        if keyword in schema and not fits(schema[keyword]):
            raise ParameterError(
                f"{where} is no JSON schema: its {keyword} must be {form}, not {shown(schema[keyword])}", param=where
            )
    if "$ref" in schema and schema["$ref"] not in known:
        raise ParameterError(f"{where} refers to {shown(schema['$ref'])}, which isn't among the $defs", param=where)
    for name, member in schema.get("properties", {}).items():
        _check_part(member, f"{where}.{name}", known)
    if "items" in schema:
        _check_part(schema["items"], f"{where}[]", known)
    for keyword in ("anyOf", "oneOf", "prefixItems"):
        for one in schema.get(keyword, ()):
            _check_part(one, where, known)


def _is_type(value: Any) -> bool:
    kinds = value if isinstance(value, list) else [value]
    return bool(kinds) and all(isinstance(kind, str) and kind in _TYPES for kind in kinds)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_FORMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "type": (_is_type, "one of JSON's types, or a list of them"),
    "$ref": (_is_text, "text"),
    **dict.fromkeys(("description", "format"), (_is_text, "text")),
    "enum": (_is_list, "a list of values"),
    "required": (_are_texts, "a list of names"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (_is_number, "a number")),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), (_is_number, "a number")),
    "multipleOf": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "properties": (lambda value: isinstance(value, dict), "an object of schemas"),
    **dict.fromkeys(("anyOf", "oneOf", "prefixItems"), (_is_list, "a list of schemas")),
}


def strict(schema: Schema, where: str) -> Schema:
    """Return a schema as the strict mode takes it; `where` begins the path that an error names.

    Raises:
        ParameterError: a part can't be said in the strict mode, such as a dict of any keys.
    """
    definitions: dict[str, Schema] = schema.get("$defs", {})
    rules = _Rules(definitions)
    made = rules.apply(_without(schema, "$defs"), where)
    if definitions:
        made["$defs"] = {name: rules.apply(one, name) for name, one in definitions.items()}
    return made


class _Rules:
    """The rules, for the parts of one schema."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self._definitions = definitions
        self._inlining: list[str] = []

    def apply(self, schema: Schema, where: str) -> Schema:
        """Return a part of the schema, and all within it, as the strict mode takes them."""
        if "$ref" in schema:
            return self._reference(schema, where)
        made: Schema = {}
        for keyword, value in schema.items():
            if keyword in {"anyOf", "oneOf"}:
                made["anyOf"] = [self.apply(one, where) for one in value]
            elif keyword not in _UNSAID and keyword not in _SAID_IN_WORDS:
                made[keyword] = inspect.cleandoc(value) if keyword == "description" else value
        _say_in_words(made, schema)
        values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else None
        if values is not None and "type" not in made:
            made["type"] = _type_of(values, where)
        kind = made.get("type")
        if kind == "object" or (isinstance(kind, list) and "object" in kind):
            self._close(made, where)
        if kind == "array" or (isinstance(kind, list) and "array" in kind):
            self._fill(made, where)
        if "type" not in made and "anyOf" not in made:
            raise _unsayable(where, "may be anything", "give it a type")
        return made

    def _reference(self, schema: Schema, where: str) -> Schema:
        """Return a reference, which can't have anything beside it: what is there goes into what it refers to."""
        reference: str = schema["$ref"]
        beside = _without(schema, "$ref", "default")
        if not beside or reference in self._inlining or reference == _ROOT:
            return {"$ref": reference}
        self._inlining.append(reference)
        made = self.apply({**self._definitions[_referred(reference)], **beside}, where)
        self._inlining.pop()
        return made

    def _close(self, made: Schema, where: str) -> None:
        if "properties" not in made:
            raise _unsayable(where, "is an object of any keys", "give it fields, or make it a list of pairs")
        made["properties"] = {name: self.apply(one, f"{where}.{name}") for name, one in made["properties"].items()}
        made["required"] = list(made["properties"])
        made["additionalProperties"] = False

    def _fill(self, made: Schema, where: str) -> None:
        """Say what an array holds: a tuple's items, which can't be told one by one, are any of its kinds."""
        kinds = made.pop("prefixItems", None)
        if kinds is not None:
            different = [kind for at, kind in enumerate(kinds) if kind not in kinds[:at]]
            made["items"] = different[0] if len(different) == 1 else {"anyOf": different}
            if len(different) > 1:
                _describe(made, f"in this order: {_json(kinds)}")
            made["minItems"] = made["maxItems"] = len(kinds)
        if not isinstance(made.get("items"), dict):
            raise _unsayable(where, "is a list of anything", "say of what, as in list[str]")
        made["items"] = self.apply(made["items"], f"{where}[]")


def _say_in_words(made: Schema, schema: Schema) -> None:
    """Tell in the description what the strict mode has no keyword for."""
    words = [f"{name}: {_json(schema[name])}" for name in schema if name in _SAID_IN_WORDS and schema[name] is not None]
    if "format" in made and made["format"] not in _FORMATS:
        words.append(f"format: {made.pop('format')}")
    if words:
        _describe(made, ", ".join(words))


def _describe(made: Schema, words: str) -> None:
    made["description"] = " ".join(filter(None, (made.get("description"), f"({words})")))


def _type_of(values: list[Any], where: str) -> str | list[str]:
    kinds = list(dict.fromkeys(_KINDS.get(type(value), "") for value in values))
    if "" in kinds:
        raise _unsayable(where, "has a value that is neither text, a number, a boolean nor null", "leave it out")
    return kinds[0] if len(kinds) == 1 else kinds


def _unsayable(where: str, what: str, remedy: str) -> ParameterError:
    return ParameterError(
        f"{where} {what}, which the API's strict mode doesn't take: {remedy}{OR_NOT_STRICT}", param=where
    )


def _referred(reference: str) -> str:
    return reference.removeprefix("#/$defs/")


def _refers(schema: Any, reference: str) -> bool:
    if isinstance(schema, dict):
        return schema.get("$ref") == reference or any(_refers(one, reference) for one in schema.values())
    return isinstance(schema, list) and any(_refers(one, reference) for one in schema)


def _without(schema: Schema, *keywords: str) -> Schema:
    return {keyword: value for keyword, value in schema.items() if keyword not in keywords}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
