"""What a trace tells of a call: each request, answer, piece of a body and wait, with every secret masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from barechat.records import Record
from barechat.wire.request import mask
from barechat.wire.secret import SHORTEST, secrets_of


class TraceEvent(Record, frozen=True, kw_only=True):
    """One thing that happened on the wire.

    kind: request (url, headers, body as handed to the transport), head (status, headers), body (bytes after
    de-chunking, before decompression), wait (delay_s, and the failed try's error in `text`) or end.
    at: seconds since the epoch. attempt: which try, from 1.
    """

    kind: Literal["request", "head", "body", "wait", "end"]
    at: float
    attempt: int
    url: str = ""
    status: int = 0
    headers: Mapping[str, str] = {}
    body: bytes = b""
    delay_s: float = 0.0
    text: str = ""


Trace = Callable[[TraceEvent], None]


class Tracer:
    """Tell a trace function what happens in one call; without one, tell nobody."""

    def __init__(self, trace: Trace, epoch: Callable[[], float], key: str) -> None:
        self._trace = trace
        self._epoch = epoch
        self._secrets = {key} if len(key) >= SHORTEST else set[str]()
        self._held = b""  # the end of a body's last piece, as far as a secret might begin there
        self._attempt = 0

    def request(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Tell of a request; it begins an attempt. What it authenticates itself with is a secret from here on."""
        self._attempt += 1
        self._secrets |= secrets_of(headers)
        self._held = b""
        self._tell("request", url=url, headers=self._masked_headers(headers), body=self._masked(body))

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Tell of an answer's status and headers."""
        self._tell("head", status=status, headers=self._masked_headers(headers))

    def body(self, data: bytes) -> None:
        """Tell of a piece of an answer's body; empty at its end."""
        piece = self._masked(self._held + data)
        cut = len(piece) - (self._begun_secret(piece) if data else 0)
        piece, self._held = piece[:cut], piece[cut:]
        if piece:
            self._tell("body", body=piece)
        if not data:
            self._tell("end")

    def wait(self, delay_s: float, text: str) -> None:
        """Tell of a wait before the next try, and why."""
        self._tell("wait", delay_s=delay_s, text=self._masked(text.encode()).decode())

    def _masked(self, data: bytes) -> bytes:
        for secret in self._secrets:
            data = data.replace(secret.encode(), b"***")
        return data

    def _begun_secret(self, data: bytes) -> int:
        """Return how many of the last bytes may be the beginning of a secret whose rest is still to come."""
        sizes = (
            size
            for secret in map(str.encode, self._secrets)
            for size in range(min(len(secret) - 1, len(data)), 0, -1)
            if data.endswith(secret[:size])
        )
        return max(sizes, default=0)

    def _masked_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {name: self._masked(value.encode()).decode() for name, value in mask(headers).items()}

    def _tell(self, kind: Literal["request", "head", "body", "wait", "end"], **facts: object) -> None:
        self._trace(TraceEvent(kind=kind, at=self._epoch(), attempt=self._attempt, **facts))  # type: ignore[arg-type]


def as_text(event: TraceEvent) -> str:
    """Return an event as the lines that `barechat ask --wire` prints, each marked with its direction."""
    if event.kind == "request":
        lines = [f"POST {event.url}", *(f"{name}: {value}" for name, value in event.headers.items()), ""]
        return _marked("> ", [*lines, *_lines(event.body)])
    if event.kind == "head":
        return _marked("< ", [f"HTTP {event.status}", *(f"{n}: {v}" for n, v in event.headers.items()), ""])
    if event.kind == "body":
        return _marked("< ", _lines(event.body))
    if event.kind == "wait":
        return f"* attempt {event.attempt} failed: {event.text}\n* next try in {event.delay_s:.2f} s\n"
    return "* end of the answer\n"


def _lines(data: bytes) -> list[str]:
    """Return a body's lines, with what a terminal would act on or hide (escapes, a CR, U+2028) spelt out."""
    lines = data.decode("utf-8", "backslashreplace").split("\n")
    if not lines[-1]:
        lines.pop()
    return ["".join(map(_spelt, line)) for line in lines]


def _spelt(character: str) -> str:
    if character.isprintable() or character == "\t":
        return character
    return character.encode("unicode_escape").decode()


def _marked(mark: str, lines: list[str]) -> str:
    return "".join(f"{mark}{line}\n" for line in lines)
