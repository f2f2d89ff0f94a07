"""The recorder over real sockets: what passes through it, what it keeps, and that this plays back byte for byte."""

import asyncio
import contextlib
import functools
import gzip
import json
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol

from barechat.simulator import Record, Simulator
from barechat.simulator.journal import Journal
from barechat.simulator.recorder import RecordingEndpoint, read_part
from barechat.simulator.replies import Recorded

HELLO: Final[dict[str, Any]] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello, sea."}]}
STREAM: Final = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
KEY: Final = "sk-test-0123456789"
TIMEOUT_S: Final = 10


@dataclass
class Recorder:
    """A recorder that listens, and what it has kept."""

    path: Path
    journal: Journal
    url: str = ""

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.split("\n") if line]

    async def wait_for_record(self) -> Record:
        (record,) = await asyncio.to_thread(self.journal.wait_for, 1, TIMEOUT_S)
        return record


@contextlib.asynccontextmanager
async def recording(upstream: str, path: Path) -> AsyncIterator[Recorder]:
    recorder = Recorder(path, Journal())
    endpoint = RecordingEndpoint(upstream, path, recorder.journal, lambda: 1_800_000_000.0)
    loop = asyncio.get_running_loop()
    server = web.Server(
        endpoint.handle,
        request_factory=functools.partial(web.BaseRequest, loop=loop, client_max_size=0),
        handler_cancellation=True,
        access_log=None,
    )
    await endpoint.open()
    listener = await loop.create_server(server, "127.0.0.1", 0)
    recorder.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    try:
        yield recorder
    finally:
        endpoint.is_stopping = True
        listener.close()
        for connection in server.connections:
            if isinstance(connection.transport, asyncio.Transport):
                connection.transport.abort()
        await server.shutdown(1)
        await endpoint.close()


@dataclass
class ByteServer:
    """An upstream that sends these pieces to each client, whatever it asks, and waits for events between them."""

    url: str = ""
    heads: list[str] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    has_lost_client: asyncio.Event = field(default_factory=asyncio.Event)


@contextlib.asynccontextmanager
async def serving(*pieces: bytes | asyncio.Event, waits: bool = False) -> AsyncIterator[ByteServer]:
    served = ByteServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [int(line[15:]) for line in head.lower().splitlines() if line.startswith("content-length:")]
        await reader.readexactly(lengths[0] if lengths else 0)
        served.heads.append(head)
        served.was_asked.set()
        for piece in pieces:
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            else:
                writer.write(piece)
        if waits:
            await reader.read()
            served.has_lost_client.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield served


@dataclass
class Got:
    """An answer as far as it came."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_cut: bool


async def send(
    url: str,
    body: Any = HELLO,
    *,
    fault: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> Got:
    sent = {"Authorization": f"Bearer {KEY}", **(headers or {})}
    if fault is not None:
        sent["x-simulate"] = json.dumps(fault)
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.request(method, url, json=body, headers=sent, allow_redirects=False) as response,
    ):
        got = Got(response.status, {name.lower(): value for name, value in response.headers.items()}, b"", False)
        try:
            async for part in response.content.iter_any():
                got.body += part
        except aiohttp.ClientPayloadError:
            got.is_cut = True
        return got


async def play(line: dict[str, Any], body: Any = HELLO) -> Got:
    async with Simulator({"fault": [line]}) as simulator:
        return await send(f"{simulator.url}/chat/completions", body)


async def exchange(recorder: Recorder, request: str) -> bytes:
    """Send these bytes and return what comes until the connection is closed."""
    port = int(recorder.url.rpartition(":")[2].partition("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request.encode())
        return await reader.read()
    finally:
        writer.close()


def in_time(test: Callable[[Path], Awaitable[None]]) -> Callable[[Path], None]:
    """Run a test on a loop of its own, and not for ever."""

    def run(tmp_path: Path) -> None:
        async def limited() -> None:
            async with asyncio.timeout(TIMEOUT_S * 3):
                await test(tmp_path)

        asyncio.run(limited())

    run.__name__ = getattr(test, "__name__", "run")
    return run


ANSWERS: Final[dict[str, tuple[Any, dict[str, Any]]]] = {
    "a whole reply": (HELLO, {}),
    "a stream": (STREAM, {}),
    "a refusal": ({**HELLO, "temperature": 9}, {}),
    "no JSON": ("no object", {}),
    "a bad key": (HELLO, {"status": 401}),
    "a rate limit": (HELLO, {"status": 429, "headers": {"retry-after": "1.5", "x-ratelimit-reset-requests": "6m0s"}}),
    "a rate limit of a stream": (STREAM, {"status": 429, "headers": {"retry-after-ms": "20"}}),
    "HTML": (STREAM, {"status": 502, "body": "<html>\u2028</html>", "content_type": "text/html"}),
    "spaced JSON": (HELLO, {"body": '{\n  "choices": []\n}\n', "content_type": "application/json"}),
    "a list": (HELLO, {"body": "[1, 2]"}),
    "an empty body": (HELLO, {"status": 500, "body": ""}),
    "bytes": (HELLO, {"raw_b64": "/wD+", "content_type": "application/octet-stream"}),
    "CR LF and comments": (STREAM, {"raw": ": ping\r\n\r\ndata: {}\r\n\r\ndata: [DONE]\r\n\r\n"}),
    "a stream that ends amid an event": (STREAM, {"raw": 'data: {"choices":[]}\n\ndata: {"cho'}),
    "a stream without an event": (STREAM, {"raw": ""}),
    "a body that ends by closing": (HELLO, {"until_close": True}),
    "a stream cut off": (STREAM, {"cut_after": 3}),
    "a stream cut off at once": (STREAM, {"cut_after": 0}),
    "a stream cut off amid a character": (STREAM, {"raw_b64": "ZGF0YTogw6kKCmRhdGE6IMM=", "cut_after": 1}),
    "a whole reply cut off": (HELLO, {"cut_after": 1}),
    "a whole reply cut off at once": (HELLO, {"cut_after": 0}),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_passes_unchanged_and_plays_back_the_same(name: str, tmp_path: Path) -> None:
    body, fault = ANSWERS[name]

    async def run(path: Path) -> None:
        async with (
            Simulator(clock=lambda: 1_800_000_000.0) as upstream,
            recording(upstream.url, path / "replies.jsonl") as recorder,
        ):
            straight = await send(f"{upstream.url}/chat/completions", body, fault=fault)
            passed = await send(f"{recorder.url}/chat/completions", body, fault=fault)
            (line,) = recorder.lines
            (record,) = recorder.journal.snapshot()
        played = await play(line, body)
        for got in (passed, played):
            assert (got.status, got.body, got.is_cut) == (straight.status, straight.body, straight.is_cut)
            assert got.headers.get("content-type") == straight.headers.get("content-type")
            assert got.headers.keys() >= {key for key in straight.headers if key.startswith(("x-", "openai-", "retry"))}
        assert {key: played.headers[key] for key in line["headers"]} == line["headers"]
        assert played.headers["x-request-id"] == passed.headers["x-request-id"]
        assert (record["decision"], record["status"], record["hung_up"]) == ("recorded", straight.status, False)

    in_time(run)(tmp_path)


def test_the_log_tells_what_the_upstream_s_log_tells(tmp_path: Path) -> None:
    async def run(path: Path) -> None:
        async with Simulator() as upstream, recording(upstream.url, path / "replies.jsonl") as recorder:
            for body in (HELLO, STREAM, HELLO):
                await send(f"{recorder.url}/chat/completions", body, headers={"X-Client-Request-Id": "mine"})
            told, known = recorder.journal.snapshot(), upstream.requests
        for here, there in zip(told, known, strict=True):
            assert here["key"] == "sk-***89"
            assert here["headers"]["authorization"] == "Bearer sk-***89"
            same = ("method", "path", "model", "stream", "attempt", "client_request_id", "key", "status")
            said = ("finish_reason", "usage")
            assert {name: here.get(name) for name in (*same, *said)} == {
                name: there.get(name) for name in (*same, *said)
            }
        assert told[1]["chunks"] == known[1]["chunks"] > 10

    in_time(run)(tmp_path)


def test_a_stream_s_head_and_events_pass_before_it_ends_and_one_given_up_is_not_kept(tmp_path: Path) -> None:
    async def run(path: Path) -> None:
        async with Simulator() as upstream, recording(upstream.url, path / "replies.jsonl") as recorder:
            headers = {"Authorization": f"Bearer {KEY}", "x-simulate": '{"stall_after": 2}'}
            url = f"{recorder.url}/chat/completions"
            async with aiohttp.ClientSession() as session, session.post(url, json=STREAM, headers=headers) as response:
                assert response.status == 200
                got = b""
                while got.count(b'"content":"') < 3:  # the role's, and two
                    got += await response.content.readany()
                response.close()
            (there,) = await asyncio.to_thread(upstream.wait_for, 1)
            here = await recorder.wait_for_record()
            assert (here["decision"], here["hung_up"], there["hung_up"]) == ("forwarded", True, True)
            assert recorder.text == ""

    in_time(run)(tmp_path)


def test_a_client_that_gives_up_before_the_head_is_given_up_at_the_upstream(tmp_path: Path) -> None:
    async def run(path: Path) -> None:
        async with serving(waits=True) as upstream, recording(upstream.url, path / "replies.jsonl") as recorder:
            asking = asyncio.create_task(send(f"{recorder.url}/chat/completions"))
            await upstream.was_asked.wait()
            asking.cancel()
            await upstream.has_lost_client.wait()
            here = await recorder.wait_for_record()
            assert (here["status"], here["hung_up"], recorder.text) == (None, True, "")

    in_time(run)(tmp_path)


def test_a_client_may_hang_up_after_done(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

    async def run(path: Path) -> None:
        async with (
            serving(head, b"data: {}\n\ndata: [DONE]\n\n", waits=True) as upstream,
            recording(upstream.url, path / "replies.jsonl") as recorder,
        ):
            url = f"{recorder.url}/chat/completions"
            async with aiohttp.ClientSession() as session, session.post(url, json=STREAM) as response:
                while b"[DONE]" not in await response.content.readline():
                    pass
                response.close()
            record = await recorder.wait_for_record()
            assert (record["decision"], record["hung_up"]) == ("recorded", True)
            (line,) = recorder.lines
            assert [text for _, text in line["events"]] == ["data: {}\n\n", "data: [DONE]\n\n"]
            assert "cut_after" not in line

    in_time(run)(tmp_path)


def test_a_recorder_that_stops_keeps_nothing_of_what_is_under_way(tmp_path: Path) -> None:
    async def run(path: Path) -> None:
        async with Simulator() as upstream, aiohttp.ClientSession() as session:
            async with recording(upstream.url, path / "replies.jsonl") as recorder:
                url, headers = f"{recorder.url}/chat/completions", {"Authorization": "Bearer k"}
                response = await session.post(url, json=STREAM, headers={**headers, "x-simulate": '{"stall_after": 1}'})
            record = await recorder.wait_for_record()
            response.close()
            assert (record["decision"], record["hung_up"], recorder.text) == ("forwarded", False, "")

    in_time(run)(tmp_path)


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ([b"Content-Length: 9\r\n\r\n", b'{"a":'], '{"a":'),
        ([b"Transfer-Encoding: chunked\r\n\r\n", b'5\r\n{"a":\r\n'], '{"a":'),
        ([b"Content-Length: 9\r\n\r\n"], ""),
    ],
)
def test_a_body_that_breaks_is_cut_for_the_client_and_in_the_file(
    pieces: list[bytes], body: str, tmp_path: Path
) -> None:
    async def run(path: Path) -> None:
        async with (
            serving(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + pieces[0], *pieces[1:]) as upstream,
            recording(upstream.url, path / "replies.jsonl") as recorder,
        ):
            got = await send(f"{recorder.url}/chat/completions")
            (line,) = recorder.lines
            assert (got.is_cut, line["raw"], line["cut_after"]) == (True, body, 1)
        played = await play(line)
        assert (played.is_cut, played.body.decode()) == (True, body)

    in_time(run)(tmp_path)


def test_what_came_before_a_break_is_not_lost_when_the_client_is_slower_than_the_upstream() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        content = aiohttp.StreamReader(BaseProtocol(loop), 65_536, loop=loop)
        content.feed_data(b"data: 1")
        content.set_exception(aiohttp.ClientPayloadError("cut"))
        answer = Recorded(status=200, headers=[])
        assert [await read_part(content, answer) for _ in range(2)] == [b"data: 1", b""]
        assert answer.is_cut

    asyncio.run(run())


def test_a_stream_whose_framing_breaks_is_cut(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def run(path: Path) -> None:
        is_read = asyncio.Event()
        async with (
            serving(head, b"9\r\ndata: 1\n\n\r\n", is_read, b"zz\r\ndata: 2\n\n\r\n", waits=True) as upstream,
            recording(upstream.url, path / "replies.jsonl") as recorder,
        ):
            url = f"{recorder.url}/chat/completions"
            async with aiohttp.ClientSession() as session, session.post(url, json=STREAM) as response:
                assert await response.content.readany() == b"data: 1\n\n"
                is_read.set()
                with pytest.raises(aiohttp.ClientPayloadError):
                    await response.content.readany()
            (line,) = recorder.lines
            assert ([text for _, text in line["events"]], line["cut_after"]) == (["data: 1\n\n"], 1)

    in_time(run)(tmp_path)


def test_a_key_that_the_server_shows_is_not_in_the_file_which_only_its_owner_reads(tmp_path: Path) -> None:
    shown = {"status": 401, "headers": {"x-request-id": KEY, "x-ms-region": f"of {KEY}"}}
    path = tmp_path / "replies.jsonl"

    async def run(_: Path) -> None:
        async with Simulator() as upstream, recording(upstream.url, path) as recorder:
            url = f"{recorder.url}/chat/completions"
            prompt = {**HELLO, "messages": [{"role": "user", "content": f"Is {KEY} a key?"}]}
            await send(url, fault={**shown, "body": {"error": {"message": f"Incorrect API key: {KEY}."}}})
            await send(url, STREAM, fault={**shown, "status": 200, "raw": f"data: {KEY}\n\ndata: [DONE]\n\n"})
            await send(url, prompt, fault={**shown, "raw_b64": "/3NrLXRlc3QtMDEyMzQ1Njc4OQ=="})
            await send(url, fault={**shown, "body": "azure-key-0"}, headers={"api-key": "azure-key-0"})
            first, second, third, fourth = recorder.lines
            assert not [secret for secret in (KEY, "azure-key-0", "c2stdGVzdC") if secret in recorder.text]
        assert first["body"] == {"error": {"message": "Incorrect API key: sk-***."}}
        assert first["headers"]["x-ms-region"] == "of sk-***"
        assert second["events"][0][1] == "data: sk-***\n\n"
        assert third["raw_b64"] == "/3NrLSoqKg=="
        assert "prompt" not in third
        assert fourth["body"] == "sk-***"

    in_time(run)(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_lines_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    async def run(path: Path) -> None:
        async with Simulator() as upstream:
            for body in (HELLO, STREAM):
                async with recording(upstream.url, path / "replies.jsonl") as recorder:
                    await send(f"{recorder.url}/chat/completions", body)
        assert [line["stream"] for line in recorder.lines] == [False, True]

    in_time(run)(tmp_path)


def test_an_upstream_that_is_not_there_is_a_502_that_names_it(tmp_path: Path) -> None:
    async def run(path: Path) -> None:
        async with serving() as gone:
            pass
        async with recording(gone.url, path / "replies.jsonl") as recorder:
            got = await send(f"{recorder.url}/chat/completions?a=b")
            (record,) = recorder.journal.snapshot()
            assert recorder.text == ""
        error = json.loads(got.body)["error"]
        assert (got.status, error["code"]) == (502, "upstream_unreachable")
        assert error["message"].startswith(f"No answer from {gone.url}/chat/completions: Cannot connect")
        assert (record["decision"], record["status"]) == ("refused", 502)

    in_time(run)(tmp_path)


def test_an_upstream_that_closes_without_an_answer_is_a_502(tmp_path: Path) -> None:
    async def run(path: Path) -> None:
        async with serving() as upstream, recording(upstream.url, path / "replies.jsonl") as recorder:
            got = await send(f"{recorder.url}/chat/completions")
            assert (got.status, recorder.text) == (502, "")
            assert "Server disconnected" in json.loads(got.body)["error"]["message"]

    in_time(run)(tmp_path)


EMPTY: Final = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize(
    ("base", "path", "target"),
    [
        ("/v1", "/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/", "/v1/models?limit=1&after=a%2Fb", "/v1/models?limit=1&after=a%2Fb"),
        ("/openai/v1", "/v1/chat/completions", "/openai/v1/chat/completions"),
        ("/openai/v1", "/v1", "/openai/v1"),
        ("/openai/v1", "/v1?a=b", "/openai/v1?a=b"),
        ("/openai/v1", "/v10/a", "/v10/a"),
        ("", "/v1/chat/completions", "/chat/completions"),
        ("/v1", "/openai/deployments/my%2Fgpt/chat/completions?api-version=1", None),
        ("/v1", "/", "/"),
    ],
)
def test_paths_below_v1_go_below_the_base_url_and_others_to_its_origin(
    base: str, path: str, target: str | None, tmp_path: Path
) -> None:
    async def run(directory: Path) -> None:
        async with serving(EMPTY) as upstream:
            async with recording(upstream.url.removesuffix("/v1") + base, directory / "replies.jsonl") as recorder:
                got = await exchange(recorder, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert got.startswith(b"HTTP/1.1 204 No Content\r\n")
                assert (recorder.text, recorder.journal.snapshot()[0]["decision"]) == ("", "forwarded")
            assert upstream.heads[0].startswith(f"GET {target or path} HTTP/1.1\r\n")

    in_time(run)(tmp_path)


def test_headers_for_the_connection_stay_there_and_all_others_pass_both_ways(tmp_path: Path) -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Twice: 1\r\nX-Twice: 2\r\n"
        b"Connection: X-Own, close\r\nX-Own: 1\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: theirs\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )
    sent = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: ours.example\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\n"
        "TE: trailers\r\nAccept-Encoding: gzip\r\nCookie: c=3\r\nUser-Agent: me/1\r\nX-Other: \xe9\r\n"
        "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
    )

    async def run(path: Path) -> None:
        async with serving(answer) as upstream, recording(upstream.url, path / "replies.jsonl") as recorder:
            got = await exchange(recorder, sent)
            (line,) = recorder.lines
            head = upstream.heads[0]
            port = upstream.url.rpartition(":")[2].removesuffix("/v1")
        assert sorted(head.strip().splitlines()) == sorted(
            [
                "POST /v1/chat/completions HTTP/1.1",
                f"Host: 127.0.0.1:{port}",
                "Cookie: c=3",
                "User-Agent: me/1",
                "X-Other: é",
                "Accept-Encoding: identity",
                "Content-Length: 2",
                "Connection: close",
            ]
        )
        continued, _, rest = got.decode().partition("\r\n\r\n")
        assert continued == "HTTP/1.1 100 Continue"
        assert sorted(rest.splitlines()) == sorted(
            [
                "HTTP/1.1 200 OK",
                "Set-Cookie: a=1",
                "Set-Cookie: b=2",
                "X-Twice: 1",
                "X-Twice: 2",
                "Date: Thu, 01 Jan 1970 00:00:00 GMT",
                "Server: theirs",
                "Content-Length: 2",
                "Content-Type: application/octet-stream",
                "Connection: close",
                "",
                "{}",
            ]
        )
        assert not {"headers", "content_type", "prompt", "model"} & line.keys()

    in_time(run)(tmp_path)


def test_a_url_in_the_place_of_a_path_is_not_asked_for(tmp_path: Path) -> None:
    async def run(path: Path) -> None:
        async with serving(EMPTY) as upstream, recording(upstream.url, path / "replies.jsonl") as recorder:
            request = "GET http://a.example/v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            assert (await exchange(recorder, request)).startswith(b"HTTP/1.1 400 ")
            assert not upstream.heads

    in_time(run)(tmp_path)


def test_redirects_are_the_client_s_business(tmp_path: Path) -> None:
    moved = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /v2/chat/completions\r\nContent-Length: 0\r\n\r\n"

    async def run(path: Path) -> None:
        async with serving(moved) as upstream, recording(upstream.url, path / "replies.jsonl") as recorder:
            got = await send(f"{recorder.url}/chat/completions")
            assert (got.status, got.headers["location"]) == (307, "/v2/chat/completions")
            assert len(upstream.heads) == 1

    in_time(run)(tmp_path)


@pytest.mark.parametrize(
    ("status", "header", "body", "reason"),
    [(200, "Content-Encoding: gzip", gzip.compress(b"{}", mtime=0), "gzip"), (999, "X-A: 1", b"{}", "status 999")],
)
def test_what_cannot_be_read_or_played_passes_but_is_not_kept(
    status: int, header: str, body: bytes, reason: str, tmp_path: Path
) -> None:
    head = f"HTTP/1.1 {status} Some\r\n{header}\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def run(path: Path) -> None:
        async with serving(head + body) as upstream, recording(upstream.url, path / "replies.jsonl") as recorder:
            got = await send(f"{recorder.url}/chat/completions")
            assert (got.status, got.body, recorder.text) == (status, body, "")
            assert header.partition(":")[0].lower() in got.headers
            assert recorder.journal.snapshot()[0]["decision"] == f"not recorded: {reason}"

    in_time(run)(tmp_path)


def test_other_methods_pass_and_are_not_kept(tmp_path: Path) -> None:
    async def run(path: Path) -> None:
        async with Simulator() as upstream, recording(upstream.url, path / "replies.jsonl") as recorder:
            for method in ("GET", "HEAD", "DELETE"):
                got = await send(f"{recorder.url}/chat/completions", method=method)
                assert (got.status, got.is_cut) == (405, False)
            assert recorder.text == ""

    in_time(run)(tmp_path)


@pytest.mark.parametrize(
    "upstream",
    ["", "api.example.com/v1", "ftp://a.example/v1", "https:///v1", "https://u:p@a.example/v1", "https://a.example/?b"],
)
def test_an_upstream_that_is_no_base_url_is_refused(upstream: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^the upstream is a base URL such as "):
        RecordingEndpoint(upstream, tmp_path / "replies.jsonl", Journal(), lambda: 0.0)
