"""The blocking transport against raw bytes: every framing, everything that breaks off, and its connections' lives."""

from __future__ import annotations

import base64
import socket
import ssl
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from barechat import (
    BarechatError,
    Client,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    ProtocolBroken,
    StreamTruncated,
    Timeouts,
)
from barechat.steps import Deadline, Send
from barechat.transport.blocking import BlockingTransport
from framings import BROKEN, CUT, EVERY_FRAMING, HEADLESS, NOT_HTTP, TEXT, framed, self_signed
from support import KEY, MODEL, ONCE, QUICK, ByteServer, Sent, chunked, head, piece, whole_body

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from barechat.simulator import Simulator


@pytest.fixture
def client(byte_server: ByteServer) -> Iterator[Client]:
    with Client(KEY, byte_server.url, retry=ONCE) as made:
        yield made


def send_step(url: str, connect_by: Deadline | None = None, head_by: Deadline | None = None) -> Send:
    return Send(url, {"Content-Type": "application/json"}, b"{}", connect_by, head_by)


def read_all(answer: Any) -> bytes:
    pieces = []
    while data := answer.read(None):
        pieces.append(data)
    return b"".join(pieces)


@pytest.mark.parametrize(("kind", "framing", "encoding"), EVERY_FRAMING)
def test_every_framing_brings_the_answer(
    kind: str, framing: str, encoding: str, client: Client, byte_server: ByteServer
) -> None:
    byte_server.answers.append(framed(kind, framing, encoding))
    assert client.chat("Hi", model=MODEL).text == TEXT
    with client.stream("Hi", model=MODEL) as stream:
        assert "".join(stream) == TEXT
    assert byte_server.connections == (1 if framing != "until close" else 2)


@pytest.mark.parametrize("case", CUT)
def test_a_body_that_breaks_off_is_never_whole(case: str, client: Client, byte_server: ByteServer) -> None:
    byte_server.answer(*CUT[case])
    with pytest.raises(ConnectionFailed) as caught:
        client.chat("Hi", model=MODEL)
    assert caught.value.sent is (None if case in HEADLESS else True)


@pytest.mark.parametrize("case", NOT_HTTP)
def test_what_is_not_http_is_said_and_quoted(case: str, client: Client, byte_server: ByteServer) -> None:
    byte_server.answer(NOT_HTTP[case])
    with pytest.raises(BarechatError) as caught:
        client.chat("Hi", model=MODEL)
    assert isinstance(caught.value, ProtocolBroken)
    assert "not HTTP" in str(caught.value)


@pytest.mark.parametrize("case", BROKEN)
def test_broken_http_is_said_so_wherever_it_stands(case: str, client: Client, byte_server: ByteServer) -> None:
    byte_server.answer(BROKEN[case])
    with pytest.raises(ProtocolBroken, match="not HTTP"):
        client.chat("Hi", model=MODEL)


def test_an_idle_connection_that_the_server_closed_is_not_used(client: Client, byte_server: ByteServer) -> None:
    body = whole_body()
    byte_server.answer(head(f"Content-Length: {len(body)}"), body, closes=True)
    client.chat("Hi", model=MODEL)
    byte_server.wait_until_closed(1)
    assert len(client.chat("Hi", model=MODEL).attempts) == 1
    assert byte_server.connections == 2


def test_a_connection_is_used_again_and_a_broken_one_never(client: Client, byte_server: ByteServer) -> None:
    whole = framed("whole", "length")
    byte_server.answers.extend([whole, whole, Sent([head("Content-Length: 99999"), b"{"]), whole])
    client.chat("Hi", model=MODEL)
    client.chat("Hi", model=MODEL)
    with pytest.raises(ConnectionFailed):
        client.chat("Hi", model=MODEL)
    client.chat("Hi", model=MODEL)
    assert [request.connection for request in byte_server.requests] == [1, 1, 1, 2]


def test_a_stream_whose_body_s_end_never_comes_is_whole_at_done(client: Client, byte_server: ByteServer) -> None:
    answer = framed("streamed", "chunked")
    byte_server.answers.append(Sent(answer.pieces[:-1], closes=False))
    with client.stream("Hi", model=MODEL) as stream:
        assert "".join(stream) == TEXT
    byte_server.wait_until_closed(1)  # the drain gave up, and closed it


def test_what_follows_an_answer_s_end_is_drained_up_to_a_bound(client: Client, byte_server: ByteServer) -> None:
    answer = framed("streamed", "chunked")
    more = chunked([b": bye\n\n" * 300_000])
    byte_server.answers.append(Sent([*answer.pieces[:-1], *more], closes=False))
    with client.stream("Hi", model=MODEL) as stream:
        assert "".join(stream) == TEXT
    byte_server.wait_until_closed(1)


def test_a_connection_over_which_more_came_than_the_answer_is_not_used_again(
    client: Client, byte_server: ByteServer
) -> None:
    for framing in ("length", "chunked"):
        for kind in ("whole", "streamed"):
            whole = framed(kind, framing)
            byte_server.answers.append(Sent([b"".join(whole.pieces) + b"HTTP/1.1 200 OK\r\n"], closes=False))
    for _ in range(2):
        client.chat("Hi", model=MODEL)
        with client.stream("Hi", model=MODEL) as stream:
            assert "".join(stream) == TEXT
    assert [request.connection for request in byte_server.requests] == [1, 2, 3, 4]


def test_an_answer_that_is_left_unread_is_closed(byte_server: ByteServer) -> None:
    byte_server.answer(head("Content-Length: 5"), closes=False)
    transport = BlockingTransport(byte_server.url)
    answer = transport.send(send_step(byte_server.url))
    del answer
    byte_server.wait_until_closed(1)


def test_reading_on_after_the_end_leaves_the_next_call_s_deadline_alone(byte_server: ByteServer) -> None:
    byte_server.answer(head("Content-Length: 2"), b"{}", closes=False)
    transport = BlockingTransport(byte_server.url)
    first = transport.send(send_step(byte_server.url))
    assert read_all(first) == b"{}"
    second = transport.send(send_step(byte_server.url))
    assert second._watch is first._watch
    deadline = Deadline(time.monotonic() + 60, "idle", 60)
    second._watch.arm(second._flight, deadline)
    assert first.read(Deadline(time.monotonic() - 1, "idle", 1)) == b""
    first.close()
    assert second._watch._deadline is deadline
    assert read_all(second) == b"{}"
    transport.close()


def test_headers_that_come_twice_are_joined(byte_server: ByteServer) -> None:
    byte_server.answer(head("X-A: 1", "x-a: 2", "Content-Length: 0"), closes=False)
    answer = BlockingTransport(byte_server.url).send(send_step(byte_server.url))
    assert answer.headers["x-a"] == "1, 2"
    assert read_all(answer) == b""


def test_a_query_goes_along_and_a_path_is_sent_as_it_is(byte_server: ByteServer) -> None:
    byte_server.answer(head("Content-Length: 0"), closes=False)
    BlockingTransport(byte_server.url).send(send_step(f"{byte_server.url}/a%2Fb/../c?x=%20y&z"))
    assert byte_server.requests[0].head.startswith("POST /v1/a%2Fb/../c?x=%20y&z HTTP/1.1\r\n")


def test_closing_a_stream_from_another_thread_wakes_its_reader(simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2)
    with Client(KEY, simulator.url, retry=ONCE) as client:
        stream = client.stream("Hi", model=MODEL)
        begun = threading.Event()
        ends: list[BaseException] = []

        def read() -> None:
            try:
                for _ in stream:
                    begun.set()
            except BarechatError as error:
                ends.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        assert begun.wait(10)
        stream.close()
        reader.join(10)
        assert not reader.is_alive()
    assert [str(end) for end in ends] == ["the stream was closed before its end"]
    (record,) = simulator.wait_for(1)
    assert record["hung_up"]


def test_threads_share_a_client_s_connections(simulator: Simulator) -> None:
    with Client(KEY, simulator.url) as client:
        for _ in range(3):
            thread = threading.Thread(target=lambda: client.chat("Hi", model=MODEL))
            thread.start()
            thread.join()
    assert len({record["peer_port"] for record in simulator.requests}) == 1


def test_a_closed_client_can_still_be_used(simulator: Simulator) -> None:
    client = Client(KEY, simulator.url)
    client.close()
    client.chat("Hi", model=MODEL)
    client.close()
    client.chat("Hi", model=MODEL)
    client.close()
    assert len({record["peer_port"] for record in simulator.requests}) == 2


# Connecting


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port on which nobody accepts and whose queue is full, so that connecting to it hangs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses")
def test_connecting_has_a_deadline_and_sends_nothing(full_port: int) -> None:
    for timeouts, which in ((Timeouts(connect_s=0.1), "connect"), (Timeouts(total_s=0.1), "total")):
        with Client(KEY, f"http://127.0.0.1:{full_port}/v1", retry=ONCE, timeouts=timeouts) as client:
            with pytest.raises(DeadlineExceeded) as caught:
                client.chat("Hi", model=MODEL)
            assert (caught.value.which, caught.value.sent) == (which, False)
            assert caught.value.cost is not None
            assert caught.value.cost.picodollars == 0


def test_a_name_that_nobody_knows_is_a_failed_connection() -> None:
    with Client(KEY, "https://nobody.invalid/v1", retry=ONCE, timeouts=Timeouts(connect_s=20)) as client:
        with pytest.raises(ConnectionFailed, match=r"connect to nobody\.invalid: .*Nothing was sent") as caught:
            client.chat("Hi", model=MODEL)
        assert caught.value.sent is False
    with (
        Client(KEY, "https://nobody.invalid/v1", retry=ONCE, timeouts=Timeouts(None, None, None, None)) as client,
        pytest.raises(ConnectionFailed),
    ):
        client.chat("Hi", model=MODEL)


def test_a_name_that_has_several_addresses_is_tried_at_each(simulator: Simulator) -> None:
    port = simulator.url.rpartition(":")[2]
    with Client(KEY, f"http://localhost:{port}") as client:  # ::1 first on many machines; the simulator is at 127.0.0.1
        assert client.chat("Hi", model=MODEL).text


def test_a_deadline_that_has_passed_already_connects_to_nobody(byte_server: ByteServer) -> None:
    late = Deadline(time.monotonic() - 1, "connect", 1)
    for host in ("127.0.0.1", "localhost"):
        transport = BlockingTransport(byte_server.url.replace("127.0.0.1", host))
        with pytest.raises(DeadlineExceeded) as caught:
            transport.send(send_step(byte_server.url, connect_by=late))
        assert (caught.value.which, caught.value.sent) == ("connect", False)
    assert byte_server.connections == 0


def test_a_tls_handshake_that_never_ends_has_the_connection_s_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # it accepts, and says nothing
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        with Client(KEY, url, retry=ONCE, timeouts=Timeouts(connect_s=0.2)) as client:
            with pytest.raises(DeadlineExceeded) as caught:
                client.chat("Hi", model=MODEL)
            assert (caught.value.which, caught.value.sent) == ("connect", False)


def test_a_server_that_speaks_no_tls_is_a_failed_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        with Client(KEY, url, retry=ONCE) as client, pytest.raises(ConnectionFailed) as caught:
            client.chat("Hi", model=MODEL)
        thread.join()
    assert caught.value.sent is False
    assert "SSL" in str(caught.value)


@pytest.mark.parametrize("host", ["exa..mple.com", "a" * 64 + ".com", "\N{ZERO WIDTH JOINER}.com"])
def test_a_name_that_dns_can_t_carry_is_a_failed_connection(host: str) -> None:
    url = f"https://{host}/v1"
    for connect_by in (None, Deadline(time.monotonic() + 60, "connect", 60)):
        with pytest.raises(ConnectionFailed, match="Nothing was sent") as caught:
            BlockingTransport(url).send(send_step(url, connect_by))
        assert caught.value.sent is False


def test_a_certificate_that_nobody_trusts_says_what_to_do(tmp_path: Path) -> None:
    with ByteServer(tls=self_signed(tmp_path)) as server, Client(KEY, server.url, retry=ONCE) as client:
        with pytest.raises(ConnectionFailed, match=r"certificate can't be verified.*SSL_CERT_FILE") as caught:
            client.chat("Hi", model=MODEL)
        assert server.requests == []
    assert caught.value.sent is False
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


def test_a_certificate_that_ssl_cert_file_names_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ByteServer([framed("whole", "length")], tls=self_signed(tmp_path)) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        with Client(KEY, server.url, retry=ONCE) as client:
            assert client.chat("Hi", model=MODEL).text == TEXT


def test_a_proxy_that_can_t_be_used_is_refused_when_the_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:secret@127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        Client(KEY, "https://api.example.com/v1")
    assert "secret" not in str(caught.value)


def test_a_proxy_without_a_scheme_is_used_as_http(byte_server: ByteServer, monkeypatch: pytest.MonkeyPatch) -> None:
    byte_server.answers.append(framed("whole", "length"))
    monkeypatch.setenv("HTTP_PROXY", byte_server.url.removesuffix("/v1").replace("http://", "me:p%40ss@"))
    with pytest.warns(UserWarning, match="plain http"):
        client = Client(KEY, "http://api.example.com/v1", retry=ONCE)
    with client:
        assert client.chat("Hi", model=MODEL).text == TEXT
    assert base64.b64encode(b"me:p@ss").decode() in byte_server.requests[0].head


def test_a_proxy_of_the_environment_is_used(byte_server: ByteServer, monkeypatch: pytest.MonkeyPatch) -> None:
    byte_server.answers.append(framed("whole", "length"))
    monkeypatch.setenv("HTTP_PROXY", byte_server.url.removesuffix("/v1").replace("//", "//me:secret@"))
    with pytest.warns(UserWarning, match="plain http"):
        client = Client(KEY, "http://api.example.com/v1", retry=ONCE)
    with client:
        assert client.chat("Hi", model=MODEL).text == TEXT
    (request,) = byte_server.requests
    assert request.head.startswith("POST http://api.example.com/v1/chat/completions HTTP/1.1")
    assert "proxy-authorization: basic" in request.head.lower()


def test_a_proxy_that_refuses_a_tunnel_never_got_the_request(
    byte_server: ByteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    byte_server.answer(head("Content-Length: 0", status="403 Forbidden"))
    monkeypatch.setenv("HTTPS_PROXY", byte_server.url.removesuffix("/v1"))
    with Client(KEY, "https://api.example.com/v1", retry=ONCE) as client, pytest.raises(ConnectionFailed) as caught:
        client.chat("Hi", model=MODEL)
    assert caught.value.sent is False
    assert byte_server.requests[0].head.startswith("CONNECT api.example.com:443 ")
    assert KEY not in byte_server.requests[0].head


FORKED_MID_STREAM = """
import os, sys
from barechat import Client

client = Client("a-key", sys.argv[1])
stream = client.stream("Hello", model="gpt-4o-mini")
first = next(stream)
child = os.fork()
if child == 0:
    stream.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
text = first + "".join(stream)
assert text == client.chat("Hello", model="gpt-4o-mini").text
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a fork that the system's libraries survive")
def test_a_child_that_closes_a_stream_of_its_parent_s_leaves_it_running(simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2, stall_s=1)
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED_MID_STREAM, simulator.url], check=True, timeout=60)  # noqa: S603 - our own code


@pytest.mark.parametrize("body", [b"d", b"data", piece("Hi"), piece("Hi")[:-1]])
def test_a_stream_that_breaks_off_is_truncated(body: bytes, client: Client, byte_server: ByteServer) -> None:
    byte_server.answer(head("Transfer-Encoding: chunked", kind="text/event-stream"), *chunked([body])[:-1])
    with pytest.raises(StreamTruncated), client.stream("Hi", model=MODEL) as stream:
        list(stream)


def test_many_retries_over_one_client_leave_no_connection_behind(byte_server: ByteServer) -> None:
    byte_server.answers.extend([Sent([head("Content-Length: 9"), b"{"])] * 3)
    byte_server.answers.append(framed("whole", "length"))
    with Client(KEY, byte_server.url, retry=QUICK) as client:
        assert len(client.chat("Hi", model=MODEL).attempts) == 4
    byte_server.wait_until_closed(4)
