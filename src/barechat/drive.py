"""Who performs an exchange's steps: the blocking loop and the asyncio loop, side by side.

Both do the same and in the same order. They differ in nothing but `await` and the transport they hold.
"""

from __future__ import annotations

import inspect
import logging
import threading
from typing import TYPE_CHECKING, Any, Protocol

from barechat.errors import BarechatError, ConfigurationError
from barechat.records import Delta, Reply
from barechat.steps import Drain, Emit, Head, Read, Send, Step, Story, Wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from barechat.receipt import Receipt
    from barechat.steps import Deadline
    from barechat.wire.trace import Tracer

logger = logging.getLogger("barechat")

# To the caller's own loop it would look like the answer's proper end.
_STRAY = "a StopIteration came out of the token function, the trace function or the transport"


class Answer(Protocol):
    """An answer whose head has come."""

    status: int
    headers: Mapping[str, str]

    def read(self, by: Deadline | None) -> bytes:
        """Return whatever bytes have come, b"" at the end."""
        ...

    def drain(self) -> bytes:
        """Read the little that may follow the answer, so that the connection can be used again; return it."""
        ...

    def close(self) -> None:
        """Close the connection, unless the body was read to the end."""
        ...


class AsyncAnswer(Protocol):
    """As `Answer`, awaited; closing takes no time."""

    status: int
    headers: Mapping[str, str]

    async def read(self, by: Deadline | None) -> bytes:
        """As Answer.read, awaited."""
        ...

    async def drain(self) -> bytes:
        """As Answer.drain, awaited."""
        ...

    def close(self) -> None:
        """As Answer.close."""
        ...


def advance(story: Story, answer: Any, error: BarechatError | None) -> Step | Reply:
    """Take a story one step on. The only place where its end is seen, so no other StopIteration passes for it."""
    try:
        return story.send(answer) if error is None else story.throw(error)
    except StopIteration as end:
        reply: Reply = end.value
        return reply


class _Drive:
    """What both loops share: the story, its receipt, and the end of both."""

    def __init__(self, story: Story, receipt: Receipt, file: Callable[[Receipt], None], tracer: Tracer | None) -> None:
        self.receipt = receipt
        self.listeners = [file]  # each is told once, when the call has ended, however it has
        self._story = story
        self._tracer = tracer
        self._answer: Any = None  # an Answer or AsyncAnswer, from its head to its end
        self.is_closed = False

    def close(self) -> None:
        """End the call where it stands: the connection is closed if the answer isn't whole, the receipt filed, once."""
        if self.is_closed:
            return
        self.is_closed = True
        try:
            self._story.close()
        finally:
            self._leave()
            for listener in self.listeners:
                listener(self.receipt)

    def _leave(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def _data(self, data: bytes) -> bytes:
        if self._tracer is not None:
            self._tracer.body(data)
        return data

    def _drained(self, rest: bytes) -> None:
        if self._tracer is not None:
            if rest:
                self._tracer.body(rest)
            self._tracer.body(b"")

    def _tell_wait(self, step: Wait) -> None:
        self._leave()
        attempt = step.attempt
        logger.info("attempt %d failed (%s); next try in %.2f s", attempt.number, attempt.message, step.delay_s)
        if self._tracer is not None:
            self._tracer.wait(step.delay_s, attempt.message or "")

    def _head(self, answer: Answer | AsyncAnswer) -> Head:
        self._answer = answer
        if self._tracer is not None:
            self._tracer.head(answer.status, answer.headers)
        return Head(answer.status, answer.headers)

    def _tell_request(self, step: Send) -> None:
        self._leave()
        if self._tracer is not None:
            self._tracer.request(step.url, step.headers, step.body)


class Drive(_Drive):
    """The blocking loop. `send` performs a Send; `sleep` a Wait, in seconds."""

    def __init__(
        self,
        story: Story,
        receipt: Receipt,
        file: Callable[[Receipt], None],
        tracer: Tracer | None,
        send: Callable[[Send], Answer],
        sleep: Callable[[float], object],
    ) -> None:
        super().__init__(story, receipt, file, tracer)
        self._send = send
        self._sleep = sleep
        self._turn = threading.RLock()  # another thread may close what this one reads

    def close(self) -> None:
        """End the call where it stands; another thread's `next` then returns None."""
        with self._turn:
            super().close()

    def next(self) -> list[Delta] | None:
        """Perform steps until there are deltas for the caller, and return them; None once the call has ended."""
        answer: Any = None
        error: BarechatError | None = None
        try:
            while True:
                with self._turn:
                    if self.is_closed:
                        self._leave()
                        return None
                    step = advance(self._story, answer, error)
                answer = error = None
                if isinstance(step, Emit):
                    return step.deltas
                if isinstance(step, Reply):
                    self.close()
                    return None
                try:
                    answer = self._perform(step)
                except BarechatError as fault:
                    error = fault
                except (StopIteration, StopAsyncIteration) as stray:
                    raise RuntimeError(_STRAY) from stray
        except BaseException:
            self.close()
            raise

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Read):
            return self._data(self._answer.read(step.by))
        if isinstance(step, Send):
            self._tell_request(step)
            return self._head(self._send(step))
        if isinstance(step, Wait):
            self._tell_wait(step)
            if (on_retry := self.receipt.call.policy.on_retry) is not None:
                on_retry(step.attempt)
            if not self.is_closed:
                self._sleep(step.delay_s)
        elif isinstance(step, Drain):
            self._drained(self._answer.drain())
        else:  # Authorize
            return _checked_token(self.receipt.call.endpoint.token())  # type: ignore[misc]  # asked for only if there is one
        return None


class AsyncDrive(_Drive):
    """The asyncio loop. `send` performs a Send; `sleep` a Wait, in seconds."""

    def __init__(
        self,
        story: Story,
        receipt: Receipt,
        file: Callable[[Receipt], None],
        tracer: Tracer | None,
        send: Callable[[Send], Awaitable[AsyncAnswer]],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        super().__init__(story, receipt, file, tracer)
        self._send = send
        self._sleep = sleep

    async def next(self) -> list[Delta] | None:
        """Perform steps until there are deltas for the caller, and return them; None once the call has ended."""
        answer: Any = None
        error: BarechatError | None = None
        try:
            while True:
                if self.is_closed:
                    self._leave()
                    return None
                step = advance(self._story, answer, error)
                answer = error = None
                if isinstance(step, Emit):
                    return step.deltas
                if isinstance(step, Reply):
                    self.close()
                    return None
                try:
                    answer = await self._perform(step)
                except BarechatError as fault:
                    error = fault
                except (StopIteration, StopAsyncIteration) as stray:
                    raise RuntimeError(_STRAY) from stray
        except BaseException:
            self.close()
            raise

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Read):
            return self._data(await self._answer.read(step.by))
        if isinstance(step, Send):
            self._tell_request(step)
            return self._head(await self._send(step))
        if isinstance(step, Wait):
            self._tell_wait(step)
            if (on_retry := self.receipt.call.policy.on_retry) is not None:
                told = on_retry(step.attempt)
                if inspect.isawaitable(told):
                    await told
            if not self.is_closed:
                await self._sleep(step.delay_s)
        elif isinstance(step, Drain):
            self._drained(await self._answer.drain())
        else:  # Authorize
            token = self.receipt.call.endpoint.token()  # type: ignore[misc]  # asked for only if there is one
            return _checked_token(await token if inspect.isawaitable(token) else token)
        return None


def _checked_token(token: Any) -> str:
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise ConfigurationError(
            f"the token function must return a token as a string of one line; it returned a {type(token).__name__}"
        )
    return token
