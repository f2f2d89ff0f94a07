"""litellm, as its README says it is used. Only when it is asked for by name, and installed."""

import importlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from bench.answers import KEY, MODEL, messages

litellm: Any = importlib.import_module("litellm")  # types are checked without it


class _Client:
    def __init__(self, url: str, authority: str | None) -> None:
        if authority is not None:
            litellm.ssl_verify = authority
        self._options: dict[str, Any] = {"model": f"openai/{MODEL}", "api_base": url, "api_key": KEY}
        self._streamed = {**self._options, "stream": True, "stream_options": {"include_usage": True}}


class Blocking(_Client):
    def call(self, number: int) -> str:
        text: str = litellm.completion(messages=messages(number), **self._options).choices[0].message.content
        return text

    def stream(self, number: int) -> Iterator[str]:
        for chunk in litellm.completion(messages=messages(number), **self._streamed):
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield text


class Async(_Client):
    async def call(self, number: int) -> str:
        reply = await litellm.acompletion(messages=messages(number), **self._options)
        text: str = reply.choices[0].message.content
        return text

    async def stream(self, number: int) -> AsyncIterator[str]:
        async for chunk in await litellm.acompletion(messages=messages(number), **self._streamed):
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield text
