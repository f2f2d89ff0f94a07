"""Which parameters need, or exclude, one another? For requests whose shapes are right."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from barechat.simulator.contract import wording
from barechat.simulator.contract.wording import Refusal
from barechat.simulator.request import Request
from barechat.simulator.schema.sampling import find_schema_fault

_NEEDS_ENABLED: Final = (("stream_options", "stream"), ("top_logprobs", "logprobs"))
_NEEDS_GIVEN: Final = (("tool_choice", "tools"), ("parallel_tool_calls", "tools"), ("function_call", "functions"))
_MOST_DIGITS: Final = 20


def refuse_combination(request: Request, body: Mapping[str, Any]) -> Refusal | None:
    """Return the first thing that the API would refuse in parameters taken together."""
    for check in (_limits, _needs, _tools, _audio, _biases, _format):
        for found in check(request, body):
            return found
    return None


def _limits(_: Request, body: Mapping[str, Any]) -> Iterator[Refusal]:
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        yield Refusal(
            message="Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            param="max_tokens",
            code="invalid_parameter_combination",
        )


def _needs(_: Request, body: Mapping[str, Any]) -> Iterator[Refusal]:
    for name, needed in _NEEDS_ENABLED:
        if body.get(name) is not None and body.get(needed) is not True:
            yield Refusal(message=f"The '{name}' parameter is only allowed when '{needed}' is enabled.", param=name)
    for name, needed in _NEEDS_GIVEN:
        if name in body and needed not in body:
            message = f"Invalid value for '{name}': '{name}' is only allowed when '{needed}' are specified."
            yield Refusal(message=message, param=name)


def _tools(_: Request, body: Mapping[str, Any]) -> Iterator[Refusal]:
    tools, functions = body.get("tools", ()), body.get("functions", ())
    if tools and functions:
        yield Refusal(
            message="Invalid request: 'functions' and 'tools' cannot both be provided. "
            "'functions' are deprecated; use the 'tools' parameter instead."
        )
    if tools:
        yield from _declared(tools, body.get("tool_choice"))
    if functions:
        names = [function["name"] for function in functions]
        yield from _once("functions", names)
        yield from _known("function", names, "function_call", "functions", body.get("function_call"))
        for index, function in enumerate(functions):
            yield from _parameters(function, f"functions[{index}]")


def _declared(tools: list[dict[str, Any]], choice: Any) -> Iterator[Refusal]:
    named = [(tool["type"], tool[tool["type"]]["name"]) for tool in tools]
    yield from _once("tools", [name for _, name in named])
    if isinstance(choice, dict):
        chosen = choice["allowed_tools"]["tools"] if choice["type"] == "allowed_tools" else [choice]
        for one in chosen:
            kind = str(one.get("type"))
            names = [name for of_kind, name in named if of_kind == kind]
            yield from _known(kind, names, "tool_choice", "tools", one.get(kind))
    for index, tool in enumerate(tools):
        if tool["type"] == "function":
            yield from _parameters(tool["function"], f"tools[{index}].function")


def _known(kind: str, names: list[str], param: str, where: str, chosen: Any) -> Iterator[Refusal]:
    """Refuse a choice `{"name": …}` of what isn't there."""
    name = chosen.get("name") if isinstance(chosen, dict) else None
    if isinstance(name, str) and name not in names:
        what = f"{'custom tool' if kind == 'custom' else 'function'} named '{wording.shown(name)}'"
        message = f"Invalid value for '{param}': no {what} was specified in the '{where}' parameter."
        yield Refusal(message=message, param=param)


def _once(param: str, names: list[str]) -> Iterator[Refusal]:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        message = f"Invalid value for '{param}': names must be unique, but '{name}' was specified {count} times."
        yield Refusal(message=message, param=param, code="invalid_value")


def _parameters(function: Mapping[str, Any], param: str) -> Iterator[Refusal]:
    schema, is_strict = function.get("parameters"), function.get("strict") is True
    # An empty schema is no parameters, as an absent one is, but for the strict mode.
    if schema or (schema is not None and is_strict):
        fault = find_schema_fault(schema, strict=is_strict)
        if fault is not None:
            yield Refusal(
                message=f"Invalid schema for function '{function['name']}': {fault}",
                param=f"{param}.parameters",
                code="invalid_function_parameters",
            )


def _audio(request: Request, body: Mapping[str, Any]) -> Iterator[Refusal]:
    audio, is_asked = body.get("audio"), "audio" in (body.get("modalities") or ())
    if is_asked and audio is None:
        yield wording.missing(("audio",))
    if audio is None:
        return
    if not is_asked:
        message = "The 'audio' parameter is only allowed when 'modalities' includes 'audio'."
        yield Refusal(message=message, param="audio")
    if request.stream and audio["format"] != "pcm16":
        rest = "when stream=true. Supported values are: 'pcm16'."
        yield wording.unsupported_value("audio.format", audio["format"], rest)


def _biases(_: Request, body: Mapping[str, Any]) -> Iterator[Refusal]:
    for token in body.get("logit_bias") or ():
        if not (token.isascii() and token.isdigit() and len(token) < _MOST_DIGITS):
            message = (
                f"Invalid key in 'logit_bias': {wording.shown(token)}. "
                "You should only be submitting non-negative integers."
            )
            yield Refusal(message=message, param="logit_bias")


def _format(request: Request, body: Mapping[str, Any]) -> Iterator[Refusal]:
    given = body.get("response_format")
    if given is None:
        return
    if given["type"] == "json_object" and not any("json" in text.lower() for text in request.texts):
        yield Refusal(
            message="'messages' must contain the word 'json' in some form, "
            "to use 'response_format' of type 'json_object'.",
            param="messages",
        )
    wanted = given.get("json_schema", {})
    if "schema" in wanted:
        fault = find_schema_fault(wanted["schema"], strict=wanted.get("strict") is True)
        if fault is not None:
            message = f"Invalid schema for response_format '{wanted['name']}': {fault}"
            yield Refusal(message=message, param="response_format")
