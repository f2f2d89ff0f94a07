"""The async client: the names of `client.py`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack

from barechat.client import SENSES, BaseClient, BaseStream, reply_of_ended
from barechat.drive import AsyncDrive
from barechat.errors import ParameterError
from barechat.exchange import exchange
from barechat.parameters import Parameters
from barechat.receipt import Call, Receipt
from barechat.records import Delta, Reply
from barechat.settings import Certificate, Timeouts, Verify
from barechat.wire import request as wire
from barechat.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from barechat.transport.asynchronous import AsyncTransport


class AsyncClient(BaseClient):
    """A client for asyncio. Each event loop that uses it has connections of its own; close it where it was used."""

    async def chat(
        self,
        messages: wire.Messages,
        *,
        model: str | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        tags: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        **parameters: Unpack[Parameters],
    ) -> Reply:
        """Same as Client.chat, awaited."""
        request = self._request(messages, model, parameters, extra, headers, streamed=False)
        return await self._run(self._call(request, timeouts, retry, tags))

    def stream(
        self,
        messages: wire.Messages,
        *,
        model: str | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        tags: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        **parameters: Unpack[Parameters],
    ) -> AsyncChatStream:
        """Same as Client.stream, for `async with` and `async for`."""
        request = self._request(messages, model, parameters, extra, headers, streamed=True)
        return AsyncChatStream(self._drive(self._call(request, timeouts, retry, tags)))

    async def call(
        self,
        payload: Mapping[str, Any],
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        tags: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Same as Client.call, awaited."""
        if not isinstance(payload, Mapping):
            raise ParameterError(f"payload must be a dict, not {type(payload).__name__}", param="payload")
        request = wire.seal(self._endpoint, payload, headers, streamed=False)
        return (await self._run(self._call(request, timeouts, retry, tags))).raw

    async def close(self) -> None:
        """Same as Client.close, awaited. It ends the calls and closes the connections of the running event loop."""
        running = asyncio.get_running_loop()
        for drive in list(self._running):
            if drive.loop is running or drive.loop.is_closed():
                drive.close()
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _run(self, call: Call) -> Reply:
        drive = self._drive(call)
        try:
            while await drive.next() is not None:
                pass  # a server that streams unasked
        finally:
            drive.close()
        return reply_of_ended(drive)

    def _made_transport(self, verify: Verify, cert: Certificate | None, proxy: str | None) -> AsyncTransport:
        from barechat.transport.asynchronous import AsyncTransport  # noqa: PLC0415 - Client needs no aiohttp

        return AsyncTransport(self._endpoint.base, verify=verify, cert=cert, proxy=proxy)

    def _drive(self, call: Call) -> AsyncDrive:
        receipt = Receipt(call)
        story = exchange(call, receipt, self._origin, SENSES)
        send, sleep = self._transport.send, asyncio.sleep
        return AsyncDrive(story, receipt, self._file, self._tracer(), send, sleep, self._running)


class AsyncChatStream(BaseStream, AsyncIterator[str]):
    """Same as ChatStream, for `async with` and `async for`."""

    def __init__(self, drive: AsyncDrive) -> None:
        super().__init__()
        self._drive: AsyncDrive = drive

    async def __anext__(self) -> str:
        while True:
            delta = await self._next_delta()
            if delta is None:
                raise StopAsyncIteration
            if delta.content and delta.index == 0:
                return delta.content

    async def deltas(self) -> AsyncIterator[Delta]:
        """Same as ChatStream.deltas, for `async for`."""
        while (delta := await self._next_delta()) is not None:
            yield delta

    async def close(self) -> None:
        """Same as ChatStream.close, awaited. An async token or `on_retry` function is cancelled."""
        self._drive.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _next_delta(self) -> Delta | None:
        while not self._ready or self._drive.is_closed:
            deltas = await self._drive.next()
            if deltas is None:
                self.reply  # noqa: B018 - raises if the stream was closed before its end
                return None
            self._ready.extend(deltas)
        return self._ready.popleft()
