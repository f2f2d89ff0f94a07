"""How does an amount look as a bar? Blocks on a terminal that has them, plain characters elsewhere."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, NamedTuple

from barechat.cli.terminal import can_write

if TYPE_CHECKING:
    from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉"


class Pen(NamedTuple):
    """What bars are drawn with: full, and for what is held, and left; and the signs of figures that aren't exact."""

    full: str
    held: str
    left: str
    has_eighths: bool
    at_most: str
    about: str
    cut: str


def pen_for(stream: IO[str] | None) -> Pen:
    """Return what a stream can be drawn on with. Blocks are for people: pipes, and who set NO_COLOR, get none."""
    has_signs = can_write(stream, "≤≈…")
    signs = ("≤", "≈", "…") if has_signs else ("<=", "~", "~")
    if stream is not None and stream.isatty() and can_write(stream, f"█▒░{_EIGHTHS}"):
        from rich.console import Console  # noqa: PLC0415 - 0.1 s to import, and only a terminal needs it

        if not Console(file=stream).no_color:
            return Pen("█", "▒", "░", True, *signs)
    return Pen("#", "=", ".", False, *signs)


def bar(pen: Pen, part: int, whole: int, width: int) -> str:
    """Draw a part of what fills a width. What isn't nothing can be seen, where there is room at all."""
    if part <= 0 or whole <= 0 or width <= 0:
        return ""
    steps = 8 if pen.has_eighths else 1
    full, rest = divmod(max(round(part * width * steps / whole), 1), steps)
    return pen.full * full + (_EIGHTHS[rest] if rest else "")


def divided(pen: Pen, parts: Sequence[int], width: int) -> str:
    """Draw spent, held and left side by side, in that order, so that they fill a width. What isn't nothing is seen."""
    whole = sum(parts)
    sizes = [max(round(part * width / whole), 1) if part > 0 else 0 for part in parts]
    sizes[sizes.index(max(sizes))] += width - sum(sizes)
    return "".join(sign * size for sign, size in zip((pen.full, pen.held, pen.left), sizes, strict=True))
