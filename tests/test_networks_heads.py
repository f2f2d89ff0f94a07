"""Both clients against HTTP as it may come: one table of what is read, and what is refused, whole and streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from barechat import ApiError, BarechatError, ConnectionFailed, ProtocolBroken, StreamTruncated
from barechat.transport.heads import chunk_size, fault_of_head, head_end
from framings import BODIES, PACKERS, TEXT
from networking import ask_both_ways
from support import ByteServer, Connect, Sent, chunked, split

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNKED = b"Transfer-Encoding: chunked"


def message(body: bytes, *lines: bytes, first: bytes = b"HTTP/1.1 200 OK", end: bytes = b"\r\n") -> bytes:
    return end.join([first, *lines, b"", b""]) + body


def length(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


def in_chunks(body: bytes, form: bytes = b"%x\r\n%b\r\n0\r\n\r\n") -> bytes:
    return message(form % (len(body), body), CHUNKED)


def headed(*lines: bytes) -> Callable[[bytes], bytes]:
    return lambda body: message(body, length(body), *lines)


def begun(first: bytes) -> Callable[[bytes], bytes]:
    return lambda body: message(body, length(body), first=first)


def formed(form: bytes) -> Callable[[bytes], bytes]:
    return lambda body: in_chunks(body, form)


def after(*heads: bytes) -> Callable[[bytes], bytes]:
    return lambda body: b"".join(heads) + message(body, length(body))


READ: dict[str, Callable[[bytes], bytes]] = {
    "a length": headed(),
    "a length with zeros": lambda body: message(body, b"Content-Length: 000%d" % len(body)),
    "a length between spaces": lambda body: message(body, b"Content-Length: \t %d \t" % len(body)),
    "chunks": in_chunks,
    "chunks with space around their name": lambda body: in_chunks(body).replace(b"chunked", b"  chunked ", 1),
    "chunks in capitals": lambda body: in_chunks(body).replace(b"chunked", b"CHUNKED", 1),
    "chunks under HTTP/1.0": lambda body: in_chunks(body).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "chunk extensions": formed(b'%x;a=b;c="d"\r\n%b\r\n0;e\r\n\r\n'),
    "zeros before a chunk's size": formed(b"0000000000000000000%x\r\n%b\r\n000\r\n\r\n"),
    "trailers": formed(b"%x\r\n%b\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n"),
    "until the close": message,
    "until the close under HTTP/1.0": lambda body: message(body, first=b"HTTP/1.0 200 OK"),
    "no reason": begun(b"HTTP/1.1 200"),
    "an empty reason": begun(b"HTTP/1.1 200 "),
    "a reason beyond ASCII": begun(b"HTTP/1.1 200 \xc3\xa9\xff"),
    "a value beyond ASCII": headed(b"X-A: \xc3\xa9\xff"),
    "an empty value": headed(b"X-A:"),
    "an offer to upgrade": headed(b"Connection: upgrade", b"Upgrade: h2c"),
    "a hundred lines less one": headed(*[b"X-A: 1"] * 96),
    "100": after(message(b"", first=b"HTTP/1.1 100 Continue")),
    "102": after(message(b"", first=b"HTTP/1.1 102 Processing") * 2),
    "103": after(message(b"", b"Link: </a>", first=b"HTTP/1.1 103 Early Hints")),
    "100, 103 and an unknown one": after(
        *(message(b"", b"X-A: 1", first=b"HTTP/1.1 %d" % status) for status in (100, 103, 199))
    ),
    "bytes after the length": lambda body: message(body, length(body)) + b"junk\r\n",
    "bytes after the last chunk": lambda body: in_chunks(body) + b"junk\r\n",
    "another answer after the length": lambda body: message(body, length(body)) + message(b"{}", b"Content-Length: 2"),
    "bytes after an interim answer's answer": lambda body: after(message(b"", first=b"HTTP/1.1 103"))(body) + b"\0\r\n",
}
READ |= {  # sloppy, but to be read one way only
    "chunks after a tab": lambda body: in_chunks(body).replace(b"chunked", b"\tchunked", 1),
    "folded chunks": lambda body: in_chunks(body).replace(b" chunked", b"\r\n chunked", 1),
    "bare line feeds": lambda body: message(body, length(body), end=b"\n"),
    "one bare line feed": lambda body: message(body, length(body) + b"\nX-A: 1"),
    "a folded line": headed(b"X-A: 1", b" 2"),
    "a folded length": lambda body: message(body, b"Content-Length:", b" %d" % len(body)),
    "a chunk extension after a space": formed(b"%x ;a=b\r\n%b\r\n0\r\n\r\n"),
    "a space after a chunk's size": formed(b"%x \r\n%b\r\n0\r\n\r\n"),
    "a bare line feed after a chunk": formed(b"%x\r\n%b\n0\r\n\r\n"),
}

REFUSED: dict[str, Callable[[bytes], bytes]] = {
    "the same length twice": lambda body: message(body, length(body), length(body)),
    "the same length twice in one": lambda body: message(body, b"%b, %d" % (length(body), len(body))),
    "a length too large for any integer": lambda body: message(body, b"Content-Length: " + b"9" * 25),
    "a length in other digits": lambda body: message(body, b"Content-Length: \xb2"),
    "a length and chunks": lambda body: in_chunks(body).replace(CHUNKED, CHUNKED + b"\r\n" + length(body), 1),
    "chunks and a length": lambda body: in_chunks(body).replace(CHUNKED, length(body) + b"\r\n" + CHUNKED, 1),
    "chunks twice": lambda body: in_chunks(body).replace(CHUNKED, CHUNKED + b"\r\n" + CHUNKED, 1),
    "chunks of chunks": lambda body: in_chunks(body).replace(CHUNKED, CHUNKED + b", chunked", 1),
    "chunks by another k": lambda body: in_chunks(body).replace(b"chunked", "chun\N{KELVIN SIGN}ed".encode(), 1),
    "compressed chunks": lambda body: in_chunks(body).replace(b"chunked", b"gzip, chunked", 1),
    "an unknown coding": lambda body: in_chunks(body).replace(b"chunked", b"xchunked", 1),
    "no coding": lambda body: message(body, b"Transfer-Encoding: identity"),
    "a header without a colon": headed(b"X-A"),
    "a first header without a colon": lambda body: message(body, b"X-A", length(body)),
    "a space before the colon": lambda body: message(body, length(body).replace(b":", b" :")),
    "a space in a name": headed(b"X A: 1"),
    "no name": headed(b": 1"),
    "a first line folded": lambda body: message(body, b" X-A: 1", length(body)),
    "a bare carriage return": headed(b"X-A: 1\rX-B: 2"),
    "a NUL": headed(b"X-A: 1\0"),
    "a hundred lines": headed(*[b"X-A: 1"] * 120),
    "an interim answer with a length": after(message(b"", b"Content-Length: 5", first=b"HTTP/1.1 103")),
    "an interim answer in chunks": after(message(b"", CHUNKED, first=b"HTTP/1.1 100")),
    "an interim answer without a colon": after(message(b"", b"X-A", first=b"HTTP/1.1 103")),
    "an interim answer of a hundred lines": after(message(b"", *[b"X-A: 1"] * 120, first=b"HTTP/1.1 103")),
    "two spaces before the status": begun(b"HTTP/1.1  200 OK"),
    "two spaces before an interim status": after(message(b"", first=b"HTTP/1.1  100 Continue")),
    "a tab before the status": begun(b"HTTP/1.1\t200 OK"),
    "a status with a zero": begun(b"HTTP/1.1 0200 OK"),
    "a status with a sign": begun(b"HTTP/1.1 +200 OK"),
    "HTTP/0.9": begun(b"HTTP/0.9 200 OK"),
    "HTTP/1.2": begun(b"HTTP/1.2 200 OK"),
    "HTTP/1.10": begun(b"HTTP/1.10 200 OK"),
    "HTTP/2": begun(b"HTTP/2 200"),
    "lower case": begun(b"http/1.1 200 OK"),
    "a blank line first": after(b"\r\n"),
    "a space first": after(b" "),
    "no head": lambda body: body,
    "no end of a chunk": formed(b"%x\r\n%b0\r\n\r\n"),
    "more than a chunk's size": formed(b"%x\r\n%bXX0\r\n\r\n"),
    "a space before a chunk's size": formed(b" %x\r\n%b\r\n0\r\n\r\n"),
    "a chunk's size with a prefix": formed(b"0x%x\r\n%b\r\n0\r\n\r\n"),
    "a chunk's size too large for any integer": formed(b"1111111111%014x\r\n%b\r\n0\r\n\r\n"),
    "a bare line feed after a chunk's size": formed(b"%x\n%b\r\n0\r\n\r\n"),
    "a line feed in a chunk's extension": formed(b"%x;a\nb\r\n%b\r\n0\r\n\r\n"),
    "a trailer without a colon": formed(b"%x\r\n%b\r\n0\r\nno\r\n\r\n"),
}
# To a stream these come too late: [DONE] was there before.
AFTER_DONE = {"no end of a chunk", "more than a chunk's size", "a trailer without a colon"}
PIECES: dict[str, Callable[[bytes], list[bytes]]] = {
    "at once": lambda data: [data],
    "by the byte": lambda data: [data[at : at + 1] for at in range(len(data))],
    "split": lambda data: split(data, 7),
}


def answers(name: str, table: dict[str, Callable[[bytes], bytes]], pieces: str) -> list[Sent]:
    return [Sent(PIECES[pieces](table[name](BODIES[kind][1]))) for kind in ("whole", "streamed")]


@pytest.mark.parametrize("pieces", ["at once", "by the byte"])
@pytest.mark.parametrize("name", READ)
def test_what_can_be_read_one_way_only_is_read_however_it_is_split(
    name: str, pieces: str, byte_server: ByteServer, connect: Connect
) -> None:
    byte_server.answers += answers(name, READ, pieces)
    # Each with connections of its own: what follows an answer may come when the next has been asked for.
    assert connect(byte_server.url).chat().text == TEXT
    with connect(byte_server.url).stream() as stream:
        assert "".join(stream) == TEXT
    assert len(byte_server.requests) == 2


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_read_two_ways_is_refused(name: str, byte_server: ByteServer, connect: Connect) -> None:
    byte_server.answers += answers(name, REFUSED, "at once")
    caller = connect(byte_server.url)
    with pytest.raises(ProtocolBroken, match="not HTTP") as caught:
        caller.chat()
    assert len(caught.value.attempts) == 1
    if name in AFTER_DONE:
        with caller.stream() as stream:
            assert "".join(stream) == TEXT
    else:
        with pytest.raises(ProtocolBroken, match="not HTTP"):
            list(caller.stream())


@pytest.mark.parametrize(
    "form", [b"%x\r\n%b\r\n0\r\n", b"%x\r\n%b\r\n0", b"%x\r\n%b\r", b"%x\r\n%b\r\n0\r\nX-A: 1\r\n"]
)
def test_a_body_cut_within_its_last_chunk_or_trailers_is_cut(
    form: bytes, byte_server: ByteServer, connect: Connect
) -> None:
    byte_server.answers.append(Sent([in_chunks(BODIES["whole"][1], form)]))
    with pytest.raises((ConnectionFailed, StreamTruncated)) as caught:
        connect(byte_server.url).chat()
    assert {attempt.sent for attempt in caught.value.attempts} == {True}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("pieces", PIECES)
def test_a_packed_body_is_unpacked_though_nobody_asked_for_one(
    packer: str, pieces: str, byte_server: ByteServer, connect: Connect
) -> None:
    for kind in ("whole", "streamed"):
        body = PACKERS[packer](BODIES[kind][1])
        name = packer.removeprefix("raw ").encode()
        lines = b"Content-Encoding: " + name, CHUNKED
        byte_server.answers.append(Sent(PIECES[pieces](message(b"".join(chunked(split(body, 3))), *lines))))
    ask_both_ways(connect(byte_server.url, headers={"Accept-Encoding": "identity"}))


def test_what_follows_an_answer_is_never_the_next_one_s(byte_server: ByteServer, connect: Connect) -> None:
    wrong = BODIES["whole"][1].replace(TEXT.encode(), b"A lie.")
    body = BODIES["whole"][1]
    first = message(body, length(body)) + message(wrong, length(wrong))
    byte_server.answers += [Sent([first], closes=False), Sent([message(body, length(body))], closes=False)]
    caller = connect(byte_server.url)
    assert [caller.chat().text for _ in range(3)] == [TEXT] * 3


@pytest.mark.parametrize("status", [b"101 Switching Protocols", b"304 Not Modified", b"204 No Content"])
def test_an_answer_without_a_body_is_an_error_of_its_own(
    status: bytes, byte_server: ByteServer, connect: Connect
) -> None:
    byte_server.answers.append(Sent([message(b"", b"Upgrade: x", b"Connection: upgrade", first=b"HTTP/1.1 " + status)]))
    with pytest.raises(BarechatError) as caught:
        connect(byte_server.url).chat()
    assert isinstance(caught.value, ProtocolBroken if status.startswith(b"204") else ApiError)


def test_headers_are_the_same_text_for_both(byte_server: ByteServer, connect: Connect) -> None:
    lines = [b"X-Request-Id: \xc3\xa9\xff \t", b"X-Request-Id: b", b" c"]
    body = BODIES["whole"][1]
    byte_server.answers.append(Sent([message(body, length(body), *lines)]))
    assert connect(byte_server.url).chat().request_id == "\xe9\N{REPLACEMENT CHARACTER}, b c"


# The judge by itself, and at every split


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n", b"\n\r\n", b"\r\n\n"])
def test_a_head_s_end_is_found_wherever_its_pieces_are_cut(end: bytes) -> None:
    data = b"HTTP/1.1 200 OK\r\nX-A: 1" + end
    assert head_end(data, 0) == len(data)
    for cut in range(len(data)):
        assert head_end(data[:cut], 0) == -1
        assert head_end(data + b"rest\n\n", cut) == len(data)


def test_the_fault_of_a_head_quotes_its_line() -> None:
    assert fault_of_head(b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\n") is None
    for head, quoted in (
        (b"HTTP/1.1 200 OK\r\nX: 1\r\nbad\r\n\r\n", r"'bad\r\n'"),
        (b"HTTP/1.1 200 OK\r\n X: 1\r\n\r\n", r"' X: 1\r\n'"),
        (b"nope\r\n\r\n", r"'nope\r\n'"),
        (b"HTTP/1.1 200 OK\r\n", r"'HTTP/1.1 200 OK\r\n'"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", "longer than"),
    ):
        fault = fault_of_head(head)
        assert fault is not None
        assert quoted in fault


def test_a_chunk_s_size_is_hexadecimal_and_nothing_else() -> None:
    assert [chunk_size(line) for line in (b"1f\r\n", b"0\r\n", b"A;x=y\r\n", b"ffffffffffffffff\r\n")] == [
        31, 0, 10, 2**64 - 1,
    ]  # fmt: skip
    for line in (b"", b"\r\n", b"1f", b"1f\n", b"-1\r\n", b"1_0\r\n", b"1" + b"f" * 16 + b"\r\n", b"1;\0\r\n"):
        assert chunk_size(line) is None
