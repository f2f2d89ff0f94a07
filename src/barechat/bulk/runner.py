"""How do a bulk run's requests get answered? One dispatcher starts each when the limits allow, a task each sees it end.

An attempt is a call of its own, with no retries in it. What failed and may be tried again goes back into the queue and
holds no place meanwhile; whether and when is `wire/retry.py`'s decision, as everywhere.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from barechat.base_client import SENSES
from barechat.bulk.limiter import MOST_CONCURRENT
from barechat.bulk.progress import Progress
from barechat.bulk.requests import BadLine, BulkRequest
from barechat.bulk.results import BulkResult, line_of
from barechat.bulk.source import Names, Source
from barechat.errors import (
    AuthenticationFailed,
    BarechatError,
    BudgetExceeded,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    Overloaded,
    ParameterError,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
)
from barechat.records import Cost
from barechat.streams import reply_of_ended
from barechat.wire import request as wire
from barechat.wire.retry import RetryPolicy, delay_s

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from barechat.async_client import AsyncClient
    from barechat.bulk.limiter import Limiter, Ticket
    from barechat.bulk.sink import Sink
    from barechat.bulk.source import Item
    from barechat.drive import AsyncDrive
    from barechat.records import Reply
    from barechat.settings import Timeouts

# Nobody waits at the screen, so a run outlasts what a call needn't; an outage it is the limiter's to slow down for.
PATIENT = RetryPolicy(max_attempts=8, max_server_delay_s=3600.0, retry_budget=None)

_UNTAKEN = 1000  # results that nobody has taken yet, until no more are started
_BETWEEN = 256  # requests passed over, until others on the loop have their turn
_BUDGET_WAIT_S = 0.1  # while another process holds the money, or our own is on its way back
_BYTES_A_TOKEN, _REPLY_TOKENS = 4.0, 16.0  # until something is learned
_ENDS_ALL = (AuthenticationFailed, ConfigurationError, QuotaExhausted)  # for the next request as for this one


@dataclass(frozen=True, kw_only=True)
class Policies:
    """What goes for every request."""

    timeouts: Timeouts | None = None
    retry: RetryPolicy = PATIENT
    tags: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None


@dataclass
class _Item:
    """A request on its way."""

    request: BulkRequest
    sealed: wire.Request
    tries: int = 0
    costs: list[Cost] = field(default_factory=list)


class Runner:
    """One run: requests in, results out; `stop` lets it finish what is under way, `cancel` doesn't."""

    def __init__(
        self,
        client: AsyncClient,
        items: Iterator[Item] | AsyncIterator[Item],
        limiter: Limiter,
        policies: Policies,
        sink: Sink | None,
    ) -> None:
        self.progress = Progress()
        self.names = Names()
        self.limiter = limiter
        self.results: deque[BulkResult] = deque()
        self.came = asyncio.Event()  # set when there are results
        self._client = client
        self._news = asyncio.Event()
        self._source = Source(items, self._news.set)
        self._sink = sink
        self._policies = policies
        self._once = replace(policies.retry, max_attempts=1, on_retry=None)
        self._ready: deque[_Item] = deque()
        self._later: list[tuple[float, int, _Item]] = []  # a heap, by when
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[bool]] = set()
        self._is_stopping = self._is_short = False
        self._fault: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop | None = None  # once it runs
        self._learned = [0.0, 0.0, 0.0, 0.0]  # body bytes and their tokens, replies and their tokens

    def stop(self, why: BarechatError | None = None) -> None:
        """Start no more, and finish what is under way."""
        self._is_stopping = True
        self.progress.stopped = self.progress.stopped or why
        self._news.set()

    def close(self) -> None:
        """Stop, since the client is being closed, and every call of it with it."""
        self.stop(BarechatError("the bulk run was closed before its end, with its client"))

    def wake(self) -> None:
        """Note that results have been taken."""
        self._news.set()

    async def run(self) -> None:
        """Run to the end of the requests, or until stopped."""
        self.loop = asyncio.get_running_loop()
        self._client._running.add(self)  # noqa: SLF001 - the runner is the client's own engine
        try:
            while not self._is_stopping:
                item = await self._next()
                if item is None and self._source.is_over and not (self._tasks or self._later):
                    break
                await self._start(item)
            while self._tasks:
                await self._wait(None)
        finally:
            self._client._running.discard(self)  # noqa: SLF001 - as above
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._fault is not None:
            raise self._fault

    def close_source(self) -> None:
        """Read no further ahead."""
        self._source.close()

    async def rest(self) -> AsyncIterator[Item]:
        """Yield what remains of the requests: those that were begun, and those that haven't come yet."""
        for item in [*self._ready, *(item for _, _, item in self._later)]:
            yield item.request
        while not self._source.is_over:
            self._news.clear()
            if (request := await self._unrecorded(is_wanted=lambda: True)) is not None:
                yield request
            elif not self._source.is_over:
                await self._news.wait()

    async def _start(self, item: _Item | None) -> None:
        """Start a request if it may be now, or wait for news."""
        now = SENSES.clock()
        wait: float | None
        if item is None:
            wait = self._later[0][0] - now if self._later else None
        elif (self._is_short and self._tasks) or len(self.results) >= _UNTAKEN:
            wait = None
        else:
            need = self._need(item.sealed)
            wait = self.limiter.wait_s(need, now)
            if wait == 0.0:
                self._ready.popleft()
                self._spawn(item, self.limiter.start(need, now))
                return
        await self._wait(wait)

    def _spawn(self, item: _Item, ticket: Ticket) -> None:
        task = asyncio.create_task(self._attempt(item, ticket))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        self.progress.in_flight = len(self._tasks)

    def _ended(self, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        self.progress.in_flight = len(self._tasks)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = fault
            self._is_stopping = True
        elif not task.cancelled() and task.result():
            self._is_short = False
        self._news.set()

    async def _wait(self, seconds: float | None) -> None:
        """Wait for news, or for so long."""
        self._news.clear()
        loop = asyncio.get_running_loop()
        timer = None if seconds is None else loop.call_later(max(seconds, 0.0), self._news.set)
        try:
            await self._news.wait()
        finally:
            if timer is not None:
                timer.cancel()

    # Where requests come from.

    async def _next(self) -> _Item | None:
        """Return the request that is to be started next, which stays in the queue; None if there is none now."""
        now = SENSES.clock()
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[2])
        self.progress.waiting = len(self._later)
        while not (self._ready or self._source.is_over or self._is_crowded()):
            request = await self._unrecorded(is_wanted=lambda: not self._is_stopping)
            if request is None:
                break
            if isinstance(request, BulkRequest):
                self._seal(request)
            else:
                self._refuse(request)
        return self._ready[0] if self._ready else None

    def _is_crowded(self) -> bool:
        """Say whether so much waits that no more is to be read."""
        return len(self._later) >= MOST_CONCURRENT or len(self.results) >= _UNTAKEN

    async def _unrecorded(self, is_wanted: Callable[[], bool]) -> Item | None:
        """Return the source's next request of which no earlier run has a line; None if there is none now."""
        while is_wanted() and (given := self._source.take()) is not None:
            item = self.names.checked(given)
            known = self._sink.key_of(item) if isinstance(item, BulkRequest) and self._sink is not None else None
            if known is not None and isinstance(item, BulkRequest):
                if known == item.key:
                    self.progress.before += 1
                    if self.progress.before % _BETWEEN == 0:
                        await asyncio.sleep(0)
                    continue
                self.progress.changed += 1
            return item
        return None

    def _seal(self, request: BulkRequest) -> None:
        try:
            endpoint, headers = self._client._endpoint, self._policies.headers  # noqa: SLF001 - as above
            sealed = wire.seal(endpoint, request.body, headers, streamed=False, is_plain=request.is_plain)
        except ParameterError as error:
            self._refuse(BadLine(line=request.line, custom_id=request.custom_id, error=error))
        else:
            self._ready.append(_Item(request, sealed))

    def _refuse(self, bad: BadLine) -> None:
        self.progress.bad += 1
        self._hand_on(BulkResult(custom_id=bad.custom_id, line=bad.line, error=bad.error))

    # What becomes of them.

    async def _attempt(self, item: _Item, ticket: Ticket) -> bool:
        """Make one attempt, and see to what comes of it; False if there was no money for it."""
        client, policies = self._client, self._policies
        call = client._call(item.sealed, policies.timeouts, self._once, policies.tags, is_filed_first=True)  # noqa: SLF001 - as above
        drive = client._drive(call)  # noqa: SLF001 - as above
        item.tries += 1
        was_alone = len(self._tasks) == 1
        try:
            while await drive.next() is not None:
                pass  # a server that streams unasked
            reply = reply_of_ended(drive)
        except BarechatError as error:
            if isinstance(error, BudgetExceeded):
                self._run_short(item, error, was_alone=was_alone)
                return False
            self._fail(item, ticket, drive, error)
        else:
            self._note_cost(item, drive)
            self.limiter.succeed(ticket, reply.rate_limits)
            self._learn(item.sealed, reply)
            self._record(item, reply=reply)
        finally:
            drive.close()
        return True

    def _note_cost(self, item: _Item, drive: AsyncDrive) -> None:
        item.costs.append(drive.receipt.cost)
        self.progress.spend(drive.receipt.cost)

    def _fail(self, item: _Item, ticket: Ticket, drive: AsyncDrive, error: BarechatError) -> None:
        """Have a failed request tried again, recorded, or everything stopped."""
        failure = drive.receipt.failure
        self._note_cost(item, drive)
        if failure is None or isinstance(error, _ENDS_ALL):  # without one, the client was closed
            self.limiter.drop()
            self._ready.appendleft(item)
            self.stop(error)
            return
        now = SENSES.clock()
        if isinstance(error, RateLimited):
            self.progress.refused += 1
            self.limiter.refuse(ticket, failure.limits, error.retry_after_s, now)
        elif isinstance(error, ServerFailed | ConnectionFailed | DeadlineExceeded):
            self.limiter.fail(ticket, now, is_overload=isinstance(error, Overloaded | DeadlineExceeded))
        else:
            self.limiter.drop()
        wait_s = delay_s(self._policies.retry, failure, item.tries, SENSES.uniform)
        if wait_s is None:
            self._record(item, error=error)
        else:
            heapq.heappush(self._later, (now + wait_s, next(self._numbers), item))

    def _run_short(self, item: _Item, error: BudgetExceeded, *, was_alone: bool) -> None:
        """Have a request wait for the money that running calls hold, or stop; it wasn't sent."""
        self.limiter.drop()
        item.tries -= 1
        if error.fits_later and was_alone:
            heapq.heappush(self._later, (SENSES.clock() + _BUDGET_WAIT_S, next(self._numbers), item))
            return
        self._ready.appendleft(item)
        self._is_short = True
        if not error.fits_later:
            self.stop(error)

    def _record(self, item: _Item, reply: Reply | None = None, error: BarechatError | None = None) -> None:
        request = item.request
        result = BulkResult(
            custom_id=request.custom_id,
            line=request.line,
            reply=reply,
            error=error,
            attempts=item.tries,
            cost=Cost.sum(item.costs),
        )
        if self._sink is not None:
            self._sink.write(request, line_of(request, result))
        self.progress.end(result)
        self._hand_on(result)

    def _hand_on(self, result: BulkResult) -> None:
        self.results.append(result)
        self.came.set()

    # How many tokens a request is likely to be counted at.

    def _need(self, request: wire.Request) -> float:
        size, tokens, replies, reply_tokens = self._learned
        prompt = len(request.body) * (tokens / size if size else 1 / _BYTES_A_TOKEN)
        caps: list[Any] = [request.payload.get(name) for name in ("max_completion_tokens", "max_tokens")]
        cap: float | None = next((cap for cap in caps if isinstance(cap, int)), None)
        if cap is None and not self.limiter.tokens.is_told and replies:
            cap = reply_tokens / replies
        return prompt + (_REPLY_TOKENS if cap is None else cap) * (request.n or 1)

    def _learn(self, request: wire.Request, reply: Reply) -> None:
        if reply.usage is not None:
            news = (len(request.body), reply.usage.prompt_tokens, 1, reply.usage.completion_tokens)
            self._learned = [one + more for one, more in zip(self._learned, news, strict=True)]
