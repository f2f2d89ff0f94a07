"""What both transports' tests share: answers as raw bytes, whole and streamed, in every framing that HTTP/1.1 has."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING

from support import STREAM, Sent, chunked, head, split, whole_body

if TYPE_CHECKING:
    from collections.abc import Callable

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
    "inside a chunk": [head("Transfer-Encoding: chunked"), chunked([whole_body()])[0][:40]],
    "inside the head": [b"HTTP/1.1 200 OK\r\nContent-Ty"],
    "before the head": [],
}
NOT_HTTP = {
    "a greeting": b"220 mail.example.com ESMTP\r\n",
    "bytes": bytes(range(128, 256)) + b"\r\n\r\n",
    "a status that is no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x16",
}
BAD_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n"
