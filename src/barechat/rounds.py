"""What a run of tools is: which calls a reply asks for, what each comes to, and what the model is told of it.

No I/O, no threads, no tasks: those are in `tools.py`, which performs the calls.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from barechat.errors import AnswerFiltered, AnswerLimited, ParameterError, RoundsExceeded, ToolsFailed
from barechat.parameters import shortened, shown
from barechat.records import Message, Run
from barechat.schema import is_name, name_of
from barechat.shapes import Misfit
from barechat.spending import charged
from barechat.tool import tool_of
from barechat.wire.body import spelt
from barechat.wire.request import checked_messages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from barechat.records import Reply, ToolCall
    from barechat.tool import Tool
    from barechat.wire.request import Messages

logger = logging.getLogger("barechat")

_MOST_FAILED_ROUNDS = 3  # in a row, each without a call that worked
_LONGEST_ID = 40  # that the API takes back
_TAKEN = {
    "functions": "pass tools=[…]",
    "function_call": "pass tool_choice=…",
    "n": "one answer is gone on with",
}


class Calling:
    """One call of the model's: what is to be run, and then what the model is told of it."""

    def __init__(self, call_id: str, name: str) -> None:
        self.call_id = call_id
        self.name = name
        self.answer = ""
        self.has_failed = False
        self._tool: Tool | None = None
        self._job: Callable[[], Any] | None = None
        self._awaited: Awaitable[Any] | None = None

    @property
    def needs_thread(self) -> bool:
        """Whether it keeps whoever runs it from doing anything else."""
        return self._tool is not None and not self._tool.is_async

    def prepare(self, tool: Tool, arguments: str) -> None:
        """Make it ready to run, or refuse it for its arguments."""
        try:
            self._job = tool.prepared(arguments)
            self._tool = tool
        except Misfit as misfit:
            self.refuse(f"the arguments of {self.name} are not what it takes: {misfit}")

    def refuse(self, why: str) -> None:
        """Tell the model that its call came to nothing."""
        self.has_failed = True
        text = shortened(why).encode(errors="replace").decode()
        self.answer = msgspec.json.encode({"error": text}).decode()

    def run(self) -> None:
        """Call the function, unless the call is refused. What has to be awaited is left to `finish`."""
        if self._tool is None or self._job is None:
            return
        try:
            result = self._job()
            if inspect.isawaitable(result):
                self._awaited = result
            else:
                self.answer = self._tool.told(result)
        except Exception as error:  # noqa: BLE001 - whatever a tool raises is the model's to know
            self._fail(self._tool, error)

    async def finish(self) -> None:
        """Await the function's result, where it has to be."""
        if self._tool is None or self._awaited is None:
            return
        try:
            self.answer = self._tool.told(await self._awaited)
        except Exception as error:  # noqa: BLE001 - likewise
            self._fail(self._tool, error)

    def forgo(self) -> None:
        """Tell the model that nobody awaits the function's result, where it has to be."""
        if self._awaited is not None:
            if inspect.iscoroutine(self._awaited):
                self._awaited.close()
            self.refuse(f"{self.name} gave something to await, which only an AsyncClient does")

    def _fail(self, tool: Tool, error: Exception) -> None:
        """Tell the model what a function raised, and the log; or raise it, where the tool says so."""
        if isinstance(error, tool.raises):
            raise error
        logger.warning("tool %s raised %s, which the model is told", self.name, type(error).__name__, exc_info=error)
        self.refuse(f"{type(error).__name__}: {error}")


class Rounds:
    """What to ask next, and what to make of the reply.

    Raises:
        ParameterError: a tool can't be described to the model, or an option is at odds with running tools.
    """

    def __init__(
        self,
        messages: Messages,
        tools: Sequence[Any],
        max_rounds: int,
        options: Mapping[str, Any],
        *,
        awaits: bool,
    ) -> None:
        if not isinstance(max_rounds, int) or max_rounds < 1:
            raise ParameterError(
                f"max_rounds must be a whole number from 1, not {shown(max_rounds)}", param="max_rounds"
            )
        for name, reason in _TAKEN.items():
            if options.get(name) is not None:
                raise ParameterError(f"run(…) takes no {name}: {reason}", param=name)
        self._tools = _by_name(tools, awaits=awaits)
        self._max_rounds = max_rounds
        self._failed_rounds = 0
        self._options = {**options, "tools": [tool.definition for tool in self._tools.values()]}
        self.replies: list[Reply] = []
        self.messages: list[dict[str, Any]] = [
            spelt(message, "messages") if isinstance(message, Message) else dict(message)
            for message in checked_messages(messages)
        ]

    def options(self) -> dict[str, Any]:
        """Return what the next round is asked with: a call that is demanded is demanded once, or it would never end."""
        if not self.replies:
            return self._options
        return {**self._options, "tool_choice": _freed(self._options.get("tool_choice"))}

    def take(self, reply: Reply) -> list[Calling] | Run:
        """Return the calls that a reply asks for, or all that came of the run, where it asks for none.

        Raises:
            AnswerLimited, AnswerFiltered: it was cut among its calls. RoundsExceeded: it is one round too many.
        """
        self.replies.append(reply)
        if not reply.message.tool_calls:
            return Run(messages=[*self.messages, _said(reply.message)], rounds=tuple(self.replies))
        with charged(self.replies, self.messages):
            if reply.verdict == "limited":
                raise AnswerLimited(
                    "the answer was cut at a length, among its tool calls; none was made", partial=reply
                )
            if reply.verdict == "filtered":
                raise AnswerFiltered(
                    "the answer was cut by the server's content filter, among its tool calls", partial=reply
                )
            if len(self.replies) == self._max_rounds:
                raise RoundsExceeded(
                    f"after {self._max_rounds} rounds the model still calls tools; the last calls were not made. Go on "
                    "with the error's messages, or raise max_rounds",
                    partial=reply,
                )
        return self._callings(reply.message.tool_calls)

    def answer(self, reply: Reply, callings: Sequence[Calling]) -> None:
        """Add a reply and what came of its calls to the conversation.

        Raises:
            ToolsFailed: none worked, once too often.
        """
        calls = reply.message.tool_calls or ()
        asked = [_spelt(call, calling.call_id) for call, calling in zip(calls, callings, strict=True)]
        self.messages.append({**reply.message.to_dict(), "tool_calls": asked})
        self.messages += [
            {"role": "tool", "tool_call_id": calling.call_id, "content": calling.answer} for calling in callings
        ]
        self._failed_rounds = self._failed_rounds + 1 if all(calling.has_failed for calling in callings) else 0
        if self._failed_rounds == _MOST_FAILED_ROUNDS:
            with charged(self.replies, self.messages):
                raise ToolsFailed(
                    f"none of the model's calls worked, {_MOST_FAILED_ROUNDS} rounds in a row; the last it was told is "
                    f"{shown(callings[-1].answer)}",
                    partial=reply,
                )

    def _callings(self, calls: Sequence[ToolCall]) -> list[Calling]:
        taken: set[str] = set()
        callings = []
        for position, call in enumerate(calls):
            call_id = call.id if 0 < len(call.id) <= _LONGEST_ID and call.id not in taken else ""
            call_id = call_id or f"call_{len(self.replies)}_{position}"
            taken.add(call_id)
            callings.append(self._calling(call, call_id))
        return callings

    def _calling(self, call: ToolCall, call_id: str) -> Calling:
        """Return a call that is ready to run, or refused."""
        name = _name_of(call)
        calling = Calling(call_id, name)
        if call.function is None or name not in self._tools:
            calling.refuse(f"there is no tool {shown(name)}; there are {', '.join(self._tools)}")
        else:
            calling.prepare(self._tools[name], call.function.arguments)
        return calling


def _by_name(given: Sequence[Any], *, awaits: bool) -> dict[str, Tool]:
    if isinstance(given, (str, bytes, dict)) or not hasattr(given, "__iter__") or not given:
        raise ParameterError(f"tools must be a list of at least one function, not {shown(given)}", param="tools")
    tools: dict[str, Tool] = {}
    for tool in map(tool_of, given):
        if tool.name in tools:
            raise ParameterError(f"two tools are named {tool.name}: pass Tool(function, name=…) for one", param="tools")
        if tool.is_async and not awaits:
            raise ParameterError(f"{tool.name} is a coroutine function: it needs an AsyncClient", param="tools")
        tools[tool.name] = tool
    return tools


def _freed(choice: Any) -> Any:
    """Return a tool_choice that demands nothing: which tools are allowed, if it says so, or None."""
    if isinstance(choice, str):
        return None if choice == "required" else choice
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return None
    return {**choice, "allowed_tools": {**choice["allowed_tools"], "mode": "auto"}}


def _said(message: Message) -> dict[str, Any]:
    """Return the last message as the next request carries it: an empty one needs a content, too."""
    said = message.to_dict()
    if said == {"role": message.role, "content": None}:
        said["content"] = ""
    return said


def _name_of(call: ToolCall) -> str:
    about = call.custom or call.function
    return about.name if about is not None else ""


def _spelt(call: ToolCall, call_id: str) -> dict[str, Any]:
    """Return a call as the API takes it back, whatever its name is."""
    kind = "custom" if call.custom is not None else "function"
    spelt: dict[str, Any] = {**call.to_dict(), "id": call_id, "type": kind}
    name = _name_of(call)
    return {**spelt, kind: {**spelt[kind], "name": name if is_name(name) else name_of(name) or "unnamed"}}
