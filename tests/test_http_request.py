"""What goes over the wire for a request: its head to the byte, and whether all of it has left."""

from __future__ import annotations

import errno
import ssl

import pytest

from barechat.settings import Proxy
from barechat.steps import Send
from barechat.transport.http_request import request_head, send_request


class Pipe:
    """A socket that keeps what is sent, up to the fault that it has."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.sent: list[bytes] = []
        self._fault = fault

    def sendall(self, data: bytes) -> None:
        if self._fault is not None:
            raise self._fault
        self.sent.append(data)


def step(url: str, **headers: str) -> Send:
    return Send(url, headers, b"{}", None, None)


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("https://api.example.com/v1/a%2Fb/../c?x=%20y&z", "api.example.com", "/v1/a%2Fb/../c?x=%20y&z"),
        ("https://API.example.com.:443/v1", "api.example.com", "/v1"),
        ("http://api.example.com:443/v1", "api.example.com:443", "/v1"),
        ("http://[::1]:8000/v1", "[::1]:8000", "/v1"),
        ("http://[fe80::1%25eth0]/v1", "[fe80::1]", "/v1"),
        ("http://ex\xe4mple.com/v1/\xe9 []^|", "xn--exmple-cua.com", "/v1/%C3%A9%20%5B%5D%5E%7C"),
    ],
)
def test_a_url_is_a_host_and_a_target(url: str, host: str, target: str) -> None:
    head = request_head(step(url, Accept="x"), None)
    assert head == f"POST {target} HTTP/1.1\r\nHost: {host}\r\nAccept: x\r\nContent-Length: 2\r\n\r\n".encode()


def test_a_proxy_without_a_tunnel_is_sent_the_whole_url_and_its_own_key() -> None:
    proxy = Proxy("http://proxy:8080", "Basic abc")
    head = request_head(step("http://API.example.com:81/v1?x"), proxy)
    assert head.startswith(b"POST http://api.example.com:81/v1?x HTTP/1.1\r\nHost: api.example.com:81\r\n")
    assert b"\r\nProxy-Authorization: Basic abc\r\n" in head
    assert b"Proxy" not in request_head(step("http://api.example.com/"), Proxy("http://proxy:8080", None))


def test_a_host_of_the_caller_s_own_is_the_only_one_and_what_isn_t_ascii_is_latin_1() -> None:
    head = request_head(Send("http://a/", {"host": "b", "X": "\xe9"}, b"", None, None), None)
    assert head == b"POST / HTTP/1.1\r\nhost: b\r\nX: \xe9\r\nContent-Length: 0\r\n\r\n"


def test_a_body_goes_along_with_its_head_unless_it_is_long() -> None:
    pipe = Pipe()
    assert send_request(pipe, b"head", b"body")
    assert send_request(pipe, b"head", b"b" * 70_000)
    assert pipe.sent == [b"headbody", b"head", b"b" * 70_000]


@pytest.mark.parametrize(
    "fault", [BrokenPipeError(), ConnectionResetError(), ssl.SSLEOFError(), OSError(errno.EPROTOTYPE, "wrong type")]
)
def test_a_server_that_closes_early_may_have_answered(fault: Exception) -> None:
    assert not send_request(Pipe(fault), b"head", b"body")


def test_any_other_fault_is_one() -> None:
    with pytest.raises(OSError, match="no route"):
        send_request(Pipe(OSError(errno.EHOSTUNREACH, "no route")), b"head", b"body")
