"""Does a bulk run use up a server's limits, without being refused? Beside it, what most scripts do.

Two minutes for each case, against a simulator that limits requests and tokens: its limit as it is, halved in mid-run,
and with another client that takes half of it. And how fast is a run without limits, beside a bare aiohttp loop?
"""

import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import aiohttp
import msgspec
from bench.results import Row, row
from bench.server import serve

from barechat import AsyncClient

_SECONDS: Final = 120.0
_RPM: Final = 3000
_TPM: Final = 400_000
_WINDOW: Final = 500
_FREE: Final = 10_000  # requests without limits
_WARM_UP: Final = 200
_KEY: Final = "sk-bench"
_REPLY: Final = {"small": 100, "large": 300}  # max_completion_tokens: which limit binds, requests or tokens
_BURST_S: Final = 2
_OK: Final = 200
_REFUSED: Final = 429


def measure(runs: int, _only: Sequence[str]) -> list[Row]:
    """Return shares of the binding limit, shares of 429s, and the throughput without limits."""
    rows = []
    for case in ("as it is", "tokens bind", "halved", "another takes half", "gather and sleep"):
        shares, refusals = zip(_limited(case), strict=True)
        rows += [row(case, "% of the limit", shares), row(case, "% answered 429", refusals)]
    free = [_free(turn) for turn in range(runs)]
    units = ("% of a bare loop's throughput", "requests/s of that", "its client's CPU s/s", "its server's CPU s/s")
    rows += [
        row("without limits, 500 in flight", unit, figures)
        for unit, figures in zip(units, zip(*free, strict=True), strict=True)
    ]
    return rows


def _scenario(case: str) -> str:
    limit = f"requests_per_min = {{rpm}}\ntokens_per_min = {{tpm}}\nburst_s = {_BURST_S}\nshared = true\n{{when}}"
    whole = "\n[[limit]]\n" + limit
    text = "first_token_s = 2.0\njitter = 0.5\n"
    if case != "halved":
        return text + whole.format(rpm=_RPM, tpm=_TPM, when="")
    turn = _SECONDS / 2
    text += whole.format(rpm=_RPM, tpm=_TPM, when=f"until_s = {turn}\n")
    return text + whole.format(rpm=_RPM / 2, tpm=_TPM / 2, when=f"from_s = {turn}\n")


def _limited(case: str) -> tuple[float, float]:
    """Return which share of the limit was served in time, and which share of the answers were 429s, in per cent."""
    size = _REPLY["large" if case == "tokens bind" else "small"]
    with tempfile.TemporaryDirectory() as folder:
        scenario, log = Path(folder, "limits.toml"), Path(folder, "log.jsonl")
        scenario.write_text(_scenario(case))
        with serve("--scenario", str(scenario), "--log", str(log)) as server:
            asyncio.run(_use(case, server.url, size, Path(folder, "out.jsonl")))
        records = [json.loads(line) for line in log.read_text().splitlines()]
    return _shares(case, records, size)


async def _use(case: str, url: str, size: int, output: Path) -> None:
    other = asyncio.create_task(_take(url, _RPM / 2)) if case == "another takes half" else None
    await (_sleeping(url, size) if case == "gather and sleep" else _bulk(url, size, output))
    if other is not None:
        other.cancel()
    await asyncio.sleep(4)  # what was under way comes to its end


def _shares(case: str, records: list[dict[str, Any]], size: int) -> tuple[float, float]:
    begun = min(record["arrived"] for record in records)
    records = [record for record in records if record["arrived"] < begun + _SECONDS]
    others: list[dict[str, Any]] = []
    if case == "another takes half":
        others = [record for record in records if not record["client_request_id"]]  # bare aiohttp sends none
        records = [record for record in records if record["client_request_id"]]
    served = [record for record in records if record["status"] == _OK]
    refused = [record for record in records if record["status"] == _REFUSED]
    minutes = _SECONDS / 60 * (0.75 if case == "halved" else 1.0)
    left = _RPM * minutes - sum(record["status"] == _OK for record in others)
    tokens = sum(record["usage"]["prompt_tokens"] + size for record in served) / (_TPM * minutes)
    share = tokens if case == "tokens bind" else len(served) / left
    return 100 * share, 100 * len(refused) / max(1, len(served) + len(refused))


def _bodies(size: int) -> Iterator[dict[str, Any]]:
    number = 0
    while True:
        number += 1
        text = f"Question {number}: how does the tide know when to turn?"
        yield {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": text}],
            "max_completion_tokens": size,
        }


async def _bulk(url: str, size: int, output: Path) -> None:
    async with AsyncClient(_KEY, url) as client:
        run = client.bulk(_bodies(size), output=output)
        ends = asyncio.get_running_loop().call_later(_SECONDS, run.stop)
        async for _ in run:
            pass
        ends.cancel()


async def _sleeping(url: str, size: int) -> None:
    """Do as most scripts do: gather a batch, sleep a second, and start what was refused again with the next."""
    ends = time.monotonic() + _SECONDS
    bodies, again = _bodies(size), list[dict[str, Any]]()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {_KEY}"}) as session:

        async def ask(body: dict[str, Any]) -> None:
            async with session.post(f"{url}/chat/completions", json=body) as answer:
                await answer.read()
                if answer.status == _REFUSED:
                    again.append(body)

        while time.monotonic() < ends:
            batch, again = [*again, *(next(bodies) for _ in range(_RPM // 20 - len(again)))], []
            await asyncio.gather(*(ask(body) for body in batch))
            await asyncio.sleep(1)


async def _take(url: str, rpm: float) -> None:
    """Take requests at an even rate, as another client of the same account."""
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer other"}) as session:
        bodies, loop = _bodies(1), asyncio.get_running_loop()

        async def ask() -> None:
            async with session.post(f"{url}/chat/completions", json=next(bodies)) as answer:
                await answer.read()

        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number in itertools.count(1):
                tasks.create_task(ask())
                await asyncio.sleep(began + number * 60 / rpm - loop.time())


class _Free(NamedTuple):
    """One run without limits: ours against a bare loop's, which had so much of the client's and the server's core."""

    percent: float
    bare_a_second: float
    client_cpu: float
    server_cpu: float


def _free(turn: int) -> _Free:
    """Time a run and a bare loop, both with 500 in flight and the output on disk, each first in every other turn."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder, "free.toml")
        scenario.write_text("first_token_s = 0.05\n[[limit]]\nrequests_per_min = 1e9\nheaders = false\n")
        with serve("--scenario", str(scenario)) as server:
            for work in (_bare, _unlimited):  # what is loaded when it is first needed is nobody's time
                asyncio.run(work(server.url, Path(folder, f"{work.__name__}.warm"), _WARM_UP))
            seconds: dict[Any, float] = {}
            client_cpu = server_cpu = 0.0
            for work in (_bare, _unlimited) if turn % 2 else (_unlimited, _bare):
                began, own, its = time.perf_counter(), time.process_time(), server.cpu_s() or 0.0
                asyncio.run(work(server.url, Path(folder, f"{work.__name__}.jsonl"), _FREE))
                seconds[work] = time.perf_counter() - began
                if work is _bare:
                    client_cpu, server_cpu = time.process_time() - own, (server.cpu_s() or 0.0) - its
    bare_s = seconds[_bare]
    return _Free(100 * bare_s / seconds[_unlimited], _FREE / bare_s, client_cpu / bare_s, server_cpu / bare_s)


async def _unlimited(url: str, output: Path, count: int) -> None:
    requests = itertools.islice(_bodies(100), count)
    async with AsyncClient(_KEY, url) as client:
        async for _ in client.bulk(requests, output=output, concurrency=_WINDOW):
            pass


async def _bare(url: str, output: Path, count: int) -> None:
    bodies = itertools.islice(_bodies(100), count)
    headers = {"Authorization": f"Bearer {_KEY}", "Content-Type": "application/json"}
    with output.open("ab", buffering=0) as file:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:
            await asyncio.gather(*(_ask_each(session, url, bodies, file) for _ in range(_WINDOW)))


async def _ask_each(
    session: aiohttp.ClientSession, url: str, bodies: Iterator[dict[str, Any]], file: IO[bytes]
) -> None:
    for body in bodies:
        async with session.post(f"{url}/chat/completions", data=msgspec.json.encode(body)) as answer:
            reply = msgspec.json.decode(await answer.read())
            file.write(msgspec.json.encode(reply) + b"\n")
