"""What will requests that haven't been sent cost, and how long will they take? At most, and about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from barechat.money.bound import bound
from barechat.records import Usage

if TYPE_CHECKING:
    from barechat.bulk.requests import BulkRequest
    from barechat.money.prices import Prices

_BYTES_A_TOKEN = 4
REPLY_TOKENS = 250
"""What a reply is thought to take, unless its cap is lower: a paragraph or two."""


@dataclass
class Outlook:
    """A sum over requests: how many, their tokens, the most they can cost and about what they will, in picodollars.

    `unpriced` and `unbounded` count those whose price or bound isn't known; they are in no sum.
    """

    prices: Prices
    requests: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    bound_pd: int = 0
    expected_pd: int = 0
    unpriced: int = 0
    unbounded: int = 0

    def add(self, request: BulkRequest) -> None:
        """Count a request."""
        body, today = request.body, datetime.now(UTC).date()
        size, model = len(msgspec.json.encode(body)), str(body.get("model"))
        most = bound(body, size, model, self.prices, today)
        caps: list[Any] = [body.get(name) for name in ("max_completion_tokens", "max_tokens")]
        cap = next((cap for cap in caps if isinstance(cap, int)), REPLY_TOKENS)
        choices = body.get("n") if isinstance(body.get("n"), int) else 1
        prompt, reply = size // _BYTES_A_TOKEN, min(cap, REPLY_TOKENS) * (choices or 1)
        usage = Usage(prompt_tokens=prompt, completion_tokens=reply, total_tokens=prompt + reply)
        expected = self.prices.cost(usage, model, body.get("service_tier"), today)
        self.requests += 1
        self.prompt_tokens += prompt
        self.reply_tokens += reply
        self.bound_pd += most.picodollars or 0
        self.expected_pd += expected.picodollars or 0
        self.unpriced += expected.picodollars is None
        self.unbounded += most.picodollars is None

    def seconds(self, rpm: float | None, tpm: float | None) -> float | None:
        """Return how long they take at these limits; None without any."""
        times = [self.requests / rpm] if rpm else []
        times += [(self.prompt_tokens + self.reply_tokens) / tpm] if tpm else []
        return max(times) * 60 if times else None
