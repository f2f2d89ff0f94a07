"""What the simulator's tests share: requests, replies, clients that see every byte, and the official description."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

from barechat.simulator.bodies import whole
from barechat.simulator.dialects import DIALECTS
from barechat.simulator.events import events
from barechat.simulator.fault import NO_FAULT, Fault
from barechat.simulator.request import Request, read_request
from barechat.simulator.script import compose

if TYPE_CHECKING:
    import ssl

    from barechat.simulator import Simulator
    from barechat.simulator.reply import Reply

OPENAPI = json.loads((Path(__file__).parent / "data" / "chat-completions.openapi.json").read_text("utf-8"))
HELLO: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me of the sea."}]}
STREAM: dict[str, Any] = {**HELLO, "stream": True}
METERED: dict[str, Any] = {**STREAM, "stream_options": {"include_usage": True}}
KEY = "sk-test-0123456789"
TIMEOUT_S = 10


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**OPENAPI, "$ref": f"#/components/schemas/{name}"})


REPLY_SCHEMA = validator("CreateChatCompletionResponse")
CHUNK_SCHEMA = validator("CreateChatCompletionStreamResponse")
REQUEST_SCHEMA = validator("CreateChatCompletionRequest")


def request(path: str = "/v1/chat/completions", key: str | None = "sk-good", **parameters: Any) -> Request:
    return read_request(json.dumps({**HELLO, **parameters}).encode(), path, key)


def reply(*, seed: int = 0, created: int = 1, fault: Fault = NO_FAULT, **parameters: Any) -> Reply:
    return compose(request(**parameters), seed=seed, created=created, fault=fault)


def body(answer: Reply, dialect: str = "openai", **options: Any) -> dict[str, Any]:
    decoded = json.loads(whole(answer, DIALECTS[dialect], **options))
    assert isinstance(decoded, dict)
    return decoded


def parts(answer: Reply, dialect: str = "openai", **options: Any) -> list[bytes]:
    return [part for piece in events(answer, DIALECTS[dialect], **options) for part in piece.parts]


def chunks(answer: Reply, dialect: str = "openai", **options: Any) -> list[dict[str, Any]]:
    data = [part.decode().removesuffix("\n\n") for part in parts(answer, dialect, **options)]
    told = [one.removeprefix("data: ") for one in data if one.startswith("data: ")]
    return [json.loads(one) for one in told if one != "[DONE]"]


def fold(answer: Reply, dialect: str = "openai", **options: Any) -> dict[int, dict[str, Any]]:
    """Fold a stream into each choice's message, in the least way that can work."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks(answer, dialect, **options):
        for choice in chunk["choices"]:
            said = choices.setdefault(choice["index"], {"finish_reason": None, "calls": {}, "logprobs": []})
            said["finish_reason"] = choice["finish_reason"] or said["finish_reason"]
            said["logprobs"] += ((choice.get("logprobs") or {}).get("content")) or []
            for name, value in choice["delta"].items():
                if isinstance(value, str):
                    said[name] = said.get(name, "") + value
            for call in choice["delta"].get("tool_calls", []):
                kind = "custom" if "custom" in call else "function"
                known = said["calls"].setdefault(call["index"], {"id": call.get("id"), "name": "", "text": ""})
                known["name"] += call[kind].get("name", "")
                known["text"] += call[kind].get("arguments", call[kind].get("input", ""))
    return choices


# Over sockets


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
        return events_of(self.body)

    def text(self) -> str:
        choices = [event["choices"] for event in self.events() if event != "[DONE]" and "choices" in event]
        return "".join(choice["delta"].get("content") or "" for some in choices for choice in some)


def events_of(data: bytes) -> list[Any]:
    """Return the data of a stream's events, each as JSON but for `[DONE]`."""
    told = [block.removeprefix("data: ") for block in data.decode().split("\n\n") if block.startswith("data:")]
    return [one if one == "[DONE]" else json.loads(one) for one in told]


def dial(simulator: Simulator) -> http.client.HTTPConnection:
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
    with contextlib.closing(dial(simulator)) as connection:
        send(connection, body, **options)
        return Answer(connection.getresponse())


def exchange(
    simulator: Simulator,
    body: Any = HELLO,
    *,
    fault: dict[str, Any] | None = None,
    tls: ssl.SSLContext | None = None,
    version: str = "1.1",
) -> tuple[bytes, bool]:
    """Send a request, and return all bytes until the connection's end, and whether that is a reset.

    The connection may live on as far as the request is concerned.
    """
    url = urllib.parse.urlsplit(simulator.url)
    content = json.dumps(body).encode()
    head = [
        f"POST {url.path}/chat/completions HTTP/{version}",
        "Host: localhost",
        f"Authorization: Bearer {KEY}",
        f"Content-Length: {len(content)}",
        *([] if fault is None else [f"x-simulate: {json.dumps(fault)}"]),
    ]
    got = b""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((url.hostname, url.port), TIMEOUT_S))
        if tls is not None:
            connection = stack.enter_context(tls.wrap_socket(connection, server_hostname=url.hostname))
        connection.sendall("\r\n".join([*head, "", ""]).encode() + content)
        try:
            while data := connection.recv(65536):
                got += data
        except ConnectionResetError:
            return got, True
    return got, False
