"""Async connections over real sockets: what they hold, whom they wake, and whose they are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from barechat import AsyncClient, ConnectionFailed
from barechat.steps import Deadline, Send
from barechat.transport.async_connection import Connection, PlainConnection
from barechat.transport.asynchronous import AsyncTransport
from barechat.transport.common import PIECE_BYTES
from framings import self_signed
from support import KEY, MODEL, ONCE, ByteServer, Sent, head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from barechat.simulator import Simulator

RUNNERS: list[Any] = [asyncio.run]
if sys.platform != "win32":
    import uvloop

    RUNNERS.append(uvloop.run)


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[Connection, socket.socket]]:
    """Give a connection and the socket at its other end."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    connection = PlainConnection(loop, memoryview(bytearray(PIECE_BYTES)))
    await loop.create_connection(lambda: connection, sock=ours)
    with theirs:
        yield connection, theirs
    connection.abort()
    await asyncio.sleep(0)


def test_what_nobody_takes_holds_the_other_side_up_and_all_of_it_comes_in_the_end() -> None:
    async def run() -> None:
        async with connected() as (connection, theirs):
            piece, sent, turns = bytes(range(256)) * 64, 0, 0
            while turns < 20:  # without anything that could be sent
                try:
                    sent += theirs.send(piece[sent % 256 :][: len(piece) - 256])
                    turns = 0
                except BlockingIOError:
                    turns += 1
                await asyncio.sleep(0)
            assert PIECE_BYTES < sent < 64 * PIECE_BYTES  # what we hold, and what both sides' kernel does
            theirs.shutdown(socket.SHUT_WR)
            come = bytearray()
            while data := await connection.receive(None):
                come += data
            assert bytes(come) == (bytes(range(256)) * (sent // 256 + 1))[:sent]
            assert await connection.receive(None) == b""

    asyncio.run(run())


def test_a_deadline_closes_it_and_is_told_and_one_that_moved_on_does_not() -> None:
    async def run() -> None:
        async with connected() as (connection, theirs):
            soon = Deadline(time.monotonic() + 0.5, "idle", 0.5)
            theirs.send(b"a")
            assert await connection.receive(soon) == b"a"
            waiting = asyncio.ensure_future(connection.receive(soon))
            await asyncio.sleep(0)
            theirs.send(b"b")
            assert await waiting == b"b"
            later = Deadline(soon.at + 0.05, "total", 0.55)
            with pytest.raises(ConnectionAbortedError):  # the first one's timer looks, and waits on
                await connection.receive(later)
            assert connection.expired is later
            assert time.monotonic() >= later.at

    asyncio.run(run())


def test_what_came_in_time_is_no_end_though_the_loop_hears_of_it_too_late() -> None:
    async def run() -> None:
        async with connected() as (connection, theirs):
            by = Deadline(time.monotonic() + 0.2, "idle", 0.2)
            waiting = asyncio.ensure_future(connection.receive(by))
            await asyncio.sleep(0)
            theirs.send(b"a")
            time.sleep(0.3)  # noqa: ASYNC251 - another task holds the loop up
            assert await waiting == b"a"
            theirs.send(b"b")
            assert await connection.receive(Deadline(time.monotonic() + 60, "idle", 60)) == b"b"

    asyncio.run(run())


@pytest.mark.parametrize("run", RUNNERS)
@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked", "X: 1"])
@pytest.mark.parametrize("turns", [0, 3])
def test_an_answer_over_tls_is_whole_however_soon_its_server_closes(
    turns: int, framing: str, run: Any, tmp_path: Path
) -> None:
    data = bytes(range(250)) * 4000
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if "chunked" in framing else data

    async def ask(url: str) -> None:
        transport = AsyncTransport(url, verify=str(tmp_path / "certificate.pem"))
        for _ in range(5):
            answer = await transport.send(Send(f"{url}/chat", {}, b"{}", None, None))
            come = b""
            while piece := await answer.read(None):
                come += piece
                for _ in range(turns):  # of a reader that is slower than its server
                    await asyncio.sleep(0)
            assert come == data
        await transport.close()

    with ByteServer([Sent([head("Connection: close", framing) + body])], tls=self_signed(tmp_path)) as server:
        run(ask(server.url))


def test_those_who_fail_at_once_have_each_their_own_cause() -> None:
    async def fail(client: AsyncClient) -> BaseException | None:
        with pytest.raises(ConnectionFailed) as caught:
            await client.chat("Hi", model=MODEL)
        return caught.value.__cause__

    async def run() -> None:
        async with AsyncClient(KEY, "https://nobody.invalid/v1", retry=ONCE) as client:
            causes = await asyncio.gather(*(fail(client) for _ in range(20)))
        assert len(set(map(id, causes))) == 20
        assert {type(cause) for cause in causes} == {socket.gaierror}

    asyncio.run(run())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_forked_child_that_goes_on_with_a_used_loop_is_told_to_run_another(simulator: Simulator) -> None:
    code = (
        "import asyncio, os, sys\n"
        "from barechat import AsyncClient, BarechatError\n"
        "client = AsyncClient('sk-key', sys.argv[1])\n"
        "ask = lambda: client.chat('Hi', model='gpt-4o-mini')\n"
        "loop = asyncio.new_event_loop()\n"
        "loop.run_until_complete(ask())\n"
        "if (child := os.fork()) == 0:\n"
        "    try: loop.run_until_complete(ask())\n"
        "    except BarechatError as error: print(error, flush=True)\n"
        "    async def other():\n"
        "        await ask(); await client.close()\n"
        "    asyncio.run(other())\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "loop.run_until_complete(ask())\n"
        "loop.run_until_complete(client.close())\n"
        "loop.close()\n"
    )
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code, simulator.url], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("this event loop has been used in the process that this one was forked from")
    assert done.stdout.count("\n") == 1
    assert [record["status"] for record in simulator.wait_for(3)] == [200] * 3


def test_those_who_connect_at_once_share_one_look_up_of_the_name() -> None:
    code = (
        "import asyncio, sys, contextlib\n"
        "from barechat import AsyncClient, ConnectionFailed, RetryPolicy\n"
        "asked = []\n"
        "def hear(event, args):\n"
        "    if event == 'socket.getaddrinfo' and args[0] == 'nobody.invalid': asked.append(args)\n"
        "sys.addaudithook(hear)\n"
        "async def ask(client):\n"
        "    with contextlib.suppress(ConnectionFailed): await client.chat('Hi', model='gpt-4o-mini')\n"
        "async def main():\n"
        "    policy = RetryPolicy(max_attempts=1)\n"
        "    async with AsyncClient('sk-key', 'https://nobody.invalid/v1', retry=policy) as client:\n"
        "        for _ in range(2): await asyncio.gather(*(ask(client) for _ in range(50)))\n"
        "asyncio.run(main())\n"
        "print(len(asked))\n"
    )
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "2\n"
