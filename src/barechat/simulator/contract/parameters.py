"""What is a request made of? The shapes of the 37 parameters, after the API's official description.

Where the API is known to be stricter than its description, as on lengths and patterns of names, so is this table.
The order of members is the order in which faults are told.
"""

from collections.abc import Mapping
from typing import Final

from barechat.simulator.contract.messages import FUNCTION_NAME, LONGEST_NAME, MESSAGE, PLAIN_CONTENT, TEXT
from barechat.simulator.contract.shapes import (
    Array,
    Boolean,
    Choice,
    Decimal,
    Either,
    Integer,
    Map,
    Nullable,
    Object,
    Shape,
    Tagged,
    Text,
    object_of,
)

_MOST_TOOLS: Final = 128
# The official description rounds the bounds of 64 bits, and so does this.
_SEED: Final = 9223372036854776000

_boolean: Final = Boolean()
_identifier: Final = Text(longest=LONGEST_NAME)
_named: Final = object_of({"name": TEXT}, "name")
# What is in a schema is judged elsewhere.
_schema: Final = Object()

_function: Final = object_of(
    {"name": FUNCTION_NAME, "description": TEXT, "parameters": _schema, "strict": Nullable(_boolean)}, "name"
)
_grammar: Final = object_of({"definition": TEXT, "syntax": Choice(("lark", "regex"))}, "definition", "syntax")
_tool_format: Final = Tagged(
    shapes={
        "text": object_of({"type": TEXT}, is_closed=True),
        "grammar": object_of({"type": TEXT, "grammar": _grammar}, "grammar", is_closed=True),
    }
)
_custom_tool: Final = object_of({"name": FUNCTION_NAME, "description": TEXT, "format": _tool_format}, "name")
_tool: Final = Tagged(
    shapes={
        "function": object_of({"function": _function}, "function"),
        "custom": object_of({"custom": _custom_tool}, "custom"),
    }
)
_allowed_tools: Final = object_of(
    {"mode": Choice(("auto", "required")), "tools": Array(item=Object())}, "mode", "tools"
)
_tool_choice: Final = Either(
    shapes={
        str: Choice(("none", "auto", "required")),
        dict: Tagged(
            shapes={
                "function": object_of({"function": _named}, "function"),
                "allowed_tools": object_of({"allowed_tools": _allowed_tools}, "allowed_tools"),
                "custom": object_of({"custom": _named}, "custom"),
            }
        ),
    },
    kind="one of one of 'none', 'auto', or 'required' or object",
)
_function_call: Final = Either(
    shapes={str: Choice(("none", "auto")), dict: _named}, kind="one of one of 'none' or 'auto' or object"
)

_json_schema: Final = object_of(
    {"name": FUNCTION_NAME, "description": TEXT, "schema": _schema, "strict": Nullable(_boolean)},
    "name",
    is_closed=True,
)
_response_format: Final = Tagged(
    shapes={
        "json_object": object_of({"type": TEXT}, is_closed=True),
        "json_schema": object_of({"type": TEXT, "json_schema": _json_schema}, "json_schema", is_closed=True),
        "text": object_of({"type": TEXT}, is_closed=True),
    }
)
_stop: Final = Either(
    shapes={str: TEXT, list: Array(item=TEXT, is_filled=True, longest=4)}, kind="one of a string or array of strings"
)

_voice: Final = Either(
    shapes={str: TEXT, dict: object_of({"id": TEXT}, "id", is_closed=True)}, kind="one of a string or object"
)
_audio: Final = object_of(
    {"voice": _voice, "format": Choice(("wav", "aac", "mp3", "flac", "opus", "pcm16"))}, "voice", "format"
)
_moderated: Final = Nullable(object_of({"mode": Choice(("score", "block"))}, "mode"))
_moderation: Final = object_of(
    {"model": TEXT, "policy": Nullable(object_of({"input": _moderated, "output": _moderated}))}, "model"
)
_location: Final = object_of(
    {
        "type": Choice(("approximate",)),
        "approximate": object_of({"country": TEXT, "region": TEXT, "city": TEXT, "timezone": TEXT}),
    },
    *("type", "approximate"),
)
_web_search: Final = object_of(
    {"user_location": Nullable(_location), "search_context_size": Choice(("low", "medium", "high"))}
)
_cache_options: Final = object_of({"ttl": Choice(("30m",)), "mode": Choice(("implicit", "explicit"))}, is_closed=True)
_stream_options: Final = object_of({"include_usage": _boolean, "include_obfuscation": _boolean}, is_closed=True)

PARAMETERS: Final[Mapping[str, Shape]] = {
    "model": TEXT,
    "messages": Array(item=MESSAGE, is_filled=True),
    "functions": Array(item=_function, is_filled=True, longest=_MOST_TOOLS, kind="an array of function definitions"),
    "function_call": _function_call,
    "tools": Array(item=_tool, is_filled=True, longest=_MOST_TOOLS),
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _boolean,
    "max_tokens": Nullable(Integer(low=1)),
    "max_completion_tokens": Nullable(Integer(low=1)),
    "n": Nullable(Integer(low=1, high=128)),
    "temperature": Nullable(Decimal(low=0, high=2)),
    "top_p": Nullable(Decimal(low=0, high=1)),
    "presence_penalty": Nullable(Decimal(low=-2, high=2)),
    "frequency_penalty": Nullable(Decimal(low=-2, high=2)),
    "stop": Nullable(_stop),
    "logit_bias": Nullable(Map(item=Integer(low=-100, high=100))),
    "logprobs": Nullable(_boolean),
    "top_logprobs": Integer(low=0, high=20),
    "response_format": _response_format,
    "reasoning_effort": Nullable(Choice(("none", "minimal", "low", "medium", "high", "xhigh", "max"))),
    "user": _identifier,
    "seed": Nullable(Integer(low=-_SEED, high=_SEED)),
    "safety_identifier": Nullable(_identifier),
    "prompt_cache_key": Nullable(_identifier),
    "prompt_cache_options": _cache_options,
    "prompt_cache_retention": Nullable(Choice(("in_memory", "24h"))),
    "service_tier": Nullable(Choice(("auto", "default", "flex", "scale", "priority", "fast"))),
    "stream": Nullable(_boolean),
    "stream_options": Nullable(_stream_options),
    "store": Nullable(_boolean),
    "metadata": Nullable(Map(item=Text(longest=512), most=16, longest_key=LONGEST_NAME, kind="a metadata object")),
    "moderation": Nullable(_moderation),
    "modalities": Nullable(Array(item=Choice(("text", "audio")), kind="an array of strings")),
    "audio": Nullable(_audio),
    "prediction": Nullable(Tagged(shapes={"content": object_of({"content": PLAIN_CONTENT}, "content")})),
    "web_search_options": _web_search,
    "verbosity": Nullable(Choice(("low", "medium", "high"))),
}
BODY: Final = object_of(PARAMETERS, "model", "messages")
