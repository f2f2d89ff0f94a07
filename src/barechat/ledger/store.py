"""What is written into a ledger, and by which rules: holds, what became of them, and budgets that are never overspent.

One writer calls these, within a transaction that nobody else can write in (BEGIN IMMEDIATE); so what is read here and
written after it can't have changed in between. A batch takes the same few statements whatever its size, its rows as one
JSON text: each statement lets go of Python's global lock, and to get that back from a busy thread takes up to 5 ms.
None of a call's reads a whole table, so that a ledger of a million attempts is as quick as a new one. It is long since
it is one: what holds, what settles and what counts must agree, in each transaction.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from barechat.errors import BudgetExceeded, ConfigurationError
from barechat.ledger.owners import is_dead, this_process
from barechat.ledger.reads import Abandoned, abandoned
from barechat.money.budget import LARGEST_PD
from barechat.records import Cost, dollars

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from barechat.money.budget import Budget
    from barechat.money.entry import Entry, Hold

_ENTRY = (
    *("key", "at", "state", "model", "served", "tier", "served_tier", "tags", "session"),
    *("status", "error", "code", "request_id", "client_request_id"),
    *("input_tokens", "output_tokens", "usage", "cache_ttl", "cost_pd", "certainty"),
    *("elapsed_s", "first_byte_s", "price_version"),
)
_HOLD = ("key", "at", "state", "model", "tags", "session", "held_pd", "owner")


def _rows(columns: Sequence[str]) -> str:
    """Return what reads a JSON list of rows as a table of these columns."""
    values = ", ".join(f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(columns))
    return f"SELECT {values} FROM json_each(?)"  # noqa: S608 - our own names


_CREATE_ENDED = f"CREATE TEMP TABLE IF NOT EXISTS ended ({', '.join(_ENTRY)}, UNIQUE (key))"
_ADD_ENDED = f"INSERT OR IGNORE INTO ended {_rows(_ENTRY)}"
_DROP_KNOWN = """
DELETE FROM ended WHERE EXISTS (SELECT 1 FROM attempts a WHERE a.key = ended.key AND a.state <> 'held')
"""
_DRAWN = """
SELECT a.id AS attempt, d.budget, d.held_pd, coalesce(e.cost_pd, 0) AS cost_pd
FROM ended e JOIN attempts a ON a.key = e.key JOIN draws d ON d.attempt = a.id
WHERE e.state = 'settled'
"""
_FREE = f"""
UPDATE budgets SET held_pd = budgets.held_pd - s.held, spent_pd = budgets.spent_pd + s.spent
FROM (SELECT budget, sum(held_pd) AS held, sum(min(cost_pd, held_pd)) AS spent FROM ({_DRAWN}) GROUP BY budget) s
WHERE budgets.id = s.budget
"""  # noqa: S608 - likewise
_SPEND = """
UPDATE draws SET held_pd = 0, spent_pd = coalesce(
    (SELECT e.cost_pd FROM attempts a JOIN ended e ON e.key = a.key WHERE a.id = draws.attempt), 0
)
WHERE attempt IN (SELECT a.id FROM ended e JOIN attempts a ON a.key = e.key WHERE e.state = 'settled')
"""
_FILE = f"""
INSERT INTO attempts ({", ".join(_ENTRY)}) SELECT {", ".join(_ENTRY)} FROM ended WHERE true
ON CONFLICT (key) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _ENTRY if name != "key")}
"""  # noqa: S608 - our own names
_HOLD_ATTEMPTS = f"INSERT INTO attempts ({', '.join(_HOLD)}) {_rows(_HOLD)}"
_FILE_FIRST = f"{_HOLD_ATTEMPTS} WHERE true ON CONFLICT (key) DO NOTHING"
_HOLD_DRAWS = f"""
INSERT INTO draws (attempt, budget, held_pd)
SELECT a.id, h.budget, h.held_pd FROM ({_rows(("key", "budget", "held_pd"))}) h JOIN attempts a ON a.key = h.key
"""  # noqa: S608 - likewise
_HELD_BY = """
SELECT o.pid, o.started, o.boot, sum(d.held_pd)
FROM draws d JOIN attempts a ON a.id = d.attempt JOIN owners o ON o.id = a.owner
WHERE d.budget = ? AND d.held_pd > 0 AND a.state = 'held' GROUP BY o.id
"""


@dataclass
class _Pot:
    """A budget's row, as it stands within this transaction."""

    id: int
    limit_pd: int
    spent_pd: int
    held_pd: int
    is_closed: bool
    new_pd: int = 0  # of held_pd, by holds that are yet to be written
    living_pd: int | None = None  # of held_pd, by running calls whose holds are written; None: not looked up yet
    is_awaited: bool = False  # somebody waits for its room, and nobody is to go before

    def has_room(self, picodollars: int) -> bool:
        """Say whether so much may be held of it now."""
        return not self.is_closed and self.spent_pd + self.held_pd + picodollars <= self.limit_pd


WAITS = object()
"""The answer to who is to wait for room."""


class Store:
    """A ledger's writing side, on one connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self._owner: int | None = None
        db.execute(_CREATE_ENDED)

    def reserve(self, holds: Iterable[Hold]) -> list[Any]:
        """File each one, its money held of all its budgets; or refuse it, which then holds of none.

        Returns an answer for each, in turn: None if it is filed, a BudgetExceeded or ConfigurationError (the ledger has
        this budget at another amount), or WAITS.
        """
        pots: dict[tuple[str, str, str], _Pot] = {}
        held: list[tuple[Hold, list[_Pot]]] = []
        answers = [self._answer(hold, pots, held) for hold in holds]
        if held:
            self._write_holds(held)
            for pot in pots.values():
                self.db.execute("UPDATE budgets SET held_pd = ? WHERE id = ?", (pot.held_pd, pot.id))
        return answers

    def settle(self, entries: Sequence[Entry]) -> list[str]:
        """File attempts that have ended, each once: free what they held and count what they cost.

        One whose cost isn't known keeps its hold. Returns a sentence for each attempt that cost more than it had held.
        """
        db = self.db
        db.execute("DELETE FROM ended")
        db.execute(_ADD_ENDED, (_json([_entry_row(entry) for entry in entries]),))
        db.execute(_DROP_KNOWN)
        overruns = []
        if any(entry.is_held for entry in entries):
            overruns = db.execute(f"SELECT * FROM ({_DRAWN}) WHERE cost_pd > held_pd").fetchall()  # noqa: S608
            db.execute(_FREE)
            db.execute(_SPEND)
        db.execute(_FILE)
        return [self._overrun(*overrun) for overrun in overruns]

    def set_standing(self, budget: Budget, now: float) -> None:
        """Make a budget one that the command's calls carry, and set its amount; one that was closed is open again."""
        tag, per, limit = budget.tag or "", budget.per, budget.limit_pd
        self.db.execute("INSERT OR REPLACE INTO standing VALUES (?, ?, ?)", (tag, per, limit))
        self.db.execute(
            "UPDATE budgets SET limit_pd = ?, is_closed = 0 WHERE tag = ? AND per = ? AND period = ?",
            (limit, tag, per, budget.period(now)),
        )

    def drop_standing(self, tag: str | None, per: str) -> bool:
        """Let the command's calls carry a budget no more; False if they didn't."""
        return bool(self.db.execute("DELETE FROM standing WHERE tag = ? AND per = ?", (tag or "", per)).rowcount)

    def end_holds(self, *, spent: bool) -> Abandoned:
        """End the holds that nobody will settle, of dead processes and of outcomes unknown: as spent, or as nothing.

        Returns what they were.
        """
        db = self.db
        ended = abandoned(db)
        ids = _json(list(ended))
        of_budgets = "SELECT budget, sum(held_pd) AS held FROM draws WHERE attempt IN (SELECT value FROM json_each(?))"
        db.execute(
            f"""UPDATE budgets SET held_pd = budgets.held_pd - s.held, spent_pd = budgets.spent_pd + ? * s.held
            FROM ({of_budgets} GROUP BY budget) s WHERE budgets.id = s.budget""",  # noqa: S608 - our own words
            (int(spent), ids),
        )
        db.execute(
            "UPDATE draws SET spent_pd = ? * held_pd, held_pd = 0 WHERE attempt IN (SELECT value FROM json_each(?))",
            (int(spent), ids),
        )
        db.execute(
            """UPDATE attempts SET state = 'settled', error = CASE state WHEN 'held' THEN 'Interrupted' ELSE error END,
                cost_pd = CASE WHEN certainty = 'estimate' THEN cost_pd WHEN :spent THEN coalesce(held_pd, cost_pd)
                    ELSE 0 END,
                certainty = CASE WHEN certainty = 'estimate' THEN certainty WHEN NOT :spent THEN 'exact'
                    WHEN coalesce(held_pd, cost_pd) IS NULL THEN 'unpriced' ELSE 'bound' END
            WHERE id IN (SELECT value FROM json_each(:ids))""",
            {"spent": spent, "ids": ids},
        )
        return Abandoned.of(ended.values())

    def prune(self, before: float) -> int:
        """Forget attempts that ended before a moment; what they spent of budgets stays spent. Returns how many."""
        db = self.db
        old = "SELECT id FROM attempts WHERE state = 'settled' AND at < ?"
        db.execute(
            f"""UPDATE budgets SET pruned_pd = pruned_pd + s.spent
            FROM (SELECT budget, sum(spent_pd) AS spent FROM draws WHERE attempt IN ({old}) GROUP BY budget) s
            WHERE budgets.id = s.budget""",  # noqa: S608 - our own words
            (before,),
        )
        db.execute(f"DELETE FROM draws WHERE attempt IN ({old})", (before,))  # noqa: S608 - likewise
        return db.execute("DELETE FROM attempts WHERE state = 'settled' AND at < ?", (before,)).rowcount

    def reprice(self, attempt: int, cost: Cost, version: str, now: float) -> None:
        """Correct what a settled attempt cost, and what it spent of budgets; the first figure is kept beside it."""
        db, cost_pd = self.db, _storable(cost.picodollars)
        drawn = db.execute(
            "SELECT b.id, b.spent_pd - d.spent_pd FROM draws d JOIN budgets b ON b.id = d.budget WHERE d.attempt = ?",
            (attempt,),
        ).fetchall()
        for budget, others_pd in drawn:
            counted_pd = max(0, min(cost_pd or 0, LARGEST_PD - others_pd))
            db.execute("UPDATE budgets SET spent_pd = ? WHERE id = ?", (others_pd + counted_pd, budget))
            db.execute("UPDATE draws SET spent_pd = ? WHERE attempt = ? AND budget = ?", (counted_pd, attempt, budget))
        db.execute(
            """UPDATE attempts SET first_cost_pd = CASE WHEN repriced_at IS NULL THEN cost_pd ELSE first_cost_pd END,
            cost_pd = ?, certainty = ?, price_version = ?, repriced_at = ? WHERE id = ?""",
            (cost_pd, cost.certainty, version, now, attempt),
        )

    def _answer(self, hold: Hold, pots: dict[tuple[str, str, str], _Pot], held: list[tuple[Hold, list[_Pot]]]) -> Any:
        try:
            drawn = [self._pot(pots, budget, hold.at) for budget in hold.budgets]
        except ConfigurationError as error:
            return error
        waits, most_pd = False, hold.picodollars or 0  # None draws on no budget
        for budget, pot in zip(hold.budgets, drawn, strict=True):
            if pot.has_room(most_pd) and not pot.is_awaited:
                continue
            if not (budget.wait and self._may_fit(pot, most_pd)):
                return self._refusal(budget, pot, most_pd)
            waits = True
        if waits:
            for pot in drawn:
                pot.is_awaited = True
            return WAITS
        for pot in drawn:
            pot.held_pd += most_pd
            pot.new_pd += most_pd
        held.append((hold, drawn))
        return None

    def _pot(self, pots: dict[tuple[str, str, str], _Pot], budget: Budget, at: float) -> _Pot:
        """Return a budget's row, made if it isn't there."""
        identity = (budget.tag or "", budget.per, budget.period(at))
        pot = pots.get(identity)
        if pot is None:
            self.db.execute(
                "INSERT OR IGNORE INTO budgets (tag, per, period, limit_pd) VALUES (?, ?, ?, ?)",
                (*identity, budget.limit_pd),
            )
            found = self.db.execute(
                "SELECT id, limit_pd, spent_pd, held_pd, is_closed FROM budgets WHERE (tag, per, period) = (?, ?, ?)",
                identity,
            )
            pot = pots[identity] = _Pot(*found.fetchone())
        check_amount(budget, pot.limit_pd)
        return pot

    def _refusal(self, budget: Budget, pot: _Pot, need_pd: int) -> BudgetExceeded:
        """Say why there is no room for so much."""
        most = Cost(picodollars=need_pd, certainty="bound")
        if pot.is_closed:
            said = f"{budget} is closed: a call cost more than the server was asked to let it; set the budget anew"
            return BudgetExceeded(f"{said}. Nothing was sent.", cost=most)
        running = self._running_pd(pot)
        fits_later = self._may_fit(pot, need_pd)
        if fits_later:
            advice = f"Running calls hold {dollars(running)}: try again when they have ended, or set wait=True"
        else:
            kept = pot.held_pd - running
            advice = f"{dollars(pot.spent_pd)} is spent" + (
                f", and {dollars(kept)} held by calls of unknown outcome" if kept else ""
            )
            advice += ". A smaller max_completion_tokens lowers what a call can cost"
        left = dollars(max(pot.limit_pd - pot.spent_pd - pot.held_pd, 0))
        return BudgetExceeded(
            f"the call can cost up to {dollars(need_pd)}, and {budget} has {left} left. {advice}. Nothing was sent.",
            fits_later=fits_later,
            cost=most,
        )

    def _may_fit(self, pot: _Pot, need_pd: int) -> bool:
        """Say whether there would be room for so much if all running calls turned out to cost nothing."""
        left_pd = pot.limit_pd - pot.spent_pd - pot.held_pd + self._running_pd(pot)
        return not pot.is_closed and need_pd <= left_pd

    def _running_pd(self, pot: _Pot) -> int:
        """Return what running calls of running processes hold of a budget, in picodollars."""
        if pot.living_pd is None:
            found = self.db.execute(_HELD_BY, (pot.id,)).fetchall()
            pot.living_pd = sum(held for pid, started, boot, held in found if not is_dead((pid, started, boot)))
        return pot.new_pd + pot.living_pd

    def _write_holds(self, held: list[tuple[Hold, list[_Pot]]]) -> None:
        owner = self._own()
        # What no budget asks for isn't waited for without end, and so it may come when its attempt has been settled.
        of_budgets = [_hold_row(hold, owner) for hold, pots in held if pots]
        of_none = [_hold_row(hold, owner) for hold, pots in held if not pots]
        for statement, rows in (_HOLD_ATTEMPTS, of_budgets), (_FILE_FIRST, of_none):
            if rows:
                self.db.execute(statement, (_json(rows),))
        draws = [(hold.key, pot.id, hold.picodollars) for hold, pots in held for pot in pots]
        if draws:
            self.db.execute(_HOLD_DRAWS, (_json(draws),))

    def _own(self) -> int:
        """Return the number of this process among the owners."""
        if self._owner is None:
            owner = this_process()
            self.db.execute("INSERT OR IGNORE INTO owners (pid, started, boot) VALUES (?, ?, ?)", owner)
            found = self.db.execute("SELECT id FROM owners WHERE (pid, started, boot) = (?, ?, ?)", owner)
            self._owner = int(found.fetchone()[0])
        return self._owner

    def undo(self) -> None:
        """Take a transaction back, and what was learned within it."""
        self._owner = None
        with contextlib.suppress(sqlite3.Error):  # SQLite has taken it back by itself
            self.db.execute("ROLLBACK")

    def _overrun(self, attempt: int, budget: int, held_pd: int, cost_pd: int) -> str:
        """Count what an attempt cost beyond its hold, and close the budget: its calls can't be bounded."""
        db = self.db
        # What is counted stays within what SQLite can add up, and is the same in both tables.
        (spent_pd,) = db.execute("SELECT spent_pd FROM budgets WHERE id = ?", (budget,)).fetchone()
        more_pd = max(0, min(cost_pd - held_pd, LARGEST_PD - spent_pd))
        db.execute("UPDATE budgets SET spent_pd = spent_pd + ?, is_closed = 1 WHERE id = ?", (more_pd, budget))
        db.execute(
            "UPDATE draws SET spent_pd = ? WHERE attempt = ? AND budget = ?", (held_pd + more_pd, attempt, budget)
        )
        db.execute("UPDATE attempts SET overran = 1 WHERE id = ?", (attempt,))
        model, request_id, tag, per = db.execute(
            "SELECT model, request_id, tag, per FROM attempts, budgets WHERE attempts.id = ? AND budgets.id = ?",
            (attempt, budget),
        ).fetchone()
        return (
            f"{model}: a call cost {dollars(cost_pd)}, more than the {dollars(held_pd)} that it could (request "
            f"{request_id}); it is counted in full, and the {per} budget{f' for {tag}' if tag else ''} is closed"
        )


def check_amount(budget: Budget, limit_pd: int) -> None:
    """Raise a ConfigurationError if a ledger has this budget at another amount."""
    if limit_pd != budget.limit_pd:
        raise ConfigurationError(
            f"{budget} has another amount in this ledger, {dollars(limit_pd)}: give the same to all that share it, or "
            "change it with Ledger.set_budget or `barechat budget set`"
        )


_TEXT_CHARACTERS = 1000
_USAGE_BYTES = 64 * 1024


def _short(text: str | None) -> str | None:
    """Return a text of the server's, of a size that a server with good intentions would stay within."""
    return None if text is None else text[:_TEXT_CHARACTERS]


def _usage(usage: dict[str, Any] | None) -> str | None:
    """Return usage as JSON, if it is of such a size."""
    text = None if usage is None else _json(usage)
    return text if text is None or len(text) <= _USAGE_BYTES else None


def _entry_row(entry: Entry) -> list[Any]:
    keeps = entry.is_held and not entry.is_known
    return [
        entry.key,
        entry.at,
        "kept" if keeps else "settled",
        entry.model,
        _short(entry.served),
        entry.tier,
        _short(entry.served_tier),
        msgspec.json.encode(entry.tags).decode(),
        entry.tags.get("session"),
        entry.status,
        entry.error,
        _short(entry.code),
        _short(entry.request_id),
        entry.client_request_id,
        entry.input_tokens,
        entry.output_tokens,
        _usage(entry.usage),
        entry.cache_ttl,
        _storable(entry.cost.picodollars),
        entry.cost.certainty,
        entry.elapsed_s,
        entry.first_byte_s,
        entry.price_version,
    ]


def _hold_row(hold: Hold, owner: int) -> list[Any]:
    tags = msgspec.json.encode(hold.tags).decode()
    return [hold.key, hold.at, "held", hold.model, tags, hold.tags.get("session"), _storable(hold.picodollars), owner]


def _storable(picodollars: int | None) -> int | None:
    """Return an amount that SQLite can hold: no server's count makes a call cost millions."""
    return None if picodollars is None else min(picodollars, LARGEST_PD)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
