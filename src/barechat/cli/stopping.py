"""How is a run stopped from outside? Ctrl-C once lets what is under way end; twice, or SIGTERM, ends it at once."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from barechat.bulk.run import AsyncBulkRun
    from barechat.cli.watching import Watch

_KILLED = 128  # and the signal's number: the shells' own convention


class Stopping:
    """Listens to the signals while it is entered, within the task that it is to cancel.

    code: the exit code of what has been heard; None if nothing has.
    """

    def __init__(self, run: AsyncBulkRun, watch: Watch) -> None:
        self.code: int | None = None
        self._run, self._watch = run, watch
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101 - it is entered within one

        def hear(number: int, _: object) -> None:
            is_polite = number == signal.SIGINT and self.code is None
            self.code = _KILLED + number
            loop.call_soon_threadsafe(self._stop if is_polite else task.cancel)

        self._before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self) -> None:
        self._run.stop()
        self._watch.note("finishing what is under way; Ctrl-C once more ends it at once", "yellow")
