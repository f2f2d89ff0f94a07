"""A terminal of 80 columns and 24 rows that `barechat …` runs on: what a person would see, and type."""

from __future__ import annotations

import os
import select
import sys
import time
from typing import TYPE_CHECKING, Any

import pyte

import leaks
from commands import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS, ROWS = 80, 24
_PATIENCE_S = 20.0
# The first of a session that opens a terminal is who its Ctrl-C goes to.
_TAKES_TERMINAL = "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"


class _Screen(pyte.Screen):
    """A screen that says where its cursor is, if the command asks."""

    def __init__(self, answer: Callable[[str], None]) -> None:
        super().__init__(COLUMNS, ROWS)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        self._answer(data)


class Person(Terminal):
    """Somebody before a terminal, who types and looks."""

    through = (sys.executable, "-ISc", _TAKES_TERMINAL)

    def __init__(self, *arguments: str, url: str | None = None, **more: str) -> None:
        super().__init__(*arguments, url=url, **more)
        self.screen = _Screen(self.type)
        self._stream = pyte.ByteStream(self.screen)

    def look_for(self, *texts: str) -> str:
        """Wait until all of these are on the screen, and return all that is."""
        return self.look_until(lambda seen: all(text in seen for text in texts), f"{texts}")

    def look_until(self, is_there: Callable[[str], bool], what: str) -> str:
        """Wait until the screen is as wished, and return what is on it."""
        deadline = time.monotonic() + _PATIENCE_S
        while not is_there(self.seen):
            ready, _, _ = select.select([self.descriptor], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{what} is not on the screen:\n{self.seen}"
            try:
                data = os.read(self.descriptor, 65536)
            except OSError:
                data = b""
            assert data, f"it ended without {what}:\n{self.seen}"
            leaks.heard.append(data)
            self._stream.feed(data)
        return self.seen

    @property
    def seen(self) -> str:
        """What is on the screen, without spaces at the ends of lines and empty lines at the end."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    @property
    def cells(self) -> list[list[Any]]:
        """The screen's rows of characters, each with its colours."""
        return [[self.screen.buffer[row][column] for column in range(COLUMNS)] for row in range(ROWS)]
