"""What must hold of any bytes that a server may send: four targets, for Hypothesis here and for `make fuzz`.

Each takes bytes and returns nothing. What comes out of the wire's functions is a value or a BarechatError, and so is
nothing else: any other exception is a finding.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import msgspec

from barechat.errors import ApiError, BarechatError, ProtocolBroken
from barechat.wire.chunks import Fold
from barechat.wire.faults import api_error, read_error
from barechat.wire.limits import duration_s, rate_limits, server_delay_s
from barechat.wire.reply import read_whole, reply_of, verdict_of
from barechat.wire.sse import Decoder, Event
from folding import assert_deltas_are_the_reply
from sse_reference import reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from barechat.records import Delta

LONGEST = 4000  # characters that an error's sentence may have
NOW = 784111777.0
FIRST_STATUS = 299  # a first byte of 0 stands for it
HEADERS = ["retry-after", "retry-after-ms", "x-should-retry", "location", "x-request-id"]
HEADERS += [f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")]


def decoder(data: bytes) -> None:
    """Any bytes, in any pieces, are the standard's events, and then a fault or none."""
    sizes, stream = data[:1], data[1:]
    size = (sizes or b"\1")[0] or 1
    wanted = reference(stream)
    assert _decoded([stream]) == wanted
    assert _decoded(stream[at : at + size] for at in range(0, len(stream), size)) == wanted


def fold(data: bytes) -> None:
    """Any stream is an answer or an error of ours, and what was handed out is what is held."""
    events, _ = _decoded([data[1:]])
    whole, all_deltas = _folded([events])
    apart, deltas = _folded([event] for event in events)
    assert (deltas, str(apart.fault), apart.done) == (all_deltas, str(whole.fault), whole.done)
    raw = apart.raw()
    assert raw == whole.raw() == whole.raw()
    _sound_fault(whole.fault)
    _read(raw, ended=whole.done)
    assert_deltas_are_the_reply(deltas, whole)


def errors(data: bytes) -> None:
    """Any body under any status is an error with sound facts; under 200, a reply or an error."""
    status, body = FIRST_STATUS + (data or b"\0")[0], data[1:]
    _sound_fault(read_error(status, {}, body))
    try:
        raw = read_whole(body).raw
    except (ApiError, ProtocolBroken) as error:
        _sound_fault(error)
    else:
        _read(raw, ended=True)
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return
    _unchanged(value, lambda given: _sound_fault(api_error(status, given, body)))


def headers(data: bytes) -> None:
    """Any headers are numbers from 0, or None."""
    lines = data.decode("latin-1").split("\n")
    given = {HEADERS[position % len(HEADERS)]: line for position, line in enumerate(lines)}
    _unchanged(given, _read_headers)
    _sound_fault(read_error(302, given, b""))
    for line in lines:
        assert (duration_s(line) or 0) >= 0


TARGETS: dict[str, Callable[[bytes], None]] = {"decoder": decoder, "fold": fold, "errors": errors, "headers": headers}


def seeds(name: str) -> Iterator[bytes]:
    """Yield inputs of a target that others wrote, from data/vectors."""
    from vectors import cases, parts  # noqa: PLC0415 - the fuzzer's start needs no test data of other targets

    if name == "decoder":
        for case in cases("sse_framing"):
            yield b"\7" + b"".join(parts(case["chunks_b64"]))[:2000]
    elif name == "fold":
        for case in (*cases("chat_accumulate"), *cases("stream_semantics")):
            yield b"\7" + parts([case["wire_b64"]])[0][:4000]
    elif name == "errors":
        for case in cases("errors"):
            yield bytes([case["status"] - FIRST_STATUS]) + msgspec.json.encode(case["body"])
    else:
        for case in (*cases("ratelimit_headers"), *cases("retry")):
            named = {key.lower(): value for key, value in case["headers"].items()}
            yield "\n".join(named.get(header, "") for header in HEADERS).encode("latin-1", "replace")


def _decoded(pieces: Iterable[bytes]) -> tuple[list[Event], bool]:
    decoding, events = Decoder(), []
    try:
        for piece in pieces:
            events += decoding.feed(piece)
        decoding.close()
    except ProtocolBroken as error:
        _sound_fault(error)
        return events, True
    return events, False


def _folded(batches: Iterable[list[Event]]) -> tuple[Fold, list[Delta]]:
    folding, deltas = Fold(), []
    for batch in batches:
        deltas += folding.take(batch)
    return folding, deltas


def _read(raw: dict[str, Any], *, ended: bool) -> None:
    """A reply's object is read, or refused with an error of ours, and stays as it was."""

    def read(given: dict[str, Any]) -> None:
        try:
            reply = reply_of(given, verdict_of(given, None, ended=ended))
        except BarechatError as error:
            _sound_fault(error)
            return
        reply.text.encode()
        assert all(isinstance(choice.finish_reason, (str, type(None))) for choice in reply.choices)
        assert all(isinstance(choice.message.content, (str, type(None))) for choice in reply.choices)

    _unchanged(raw, read)


def _read_headers(given: dict[str, str]) -> None:
    limits = rate_limits(given)
    assert all((getattr(limits, field) or 0) >= 0 for field in limits.__struct_fields__)
    delay_s = server_delay_s(given, NOW)
    assert delay_s is None or delay_s > 0


def _sound_fault(error: BarechatError | None) -> None:
    if error is None:
        return
    str(error).encode()
    assert 0 < len(str(error)) < LONGEST
    assert len(error.body or b"") <= 2048
    for fact in (error.code, error.type, error.param):
        assert fact is None or (isinstance(fact, str) and 0 < len(fact) <= 200)


def _unchanged(value: Any, read: Callable[[Any], None]) -> None:
    before = copy.deepcopy(value)
    read(value)
    assert value == before or repr(value) == repr(before)
