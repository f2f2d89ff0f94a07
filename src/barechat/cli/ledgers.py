"""Which ledger does a command use, and what if it can't be used? The named one, the user's own, or none."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from barechat.cli.terminal import log_heard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from barechat.client import Client
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


class Filing:
    """Where a command's calls are filed, and the budgets that they carry. A fault of what was named is an error."""

    def __init__(self, warn: Callable[[str], None], *, is_named: bool) -> None:
        self.ledger: Ledger | None = None
        self.budgets: list[Budget] = []
        self.client: Client | None = None
        self._warn = warn
        self._is_named = is_named
        self._has_fault = False  # that was told
        self._heard: list[str] = []
        self._told: set[str] = set()

    def open(self, where: Place) -> None:
        """Open the ledger, and read its budgets.

        Raises:
            BarechatError: it was named, and can't be used.
        """
        with self._faults_told("what this costs is not filed, and no budget holds for it"):
            ledger = _made(where)
            self.budgets = ledger.standing_budgets()
            self.ledger = ledger

    def renew(self) -> None:
        """Have the client's calls carry the budgets that the ledger has by now: somebody may have set one anew.

        Raises:
            BarechatError: the ledger was named, and can't be read.
        """
        if self.ledger is not None and self.client is not None:
            with self._faults_told("the budgets can't be read"):
                self.client.budgets = self.ledger.standing_budgets()

    def settle(self) -> None:
        """Wait until the disk has what was filed, and tell what went wrong, each thing once.

        Raises:
            BarechatError: the ledger was named, and can't be written.
        """
        if self.ledger is not None:
            self._has_fault = False
            with self._faults_told("what this cost is not filed"):
                self.ledger.flush()
        self.tell_heard()

    @contextlib.contextmanager
    def _faults_told(self, what: str) -> Iterator[None]:
        from barechat.errors import BarechatError  # noqa: PLC0415 - for a quick `barechat --help`

        try:
            yield
        except BarechatError as error:
            self._has_fault = True
            if self._is_named:
                raise
            self._tell(f"{what}: {error}")

    def hear(self, said: str) -> None:
        """Keep what the ledger's thread says, which is not to cut the answer's lines.

        What follows from a fault that was told, that rows are lost, isn't told besides.
        """
        if not self._has_fault:
            self._heard.append(said)

    def tell_heard(self) -> None:
        """Tell what was kept."""
        while self._heard:
            self._tell(self._heard.pop(0))

    def _tell(self, said: str) -> None:
        if said not in self._told:
            self._told.add(said)
            self._warn(said)


@contextlib.contextmanager
def filing(where: Place | None, warn: Callable[[str], None]) -> Iterator[Filing]:
    """Open the ledger that calls are filed in, and the budgets that it has for them; close it in the end.

    `warn` is told if a call cost more than it could. The user's own ledger, where it can't be used, stops no call:
    `warn` is told why.

    Raises:
        BarechatError: a ledger that was named can't be used.
    """
    filed = Filing(warn, is_named=where is not None and where.is_named)
    if where is not None:
        filed.open(where)
    try:
        with _log_heard(filed.hear, warn):
            try:
                yield filed
            finally:
                if filed.ledger is not None:
                    filed.ledger.close()
    finally:
        filed.tell_heard()


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


def _log_heard(hear: Callable[[str], None], tell: Callable[[str], None]) -> AbstractContextManager[None]:
    """Pass on what the log says of errors, as that a call cost more than it could.

    tell: told that the ledger is waited for, at once, in the thread that waits.
    """
    from barechat.ledger.writer import AWAITED  # noqa: PLC0415 - for a quick `barechat --help`

    def pass_on(record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            hear(record.getMessage())
        elif record.msg in AWAITED:
            tell(record.getMessage())

    return log_heard(pass_on)
