"""Which process holds money, and whether it still runs.

A process is known by its number, the moment that it started, and the boot of its system: numbers come again. Where the
system doesn't tell these (other than Linux), a number in use is taken for the process itself. One in another container
looks dead; whoever reconciles then counts its holds as spent, which errs on the safe side.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

Owner = tuple[int, str, str]
"""A process's number, its start, and its system's boot; '' where unknown."""


def this_process() -> Owner:
    """Return the owner that this process is."""
    pid = os.getpid()
    return pid, _started(pid), _boot()


def is_dead(owner: Owner) -> bool:
    """Say whether a process has surely ended."""
    pid, started, boot = owner
    if boot and _boot() and boot != _boot():
        return True
    if started and _boot():
        return _started(pid) != started
    return not _is_seen(pid)


def _started(pid: int) -> str:
    """Return when a process started, in ticks since its system's boot; '' if it doesn't run, or where nobody tells."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    state, *rest = text.rpartition(")")[2].split()  # its name, in parentheses, may hold anything
    return "" if state in {"Z", "X"} else rest[18]


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _is_seen(pid: int) -> bool:
    if sys.platform == "win32":  # where os.kill would send it Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
