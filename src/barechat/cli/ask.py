"""`barechat ask`: one prompt; its answer on standard output, and what it cost on standard error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from barechat.cli.options import call_options, calling, messages_before, terms_of
from barechat.cli.question import question_of
from barechat.cli.terminal import standard, warnings_told

if TYPE_CHECKING:
    from collections.abc import Callable

    from barechat.cli.options import Terms
    from barechat.cli.question import Question
    from barechat.cli.terminal import Answer, Notes
    from barechat.errors import ParameterError
    from barechat.records import Attempt

_ERROR, _USAGE = 1, 2
_UNSENT_KEY = "not-sent"  # a curl command has the key as a variable of the shell
_VALUES_HINT = """values are read as JSON, such as 0.2, true or '["a", "b"]', and as text where they aren't JSON"""


@click.command()
@click.argument("prompt", required=False)
@click.option("--image", "images", multiple=True, metavar="PATH-OR-URL", help="Send an image along. Repeatable.")
@click.option(
    "--schema", type=click.Path(path_type=Path), metavar="FILE", help="Ask for JSON by the JSON schema in FILE."
)
@click.option(
    "--tool",
    "tool_names",
    multiple=True,
    metavar="MODULE:FUNCTION",
    help="Let the model call a Python function, found from here. Repeatable.",
)
@click.option("--no-stream", is_flag=True, help="Ask for the whole reply at once.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole reply's JSON object, as the server sent it.")
@click.option("--curl", is_flag=True, help="Print the request as a curl command, and send nothing.")
@call_options
def ask(prompt: str | None, *, curl: bool, **given: Any) -> int:
    """Ask a model. PROMPT comes from the argument, from standard input, or both.

    The answer goes to standard output as it comes, all else to standard error: retries, tool calls, and at the end the
    tokens and what they cost. Ctrl-C ends the answer there. What it cost is filed in the ledger, for `barechat cost`.

    Exit codes: 0 the answer is complete; 1 error; 2 usage; 3 the answer ended otherwise, and a line says how.
    """
    from barechat.errors import BarechatError, ParameterError  # noqa: PLC0415 - for a quick `barechat --help`

    own = {name: given.pop(name) for name in ("images", "schema", "tool_names", "no_stream", "as_json")}
    terms = terms_of(**given)
    answer, notes = standard()
    with warnings_told(notes.line):
        try:
            question = question_of(terms, prompt, **own)
            return _print_curl(question, answer) if curl else _perform(question, answer, notes)
        except ParameterError as error:
            notes.error(str(error))
            _hint(error, terms, notes)
            return _USAGE
        except BarechatError as error:
            notes.error(str(error))
            return _ERROR


def _hint(error: ParameterError, terms: Terms, notes: Notes) -> None:
    """Say how a value that was refused may be meant."""
    if error.param in terms.parameters:
        is_text = isinstance(terms.parameters[error.param], str)
        notes.line(_VALUES_HINT if is_text else f"-x {error.param}=… sends it unchecked", "dim")


def _print_curl(question: Question, answer: Answer) -> int:
    from barechat.client import Client  # noqa: PLC0415 - as above

    terms = question.terms
    options = {**terms.parameters, **question.format_options}
    if question.tools:
        options["tools"] = [tool.definition for tool in question.tools]
    messages = [*messages_before(terms), question.message]
    with Client(_UNSENT_KEY, terms.base_url) as client:
        command = client.curl(messages, model=terms.model, stream=question.is_streamed, extra=terms.extra, **options)
    answer.write(f"{command}\n")
    return 0


def _perform(question: Question, answer: Answer, notes: Notes) -> int:
    from barechat.cli.asking import Asking  # noqa: PLC0415 - as above
    from barechat.wire.trace import Transcript  # noqa: PLC0415

    def warn(text: str) -> None:
        notes.line(f"warning: {text}", "yellow")

    transcript = Transcript(notes.verbatim) if question.terms.wire else None
    on_retry = None if transcript else _retry_teller(notes)
    with calling(question.terms, warn, on_retry=on_retry, trace=transcript) as (client, _):
        return Asking(client, question, answer, notes, transcript).run()


def _retry_teller(notes: Notes) -> Callable[[Attempt], None]:
    from barechat.cli.wording import retry  # noqa: PLC0415 - for a quick `barechat --help`

    return lambda attempt: notes.line(retry(attempt), "yellow")
