"""What stands in a file of replies, and whose turn is it? JSON lines with a fault's keys, read, taken and written.

A file may be written by hand or by `recorder.py`; docs/simulator.md explains its keys.
"""

import base64
import heapq
import itertools
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from barechat.simulator.fault import Fault
from barechat.simulator.request import Request
from barechat.simulator.scenario import ScenarioError, parse_fault

_MATCH_KEYS: Final = ("model", "key", "text", "prompt", "stream", "request", "reused")
_COUNTING_KEYS: Final = ("times", "first", "every", "probability")
_LONGEST_PROMPT: Final = 200
# A shorter key is a placeholder ("test", "none"): no secret, and perhaps a word of the reply.
_SHORTEST_SECRET: Final = 8
_KEPT_HEADERS: Final = (
    *("x-request-id", "x-ratelimit-", "x-should-retry", "retry-after", "openai-processing-ms", "openai-version"),
    *("apim-request-id", "azureml-", "azure-openai-", "x-ms-"),
)
_REGEX_SPECIAL: Final = re.compile(r"[\\.^$*+?{}\[\]()|]")
# A blank line ends an event, whichever line ends it is made of.
# https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
_EVENT_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_number: Final = operator.attrgetter("number")


class _Turns:
    """The lines with the same match keys: each is taken once, the last one for ever."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.faults: list[Fault] = []
        self._taken = 0

    def take(self) -> Fault:
        fault = self.faults[min(self._taken, len(self.faults) - 1)]
        self._taken += 1
        return fault


class Replies:
    """Faults that stand for replies; remembers which have been taken.

    Those that name a request by its digest are found by it, so that a long recording is as quick as a short one.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._of_requests: dict[str, list[_Turns]] = {}
        self._others: list[_Turns] = []
        by_match: dict[tuple[Any, ...], _Turns] = {}
        for fault in faults:
            match = tuple(getattr(fault, key) for key in _MATCH_KEYS)
            turns = by_match.get(match)
            if turns is None:
                turns = by_match[match] = _Turns(len(by_match))
                named = self._others if fault.request is None else self._of_requests.setdefault(fault.request, [])
                named.append(turns)
            turns.faults.append(fault)

    def take(self, request: Request) -> Fault | None:
        """Return the reply whose turn it is, None when no line meets the request.

        Lines with the same match keys are taken in turn, one a request, and the last one stays. Of different match
        keys, those that come first in the file go first.
        """
        named = self._of_requests.get(request.digest.hex(), [])
        meeting = (turns for turns in heapq.merge(named, self._others, key=_number) if turns.faults[0].meets(request))
        turns = next(meeting, None)
        return None if turns is None else turns.take()


def parse_replies(text: str, source: str) -> Replies:
    """Make replies of JSON lines; blank lines and those that start with `#` are passed over.

    Raises ScenarioError, naming the source, the line's number and the key, for a line that can't be followed.
    """
    # Not splitlines(): JSON may hold U+2028 and its like as they are.
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return Replies(
        [_parse_line(line, f"{source}: line {number}") for number, line in lines if line and not line.startswith("#")]
    )


def _parse_line(line: str, source: str) -> Fault:
    try:
        table = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ScenarioError(f"{source}: not JSON: {error}") from None
    if not isinstance(table, dict):
        raise ScenarioError(f"{source}: not a JSON object")
    for key in _COUNTING_KEYS:
        if key in table:
            raise ScenarioError(
                f"{source}: `{key}` has no place among replies: lines with the same match keys are taken in turn, "
                "one a request, and the last one stays"
            )
    return parse_fault(table, source)


class Recorded(msgspec.Struct, kw_only=True):
    """An answer as it comes: `parts` are the body's bytes, each with its seconds after the request came."""

    status: int
    headers: list[tuple[str, str]]
    content_type: str | None = None
    parts: list[tuple[float, bytes]] = []
    ended_s: float = 0.0
    is_through: bool = False
    is_cut: bool = False

    @property
    def body(self) -> bytes:
        """The bytes so far."""
        return b"".join(data for _, data in self.parts)

    @property
    def is_events(self) -> bool:
        """Whether it is a stream of events."""
        return (self.content_type or "").partition(";")[0].strip().lower() == "text/event-stream"

    @property
    def is_complete(self) -> bool:
        """Whether all was said: some clients hang up after `[DONE]` and don't wait for the body's end."""
        is_done = self.is_events and self.body.rstrip().endswith((b"data: [DONE]", b"data:[DONE]"))
        return self.is_through or self.is_cut or is_done


def describe(request: Request, answer: Recorded, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Return the line that plays an answer again: which request it is for, and what is sent.

    The secrets are replaced by `sk-***` wherever they stand; a prompt that holds one isn't told.
    """
    spellings = sorted({text for secret in secrets for text in _spellings(secret)}, key=len, reverse=True)

    def hide(data: bytes) -> bytes:
        for spelling in spellings:
            data = data.replace(spelling.encode(), b"sk-***")
        return data

    def hide_text(text: str) -> str:
        return hide(text.encode()).decode()

    line: dict[str, Any] = {"request": request.digest.hex()}
    if request.prompt and hide_text(request.prompt) == request.prompt:
        line["prompt"] = _exactly(request.prompt)
    if request.model is not None and hide_text(request.model) == request.model:
        line["model"] = request.model
    line["stream"] = request.stream
    line["status"] = answer.status
    headers: dict[str, str] = {}
    for name, value in answer.headers:
        lower = name.lower()
        if lower.startswith(_KEPT_HEADERS):
            shown = hide_text(value)
            headers[lower] = f"{headers[lower]}, {shown}" if lower in headers else shown
    if headers:
        line["headers"] = headers
    if answer.content_type is not None:
        line["content_type"] = hide_text(answer.content_type)
    return line | _describe_body(answer, hide)


def _describe_body(answer: Recorded, hide: Callable[[bytes], bytes]) -> dict[str, Any]:
    """Return the keys that send these very bytes again; a cut comes after the last of them."""
    body = hide(answer.body)
    wait = {"first_token_s": round(answer.ended_s, 3)}
    cut = {"cut_after": 1} if answer.is_cut else {}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {**wait, "raw_b64": base64.b64encode(body).decode(), **cut}
    if answer.is_events:
        events = [(round(seconds, 3), hide(event).decode()) for seconds, event in split_events(answer.parts)]
        return {"events": events, **({"cut_after": len(events)} if answer.is_cut else {})}
    if answer.is_cut:
        return {**wait, "raw": text, **cut}
    return {**wait, "body": _as_table(body) or text}


def split_events(parts: Iterable[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Yield each event, its blank line included, with the seconds at which its last byte came; then what is left."""
    arrived = [(seconds, data) for seconds, data in parts if data]
    body = b"".join(data for _, data in arrived)
    ends = list(itertools.accumulate(len(data) for _, data in arrived))
    part = start = 0
    for end in [match.end() for match in _EVENT_END.finditer(body)] + [len(body)]:
        if end == start:
            continue
        while ends[part] < end:
            part += 1
        yield arrived[part][0], body[start:end]
        start = end


def _as_table(body: bytes) -> dict[str, Any] | None:
    """Return a JSON object, if writing it again gives these very bytes."""
    try:
        table = msgspec.json.decode(body)
        is_same = isinstance(table, dict) and msgspec.json.encode(table) == body
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return table if is_same else None


def _exactly(prompt: str) -> str:
    """Return the regular expression of this text, or of its beginning."""
    start = _REGEX_SPECIAL.sub(r"\\\g<0>", prompt[:_LONGEST_PROMPT])
    return f"^{start}$" if len(prompt) <= _LONGEST_PROMPT else f"^{start}"


def _spellings(secret: str) -> set[str]:
    """Return a secret as it is and as JSON may spell it; none for a placeholder."""
    if len(secret) < _SHORTEST_SECRET:
        return set()
    return {secret, secret.replace("/", "\\/"), msgspec.json.encode(secret)[1:-1].decode()}
