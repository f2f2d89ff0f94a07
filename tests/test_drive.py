"""The two loops that perform a story's steps: what they do is the same, and in the same order."""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from barechat.drive import AsyncDrive, Drive, Outlets
from barechat.errors import BarechatError, ConfigurationError, ConnectionFailed, ServerFailed, StreamTruncated
from barechat.steps import Head
from barechat.wire.retry import RetryPolicy
from barechat.wire.trace import TraceEvent, Tracer
from support import DONE, piece, whole_body
from test_exchange import JSON, SSE, Script, lost, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from barechat.receipt import Receipt
    from barechat.records import Attempt, Delta
    from barechat.steps import Send

STREAM = [SSE, piece("It will "), piece("rain.", "stop") + DONE]


@dataclass
class Answer:
    """An answer of the transport: bytes to read, or exceptions to raise."""

    head: Head
    left: list[Any]
    told: list[str]
    rest: bytes = b""

    @property
    def status(self) -> int:
        return self.head.status

    @property
    def headers(self) -> Any:
        return self.head.headers

    def read(self, by: Any) -> bytes:
        item = self.left.pop(0)
        if isinstance(item, BaseException):
            raise item
        self.told.append(f"read {len(item)}")
        return bytes(item)

    def drain(self) -> bytes:
        self.told.append("drain")
        return self.rest

    def close(self) -> None:
        self.told.append("close")


@dataclass
class AwaitedAnswer(Answer):
    async def read(self, by: Any) -> bytes:  # type: ignore[override]  # the same, awaited
        return super().read(by)

    async def drain(self) -> bytes:  # type: ignore[override]
        return super().drain()


@dataclass
class Loop:
    """A drive of either kind over a scripted transport; `told` is what it did, in order."""

    kind: str
    answers: list[Any]
    streamed: bool = True
    token: Callable[[], Any] | None = None
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    tracer: Tracer | None = None
    rest: bytes = b""

    def __post_init__(self) -> None:
        self.told: list[str] = []
        self.filed: list[Receipt] = []
        script = Script(streamed=self.streamed, policy=self.policy, with_token=self.token is not None)
        if self.token is not None:
            object.__setattr__(script.receipt.call.endpoint, "token", self.token)
        told = (script.story, script.receipt, Outlets(self.filed.append, self.tracer))
        self.drive: Any
        if self.kind == "asyncio":
            self.drive = AsyncDrive(*told, awaited(self.send), awaited(self.sleep))
        else:
            send: Any = self.send
            self.drive = Drive(*told, lambda step, _: send(step), lambda _, seconds: self.sleep(seconds))

    def send(self, step: Send) -> Answer:
        self.told.append("send")
        head = self.answers.pop(0)
        if isinstance(head, BaseException):
            raise head
        count = next((at for at, item in enumerate(self.answers) if isinstance(item, Head)), len(self.answers))
        left, self.answers = self.answers[:count], self.answers[count:]
        return (Answer if self.kind == "blocking" else AwaitedAnswer)(head, left, self.told, self.rest)

    def retry_with(self, on_retry: Callable[[Attempt], Any]) -> None:
        receipt = self.drive.receipt
        receipt.call = msgspec.structs.replace(receipt.call, policy=RetryPolicy(on_retry=on_retry))

    def sleep(self, seconds: float) -> None:
        self.told.append(f"sleep {seconds:g}")

    def next(self) -> list[Delta] | None:
        step = self.drive.next()
        found: list[Delta] | None = asyncio.run(waited(step)) if inspect.isawaitable(step) else step
        return found

    def run(self) -> list[str | None]:
        """Return the content of every delta, to the end."""
        contents: list[str | None] = []
        while (deltas := self.next()) is not None:
            contents += [delta.content for delta in deltas]
        return contents


async def waited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def awaited(function: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
    async def call(argument: Any) -> Any:
        return function(argument)

    return call


def test_a_stream_is_read_handed_on_and_drained_and_then_let_go(kind: str) -> None:
    loop = Loop(kind, list(STREAM))
    assert loop.run() == ["It will ", "rain."]
    sizes = [len(item) for item in STREAM[1:]]  # type: ignore[arg-type]
    assert loop.told == ["send", f"read {sizes[0]}", f"read {sizes[1]}", "drain", "close"]
    assert [receipt.reply is not None for receipt in loop.filed] == [True]
    assert loop.next() is None


def test_the_answer_is_let_go_before_the_wait_and_the_next_try(kind: str) -> None:
    body = whole_body()
    loop = Loop(kind, [*status(503), JSON, body, b""], streamed=False)
    assert loop.run() == []
    assert loop.told == ["send", "read 2", "read 0", "close", "sleep 1", "send", f"read {len(body)}", "read 0", "close"]


def test_an_answer_that_is_not_waited_after_is_let_go_before_the_next_try(kind: str) -> None:
    refusal = status(400, b'{"error": {"message": "m", "param": "stream_options"}}')
    loop = Loop(kind, [*refusal, *STREAM])
    assert loop.run() == ["It will ", "rain."]
    assert loop.told.index("close") < loop.told.index("send", 1)


def test_what_the_transport_raises_is_told_to_the_story(kind: str) -> None:
    loop = Loop(kind, [lost(), SSE, piece("a"), lost()])
    assert loop.next() is not None
    with pytest.raises(StreamTruncated) as caught:
        loop.next()
    assert [attempt.error for attempt in caught.value.attempts] == ["ConnectionFailed", "StreamTruncated"]
    assert loop.told[-1] == "close"
    assert len(loop.filed) == 1
    assert loop.drive.is_closed


@pytest.mark.parametrize("stray", [StopIteration("value"), StopAsyncIteration("value")])
@pytest.mark.parametrize("place", ["send", "read"])
def test_a_stray_stop_of_an_iterator_never_passes_for_the_end(kind: str, place: str, stray: Exception) -> None:
    loop = Loop(kind, [stray] if place == "send" else [SSE, piece("a"), stray])
    with pytest.raises(RuntimeError) as caught:
        loop.run()
    assert "StopIteration" in str(caught.value)
    assert caught.value.__cause__ is not None
    assert [receipt.reply for receipt in loop.filed] == [None]
    assert loop.filed[0].attempts[0].error == "Interrupted"


@pytest.mark.parametrize("foreign", [ZeroDivisionError(), KeyboardInterrupt(), OSError()])
def test_a_foreign_exception_goes_through_once_all_is_let_go_and_filed(kind: str, foreign: BaseException) -> None:
    loop = Loop(kind, [SSE, piece("a"), foreign])
    loop.next()
    with pytest.raises(type(foreign)):
        loop.next()
    assert loop.told[-1] == "close"
    assert [attempt.error for attempt in loop.filed[0].attempts] == ["Interrupted"]


def test_closing_lets_go_and_files_once_wherever_the_call_stands(kind: str) -> None:
    for steps in range(3):
        loop = Loop(kind, list(STREAM))
        for _ in range(steps):
            loop.next()
        loop.drive.close()
        loop.drive.close()
        assert loop.told.count("close") == min(steps, 1)
        assert len(loop.filed) == 1
        assert loop.next() is None


def test_a_listener_hears_of_the_end_after_the_ledger_of_costs(kind: str) -> None:
    loop = Loop(kind, list(STREAM))
    heard: list[int] = []
    loop.drive.listeners.append(lambda receipt: heard.append(len(loop.filed)))
    loop.run()
    assert heard == [1]


def test_on_retry_is_told_of_the_failed_attempt_before_each_wait(kind: str) -> None:
    loop = Loop(kind, [*status(503), *status(429), *STREAM])
    loop.retry_with(lambda attempt: loop.told.append(f"failed {attempt.status}, waits {attempt.delay_s:g}"))
    loop.run()
    assert [item for item in loop.told if item.startswith(("failed", "sleep"))] == [
        "failed 503, waits 1",
        "sleep 1",
        "failed 429, waits 2",
        "sleep 2",
    ]


def test_an_async_on_retry_is_awaited() -> None:
    loop = Loop("asyncio", [*status(503), *STREAM])
    seen: list[int | None] = []

    async def on_retry(attempt: Attempt) -> None:
        seen.append(attempt.status)

    loop.retry_with(on_retry)
    loop.run()
    assert seen == [503]


@pytest.mark.parametrize("raised", [KeyError("enough"), ServerFailed("enough")])
def test_what_on_retry_raises_ends_the_call(kind: str, raised: Exception) -> None:
    def stop(_: Attempt) -> None:
        raise raised

    loop = Loop(kind, [*status(503)])
    loop.retry_with(stop)
    with pytest.raises(type(raised)) as caught:
        loop.run()
    assert caught.value is raised
    assert [[attempt.status for attempt in receipt.attempts] for receipt in loop.filed] == [[503]]


def test_on_retry_may_close_the_call(kind: str) -> None:
    loop = Loop(kind, [*status(503)])
    loop.retry_with(lambda _: loop.drive.close())
    assert loop.run() == []
    assert [item for item in loop.told if item.startswith("sleep")] == []
    assert len(loop.filed) == 1


def test_a_tracer_is_told_of_what_follows_the_answer_and_of_its_end(kind: str) -> None:
    events: list[TraceEvent] = []
    loop = Loop(kind, list(STREAM), tracer=Tracer(events.append, lambda: 5.0, ()), rest=b": bye\n\n")
    loop.run()
    assert [(event.kind, event.body) for event in events[-2:]] == [("body", b": bye\n\n"), ("end", b"")]


def test_a_token_function_is_asked_for_each_attempt(kind: str) -> None:
    asked: list[int] = []

    def token() -> str:
        asked.append(1)
        return "token"

    loop = Loop(kind, [*status(503), *STREAM], token=token)
    loop.run()
    assert len(asked) == 2


def test_an_async_client_s_token_function_may_be_async() -> None:
    async def token() -> str:
        return "token"

    assert Loop("asyncio", list(STREAM), token=token).run() == ["It will ", "rain."]


@pytest.mark.parametrize("token", ["", "two\nlines", "ünicode", None, 5])
def test_what_is_no_token_is_refused_before_anything_is_sent(kind: str, token: Any) -> None:
    loop = Loop(kind, [], token=lambda: token)
    with pytest.raises(ConfigurationError) as caught:
        loop.run()
    assert loop.told == []
    assert type(token).__name__ in str(caught.value)
    assert caught.value.cost is not None
    assert caught.value.cost.picodollars == 0


def test_what_a_token_function_raises_goes_through_and_costs_nothing(kind: str) -> None:
    def token() -> str:
        raise LookupError("no metadata server")

    loop = Loop(kind, [], token=token)
    with pytest.raises(LookupError):
        loop.run()
    assert [attempt.cost.picodollars for attempt in loop.filed[0].attempts] == [0]


def test_a_tracer_and_the_log_are_told_of_each_step(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "barechat")
    events: list[TraceEvent] = []
    tracer = Tracer(events.append, lambda: 5.0, ())
    Loop(kind, [*status(503), *STREAM], tracer=tracer).run()
    assert [(event.kind, event.attempt) for event in events] == [
        ("request", 1),
        ("head", 1),
        ("body", 1),
        ("end", 1),
        ("wait", 1),
        ("request", 2),
        ("head", 2),
        ("body", 2),
        ("body", 2),
        ("end", 2),
    ]
    assert (events[4].delay_s, "503" in events[4].text) == (1, True)
    assert [record.message for record in caplog.records if "next try in 1.00 s" in record.message]


def test_a_tracer_that_raises_ends_the_call_and_files_it(kind: str) -> None:
    def fail(event: TraceEvent) -> None:
        raise ValueError(event.kind)

    loop = Loop(kind, list(STREAM), tracer=Tracer(fail, lambda: 5.0, ()))
    with pytest.raises(ValueError, match="request"):
        loop.run()
    assert len(loop.filed) == 1


def test_both_loops_do_the_same_in_the_same_order() -> None:
    for answers in ([*STREAM], [*status(503), *STREAM], [lost(), *STREAM]):
        told = []
        for kind in ("blocking", "asyncio"):
            loop = Loop(kind, list(answers))
            told.append((loop.run(), loop.told))
        assert told[0] == told[1]


def test_an_error_of_our_own_that_a_token_function_raises_is_an_error_of_the_call(kind: str) -> None:
    def token() -> str:
        raise ConnectionFailed("no metadata server", sent=False)

    loop = Loop(kind, [], token=token, policy=RetryPolicy(max_attempts=2))
    with pytest.raises(BarechatError) as caught:
        loop.run()
    assert len(caught.value.attempts) == 2
