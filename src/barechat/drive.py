"""Who performs an exchange's steps: the blocking loop and the asyncio loop, side by side.

Both do the same and in the same order. They differ in `await`, in the transport they hold, and in how a call that is
closed from elsewhere wakes up: the blocking one tells its `Stop`, the asyncio one cancels the step it awaits. They
stand in one file, long as it is, so that whoever changes one sees the other.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from barechat.errors import BarechatError, ConfigurationError
from barechat.records import Delta, Reply
from barechat.steps import Drain, Emit, Head, Read, Reserve, Retry, Send, Step, Story, Wait

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping
    from types import ModuleType

    from barechat.money.entry import Entry, Hold
    from barechat.receipt import Receipt
    from barechat.records import Attempt
    from barechat.steps import Deadline, Tell
    from barechat.wire.trace import Tracer

logger = logging.getLogger("barechat")

# To the caller's own loop it would look like the answer's proper end.
_STRAY = "a StopIteration came out of the token function, the trace function or the transport"
_TWO_READERS = "this stream is being read already: it can be read by one thread or task at a time"


class Stop:
    """Whether a blocking call is to end now. Any thread may say so; whoever waits on the call's behalf is told.

    Without a lock, which a fork could copy locked: of `set` and `tell`, whichever comes second sees the first.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._wake: Callable[[], object] | None = None

    def set(self) -> None:
        """Say so, and wake whoever waits."""
        self.is_set = True
        if (wake := self._wake) is not None:
            wake()

    def tell(self, wake: Callable[[], object] | None) -> None:
        """Have `wake` called when it is said, at once if it has been; None once nobody waits any more."""
        self._wake = wake
        if wake is not None and self.is_set:
            wake()


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


class Ledger(Protocol):
    """Who keeps budgets, and the account of every attempt."""

    def reserve(self, hold: Hold, by: Deadline | None, tell: Tell) -> None:
        """Hold an attempt's money, or raise. Returns early if what `tell` is told of is called."""
        ...

    async def reserve_async(self, hold: Hold, by: Deadline | None) -> None:
        """As reserve, awaited."""
        ...

    def settle(self, entry: Entry) -> None:
        """File an attempt that has ended; takes no time, and never fails."""
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


class Outlets(msgspec.Struct, frozen=True):
    """Who is told of a call: its receipt's file, at the end; a tracer and a ledger, on the way.

    `running` holds the calls that have begun and not ended.
    """

    file: Callable[[Receipt], None]
    tracer: Tracer | None = None
    ledger: Ledger | None = None
    running: set[Any] = msgspec.field(default_factory=set)


class _Drive:
    """What both loops share: the story, its receipt, and the end of both."""

    def __init__(self, story: Story, receipt: Receipt, outlets: Outlets) -> None:
        self.receipt = receipt
        self.listeners = [outlets.file]  # each is told once, when the call has ended, however it has
        self.is_closed = False
        self._has_ended = False  # and everyone has been told
        self._story = story
        self._tracer = outlets.tracer
        self._trace_fault: BarechatError | None = None
        self._running = outlets.running
        self._ledger = outlets.ledger
        self._pid = os.getpid()
        self._answer: Any = None  # an Answer or AsyncAnswer, from its head to its end

    def _is_ours(self) -> bool:
        """Say whether the call began in this process; else it goes on in the one that this was forked from."""
        return self._pid == os.getpid()

    def _refuse_foreign(self) -> None:
        if not self._is_ours():
            raise BarechatError("this call began in the process that this one was forked from, and goes on there")

    def _advance(self, answer: Any, error: BarechatError | None) -> Step | None:
        """Take the story one step on; None once it has ended, or the call was closed."""
        step = None if self.is_closed else advance(self._story, answer, error)
        if self._ledger is not None:
            self._file_ended()
        if step is None or self.is_closed or isinstance(step, Reply):
            self.is_closed = True
            self._end()
            return None
        return step

    def _end(self) -> None:
        """End the call, from wherever it stands. If it is interrupted itself, the next try goes on from there."""
        if self._has_ended:
            self._leave()  # an answer that came just when another thread had ended the call
            return
        if inspect.getgeneratorstate(self._story) == inspect.GEN_RUNNING:
            return  # a signal's handler closes the call in the middle of a step, whose loop will see to it
        try:
            self._story.close()
        finally:
            self._running.discard(self)
            self._leave()
            self._file_ended()
            while self.listeners:
                self.listeners.pop(0)(self.receipt)
            self._has_ended = True

    def _file_ended(self) -> None:
        """Have the attempts that have ended filed, each as soon as it has: another one may hold money meanwhile."""
        unfiled = self.receipt.unfiled
        while unfiled and self._ledger is not None:
            self._ledger.settle(unfiled.pop(0))

    def _leave(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def _data(self, data: bytes) -> bytes:
        if self._tracer is not None:
            self._trace(self._tracer.body, data)
        return data

    def _drained(self, rest: bytes) -> None:
        if self._tracer is not None:
            if rest:
                self._trace(self._tracer.body, rest)
            self._trace(self._tracer.body, b"")

    def _tell_retry(self, attempt: Attempt) -> Any:
        """Tell of a failed attempt, and return what `on_retry` does."""
        self._leave()
        logger.info("attempt %d failed (%s); next try in %.2f s", attempt.number, attempt.message, attempt.delay_s)
        if self._tracer is not None:
            self._trace(self._tracer.wait, attempt.delay_s, attempt.message or "")
        on_retry = self.receipt.call.policy.on_retry
        return None if on_retry is None else on_retry(attempt)

    def _head(self, answer: Answer | AsyncAnswer) -> Head:
        self._answer = answer
        if self._tracer is not None:
            self._trace(self._tracer.head, answer.status, answer.headers)
        return Head(answer.status, answer.headers)

    def _tell_request(self, step: Send) -> None:
        self._leave()
        if self._tracer is not None:
            self._trace(self._tracer.request, step.url, step.headers, step.body)

    def _for_the_story(self, fault: BarechatError) -> BarechatError:
        if fault is self._trace_fault:
            raise fault
        return fault

    def _trace(self, tell: Callable[..., object], *facts: object) -> None:
        """Tell the tracer. What the caller's function raises ends the call, even if it is one of barechat's errors."""
        try:
            tell(*facts)
        except BarechatError as fault:
            self._trace_fault = fault
            raise


class Drive(_Drive):
    """The blocking loop. `send` performs a Send, and tells whom to wake; `wait` a Wait, or till the event is set."""

    def __init__(
        self,
        story: Story,
        receipt: Receipt,
        outlets: Outlets,
        send: Callable[[Send, Tell], Answer],
        wait: Callable[[threading.Event, float], object],
    ) -> None:
        super().__init__(story, receipt, outlets)
        self._send = send
        self._wait = wait
        self._stop = Stop()
        self._turn = threading.RLock()  # another thread may close what this one reads
        self._has_reader = False

    def close(self) -> None:
        """End the call where it stands: the connection is closed if the answer isn't whole, the receipt filed, once.

        Another thread's `next` wakes up and returns None. In a forked child, a parent's call is only let go of.
        """
        if self._has_ended:
            return
        self.is_closed = True
        if self._is_ours():  # a lock that was held at a fork stays so
            self._stop.set()
            with self._turn:
                self._end()
        else:
            self._leave()

    def next(self) -> list[Delta] | None:
        """Perform steps until there are deltas for the caller, and return them; None once the call has ended."""
        self._refuse_foreign()
        if self._has_reader:
            raise RuntimeError(_TWO_READERS)
        answer: Any = None
        error: BarechatError | None = None
        try:
            self._has_reader = True
            self._running.add(self)
            while True:
                with self._turn:
                    step = self._advance(answer, error)
                    source = self._answer  # taken here: whoever closes the call takes it away
                answer = error = None
                if step is None:
                    return None
                if isinstance(step, Emit):
                    return step.deltas
                try:
                    answer = self._perform(step, source)
                except BarechatError as fault:
                    error = self._for_the_story(fault)
                except (StopIteration, StopAsyncIteration) as stray:
                    raise RuntimeError(_STRAY) from stray
        except BaseException:
            self.close()
            raise
        finally:
            self._has_reader = False

    def _perform(self, step: Step, source: Any) -> Any:
        if isinstance(step, Read):
            return self._data(source.read(step.by))
        if isinstance(step, Send):
            self._tell_request(step)
            return self._head(self._send(step, self._stop.tell))
        if isinstance(step, Reserve):
            assert self._ledger is not None  # noqa: S101 - only a client with one asks for it
            self._ledger.reserve(step.hold, step.by, self._stop.tell)
        elif isinstance(step, Retry):
            self._tell_retry(step.attempt)
        elif isinstance(step, Wait):
            woken = threading.Event()
            self._stop.tell(woken.set)
            self._wait(woken, step.delay_s)
            self._stop.tell(None)
        elif isinstance(step, Drain):
            self._drained(source.drain())
        else:  # Authorize
            return _checked_token(self.receipt.call.endpoint.token())  # type: ignore[misc]  # asked for only if there is one
        return None


class AsyncDrive(_Drive):
    """The asyncio loop. `send` performs a Send; `sleep` a Wait, in seconds."""

    def __init__(
        self,
        story: Story,
        receipt: Receipt,
        outlets: Outlets,
        send: Callable[[Send], Awaitable[AsyncAnswer]],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        super().__init__(story, receipt, outlets)
        self.loop: asyncio.AbstractEventLoop | None = None  # once the call has begun
        self._send = send
        self._sleep = sleep
        self._reader: asyncio.Task[Any] | None = None  # the task that is in `next`
        self._is_woken = False  # whether `close` has cancelled that task's step

    def close(self) -> None:
        """End the call where it stands: the connection is closed if the answer isn't whole, the receipt filed, once.

        Another task's `next` wakes up and returns None. From another thread than that of its running loop, the call is
        ended there, as soon as the loop comes to it. In a forked child, a parent's call is only let go of.
        """
        if self._has_ended:
            return
        if not self._is_ours():
            self.is_closed = True
            return
        if self._runs_elsewhere():
            with contextlib.suppress(RuntimeError):  # it may end meanwhile
                self.loop.call_soon_threadsafe(self.close)  # type: ignore[union-attr]  # there is one that runs
                return
        self.is_closed = True
        reader = self._reader
        if reader is not None and not self._is_woken and reader is not _asyncio().current_task(reader.get_loop()):
            self._is_woken = True
            reader.cancel()
        self._end()

    def _runs_elsewhere(self) -> bool:
        if self.loop is None or not self.loop.is_running():
            return False
        try:
            return _asyncio().get_running_loop() is not self.loop
        except RuntimeError:
            return True

    def _enter(self) -> asyncio.Task[Any]:
        self._refuse_foreign()
        if self._reader is not None:
            raise RuntimeError(_TWO_READERS)
        self.loop = self.loop or _asyncio().get_running_loop()
        reader: asyncio.Task[Any] = _asyncio().current_task()
        self._reader = reader
        return reader

    async def next(self) -> list[Delta] | None:
        """Perform steps until there are deltas for the caller, and return them; None once the call has ended."""
        reader = self._enter()
        cancellations = reader.cancelling()
        answer: Any = None
        error: BarechatError | None = None
        try:
            self._running.add(self)
            while True:
                step = self._advance(answer, error)
                answer = error = None
                if step is None:
                    return None
                if isinstance(step, Emit):
                    return step.deltas
                try:
                    answer = await self._performed(step)
                except BarechatError as fault:
                    error = self._for_the_story(fault)
                except (StopIteration, StopAsyncIteration) as stray:
                    raise RuntimeError(_STRAY) from stray
                except _asyncio().CancelledError:
                    if not self._is_woken or reader.cancelling() > cancellations + 1:
                        raise  # somebody else's, or somebody else's too
        except BaseException:
            self._reader = None
            self.close()
            raise
        finally:
            self._reader = None
            if self._is_woken:
                self._is_woken = False
                reader.uncancel()

    def _performed(self, step: Step) -> Awaitable[Any]:
        if isinstance(step, Read) and self._tracer is None:  # so many are that, that a coroutine less is felt
            reading: Awaitable[Any] = self._answer.read(step.by)
            return reading
        return self._perform(step)

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Read):
            return self._data(await self._answer.read(step.by))
        if isinstance(step, Send):
            self._tell_request(step)
            return self._head(await self._send(step))
        if isinstance(step, Reserve):
            assert self._ledger is not None  # noqa: S101 - only a client with one asks for it
            await self._ledger.reserve_async(step.hold, step.by)
        elif isinstance(step, Retry):
            told = self._tell_retry(step.attempt)
            if inspect.isawaitable(told):
                await told
        elif isinstance(step, Wait):
            await self._sleep(step.delay_s)
        elif isinstance(step, Drain):
            self._drained(await self._answer.drain())
        else:  # Authorize
            token = self.receipt.call.endpoint.token()  # type: ignore[misc]  # asked for only if there is one
            return _checked_token(await token if inspect.isawaitable(token) else token)
        return None


def _asyncio() -> ModuleType:
    """Return asyncio, which a program that only blocks never loads."""
    import asyncio  # noqa: PLC0415 - see above

    return asyncio


def _checked_token(token: Any) -> str:
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise ConfigurationError(
            f"the token function must return a token as a string of one line; it returned a {type(token).__name__}"
        )
    return token
