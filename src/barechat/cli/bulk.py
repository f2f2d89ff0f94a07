"""`barechat bulk`: a file of requests, each answered once, as fast as the limits allow."""

from __future__ import annotations

import contextlib
import gc
import json
import signal
import sys
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from barechat.cli.options import DEFAULT_MODEL, model_option
from barechat.cli.values import parameters_of
from barechat.cli.wording import held_by

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
    what is under way come to its end; twice ends it at once.

    Exit codes: 0 every request has a reply; 1 it stopped before the end; 2 usage; 3 some failed; 130 Ctrl-C.
    """
    import asyncio  # noqa: PLC0415 - for a quick `barechat --help`

    from barechat.cli.terminal import standard  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.errors import BarechatError, ParameterError  # noqa: PLC0415

    job = _Job(parameters=parameters_of(parameters, "-p"), extra=parameters_of(extras, "-x"), **asked)
    if job.source != "-" and not Path(job.source).exists():
        raise click.UsageError(f"there is no file {job.source!r}.")
    if strict and job.source == "-":
        raise click.UsageError("--strict reads INPUT twice, which standard input can't be; save it to a file.")
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
    return contextlib.nullcontext(sys.stdin.buffer) if job.source == "-" else Path(job.source).open("rb")


def _tags(job: _Job) -> dict[str, str]:
    return {"bulk": str(job.output.resolve())}


def _made_client(job: _Job, ledger: Ledger | None = None, budget: Budget | None = None) -> AsyncClient:
    from barechat.async_client import AsyncClient  # noqa: PLC0415 - for a quick `barechat --help`

    return AsyncClient(None, job.base_url, ledger=ledger, budget=budget)


def _ledger(job: _Job) -> tuple[Ledger, Budget | None]:
    """Return the ledger, and the budget of this output in it, whose amount is what was asked for now."""
    from barechat.ledger.ledger import Ledger  # noqa: PLC0415 - as above
    from barechat.money.budget import Budget  # noqa: PLC0415

    ledger = Ledger(job.ledger or job.output.with_name(f"{job.output.name}.ledger"))
    if job.budget is None:
        return ledger, None
    try:
        amount = Decimal(job.budget.removeprefix("$"))
    except InvalidOperation:
        raise click.UsageError(f"--budget {job.budget!r}: it is dollars, as in 20 or 0.50.") from None
    budget = Budget(amount, tag=f"bulk={_tags(job)['bulk']}")
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
    click.echo(f"{outlook.requests:,} to send, {before:,} recorded before, {changed:,} of them changed, {bad:,} bad")
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
            if code == _STOPPED:
                await _tell_rest(run, client, notes)
    _end(job, run, watch, notes, code)
    return code


async def _run(run: AsyncBulkRun, watch: Watch, notes: Notes) -> int:
    """Run to the end, or to whatever stops it; return the exit code."""
    import asyncio  # noqa: PLC0415 - for a quick `barechat --help`

    from barechat.errors import BarechatError, ParameterError  # noqa: PLC0415 - as above

    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    interrupts = 0

    def stop() -> None:
        run.stop()
        notes.line("finishing what is under way; Ctrl-C once more ends it at once", "yellow")

    def interrupt(*_: object) -> None:
        nonlocal interrupts
        interrupts += 1
        loop.call_soon_threadsafe(stop if interrupts == 1 else task.cancel)  # type: ignore[union-attr]  # it runs in one

    async def tick() -> None:
        while True:
            await asyncio.sleep(watch.every_s)
            watch.show()

    before, ticking = signal.signal(signal.SIGINT, interrupt), asyncio.create_task(tick())
    try:
        async for result in run:
            if isinstance(result.error, ParameterError):
                notes.line(f"line {result.line}: {result.error}", "red")
    except BarechatError as error:
        watch.end()
        notes.error(str(error))
        return _STOPPED
    except asyncio.CancelledError:
        return _INTERRUPTED
    finally:
        ticking.cancel()
        watch.end()
        signal.signal(signal.SIGINT, before)
    if interrupts:
        return _INTERRUPTED
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


def _end(job: _Job, run: AsyncBulkRun, watch: Watch, notes: Notes, code: int) -> None:
    """Write what was asked for besides the output, and tell how it ended."""
    from barechat.bulk.export import write_table, write_texts  # noqa: PLC0415 - as above
    from barechat.records import dollars  # noqa: PLC0415

    progress = run.progress
    if job.text_only is not None:
        write_texts(job.output, job.text_only)
    if job.table is not None:
        write_table(job.output, job.table)
    usd = Decimal(progress.picodollars).scaleb(-12)
    summary = {
        "exit_code": code,
        "seconds": round(watch.seconds, 3),
        **{name: value for name, value in vars(progress).items() if name not in {"picodollars", "stopped"}},
        "usd": f"{usd:f}",
        "stopped": None if progress.stopped is None else str(progress.stopped),
    }
    if job.summary is not None:
        job.summary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    if not job.quiet:
        changed = f", {progress.changed:,} inputs changed" if progress.changed else ""
        bad = f", {progress.bad:,} bad lines" if progress.bad else ""
        notes.line(
            f"{progress.done:,} done, {progress.failed:,} failed{bad}, "
            f"{progress.before:,} recorded before{changed}"
            f"{notes.dot}{progress.prompt_tokens:,} + {progress.completion_tokens:,} tokens"
            f"{notes.dot}{dollars(progress.picodollars)}{notes.dot}{watch.seconds:.1f} s",
            "dim",
        )


def _count_lines(job: _Job) -> int | None:
    """Return how many lines the input has; None for standard input."""
    if job.source == "-":
        return None
    with Path(job.source).open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))
