"""How a compressed body becomes bytes: gzip and deflate (RFC 9110, section 8.4.1), a piece at a time, capped.

We ask for neither; some gateways compress all the same.
"""

from __future__ import annotations

import zlib

from barechat.errors import ProtocolBroken

_EITHER_HEADER = 32 + zlib.MAX_WBITS  # zlib finds out whether it's gzip or zlib
_NO_HEADER = -zlib.MAX_WBITS  # some servers' deflate


class Inflater:
    """Decompress a body as it comes; `feed` returns what is known so far. A piece may grow to `max_bytes`, no more."""

    def __init__(self, encoding: str, *, max_bytes: int) -> None:
        names = [name for name in encoding.lower().replace(" ", "").split(",") if name not in {"", "identity"}]
        unknown = set(names) - {"gzip", "x-gzip", "deflate"}
        if unknown or len(names) > 1:
            raise ProtocolBroken(
                f"the body is encoded as {encoding[:80]!r}, though identity was asked for; "
                "gzip and deflate are understood"
            )
        self._decompressor = zlib.decompressobj(_EITHER_HEADER) if names else None
        self._is_first = True
        self._max_bytes = max_bytes

    def feed(self, data: bytes) -> bytes:
        """Return what `data` decompresses to.

        Raises:
            ProtocolBroken: the data is no such compression, or grows beyond the cap.
        """
        if self._decompressor is None or not data:
            return data
        try:
            out = self._decompress(data)
        except zlib.error as error:
            raise ProtocolBroken(f"the body is not compressed as its headers say: {error}") from error
        self._is_first = False
        return out

    def _decompress(self, data: bytes) -> bytes:
        assert self._decompressor is not None  # noqa: S101 - feed has checked
        try:
            out = self._decompressor.decompress(data, self._max_bytes + 1)
        except zlib.error:
            if not self._is_first:
                raise
            self._decompressor = zlib.decompressobj(_NO_HEADER)
            out = self._decompressor.decompress(data, self._max_bytes + 1)
        if len(out) > self._max_bytes:
            raise ProtocolBroken(f"the body decompresses to more than {self._max_bytes} bytes")
        return out
