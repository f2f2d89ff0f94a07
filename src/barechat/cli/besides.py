"""Which files does `barechat bulk` write besides its output? Texts, a table and a summary, at the end."""

from __future__ import annotations

import itertools
import json
import os
from decimal import Decimal
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from barechat.bulk.progress import Progress


def check_paths(paths: dict[str, Path | None]) -> None:
    """Refuse files, by what they are for, that can't be written in the end, or would be written over one another.

    Raises:
        click.UsageError: it says which.
    """
    named = {name: path for name, path in paths.items() if path is not None}
    for (name, path), (other, same) in itertools.combinations(named.items(), 2):
        if path.resolve() == same.resolve():
            raise click.UsageError(f"{name} and {other} are the same file, {path}: name another one.")
    for name, path in named.items():
        if not path.parent.is_dir():
            raise click.UsageError(f"{name}: there is no directory {path.parent}; make it first.")
        if not os.access(path.parent, os.W_OK) and name != "INPUT":
            raise click.UsageError(f"{name}: nothing can be written to {path.parent}.")


def write_besides(
    output: Path,
    progress: Progress,
    seconds: float,
    code: int,
    texts: Path | None,
    table: Path | None,
    summary: Path | None,
) -> None:
    """Write those that were asked for.

    Raises:
        OSError: one can't be written.
    """
    from barechat.bulk.export import write_table, write_texts  # noqa: PLC0415 - for a quick `barechat --help`

    if texts is not None:
        write_texts(output, texts)
    if table is not None:
        write_table(output, table)
    if summary is not None:
        summary.write_text(json.dumps(_summed_up(progress, seconds, code), indent=2) + "\n", encoding="utf-8")


def _summed_up(progress: Progress, seconds: float, code: int) -> dict[str, object]:
    usd = None if progress.is_unpriced else f"{Decimal(progress.picodollars).scaleb(-12):f}"
    counts = {name: value for name, value in vars(progress).items() if name not in {"picodollars", "stopped"}}
    stopped = None if progress.stopped is None else str(progress.stopped)
    return {"exit_code": code, "seconds": round(seconds, 3), **counts, "usd": usd, "stopped": stopped}
