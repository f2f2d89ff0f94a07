"""The async transport against raw bytes: every framing, everything that breaks off, and its connections' lives."""

from __future__ import annotations

import asyncio
import base64
import gc
import socket
import ssl
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from barechat import (
    AsyncClient,
    BarechatError,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    ProtocolBroken,
    StreamTruncated,
    Timeouts,
    TooLarge,
)
from barechat.steps import Deadline, Send
from barechat.transport.asynchronous import AsyncTransport
from framings import BROKEN, CUT, EVERY_FRAMING, HEADLESS, NOT_HTTP, TEXT, framed, self_signed
from support import KEY, MODEL, ONCE, AsyncCaller, ByteServer, Sent, chunked, head, piece, whole_answer, whole_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from barechat.simulator import Simulator


@pytest.fixture
def connected() -> Iterator[Callable[..., AsyncCaller]]:
    made: list[AsyncCaller] = []

    def make(url: str, **options: Any) -> AsyncCaller:
        made.append(AsyncCaller(AsyncClient(KEY, url, **{"retry": ONCE, **options})))
        return made[-1]

    yield make
    for caller in made:
        caller.close()


@pytest.fixture
def caller(connected: Callable[..., AsyncCaller], byte_server: ByteServer) -> AsyncCaller:
    return connected(byte_server.url)


def send_step(url: str, connect_by: Deadline | None = None, head_by: Deadline | None = None) -> Send:
    return Send(url, {"Content-Type": "application/json"}, b"{}", connect_by, head_by)


@pytest.mark.parametrize(("kind", "framing", "encoding"), EVERY_FRAMING)
def test_every_framing_brings_the_answer(
    kind: str, framing: str, encoding: str, caller: AsyncCaller, byte_server: ByteServer
) -> None:
    byte_server.answers.append(framed(kind, framing, encoding))
    assert caller.chat().text == TEXT
    with caller.stream() as stream:
        assert "".join(stream) == TEXT
    assert byte_server.connections == (1 if framing != "until close" else 2)


@pytest.mark.parametrize("case", CUT)
def test_a_body_that_breaks_off_is_never_whole(case: str, caller: AsyncCaller, byte_server: ByteServer) -> None:
    byte_server.answer(*CUT[case])
    with pytest.raises(ConnectionFailed) as caught:
        caller.chat()
    assert caught.value.sent is (None if case in HEADLESS else True)


@pytest.mark.parametrize("case", NOT_HTTP)
def test_what_is_not_http_is_said_and_quoted(case: str, caller: AsyncCaller, byte_server: ByteServer) -> None:
    byte_server.answer(NOT_HTTP[case])
    with pytest.raises(ProtocolBroken, match="not HTTP"):
        caller.chat()


@pytest.mark.parametrize("case", BROKEN)
def test_broken_http_is_said_so_wherever_it_stands(case: str, caller: AsyncCaller, byte_server: ByteServer) -> None:
    byte_server.answer(BROKEN[case])
    with pytest.raises(ProtocolBroken, match="not HTTP"):
        caller.chat()


def test_an_idle_connection_that_the_server_closed_is_not_used(caller: AsyncCaller, byte_server: ByteServer) -> None:
    body = whole_body()
    byte_server.answer(head(f"Content-Length: {len(body)}"), body, closes=True)
    caller.chat()
    byte_server.wait_until_closed(1)
    caller.run(asyncio.sleep(0))  # a turn of the loop, as any program's has, for it to hear of the close
    assert len(caller.chat().attempts) == 1
    assert byte_server.connections == 2


def test_a_connection_is_used_again_and_a_broken_one_never(caller: AsyncCaller, byte_server: ByteServer) -> None:
    whole = framed("whole", "length")
    byte_server.answers.extend([whole, whole, Sent([head("Content-Length: 99999"), b"{"]), whole])
    caller.chat()
    caller.chat()
    with pytest.raises(ConnectionFailed):
        caller.chat()
    caller.chat()
    assert [request.connection for request in byte_server.requests] == [1, 1, 1, 2]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_over_which_half_a_request_is_to_leave_is_not_used_again(
    scheme: str, connected: Callable[..., AsyncCaller], tmp_path: Path
) -> None:
    # A blocking client is still sending then, and waits for the server to read or to hang up.
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    answers = [refusal, whole_answer(whole_body("Short"))]
    tls = self_signed(tmp_path) if scheme == "https" else None
    held: list[socket.socket] = []

    def serve() -> None:  # each connection is answered once, after its request's head
        for answer in answers:
            sock, _ = listener.accept()
            if tls is not None:
                sock = tls.wrap_socket(sock, server_side=True)
            held.append(sock)
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(4096)
            sock.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        trust = {} if tls is None else {"verify": str(tmp_path / "certificate.pem")}
        caller = connected(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/v1", **trust)
        with pytest.raises(TooLarge):
            caller.chat("wave " * 4_000_000)
        assert caller.chat("Hi").text == "Short"
        server.join()
        for sock in held:
            sock.close()


def test_a_stream_whose_body_s_end_never_comes_is_whole_at_done(caller: AsyncCaller, byte_server: ByteServer) -> None:
    answer = framed("streamed", "chunked")
    byte_server.answers.append(Sent(answer.pieces[:-1], closes=False))
    with caller.stream() as stream:
        assert "".join(stream) == TEXT
    caller.run(asyncio.to_thread(byte_server.wait_until_closed, 1))  # the drain gave up, and closed it


def test_what_follows_an_answer_s_end_is_drained_up_to_a_bound(caller: AsyncCaller, byte_server: ByteServer) -> None:
    answer = framed("streamed", "chunked")
    byte_server.answers.append(Sent([*answer.pieces[:-1], *chunked([b": bye\n\n" * 300_000])], closes=False))
    with caller.stream() as stream:
        assert "".join(stream) == TEXT
    caller.run(asyncio.to_thread(byte_server.wait_until_closed, 1))


def test_headers_that_come_twice_are_joined(byte_server: ByteServer) -> None:
    byte_server.answer(head("X-A: 1", "x-a: 2", "Content-Length: 0"), closes=False)

    async def ask() -> str:
        transport = AsyncTransport(byte_server.url)
        answer = await transport.send(send_step(byte_server.url))
        assert await answer.read(None) == b""
        await transport.close()
        return answer.headers["x-a"]

    assert asyncio.run(ask()) == "1, 2"


def test_a_query_goes_along_and_a_path_is_sent_as_it_is(byte_server: ByteServer) -> None:
    byte_server.answer(head("Content-Length: 0"), closes=False)

    async def ask() -> None:
        transport = AsyncTransport(byte_server.url)
        await transport.send(send_step(f"{byte_server.url}/a%2Fb?x=%20y&z"))
        await transport.close()

    asyncio.run(ask())
    assert byte_server.requests[0].head.startswith("POST /v1/a%2Fb?x=%20y&z HTTP/1.1\r\n")


def test_cancelling_a_call_hangs_up_and_files_it(simulator: Simulator) -> None:
    simulator.fail_next(2, stall_head=True)

    async def ask() -> int:
        async with AsyncClient(KEY, simulator.url) as client:
            for call in (client.chat("Hi", model=MODEL), read_stream(client)):
                with pytest.raises(TimeoutError) as caught:
                    await asyncio.wait_for(call, 0.1)  # the caller's own limit, which cancels
                assert not isinstance(caught.value, BarechatError)
            return client.cost.call_count

    assert asyncio.run(ask()) == 2
    assert [record["hung_up"] for record in simulator.wait_for(2)] == [True, True]


async def read_stream(client: AsyncClient) -> str:
    async with client.stream("Hi", model=MODEL) as stream:
        return "".join([text async for text in stream])


def test_another_task_may_close_a_stream_that_is_being_read(simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2)

    async def ask() -> None:
        async with AsyncClient(KEY, simulator.url) as client:
            stream = client.stream("Hi", model=MODEL)
            await anext(stream)
            reader = asyncio.ensure_future(read_rest(stream))
            await asyncio.sleep(0)
            await stream.close()
            with pytest.raises(BarechatError, match="closed before its end"):
                await reader
        record = (await asyncio.to_thread(simulator.wait_for, 1))[0]
        assert record["hung_up"]

    async def read_rest(stream: Any) -> None:
        async for _ in stream:
            pass

    asyncio.run(ask())


def test_a_client_may_be_used_on_one_loop_after_another(simulator: Simulator) -> None:
    client = AsyncClient(KEY, simulator.url)

    async def ask() -> str:
        return (await client.chat("Hi", model=MODEL)).text

    async def ask_and_close() -> str:
        text = await ask()
        await client.close()
        return text

    assert len({asyncio.run(ask_and_close()), asyncio.run(ask_and_close())}) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the loops that ended without a close
        assert len({asyncio.run(ask()), asyncio.run(ask()), asyncio.run(ask())}) == 1
        assert len(client._transport._opened) == 1
        asyncio.run(ask_and_close())
        assert client._transport._opened == {}
        gc.collect()


def test_two_loops_in_two_threads_may_share_a_client(simulator: Simulator) -> None:
    client = AsyncClient(KEY, simulator.url)
    texts: list[str] = []

    async def ask() -> None:
        for _ in range(5):
            texts.append((await client.chat("Hi", model=MODEL)).text)  # noqa: PERF401 - one after another
        await client.close()

    threads = [threading.Thread(target=lambda: asyncio.run(ask())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 10
    assert len(set(texts)) == 1
    assert client.cost.call_count == 10


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
@pytest.mark.parametrize(
    ("timeouts", "which"), [(Timeouts(connect_s=0.1), "connect"), (Timeouts(connect_s=20, total_s=0.1), "total")]
)
def test_connecting_has_a_deadline_and_sends_nothing(
    timeouts: Timeouts, which: str, full_port: int, connected: Callable[..., AsyncCaller]
) -> None:
    caller = connected(f"http://127.0.0.1:{full_port}/v1", timeouts=timeouts)
    with pytest.raises(DeadlineExceeded) as caught:
        caller.chat()
    assert (caught.value.which, caught.value.sent) == (which, False)
    assert caught.value.cost is not None
    assert caught.value.cost.picodollars == 0


def test_a_deadline_that_has_passed_already_sends_nothing(byte_server: ByteServer) -> None:
    byte_server.answer(head("Content-Length: 0"))

    async def ask(**deadlines: Deadline) -> DeadlineExceeded:
        transport = AsyncTransport(byte_server.url)
        with pytest.raises(DeadlineExceeded) as caught:
            await transport.send(send_step(byte_server.url, **deadlines))
        await transport.close()
        return caught.value

    error = asyncio.run(ask(head_by=Deadline(time.monotonic() - 1, "total", 1)))
    assert (error.which, error.sent) == ("total", False)
    assert byte_server.requests == []


def test_a_name_that_nobody_knows_is_a_failed_connection(connected: Callable[..., AsyncCaller]) -> None:
    with pytest.raises(ConnectionFailed, match=r"connect to nobody\.invalid: .*Nothing was sent") as caught:
        connected("https://nobody.invalid/v1", timeouts=Timeouts(connect_s=20)).chat()
    assert caught.value.sent is False


def test_a_tls_handshake_that_never_ends_has_the_connection_s_deadline(connected: Callable[..., AsyncCaller]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # it accepts, and says nothing
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        with pytest.raises(DeadlineExceeded) as caught:
            connected(url, timeouts=Timeouts(connect_s=0.2)).chat()
    assert (caught.value.which, caught.value.sent) == ("connect", False)


@pytest.mark.parametrize("host", ["exa..mple.com", "a" * 64 + ".com", "\N{ZERO WIDTH JOINER}.com"])
def test_a_name_that_dns_can_t_carry_is_a_failed_connection(host: str) -> None:
    url = f"https://{host}/v1"

    async def ask(connect_by: Deadline | None) -> ConnectionFailed:
        transport = AsyncTransport(url)
        with pytest.raises(ConnectionFailed, match="Nothing was sent") as caught:
            await transport.send(send_step(url, connect_by))
        await transport.close()
        return caught.value

    for connect_by in (None, Deadline(time.monotonic() + 60, "connect", 60)):
        assert asyncio.run(ask(connect_by)).sent is False


def test_a_certificate_that_nobody_trusts_says_what_to_do(
    tmp_path: Path, connected: Callable[..., AsyncCaller]
) -> None:
    with ByteServer(tls=self_signed(tmp_path)) as server:
        with pytest.raises(ConnectionFailed, match=r"certificate can't be verified.*SSL_CERT_FILE") as caught:
            connected(server.url).chat()
        assert server.requests == []
    assert caught.value.sent is False
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


def test_a_certificate_that_ssl_cert_file_names_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connected: Callable[..., AsyncCaller]
) -> None:
    with ByteServer([framed("whole", "length")], tls=self_signed(tmp_path)) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        assert connected(server.url).chat().text == TEXT


def test_a_tls_stream_that_is_closed_early_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(url: str) -> None:
        async with AsyncClient(KEY, url, retry=ONCE) as client, client.stream("Hi", model=MODEL) as stream:
            await anext(stream)

    beginning = [head("Transfer-Encoding: chunked", kind="text/event-stream"), chunked([piece("Hi")])[0]]
    more = chunked([b": " + b"x" * 2**24 + b"\n\n"])  # while it sends them, the server hears no farewell
    with ByteServer([Sent([*beginning, *more], closes=False)], tls=self_signed(tmp_path)) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            asyncio.run(ask(server.url))
            gc.collect()
        server.wait_until_closed(1)
    assert [str(warning.message) for warning in warned] == []


def test_a_proxy_that_can_t_be_used_is_refused_when_the_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:secret@127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        AsyncClient(KEY, "https://api.example.com/v1")
    assert "secret" not in str(caught.value)


def test_a_proxy_without_a_scheme_is_used_as_http(
    byte_server: ByteServer, monkeypatch: pytest.MonkeyPatch, connected: Callable[..., AsyncCaller]
) -> None:
    byte_server.answers.append(framed("whole", "length"))
    monkeypatch.setenv("HTTP_PROXY", byte_server.url.removesuffix("/v1").replace("http://", "me:p%40ss@"))
    with pytest.warns(UserWarning, match="plain http"):
        caller = connected("http://api.example.com/v1")
    assert caller.chat().text == TEXT
    assert base64.b64encode(b"me:p@ss").decode() in byte_server.requests[0].head


def test_a_proxy_of_the_environment_is_used(
    byte_server: ByteServer, monkeypatch: pytest.MonkeyPatch, connected: Callable[..., AsyncCaller]
) -> None:
    byte_server.answers.append(framed("whole", "length"))
    monkeypatch.setenv("HTTP_PROXY", byte_server.url.removesuffix("/v1").replace("//", "//me:secret@"))
    with pytest.warns(UserWarning, match="plain http"):
        caller = connected("http://api.example.com/v1")
    assert caller.chat().text == TEXT
    (request,) = byte_server.requests
    assert request.head.startswith("POST http://api.example.com/v1/chat/completions HTTP/1.1")
    assert "proxy-authorization: basic" in request.head.lower()


def test_a_proxy_that_refuses_a_tunnel_never_got_the_request(
    byte_server: ByteServer, monkeypatch: pytest.MonkeyPatch, connected: Callable[..., AsyncCaller]
) -> None:
    byte_server.answer(head("Content-Length: 0", status="403 Forbidden"))
    monkeypatch.setenv("HTTPS_PROXY", byte_server.url.removesuffix("/v1"))
    with pytest.raises(ConnectionFailed) as caught:
        connected("https://api.example.com/v1").chat()
    assert caught.value.sent is False
    assert byte_server.requests[0].head.startswith("CONNECT api.example.com:443 ")
    assert KEY not in byte_server.requests[0].head


@pytest.mark.parametrize("body", [b"d", b"data", piece("Hi"), piece("Hi")[:-1]])
def test_a_stream_that_breaks_off_is_truncated(body: bytes, caller: AsyncCaller, byte_server: ByteServer) -> None:
    byte_server.answer(head("Transfer-Encoding: chunked", kind="text/event-stream"), *chunked([body])[:-1])
    with pytest.raises(StreamTruncated), caller.stream() as stream:
        list(stream)
