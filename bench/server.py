"""Where does the server run that is measured? A fresh simulator, in a process and on a core of its own."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_STOP_S = 10
_FIELDS_BEFORE_UTIME = 11


class Server:
    """A simulator in another process."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self._pid = pid

    def cpu_s(self) -> float | None:
        """Return the CPU seconds it has used so far, in user mode and the kernel; None where /proc doesn't tell."""
        if sys.platform != "linux":
            return None
        # The command's name may hold spaces. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        _, _, fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(") ")
        user, system = fields.split()[_FIELDS_BEFORE_UTIME : _FIELDS_BEFORE_UTIME + 2]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serve(*options: str) -> Iterator[Server]:
    """Start a simulator on a core of its own, where the platform can, and this process on another; stop it at the end.

    `options` are those of `barechat sim`.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "barechat.cli", "sim", "--port", "0", "--until-eof", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError("the simulator didn't start; what it said stands above")
            with _apart(process.pid):
                yield Server(url, process.pid)
        finally:
            process.stdin.close()  # as --until-eof waits for
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def _apart(pid: int) -> Iterator[None]:
    """Keep a process and this one on different cores."""
    if sys.platform != "linux":
        yield
        return
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(pid, cores[:1])
    os.sched_setaffinity(0, cores[1:] or cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
