"""barechat.cli.moments: what a person means by "7d" and "2026-11-01"."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from barechat.cli.moments import moment, told

NOW = datetime(2026, 11, 26, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("24h", "2026-11-25 12:30 UTC"),
        (" 7d ", "2026-11-19 12:30 UTC"),
        ("2w", "2026-11-12 12:30 UTC"),
        ("0d", "2026-11-26 12:30 UTC"),
        ("2026-11-01", "2026-11-01 00:00 UTC"),
        ("2026-11-01T12:30", "2026-11-01 12:30 UTC"),
        ("2026-11-01 12:30+02:00", "2026-11-01 10:30 UTC"),
    ],
)
def test_a_moment_is_so_long_ago_or_a_day_and_time_in_utc(text: str, when: str) -> None:
    found = moment(text, NOW)
    assert found is not None
    assert told(found) == when


@pytest.mark.parametrize("text", ["", "d", "7", "7 days", "-7d", "7m", "yesterday", "2026-11-31", "999999w"])
def test_what_means_no_moment_is_none(text: str) -> None:
    assert moment(text, NOW) is None
