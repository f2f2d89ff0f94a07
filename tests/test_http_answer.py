"""An answer's head and its body's end, read from what a connection gives, wherever that is cut."""

from __future__ import annotations

import pytest

from barechat.transport.common import Cut, NotHttp
from barechat.transport.http_answer import Answer

INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\n  3\r\n"


def head_of(*pieces: bytes) -> Answer | None:
    """Return an answer whose head has come with these pieces, or None if it hasn't come whole."""
    answer = Answer()
    for piece in pieces:
        if piece and answer.take_head(piece):
            return answer
    return None


def read_all(*pieces: bytes) -> tuple[Answer, bytes]:
    """Return a whole answer and its data; an end of the connection follows the pieces."""
    answer = Answer()
    coming = iter([*filter(None, pieces), b""])
    while not answer.take_head(next(coming)):
        pass
    data = answer.rest()
    while not answer.is_whole:
        data += answer.take(next(coming))
    return answer, data


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 5", b"hello"),
        (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
        (b"X: 1", b"hello"),
    ],
)
def test_an_answer_is_the_same_wherever_it_is_cut(framing: bytes, body: bytes) -> None:
    text = INTERIM + HEAD + framing + b"\r\n\r\n" + body
    splits = [[text[:at], text[at:]] for at in range(len(text))]
    for pieces in [*splits, [text[at : at + 1] for at in range(len(text))]]:
        answer, data = read_all(*pieces)
        assert (answer.status, answer.headers["x-a"], data) == (200, "1, 2 3", b"hello")
        assert answer.keeps_connection == (framing != b"X: 1")


def test_a_head_that_is_cut_is_no_answer_and_a_body_that_is_cut_is_no_whole_one() -> None:
    text = INTERIM + HEAD + b"Content-Length: 5\r\n\r\n"
    for start in (text[:at] for at in range(len(text))):
        with pytest.raises(Cut, match="without an answer"):
            read_all(start)
    for start in (b"HX", b"http/1.1 200", b"220 mail"):
        with pytest.raises(NotHttp, match=f"it begins '{start.decode()}'"):
            read_all(start)
    with pytest.raises(Cut, match="1 bytes too early"):
        read_all(text + b"hell")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"220 mail.example.com ESMTP\r\n", "it begins '220 mail"),
        (b"HTTP/2 200\r\n", "it begins 'HTTP/2"),
        (b"\r\n", "it begins"),
        (b"HTTP/1.1 200 " + b"O" * 65537, "longer than 65536"),
        (HEAD + b"X: " + b"a" * 65537, "longer than 65536"),
        (HEAD + b"X: 1\r\n" * 99, "more than 99 lines"),
        (INTERIM + HEAD + b"X: 1\r\n" * 99, "more than 99 lines"),
    ],
)
def test_what_can_t_become_a_head_is_refused_before_it_has_come_whole(text: bytes, said: str) -> None:
    for pieces in ([text], [text[:3], text[3:]]):
        with pytest.raises(NotHttp, match=said):
            head_of(*pieces)


@pytest.mark.parametrize(
    ("first", "lines", "keeps"),
    [
        (b"HTTP/1.1 200 OK", b"", True),
        (b"HTTP/1.1 200 OK", b"Connection: Close\r\n", False),
        (b"HTTP/1.1 200 OK", b"Connection: x\r\nConnection: close\r\n", False),
        (b"HTTP/1.0 200 OK", b"", False),
        (b"HTTP/1.0 200 OK", b"Connection: Keep-Alive\r\n", True),
        (b"HTTP/1.0 200 OK", b"Keep-Alive: timeout=5\r\n", True),
        (b"HTTP/1.1 204 No Content", b"", True),
        (b"HTTP/1.1 101 Switching Protocols", b"Connection: upgrade\r\n", False),
    ],
)
def test_a_connection_is_kept_where_the_server_keeps_it(first: bytes, lines: bytes, keeps: bool) -> None:
    answer, _ = read_all(first + b"\r\n" + lines + b"Content-Length: 0\r\n\r\n")
    assert answer.keeps_connection == keeps


@pytest.mark.parametrize("status", [b"101", b"204", b"304"])
def test_an_answer_that_has_no_body_has_none_whatever_its_length_says(status: bytes) -> None:
    answer = head_of(b"HTTP/1.1 " + status + b" X\r\nContent-Length: 5\r\n\r\n")
    assert answer is not None
    assert answer.is_whole


@pytest.mark.parametrize(
    ("framing", "body"), [(b"Content-Length: 2", b"{}"), (b"Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n")]
)
def test_what_follows_a_body_is_no_part_of_it_and_ends_its_connection(framing: bytes, body: bytes) -> None:
    text = HEAD + framing + b"\r\n\r\n" + body
    for pieces in ([text + b"HTTP/1.1 200 OK"], [text[:-1], text[-1:] + b"HTTP/1.1 200 OK"]):
        answer, data = read_all(*pieces)
        assert (data, answer.keeps_connection) == (b"{}", False)


def test_a_broken_chunk_that_came_with_the_data_before_it_is_told_without_waiting_for_more() -> None:
    answer = head_of(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n")
    assert answer is not None
    assert answer.rest() == b"hello"
    with pytest.raises(NotHttp, match="xyz"):
        answer.rest()
