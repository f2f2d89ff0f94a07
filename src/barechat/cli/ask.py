"""`barechat ask`: one prompt; its answer on standard output, and what it cost on standard error."""

from __future__ import annotations

import contextlib
import json
import locale
import logging
import sys
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from barechat.cli.ledgers import filing, ledger_option, place
from barechat.cli.values import parameters_of, tag_option, tags_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barechat.cli.ledgers import Place
    from barechat.cli.terminal import Answer, Notes
    from barechat.client import Client
    from barechat.records import Attempt, Choice, Delta, Reply
    from barechat.wire.trace import Transcript

DEFAULT_MODEL = "gpt-4o-mini"

_ERROR, _USAGE, _OTHER_VERDICT = 1, 2, 3
_UNSENT_KEY = "not-sent"  # a curl command has the key as a variable of the shell
_VALUES_HINT = """values are read as JSON, such as 0.2, true or '["a", "b"]', and as text where they aren't JSON"""

model_option = click.option(
    "-m",
    "--model",
    default=DEFAULT_MODEL,
    envvar="BARECHAT_MODEL",
    show_default=True,
    show_envvar=True,
    metavar="NAME",
    help="The model to call.",
)


@click.command()
@click.argument("prompt", required=False)
@model_option
@click.option("-s", "--system", metavar="TEXT", help="A system message before the prompt.")
@click.option(
    "-p",
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any parameter of the API, as in -p temperature=0.2. The value is JSON, else text. Repeatable.",
)
@click.option(
    "-x",
    "--extra",
    "extras",
    multiple=True,
    metavar="NAME=VALUE",
    help="The same, sent unchecked: for what only your server knows. Repeatable.",
)
@click.option("--no-stream", is_flag=True, help="Ask for the whole reply at once.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole reply's JSON object, as the server sent it.")
@click.option("--wire", is_flag=True, help="Show every byte sent and received on standard error, the key masked.")
@click.option("--curl", is_flag=True, help="Print the request as a curl command, and send nothing.")
@click.option("--base-url", metavar="URL", help="The server's URL.  [default: OPENAI_BASE_URL, else OpenAI's]")
@tag_option
@ledger_option
@click.option("--no-ledger", is_flag=True, help="File the call nowhere; no budget holds for it.")
def ask(
    prompt: str | None,
    model: str,
    system: str | None,
    parameters: tuple[str, ...],
    extras: tuple[str, ...],
    no_stream: bool,
    as_json: bool,
    wire: bool,
    curl: bool,
    base_url: str | None,
    tags: tuple[str, ...],
    path: str | None,
    no_ledger: bool,
) -> int:
    """Ask a model. PROMPT comes from the argument, from standard input, or both.

    The answer goes to standard output as it comes, all else to standard error: retries, and at the end the tokens
    and what they cost. Ctrl-C ends the answer there. What it cost is filed in the ledger, for `barechat cost`.

    Exit codes: 0 the answer is complete; 1 error; 2 usage; 3 the answer ended otherwise, and a line says how.
    """
    if path is not None and no_ledger:
        raise click.UsageError("--ledger and --no-ledger contradict each other.")
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": _prompt(prompt)})
    question = _Question(
        messages=messages,
        model=model,
        parameters=parameters_of(parameters, "-p"),
        extra=parameters_of(extras, "-x"),
        tags=tags_of(tags),
        streamed=not (no_stream or as_json),
    )
    from barechat.cli.terminal import standard  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.errors import BarechatError, ParameterError  # noqa: PLC0415 - likewise

    answer, notes = standard()
    with warnings_told(notes.line):
        try:
            if curl:
                return _print_curl(question, answer, base_url)
            where = None if no_ledger else place(path)
            return _perform(question, answer, notes, where, as_json=as_json, wire=wire, base_url=base_url)
        except ParameterError as error:
            notes.error(str(error))
            if error.param in question.parameters:
                is_text = isinstance(question.parameters[error.param], str)
                notes.line(_VALUES_HINT if is_text else f"-x {error.param}=… sends it unchecked", "dim")
            return _USAGE
        except BarechatError as error:
            notes.error(str(error))
            return _ERROR


@dataclass(frozen=True, kw_only=True)
class _Question:
    messages: list[dict[str, str]]
    model: str
    parameters: dict[str, Any]
    extra: dict[str, Any]
    tags: dict[str, str]
    streamed: bool

    @property
    def options(self) -> dict[str, Any]:
        return {"model": self.model, "extra": self.extra, **self.parameters}


def _print_curl(question: _Question, answer: Answer, base_url: str | None) -> int:
    from barechat.client import Client  # noqa: PLC0415 - as above

    with Client(_UNSENT_KEY, base_url) as client:
        command = client.curl(question.messages, stream=question.streamed, **question.options)
    answer.write(f"{command}\n")
    return 0


def _perform(
    question: _Question,
    answer: Answer,
    notes: Notes,
    where: Place | None,
    *,
    as_json: bool,
    wire: bool,
    base_url: str | None,
) -> int:
    from barechat.client import Client  # noqa: PLC0415 - as above
    from barechat.wire.retry import RetryPolicy  # noqa: PLC0415

    def warn(text: str) -> None:
        notes.line(f"warning: {text}", "yellow")

    transcript = _transcript(notes) if wire else None
    with (
        filing(where, warn) as filed,
        Client(
            base_url=base_url,
            retry=RetryPolicy(on_retry=None if wire else _retry_teller(notes)),
            trace=transcript,
            ledger=filed.ledger,
            budget=filed.budgets,
        ) as client,
    ):
        code = _Asking(client, question, answer, notes, transcript, as_json=as_json).run()
        filed.settle()
    return code


class _Asking:
    """One call, and what is printed of it."""

    def __init__(
        self,
        client: Client,
        question: _Question,
        answer: Answer,
        notes: Notes,
        transcript: Transcript | None,
        *,
        as_json: bool,
    ) -> None:
        self._client = client
        self._question = question
        self._answer = answer
        self._notes = notes
        self._transcript = transcript
        # On one terminal, the wire and the answer would cut each other's lines.
        self._is_live = question.streamed and not (transcript and answer.is_terminal and notes.is_terminal)
        self._as_json = as_json
        self._partial: Callable[[], Reply | None] = lambda: None
        self._started = time.monotonic()

    def run(self) -> int:
        """Ask, print, and return the exit code."""
        from barechat.cli.terminal import OutputClosedError  # noqa: PLC0415 - for a quick `barechat --help`
        from barechat.cli.wording import ENDS  # noqa: PLC0415
        from barechat.errors import BarechatError, ParameterError  # noqa: PLC0415

        try:
            try:
                reply = self._reply()
                self._show(reply)
            except KeyboardInterrupt:
                self._show(self._partial())
                self._notes.line(ENDS["partial"], "yellow")
                self._bill(None)
                return _OTHER_VERDICT
            except ParameterError:
                raise  # refused before anything was sent
            except BarechatError as error:
                self._show(error.partial)
                self._fail(error)
                return _ERROR
        except OutputClosedError:
            self._bill(None)
            return _OTHER_VERDICT
        except OSError as error:
            self._notes.error(f"the answer can't be written: {error.strerror}")
            self._bill(None)
            return _ERROR
        if reply.verdict != "complete":
            self._notes.line(f"{ENDS[reply.verdict]} (finish_reason {reply.finish_reason})", "yellow")
        self._bill(reply)
        return 0 if reply.verdict == "complete" else _OTHER_VERDICT

    def _reply(self) -> Reply:
        try:
            return self._asked()
        finally:
            if self._transcript is not None:
                self._transcript.end()

    def _asked(self) -> Reply:
        question = self._question
        if not question.streamed:
            return self._client.chat(question.messages, tags=question.tags, **question.options)
        with self._client.stream(question.messages, tags=question.tags, **question.options) as stream:
            self._partial = lambda: stream.partial
            for delta in stream.deltas():
                if self._is_live and delta.index == 0:
                    self._tell(delta)
        return stream.reply

    def _tell(self, delta: Delta) -> None:
        """Print what a delta brings of choice 0."""
        if delta.reasoning and self._notes.is_terminal and self._transcript is None:
            self._notes.murmur(delta.reasoning)
        text = (delta.content or "") + (delta.refusal or "")
        if text:
            self._notes.end_line()
            self._answer.write(text)

    def _show(self, reply: Reply | None) -> None:
        """Print what there is of a reply, unless it was printed as it came."""
        self._notes.end_line()
        if reply is not None and self._as_json:
            if reply.verdict != "partial":
                self._answer.write(_json(reply.raw, self._answer) + "\n")
            return
        for choice in reply.choices if reply is not None else ():
            self._show_choice(choice, is_whole=reply is not None and reply.verdict != "partial")
        self._answer.end_line()

    def _show_choice(self, choice: Choice, *, is_whole: bool) -> None:
        message = choice.message
        if not (self._is_live and choice.index == 0):
            if message.reasoning and self._notes.is_terminal:
                self._answer.end_line()
                self._notes.line(message.reasoning, "dim")
            text = (message.content or "") + (message.refusal or "")
            if text and choice.index > 0:
                self._answer.begin_paragraph()
            self._answer.write(text)
        if not is_whole:
            return  # half a tool call would look like a whole one
        calls: list[dict[str, Any]] = [call.to_dict() for call in message.tool_calls or ()]
        if message.function_call is not None:
            function = message.function_call
            calls.append({"function_call": {"name": function.name, "arguments": function.arguments}})
        for call in calls:
            self._answer.end_line()
            self._answer.write(_json(call, self._answer, indent=False) + "\n")

    def _fail(self, error: Any) -> None:
        from barechat.cli.wording import failure_facts  # noqa: PLC0415 - as above

        self._notes.error(str(error))
        facts = failure_facts(self._notes.dot, error)
        if facts:
            self._notes.line(facts, "dim")

    def _bill(self, reply: Reply | None) -> None:
        """Print the line of the cost; without a reply, the most that the call can have cost."""
        from barechat.cli.wording import bill  # noqa: PLC0415 - as above
        from barechat.records import Cost  # noqa: PLC0415

        # The client was made for this one call, so what it has spent is what the call did.
        cost = reply.cost if reply else Cost.sum(self._client.cost.by_certainty.values())
        line = bill(
            self._notes.dot,
            (reply.model if reply else "") or self._question.model,
            reply.usage if reply else None,
            cost,
            attempts=len(reply.attempts) if reply else 1,
            seconds=time.monotonic() - self._started,
        )
        self._notes.line(line, "dim")


def _prompt(argument: str | None) -> str:
    """Return the prompt: the argument, what is piped in, or both with an empty line between."""
    parts = [part for part in (argument, piped()) if part and part.strip()]
    if not parts:
        raise click.UsageError("there is no prompt: give it as an argument, or pipe it in.")
    return "\n\n".join(parts)


def piped() -> str:
    """Return what is piped in, "" where nothing is.

    Raises:
        click.UsageError: it isn't text.
    """
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    try:
        data = sys.stdin.buffer.read()
    except OSError:
        return ""  # closed, as by `<&-`
    for encoding in ("utf-8-sig", locale.getencoding()):
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(encoding).rstrip("\r\n")
    raise click.UsageError("what is piped in is not text: it is neither UTF-8 nor of the locale's encoding.")


def _json(value: Any, answer: Answer, *, indent: bool = True) -> str:
    """Write JSON for whoever reads it: indented on a terminal, escaped where not every character can be written."""
    return json.dumps(value, ensure_ascii=not answer.is_unicode, indent=2 if indent and answer.is_terminal else None)


def _retry_teller(notes: Notes) -> Callable[[Attempt], None]:
    from barechat.cli.wording import retry  # noqa: PLC0415 - for a quick `barechat --help`

    return lambda attempt: notes.line(retry(attempt), "yellow")


def _transcript(notes: Notes) -> Transcript:
    from barechat.wire.trace import Transcript  # noqa: PLC0415 - as above

    return Transcript(notes.verbatim)


@contextlib.contextmanager
def warnings_told(say: Callable[[str, str], None]) -> Iterator[None]:
    """Tell warnings in one line each, and leave it to the exit code's line to tell verdicts."""

    def tell(message: Warning | str, *_: Any, **__: Any) -> None:
        say(f"warning: {message}", "yellow")

    logging.getLogger("barechat").addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = tell
        yield
