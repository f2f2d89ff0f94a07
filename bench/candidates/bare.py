"""The bare loop: urllib3 or aiohttp, msgspec, an SSE split. What one writes by hand who wants no more than the text.

No retry, no deadline, no verdict, no cost, no check of what is sent; a stream that is cut short looks like a whole one.
aiohttp is set to do as little as it can: no cookies, no timeout, no limit of connections.
"""

import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
from bench.answers import KEY, MODEL, messages

_HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}


def _body(number: int, **more: Any) -> bytes:
    return msgspec.json.encode({"model": MODEL, "messages": messages(number), **more})


def _text(body: bytes) -> str:
    text: str = msgspec.json.decode(body)["choices"][0]["message"]["content"]
    return text


class Lines:
    """Bytes of a stream in, its pieces of text out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        texts = []
        for line in lines:
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                choices = msgspec.json.decode(line[6:])["choices"]
                if choices and (text := choices[0]["delta"].get("content")):
                    texts.append(text)
        return texts


class Blocking:
    def __init__(self, url: str, authority: str | None) -> None:
        import urllib3  # noqa: PLC0415 - each of the two without the other

        self._url = f"{url}/chat/completions"
        self._pool = urllib3.PoolManager(ca_certs=authority)

    def call(self, number: int) -> str:
        return _text(self._pool.request("POST", self._url, body=_body(number), headers=_HEADERS).data)

    def stream(self, number: int) -> Iterator[str]:
        body = _body(number, stream=True, stream_options={"include_usage": True})
        answer = self._pool.request("POST", self._url, body=body, headers=_HEADERS, preload_content=False)
        lines = Lines()
        while data := answer.read1(65536):
            yield from lines.feed(data)
        answer.release_conn()


class Async:
    def __init__(self, url: str, authority: str | None) -> None:
        import aiohttp  # noqa: PLC0415 - likewise

        self._url = f"{url}/chat/completions"
        tls = True if authority is None else ssl.create_default_context(cafile=authority)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def call(self, number: int) -> str:
        async with self._session.post(self._url, data=_body(number), headers=_HEADERS) as answer:
            return _text(await answer.read())

    async def stream(self, number: int) -> AsyncIterator[str]:
        body = _body(number, stream=True, stream_options={"include_usage": True})
        async with self._session.post(self._url, data=body, headers=_HEADERS) as answer:
            lines = Lines()
            async for data in answer.content.iter_any():
                for text in lines.feed(data):
                    yield text
