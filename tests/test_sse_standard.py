"""barechat.wire.sse against the standard's own text, spelt out in sse_reference.py, in any pieces."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from barechat.errors import ProtocolBroken
from barechat.wire.sse import Decoder, Event
from sse_reference import reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LINE_CAP = 12
TOKENS = [b"data", b"event", b"id", b"retry", b":", b" ", b"\n", b"\n\n", b"\r", b"\r\n", b"x", b"error", b"007", b"\0"]
TOKENS += [b"\xef\xbb\xbf", b"\xef", b"\xbb", b"\xbf", "é".encode(), "\u2028".encode(), "٣".encode(), b"\xff", b"\xc3"]
LINES = [b"data: a", b"data:", b"data", b"data:  b", b":", b": ping", b"event: e", b"event", b"id: 1", b"id: \0", b"id"]
LINES += [b"retry: 5", b"retry: 0000000000000000000000007", b"retry:", b"x: y", b"", b"", b"", b"\xef\xbb\xbfdata: c"]
STREAMS = st.lists(st.sampled_from(TOKENS), max_size=25).map(b"".join) | st.lists(
    st.tuples(st.sampled_from(LINES), st.sampled_from([b"\n", b"\r", b"\r\n"])).map(b"".join), max_size=15
).map(b"".join)
SIZES = st.lists(st.integers(0, 5), min_size=1, max_size=20).filter(any)


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    at, turn = 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


def decoded(pieces: Iterable[bytes], **caps: int) -> tuple[list[Event], bool]:
    decoder, events = Decoder(**caps), []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        decoder.close()
    except ProtocolBroken:
        return events, True
    return events, False


@settings(derandomize=True, deadline=None, max_examples=150)
@given(STREAMS, SIZES)
@example(b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n", [1])
@example(b"data\n\ndata:\ndata\n\n", [1])
@example(b"retry: " + b"0" * 4000 + b"7\ndata: x\n\n", [5])
@example(b"data: x\nretry: 5\nretry: " + b"9" * 18 + b"\n\n", [5])
@example(b"data: x\nretry: 5\nretry: " + b"9" * 19 + b"\n\n", [5])
def test_the_events_are_the_standards_however_they_are_cut(data: bytes, sizes: list[int]) -> None:
    wanted = reference(data)
    assert decoded([data]) == wanted
    assert decoded(cut(data, sizes)) == wanted


@settings(derandomize=True, deadline=None, max_examples=150)
@given(STREAMS, SIZES)
@example(b"\xef\xbb\xbf" + b"x" * LINE_CAP, [LINE_CAP, 3])
@example(b"\xef\xbb\xbf" + b"x" * (LINE_CAP + 1), [1])
def test_a_lines_cap_is_the_same_however_the_line_is_cut(data: bytes, sizes: list[int]) -> None:
    wanted = reference(data, LINE_CAP)
    assert decoded([data], max_line_bytes=LINE_CAP) == wanted
    assert decoded(cut(data, sizes), max_line_bytes=LINE_CAP) == wanted


def steps_of(run: Callable[[], object]) -> int:
    """Return how many functions, Python's and C's, a run calls."""
    counted = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
    return counted


@pytest.mark.parametrize(
    "unit", [b"\r", b"\n", b"\r\n", b"data\n\n", b"data:x\n", b":\r\n", b"id:1\n\n", b"x", b"\0\r"]
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_twice_the_bytes_take_twice_the_steps(unit: bytes, size: int) -> None:
    def run(count: int) -> int:
        data = unit * count
        return steps_of(lambda: decoded(data[at : at + size] for at in range(0, len(data), size)))

    assert run(2000) < 2.1 * run(1000) + 50


def test_many_crs_and_a_line_of_2_mib_are_read_in_small_pieces() -> None:
    decoder = Decoder()
    for _ in range(2**16):
        assert decoder.feed(b"\r") == []
    for piece in [b"data: ", *[b"x" * 64] * 2**15, b"\n"]:
        assert decoder.feed(piece) == []
    assert [len(event.data) for event in decoder.feed(b"\n")] == [2**21]
