"""What does `ask` ask, and in which form is the answer wished? What can't be asked is refused before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from barechat.cli.piped import piped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from barechat.cli.answer_schema import AnswerSchema
    from barechat.cli.options import Terms
    from barechat.tool import Tool

_OF_TOOLS = ("tools", "functions", "function_call", "n")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A user's message, how it is asked, and what is wished for an answer."""

    content: str | list[Any]
    terms: Terms
    answer_schema: AnswerSchema | None
    tools: tuple[Tool, ...]
    is_streamed: bool
    as_json: bool

    @property
    def message(self) -> dict[str, Any]:
        """The message as the API takes it."""
        return {"role": "user", "content": self.content}

    @property
    def format_options(self) -> dict[str, Any]:
        """What the call takes for the form of the answer."""
        return {} if self.answer_schema is None else {"response_format": self.answer_schema.response_format}


def question_of(
    terms: Terms,
    prompt: str | None,
    *,
    images: Sequence[str],
    schema: Path | None,
    tool_names: Sequence[str],
    no_stream: bool,
    as_json: bool,
) -> Question:
    """Return what the command was told to ask.

    Raises:
        click.UsageError: there is no prompt, options contradict each other, or a schema or tool can't be used.
        ParameterError: an image can't be sent.
    """
    _check(terms, schema=schema, tool_names=tool_names)
    text = _prompt(prompt)
    return Question(
        content=[{"type": "text", "text": text}, *map(_image, images)] if images else text,
        terms=terms,
        answer_schema=None if schema is None else _schema(schema),
        tools=_tools(tool_names),
        is_streamed=not (no_stream or as_json),
        as_json=as_json,
    )


def _check(terms: Terms, *, schema: Path | None, tool_names: Sequence[str]) -> None:
    given = {**dict.fromkeys(terms.extra, "-x"), **dict.fromkeys(terms.parameters, "-p")}
    if schema is not None and "response_format" in given:
        raise click.UsageError(f"--schema is a response_format: leave out {given['response_format']} response_format.")
    for name in _OF_TOOLS if tool_names else ():
        if name in given:
            reason = "one answer is gone on with" if name == "n" else "it says which functions may be called"
            raise click.UsageError(f"--tool takes no {given[name]} {name}: {reason}.")


def _prompt(argument: str | None) -> str:
    """Return the prompt: the argument, what is piped in, or both with an empty line between."""
    parts = [part for part in (argument, piped()) if part and part.strip()]
    if not parts:
        raise click.UsageError("there is no prompt: give it as an argument, or pipe it in.")
    return "\n\n".join(parts)


def _image(source: str) -> dict[str, Any]:
    from barechat.files import image  # noqa: PLC0415 - for a quick `barechat --help`

    return image(source)


def _schema(path: Path) -> AnswerSchema:
    from barechat.cli.answer_schema import schema_of  # noqa: PLC0415 - for a quick `barechat --help`

    return schema_of(path)


def _tools(names: Sequence[str]) -> tuple[Tool, ...]:
    from barechat.cli.tool_names import tools_of  # noqa: PLC0415 - few need it

    return tools_of(names)
