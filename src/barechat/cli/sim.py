"""`barechat sim`: the simulator in the foreground."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from barechat.simulator import Record


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The port; 0 takes a free one."
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="The address; only loopback's are taken."
)
@click.option(
    "--scenario",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A TOML file of what is to go wrong, and how fast to answer.",
)
@click.option("--seed", type=int, metavar="NUMBER", help="Another seed, other answers.")
@click.option(
    "--first-token-s", type=click.FloatRange(min=0), metavar="SECONDS", help="The time to an answer's first token."
)
@click.option(
    "--tokens-per-s",
    type=click.FloatRange(min=0),
    metavar="NUMBER",
    help="Tokens a second after it; 0 sends all at once.",
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append one JSON object a request to this file.",
)
@click.option(
    "--until-eof",
    is_flag=True,
    help="Stop when standard input ends too: with whoever started it, however that ended.",
)
def sim(
    port: int,
    host: str,
    scenario: Path | None,
    seed: int | None,
    first_token_s: float | None,
    tokens_per_s: float | None,
    log: Path | None,
    until_eof: bool,
) -> int:
    """Simulate a server of the API on this machine, until Ctrl-C.

    It answers like the API, refuses what the API refuses, and fails as its scenario says. It costs nothing, and takes
    any key that doesn't begin with sk-bad.

    On a terminal it tells how to use it, and then each request; otherwise it prints its URL, on one line.
    """
    from barechat.simulator import ScenarioError, Simulator  # noqa: PLC0415 - imports aiohttp

    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    try:
        simulator = Simulator(
            scenario,
            seed=seed,
            host=host,
            port=port,
            log=log,
            first_token_s=first_token_s,
            tokens_per_s=tokens_per_s,
        )
        if until_eof:
            threading.Thread(target=_stop_at_eof, name="barechat-until-eof", daemon=True).start()
        simulator.run(
            on_ready=_show_usage if is_terminal else click.echo, on_record=_show_request if is_terminal else None
        )
    except ScenarioError as error:
        raise click.ClickException(str(error)) from error
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{scenario}: not UTF-8: {error.reason} at byte {error.start}") from error
    except ValueError as error:
        raise click.UsageError(f"--host {host}: only addresses of loopback are served, such as 127.0.0.1.") from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise click.ClickException(_why(error, port, host)) from error
    return 0


def _why(error: OSError, port: int, host: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: name another by --port, or 0 for any free one"
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return f"can't listen at {host}, port {port}: {error.strerror or error}"


def _show_usage(url: str) -> None:
    setting = "$env:{} = '{}'" if os.name == "nt" else "export {}={}"
    lines = [
        f"A simulator answers at {url} until Ctrl-C. Elsewhere:",
        "",
        "  " + setting.format("OPENAI_BASE_URL", url),
        "  " + setting.format("OPENAI_API_KEY", "sk-anything"),
        '  barechat ask "Hello?"',
        "",
    ]
    click.echo("\n".join(lines))


def _show_request(record: Record) -> None:
    from barechat.cli.terminal import visible  # noqa: PLC0415 - for a quick `barechat --help`

    parts = [
        time.strftime("%H:%M:%S", time.localtime(record["arrived"])),
        str(record["status"] or "---"),
        record["model"] or record["path"],
        "streamed" if record["stream"] else "whole",
        f"try {record['attempt']}",
        record["decision"],
        *(["the client hung up"] if record["hung_up"] else []),
    ]
    with contextlib.suppress(OSError):  # a terminal that went away is no reason to break off an answer
        click.echo(visible("  ".join(parts)))


def _stop_at_eof() -> None:
    # Not sys.stdin: a daemon thread that holds its lock makes Python's exit fail.
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
