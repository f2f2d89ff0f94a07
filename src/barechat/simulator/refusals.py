"""What does the API refuse, and in which words? Pure: a request in, a refusal or None out.

The messages are those of the official API, so that a client can be shown what it will be shown there.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from barechat.simulator.request import Request

# fmt: off
KNOWN_PARAMETERS: Final = frozenset((
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens",
    "max_tokens", "messages", "metadata", "modalities", "model", "moderation", "n", "parallel_tool_calls",
    "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
    "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier", "stop", "store", "stream",
    "stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity",
    "web_search_options",
))
# fmt: on
_DECIMALS: Final = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}
_INTEGERS: Final[Mapping[str, tuple[int | None, int | None]]] = {
    "n": (1, 128),
    "top_logprobs": (0, 20),
    "max_completion_tokens": (1, None),
    "max_tokens": (1, None),
    "seed": (None, None),
}
_BOOLEANS: Final = ("stream", "logprobs", "store", "parallel_tool_calls")
_STRINGS: Final = ("model", "user", "safety_identifier", "prompt_cache_key")
_OBJECTS: Final = ("stream_options", "response_format", "logit_bias", "metadata")
_ENUMS: Final = {
    "service_tier": ("auto", "default", "flex", "scale", "priority", "fast"),
    "verbosity": ("low", "medium", "high"),
    "reasoning_effort": ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
}
_ROLES: Final = ("system", "assistant", "user", "function", "tool", "developer")
_FORMATS: Final = ("json_object", "json_schema", "text")
_MOST_STOPS: Final = 4
# These models count reasoning tokens too, so the API takes only the name that says so.
_REASONING_MODELS: Final = ("o1", "o3", "o4", "gpt-5", "gpt-6")
_LONG_KEY: Final = 20


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A status and the four fields of the API's error object."""

    status: int = 400
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None

    @property
    def error(self) -> dict[str, str | None]:
        """The error object."""
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}


def refuse_route(method: str, path: str, *, is_chat: bool) -> Refusal | None:
    """Refuse what isn't a POST to the chat completions endpoint."""
    if not is_chat:
        return Refusal(status=404, message=f"Invalid URL ({method} {path})")
    if method != "POST":
        return Refusal(
            status=405,
            message=f"Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)",
            code="method_not_supported",
        )
    return None


def refuse(request: Request) -> Refusal | None:
    """Return the first thing that the API would refuse in a request, None when it would answer."""
    refused = refuse_key(request.key)
    if refused is not None:
        return refused
    if request.body is None:
        return _unreadable(request)
    for check in (_unknown, _required, _types, _messages, _stop, _combinations, _model, _format):
        for found in check(request, request.body):
            return found
    return None


def refuse_key(key: str | None) -> Refusal | None:
    """Refuse a missing key and one that starts with `sk-bad`; any other is good."""
    if key is None:
        return Refusal(
            status=401,
            message="You didn't provide an API key. You need to provide your API key in an Authorization header "
            "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from "
            "https://platform.openai.com/account/api-keys.",
            code="invalid_api_key",
        )
    if key.startswith("sk-bad"):
        return Refusal(
            status=401,
            message=f"Incorrect API key provided: {_starred(key)}. "
            "You can find your API key at https://platform.openai.com/account/api-keys.",
            code="invalid_api_key",
        )
    return None


def _starred(key: str) -> str:
    """Mask a key as the API does in its own message."""
    start, end = (8, 4) if len(key) >= _LONG_KEY else (3, 0)
    return key[:start] + "*" * (len(key) - start - end) + key[len(key) - end :]


def _unreadable(request: Request) -> Refusal:
    if request.json:
        return Refusal(message="Invalid type for the request body: expected an object.", code="invalid_type")
    return Refusal(
        message="We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
        "HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
    )


def _unknown(_: Request, body: Mapping[str, Any]) -> Iterator[Refusal]:
    unknown = sorted(set(body) - KNOWN_PARAMETERS)
    if unknown:
        arguments = "argument" if len(unknown) == 1 else "arguments"
        yield Refusal(message=f"Unrecognized request {arguments} supplied: {', '.join(unknown)}")


def _required(_: Request, body: Mapping[str, Any]) -> Iterator[Refusal]:
    for name in ("model", "messages"):
        if body.get(name) in (None, ""):
            yield _missing(name)


def _types(_: Request, body: Mapping[str, Any]) -> Iterator[Refusal]:
    given = {name: value for name, value in body.items() if value is not None}
    for name, value in given.items():
        if name in _DECIMALS:
            yield from _number(name, value, _DECIMALS[name], "decimal")
        elif name in _INTEGERS:
            yield from _number(name, value, _INTEGERS[name], "integer")
        elif name in _BOOLEANS and not isinstance(value, bool):
            yield _wrong_type(name, "a boolean", value)
        elif name in _STRINGS and not isinstance(value, str):
            yield _wrong_type(name, "a string", value)
        elif name in _OBJECTS and not isinstance(value, dict):
            yield _wrong_type(name, "an object", value)
        elif name in _ENUMS and value not in _ENUMS[name]:
            yield _wrong_value(name, value, _ENUMS[name])


def _number(name: str, value: Any, bounds: tuple[int | None, int | None], kind: str) -> Iterator[Refusal]:
    low, high = bounds
    fits = isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    if not fits:
        yield _wrong_type(name, "an integer" if kind == "integer" else "a decimal", value)
    elif low is not None and value < low:
        yield _out_of_range(name, f"{kind} below minimum value", f">= {low}", value, f"{kind}_below_min_value")
    elif high is not None and value > high:
        yield _out_of_range(name, f"{kind} above maximum value", f"<= {high}", value, f"{kind}_above_max_value")


def _messages(_: Request, body: Mapping[str, Any]) -> Iterator[Refusal]:
    messages = body["messages"]
    if not isinstance(messages, list):
        yield _wrong_type("messages", "an array of objects", messages)
        return
    if not messages:
        yield _empty("messages")
    for index, message in enumerate(messages):
        yield from _message(f"messages[{index}]", message)


def _message(where: str, message: Any) -> Iterator[Refusal]:
    if not isinstance(message, dict):
        yield _wrong_type(where, "an object", message)
        return
    role, content = message.get("role"), message.get("content")
    if role is None:
        yield _missing(f"{where}.role")
    elif role not in _ROLES:
        yield _wrong_value(f"{where}.role", role, _ROLES)
    elif content is None and role not in {"assistant", "function"}:
        yield _missing(f"{where}.content")
    elif content is not None and not isinstance(content, str | list):
        yield _wrong_type(f"{where}.content", "one of a string or array of objects", content)


def _stop(_: Request, body: Mapping[str, Any]) -> Iterator[Refusal]:
    stop = body.get("stop")
    if stop is None or isinstance(stop, str):
        return
    if not isinstance(stop, list):
        yield _wrong_type("stop", "one of a string or array of strings", stop)
        return
    if not stop:
        yield _empty("stop")
    for index, one in enumerate(stop):
        if not isinstance(one, str):
            yield _wrong_type(f"stop[{index}]", "a string", one)
    if len(stop) > _MOST_STOPS:
        yield Refusal(
            message=f"Invalid 'stop': array too long. Expected an array with maximum length {_MOST_STOPS}, "
            f"but got an array with length {len(stop)} instead.",
            param="stop",
            code="array_above_max_length",
        )


def _combinations(request: Request, body: Mapping[str, Any]) -> Iterator[Refusal]:
    if body.get("max_tokens") is not None:
        if (request.model or "").startswith(_REASONING_MODELS):
            yield Refusal(
                message="Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                param="max_tokens",
                code="unsupported_parameter",
            )
        if body.get("max_completion_tokens") is not None:
            yield Refusal(
                message="Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
                param="max_tokens",
                code="invalid_parameter_combination",
            )
    for name, needs in (("stream_options", "stream"), ("top_logprobs", "logprobs")):
        if body.get(name) is not None and body.get(needs) is not True:
            yield Refusal(message=f"The '{name}' parameter is only allowed when '{needs}' is enabled.", param=name)


def _model(request: Request, _: Mapping[str, Any]) -> Iterator[Refusal]:
    if (request.model or "").startswith("no-"):
        yield Refusal(
            status=404,
            message=f"The model `{request.model}` does not exist or you do not have access to it.",
            code="model_not_found",
        )


def _format(request: Request, body: Mapping[str, Any]) -> Iterator[Refusal]:
    given = body.get("response_format")
    if given is None:
        return
    wanted = given.get("type")
    if wanted is None:
        yield _missing("response_format.type")
    elif wanted not in _FORMATS:
        yield _wrong_value("response_format.type", wanted, _FORMATS)
    elif wanted == "json_object" and not any("json" in text.lower() for text in request.texts):
        yield Refusal(
            message="'messages' must contain the word 'json' in some form, "
            "to use 'response_format' of type 'json_object'.",
            param="messages",
        )


def _missing(name: str) -> Refusal:
    return Refusal(message=f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def _empty(name: str) -> Refusal:
    return Refusal(
        message=f"Invalid '{name}': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
        param=name,
        code="empty_array",
    )


def _wrong_type(name: str, expected: str, value: Any) -> Refusal:
    return Refusal(
        message=f"Invalid type for '{name}': expected {expected}, but got {_kind(value)} instead.",
        param=name,
        code="invalid_type",
    )


def _wrong_value(name: str, value: Any, supported: Iterable[str]) -> Refusal:
    *first, last = (f"'{one}'" for one in supported)
    return Refusal(
        message=f"Invalid value: '{value}'. Supported values are: {', '.join(first)}, and {last}.",
        param=name,
        code="invalid_value",
    )


def _out_of_range(name: str, what: str, expected: str, value: float, code: str) -> Refusal:
    return Refusal(
        message=f"Invalid '{name}': {what}. Expected a value {expected}, but got {value} instead.",
        param=name,
        code=code,
    )


def _kind(value: Any) -> str:
    kinds = ((bool, "a boolean"), (int, "an integer"), (float, "a decimal number"), (str, "a string"))
    for kind, name in kinds:
        if isinstance(value, kind):
            return name
    return "null" if value is None else "an array" if isinstance(value, list) else "an object"
