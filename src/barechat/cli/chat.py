"""`barechat chat`: a conversation in the terminal. From a pipe, one message of a conversation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from barechat.cli.ask import model_option, piped, warnings_told
from barechat.cli.ledgers import filing, ledger_option, place
from barechat.cli.sessions import directory, file_name, made
from barechat.cli.values import parameters_of, tag_option, tags_of

if TYPE_CHECKING:
    from pathlib import Path

    from barechat.cli.ledgers import Filing
    from barechat.cli.talk import Talk
    from barechat.client import Client

_ERROR, _USAGE = 1, 2
_HISTORY = "history"  # beside the sessions, whose files end in .json


@click.command()
@click.option("-c", "--session", "name", metavar="NAME", help="The session to go on with, or to begin. It is kept.")
@model_option
@click.option("-s", "--system", metavar="TEXT", help="A system message before all; in a session, from now on.")
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
@click.option("--wire", is_flag=True, help="Show every byte sent and received, the key masked.")
@click.option("--base-url", metavar="URL", help="The server's URL.  [default: OPENAI_BASE_URL, else OpenAI's]")
@tag_option
@ledger_option
@click.option("--no-ledger", is_flag=True, help="File the calls nowhere; no budget holds for them.")
def chat(
    name: str | None,
    model: str,
    system: str | None,
    parameters: tuple[str, ...],
    extras: tuple[str, ...],
    wire: bool,
    base_url: str | None,
    tags: tuple[str, ...],
    path: str | None,
    no_ledger: bool,
) -> int:
    """Talk with a model. /help lists what can be typed besides messages.

    What is piped in is one message; its reply goes to standard output, and all else to standard error, as in
    `barechat ask`. What it cost is filed in the ledger, for `barechat cost`.

    Exit codes: 0; 1 error; 2 usage; 3 what was piped in got no whole reply, and a line says why.
    """
    from barechat.cli.chat_commands import COMMANDS, Desk  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.cli.talk import Talk  # noqa: PLC0415 - likewise
    from barechat.errors import BarechatError, ParameterError  # noqa: PLC0415 - likewise
    from barechat.session import ChatSession  # noqa: PLC0415 - likewise

    if path is not None and no_ledger:
        raise click.UsageError("--ledger and --no-ledger contradict each other.")
    is_typed = sys.stdin is not None and sys.stdin.isatty()
    if is_typed and (sys.stdout is None or not sys.stdout.isatty()):
        raise click.UsageError("chat needs a terminal to show the conversation: use `barechat ask`.")
    message = "" if is_typed else piped()
    if not is_typed and not message.strip():
        raise click.UsageError("there is no message: pipe it in, or run it on a terminal.")
    options: dict[str, Any] = {**parameters_of(parameters, "-p"), "extra": parameters_of(extras, "-x")}
    options["tags"] = tags_of(tags)
    kept = None
    if name is not None:
        kept = made(directory()) / file_name(name)
        options["tags"].setdefault("session", name)
    talk = Talk(sys.stdout, sys.stdout if is_typed else sys.stderr, shows_wire=wire)
    try:
        with (
            warnings_told(talk.say),
            filing(None if no_ledger else place(path), talk.warn) as filed,
            _client(base_url, talk, filed) as client,
            ChatSession(client, system, model=model, path=kept, **options) as session,
        ):
            if system is not None:
                session.system_prompt = system
            desk = Desk(session, name or "", talk.wire)
            if is_typed:
                from barechat.cli.prompt import Prompt  # noqa: PLC0415 - as above

                code = talk.converse(desk, Prompt(_history(), talk.toolbar(desk), COMMANDS), filed)
            else:
                code = talk.answer_once(desk, message)
            filed.settle()
            return code
    except ParameterError as error:
        talk.notes.error(str(error))
        return _USAGE
    except BarechatError as error:
        talk.notes.error(str(error))
        return _ERROR


def _client(base_url: str | None, talk: Talk, filed: Filing) -> Client:
    from barechat.client import Client  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.wire.retry import RetryPolicy  # noqa: PLC0415 - likewise

    return Client(
        base_url=base_url,
        retry=RetryPolicy(on_retry=talk.tell_retry),
        trace=talk.trace,
        ledger=filed.ledger,
        budget=filed.budgets,
    )


def _history() -> Path | None:
    """Return the file of what was typed; None where it can't be."""
    try:
        return made(directory()) / _HISTORY
    except click.ClickException:
        return None
