"""What may differ between servers of the API? The official one's way, and what each dialect can change of it.

The dialects themselves are in `dialects.py`; the deviations are those that real servers were seen to have.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Final, Literal

import msgspec

from barechat.simulator.refusals import Refusal
from barechat.simulator.reply import Choice, Reply
from barechat.simulator.request import Request

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
UsagePlace = Literal["own chunk", "own chunk with a choice", "last chunk", "nowhere"]
LimitHeaders = Literal["openai", "azure", "none"]
_encode: Final = msgspec.json.Encoder().encode


class ErrorBody(msgspec.Struct, frozen=True):
    """An error as it goes over the wire."""

    status: int
    body: bytes
    content_type: str = JSON


class Dialect:
    """The official API."""

    name: ClassVar[str] = "openai"
    # Requests: what is refused, and what is taken and passed over.
    is_strict: ClassVar[bool] = True
    needs_key: ClassVar[bool] = True
    ignores: ClassVar[frozenset[str]] = frozenset()
    limit_headers: ClassVar[LimitHeaders] = "openai"
    tells_retry_after: ClassVar[bool] = True
    # Replies: where thoughts are shown, if they are.
    reasoning_name: ClassVar[str | None] = None
    # Streams.
    obfuscates: ClassVar[bool] = True
    tokens_per_chunk: ClassVar[int] = 1
    calls_at_once: ClassVar[bool] = False
    ends_with_content: ClassVar[bool] = False
    tells_finish_reason: ClassVar[bool] = True
    ends_with_done: ClassVar[bool] = True
    usage_place: ClassVar[UsagePlace] = "own chunk"
    usage_unasked: ClassVar[bool] = False

    def refuse(self, request: Request, path: str, query: str) -> Refusal | None:
        """Return what this server alone refuses, before anything else is judged."""
        return None

    def error(self, refusal: Refusal, request: Request) -> ErrorBody:
        """Return a refusal as this server writes it."""
        return ErrorBody(refusal.status, _encode({"error": self.error_object(refusal)}))

    def error_object(self, refusal: Refusal) -> Any:
        """Return what stands under `error`."""
        return refusal.error

    def error_events(self, error: Any, reply: Reply | None) -> bytes:
        """Return the events that tell of an error within a stream, to the stream's end."""
        return b"data: %b\n\n" % _encode({"error": error})

    def usage(self, reply: Reply) -> dict[str, Any]:
        """Return a reply's usage."""
        return reply.usage()

    def amend_reply(self, body: dict[str, Any], reply: Reply) -> None:
        """Change a whole reply's body in place."""

    def amend_chunk(self, chunk: dict[str, Any], reply: Reply, *, is_last: bool = False) -> None:
        """Change a stream's chunk in place; `is_last` marks the last choice's last one."""

    def opening(self, reply: Reply) -> Iterator[bytes]:
        """Yield what a stream begins with, before any choice speaks."""
        yield from ()

    def role_delta(self, choice: Choice) -> bytes:
        """Return the inside of the delta that names the role."""
        content = b"null" if choice.content is None else b'""'
        return b'"role":"assistant","content":%b,"refusal":null' % content
