"""What happens in which order, and to whom? A scenario: its settings, its faults, and how often each has applied.

Pure: a scenario file's text is read by `server.py` and its table handed in. docs/simulator.md explains every key.
"""

import difflib
import hashlib
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from barechat.simulator.dialects import DIALECTS
from barechat.simulator.fault import NO_FAULT, Fault, Positive, Seconds
from barechat.simulator.limits import Limit
from barechat.simulator.request import Request

Kind = TypeVar("Kind", bound=msgspec.Struct)
_DRAWS: Final = 1 << 64


class ScenarioError(ValueError):
    """A scenario or an `x-simulate` header that can't be followed; the message names the place and the key."""


class Load(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the server bears many requests at once.

    `slots` answers are made at a time, the others wait their turn; with `slowdown`, each answer in the making makes
    all that begin slower by that share.
    """

    slots: Positive | None = None
    slowdown: Annotated[float, Meta(ge=0)] = 0.0


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scenario's settings; `jitter` is the share by which the times of each answer vary."""

    seed: int = 0
    dialect: str = "openai"
    first_token_s: Seconds = 0.0
    tokens_per_s: Seconds = 0.0
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.0
    load: Load = Load()
    limit: list[dict[str, Any]] = []
    fault: list[dict[str, Any]] = []


class _Armed:
    """A fault and how often it has been applied."""

    def __init__(self, fault: Fault, seed: str) -> None:
        self.fault = fault
        self._seed = seed.encode("utf-8", "surrogateescape")
        self._met = 0
        self._applied = 0
        self._tries: dict[bytes, int] = {}

    def take(self, request: Request) -> bool:
        """Say whether the fault applies to this try of this request, and count it if so."""
        fault = self.fault
        if not fault.meets(request):
            return False
        self._met += 1
        # Only these two ask for the request's tries, which are then worth their memory.
        counts_tries = fault.times is not None or fault.probability is not None
        tries = self._tries.get(request.digest, 0) if counts_tries else 0
        if (
            (fault.first is not None and self._applied >= fault.first)
            or (fault.every is not None and self._met % fault.every)
            or (fault.times is not None and tries >= fault.times)
        ):
            return False
        if counts_tries:
            self._tries[request.digest] = tries + 1
        if fault.probability is not None and self._draw(request, tries) >= fault.probability:
            return False
        self._applied += 1
        return True

    def _draw(self, request: Request, tries: int) -> float:
        """Draw from [0, 1), the same for the same seed, fault, request and try."""
        digest = hashlib.sha256(self._seed + request.digest + tries.to_bytes(8, "big")).digest()
        return int.from_bytes(digest[:8], "big") / _DRAWS


class Scenario:
    """Settings, and faults in their order; remembers what it has done.

    Used by the server's thread, but for `add`, which any thread may call.
    """

    def __init__(self, settings: Settings, limits: list[Limit], faults: list[Fault]) -> None:
        self.settings = settings
        self.limits = limits
        self._file = [_Armed(fault, f"{settings.seed}/{number}/") for number, fault in enumerate(faults)]
        self._added: list[_Armed] = []
        self._headers: dict[str, _Armed] = {}

    def add(self, fault: Fault) -> None:
        """Put a fault before those of the file."""
        self._added.append(_Armed(fault, f"{self.settings.seed}/added {len(self._added)}/"))

    def match(self, request: Request, header: str | None) -> Fault:
        """Return the first fault that applies: the header's, then the added ones, then the file's.

        Raises ScenarioError for a header that can't be followed.
        """
        if header is not None:
            if header not in self._headers:
                self._headers[header] = _Armed(parse_header(header), f"{self.settings.seed}/{header}/")
            if self._headers[header].take(request):
                return self._headers[header].fault
        for armed in (self._added, self._file):
            for one in armed:
                if one.take(request):
                    return one.fault
        return NO_FAULT


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Return a scenario file's table; raises ScenarioError, naming the file, when it isn't TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{source}: not TOML: {error}") from None


def parse_scenario(table: Mapping[str, Any], source: str = "scenario") -> Scenario:
    """Make a scenario of a table; raises ScenarioError naming the source, the fault's or limit's number and the key."""
    if isinstance(load := table.get("load"), dict):
        _convert(load, Load, f"{source}: load")  # only to name its wrong key
    settings = _convert(dict(table), Settings, source)
    if settings.dialect not in DIALECTS:
        raise ScenarioError(f"{source}: no dialect `{settings.dialect}`; there are: {', '.join(DIALECTS)}")
    return Scenario(
        settings,
        parse_limits(settings.limit, source),
        [parse_fault(fault, f"{source}: fault {number}") for number, fault in enumerate(settings.fault, 1)],
    )


def parse_limits(tables: list[dict[str, Any]], source: str) -> list[Limit]:
    """Make limits of their tables; raises ScenarioError naming the source, the limit's number and the key."""
    return [_convert(table, Limit, f"{source}: limit {number}") for number, table in enumerate(tables, 1)]


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
