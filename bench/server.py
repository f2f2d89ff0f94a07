"""Where does the server run that is measured, or measured against? In a process and on a core of its own."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.process import cpu_s

_STOP_S = 10


class Server:
    """A server in another process. `authority` is the file of the certificate authority that clients have to trust."""

    def __init__(self, url: str, pid: int, authority: str | None = None) -> None:
        self.url = url
        self.pid = pid
        self.authority = authority

    def cpu_s(self) -> float | None:
        """Return the CPU seconds it has used so far, in user mode and the kernel; None where /proc doesn't tell."""
        return cpu_s(self.pid)


@contextlib.contextmanager
def serve(*options: str) -> Iterator[Server]:
    """Start a fresh simulator; `options` are those of `barechat sim`. Stop it at the end."""
    with _started("-m", "barechat.cli", "sim", "--port", "0", "--until-eof", *options) as server:
        yield server


@contextlib.contextmanager
def serve_fixed(*, tls: bool = False) -> Iterator[Server]:
    """Start a server whose answers are fixed (`fixed.py`); with TLS, by a certificate made on the spot."""
    if not tls:
        with _started("-m", "bench.fixed") as server:
            yield server
        return
    import trustme  # noqa: PLC0415 - for those who measure it

    made = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        authority, certificate = Path(folder, "authority.pem"), Path(folder, "certificate.pem")
        made.cert_pem.write_to_path(str(authority))
        made.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        with _started("-m", "bench.fixed", "--certificate", str(certificate)) as server:
            yield Server(server.url, server.pid, str(authority))


@contextlib.contextmanager
def _started(*arguments: str) -> Iterator[Server]:
    """Start a server that prints its URL and ends with its standard input.

    Where the platform can, it has a core of its own, and this process with all that it starts another.
    """
    process = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError("the server didn't start; what it said stands above")
            with _apart(process.pid):
                yield Server(url, process.pid)
        finally:
            process.stdin.close()
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
