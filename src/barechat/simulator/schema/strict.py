"""What is wrong with a JSON schema? What the API refuses in one, in its own words. Pure.

https://platform.openai.com/docs/guides/structured-outputs tells the strict mode's rules.
"""

import reprlib
import urllib.parse
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

TYPES: Final = ("string", "number", "integer", "boolean", "object", "array", "null")
_SCHEMA: Final = (
    *("items", "additionalProperties", "contains", "not", "if", "then", "else"),
    *("propertyNames", "unevaluatedItems", "unevaluatedProperties"),
)
_LIST_OF_SCHEMAS: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED_SCHEMAS: Final = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_NUMBERS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS: Final = (
    *("minLength", "maxLength", "minItems", "maxItems"),
    *("minContains", "maxContains", "minProperties", "maxProperties"),
)
_VALUES: Final[Mapping[str, tuple[Any, str]]] = {
    **dict.fromkeys(_NAMED_SCHEMAS, (dict, "object")),
    **dict.fromkeys((*_LIST_OF_SCHEMAS, "enum", "required"), (list, "array")),
    **dict.fromkeys(_NUMBERS, (int | float, "number")),
    **dict.fromkeys(_COUNTS, (int, "integer")),
    **dict.fromkeys(("pattern", "format", "$ref"), (str, "string")),
    "uniqueItems": (bool, "boolean"),
}
_NOT_PERMITTED: Final = (
    *("allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties"),
    *("propertyNames", "unevaluatedProperties", "minProperties", "maxProperties"),
    *("unevaluatedItems", "contains", "minContains", "maxContains", "uniqueItems"),
)
_FORMATS: Final = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
_MOST_PROPERTIES: Final = 5_000
_MOST_LEVELS: Final = 10
_MOST_ENUM_VALUES: Final = 1_000
_DEEPEST_CONSTANT: Final = 32


class SchemaFault(ValueError):
    """A JSON schema that the API refuses, or to which no value can be made.

    The message is what the API says after "Invalid schema for …:"; `path` leads to the place in the schema.
    """

    def __init__(self, message: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.path = path


def fault_at(path: tuple[str, ...], words: str) -> SchemaFault:
    """Return a fault whose message begins with the place, as the API's do."""
    return SchemaFault(f"In context={path}, {words}", path)


def follow_reference(root: Any, reference: Any, path: tuple[str, ...] = ()) -> Any:
    """Return what a `$ref` within the schema leads to; raises SchemaFault where there is nothing.

    https://www.rfc-editor.org/rfc/rfc6901#section-6 is a pointer's form in a URI.
    """
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise _lost(reference, path)
    found = root
    for part in urllib.parse.unquote(reference[1:]).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and name.isascii() and int(name) < len(found):
            found = found[int(name)]
        else:
            raise _lost(reference, path)
    return found


def _lost(reference: Any, path: tuple[str, ...]) -> SchemaFault:
    return fault_at(path, f"reference to component '{reference}' which was not found in the schema.")


# A place as a chain of (place above, key): a tuple for each of ten thousand levels would take quadratic memory.
_Place = tuple[Any, str] | None


class _Node(msgspec.Struct, frozen=True):
    """A schema within the schema; `level` counts the objects and arrays down to it, itself included."""

    schema: Any
    place: _Place
    level: int

    @property
    def path(self) -> tuple[str, ...]:
        """Where the node is."""
        keys: list[str] = []
        place = self.place
        while place is not None:
            place, key = place
            keys.append(key)
        return tuple(reversed(keys))

    def fault(self, words: str) -> SchemaFault:
        """Return a fault at this place, named in the message."""
        return fault_at(self.path, words)


def find_schema_fault(schema: Any, *, strict: bool) -> SchemaFault | None:
    """Return the first thing that the API would refuse in a schema, None when it would take it.

    Without `strict` that is what isn't a schema of an object, with it also what breaks the strict mode's rules.
    """
    if not isinstance(schema, dict):
        return SchemaFault(f"{_shown(schema)} is not of type 'object'.")
    kind = schema.get("type")
    if kind != "object":
        return SchemaFault(
            "schema must be a JSON Schema of 'type: \"object\"', "
            f"got 'type: \"{kind if isinstance(kind, str) else _shown(kind)}\"'."
        )
    if strict and "anyOf" in schema:
        return SchemaFault(
            "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'const'/'not' at the top level."
        )
    if (misfit := find_misfit(schema)) is not None:
        return misfit
    properties = enum_values = levels = 0
    for node in _nodes(schema):
        for fault in _faults(node, strict=strict):
            return fault
        if isinstance(node.schema, dict):
            properties += len(node.schema.get("properties", ()))
            enum_values += len(node.schema.get("enum", ()))
            levels = max(levels, node.level)
    return _excess(properties, enum_values, levels) if strict else None


def find_misfit(schema: Any) -> SchemaFault | None:
    """Return the first thing in a schema of whatever type that makes it none, None when all keywords can be read."""
    for node in _nodes(schema):
        for fault in _misfits(node, schema):
            return fault
    return None


def _excess(properties: int, enum_values: int, levels: int) -> SchemaFault | None:
    if properties > _MOST_PROPERTIES:
        return SchemaFault(f"{properties} parameters exceeds limit of {_MOST_PROPERTIES}.")
    if levels > _MOST_LEVELS:
        return SchemaFault(f"{levels} levels of nesting exceeds limit of {_MOST_LEVELS}.")
    if enum_values > _MOST_ENUM_VALUES:
        return SchemaFault(
            f"Expected at most {_MOST_ENUM_VALUES} enum values in total within a single schema when using structured "
            f"outputs, but received {enum_values}. Consider reducing the number of enums, or use 'strict: false' to "
            "opt out of structured outputs."
        )
    return None


def _nodes(root: Any) -> Iterator[_Node]:
    """Yield every schema in the document's order, then those that only references lead to.

    What is within a node is looked at after the node has been taken for good: that is, when the next one is asked for.
    """
    seen: set[int] = set()
    referenced: deque[_Node] = deque()
    nodes = [_child(root, None, 0)]
    while nodes or referenced:
        node = nodes.pop() if nodes else referenced.popleft()
        if id(node.schema) in seen and isinstance(node.schema, dict):
            continue
        seen.add(id(node.schema))
        yield node
        if isinstance(node.schema, dict):
            nodes.extend(reversed(list(_children(node))))
            if "$ref" in node.schema:
                referenced.append(_child(follow_reference(root, node.schema["$ref"]), node.place, 0))


def _children(node: _Node) -> Iterator[_Node]:
    for keyword, value in node.schema.items():
        above = 0 if keyword in {"$defs", "definitions"} else node.level
        place = (node.place, keyword)
        if keyword in _SCHEMA:
            yield _child(value, place, above)
        elif keyword in _LIST_OF_SCHEMAS:
            for index, one in enumerate(value):
                yield _child(one, (place, str(index)), above)
        elif keyword in _NAMED_SCHEMAS:
            for name, one in value.items():
                yield _child(one, (place, name), above)


def _child(schema: Any, place: _Place, above: int) -> _Node:
    kinds = _kinds(schema) if isinstance(schema, dict) else []
    return _Node(schema, place, above + ("object" in kinds or "array" in kinds))


def _kinds(schema: Mapping[str, Any]) -> list[Any]:
    kind = schema.get("type")
    return kind if isinstance(kind, list) else [kind]


def _faults(node: _Node, *, strict: bool) -> Iterator[SchemaFault]:
    """Yield what the API refuses in a node that can be read; its children's faults are theirs."""
    if isinstance(node.schema, bool):
        if strict and not (node.place is not None and node.place[1] == "additionalProperties"):
            yield node.fault("schema must have a 'type' key.")
        return
    if strict:
        yield from _strict_faults(node)
    if "array" in _kinds(node.schema) and not {"items", "prefixItems"} & node.schema.keys():
        yield node.fault("array schema missing items.")


def _misfits(node: _Node, root: Any) -> Iterator[SchemaFault]:
    """Yield what makes a node no schema, in the words of the validator that the API uses."""
    if isinstance(node.schema, dict):
        for keyword, value in node.schema.items():
            for words in _unreadable(keyword, value):
                yield SchemaFault(words, node.path)
        if "$ref" in node.schema:
            try:
                follow_reference(root, node.schema["$ref"], node.path)
            except SchemaFault as fault:
                yield fault
    elif not isinstance(node.schema, bool):
        yield SchemaFault(f"{_shown(node.schema)} is not of type 'object', 'boolean'.", node.path)


def _strict_faults(node: _Node) -> Iterator[SchemaFault]:
    schema = node.schema
    if "$ref" in schema:
        if beside := sorted(schema.keys() - {"$ref"}):
            # The API says "context" without "In" here.
            names = ", ".join(map(repr, beside))
            yield SchemaFault(f"context={node.path}, $ref cannot have keywords {{{names}}}.", node.path)
        return
    for keyword in _NOT_PERMITTED:
        if keyword in schema:
            yield node.fault(f"'{keyword}' is not permitted.")
    if "type" not in schema and "anyOf" not in schema:
        yield node.fault("schema must have a 'type' key.")
    if (wanted := schema.get("format")) is not None and wanted not in _FORMATS:
        yield node.fault(f"'{wanted}' is not a valid format.")
    if "object" in _kinds(schema):
        for words in _strict_object(schema):
            kind = schema["type"]
            within = ("type", str(kind.index("object"))) if isinstance(kind, list) else ()
            yield fault_at((*node.path, *within), words)


def _strict_object(schema: Mapping[str, Any]) -> Iterator[str]:
    if schema.get("additionalProperties") is not False:
        yield "'additionalProperties' is required to be supplied and to be false."
    names, required = schema.get("properties", {}), schema.get("required", ())
    rule = "'required' is required to be supplied and to be an array including every key in properties."
    listed = set(required)
    for name in names:
        if name not in listed:
            yield f"{rule} Missing '{name}'."
    for name in required:
        if name not in names:
            yield f"{rule} Extra required key '{name}' supplied."


def _unreadable(keyword: str, value: Any) -> Iterator[str]:
    """Yield what is wrong with a keyword's own value."""
    if keyword == "type":
        kinds = value if isinstance(value, list) else [value]
        if not kinds or any(not isinstance(kind, str) or kind not in TYPES for kind in kinds):
            yield f"{_shown(value)} is not valid under any of the given schemas."
    elif keyword in _VALUES:
        yield from _of(value, *_VALUES[keyword])
        if keyword in _LIST_OF_SCHEMAS and not value:
            yield "[] should be non-empty."
        if keyword == "required":
            for name in value:
                yield from _of(name, str, "string")
        if keyword in _COUNTS and value < 0:
            yield f"{_shown(value)} is less than the minimum of 0."
        if keyword == "multipleOf" and value <= 0:
            yield f"{_shown(value)} is less than or equal to the minimum of 0."
    if keyword in {"enum", "const"} and _is_deep(value):
        yield f"'{keyword}' is nested too deeply."


def _of(value: Any, kind: Any, name: str) -> Iterator[str]:
    is_whole = kind is int and isinstance(value, float) and value.is_integer()
    if not (isinstance(value, kind) or is_whole) or (isinstance(value, bool) and kind is not bool):
        yield f"{_shown(value)} is not of type '{name}'."


def _is_deep(value: Any) -> bool:
    row = [value]
    for _ in range(_DEEPEST_CONSTANT):
        row = [inner for one in row for inner in _parts(one)]
        if not row:
            return False
    return True


def _parts(value: Any) -> Collection[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _shown(value: Any) -> str:
    """Return a value as Python writes it, cut where it is long or deep."""
    writer = reprlib.Repr()
    writer.maxstring = writer.maxother = 120
    return writer.repr(value)
