"""A connection on an event loop by itself, over real sockets: what it holds, and whom it wakes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from barechat.steps import Deadline
from barechat.transport.async_connection import Connection
from barechat.transport.common import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[Connection, socket.socket]]:
    """Give a connection and the socket at its other end."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    connection = Connection(loop, memoryview(bytearray(PIECE_BYTES)))
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
