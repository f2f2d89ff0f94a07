"""barechat.cli.bars: how long a bar is, and what it is drawn with."""

from __future__ import annotations

import io

import pytest

from barechat.cli.bars import Pen, bar, divided, pen_for

BLOCKS = Pen("█", "▒", "░", True, "≤", "≈", "…")
PLAIN = Pen("#", "=", ".", False, "<=", "~", "~")


@pytest.mark.parametrize(
    ("part", "blocks", "plain"),
    [
        (0, "", ""),
        (1, "▏", "#"),  # what isn't nothing can be seen
        (1_000, "████████", "########"),
        (500, "████", "####"),
        (78, "▋", "#"),
        (140, "█▏", "#"),
    ],
)
def test_a_bar_is_as_long_as_its_share(part: int, blocks: str, plain: str) -> None:
    assert bar(BLOCKS, part, 1_000, 8) == blocks
    assert bar(PLAIN, part, 1_000, 8) == plain


def test_where_nothing_was_spent_or_there_is_no_room_there_is_no_bar() -> None:
    assert bar(BLOCKS, 0, 0, 8) == ""
    assert bar(BLOCKS, 1, 1, -1) == ""


@pytest.mark.parametrize(
    ("parts", "drawn"),
    [
        ((25, 25, 50), "##==...."),
        ((0, 0, 1), "........"),
        ((1, 1, 10**18), "#=......"),
        ((10**18, 1, 0), "#######="),
        ((100, 0, 0), "########"),
    ],
)
def test_what_is_spent_held_and_left_fills_the_width(parts: tuple[int, int, int], drawn: str) -> None:
    assert divided(PLAIN, parts, 8) == drawn


def test_what_cannot_be_written_or_is_no_terminal_is_drawn_in_ascii() -> None:
    assert pen_for(None) == PLAIN
    assert pen_for(io.TextIOWrapper(io.BytesIO(), "ascii")) == PLAIN
    assert pen_for(io.TextIOWrapper(io.BytesIO(), "utf-8")) == PLAIN._replace(at_most="≤", about="≈", cut="…")
