"""What a trace tells of a call: each request, answer, piece of a body and wait, with every secret masked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from barechat.errors import ProtocolBroken
from barechat.records import Record
from barechat.wire.encoding import Inflater
from barechat.wire.request import mask
from barechat.wire.secret import SHORTEST, begun, secrets_of, without, without_whole

_INFLATED_BYTES = 64 * 2**20

Kind = Literal["request", "head", "body", "wait", "end"]


class TraceEvent(Record, frozen=True, kw_only=True):
    """One thing that happened on the wire.

    kind: request (url, headers, body as handed to the transport), head (status, headers), body (bytes after
    de-chunking, before decompression), wait (delay_s, and the failed try's error in `text`) or end.
    at: seconds since the epoch. attempt: which try, from 1. client_request_id: that of the try, as on its `Attempt`; it
    tells apart what several calls at a time tell one function.
    """

    kind: Kind
    at: float
    attempt: int
    client_request_id: str = ""
    url: str = ""
    status: int = 0
    headers: Mapping[str, str] = {}
    body: bytes = b""
    delay_s: float = 0.0
    text: str = ""


Trace = Callable[[TraceEvent], None]


class Tracer:
    """Tell a trace function what happens in one call."""

    def __init__(self, trace: Trace, epoch: Callable[[], float], secrets: Iterable[str]) -> None:
        self._trace = trace
        self._epoch = epoch
        self._secrets = {secret for secret in secrets if len(secret) >= SHORTEST}
        self._attempt = 0
        self._client_request_id = ""
        self._body = _Body(self._secrets)

    def request(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Tell of a request; it begins an attempt. What it authenticates itself with is a secret from here on."""
        self._end_body()
        self._attempt += 1
        self._secrets |= secrets_of(headers)
        self._client_request_id = self._masked(headers.get("X-Client-Request-Id", ""))
        self._tell(
            "request", url=self._masked(url), headers=self._masked_headers(headers), body=self._masked_bytes(body)
        )

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Tell of an answer's status and headers."""
        self._body = _Body(self._secrets, headers.get("content-encoding", ""))
        self._tell("head", status=status, headers=self._masked_headers(headers))

    def body(self, data: bytes) -> None:
        """Tell of a piece of an answer's body; empty at its end."""
        if piece := self._body.feed(data):
            self._tell("body", body=piece)
        if not data:
            self._tell("end")

    def wait(self, delay_s: float, text: str) -> None:
        """Tell of a wait before the next try, and why."""
        self._end_body()
        self._tell("wait", delay_s=delay_s, text=self._masked(text))

    def _end_body(self) -> None:
        """Tell what is left of a body that was given up."""
        if piece := self._body.feed(b""):
            self._tell("body", body=piece)

    def _masked(self, text: str) -> str:
        return without(self._secrets, text) or ""

    def _masked_bytes(self, data: bytes) -> bytes:
        return self._masked(data.decode("latin-1")).encode("latin-1")

    def _masked_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {self._masked(name): self._masked(value) for name, value in mask(headers).items()}

    def _tell(self, kind: Kind, **facts: object) -> None:
        self._trace(
            TraceEvent(
                kind=kind,
                at=self._epoch(),
                attempt=self._attempt,
                client_request_id=self._client_request_id,
                **facts,  # type: ignore[arg-type]  # each kind's own
            )
        )


class _Body:
    """Mask an answer's body as it comes, whatever pieces a secret comes in.

    What may be the beginning of one is held back until more has come. A compressed body can't be changed within: where
    it echoes a secret, what would tell it is left out.
    """

    def __init__(self, secrets: set[str], encoding: str = "") -> None:
        self._secrets = secrets
        self._held = ""  # the end of what has come, as far as a secret may begin there
        self._packed = b""  # the pieces that hold it, where they are compressed
        self._echoes = False
        self._inflater: Inflater | None = None
        with contextlib.suppress(ProtocolBroken):  # nobody can read it, which the call says in its own error
            self._inflater = Inflater(encoding, max_bytes=_INFLATED_BYTES) if encoding else None

    def feed(self, data: bytes) -> bytes:
        """Return what can be told now that `data` has come; b"" is the end."""
        seen = self._held + self._inflated(data).decode("latin-1")
        text = without_whole(self._secrets, seen)
        cut = len(text) - (begun(self._secrets, text) if data else 0)
        told, self._held = without(self._secrets, text[:cut]) or "", text[cut:]
        if self._inflater is None:
            return told.encode("latin-1")
        self._echoes = self._echoes or told + self._held != seen
        self._packed += data
        if self._held:
            return b""
        packed, self._packed = self._packed, b""
        return b"***" if self._echoes and packed else packed

    def _inflated(self, data: bytes) -> bytes:
        if self._inflater is None:
            return data
        try:
            return self._inflater.feed(data)
        except ProtocolBroken:
            return b""  # nor can anybody read this


class Transcript:
    """A trace function that writes one call after the other as text, a line at a time, for a person to read.

    `> ` begins what is sent, `< ` what is received and `* ` what is said of it, with the seconds since the first event.
    Only LF ends a line of a body; what a terminal would act on or hide is spelt out.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._began: float | None = None
        self._line = b""  # of a body, as far as it has come

    def __call__(self, event: TraceEvent) -> None:
        """Write what happened."""
        if event.kind == "body":
            *lines, self._line = (self._line + event.body).split(b"\n")
            self._write_lines("< ", map(_text, lines))
            return
        self.end()
        if self._began is None:
            self._began = event.at
        after = f"{event.at - self._began:.3f} s"
        headers = [f"{name}: {value}" for name, value in event.headers.items()]
        if event.kind == "request":
            self._write_lines("* ", [f"{after}: attempt {event.attempt}"])
            self._write_lines("> ", [f"POST {event.url}", *headers, "", *map(_text, event.body.split(b"\n"))])
        elif event.kind == "head":
            self._write_lines("* ", [f"{after}: the answer"])
            self._write_lines("< ", [f"HTTP {event.status}", *headers, ""])
        elif event.kind == "wait":
            said = f"attempt {event.attempt} failed: {event.text}"
            self._write_lines("* ", [f"{after}: {said}", f"next try in {event.delay_s:.2f} s"])
        else:
            self._write_lines("* ", [f"{after}: end of the answer"])

    def end(self) -> None:
        """Write what has come of a line that is still to end."""
        line, self._line = self._line, b""
        if line:
            self._write_lines("< ", [_text(line)])

    def _write_lines(self, mark: str, lines: Iterable[str]) -> None:
        if text := "".join(f"{mark}{''.join(map(_spelt, line))}\n" for line in lines):
            self._write(text)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")


def _spelt(character: str) -> str:
    if character.isprintable() or character == "\t":
        return character
    return character.encode("unicode_escape").decode()
