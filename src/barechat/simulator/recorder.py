"""What did a real server answer? A proxy in front of it, and the JSON lines that `replies.py` plays.

It passes on every request and every byte of the answers as they come. Each answer of a chat completions endpoint is
kept as a line in a file; keys are not.
"""

import asyncio
import os
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from barechat.simulator.arrival import key_of, open_record, path_of, plain, read_body
from barechat.simulator.delivery import HungUp
from barechat.simulator.journal import Journal, Record
from barechat.simulator.replies import Recorded, describe
from barechat.simulator.request import Request, is_chat_path, read_request

_CONNECT_TIMEOUT_S: Final = 30
_MAX_HEADER_BYTES: Final = 65_536
_PLAYED_STATUSES: Final = range(200, 600)
_NOT_PASSED_ON: Final = frozenset(
    [
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "host", "expect", "accept-encoding"),
    ]
)
_AUTOMATIC_HEADERS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    index: int = 0
    delta: _Delta = _Delta()
    finish_reason: str | None = None


class _Said(msgspec.Struct, frozen=True):
    choices: list[_Choice] = []
    usage: dict[str, Any] | None = None


_read_said: Final = msgspec.json.Decoder(_Said).decode


class _Exchange:
    """One request and what has come of its answer."""

    def __init__(self, record: Record, secrets: list[str]) -> None:
        self.record = record
        self.secrets = secrets
        self.raw = b""
        self.request: Request | None = None
        self.answer: Recorded | None = None
        self.is_filed = False
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the request came."""
        return self._loop.time() - self._began

    def begin(self, upstream: aiohttp.ClientResponse) -> Recorded:
        """Note an answer's head."""
        content_type = upstream.headers.get("Content-Type")
        self.answer = Recorded(
            status=upstream.status,
            headers=[(name, plain(value)) for name, value in upstream.headers.items()],
            content_type=None if content_type is None else plain(content_type),
        )
        self.record["status"] = upstream.status
        return self.answer


class RecordingEndpoint:
    """Passes requests on to the server at `upstream`, a base URL that ends in its `/v1`, and records the answers.

    Lines are appended to the file at `path`, which its owner alone may read; `clock` gives seconds since the epoch.
    Raises ValueError for a URL that is no base URL.
    """

    def __init__(self, upstream: str, path: Path, journal: Journal, clock: Callable[[], float]) -> None:
        parts = urllib.parse.urlsplit(upstream)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or "?" in upstream:
            raise ValueError("the upstream is a base URL such as https://api.openai.com/v1, without user and query")
        self.is_stopping = False
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._base = self._origin + parts.path.rstrip("/")
        self._path = path
        self._journal = journal
        self._clock = clock
        self._attempts: Counter[bytes] = Counter()
        self._session: aiohttp.ClientSession | None = None
        self._file: BinaryIO | None = None

    async def open(self) -> None:
        """Open the file and get ready to ask the upstream."""
        self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")
        self._session = aiohttp.ClientSession(
            # A connection a request: one that idled could be gone when it is used again, and a POST is not repeated.
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=_AUTOMATIC_HEADERS,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )

    async def close(self) -> None:
        """Close the connections and the file."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._file is not None:
            self._file.close()
            self._file = None

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Pass one request on and its answer back, and file its record, however it ends."""
        exchange = _Exchange(open_record(http, self._clock()), _find_secrets(http))
        try:
            return await self._answer(http, exchange)
        except (HungUp, ConnectionError):
            self._file_away(exchange, hung_up=True)
            return web.Response()  # which no one is there to get
        except asyncio.CancelledError:
            self._file_away(exchange, hung_up=not self.is_stopping)
            raise

    async def _answer(self, http: web.BaseRequest, exchange: _Exchange) -> web.StreamResponse:
        try:
            await self._read(http, exchange)
        except web.RequestPayloadError:
            return self._refuse(exchange, 400, "The request's body broke off.", "incomplete_request")
        if not http.raw_path.startswith("/"):
            return self._refuse(exchange, 400, "Only paths are passed on, no URLs.", "invalid_target")
        url = self._upstream_url(plain(http.raw_path))
        try:
            upstream = await self._ask(http, url, exchange.raw)
        except aiohttp.ClientError as error:
            message = f"No answer from {url.partition('?')[0]}: {error}"
            return self._refuse(exchange, 502, message, "upstream_unreachable")
        try:
            return await self._pass_on(http, exchange, upstream)
        finally:
            upstream.close()

    async def _read(self, http: web.BaseRequest, exchange: _Exchange) -> None:
        exchange.raw = await read_body(http)
        exchange.request = request = read_request(exchange.raw, path_of(http), key_of(http))
        self._attempts[request.digest] += 1
        record = exchange.record
        record["decision"] = "forwarded"
        record["model"] = request.model
        record["stream"] = request.stream
        record["attempt"] = self._attempts[request.digest]

    def _upstream_url(self, target: str) -> str:
        """Return where a path goes: below our `/v1` to the upstream's base URL, others to its origin."""
        rest = target.removeprefix("/v1")
        is_below = rest != target and (not rest or rest[0] in "/?")
        return self._base + rest if is_below else self._origin + target

    async def _ask(self, http: web.BaseRequest, url: str, body: bytes) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the recorder handles nothing before it is opened")
        headers = _pass_headers(http.headers.items())
        headers.popall("Content-Length", None)
        headers["Accept-Encoding"] = "identity"  # so that what is recorded can be read
        return await self._session.request(
            http.method, URL(url, encoded=True), headers=headers, data=body or None, allow_redirects=False
        )

    async def _pass_on(
        self, http: web.BaseRequest, exchange: _Exchange, upstream: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        """Send the answer's parts as they come; the record is filed before the last of them."""
        answer = exchange.begin(upstream)
        headers = _pass_headers(upstream.headers.items())
        if "Transfer-Encoding" in upstream.headers:
            headers.popall("Content-Length", None)
        response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
        await response.prepare(http)
        _tell_reader_of_the_end(upstream)
        left = response.content_length
        while data := await read_part(upstream.content, answer):
            answer.parts.append((exchange.elapsed_s, data))
            left = None if left is None else left - len(data)
            if left == 0:
                answer.is_through = True
                self._file_away(exchange)
            await response.write(data)
        answer.is_through = not answer.is_cut
        self._file_away(exchange)
        if answer.is_cut and http.transport is not None:
            http.transport.close()
        return response

    def _refuse(self, exchange: _Exchange, status: int, message: str, code: str) -> web.Response:
        exchange.record["decision"] = "refused"
        exchange.record["status"] = status
        self._file_away(exchange)
        error = {"message": message, "type": "upstream_error", "param": None, "code": code}
        return web.json_response({"error": error}, status=status)

    def _file_away(self, exchange: _Exchange, *, hung_up: bool = False) -> None:
        """Write an answer that is complete to the file, and the record to the journal; once."""
        if exchange.is_filed:
            return
        exchange.is_filed = True
        record, request, answer = exchange.record, exchange.request, exchange.answer
        record["seconds"] = exchange.elapsed_s
        record["hung_up"] = hung_up
        is_chat = record["method"] == "POST" and is_chat_path(record["path"].partition("?")[0])
        if is_chat and request is not None and answer is not None:
            answer.ended_s = exchange.elapsed_s
            _note_said(record, answer)
            if answer.is_complete:
                self._write(record, describe(request, answer, exchange.secrets), answer)
        self._journal.add(record)

    def _write(self, record: Record, line: dict[str, Any], answer: Recorded) -> None:
        # Of an encoded body no one could see what is in it, a key say; and no fault may have another status.
        obstacles = [value for name, value in answer.headers if name.lower() == "content-encoding"]
        if answer.status not in _PLAYED_STATUSES:
            obstacles.append(f"status {answer.status}")
        if obstacles:
            record["decision"] = f"not recorded: {', '.join(obstacles)}"
        elif self._file is not None:
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()
            record["decision"] = "recorded"


async def read_part(content: aiohttp.StreamReader, answer: Recorded) -> bytes:
    """Return what has come, b"" at the end; a connection that breaks is noted as a cut."""
    try:
        return await content.readany()
    except (aiohttp.ClientError, ConnectionError):
        answer.is_cut = True
        # aiohttp keeps from its readers what came before the break.
        return content._read_nowait(-1)  # noqa: SLF001


def _tell_reader_of_the_end(upstream: aiohttp.ClientResponse) -> None:
    """Wake the body's reader up when the connection is closed for broken HTTP.

    aiohttp 3.14's compiled parser tells only whoever waits for the next answer's head, and a body's reader would wait
    for ever.
    """
    content = upstream.content

    def tell(_: object = None) -> None:
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection was closed within the body"))

    connection = upstream.connection
    if connection is not None and connection.protocol is not None:
        closed = connection.protocol.closed
        if closed is None:
            tell()
        else:
            closed.add_done_callback(tell)


def _note_said(record: Record, answer: Recorded) -> None:
    """Note what the body says of itself; what can't be read says nothing."""
    documents = [answer.body]
    if answer.is_events:
        lines = answer.body.splitlines()
        documents = [line.removeprefix(b"data:") for line in lines if line.startswith(b"data:")]
    for document in documents:
        try:
            said = _read_said(document)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
        record["usage"] = said.usage or record["usage"]
        for choice in said.choices:
            record["chunks"] += bool(choice.delta.content)
            if choice.index == 0 and choice.finish_reason is not None:
                record["finish_reason"] = choice.finish_reason


def _pass_headers(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    """Return the headers that are meant for the other end, not for this connection."""
    given = [(name, plain(value)) for name, value in headers]
    named = [value for name, value in given if name.lower() == "connection"]
    own = _NOT_PASSED_ON.union(word.strip().lower() for value in named for word in value.split(","))
    return CIMultiDict((name, value) for name, value in given if name.lower() not in own)


def _find_secrets(http: web.BaseRequest) -> list[str]:
    scheme, _, token = http.headers.get("Authorization", "").partition(" ")
    found = (token.strip() or scheme, http.headers.get("api-key", ""), http.headers.get("x-api-key", ""))
    return [plain(secret) for secret in found]
