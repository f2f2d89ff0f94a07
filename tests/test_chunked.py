"""Chunked bodies: what is read and what is refused, the same wherever the bytes are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barechat.transport.chunked import Chunks
from barechat.transport.common import Cut, NotHttp

if TYPE_CHECKING:
    from collections.abc import Iterable

WHOLE = {
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "none": (b"0\r\n\r\n", b""),
    "many": (b"1\r\na\r\n" * 9 + b"A\r\n0123456789\r\n0\r\n\r\n", b"a" * 9 + b"0123456789"),
    "line ends in the data": (b"6\r\n\r\n0\r\n\r\r\n0\r\n\r\n", b"\r\n0\r\n\r"),
    "extensions": (b'5;a="b"\r\nhello\r\n000 ; e\r\n\r\n', b"hello"),
    "zeros": (b"0000000000000000000005\r\nhello\r\n00\r\n\r\n", b"hello"),
    "a trailer": (b"5\r\nhello\r\n0\r\nX-A: 1\r\nX-B: 2\n 3\r\n\r\n", b"hello"),
    "bare line feeds": (b"5\r\nhello\n0\r\nX-A: 1\n\n", b"hello"),
}
BROKEN = {
    "no size": (b"\r\nhello", b"", r"a chunk's size is b'\r\n'"),
    "a negative size": (b"-5\r\nhello", b"", r"a chunk's size is b'-5\r\n'"),
    "a later size": (b"5\r\nhello\r\nxyz\r\n", b"hello", r"a chunk's size is b'xyz\r\n'"),
    "a bare line feed after a size": (b"5\nhello", b"", r"a chunk's size is b'5\n'"),
    "too large a size": (b"1" * 17 + b"\r\n", b"", f"a chunk's size is b'{'1' * 17}\\r\\n'"),
    "a size that can't become one": (b"5\r\nhello\r\nxyz", b"hello", "a chunk's size is b'xyz'"),
    "no end of the data": (b"5\r\nhello0\r\n\r\n", b"hello", r"a chunk's data is followed by b'0\r'"),
    "half an end of the data": (b"5\r\nhello\rX", b"hello", r"a chunk's data is followed by b'\rX'"),
    "one byte too many": (b"5\r\nhelloX", b"hello", "a chunk's data is followed by b'X'"),
    "a trailer without a colon": (b"5\r\nhello\r\n0\r\nno\r\n\r\n", b"hello", r"no head has the line 'no\r\n'"),
    "too many trailers": (b"0\r\n" + b"X: 1\r\n" * 100, b"", "its head has more than 99 lines"),
}


def read(pieces: Iterable[bytes]) -> tuple[bytes, type[Exception] | None, str]:
    """Return the data of a body in such pieces, the kind of its fault, if any, and what that says."""
    body, data = Chunks(), b""
    try:
        for piece in pieces:
            data += body.feed(piece)
            if body.is_whole:
                break
        body.end()
    except (Cut, NotHttp) as fault:
        return data, type(fault), str(fault)
    return data, None, ""


def cuts(text: bytes) -> Iterable[list[bytes]]:
    """Yield a text at once, by the byte, and cut at every byte."""
    yield [text]
    yield [text[at : at + 1] for at in range(len(text))]
    yield from ([text[:at], text[at:]] for at in range(1, len(text)))


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_body_is_read_wherever_it_is_cut(name: str) -> None:
    text, data = WHOLE[name]
    for pieces in cuts(text):
        assert read(pieces) == (data, None, "")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_body_is_refused_wherever_it_is_cut_and_what_came_before_is_handed_over(name: str) -> None:
    text, data, said = BROKEN[name]
    for pieces in cuts(text):
        assert read(pieces) == (data, NotHttp, said)


@pytest.mark.parametrize("name", WHOLE)
def test_a_body_that_ends_before_its_trailer_does_is_cut(name: str) -> None:
    text, data = WHOLE[name]
    for at in range(len(text)):
        got, fault, _ = read([text[:at]])
        assert fault is Cut
        assert data.startswith(got)


def test_one_piece_gives_the_data_of_all_the_chunks_in_it_and_of_the_one_that_it_ends_in() -> None:
    body = Chunks()
    assert body.feed(b"3\r\none\r\n3\r\ntwo\r\n5\r\nth") == b"onetwoth"
    assert body.feed(b"ree\r\n0\r\n") == b"ree"
    assert not body.is_whole


def test_what_follows_the_body_is_kept_apart() -> None:
    body = Chunks()
    assert body.feed(b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK") == b"hello"
    assert (body.is_whole, body.surplus) == (True, b"HTTP/1.1 200 OK")
    for at in range(2, 5):
        body = Chunks()
        body.feed(b"0\r\n\r\n"[:at])
        body.feed(b"0\r\n\r\n"[at:] + b"x")
        assert (body.is_whole, body.surplus) == (True, b"x")


def test_the_data_before_a_break_comes_first_and_the_break_for_ever_after() -> None:
    body = Chunks()
    assert body.feed(b"5\r\nhello\r\nxyz\r\n") == b"hello"
    for again in (lambda: body.feed(b"0\r\n\r\n"), body.end):
        with pytest.raises(NotHttp, match="xyz"):
            again()


@pytest.mark.parametrize("start", [b"5;", b"5\r\nhello\r\n5;"])
def test_a_size_s_line_that_does_not_end_is_refused_before_it_fills_the_memory(start: bytes) -> None:
    for end in (b"", b"\r\n"):
        for pieces in ([start + b"a" * 65536 + end], [start, *[b"a" * 4096] * 16, end or b"a"]):
            assert read(pieces)[1:] == (NotHttp, "a chunk's size has more than 65536 bytes")


@pytest.mark.parametrize("line", [b"X: " + b"a" * 65536, b"X: 1\r\nX: " + b"a" * 65536])
def test_a_trailer_s_line_that_does_not_end_is_refused_likewise(line: bytes) -> None:
    for end in (b"", b"\r\n\r\n"):
        _, fault, said = read([b"0\r\n", line, end])
        assert (fault, said) == (NotHttp, "a line of its head is longer than 65536 bytes")


@given(
    st.lists(st.sampled_from([b"0", b"1", b"a", b";", b"\r\n", b"\n", b"\r", b"X: 1\r\n", b"2\r\nab\r\n"])), st.data()
)
def test_any_bytes_are_the_same_body_or_fault_wherever_they_are_cut(parts: list[bytes], draw: st.DataObject) -> None:
    text = b"".join(parts)
    at, to = sorted(draw.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    assert read([text[:at], text[at:to], text[to:]]) == read([text])
