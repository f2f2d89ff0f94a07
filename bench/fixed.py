"""What does the server of the clients' figures answer? Always the same, as cheaply as a protocol in Python can.

`python -m bench.fixed [--certificate FILE]` prints its base URL and ends with its standard input. The path says what is
answered, so that one server serves every workload and every candidate:

    /whole/v1/chat/completions                  a whole reply of 50 tokens
    /burst-1000/v1/chat/completions             a stream of 1,000 tokens, all at once
    /paced-1000-5/v1/chat/completions           the same, a token each 5 ms, the first after as long
    /rolling-50-100-1000/v1/chat/completions    the same, for 1,000 streams that are to be open for good: of the first
                                                1,000 questions, which begin together, the answers are shorter by turns,
                                                so that they don't end together. The first token's text is when the
                                                request came and when the token left, on the monotonic clock, in ns

It looks at a request's length, its path, and (if rolling) its question's number. Answers are made once.
"""

import argparse
import asyncio
import contextlib
import functools
import gc
import ssl
import sys
import time
from typing import TYPE_CHECKING, Final

from bench.answers import DONE, LAST, ROLE, TOKEN, USAGE, WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_COMMON: Final = (
    b"HTTP/1.1 200 OK\r\nDate: Thu, 26 Nov 2026 12:00:00 GMT\r\nServer: fixed\r\nX-Request-Id: req_0123456789abcdef\r\n"
    b"OpenAI-Version: 2020-10-01\r\nOpenAI-Processing-Ms: 400\r\nX-RateLimit-Limit-Requests: 10000\r\n"
    b"X-RateLimit-Remaining-Requests: 9999\r\nX-RateLimit-Reset-Requests: 6ms\r\nX-RateLimit-Limit-Tokens: 2000000\r\n"
    b"X-RateLimit-Remaining-Tokens: 1999900\r\nX-RateLimit-Reset-Tokens: 3ms\r\n"
)
_WHOLE_HEAD: Final = _COMMON + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_STREAM_HEAD: Final = _COMMON + b"Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
_NOT_FOUND: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(data: bytes) -> bytes:
    return _chunk(b"data: %b\n\n" % data)


_WHOLE: Final = _WHOLE_HEAD % len(WHOLE) + WHOLE
_FIRST: Final = _event(ROLE)
_TOKEN: Final = _event(TOKEN)
_LAST: Final = _event(LAST) + _event(USAGE) + _event(DONE) + b"0\r\n\r\n"


@functools.cache
def _burst(tokens: int) -> bytes:
    return _STREAM_HEAD + _FIRST + _TOKEN * tokens + _LAST


class Connection(asyncio.Protocol):
    """Answers requests, one after another."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._write: Callable[[bytes], None] = transport.write

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_HEAD_END)
        if end < 0:
            return
        head = self._received[:end].lower()
        at = head.find(_LENGTH) + len(_LENGTH)
        if len(self._received) < end + len(_HEAD_END) + int(head[at:].partition(b"\r\n")[0]):
            return
        body, self._received = self._received[end:], b""  # a client waits for its answer before it asks anew
        self._answer(head.split(b"/", 2)[1].decode().split("-"), body)

    def _answer(self, asked: list[str], body: bytes) -> None:
        match asked:
            case ["whole"]:
                self._write(_WHOLE)
            case ["burst", tokens]:
                self._write(_burst(int(tokens)))
            case ["paced", tokens, every_ms]:
                self._begin(int(tokens), int(every_ms), stamped=False)
            case ["rolling", tokens, every_ms, in_flight]:
                number = int(body.partition(b"Question ")[2].partition(b":")[0])
                length = int(tokens) if number >= int(in_flight) else 1 + number % int(tokens)
                self._begin(length, int(every_ms), stamped=True)
            case _:
                self._write(_NOT_FOUND)

    def _begin(self, tokens: int, every_ms: int, *, stamped: bool) -> None:
        self._came_ns = time.monotonic_ns() if stamped else 0
        self._left = tokens
        self._every_s = every_ms / 1000
        self._at = self._loop.time() + self._every_s
        self._write(_STREAM_HEAD + _FIRST)
        self._timer = self._loop.call_at(self._at, self._tell)

    def _tell(self) -> None:
        self._left -= 1
        token = _TOKEN
        if self._came_ns:
            stamps = b"%d %d" % (self._came_ns, time.monotonic_ns())
            token, self._came_ns = _event(TOKEN.replace(b" tide", stamps)), 0
        if self._left > 0:
            self._write(token)
            self._at += self._every_s
            self._timer = self._loop.call_at(self._at, self._tell)
        else:
            self._timer = None
            self._write(token + _LAST)


async def _serve(certificate: str | None) -> None:
    loop = asyncio.get_running_loop()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await loop.create_server(lambda: Connection(loop), "127.0.0.1", 0, ssl=context, backlog=8192)
    scheme, port = "http" if context is None else "https", server.sockets[0].getsockname()[1]
    print(f"{scheme}://127.0.0.1:{port}", flush=True)
    gc.freeze()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.fixed", description=__doc__)
    parser.add_argument("--certificate", help="speak TLS, with the certificate and key in this PEM file")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args().certificate))
