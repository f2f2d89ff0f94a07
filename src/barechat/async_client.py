"""The async client: the names of `client.py`, awaited."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from barechat.base_client import SENSES, BaseClient
from barechat.drive import AsyncDrive
from barechat.errors import ConfigurationError, ParameterError
from barechat.exchange import exchange
from barechat.options import BulkOptions, CallOptions, RunOptions
from barechat.parameters import Parameters
from barechat.receipt import Call, Receipt
from barechat.records import Delta, Parsed, Reply, Run, ToolCall
from barechat.settings import Certificate, Timeouts, Verify
from barechat.streams import AsyncChatStream, reply_of_ended
from barechat.wire import request as wire
from barechat.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from barechat.bulk.run import AsyncBulkRun
    from barechat.tool import Tool
    from barechat.transport.asynchronous import AsyncTransport

T = TypeVar("T")


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

    async def run(
        self,
        messages: wire.Messages,
        tools: Sequence[Callable[..., Any] | Tool],
        *,
        model: str | None = None,
        max_rounds: int = 10,
        on_delta: Callable[[Delta], object] | None = None,
        on_call: Callable[[ToolCall, str | None], object] | None = None,
        **options: Unpack[RunOptions],
    ) -> Run:
        """Same as Client.run, awaited. Coroutine functions are tasks; `on_delta` and `on_call` may be such, too."""
        from barechat.tools import run_async  # noqa: PLC0415 - it takes a while, and few need it

        return await run_async(
            self.chat, self.stream, messages, tools, max_rounds, on_delta, on_call, {**options, "model": model}
        )

    @overload
    async def parse(
        self,
        messages: wire.Messages,
        into: type[T],
        *,
        model: str | None = None,
        max_tries: int = 2,
        strict: bool = True,
        **options: Unpack[CallOptions],
    ) -> Parsed[T]: ...
    @overload
    async def parse(
        self,
        messages: wire.Messages,
        into: Any,
        *,
        model: str | None = None,
        max_tries: int = 2,
        strict: bool = True,
        **options: Unpack[CallOptions],
    ) -> Parsed[Any]: ...
    async def parse(
        self,
        messages: wire.Messages,
        into: Any,
        *,
        model: str | None = None,
        max_tries: int = 2,
        strict: bool = True,
        **options: Unpack[CallOptions],
    ) -> Parsed[Any]:
        """Same as Client.parse, awaited."""
        from barechat.parsing import parse_async  # noqa: PLC0415 - it takes a while, and few need it

        return await parse_async(self.chat, messages, into, max_tries, strict, {**options, "model": model})

    def bulk(
        self,
        requests: Iterable[Any] | AsyncIterable[Any],
        *,
        model: str | None = None,
        **options: Unpack[BulkOptions],
    ) -> AsyncBulkRun:
        """Same as Client.bulk, for `async with` and `async for`."""
        from barechat.bulk.run import AsyncBulkRun, planned  # noqa: PLC0415 - few need it, and it stands above this file

        return AsyncBulkRun(self, planned(self, requests, model, options))

    async def close(self) -> None:
        """Same as Client.close, awaited. It ends the calls and closes the connections of the running event loop."""
        running = asyncio.get_running_loop()
        for drive in list(self._running):
            if drive.loop is running or drive.loop.is_closed():
                drive.close()
        await self._transport.close()
        if self._ledger is not None:
            with contextlib.suppress(ConfigurationError):  # it can't be written: the log has said so
                await self._ledger.flush_async()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _run(self, call: Call, *listeners: Callable[[Receipt], None]) -> Reply:
        """Same as Client._run, awaited."""
        drive = self._drive(call)
        drive.listeners += listeners
        try:
            while await drive.next() is not None:
                pass  # a server that streams unasked
        finally:
            drive.close()
        return reply_of_ended(drive)

    def _made_transport(self, verify: Verify, cert: Certificate | None, proxy: str | None) -> AsyncTransport:
        from barechat.transport.asynchronous import AsyncTransport  # noqa: PLC0415 - Client needs no asyncio

        return AsyncTransport(self._endpoint.base, verify=verify, cert=cert, proxy=proxy)

    def _drive(self, call: Call) -> AsyncDrive:
        receipt = Receipt(call)
        story = exchange(call, receipt, self._origin, SENSES)
        send, sleep = self._transport.send, asyncio.sleep
        return AsyncDrive(story, receipt, self._outlets(), send, sleep)
