"""What a call's story asks of the world: the steps between `exchange.py` and the loops of `drive.py`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from barechat.errors import Which  # noqa: TC001 - msgspec reads the annotations
from barechat.money.entry import Hold  # noqa: TC001 - likewise
from barechat.records import Attempt, Delta, Reply


class Deadline(msgspec.Struct, frozen=True):
    """A moment on the clock, and whose: after `after_s` seconds of `which`."""

    at: float
    which: Which
    after_s: float
    setting: str = ""  # where it isn't that of Timeouts


class Authorize(msgspec.Struct, frozen=True):
    """Ask the caller's token function anew. Answer: the token."""


class Reserve(msgspec.Struct, frozen=True):
    """File the most that an attempt can cost, and hold it of its budgets, before it is sent."""

    hold: Hold
    by: Deadline | None


class Send(msgspec.Struct, frozen=True):
    """Send a request and await its answer's head. Answer: a `Head`.

    Whoever performs it calls `leaving` just before the request may begin to leave. That raises a ConnectionFailed if
    the call has been closed meanwhile: it was counted as never sent, and so it must not be.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    connect_by: Deadline | None
    head_by: Deadline | None
    leaving: Callable[[], object] = lambda: None


class Head(msgspec.Struct, frozen=True):
    """An answer's status, and its headers under lower-case names."""

    status: int
    headers: Mapping[str, str]


class Read(msgspec.Struct, frozen=True):
    """Read more of the body. Answer: whatever bytes have come, or b"" at the body's end."""

    by: Deadline | None


class Emit(msgspec.Struct, frozen=True):
    """Hand deltas to the caller. Answered when the caller wants more."""

    deltas: list[Delta]


class Drain(msgspec.Struct, frozen=True):
    """Read the little that may follow an answer, so that its connection can be used again; or else close it."""


class Retry(msgspec.Struct, frozen=True):
    """Tell the caller, and the caller's `on_retry`, of a failed attempt that another one follows."""

    attempt: Attempt


class Wait(msgspec.Struct, frozen=True):
    """Wait before the next try."""

    delay_s: float


Tell = Callable[[Callable[[], object] | None], object]
"""Takes what wakes up whoever performs a step, should the call be closed meanwhile; None once there is nobody."""

Step = Authorize | Reserve | Send | Read | Emit | Drain | Retry | Wait
Story = Generator[Step, Any, Reply]


@dataclass(frozen=True, kw_only=True)
class Senses:
    """What the story may perceive: a steady clock and the time of day (both in seconds), noise, and new ids."""

    clock: Callable[[], float]
    epoch: Callable[[], float]
    uniform: Callable[[float, float], float]
    new_id: Callable[[], str]
