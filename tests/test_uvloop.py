"""The async client on another event loop than asyncio's own."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from barechat import AsyncClient, ConnectionFailed, DeadlineExceeded, RetryPolicy, Timeouts
from barechat.simulator import Simulator
from framings import self_signed
from support import KEY, MODEL, ByteServer, head

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "win32":
    pytest.skip("uvloop is for POSIX", allow_module_level=True)
import uvloop

ONCE = RetryPolicy(max_attempts=1)


@pytest.mark.parametrize("tls", [False, True])
def test_calls_and_streams_come_whole_and_those_that_are_left_close_their_connections(tls: bool) -> None:
    async def ask(url: str, verify: str | bool) -> None:
        async with AsyncClient(KEY, url, verify=verify) as client:
            whole = await client.chat("Hi", model=MODEL)
            async with client.stream("Hi", model=MODEL) as stream:
                assert "".join([text async for text in stream]) == whole.text
            async with client.stream("Hi", model=MODEL) as stream:
                await anext(stream)
            replies = await asyncio.gather(*(client.chat("Hi", model=MODEL) for _ in range(50)))
            assert {reply.text for reply in replies} == {whole.text}

    with Simulator(tls=tls) as simulator:
        uvloop.run(ask(simulator.url, str(simulator.authority) if tls else True))
        simulator.wait_for(53)


def test_a_name_that_nobody_knows_and_a_server_that_is_silent_are_told_as_on_any_loop(tmp_path: Path) -> None:
    async def fail(url: str, **options: Any) -> BaseException:
        async with AsyncClient(KEY, url, retry=ONCE, **options) as client:
            with pytest.raises((ConnectionFailed, DeadlineExceeded)) as caught:
                await client.chat("Hi", model=MODEL)
        return caught.value

    assert isinstance(uvloop.run(fail("https://nobody.invalid/v1")), ConnectionFailed)
    with ByteServer() as server:
        server.answer(head("Content-Length: 5"), b"{", closes=False)
        assert isinstance(uvloop.run(fail(server.url, timeouts=Timeouts(total_s=0.2))), DeadlineExceeded)
    with ByteServer(tls=self_signed(tmp_path)) as server:
        error = uvloop.run(fail(server.url))
        assert "certificate can't be verified" in str(error)
