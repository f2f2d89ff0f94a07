"""Who shows what is typed while a reply comes? Nobody, or it would stand in the midst of the reply."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform == "win32":

    @contextlib.contextmanager
    def unechoed() -> Iterator[None]:
        """Nothing: Windows shows what is typed only once it is read."""
        yield

else:
    import termios

    @contextlib.contextmanager
    def unechoed() -> Iterator[None]:
        """Keep the terminal from showing what is typed meanwhile; it is there for the next prompt.

        Nor may Ctrl-C throw away what is on its way to the screen: the cursor would be elsewhere than we think.
        """
        try:
            before = termios.tcgetattr(sys.stdin)
        except (termios.error, ValueError, OSError):
            yield
            return
        quiet = [*before[:3], before[3] & ~termios.ECHO | termios.NOFLSH, *before[4:]]
        termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
        try:
            yield
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
