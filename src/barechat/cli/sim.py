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
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat.simulator import Record, Simulator

_FILE = click.Path(dir_okay=False, path_type=Path)
_OFFICIAL = "https://api.openai.com/v1"


class _Arguments(TypedDict):
    """The options that are the simulator's own arguments, by their names."""

    port: int
    host: str
    allow_remote: bool
    scenario: str | None
    dialect: str | None
    replies: Path | None
    tls: bool
    record: Path | None
    upstream: str | None
    seed: int | None
    first_token_s: float | None
    tokens_per_s: float | None
    log: Path | None


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The port; 0 takes a free one."
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="The address to listen at.")
@click.option("--allow-remote", is_flag=True, help="Listen at addresses that other machines reach too.")
@click.option(
    "--scenario",
    metavar="NAME|FILE",
    help="What is to go wrong, and how fast to answer: one of those that come with it (`barechat sim --scenarios` "
    "lists them), or a TOML file.",
)
@click.option("--scenarios", is_flag=True, help="List the scenarios that come with it, and end.")
@click.option("--dialect", metavar="NAME", help="Speak as this server does: azure, vllm, ollama and others.")
@click.option("--replies", type=_FILE, metavar="FILE", help="A JSONL file of answers to give.")
@click.option("--tls", is_flag=True, help="Serve HTTPS, with a certificate made on the spot.")
@click.option(
    "--record",
    type=_FILE,
    metavar="FILE",
    help="Pass all requests on to a real server, and append its answers to this file for --replies, without keys.",
)
@click.option(
    "--upstream",
    metavar="URL",
    help=f"With --record: the base URL of the real server, {_OFFICIAL} by default.",
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
@click.option("--log", type=_FILE, metavar="FILE", help="Append one JSON object a request to this file.")
@click.option(
    "--until-eof",
    is_flag=True,
    help="Stop when standard input ends too: with whoever started it, however that ended.",
)
def sim(scenarios: bool, until_eof: bool, **arguments: Unpack[_Arguments]) -> int:
    """Simulate a server of the API on this machine, until Ctrl-C.

    It answers like the API, refuses what the API refuses, and fails as its scenario says. It costs nothing, and takes
    any key that doesn't begin with sk-bad.

    On a terminal it tells how to use it, and then each request; otherwise it prints its URL, on one line, and with
    --tls, on another, the file of the authority to trust.
    """
    if scenarios:
        return _list_scenarios()
    if arguments["record"] is not None and arguments["upstream"] is None:
        arguments["upstream"] = _OFFICIAL
    with _explained(arguments["port"], arguments["host"]):
        simulator = _made(arguments)
        if until_eof:
            threading.Thread(target=_stop_at_eof, name="barechat-until-eof", daemon=True).start()
        _serve(simulator, arguments)
    return 0


def _made(arguments: _Arguments) -> Simulator:
    from barechat.simulator import Simulator  # noqa: PLC0415 - imports aiohttp

    try:
        return Simulator(**arguments)
    except OSError as error:
        raise click.UsageError(_why(error, arguments["port"], arguments["host"])) from error


def _serve(simulator: Simulator, arguments: _Arguments) -> None:
    """Serve until a signal; a terminal is told of each request."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    record = arguments["record"]

    def show(url: str) -> None:
        authority = simulator.authority if arguments["tls"] else None
        if is_terminal:
            _show_usage(url, authority, None if record is None else f"{arguments['upstream']} is recorded in {record}")
        else:
            _show_url(url, authority)

    simulator.run(on_ready=show, on_record=_show_request if is_terminal else None)


def _list_scenarios() -> int:
    from barechat.simulator import scenario_summaries  # noqa: PLC0415 - imports aiohttp

    summaries = scenario_summaries()
    width = max(map(len, summaries))
    for name, summary in summaries.items():
        click.echo(f"{name:<{width}}  {summary}")
    return 0


@contextlib.contextmanager
def _explained(port: int, host: str) -> Iterator[None]:
    """Tell of what can't be served, in a sentence."""
    from barechat.simulator import ScenarioError  # noqa: PLC0415 - imports aiohttp

    try:
        yield
    except (ScenarioError, ImportError) as error:
        raise click.ClickException(str(error)) from error
    except UnicodeDecodeError as error:
        raise click.ClickException(f"not UTF-8: {error.reason} at byte {error.start}") from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise click.ClickException(_why(error, port, host)) from error


def _why(error: OSError, port: int, host: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: name another by --port, or 0 for any free one"
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return f"can't listen at {host}, port {port}: {error.strerror or error}"


def _show_url(url: str, authority: Path | None) -> None:
    click.echo(url)
    if authority is not None:
        click.echo(authority)


def _show_usage(url: str, authority: Path | None, recorded: str | None) -> None:
    setting = "$env:{} = '{}'" if os.name == "nt" else "export {}={}"
    title = f"A simulator answers at {url} until Ctrl-C. Elsewhere:"
    if recorded is not None:
        title = f"What is asked at {url} and answered by {recorded} until Ctrl-C.\nElsewhere, with its key:"
    lines = [
        title,
        "",
        "  " + setting.format("OPENAI_BASE_URL", url),
        *([] if recorded is not None else ["  " + setting.format("OPENAI_API_KEY", "sk-anything")]),
        *([] if authority is None else ["  " + setting.format("SSL_CERT_FILE", authority)]),
        '  barechat ask "Hello?"',
        "",
    ]
    click.echo("\n".join(lines))


def _show_request(record: Record) -> None:
    from barechat.cli.terminal import visible  # noqa: PLC0415 - for a quick `barechat --help`

    usage = record["usage"] or {}
    parts = [
        time.strftime("%H:%M:%S", time.localtime(record["arrived"])),
        str(record["status"] or "---"),
        f"{record['seconds']:6.2f} s",
        record["model"] or record["path"],
        "streamed" if record["stream"] else "whole",
        f"try {record['attempt']}",
        *([f"{usage['prompt_tokens']} + {usage['completion_tokens']} tokens"] if usage else []),
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
