"""Which ledger does a command use, and what if it can't be used? The named one, the user's own, or none."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barechat.ledger.ledger import Ledger
    from barechat.money.budget import Budget

_NONE = "BARECHAT_LEDGER is empty, which means no ledger: name one by --ledger."

ledger_option = click.option(
    "--ledger",
    "path",
    metavar="PATH",
    help="The ledger's file.  [default: BARECHAT_LEDGER, else one in your data directory]",
)


class Place(NamedTuple):
    """A ledger's path, and whether somebody named it."""

    path: str
    is_named: bool


def place(given: str | None) -> Place | None:
    """Return where the ledger is: at the path given, else where BARECHAT_LEDGER says, else in the user's directory."""
    from barechat import settings  # noqa: PLC0415 - for a quick `barechat --help`

    named = settings.ledger_file() if given is None else given
    if named is not None:
        return Place(named, is_named=True) if named or given is not None else None
    import platformdirs  # noqa: PLC0415 - likewise

    directory = platformdirs.user_data_path("barechat", appauthor=False)
    return Place(str(directory / "ledger.db"), is_named=False)


@dataclass
class Filing:
    """Where a command's calls are filed, and the budgets that they carry. A fault of what was named is an error."""

    ledger: Ledger | None = None
    budgets: list[Budget] = field(default_factory=list)
    is_named: bool = False


@contextlib.contextmanager
def filing(where: Place | None, warn: Callable[[str], None]) -> Iterator[Filing]:
    """Open the ledger that calls are filed in, and the budgets that it has for them; close it in the end.

    `warn` is told if a call cost more than it could. The user's own ledger, where it can't be used, stops no call:
    `warn` is told why.

    Raises:
        BarechatError: a ledger that was named can't be used.
    """
    from barechat.errors import BarechatError  # noqa: PLC0415 - for a quick `barechat --help`

    filed = Filing(is_named=where is not None and where.is_named)
    if where is not None:
        try:
            filed.ledger = _made(where)
            filed.budgets = filed.ledger.standing_budgets()
        except BarechatError as error:
            if where.is_named:
                raise
            filed.ledger = None
            warn(f"this call is not filed, and no budget holds for it: {error}")
    try:
        with _errors_told(warn):
            yield filed
    finally:
        if filed.ledger is not None:
            filed.ledger.close()


@contextlib.contextmanager
def opened(given: str | None, *, makes: bool = False) -> Iterator[Ledger]:
    """Open the ledger that a command asks or changes. One that was given must be there, unless the command makes it.

    Raises:
        click.ClickException: it can't be used, or what was asked of it failed.
    """
    from barechat.errors import BarechatError  # noqa: PLC0415 - for a quick `barechat --help`

    where = place(given)
    if where is None:
        raise click.UsageError(_NONE)
    try:
        if given and not makes and not Path(given).exists():
            raise click.ClickException(f"there is no ledger at {given}")
        ledger = _made(where)
        try:
            yield ledger
        finally:
            ledger.close()
    except BarechatError as error:
        raise click.ClickException(" ".join(str(error).split())) from error


def confirmed(question: str, *, yes: bool) -> bool:
    """Say whether a person agrees to a change: by --yes, or by answering the question on a terminal.

    Raises:
        click.UsageError: nobody can be asked.
    """
    if yes:
        return True
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        raise click.UsageError("nobody is there to be asked: --yes does it unasked.")
    if click.confirm(question, err=True):
        return True
    click.echo("Nothing is changed.")
    return False


def _made(where: Place) -> Ledger:
    """Open the ledger, made if it isn't there; so is the user's own directory for it, for their eyes only."""
    from barechat.errors import ConfigurationError  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.ledger.ledger import Ledger  # noqa: PLC0415 - likewise

    if not where.is_named:
        directory = os.path.dirname(where.path)  # noqa: PTH120 - as text, for the message
        try:
            Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{directory} can't be made: {error.strerror or error}") from error
    return Ledger(where.path)


@contextlib.contextmanager
def _errors_told(warn: Callable[[str], None]) -> Iterator[None]:
    """Tell, at the end, what the logger `barechat` says of errors: that a call cost more than it could."""
    heard: list[str] = []

    class Hearer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())  # by the ledger's thread, which is not to cut the answer's lines

    logger, hearer = logging.getLogger("barechat"), Hearer(logging.ERROR)
    logger.addHandler(hearer)
    try:
        yield
    finally:
        logger.removeHandler(hearer)
        for said in heard:
            warn(said)
