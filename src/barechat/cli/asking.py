"""How is a question asked, and how does that end? One call, or a round for each of its tools' calls; then the bill."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barechat.cli.answer_schema import UnfitError
from barechat.cli.options import messages_before, session_of
from barechat.cli.printing import Printer
from barechat.cli.sessions import directory, file_name
from barechat.cli.terminal import OutputClosedError
from barechat.cli.wording import ENDS, bill, failure_facts
from barechat.errors import BarechatError, ParameterError
from barechat.records import Cost, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from barechat.cli.question import Question
    from barechat.cli.terminal import Answer, Notes
    from barechat.client import Client
    from barechat.records import Reply, Run
    from barechat.streams import ChatStream
    from barechat.wire.trace import Transcript

_ERROR, _OTHER_VERDICT = 1, 3


@dataclass(frozen=True, kw_only=True)
class _Line:
    """How a question goes to the model: with what is said before it, or as the next turn of a session.

    keep: puts the turn into the session's file.
    """

    said: Any
    options: dict[str, Any]
    chat: Callable[..., Reply]
    stream: Callable[..., ChatStream]
    run: Callable[..., Run]
    keep: Callable[[], None]


@contextlib.contextmanager
def _line(client: Client, question: Question) -> Iterator[_Line]:
    terms, form = question.terms, question.format_options
    if terms.name is None:
        said = [*messages_before(terms), question.message]
        options = {"model": terms.model, **terms.options, **form}
        yield _Line(
            said=said, options=options, chat=client.chat, stream=client.stream, run=client.run, keep=lambda: None
        )
        return
    path = directory() / file_name(terms.name)
    with session_of(terms, client) as session:
        draft = session.fork()  # which has no file: a turn that is whole may still not be by the schema

        def keep() -> None:
            session.messages = draft.messages
            session.save(path)

        yield _Line(said=question.content, options=form, chat=draft.send, stream=draft.stream, run=draft.run, keep=keep)


class Asking:
    """One question, and what comes of it."""

    def __init__(
        self, client: Client, question: Question, answer: Answer, notes: Notes, transcript: Transcript | None
    ) -> None:
        self._client = client
        self._question = question
        self._notes = notes
        self._transcript = transcript
        self._printer = Printer(question, answer, notes, shows_wire=transcript is not None)
        self._replies: Sequence[Reply] = ()
        self._partial: Callable[[], Reply | None] = lambda: None
        self._started = time.monotonic()

    def run(self) -> int:
        """Ask, print, and return the exit code."""
        try:
            return self._run()
        except OutputClosedError:
            self._bill()
            return _OTHER_VERDICT
        except OSError as error:
            self._notes.error(f"the answer can't be written: {error.strerror}")
            self._bill()
            return _ERROR

    def _run(self) -> int:
        raised_by_tools = tuple(kind for tool in self._question.tools for kind in tool.raises)
        try:
            self._ask()
        except KeyboardInterrupt:
            self._printer.show_partial(self._partial())
            self._notes.line(ENDS["partial"], "yellow")
            self._bill()
            return _OTHER_VERDICT
        except (ParameterError, OutputClosedError):
            raise  # refused before anything was sent; nobody reads
        except BarechatError as error:
            if self._replies:  # the session's file can't be written
                self._printer.show(self._replies)
                self._notes.error(f"{error}; the answer is not remembered")
                self._bill(*self._replies)
                return _ERROR
            self._printer.show_failed(error)
            self._fail(error)
            return _ERROR
        except UnfitError as error:
            self._notes.end_line()
            self._notes.error(str(error))
            self._bill(*self._replies)
            return _ERROR
        except raised_by_tools as error:
            self._printer.show_partial(None)
            self._notes.error(f"a tool ended it: {type(error).__name__}: {error}")
            self._bill()
            return _ERROR
        return self._ended(self._replies)

    def _ended(self, replies: Sequence[Reply]) -> int:
        """Print what came whole, and say how it ended where that isn't well."""
        reply = replies[-1]
        self._printer.show(replies)
        is_refused = self._question.answer_schema is not None and reply.message.refusal
        if is_refused:
            self._notes.line(f"refused: the model declined to answer: {reply.message.refusal}", "yellow")
        elif reply.verdict != "complete":
            self._notes.line(f"{ENDS[reply.verdict]} (finish_reason {reply.finish_reason})", "yellow")
        self._bill(*replies)
        return _OTHER_VERDICT if is_refused or reply.verdict != "complete" else 0

    def _ask(self) -> None:
        """Ask, and keep the reply; where there are tools, those of all rounds. A session remembers them.

        Raises:
            UnfitError: it isn't by the schema; a session doesn't remember it.
        """
        try:
            with _line(self._client, self._question) as line:
                self._replies = self._asked(line)
                self._printer.check(self._replies)
                line.keep()
        finally:
            if self._transcript is not None:
                self._transcript.end()

    def _asked(self, line: _Line) -> Sequence[Reply]:
        if self._question.tools:
            on_delta = self._printer.hear if self._question.is_streamed else None
            on_call = self._printer.tell_call
            return line.run(line.said, self._question.tools, on_delta=on_delta, on_call=on_call, **line.options).rounds
        if not self._question.is_streamed:
            return (line.chat(line.said, **line.options),)
        with line.stream(line.said, **line.options) as stream:
            self._partial = lambda: stream.partial
            for delta in stream.deltas():
                self._printer.hear(delta)
        return (stream.reply,)

    def _fail(self, error: BarechatError) -> None:
        self._notes.error(str(error))
        facts = failure_facts(self._notes.dot, error)
        if facts:
            self._notes.line(facts, "dim")

    def _bill(self, *replies: Reply) -> None:
        """Print the line of the cost; without a reply, the most that the call can have cost."""
        # The client was made for this one question, so what it has spent is what the question did.
        cost = (
            Cost.sum(reply.cost for reply in replies) if replies else Cost.sum(self._client.cost.by_certainty.values())
        )
        line = bill(
            self._notes.dot,
            (replies[-1].model if replies else "") or self._question.terms.model,
            _used(replies),
            cost,
            rounds=len(replies),
            attempts=sum(len(reply.attempts) for reply in replies),
            seconds=time.monotonic() - self._started,
        )
        self._notes.line(line, "dim")


def _used(replies: Sequence[Reply]) -> Usage | None:
    """Return the tokens of all replies together; None where a server didn't count some."""
    counts = [reply.usage for reply in replies]
    if not counts or None in counts:
        return None
    prompt = sum(usage.prompt_tokens for usage in counts if usage)
    completion = sum(usage.completion_tokens for usage in counts if usage)
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
