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
from barechat.cli.ledgers import ledger_option, opened
from barechat.cli.moments import since_option, told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from barechat.cli.bars import Pen
    from barechat.ledger.reads import By, Spending

_WIDTH = 80
_GAP = "  "
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
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="For reading, or for a program.",
)
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
    columns = {heading: _aligned([heading, *cells]) for heading, cells in columns.items()}
    figures = [_GAP.join(cells) for cells in zip(*columns.values(), strict=True)]
    room = _WIDTH - len(figures[0]) - len(_GAP)
    names = [_shown(line.name, by) for line in lines]
    longest = max(len(by), *map(_cells, names), len("total"))
    width = min(longest, max(room - len(_GAP) - _SHORTEST_BAR, min(room, _SHORTEST_NAME)))
    bars_width = min(room - width - len(_GAP), _LONGEST_BAR)
    dearest = max(line.cost.picodollars or 0 for line in lines)
    bars = [bar(pen, line.cost.picodollars or 0, dearest, bars_width) for line in lines]
    for name, row, drawn in zip([by, *names, "total"], figures, ["", *bars, ""], strict=True):
        yield _GAP.join([_fitted(pen, name, width), row, drawn]).rstrip()


def _calls(line: Spending) -> str:
    """Write how many calls were answered, and in how many attempts if these were more."""
    return f"{line.answered:,}" + (f"/{line.attempts:,}" if line.attempts != line.answered else "")


def _costs(pen: Pen, lines: list[Spending]) -> list[str]:
    """Write costs with their points below each other, and before them how sure they are."""
    from barechat.records import dollars  # noqa: PLC0415 - for a quick `barechat --help`

    signs = {"exact": "", "bound": f"{pen.at_most} ", "estimate": f"{pen.about} "}
    parted = []
    for line in lines:
        cost = line.cost
        if cost.picodollars is None:
            parted.append(("unpriced", "", ""))
            continue
        whole, point, part = f"{signs[cost.certainty]}{dollars(cost.picodollars)}".partition(".")
        parted.append((whole, point, part))
    places = max(len(part) for _, _, part in parted)
    return [whole + f"{point}{part}".ljust(places + 1 if point else 0) for whole, point, part in parted]


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
        is_one = total.unpriced == 1
        are = f"{total.unpriced:,} attempt{' is' if is_one else 's are'} unpriced, and not in the total."
        remarks.append(are)
    if by == "tag" and sum(line.attempts for line in lines) > total.attempts:
        remarks.append("An attempt with several tags stands by each of them, and once in the total.")
    if remarks:
        yield ""
        yield from remarks


def _spelt(line: Spending) -> dict[str, Any]:
    """Return a line's figures for a program: dollars as decimal strings, and picodollars."""
    usd = line.cost.usd
    certain = {
        sure: {"usd": _decimal(spent), "picodollars": spent} for sure, spent in sorted(line.by_certainty_pd.items())
    }
    return {
        **{name: getattr(line, name) for name in _FIGURES},
        "usd": None if usd is None else _decimal(cast("int", line.cost.picodollars)),
        "picodollars": line.cost.picodollars,
        "certainty": line.cost.certainty,
        "by_certainty": certain,
    }


def _decimal(picodollars: int) -> str:
    from barechat.records import dollars  # noqa: PLC0415 - for a quick `barechat --help`

    return dollars(picodollars).removeprefix("$").replace(",", "")


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
    """Write a name on one line: a server may have called its model anything."""
    if not name:
        return f"({_NAMELESS.get(by, 'no name')})"
    return "".join(part if part.isprintable() else part.encode("unicode_escape").decode() for part in name)


def _cells(text: str) -> int:
    from rich.cells import cell_len  # noqa: PLC0415 - for a quick `barechat --help`

    return cell_len(text)


def _fitted(pen: Pen, name: str, width: int) -> str:
    """Return a name in a column of this width, cut if it is longer."""
    from rich.cells import set_cell_size  # noqa: PLC0415 - for a quick `barechat --help`

    if _cells(name) <= width:
        return set_cell_size(name, width)
    return set_cell_size(name, width - 1) + pen.cut


def _aligned(cells: list[str]) -> list[str]:
    width = max(map(len, cells))
    return [cell.rjust(width) for cell in cells]
