"""What a ledger tells: what was spent, by what; how its budgets stand; each attempt; and whether it all adds up.

Readers have connections of their own, and neither wait for the writer nor hold it up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, get_args

import msgspec

from barechat.errors import ParameterError
from barechat.ledger.owners import is_dead
from barechat.money.budget import Budget, Per
from barechat.records import UNPRICED, Certainty, Cost, Record

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator

By = Literal["model", "day", "tag", "session"]

_GROUPS: dict[str, str] = {
    "model": "FROM (SELECT *, coalesce(nullif(served, ''), model) AS name FROM attempts)",
    "day": "FROM (SELECT *, date(at, 'unixepoch') AS name FROM attempts)",
    "session": "FROM (SELECT *, coalesce(session, '') AS name FROM attempts)",
    "tag": "FROM (SELECT a.*, coalesce(t.key || '=' || t.value, '') AS name"
    " FROM attempts a LEFT JOIN json_each(a.tags) t ON true)",
}
PAGE = 5000
_PART = 10**6  # sums are taken in two parts, since SQLite's may not pass 64 bits


class Spending(Record, frozen=True, kw_only=True):
    """What one model, day, tag ("name=value") or session has cost; `name` is "" for attempts that have none.

    attempts: how many were filed; answered: how many of them brought a reply; unpriced: how many have no price.
    by_certainty_pd: picodollars. What is held by running calls is among the bounds.
    """

    name: str
    attempts: int = 0
    answered: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    by_certainty_pd: dict[Certainty, int] = msgspec.field(default_factory=dict)

    @property
    def cost(self) -> Cost:
        """All that is priced, as sure as the least sure of it; unpriced if nothing else is known to have cost any."""
        if self.unpriced and not any(self.by_certainty_pd.values()):
            return UNPRICED
        return Cost.sum(Cost(picodollars=spent, certainty=sure) for sure, spent in self.by_certainty_pd.items())

    def plus(self, other: Spending) -> Spending:
        """Return both together, under this one's name."""
        by_certainty_pd = dict(self.by_certainty_pd)
        for certainty, spent in other.by_certainty_pd.items():
            by_certainty_pd[certainty] = by_certainty_pd.get(certainty, 0) + spent
        return Spending(
            name=self.name,
            attempts=self.attempts + other.attempts,
            answered=self.answered + other.answered,
            unpriced=self.unpriced + other.unpriced,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            by_certainty_pd=by_certainty_pd,
        )


class Abandoned(NamedTuple):
    """How many attempts nobody will settle, the picodollars that they hold, and how many of them have no price."""

    attempts: int
    picodollars: int
    unpriced: int

    @classmethod
    def of(cls, held: Collection[int | None]) -> Self:
        """Count what each holds."""
        return cls(len(held), sum(amount or 0 for amount in held), sum(amount is None for amount in held))


class BudgetState(Record, frozen=True, kw_only=True):
    """How a budget stands in one day, month or all of time; picodollars.

    held_pd: by running calls, and by those whose outcome nobody knows (kept_pd of it).
    """

    tag: str | None
    per: Per
    period: str
    limit_pd: int
    spent_pd: int
    held_pd: int
    kept_pd: int
    is_closed: bool

    @property
    def budget(self) -> Budget:
        """The budget itself."""
        return Budget(Cost(picodollars=self.limit_pd, certainty="exact").usd or 0, self.per, self.tag)

    @property
    def left_pd(self) -> int:
        """What may still be reserved."""
        return 0 if self.is_closed else max(self.limit_pd - self.spent_pd - self.held_pd, 0)


def spending(db: sqlite3.Connection, by: str, since: float | None) -> list[Spending]:
    """Return what each model, day, tag or session has cost since a moment, the dearest first (days in their order).

    Raises:
        ParameterError: no such grouping.
    """
    if by not in get_args(By):
        raise ParameterError(f"by must be one of {', '.join(get_args(By))}, not {by!r}", param="by")
    rows = db.execute(
        f"""SELECT name, coalesce(certainty, 'bound'),
            coalesce(cost_pd, CASE state WHEN 'held' THEN held_pd END) IS NULL, count(*),
            count(*) FILTER (WHERE error IS NULL AND state <> 'held'),
            sum(coalesce(cost_pd, held_pd, 0) / {_PART}), sum(coalesce(cost_pd, held_pd, 0) % {_PART}),
            total(input_tokens), total(output_tokens)
        {_GROUPS[by]} WHERE at >= ? GROUP BY 1, 2, 3""",
        (float("-inf") if since is None else since,),
    )
    found: dict[str, Spending] = {}
    for name, certainty, is_unpriced, attempts, answered, millions, rest, inputs, outputs in rows:
        part = Spending(
            name=name,
            attempts=attempts,
            answered=answered,
            unpriced=attempts if is_unpriced else 0,
            input_tokens=int(inputs),
            output_tokens=int(outputs),
            by_certainty_pd={} if is_unpriced else {certainty: millions * _PART + rest},
        )
        found[name] = found[name].plus(part) if name in found else part
    if by == "day":
        return [found[name] for name in sorted(found)]
    return sorted(found.values(), key=lambda line: (-(line.cost.picodollars or 0), line.name))


def budgets(db: sqlite3.Connection) -> list[BudgetState]:
    """Return how each budget stands, the newest period first."""
    rows = db.execute(
        """SELECT b.tag, b.per, b.period, b.limit_pd, b.spent_pd, b.held_pd, b.is_closed,
            (SELECT coalesce(sum(d.held_pd), 0) FROM draws d JOIN attempts a ON a.id = d.attempt
             WHERE d.budget = b.id AND d.held_pd > 0 AND a.state = 'kept')
        FROM budgets b ORDER BY b.period DESC, b.per, b.tag"""
    )
    return [
        BudgetState(
            tag=tag or None,
            per=per,
            period=period,
            limit_pd=limit,
            spent_pd=spent,
            held_pd=held,
            kept_pd=kept,
            is_closed=bool(closed),
        )
        for tag, per, period, limit, spent, held, closed, kept in rows
    ]


def standing(db: sqlite3.Connection) -> list[Budget]:
    """Return the budgets that the command's calls carry."""
    rows = db.execute("SELECT limit_pd, per, tag FROM standing ORDER BY per, tag")
    return [Budget(Cost(picodollars=limit, certainty="exact").usd or 0, per, tag or None) for limit, per, tag in rows]


def abandoned(db: sqlite3.Connection) -> dict[int, int | None]:
    """Return what attempts can have cost that nobody will settle, by their numbers, and None if that is unpriced.

    They are those of dead processes, and those of outcomes unknown that hold money.
    """
    owners = db.execute("SELECT id, pid, started, boot FROM owners").fetchall()
    dead = [number for number, pid, started, boot in owners if is_dead((pid, started, boot))]
    rows = db.execute(
        """SELECT id, coalesce(held_pd, cost_pd) FROM attempts
        WHERE state = 'kept' OR (state = 'held' AND owner IN (SELECT value FROM json_each(?)))""",
        (msgspec.json.encode(dead).decode(),),
    )
    return dict(rows.fetchall())


def ended_before(db: sqlite3.Connection, moment: float) -> int:
    """Return how many attempts have ended that began before a moment."""
    count: int = db.execute("SELECT count(*) FROM attempts WHERE state = 'settled' AND at < ?", (moment,)).fetchone()[0]
    return count


def attempts(db: sqlite3.Connection, since: float | None, after: int = 0) -> Iterator[dict[str, Any]]:
    """Yield attempts that began since a moment, by its columns' names, in the order in which they were filed.

    A page of them: those after the attempt of number `after`.
    """
    rows = db.execute(
        "SELECT * FROM attempts WHERE at >= ? AND id > ? ORDER BY id LIMIT ?",
        (float("-inf") if since is None else since, after, PAGE),
    )
    names = [column[0] for column in rows.description]
    for row in rows:
        yield dict(zip(names, row, strict=True))


def problems(db: sqlite3.Connection) -> list[str]:
    """Return, a sentence each, what is wrong with a ledger: its pages, its sums. An empty list is a sound one."""
    found = [f"SQLite: {line}" for (line,) in db.execute("PRAGMA integrity_check") if line != "ok"]
    if found:
        return found
    off = db.execute(
        """SELECT b.tag, b.per, b.period, b.held_pd, b.spent_pd - b.pruned_pd,
            coalesce(sum(d.held_pd), 0) AS held, coalesce(sum(d.spent_pd), 0) AS spent
        FROM budgets b LEFT JOIN draws d ON d.budget = b.id
        GROUP BY b.id HAVING held <> b.held_pd OR spent <> b.spent_pd - b.pruned_pd"""
    )
    found += [
        f"the {per} budget{f' of {period}' if period else ''}{f' for {tag}' if tag else ''} says {says_held} held and "
        f"{says_spent} spent, and its attempts {held} and {spent} (picodollars)"
        for tag, per, period, says_held, says_spent, held, spent in off
    ]
    lost = db.execute("SELECT count(*) FROM draws WHERE attempt NOT IN (SELECT id FROM attempts)").fetchone()[0]
    if lost:
        found.append(f"{lost} holds are of no attempt")
    return found
