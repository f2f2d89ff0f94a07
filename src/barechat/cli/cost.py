"""`barechat cost`: what has been spent, by model, day, tag or session."""

from __future__ import annotations

import csv
import functools
import io
import json
import sys
from typing import TYPE_CHECKING, Any, cast

import click

from barechat.cli.bars import bar, pen_for
from barechat.cli.forms import format_option
from barechat.cli.ledgers import ledger_option, opened
from barechat.cli.moments import since_option, told
from barechat.cli.tables import GAP, WIDTH, aligned, by_point, columns_of, fitted, one_line
from barechat.cli.wording import counted, decimal_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from barechat.cli.bars import Pen
    from barechat.ledger.reads import By, Spending

_SHORTEST_NAME, _SHORTEST_BAR, _LONGEST_BAR = 12, 6, 24
_FIGURES = ("attempts", "answered", "unpriced", "input_tokens", "output_tokens")
_NAMELESS = {"tag": "no tag", "session": "no session"}


@click.command()
@click.option(
    "--by",
    type=click.Choice(["model", "day", "tag", "session"]),
    default="model",
    show_default=True,
    help="What to tell apart; days are UTC's.",
)
@since_option
@format_option("table", "json", "csv")
@ledger_option
def cost(by: By, since: datetime | None, form: str, path: str | None) -> int:
    """Tell what has been spent, and how sure that is.

    It is what the ledger has of every attempt: those of `barechat ask`, and of programs that file theirs there.
    """
    with opened(path) as ledger:
        lines = ledger.spending(by, since)
        once = ledger.spending("model", since) if by == "tag" else lines
    if form == "csv":
        click.echo(_as_csv(by, lines).encode(), nl=False)
        return 0
    if form == "json":
        told_since = None if since is None else since.isoformat()
        figures = {"lines": [{by: line.name, **_spelt(line)} for line in lines], "total": _spelt(_total(once))}
        click.echo(json.dumps({"ledger": ledger.path, "by": by, "since": told_since, **figures}, indent=2))
        return 0
    if not lines:
        click.echo(f"Nothing is filed in {ledger.path}" + (f" since {told(since)}." if since else "."))
        return 0
    title = f"Spending by {by}" + (f" since {told(since)}" if since else "")
    pen = pen_for(sys.stdout)
    click.echo("\n".join([title, "", *_table(pen, by, lines, _total(once)), *_remarks(by, lines, _total(once))]))
    return 0


def _total(lines: Sequence[Spending]) -> Spending:
    from barechat.ledger.reads import Spending  # noqa: PLC0415 - for a quick `barechat --help`

    return functools.reduce(lambda sum_, line: sum_.plus(line), lines, Spending(name="total"))


def _table(pen: Pen, by: By, lines: list[Spending], total: Spending) -> Iterator[str]:
    """Yield a heading, a line each with its bar, and the total."""
    rows = [*lines, total]
    columns = {
        "calls": [_calls(line) for line in rows],
        "in": [f"{line.input_tokens:,}" for line in rows],
        "out": [f"{line.output_tokens:,}" for line in rows],
        "cost": _costs(pen, rows),
    }
    if total.unpriced:
        columns["unpriced"] = [f"{line.unpriced:,}" if line.unpriced else "" for line in rows]
    columns = {heading: aligned([heading, *cells]) for heading, cells in columns.items()}
    figures = [GAP.join(cells) for cells in zip(*columns.values(), strict=True)]
    room = WIDTH - len(figures[0]) - len(GAP)
    names = [_shown(line.name, by) for line in lines]
    longest = max(len(by), *map(columns_of, names), len("total"))
    width = min(longest, max(room - len(GAP) - _SHORTEST_BAR, min(room, _SHORTEST_NAME)))
    bars_width = min(room - width - len(GAP), _LONGEST_BAR)
    dearest = max(line.cost.picodollars or 0 for line in lines)
    bars = [bar(pen, line.cost.picodollars or 0, dearest, bars_width) for line in lines]
    for name, row, drawn in zip([by, *names, "total"], figures, ["", *bars, ""], strict=True):
        yield GAP.join([fitted(name, width, pen.cut), row, drawn]).rstrip()


def _calls(line: Spending) -> str:
    """Write how many calls were answered, and in how many attempts if these were more."""
    return f"{line.answered:,}" + (f"/{line.attempts:,}" if line.attempts != line.answered else "")


def _costs(pen: Pen, lines: list[Spending]) -> list[str]:
    """Write costs with their points below each other, and before them how sure they are."""
    from barechat.records import dollars  # noqa: PLC0415 - for a quick `barechat --help`

    signs = {"exact": "", "bound": f"{pen.at_most} ", "estimate": f"{pen.about} "}
    costs = [line.cost for line in lines]
    return by_point(
        [
            "unpriced" if cost.picodollars is None else f"{signs[cost.certainty]}{dollars(cost.picodollars)}"
            for cost in costs
        ]
    )


def _remarks(by: By, lines: list[Spending], total: Spending) -> Iterator[str]:
    """Yield, below an empty line, what the figures don't say by themselves."""
    from barechat.records import dollars  # noqa: PLC0415 - for a quick `barechat --help`

    remarks = []
    bound, estimate = (total.by_certainty_pd.get(sure, 0) for sure in ("bound", "estimate"))
    if bound:
        remarks.append(f"{dollars(bound)} of it is the most that interrupted or running calls can have cost.")
    if estimate:
        remarks.append(f"{dollars(estimate)} of it is an estimate of answers that the server didn't count.")
    if total.unpriced:
        are = "is" if total.unpriced == 1 else "are"
        remarks.append(f"{counted(total.unpriced, 'attempt')} {are} unpriced, and not in the total.")
    if by == "tag" and sum(line.attempts for line in lines) > total.attempts:
        remarks.append("An attempt with several tags stands by each of them, and once in the total.")
    if remarks:
        yield ""
        yield from remarks


def _spelt(line: Spending) -> dict[str, Any]:
    """Return a line's figures for a program: dollars as decimal strings, and picodollars."""
    usd = line.cost.usd
    certain = {
        sure: {"usd": decimal_of(spent), "picodollars": spent} for sure, spent in sorted(line.by_certainty_pd.items())
    }
    return {
        **{name: getattr(line, name) for name in _FIGURES},
        "usd": None if usd is None else decimal_of(cast("int", line.cost.picodollars)),
        "picodollars": line.cost.picodollars,
        "certainty": line.cost.certainty,
        "by_certainty": certain,
    }


def _as_csv(by: By, lines: list[Spending]) -> str:
    page = io.StringIO()
    columns = [*_FIGURES, "usd", "picodollars", "certainty"]
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow([by, *columns])
    for line in lines:
        spelt = _spelt(line)
        writer.writerow([line.name, *(spelt[column] for column in columns)])
    return page.getvalue()


def _shown(name: str, by: By) -> str:
    return one_line(name) if name else f"({_NAMELESS.get(by, 'no name')})"
