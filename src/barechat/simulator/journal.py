"""Who asked what, and how did it end? The simulator's log: one record a request, in memory and as JSON lines."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final, TypedDict

import msgspec

_SECRET_WORDS: Final = ("auth", "key", "token", "secret", "cookie")
_SHORTEST_SHOWN: Final = 10


class Record(TypedDict):
    """One request's record; docs/simulator.md says what each field means."""

    arrived: float
    seconds: float
    method: str
    path: str
    model: str | None
    stream: bool
    attempt: int
    client_request_id: str | None
    key: str | None
    headers: dict[str, str]
    decision: str
    status: int | None
    finish_reason: str | None
    chunks: int
    usage: dict[str, Any] | None
    hung_up: bool
    peer_port: int | None


class Journal:
    """The records so far, which any thread may read, and the file they go to."""

    def __init__(self, path: Path | None = None) -> None:
        self.on_record: Callable[[Record], object] | None = None
        self._path = path
        self._file: BinaryIO | None = None
        self._records: list[Record] = []
        self._changed = threading.Condition()

    def open(self) -> None:
        """Open the file for appending; it is readable by its owner only."""
        if self._path is not None:
            self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, record: Record, before: Callable[[], None] | None = None) -> None:
        """File a record; `before` sends the last bytes of the answer.

        Both happen under one lock, so that a reader who has seen an answer's end finds its record here.
        """
        with self._changed:
            if before is not None:
                before()
            self._records.append(record)
            if self._file is not None:
                self._file.write(msgspec.json.encode(record) + b"\n")
                self._file.flush()
            self._changed.notify_all()
        if self.on_record is not None:
            self.on_record(record)

    def snapshot(self) -> list[Record]:
        """Return the records so far."""
        with self._changed:
            return list(self._records)

    def wait_for(self, count: int, timeout_s: float) -> list[Record]:
        """Block until there are `count` records and return them all; raises TimeoutError, saying how many came."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while len(self._records) < count:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"the simulator ended {len(self._records)} of {count} requests in {timeout_s} s")
            return list(self._records)


def mask_key(key: str | None) -> str | None:
    """Return at most a key's first three characters and last two."""
    if key is None:
        return None
    return f"{key[:3]}***{key[-2:]}" if len(key) >= _SHORTEST_SHOWN else "***"


def mask_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by lower-case name, repeated ones joined, with every secret masked."""
    masked: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        shown = _mask_value(value) if any(word in lower for word in _SECRET_WORDS) else value
        masked[lower] = f"{masked[lower]}, {shown}" if lower in masked else shown
    return masked


def _mask_value(value: str) -> str:
    scheme, _, secret = value.partition(" ")
    if scheme.lower() in {"bearer", "basic"}:
        return f"{scheme} {mask_key(secret)}"
    return str(mask_key(value))
