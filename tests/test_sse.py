"""barechat.wire.sse: bytes become events as the WHATWG standard says, wherever they are split."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable  # noqa: TC003 - kept beside its runtime kin
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.errors import ProtocolBroken
from barechat.wire.sse import Decoder, Event
from vectors import case_id, cases, parts, splits

FRAMING = [case for case in cases("sse_framing") if "generator" not in case]
GENERATED = [case for case in cases("sse_framing") if "generator" in case]
LINES = cases("sse_lines")


def decode(pieces: Iterable[bytes], **caps: int) -> tuple[list[Event], ProtocolBroken | None]:
    """Feed the pieces; return the events, and the fault if there was one."""
    decoder = Decoder(**caps)
    events: list[Event] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        decoder.close()
    except ProtocolBroken as fault:
        return events, fault
    return events, None


def datas(data: bytes) -> list[str]:
    events, fault = decode([data])
    assert fault is None
    return [event.data for event in events]


@pytest.mark.parametrize("case", FRAMING, ids=case_id)
def test_every_framing_gives_the_standards_events_however_it_is_split(case: dict[str, Any]) -> None:
    wanted = [(event["event"] or "message", event["data"]) for event in case["expected_whatwg"]]
    given_pieces = parts(case["chunks_b64"])
    others = [parts(chunking) for chunking in case.get("alternative_chunkings_b64", [])]
    for pieces in [given_pieces, *others, *splits(b"".join(given_pieces))]:
        events, fault = decode(pieces)
        assert fault is None
        assert [(event.event, event.data) for event in events] == wanted


@pytest.mark.parametrize("case", [case for case in FRAMING if case["dialect"] == "whatwg"], ids=case_id)
def test_an_events_id_is_the_one_its_source_says(case: dict[str, Any]) -> None:
    events, _ = decode(parts(case["chunks_b64"]))
    for event, wanted in zip(events, case["expected_source"], strict=True):
        assert event.id == wanted.get("id", event.id)


@pytest.mark.parametrize("case", GENERATED, ids=case_id)
def test_an_event_of_more_than_64_mib_arrives_where_the_caps_allow_it(case: dict[str, Any]) -> None:
    data = b"".join(part["text"].encode() * part.get("repeat", 1) for part in case["generator"]["concat"])
    size = case["generator"]["fragment_size"]
    events, fault = decode(
        (data[at : at + size] for at in range(0, len(data), size)), max_line_bytes=2**27, max_event_bytes=2**27
    )
    assert fault is None
    assert [len(event.data) for event in events] == [2**26 + 1]


@pytest.mark.parametrize("case", LINES, ids=case_id)
def test_only_cr_lf_and_crlf_end_a_line(case: dict[str, Any]) -> None:
    """Each line that ends becomes one line of data; one whose end never comes is dropped."""
    text = "".join(case["input_chunks"])
    lines = case["expected_lines"] if text.endswith(("\n", "\r")) else case["expected_lines"][:-1]
    whole = "data:" + "".join(case["input_chunks"])
    for end in ("\r\n", "\n", "\r"):
        whole = whole.replace(end, "\0")
    stream = whole.replace("\0", "\ndata:").removesuffix("data:") if lines else ""
    complete = stream[: stream.rfind("\n") + 1] + "\n"
    assert datas(complete.encode()) == (["\n".join(lines)] if lines else [])


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\0"])
def test_no_other_character_ends_a_line(character: str) -> None:
    assert datas(f"data: a{character}b\n\n".encode()) == [f"a{character}b"]


def test_one_bom_is_dropped_and_only_at_the_streams_very_start() -> None:
    assert datas(b"\xef\xbb\xbfdata: 1\n\n\xef\xbb\xbfdata: 2\n\ndata: \xef\xbb\xbf3\n\n") == ["1", "\ufeff3"]
    assert datas(b"\n\xef\xbb\xbfdata: 1\n\n") == []
    events, _ = decode([b"\xef", b"\xbb", b"\xbf", b"data: 1\n", b"\n"])
    assert [event.data for event in events] == ["1"]


def test_an_id_stays_until_another_comes_and_one_with_a_nul_is_ignored() -> None:
    events, _ = decode([b"id: 7\ndata: a\n\ndata: b\n\nid: 8\0\ndata: c\n\nid: 9\n\ndata: d\n\nid\ndata: e\n\n"])
    assert [event.id for event in events] == ["7", "7", "7", "9", ""]


def test_a_reconnection_time_counts_only_if_it_is_all_ascii_digits() -> None:
    for value, wanted in {
        b"3000": 3000,
        b"0": 0,
        b"": None,
        b"-1": None,
        b"1.5": None,
        b"1e3": None,
        b"+1": None,
        "٣".encode(): None,
        "²".encode(): None,
        b"9" * 1_000_000: None,
    }.items():
        (event,), _ = decode([b"retry: " + value + b"\ndata: x\n\n"])
        assert event.retry_ms == wanted
    events, _ = decode([b"retry: 5\n\ndata: x\n\n"])
    assert events == [Event(data="x")]


def test_an_event_is_handed_out_at_its_last_byte_even_if_that_is_a_cr() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: first\r") == []
    assert decoder.feed(b"\r") == [Event(data="first")]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: second\r\n\r\n") == [Event(data="second")]


def test_an_event_that_the_end_cuts_off_is_dropped() -> None:
    assert datas(b"data: whole\n\ndata: cut\n") == ["whole"]
    assert datas(b"data: whole\n\ndata: cut") == ["whole"]
    assert datas(b"data: whole\n\ndata: \xe2\x82") == ["whole"]


def test_what_is_not_utf8_is_a_fault_after_the_events_before_it() -> None:
    for bad in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"\xf5\x80\x80\x80"):
        body = b"data: a\n\ndata: " + bad + b"\n\ndata: b\n\n"
        for pieces in splits(body):
            events, fault = decode(pieces)
            assert [event.data for event in events] == ["a"]
            assert fault is not None
            assert "UTF-8" in str(fault)
            assert fault.body is not None
            assert fault.body.startswith(b"data: " + bad[:1])


def test_a_fault_is_raised_again_by_every_later_call() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: a\n\n\xff\n") == [Event(data="a")]
    assert decoder.fault is not None
    for call in (lambda: decoder.feed(b"data: b\n\n"), decoder.close):
        with pytest.raises(ProtocolBroken):
            call()


def test_a_line_may_be_as_long_as_its_cap_and_no_longer_however_it_is_split() -> None:
    for length, wanted in ((20, ["a", "x" * 14, "b"]), (21, ["a"])):
        body = b"data: a\n\ndata: " + b"x" * (length - 6) + b"\n\ndata: b\n\n"
        for pieces in splits(body):
            events, fault = decode(pieces, max_line_bytes=20)
            assert [event.data for event in events] == wanted
            assert (fault is None) == (length == 20)


def test_a_line_that_never_ends_is_a_fault_and_not_an_empty_stream() -> None:
    events, fault = decode([b"data: a\n\n" + b"x" * 30], max_line_bytes=20)
    assert [event.data for event in events] == ["a"]
    assert fault is not None
    assert fault.body == b"x" * 30


@pytest.mark.parametrize("line", [b"data: xxxx\n", b"data:xxxx\n", b"data\n", b"data:\r\n"])
def test_an_event_that_never_ends_is_a_fault_whatever_its_lines_hold(line: bytes) -> None:
    """Also lines of no data, each of which still takes a place in a list."""
    events, fault = decode((line for _ in range(1000)), max_event_bytes=500)
    assert events == []
    assert fault is not None
    assert "500" in str(fault)


def test_comments_ids_and_unknown_fields_take_no_memory() -> None:
    decoder = Decoder()
    tracemalloc.start()
    try:
        for number in range(3000):
            decoder.feed(b": %d %s\nfoo: bar\nid: %d\nevent: x\nretry: 1\n" % (number, b"x" * 1000, number))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 100_000


class Counted(bytes):
    """Bytes that count how many of them each search or split has gone over."""

    work = 0

    def rfind(self, *arguments: Any) -> int:
        type(self).work += len(self)
        return super().rfind(*arguments)


def test_a_long_line_a_byte_at_a_time_takes_work_in_proportion() -> None:
    """Each byte is searched twice, for a CR and for an LF, as it comes; what is pending is only appended to."""
    Counted.work = 0
    decoder = Decoder()
    size, piece = 2**15, Counted(b"x")
    pending = decoder._pending
    decoder.feed(b"x")  # what might have been a BOM isn't
    for _ in range(size):
        decoder.feed(piece)
    assert Counted.work == 2 * size
    assert decoder._pending is pending
    assert len(pending) == size + 1


PIECE = st.sampled_from(
    [b"data", b":", b" ", b"\n", b"\r", b"\r\n", b"x", b"{}", b"event: error", b"id: 1", b"retry: 5", b"\0", b"\xc3"]
) | st.binary(max_size=4)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(PIECE, max_size=40), st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_any_bytes_in_any_pieces_give_the_same_events_and_never_another_error(
    pieces: list[bytes], sizes: list[int]
) -> None:
    data = b"".join(pieces)
    cut, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)] or 1
        cut.append(data[at : at + size])
        at, turn = at + size, turn + 1
    whole, whole_fault = decode([data])
    split, split_fault = decode(cut)
    assert whole == split
    assert str(whole_fault) == str(split_fault)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.text(alphabet="ab{}: \u2028é\0", min_size=0, max_size=20), max_size=8))
def test_what_was_sent_as_data_comes_out_unchanged(texts: list[str]) -> None:
    stream = "".join(f"data: {text}\n\n" for text in texts).encode()
    assert datas(stream) == texts
