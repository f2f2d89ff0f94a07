"""What does each figure mean to a person who uses it? The rows of docs/speed.md, each with its sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OURS: Final = "barechat"
_HUNDRED: Final = 100
_TEN: Final = 10
_MILLION: Final = 1e6


def number(value: float) -> str:
    """Return a figure with the digits that mean something."""
    if value == round(value):
        return f"{value:,.0f}"
    if abs(value) >= _HUNDRED:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= _TEN else f"{value:.2f}"


@dataclass(frozen=True)
class Figures:
    """What was measured of one row: by candidate, barechat's ratio to the bare loop, and what was promised."""

    by: Mapping[str, float]
    ratio: Mapping[str, float] | None
    bounds: Sequence[Mapping[str, Any]]

    @property
    def ours(self) -> str:
        return number(self.by[OURS])

    @property
    def bare(self) -> str:
        return number(self.by["bare"])

    @property
    def openai(self) -> str:
        return number(self.by["openai"])

    def a_core(self, candidate: str) -> str:
        """Return how many there is room for in a second of one core, of a figure in microseconds."""
        return f"{_MILLION / self.by[candidate]:,.0f}"

    def seconds(self, candidate: str, many: int) -> str:
        """Return what so many of them take, of a figure in microseconds."""
        return f"{self.by[candidate] * many / _MILLION:.2f} s"


@dataclass(frozen=True)
class Line:
    """A row of a workload's results: its section, its name on the page, its unit there, and its sentence."""

    section: str
    workload: str
    row: str
    unit: str
    title: str
    short: str  # the unit, as the page spells it
    meaning: Callable[[Figures], str]


_START: Final = "CPU ms over bare Python"
_WALL: Final = "ms over bare Python"
_CALL: Final = "CPU us a call"
_TOKEN: Final = "CPU us a token"
_MEMORY: Final = "MiB over an idle process"
_PACED: Final = "1,000 async streams of 50 tokens, paced"
_FIRST: Final = f"{_PACED}: added to the first token"
_OPEN: Final = "open streams, a token a second"

# The sections, each with the chart that stands under its title.
SECTIONS: Final = {
    "Starting": "start.svg",
    "A call": "calls.svg",
    "A streamed token": "tokens.svg",
    "Over TLS": None,
    "Memory": "memory.svg",
    "Many open streams": "growth.svg",
    "The ledger": None,
    "On the disk": None,
}


def _calls_a_core(known: Figures) -> str:
    return (
        f"one core has room for {known.a_core(OURS)} calls a second; with openai's client for {known.a_core('openai')}."
    )


def _tokens_a_core(known: Figures) -> str:
    return (
        f"one core has room for {known.a_core(OURS)} tokens a second; with openai's client for "
        f"{known.a_core('openai')}."
    )


def _more(known: Figures) -> str:
    return f"{known.ours} MiB more than a Python that does nothing; the bare loop takes {known.bare}."


def _an_open_one(known: Figures) -> str:
    return f"{known.ours} for each, where the bare loop takes {known.bare}: that it stays the same is what scales."


LINES: Final = (
    Line(
        "Starting",
        "imports",
        "import",
        _START,
        "`import`",
        "ms CPU",
        lambda known: (
            f"a program that imports barechat and doesn't call starts {known.ours} ms later, not {known.openai}."
        ),
    ),
    Line(
        "Starting",
        "imports",
        "import and first client",
        _START,
        "`import` and a client",
        "ms CPU",
        lambda known: f"{known.ours} ms before a command or a cold function can ask; {known.openai} with openai's.",
    ),
    Line(
        "Starting",
        "imports",
        "import and first client",
        _WALL,
        "the same, by the clock",
        "ms",
        lambda known: f"what somebody waits for in front of a terminal: {known.ours} ms; {known.openai} with openai's.",
    ),
    Line(
        "Starting",
        "imports",
        "import and first async client",
        _START,
        "`import` and an async client",
        "ms CPU",
        lambda known: (
            f"{known.ours} ms before a server's worker can ask; {known.bare} ms go to importing aiohttp alone, and "
            f"{known.openai} with openai's."
        ),
    ),
    Line(
        "A call",
        "call",
        "one blocking call",
        _CALL,
        "one blocking call",
        "µs CPU",
        lambda known: (
            f"a thousand calls, one after another, take {known.seconds(OURS, 1000)} of CPU, and with openai's client "
            f"{known.seconds('openai', 1000)}. The rest is waiting for the server."
        ),
    ),
    Line("A call", "calls", "1 async call in flight", _CALL, "1 async call in flight", "µs CPU", _calls_a_core),
    Line("A call", "calls", "100 async calls in flight", _CALL, "100 async calls in flight", "µs CPU", _calls_a_core),
    Line(
        "A call", "calls", "1,000 async calls in flight", _CALL, "1,000 async calls in flight", "µs CPU", _calls_a_core
    ),
    Line(
        "A streamed token",
        "stream",
        "a blocking stream of 1,000 tokens, paced",
        _TOKEN,
        "blocking, one at a time",
        "µs CPU",
        lambda known: (
            f"an answer of 1,000 tokens, read as it is written, takes {known.seconds(OURS, 1000)} of CPU; most of it "
            f"is the kernel's, for waking up: the bare loop takes {known.seconds('bare', 1000)}."
        ),
    ),
    Line(
        "A streamed token",
        "stream",
        "a blocking stream of 1,000 tokens, burst",
        _TOKEN,
        "blocking, all at once",
        "µs CPU",
        lambda known: (
            f"an answer that comes in one piece, as from a cache or a proxy, is taken apart at {known.a_core(OURS)} "
            f"tokens a second; by openai's client at {known.a_core('openai')}."
        ),
    ),
    Line("A streamed token", "streams", _PACED, _TOKEN, "1,000 async streams, one at a time", "µs CPU", _tokens_a_core),
    Line(
        "A streamed token",
        "streams",
        "1,000 async streams of 50 tokens, burst",
        _TOKEN,
        "1,000 async streams, all at once",
        "µs CPU",
        _tokens_a_core,
    ),
    Line(
        "A streamed token",
        "streams",
        f"{_FIRST}, p50",
        "ms",
        "first token of 1,000 streams, median",
        "ms later",
        lambda known: f"with 1,000 streams open, half of the first tokens reach your code within {known.ours} ms.",
    ),
    Line(
        "A streamed token",
        "streams",
        f"{_FIRST}, p99",
        "ms",
        "first token of 1,000 streams, p99",
        "ms later",
        lambda known: (
            f"and 99 of 100 within {known.ours} ms; {known.bare} in the bare loop, {known.openai} with openai's."
        ),
    ),
    Line(
        "Over TLS",
        "tls",
        "one blocking call over TLS",
        _CALL,
        "one blocking call",
        "µs CPU",
        lambda known: f"over a kept connection, {known.seconds(OURS, 1000)} of CPU for a thousand calls.",
    ),
    Line(
        "Over TLS",
        "tls",
        "a blocking stream of 1,000 tokens, burst, over TLS",
        _TOKEN,
        "a token, blocking, all at once",
        "µs CPU",
        _tokens_a_core,
    ),
    Line(
        "Over TLS",
        "tls",
        "100 async calls in flight, over TLS",
        _CALL,
        "100 async calls in flight",
        "µs CPU",
        _calls_a_core,
    ),
    Line(
        "Over TLS",
        "tls",
        f"{_PACED}, over TLS",
        _TOKEN,
        "a token, 1,000 async streams, one at a time",
        "µs CPU",
        _tokens_a_core,
    ),
    Line("Memory", "call", "one blocking call: memory", _MEMORY, "one blocking client", "MiB", _more),
    Line("Memory", "calls", "1,000 async calls in flight: memory", _MEMORY, "1,000 async calls", "MiB", _more),
    Line("Memory", "streams", f"{_PACED}: memory", _MEMORY, "1,000 open streams", "MiB", _more),
    Line(
        "Memory",
        "tls",
        f"{_PACED}, over TLS: memory",
        _MEMORY,
        "1,000 open streams over TLS",
        "MiB",
        lambda known: f"{_more(known)} What asyncio keeps for each TLS connection is most of both.",
    ),
    *(
        Line("Many open streams", "growth", f"{many} {_OPEN}: each", unit, f"each of {many}", short, _an_open_one)
        for unit, short in (("CPU us a second", "µs CPU a second"), ("KiB", "KiB"))
        for many in ("100", "1,000", "5,000")
    ),
    Line(
        "The ledger",
        "ledger",
        "ledger, async, 1,000 in flight",
        "CPU us a call more",
        "with a ledger, 1,000 in flight",
        "µs CPU more",
        lambda known: f"keeping what each call cost, on the disk, takes {known.ours} µs of CPU a call.",
    ),
    Line(
        "The ledger",
        "ledger",
        "ledger and budget, async, 1,000 in flight",
        "CPU us a call more",
        "with a ledger and a budget, 1,000 in flight",
        "µs CPU more",
        lambda known: f"a budget that holds, on the disk before anything is sent, takes {known.ours} µs a call.",
    ),
    Line(
        "The ledger",
        "ledger",
        "ledger, blocking, 1 in flight",
        "CPU us a call more",
        "with a ledger, alone",
        "µs CPU more",
        lambda known: f"a call alone has a transaction of its own: {known.ours} µs.",
    ),
    Line(
        "The ledger",
        "ledger",
        "ledger and budget, blocking, 1 in flight",
        "CPU us a call more",
        "with a ledger and a budget, alone",
        "µs CPU more",
        lambda known: f"under a budget it has two, and waits for the first: {known.ours} µs.",
    ),
    Line(
        "On the disk",
        "install",
        "packages",
        "packages",
        "packages",
        "",
        lambda known: f"{known.by[OURS]:.0f} packages to trust and to keep up to date, itself included.",
    ),
    Line(
        "On the disk",
        "install",
        "size on the disk",
        "MiB",
        "size",
        "MiB",
        lambda known: f"{known.ours} MiB in an image or a cold function's package, before Python compiles it.",
    ),
)
