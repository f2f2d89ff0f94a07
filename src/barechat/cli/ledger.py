"""`barechat ledger`: what can be done with the ledger's file: check, export, reconcile, release, prune, reprice."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from barechat.cli.forms import format_option
from barechat.cli.ledgers import confirmed, ledger_option, opened
from barechat.cli.moments import read_moment, since_option, told
from barechat.cli.tables import GAP, WIDTH, aligned, by_point, columns_of, fitted, one_line
from barechat.cli.wording import counted, decimal_of, held_by, unpriced_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from barechat.ledger.repricing import Correction

_JSON_COLUMNS = ("tags", "usage")
_MOMENTS = ("at", "repriced_at")
_INNER = "owner"  # a number that means something within the file alone

yes_option = click.option("--yes", is_flag=True, help="Do it unasked.")


@click.group()
def ledger() -> None:
    """Check, export and mend the ledger."""


@ledger.command()
@ledger_option
def check(path: str | None) -> int:
    """Say what is wrong with the file, if anything is.

    It looks for broken pages, and for sums that don't add up.

    Exit codes: 0 it is sound; 1 it isn't, and a line each says why.
    """
    with opened(path) as file:
        faults = file.check()
        if faults:
            click.echo("\n".join(faults))
            return 1
        attempts = sum(line.attempts for line in file.spending())
        click.echo(f"{file.path} is sound: {counted(attempts, 'attempt')}.")
    return 0


@ledger.command()
@since_option
@format_option("jsonl", "csv", text="An object, or a row, for each attempt.")
@ledger_option
def export(since: datetime | None, form: str, path: str | None) -> int:
    """Print every attempt as it was filed."""
    with opened(path) as file:
        for line in (_as_jsonl if form == "jsonl" else _as_csv)(file.attempts(since)):
            click.echo(line.encode(), nl=False)  # in UTF-8, whatever the locale's encoding
    return 0


@ledger.command()
@ledger_option
def reconcile(path: str | None) -> int:
    """Count as spent what dead or unknown attempts hold.

    These are of programs that died, or of an outcome that nobody knows. It is safe: they can't have cost more.
    """
    from barechat.records import dollars  # noqa: PLC0415 - for a quick `barechat --help`

    with opened(path) as file:
        held = file.reconcile()
    told_count = (
        f"{counted(held.attempts, 'attempt')} counted as spent: {dollars(held.picodollars)}{unpriced_of(held)}."
    )
    click.echo(told_count if held.attempts else _NOTHING_HELD)
    return 0


@ledger.command()
@yes_option
@ledger_option
def release(yes: bool, path: str | None) -> int:
    """Free what dead or unknown attempts hold.

    These are of programs that died, or of an outcome that nobody knows. They then count as nothing: for when the
    server's own bill says so. `barechat ledger reconcile` is the safe way.
    """
    from barechat.records import dollars  # noqa: PLC0415 - for a quick `barechat --help`

    with opened(path) as file:
        held = file.abandoned()
        if not held.attempts:
            click.echo(_NOTHING_HELD)
            return 0
        click.echo(f"{held_by(held)}\nReleased, that counts as $0.00, whatever the server bills.")
        if not confirmed("Release them?", yes=yes):
            return 1
        held = file.release()
    click.echo(f"{counted(held.attempts, 'attempt')} released: {dollars(held.picodollars)} is free again.")
    return 0


@ledger.command()
@click.option(
    "--before",
    callback=read_moment,
    required=True,
    metavar="WHEN",
    help="Forget what began before: a day such as 2026-11-01, or so long ago, as in 52w.",
)
@yes_option
@ledger_option
def prune(before: datetime, yes: bool, path: str | None) -> int:
    """Forget old attempts that have ended. Budgets keep what was spent of them."""
    with opened(path) as file:
        count = file.prunable(before)
        if not count:
            click.echo(f"Nothing that has ended began before {told(before)}.")
            return 0
        click.echo(
            f"{counted(count, 'attempt')} began before {told(before)}.\n`barechat ledger export` would save them."
        )
        if not confirmed("Forget them?", yes=yes):
            return 1
        count = file.prune(before)
    click.echo(f"{counted(count, 'attempt')} forgotten.")
    return 0


@ledger.command()
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@yes_option
@ledger_option
def reprice(dry_run: bool, yes: bool, path: str | None) -> int:
    """Price attempts anew, as after a price was wrong.

    They are priced by the usage that is stored, and the first figure is kept beside. The prices are those of
    `barechat prices`, each of its day. What they don't know keeps its figure.
    """
    from barechat.money.prices import Prices  # noqa: PLC0415 - for a quick `barechat --help`

    with opened(path) as file:
        prices = Prices.default()
        corrections = file.corrections(prices)
        if not corrections:
            click.echo(f"Every figure is that of the prices {prices.version}, or has no price there.")
            return 0
        click.echo(_compared(corrections))
        if dry_run:
            click.echo("Nothing is changed.")
            return 0
        if not confirmed("Correct them?", yes=yes):
            return 1
        corrections = file.reprice(prices)
    click.echo(
        f"{counted(len(corrections), 'attempt')} priced by the table {prices.version}; export has the first figures."
    )
    return 0


_NOTHING_HELD = "Nothing is held by attempts of programs that died, or of unknown outcome."


def _as_jsonl(attempts: Iterable[dict[str, Any]]) -> Iterator[str]:
    import msgspec  # noqa: PLC0415 - for a quick `barechat --help`

    for attempt in attempts:
        spelt = _spelt(attempt)
        for name in _JSON_COLUMNS:
            if spelt[name] is not None:
                spelt[name] = msgspec.json.decode(spelt[name])
        yield f"{msgspec.json.encode(spelt).decode()}\n"


def _as_csv(attempts: Iterable[dict[str, Any]]) -> Iterator[str]:
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    for number, attempt in enumerate(attempts):
        spelt = _spelt(attempt)
        if number == 0:
            writer.writerow(spelt)
        writer.writerow(spelt.values())
        yield page.getvalue()
        page.seek(0)
        page.truncate()


def _spelt(attempt: dict[str, Any]) -> dict[str, Any]:
    """Return an attempt for a program: moments in ISO 8601, the cost in dollars too."""
    cost_pd = attempt["cost_pd"]
    spelt = {name: value for name, value in attempt.items() if name != _INNER}
    for name in _MOMENTS:
        if spelt[name] is not None:
            spelt[name] = datetime.fromtimestamp(spelt[name], UTC).isoformat()
    return {**spelt, "cost_usd": None if cost_pd is None else decimal_of(cost_pd)}


def _compared(corrections: list[Correction]) -> str:
    """Return a table of what each model's attempts cost before, and cost now, and all together."""
    models = sorted({correction.model for correction in corrections})
    groups = {one_line(model): [one for one in corrections if one.model == model] for model in models}
    groups["total"] = corrections
    columns = [
        aligned(["attempts", *(f"{len(group):,}" for group in groups.values())]),
        aligned(["before", *by_point([_sum([one.before_pd for one in group]) for group in groups.values()])]),
        aligned(["now", *by_point([_sum([one.cost.picodollars for one in group]) for group in groups.values()])]),
    ]
    width = WIDTH - sum(len(GAP + cells[0]) for cells in columns)
    width = min(width, max(map(columns_of, ("model", *groups))))
    rows = zip(["model", *groups], *columns, strict=True)
    return "\n".join(GAP.join([fitted(name, width, "~"), *cells]).rstrip() for name, *cells in rows)


def _sum(amounts: list[int | None]) -> str:
    from barechat.records import dollars  # noqa: PLC0415 - for a quick `barechat --help`

    priced = [amount for amount in amounts if amount is not None]
    unpriced = len(amounts) - len(priced)
    if not priced:
        return "unpriced"
    return (f"{unpriced:,} unpriced + " if unpriced else "") + dollars(sum(priced))
