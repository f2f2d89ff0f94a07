"""How a conversation's file is read, written and held: JSON that is a valid `messages` list, one writer at a time.

A file is written whole beside the old one and takes its place in one step, so a kill leaves the one or the other.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from barechat.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import IO

UNWRITTEN = "%s; the conversation goes on, and is written with the next turn"
"""What is logged when a turn couldn't be written: a program may want to say so itself."""

_ROLES = frozenset({"developer", "system", "user", "assistant", "tool", "function"})


def read_messages(path: Path) -> list[dict[str, Any]]:
    """Return the messages of a file.

    Raises:
        ConfigurationError: it can't be read, or isn't a list of messages; the sentence names it.
    """
    try:
        messages = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"the session {path} can't be read: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ConfigurationError(f"the session {path} is not JSON: {error}") from error
    if not isinstance(messages, list):
        raise ConfigurationError(f"the session {path} holds no list of messages")
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise ConfigurationError(f"the session {path} can't be read: its message {number} has no role of the API's")
    return messages


def write_messages(path: Path, messages: Sequence[dict[str, Any]]) -> None:
    """Write the messages in place of what the file held, readable by its owner alone.

    Raises:
        ConfigurationError: it can't be written; it is as it was.
    """
    lines = ",\n".join(msgspec.json.encode(message).decode() for message in messages)
    try:
        with replaced(path, 0o600) as file:
            file.write(f"[\n{lines}\n]\n".encode())
    except OSError as error:
        raise ConfigurationError(f"the session {path} can't be written: {error.strerror or error}") from error


@contextlib.contextmanager
def replaced(path: Path, mode: int) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` in one step at the end, or never if something is raised meanwhile."""
    made = path.with_name(f".{path.name}.{os.getpid()}.new")
    with contextlib.suppress(FileNotFoundError):
        made.unlink()
    try:
        with os.fdopen(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
        _sync(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            made.unlink()
        raise


class Hold:
    """The right to write a file, a session's or some other's, until it is let go or the process ends in whatever way.

    Raises:
        ConfigurationError: somebody else holds it, or the file beside it that says so can't be made.
    """

    def __init__(self, path: Path, what: str = "session") -> None:
        lock = path.with_name(f".{path.name}.lock")
        try:
            self._descriptor: int | None = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise ConfigurationError(f"the {what} {path} can't be held: {error.strerror or error}") from error
        self._pid = os.getpid()
        if not _locked(self._descriptor):
            os.close(self._descriptor)
            self._descriptor = None
            raise ConfigurationError(f"the {what} {path} is open elsewhere: close it there, or name another file")

    @property
    def is_ours(self) -> bool:
        """Whether it is held, and by this process: a forked child holds nothing of its parent's."""
        return self._descriptor is not None and self._pid == os.getpid()

    def release(self) -> None:
        """Let others write it. Doing so twice is fine."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.release()


if sys.platform == "win32":
    import msvcrt

    def _locked(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _sync(_: Path) -> None:
        """Nothing: Windows has no way to wait for a directory."""

else:
    import fcntl

    def _locked(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _sync(directory: Path) -> None:
        """Wait until the disk has a directory's names."""
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
