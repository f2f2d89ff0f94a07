"""What barechat promises: these names, each loaded when it is first used.

A client for the Chat Completions API, and for every server that speaks it, over plain HTTP:
every byte visible, every cent counted.

    from barechat import Client

    client = Client()                                  # OPENAI_API_KEY from the environment
    reply = client.chat("What is gradient descent?", model="gpt-4o-mini")
    print(reply.text, reply.cost)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barechat.async_client import AsyncClient
    from barechat.bulk.results import BulkResult
    from barechat.client import Client
    from barechat.errors import (
        AnswerFiltered,
        AnswerLimited,
        AnswerMismatched,
        AnswerRefused,
        AnswerUnusable,
        ApiError,
        AuthenticationFailed,
        BadRequest,
        BarechatError,
        BudgetExceeded,
        ConfigurationError,
        Conflict,
        ConnectionFailed,
        ContentFiltered,
        ContextTooLong,
        DeadlineExceeded,
        NotFound,
        Overloaded,
        ParameterError,
        PermissionDenied,
        ProtocolBroken,
        QuotaExhausted,
        RateLimited,
        RoundsExceeded,
        RunUnfinished,
        ServerFailed,
        StreamTruncated,
        TooLarge,
        ToolsFailed,
    )
    from barechat.files import audio, file, image
    from barechat.ledger.ledger import Ledger
    from barechat.money.budget import Budget
    from barechat.money.meter import CostTracker
    from barechat.money.prices import Prices
    from barechat.records import (
        Attempt,
        Choice,
        Cost,
        Delta,
        Message,
        Parsed,
        Price,
        RateLimits,
        Reply,
        Run,
        ToolCall,
        Usage,
    )
    from barechat.session import AsyncChatSession, ChatSession
    from barechat.settings import Caps, Timeouts
    from barechat.streams import AsyncChatStream, ChatStream
    from barechat.tool import Tool
    from barechat.wire.retry import RetryPolicy
    from barechat.wire.trace import TraceEvent

__version__ = "0.1.0"

_HOMES = {
    "barechat.async_client": ("AsyncClient",),
    "barechat.bulk.results": ("BulkResult",),
    "barechat.client": ("Client",),
    "barechat.errors": (
        "AnswerFiltered",
        "AnswerLimited",
        "AnswerMismatched",
        "AnswerRefused",
        "AnswerUnusable",
        "ApiError",
        "AuthenticationFailed",
        "BadRequest",
        "BarechatError",
        "BudgetExceeded",
        "ConfigurationError",
        "Conflict",
        "ConnectionFailed",
        "ContentFiltered",
        "ContextTooLong",
        "DeadlineExceeded",
        "NotFound",
        "Overloaded",
        "ParameterError",
        "PermissionDenied",
        "ProtocolBroken",
        "QuotaExhausted",
        "RateLimited",
        "RoundsExceeded",
        "RunUnfinished",
        "ServerFailed",
        "StreamTruncated",
        "ToolsFailed",
        "TooLarge",
    ),
    "barechat.files": ("audio", "file", "image"),
    "barechat.ledger.ledger": ("Ledger",),
    "barechat.money.budget": ("Budget",),
    "barechat.money.meter": ("CostTracker",),
    "barechat.money.prices": ("Prices",),
    "barechat.records": (
        "Attempt",
        "Choice",
        "Cost",
        "Delta",
        "Message",
        "Parsed",
        "Price",
        "RateLimits",
        "Reply",
        "Run",
        "ToolCall",
        "Usage",
    ),
    "barechat.session": ("AsyncChatSession", "ChatSession"),
    "barechat.settings": ("Caps", "Timeouts"),
    "barechat.streams": ("AsyncChatStream", "ChatStream"),
    "barechat.tool": ("Tool",),
    "barechat.wire.retry": ("RetryPolicy",),
    "barechat.wire.trace": ("TraceEvent",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - the type checkers need the literal list, test_promise compares it with _HOMES
    "AnswerFiltered",
    "AnswerLimited",
    "AnswerMismatched",
    "AnswerRefused",
    "AnswerUnusable",
    "ApiError",
    "AsyncChatSession",
    "AsyncChatStream",
    "AsyncClient",
    "Attempt",
    "AuthenticationFailed",
    "BadRequest",
    "BarechatError",
    "Budget",
    "BudgetExceeded",
    "BulkResult",
    "Caps",
    "ChatSession",
    "ChatStream",
    "Choice",
    "Client",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "ContentFiltered",
    "ContextTooLong",
    "Cost",
    "CostTracker",
    "DeadlineExceeded",
    "Delta",
    "Ledger",
    "Message",
    "NotFound",
    "Overloaded",
    "ParameterError",
    "Parsed",
    "PermissionDenied",
    "Price",
    "Prices",
    "ProtocolBroken",
    "QuotaExhausted",
    "RateLimited",
    "RateLimits",
    "Reply",
    "RetryPolicy",
    "RoundsExceeded",
    "RunUnfinished",
    "ServerFailed",
    "StreamTruncated",
    "Timeouts",
    "Run",
    "Tool",
    "ToolCall",
    "ToolsFailed",
    "TooLarge",
    "TraceEvent",
    "Usage",
    "audio",
    "file",
    "image",
]


def __getattr__(name: str) -> object:
    """Load a public name's module when the name is first asked for (PEP 562)."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'barechat' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
