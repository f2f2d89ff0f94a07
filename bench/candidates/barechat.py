"""barechat, as its README says it is used, with every default."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from bench.answers import KEY, MODEL, messages


def _verify(authority: str | None) -> Any:
    return True if authority is None else Path(authority)


class Blocking:
    def __init__(self, url: str, authority: str | None) -> None:
        from barechat import Client  # noqa: PLC0415 - each of the two without the other

        self._client = Client(KEY, url, verify=_verify(authority))

    def call(self, number: int) -> str:
        return self._client.chat(messages(number), model=MODEL).text

    def stream(self, number: int) -> Iterator[str]:
        with self._client.stream(messages(number), model=MODEL) as stream:
            yield from stream


class Async:
    def __init__(self, url: str, authority: str | None) -> None:
        from barechat import AsyncClient  # noqa: PLC0415 - likewise

        self._client = AsyncClient(KEY, url, verify=_verify(authority))

    async def call(self, number: int) -> str:
        return (await self._client.chat(messages(number), model=MODEL)).text

    async def stream(self, number: int) -> AsyncIterator[str]:
        async with self._client.stream(messages(number), model=MODEL) as stream:
            async for text in stream:
                yield text
