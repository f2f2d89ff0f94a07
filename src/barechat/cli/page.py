"""How does a reply appear as it comes? On a terminal as markdown, whose last piece grows in place; else as plain text.

What is finished is written once, and scrolls away like anything else. Only what isn't is drawn anew, by a thread, some
times a second and in one write each time, so that nothing flickers and a token costs next to nothing.
"""

from __future__ import annotations

import contextlib
import threading
from typing import IO, TYPE_CHECKING, Final, Protocol

from barechat.cli.markdown import Blocks, Piece, with_code_joined
from barechat.cli.terminal import Answer, Notes, can_write, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.segment import Segment

_FRAME_S: Final = 1 / 15
_DRAWN: Final = "•─▌…"  # what rich draws with


class View(Protocol):
    """Where a reply appears, and what is said while it does."""

    def write(self, text: str) -> None:
        """Show a piece of the reply."""

    def think(self, text: str) -> None:
        """Show a piece of the model's reasoning. What comes after the reply has begun isn't shown."""

    def say(self, text: str, style: str = "") -> None:
        """Show a line that is none of the reply's."""

    def end(self) -> None:
        """Show what is left, and begin a new line."""


class Plain:
    """A reply as the server wrote it, on what can't move its cursor or shall have no colours."""

    def __init__(self, answer: Answer, notes: Notes, *, thinks: bool = True) -> None:
        self._answer = answer
        self._notes = notes
        self._thinks = thinks
        self._has_begun = False

    def write(self, text: str) -> None:
        """Show a piece of the reply."""
        if text:
            self._notes.end_line()
            self._has_begun = True
            self._answer.write(text)

    def think(self, text: str) -> None:
        """Show a piece of the model's reasoning."""
        if self._thinks and not self._has_begun:
            self._notes.murmur(text)

    def say(self, text: str, style: str = "") -> None:
        """Show a line that is none of the reply's."""
        self._answer.end_line()
        self._notes.line(text, style)

    def end(self) -> None:
        """Begin a new line."""
        self._notes.end_line()
        self._answer.end_line()


class Page:
    """A reply as markdown. An OSError, that of a terminal which is gone, is raised by `end`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._blocks = Blocks()
        self._thought: str | None = ""  # a line of it, as far as it has come; None once the reply has begun
        self._pieces: list[Piece] = []  # that are finished, and not laid out yet
        self._written: list[list[Segment]] = []  # lines that are, and not on the screen yet
        self._has_written = False
        self._rows = 0  # that the unfinished piece takes on the screen
        self._lock = threading.Lock()
        self._changed, self._over = threading.Event(), threading.Event()
        self._painter = threading.Thread(target=self._keep_painting, name="barechat-page", daemon=True)
        self._painter.start()

    def write(self, text: str) -> None:
        """Show a piece of the reply."""
        with self._lock:
            self._end_thought()
            self._pieces += self._blocks.feed(visible(text))
        self._changed.set()

    def think(self, text: str) -> None:
        """Show a piece of the model's reasoning."""
        with self._lock:
            if self._thought is None:
                return
            *lines, self._thought = (self._thought + visible(text)).split("\n")
            for line in lines:
                self._add(line, "dim")
        self._changed.set()

    def say(self, text: str, style: str = "") -> None:
        """Show a line that is none of the reply's."""
        with self._lock:
            self._add(visible(text), style)
        self._changed.set()

    def end(self) -> None:
        """Show what is left, and begin a new line."""
        self._over.set()
        self._changed.set()
        self._painter.join()
        self._end_thought()
        self._pieces += self._blocks.end()
        self._paint()

    def _keep_painting(self) -> None:
        with contextlib.suppress(OSError):  # which `end` will meet too
            while self._changed.wait() and not self._over.is_set():
                self._changed.clear()
                with self._lock:
                    self._paint()
                self._over.wait(_FRAME_S)

    def _end_thought(self) -> None:
        thought, self._thought = self._thought, None
        if thought:
            self._add(thought, "dim")

    def _add(self, text: str, style: str) -> None:
        from rich.text import Text  # noqa: PLC0415 - for a quick `barechat --help`

        self._lay_out()
        self._written += self._console.render_lines(Text(text, style), pad=False)
        self._has_written = True

    def _lay_out(self) -> None:
        """Make lines of what is finished: of all since the last frame at once, lest code be coloured line by line."""
        from barechat.cli.rendering import lines_of  # noqa: PLC0415 - likewise

        pieces, self._pieces = self._pieces, []
        for piece in with_code_joined(pieces):
            if self._has_written and not piece.is_joined:
                self._written.append([])
            self._written += lines_of(self._console, piece)
            self._has_written = True

    def _paint(self) -> None:
        """Put on the screen what is finished, in place of the piece that wasn't, and what isn't now below it."""
        self._lay_out()
        tail = self._tail()
        up = f"\x1b[{self._rows - 1}A" if self._rows > 1 else ""
        text = self._drawn(self._written) + self._drawn(tail).removesuffix("\n")
        self._written, self._rows = [], len(tail)
        self._console.file.write(f"\r{up}\x1b[J{text}")
        self._console.file.flush()

    def _tail(self) -> list[list[Segment]]:
        """Return the lines of what isn't finished: no more than the screen has room for."""
        from rich.text import Text  # noqa: PLC0415 - as above

        from barechat.cli.rendering import lines_of, recent  # noqa: PLC0415

        columns, rows = self._console.size
        room = max(rows - 2, 1)
        piece = self._blocks.tail
        if piece is not None:
            lines = lines_of(self._console, recent(piece, room, columns), breaks_code=True)
            return [*([[]] if self._has_written and not piece.is_joined else []), *lines][-room:]
        if self._thought:
            return self._console.render_lines(Text(self._thought[-room * columns :], "dim"), pad=False)[-room:]
        return []

    def _drawn(self, lines: list[list[Segment]]) -> str:
        from rich.segment import Segment, Segments  # noqa: PLC0415 - as above

        with self._console.capture() as captured:
            for line in lines:
                self._console.print(Segments([*line, Segment.line()]), end="", soft_wrap=True)
        return captured.get()


def console_for(stream: IO[str] | None) -> Console | None:
    """Return a console for markdown on a terminal, or None where plain text is all that is wished or possible."""
    if stream is None or not stream.isatty() or not can_write(stream, _DRAWN):
        return None
    from rich.console import Console  # noqa: PLC0415 - 0.1 s to import, and only a terminal needs it

    from barechat.cli.rendering import THEME  # noqa: PLC0415 - likewise

    console = Console(file=stream, theme=THEME, highlight=False, markup=False, emoji=False)
    if console.no_color or console.is_dumb_terminal or console.legacy_windows:
        return None
    return console
