"""How a price file is read: JSON with dollars a person can check, into picodollars a token, or a refusal.

The form is that of `prices.json`; its "about" says what each field means, and docs/prices.md what a file of one's own
needs. Nothing is rounded: a figure that isn't a whole number of picodollars is refused, so that no cost is ever off
by a fraction.
"""

from __future__ import annotations

import codecs
import re
import zlib
from datetime import date
from decimal import Context, Decimal

import msgspec

from barechat.errors import ConfigurationError
from barechat.records import Patches, Price, Record, Tiles

TIERS = ("standard", "flex", "priority", "batch")

_PICODOLLARS_A_TOKEN = Decimal(10**6)  # for a dollar a million tokens
_EXACTLY = Context(prec=100)  # two factors of 36 digits each, at most, and the millions
_LARGEST_IMAGE_FACTOR = 3  # 2.46 is the largest that OpenAI publishes (the nano models); gpt-4o-mini says its own
_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,24})?", re.ASCII)


class DatedPrices(Record, frozen=True):
    """The prices of one model's tiers, which hold from the day `since` (YYYY-MM-DD) until the model's next."""

    since: str
    tiers: dict[str, Price]


class Table(Record, frozen=True):
    """The whole table: each model's prices, newest first, and every name that leads to a model's prices.

    `version` tells it from other tables: the newest day that a row was read, if one says, and the file's checksum.
    """

    history: dict[str, tuple[DatedPrices, ...]]
    names: dict[str, str]
    version: str

    def overlaid(self, other: Table) -> Table:
        """Return this table, where the models of the other have its prices, and its names lead to its models."""
        return Table(
            history={**self.history, **other.history},
            names={**self.names, **other.names},
            version=f"{self.version}+{other.version}",
        )


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A misspelt field would be a price that silently isn't there."""


class _Tier(_Strict):
    input: str
    output: str
    cached: str | None = None
    cache_write: str | None = None
    audio_input: str | None = None
    audio_output: str | None = None
    long_cached: str | None = None
    long_context: bool = True


class _LongContext(_Strict):
    over: int
    input: str
    output: str


class _Row(_Strict):
    model: str
    tiers: dict[str, _Tier]
    since: date = date.min
    sources: list[str] = []
    read: date | None = None
    also: list[str] = []
    context_window: int | None = None
    max_output: int | None = None
    image: Tiles | Patches | None = None
    image_factor: int = _LARGEST_IMAGE_FACTOR
    long_context: _LongContext | None = None
    note: str = ""


class _File(_Strict):
    rows: list[_Row]
    about: list[str] = []
    sources: dict[str, str] = {}


def read_table(text: bytes, name: str = "the price table") -> Table:
    """Read a price table. `name` is how errors call it, and the source of rows that name none.

    Raises:
        ConfigurationError: the text isn't of the table's form, or a price isn't a whole number of picodollars.
    """
    try:
        file = msgspec.json.decode(text.removeprefix(codecs.BOM_UTF8), type=_File)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{name} can't be read: {error}") from error
    try:
        history, names = _read_rows(file, name)
    except ValueError as error:
        raise ConfigurationError(f"{name} {error}") from None
    newest = max((row.read for row in file.rows if row.read is not None), default=None)
    version = f"{zlib.crc32(text):08x}" if newest is None else f"{newest.isoformat()}-{zlib.crc32(text):08x}"
    return Table(history=history, names=names, version=version)


def _read_rows(file: _File, source: str) -> tuple[dict[str, tuple[DatedPrices, ...]], dict[str, str]]:
    history: dict[str, dict[str, DatedPrices]] = {}
    names: dict[str, str] = {}
    for row in file.rows:
        _check(row, file.sources)
        row.model = row.model.lower()
        for name in (row.model, *row.also):
            if names.setdefault(name.lower(), row.model) != row.model:
                raise ValueError(f"gives the name {name!r} to two models")
        dated = history.setdefault(row.model, {})
        since = row.since.isoformat()
        if since in dated:
            raise ValueError(f"has two rows of {row.model} since {since}; keep one")
        dated[since] = DatedPrices(since=since, tiers={tier: _price(row, tier, source) for tier in row.tiers})
    newest_first = {
        model: tuple(dated[since] for since in sorted(dated, reverse=True)) for model, dated in history.items()
    }
    return newest_first, names


def _check(row: _Row, sources: dict[str, str]) -> None:
    for tier in row.tiers:
        if tier not in TIERS:
            raise ValueError(f"has a row {row.model} with a tier {tier!r}; known are {', '.join(TIERS)}")
    for source in row.sources:
        if source not in sources:
            raise ValueError(f"has a row {row.model} that names a source {source!r}, which it doesn't list")


def _price(row: _Row, tier: str, source: str) -> Price:
    long, listed = row.long_context, row.tiers[tier]
    source = ", ".join(row.sources) or source
    if row.read is not None:
        source += f"; read {row.read.isoformat()}"
    base = _rates(row, tier, source, input_factor="1", output_factor="1")
    if long is None:
        return base
    if not listed.long_context:
        return msgspec.structs.replace(base, long_context_over=long.over)
    dearer = _rates(row, tier, source, input_factor=long.input, output_factor=long.output, cached=listed.long_cached)
    return msgspec.structs.replace(base, long_context_over=long.over, long_context=dearer)


def _rates(
    row: _Row, tier: str, source: str, *, input_factor: str, output_factor: str, cached: str | None = None
) -> Price:
    listed = row.tiers[tier]
    try:
        return Price(
            model=row.model,
            tier=tier,
            since=row.since.isoformat(),
            input_pd=_picodollars(listed.input, input_factor),
            output_pd=_picodollars(listed.output, output_factor),
            cached_pd=_picodollars_or_none(cached or listed.cached, "1" if cached else input_factor),
            cache_write_pd=_picodollars_or_none(listed.cache_write, input_factor),
            audio_input_pd=_picodollars_or_none(listed.audio_input, input_factor),
            audio_output_pd=_picodollars_or_none(listed.audio_output, output_factor),
            context_window=row.context_window,
            max_output=row.max_output,
            image=row.image,
            image_factor=row.image_factor,
            source=source,
        )
    except ValueError as error:
        raise ValueError(f"({row.model}, {tier}) has {error}") from None


def _picodollars_or_none(dollars: str | None, factor: str) -> int | None:
    return None if dollars is None else _picodollars(dollars, factor)


def _picodollars(dollars: str, factor: str) -> int:
    for text in (dollars, factor):
        if _DECIMAL.fullmatch(text) is None:
            raise ValueError(f"{text!r} where a decimal number like 2.5 belongs")
    exact = _EXACTLY.multiply(_EXACTLY.multiply(Decimal(dollars), Decimal(factor)), _PICODOLLARS_A_TOKEN)
    if exact != (whole := int(exact)):
        raise ValueError(
            f"{dollars} dollars a million tokens times {factor}, which is no whole number of picodollars a token"
        )
    return whole
