"""How the server's headers about limits become numbers.

Sources: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers (resets as Go durations), Azure
(plain seconds, and -1 for "unknown"), RFC 9110 section 10.2.3 (Retry-After).
"""

from __future__ import annotations

import math
import re
from datetime import UTC
from functools import lru_cache
from typing import TYPE_CHECKING

from barechat.records import RateLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_DURATION_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(h|ms|m|s|us|µs|μs|ns)")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

_NAMES = [f"x-ratelimit-{kind}-{what}" for what in ("requests", "tokens") for kind in ("limit", "remaining", "reset")]
_NOTHING = [None] * len(_NAMES)
_WHOLE_DIGITS = 15  # that a float holds, too
_UNTOLD = RateLimits()


def duration_s(text: str) -> float | None:
    """Return a Go duration ("1m30.5s", "12ms") or plain seconds ("7") as seconds; None if it's neither, or negative."""
    return _known_duration_s(text) if len(text) <= _LONGEST_KNOWN else _duration_s(text)


def _duration_s(text: str) -> float | None:
    text = text.strip()
    plain = _number(text)
    if plain is not None:
        return plain if 0 <= plain < math.inf else None
    total, end = 0.0, 0
    for part in _DURATION_PART.finditer(text):
        if part.start() != end:
            return None
        total += float(part[1]) * _SECONDS[part[2]]
        end = part.end()
    return total if end and end == len(text) else None


_LONGEST_KNOWN = 50
_known_duration_s = lru_cache(1000)(_duration_s)  # servers tell the same few, and reading one takes 1 µs


def rate_limits(headers: Mapping[str, str]) -> RateLimits:
    """Read the x-ratelimit-* headers; `headers` has lower-case names."""
    told = [headers.get(name) for name in _NAMES]
    if told == _NOTHING:
        return _UNTOLD
    limit_requests, remaining_requests, reset_requests, limit_tokens, remaining_tokens, reset_tokens = told
    return RateLimits(
        limit_requests=_count(limit_requests),
        remaining_requests=_count(remaining_requests),
        reset_requests_s=None if reset_requests is None else duration_s(reset_requests),
        limit_tokens=_count(limit_tokens),
        remaining_tokens=_count(remaining_tokens),
        reset_tokens_s=None if reset_tokens is None else duration_s(reset_tokens),
    )


def server_delay_s(headers: Mapping[str, str], now_epoch_s: float) -> float | None:
    """Return the delay that the server asks for, in seconds: retry-after-ms, else retry-after; None if unusable.

    Zero, negative, infinite, NaN and garbled delays are unusable. A number too large for a float is inf: it asks for
    a wait that nobody makes, which is not the same as asking for none.
    """
    milliseconds = _number(headers.get("retry-after-ms", "").strip())
    if milliseconds is not None and milliseconds > 0:
        return milliseconds / 1000
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is None and text:
        seconds = _until(text, now_epoch_s)
    return seconds if seconds is not None and seconds > 0 else None


def _number(text: str) -> float | None:
    """Return a decimal number; float() alone would also take "nan", "inf" and "1_0"."""
    if text.isdigit() and text.isascii():
        return float(text)
    return float(text) if _NUMBER.fullmatch(text) else None


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if text.isdigit() and text.isascii() and len(text) <= _WHOLE_DIGITS:
        return int(text)
    number = _number(text.strip())
    return int(number) if number is not None and 0 <= number < math.inf else None


def _until(http_date: str, now_epoch_s: float) -> float | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - 20 ms to import, and seldom needed

    try:
        when = parsedate_to_datetime(http_date)
        if when.tzinfo is None:  # asctime's format names no zone: it is UTC (RFC 9110, section 5.6.7)
            when = when.replace(tzinfo=UTC)
        return when.timestamp() - now_epoch_s
    except (ValueError, OverflowError, OSError, IndexError, TypeError):
        return None
