"""How is a file of requests read? As a stream: JSON lines or CSV, one request at a time, bad lines by their number."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import threading
from collections import Counter, deque
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, Literal

from barechat.bulk.hashes import Hashes
from barechat.bulk.requests import BadLine, BulkRequest, Reader
from barechat.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

Item = BulkRequest | BadLine
Form = Literal["jsonl", "csv"]
_BOM = b"\xef\xbb\xbf"
_LONGEST_FIELD = 16 * 1024 * 1024
_AHEAD = 100  # items


def requests_of(file: IO[bytes], form: Form, reader: Reader) -> Iterator[Item]:
    """Yield the requests of a file, and its bad lines; empty lines are passed over.

    Raises:
        ParameterError: a CSV file without a template.
    """
    if form == "csv" and reader.prompt is None:
        raise ParameterError(
            "CSV has fields, not requests: say what to ask of each row with --prompt", param="--prompt"
        )
    return _json_lines(file, reader) if form == "jsonl" else _rows(file, reader)


class Names:
    """The names that have come, each once; a second one of the same name is a bad line.

    Each has the place in the input at which it came.
    """

    def __init__(self) -> None:
        self.places = Hashes()

    def checked(self, item: Item) -> Item:
        """Return the item, or what is wrong with its name."""
        if isinstance(item, BadLine):
            return item
        name = item.name_hash
        if self.places.get(name) is None:
            self.places.put(name, len(self.places))
            return item
        error = ParameterError(f"the custom_id {item.custom_id!r} has come before", param="custom_id")
        return BadLine(line=item.line, custom_id=item.custom_id, error=error)


def _json_lines(lines: Iterable[bytes], reader: Reader) -> Iterator[Item]:
    for number, line in enumerate(lines, 1):
        text = (line.removeprefix(_BOM) if number == 1 else line).strip()
        if text:
            yield reader.read_json(text, number)


def _rows(file: IO[bytes], reader: Reader) -> Iterator[Item]:
    """Yield a CSV file's rows; a row's number is that of the line on which it begins."""
    csv.field_size_limit(_LONGEST_FIELD)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.reader(text, strict=True)
    names: list[str] | None = None
    while True:
        number = rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield _bad(number, f"not CSV: {error}")
            continue
        if row is None:
            text.detach()  # the file is the caller's to close
            return
        if names is None:
            names = _columns(row)
        elif row:
            yield _row(names, row, number, reader)


def _columns(row: list[str]) -> list[str]:
    """Return the columns' names. Those that tables leave empty at their end may be many."""
    twice = [name for name, count in Counter(row).items() if name and count > 1]
    if twice:
        raise ParameterError(f"the first line names {twice[0]!r} more than once: which is meant? Rename the others")
    return row


def _row(names: list[str], row: list[str], number: int, reader: Reader) -> Item:
    if len(row) != len(names):
        return _bad(number, f"{len(row)} fields, where the first line names {len(names)}")
    fields: dict[str, Any] = dict(zip(names, row, strict=True))
    if not fields.get("custom_id"):
        fields.pop("custom_id", None)
    return reader.read(fields, number)


def _bad(number: int, said: str) -> BadLine:
    return BadLine(line=number, custom_id=f"line-{number}", error=ParameterError(said))


class Source:
    """A run's requests: those of an iterator when they are asked for, those of an async one a few ahead."""

    def __init__(self, items: Iterator[Item] | AsyncIterator[Item], tell: Callable[[], object]) -> None:
        """Read what `items` yields. `tell` is called when there is more to take, or no more will come."""
        self.is_over = False
        self._items, self._tell = items, tell
        self._ready: deque[Item] = deque()
        self._room = asyncio.Event()
        self._filling: asyncio.Task[None] | None = None

    def take(self) -> Item | None:
        """Return the next request; None if there is none now, or (`is_over`) any more."""
        if isinstance(self._items, Iterator):
            item = next(self._items, None)
            self.is_over = item is None
            return item
        if self._filling is None:
            self._filling = asyncio.create_task(self._fill(self._items))
        if self._ready:
            self._room.set()
            return self._ready.popleft()
        if self._filling.done():
            self._filling.result()
            self.is_over = True
        return None

    def close(self) -> None:
        """Read no further ahead. What is taken after that begins anew, unless a wait for the next one was cut."""
        if self._filling is not None:
            self._filling.cancel()
            self._filling = None

    async def _fill(self, items: AsyncIterator[Item]) -> None:
        try:
            async for item in items:
                self._ready.append(item)
                self._tell()
                while len(self._ready) >= _AHEAD:
                    self._room.clear()
                    await self._room.wait()
        finally:
            asyncio.get_running_loop().call_soon(self._tell)  # once this is done


async def without_blocking(items: Iterator[Item]) -> AsyncIterator[Item]:
    """Yield what an iterator does, such as one that reads a pipe, whose waits keep the loop from nothing.

    One that waits for ever keeps no program from ending.
    """
    ahead = _Ahead(items, asyncio.get_running_loop())
    threading.Thread(target=ahead.read, name="barechat-bulk-source", daemon=True).start()
    while (item := await ahead.next()) is not None:
        yield item


class _Ahead:
    """What a thread reads of an iterator, a few items ahead."""

    def __init__(self, items: Iterator[Item], loop: asyncio.AbstractEventLoop) -> None:
        self._items, self._loop = items, loop
        self._came = asyncio.Event()
        self._room = threading.Semaphore(_AHEAD)
        self._ready: deque[Item | Exception | None] = deque()

    def read(self) -> None:
        """Read to the end, on the thread."""
        try:
            for item in self._items:
                self._room.acquire()
                self._put(item)
        except Exception as error:  # noqa: BLE001 - the reader's, handed on to whoever waits
            self._put(error)
        else:
            self._put(None)

    def _put(self, item: Item | Exception | None) -> None:
        self._ready.append(item)
        if len(self._ready) == 1:  # else whoever waits has been told
            with contextlib.suppress(RuntimeError):  # nobody waits any more
                self._loop.call_soon_threadsafe(self._came.set)

    async def next(self) -> Item | None:
        """Return the next item, on the loop; None at the end."""
        self._came.clear()
        while not self._ready:
            await self._came.wait()
            self._came.clear()
        item = self._ready.popleft()
        self._room.release()
        if isinstance(item, Exception):
            raise item
        return item
