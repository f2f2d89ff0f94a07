"""How an answer becomes a value of a Python type: it is asked for in the type's schema, and again if it doesn't fit.

`Tries` decides all of it; `parse` and `parse_async` differ in how they ask. The client hands its `chat` in, so that
every try has its retries, deadlines, budgets and place in the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from barechat.errors import (
    AnswerFiltered,
    AnswerLimited,
    AnswerMismatched,
    AnswerRefused,
    AnswerUnusable,
    ParameterError,
)
from barechat.parameters import shortened, shown
from barechat.records import Parsed, Reply
from barechat.shapes import Misfit, Shape
from barechat.spending import charged
from barechat.wire.request import checked_messages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from barechat.wire.request import Messages

T = TypeVar("T")

_TAKEN = {
    "response_format": "it follows from into",
    "tools": "run(…) calls tools",
    "functions": "run(…) calls tools",
    "n": "one answer is read",
}


def parse(
    chat: Callable[..., Reply],
    messages: Messages,
    into: Any,
    max_tries: int,
    strict: bool,  # noqa: FBT001 - the client's keyword
    options: Mapping[str, Any],
) -> Parsed[Any]:
    """Ask until an answer fits; see `Client.parse`."""
    tries: Tries[Any] = Tries(messages, into, max_tries, options, is_strict=strict)
    while True:
        with charged(tries.replies):
            reply = chat(tries.messages, response_format=tries.response_format, **options)
        if (parsed := tries.take(reply)) is not None:
            return parsed


async def parse_async(
    chat: Callable[..., Awaitable[Reply]],
    messages: Messages,
    into: Any,
    max_tries: int,
    strict: bool,  # noqa: FBT001 - likewise
    options: Mapping[str, Any],
) -> Parsed[Any]:
    """Ask until an answer fits; see `AsyncClient.parse`."""
    tries: Tries[Any] = Tries(messages, into, max_tries, options, is_strict=strict)
    while True:
        with charged(tries.replies):
            reply = await chat(tries.messages, response_format=tries.response_format, **options)
        if (parsed := tries.take(reply)) is not None:
            return parsed


class Tries(Generic[T]):
    """What to ask next, and what to make of the answer.

    Raises:
        ParameterError: no schema can be made of the type, or an option is at odds with it.
    """

    def __init__(
        self, messages: Messages, into: Any, max_tries: int, options: Mapping[str, Any], *, is_strict: bool
    ) -> None:
        if not isinstance(max_tries, int) or max_tries < 1:
            raise ParameterError(f"max_tries must be a whole number from 1, not {shown(max_tries)}", param="max_tries")
        for name, reason in _TAKEN.items():
            if options.get(name) is not None:
                raise ParameterError(f"parse(…) takes no {name}: {reason}", param=name)
        self.messages = checked_messages(messages)
        self.replies: list[Reply] = []
        self._shape: Shape[T] = Shape(into, "into")
        self._max_tries = max_tries
        self.response_format = {
            "type": "json_schema",
            "json_schema": {
                "name": self._shape.name,
                "schema": self._shape.schema(is_strict=is_strict),
                **({"strict": True} if is_strict else {}),
            },
        }

    def take(self, reply: Reply) -> Parsed[T] | None:
        """Return the value that a reply holds, or None where it is to be asked for again.

        Raises:
            AnswerUnusable: it was refused or cut, or didn't fit once too often.
        """
        self.replies.append(reply)
        with charged(self.replies):
            try:
                return Parsed(value=self._value(reply), tries=tuple(self.replies))
            except Misfit as misfit:
                told = shortened(str(misfit))
                if len(self.replies) == self._max_tries:
                    raise _unusable(
                        AnswerMismatched,
                        reply,
                        f"the answer is no {self._shape.name}, at try {self._max_tries}: {told}",
                    ) from misfit
        again = f"That isn't what was asked for: {told}. Answer again, with JSON that fits the schema and nothing else."
        self.messages += ({"role": "assistant", "content": reply.text}, {"role": "user", "content": again})
        return None

    def _value(self, reply: Reply) -> T:
        refusal = reply.message.refusal
        if refusal:
            raise _unusable(AnswerRefused, reply, f"the model declined to answer: {shortened(refusal)}")
        if reply.verdict == "limited":
            raise _unusable(
                AnswerLimited, reply, "the answer was cut at a length: raise max_completion_tokens, or ask for less"
            )
        if reply.verdict == "filtered":
            raise _unusable(AnswerFiltered, reply, "the answer was cut by the server's content filter")
        return self._shape.read(reply.text)


def _unusable(kind: type[AnswerUnusable], reply: Reply, message: str) -> AnswerUnusable:
    return kind(message, partial=reply, request_id=reply.request_id)
