"""`barechat sessions`: which conversations `barechat chat` keeps by name, and where."""

from __future__ import annotations

import errno
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"\w[\w.-]{0,99}")
_SUFFIX = ".json"
_OPENING = 40  # characters


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table, or a JSON array of objects.",
)
def sessions(form: str) -> int:
    """List the sessions of `barechat chat`.

    They are what `barechat chat -c NAME` keeps, the latest first: name, turns, when the last one was, and how it began.
    """
    from barechat.cli.terminal import standard  # noqa: PLC0415 - for a quick `barechat --help`

    where = directory()
    found = sorted(kept(where), key=lambda one: (-one.changed.timestamp(), one.name))
    answer, notes = standard()
    if form == "json":
        answer.write(json.dumps([one.to_dict() for one in found], indent=2, ensure_ascii=not answer.is_unicode) + "\n")
    elif found:
        width = max(len(one.name) for one in found)
        answer.write("".join(f"{one.row(width)}\n" for one in found))
    else:
        notes.line(f"There are none in {where}: `barechat chat -c NAME` begins one.", "dim")
    return 0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A conversation that is kept. `turns` is None if its file can't be read."""

    name: str
    path: Path
    changed: datetime
    turns: int | None
    opening: str

    def row(self, width: int) -> str:
        """Return its line of the table."""
        turns = "" if self.turns is None else f"{self.turns} {'turn' if self.turns == 1 else 'turns'}"
        when = self.changed.astimezone().strftime("%Y-%m-%d %H:%M")
        return f"{self.name:<{width}}  {turns:>9}  {when}  {self.opening}".rstrip()

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON has of it."""
        return {
            "name": self.name,
            "turns": self.turns,
            "changed": self.changed.isoformat(timespec="seconds"),
            "opening": self.opening,
            "path": str(self.path),
        }


def directory() -> Path:
    """Return where conversations are kept: in BARECHAT_SESSIONS, else among the user's data."""
    from barechat import settings  # noqa: PLC0415 - for a quick `barechat --help`

    if named := settings.sessions_directory():
        return Path(named)
    import platformdirs  # noqa: PLC0415 - likewise

    return platformdirs.user_data_path("barechat", appauthor=False) / "sessions"


def made(where: Path) -> Path:
    """Return the directory once it is there, for its owner alone if it is new.

    Raises:
        click.ClickException: it can't be made.
    """
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"sessions can't be kept in {where}: {error.strerror or error}") from error
    return where


def file_name(name: str) -> str:
    """Return the file name of a conversation.

    Raises:
        click.UsageError: it can't have that name.
    """
    if not _NAME.fullmatch(name):
        raise click.UsageError(
            f"{name!r} can't be a session's name: letters, digits, '-', '_' and '.' can, up to 100 of them, "
            "the first neither '-' nor '.'."
        )
    return f"{name}{_SUFFIX}"


def kept(where: Path) -> Iterator[Kept]:
    """Yield the conversations of a directory."""
    from barechat import history  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.errors import ConfigurationError  # noqa: PLC0415 - likewise
    from barechat.session_file import read_messages  # noqa: PLC0415 - likewise

    for path in where.glob(f"*{_SUFFIX}"):
        if not _NAME.fullmatch(path.name.removesuffix(_SUFFIX)):
            continue
        try:
            messages = read_messages(path)
            turns = history.turns(messages)
            asked = next((message for message in messages if message["role"] == "user"), {})
            opening = " ".join(history.told(asked).split())
        except ConfigurationError:
            turns, opening = None, "can't be read"
        changed = _changed(path)
        if changed is None:
            continue
        if len(opening) > _OPENING:
            opening = f"{opening[: _OPENING - 3].rstrip()}..."
        yield Kept(name=path.name.removesuffix(_SUFFIX), path=path, changed=changed, turns=turns, opening=opening)


def _changed(path: Path) -> datetime | None:
    """Return when a file was written last; None where there is none: it was deleted meanwhile, or a link misses it."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ELOOP}:
            raise
        return None
