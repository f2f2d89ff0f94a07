"""How does text reach a person's terminal, or a pipe? The answer on standard output, all else on standard error."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import warnings
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

# A model's words may hold escape sequences, which could retitle a terminal, fill its clipboard or hide a line.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


_HANG = "  "  # as wide as the marks of a transcript


class OutputClosedError(Exception):
    """Whoever read standard output has stopped reading, as `head` does."""


def visible(text: str) -> str:
    """Return text with its control characters spelled out, but for tabs and line ends; carriage returns go."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r", ""))


def hung(text: str, width: int) -> str:
    """Return lines with those that are too long broken, so that only what begins a line stands in the first columns."""
    from rich.cells import cell_len, chop_cells  # noqa: PLC0415 - as in Notes

    lines = []
    for line in text.removesuffix("\n").split("\n"):
        room = max(width - len(_HANG), 2)  # a character may take two columns
        rest = [line[len(_HANG) :]] if cell_len(line) <= width else chop_cells(line[len(_HANG) :], room)
        lines.append(line[: len(_HANG)] + f"\n{_HANG}".join(rest))
    return "".join(f"{line}\n" for line in lines)


def dot(stream: IO[str] | None) -> str:
    """Return what stands between the parts of a line: a middle dot, or a comma where there is none."""
    return " · " if can_write(stream, "·") else ", "


def can_write(stream: IO[str] | None, text: str) -> bool:
    """Say whether a stream's encoding has all these characters."""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True


class Answer:
    """Standard output: the answer, and nothing else. Plain to a pipe; a terminal gets no control characters.

    Its methods raise OutputClosedError when nobody reads any more, and OSError when there is no room left.
    """

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream
        self._is_mid_line = False
        self._has_begun = False
        self.is_terminal = stream is not None and stream.isatty()

    @property
    def is_unicode(self) -> bool:
        """Whether any character can be written."""
        return can_write(self._stream, "\U0001f600")

    def write(self, text: str) -> None:
        """Write a piece of the answer, at once."""
        if not text or self._stream is None:
            return
        self._is_mid_line, self._has_begun = not text.endswith("\n"), True
        try:
            self._stream.write(visible(text) if self.is_terminal else text)
            self._stream.flush()
        except BrokenPipeError:
            self._discard()
            raise OutputClosedError from None
        except OSError:
            self._discard()
            raise

    def begin_paragraph(self) -> None:
        """Leave an empty line, unless nothing has been written yet."""
        self.end_line()
        if self._has_begun:
            self.write("\n")

    def end_line(self) -> None:
        """Begin a new line, unless at one."""
        if self._is_mid_line:
            self.write("\n")

    def _discard(self) -> None:
        """Send what Python still holds back nowhere, or its flush at exit would fail once more."""
        stream, self._stream = self._stream, None
        if stream is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


class Notes:
    """Standard error: what is said beside the answer. In colour on a terminal, unless NO_COLOR is set."""

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream
        self._is_mid_line = False
        self._console: Console | None = None
        self.is_terminal = stream is not None and stream.isatty()
        self.dot = dot(stream)
        if self.is_terminal:
            from rich.console import Console  # noqa: PLC0415 - 0.1 s to import, and only a terminal needs it

            self._console = Console(file=stream, highlight=False, markup=False, emoji=False)

    def line(self, text: str, style: str = "") -> None:
        """Write a line, wrapped between words on a terminal."""
        self.end_line()
        self._write([(text, style)], wraps=True)
        self._write([("\n", "")])

    def error(self, text: str) -> None:
        """Write an error as one line."""
        self.end_line()
        self._write([("error: ", "bold red"), (" ".join(text.split()), "")], wraps=True)
        self._write([("\n", "")])

    def verbatim(self, text: str) -> None:
        """Write lines as they are; a terminal's are broken at its edge, and go on below their own beginning's mark."""
        self.end_line()
        if self._console is not None:
            text = hung(visible(text), self._console.width)
        self._write([(text, "")])

    def murmur(self, text: str) -> None:
        """Write a piece of a text that goes on, dimmed."""
        if text:
            self._write([(text, "dim")])
            self._is_mid_line = not text.endswith("\n")

    def end_line(self) -> None:
        """Begin a new line, unless at one."""
        if self._is_mid_line:
            self._is_mid_line = False
            self._write([("\n", "")])

    def _write(self, parts: list[tuple[str, str]], *, wraps: bool = False) -> None:
        try:
            if self._console is not None:
                from rich.text import Text  # noqa: PLC0415 - as above

                text = Text.assemble(*((visible(part), style) for part, style in parts))
                self._console.print(text, end="", soft_wrap=not wraps)
            elif self._stream is not None:
                self._stream.write("".join(part for part, _ in parts))
                self._stream.flush()
        except OSError:
            self._console = self._stream = None  # nobody is there to be told


@contextlib.contextmanager
def warnings_told(say: Callable[[str, str], None]) -> Iterator[None]:
    """Tell warnings in one line each, and leave it to the exit code's line to tell verdicts."""

    def tell(message: Warning | str, *_: Any, **__: Any) -> None:
        say(f"warning: {message}", "yellow")

    logging.getLogger("barechat").addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = tell
        yield


@contextlib.contextmanager
def log_heard(hear: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    """Pass on what the logger `barechat` says of warnings and errors."""

    class Hearer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            hear(record)

    logger, hearer = logging.getLogger("barechat"), Hearer(logging.WARNING)
    logger.addHandler(hearer)
    try:
        yield
    finally:
        logger.removeHandler(hearer)


def standard() -> tuple[Answer, Notes]:
    """Return this process's standard output and error."""
    return Answer(sys.stdout), Notes(sys.stderr)
