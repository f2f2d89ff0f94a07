"""How is a question asked, and how does that end? One call, or a round for each of its tools' calls; then the bill."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from barechat import history
from barechat.cli.answer_schema import UnfitError
from barechat.cli.options import messages_before, session_of
from barechat.cli.printing import Printer
from barechat.cli.sessions import directory, file_name
from barechat.cli.terminal import OutputClosedError
from barechat.cli.wording import ENDS, bill, failure_facts
from barechat.errors import BarechatError, ConfigurationError, ParameterError
from barechat.records import Cost, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from barechat.cli.question import Question
    from barechat.cli.terminal import Answer, Notes
    from barechat.client import Client
    from barechat.receipt import Receipt
    from barechat.records import Reply, ToolCall
    from barechat.session import ChatSession
    from barechat.streams import ChatStream
    from barechat.wire.trace import Transcript

_ERROR, _OTHER_VERDICT = 1, 3
_MOST_ROUNDS = 10  # as Client.run has it by default


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
        self._replies: list[Reply] = []  # that have come whole
        self._partial: Callable[[], Reply | None] = lambda: None
        self._unkept: ConfigurationError | None = None  # why the session's file doesn't have the answer
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
            self._show(self._partial())
            self._notes.line(ENDS["partial"], "yellow")
            self._bill()
            return _OTHER_VERDICT
        except (ParameterError, OutputClosedError):
            raise  # refused before anything was sent; nobody reads
        except BarechatError as error:
            self._show(error.partial)
            self._fail(error)
            return _ERROR
        except UnfitError as error:
            self._notes.end_line()
            self._notes.error(str(error))
            self._bill(*self._replies)
            return _ERROR
        except raised_by_tools as error:
            self._show(None)
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
        if self._unkept is not None:
            self._notes.error(f"{self._unkept}; the answer is not remembered")
        self._bill(*replies)
        if self._unkept is not None:
            return _ERROR
        return _OTHER_VERDICT if is_refused or reply.verdict != "complete" else 0

    def _ask(self) -> None:
        """Ask, and have the session remember the answer, if it is one's turn.

        Raises:
            UnfitError: it isn't by the schema.
        """
        terms = self._question.terms
        with contextlib.ExitStack() as stack:
            if self._transcript is not None:
                stack.callback(self._transcript.end)
            session = None if terms.name is None else stack.enter_context(session_of(terms, self._client))
            before = messages_before(terms) if session is None else history.sent(session.messages)
            turn = self._asked([*before, self._question.message])
            self._printer.check(self._replies)
            if session is not None:
                self._keep(session, turn)

    def _asked(self, said: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Ask, in as many rounds as the tools need; return the turn, from the question on."""
        question, terms = self._question, self._question.terms
        options = {"model": terms.model, **terms.options, **question.format_options}
        if question.tools:
            from barechat.tools import run  # noqa: PLC0415 - few need it

            on_delta = self._printer.hear if question.is_streamed else None
            ran = run(self._chat, self._stream, said, question.tools, _MOST_ROUNDS, on_delta, self._tell_call, options)
            return ran.messages[len(said) - 1 :]
        if not question.is_streamed:
            return [said[-1], self._chat(said, **options).message.to_dict()]
        with self._stream(said, **options) as stream:
            self._partial = lambda: stream.partial
            for delta in stream.deltas():
                self._printer.hear(delta)
        return [said[-1], stream.reply.message.to_dict()]

    def _chat(self, messages: list[dict[str, Any]], **options: Any) -> Reply:
        reply = self._client.chat(messages, **options)
        self._replies.append(reply)
        return reply

    def _stream(self, messages: list[dict[str, Any]], **options: Any) -> ChatStream:
        def hear(receipt: Receipt) -> None:
            if receipt.reply is not None:
                self._replies.append(receipt.reply)

        stream = self._client.stream(messages, **options)
        stream.when_filed(hear)
        return stream

    def _tell_call(self, call: ToolCall, told: str | None) -> None:
        self._printer.show_new(self._replies)  # what the model said with its calls
        self._printer.tell_call(call, told)

    def _keep(self, session: ChatSession, turn: list[dict[str, Any]]) -> None:
        """Put a turn into the session's file, which is as it was until now."""
        session.messages = [*session.messages, *turn]
        try:
            session.save(directory() / file_name(self._question.terms.name or ""))
        except ConfigurationError as error:
            self._unkept = error  # the answer is to be printed all the same

    def _show(self, partial: Reply | None) -> None:
        """Print what was said before the question was broken off, and what came of the last reply."""
        self._printer.show_new(self._replies)
        self._printer.show_partial(None if any(partial is reply for reply in self._replies) else partial)

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
