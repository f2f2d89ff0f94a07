"""An answer's head and its body's end, read from what a socket gives, wherever that is cut."""

from __future__ import annotations

from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected

import pytest

from barechat.transport.http_answer import Answer, read_head

INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\n  3\r\n"


class Pieces:
    """A socket that gives these pieces, and then its end; or nothing more, if it stays open."""

    def __init__(self, *pieces: bytes, is_open: bool = False) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self._is_open = is_open

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            assert not self._is_open, "it would wait for ever"
            return b""
        piece, self._pieces[0] = self._pieces[0][:size], self._pieces[0][size:]
        self._pieces = self._pieces[not self._pieces[0] :]
        return piece


def read_all(sock: Pieces) -> tuple[Answer, bytes]:
    answer = Answer(sock)
    data = answer.body.feed(answer.piece)
    while not answer.body.is_whole:
        if piece := sock.recv(65536):
            data += answer.body.feed(piece)
        else:
            answer.body.end()
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
        answer, data = read_all(Pieces(*pieces))
        assert (answer.status, answer.headers["x-a"], data) == (200, "1, 2 3", b"hello")
        assert answer.keeps_connection == (framing != b"X: 1")


def test_a_head_that_is_cut_is_no_answer_and_a_body_that_is_cut_is_no_whole_one() -> None:
    text = INTERIM + HEAD + b"Content-Length: 5\r\n\r\n"
    starts = [text[:0], *(text[:at] for at in range(5, len(INTERIM) + 1))]
    starts += [text[:at] for at in range(len(INTERIM) + 5, len(text))]
    for start in starts:
        with pytest.raises(RemoteDisconnected):
            read_head(Pieces(start))
    for start in (b"H", b"HTTP", b"220 mail"):
        with pytest.raises(BadStatusLine, match=start.decode()):
            read_head(Pieces(start))
    with pytest.raises(IncompleteRead, match=r"1 more"):
        read_all(Pieces(text + b"hell"))


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
        with pytest.raises(HTTPException, match=said):
            read_head(Pieces(*pieces, is_open=True))


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
    answer, _ = read_all(Pieces(first + b"\r\n" + lines + b"Content-Length: 0\r\n\r\n"))
    assert answer.keeps_connection == keeps


@pytest.mark.parametrize("status", [b"101", b"204", b"304"])
def test_an_answer_that_has_no_body_has_none_whatever_its_length_says(status: bytes) -> None:
    answer = Answer(Pieces(b"HTTP/1.1 " + status + b" X\r\nContent-Length: 5\r\n\r\n"))
    assert answer.body.is_whole


def test_what_follows_a_body_of_known_length_is_kept_apart() -> None:
    answer, data = read_all(Pieces(HEAD + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK"))
    assert (data, answer.body.surplus) == (b"{}", b"HTTP/1.1 200 OK")
