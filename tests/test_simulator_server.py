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

from barechat.simulator import Record, ScenarioError, Simulator

HELLO: Final[dict[str, Any]] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello, sea."}]}
STREAM: Final = {**HELLO, "stream": True}
KEY: Final = "sk-test-0123456789"
TIMEOUT_S: Final = 10


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(clock=lambda: 1_800_000_000.0) as running:  # `created` is the same however long a test takes
        yield running


class Answer:
    """A response read to its end, or to where it broke."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.is_broken = False
        try:
            self.body = response.read()
        except http.client.IncompleteRead as error:
            self.is_broken = True
            self.body = error.partial

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[Any]:
        data = [block.removeprefix("data: ") for block in self.body.decode().split("\n\n") if block.startswith("data:")]
        return [one if one == "[DONE]" else json.loads(one) for one in data]

    def text(self) -> str:
        choices = [event["choices"] for event in self.events() if event != "[DONE]" and "choices" in event]
        return "".join(choice["delta"].get("content") or "" for some in choices for choice in some)


def connect(simulator: Simulator) -> http.client.HTTPConnection:
    url = urllib.parse.urlsplit(simulator.url)
    return http.client.HTTPConnection(url.hostname or "", url.port, timeout=TIMEOUT_S)


def send(
    connection: http.client.HTTPConnection,
    body: Any = HELLO,
    *,
    fault: dict[str, Any] | str | None = None,
    path: str = "/v1/chat/completions",
    headers: dict[str, str] | None = None,
) -> None:
    sent = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", **(headers or {})}
    if fault is not None:
        sent["x-simulate"] = fault if isinstance(fault, str) else json.dumps(fault)
    connection.request("POST", path, body if isinstance(body, bytes) else json.dumps(body), sent)


def post(simulator: Simulator, body: Any = HELLO, **options: Any) -> Answer:
    with contextlib.closing(connect(simulator)) as connection:
        send(connection, body, **options)
        return Answer(connection.getresponse())


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
    with contextlib.closing(connect(simulator)) as connection:
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
    with contextlib.closing(connect(simulator)) as connection:
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


# Faults ---------------------------------------------------------------------------------------------------------------


def test_a_scenario_file_makes_the_first_tries_fail(tmp_path: Path) -> None:
    file = tmp_path / "flaky.toml"
    file.write_text(
        'seed = 4\n[[fault]]\ntimes = 1\nstatus = 429\nheaders = { retry-after = "1" }\n'
        "[[fault]]\ntimes = 1\nstatus = 503\n",
        "utf-8",
    )
    with Simulator(file) as simulator:
        answers = [post(simulator) for _ in range(3)]
        assert [answer.status for answer in answers] == [429, 503, 200]
        assert answers[0].headers["retry-after"] == "1"
        assert answers[1].json()["error"]["code"] == "server_is_overloaded"
        assert [record["attempt"] for record in simulator.requests] == [1, 2, 3]
    with Simulator(seed=4) as plain:
        assert post(plain).json()["id"] == answers[2].json()["id"]


def test_fail_next_applies_to_the_next_requests_only(simulator: Simulator) -> None:
    simulator.fail_next(status=500)
    simulator.fail_next(2, status=502, body="<html>", content_type="text/html")
    answers = [post(simulator) for _ in range(4)]
    assert [answer.status for answer in answers] == [500, 502, 502, 200]
    assert answers[1].body == b"<html>"
    with pytest.raises(ScenarioError, match="fail_next: unknown key `stauts`"):
        simulator.fail_next(stauts=500)


def test_a_header_that_cannot_be_followed_is_a_400_that_says_so(simulator: Simulator) -> None:
    answer = post(simulator, fault='{"cut_aftr": 1}')
    assert answer.status == 400
    assert "did you mean `cut_after`?" in answer.json()["error"]["message"]


def test_a_scripted_reply_comes_word_for_word(simulator: Simulator) -> None:
    text = "你好 \u2028 \U0001f600 done"
    for body in (HELLO, STREAM):
        answer = post(simulator, body, fault={"reply": text})
        said = answer.text() if body is STREAM else answer.json()["choices"][0]["message"]["content"]
        assert said == text


@pytest.mark.parametrize("is_clean", [False, True])
def test_a_cut_ends_the_stream_after_so_many_chunks(simulator: Simulator, is_clean: bool) -> None:
    answer = post(simulator, STREAM, fault={"cut_after": 3, "clean": is_clean})
    assert answer.is_broken is not is_clean
    assert len(answer.text().split()) == 3
    assert b"[DONE]" not in answer.body
    record = only_record(simulator)
    assert (record["decision"], record["chunks"], record["finish_reason"]) == ("cut_after 3", 3, None)
    assert record["usage"] is not None
    assert record["usage"]["completion_tokens"] == 3


def test_a_whole_reply_is_cut_before_its_length(simulator: Simulator) -> None:
    answer = post(simulator, fault={"cut_after": 1})
    assert answer.is_broken
    assert 0 < len(answer.body) < int(answer.headers["content-length"])


def test_an_error_event_comes_mid_stream(simulator: Simulator) -> None:
    answer = post(simulator, STREAM, fault={"error_after": 2, "error": {"message": "gone", "code": 500}})
    assert not answer.is_broken
    assert answer.events()[-1] == {"error": {"message": "gone", "code": 500}}
    assert len(answer.text().split()) == 2


@pytest.mark.parametrize("omitted", ["done", "usage", "finish_reason"])
def test_a_stream_can_leave_things_out(simulator: Simulator, omitted: str) -> None:
    body = {**STREAM, "stream_options": {"include_usage": True}}
    missing = post(simulator, body, fault={"omit": [omitted]}).events()
    full = post(simulator, body).events()
    assert missing == [
        event for event in full if not (event == "[DONE]" if omitted == "done" else omitted in has(event))
    ]


def has(event: Any) -> set[str]:
    if event == "[DONE]":
        return set()
    found = {"usage"} if event["usage"] else set()
    return found | {"finish_reason" for choice in event["choices"] if choice["finish_reason"]}


def test_a_reset_comes_before_any_answer(simulator: Simulator) -> None:
    with pytest.raises(ConnectionResetError):
        post(simulator, fault={"reset_before": True})
    record = only_record(simulator)
    assert (record["decision"], record["status"], record["hung_up"]) == ("reset_before", None, False)


def test_a_close_comes_before_any_answer(simulator: Simulator) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        post(simulator, fault={"close_before": True})
    assert only_record(simulator)["decision"] == "close_before"


@pytest.mark.parametrize("is_until_close", [False, True])
def test_raw_bytes_come_as_they_are(simulator: Simulator, is_until_close: bool) -> None:
    raw = "data: {not json\r\n\r\n: hm\n\n"
    fault = {"raw": raw, "raw_chunks": [1, 5], "until_close": is_until_close}
    answer = post(simulator, STREAM, fault=fault)
    assert answer.body == raw.encode()
    assert ("transfer-encoding" in answer.headers) is not is_until_close
    assert "content-length" not in answer.headers
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert only_record(simulator)["chunks"] == 3


def test_a_dripped_answer_is_complete(simulator: Simulator) -> None:
    plain, dripped = post(simulator, STREAM), post(simulator, STREAM, fault={"drip": True})
    assert dripped.text() == plain.text()
    assert dripped.events()[-1] == "[DONE]"


def test_a_paced_stream_is_complete() -> None:
    with Simulator(first_token_s=0.001, tokens_per_s=5000) as simulator:
        assert post(simulator, STREAM).text() == post(simulator).json()["choices"][0]["message"]["content"]


def test_a_stall_with_an_end_goes_on(simulator: Simulator) -> None:
    plain = post(simulator, STREAM)
    stalled = post(simulator, STREAM, fault={"stall_after": 2, "stall_s": 0.05, "comments_s": 0.01})
    assert stalled.text() == plain.text()
    assert b"data" in stalled.body.split(b": keep-alive\n\n")[-1]
    assert post(simulator, fault={"stall_head": True, "stall_s": 0.01}).status == 200


# Hanging up -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "body", "chunks", "status"),
    [
        ({"stall_head": True}, STREAM, 0, None),
        ({"stall_after": 0}, STREAM, 0, 200),
        ({"stall_after": 2}, STREAM, 2, 200),
        ({"stall_after": 2, "comments_s": 0.01}, STREAM, 2, 200),
        ({"stall_after": 0}, HELLO, 0, 200),
        ({"first_token_s": 1000}, HELLO, 0, None),
        ({"tokens_per_s": 0.001}, STREAM, 1, 200),
        ({"drip": True, "drip_s": 1000}, STREAM, 0, None),
    ],
)
def test_a_client_that_hangs_up_is_noticed_at_once(
    simulator: Simulator, fault: dict[str, Any], body: dict[str, Any], chunks: int, status: int | None
) -> None:
    with contextlib.closing(connect(simulator)) as connection:
        send(connection, body, fault=fault)
        if status is not None:
            with contextlib.closing(connection.getresponse()) as response:
                seen = b""
                while seen.count(b"data: ") < chunks + (chunks > 0):
                    seen += response.read1()
    (record,) = simulator.wait_for(1)
    assert record["hung_up"] is True
    assert (record["status"], record["chunks"]) == (status, chunks)
    assert record["finish_reason"] is None or body is HELLO


def test_a_client_that_reads_nothing_of_a_long_stream_and_leaves_is_noticed(simulator: Simulator) -> None:
    with contextlib.closing(connect(simulator)) as connection:
        send(connection, STREAM, fault={"tokens": 200_000})
        connection.getresponse().close()
    (record,) = simulator.wait_for(1)
    assert record["hung_up"] is True
    assert 0 < record["chunks"] < 200_000


def test_a_client_that_leaves_before_its_request_is_through_is_noticed(simulator: Simulator) -> None:
    url = urllib.parse.urlsplit(simulator.url)
    with socket.create_connection((url.hostname, url.port), TIMEOUT_S) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
    (record,) = simulator.wait_for(1)
    assert (record["decision"], record["hung_up"]) == ("incomplete request", True)


# Life -----------------------------------------------------------------------------------------------------------------


def test_it_ends_at_once_whatever_its_clients_wait_for_and_leaves_nothing() -> None:
    threads = threading.active_count()
    with contextlib.ExitStack() as stack:
        with Simulator() as simulator:
            for fault in ({"stall_head": True}, {"stall_after": 1}, {"first_token_s": 1000}, {"tokens": 200_000}):
                connection = stack.enter_context(contextlib.closing(connect(simulator)))
                send(connection, STREAM, fault=fault)
                if "stall_head" not in fault:
                    stack.enter_context(contextlib.closing(connection.getresponse()))
            idle = stack.enter_context(contextlib.closing(connect(simulator)))
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
