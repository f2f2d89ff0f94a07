"""`barechat chat`: a conversation in the terminal. From a pipe, one message of a conversation."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import click

from barechat.cli.options import call_options, calling, session_of, terms_of
from barechat.cli.piped import piped
from barechat.cli.sessions import directory, made
from barechat.cli.terminal import log_heard, warnings_told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from barechat.cli.chat_commands import Desk
    from barechat.cli.ledgers import Filing
    from barechat.cli.options import Terms
    from barechat.cli.talk import Talk

_ERROR, _USAGE = 1, 2
_HISTORY = "history"  # beside the sessions, whose files end in .json


@click.command()
@call_options
def chat(**given: Any) -> int:
    """Talk with a model. /help lists what can be typed besides messages.

    What is piped in is one message; its reply goes to standard output, and all else to standard error, as in
    `barechat ask`. What it cost is filed in the ledger, for `barechat cost`.

    Exit codes: 0; 1 error; 2 usage; 3 what was piped in got no whole reply, and a line says why.
    """
    from barechat.cli.talk import Talk  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.errors import BarechatError, ParameterError  # noqa: PLC0415 - likewise

    terms = terms_of(**given)
    is_typed = sys.stdin is not None and sys.stdin.isatty()
    if is_typed and (sys.stdout is None or not sys.stdout.isatty()):
        raise click.UsageError("chat needs a terminal to show the conversation: use `barechat ask`.")
    message = "" if is_typed else piped()
    if not is_typed and not message.strip():
        raise click.UsageError("there is no message: pipe it in, or run it on a terminal.")
    talk = Talk(sys.stdout, sys.stdout if is_typed else sys.stderr, shows_wire=terms.wire)
    try:
        with warnings_told(talk.say):
            return _converse(talk, terms) if is_typed else _answer_once(talk, terms, message)
    except ParameterError as error:
        talk.notes.error(str(error))
        return _USAGE
    except BarechatError as error:
        talk.notes.error(str(error))
        return _ERROR


def _converse(talk: Talk, terms: Terms) -> int:
    from barechat.cli.chat_commands import COMMANDS  # noqa: PLC0415 - as above
    from barechat.cli.prompt import Prompt  # noqa: PLC0415

    with _opened(talk, terms) as (desk, filed):
        return talk.converse(desk, Prompt(_history(), talk.toolbar(desk), COMMANDS), filed)


def _answer_once(talk: Talk, terms: Terms, message: str) -> int:
    with _opened(talk, terms) as (desk, _):
        return talk.answer_once(desk, message)


@contextlib.contextmanager
def _opened(talk: Talk, terms: Terms) -> Iterator[tuple[Desk, Filing]]:
    from barechat.cli.chat_commands import Desk  # noqa: PLC0415 - as above

    with (
        log_heard(talk.hear),
        calling(terms, talk.warn, on_retry=talk.tell_retry, trace=talk.trace) as (client, filed),
        session_of(terms, client) as session,
    ):
        yield Desk(session, terms.name or "", talk.wire), filed


def _history() -> Path | None:
    """Return the file of what was typed; None where it can't be."""
    try:
        return made(directory()) / _HISTORY
    except click.ClickException:
        return None
