"""What does `barechat chat` look like? Three screens of it with the simulator, into docs/screens: `make docs`.

They are drawn from the characters and colours of a terminal on which the command runs, the same ones every time.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from barechat.simulator import Simulator
from screens import COLUMNS, ROWS, Person

if TYPE_CHECKING:
    from collections.abc import Iterator

DIRECTORY: Final = Path(__file__).parent.parent / "docs" / "screens"
_WIDTH, _HEIGHT, _EDGE, _BASE = 8.4, 18, 10, 13  # of a cell, around the screen, and of letters over their row's end
_COLOURS: Final = {
    "default": "#d8dee9",
    "black": "#3b4252",
    "red": "#e0787f",
    "green": "#a3be8c",
    "brown": "#ebcb8b",
    "blue": "#81a1c1",
    "magenta": "#c9a0c0",
    "cyan": "#88c0d0",
    "white": "#e5e9f0",
    "brightblack": "#8a94a6",
    "brightred": "#ef8d94",
    "brightgreen": "#b5d09d",
    "brightbrown": "#f5d9a0",
    "brightblue": "#92b4d6",
    "brightmagenta": "#d8b2d0",
    "brightcyan": "#9bd3e3",
    "brightwhite": "#ffffff",
}
_GROUND: Final = "#1e222a"

_SORTING: Final = """\
There are **two** ways, and `sorted()` is the one you want *most* of the time:

1. `numbers.sort()` sorts in place and returns `None`.
2. `sorted(numbers)` returns a new list.

```python
words = ["pear", "fig", "apple"]
print(sorted(words, key=len))  # shortest first
```

| | in place | takes |
|---|:-:|---|
| `sort` | yes | lists |
| `sorted` | no | anything that can be iterated |
"""
_STORY: Final = "Once upon a time there was a list that nobody had ever sorted, and it was quite happy until one day"
SCENARIO: Final[dict[str, Any]] = {
    "fault": [
        {"prompt": "sort", "reply": _SORTING},
        {"prompt": "story", "reply": _STORY, "stall_after": 12},
        {"prompt": "bye", "reply": "Goodbye, and mind your indices."},
    ]
}


def make_screens(sessions: Path) -> Iterator[tuple[str, str]]:
    """Yield the screens by their files' names, each as SVG."""
    with Simulator(SCENARIO) as simulator:
        with Person("chat", "-c", "python", url=simulator.url, BARECHAT_SESSIONS=str(sessions)) as person:
            person.look_for("Enter sends")
            person.type("How do I sort in Python?\r")
            person.look_for("turn 12 + 72")
            yield "reply.svg", svg(person)
            person.type("/model gpt-4.1-mini\r")
            person.look_for("the model is gpt-4.1-mini", " gpt-4.1-mini │ turn")
            person.type("Tell me a story\x1b\rabout a list.\r")
            person.look_for("nobody")
            person.type("\x03")
            person.look_for("stopped", "turn ≤ ")
            yield "stopped.svg", svg(person)
            person.type("\x03\x04")
            person.look_for("in all")
        with Person("chat", "-c", "python", url=simulator.url, BARECHAT_SESSIONS=str(sessions)) as person:
            person.look_for("Enter sends")
            person.type("Goodbye, and thanks!\r")
            person.look_for("mind your indices", "│ turn")
            person.type("/cost\r")
            person.look_for("unpriced", "│ turn")
            yield "resumed.svg", svg(person)


def svg(person: Person) -> str:
    """Return what is on a person's screen as SVG."""
    width, height = COLUMNS * _WIDTH + 2 * _EDGE, ROWS * _HEIGHT + 2 * _EDGE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" font-size="14"',
        " font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\">",
        f'<rect width="100%" height="100%" rx="6" fill="{_GROUND}"/>',
    ]
    for row, cells in enumerate(person.cells):
        column = 0
        for style, run in itertools.groupby(cells, key=_style):
            text = "".join(cell.data for cell in run)
            lines += _run(text, style, column, row)
            column += len(text)
    return "\n".join([*lines, "</svg>", ""])


def _style(cell: Any) -> tuple[str, str, bool, bool, bool]:
    front, back = _colour(cell.fg, _COLOURS["default"]), _colour(cell.bg, _GROUND)
    if cell.reverse:
        front, back = back, front
    return front, back, cell.bold, cell.italics, cell.underscore


def _colour(name: str, default: str) -> str:
    return default if name == "default" else _COLOURS.get(name, f"#{name}")


def _run(text: str, style: tuple[str, str, bool, bool, bool], column: int, row: int) -> Iterator[str]:
    """Yield what draws characters of one style."""
    front, back, is_bold, is_italic, is_underlined = style
    y = _EDGE + row * _HEIGHT
    if back != _GROUND:
        x, width = _EDGE + column * _WIDTH, len(text) * _WIDTH
        yield f'<rect x="{x:g}" y="{y}" width="{width:g}" height="{_HEIGHT}" fill="{back}"/>'
    marks = [
        (is_bold, ' font-weight="bold"'),
        (is_italic, ' font-style="italic"'),
        (is_underlined, ' text-decoration="underline"'),
    ]
    said = "".join(mark for applies, mark in marks if applies)
    for words in re.finditer(r"\S+(?: \S+)*", text):
        x, length = _EDGE + (column + words.start()) * _WIDTH, len(words[0]) * _WIDTH
        yield (
            f'<text x="{x:g}" y="{y + _BASE}" textLength="{length:g}" fill="{front}"{said}>'
            f"{escape(words[0], quote=False)}</text>"
        )


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        for name, drawn in make_screens(Path(made)):
            (DIRECTORY / name).write_text(drawn, "utf-8", newline="\n")
