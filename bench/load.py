"""How much does a server answer in a given time? A load of Chat Completions requests over kept connections.

It must cost much less than the server it measures: a protocol by hand, requests ready but for a number, and no look
at an answer beyond its status, its end and how many chunks it has.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

_KEY: Final = "sk-bench-0123456789"
_NUMBER: Final = "00000000"
_CHUNK: Final = b'data: {"'
_HEAD_END: Final = b"\r\n\r\n"
_CHUNKED_END: Final = b"\r\n0\r\n\r\n"
_OK: Final = b"HTTP/1.1 200 "
_LENGTH: Final = b"content-length: "


class LoadError(Exception):
    """The server answered what nobody asked for; a figure made of such answers would mean nothing."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked over and over, and by how many connections at once.

    `chunks` is how many chunks each answer must have, None where it is to come whole.
    """

    parameters: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}
    chunks: int | None = None
    connections: int = 32

    def requests(self, url: str) -> Iterator[bytes]:
        """Yield requests for ever, no two with the same question, so that a remembered answer helps nobody."""
        target = urlsplit(url)
        body = json.dumps(
            {
                "model": "gpt-4o-mini",
                "messages": [
                    {"role": "system", "content": "You are a helpful assistant."},
                    {"role": "user", "content": f"Question {_NUMBER}: how does the tide know when to turn?"},
                ],
                **({} if self.chunks is None else {"stream": True}),
                **self.parameters,
            }
        )
        lines = {
            "Host": target.netloc,
            "Authorization": f"Bearer {_KEY}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **self.headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        request = f"POST {target.path}/chat/completions HTTP/1.1\r\n{head}\r\n{body}".encode()
        before, _, after = request.partition(_NUMBER.encode())
        number = 0
        while True:
            yield b"%b%08d%b" % (before, number, after)
            number += 1


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered in how many seconds: the clock's, the server's CPU's (where it is known) and our own CPU's."""

    answers: int
    chunks: int
    seconds: float
    server_cpu_s: float | None
    own_cpu_s: float


class _Tally:
    """What all connections have got so far."""

    def __init__(self, failed: asyncio.Future[None]) -> None:
        self.answers = 0
        self.chunks = 0
        self.is_over = False
        self._failed = failed

    def fail(self, why: str) -> None:
        if not self.is_over and not self._failed.done():
            self._failed.set_exception(LoadError(why))


class _Connection(asyncio.Protocol):
    """Asks the next question when the last is answered."""

    _transport: asyncio.Transport
    _answer: bytearray

    def __init__(self, requests: Iterator[bytes], tally: _Tally) -> None:
        self._requests = requests
        self._tally = tally
        self._answer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.fail(f"the server closed a connection: {exc or 'at its end'}")

    def _ask(self) -> None:
        self._answer.clear()
        if not self._tally.is_over:
            self._transport.write(next(self._requests))

    def _refuse(self, why: str) -> None:
        self._tally.fail(f"{why}: {bytes(self._answer[:500])!r}")
        self._transport.abort()


class _Whole(_Connection):
    """Reads answers whose length is told."""

    _size: int | None = None

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._size is None:
            self._size = self._measure()
        if self._size is None or len(self._answer) < self._size:
            return
        if len(self._answer) > self._size:
            self._refuse("more came than was announced")
            return
        self._size = None
        self._tally.answers += 1
        self._ask()

    def _measure(self) -> int | None:
        """Return the bytes of the answer, its head included, once the head is there."""
        end = self._answer.find(_HEAD_END)
        if end < 0:
            return None
        at = self._answer.find(_LENGTH, 0, end)
        if at < 0 or not self._answer.startswith(_OK):
            self._refuse("not a whole reply")
            return None
        line, _, _ = self._answer[at + len(_LENGTH) : end].partition(b"\r\n")
        return end + len(_HEAD_END) + int(line)


class _Streamed(_Connection):
    """Reads chunked answers, and counts their chunks as they come."""

    _chunks = 0

    def __init__(self, requests: Iterator[bytes], tally: _Tally, chunks: int) -> None:
        super().__init__(requests, tally)
        self._expected = chunks

    def data_received(self, data: bytes) -> None:
        start = max(0, len(self._answer) - len(_CHUNK) + 1)
        self._answer += data
        chunks = self._answer.count(_CHUNK, start)
        self._chunks += chunks
        self._tally.chunks += chunks
        if not self._answer.startswith(_OK[: len(self._answer)]):
            self._refuse("not a stream")
            return
        if not self._answer.endswith(_CHUNKED_END):
            return
        if self._chunks != self._expected:
            self._refuse(f"{self._chunks} chunks instead of {self._expected}")
            return
        self._chunks = 0
        self._tally.answers += 1
        self._ask()


async def put_under(
    load: Load,
    url: str,
    *,
    warm_up_s: float,
    seconds: float,
    server_cpu: Callable[[], float | None],
    clock: Callable[[], float] = time.monotonic,
    own_cpu: Callable[[], float] = time.process_time,
) -> Measured:
    """Return what the server at `url` answers under a load, after a warm-up; `server_cpu` tells its CPU seconds.

    Raises LoadError for an answer that isn't what was asked for, and when none comes to its end.
    """
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()
    tally = _Tally(failed)
    requests = load.requests(url)
    target = urlsplit(url)

    def connection() -> _Connection:
        return _Whole(requests, tally) if load.chunks is None else _Streamed(requests, tally, load.chunks)

    opened = [
        (await loop.create_connection(connection, target.hostname or "", target.port or 80))[0]
        for _ in range(load.connections)
    ]
    try:
        await _wait(failed, warm_up_s)
        before = (tally.answers, tally.chunks, clock(), server_cpu(), own_cpu())
        await _wait(failed, seconds)
        after = (tally.answers, tally.chunks, clock(), server_cpu(), own_cpu())
    finally:
        tally.is_over = True
        for transport in opened:
            transport.abort()
    if before[0] == after[0]:
        raise LoadError(f"no answer came to its end in {seconds} s")
    return Measured(
        answers=after[0] - before[0],
        chunks=after[1] - before[1],
        seconds=after[2] - before[2],
        server_cpu_s=None if before[3] is None or after[3] is None else after[3] - before[3],
        own_cpu_s=after[4] - before[4],
    )


async def _wait(failed: asyncio.Future[None], seconds: float) -> None:
    await asyncio.wait([failed], timeout=seconds)
    if failed.done():
        failed.result()
