"""How the command's tests run it: as a shell would, in a process of its own, with an environment that we chose."""

from __future__ import annotations

import codecs
import io
import os
import struct
import subprocess
import sys
from typing import IO, Any, Self

import leaks
import support

KEY = support.KEY
_OURS = (
    "OPENAI_",
    "AZURE_OPENAI_",
    "BARECHAT_",
    "SSL_CERT_",
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
    "PYTHONIOENCODING",
    "PYTHONUTF8",
    "COVERAGE_",  # a command that is killed leaves half a file of it
)


def command(*arguments: str, warnings: str = "error") -> list[str]:
    return [sys.executable, "-W", warnings, "-m", "barechat.cli", *arguments]


def environment(url: str | None = None, **more: str) -> dict[str, str]:
    """Return this process's environment without what would steer the command, and with these.

    No ledger of the user's own is written: there is none, unless one is named, or HOME is a directory of the test's.
    """
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(_OURS) and not name.upper().endswith("_PROXY")
    }
    env |= {"OPENAI_API_KEY": KEY} | ({} if url is None else {"OPENAI_BASE_URL": url})
    return env | {"PYTHONUTF8": "1"} | ({} if "HOME" in more else {"BARECHAT_LEDGER": ""}) | more


def run(*arguments: str, url: str | None = None, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run `barechat …` to its end. Keyword arguments in capitals are variables of its environment."""
    done = subprocess.run(  # noqa: S603 - our own command
        command(*arguments),
        env=environment(url, **more),
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    leaks.heard += [done.stdout.encode(), done.stderr.encode()]
    return done


class _Heard(io.BufferedReader):
    """A command's pipe, whose every byte that is read goes to the search for the key too."""

    def read(self, size: int | None = -1, /) -> bytes:
        leaks.heard.append(data := super().read(size))
        return data

    def readline(self, size: int | None = -1, /) -> bytes:
        leaks.heard.append(data := super().readline(size))
        return data


class _Command(subprocess.Popen[bytes]):
    """A command whose output goes to the search for the key."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stdout, self.stderr = (
            _Heard(pipe.detach()) if isinstance(pipe, io.BufferedReader) else pipe
            for pipe in (self.stdout, self.stderr)
        )

    def communicate(self, input: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:  # noqa: A002 - Popen's own
        out, err = super().communicate(input, timeout)
        leaks.heard += [out or b"", err or b""]
        return out, err


def start(
    *arguments: str,
    url: str | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    warnings: str = "error",
    **more: str,
) -> subprocess.Popen[bytes]:
    """Start `barechat …`, with pipes for its output and nothing to read."""
    return _Command(
        command(*arguments, warnings=warnings),
        env=environment(url, **more),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def on_a_terminal(*arguments: str, url: str | None = None, **more: str) -> tuple[str, int]:
    """Run `barechat …` on a terminal of 80 columns (POSIX alone); return all that it showed, and its exit code."""
    with Terminal(*arguments, url=url, **more) as running:
        return running.read_all(), running.wait()


class Terminal:
    """`barechat …`, running on a terminal of 80 columns (POSIX alone)."""

    through: tuple[str, ...] = ()  # a command that runs the one after it

    def __init__(self, *arguments: str, url: str | None = None, **more: str) -> None:
        import fcntl  # noqa: PLC0415 - Windows has neither of the three
        import pty  # noqa: PLC0415
        import termios  # noqa: PLC0415

        self.descriptor, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            [*self.through, *command(*arguments)],
            env=environment(url, **{"TERM": "xterm-256color"} | more),
            start_new_session=True,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a read may end within a character,
        self._held = ""  # or within a line's end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.descriptor)

    def read(self) -> str:
        """Return what has come, "" at the end."""
        try:
            text = ""
            while not text and (data := os.read(self.descriptor, 65536)):
                leaks.heard.append(data)
                text = self._held + self._decoder.decode(data)
                self._held = "\r" if text.endswith("\r") else ""
                text = text.removesuffix("\r").replace("\r\n", "\n")
            return text
        except OSError:  # what Linux says at a terminal's end
            held, self._held = self._held, ""
            return held

    def read_until(self, text: str) -> str:
        """Return what came until `text` had."""
        shown = ""
        while text not in shown:
            piece = self.read()
            assert piece, f"it ended without {text!r}: {shown}"
            shown += piece
        return shown

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self.descriptor, text.encode())

    def read_all(self) -> str:
        """Return all that comes."""
        return "".join(iter(self.read, ""))

    def wait(self) -> int:
        """Return the exit code."""
        return self.process.wait(timeout=60)
