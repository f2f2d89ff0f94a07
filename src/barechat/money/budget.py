"""What is a budget: how much may be spent, in which time, and by which calls.

Pure: the ledger keeps what has been spent of it. Amounts are whole picodollars. Floats are refused, since nobody can
tell which amount of money 0.1 is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Literal, get_args

from barechat.errors import ConfigurationError
from barechat.records import PICODOLLARS_PER_DOLLAR, dollars

if TYPE_CHECKING:
    from collections.abc import Mapping

Per = Literal["total", "day", "month"]

LARGEST_PD = 4 * 10**18
"""The largest amount of a budget: twice as much is still a whole number of 64 bits, as SQLite has them."""

_EXACT = Context(prec=60)
_PERIODS: dict[Per, str] = {"total": "", "day": "%Y-%m-%d", "month": "%Y-%m"}
_WORDS: dict[Per, str] = {"total": "in all", "day": "a day", "month": "a month"}


@dataclass(frozen=True, init=False)
class Budget:
    """An amount of money that calls may spend, and no picodollar more if the server honours the cap that it is sent.

    limit: dollars, as a string ("5.00"), an int or a Decimal, above 0 and up to 4,000,000.
    per: "total", "day" or "month"; days and months are UTC's, and each begins anew.
    tag: which calls draw on it: "name=value" for those with that tag, "value" (or "name") for those with any tag of
        that value (or name); None for all calls of the clients that carry it.
    wait: whether a call waits while running calls hold the room that it needs, in the order of asking within a
        process; else it is refused at once. The wait counts in `Timeouts.total_s`.

    Clients with the same ledger share a budget of the same tag and per, in all processes.

    Raises:
        ConfigurationError: no such amount, per or tag.
    """

    limit_pd: int
    per: Per
    tag: str | None
    wait: bool

    def __init__(
        self, limit: str | int | Decimal, per: Per = "total", tag: str | None = None, *, wait: bool = False
    ) -> None:
        if per not in get_args(Per):
            raise ConfigurationError(f"Budget: per must be one of {', '.join(get_args(Per))}, not {per!r}")
        if tag is not None and (not isinstance(tag, str) or not tag or not tag.isprintable()):
            raise ConfigurationError(f"Budget: tag must be a tag's value, or name=value, or None, not {tag!r}")
        object.__setattr__(self, "limit_pd", _picodollars(limit))
        object.__setattr__(self, "per", per)
        object.__setattr__(self, "tag", tag)
        object.__setattr__(self, "wait", bool(wait))

    @property
    def identity(self) -> tuple[str | None, Per]:
        """What tells this budget from others of a ledger, besides the day or month."""
        return self.tag, self.per

    def period(self, epoch_s: float) -> str:
        """Return the day ("2026-11-26"), month ("2026-11") or all of time ("") that a moment falls in, in UTC."""
        return datetime.fromtimestamp(epoch_s, UTC).strftime(_PERIODS[self.per])

    def covers(self, tags: Mapping[str, str]) -> bool:
        """Say whether a call with these tags draws on it."""
        if self.tag is None:
            return True
        name, equals, value = self.tag.partition("=")
        if equals and tags.get(name) == value:
            return True
        return self.tag in tags or self.tag in tags.values()

    def __str__(self) -> str:
        of = "" if self.tag is None else f" for {self.tag}"
        return f"the budget of {dollars(self.limit_pd)} {_WORDS[self.per]}{of}"


def _picodollars(limit: object) -> int:
    """Return a budget's amount."""
    wanted = "Budget: the limit must be dollars, above 0 and up to 4,000,000: a string like '5.00', an int or a Decimal"
    if isinstance(limit, bool) or not isinstance(limit, (str, int, Decimal)):
        raise ConfigurationError(f"{wanted}, not {limit!r}")
    try:
        amount = Decimal(limit.strip() if isinstance(limit, str) else limit)
        exact = _EXACT.multiply(amount, Decimal(PICODOLLARS_PER_DOLLAR))
    except (InvalidOperation, ValueError):
        raise ConfigurationError(f"{wanted}, not {limit!r}") from None
    if not exact.is_finite() or not 0 < exact <= LARGEST_PD:
        raise ConfigurationError(f"{wanted}, not {limit!r}")
    if exact != int(exact):
        raise ConfigurationError(f"Budget: {limit!r} is no whole number of picodollars (12 decimals)")
    return int(exact)
