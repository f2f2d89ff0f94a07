"""What happens to one request? Read it, decide, deliver the answer, file the record."""

import asyncio
import contextlib
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from barechat.simulator.arrival import header_of, key_of, open_record, path_of, query_of, read_body
from barechat.simulator.decide import Call, Decision, Judge
from barechat.simulator.delivery import Delivery, HungUp
from barechat.simulator.journal import Journal, Record
from barechat.simulator.plan import plan
from barechat.simulator.reply import Reply
from barechat.simulator.request import Request, read_request

_HTTP_1_1: Final = (1, 1)


class _Sent(web.StreamResponse):
    """Tells aiohttp that the answer's bytes have been written already, and whether the connection lives on."""

    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        self._keep = keep

    @property
    def keep_alive(self) -> bool:
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002 - aiohttp's
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Write nothing."""


class Endpoint:
    """Handles requests as the judge decides.

    `clock` gives seconds since the epoch, and at most `slots` answers go out at a time.
    """

    def __init__(self, judge: Judge, journal: Journal, clock: Callable[[], float], slots: int | None = None) -> None:
        self.is_stopping = False
        self._judge = judge
        self._journal = journal
        self._clock = clock
        self._slots = None if slots is None else asyncio.Semaphore(slots)
        self._answering = 0
        self._carried: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer one request and file its record, however it ends."""
        filing = _Filing(self._journal, open_record(http, self._clock()))
        try:
            request = await self._read(http, filing.record)
            decision = self._decide(http, request, filing.record["attempt"])
            filing.decide(decision)
            async with self._turn(decision):
                delivery = filing.begin(http, decision)
                await delivery.perform(
                    plan(
                        decision.answer,
                        decision.fault,
                        decision.headers,
                        keep_alive=http.keep_alive,
                        chunks=(http.version.major, http.version.minor) >= _HTTP_1_1,
                    )
                )
            filing.end(hung_up=False)
        except (HungUp, ConnectionError):
            filing.end(hung_up=True)
            return _Sent(keep=False)
        except asyncio.CancelledError:
            # aiohttp cancels the handler as soon as the connection is lost, be it by the client or by our own end.
            filing.end(hung_up=not self.is_stopping)
            raise
        return _Sent(keep=http.keep_alive and not delivery.is_closing)

    @asynccontextmanager
    async def _turn(self, decision: Decision) -> AsyncIterator[None]:
        """Hold a slot, and what its limits count, while an answer of the API goes out."""
        is_reply = isinstance(decision.outcome, Reply)
        self._answering += is_reply
        try:
            async with self._slots if self._slots is not None and is_reply else contextlib.nullcontext():
                yield
        finally:
            self._answering -= is_reply
            if decision.admission is not None:
                self._judge.limits.release(decision.admission)

    async def _read(self, http: web.BaseRequest, record: Record) -> Request:
        try:
            raw = await read_body(http)
        except web.RequestPayloadError:
            raw = b""
        request = read_request(raw, path_of(http), key_of(http), reused=self._is_reused(http))
        record["model"] = request.model
        record["stream"] = request.stream
        record["attempt"] = self._judge.count(request)
        return request

    def _is_reused(self, http: web.BaseRequest) -> bool:
        """Say whether the request's connection has carried another before, and remember that it has carried this."""
        if http.transport is None or http.transport in self._carried:
            return http.transport is not None
        self._carried.add(http.transport)
        return False

    def _decide(self, http: web.BaseRequest, request: Request, attempt: int) -> Decision:
        call = Call(
            method=http.method,
            path=path_of(http),
            query=query_of(http),
            simulate=header_of(http, "x-simulate"),
            attempt=attempt,
            request=request,
        )
        return self._judge.decide(call, answering=self._answering, now=self._clock())


class _Filing:
    """A record in the making, completed from what was decided and what went out."""

    def __init__(self, journal: Journal, record: Record) -> None:
        self.record = record
        self._journal = journal
        self._began = time.monotonic()
        self._decision: Decision | None = None
        self._delivery: Delivery | None = None

    def decide(self, decision: Decision) -> None:
        """Note a decision."""
        self._decision = decision
        self.record["decision"] = decision.name

    def begin(self, http: web.BaseRequest, decision: Decision) -> Delivery:
        """Start a decision's delivery; raises HungUp when there is no connection any more."""
        if http.transport is None:
            raise HungUp
        drip_s = decision.fault.drip_s if decision.fault.drip else None
        self._delivery = Delivery(http.transport, http.writer.drain, drip_s=drip_s)
        return self._delivery

    def end(self, *, hung_up: bool) -> None:
        """Complete the record and file it; when the client is there, with the answer's last bytes."""
        self.record["hung_up"] = hung_up
        finish = None if hung_up or self._delivery is None else self._delivery.finish

        def complete() -> None:
            if finish is not None:
                finish()
            self.record["seconds"] = time.monotonic() - self._began
            if self._decision is not None and self._delivery is not None:
                self._note_sent(self._decision, self._delivery)

        self._journal.add(self.record, complete)

    def _note_sent(self, decision: Decision, delivery: Delivery) -> None:
        if not delivery.has_begun:
            return
        record = self.record
        record["status"] = decision.answer.status
        is_stream = decision.answer.is_stream
        if is_stream:
            record["chunks"] = delivery.contents
            record["finish_reason"] = delivery.finish_reason
        if isinstance(decision.outcome, Reply):
            record["usage"] = decision.outcome.usage(delivery.spoken if is_stream else None)
            if not is_stream:
                record["finish_reason"] = decision.outcome.choices[0].finish_reason
