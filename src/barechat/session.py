"""A conversation: a history and a client."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Unpack

from barechat.client import SENSES, Client
from barechat.errors import BarechatError, ConfigurationError, ParameterError
from barechat.history import trim
from barechat.money.meter import CostTracker
from barechat.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barechat.receipt import Receipt
    from barechat.records import Reply
    from barechat.settings import Timeouts
    from barechat.streams import ChatStream
    from barechat.wire.retry import RetryPolicy


class CallOptions(Parameters, total=False):
    """What `Client.chat` takes besides messages and model."""

    timeouts: Timeouts | None
    retry: RetryPolicy | None
    tags: Mapping[str, str] | None
    headers: Mapping[str, str] | None
    extra: Mapping[str, Any] | None


class ChatSession:
    """A conversation with one model.

    client: sends the messages; its retries, deadlines and budgets hold here too.
    system_prompt: the first message, if any; it is never trimmed.
    model: as in `Client.chat`.
    max_history: how many messages besides the system's are kept; None for all. Trimming drops whole turns.
    options: those of every call, such as temperature=0 or timeouts=…; a call's own go before them. Unless there is one
        among the tags, a tag `session` tells the conversation's calls from others' in a ledger.

    `messages` is the conversation so far, in the API's form: yours to read. A message is added to it, with its reply,
    only when the whole reply has come; a failed or abandoned send leaves it as it was. Sends may overlap, in one thread
    or several: each is sent what had come whole when it began, and turns stand in the order in which they ended.

    Raises:
        ConfigurationError: the client isn't a `Client`. ParameterError: max_history is out of range.
    """

    def __init__(
        self,
        client: Client,
        system_prompt: str | None = None,
        *,
        model: str | None = None,
        max_history: int | None = None,
        **options: Unpack[CallOptions],
    ) -> None:
        if not isinstance(client, Client):
            raise ConfigurationError(
                f"a ChatSession needs a barechat.Client, not {type(client).__name__}; an async twin is to come"
            )
        if max_history is not None and (not isinstance(max_history, int) or max_history < 1):
            raise ParameterError(f"max_history must be a whole number from 1, or None, not {max_history!r}")
        self.model = model
        self.max_history = max_history
        self.messages: list[dict[str, Any]] = []
        if system_prompt:
            self.messages.append({"role": "system", "content": system_prompt})
        self.cost = CostTracker()
        self._client = client
        self._options = options
        self._tags = {"session": SENSES.new_id()}
        self._adding = threading.Lock()

    def send(self, user_message: str, **options: Unpack[CallOptions]) -> Reply:
        """Send a message, await the whole reply, and remember both. Takes what `Client.chat` takes.

        Raises:
            BarechatError: as `Client.chat`; the history is as it was.
        """
        try:
            reply = self._client.chat(self._with(user_message), model=self.model, **self._merged(options))
        except BarechatError as error:
            if error.cost is not None and error.cost.picodollars != 0:
                self.cost.record(self.model or "", None, error.cost)
            raise
        self.cost.calculate(reply)
        self._remember(user_message, reply)
        return reply

    def stream(self, user_message: str, **options: Unpack[CallOptions]) -> ChatStream:
        """Send a message, read the reply as it comes. Both are remembered once it has come whole."""

        def settle(receipt: Receipt) -> None:
            if receipt.reply is not None:
                self.cost.calculate(receipt.reply)
                self._remember(user_message, receipt.reply)
            elif receipt.cost.picodollars != 0:
                self.cost.record(self.model or "", None, receipt.cost)

        stream = self._client.stream(self._with(user_message), model=self.model, **self._merged(options))
        stream.when_filed(settle)
        return stream

    def _with(self, user_message: str) -> list[dict[str, Any]]:
        return trim([*self.messages, _said_by_user(user_message)], self.max_history)

    def _merged(self, options: CallOptions) -> CallOptions:
        merged: CallOptions = {**self._options, **options}
        merged["tags"] = {**self._tags, **(merged.get("tags") or {})}
        return merged

    def _remember(self, user_message: str, reply: Reply) -> None:
        turn = [_said_by_user(user_message), reply.message.to_dict()]
        with self._adding:  # to what is there now: another turn may have ended since this one began
            self.messages = trim([*self.messages, *turn], self.max_history)


def _said_by_user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}
