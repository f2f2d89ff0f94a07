"""What do options of the form NAME=VALUE mean? Parameters of the API, and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

tag_option = click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="NAME=VALUE",
    help="What the call is for, as in --tag job=nightly: the ledger keeps it, and budgets go by it. Repeatable.",
)

_HAVE_OPTIONS = {
    "model": "the model is named by -m",
    "messages": "the command makes the messages of what it is told",
    "stream": "the command decides that; only `barechat ask --no-stream` asks for whole replies",
    "tags": "tags are given by --tag",
    **dict.fromkeys(("timeouts", "retry", "headers", "extra"), "the API has no parameter of that name"),
}


def parameters_of(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Return parameters by their names, each value parsed as JSON, else as it stands."""
    import msgspec  # noqa: PLC0415 - for a quick `barechat --help`

    named: dict[str, Any] = {}
    for name, text in _parted(pairs, option):
        if name in _HAVE_OPTIONS:
            raise click.UsageError(f"{option} {name}: {_HAVE_OPTIONS[name]}.")
        try:
            named[name] = msgspec.json.decode(text.encode())
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            named[name] = text
    return named


def tags_of(pairs: Sequence[str]) -> dict[str, str]:
    """Return tags by their names."""
    return dict(_parted(pairs, "--tag"))


def _parted(pairs: Sequence[str], option: str) -> Iterator[tuple[str, str]]:
    seen = set()
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not name or not equals:
            raise click.UsageError(f"{option} {pair!r}: write it as NAME=VALUE.")
        if name in seen:
            raise click.UsageError(f"{option} {name} is given twice.")
        seen.add(name)
        yield name, text
