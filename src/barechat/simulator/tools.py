"""Which tools does the simulator call, and with what? A user's turn gets calls, the tools' replies an answer."""

import json
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from barechat.simulator.reply import ToolCall, split_tokens
from barechat.simulator.request import Request
from barechat.simulator.schema.patterns import sample_pattern
from barechat.simulator.schema.sampling import SchemaFault, sample
from barechat.simulator.words import Dice, sentence

_MOST_PARALLEL: Final = 3
_FEWEST_PARALLEL: Final = 2


class Calls(msgspec.Struct, frozen=True):
    """Tool calls, whether they are the deprecated kind, and the finish_reason that the API gives them."""

    made: tuple[ToolCall, ...]
    finish_reason: str
    is_legacy: bool = False


def choose_calls(request: Request, key: bytes) -> Calls | None:
    """Return the calls that answer a request, None where text does; `key` decides what is drawn."""
    tools, choice, is_legacy = _offered(request)
    if not tools or choice == "none":
        return None
    is_named = isinstance(choice, dict) and choice.get("type") != "allowed_tools"
    if isinstance(choice, dict):
        tools, choice = _chosen(tools, choice)
    if choice == "auto" and _is_answered(request):
        return None
    wanted = _how_many(request, tools, is_named=is_named)
    dice = Dice(key + b"calls")
    first = dice.number(0, len(tools) - 1)
    made = tuple(make_call(tools[(first + turn) % len(tools)], key + turn.to_bytes(2, "big")) for turn in range(wanted))
    # The API's own inconsistency: being told which function to call is no reason to end.
    reason = "stop" if is_named else "function_call" if is_legacy else "tool_calls"
    return Calls(made, reason, is_legacy)


def make_call(tool: dict[str, Any], key: bytes) -> ToolCall:
    """Call a tool with arguments that fit its schema, or with input that fits its format."""
    dice = Dice(key)
    kind: Literal["custom", "function"] = "custom" if tool.get("type") == "custom" else "function"
    about = tool.get(kind) or {}
    text = _input(about.get("format") or {}, dice) if kind == "custom" else _arguments(about.get("parameters"), dice)
    return ToolCall(id=call_id(key), kind=kind, name=about.get("name") or "", tokens=split_tokens(text))


def call_id(key: bytes) -> str:
    """Return the id of the call with this key."""
    return f"call_{Dice(key + b'id').hexadecimal(24)}"


def _offered(request: Request) -> tuple[list[dict[str, Any]], Any, bool]:
    """Return the tools, the choice among them, and whether they came as deprecated functions."""
    if request.get("tools"):
        return list(request.get("tools")), request.get("tool_choice") or "auto", False
    functions = [{"type": "function", "function": function} for function in request.get("functions") or ()]
    choice = request.get("function_call") or "auto"
    if isinstance(choice, dict):
        choice = {"type": "function", "function": choice}
    return functions, choice, True


def _chosen(tools: list[dict[str, Any]], choice: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Return the tools that a choice allows, and what it makes of them."""
    allowed = choice.get("allowed_tools")
    if isinstance(allowed, dict):
        names = {_name(tool) for tool in allowed.get("tools") or ()}
        return [tool for tool in tools if _name(tool) in names] or tools, allowed.get("mode") or "auto"
    return [tool for tool in tools if _name(tool) == _name(choice)] or tools, "required"


def _name(tool: dict[str, Any]) -> str | None:
    about = tool.get("custom") or tool.get("function") or tool
    name = about.get("name")
    return name if isinstance(name, str) else None


def _is_answered(request: Request) -> bool:
    """Say whether the last turn is a tool's, so that there is something to answer with."""
    return bool(request.messages) and request.messages[-1].get("role") in {"tool", "function"}


def _how_many(request: Request, tools: Sequence[dict[str, Any]], *, is_named: bool) -> int:
    if request.get("parallel_tool_calls") is not True or is_named:
        return 1
    return max(_FEWEST_PARALLEL, min(len(tools), _MOST_PARALLEL))


def _arguments(schema: Any, dice: Dice) -> str:
    try:
        value = sample(schema, dice) if schema else {}
    except SchemaFault:
        value = {}  # nothing fits; a model, too, would then call it all the same
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _input(form: dict[str, Any], dice: Dice) -> str:
    grammar = form.get("grammar") or {}
    if grammar.get("syntax") != "regex":
        return sentence(dice)
    try:
        return sample_pattern(grammar.get("definition") or "", dice)
    except SchemaFault:
        return ""
