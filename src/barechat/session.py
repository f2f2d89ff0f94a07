"""A conversation: a history and a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from barechat.errors import BarechatError, ParameterError
from barechat.history import trim
from barechat.money.meter import CostTracker

if TYPE_CHECKING:
    from barechat.client import ChatStream, Client
    from barechat.parameters import Parameters
    from barechat.receipt import Receipt
    from barechat.records import Reply


class ChatSession:
    """A conversation with one model.

    client: sends the messages; its retries, deadlines and budgets hold here too.
    system_prompt: the first message, if any; it is never trimmed.
    model: as in `Client.chat`.
    max_history: how many messages besides the system's are kept; None for all. Trimming drops whole turns.
    parameters: those of every call, such as temperature=0.

    `messages` is the conversation so far, in the API's form: yours to read. A message is added to it, with its reply,
    only when the whole reply has come; a failed or abandoned send leaves it as it was.
    """

    def __init__(
        self,
        client: Client,
        system_prompt: str | None = None,
        *,
        model: str | None = None,
        max_history: int | None = None,
        **parameters: Unpack[Parameters],
    ) -> None:
        if max_history is not None and (not isinstance(max_history, int) or max_history < 1):
            raise ParameterError(f"max_history must be a whole number from 1, or None, not {max_history!r}")
        self.model = model
        self.max_history = max_history
        self.messages: list[dict[str, Any]] = []
        if system_prompt:
            self.messages.append({"role": "system", "content": system_prompt})
        self.cost = CostTracker()
        self._client = client
        self._parameters = parameters

    def send(self, user_message: str, **parameters: Unpack[Parameters]) -> Reply:
        """Send a message, await the whole reply, and remember both.

        Raises:
            BarechatError: as `Client.chat`; the history is as it was.
        """
        messages = self._with(user_message)
        try:
            reply = self._client.chat(messages, model=self.model, **self._merged(parameters))
        except BarechatError as error:
            if error.cost is not None and error.cost.picodollars != 0:
                self.cost.record(self.model or "", None, error.cost)
            raise
        self.cost.calculate(reply)
        self._remember(messages, reply)
        return reply

    def stream(self, user_message: str, **parameters: Unpack[Parameters]) -> ChatStream:
        """Send a message, read the reply as it comes. Both are remembered once it has come whole."""
        messages = self._with(user_message)

        def settle(receipt: Receipt) -> None:
            if receipt.reply is not None:
                self.cost.calculate(receipt.reply)
                self._remember(messages, receipt.reply)
            elif receipt.cost.picodollars != 0:
                self.cost.record(self.model or "", None, receipt.cost)

        stream = self._client.stream(messages, model=self.model, **self._merged(parameters))
        stream.when_filed(settle)
        return stream

    def _with(self, user_message: str) -> list[dict[str, Any]]:
        return trim([*self.messages, {"role": "user", "content": user_message}], self.max_history)

    def _merged(self, parameters: Parameters) -> Parameters:
        return {**self._parameters, **parameters}

    def _remember(self, messages: list[dict[str, Any]], reply: Reply) -> None:
        self.messages = trim([*messages, reply.message.to_dict()], self.max_history)
