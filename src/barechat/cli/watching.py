"""How is a bulk run watched? A progress bar on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from barechat.cli.wording import counted
from barechat.records import PICODOLLARS_PER_DOLLAR, dollars

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

    from barechat.bulk.progress import Progress
    from barechat.bulk.run import AsyncBulkRun
    from barechat.cli.terminal import Notes

_PLAIN_S, _BAR_S = 10.0, 0.25
_HOUR_S, _MINUTE_S = 3600, 60


class Watch:
    """What is shown of a run as it goes. `total` is how many requests there are, about; None if nobody knows."""

    def __init__(self, run: AsyncBulkRun, notes: Notes, total: int | None, *, is_quiet: bool) -> None:
        self.every_s = _BAR_S if notes.is_terminal else _PLAIN_S
        self._run, self._notes, self._total, self._is_quiet = run, notes, total, is_quiet
        self._began = time.monotonic()
        self._live: Live | None = None

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._began

    def show(self) -> None:
        """Show how far the run is."""
        if self._is_quiet:
            return
        if not self._notes.is_terminal:
            self._notes.line(self.line())
            return
        if self._live is None:
            self._begin()
        self._live.update(self._drawn(), refresh=True)  # type: ignore[union-attr]  # `_begin` made it

    def end(self) -> None:
        """Take the bar away."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def note(self, text: str, style: str) -> None:
        """Write a line that stays; the bar comes back below it."""
        self.end()
        self._notes.line(text, style)

    def line(self) -> str:
        """Return how far the run is, in a line."""
        progress, limiter = self._run.progress, self._run.runner.limiter
        seconds = max(self.seconds, 1e-3)
        rate, limit = progress.ended / seconds * _MINUTE_S, limiter.requests.a_minute
        parts = [
            f"{progress.done + progress.before:,} done",
            f"{progress.failed:,} failed" if progress.failed else "",
            f"{progress.in_flight} in flight",
            f"{rate:,.0f}/min" + (f" of {limit:,.0f}" if limit else ""),
            f"{progress.prompt_tokens + progress.completion_tokens:,} tokens",
            self._money(),
            self._time_left(seconds),
        ]
        return self._notes.dot.join(part for part in parts if part)

    def _money(self) -> str:
        progress = self._run.progress
        spent = progress.picodollars / PICODOLLARS_PER_DOLLAR
        if progress.is_unpriced:
            return "unpriced"
        if self._total is None or not progress.ended:
            return f"${spent:.4f}"
        in_all = spent / progress.ended * max(self._total - progress.before - progress.bad, progress.ended)
        return f"${spent:.4f} of about ${in_all:.4f}"

    def _time_left(self, seconds: float) -> str:
        progress = self._run.progress
        if self._total is None or not progress.ended:
            return ""
        left = max(self._total - progress.before - progress.bad - progress.ended, 0)
        return f"{duration(left / progress.ended * seconds)} left"

    def _begin(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
        from rich.live import Live  # noqa: PLC0415

        self._live = Live(console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True)
        self._live.start()

    def _drawn(self) -> Group:
        from rich.console import Group  # noqa: PLC0415 - as above
        from rich.padding import Padding  # noqa: PLC0415
        from rich.progress_bar import ProgressBar  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        progress = self._run.progress
        ended = progress.ended + progress.before + progress.bad
        bar = ProgressBar(self._total or None, ended, pulse=self._total is None)
        return Group(Padding(bar, 0), Text(self.line()))  # a bar by itself begins no new line, and hides what follows


def spent(progress: Progress) -> str:
    """Write what a run has cost: "$0.0123", "$0.0123 and 5 unpriced attempts", "unpriced"."""
    if progress.is_unpriced:
        return "unpriced"
    unpriced = f" and {counted(progress.unpriced, 'unpriced attempt')}" if progress.unpriced else ""
    return dollars(progress.picodollars) + unpriced


def duration(seconds: float) -> str:
    """Write a duration as a person would: "45 s", "12 min", "3 h 05 min"."""
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    minutes = round(seconds / _MINUTE_S)
    return f"{minutes} min" if minutes < 2 * _MINUTE_S else f"{minutes // 60} h {minutes % 60:02d} min"
