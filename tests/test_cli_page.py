"""What `barechat chat` leaves on a terminal of a reply that comes in pieces, whenever its last one is drawn."""

from __future__ import annotations

import io
from typing import Any

import pyte
import pytest
from pyte.modes import LNM
from rich.console import Console

from barechat.cli.page import Page
from barechat.cli.rendering import THEME

REPLY = """\
There are **two** ways, and `sorted()` is the one that you want most of the time, wherever your list came from.

1. one
2. two

```python
print(1)

```
| a | b |
|---|---|
| 1 | 2 |

""" + ("A long paragraph, of more lines than there are on the screen. " * 60)


CODE = (
    "Like so:\n\n```python\n" + 'def f(x):\n    """Return it."""\n    return x + 1  # more\n\n\n' * 30 + "```\nThere.\n"
)


def screen_of(*chunks: str, thought: str = "", says: str = "", rows: int = 200) -> pyte.Screen:
    """Return a terminal, scrolled lines included, once a reply has come in these chunks."""
    file = io.StringIO()
    page = Page(Console(file=file, width=80, height=24, theme=THEME, force_terminal=True))
    page.think(thought)
    if says:
        page.say(says, "yellow")
    for chunk in chunks:
        page.write(chunk)
    page.end()
    screen = pyte.Screen(80, rows)
    screen.set_mode(LNM)
    pyte.Stream(screen).feed(file.getvalue())
    return screen


def left_by(*chunks: str, **more: Any) -> list[str]:
    """Return what is on a terminal then."""
    screen = screen_of(*chunks, **more)
    return "\n".join(line.rstrip() for line in screen.display).rstrip().split("\n")


def colours(screen: pyte.Screen) -> list[str]:
    """Return the colour of each character that can be seen."""
    cells = [screen.buffer[row][column] for row in range(screen.lines) for column in range(screen.columns)]
    return [cell.fg for cell in cells if cell.data.strip()]


@pytest.mark.parametrize("size", [1, 7, 400])
@pytest.mark.parametrize("reply", [REPLY, CODE], ids=["reply", "code"])
def test_a_reply_in_chunks_leaves_what_a_whole_one_does(reply: str, size: int) -> None:
    chunks = [reply[at : at + size] for at in range(0, len(reply), size)]
    assert left_by(*chunks) == left_by(reply)


@pytest.mark.parametrize("size", [1, 7, 400])
def test_code_in_chunks_is_coloured_as_that_of_a_whole_reply(size: int) -> None:
    chunks = [CODE[at : at + size] for at in range(0, len(CODE), size)]
    whole = colours(screen_of(CODE))
    assert colours(screen_of(*chunks)) == whole
    assert len(set(whole)) == 4


def test_pieces_stand_apart_unless_they_belong_together() -> None:
    assert left_by(REPLY)[:16] == [
        "There are two ways, and sorted() is the one that you want most of the time,",
        "wherever your list came from.",
        "",
        "  1 one",
        "  2 two",
        "",
        "```python",
        "print(1)",
        "",
        "```",
        "",
        " a  b",
        " ────",
        " 1  2",
        "",
        "A long paragraph, of more lines than there are on the screen. A long paragraph,",
    ]


def test_what_is_thought_and_said_meanwhile_stands_before_the_reply() -> None:
    assert left_by("One\n\nTwo", thought="Hm.\nSo:", says="trying again") == [
        "Hm.",
        "trying again",
        "So:",
        "",
        "One",
        "",
        "Two",
    ]


def test_a_long_line_of_code_is_left_to_the_terminal_to_break() -> None:
    file = io.StringIO()
    page = Page(Console(file=file, width=20, height=24, theme=THEME, color_system=None, force_terminal=True))
    page.write("```\n" + "x" * 50 + "\n```\n")
    page.end()
    assert "x" * 50 in file.getvalue()


def test_of_20_000_words_none_is_lost_and_none_is_left_twice() -> None:
    words = [f"w{number}" for number in range(20_000)]
    chunks = [word + (" " if number % 500 else ".\n\n") for number, word in enumerate(words, 1)]
    assert " ".join(left_by(*chunks, rows=2000)).replace(".", "").split() == words
