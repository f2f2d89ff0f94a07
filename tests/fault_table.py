"""What becomes of a call that meets a fault? Each fault of the simulator, and one run of it by a client.

`test_fault_table.py` holds both our clients to it; `fault_page.py` writes docs/faults.md, with the official SDK beside.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from barechat import BarechatError, Cost, DeadlineExceeded, RetryPolicy, Timeouts
from barechat.simulator import Simulator
from support import make_caller

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support import Caller

Mode = Literal["whole", "streamed"]
MODES: Final[tuple[Mode, ...]] = ("whole", "streamed")
TEXT: Final = "The whole answer has ten words, and this ends it."
QUESTION: Final = "Hello, sea."
_PATIENT_S: Final = 60.0


@dataclass(frozen=True)
class Fault:
    """A fault: what a reader calls it, the simulator's keys for it, and what is special about it.

    `dialect` is the server's; `is_silent` marks one that only a deadline ends.
    """

    name: str
    keys: dict[str, Any]
    dialect: str = "openai"
    is_silent: bool = False
    modes: tuple[Mode, ...] = MODES


def _status(status: int, **keys: Any) -> dict[str, Any]:
    return {"status": status, **keys}


_PAGE: Final = {"body": "<html><body>Bad gateway</body></html>", "content_type": "text/html"}
_SOON: Final = {"headers": {"retry-after-ms": "20"}}

FAULTS: Final = (
    Fault("no fault", {}),
    # refusals
    Fault("400", _status(400)),
    Fault("400, the prompt is too long", {"refuse": "context_length_exceeded"}),
    Fault("400, filtered by Azure", {"refuse": "content_filter"}, "azure"),
    Fault("401", _status(401)),
    Fault("401, flat text (vLLM)", _status(401), "vllm"),
    Fault("403", _status(403)),
    Fault("404", _status(404)),
    Fault("409, once", _status(409, times=1)),
    Fault("413", _status(413)),
    Fault("422, under `detail` (transformers)", _status(422), "transformers"),
    Fault("307 to another host", _status(307, headers={"location": "http://127.0.0.1:9/v1/chat/completions"})),
    # limits
    Fault("429 with a delay, once", _status(429, times=1, **_SOON)),
    Fault("429 without a delay, twice", _status(429, times=2)),
    Fault("429 for ever", _status(429)),
    Fault("429, try again in an hour", _status(429, headers={"retry-after": "3600"})),
    Fault("429, quota used up", {"refuse": "insufficient_quota"}),
    Fault(
        "429, quota, though told to try again", {"refuse": "insufficient_quota", "headers": {"x-should-retry": "true"}}
    ),
    Fault("429 by the LiteLLM proxy, once", _status(429, times=1), "litellm"),
    # the server's faults
    Fault("500, once", _status(500, times=1)),
    Fault("502 with a page, once", _status(502, times=1, **_PAGE)),
    Fault("503, once", {"refuse": "server_is_overloaded", "times": 1}),
    Fault("503 for ever", {"refuse": "server_is_overloaded"}),
    Fault("529 (overloaded)", _status(529)),
    Fault("501", _status(501)),
    # a 200 that is none
    Fault(
        "200 with an error", {"body": {"error": {"message": "The engine died.", "type": "server_error", "code": 500}}}
    ),
    Fault("200 with a page", {**_PAGE}),
    Fault("200 with nothing", {"body": ""}),
    Fault("200 with `null`", {"body": "null", "content_type": "application/json"}),
    Fault("200 and an empty stream", {"raw": ""}, modes=("streamed",)),
    # the connection
    Fault("reset before the answer, once", {"reset_before": True, "times": 1}),
    Fault("closed before the answer, once", {"close_before": True, "times": 1}),
    Fault("reset before the answer, always", {"reset_before": True}),
    Fault("reset within the headers", {"reset_in_head": True}),
    Fault("closed after the headers", {"cut_after": 0}),
    Fault("closed under an idle client", {"close_after": True}),
    # half an answer
    Fault("closed in the middle", {"cut_after": 4}),
    Fault("reset in the middle", {"cut_after": 4, "reset": True}),
    Fault("ended properly in the middle", {"cut_after": 4, "clean": True}),
    Fault("`[DONE]` in the middle", {"cut_after": 4, "clean": True, "then": ["done"]}, modes=("streamed",)),
    Fault("cut by the limit, and said so", {"reply": {"content": TEXT[:19], "finish_reason": "length"}}),
    Fault("cut by a filter, and said so", {"reply": {"content": TEXT[:19], "finish_reason": "content_filter"}}),
    Fault("closed before the finish_reason", {"cut_after": 99}, modes=("streamed",)),
    Fault("ended before the finish_reason", {"omit": ["finish_reason", "usage", "done"]}, modes=("streamed",)),
    Fault("ended before usage and `[DONE]`", {"omit": ["usage", "done"]}, modes=("streamed",)),
    Fault("no finish_reason, but `[DONE]`", {"omit": ["finish_reason"]}),
    Fault("no usage", {"omit": ["usage"]}),
    Fault("shorter than its Content-Length", {"length_off": 50}),
    Fault("longer than its Content-Length", {"length_off": -50}, modes=("whole",)),
    # errors within an answer
    Fault("an error event in the middle", {"error_after": 4}),
    Fault("an error event before any word, then fine", {"error_after": 0, "times": 1}),
    Fault("an error event, then `[DONE]` (vLLM)", {"error_after": 4}, "vllm", modes=("streamed",)),
    Fault("a named error event (Groq)", {"error_after": 4}, "groq", modes=("streamed",)),
    Fault("an error beside choices (OpenRouter)", {"error_after": 4}, "openrouter", modes=("streamed",)),
    # silence
    Fault("silence instead of headers", {"stall_head": True}, is_silent=True),
    Fault("silence in the middle", {"stall_after": 4}, is_silent=True),
    Fault("silence but for comments", {"stall_after": 4, "comments_s": 0.05}, is_silent=True, modes=("streamed",)),
    Fault("headers a byte in 50 ms", {"drip": True, "drip_s": 0.05}, is_silent=True),
    # other bytes
    Fault("a byte at a time", {"drip": True}),
    Fault("gzip unasked", {"gzip": True}),
    Fault("bytes that are not UTF-8", {"garble_after": 4}),
    Fault("an event that is not JSON", {"garble_after": 4, "garble": "json"}),
    Fault("binary in the middle", {"garble_after": 4, "garble": "binary"}),
)


@dataclass
class Outcome:
    """What the caller got: an exception's class or a verdict, the text, and what it took."""

    got: str
    text: str | None
    is_error: bool
    requests: int = 0
    seconds: float = 0.0
    cost: Cost | None = None


@contextlib.contextmanager
def serving(fault: Fault) -> Iterator[Simulator]:
    """Serve a fault; what it leaves of an answer is part of TEXT."""
    answered = {"reply": TEXT}
    keys = fault.keys if {"body", "raw", "refuse"} & fault.keys.keys() else {**answered, **fault.keys}
    with Simulator({"dialect": fault.dialect, "fault": [keys, answered]}) as simulator:
        yield simulator


def run(fault: Fault, kind: str, mode: Mode, *, patience_s: float = 0.3) -> Outcome:
    """Let one of our clients meet a fault; `patience_s` is its deadline where nothing else ends it."""
    limit_s = patience_s if fault.is_silent else _PATIENT_S
    timeouts = (
        Timeouts(_PATIENT_S, limit_s, limit_s, limit_s) if mode == "whole" else Timeouts(_PATIENT_S, limit_s, limit_s)
    )
    with serving(fault) as simulator:
        caller = make_caller(kind, simulator.url, timeouts=timeouts, retry=RetryPolicy(base_s=0.01, max_attempts=3))
        try:
            outcome = _ask(caller, mode)
        finally:
            caller.close()
    # A request that the client left is recorded when the server sees it.
    outcome.requests = len(simulator.requests)
    return outcome


def _ask(caller: Caller, mode: Mode) -> Outcome:
    began_s = time.monotonic()
    try:
        if mode == "whole":
            reply = caller.chat(QUESTION)
        else:
            with caller.stream(QUESTION) as stream:
                for _ in stream:
                    pass
            reply = stream.reply
    except BarechatError as error:
        which = f" ({error.which})" if isinstance(error, DeadlineExceeded) else ""
        text = None if error.partial is None else error.partial.text
        return Outcome(
            f"{type(error).__name__}{which}", text, True, seconds=time.monotonic() - began_s, cost=error.cost
        )
    return Outcome(reply.verdict, reply.text, False, seconds=time.monotonic() - began_s, cost=reply.cost)
