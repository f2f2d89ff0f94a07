"""In which form does a command print what it has found? For reading, or for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

Command = TypeVar("Command", bound="Callable[..., Any]")


def format_option(*forms: str, text: str = "For reading, or for a program.") -> Callable[[Command], Command]:
    """Return the option --format: one of these, the first by default."""
    return click.option("--format", "form", type=click.Choice(forms), default=forms[0], show_default=True, help=text)
