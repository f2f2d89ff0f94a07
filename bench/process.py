"""What has a process used? Its CPU and its memory, as Linux tells them; None on other systems."""

import os
import sys

_FIELDS_BEFORE_UTIME = 11


def cpu_s(pid: int) -> float | None:
    """Return the CPU seconds that a process has used so far, in user mode and the kernel."""
    if sys.platform != "linux":
        return None
    # The command's name may hold spaces. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - no pathlib: see job.py
        _, _, fields = file.read().rpartition(") ")
    user, system = fields.split()[_FIELDS_BEFORE_UTIME : _FIELDS_BEFORE_UTIME + 2]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def resident_kib() -> int | None:
    """Return this process's memory now."""
    return _status("VmRSS")


def peak_kib() -> int | None:
    """Return the most memory that this process has had. getrusage's would be its parent's, where that had more."""
    return _status("VmHWM")


def _status(name: str) -> int | None:
    if sys.platform != "linux":
        return None
    with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123 - likewise
        return next(int(line.split()[1]) for line in file if line.startswith(f"{name}:"))
