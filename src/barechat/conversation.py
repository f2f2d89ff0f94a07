"""What both kinds of session are made of: the messages; what of them is sent, kept and written."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack

from barechat import history
from barechat.base_client import SENSES, BaseClient
from barechat.errors import ConfigurationError, ParameterError
from barechat.filing import count_receipt
from barechat.money.meter import CostTracker
from barechat.parameters import shown
from barechat.session_file import UNWRITTEN, Hold, read_messages, write_messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from barechat.options import CallOptions, RunOptions
    from barechat.receipt import Receipt
    from barechat.records import Reply
    from barechat.settings import Path as AnyPath

logger = logging.getLogger("barechat")
_OWN = frozenset(["messages", "model"])  # of a session: no option of one turn

AnyClient = TypeVar("AnyClient", bound=BaseClient)


class Conversation(Generic[AnyClient]):
    """What a session is but for its calls. `messages` is yours to read, in the API's form.

    A turn is added, the user's message and its reply, only when the whole reply has come; a failed or abandoned send
    leaves the messages as they were. Sends may overlap, in one thread or several: each is sent what had come whole when
    it began, and turns stand in the order in which they ended.
    """

    _kind: type[AnyClient]
    _client: AnyClient

    def __init__(
        self,
        client: AnyClient,
        system_prompt: str | None = None,
        *,
        model: str | None = None,
        max_history: int | None = None,
        max_prompt_tokens: int | None = None,
        summarize_with: str | None = None,
        path: AnyPath | None = None,
        **options: Unpack[CallOptions],
    ) -> None:
        """Begin a conversation, or go on with the one in `path`.

        client: sends the messages; its retries, deadlines and budgets hold here too.
        system_prompt: the first message, if any; it is never trimmed. A conversation that is read from `path` has its
            own.
        model: as in `Client.chat`.
        max_history: how many messages besides the system's are sent; None for all. Trimming drops whole turns.
        max_prompt_tokens: how long a prompt may be, as `Client.prompt_tokens` tells it: rather too short than too long.
        summarize_with: a model, a cheap one, that sums up what would be dropped. The summary is sent in its place; the
            turns themselves stay in `messages` and in the file. What it costs is in `cost`.
        path: the conversation's file, read if it is there, and written after each turn. One session can have it open.
        options: those of every call, such as temperature=0 or timeouts=…; a call's own go before them. Unless there is
            one among the tags, a tag `session` tells the conversation's calls from others' in a ledger.

        Raises:
            ConfigurationError: another kind of client, or a file that can't be read or is open elsewhere.
            ParameterError: a limit is out of range.
        """
        if not isinstance(client, self._kind):
            article = "an" if self._kind.__name__.startswith("A") else "a"
            wanted = f"{article} {type(self).__name__} needs a barechat.{self._kind.__name__}"
            raise ConfigurationError(f"{wanted}, not {type(client).__name__}")
        for name, limit in (("max_history", max_history), ("max_prompt_tokens", max_prompt_tokens)):
            if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
                raise ParameterError(f"{name} must be a whole number from 1, or None, not {shown(limit)}", param=name)
        self.model = model
        self.max_history = max_history
        self.max_prompt_tokens = max_prompt_tokens
        self.summarize_with = summarize_with
        self.messages: list[dict[str, Any]] = []
        if system_prompt:
            self.messages.append({"role": "system", "content": system_prompt})
        self.cost = CostTracker()
        self._client = client
        self._options = options
        self._tags = {"session": SENSES.new_id()}
        self._changing = threading.RLock()
        self._path = None if path is None else Path(path)
        self._hold = None if self._path is None else Hold(self._path)
        if self._path is not None and self._path.exists():
            self.messages = read_messages(self._path)

    @property
    def system_prompt(self) -> str | None:
        """What the conversation begins with, None for nothing. Another holds from the next turn on."""
        leads = self.messages[: history.lead(self.messages)]
        return "\n\n".join(history.told(message) for message in leads) or None

    @system_prompt.setter
    def system_prompt(self, text: str | None) -> None:
        with self._changing:
            rest = self.messages[history.lead(self.messages) :]
            self._change([{"role": "system", "content": text}, *rest] if text else rest)

    def undo(self) -> list[dict[str, Any]]:
        """Forget the last turn, and return its messages; [] if there is none, or a summary stands for it."""
        with self._changing:
            start = history.last_turn(self.messages)
            if start is None:
                return []
            turn = self.messages[start:]
            self._change(self.messages[:start])
        return turn

    def fork(self) -> Self:
        """Return another session that goes on from here, with the same client and options; without a file."""
        other = type(self)(
            self._client,
            model=self.model,
            max_history=self.max_history,
            max_prompt_tokens=self.max_prompt_tokens,
            summarize_with=self.summarize_with,
            **self._options,
        )
        other.messages = list(self.messages)
        return other

    def save(self, path: AnyPath) -> None:
        """Write the conversation to a file, whole or not at all, readable by its owner alone.

        The file is JSON, and a `messages` list that the API takes; what summaries stand for is in it too.

        Raises:
            ConfigurationError: it can't be written, or another session has it open; it is as it was.
        """
        target = Path(path)
        if self._path is not None and target.absolute() == self._path.absolute():
            write_messages(target, self.messages)
            return
        hold = Hold(target)
        try:
            write_messages(target, self.messages)
        finally:
            hold.release()

    def load(self, path: AnyPath) -> None:
        """Go on with the conversation of a file, in place of this one.

        Raises:
            ConfigurationError: it can't be read, or isn't a list of messages; the conversation is as it was.
        """
        messages = read_messages(Path(path))
        with self._changing:
            self._change(messages)

    def _prompt(self, messages: Sequence[dict[str, Any]], turn: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what is sent for a turn.

        Raises:
            ParameterError: it is longer than `max_prompt_tokens` by itself.
        """
        prompt = self._trimmed([*history.sent(messages), turn])
        if not self._fits(prompt):
            raise ParameterError(
                f"the message takes {self._tokens(prompt)} tokens by itself, with the system's, and max_prompt_tokens "
                f"is {self.max_prompt_tokens}",
                param="max_prompt_tokens",
            )
        return prompt

    def _trimmed(self, messages: Sequence[dict[str, Any]], share: int = 1) -> list[dict[str, Any]]:
        """Return the messages without the turns that are too many or too long, for a share of the limits."""
        limit = None if self.max_history is None else max(self.max_history // share, 1)
        if self.max_prompt_tokens is None:
            return history.trim(messages, limit)
        return history.trim(messages, limit, lambda some: self._tokens(some) * share <= (self.max_prompt_tokens or 0))

    def _fits(self, messages: Sequence[dict[str, Any]]) -> bool:
        return self.max_prompt_tokens is None or self._tokens(messages) <= self.max_prompt_tokens

    def _tokens(self, messages: Sequence[dict[str, Any]]) -> int:
        return self._client.prompt_tokens(messages, model=self.model)

    def _to_summarize(self, turn: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the messages to sum up before a turn is sent: none, or all but half of what may be sent.

        Half, so that it isn't done anew with every turn.
        """
        before = history.sent(self.messages)
        if self.summarize_with is None:
            return []
        prompt = self._trimmed([*before, turn])
        if len(prompt) > len(before) or not self._fits(prompt):
            return []
        dropped = len(before) + 1 - len(self._trimmed([*before, turn], share=2))
        return before[history.lead(before) : history.pinned(before) + dropped]

    def _last(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the last turn's own message, and the whole of that turn."""
        start = history.last_turn(self.messages)
        if start is None:
            raise ParameterError("there is no turn to try again")
        return self.messages[start], self.messages[start:]

    def _summary_options(self) -> CallOptions:
        """Return what of the session's options a summary's call takes: those that aren't the model's."""
        names = ("timeouts", "retry", "headers", "extra", "tags")
        options: Any = {name: value for name, value in self._merged({}).items() if name in names}
        taken: CallOptions = options
        return taken

    def _merged(self, options: CallOptions) -> CallOptions:
        for name in _OWN.intersection(options):
            raise ParameterError(f"{name} is the session's own: set it there, not for one turn", param=name)
        merged: CallOptions = {**self._options, **options}
        merged["tags"] = {**self._tags, **(merged.get("tags") or {})}
        return merged

    def _merged_for_run(self, options: RunOptions) -> RunOptions:
        """Return the options of a run, whose tools take the place of the session's."""
        given: Any = options
        taken: Any = {name: value for name, value in self._merged(given).items() if name != "tools"}
        merged: RunOptions = taken
        return merged

    def _remember(self, turn: list[dict[str, Any]], replaced: list[dict[str, Any]] | None = None) -> None:
        """Add a turn that came whole, in place of another if need be, to what is there now."""
        with self._changing:
            messages = self.messages
            if replaced and messages[-len(replaced) :] == replaced:
                messages = messages[: -len(replaced)]
            messages = [*messages, *turn]
            self._change(messages if self.summarize_with else self._trimmed(messages))

    def _change(self, messages: list[dict[str, Any]]) -> None:
        self.messages = messages
        if self._path is None or self._hold is None or not self._hold.is_ours:
            return
        try:
            write_messages(self._path, messages)
        except ConfigurationError as error:
            logger.warning(UNWRITTEN, error)

    def _count(self, receipt: Receipt) -> None:
        count_receipt(receipt, self.cost)

    def _settled(self, turn: dict[str, Any], receipt: Receipt, replaced: list[dict[str, Any]]) -> None:
        if receipt.reply is not None:
            self._remember([turn, receipt.reply.message.to_dict()], replaced)

    def _summarized(self, old: list[dict[str, Any]], reply: Reply) -> None:
        """Let a summary stand for old messages, if they are still what is sent first."""
        with self._changing:
            now = history.sent(self.messages)
            rest = now[history.lead(now) :]
            if reply.text and rest[: len(old)] == old:
                self._change(history.summarized(self.messages, len(rest) - len(old), reply.text))

    def _let_go(self) -> None:
        """Let others write the file."""
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.release()
