"""What a call brings back: replies, their parts, and what is known of each attempt and its cost.

Names and shapes are the wire's own (https://platform.openai.com/docs/api-reference/chat), so code that knows the
API reads them unchanged. Everything is frozen and pickles. msgspec.Struct where tokens pass by (0.1 µs to make,
against 1.0 µs for a dataclass), and for the rest too, so that there is one kind.
"""

from __future__ import annotations

from collections.abc import Iterable  # noqa: TC003 - msgspec reads the annotations
from decimal import Context, Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec

Verdict = Literal["complete", "limited", "filtered", "unknown", "partial"]
"""What the answer's end says of it.

complete: every choice ended by itself. limited: the server cut it at a length. filtered: at its content filter.
unknown: the server closed the answer properly but never said why it ended. partial: it hasn't ended (`partial` alone).
"""

Certainty = Literal["exact", "bound", "estimate", "unpriced"]
"""How sure a cost is: exact, at most this (bound), about this (estimate), or not known at all (unpriced)."""

T = TypeVar("T")

_LESS_SURE: tuple[Certainty, ...] = ("exact", "bound", "estimate", "unpriced")

PICODOLLARS_PER_DOLLAR = 10**12
_EXACT = Context(prec=100)  # more than there is money, whatever precision the caller's own decimals have


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all records: frozen, compared by value, made from keywords."""


class Tiles(Record, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="tiles"):
    """What an image takes: `base` tokens, and unless its detail is low, `tile` for each 512 by 512 pixels it covers."""

    base: Annotated[int, msgspec.Meta(ge=0)]
    tile: Annotated[int, msgspec.Meta(ge=0)]


class Patches(Record, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="patches"):
    """What an image takes: `multiplier` tokens for each 32 by 32 pixels that it covers, up to so many a `detail`."""

    multiplier: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,12}(\.[0-9]{1,24})?\Z")]
    low: Annotated[int, msgspec.Meta(ge=1)] | None = None
    high: Annotated[int, msgspec.Meta(ge=1)] | None = None
    auto: Annotated[int, msgspec.Meta(ge=1)] | None = None
    original: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Price(Record, frozen=True, kw_only=True):
    """One row of the price table, picodollars a token; None where the kind isn't sold.

    `long_context` is the row that re-prices the whole request above `long_context_over` input tokens; None where the
    tier isn't sold there.
    `image` is the rule by which an image takes tokens; None where it isn't known. Then `image_factor` counts: the most
    tokens that are billed for one that an image takes of the context window.
    """

    model: str
    tier: str
    since: str
    input_pd: int
    output_pd: int
    cached_pd: int | None = None
    cache_write_pd: int | None = None
    audio_input_pd: int | None = None
    audio_output_pd: int | None = None
    context_window: int | None = None
    max_output: int | None = None
    long_context_over: int | None = None
    long_context: Price | None = None
    image: Tiles | Patches | None = None
    image_factor: int = 1
    source: str = ""


class Cost(Record, frozen=True, kw_only=True):
    """What something cost: integer picodollars inside, and how sure the figure is.

    Formats as dollars, without their sign: `f"{cost:.6f}"` is "0.000123", or "unpriced" when the price isn't known.
    """

    picodollars: int | None
    certainty: Certainty
    price: Price | None = None

    @property
    def usd(self) -> Decimal | None:
        """The cost in dollars, exactly, or None when unpriced."""
        return None if self.picodollars is None else _EXACT.divide(Decimal(self.picodollars), PICODOLLARS_PER_DOLLAR)

    @staticmethod
    def sum(costs: Iterable[Cost]) -> Cost:
        """Add costs up; the sum is as sure as the least sure of them, and has its price if there is just one."""
        some = [cost for cost in costs if cost.picodollars != 0]
        if len(some) <= 1:
            return some[0] if some else FREE
        least_sure = max(some, key=lambda cost: _LESS_SURE.index(cost.certainty))
        amounts = [cost.picodollars for cost in some if cost.picodollars is not None]
        return Cost(picodollars=sum(amounts) if len(amounts) == len(some) else None, certainty=least_sure.certainty)

    def __format__(self, spec: str) -> str:
        usd = self.usd
        if usd is None:
            return "unpriced"
        return format(usd, spec or "f")

    def __str__(self) -> str:
        return format(self, "")


def dollars(picodollars: int) -> str:
    """Write an amount to the picodollar, without zeros that say nothing: $0.00, $1.25, $0.0000075."""
    whole, part = divmod(picodollars, PICODOLLARS_PER_DOLLAR)
    return f"${whole:,}.{f'{part:012d}'.rstrip('0').ljust(2, '0')}"


FREE = Cost(picodollars=0, certainty="exact")
UNPRICED = Cost(picodollars=None, certainty="unpriced")


Count = Annotated[int, msgspec.Meta(ge=0, lt=10**18)]
"""A number of tokens: none is longer."""


class PromptTokensDetails(Record, frozen=True, kw_only=True):
    """How the prompt's tokens divide; 0 where the server doesn't say."""

    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    audio_tokens: Count = 0
    image_tokens: Count = 0
    text_tokens: Count = 0


class CompletionTokensDetails(Record, frozen=True, kw_only=True):
    """How the reply's tokens divide (all are inside completion_tokens); 0 where the server doesn't say."""

    reasoning_tokens: Count = 0
    audio_tokens: Count = 0
    text_tokens: Count = 0
    accepted_prediction_tokens: Count = 0
    rejected_prediction_tokens: Count = 0


class Usage(Record, frozen=True, kw_only=True):
    """The tokens that the server counted for one call, all its choices together."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: PromptTokensDetails = PromptTokensDetails()
    completion_tokens_details: CompletionTokensDetails = CompletionTokensDetails()


class Function(Record, frozen=True, kw_only=True):
    """A function to call: its name, and its arguments as the JSON text that the model wrote."""

    name: str = ""
    arguments: str = ""


class Custom(Record, frozen=True, kw_only=True):
    """A custom tool to call: its name, and its input as free text."""

    name: str = ""
    input: str = ""


class ToolCall(Record, frozen=True, kw_only=True):
    """One tool call of a message, or a piece of one in a `Delta` (`index` says which, absent parts are empty)."""

    id: str = ""
    type: str = "function"
    function: Function | None = None
    custom: Custom | None = None
    index: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the call as a request's message carries it."""
        if self.custom is not None:
            return {"id": self.id, "type": "custom", "custom": {"name": self.custom.name, "input": self.custom.input}}
        function = self.function or Function()
        return {
            "id": self.id,
            "type": self.type,
            "function": {"name": function.name, "arguments": function.arguments},
        }


class Message(Record, frozen=True, kw_only=True):
    """The model's message. `tool_calls`, `annotations` and `audio` are None where the server sent none."""

    role: str = "assistant"
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    function_call: Function | None = None
    annotations: list[Any] | None = None
    audio: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the message as the next request carries it back: what the API takes, and no more."""
        message: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.refusal is not None:
            message["refusal"] = self.refusal
        if self.tool_calls:
            message["tool_calls"] = [call.to_dict() for call in self.tool_calls]
        if self.function_call is not None:
            message["function_call"] = {"name": self.function_call.name, "arguments": self.function_call.arguments}
        if self.audio is not None and "id" in self.audio:
            message["audio"] = {"id": self.audio["id"]}
        return message


class Choice(Record, frozen=True, kw_only=True):
    """One of the reply's `n` choices. `logprobs` is the wire's own dict."""

    index: int
    message: Message
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class Delta(Record, frozen=True, kw_only=True):
    """What one event of a stream added to one choice; a part that it didn't touch is None."""

    index: int
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    function_call: Function | None = None
    audio: dict[str, Any] | None = None
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class RateLimits(Record, frozen=True, kw_only=True):
    """The server's own account of its limits; None where it said nothing or that it doesn't know (-1)."""

    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests_s: float | None = None
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens_s: float | None = None


class Attempt(Record, frozen=True, kw_only=True):
    """One try at sending a request, and what became of it.

    `error` is the error's class name, or None if the try brought the reply. `sent` is False if the request surely
    never reached the server, True if it surely did, None if nobody knows. `delay_s` is the wait after it, if another
    try follows. `cost` is what this try cost or may have cost.
    """

    number: int
    client_request_id: str
    request_id: str | None = None
    status: int | None = None
    error: str | None = None
    message: str | None = None
    code: str | None = None
    sent: bool | None = None
    elapsed_s: float = 0.0
    first_byte_s: float | None = None
    delay_s: float | None = None
    cost: Cost = FREE


class Reply(Record, frozen=True, kw_only=True):
    """A whole answer, or a stream folded into one.

    `cost` covers every attempt that the call took; `attempts` has each one's share. `raw` is the server's object as
    it came (for a stream, folded into the same shape). `usage` is None if the server sent none.
    """

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None
    cost: Cost
    verdict: Verdict
    raw: dict[str, Any]
    created: int = 0
    service_tier: str | None = None
    system_fingerprint: str | None = None
    request_id: str | None = None
    rate_limits: RateLimits = RateLimits()
    attempts: tuple[Attempt, ...] = ()

    @property
    def message(self) -> Message:
        """The message of choice 0; an empty one if no choice came."""
        return self.choices[0].message if self.choices else Message()

    @property
    def text(self) -> str:
        """The content of choice 0, or "" if it has none."""
        return self.message.content or ""

    @property
    def finish_reason(self) -> str | None:
        """Why choice 0 ended: stop, length, tool_calls, content_filter, …; None if the server never said."""
        return self.choices[0].finish_reason if self.choices else None

    def json(self) -> Any:
        """Parse choice 0's content as JSON.

        Raises:
            ValueError: it isn't JSON; the message quotes its beginning and tells the verdict.
        """
        try:
            return msgspec.json.decode(self.text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            raise ValueError(
                f"the reply (verdict {self.verdict}) is not JSON: {error}; it begins {self.text[:80]!r}"
            ) from error

    def __str__(self) -> str:
        return self.text


class Parsed(Record, Generic[T], frozen=True, kw_only=True):
    """An answer as the value that was asked for, and the reply of each try that it took."""

    value: T
    tries: tuple[Reply, ...]

    @property
    def reply(self) -> Reply:
        """The reply that the value was read from."""
        return self.tries[-1]

    @property
    def cost(self) -> Cost:
        """What all tries cost together."""
        return Cost.sum(reply.cost for reply in self.tries)


class Run(Record, frozen=True, kw_only=True):
    """A conversation in which tools were called, and the reply of each round that it took.

    `messages` is all of it in the API's form, the last reply included, to go on with.
    """

    messages: list[dict[str, Any]]
    rounds: tuple[Reply, ...]

    @property
    def reply(self) -> Reply:
        """The last reply, which calls no tools."""
        return self.rounds[-1]

    @property
    def text(self) -> str:
        """The last reply's text."""
        return self.reply.text

    @property
    def cost(self) -> Cost:
        """What all rounds cost together."""
        return Cost.sum(reply.cost for reply in self.rounds)
