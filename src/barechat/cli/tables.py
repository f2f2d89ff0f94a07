"""How do names and figures stand below each other? Names on one line and cut, figures by their points. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 80
GAP = "  "


def aligned(cells: Sequence[str]) -> list[str]:
    """Return cells of one width, to the right."""
    width = max(map(len, cells))
    return [cell.rjust(width) for cell in cells]


def by_point(amounts: Sequence[str]) -> list[str]:
    """Return amounts with their points below each other; what has none stands to the right."""
    parted = [amount.rpartition(".") if "." in amount else (amount, "", "") for amount in amounts]
    places = max((len(part) for _, point, part in parted if point), default=0)
    return aligned([whole + f"{point}{part}".ljust(places + 1 if point else 0) for whole, point, part in parted])


def one_line(name: str) -> str:
    """Return a name with what can't be printed spelled out: a server may call its model anything."""
    return "".join(part if part.isprintable() else part.encode("unicode_escape").decode() for part in name)


def columns_of(name: str) -> int:
    """Return how many columns of a terminal a name takes."""
    from rich.cells import cell_len  # noqa: PLC0415 - for a quick `barechat --help`

    return cell_len(name)


def fitted(name: str, width: int, cut: str) -> str:
    """Return a name in a column of this width, cut where it is longer."""
    from rich.cells import set_cell_size  # noqa: PLC0415 - for a quick `barechat --help`

    if columns_of(name) <= width:
        return set_cell_size(name, width)
    return set_cell_size(name, width - 1) + cut
