"""One thread a process that shuts sockets down at their deadlines.

A socket's own timeout bounds one read, so a peer that drips a byte at a time outlives it for ever; and closing a
socket from another thread waits for its reader. Shutting it down wakes the reader up at once, with an end of file.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from barechat.steps import Deadline, Tell

_AGAIN_S = 0.01


class Watch:
    """A socket's deadline. It belongs to the connection, and is armed by whoever uses that at the time."""

    __slots__ = ("__weakref__", "_deadline", "_lock", "_owner", "_sock", "scheduled_at")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._owner: Flight | None = None
        self._deadline: Deadline | None = None
        self.scheduled_at: float | None = None  # the watchdog's own note

    def attach(self, sock: socket.socket) -> None:
        """Watch this socket from now on."""
        with self._lock:
            self._sock = sock

    def arm(self, owner: Flight, deadline: Deadline | None) -> None:
        """Shut the socket down at `deadline`, on behalf of `owner`; None for never. At once if the flight is cut."""
        with self._lock:
            self._owner, self._deadline = owner, deadline
            if owner.is_cut:
                self._shut_down()
        # Asked here too, for each read of a stream: it makes 0.8 us of the 1.4 that arming and disarming took.
        if deadline is not None and ((at := self.scheduled_at) is None or deadline.at < at):
            watchdog().schedule(self, deadline.at)

    def disarm(self, owner: Flight) -> None:
        """Let the socket be, unless somebody else has armed the watch since."""
        with self._lock:
            if self._owner is owner:
                self._deadline = None

    def cut(self, owner: Flight) -> None:
        """Shut the socket down now, if it is still `owner`'s."""
        with self._lock:
            if self._owner is not owner:
                return
            self._shut_down()
        if owner.is_connecting:
            watchdog().schedule(self, time.monotonic() + _AGAIN_S)

    def expire(self, now: float) -> float | None:
        """Shut the socket down if its deadline has passed; else return when to look again, or None."""
        with self._lock:
            owner = self._owner
            if owner is not None and owner.is_cut and owner.is_connecting:
                self._shut_down()  # again: before its connecting began, it had no effect
                return now + _AGAIN_S
            if self._deadline is None:
                return None
            if self._deadline.at > now:
                return self._deadline.at
            if owner is not None:
                owner.expired = self._deadline
            self._deadline = None
            self._shut_down()
            return None

    def _shut_down(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):  # it was closed already
                # Not the SSLSocket's own method, which would pull the TLS state from under its reader.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


class Flight:
    """One request's use of a connection: which deadlines hold, what became of them, and whether it is to end."""

    __slots__ = (
        "connect_by",
        "expired",
        "head_by",
        "is_connecting",
        "is_cut",
        "leaving",
        "pid",
        "sent",
        "tell",
        "watch",
    )

    def __init__(
        self,
        connect_by: Deadline | None,
        head_by: Deadline | None,
        tell: Tell = lambda _: None,
        leaving: Callable[[], object] = lambda: None,
    ) -> None:
        self.pid = os.getpid()
        self.connect_by = connect_by
        self.head_by = head_by
        self.tell = tell
        self.leaving = leaving
        self.watch: Watch | None = None
        self.sent: bool | None = False
        self.expired: Deadline | None = None
        self.is_connecting = False
        self.is_cut = False

    def leave(self) -> None:
        """From now on nobody knows whether the request reached the server."""
        self.leaving()
        self.sent = None

    def cut(self) -> None:
        """End it now, from any thread: whoever connects, sends or reads on its behalf wakes up."""
        self.is_cut = True
        watch = self.watch
        if watch is not None and self.pid == os.getpid():  # else it is a parent's, in use there
            watch.cut(self)


class Watchdog:
    """A heap of moments at which to look at a watch. A later deadline needs no new entry: the old one moves on.

    It keeps no watch alive, nor its socket: a connection that Ctrl-C left to nobody is gone at once.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, weakref.ref[Watch]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._is_running = False

    def schedule(self, watch: Watch, at: float) -> None:
        """See to it that `watch` is looked at by `at`."""
        scheduled = watch.scheduled_at
        if scheduled is not None and scheduled <= at:
            return
        with self._changed:
            watch.scheduled_at = at
            heapq.heappush(self._heap, (at, next(self._numbers), weakref.ref(watch)))
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="barechat-watchdog", daemon=True).start()
            if self._heap[0][2]() is watch:
                self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while True:
                if not self._heap:
                    self._changed.wait()
                    continue
                at, _, seen = self._heap[0]
                now = time.monotonic()
                if at > now:
                    self._changed.wait(at - now)
                    continue
                heapq.heappop(self._heap)
                later = _look(seen(), at, now)
                if later is not None:
                    heapq.heappush(self._heap, (later, next(self._numbers), seen))


def _look(watch: Watch | None, at: float, now: float) -> float | None:
    """Look at a watch, as was scheduled; return when to look again, or None."""
    if watch is None or watch.scheduled_at != at:
        return None  # it is gone, or an earlier entry took this one's place
    watch.scheduled_at = None  # before it is looked at, so that whoever arms it meanwhile schedules it anew
    later = watch.expire(now)
    if later is not None:
        watch.scheduled_at = later
    return later


_watchdogs: dict[int, Watchdog] = {}


def watchdog() -> Watchdog:
    """Return this process's watchdog; a forked child gets its own."""
    pid = os.getpid()  # and no lock, which a fork could copy locked
    found = _watchdogs.get(pid)
    return found if found is not None else _watchdogs.setdefault(pid, Watchdog())
