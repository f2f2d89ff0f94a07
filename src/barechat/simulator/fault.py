"""What can go wrong with one answer? A fault's keys, the requests that it meets, and which keys go together.

docs/simulator.md explains every key.
"""

import base64
import binascii
import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from barechat.simulator.errors import ERRORS
from barechat.simulator.request import Request

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
EndPart = Literal["finish_reason", "usage", "done"]
Garbage = Literal["utf8", "json", "binary"]
_MOST_TOKENS: Final = 10_000_000
_LINE_BREAKS: Final = re.compile("[\r\n\0]")
_EXCLUDING: Final = (
    ("clean", "reset"),
    ("gzip", "comments_s"),
    ("gzip", "length_off"),
    ("until_close", "length_off"),
)


class ScriptedCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool call to make, its arguments a table or the very string."""

    name: str
    arguments: str | dict[str, Any] = {}
    id: str | None = None


class Scripted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message to give word for word."""

    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    tool_calls: list[ScriptedCall] = []
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter", "function_call"] | None = None


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing to do differently: which requests it meets, what is answered, what breaks, and how fast."""

    name: str | None = None
    # which requests
    times: Positive | None = None
    first: Positive | None = None
    every: Positive | None = None
    probability: Annotated[float, Meta(ge=0, le=1)] | None = None
    model: str | None = None
    key: str | None = None
    text: str | None = None
    prompt: str | None = None
    stream: bool | None = None
    request: str | None = None
    reused: bool | None = None
    # what is answered
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    refuse: str | None = None
    headers: dict[str, str | int | float] = {}
    body: str | dict[str, Any] | None = None
    content_type: str | None = None
    reply: str | Scripted | None = None
    tokens: Annotated[int, Meta(ge=0, le=_MOST_TOKENS)] | None = None
    tier: Literal["default", "flex", "scale", "priority"] | None = None
    raw: str | None = None
    raw_b64: str | None = None
    raw_chunks: list[Positive] | None = None
    events: list[tuple[Seconds, str]] | None = None
    until_close: bool = False
    gzip: bool = False
    length_off: int = 0
    omit: list[EndPart] = []
    # what breaks
    reset_before: bool = False
    close_before: bool = False
    reset_in_head: bool = False
    stall_head: bool = False
    stall_after: Count | None = None
    stall_s: Seconds | None = None
    comments_s: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    garble_after: Count | None = None
    garble: Garbage = "utf8"
    error_after: Count | None = None
    error: dict[str, Any] | str | None = None
    cut_after: Count | None = None
    clean: bool = False
    reset: bool = False
    then: list[EndPart] = []
    close_after: bool = False
    # how fast
    first_token_s: Seconds | None = None
    tokens_per_s: Seconds | None = None
    drip: bool = False
    drip_s: Seconds = 0.0

    def __post_init__(self) -> None:
        """Refuse keys that contradict each other or need another one."""
        self._check_text()
        given = [f"`{key}`" for key in ("raw", "raw_b64", "events", "body", "refuse") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other")
        if self.refuse is not None and self.refuse not in ERRORS:
            raise ValueError(f"`refuse` knows no `{self.refuse}`; the codes are: {', '.join(ERRORS)}")
        for one, other in _EXCLUDING:
            if getattr(self, one) and getattr(self, other):
                raise ValueError(f"`{one}` and `{other}` exclude each other")
        has_cut = self.cut_after is not None
        for key, is_given, needs, has in (
            ("raw_chunks", self.raw_chunks is not None, "raw` or `raw_b64", self.raw_bytes is not None),
            ("stall_s", self.stall_s is not None, "stall_head` or `stall_after", self._stalls),
            ("comments_s", self.comments_s is not None, "stall_after", self.stall_after is not None),
            ("error", self.error is not None, "error_after", self.error_after is not None),
            ("garble", self.garble != "utf8", "garble_after", self.garble_after is not None),
            ("clean", self.clean, "cut_after", has_cut),
            ("reset", self.reset, "cut_after", has_cut),
            ("then", bool(self.then), "cut_after", has_cut),
            ("drip_s", self.drip_s > 0, "drip", self.drip),
        ):
            if is_given and not has:
                raise ValueError(f"`{key}` needs `{needs}`")

    def _check_text(self) -> None:
        for key, value in self.headers.items():
            if not key or _LINE_BREAKS.search(f"{key}{value}"):
                raise ValueError(f"header {key!r} is empty or holds a line break")
        if _LINE_BREAKS.search(self.content_type or ""):
            raise ValueError("`content_type` holds a line break")
        if self.raw_b64 is not None:
            try:
                base64.b64decode(self.raw_b64, validate=True)
            except (binascii.Error, ValueError):
                raise ValueError("`raw_b64` is not base64") from None
        if self.prompt is not None:
            try:
                re.compile(self.prompt)
            except re.error as error:
                raise ValueError(f"`prompt` is not a regular expression: {error}") from None

    @property
    def _stalls(self) -> bool:
        return self.stall_head or self.stall_after is not None

    def meets(self, request: Request) -> bool:
        """Say whether this is such a request; how often the fault has applied doesn't count here."""
        return (
            (self.model is None or self.model == request.model)
            and (self.key is None or (request.key or "").startswith(self.key))
            and (self.stream is None or self.stream == request.stream)
            and (self.reused is None or self.reused == request.reused)
            and (self.request is None or self.request == request.digest.hex())
            and (self.text is None or any(self.text in text for text in request.texts))
            and (self.prompt is None or re.search(self.prompt, request.prompt) is not None)
        )

    def over(self, other: "Fault") -> "Fault":
        """Return the other fault with the keys that this one gives put in place of its own."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return msgspec.structs.replace(
            other, **{name: value for name, value in given.items() if value != getattr(NO_FAULT, name)}
        )

    @property
    def raw_bytes(self) -> bytes | None:
        """The bytes to send in place of a reply, if any."""
        if self.raw_b64 is not None:
            return base64.b64decode(self.raw_b64)
        return None if self.raw is None else self.raw.encode()

    @property
    def answers_itself(self) -> bool:
        """Whether it answers (or doesn't) in the API's place, so that the request isn't even judged."""
        return (
            self.reset_before
            or self.close_before
            or any(given is not None for given in (self.body, self.raw, self.raw_b64, self.events, self.refuse))
            or (self.status is not None and not 200 <= self.status < 300)  # noqa: PLR2004 - the 2xx, as everyone knows them
        )

    @property
    def breaks_off(self) -> bool:
        """Whether something is to happen within the body."""
        return any(getattr(self, key) is not None for key in _AFTER)

    @property
    def decision(self) -> str:
        """What the log calls this fault: its name, or its main key."""
        if self.name is not None:
            return self.name
        for key in _MAIN_KEYS:
            value = getattr(self, key)
            if value is not None and value is not False:
                return f"{key} {value}" if key in {"status", "refuse", *_AFTER} else key
        if self.length_off:
            return f"length_off {self.length_off}"
        return f"omit {' '.join(self.omit)}" if self.omit else "reply"


_AFTER: Final = ("stall_after", "garble_after", "error_after", "cut_after")
# fmt: off
_MAIN_KEYS: Final = (
    "reset_before", "close_before", "refuse", "status", "raw", "raw_b64", "events", "body", "reset_in_head",
    "stall_head", *_AFTER, "gzip", "close_after", "drip",
)
# fmt: on
NO_FAULT: Final = Fault()
