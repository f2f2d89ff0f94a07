"""The names of the guide that barechat grew from, over a default client.

A reader who typed them in by hand finds them here, working, with the faults of the hand-typed version gone. Code that
catches what those raised still does: ValueError for 400 and 401, RuntimeError once the tries run out.

The default client is made when first needed, from OPENAI_API_KEY and the other variables of `barechat.settings`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Unpack

from barechat.client import Client
from barechat.errors import (
    BarechatError,
    ConnectionFailed,
    DeadlineExceeded,
    ProtocolBroken,
    ServerFailed,
    StreamTruncated,
)
from barechat.money.meter import CostTracker
from barechat.money.prices import Prices
from barechat.records import Usage
from barechat.session import ChatSession as _Session
from barechat.settings import Timeouts
from barechat.usage import read_usage
from barechat.wire.faults import decode_object, kept, quoted_start, read_error
from barechat.wire.limits import server_delay_s
from barechat.wire.reply import read_whole
from barechat.wire.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from barechat.options import CallOptions
    from barechat.parameters import Parameters
    from barechat.records import Reply
    from barechat.streams import ChatStream
    from barechat.wire.request import Messages

__all__ = [
    "ChatSession",
    "CostTracker",
    "TriesExhausted",
    "call_openai",
    "count_streamed_tokens",
    "estimate_cost",
    "handle_response",
    "robust_chat",
]

_TIMEOUT_S = 60.0
_TIMEOUTS = Timeouts(connect_s=10, first_byte_s=_TIMEOUT_S, idle_s=_TIMEOUT_S, total_s=None)
_LOST_SEPARATOR = "\u2028"  # or another: which one isn't known, and doesn't matter to a count
_EVENT_FIELDS = frozenset({"data", "event", "id", "retry"})
_FINAL = (ServerFailed, ConnectionFailed, DeadlineExceeded, StreamTruncated)


class TriesExhausted(BarechatError, RuntimeError):
    """The last try failed too. `__cause__` is its error; the facts are on both."""


@cache
def default_client() -> Client:
    """Return the client of all these functions, made when first needed."""
    return Client()


def call_openai(payload: Mapping[str, Any], max_retries: int = 5) -> dict[str, Any]:
    """Send a payload, return the reply: dict in, dict out. `max_retries` counts attempts.

    Raises:
        ValueError: 400 or 401. RuntimeError: out of quota, or out of tries. BarechatError: all of them, and the rest.
    """
    try:
        return default_client().call(payload, retry=_policy(max_retries), timeouts=_TIMEOUTS)
    except _FINAL as error:
        raise _exhausted(error) from error


def handle_response(response: Any) -> dict[str, Any]:
    """Return the reply that a `requests`, `httpx` or `urllib3` response holds, or raise its error.

    Raises:
        ValueError: 400 or 401. RuntimeError: 429. ConnectionError: 5xx. BarechatError: all of them, and the rest.
    """
    status = response.status_code if hasattr(response, "status_code") else response.status
    body = response.content if hasattr(response, "content") else response.data
    headers = {name.lower(): value for name, value in response.headers.items()}
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's successes
        return read_whole(body).raw
    error = read_error(status, headers, body)
    error.request_id = headers.get("x-request-id")
    error.retry_after_s = server_delay_s(headers, datetime.now(UTC).timestamp())
    raise error


def robust_chat(
    messages: Messages,
    model: str = "gpt-4o-mini",
    stream: bool = False,
    cost_tracker: CostTracker | None = None,
    max_retries: int = 3,
    **parameters: Unpack[Parameters],
) -> str:
    """Send messages, return the reply's text; with `stream`, print it as it comes too. Timeouts are tried again.

    `max_retries` counts attempts. What the call cost is added to `cost_tracker`.

    Raises:
        ValueError: 400 or 401. RuntimeError: out of quota, or out of tries. BarechatError: all of them, and the rest.
    """
    client, policy = default_client(), _policy(max_retries)
    try:
        if stream:
            with client.stream(messages, model=model, retry=policy, timeouts=_TIMEOUTS, **parameters) as pieces:
                reply = _printed(pieces)
        else:
            reply = client.chat(messages, model=model, retry=policy, timeouts=_TIMEOUTS, **parameters)
    except BarechatError as error:
        if cost_tracker is not None and error.cost is not None and error.cost.picodollars != 0:
            cost_tracker.record(model, None, error.cost)
        if isinstance(error, _FINAL):
            raise _exhausted(error) from error
        raise
    if cost_tracker is not None:
        cost_tracker.calculate(reply)
    return reply.text


class ChatSession(_Session):
    """A conversation whose `send` returns the text. See `barechat.ChatSession`, which returns whole replies."""

    def __init__(self, system_prompt: str, model: str = "gpt-4o-mini", max_history: int = 10) -> None:
        super().__init__(default_client(), system_prompt, model=model, max_history=max_history)

    def send(  # type: ignore[override]  # the guide's returns the text
        self,
        user_message: str,
        stream: bool = False,
        **options: Unpack[CallOptions],
    ) -> str:
        """Send a message, return the reply's text; with `stream`, print it as it comes too.

        Raises:
            ValueError, RuntimeError: as `robust_chat`; the history is as it was.
        """
        try:
            if not stream:
                return super().send(user_message, **options).text
            with self.stream(user_message, **options) as pieces:
                return _printed(pieces).text
        except _FINAL as error:
            raise _exhausted(error) from error

    def cost_report(self) -> None:
        """Print what the conversation has cost so far."""
        self.cost.summary()


def estimate_cost(model: str, prompt_tokens: int, completion_tokens: int) -> float:
    """Return what so many tokens cost at today's standard price, in dollars; 0.0 for an unknown model.

    A float, and 0.0 for what isn't known, as the guide's exercise demands. `Prices.cost` is exact, and says so when
    it doesn't know.
    """
    usage = Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
    )
    usd = Prices.default().cost(usage, model, None, datetime.now(UTC).date()).usd
    return 0.0 if usd is None else float(usd)


def count_streamed_tokens(lines: Iterable[str | bytes]) -> int:
    """Count a stream's tokens from its lines, as `response.iter_lines()` gives them.

    The server's own count, if it sent one; else how many pieces of text came, which is mostly the same.
    """
    pieces, counted = 0, None
    for data in _each_data(lines):
        chunk = decode_object(data, "a line of the stream")
        usage = read_usage(chunk.get("usage"))
        if usage is not None:
            counted = usage.completion_tokens
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            delta = choice.get("delta") if isinstance(choice, dict) else None
            pieces += isinstance(delta, dict) and bool(delta.get("content"))
    return pieces if counted is None else counted


def _each_data(lines: Iterable[str | bytes]) -> Iterator[str]:
    """Yield what each data line holds, up to [DONE], a line that was split at a separator of Unicode whole again.

    httpx's `iter_lines`, and that of requests with `decode_unicode=True`, split where `str.splitlines` does, at U+2028
    inside a token's text too. A line that can't be a field of an event is such a piece of the data line before it.
    """
    split: list[str] = []
    for line in lines:
        text = _decoded(line)
        name, _, data = text.partition(":")
        if not text:
            continue  # the end of an event, or nothing between two separators
        if name and name not in _EVENT_FIELDS:
            if split:
                split.append(text)
            continue
        if split:
            yield _LOST_SEPARATOR.join(split)
            split.clear()
        if name == "data" and data.strip() == "[DONE]":
            return
        if name == "data" and data.strip():
            split.append(data)
    if split:
        yield _LOST_SEPARATOR.join(split)


def _decoded(line: str | bytes) -> str:
    try:
        return line.decode() if isinstance(line, bytes) else line
    except UnicodeDecodeError as error:
        raise ProtocolBroken(
            f"a line of the stream is not UTF-8: {error}; it begins {quoted_start(line)}", body=kept(line)
        ) from error


def _policy(max_attempts: int) -> RetryPolicy:
    return RetryPolicy(max_attempts=max_attempts, resend_after_timeout=True, attempt_s=_TIMEOUT_S)


def _printed(pieces: ChatStream) -> Reply:
    """Print a reply's text as it comes; return the reply."""
    for text in pieces:
        print(text, end="", flush=True)  # noqa: T201 - what it is for
    print()  # noqa: T201
    return pieces.reply


def _exhausted(error: BarechatError) -> TriesExhausted:
    """Return the error as the RuntimeError that the guide's code raises, with the same facts."""
    exhausted = TriesExhausted(f"gave up after {len(error.attempts)} attempts: {error}")
    exhausted.__dict__.update(error.__dict__)
    return exhausted
