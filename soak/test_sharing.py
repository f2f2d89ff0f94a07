"""What do five thousand open streams take, and do threads, forks and loops share a client by the hundred?"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from barechat import AsyncClient, BarechatError
from holding import open_streams
from support import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAMS = 5_000
SERVER = """
import resource
from barechat.simulator import Simulator

most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
Simulator({"fault": [{"stall_after": 1}]}).run(on_ready=lambda url: print(url, flush=True))
"""


@pytest.fixture
def stalling() -> Iterator[str]:
    """The URL of a simulator in a process of its own, whose streams stop after their first text."""
    command = [sys.executable, "-W", "ignore", "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


@contextlib.contextmanager
def many_files(count: int) -> Iterator[None]:
    """Let this process open so many files, or skip."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"the system lets a process open {hard} files, not {count}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the system's own account of memory")
def test_five_thousand_streams_are_open_at_once_and_end_together(
    stalling: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run() -> None:
        async with AsyncClient(KEY, stalling) as client:
            await (await open_streams(client, 10))[0].close()
            before, began = resident_bytes(), time.monotonic()
            streams = await open_streams(client, STREAMS)
            opened, held = time.monotonic(), resident_bytes() - before
            assert all(stream.partial for stream in streams)
        closed = time.monotonic()
        assert client.cost.call_count == STREAMS + 10
        assert len(asyncio.all_tasks()) == 1
        for stream in streams:
            with pytest.raises(BarechatError, match="closed before its end"):
                await anext(stream)
        with capsys.disabled():
            print(
                f"\n{STREAMS} streams open at once: {opened - began:.1f} s to open, {closed - opened:.1f} s to close, "
                f"{held / STREAMS / 1024:.0f} KiB each"
            )

    with many_files(STREAMS + 500):
        asyncio.run(run())
