"""The simulator over real sockets: what a client gets, what the log says of it, and how it ends."""

import asyncio
import contextlib
import gc
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import openai
import pytest

from barechat.simulator import Record, Simulator
from simulating import HELLO, KEY, STREAM, TIMEOUT_S, Answer, dial, post, send


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(clock=lambda: 1_800_000_000.0) as running:  # `created` is the same however long a test takes
        yield running


def only_record(simulator: Simulator) -> Record:
    (record,) = simulator.requests
    return record


def test_a_whole_reply_comes_with_the_headers_of_the_api(simulator: Simulator) -> None:
    answer = post(simulator)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    assert int(answer.headers["openai-processing-ms"]) > 0
    for kind in ("requests", "tokens"):
        assert int(answer.headers[f"x-ratelimit-limit-{kind}"]) > int(answer.headers[f"x-ratelimit-remaining-{kind}"])
        assert answer.headers[f"x-ratelimit-reset-{kind}"].endswith("s")
    assert answer.json()["usage"]["completion_tokens"] > 0


def test_a_stream_says_what_the_whole_reply_says(simulator: Simulator) -> None:
    streamed = post(simulator, STREAM)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text() == post(simulator).json()["choices"][0]["message"]["content"]
    assert streamed.events()[-1] == "[DONE]"


def test_a_connection_serves_many_requests(simulator: Simulator) -> None:
    with contextlib.closing(dial(simulator)) as connection:
        for body in (HELLO, STREAM, {}, HELLO):
            send(connection, body)
            Answer(connection.getresponse())
    assert len({record["peer_port"] for record in simulator.requests}) == 1
    assert [record["decision"] for record in simulator.requests] == ["reply", "reply", "refused", "reply"]


def test_every_refusal_is_logged(simulator: Simulator) -> None:
    assert post(simulator, headers={"Authorization": "Bearer sk-bad-0123456789"}).status == 401
    assert post(simulator, {**HELLO, "model": "no-such"}).status == 404
    assert post(simulator, b"{").status == 400
    assert post(simulator, path="/v1/other").status == 404
    assert [record["status"] for record in simulator.requests] == [401, 404, 400, 404]
    assert {record["decision"] for record in simulator.requests} == {"refused"}


@pytest.mark.parametrize(("method", "has_body"), [("GET", True), ("HEAD", False), ("DELETE", True)])
def test_another_method_is_not_allowed(simulator: Simulator, method: str, has_body: bool) -> None:
    with contextlib.closing(dial(simulator)) as connection:
        connection.request(method, "/v1/chat/completions")
        answer = Answer(connection.getresponse())
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    assert bool(answer.body) is has_body


def test_azure_paths_and_keys_are_taken(simulator: Simulator) -> None:
    body = {"messages": HELLO["messages"]}
    path = "/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21"
    answer = post(simulator, body, path=path, headers={"Authorization": "", "api-key": "azure-key-0123"})
    assert answer.json()["model"] == "my gpt"
    assert only_record(simulator)["path"] == path
    assert only_record(simulator)["key"] == "azu***23"


def test_a_record_says_what_came_and_hides_the_key(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with Simulator(log=log, clock=lambda: 1_700_000_000.5) as logged:
        headers = {"X-Client-Request-Id": "mine", "X-Other": "héllo", "Cookie": "a=secret"}
        assert post(logged, STREAM, headers=headers).events()[0]["created"] == 1_700_000_000
        record = only_record(logged)
    assert record["arrived"] == 1_700_000_000.5
    assert record["seconds"] >= 0
    assert (record["method"], record["path"]) == ("POST", "/v1/chat/completions")
    assert (record["model"], record["stream"], record["attempt"]) == ("gpt-4o-mini", True, 1)
    assert record["client_request_id"] == "mine"
    assert record["key"] == "sk-***89"
    assert record["headers"]["authorization"] == "Bearer sk-***89"
    assert record["headers"]["cookie"] == "***"
    assert (record["decision"], record["status"], record["finish_reason"]) == ("reply", 200, "stop")
    assert record["usage"] is not None
    assert record["chunks"] == record["usage"]["completion_tokens"]
    assert record["hung_up"] is False
    lines = log.read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [record]
    assert KEY not in lines[0]
    assert "secret" not in lines[0]
    if os.name == "posix":
        assert log.stat().st_mode & 0o777 == 0o600


def test_attempts_at_one_request_are_counted(simulator: Simulator) -> None:
    for body in (HELLO, STREAM, {**HELLO, "n": 2}):
        post(simulator, body)
    assert [record["attempt"] for record in simulator.requests] == [1, 2, 1]


def test_two_simulators_of_one_seed_answer_alike() -> None:
    answers = []
    for _ in range(2):
        with Simulator(seed=7, clock=lambda: 1.0) as running:
            answers.append([(one.headers, one.body) for one in (post(running), post(running), post(running, STREAM))])
    assert answers[0] == answers[1]


def test_bytes_that_are_no_utf8_are_logged_and_answered(simulator: Simulator) -> None:
    url = urllib.parse.urlsplit(simulator.url)
    with socket.create_connection((url.hostname, url.port), TIMEOUT_S) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Odd: \xff\xfe\r\napi-key: sk-bad\xff\r\n"
            b'x-simulate: {"reply": "\xff"}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}'
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert len(simulator.wait_for(1)) == 1


# Life -----------------------------------------------------------------------------------------------------------------


def test_it_ends_at_once_whatever_its_clients_wait_for_and_leaves_nothing() -> None:
    threads = threading.active_count()
    with contextlib.ExitStack() as stack:
        with Simulator() as simulator:
            for fault in ({"stall_head": True}, {"stall_after": 1}, {"first_token_s": 1000}, {"tokens": 200_000}):
                connection = stack.enter_context(contextlib.closing(dial(simulator)))
                send(connection, STREAM, fault=fault)
                if "stall_head" not in fault:
                    stack.enter_context(contextlib.closing(connection.getresponse()))
            idle = stack.enter_context(contextlib.closing(dial(simulator)))
            idle.connect()
        assert not any(record["hung_up"] for record in simulator.requests)
        assert len(simulator.requests) >= 3
    gc.collect()
    assert threading.active_count() == threads
    with pytest.raises(ConnectionRefusedError):
        post(simulator)


def test_it_runs_on_the_running_loop_too() -> None:
    async def main() -> None:
        async with Simulator() as simulator, aiohttp.ClientSession() as session:
            url = f"{simulator.url}/chat/completions"
            async with session.post(url, json=STREAM, headers={"api-key": KEY}) as response:
                assert (await response.read()).endswith(b"data: [DONE]\n\n")
            assert len(simulator.requests) == 1
            with pytest.raises(RuntimeError, match="block"):
                simulator.wait_for(1)
            assert len(await asyncio.to_thread(simulator.wait_for, 1)) == 1

    asyncio.run(main())


def test_hundreds_of_streams_at_once_are_answered() -> None:
    async def main() -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with Simulator() as simulator, aiohttp.ClientSession(connector=connector) as session:

            async def call(number: int) -> bytes:
                body = {**STREAM, "seed": number}
                async with session.post(
                    f"{simulator.url}/chat/completions", json=body, headers={"api-key": KEY}
                ) as response:
                    return await response.read()

            bodies = await asyncio.gather(*(call(number) for number in range(300)))
            assert all(body.endswith(b"data: [DONE]\n\n") for body in bodies)
            assert len(simulator.requests) == 300

    asyncio.run(main())


def test_waiting_in_vain_says_how_many_came(simulator: Simulator) -> None:
    post(simulator)
    with pytest.raises(TimeoutError, match="ended 1 of 2 requests"):
        simulator.wait_for(2, timeout_s=0.01)


def test_it_starts_again_and_only_once_at_a_time() -> None:
    simulator = Simulator()
    with pytest.raises(RuntimeError, match="before it is started"):
        _ = simulator.url
    for count in (1, 3):
        with simulator:
            post(simulator)
            assert len(simulator.requests) == count
            with pytest.raises(RuntimeError, match="running already"), simulator:
                pass
            assert post(simulator, path="/").status == 404


def test_a_port_that_is_taken_is_an_os_error(simulator: Simulator) -> None:
    port = urllib.parse.urlsplit(simulator.url).port
    assert port is not None
    with pytest.raises(OSError, match="address already in use"), Simulator(port=port):
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com", "192.0.2.1"])  # noqa: S104 - refused is the point
def test_other_hosts_than_loopback_are_refused_unless_allowed(host: str) -> None:
    with pytest.raises(ValueError, match="not loopback"):
        Simulator(host=host)
    Simulator(host=host, allow_remote=True)


def test_localhost_is_loopback() -> None:
    with Simulator(host="localhost") as simulator:
        assert post(simulator).status == 200


SERVE: Final = """
from barechat.simulator import Simulator
Simulator().run(
    on_ready=lambda url: print(url, flush=True),
    on_record=lambda record: print(record["status"], flush=True),
)
print("ended", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGTERM")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_it_tells_of_each_request_and_ends_at_a_signal(number: signal.Signals) -> None:
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", SERVE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            url = urllib.parse.urlsplit(process.stdout.readline())
            with contextlib.closing(http.client.HTTPConnection(url.hostname or "", url.port)) as connection:
                connection.request("POST", "/v1/chat/completions", "{}")
                connection.getresponse().read()
            assert process.stdout.readline() == "401\n"
            process.send_signal(number)
            output, errors = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
    assert (output, errors, process.returncode) == ("ended\n", "", 0)


# A client that others wrote -------------------------------------------------------------------------------------------


def test_the_official_client_is_answered_and_refused(simulator: Simulator) -> None:
    messages: list[Any] = HELLO["messages"]
    with openai.OpenAI(base_url=simulator.url, api_key=KEY, max_retries=0) as client:
        reply = client.chat.completions.create(model="gpt-4o", messages=messages)
        text = reply.choices[0].message.content
        assert text
        assert reply.usage is not None
        assert reply.usage.total_tokens > 0
        assert (reply.model, reply.service_tier) == ("gpt-4o-2024-08-06", "default")
        stream = client.chat.completions.create(
            model="gpt-4o", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == text
        assert chunks[-1].usage == reply.usage
        with pytest.raises(openai.BadRequestError, match="above maximum value") as refused:
            client.chat.completions.create(model="gpt-4o", messages=messages, temperature=3)
        assert (refused.value.param, refused.value.code) == ("temperature", "decimal_above_max_value")
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            client.chat.completions.create(model="no-such", messages=messages)
        for status, error in (
            (403, openai.PermissionDeniedError),
            (409, openai.ConflictError),
            (422, openai.UnprocessableEntityError),
            (429, openai.RateLimitError),
            (503, openai.InternalServerError),
        ):
            simulator.fail_next(status=status)
            with pytest.raises(error):
                client.chat.completions.create(model="gpt-4o", messages=messages)
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
            client.with_options(api_key="sk-bad-1").chat.completions.create(model="gpt-4o", messages=messages)
        simulator.fail_next(error_after=2)
        with pytest.raises(openai.APIError, match="server had an error"):
            list(client.chat.completions.create(model="gpt-4o", messages=messages, stream=True))
