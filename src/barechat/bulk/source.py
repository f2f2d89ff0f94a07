"""How is a file of requests read? As a stream: JSON lines or CSV, one request at a time, bad lines by their number."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import threading
from typing import IO, TYPE_CHECKING, Any, Literal

from barechat.bulk.hashes import Hashes
from barechat.bulk.requests import BadLine, BulkRequest, Reader
from barechat.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

Form = Literal["jsonl", "csv"]
_BOM = b"\xef\xbb\xbf"
_LONGEST_FIELD = 16 * 1024 * 1024


def requests_of(file: IO[bytes], form: Form, reader: Reader) -> Iterator[BulkRequest | BadLine]:
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

    def checked(self, item: BulkRequest | BadLine) -> BulkRequest | BadLine:
        """Return the item, or what is wrong with its name."""
        if isinstance(item, BadLine):
            return item
        name = item.name_hash
        if self.places.get(name) is None:
            self.places.put(name, len(self.places))
            return item
        error = ParameterError(f"the custom_id {item.custom_id!r} has come before", param="custom_id")
        return BadLine(line=item.line, custom_id=item.custom_id, error=error)


def _json_lines(lines: Iterable[bytes], reader: Reader) -> Iterator[BulkRequest | BadLine]:
    for number, line in enumerate(lines, 1):
        text = (line.removeprefix(_BOM) if number == 1 else line).strip()
        if text:
            yield reader.read_json(text, number)


def _rows(file: IO[bytes], reader: Reader) -> Iterator[BulkRequest | BadLine]:
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
            names = row
        elif row:
            yield _row(names, row, number, reader)


def _row(names: list[str], row: list[str], number: int, reader: Reader) -> BulkRequest | BadLine:
    if len(row) != len(names):
        return _bad(number, f"{len(row)} fields, where the first line names {len(names)}")
    fields: dict[str, Any] = dict(zip(names, row, strict=True))
    if not fields.get("custom_id"):
        fields.pop("custom_id", None)
    return reader.read(fields, number)


def _bad(number: int, said: str) -> BadLine:
    return BadLine(line=number, custom_id=f"line-{number}", error=ParameterError(said))


async def without_blocking(items: Iterator[BulkRequest | BadLine]) -> AsyncIterator[BulkRequest | BadLine]:
    """Yield what an iterator does, such as one that reads a pipe, whose waits keep the loop from nothing.

    One that waits for ever keeps no program from ending.
    """
    loop = asyncio.get_running_loop()
    while True:
        answer: asyncio.Future[BulkRequest | BadLine | None] = loop.create_future()

        def read(answer: asyncio.Future[BulkRequest | BadLine | None] = answer) -> None:
            try:
                item = next(items, None)
            except Exception as error:  # noqa: BLE001 - the reader's, handed on to whoever waits
                _hand_over(loop, answer.set_exception, error)
            else:
                _hand_over(loop, answer.set_result, item)

        threading.Thread(target=read, name="barechat-bulk-source", daemon=True).start()
        item = await answer
        if item is None:
            return
        yield item


def _hand_over(loop: asyncio.AbstractEventLoop, give: Callable[[Any], None], what: object) -> None:
    with contextlib.suppress(RuntimeError, asyncio.InvalidStateError):  # nobody waits any more
        loop.call_soon_threadsafe(give, what)
