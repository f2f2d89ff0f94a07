"""Where do a bulk run's results go, and which requests are done? One line a request, appended as it ends.

Done means that its line is in the file. A kill leaves at most a torn last line, which the next opening cuts off; a line
that another has taken the place of goes when the file is opened or closed, by writing the file anew beside it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from barechat.bulk.hashes import Hashes, hash_of
from barechat.bulk.results import Line
from barechat.errors import ConfigurationError
from barechat.session_file import Hold, replaced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from barechat.bulk.requests import BulkRequest

Check = Callable[[], object]

_read = msgspec.json.Decoder(Line).decode


def _pass() -> None:
    """Let it go on."""


class Sink:
    """An output file, held by one run at a time.

    retry_failed: whether the lines of errors go when it is opened, so that their requests count as not done.
    is_dry: whether it is only looked at: it is neither held nor written.

    Raises:
        ConfigurationError: another run holds it, it isn't an output of a bulk run, or it can't be written.
    """

    def __init__(self, path: Path, *, retry_failed: bool = False, is_dry: bool = False) -> None:
        self.path = path
        self._keys = Hashes()  # by the names' hashes
        self._is_stale = False  # some line is to go
        self._descriptor: int | None = None
        self._size = 0  # up to the end of the last whole line
        if is_dry:
            with self._faults():
                if path.exists():
                    self._scan(retry_failed=retry_failed)
            return
        self._hold = Hold(path, "output")
        try:
            with self._faults():
                self._open(retry_failed=retry_failed)
        except BaseException:
            self._hold.release()
            raise

    def key_of(self, request: BulkRequest) -> int | None:
        """Return the key of the line that stands for a request's name; None without one."""
        return self._keys.get(request.name_hash)

    def write(self, request: BulkRequest, line: bytes) -> None:
        """Append a request's line; an older one of the same name is to go."""
        if self._keys.get(request.name_hash) is not None:
            self._is_stale = True
        self._keys.put(request.name_hash, request.key)
        assert self._descriptor is not None  # noqa: S101 - it is open
        rest = line
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self._cut()  # what came of it would tear the next line, if there is room again by then
            raise self._fault(error) from error
        self._size += len(line)

    def close(self, places: Hashes | None = None, check: Check = _pass) -> None:
        """Wait for the disk, drop the lines that are to go, put the others into the order of `places`, and let go.

        `places` has each name's place; lines of other names come last. A large file takes its time: `check` is called
        for each line, and if it raises something, the file stays as it is. Doing so twice is fine.
        """
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            with self._faults():
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                if places is not None or self._is_stale:
                    self._rewrite(places, check)
        finally:
            self._hold.release()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self._shut()

    def _shut(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _open(self, *, retry_failed: bool) -> None:
        self._descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o666)
        try:
            self._check_kind(self._descriptor)
            self._size = self._scan(retry_failed=retry_failed)
            self._cut()
            if self._is_stale:
                self._rewrite(None)
                self._shut()
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND)
                self._size = os.fstat(self._descriptor).st_size
        except BaseException:
            self._shut()
            raise

    def _check_kind(self, descriptor: int) -> None:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigurationError(f"the output {self.path} must be a file, from which a run can go on")

    def _cut(self) -> None:
        """Drop what stands behind the last whole line."""
        assert self._descriptor is not None  # noqa: S101 - it is open
        os.ftruncate(self._descriptor, self._size)

    def _scan(self, *, retry_failed: bool) -> int:
        """Learn what is done; return where the last whole line ends."""
        whole = 0
        with self.path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if not text.endswith(b"\n"):
                    break  # torn by a kill
                whole += len(text)
                self._learn(text, number, retry_failed=retry_failed)
        return whole

    def _learn(self, text: bytes, number: int, *, retry_failed: bool) -> None:
        try:
            line = _read(text)
            name, key = hash_of(line.custom_id.encode()), line.key
        except (msgspec.DecodeError, ValueError) as error:
            said = f"line {number} of {self.path} is not of a bulk run ({error}); name another output"
            raise ConfigurationError(said) from error
        if self._keys.get(name) is not None:
            self._is_stale = True
            self._keys.drop(name)
        if line.error is not None and retry_failed:
            self._is_stale = True
            return
        self._keys.put(name, key)

    def _rewrite(self, places: Hashes | None, check: Check = _pass) -> None:
        """Write the file anew with the lines that count, in the order of `places`."""
        with self.path.open("rb") as old, replaced(self.path, self.path.stat().st_mode & 0o777) as new:
            for start in self._order(old, places or Hashes(), check):
                check()
                old.seek(start)
                new.write(old.readline())
        self._is_stale = False

    def _order(self, old: IO[bytes], places: Hashes, check: Check) -> Iterator[int]:
        """Yield where each line that counts begins: first those that have a place, then the others."""
        in_place, others, start = array("q", [-1]) * len(places), array("q"), 0
        for text in old:
            check()
            line = _read(text)
            name = hash_of(line.custom_id.encode())
            if self._keys.get(name) == line.key:
                place = places.get(name)
                if place is None:
                    others.append(start)
                else:
                    in_place[place] = start
            start += len(text)
        yield from (start for start in in_place if start >= 0)
        yield from others

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._fault(error) from error

    def _fault(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"the output {self.path} can't be written: {error.strerror or error}")
