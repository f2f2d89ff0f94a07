"""`barechat budget`: what may be spent, and what is left of it: set, show, drop, release."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from barechat.cli.bars import divided, pen_for
from barechat.cli.ledger import release
from barechat.cli.ledgers import ledger_option, opened
from barechat.cli.terminal import dot
from barechat.cli.wording import held_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat.ledger.ledger import Ledger
    from barechat.ledger.reads import BudgetState
    from barechat.money.budget import Budget, Per

_BAR = 60

_per_option = click.option(
    "--per",
    type=click.Choice(["total", "day", "month"]),
    default="total",
    show_default=True,
    help="How long it is for; days and months are UTC's.",
)
_tag_option = click.option(
    "--tag", metavar="TAG", help="The calls that it is for: name=value, or a value or name alone.  [default: all]"
)


@click.group()
def budget() -> None:
    """Set what may be spent, and see what is left of it."""


@budget.command("set")
@click.argument("amount")
@_per_option
@_tag_option
@ledger_option
def set_(amount: str, per: Per, tag: str | None, path: str | None) -> int:
    """Let calls spend AMOUNT dollars and no more, from now on.

    The calls of `barechat ask` reserve the most that they can cost before they are sent, and are refused where that
    doesn't fit. A budget that is there gets the new amount; one that was closed is open again.
    """
    from barechat.errors import ConfigurationError  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.money.budget import Budget  # noqa: PLC0415 - likewise

    try:
        wanted = Budget(amount, per, tag)
    except ConfigurationError as error:
        raise click.UsageError(f"{error}.") from error
    with opened(path, makes=True) as file:
        file.set_budget(wanted)
        (state,) = [state for state in _states(file, time.time()) if state.budget.identity == wanted.identity]
    click.echo("\n".join(_drawn(state, is_standing=True)))
    return 0


@budget.command()
@ledger_option
def show(path: str | None) -> int:
    """Show what is spent, held and left of each budget, in this day or month."""
    with opened(path) as file:
        states = _states(file, time.time())
        standing = {one.identity for one in file.standing_budgets()}
        held = file.abandoned()
    if not states:
        click.echo("No budget is set: `barechat budget set AMOUNT` does it.")
        return 0
    parts = ["\n".join(_drawn(state, is_standing=state.budget.identity in standing)) for state in states]
    if held.attempts:
        parts.append(
            f"{held_by(held)}\n`barechat ledger reconcile` counts that as spent, `barechat budget release` frees it."
        )
    click.echo("\n\n".join(parts))
    return 0


@budget.command()
@_per_option
@_tag_option
@ledger_option
def drop(per: Per, tag: str | None, path: str | None) -> int:
    """Let the command's calls draw on a budget no more. What was spent of it stays in the ledger."""
    with opened(path) as file:
        if not file.drop_budget(per, tag):
            of = f" for {tag}" if tag else ""
            raise click.ClickException(f"no {per} budget{of} is set; `barechat budget show` shows those that are")
    click.echo("The budget is dropped.")
    return 0


budget.add_command(release)


def _states(file: Ledger, now: float) -> list[BudgetState]:
    """Return how each budget stands now: those that are set, used or not, and those of programs."""
    from barechat.ledger.reads import BudgetState  # noqa: PLC0415 - for a quick `barechat --help`

    states = {state.budget.identity: state for state in file.budgets() if state.period == state.budget.period(now)}
    for one in file.standing_budgets():
        unused = BudgetState(
            tag=one.tag,
            per=one.per,
            period=one.period(now),
            limit_pd=one.limit_pd,
            spent_pd=0,
            held_pd=0,
            kept_pd=0,
            is_closed=False,
        )
        states.setdefault(one.identity, unused)
    return sorted(states.values(), key=lambda state: (state.tag or "", state.per))


def _drawn(state: BudgetState, *, is_standing: bool) -> Iterator[str]:
    """Yield a budget's name, its bar, and what is spent, held and left of it."""
    from barechat.records import dollars  # noqa: PLC0415 - for a quick `barechat --help`

    between = dot(sys.stdout)
    name = _name_of(state.budget)
    yield f"{name} ({state.period})" if state.period else name
    spent, held = state.spent_pd, state.held_pd
    yield divided(pen_for(sys.stdout), [spent, held, max(state.limit_pd - spent - held, 0)], _BAR)
    figures = [f"{dollars(spent)} spent", f"{dollars(held)} held" if held else "", f"{dollars(state.left_pd)} left"]
    yield between.join(figure for figure in figures if figure)
    if state.is_closed:
        yield "closed: a call cost more than it could; `barechat budget set` opens it again"
    if not is_standing:
        yield "not drawn on by the command's calls: a program's, or dropped"


def _name_of(budget: Budget) -> str:
    return str(budget).removeprefix("the budget of ")
