"""What both transports' tests share: answers as raw bytes, whole and streamed, in every framing that HTTP/1.1 has."""

from __future__ import annotations

import gzip
import ssl
import zlib
from typing import TYPE_CHECKING

import trustme

from support import STREAM, Sent, chunked, head, split, whole_body

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = "It will rain."
BODIES = {"whole": ("application/json", whole_body()), "streamed": ("text/event-stream", STREAM)}


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw deflate": _raw_deflate,
}


def framed(kind: str, framing: str, encoding: str = "identity") -> Sent:
    """Return the answer with a whole or streamed body, so framed and encoded."""
    media_type, body = BODIES[kind]
    lines = []
    if encoding != "identity":
        body = PACKERS[encoding](body)
        lines.append(f"Content-Encoding: {encoding.removeprefix('raw ')}")
    pieces = split(body, 5)
    if framing == "length":
        return Sent([head(*lines, f"Content-Length: {len(body)}", kind=media_type), *pieces], closes=False)
    if framing == "chunked":
        opening = head(*lines, "Transfer-Encoding: chunked", kind=media_type)
        return Sent([opening, *chunked(pieces)], closes=False)
    return Sent([head(*lines, "Connection: close", kind=media_type), *pieces], closes=True)


EVERY_FRAMING = [
    (kind, framing, encoding)
    for kind in BODIES
    for framing in ("length", "chunked", "until close")
    for encoding in ("identity", "gzip", "deflate", "raw deflate")
]

# What breaks off: the bytes, and whether the stream's head had come.
CUT = {
    "before its length": [head("Content-Length: 5000"), whole_body()],
    "before its length, at once": [head("Content-Length: 5000")],
    "between chunks": [head("Transfer-Encoding: chunked"), *chunked([whole_body()])[:-1]],
    "inside a chunk's size": [head("Transfer-Encoding: chunked"), chunked([whole_body()])[0][:1]],
    "after a chunk's size": [head("Transfer-Encoding: chunked"), b"2\r\n"],
    "inside the last chunk's size": [head("Transfer-Encoding: chunked"), chunked([whole_body()])[0], b"0"],
    "inside a chunk": [head("Transfer-Encoding: chunked"), chunked([whole_body()])[0][:40]],
    "inside the first line": [b"HTTP/1.1 2"],
    "after the first line": [b"HTTP/1.1 200 OK\r\n"],
    "before the head's end": [head("Content-Length: 5")[:-2]],
    "inside the head": [b"HTTP/1.1 200 OK\r\nContent-Ty"],
    "before any byte": [],
}
HEADLESS = {
    "inside the first line",
    "after the first line",
    "before the head's end",
    "inside the head",
    "before any byte",
}
NOT_HTTP = {
    "a greeting": b"220 mail.example.com ESMTP\r\n",
    "bytes": bytes(range(128, 256)) + b"\r\n\r\n",
    "a status that is no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x16",
}
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_LONG = head("Transfer-Encoding: chunked") + b"".join(chunked([b" " * 70_000] * 20)[:-1])


def _with_lengths(*lines: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + b"".join(b"Content-Length: %b\r\n" % line for line in lines) + b"\r\n{}"


# What no HTTP server may send. The last ones come long after the head, when the body is being read.
BROKEN = {
    "HTTP/3.0": b"HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a version that is no number": b"HTTP/x.y 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a status below 100": b"HTTP/1.1 99 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a status above 999": b"HTTP/1.1 1000 OK\r\nContent-Length: 2\r\n\r\n{}",
    "an endless first line": b"HTTP/1.1 200 " + b"O" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "an endless header": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X-A: a\r\n" * 300 + b"Content-Length: 2\r\n\r\n{}",
    "a negative length": _with_lengths(b"-5"),
    "a length that is no number": _with_lengths(b"abc"),
    "a length with a sign": _with_lengths(b"+2"),
    "no length after its name": _with_lengths(b""),
    "two lengths": _with_lengths(b"2", b"3"),
    "two lengths in one": _with_lengths(b"2, 3"),
    "a chunk's size that is no number": _CHUNKED + b"xyz\r\n{}\r\n",
    "a chunk of negative size": _CHUNKED + b"-2\r\n{}\r\n",
    "a chunk without a size": _CHUNKED + b"\r\n{}\r\n",
    "a later chunk's size that is no number": _LONG + b"xyz\r\n{}\r\n",
    "a later chunk of negative size": _LONG + b"-2\r\n{}\r\n",
}


def self_signed(directory: Path) -> ssl.SSLContext:
    """Return a server's context with a certificate made on the spot; its authority's is `directory`/certificate.pem."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "certificate.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context
