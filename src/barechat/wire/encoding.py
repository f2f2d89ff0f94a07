"""How a compressed body becomes bytes: gzip and deflate (RFC 9110, section 8.4.1), a piece at a time, capped.

We ask for neither; some gateways compress all the same.
"""

from __future__ import annotations

import zlib
from typing import Any

from barechat.errors import ProtocolBroken

_EITHER_HEADER = 32 + zlib.MAX_WBITS  # zlib finds out whether it's gzip or zlib
_HEAD_BYTES = 2
_NO_HEADER = -zlib.MAX_WBITS  # some servers' deflate


class Inflater:
    """Decompress a body as it comes; `feed` returns what is known so far. A piece may grow to `max_bytes`, no more."""

    def __init__(self, encoding: str, *, max_bytes: int) -> None:
        self._is_compressed = encoding != "" and _is_compressed(encoding)
        self._head = b""  # too few bytes to tell which compression it is
        self._decompressor: Any = None
        self._max_bytes = max_bytes

    def feed(self, data: bytes) -> bytes:
        """Return what `data` decompresses to.

        Raises:
            ProtocolBroken: the data is no such compression, or grows beyond the cap.
        """
        if not self._is_compressed or not data:
            return data
        if self._decompressor is None:
            data = self._head = self._head + data
            if len(data) < _HEAD_BYTES:
                return b""
            self._decompressor = _decompressor(data)
        try:
            return self._decompress(data)
        except zlib.error as error:
            raise ProtocolBroken(f"the body is not compressed as its headers say: {error}") from error

    def _decompress(self, data: bytes) -> bytes:
        out = b""
        while data:
            out += self._decompressor.decompress(data, self._max_bytes + 1 - len(out))
            if len(out) > self._max_bytes:
                raise ProtocolBroken(f"the body decompresses to more than {self._max_bytes} bytes")
            data = self._decompressor.unused_data
            if data:  # a gzip body may be several, one after the other (RFC 1952, section 2.2)
                self._decompressor = zlib.decompressobj(_EITHER_HEADER)
        return out


def _is_compressed(encoding: str) -> bool:
    named = encoding.lower().replace(" ", "").split(",")
    names = [name for name in named if name not in {"", "identity"}]
    if len(names) > 1 or not {"gzip", "x-gzip", "deflate"}.issuperset(names):
        raise ProtocolBroken(
            f"the body is encoded as {encoding[:80]!r}, though identity was asked for; gzip and deflate are understood"
        )
    return bool(names)


def _decompressor(head: bytes) -> Any:
    """Return what decompresses a body with this beginning."""
    is_gzip = head.startswith(b"\x1f\x8b")
    is_zlib = head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:_HEAD_BYTES], "big") % 31 == 0  # RFC 1950
    return zlib.decompressobj(_EITHER_HEADER if is_gzip or is_zlib else _NO_HEADER)
