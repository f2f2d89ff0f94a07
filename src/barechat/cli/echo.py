"""Who shows what is typed while a reply comes? Nobody, or it would stand in the midst of the reply."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARK_PASTES = "\x1b[?2004h"  # until the next prompt has read a line

if sys.platform == "win32":

    @contextlib.contextmanager
    def unechoed(*, marks_pastes: bool) -> Iterator[None]:  # noqa: ARG001 - the other system's
        """Nothing: Windows shows what is typed only once it is read."""
        yield

else:
    import termios

    @contextlib.contextmanager
    def unechoed(*, marks_pastes: bool) -> Iterator[None]:
        """Keep the terminal from showing what is typed meanwhile; it is there for the next prompt.

        Nor may Ctrl-C throw away what is on its way to the screen: the cursor would be elsewhere than we think.

        marks_pastes: whether the terminal is told to mark what is pasted, lest each of its lines be sent by itself.
        """
        try:
            before = termios.tcgetattr(sys.stdin)
        except (termios.error, ValueError, OSError):
            yield
            return
        quiet = [*before[:3], before[3] & ~termios.ECHO | termios.NOFLSH, *before[4:]]
        termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
        if marks_pastes:
            sys.stdout.write(_MARK_PASTES)
        try:
            yield
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
