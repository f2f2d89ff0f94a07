"""One call's story, told once for both clients: send, read, wait, try again, settle.

The story is a generator. It yields plain steps (`Authorize`, `Reserve`, `Send`, `Read`, `Emit`, `Drain`, `Retry`,
`Wait`), which a loop in `drive.py` performs, and is sent plain answers; what goes wrong in a step is thrown into it as
a BarechatError. It does no I/O, and is given its clocks, its noise and its ids. It is one long file, since it is one
story.

Rules: it never yields in a `finally`; it keeps the receipt true at every yield, so that a loop may drop it at any time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from barechat.attempts import ANSWERED, Outcome, Try, entry_of
from barechat.errors import (
    ApiError,
    BadRequest,
    BarechatError,
    BudgetExceeded,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    ProtocolBroken,
    StreamTruncated,
)
from barechat.money.bound import bound
from barechat.money.entry import Hold
from barechat.money.estimate import estimated
from barechat.records import FREE, Cost, Reply, Usage
from barechat.steps import (
    Authorize,
    Deadline,
    Drain,
    Emit,
    Head,
    Read,
    Reserve,
    Retry,
    Send,
    Senses,
    Step,
    Story,
    Wait,
)
from barechat.wire.chunks import Fold
from barechat.wire.encoding import Inflater
from barechat.wire.faults import read_error
from barechat.wire.limits import rate_limits, server_delay_s
from barechat.wire.reply import delta_of, read_whole, reply_of, verdict_of
from barechat.wire.retry import Failure, delay_s, is_paid_by_server
from barechat.wire.secret import redact, secrets_of
from barechat.wire.sse import Decoder, starts_stream

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import date

    from barechat.errors import Which
    from barechat.receipt import Call, Origin, Receipt

_ERROR_BODY_BYTES = 64 * 1024  # more than any error needs
_ERROR_BODY_S = 5.0  # likewise: the time is better spent on the next try
_PIECE_BYTES = 64 * 1024  # one read may decompress to a thousand times as much, of events twenty times as large again
# A gateway that gave up waiting says nothing of what the server behind it did, or bills.
_STATUSES_OF_UNKNOWN_OUTCOME = frozenset({408, 499, 502, 504, 520, 522, 524})
_OK = range(200, 300)
_DAY_S = 86_400


def exchange(call: Call, receipt: Receipt, origin: Origin, senses: Senses) -> Story:
    """Tell the story of `call`; return its reply, with the receipt filled in.

    Raises:
        BarechatError: the call's last attempt failed; the error carries them all.
    """
    return _Exchange(call, receipt, origin, senses).tell()


class _Exchange:
    def __init__(self, call: Call, receipt: Receipt, origin: Origin, senses: Senses) -> None:
        self._call = call
        self._receipt = receipt
        self._origin = origin
        self._senses = senses
        self._request = call.request
        self._secrets: frozenset[str] = frozenset()  # what the last attempt authenticated itself with
        self._tries = 0
        self._failure: BarechatError | None = None  # the last attempt's
        self._total: Deadline | None = None

    def tell(self) -> Story:
        timeouts = self._call.timeouts
        total_s = timeouts.stream_total_s if self._request.streamed else timeouts.total_s
        if total_s is not None:
            self._total = Deadline(self._senses.clock() + total_s, "total", total_s)
        while True:
            self._tries += 1
            this = self._new_try()
            self._receipt.fold = self._receipt.whole = None
            try:
                answer = yield from self._attempt(this)
            except BarechatError as error:
                wait_s = self._after(this, error)
            except BaseException:
                self._file(this, Outcome("Interrupted"))
                raise
            else:
                self._file(this)
                self._origin.retry_budget.give()
                self._receipt.reply = reply = self._receipt.sign(answer)
                return reply
            if wait_s is not None:
                failed_at = self._senses.clock()
                yield Retry(self._receipt.attempts[-1])
                yield Wait(max(failed_at + wait_s - self._senses.clock(), 0.0))

    # One attempt, from its request to its answer.

    def _new_try(self) -> Try:
        senses, key = self._senses, self._senses.new_id()
        client_request_id = self._request.headers.get("X-Client-Request-Id") or key
        return Try(len(self._receipt.attempts) + 1, key, client_request_id, senses.clock(), senses.epoch())

    def _attempt(self, this: Try) -> Story:
        call, request = self._call, self._request
        token: str | None = (yield Authorize()) if call.endpoint.token is not None else None
        if call.budgets or call.is_filed_first:
            yield self._reserve(this)
        this.asked = now = self._senses.clock()
        total = self._total
        if total is not None and total.at <= now:  # a function of the caller's took long; the answer would be billed
            said = f"no time left to send the request within {total.after_s:g} s (Timeouts.total_s)"
            raise DeadlineExceeded(said, which="total", sent=False)
        timeouts = call.timeouts
        headers = {
            "X-Client-Request-Id": this.client_request_id,
            **call.endpoint.credentials(token),
            **request.headers,  # the caller's own have the last word
        }
        self._secrets = secrets_of(headers).union(self._origin.secrets)
        connect_by, head_by = self._soonest(now, "connect", timeouts.connect_s), self._first_byte_by(this)
        if connect_by is None or (head_by is not None and head_by.at < connect_by.at):
            connect_by = head_by
        head: Head = yield Send(request.url, headers, request.body, connect_by, head_by, this.leave)
        this.sent, this.status, this.headers = True, head.status, head.headers
        self._receipt.limits = rate_limits(head.headers)
        if head.status not in _OK:
            raise (yield from self._refusal(this, head))
        return (yield from self._answer(this, head))

    def _reserve(self, this: Try) -> Reserve:
        """Return the step that files the most that this attempt can cost, and holds it of the budgets, if any."""
        most, call, model = self._bound(), self._call, self._request.model
        if call.budgets and most.picodollars is None:
            raise ConfigurationError(
                f"what a call of {model} may cost can't be bounded, and a budget is set: the model has no price (see "
                "price_as and Prices.load), or the request asks for something without one, such as web search. "
                "Nothing was sent."
            )
        this.is_held = bool(call.budgets)
        hold = Hold(
            key=this.key,
            at=this.at,
            model=model,
            picodollars=most.picodollars,
            budgets=call.budgets,
            tags=dict(call.tags),
        )
        return Reserve(hold, self._total)

    def _refusal(self, this: Try, head: Head) -> Generator[Step, Any, ApiError]:
        """Read a failed answer's body, as far as it comes, and return its error."""
        body, by = b"", self._idle_by(this)
        enough = self._senses.clock() + _ERROR_BODY_S
        if by is None or by.at > enough:
            by = Deadline(enough, "idle", _ERROR_BODY_S)
        try:
            inflater = Inflater(head.headers.get("content-encoding", ""), max_bytes=self._call.caps.body_bytes)
            while len(body) < _ERROR_BODY_BYTES:
                data = yield Read(by)
                if not data:
                    break
                body += inflater.feed(data)
        except (ConnectionFailed, DeadlineExceeded, ProtocolBroken):
            pass  # the status is the news; a body that breaks off takes nothing from it
        if head.status not in _STATUSES_OF_UNKNOWN_OUTCOME:
            this.cost = FREE
        return read_error(head.status, head.headers, body)

    def _answer(self, this: Try, head: Head) -> Story:
        """Read an answer's body: a stream or a whole reply, whichever it turns out to be."""
        inflater = Inflater(head.headers.get("content-encoding", ""), max_bytes=self._call.caps.body_bytes)
        beginning, is_stream, by = b"", None, self._first_byte_by(this)
        while is_stream is None:
            data = yield Read(by)
            if this.first_byte is None:
                this.first_byte = self._senses.clock()
            beginning += inflater.feed(data)
            is_stream = starts_stream(head.headers.get("content-type", ""), beginning, ended=not data)
        if is_stream:
            return (yield from self._stream(this, inflater, beginning))
        return (yield from self._whole(this, inflater, beginning))

    def _whole(self, this: Try, inflater: Inflater, beginning: bytes) -> Story:
        pieces: list[bytes] = []
        size, piece = 0, beginning
        while True:
            pieces.append(piece)
            size += len(piece)
            if size > self._call.caps.body_bytes:
                raise ProtocolBroken(f"the reply's body is longer than {self._call.caps.body_bytes} bytes")
            data = yield Read(self._idle_by(this))
            if not data:
                break
            piece = inflater.feed(data)
        try:
            reply = read_whole(b"".join(pieces))
        except ApiError:
            this.cost = FREE
            raise
        self._receipt.whole = reply.raw
        self._meter(this, reply)
        reply = msgspec.structs.replace(reply, verdict=verdict_of(reply.raw, self._request.n, ended=True))
        if reply.verdict != "unknown":
            self._estimate(this, reply)
        if self._request.streamed:
            emitted = self._senses.clock()
            yield Emit([delta_of(choice) for choice in reply.choices])
            self._pause(this, self._senses.clock() - emitted)
        return reply

    def _stream(self, this: Try, inflater: Inflater, beginning: bytes) -> Story:
        fold = self._receipt.fold = Fold(self._request.n, max_bytes=self._call.caps.body_bytes)
        broken: BarechatError | None = None
        try:
            yield from self._events(this, inflater, beginning, fold)
        except (ConnectionFailed, DeadlineExceeded) as error:
            broken = error  # the answer may be whole all the same
        raw = fold.raw()
        try:
            verdict = verdict_of(raw, self._request.n, ended=fold.done and fold.begun)
        except StreamTruncated as truncated:
            if isinstance(broken, DeadlineExceeded):
                raise broken from None
            raise truncated from broken
        reply = reply_of(raw, verdict)
        self._meter(this, reply)
        if fold.done and verdict != "unknown":
            self._estimate(this, reply)
        if fold.done:
            yield Drain()
        return reply

    def _events(self, this: Try, inflater: Inflater, beginning: bytes, fold: Fold) -> Generator[Step, Any, None]:
        """Read a stream's events into `fold`, handing on what they bring, to [DONE] or the body's end."""
        caps, clock = self._call.caps, self._senses.clock
        decoder = Decoder(max_line_bytes=caps.line_bytes, max_event_bytes=caps.body_bytes)
        data, read = beginning, Read(self._idle_by(this))
        while True:
            for start in range(0, len(data), _PIECE_BYTES):
                events = decoder.feed(data[start : start + _PIECE_BYTES])
                if not events:
                    continue
                deltas = fold.take(events)
                if deltas:
                    emitted = clock()
                    yield Emit(deltas)
                    self._pause(this, clock() - emitted)
                fault = fold.fault or (None if fold.done else decoder.fault)
                if fault is not None:
                    raise fault
                if fold.done:
                    return
                read = Read(self._idle_by(this))
            data = yield read
            if not data:
                return
            data = inflater.feed(data)

    def _pause(self, this: Try, took_s: float) -> None:
        """Take out the time that the caller took for what was emitted: it counts towards no deadline."""
        this.paused += took_s
        if self._total is not None:
            self._total = Deadline(self._total.at + took_s, "total", self._total.after_s)

    # Deadlines: the earlier of the step's own and the call's.

    def _soonest(self, start: float, which: Which, after_s: float | None, setting: str = "") -> Deadline | None:
        total = self._total
        if after_s is None or (total is not None and total.at <= start + after_s):
            return total
        return Deadline(start + after_s, which, after_s, setting)

    def _first_byte_by(self, this: Try) -> Deadline | None:
        if self._request.streamed:
            return self._soonest(this.asked, "first_byte", self._call.timeouts.first_byte_s)
        return self._soonest(this.asked, "first_byte", self._call.policy.attempt_s, "RetryPolicy.attempt_s")

    def _idle_by(self, this: Try) -> Deadline | None:
        if not self._request.streamed:
            return self._first_byte_by(this)
        return self._soonest(self._senses.clock(), "idle", self._call.timeouts.idle_s)

    # What an attempt comes to.

    def _meter(self, this: Try, reply: Reply) -> None:
        """Set the attempt's cost from the server's own count, where it gave one."""
        this.raw = reply.raw
        if reply.usage is not None:
            request = self._request
            self._origin.ratios.learn(request.payload, len(request.body), request.model, reply)
            this.cost = self._priced(reply.usage, reply)

    def _estimate(self, this: Try, reply: Reply) -> None:
        """Set the cost of an answer that came whole, and that the server didn't count."""
        if this.cost is not None:
            return
        request = self._request
        usage = self._origin.ratios.usage(request.payload, len(request.body), request.model, reply)
        if usage is not None:
            this.cost = estimated(self._priced(usage, reply), self._bound())

    def _priced(self, usage: Usage, reply: Reply) -> Cost:
        """Return what so many tokens of a reply cost, by what served it."""
        payload, prices = self._request.payload, self._call.prices
        tier, options = (
            reply.raw.get("service_tier") or payload.get("service_tier"),
            payload.get("prompt_cache_options"),
        )
        return prices.cost(
            usage,
            prices.billed_as(self._request.model, reply.model),
            None if tier is None else str(tier),
            self._today(),
            cache_ttl=options.get("ttl") if isinstance(options, dict) else None,
        )

    def _after(self, this: Try, error: BarechatError) -> float | None:
        """File a failed attempt; return the wait before the next one, if any, or raise the error if none follows."""
        if isinstance(error, (ConnectionFailed, DeadlineExceeded)):
            if error.sent is None and this.sent:
                error.sent = True
            this.sent = error.sent
        if isinstance(error, BudgetExceeded):  # it was no attempt: nothing was tried
            self._dress(error)
            raise error from self._failure
        error.retry_after_s = server_delay_s(this.headers, self._senses.epoch())
        fold = self._receipt.fold
        failure = Failure(error, this.headers, self._receipt.limits, output_begun=fold is not None and fold.begun)
        self._receipt.failure = failure
        asks_again = self._takes_usage_option_back(failure)
        wait_s = 0.0 if asks_again else self._delay_s(failure)
        self._file(this, Outcome(type(error).__name__, str(error), error.code, wait_s))
        self._failure = error
        if wait_s is None:
            self._dress(error)
            raise error
        return None if asks_again else wait_s

    def _takes_usage_option_back(self, failure: Failure) -> bool:
        """Say whether the server refused the stream_options that we had added; such a try isn't counted."""
        if failure.output_begun or not self._request.asks_usage or not _refuses_usage_option(failure.error):
            return False
        self._request = self._request.without_usage()
        self._origin.refuses_usage_option = True
        self._tries -= 1
        return True

    def _delay_s(self, failure: Failure) -> float | None:
        wait_s = delay_s(self._call.policy, failure, self._tries, self._senses.uniform)
        if wait_s is None or (self._total is not None and self._senses.clock() + wait_s >= self._total.at):
            return None
        if is_paid_by_server(failure) or self._origin.retry_budget.take(self._call.policy.retry_budget):
            return wait_s
        return None

    def _dress(self, error: BarechatError) -> None:
        """Put what the call knows on the error that ends it, and take the key out of what the server said."""
        receipt = self._receipt
        error.attempts = tuple(receipt.attempts)
        error.cost = receipt.cost
        if receipt.attempts:
            last = receipt.attempts[-1]
            error.request_id = last.request_id
            error.status = last.status if error.status is None else error.status
        error.partial = receipt.partial()
        redact(error, self._secrets)

    def _file(self, this: Try, outcome: Outcome = ANSWERED) -> None:
        """Add the attempt to the receipt, at what it cost or, where that isn't known, at the most that it can have."""
        cost = this.cost
        if cost is None:
            cost = FREE if this.sent is False else self._bound()
        attempt = this.end(outcome, cost, self._senses.clock(), self._secrets)
        self._receipt.attempts.append(attempt)
        if self._call.is_filed:
            self._receipt.unfiled.append(entry_of(this, attempt, self._call, self._request))

    def _bound(self) -> Cost:
        request = self._request
        return bound(request.payload, len(request.body), request.model, self._call.prices, self._today())

    def _today(self) -> date:
        return _day(int(self._senses.epoch() // _DAY_S))


@lru_cache(4)  # all of a day's calls ask for the same
def _day(number: int) -> date:
    return datetime.fromtimestamp(number * _DAY_S, UTC).date()


def _refuses_usage_option(error: BarechatError) -> bool:
    said = f"{error.param} {error}"
    return isinstance(error, BadRequest) and ("stream_options" in said or "include_usage" in said)
