"""When may this process fork? Between two uses of a ledger's file, and with no connection to it left open.

SQLite notes, for each process, which locks it has on a file. A fork copies the notes and not the locks. A child that
opened the file anew would believe them: wait for ever for a transaction of its parent's, or write to a log that others
take for unused, and delete. So a fork waits for whoever uses a connection, and has the idle ones closed; they open
again when they are needed. https://sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class Turn:
    """The time in which one thread uses a connection, as a context; no fork comes in between.

    close: closes the connection, if it outlasts its turns. It is called before a fork.
    """

    def __init__(self, close: Callable[[], object] = lambda: None) -> None:
        self.close = close
        self.lock = threading.RLock()  # a signal's handler may fork in the middle of a turn

    def __enter__(self) -> Self:
        with _forks.gate:  # whoever is about to fork has it: else a busy writer would never let it come in
            _forks.turns.add(self)
            self.lock.acquire()
        return self

    def __exit__(self, *exception: object) -> None:
        self.lock.release()


class _Forks:
    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Know of nobody: in a child, the turns are of its parent's threads."""
        self.gate = threading.RLock()
        self.turns: weakref.WeakSet[Turn] = weakref.WeakSet()
        self.stopped: list[Turn] = []

    def before(self) -> None:
        self.gate.acquire()
        self.stopped = list(self.turns)
        for turn in self.stopped:
            turn.lock.acquire()
            turn.close()

    def after(self) -> None:
        stopped, self.stopped = self.stopped, []
        for turn in stopped:
            turn.lock.release()
        self.gate.release()


_forks = _Forks()

if sys.platform != "win32":  # which has no forks
    os.register_at_fork(before=_forks.before, after_in_parent=_forks.after, after_in_child=_forks.begin)
