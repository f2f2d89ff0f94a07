"""What is piped in? Text, in whichever of two encodings it is, or nothing."""

from __future__ import annotations

import contextlib
import locale
import sys

import click


def piped() -> str:
    """Return what is piped in, "" where nothing is.

    Raises:
        click.UsageError: it isn't text.
    """
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    try:
        data = sys.stdin.buffer.read()
    except OSError:
        return ""  # closed, as by `<&-`
    for encoding in ("utf-8-sig", locale.getencoding()):
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(encoding).rstrip("\r\n")
    raise click.UsageError("what is piped in is not text: it is neither UTF-8 nor of the locale's encoding.")
