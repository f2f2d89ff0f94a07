"""Which moment does a person mean? So long ago ("7d"), or a day ("2026-11-01"), maybe with a time; in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_AGO = re.compile(r"(\d{1,6})([hdw])")


def moment(text: str, now: datetime) -> datetime | None:
    """Return the moment that a text means, or None if it means none: "24h", "7d", "2026-11-01", "2026-11-01T12:30"."""
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago is not None:
            return now - int(ago[1]) * _UNITS[ago[2]]
        when = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


def told(when: datetime) -> str:
    """Write a moment as a person reads it: "2026-11-01 12:30 UTC"."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def read_moment(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    """Return the moment that an option names, or fail with what may be written."""
    if text is None:
        return None
    when = moment(text, datetime.now(UTC))
    if when is None:
        raise click.BadParameter(f"{text!r} is no moment: write 24h, 7d, 2026-11-01 or 2026-11-01T12:30 (UTC).")
    return when


since_option = click.option(
    "--since",
    callback=read_moment,
    metavar="WHEN",
    help="Only what began since then: 24h, 7d, or a day such as 2026-11-01.",
)
