"""A conversation: a history and a client. `ChatSession` blocks, `AsyncChatSession` says the same, awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, Unpack

from barechat import history
from barechat.async_client import AsyncClient
from barechat.client import Client
from barechat.conversation import Conversation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from barechat.options import CallOptions, RunOptions
    from barechat.records import Delta, Reply, Run, ToolCall
    from barechat.streams import AsyncChatStream, ChatStream
    from barechat.tool import Tool


class ChatSession(Conversation[Client]):
    """A conversation with one model. Use it as a context manager, or `close` it, if it has a file."""

    _kind = Client

    def send(self, user_message: str | Sequence[dict[str, Any]], **options: Unpack[CallOptions]) -> Reply:
        """Send a message, await the whole reply, and remember both. Takes what `Client.chat` takes.

        user_message: text, or content parts.

        Raises:
            BarechatError: as `Client.chat`; the messages are as they were.
            ParameterError: the message is longer than `max_prompt_tokens` by itself.
        """
        return self._send(_said(user_message), [], options)

    def retry_last(self, **options: Unpack[CallOptions]) -> Reply:
        """Send the last turn's message again, and let the new reply take the old one's place.

        Raises:
            ParameterError: there is no turn. BarechatError: as `send`; the old reply stays.
        """
        turn, replaced = self._last()
        return self._send(turn, replaced, options)

    def stream(self, user_message: str | Sequence[dict[str, Any]], **options: Unpack[CallOptions]) -> ChatStream:
        """Send a message, read the reply as it comes. Both are remembered once it has come whole.

        What is to be summed up before is summed up at once, and not when first iterated.
        """
        return self._stream(_said(user_message), [], options)

    def stream_last(self, **options: Unpack[CallOptions]) -> ChatStream:
        """Same as `retry_last`, read as it comes: the old reply stays until the new one has come whole."""
        turn, replaced = self._last()
        return self._stream(turn, replaced, options)

    def run(
        self,
        user_message: str | Sequence[dict[str, Any]],
        tools: Sequence[Callable[..., Any] | Tool],
        *,
        max_rounds: int = 10,
        on_delta: Callable[[Delta], object] | None = None,
        on_call: Callable[[ToolCall, str | None], object] | None = None,
        **options: Unpack[RunOptions],
    ) -> Run:
        """Send a message, and make the tool calls that the model asks for until it answers: `Client.run` as a turn.

        The whole turn is remembered once it is answered: the calls and what came of them, too. The session's limits
        hold for what is sent first; the rounds after it add to that.

        Raises:
            BarechatError: as `Client.run`; the messages are as they were.
        """
        from barechat.tools import run  # noqa: PLC0415 - it takes a while, and few need it

        turn = _said(user_message)
        self._sum_up(turn)
        prompt = self._prompt(self.messages, turn)
        merged = self._merged_for_run(options)
        ran = run(
            self._ask, self._listen, prompt, tools, max_rounds, on_delta, on_call, {**merged, "model": self.model}
        )
        self._remember(ran.messages[len(prompt) - 1 :])
        return ran

    def close(self) -> None:
        """Let other sessions write the file. The client stays open."""
        self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _send(self, turn: dict[str, Any], replaced: list[dict[str, Any]], options: CallOptions) -> Reply:
        self._sum_up(turn)
        before = self.messages[: len(self.messages) - len(replaced)]
        reply = self._ask(self._prompt(before, turn), model=self.model, **self._merged(options))
        self._remember([turn, reply.message.to_dict()], replaced)
        return reply

    def _stream(self, turn: dict[str, Any], replaced: list[dict[str, Any]], options: CallOptions) -> ChatStream:
        self._sum_up(turn)
        prompt = self._prompt(self.messages[: len(self.messages) - len(replaced)], turn)
        stream = self._listen(prompt, model=self.model, **self._merged(options))
        stream.when_filed(lambda receipt: self._settled(turn, receipt, replaced))
        return stream

    def _sum_up(self, turn: dict[str, Any]) -> None:
        if old := self._to_summarize(turn):
            asked = history.summary_request(old)
            self._summarized(old, self._ask(asked, model=self.summarize_with, **self._summary_options()))

    def _ask(self, messages: list[dict[str, Any]], **options: Any) -> Reply:
        """Make a call that is counted when it has ended, however it has: whatever comes after it, it is paid for."""
        call = self._client._whole_call(messages, **options)  # noqa: SLF001 - as Client.chat
        return self._client._run(call, self._count)  # noqa: SLF001 - likewise

    def _listen(self, messages: list[dict[str, Any]], **options: Any) -> ChatStream:
        """Begin a stream that is counted when it has ended, however it has."""
        stream = self._client.stream(messages, **options)
        stream.when_filed(self._count)
        return stream


class AsyncChatSession(Conversation[AsyncClient]):
    """Same as ChatSession, for an AsyncClient: `send`, `retry_last` and `run` are awaited."""

    _kind = AsyncClient

    async def send(self, user_message: str | Sequence[dict[str, Any]], **options: Unpack[CallOptions]) -> Reply:
        """Same as ChatSession.send, awaited."""
        return await self._send(_said(user_message), [], options)

    async def retry_last(self, **options: Unpack[CallOptions]) -> Reply:
        """Same as ChatSession.retry_last, awaited."""
        turn, replaced = self._last()
        return await self._send(turn, replaced, options)

    def stream(self, user_message: str | Sequence[dict[str, Any]], **options: Unpack[CallOptions]) -> AsyncChatStream:
        """Same as ChatSession.stream, for `async with` and `async for`.

        It sums nothing up, since it isn't awaited: what is too much isn't sent, and the next `send` sums it up.
        """
        return self._stream(_said(user_message), [], options)

    def stream_last(self, **options: Unpack[CallOptions]) -> AsyncChatStream:
        """Same as ChatSession.stream_last, for `async with` and `async for`."""
        turn, replaced = self._last()
        return self._stream(turn, replaced, options)

    async def run(
        self,
        user_message: str | Sequence[dict[str, Any]],
        tools: Sequence[Callable[..., Any] | Tool],
        *,
        max_rounds: int = 10,
        on_delta: Callable[[Delta], object] | None = None,
        on_call: Callable[[ToolCall, str | None], object] | None = None,
        **options: Unpack[RunOptions],
    ) -> Run:
        """Same as ChatSession.run, awaited."""
        from barechat.tools import run_async  # noqa: PLC0415 - it takes a while, and few need it

        turn = _said(user_message)
        await self._sum_up(turn)
        prompt = self._prompt(self.messages, turn)
        merged = self._merged_for_run(options)
        ran = await run_async(
            self._ask, self._listen, prompt, tools, max_rounds, on_delta, on_call, {**merged, "model": self.model}
        )
        self._remember(ran.messages[len(prompt) - 1 :])
        return ran

    async def close(self) -> None:
        """Same as ChatSession.close, awaited."""
        self._let_go()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _send(self, turn: dict[str, Any], replaced: list[dict[str, Any]], options: CallOptions) -> Reply:
        await self._sum_up(turn)
        before = self.messages[: len(self.messages) - len(replaced)]
        reply = await self._ask(self._prompt(before, turn), model=self.model, **self._merged(options))
        self._remember([turn, reply.message.to_dict()], replaced)
        return reply

    def _stream(self, turn: dict[str, Any], replaced: list[dict[str, Any]], options: CallOptions) -> AsyncChatStream:
        prompt = self._prompt(self.messages[: len(self.messages) - len(replaced)], turn)
        stream = self._listen(prompt, model=self.model, **self._merged(options))
        stream.when_filed(lambda receipt: self._settled(turn, receipt, replaced))
        return stream

    async def _sum_up(self, turn: dict[str, Any]) -> None:
        if old := self._to_summarize(turn):
            asked = history.summary_request(old)
            self._summarized(old, await self._ask(asked, model=self.summarize_with, **self._summary_options()))

    async def _ask(self, messages: list[dict[str, Any]], **options: Any) -> Reply:
        """Same as ChatSession._ask, awaited."""
        call = self._client._whole_call(messages, **options)  # noqa: SLF001 - as AsyncClient.chat
        return await self._client._run(call, self._count)  # noqa: SLF001 - likewise

    def _listen(self, messages: list[dict[str, Any]], **options: Any) -> AsyncChatStream:
        """Same as ChatSession._listen."""
        stream = self._client.stream(messages, **options)
        stream.when_filed(self._count)
        return stream


def _said(content: str | Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "user", "content": content if isinstance(content, str) else list(content)}
