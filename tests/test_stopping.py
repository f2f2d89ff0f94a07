"""A call can be ended at any place and in every way: at once, counted once, and with nothing left open."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from barechat import AsyncChatSession, AsyncClient, BarechatError, ChatSession, Client, ConnectionFailed
from barechat.steps import Send
from barechat.transport.blocking import BlockingTransport
from holding import PATIENT, PLACES, Holder, interrupt, open_files, own_threads, soon, stop_many
from support import KEY, MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


BLOCKING_WAYS = ("stream.close", "client.close", "interrupt")
ASYNC_WAYS = ("stream.close", "client.close", "cancel", "timeout", "interrupt")
COSTS_NOTHING = ("handshake", "retry", "token")  # what was refused, or never left
ENDS_WITH: dict[str, type[BaseException]] = {
    "stream.close": BarechatError,
    "client.close": BarechatError,
    "cancel": asyncio.CancelledError,
    "timeout": TimeoutError,
    "interrupt": KeyboardInterrupt,
}
CASES = [
    (place, streamed, way)
    for place in PLACES
    for streamed in (False, True)
    for way in ASYNC_WAYS
    if streamed or way != "stream.close"
]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt in the main thread, whoever runs the tests."""
    before = [
        (signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler)),
        (signal.SIGUSR1, signal.signal(signal.SIGUSR1, lambda *_: None)),
    ]
    yield
    for number, handler in before:
        signal.signal(number, handler)


def filed(caplog: pytest.LogCaptureFixture) -> int:
    return sum("no reply after" in record.message for record in caplog.records)


def assert_counted_once(client: Client | AsyncClient, place: str, caplog: pytest.LogCaptureFixture) -> None:
    assert filed(caplog) == 1
    assert client.cost.call_count == (place not in COSTS_NOTHING)
    assert [cost for cost in client.cost.by_certainty if cost != "exact"] == ["bound"] * client.cost.call_count


@pytest.mark.usefixtures("interruptible")
@pytest.mark.filterwarnings("ignore:.*unclosed <ssl.SSLSocket")  # which ssl itself forgets, when interrupted
@pytest.mark.parametrize(("place", "streamed", "way"), [case for case in CASES if case[2] in BLOCKING_WAYS])
def test_a_blocking_call_ends_wherever_it_is(
    place: str, streamed: bool, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "barechat")
    with Holder(place) as held, Client(**held.options) as client:
        stream = client.stream("Hi", model=MODEL) if streamed else None

        def close() -> None:
            (client if stream is None or way == "client.close" else stream).close()
            assert filed(caplog) == 1  # without a wait for its reader
            held.released.set()

        with (
            pytest.raises(ENDS_WITH[way]) as caught,
            soon(interrupt if way == "interrupt" else close, held.reached),
            stream or contextlib.nullcontext(),
        ):
            client.chat("Hi", model=MODEL) if stream is None else list(stream)
        if way != "interrupt":
            assert "closed before its end" in str(caught.value)
        client.close()
        held.wait_until_ended(place != "token")  # though the error still holds all that the call did
        assert_counted_once(client, place, caplog)
        del caught
        gc.collect()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("place", "streamed", "way"), CASES)
def test_an_async_call_ends_wherever_it_is(
    place: str, streamed: bool, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "barechat")
    with Holder(place) as held:
        client = AsyncClient(**held.async_options)
        ending: list[BaseException] = []

        async def read(stream: Any, limit: asyncio.Timeout) -> None:
            try:
                async with limit:
                    if streamed:
                        async with stream:
                            async for _ in stream:
                                pass
                    else:
                        await client.chat("Hi", model=MODEL)
            except BaseException as error:
                ending.append(error)
                task = asyncio.current_task()
                assert task is not None
                assert task.cancelling() == (way in {"cancel", "interrupt"})
                raise

        async def run() -> None:
            stream, limit = client.stream("Hi", model=MODEL) if streamed else None, asyncio.timeout(None)
            if way == "interrupt":
                await read(stream, limit)
            reader = asyncio.create_task(read(stream, limit))
            await asyncio.to_thread(held.reached.wait, 10)
            if way in {"cancel", "timeout"}:
                reader.cancel() if way == "cancel" else limit.reschedule(asyncio.get_running_loop().time())
            else:
                await (client if way == "client.close" or stream is None else stream).close()
                assert filed(caplog) == 1
            await asyncio.wait([reader], timeout=10)
            assert reader.done()  # and every deadline is later
            with pytest.raises(ENDS_WITH[way]):
                await reader
            await client.close()
            assert len(asyncio.all_tasks()) == 1

        if way == "interrupt":
            with pytest.raises(KeyboardInterrupt), soon(interrupt, held.reached):
                asyncio.run(run())
        else:
            asyncio.run(run())
        assert isinstance(ending[0], asyncio.CancelledError if way == "interrupt" else ENDS_WITH[way])
        if way.endswith("close"):
            assert "closed before its end" in str(ending[0])
        held.wait_until_ended(place != "token")
        assert_counted_once(client, place, caplog)


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"grey in {city}"


def begin(session: Any, job: str) -> Any:
    """Begin a turn of a session's: a whole call, the first of a run, or that of the summary which it needs before."""
    if job == "run":
        return session.run("Hello?", [weather])
    if job == "summary":
        session.messages = [{"role": role, "content": "Hi"} for role in ("user", "assistant")] * 2
        session.max_history, session.summarize_with = 2, "gpt-4.1-nano"
    return session.send("Hello?")


def assert_a_session_counts_as_its_client_does(session: Any, client: Client | AsyncClient, job: str) -> None:
    assert session.cost.totals.by_certainty_pd == client.cost.totals.by_certainty_pd
    assert session.cost.call_count == client.cost.call_count == 1
    assert session.cost.by_certainty.keys() == {"bound"}
    assert session.cost.by_model.keys() == {"gpt-4.1-nano" if job == "summary" else MODEL}
    assert len(session.messages) == (4 if job == "summary" else 0)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("job", ["send", "run", "summary"])
@pytest.mark.parametrize("way", ["interrupt", "client.close"])
def test_a_session_counts_a_whole_call_that_was_ended_midway(way: str, job: str) -> None:
    with Holder("head") as held, Client(**held.options) as client:
        session = ChatSession(client, model=MODEL)
        act = interrupt if way == "interrupt" else client.close
        with pytest.raises(ENDS_WITH[way]), soon(act, held.reached):
            begin(session, job)
        assert_a_session_counts_as_its_client_does(session, client, job)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("job", ["send", "run", "summary"])
@pytest.mark.parametrize("way", ["cancel", "interrupt", "client.close"])
def test_an_async_session_counts_a_whole_call_that_was_ended_midway(way: str, job: str) -> None:
    with Holder("head") as held:
        client = AsyncClient(**held.async_options)
        session = AsyncChatSession(client, model=MODEL)

        async def run() -> None:
            try:
                if way == "interrupt":
                    await begin(session, job)
                turn = asyncio.ensure_future(begin(session, job))
                await asyncio.to_thread(held.reached.wait, 10)
                if way == "cancel":
                    turn.cancel()
                else:
                    await client.close()
                with pytest.raises(ENDS_WITH[way]):
                    await turn
            finally:
                await client.close()

        if way == "interrupt":
            with pytest.raises(KeyboardInterrupt), soon(interrupt, held.reached):
                asyncio.run(run())
        else:
            asyncio.run(run())
        assert_a_session_counts_as_its_client_does(session, client, job)


def connecting_to(port: int) -> int:
    """Return how many sockets of this machine wait for an answer to their first packet to a port of loopback."""
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    return sum(line.split()[2:4] == [f"0100007F:{port:04X}", "02"] for line in lines)


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port on which nobody accepts and whose queue is full, so that connecting to it hangs."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def until(is_so: Callable[[], bool]) -> None:
    """Look again and again at what nobody announces: a state of the system's own."""
    for _ in range(10_000):
        if is_so():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it never came to be so")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses")
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("way", BLOCKING_WAYS)
def test_a_call_that_still_connects_ends_too(way: str, kind: str, full_port: int) -> None:
    before, url = connecting_to(full_port), f"http://127.0.0.1:{full_port}/v1"
    reached = threading.Event()

    def seek() -> None:
        until(lambda: connecting_to(full_port) > before)
        reached.set()

    seeking = threading.Thread(target=seek)
    seeking.start()
    if kind == "blocking":
        client = Client(KEY, url, timeouts=PATIENT)
        stream = client.stream("Hi", model=MODEL)
        ways = {"client.close": client.close, "interrupt": interrupt, "stream.close": stream.close}
        with pytest.raises(ENDS_WITH[way]) as caught, soon(ways[way], reached), stream:
            next(stream)
        del caught
    else:
        connect_and_stop(way, url, reached)
    seeking.join()
    until(lambda: connecting_to(full_port) == before)


def connect_and_stop(way: str, url: str, reached: threading.Event) -> None:
    async def run() -> None:
        client = AsyncClient(KEY, url, timeouts=PATIENT)
        stream = client.stream("Hi", model=MODEL)
        if way == "interrupt":
            await anext(stream)
        reader = asyncio.ensure_future(anext(stream))
        await asyncio.to_thread(reached.wait, 10)
        await (stream if way == "stream.close" else client).close()
        with pytest.raises(BarechatError, match="closed before its end"):
            await reader
        await client.close()

    if way == "interrupt":
        with pytest.raises(KeyboardInterrupt), soon(interrupt, reached):
            asyncio.run(run())
    else:
        asyncio.run(run())


def test_a_call_that_is_closed_before_it_connects_connects_to_nobody() -> None:
    with Holder("head") as held:
        parts = urlsplit(held.url)

        def tell(wake: Callable[[], object] | None) -> None:
            if wake is not None:
                wake()  # it is closed already

        for host in ("localhost", "127.0.0.1"):
            step = Send(f"http://{host}:{parts.port}/v1", {}, b"{}", None, None)
            with pytest.raises(ConnectionFailed, match="Nothing was sent") as caught:
                BlockingTransport(f"http://{host}:{parts.port}").send(step, tell)
            assert caught.value.sent is False
        assert not held.reached.is_set()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the system's own list of descriptors")
def test_fifty_calls_that_were_stopped_leave_nothing(kind: str) -> None:
    stop_many(kind, 1)  # what stays on purpose, or is made once
    gc.collect()
    before = open_files(), threading.active_count()
    stop_many(kind, 50)
    gc.collect()
    assert (open_files(), threading.active_count()) == before
    assert own_threads() == []
