"""What of an answer is printed, and when? Its text as it comes where that can be; else, and all else, at its end.

What a model says before it calls tools is printed before they are called, however the answer comes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from barechat.cli.question import Question
    from barechat.cli.terminal import Answer, Notes
    from barechat.records import Choice, Delta, Reply, ToolCall

_MAY_BE_WHOLE = ("complete", "unknown")
_MOST_TOLD = 200  # characters of a call or its result


class Printer:
    """What prints one question's answer."""

    def __init__(self, question: Question, answer: Answer, notes: Notes, *, shows_wire: bool) -> None:
        self._question = question
        self._answer = answer
        self._notes = notes
        self._shows_wire = shows_wire
        # On one terminal, the wire and the answer would cut each other's lines.
        shares_terminal = shows_wire and answer.is_terminal and notes.is_terminal
        self._is_live = question.is_streamed and question.answer_schema is None and not shares_terminal
        self._count_shown = 0  # of the replies

    def hear(self, delta: Delta) -> None:
        """Print what a delta brings of choice 0, if it is printed as it comes."""
        if not self._is_live or delta.index != 0:
            return
        if delta.reasoning and self._notes.is_terminal and not self._shows_wire:
            self._notes.murmur(delta.reasoning)
        text = (delta.content or "") + (delta.refusal or "")
        if text:
            self._notes.end_line()
            self._answer.write(text)

    def tell_call(self, call: ToolCall, told: str | None) -> None:
        """Say which function is called, and once it has been, what the model is told of it."""
        about = call.function or call.custom
        name = about.name if about is not None else ""
        arguments = call.function.arguments if call.function is not None else ""
        line = f"calls {name}({arguments})" if told is None else f"{name} gave {told}"
        line = " ".join(line.split())
        self._answer.end_line()
        self._notes.line(line if len(line) <= _MOST_TOLD else f"{line[: _MOST_TOLD - 3]}...", "dim")

    def check(self, replies: Sequence[Reply]) -> None:
        """Refuse what isn't to be printed.

        Raises:
            UnfitError: the last reply isn't what the schema asks for.
        """
        if not self._question.as_json:
            self._values(replies[-1])

    def show(self, replies: Sequence[Reply]) -> None:
        """Print what there is of the replies that `check` has passed, unless it was printed before."""
        self.show_new(replies)
        if self._question.as_json:
            self._answer.write(self._json(replies[-1].raw) + "\n")
        elif self._question.answer_schema is not None:
            self._show_values(replies[-1])

    def show_new(self, replies: Sequence[Reply]) -> None:
        """Print what whole replies say, those that it wasn't told before. JSON is for the last one, and for `show`."""
        self._notes.end_line()
        new, self._count_shown = replies[self._count_shown :], len(replies)
        if self._question.as_json or self._question.answer_schema is not None:
            return
        for reply in new:
            for choice in reply.choices:
                self._show_choice(choice)
                if not self._question.tools:
                    self._show_calls(choice)
            self._answer.end_line()

    def show_partial(self, reply: Reply | None) -> None:
        """Print what came of a reply that isn't whole; half an object or tool call would look like a whole one."""
        self._notes.end_line()
        if reply is not None and not self._question.as_json and self._question.answer_schema is None:
            for choice in reply.choices:
                self._show_choice(choice)
        self._answer.end_line()

    def _values(self, reply: Reply) -> list[Any]:
        """Return what a whole reply's choices hold by the schema, where there is one."""
        schema = self._question.answer_schema
        if schema is None or reply.verdict not in _MAY_BE_WHOLE:
            return []
        answered = [choice.message for choice in reply.choices if not choice.message.refusal]
        return [schema.read(message.content or "") for message in answered if not message.tool_calls]

    def _show_values(self, reply: Reply) -> None:
        for value in self._values(reply):
            self._answer.write(self._json(value) + "\n")
        for choice in reply.choices if reply.verdict in _MAY_BE_WHOLE else ():
            self._show_calls(choice)

    def _show_choice(self, choice: Choice) -> None:
        message = choice.message
        if self._is_live and choice.index == 0:
            return
        if message.reasoning and self._notes.is_terminal:
            self._answer.end_line()
            self._notes.line(message.reasoning, "dim")
        text = (message.content or "") + (message.refusal or "")
        if text and choice.index > 0:
            self._answer.begin_paragraph()
        self._answer.write(text)

    def _show_calls(self, choice: Choice) -> None:
        message = choice.message
        calls: list[dict[str, Any]] = [call.to_dict() for call in message.tool_calls or ()]
        if message.function_call is not None:
            function = message.function_call
            calls.append({"function_call": {"name": function.name, "arguments": function.arguments}})
        for call in calls:
            self._answer.end_line()
            self._answer.write(self._json(call, indent=False) + "\n")

    def _json(self, value: Any, *, indent: bool = True) -> str:
        """Write JSON for whoever reads it: indented on a terminal, escaped where not every character can be written."""
        is_wide = indent and self._answer.is_terminal
        return json.dumps(value, ensure_ascii=not self._answer.is_unicode, indent=2 if is_wide else None)
