"""barechat.wire.encoding: compressed bodies become bytes, split anywhere, within their cap."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.errors import ProtocolBroken
from barechat.wire.encoding import Inflater
from vectors import splits

TEXT = b'data: {"content": "Hello, sea."}\n\n' * 9


def bare_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def inflate(encoding: str, pieces: list[bytes], max_bytes: int = 10_000) -> bytes:
    inflater = Inflater(encoding, max_bytes=max_bytes)
    return b"".join(inflater.feed(piece) for piece in pieces)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzipped(TEXT)),
        ("x-gzip", gzipped(TEXT)),
        (" GZIP ", gzipped(TEXT)),
        ("identity, gzip", gzipped(TEXT)),
        ("gzip", gzipped(TEXT[:50]) + gzipped(TEXT[50:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", zlib.compress(TEXT, level=9)),
        ("deflate", bare_deflate(TEXT)),
        ("deflate", gzipped(TEXT)),
        ("", TEXT),
        ("identity", TEXT),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_body_decompresses_to_the_same_bytes_however_it_is_split(encoding: str, body: bytes) -> None:
    for pieces in splits(body):
        assert inflate(encoding, pieces) == TEXT


def test_bytes_are_handed_on_as_soon_as_they_are_known() -> None:
    deflater = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    inflater = Inflater("gzip", max_bytes=100)
    for text in (b"data: a\n\n", b"data: b\n\n"):
        assert inflater.feed(deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)) == text


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "deflate, gzip", "x" * 500])
def test_a_coding_that_is_not_understood_breaks_the_protocol(encoding: str) -> None:
    with pytest.raises(ProtocolBroken, match="gzip and deflate") as caught:
        Inflater(encoding, max_bytes=100)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("body", [b"\x1f\x8bnot gzip", b"plain text", gzipped(TEXT) + b"trailing", b"\xff" * 9])
def test_a_body_that_is_not_compressed_as_its_headers_say_breaks_the_protocol(body: bytes) -> None:
    for pieces in ([body], [body[at : at + 1] for at in range(len(body))]):
        with pytest.raises(ProtocolBroken, match="not compressed"):
            inflate("gzip", pieces)


def test_a_bomb_is_stopped_at_the_cap() -> None:
    bomb = gzipped(b"\0" * 10_000_000)
    with pytest.raises(ProtocolBroken, match="more than 5000 bytes"):
        inflate("gzip", [bomb], max_bytes=5000)
    with pytest.raises(ProtocolBroken, match="more than 150 bytes"):
        inflate("gzip", [gzipped(b"x" * 100) * 2], max_bytes=150)
    assert len(inflate("gzip", [gzipped(b"x" * 5000)], max_bytes=5000)) == 5000


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.sampled_from(["gzip", "deflate"]), st.lists(st.binary(max_size=20), max_size=5))
def test_any_bytes_decompress_or_break_the_protocol(encoding: str, pieces: list[bytes]) -> None:
    try:
        inflate(encoding, pieces)
    except ProtocolBroken as error:
        assert str(error)  # noqa: PT017 - no other error may come out
