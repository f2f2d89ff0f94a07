"""What is to go wrong, and for whom? Scenarios and faults: their keys, their checks, their counting.

Pure: a scenario file's text is read by `server.py` and its table handed in. docs/simulator.md explains every key.
"""

import base64
import binascii
import difflib
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from barechat.simulator.request import Request

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]
Omission = Literal["done", "usage", "finish_reason"]
Kind = TypeVar("Kind", bound=msgspec.Struct)
_MOST_TOKENS: Final = 10_000_000


class ScenarioError(ValueError):
    """A scenario or an `x-simulate` header that can't be followed; the message names the place and the key."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing to do differently: which requests it meets, what is answered, what breaks, and how fast."""

    # which requests
    name: str | None = None
    times: Positive | None = None
    first: Positive | None = None
    model: str | None = None
    key: str | None = None
    text: str | None = None
    # what is answered
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    headers: dict[str, str | int | float] = {}
    body: str | dict[str, Any] | None = None
    content_type: str | None = None
    reply: str | None = None
    tokens: Annotated[int, Meta(ge=0, le=_MOST_TOKENS)] | None = None
    raw: str | None = None
    raw_b64: str | None = None
    raw_chunks: list[Positive] | None = None
    until_close: bool = False
    omit: list[Omission] = []
    # what breaks
    reset_before: bool = False
    close_before: bool = False
    stall_head: bool = False
    stall_after: Count | None = None
    stall_s: Seconds | None = None
    comments_s: Annotated[float, Meta(gt=0)] | None = None
    error_after: Count | None = None
    error: dict[str, Any] | str | None = None
    cut_after: Count | None = None
    clean: bool = False
    # how fast
    first_token_s: Seconds | None = None
    tokens_per_s: Seconds | None = None
    drip: bool = False
    drip_s: Seconds = 0.0

    def __post_init__(self) -> None:
        """Refuse keys that contradict each other or need another one."""
        for key, value in self.headers.items():
            if not key or any(character in f"{key}{value}" for character in "\r\n\0"):
                raise ValueError(f"header {key!r} is empty or holds a line break")
        if any(character in (self.content_type or "") for character in "\r\n\0"):
            raise ValueError("`content_type` holds a line break")
        if self.raw is not None and self.raw_b64 is not None:
            raise ValueError("`raw` and `raw_b64` exclude each other")
        if self.raw_b64 is not None:
            try:
                base64.b64decode(self.raw_b64, validate=True)
            except (binascii.Error, ValueError):
                raise ValueError("`raw_b64` is not base64") from None
        has_stall = self.stall_head or self.stall_after is not None
        for key, given, needs, has in (
            ("raw_chunks", self.raw_chunks is not None, "raw` or `raw_b64", self.raw_bytes is not None),
            ("stall_s", self.stall_s is not None, "stall_head` or `stall_after", has_stall),
            ("comments_s", self.comments_s is not None, "stall_after", self.stall_after is not None),
            ("error", self.error is not None, "error_after", self.error_after is not None),
            ("clean", self.clean, "cut_after", self.cut_after is not None),
            ("drip_s", self.drip_s > 0, "drip", self.drip),
        ):
            if given and not has:
                raise ValueError(f"`{key}` needs `{needs}`")

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
            or self.body is not None
            or self.raw_bytes is not None
            or (self.status is not None and not 200 <= self.status < 300)  # noqa: PLR2004 - the 2xx, as everyone knows them
        )

    @property
    def breaks_off(self) -> bool:
        """Whether something is to happen within the body."""
        return any(after is not None for after in (self.stall_after, self.error_after, self.cut_after))

    @property
    def decision(self) -> str:
        """What the log calls this fault: its name, or its main key."""
        if self.name is not None:
            return self.name
        for key in ("reset_before", "close_before", "status", "raw", "raw_b64", "body", "stall_head", *_AFTER, "drip"):
            value = getattr(self, key)
            if value is not None and value is not False:
                return f"{key} {value}" if key in {"status", *_AFTER} else key
        return f"omit {' '.join(self.omit)}" if self.omit else "reply"


_AFTER: Final = ("stall_after", "error_after", "cut_after")
NO_FAULT: Final = Fault()


class _Armed:
    """A fault and how often it has been applied."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._applied = 0
        self._tries: dict[bytes, int] = {}

    def take(self, request: Request) -> bool:
        """Say whether the fault applies to this try of this request, and count it if so."""
        fault = self.fault
        tries = self._tries.get(request.digest, 0)
        if (
            (fault.first is not None and self._applied >= fault.first)
            or (fault.times is not None and tries >= fault.times)
            or (fault.model is not None and fault.model != request.model)
            or (fault.key is not None and not (request.key or "").startswith(fault.key))
            or (fault.text is not None and not any(fault.text in text for text in request.texts))
        ):
            return False
        self._applied += 1
        if fault.times is not None:
            self._tries[request.digest] = tries + 1
        return True


class Scenario:
    """Faults in their order, a seed and a pace; remembers what it has done.

    Used by the server's thread, but for `add`, which any thread may call.
    """

    def __init__(self, faults: list[Fault], *, seed: int, first_token_s: float, tokens_per_s: float) -> None:
        self.seed = seed
        self.first_token_s = first_token_s
        self.tokens_per_s = tokens_per_s
        self._file = [_Armed(fault) for fault in faults]
        self._added: list[_Armed] = []
        self._headers: dict[str, _Armed] = {}

    def add(self, fault: Fault) -> None:
        """Put a fault before those of the file."""
        self._added.append(_Armed(fault))

    def match(self, request: Request, header: str | None) -> Fault:
        """Return the first fault that applies: the header's, then the added ones, then the file's.

        Raises ScenarioError for a header that can't be followed.
        """
        armed = [*self._added, *self._file]
        if header is not None:
            if header not in self._headers:
                self._headers[header] = _Armed(parse_header(header))
            armed.insert(0, self._headers[header])
        return next((one.fault for one in armed if one.take(request)), NO_FAULT)


class _Table(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    seed: int = 0
    first_token_s: Seconds = 0.0
    tokens_per_s: Seconds = 0.0
    fault: list[dict[str, Any]] = []


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Return a scenario file's table; raises ScenarioError, naming the file, when it isn't TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{source}: not TOML: {error}") from None


def parse_scenario(table: Mapping[str, Any], source: str = "scenario") -> Scenario:
    """Make a scenario of a table; raises ScenarioError naming the source, the fault's number and the key."""
    settings = _convert(dict(table), _Table, source)
    faults = [parse_fault(fault, f"{source}: fault {number}") for number, fault in enumerate(settings.fault, 1)]
    return Scenario(
        faults, seed=settings.seed, first_token_s=settings.first_token_s, tokens_per_s=settings.tokens_per_s
    )


def parse_fault(table: Mapping[str, Any], source: str) -> Fault:
    """Make a fault of a table; raises ScenarioError naming the source and the key."""
    return _convert(dict(table), Fault, source)


def parse_header(text: str) -> Fault:
    """Make a fault of an `x-simulate` header: a JSON object with a fault's keys."""
    try:
        table = msgspec.json.decode(text.encode("utf-8", "surrogateescape"))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ScenarioError(f"x-simulate: not JSON: {error}") from None
    if not isinstance(table, dict):
        raise ScenarioError("x-simulate: not a JSON object")
    return parse_fault(table, "x-simulate")


def _convert(table: dict[str, Any], kind: type[Kind], source: str) -> Kind:
    known = kind.__struct_fields__
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean `{close[0]}`?" if close else f"the keys are: {', '.join(sorted(known))}"
            raise ScenarioError(f"{source}: unknown key `{key}`; {hint}")
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{source}: {error}") from None
