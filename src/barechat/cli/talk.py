"""How does a conversation go on, line by line? Messages are sent, commands done, and what happened is told."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING

from barechat import history
from barechat.cli.chat_commands import Desk, Wire, message_of, opening, perform
from barechat.cli.echo import unechoed
from barechat.cli.ledgers import Filing
from barechat.cli.page import Page, Plain, console_for
from barechat.cli.terminal import Answer, Notes, OutputClosedError, can_write
from barechat.cli.toolbar import toolbar
from barechat.cli.turn import take_turn
from barechat.cli.wording import ENDS, bill, counted, dollars, failure_facts, retry
from barechat.errors import BarechatError, ConfigurationError, ParameterError
from barechat.records import Cost
from barechat.session_file import UNWRITTEN
from barechat.wire.trace import Transcript

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from barechat.cli.page import View
    from barechat.cli.prompt import Prompt
    from barechat.cli.turn import Turn
    from barechat.records import Attempt
    from barechat.streams import ChatStream
    from barechat.wire.trace import TraceEvent

_ERROR, _USAGE, _OTHER_VERDICT = 1, 2, 3


class Talk:
    """A conversation on a terminal, or one message of it through pipes."""

    def __init__(self, out: IO[str] | None, err: IO[str] | None, *, shows_wire: bool) -> None:
        """`out` gets the replies, `err` all else; a terminal is both."""
        self.notes = Notes(err)
        self.wire = Wire(shows_wire)
        self._answer = Answer(out)
        self._console = console_for(out)
        self._is_unicode = can_write(out, "│≤≈…")
        self._view: View | None = None  # while a reply comes
        self._last: Turn | None = None
        self._bills = False  # each turn, for want of a line at the bottom
        self._filed: Filing | None = None  # where a turn is looked for before the next
        self._unwritten: list[str] = []  # why, of turns that the session's file lacks, until it is told
        self._is_kept = True  # whether each turn could be written
        self._transcript = Transcript(self.notes.verbatim)

    def say(self, text: str, style: str = "") -> None:
        """Show a line that is none of the replies', at any time."""
        if self._view is not None:
            self._view.say(text, style)
        else:
            self.notes.line(text, style)

    def warn(self, text: str) -> None:
        """Show a warning, at any time."""
        self.say(f"warning: {text}", "yellow")

    def hear(self, record: logging.LogRecord) -> None:
        """Keep what the log says of a turn that couldn't be written, until the reply is shown."""
        if record.msg == UNWRITTEN:
            self._is_kept = False
            self._unwritten.append(record.getMessage())

    def tell_retry(self, attempt: Attempt) -> None:
        """Say that a try failed, and when there is another; the wire says so itself."""
        if not self.wire.is_shown:
            self.say(retry(attempt), "yellow")

    def trace(self, event: TraceEvent) -> None:
        """Show what goes over the wire, if that is wished."""
        if self.wire.is_shown:
            self._transcript(event)

    def toolbar(self, desk: Desk) -> Callable[[int], str]:
        """Return what makes the line at the bottom, for so many columns."""
        from rich.cells import cell_len  # noqa: PLC0415 - only a terminal needs it

        return lambda columns: toolbar(
            columns,
            desk.session.model or "",
            desk.name,
            self._last,
            desk.session.cost,
            measure=cell_len,
            is_unicode=self._is_unicode,
        )

    def converse(self, desk: Desk, prompt: Prompt, filed: Filing) -> int:
        """Go on until the person leaves; return the exit code."""
        self._bills = not prompt.has_toolbar
        self._filed = filed
        self._greet(desk)
        draft = ""
        while True:
            try:
                line = prompt.ask(draft)
                draft = ""
                if not line.strip():
                    continue
                message = message_of(line)
                if message is not None:
                    draft = line if self._send(desk, message).reply is None else ""
                elif self._do(desk, line):
                    break
            except KeyboardInterrupt:
                draft = ""
                self.say("Ctrl-D leaves, or /quit.", "dim")
                self._answer.write("\n")
            except EOFError:
                break
        if desk.session.cost.call_count:
            self.say(f"in all {self._total(desk)}", "dim")
        return 0

    def answer_once(self, desk: Desk, message: str) -> int:
        """Send one message, print its reply, and return the exit code."""
        began = time.monotonic()
        try:
            turn = self._send(desk, message)
        except OutputClosedError:
            self.notes.line(self._total(desk), "dim")
            return _OTHER_VERDICT
        if turn.error is not None:
            return _USAGE if isinstance(turn.error, ParameterError) else _ERROR
        self._bill(desk, turn, seconds=time.monotonic() - began)
        if not self._is_kept:
            return _ERROR
        return 0 if turn.reply is not None and turn.reply.verdict == "complete" else _OTHER_VERDICT

    def _greet(self, desk: Desk) -> None:
        messages = desk.session.messages
        start = history.last_turn(messages)
        if start is None:
            if self._bills:
                self.say(toolbar(10**3, desk.session.model or "", desk.name, None, desk.session.cost).strip())
            return
        count = counted(history.turns(messages), "turn")
        self.say(f"{desk.name}: {count} so far, and this was the last.", "dim")
        self.say(f"> {opening(messages[start:])}", "dim")
        view = self._new_view()
        view.write(history.told(messages[-1]))
        view.end()
        self._answer.write("\n")

    def _do(self, desk: Desk, line: str) -> bool:
        """Do what a command says; return whether it was to leave."""
        try:
            outcome = perform(desk, line)
        except (ConfigurationError, ParameterError) as error:
            self.notes.error(str(error))
            self._answer.write("\n")
            return False
        if outcome.said:
            self.say(outcome.said, "yellow" if outcome.is_refused else "dim")
        self._tell_unwritten()
        if outcome.then == "retry":
            self._take_turn(desk, desk.session.stream_last)
        elif outcome.then != "leave":
            self._answer.write("\n")
        return outcome.then == "leave"

    def _send(self, desk: Desk, message: str) -> Turn:
        parts = [{"type": "text", "text": message}, *desk.attached] if desk.attached else message
        turn = self._take_turn(desk, lambda: desk.session.stream(parts))
        if turn.reply is not None:
            desk.attached.clear()
        return turn

    def _take_turn(self, desk: Desk, begin: Callable[[], ChatStream]) -> Turn:
        is_terminal = self._answer.is_terminal
        with unechoed(marks_pastes=is_terminal and not self._bills):
            if is_terminal:
                self._answer.write("\n")
            self._with_ledger(Filing.renew)
            # On one terminal, the wire and the reply would cut each other's lines.
            self._view = None if self.wire.is_shown else self._new_view()
            view = self._view or self._new_view()
            try:
                turn = self._last = take_turn(begin, view, is_live=self._view is not None)
            finally:
                self._view = None
                self._transcript.end()
            self._tell(desk, turn)
            self._with_ledger(Filing.settle)
            if is_terminal:
                self._answer.write("\n")
        return turn

    def _new_view(self) -> View:
        if self._console is not None:
            return Page(self._console)
        return Plain(self._answer, self.notes, thinks=self.notes.is_terminal)

    def _tell(self, desk: Desk, turn: Turn) -> None:
        """Say how a turn ended, where its reply doesn't."""
        if turn.error is not None:
            self.notes.error(str(turn.error))
            if facts := failure_facts(self.notes.dot, turn.error):
                self.notes.line(facts, "dim")
        elif turn.reply is None:
            self.notes.line(f"stopped, and not remembered{self.notes.dot}{dollars(turn.cost)}", "yellow")
        elif turn.reply.verdict != "complete":
            self.notes.line(f"{ENDS[turn.reply.verdict]} (finish_reason {turn.reply.finish_reason})", "yellow")
        self._tell_unwritten()
        if self._bills:
            self._bill(desk, turn)

    def _tell_unwritten(self) -> None:
        while self._unwritten:
            self.warn(self._unwritten.pop(0))

    def _with_ledger(self, do: Callable[[Filing], None]) -> None:
        """Do something between turns, and tell what went wrong in the ledger: a conversation goes on without it."""
        try:
            if self._filed is not None:
                do(self._filed)
        except BarechatError as error:
            self.notes.error(str(error))

    def _bill(self, desk: Desk, turn: Turn, seconds: float | None = None) -> None:
        reply = turn.reply
        line = bill(
            self.notes.dot,
            (reply.model if reply else "") or desk.session.model or "",
            reply.usage if reply else None,
            turn.cost,
            attempts=len(reply.attempts) if reply else 1,
            seconds=seconds,
        )
        self.notes.line(line, "dim")

    def _total(self, desk: Desk) -> str:
        cost = desk.session.cost
        tokens = f"{cost.totals.input_tokens:,} + {cost.totals.output_tokens:,} tokens"
        return self.notes.dot.join([tokens, dollars(Cost.sum(cost.by_certainty.values()))])
