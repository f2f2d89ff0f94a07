"""What a closed call says, who may close it, and that its end is told once, whatever comes between."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from barechat import AsyncClient, BarechatError, Client, ConnectionFailed, Delta
from barechat.drive import Stop
from barechat.steps import Emit, Send
from barechat.transport.asynchronous import AsyncTransport
from holding import PATIENT, Holder, soon
from support import KEY, MODEL, AsyncCaller, head
from test_drive import Loop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barechat.simulator import Simulator
    from support import ByteServer, Caller


@pytest.mark.parametrize("ends", ["break", "raise", "return"])
def test_whatever_leaves_the_block_of_a_stream_hangs_up(ends: str, caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2)

    def read() -> None:
        with caller.stream() as stream:
            for _ in stream:
                if ends == "raise":
                    raise KeyError(ends)
                if ends == "return":
                    return
                break

    with pytest.raises(KeyError) if ends == "raise" else contextlib.nullcontext():
        read()
    (record,) = simulator.wait_for(1)
    assert (record["hung_up"], record["chunks"]) == (True, 2)
    assert (caller.client.cost.call_count, list(caller.client.cost.by_certainty)) == (1, ["bound"])


def test_a_closed_stream_says_what_came_and_what_it_may_have_cost(caller: Caller, simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2)
    stream = caller.stream()
    first = next(iter(stream))
    stream.close()
    with pytest.raises(BarechatError, match="closed before its end") as caught:
        next(iter(stream))
    error = caught.value
    assert error.partial is not None
    assert error.partial.text.startswith(first)
    assert [attempt.error for attempt in error.attempts] == ["Interrupted"]
    assert error.cost == error.partial.cost
    assert error.cost is not None
    assert error.cost.usd == caller.client.cost.total_cost


def test_a_stream_whose_answer_was_whole_when_it_was_closed_keeps_its_reply(caller: Caller) -> None:
    with caller.stream() as stream:
        text = "".join(stream)
    assert stream.reply.text == text
    stream.close()
    assert list(stream) == []
    assert stream.reply.text == text


def test_a_closed_client_s_unread_stream_and_next_call_connect_anew(caller: Caller) -> None:
    with caller.stream() as unread:
        if isinstance(caller, AsyncCaller):
            caller.run(caller.client.close())
        else:
            caller.close()
        assert "".join(unread) == caller.chat().text


def test_one_stream_has_one_reading_thread_at_a_time() -> None:
    with Holder("head") as held, Client(**held.options) as client, client.stream("Hi", model=MODEL) as stream:

        def read_too() -> None:
            with pytest.raises(RuntimeError, match="being read already"):
                next(stream)
            stream.close()

        with pytest.raises(BarechatError, match="closed before"), soon(read_too, held.reached):
            next(stream)


def test_one_stream_has_one_reading_task_at_a_time() -> None:
    async def read_twice() -> None:
        client = AsyncClient(**held.async_options)
        stream = client.stream("Hi", model=MODEL)
        reader = asyncio.ensure_future(anext(stream))
        await asyncio.to_thread(held.reached.wait, 10)
        with pytest.raises(RuntimeError, match="being read already"):
            await anext(stream)
        await client.close()
        with pytest.raises(BarechatError, match="closed before"):
            await reader

    with Holder("head") as held:
        asyncio.run(read_twice())


def test_a_call_that_is_closed_and_cancelled_is_cancelled() -> None:
    async def run(url: str) -> None:
        client = AsyncClient(KEY, url, timeouts=PATIENT)
        reader = asyncio.ensure_future(client.chat("Hi", model=MODEL))
        await asyncio.to_thread(held.reached.wait, 10)
        reader.cancel()
        await client.close()
        await asyncio.wait([reader])
        assert reader.cancelled()

    with Holder("head") as held:
        asyncio.run(run(held.url))


def test_another_thread_may_close_an_async_stream() -> None:
    async def run(url: str) -> None:
        async with AsyncClient(KEY, url, timeouts=PATIENT) as client:
            stream = client.stream("Hi", model=MODEL)
            reader = asyncio.ensure_future(anext(stream))
            await asyncio.to_thread(held.reached.wait, 10)
            await asyncio.to_thread(lambda: asyncio.run(stream.close()))
            with pytest.raises(BarechatError, match="closed before"):
                await reader
            assert client.cost.call_count == 1

    with Holder("head") as held:
        asyncio.run(run(held.url))
        held.wait_until_ended(1)


def test_a_signal_s_handler_may_close_the_stream_that_it_interrupts(kind: str) -> None:
    loop = Loop(kind, [])

    def story() -> Any:
        loop.drive.close()  # in the middle of a step, as a handler would be called
        assert loop.filed == []
        yield Emit([Delta(index=0)])

    loop.drive._story = story()
    assert loop.next() is None
    assert len(loop.filed) == 1


def test_an_end_that_was_interrupted_is_finished_by_the_next(kind: str) -> None:
    loop = Loop(kind, [])
    heard: list[str] = []

    def interrupted(_: object) -> None:
        heard.append("interrupted")
        raise KeyboardInterrupt

    loop.drive.listeners += [interrupted, lambda _: heard.append("told")]
    with pytest.raises(KeyboardInterrupt):
        loop.drive.close()
    loop.drive.close()
    loop.drive.close()
    assert (len(loop.filed), heard) == (1, ["interrupted", "told"])


def test_an_async_call_whose_loop_ends_while_it_is_handed_there_is_ended_here() -> None:
    class Ending:
        def is_running(self) -> bool:
            return True

        def call_soon_threadsafe(self, _: object) -> None:
            raise RuntimeError("Event loop is closed")

    loop = Loop("asyncio", [])
    loop.drive.loop = Ending()
    loop.drive.close()
    assert len(loop.filed) == 1


def test_a_stream_is_read_on_one_event_loop(simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2)
    client = AsyncClient(KEY, simulator.url)
    stream = client.stream("Hi", model=MODEL)
    with asyncio.Runner() as first:
        first.run(anext_of(stream))
        with asyncio.Runner() as second, pytest.raises(RuntimeError, match="event loop on which it began"):
            second.run(rest_of(stream))
        first.run(client.close())
    assert client.cost.call_count == 1


async def anext_of(stream: Any) -> Any:
    return await anext(stream)


async def rest_of(stream: Any) -> None:
    async for _ in stream:
        pass


def test_an_answer_that_comes_when_another_thread_has_closed_the_call_is_closed_too() -> None:
    loop = Loop("blocking", [])
    closed: list[str] = []

    class Late:
        status = 200
        headers: Mapping[str, str] = MappingProxyType({})

        def close(self) -> None:
            closed.append("answer")

    def send(step: Send, _: Any) -> Any:
        closer = threading.Thread(target=loop.drive.close)
        closer.start()
        closer.join()
        return Late()

    def story() -> Any:
        yield Send("", {}, b"", None, None)

    loop.drive._story, loop.drive._send = story(), send
    assert loop.next() is None
    assert closed == ["answer"]


def test_whoever_waits_is_woken_whether_the_call_is_closed_before_or_after() -> None:
    stop, woken = Stop(), []
    stop.tell(lambda: woken.append("after"))
    stop.tell(None)
    stop.set()
    assert woken == []  # nobody waited any more
    stop.tell(lambda: woken.append("before"))
    stop.set()
    assert woken == ["before", "before"]


def test_a_call_of_another_process_is_neither_read_nor_filed(kind: str) -> None:
    loop = Loop(kind, [])
    loop.drive._pid -= 1
    with pytest.raises(BarechatError, match="forked"):
        loop.next()
    loop.drive.close()
    assert loop.drive.is_closed
    assert loop.filed == []


def test_an_async_answer_that_is_closed_wakes_its_reader_and_is_a_failed_connection_ever_after(
    byte_server: ByteServer,
) -> None:
    async def read() -> None:
        transport = AsyncTransport(byte_server.url)
        answer = await transport.send(Send(f"{byte_server.url}/", {}, b"{}", None, None))
        assert await answer.read(None) == b"ab"
        reader = asyncio.ensure_future(answer.read(None))
        await asyncio.sleep(0)
        answer.close()
        for reading in (reader, answer.read(None)):
            with pytest.raises(ConnectionFailed):
                await reading
        await transport.close()

    byte_server.answer(head("Transfer-Encoding: chunked"), b"2\r\nab", closes=False)
    asyncio.run(read())
