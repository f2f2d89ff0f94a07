"""How far is a bulk run? Its counts, tokens and money, as it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barechat.bulk.results import BulkResult
    from barechat.errors import BarechatError
    from barechat.records import Cost


@dataclass
class Progress:
    """What has become of the requests so far.

    done, failed: answered, and ended by an error, in this run; bad: no requests at all, and nothing was sent.
    before: recorded by an earlier run. changed: recorded then with another body, and run anew.
    in_flight, waiting: under way, and waiting to be tried again. refused: how many attempts got a 429.
    picodollars: what all attempts cost or may have cost, of those whose price is known; unpriced counts the others.
    stopped: why the run ended before the requests did, if it has.
    """

    done: int = 0
    failed: int = 0
    bad: int = 0
    before: int = 0
    changed: int = 0
    in_flight: int = 0
    waiting: int = 0
    attempts: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    picodollars: int = 0
    unpriced: int = 0
    stopped: BarechatError | None = None

    @property
    def ended(self) -> int:
        """How many requests came to an end in this run."""
        return self.done + self.failed

    @property
    def is_unpriced(self) -> bool:
        """Whether nothing is known of what it costs."""
        return bool(self.unpriced and not self.picodollars)

    def spend(self, cost: Cost) -> None:
        """Count an attempt and its cost."""
        self.attempts += 1
        if cost.picodollars is None:
            self.unpriced += 1
        else:
            self.picodollars += cost.picodollars

    def end(self, result: BulkResult) -> None:
        """Count a request that has come to its end."""
        usage = None if result.reply is None else result.reply.usage
        if usage is not None:
            self.prompt_tokens += usage.prompt_tokens
            self.completion_tokens += usage.completion_tokens
        if result.reply is not None:
            self.done += 1
        else:
            self.failed += 1
