"""What does schemathesis hold the simulator to? The official description made whole, and narrowed to what is answered.

The description says of each parameter by itself what it may be, but not which belong together, nor all names and
messages that are refused. Requests made after it are therefore mostly refused, and rightly so; those made after the
narrowed one must all be answered.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from barechat.simulator import Simulator
from simulating import OPENAPI

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JsonObject = dict[str, Any]

_JSON: Final = "application/json"
_REFERENCE: Final = "#/components/schemas/"
# Any key will do, unless a scenario says otherwise: this is the one that schemathesis holds to be wrong.
_WRONG_KEY: Final[JsonObject] = {"key": "SCHEMATHESIS-INVALID-VALUE", "refuse": "invalid_api_key"}
_HEADERS: Final[JsonObject] = {
    "x-request-id": {"required": True, "schema": {"type": "string", "pattern": "^req_[0-9a-f]{32}$"}},
    "openai-version": {"required": True, "schema": {"const": "2020-10-01"}},
    "openai-processing-ms": {"required": True, "schema": {"type": "integer", "minimum": 1}},
}

_BELONGING: Final = frozenset(
    (
        *("max_tokens", "max_completion_tokens", "stream", "stream_options", "logprobs", "top_logprobs"),
        *("response_format", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"),
        *("modalities", "audio"),
    )
)
_NAME: Final[JsonObject] = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"}
_ARGUMENTS: Final[JsonObject] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
_TOOL: Final[JsonObject] = {"type": "function", "function": {"name": "get_weather", "parameters": _ARGUMENTS}}
_CHOSEN: Final[JsonObject] = {"type": "function", "function": {"name": "get_weather"}}
_QUESTION: Final[JsonObject] = {"role": "user", "content": "What will the weather be? Answer in JSON."}
_CALL: Final[JsonObject] = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Brest"}'},
}
_TURNS: Final[list[JsonObject]] = [
    _QUESTION,
    {"role": "assistant", "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
]


class Findings(NamedTuple):
    """What schemathesis found: its exit status and report, and how many answers had each status."""

    exit_status: int
    report: str
    statuses: Counter[int | None]


def run_schemathesis(
    folder: Path,
    *options: str,
    narrowed: bool = False,
    fault: JsonObject | None = None,
    limit: JsonObject | None = None,
) -> Findings:
    """Let schemathesis look for differences between the description and a simulator, the same way each time."""
    scenario = {"fault": [_WRONG_KEY, *([fault] if fault else [])], "limit": [limit] if limit else []}
    with Simulator(scenario, clock=lambda: 1_800_000_000.0) as simulator:
        description = complete(simulator.url)
        (folder / "openapi.json").write_text(json.dumps(narrow(description) if narrowed else description), "utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        done = subprocess.run(  # noqa: S603 - a command of our own environment
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", simulator.url),
                *("--header", "Authorization: Bearer sk-any", "--generation-deterministic", "--no-color", *options),
            ],
            cwd=folder,  # where it leaves its notes
            env={**kept, "NO_PROXY": "127.0.0.1", "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=600,
            check=False,
        )
        return Findings(
            done.returncode, done.stdout + done.stderr, Counter(record["status"] for record in simulator.requests)
        )


def complete(url: str) -> JsonObject:
    """Return the official description with what it leaves out: this server, the errors, headers and models."""
    described: JsonObject = copy.deepcopy(OPENAPI)
    described["servers"] = [{"url": url}]
    schemas, paths = described["components"]["schemas"], described["paths"]
    # Without a mapping, discriminators stand for the schemas' names, which these values aren't.
    for part in _objects(described):
        part.pop("discriminator", None)
    # A stream's schema is taken for that of its events, while the official one is that of their data.
    streamed = paths["/chat/completions"]["post"]["responses"]["200"]["content"]["text/event-stream"]
    chunk = {"contentMediaType": _JSON, "contentSchema": streamed["schema"]}
    streamed["schema"] = _object({"data": {"anyOf": [{"const": "[DONE]"}, chunk]}, "event": {"const": "message"}})
    schemas["Model"] = _object(
        {
            "id": {"type": "string"},
            "object": {"const": "model"},
            "created": {"type": "integer"},
            "owned_by": {"type": "string"},
        }
    )
    models = {"type": "array", "items": {"$ref": f"{_REFERENCE}Model"}, "minItems": 1}
    schemas["ListModelsResponse"] = _object({"object": {"const": "list"}, "data": models})
    # No key is wrong here, as faults don't meet these requests: so the description asks for none.
    name = {"in": "path", "name": "model", "required": True, "schema": {"type": "string"}}
    paths["/models"] = {"get": {"security": [], "responses": {"200": _answer("ListModelsResponse")}}}
    paths["/models/{model}"] = {"get": {"security": [], "parameters": [name], "responses": {"200": _answer("Model")}}}
    for operations in paths.values():
        for operation in operations.values():
            operation["responses"]["4XX"] = _answer("ErrorResponse")
    for part in _objects(described):
        if "content" in part and "description" in part:
            part["headers"] = {**part.get("headers", {}), **_HEADERS}
    return described


def narrow(described: JsonObject) -> JsonObject:
    """Return a complete description, narrowed to requests that the API answers.

    Each kind of request has a path of its own, as the simulator answers under any prefix.
    """
    narrowed = copy.deepcopy(described)
    schemas = narrowed["components"]["schemas"]
    official = narrowed["paths"]["/chat/completions"]["post"]
    del official["operationId"]
    narrowed["paths"] = {}
    parameters = _parameters(schemas)
    _narrow_messages(schemas)
    _narrow_values(schemas, parameters)
    alone = {name: schema for name, schema in parameters.items() if name not in _BELONGING}
    for kind, belonging in _kinds(parameters).items():
        schema = {**_object({**alone, **belonging}), "required": sorted({"model", "messages", *belonging})}
        body = {"required": True, "content": {_JSON: {"schema": schema}}}
        narrowed["paths"][f"/{kind}/chat/completions"] = {"post": {**official, "requestBody": body}}
    return narrowed


def _parameters(schemas: JsonObject) -> JsonObject:
    """Return all parameters' schemas, which the description keeps in three places."""
    general = schemas["CreateModelResponseProperties"]["allOf"][1]["properties"]
    own = schemas["CreateChatCompletionRequest"]["allOf"][1]["properties"]
    return {**schemas["ModelResponseProperties"]["properties"], **general, **own}


def _kinds(parameters: JsonObject) -> JsonObject:
    """Return the parameters that belong together in each kind of request."""

    def some(*names: str) -> JsonObject:
        return {name: parameters[name] for name in names}

    streamed, spoken = {"stream": {"const": True}}, {"modalities": {"const": ["text", "audio"]}}
    tool = {"tools": {"const": [_TOOL]}}
    any_tool = {"tools": {**parameters["tools"], "minItems": 1, "maxItems": 1}}
    return {
        "plain": some("max_completion_tokens"),
        "limited": some("max_tokens"),
        "streamed": {**streamed, **some("stream_options", "max_completion_tokens")},
        "scored": {"logprobs": {"const": True}, **some("top_logprobs")},
        "scored-streamed": {**streamed, "logprobs": {"const": True}, **some("top_logprobs")},
        "formatted": some("response_format"),
        "formatted-streamed": {**streamed, **some("response_format")},
        "json": {"response_format": {"const": {"type": "json_object"}}, "messages": {"const": [_QUESTION]}},
        "calling": {**any_tool, **some("parallel_tool_calls")},
        "calling-streamed": {**streamed, **any_tool},
        "choosing": {**tool, "tool_choice": {"enum": ["none", "auto", "required", _CHOSEN]}},
        "answered": {**tool, "messages": {"const": _TURNS}},
        "functions": {"functions": {**parameters["functions"], "maxItems": 1}},
        "spoken": {**spoken, **some("audio")},
        "spoken-streamed": {**streamed, **spoken, "audio": {"const": {"voice": "alloy", "format": "pcm16"}}},
    }


def _narrow_messages(schemas: JsonObject) -> None:
    """Leave calls and their answers to a kind of their own, and take only names and addresses that are taken."""
    prefix, roles = "ChatCompletionRequest", ("Developer", "System", "User", "Assistant")
    for role in roles:
        properties = schemas[f"{prefix}{role}Message"]["properties"]
        properties["name"] = _NAME
        properties.pop("tool_calls", None)
        properties.pop("function_call", None)
    assistant = schemas[f"{prefix}AssistantMessage"]
    assistant["properties"]["content"] = {"type": "string"}
    assistant["required"] = ["role", "content"]
    schemas[f"{prefix}Message"] = {"oneOf": [{"$ref": f"{_REFERENCE}{prefix}{role}Message"} for role in roles]}
    image = schemas[f"{prefix}MessageContentPartImage"]["properties"]["image_url"]["properties"]
    image["url"] = {"enum": ["https://example.com/sea.png", "data:image/png;base64,AAAA"]}
    schemas[f"{prefix}MessageContentPartFile"]["properties"]["file"]["additionalProperties"] = False


def _narrow_values(schemas: JsonObject, parameters: JsonObject) -> None:
    """Take only values that are taken, where the description doesn't say which."""
    for function in (schemas["FunctionObject"], schemas["ChatCompletionFunctions"]):
        function["properties"].update(name=_NAME, parameters={"const": _ARGUMENTS})
    schemas["CustomToolChatCompletions"]["properties"]["custom"]["properties"]["name"] = _NAME
    formatted = schemas["ResponseFormatJsonSchema"]["properties"]["json_schema"]
    formatted["properties"].update(name=_NAME, schema={"const": _ARGUMENTS})
    closed = (schemas[name] for name in ("ResponseFormatText", "ResponseFormatJsonSchema", "PromptCacheOptionsParam"))
    for schema in (*closed, formatted, schemas["ChatCompletionStreamOptions"]["anyOf"][0]):
        schema["additionalProperties"] = False
    formats = [{"$ref": f"{_REFERENCE}ResponseFormat{kind}"} for kind in ("Text", "JsonSchema")]
    texts = {"additionalProperties": {"type": "string", "maxLength": 512}, "maxProperties": 16}
    biases = {"additionalProperties": {"enum": [-100, 0, 1, 100]}, "maxProperties": 8}
    parameters.update(
        # What a model takes differs from the others'; one that nobody knows takes everything.
        model={"const": "some-model"},
        response_format={"oneOf": formats},
        metadata={"type": "object", "propertyNames": {"maxLength": 64}, **texts},
        logit_bias={"type": "object", "propertyNames": {"pattern": "^[0-9]{1,6}$"}, **biases},
        user={"type": "string", "maxLength": 64},
        prompt_cache_key={"type": "string", "maxLength": 64},
        audio={**parameters["audio"], "type": "object"},
        # 1.0 is an integer to JSON Schema, and none to the API: hence these enumerations.
        n={"enum": [None, 1, 2, 5]},
        seed={"enum": [None, -(2**62), -1, 0, 2**62]},
        top_logprobs={"enum": [*range(21)]},
        max_tokens={"enum": [None, 1, 2, 16, 128_000]},
        max_completion_tokens={"enum": [None, 1, 2, 16, 128_000]},
    )


def _objects(value: Any) -> Iterator[JsonObject]:
    """Yield every object within a value, itself first."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from _objects(part)


def _answer(schema: str) -> JsonObject:
    return {"description": schema, "content": {_JSON: {"schema": {"$ref": f"{_REFERENCE}{schema}"}}}}


def _object(properties: JsonObject) -> JsonObject:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
