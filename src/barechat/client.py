"""The blocking client: every promise's docstring lives here; `async_client.py` says the same, awaited.

The docstrings make it long; what the methods do stands elsewhere.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from barechat.base_client import SENSES, BaseClient
from barechat.drive import Drive
from barechat.errors import ConfigurationError, ParameterError
from barechat.exchange import exchange
from barechat.options import BulkOptions, CallOptions, RunOptions
from barechat.parameters import Parameters
from barechat.receipt import Call, Receipt
from barechat.records import Delta, Parsed, Reply, Run, ToolCall
from barechat.settings import Certificate, Timeouts, Verify
from barechat.streams import ChatStream, reply_of_ended
from barechat.wire import request as wire
from barechat.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from barechat.bulk.run import BulkRun
    from barechat.tool import Tool
    from barechat.transport.blocking import BlockingTransport

T = TypeVar("T")


class Client(BaseClient):
    """A client that blocks. Thread-safe; survives fork; use it as a context manager, or `close` it at the end."""

    def chat(
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
        """Send messages, await the whole reply.

        messages: a string (one user message), or a list of dicts and `Message`s with a role each. A content may be a
            list of parts: strings, and what `image`, `audio` and `file` make.
        model: required, unless the client is of an Azure deployment.
        timeouts, retry, tags, headers: for this call, in place of (tags, headers: besides) the client's.
        extra: sent as they are, unchecked, besides the parameters; for what the API adds next.
        parameters: every parameter of the API by its own name. `response_format="json"` is JSON mode.

        Raises:
            ParameterError: refused before anything was sent.
            BarechatError: see `barechat.errors`; it carries every attempt, what came, and what it may have cost.
        """
        request = self._request(messages, model, parameters, extra, headers, streamed=False)
        return self._run(self._call(request, timeouts, retry, tags))

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
    ) -> ChatStream:
        """Send messages, read the reply as it comes. Takes what `chat` takes; sends when first iterated.

            with client.stream("Tell me a story.", model="gpt-4o-mini") as stream:
                for text in stream:
                    print(text, end="", flush=True)
            print(stream.reply.cost)

        Raises:
            ParameterError: refused before anything was sent. All else is raised while iterating.
        """
        request = self._request(messages, model, parameters, extra, headers, streamed=True)
        return ChatStream(self._drive(self._call(request, timeouts, retry, tags)))

    def call(
        self,
        payload: Mapping[str, Any],
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        tags: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send a payload as it is, return the server's reply as it is: dict in, dict out. For whole replies.

        The parameters aren't checked; retries, deadlines, errors and cost are those of `chat`.
        """
        if not isinstance(payload, Mapping):
            raise ParameterError(f"payload must be a dict, not {type(payload).__name__}", param="payload")
        request = wire.seal(self._endpoint, payload, headers, streamed=False)
        return self._run(self._call(request, timeouts, retry, tags)).raw

    def run(
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
        """Send messages, run the tools that the model calls, tell it what they return, and so on until it answers.

        The calls of a round run at the same time, in threads. Arguments that don't fit, names that don't exist and what
        a function raises are told the model, which may try again.

        tools: functions, of which signature, types and docstring tell the model; or `Tool`s, which tell more.
        max_rounds: how many replies to ask for at most, the last one included.
        on_delta: called with each `Delta`, as it comes, of every round: text, and calls as they are written. What it
            raises ends the run.
        on_call: called with each `ToolCall` before it is made, and None; and with it and what the model is told of it,
            once a round's calls have ended. What it raises ends the run.
        options: what `chat` takes, for each round; tools and n aside. A `tool_choice` that demands a call holds for the
            first round alone: after each call it would demand another.

        Raises:
            ParameterError: refused before anything was sent; a function can't be described to a model, for one.
            RunUnfinished: RoundsExceeded, or ToolsFailed: no call worked, three rounds in a row.
            AnswerLimited, AnswerFiltered: a reply was cut among its calls, none of which was made.
            BarechatError: as `chat`, with the cost of all rounds, and in `messages` the conversation so far.
        """
        from barechat.tools import run  # noqa: PLC0415 - it takes a while, and few need it

        return run(self.chat, self.stream, messages, tools, max_rounds, on_delta, on_call, {**options, "model": model})

    @overload
    def parse(
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
    def parse(
        self,
        messages: wire.Messages,
        into: Any,
        *,
        model: str | None = None,
        max_tries: int = 2,
        strict: bool = True,
        **options: Unpack[CallOptions],
    ) -> Parsed[Any]: ...
    def parse(
        self,
        messages: wire.Messages,
        into: Any,
        *,
        model: str | None = None,
        max_tries: int = 2,
        strict: bool = True,
        **options: Unpack[CallOptions],
    ) -> Parsed[Any]:
        """Send messages, return the answer as a value of the type `into`, and what it cost.

        into: a dataclass, TypedDict, msgspec.Struct or pydantic model, an enumeration, str, int, …, or what is made of
            them, as in list[Person], Cat | Dog, Person | None. It is sent as a strict JSON schema, and checked here.
        max_tries: how often to ask at most; after an answer that doesn't fit, the model is told what is wrong with it.
        strict: False for types that the API's strict mode doesn't take, and servers that have none.
        options: what `chat` takes, for each try; tools, n and response_format aside.

        Raises:
            ParameterError: refused before anything was sent; no schema can be made of the type, for one.
            AnswerUnusable: AnswerRefused, AnswerLimited, AnswerFiltered or AnswerMismatched; never half a value.
            BarechatError: as `chat`, with the cost of all tries.
        """
        from barechat.parsing import parse  # noqa: PLC0415 - it takes a while, and few need it

        return parse(self.chat, messages, into, max_tries, strict, {**options, "model": model})

    def bulk(
        self,
        requests: Iterable[Any] | AsyncIterable[Any],
        *,
        model: str | None = None,
        **options: Unpack[BulkOptions],
    ) -> BulkRun:
        """Answer many requests as fast as the limits allow; iterate over what this returns for their results.

        requests: any iterable, read as it is needed, of strings (a user message each), lists of messages, dicts as
            `call` takes them, or dicts of the Batch API (`custom_id`, `body`). Names are "line-1", … by default. An
            iterable that takes its time should be an async one.
        model: for the requests that don't bring their own; so are the parameters among the options, and `extra`.
        output: a JSONL file that gets a line for each request as it ends. What has a line there, under the same name
            and with the same body, is not sent again, nor among the results: so a run that was killed goes on.
        ordered: True to have the output's lines put into the requests' order at the end.
        retry_failed: True to send again what has an error there.
        rpm, tpm, concurrency: ceilings for requests and tokens a minute, and for requests under way; below them the
            run follows what the server says of its limits, and how it bears up.
        options: these, and what `chat` takes, for every request. `retry` is by default up to eight tries.

        Raises:
            ParameterError, ConfigurationError: refused before anything was sent. While iterating, what ends a run
            before its requests do, once those under way have ended: BudgetExceeded, AuthenticationFailed,
            QuotaExhausted, ConfigurationError. All else is the `error` of a result.
        """
        from barechat.bulk.run import blocking_run, planned  # noqa: PLC0415 - few need it, and it stands above this file

        return blocking_run(self, planned(self, requests, model, options))

    def close(self) -> None:
        """End the calls that are running, as closing their streams would, and close all connections.

        A call that is ended so raises a BarechatError. The client can still be used; it connects anew.
        """
        for drive in list(self._running):
            drive.close()
        self._transport.close()
        if self._ledger is not None:
            with contextlib.suppress(ConfigurationError):  # it can't be written: the log has said so
                self._ledger.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _run(self, call: Call, *listeners: Callable[[Receipt], None]) -> Reply:
        """Make a call; its receipt is filed, and `listeners` are told of it, once, however the call ends."""
        drive = self._drive(call)
        drive.listeners += listeners
        try:
            while drive.next() is not None:
                pass  # a server that streams unasked
        finally:
            drive.close()
        return reply_of_ended(drive)

    def _made_transport(self, verify: Verify, cert: Certificate | None, proxy: str | None) -> BlockingTransport:
        from barechat.transport.blocking import BlockingTransport  # noqa: PLC0415 - AsyncClient needs no urllib3

        return BlockingTransport(self._endpoint.base, verify=verify, cert=cert, proxy=proxy)

    def _drive(self, call: Call) -> Drive:
        receipt = Receipt(call)
        story = exchange(call, receipt, self._origin, SENSES)
        send, wait = self._transport.send, threading.Event.wait
        return Drive(story, receipt, self._outlets(), send, wait)
