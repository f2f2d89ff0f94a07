"""Both clients behind proxies: what those hear, what they never hear, and what becomes of a call that they refuse."""

from __future__ import annotations

import base64
import json
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from barechat import BarechatError, ConfigurationError, ConnectionFailed, DeadlineExceeded, Timeouts
from networking import ANSWERS, Authority, Proxy, ask_both_ways
from support import KEY, ONCE, ByteServer, Connect, Sent, head, whole_answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from barechat.wire.trace import TraceEvent

FAR = "https://api.example.com/v1"
USER = base64.b64encode(b"me:p@ss-word").decode()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, name="api.example.com")


@pytest.fixture
def server(authority: Authority) -> Iterator[ByteServer]:
    with authority.server() as running:
        yield running


def port_of(server: ByteServer) -> int:
    return int(server.url.rpartition(":")[2].removesuffix("/v1"))


def with_user(url: str) -> str:
    return url.replace("//", "//me:p%40ss-word@")


def shown(error: BaseException) -> str:
    """Return all that an error says of itself, its causes and its facts."""
    text, seen = "", set()
    left: list[BaseException | None] = [error]
    while left:
        fault = left.pop()
        if fault is not None and id(fault) not in seen:
            seen.add(id(fault))
            text += "".join(traceback.format_exception(fault)) + repr(fault) + repr(vars(fault))
            left += [fault.__cause__, fault.__context__]
    return text


def test_a_proxy_hears_the_server_s_name_and_its_own_password_and_nothing_else(
    authority: Authority, server: ByteServer, connect: Connect
) -> None:
    events: list[TraceEvent] = []
    with Proxy(port_of(server)) as proxy:
        caller = connect(FAR, verify=authority.pem, proxy=with_user(proxy.url), trace=events.append)
        ask_both_ways(caller)
        (heard,) = proxy.heads  # one tunnel for both calls
        assert heard.startswith("CONNECT api.example.com:443 HTTP/1.1\r\n")
        assert f"\r\nproxy-authorization: basic {USER}\r\n".lower() in heard.lower()
        assert "\r\nhost: api.example.com:443\r\n" in heard.lower().replace("example.com\r", "example.com:443\r")
        assert KEY not in heard
        assert KEY.encode() not in proxy.heard
        assert b"chat/completions" not in proxy.heard
    assert all("proxy-authorization" not in request.head.lower() for request in server.requests)
    told = repr(events) + repr(caller.client) + repr(caller.client._transport._proxy)
    assert "p@ss" not in told
    assert "p%40ss" not in told
    assert USER not in told


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_the_environment_s_proxy_is_used(
    variable: str, authority: Authority, server: ByteServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(port_of(server)) as proxy:
        monkeypatch.setenv(variable, proxy.address)
        ask_both_ways(connect(FAR, verify=authority.pem))
        assert len(proxy.heads) == 1


def test_an_exception_or_an_empty_proxy_goes_straight_to_the_server(
    byte_server: ByteServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    byte_server.answers += [*ANSWERS, *ANSWERS]
    with Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        ask_both_ways(connect(byte_server.url, proxy=""))
        monkeypatch.setenv("NO_PROXY", "10.0.0.0/8, 127.0.0.0/8")
        ask_both_ways(connect(byte_server.url))
        assert proxy.heads == []


def test_a_plain_server_is_asked_through_a_proxy_by_its_whole_url(byte_server: ByteServer, connect: Connect) -> None:
    byte_server.answers += ANSWERS
    with pytest.warns(UserWarning, match="plain http"):
        caller = connect("http://api.example.com/v1", proxy=with_user(byte_server.url.removesuffix("/v1")))
    ask_both_ways(caller)
    for request in byte_server.requests:
        assert request.head.startswith("POST http://api.example.com/v1/chat/completions HTTP/1.1\r\n")
        assert f"proxy-authorization: basic {USER}".lower() in request.head.lower()


def test_a_plain_server_s_proxy_that_repeats_its_password_is_masked(connect: Connect) -> None:
    said = json.dumps({"error": {"message": f"You sent: Basic {USER} for me:p@ss-word"}}).encode()
    told: list[TraceEvent] = []
    with ByteServer([Sent([whole_answer(said, status="400 Bad Request")])]) as proxy:
        address = with_user(proxy.url.removesuffix("/v1"))
        with pytest.warns(UserWarning, match="plain http"):
            caller = connect("http://api.example.com/v1", proxy=address, trace=told.append)
        with pytest.raises(BarechatError, match="You sent") as caught:
            caller.chat()
    assert told[-1].kind == "end"
    for secret in ("p@ss", USER):
        assert secret not in shown(caught.value)
        assert secret not in repr(told)


def test_a_proxy_may_itself_speak_tls(authority: Authority, server: ByteServer, connect: Connect) -> None:
    ours = Authority(authority.directory, name="127.0.0.1")
    trusted = authority.directory / "all.pem"
    trusted.write_bytes(authority._authority.cert_pem.bytes() + ours._authority.cert_pem.bytes())
    with Proxy(port_of(server), tls=ours.context()) as proxy:
        ask_both_ways(connect(FAR, verify=trusted, proxy=with_user(proxy.url)))
        (heard,) = proxy.heads
        assert USER in heard
        assert KEY not in heard
        with pytest.raises(ConnectionFailed, match="can't be verified") as caught:
            connect(FAR, proxy=proxy.url).chat()
        assert len(caught.value.attempts) == 1
        assert len(proxy.heads) == 1
    with ByteServer(list(ANSWERS), tls=ours.context()) as proxied:
        with pytest.warns(UserWarning, match="plain http"):
            caller = connect("http://api.example.com/v1", verify=trusted, proxy=proxied.url.removesuffix("/v1"))
        ask_both_ways(caller)
        assert proxied.requests[0].head.startswith("POST http://api.example.com/v1/chat/completions ")


def test_an_ipv6_literal_goes_through_a_tunnel_in_brackets(tmp_path: Path, connect: Connect) -> None:
    authority = Authority(tmp_path, name="::1")
    with authority.server() as server, Proxy(port_of(server), host="::1") as proxy:
        ask_both_ways(connect("https://[::1]:444/v1", verify=authority.pem, proxy=proxy.url))
        assert proxy.heads[0].startswith("CONNECT [::1]:444 HTTP/1.1\r\n")


# What refuses


def refusal(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 2\r\nX-Echo: {USER}\r\n\r\nno".encode()


def test_a_proxy_of_a_plain_server_that_wants_another_password_is_not_quoted(connect: Connect) -> None:
    with Proxy(reply=refusal(f"407 {USER}")) as proxy:
        caller = connect("http://127.0.0.1:9/v1", proxy=with_user(proxy.url))
        for ask in (caller.chat, lambda: list(caller.stream())):
            with pytest.raises(ConnectionFailed, match="407 Proxy Authentication Required") as caught:
                ask()
            assert (caught.value.sent, len(caught.value.attempts)) == (False, 1)
            for secret in ("p@ss", "p%40ss", USER):
                assert secret not in shown(caught.value)


@pytest.mark.parametrize(
    ("status", "said", "attempts"),
    [
        (
            f"407 {USER}",
            "407 Proxy Authentication Required. Nothing reached the server. Check the user and password",
            1,
        ),
        ("403 Forbidden", "403 Forbidden. Nothing reached the server", 1),
        ("502 Bad Gateway", "502 Bad Gateway. Nothing reached the server", 3),
        ("503 Busy", "503 Service Unavailable. Nothing reached the server", 3),
        ("299 Fine", "299 of its own. Nothing reached the server", 1),
        ("301 Moved", "301 Moved Permanently. Nothing reached the server", 1),
    ],
)
def test_a_proxy_that_refuses_is_quoted_by_its_status_alone(
    status: str, said: str, attempts: int, connect: Connect, authority: Authority
) -> None:
    with Proxy(reply=refusal(status)) as proxy:
        caller = connect(FAR, verify=authority.pem, proxy=with_user(proxy.url))
        for ask in (caller.chat, lambda **options: list(caller.stream(**options))):
            with pytest.raises(ConnectionFailed) as caught:
                ask(retry=type(caller.client.retry)(base_s=0.001, max_attempts=3))
            assert str(caught.value).startswith(f"the proxy {proxy.url} refused to connect: {said}")
            assert (caught.value.sent, len(caught.value.attempts)) == (False, attempts)
            assert caught.value.cost is not None
            assert caught.value.cost.picodollars == 0
            for secret in ("p@ss", "p%40ss", USER, KEY):
                assert secret not in shown(caught.value)
        assert all(KEY not in heard for heard in proxy.heads)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\n",
        b"220 mail.example.com ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"You sent: Basic " + USER.encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nYou sent: Basic " + USER.encode() + b"\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_a_proxy_that_breaks_off_never_got_the_request(reply: bytes, connect: Connect, authority: Authority) -> None:
    with Proxy(reply=reply) as proxy:
        caller = connect(FAR, verify=authority.pem, proxy=with_user(proxy.url), retry=ONCE)
        with pytest.raises(ConnectionFailed, match=r"Nothing was sent\.$") as caught:
            caller.chat()
        if reply != b"HTTP/1.1 200 OK\r\n\r\n":
            assert str(caught.value).startswith(f"could not connect through the proxy {proxy.url}: ")
        assert (caught.value.sent, caught.value.retryable) == (False, True)
        for secret in ("p@ss", "p%40ss", USER, KEY):
            assert secret not in shown(caught.value)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_a_proxy_that_falls_silent_has_the_connection_s_deadline(
    reply: bytes, connect: Connect, authority: Authority
) -> None:
    with Proxy(reply=reply, stalls=True) as proxy:
        caller = connect(FAR, verify=authority.pem, proxy=proxy.url, retry=ONCE, timeouts=Timeouts(connect_s=0.2))
        for ask in (caller.chat, lambda: list(caller.stream())):
            with pytest.raises(DeadlineExceeded) as caught:
                ask()
            assert (caught.value.which, caught.value.sent) == ("connect", False)


@pytest.mark.parametrize("url", [FAR, "http://api.example.com/v1"])
@pytest.mark.filterwarnings("ignore:.*plain http")
def test_a_proxy_that_isn_t_there_is_named(url: str, connect: Connect) -> None:
    with Proxy() as proxy:
        pass
    with pytest.raises(ConnectionFailed, match=f"could not connect through the proxy {proxy.url}: ") as caught:
        connect(url, proxy=with_user(proxy.url), retry=ONCE).chat()
    assert caught.value.sent is False
    assert "ss-word" not in shown(caught.value)


def test_a_server_behind_a_proxy_that_can_t_be_verified_is_tried_once(server: ByteServer, connect: Connect) -> None:
    with Proxy(port_of(server)) as proxy:
        with pytest.raises(ConnectionFailed, match="can't be verified") as caught:
            connect(FAR, proxy=proxy.url).chat()
        assert (caught.value.sent, len(caught.value.attempts)) == (False, 1)
    assert server.requests == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("socks5://me:secret@proxy:1", "SOCKS"),
        ("socks4a://proxy:1", "SOCKS"),
        ("ftp://proxy:1", "kind"),
        ("//", "host"),
    ],
)
def test_a_proxy_of_another_kind_is_refused_when_the_client_is_made(given: Any, said: str, connect: Connect) -> None:
    with pytest.raises(ConfigurationError, match=f"^proxy .*{said}") as caught:
        connect(FAR, proxy=given)
    assert "secret" not in shown(caught.value)


def test_a_broken_answer_tells_no_header_of_the_request(byte_server: ByteServer, connect: Connect) -> None:
    byte_server.answers.append(Sent([head("no colon")]))
    with pytest.raises(BarechatError) as caught:
        connect(byte_server.url).chat()
    assert KEY not in shown(caught.value)
