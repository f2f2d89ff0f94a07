"""What happens to one request? Read it, decide, deliver the answer, file the record."""

import asyncio
import email.utils
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from barechat.simulator.answers import Answer, Pace, api_headers, choose_answer
from barechat.simulator.delivery import Delivery, HungUp
from barechat.simulator.journal import Journal, Record, mask_headers, mask_key
from barechat.simulator.plan import plan
from barechat.simulator.refusals import Refusal, refuse, refuse_route
from barechat.simulator.request import Request, find_key, is_chat_path, read_request
from barechat.simulator.scenario import NO_FAULT, Fault, Scenario, ScenarioError
from barechat.simulator.script import Reply, compose

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


class _Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was made of a request: the fault that it met, the API's outcome, and the answer to send."""

    request: Request
    fault: Fault
    outcome: Reply | Refusal | None
    answer: Answer

    @property
    def name(self) -> str:
        """What the log calls it."""
        if isinstance(self.outcome, Refusal):
            return "refused"
        return self.fault.decision


class Endpoint:
    """Handles requests under a scenario; `clock` gives seconds since the epoch."""

    def __init__(self, scenario: Scenario, journal: Journal, clock: Callable[[], float]) -> None:
        self.is_stopping = False
        self._scenario = scenario
        self._journal = journal
        self._clock = clock
        self._attempts: Counter[bytes] = Counter()

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer one request and file its record, however it ends."""
        filing = _Filing(self._journal, self._open_record(http))
        try:
            request = await self._read(http, filing.record)
            decision = self._decide(http, request)
            delivery = filing.begin(http, decision)
            await delivery.perform(
                plan(
                    decision.answer,
                    decision.fault,
                    self._headers(decision, filing.record["attempt"]),
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

    def _open_record(self, http: web.BaseRequest) -> Record:
        peer = http.transport.get_extra_info("peername") if http.transport is not None else None
        return Record(
            arrived=self._clock(),
            seconds=0.0,
            method=http.method,
            path=_plain(http.raw_path),
            model=None,
            stream=False,
            attempt=0,
            client_request_id=_plain_header(http, "X-Client-Request-Id"),
            key=mask_key(_key(http)),
            headers=mask_headers((_plain(name), _plain(value)) for name, value in http.headers.items()),
            decision="incomplete request",
            status=None,
            finish_reason=None,
            chunks=0,
            usage=None,
            hung_up=False,
            peer_port=peer[1] if peer else None,
        )

    async def _read(self, http: web.BaseRequest, record: Record) -> Request:
        if http.headers.get("Expect", "").lower() == "100-continue":
            await http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            raw = await http.read()
        except web.RequestPayloadError:
            raw = b""
        request = read_request(raw, _path(http), _key(http))
        self._attempts[request.digest] += 1
        record["model"] = request.model
        record["stream"] = request.stream
        record["attempt"] = self._attempts[request.digest]
        return request

    def _decide(self, http: web.BaseRequest, request: Request) -> _Decision:
        fault = NO_FAULT
        outcome: Reply | Refusal | None = refuse_route(http.method, _path(http), is_chat=is_chat_path(_path(http)))
        if outcome is None:
            try:
                fault = self._scenario.match(request, _plain_header(http, "x-simulate"))
            except ScenarioError as error:
                outcome = Refusal(message=str(error), param="x-simulate", code="invalid_simulation")
        if outcome is None and not fault.answers_itself:
            outcome = refuse(request) or compose(
                request,
                seed=self._scenario.seed,
                created=int(self._clock()),
                scripted=fault.reply,
                length=fault.tokens,
            )
        pace = Pace(self._scenario.first_token_s, self._scenario.tokens_per_s).under(fault)
        answer = choose_answer(request, outcome, fault, pace)
        if http.method == "HEAD":
            answer = msgspec.structs.replace(answer, pieces=iter(()))
        return _Decision(request=request, fault=fault, outcome=outcome, answer=answer)

    def _headers(self, decision: _Decision, attempt: int) -> dict[str, str]:
        headers = {
            "date": email.utils.formatdate(self._clock(), usegmt=True),
            "server": "barechat-simulator",
            **api_headers(
                decision.request,
                seed=self._scenario.seed,
                attempt=attempt,
                processing_s=decision.answer.head_due_s,
            ),
        }
        if decision.answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["allow"] = "POST"
        return headers


class _Filing:
    """A record in the making, completed from what was decided and what went out."""

    def __init__(self, journal: Journal, record: Record) -> None:
        self.record = record
        self._journal = journal
        self._began = time.monotonic()
        self._decision: _Decision | None = None
        self._delivery: Delivery | None = None

    def begin(self, http: web.BaseRequest, decision: _Decision) -> Delivery:
        """Note a decision and start its delivery; raises HungUp when there is no connection any more."""
        self._decision = decision
        self.record["decision"] = decision.name
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

    def _note_sent(self, decision: _Decision, delivery: Delivery) -> None:
        if not delivery.has_begun:
            return
        record = self.record
        record["status"] = decision.answer.status
        is_stream = decision.answer.length is None
        if is_stream:
            record["chunks"] = delivery.contents
            record["finish_reason"] = delivery.finish_reason
        if isinstance(decision.outcome, Reply):
            record["usage"] = decision.outcome.usage(delivery.contents if is_stream else None)
            if not is_stream:
                record["finish_reason"] = decision.outcome.choices[0].finish_reason


def _path(http: web.BaseRequest) -> str:
    return _plain(http.raw_path.partition("?")[0])


def _key(http: web.BaseRequest) -> str | None:
    key = find_key(http.headers.get("Authorization"), http.headers.get("api-key"))
    return None if key is None else _plain(key)


def _plain_header(http: web.BaseRequest, name: str) -> str | None:
    value = http.headers.get(name)
    return None if value is None else _plain(value)


def _plain(text: str) -> str:
    """Return text that can be encoded: bytes that were no UTF-8, kept by aiohttp as surrogates, are spelt out."""
    return text.encode("utf-8", "backslashreplace").decode()
