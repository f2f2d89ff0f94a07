"""What do two hundred clients of one program do to a server that is down? Real clients, real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from barechat import AsyncClient, BarechatError, Client, RetryPolicy
from support import KEY, MODEL, head, whole_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLIENTS = 200
CALLS_EACH = 5  # of each client, in each of two rounds: the first drains whatever budgets there are
MOST_REQUESTS_A_CALL = 1.2
SOON = RetryPolicy(base_s=0.02, cap_s=0.1)
DOWN = head("Content-Length: 0", status="503 Service Unavailable")
WHOLE = head(f"Content-Length: {len(whole_body())}") + whole_body()


@dataclass
class Service:
    """A server on loopback of which this share of answers is a 503; it runs on an event loop of its own."""

    failing: float
    requests: int = 0
    random: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - not for secrets

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
                length = next(line for line in lines if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                self.requests += 1
                writer.write(DOWN if self.random.random() < self.failing else WHOLE)
                await writer.drain()


@contextlib.contextmanager
def serving(service: Service) -> Iterator[str]:
    """Run a service in a thread; yield its base URL."""
    ready, port = threading.Event(), list[int]()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with await asyncio.start_server(service.answer, "127.0.0.1", 0, backlog=1024) as server:
            port.append(server.sockets[0].getsockname()[1])
            ready.set()
            with contextlib.suppress(asyncio.CancelledError):
                await server.serve_forever()

    thread = threading.Thread(target=loop.run_until_complete, args=[run()])
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{port[0]}/v1"
    finally:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
        thread.join()
        loop.close()


def ask_all(url: str, streamed: bool) -> list[int]:
    """Let blocking clients, a thread each, make their calls in two rounds; return how many requests each round was."""
    clients = [Client(KEY, url, retry=SOON) for _ in range(CLIENTS)]

    def ask(client: Client) -> int:
        try:
            if not streamed:
                return len(client.chat("Hi", model=MODEL).attempts)
            with client.stream("Hi", model=MODEL) as stream:
                list(stream)
            return len(stream.reply.attempts)
        except BarechatError as error:
            return len(error.attempts)

    def ask_often(client: Client) -> int:
        return sum(ask(client) for _ in range(CALLS_EACH))

    with ThreadPoolExecutor(CLIENTS) as pool:
        rounds = [sum(pool.map(ask_often, clients)) for _ in range(2)]
    for client in clients:
        client.close()
    return rounds


def ask_all_async(url: str, streamed: bool) -> list[int]:
    """As `ask_all`, a task each."""

    async def ask(client: AsyncClient) -> int:
        try:
            if not streamed:
                return len((await client.chat("Hi", model=MODEL)).attempts)
            async with client.stream("Hi", model=MODEL) as stream:
                async for _ in stream:
                    pass
            return len(stream.reply.attempts)
        except BarechatError as error:
            return len(error.attempts)

    async def ask_often(client: AsyncClient) -> int:
        return sum([await ask(client) for _ in range(CALLS_EACH)])

    async def run() -> list[int]:
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(AsyncClient(KEY, url, retry=SOON)) for _ in range(CLIENTS)]
            return [sum(await asyncio.gather(*map(ask_often, clients))) for _ in range(2)]

    return asyncio.run(run())


ASK_ALL: dict[str, Callable[[str, bool], list[int]]] = {"blocking": ask_all, "asyncio": ask_all_async}


def judge(rounds: list[int], what: str) -> None:
    """Print how many requests a call was, and hold the round after the budgets were drained to its bound."""
    calls = CLIENTS * CALLS_EACH
    first, then = (requests / calls for requests in rounds)
    print(f"\n{what}: {first:.3f} requests a call at first, then {then:.3f}")
    assert 1 <= then <= MOST_REQUESTS_A_CALL


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ASK_ALL)
@pytest.mark.parametrize("failing", [1.0, 0.5])
def test_a_server_that_is_down_or_half_down_isn_t_sent_more_than_it_is_asked(
    failing: float, kind: str, streamed: bool
) -> None:
    service = Service(failing)
    with serving(service) as url:
        rounds = ASK_ALL[kind](url, streamed)
    assert service.requests == sum(rounds)
    judge(rounds, f"{failing:.0%} are 503, {'streamed' if streamed else 'whole'}, {kind}")


@pytest.mark.parametrize("kind", ASK_ALL)
def test_nor_is_one_that_isn_t_there(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}/v1"
    judge(ASK_ALL[kind](url, False), f"nobody listens, {kind}")
