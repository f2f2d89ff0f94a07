"""`barechat bulk`: a file of requests, each answered once, as fast as the limits allow."""

from __future__ import annotations

import contextlib
import gc
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from barechat.cli.besides import check_paths, write_besides
from barechat.cli.options import DEFAULT_MODEL, model_option
from barechat.cli.values import parameters_of
from barechat.cli.wording import counted, held_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat.async_client import AsyncClient
    from barechat.bulk.run import AsyncBulkRun
    from barechat.cli.terminal import Notes
    from barechat.cli.watching import Watch
    from barechat.ledger.ledger import Ledger
    from barechat.money.budget import Budget

__all__ = ["DEFAULT_MODEL", "bulk"]

_STOPPED, _FAILED, _INTERRUPTED = 1, 3, 130
_FILE = click.Path(dir_okay=False, path_type=Path)
_BLOCK = 1 << 20
_GARBAGE = 20_000  # objects, until they are looked through: a seventh of a run's time went there


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What the command was asked for."""

    source: str
    output: Path
    form: str | None
    prompt: str | None
    system: str | None
    model: str
    parameters: dict[str, Any]
    extra: dict[str, Any]
    rpm: float | None
    tpm: float | None
    concurrency: int | None
    budget: str | None
    ledger: Path | None
    ordered: bool
    retry_failed: bool
    text_only: Path | None
    table: Path | None
    quiet: bool
    summary: Path | None
    base_url: str | None


@click.command()
@click.argument("source", metavar="INPUT", type=str)
@click.option(
    "-o", "--output", required=True, type=_FILE, metavar="FILE", help="Where the results go, a JSON line each."
)
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), help="INPUT's form, by default by its name.")
@click.option("--prompt", metavar="TEXT", help="Make a request of each row, as in 'Summarise: {text}'.")
@click.option("-s", "--system", metavar="TEXT", help="A system message before the prompt, with fields likewise.")
@model_option
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="As for ask. Repeatable.")
@click.option("-x", "--extra", "extras", multiple=True, metavar="NAME=VALUE", help="As for ask. Repeatable.")
@click.option("--budget", metavar="DOLLARS", help="Stop before more than this is spent on OUTPUT, by all its runs.")
@click.option("--ledger", type=_FILE, metavar="FILE", help="Where attempts are filed.  [default: OUTPUT.ledger]")
@click.option(
    "--rpm", type=click.FloatRange(0, min_open=True), metavar="NUMBER", help="At most so many requests a minute."
)
@click.option(
    "--tpm", type=click.FloatRange(0, min_open=True), metavar="NUMBER", help="At most so many tokens a minute."
)
@click.option("--concurrency", type=click.IntRange(1), metavar="NUMBER", help="At most so many requests under way.")
@click.option("--retry-failed", is_flag=True, help="Try again what failed in an earlier run.")
@click.option("--ordered", is_flag=True, help="Put OUTPUT into INPUT's order at the end.")
@click.option("--text-only", type=_FILE, metavar="FILE", help="Write the texts there at the end, a JSON string a line.")
@click.option("--csv", "table", type=_FILE, metavar="FILE", help="Write a table there at the end.")
@click.option("--strict", is_flag=True, help="Send nothing if any line of INPUT is bad.")
@click.option("--dry-run", is_flag=True, help="Say what it would cost and how long it would take, and send nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--summary", type=_FILE, metavar="FILE", help="Write how it ended there, as a JSON object.")
@click.option("--base-url", metavar="URL", help="The server's URL.  [default: OPENAI_BASE_URL, else OpenAI's]")
def bulk(strict: bool, dry_run: bool, parameters: tuple[str, ...], extras: tuple[str, ...], **asked: Any) -> int:
    """Answer the requests of a file as fast as the limits allow. INPUT is JSON lines or CSV; - is standard input.

    It can be killed at any moment and started again: what has its line in OUTPUT isn't sent again. Ctrl-C once lets
    what is under way come to its end; twice, or SIGTERM, ends it at once.

    Exit codes: 0 every request has a reply; 1 it stopped before the end; 2 usage; 3 some failed; 130 Ctrl-C; 143
    SIGTERM.
    """
    import asyncio  # noqa: PLC0415 - for a quick `barechat --help`

    from barechat.cli.terminal import standard  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.errors import BarechatError, ParameterError  # noqa: PLC0415

    job = _Job(parameters=parameters_of(parameters, "-p"), extra=parameters_of(extras, "-x"), **asked)
    _check(job, is_strict=strict)
    _, notes = standard()
    try:
        if dry_run:
            return asyncio.run(_foresee(job, notes))
        if strict and asyncio.run(_tell_bad(job, notes)):
            notes.error("nothing was sent, as --strict asks")
            return _FAILED
        return asyncio.run(_perform(job, notes))
    except ParameterError as error:
        raise click.UsageError(str(error)) from error
    except BarechatError as error:
        notes.error(str(error))
        return _STOPPED
    except asyncio.CancelledError:  # by a signal at the very end
        return _INTERRUPTED


def _check(job: _Job, *, is_strict: bool) -> None:
    """Refuse what can't be done, before anything is."""
    if job.source == "-" and is_strict:
        raise click.UsageError("--strict reads INPUT twice, which standard input can't be; save it to a file.")
    if job.source == "-" and sys.stdin is None:
        raise click.UsageError("standard input is closed; name a file.")
    if str(job.output) == "-":
        raise click.UsageError("-o must be a file, from which a run can go on.")
    if job.system is not None and job.prompt is None:
        raise click.UsageError("--system goes before a --prompt; requests bring their own messages.")
    source = None if job.source == "-" else Path(job.source)
    if source is not None:
        try:
            source.open("rb").close()
        except OSError as error:
            raise click.UsageError(f"{job.source!r} can't be read: {error.strerror or error}.") from error
    besides = {"--text-only": job.text_only, "--csv": job.table, "--summary": job.summary}
    check_paths({"INPUT": source, "--output": job.output, "--ledger": _ledger_path(job), **besides})


@contextlib.contextmanager
def _opened(job: _Job, client: AsyncClient, *, is_dry: bool = False) -> Iterator[AsyncBulkRun]:
    """Open the input and make a run of it."""
    from barechat.bulk.requests import Reader, Template  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.bulk.run import AsyncBulkRun, Plan  # noqa: PLC0415
    from barechat.bulk.source import requests_of, without_blocking  # noqa: PLC0415

    reader = Reader(
        prompt=None if job.prompt is None else Template(job.prompt, "--prompt"),
        system=None if job.system is None else Template(job.system, "--system"),
        parameters=client._defaults(job.model, job.parameters, job.extra, None),  # noqa: SLF001 - as Client.bulk
    )
    with _input(job) as file:
        form: Any = job.form or ("csv" if job.source.lower().endswith(".csv") else "jsonl")
        requests = requests_of(file, form, reader)
        plan = Plan(
            requests=without_blocking(requests) if job.source == "-" else requests,
            output=job.output,
            ordered=job.ordered,
            retry_failed=job.retry_failed,
            is_dry=is_dry,
            rpm=job.rpm,
            tpm=job.tpm,
            concurrency=job.concurrency,
            tags=_tags(job),
        )
        yield AsyncBulkRun(client, plan)


def _input(job: _Job) -> contextlib.AbstractContextManager[IO[bytes]]:
    if job.source != "-":
        return Path(job.source).open("rb")
    # Neither closed nor Python's own: a thread may still wait for it, and has it locked, when the program ends.
    return contextlib.nullcontext(open(sys.stdin.fileno(), "rb", closefd=False))


def _tags(job: _Job) -> dict[str, str]:
    return {"bulk": str(job.output.resolve())}


def _made_client(job: _Job, ledger: Ledger | None = None, budget: Budget | None = None) -> AsyncClient:
    from barechat.async_client import AsyncClient  # noqa: PLC0415 - for a quick `barechat --help`

    return AsyncClient(None, job.base_url, ledger=ledger, budget=budget)


def _ledger_path(job: _Job) -> Path:
    return job.ledger or job.output.with_name(f"{job.output.name}.ledger")


def _ledger(job: _Job) -> tuple[Ledger, Budget | None]:
    """Return the ledger, and the budget of this output in it, whose amount is what was asked for now."""
    from barechat.errors import ConfigurationError  # noqa: PLC0415 - as above
    from barechat.ledger.ledger import Ledger  # noqa: PLC0415
    from barechat.money.budget import Budget  # noqa: PLC0415

    if job.budget is None:
        return Ledger(_ledger_path(job)), None
    try:
        budget = Budget(job.budget.removeprefix("$"), tag=f"bulk={_tags(job)['bulk']}")
    except ConfigurationError as error:
        raise click.UsageError(f"--budget {job.budget!r}: it is dollars, above 0, as in 20 or 0.50.") from error
    ledger = Ledger(_ledger_path(job))
    ledger.set_budget(budget)
    ledger.drop_budget(budget.per, budget.tag)  # it is this command's alone
    return ledger, budget


async def _tell_bad(job: _Job, notes: Notes) -> int:
    """Tell of all bad lines; return how many."""
    from barechat.bulk.requests import BadLine  # noqa: PLC0415 - as above

    count = 0
    with _opened(job, _made_client(job), is_dry=True) as run:
        async for item in run.rest():
            if isinstance(item, BadLine):
                notes.line(f"line {item.line}: {item.error}", "red")
                count += 1
    return count


async def _foresee(job: _Job, notes: Notes) -> int:
    """Say what a run would come to."""
    from barechat.bulk.outlook import REPLY_TOKENS, Outlook  # noqa: PLC0415 - as above
    from barechat.bulk.requests import BadLine  # noqa: PLC0415
    from barechat.cli.watching import duration  # noqa: PLC0415
    from barechat.money.prices import Prices  # noqa: PLC0415
    from barechat.records import dollars  # noqa: PLC0415

    outlook, bad = Outlook(Prices.default()), 0
    with _opened(job, _made_client(job), is_dry=True) as run:
        async for item in run.rest():
            if isinstance(item, BadLine):
                notes.line(f"line {item.line}: {item.error}", "red")
                bad += 1
            else:
                outlook.add(item)
        before, changed = run.progress.before, run.progress.changed
    click.echo(f"{outlook.requests:,} to send, {changed:,} of them changed, {before:,} recorded before, {bad:,} bad")
    about, most = dollars(outlook.expected_pd), dollars(outlook.bound_pd)
    click.echo(f"cost: about {about} (replies of {REPLY_TOKENS} tokens), at most {most}")
    if outlook.unpriced or outlook.unbounded:
        click.echo(f"of {outlook.unpriced:,} the price isn't known, of {outlook.unbounded:,} the most they can cost")
    seconds = outlook.seconds(job.rpm, job.tpm)
    if seconds is not None:
        click.echo(f"time: about {duration(seconds)} at these limits")
    return _FAILED if bad else 0


async def _perform(job: _Job, notes: Notes) -> int:
    import asyncio  # noqa: PLC0415 - for a quick `barechat --help`

    from barechat.cli.watching import Watch  # noqa: PLC0415 - as above

    gc.freeze()  # what was imported lives on; and of what comes, little is in circles
    gc.set_threshold(_GARBAGE)
    ledger, budget = _ledger(job)
    if (left := ledger.abandoned()).attempts and not job.quiet:
        notes.line(
            f"{held_by(left)} It may be billed besides what this run costs; `barechat ledger reconcile --ledger "
            f"{ledger.path}` counts it as spent",
            "yellow",
        )
    async with _made_client(job, ledger, budget) as client:
        with _opened(job, client) as run:
            watch = Watch(run, notes, await asyncio.to_thread(_count_lines, job), is_quiet=job.quiet)
            code = await _run(run, watch, notes)
            if run.progress.stopped is not None:
                await _tell_rest(run, client, notes)
    return _end(job, run, watch, notes, code)


async def _run(run: AsyncBulkRun, watch: Watch, notes: Notes) -> int:
    """Run to the end, or to whatever stops it; return the exit code."""
    import asyncio  # noqa: PLC0415 - for a quick `barechat --help`

    from barechat.cli.stopping import Stopping  # noqa: PLC0415 - as above
    from barechat.errors import BarechatError, ParameterError  # noqa: PLC0415

    async def tick() -> None:
        while True:
            await asyncio.sleep(watch.every_s)
            watch.show()

    ticking = asyncio.create_task(tick())
    with Stopping(run, watch) as stopping:
        try:
            async for result in run:
                if isinstance(result.error, ParameterError):
                    watch.note(f"line {result.line}: {result.error}", "red")
        except BarechatError as error:
            watch.end()
            notes.error(str(error))
            return _STOPPED
        except asyncio.CancelledError:
            if stopping.code is None:
                raise  # somebody else's
        finally:
            ticking.cancel()
            watch.end()
    if stopping.code is not None:
        return stopping.code
    return _FAILED if run.progress.failed or run.progress.bad else 0


async def _tell_rest(run: AsyncBulkRun, client: AsyncClient, notes: Notes) -> None:
    """Say what was done, what remains, and what that would take."""
    from barechat.bulk.outlook import Outlook  # noqa: PLC0415 - as above
    from barechat.bulk.requests import BulkRequest  # noqa: PLC0415
    from barechat.records import dollars  # noqa: PLC0415

    outlook, progress = Outlook(client._prices), run.progress  # noqa: SLF001 - the client's own table
    async for item in run.rest():
        if isinstance(item, BulkRequest):
            outlook.add(item)
    about = outlook.expected_pd
    if progress.done:
        about = progress.picodollars // progress.ended * outlook.requests
    notes.line(
        f"{progress.done + progress.before:,} are done, {outlook.requests:,} remain, which would take about "
        f"{dollars(about)}, at most {dollars(outlook.bound_pd)}; the same command goes on from here"
    )


def _end(job: _Job, run: AsyncBulkRun, watch: Watch, notes: Notes, code: int) -> int:
    """Write what was asked for besides the output, and tell how it ended; return the exit code."""
    from barechat.cli.watching import spent  # noqa: PLC0415 - as above

    progress = run.progress
    try:
        write_besides(job.output, progress, watch.seconds, code, job.text_only, job.table, job.summary)
    except OSError as error:
        notes.error(f"what was asked for besides {job.output} can't be written: {error.strerror or error}")
        code = code or _STOPPED
    if not job.quiet:
        changed = f", {counted(progress.changed, 'input')} changed" if progress.changed else ""
        bad = f", {counted(progress.bad, 'bad line')}" if progress.bad else ""
        notes.line(
            f"{progress.done:,} done, {progress.failed:,} failed{bad}, "
            f"{progress.before:,} recorded before{changed}"
            f"{notes.dot}{progress.prompt_tokens:,} + {progress.completion_tokens:,} tokens"
            f"{notes.dot}{spent(progress)}{notes.dot}{watch.seconds:.1f} s",
            "dim",
        )
    return code


def _count_lines(job: _Job) -> int | None:
    """Return how many lines the input has; None for standard input."""
    if job.source == "-":
        return None
    with Path(job.source).open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))
