"""What does a server answer, to the byte, and how does the answer end? A client that knows HTTP and nothing else."""

from __future__ import annotations

import gzip
import http.client
import json
import urllib.parse
from dataclasses import dataclass, field
from typing import Any, Final

KEY: Final = "sk-any-0123456789"
_TIMEOUT_S: Final = 10


@dataclass(kw_only=True)
class Answer:
    """An answer read to its end, or to where it broke.

    `status` is None where none came, and `ending` tells what was wrong with the end; None where nothing was.
    """

    status: int | None = None
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ending: str | None = None

    @property
    def text(self) -> str:
        """The body, decompressed, with what isn't UTF-8 spelt out."""
        plain = gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body
        return plain.decode("utf-8", "backslashreplace")

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def has_succeeded(self) -> bool:
        return self.status == http.client.OK and self.ending is None and '"error"' not in self.text


def post(
    url: str,
    body: Any,
    *,
    path: str = "/v1/chat/completions",
    key: str | None = KEY,
    fault: dict[str, Any] | None = None,
    check_after: bool = False,
) -> Answer:
    """Ask the server at this URL on a connection of its own; bytes are sent as they are, all else as JSON.

    With `check_after`, a second request on the same connection tells whether that is still there.
    """
    parts = urllib.parse.urlsplit(url)
    headers = {"content-type": "application/json"}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    if fault is not None:
        headers["x-simulate"] = json.dumps(fault)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", path, body if isinstance(body, bytes) else json.dumps(body), headers)
        answer = _read(connection)
        if check_after and answer.ending is None and not _is_still_there(connection):
            answer.ending = "then the connection is closed, which no header said"
        return answer
    finally:
        connection.close()


def _read(connection: http.client.HTTPConnection) -> Answer:
    try:
        response = connection.getresponse()
    except http.client.RemoteDisconnected:
        return Answer(ending="the connection is closed without an answer")
    except ConnectionResetError:
        return Answer(ending="the connection is reset")
    headers = {name.lower(): value for name, value in response.getheaders()}
    ending = None
    try:
        body = response.read()
    except http.client.IncompleteRead as error:
        body, ending = error.partial, "the connection is closed before the body's end"
    return Answer(status=response.status, reason=response.reason, headers=headers, body=body, ending=ending)


def _is_still_there(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {KEY}"})
        connection.getresponse().read()
    except ConnectionError:
        return False
    return True
