"""`barechat demo`: every main job, live, against a simulator with faults. A check too: each step must come right."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from barechat.cli.options import model_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from barechat.records import Reply

SCENARIO = Path(__file__).with_name("demo.toml")

_KEY = "sk-anything"
_WIDTH = 80
_CALLS = 9


@click.command()
@click.option("--live", is_flag=True, help="Call OPENAI_BASE_URL with OPENAI_API_KEY instead. This costs money.")
@model_option
def demo(live: bool, model: str) -> int:
    """Show every main job, against a simulator with faults.

    A call, a chat, parameters, a stream through faults, a typed answer, a budget, an error, and the bill, with the
    lines of Python for each. It needs no key and no network: it starts a simulator on this machine, which fails on
    purpose, and stops it at the end. It exits with 1 if a step doesn't come out as it should.
    """
    from rich.console import Console  # noqa: PLC0415 - for a quick `barechat --help`

    console = Console(highlight=False, emoji=False, markup=False)
    console.width = min(console.width, _WIDTH)
    if live:
        from barechat import settings  # noqa: PLC0415 - as above

        opening = [
            f"Live, against {settings.base_url(None)}: this costs a little.",
            "Nothing fails there on purpose, so step 4 may have nothing to try again.",
        ]
        return Tour(console, None, None, model, has_faults=False).run(opening)
    with _simulator() as url:
        opening = [
            f"Against a simulator on this machine, {url}",
            "which fails on purpose. The answers are made up, the prices are real,",
            "and nothing is charged.",
        ]
        return Tour(console, _KEY, url, model, has_faults=True).run(opening)


class StepFailedError(Exception):
    """A step did something else than it should have."""


class Tour:
    """The eight steps, each shown, run and checked."""

    def __init__(self, console: Console, key: str | None, url: str | None, model: str, *, has_faults: bool) -> None:
        self._console = console
        self._key = key
        self._url = url
        self._model = model
        self._has_faults = has_faults
        self._number = 0

    def run(self, opening: list[str]) -> int:
        """Go through the steps; return the exit code."""
        from barechat.errors import BarechatError  # noqa: PLC0415 - for a quick `barechat --help`

        started = time.monotonic()
        self._console.print("\n".join(opening), style="dim")
        self._console.print()
        self._show_code(
            "from dataclasses import dataclass\n\nfrom barechat import Attempt, BarechatError, Budget, BudgetExceeded\n"
            "from barechat import ChatSession, Client, Ledger, RetryPolicy"
        )
        try:
            self._steps()
        except (StepFailedError, BarechatError, ValueError) as error:
            self._console.print()
            self._console.print(f"Step {self._number} did not come out as it should: {error}", style="bold red")
            return 1
        self._console.print()
        self._console.print(
            f"All {self._number} steps came out as they should, in {time.monotonic() - started:.1f} s.", style="bold"
        )
        self._console.print('Next: barechat ask "Hello?" --wire, or barechat sim for your own program.')
        return 0

    def _steps(self) -> None:
        from barechat.cli import steps  # noqa: PLC0415 - for a quick `barechat --help`

        (client, reply), _ = self._step(steps.call, self._key, self._url, self._model)
        with client:
            self._check_answer(reply)
            self._bill(reply)
            (first, second, session), _ = self._step(steps.converse, client, self._model)
            self._check_conversation(first, second, len(session.messages))
            self._bill(first, second)
            four, _ = self._step(steps.set_parameters, client, self._model)
            self._check_parameters(*four)
            self._bill(*four)
            reply, printed = self._step(steps.stream, client, self._model)
            self._check_stream(reply, printed)
            self._bill(reply)
            reply, _ = self._step(steps.parse, client, self._model)
            self._check_answer(reply)
            self._bill(reply)
            if self._has_faults:  # a live server's model may have no price, and then no budget holds
                with tempfile.TemporaryDirectory() as folder:
                    fitted, printed = self._step(
                        steps.keep_to_a_budget, self._key, self._url, self._model, Path(folder)
                    )
                self._check_budget(fitted, printed)
            _, printed = self._step(steps.fail, self._url, self._model)
            self._check_failure(printed)
            self._step(steps.sum_up, client)
            _expect(client.cost.call_count >= _CALLS, f"{client.cost.call_count} calls were counted, not {_CALLS}")

    def _step(self, step: Callable[..., Any], *given: Any) -> tuple[Any, str]:
        """Show a step's title and lines, run it; return what it returned and what it printed."""
        from barechat.cli.steps import lines_of, title_of  # noqa: PLC0415 - as above
        from barechat.cli.terminal import can_write  # noqa: PLC0415

        self._number += 1
        self._console.print(f"\n{self._number}. {title_of(step)}", style="bold")
        self._console.print()
        self._show_code(lines_of(step))
        self._console.print()
        out = self._console.file
        page = Page(out, "  │ " if can_write(out, "│") else "  | ", self._console.width)
        with contextlib.redirect_stdout(page):
            try:
                returned = step(*given)
            finally:
                page.end_line()
        return returned, page.printed

    def _show_code(self, lines: str) -> None:
        from rich.syntax import Syntax  # noqa: PLC0415 - as above

        code = Syntax("", "python", theme="ansi_dark", background_color="default").highlight(lines)
        code.rstrip()
        for line in code.split("\n"):
            line.pad_left(4 if line else 0)
            self._console.print(line, soft_wrap=True)

    def _bill(self, *replies: Reply) -> None:
        """Show what a step's calls cost."""
        from barechat.cli.terminal import dot  # noqa: PLC0415 - as above
        from barechat.cli.wording import bill  # noqa: PLC0415

        for reply in replies:
            line = bill(dot(self._console.file), reply.model, reply.usage, reply.cost, attempts=len(reply.attempts))
            self._console.print(f"    {line}", style="dim", soft_wrap=True)

    # What each step must have done. The simulator is sure to behave; a live server is asked for less.

    def _check_answer(self, reply: Reply) -> None:
        _expect(bool(reply.text), "the answer is empty")
        if self._has_faults:
            _expect(reply.verdict == "complete", f"the verdict is {reply.verdict}, not complete")
            _expect(reply.cost.certainty == "exact", f"the cost is {reply.cost.certainty}, not exact")

    def _check_conversation(self, first: Reply, second: Reply, kept: int) -> None:
        self._check_answer(second)
        _expect(kept == 5, f"the history holds {kept} messages, not 5")  # noqa: PLR2004 - the system's, and two turns
        if first.usage is not None and second.usage is not None:
            grew = second.usage.prompt_tokens > first.usage.prompt_tokens
            _expect(grew, "the second turn was sent without the first")

    def _check_parameters(self, cut: Reply, stopped: Reply, two: Reply, city: Reply) -> None:
        _expect(cut.verdict == "limited", f"max_completion_tokens=8 gave a {cut.verdict} answer, not a limited one")
        _expect("." not in stopped.text, "stop='.' let a full stop through")
        _expect(len(two.choices) == 2, f"n=2 gave {len(two.choices)} choices")  # noqa: PLR2004 - the n it says
        _expect(isinstance(city.json(), dict), "JSON mode gave no object")

    def _check_stream(self, reply: Reply, printed: str) -> None:
        _expect(printed.endswith(reply.text), "the pieces aren't the whole")
        self._check_answer(reply)
        if not self._has_faults:
            return
        statuses = [attempt.status for attempt in reply.attempts]
        _expect(statuses == [429, 503, 200], f"the tries' statuses are {statuses}, not [429, 503, 200]")
        waited_s = reply.attempts[0].delay_s or 0
        _expect(waited_s >= 1, f"Retry-After: 1 was followed by a wait of {waited_s:.1f} s")
        seen = re.findall(r"^try \d: (\d+)", printed, re.MULTILINE)
        _expect(seen == ["429", "503"], f"the retries that were seen are {seen}, not a 429 and a 503")

    def _check_budget(self, fitted: int, printed: str) -> None:
        _expect(fitted >= 1, "no call fitted into the budget")
        _expect(f"{fitted} calls, $0.0000" in printed, f"the ledger says {printed.splitlines()[-1]}")

    def _check_failure(self, printed: str) -> None:
        _expect("sk-bad-key" not in printed, "the error shows the key")
        if self._has_faults:
            _expect(
                printed.startswith("AuthenticationFailed: "), f"the bad key brought {printed.strip() or 'no error'!r}"
            )
        elif not printed:
            self._console.print("    (This server looks at no keys.)", style="dim")


class Page(io.TextIOBase):
    """Standard output for a step's lines: behind a margin, wrapped between words, and remembered."""

    def __init__(self, out: IO[str], margin: str, width: int) -> None:
        self._out = out
        self._margin = margin
        self._width = width
        self._column = 0
        self._space = ""  # written with the word that follows it, if that's on the same line
        self.printed = ""

    def write(self, text: str) -> int:
        """Write a piece of text, at once."""
        from barechat.cli.terminal import visible  # noqa: PLC0415 - for a quick `barechat --help`

        self.printed += text
        for part in re.findall(r"\n|[^\S\n]+|\S+", visible(text)):
            if part == "\n":
                self.end_line(even_if_empty=True)
            elif part.isspace():
                self._space += part
            else:
                self._write_word(part)
        self._out.flush()
        return len(text)

    def end_line(self, *, even_if_empty: bool = False) -> None:
        """Begin a new line, unless at one."""
        if self._column or even_if_empty:
            self._out.write("\n" if self._column else f"{self._margin.rstrip()}\n")
            self._out.flush()
        self._column, self._space = 0, ""

    def _write_word(self, word: str) -> None:
        if self._space and self._column and self._column + len(self._space + word) > self._width:
            self.end_line()
        if not self._column:
            self._out.write(self._margin)
            self._column = len(self._margin)
        self._out.write(self._space + word)
        self._column += len(self._space + word)
        self._space = ""


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise StepFailedError(otherwise)


@contextlib.contextmanager
def _simulator() -> Iterator[str]:
    """Run the simulator as a process of its own; give its URL. It ends with this one, however this one ends."""
    arguments = ["--port", "0", "--scenario", str(SCENARIO), "--until-eof"]
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-P", "-m", "barechat.cli", "sim", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout else ""
            if not url:
                raise click.ClickException("the simulator did not start")  # and has said why
            os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"  # no network's proxy reaches our loopback
            yield url
        finally:
            process.terminate()
