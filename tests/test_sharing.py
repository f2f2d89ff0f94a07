"""One client among threads, processes and event loops; many streams at a time; errors and records that travel."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from barechat import (
    AsyncChatStream,
    AsyncClient,
    BarechatError,
    Client,
)
from barechat.simulator import Simulator
from holding import open_streams
from support import KEY, MODEL, ONCE

if TYPE_CHECKING:
    from support import Caller

needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork") or sys.platform == "darwin", reason="needs a fork that the system's libraries survive"
)


# Threads


def test_sixty_four_threads_share_one_client_and_its_totals_are_exact(simulator: Simulator) -> None:
    ready = threading.Barrier(64)

    def ask(number: int) -> list[Any]:
        ready.wait()  # all of them are first
        replies = []
        for turn in range(2):
            replies.append(client.chat(f"Question {number}.{turn}", model=MODEL))
            with client.stream(f"Question {number}.{turn}", model=MODEL) as stream:
                assert "".join(stream) == replies[-1].text
            replies.append(stream.reply)
        return replies

    with Client(KEY, simulator.url) as client, ThreadPoolExecutor(64) as pool:
        replies = [reply for replies in pool.map(ask, range(64)) for reply in replies]
        cost = client.cost
    assert len({reply.id for reply in replies}) == 64 * 2
    assert (cost.call_count, len(simulator.requests)) == (256, 256)
    assert cost.total_cost == sum(reply.cost.usd for reply in replies)
    assert cost.total_input_tokens == sum(reply.usage.prompt_tokens for reply in replies)
    assert cost.total_output_tokens == sum(reply.usage.completion_tokens for reply in replies)
    assert list(cost.by_certainty) == ["exact"]
    assert len({record["peer_port"] for record in simulator.requests}) <= 64


def test_a_client_that_other_threads_close_all_the_time_loses_no_call_that_it_finished(simulator: Simulator) -> None:
    over = threading.Event()

    def close() -> None:
        while not over.is_set():
            client.close()

    def ask(number: int) -> int:
        try:
            client.chat(f"Question {number}", model=MODEL, retry=ONCE)
        except BarechatError as error:
            assert str(error) == "the call was closed before its end"  # noqa: PT017 - whether it is raised is chance
            return 0
        return 1

    client = Client(KEY, simulator.url)
    closer = threading.Thread(target=close)
    closer.start()
    with ThreadPoolExecutor(8) as pool:
        finished = sum(pool.map(ask, range(100)))
    over.set()
    closer.join()
    client.close()
    assert client.cost.call_count >= finished  # and perhaps some that were ended
    assert client.chat("Hi", model=MODEL).text


# Processes


FORKED_WHILE_THREADS_CALL = """
import os, sys, threading
from barechat import Client

client = Client("a-key", sys.argv[1])
over = threading.Event()

def ask(side):
    return client.chat("Hello", model="gpt-4o-mini", headers={"X-Side": side}).text

def ask_on():
    while not over.is_set():
        ask("parent")

text = ask("parent")
threads = [threading.Thread(target=ask_on) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(5):
    child = os.fork()
    if child == 0:
        right = ask(f"child {number}") == text and ask(f"child {number}") == text
        client.close()
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert ask("parent") == text
over.set()
for thread in threads:
    thread.join()
"""


def run_python(code: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, *arguments], check=True, timeout=60)  # noqa: S603 - our own code


@needs_fork
def test_a_fork_in_the_midst_of_other_threads_calls_shares_no_connection_and_no_lock(simulator: Simulator) -> None:
    run_python(FORKED_WHILE_THREADS_CALL, simulator.url)
    ports: dict[str, set[int | None]] = {}
    for record in simulator.requests:
        ports.setdefault(record["headers"]["x-side"], set()).add(record["peer_port"])
    assert len(ports) == 6
    assert all(len(used) == 1 for side, used in ports.items() if side != "parent")  # and each is used again
    assert not ports.pop("parent") & set().union(*ports.values())


FORKED_WITH_AN_IDLE_LOOP = """
import asyncio, gc, os, sys
from barechat import AsyncClient

client = AsyncClient("a-key", sys.argv[1])

async def ask(side):
    return (await client.chat("Hello", model="gpt-4o-mini", headers={"X-Side": side})).text

async def ask_and_close(side):
    answer = await ask(side)
    await client.close()
    return answer

loop = asyncio.new_event_loop()
text = loop.run_until_complete(ask("parent"))
if (child := os.fork()) == 0:
    right = asyncio.run(ask_and_close("child")) == text
    del client
    gc.collect()
    os._exit(0 if right else 1)
assert os.waitpid(child, 0)[1] == 0
assert loop.run_until_complete(ask_and_close("parent")) == text
loop.close()
"""


@needs_fork
def test_a_child_leaves_its_parent_s_event_loop_and_connections_alone(simulator: Simulator) -> None:
    run_python(FORKED_WITH_AN_IDLE_LOOP, simulator.url)
    first, child, last = simulator.requests
    assert first["peer_port"] == last["peer_port"] != child["peer_port"]


FORKED_MID_STREAM = """
import asyncio, os, sys
from barechat import AsyncClient, BarechatError, Client

kind, url = sys.argv[1:]

def in_child(stream, step, close):
    heard = []
    stream.when_filed(heard.append)
    try:
        step()
        os._exit(2)
    except BarechatError as error:
        assert "forked" in str(error)
    close()
    os._exit(1 if heard else 0)

async def read():
    client = AsyncClient("a-key", url)
    stream = client.stream("Hello", model="gpt-4o-mini")
    text = await anext(stream)
    if (child := os.fork()) == 0:
        asyncio.events._set_running_loop(None)
        in_child(stream, lambda: asyncio.run(following(stream)), lambda: asyncio.run(stream.close()))
    assert os.waitpid(child, 0)[1] == 0
    async for more in stream:
        text += more
    assert text == (await client.chat("Hello", model="gpt-4o-mini")).text
    await client.close()

async def following(stream):
    return [text async for text in stream]

if kind == "asyncio":
    asyncio.run(read())
else:
    client = Client("a-key", url)
    stream = client.stream("Hello", model="gpt-4o-mini")
    text = next(stream)
    if (child := os.fork()) == 0:
        in_child(stream, lambda: list(stream), stream.close)
    assert os.waitpid(child, 0)[1] == 0
    text += "".join(stream)
    assert text == client.chat("Hello", model="gpt-4o-mini").text
"""


@needs_fork
def test_a_stream_goes_on_where_it_began_and_is_filed_there_alone(kind: str, simulator: Simulator) -> None:
    simulator.fail_next(stall_after=2, stall_s=0.2)
    run_python(FORKED_MID_STREAM, kind, simulator.url)
    assert [record["hung_up"] for record in simulator.requests] == [False, False]


# Event loops


def test_loops_that_ended_without_a_close_leave_nothing_open(simulator: Simulator) -> None:
    async def ask(client: AsyncClient) -> None:
        await client.chat("Hi", model=MODEL)
        streams.append(client.stream("Stay", model=MODEL))  # and is left open
        await anext(streams[-1])

    simulator.fail_next(3, stall_after=1, text="Stay")
    client = AsyncClient(KEY, simulator.url)
    streams: list[AsyncChatStream] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(3):
            asyncio.run(ask(client))
        assert [record["hung_up"] for record in simulator.wait_for(6)].count(True) == 3
        streams.clear()
        del client
        gc.collect()
    assert [str(warning.message) for warning in warned] == []


def test_a_loop_that_ends_leaves_no_connection_over_tls_open() -> None:
    async def ask(client: AsyncClient) -> None:
        await client.chat("Hi", model=MODEL)

    with Simulator(tls=True) as simulator:
        client = AsyncClient(KEY, simulator.url, verify=str(simulator.authority))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            asyncio.run(ask(client))
            asyncio.run(ask(client))
            del client
            gc.collect()
    assert [str(warning.message) for warning in warned] == []


def test_two_loops_at_once_stream_from_one_client_each_over_connections_of_its_own(simulator: Simulator) -> None:
    client = AsyncClient(KEY, simulator.url)
    both = threading.Barrier(2)
    texts: list[str] = []

    async def ask(side: str) -> None:
        for turn in range(5):
            await asyncio.to_thread(both.wait)
            async with client.stream(f"Question {turn}", model=MODEL, headers={"X-Side": side}) as stream:
                texts.append("".join([text async for text in stream]))
        await asyncio.to_thread(both.wait)
        await client.close()  # its own loop's connections alone
        if side == "0":
            await client.chat("Hi", model=MODEL, headers={"X-Side": side})
            await client.close()

    threads = [threading.Thread(target=lambda side=str(side): asyncio.run(ask(side))) for side in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(texts), len(set(texts))) == (10, 5)
    assert client.cost.call_count == 11
    ports = [{r["peer_port"] for r in simulator.requests if r["headers"]["x-side"] == side} for side in "01"]
    assert [len(used) for used in ports] == [2, 1]
    assert not ports[0] & ports[1]


def test_a_hundred_streams_are_open_at_once_and_end_together(simulator: Simulator) -> None:
    simulator.fail_next(100, stall_after=1)

    async def run() -> None:
        async with AsyncClient(KEY, simulator.url) as client:
            streams = await open_streams(client, 100)
            assert len({stream.partial.id for stream in streams if stream.partial}) == 100
        assert client.cost.call_count == 100
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())
    assert all(record["hung_up"] and record["chunks"] == 1 for record in simulator.wait_for(100))


def test_what_was_read_to_its_end_gives_its_connection_to_the_next_call(caller: Caller, simulator: Simulator) -> None:
    for _ in range(3):
        with caller.stream() as stream:
            list(stream)
        caller.chat()
    assert len({record["peer_port"] for record in simulator.requests}) == 1
