"""httpx and the standard library's json, as a careful person writes it by hand: one client, an SSE split by lines."""

import json
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
from bench.answers import KEY, MODEL, messages

_HEADERS = {"Authorization": f"Bearer {KEY}"}
_NO_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)


def _payload(number: int, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": messages(number), **more}


def _streamed(number: int) -> dict[str, Any]:
    return _payload(number, stream=True, stream_options={"include_usage": True})


def _verify(authority: str | None) -> Any:
    return True if authority is None else ssl.create_default_context(cafile=authority)


def _text(line: str) -> str:
    if not line.startswith("data: ") or line == "data: [DONE]":
        return ""
    choices = json.loads(line[6:])["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else ""


class Blocking:
    def __init__(self, url: str, authority: str | None) -> None:
        self._url = f"{url}/chat/completions"
        self._client = httpx.Client(headers=_HEADERS, verify=_verify(authority), timeout=600)

    def call(self, number: int) -> str:
        text: str = self._client.post(self._url, json=_payload(number)).json()["choices"][0]["message"]["content"]
        return text

    def stream(self, number: int) -> Iterator[str]:
        with self._client.stream("POST", self._url, json=_streamed(number)) as answer:
            for line in answer.iter_lines():
                if text := _text(line):
                    yield text


class Async:
    def __init__(self, url: str, authority: str | None) -> None:
        self._url = f"{url}/chat/completions"
        self._client = httpx.AsyncClient(headers=_HEADERS, verify=_verify(authority), timeout=600, limits=_NO_LIMITS)

    async def call(self, number: int) -> str:
        answer = await self._client.post(self._url, json=_payload(number))
        text: str = answer.json()["choices"][0]["message"]["content"]
        return text

    async def stream(self, number: int) -> AsyncIterator[str]:
        async with self._client.stream("POST", self._url, json=_streamed(number)) as answer:
            async for line in answer.aiter_lines():
                if text := _text(line):
                    yield text
