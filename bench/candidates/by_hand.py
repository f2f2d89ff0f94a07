"""A socket and a protocol by hand: the floor below which no client in Python can be. It knows this one server only.

It takes for granted what a client can't: a 200, this server's spelling of its head, chunks as told, a body that ends.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import msgspec
from bench.answers import KEY, MODEL, messages
from bench.candidates.bare import Lines

_LENGTH = b"Content-Length: "
_END = b"\r\n\r\n"


class _Target:
    def __init__(self, url: str, authority: str | None) -> None:
        parts = urlsplit(url)
        self.address = parts.hostname or "", parts.port or 443
        self.tls = None if authority is None else ssl.create_default_context(cafile=authority)
        self._head = (
            f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {KEY}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()

    def request(self, number: int, *, streamed: bool = False) -> bytes:
        payload: dict[str, object] = {"model": MODEL, "messages": messages(number)}
        if streamed:
            payload |= {"stream": True, "stream_options": {"include_usage": True}}
        body = msgspec.json.encode(payload)
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)


def _whole(received: bytes) -> str | None:
    """Return a whole reply's text, once it is there."""
    head, found, body = received.partition(_END)
    if not found:
        return None
    at = head.find(_LENGTH) + len(_LENGTH)
    if len(body) < int(head[at:].partition(b"\r\n")[0]):
        return None
    text: str = msgspec.json.decode(body)["choices"][0]["message"]["content"]
    return text


class _Chunks:
    """Bytes of a chunked answer in, its pieces of text out."""

    def __init__(self) -> None:
        self.is_over = False
        self._lines: Lines | None = None
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        data, at, body = self._rest + data, 0, []
        if self._lines is None:
            at = data.find(_END)
            if at < 0:
                self._rest = data
                return []
            at += len(_END)
            self._lines = Lines()
        while (end := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:end], 16)
            start = end + 2
            if len(data) < start + size + 2:
                break
            if not size:
                self.is_over = True
                break
            body.append(data[start : start + size])
            at = start + size + 2
        self._rest = data[at:]
        return self._lines.feed(b"".join(body))


class Blocking:
    def __init__(self, url: str, authority: str | None) -> None:
        self._target = _Target(url, authority)
        self._socket = socket.create_connection(self._target.address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._target.tls is not None:
            self._socket = self._target.tls.wrap_socket(self._socket, server_hostname=self._target.address[0])

    def call(self, number: int) -> str:
        self._socket.sendall(self._target.request(number))
        received = self._socket.recv(65536)
        while (text := _whole(received)) is None:
            received += self._socket.recv(65536)
        return text

    def stream(self, number: int) -> Iterator[str]:
        self._socket.sendall(self._target.request(number, streamed=True))
        chunks = _Chunks()
        while not chunks.is_over:
            yield from chunks.feed(self._socket.recv(65536))


class _Connection(asyncio.Protocol):
    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._waiter is not None:
            self._waiter.set_result(None)
            self._waiter = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None:
            self._waiter.set_exception(exc or EOFError("the server closed the connection"))

    def send(self, request: bytes) -> None:
        self._transport.write(request)

    async def read(self) -> bytes:
        if not self._received:
            self._waiter = self._loop.create_future()
            await self._waiter
        data, self._received = self._received, b""
        return data


class Async:
    def __init__(self, url: str, authority: str | None) -> None:
        self._target = _Target(url, authority)
        self._idle: deque[_Connection] = deque()

    async def _connection(self) -> _Connection:
        if self._idle:
            return self._idle.pop()
        host, port = self._target.address
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(_Connection, host, port, ssl=self._target.tls))[1]

    async def call(self, number: int) -> str:
        connection = await self._connection()
        connection.send(self._target.request(number))
        received = await connection.read()
        while (text := _whole(received)) is None:
            received += await connection.read()
        self._idle.append(connection)
        return text

    async def stream(self, number: int) -> AsyncIterator[str]:
        connection = await self._connection()
        connection.send(self._target.request(number, streamed=True))
        chunks = _Chunks()
        while not chunks.is_over:
            for text in chunks.feed(await connection.read()):
                yield text
        self._idle.append(connection)
