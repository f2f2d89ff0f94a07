"""The official SDK, as its README says it is used, with every default."""

import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
from bench.answers import KEY, MODEL, messages


def _tls(authority: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)


class Blocking:
    def __init__(self, url: str, authority: str | None) -> None:
        http = None if authority is None else openai.DefaultHttpxClient(verify=_tls(authority))
        self._client = openai.OpenAI(api_key=KEY, base_url=url, http_client=http)

    def call(self, number: int) -> str:
        asked: Any = messages(number)
        return self._client.chat.completions.create(model=MODEL, messages=asked).choices[0].message.content or ""

    def stream(self, number: int) -> Iterator[str]:
        asked: Any = messages(number)
        chunks = self._client.chat.completions.create(
            model=MODEL, messages=asked, stream=True, stream_options={"include_usage": True}
        )
        for chunk in chunks:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield text


class Async:
    def __init__(self, url: str, authority: str | None) -> None:
        http = None if authority is None else openai.DefaultAsyncHttpxClient(verify=_tls(authority))
        self._client = openai.AsyncOpenAI(api_key=KEY, base_url=url, http_client=http)

    async def call(self, number: int) -> str:
        asked: Any = messages(number)
        reply = await self._client.chat.completions.create(model=MODEL, messages=asked)
        return reply.choices[0].message.content or ""

    async def stream(self, number: int) -> AsyncIterator[str]:
        asked: Any = messages(number)
        chunks = await self._client.chat.completions.create(
            model=MODEL, messages=asked, stream=True, stream_options={"include_usage": True}
        )
        async for chunk in chunks:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield text
