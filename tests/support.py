"""What the upper floors' tests stand on: both clients behind one face, and a server that sends exactly these bytes."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import msgspec

from barechat import AsyncChatStream, AsyncClient, ChatStream, Client, Delta, Reply, RetryPolicy

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")

KEY = "sk-test-0123456789abcdef"
MODEL = "gpt-4o-mini"
QUICK = RetryPolicy(base_s=0.001)
ONCE = RetryPolicy(max_attempts=1)
_END = object()


class Caller(Protocol):
    """One face for both clients. `client` is the client itself, for what both share."""

    @property
    def client(self) -> Client | AsyncClient: ...
    def chat(self, messages: Any = "Hello, sea.", *, model: str | None = MODEL, **options: Any) -> Reply: ...
    def call(self, payload: Any, **options: Any) -> dict[str, Any]: ...
    def stream(
        self, messages: Any = "Hello, sea.", *, model: str | None = MODEL, **options: Any
    ) -> ChatStream | AwaitedStream: ...
    def close(self) -> None: ...


class BlockingCaller:
    """The blocking client as it is, with a model by default."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def chat(self, messages: Any = "Hello, sea.", *, model: str | None = MODEL, **options: Any) -> Reply:
        return self.client.chat(messages, model=model, **options)

    def call(self, payload: Any, **options: Any) -> dict[str, Any]:
        return self.client.call(payload, **options)

    def stream(self, messages: Any = "Hello, sea.", *, model: str | None = MODEL, **options: Any) -> ChatStream:
        return self.client.stream(messages, model=model, **options)

    def close(self) -> None:
        self.client.close()


class AsyncCaller:
    """The async client, each of its calls run to its end on one event loop."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self._runner = asyncio.Runner()

    def run(self, awaitable: Awaitable[T]) -> T:
        async def wait() -> T:
            return await awaitable

        return self._runner.run(wait())

    def chat(self, messages: Any = "Hello, sea.", *, model: str | None = MODEL, **options: Any) -> Reply:
        return self.run(self.client.chat(messages, model=model, **options))

    def call(self, payload: Any, **options: Any) -> dict[str, Any]:
        return self.run(self.client.call(payload, **options))

    def stream(self, messages: Any = "Hello, sea.", *, model: str | None = MODEL, **options: Any) -> AwaitedStream:
        return AwaitedStream(self.client.stream(messages, model=model, **options), self)

    def close(self) -> None:
        self.run(self.client.close())
        self._runner.close()


def done(caller: Caller, result: Any) -> Any:
    """Return what a method of the caller's client gave, awaited where it is the async one's."""
    return caller.run(result) if isinstance(caller, AsyncCaller) else result


class AwaitedStream:
    """An AsyncChatStream with the face of a ChatStream."""

    def __init__(self, stream: AsyncChatStream, caller: AsyncCaller) -> None:
        self._stream = stream
        self._caller = caller

    @property
    def reply(self) -> Reply:
        return self._stream.reply

    @property
    def partial(self) -> Reply | None:
        return self._stream.partial

    def __iter__(self) -> Iterator[str]:
        return self._each(self._stream)

    def deltas(self) -> Iterator[Delta]:
        return self._each(self._stream.deltas())

    def close(self) -> None:
        self._caller.run(self._stream.close())

    def __enter__(self) -> Self:
        self._caller.run(self._stream.__aenter__())
        return self

    def __exit__(self, *exception: object) -> None:
        self._caller.run(self._stream.__aexit__(*exception))

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def step() -> Any:
            return await anext(items, _END)

        while (item := self._caller.run(step())) is not _END:
            yield item


Connect = Callable[..., Caller]


def make_caller(kind: str, base_url: str, **options: Any) -> Caller:
    """Return a caller of the kind "blocking" or "asyncio"."""
    options = {"api_key": KEY, "retry": QUICK, **options, "base_url": base_url}
    return BlockingCaller(Client(**options)) if kind == "blocking" else AsyncCaller(AsyncClient(**options))


@dataclass
class Sent:
    """What one connection is to be sent in answer to one request."""

    pieces: Sequence[bytes]
    closes: bool = True  # after the pieces


@dataclass
class Got:
    """A request as it came."""

    head: str
    body: bytes
    connection: int

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found


@dataclass
class ByteServer:
    """A server on loopback that answers each request with the next bytes it was given, the last ones for ever."""

    answers: list[Sent] = field(default_factory=list)
    requests: list[Got] = field(default_factory=list)
    connections: int = 0
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._gone = threading.Condition()
        self._closed = 0
        self._is_closing = False
        self.url = f"http{'s' if self.tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._start(self._accept)
        return self

    def __exit__(self, *exception: object) -> None:
        # Closing a listener doesn't wake its accept() on every platform; a connection does.
        self._is_closing = True
        with socket.create_connection(self._listener.getsockname()):
            self._threads[0].join()
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def answer(self, *pieces: bytes, closes: bool = True) -> None:
        self.answers.append(Sent(pieces, closes))

    def wait_until_closed(self, count: int) -> None:
        """Block until so many connections have been closed, by whichever side."""
        with self._gone:
            assert self._gone.wait_for(lambda: self._closed >= count, timeout=10)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._is_closing:
                sock.close()
                return
            self.connections += 1
            self._open.add(sock)
            self._start(self._serve, sock, self.connections)

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                self._open.discard(sock)
                sock = self.tls.wrap_socket(sock, server_side=True)
                self._open.add(sock)
            with sock, sock.makefile("rb") as stream:
                while (got := _read_request(stream, number)) is not None:
                    self.requests.append(got)
                    answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                    for piece in answer.pieces:
                        sock.sendall(piece)
                    if answer.closes:
                        break
        except OSError:
            pass  # the client hung up
        finally:
            self._open.discard(sock)
            with self._gone:
                self._closed += 1
                self._gone.notify_all()


def _read_request(stream: Any, number: int) -> Got | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return None
        head += line
    lines = head.decode("latin-1").split("\r\n")
    lengths = [int(line.partition(":")[2]) for line in lines if line.lower().startswith("content-length:")]
    return Got(head.decode("latin-1"), stream.read(lengths[0] if lengths else 0), number)


def head(*lines: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    """Return an answer's head with these header lines."""
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {kind}", *lines, "", ""]).encode()


def whole_answer(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    return head(f"Content-Length: {len(body)}", *lines, status=status) + body


def chunked(pieces: Sequence[bytes]) -> list[bytes]:
    """Return the pieces as an HTTP/1.1 chunked body, a piece a chunk."""
    return [*(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece), b"0\r\n\r\n"]


def split(data: bytes, seed: int) -> list[bytes]:
    """Return `data` in pieces whose sizes are drawn from the seed."""
    random_sizes = random.Random(seed)  # noqa: S311 - not for secrets
    pieces, at = [], 0
    while at < len(data):
        size = random_sizes.choice((1, 2, 7, 50, 400, 3000))
        pieces.append(data[at : at + size])
        at += size
    return pieces


def whole_body(text: str = "It will rain.", **changes: Any) -> bytes:
    """Return a whole reply's body."""
    reply = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14},
        **changes,
    }
    return msgspec.json.encode(reply)


def event(**chunk: Any) -> bytes:
    """Return one event of a stream."""
    return b"data: " + msgspec.json.encode({"id": "chatcmpl-1", "model": "gpt-4o-mini-2024-07-18", **chunk}) + b"\n\n"


def piece(content: str | None = None, finish_reason: str | None = None, index: int = 0, **delta: Any) -> bytes:
    """Return an event that adds this to a choice."""
    if content is not None:
        delta["content"] = content
    return event(choices=[{"index": index, "delta": delta, "finish_reason": finish_reason}])


USAGE = event(choices=[], usage={"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14})
DONE = b"data: [DONE]\n\n"
STREAM = piece(role="assistant", content="") + piece("It will ") + piece("rain.") + piece(finish_reason="stop")
STREAM += USAGE + DONE
EXACT_PD = 10 * 150_000 + 4 * 600_000  # gpt-4o-mini: $0.15 and $0.60 a million
