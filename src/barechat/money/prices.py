"""What did these tokens cost: from the served model, its tier and the day, in picodollars, and how sure that is.

Three rules:

- A name is known by its whole, never by a part of a word, and the longest of what is known counts: exactly, behind
  the prefix of a provider that charges OpenAI's prices, as a fine-tuned model's base, or as a dated snapshot.
- What isn't known is unpriced, never $0 and never another's price.
- Money is integers of picodollars: a dollar a million tokens is 1,000,000 of them a token.
"""

from __future__ import annotations

import re
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from barechat import settings
from barechat.errors import ConfigurationError
from barechat.money.table import Table, read_table
from barechat.records import UNPRICED, Cost, Price, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barechat.money.table import DatedPrices

PREFIXES = (
    "vercel_ai_gateway/openai/",
    "openrouter/openai/",
    "openai/",
    "azure/global-standard/",
    "azure/global/",
    "azure/",
)
"""Before a model's name, these don't change its price. Gateways write `openai/` for OpenAI's own API; OpenRouter and
Vercel pass OpenAI's prices on; the others are LiteLLM's names of Azure's deployments, whose global kind costs the
same. Anybody else's prefix is a price that we don't know: `azure/eu/` and `azure/us/` cost a tenth more,
`replicate/openai/` and `gmi/openai/` have their own prices, and `github_copilot/` bills no tokens."""

TIERS = {
    "": "standard",
    "auto": "standard",
    "default": "standard",
    "standard": "standard",
    "flex": "flex",
    "batch": "batch",
    "priority": "priority",
    "fast": "priority",  # priority's name since 2026-07-30
}
"""The tiers as the API names them, and as the table does. Any other is unpriced (`scale`, for one, is paid ahead)."""

_SNAPSHOT = re.compile(
    r"(?P<family>.+)-(?:(?P<year>20\d\d)(?P<dash>-?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)|(?P<mm>\d\d)(?P<dd>\d\d))",
    re.ASCII,
)


_MOST_RESOLVED, _LONGEST_RESOLVED = 1000, 200


class Prices:
    """A price table and the names by which it is asked. Never changes; safe to share; pickles."""

    def __init__(self, table: Table, aliases: Mapping[str, str] | None = None) -> None:
        self._table = table
        self._aliases = dict(aliases or {})
        self._resolved: dict[str, str | None] = {}  # names asked for lately, of which servers tell the same few

    @staticmethod
    def builtin() -> Prices:
        """Return barechat's own table, read once a process. Source: `prices.json` in this package."""
        return _builtin()

    @staticmethod
    def default() -> Prices:
        """Return barechat's own table, overlaid with the file that BARECHAT_PRICES names, each read once a process.

        Raises:
            ConfigurationError: as for `load`; the message names the variable too.
        """
        path = settings.price_file()
        if not path:
            return _builtin()
        try:
            return _loaded(path)
        except ConfigurationError as error:
            raise ConfigurationError(f"BARECHAT_PRICES: {error}") from error

    @classmethod
    def load(cls, path: settings.Path) -> Prices:
        """Return barechat's own table, overlaid with a price file of yours, in JSON. docs/prices.md tells its form.

            {"rows": [{"model": "llama-3", "tiers": {"standard": {"input": "0", "output": "0"}}}]}

        Prices are dollars per million tokens, as decimal strings. A model in the file replaces barechat's own rows of
        that model, all its days and tiers; every other model keeps its prices, snapshots with a price of their own
        among them. $0 on purpose is an exact price; a model that is in neither table is unpriced.

        Raises:
            ConfigurationError: the file can't be read, isn't of that form, or has a price that isn't a whole number of
                picodollars a token. The message names the file.
        """
        try:
            text = Path(path).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"the price file {path} can't be read: {error.strerror or error}") from error
        return cls(_builtin_table().overlaid(read_table(text, f"the price file {path}")))

    @classmethod
    def read(cls, text: bytes) -> Prices:
        """Read a table of the form of `prices.json`, overlaid on nothing.

        Raises:
            ConfigurationError: it isn't of that form, or a price isn't a whole number of picodollars a token.
        """
        return cls(read_table(text))

    @property
    def version(self) -> str:
        """What tells this table from others, as in "2026-11-26-5f0c1a2b".

        It is the newest day that a price was read and the file's checksum; after "+", those of a file that overlays
        it. Aliases don't count.
        """
        return self._table.version

    @property
    def models(self) -> tuple[str, ...]:
        """The models of the table, those of a file of yours last."""
        return tuple(self._table.history)

    def history(self, model: str) -> tuple[DatedPrices, ...]:
        """Return the model's prices since each day that they changed, newest first; none if it is unknown."""
        return self._table.history.get(self.resolve(model) or "", ())

    def with_aliases(self, aliases: Mapping[str, str]) -> Prices:
        """Return the same table, where each key of `aliases` costs what its value costs.

        For Azure's deployments and gateways' own names: `{"my-deployment": "gpt-4o"}`. An alias goes before a model
        of the same name, since a deployment may be called anything.

        Raises:
            ConfigurationError: a value is no model of the table.
        """
        added = {}
        for alias, model in aliases.items():
            target = self.resolve(model)
            if target is None:
                raise ConfigurationError(
                    f"the alias {alias!r} stands for {model!r}, which has no price; name a model of the price table"
                )
            added[alias.lower()] = target
        return Prices(self._table, {**self._aliases, **added})

    def resolve(self, model: str) -> str | None:
        """Return the model of the table whose prices are `model`'s, or None.

        Case doesn't count: no two models differ by it alone, and Azure's deployments ignore it.
        """
        try:
            return self._resolved[model]
        except KeyError:
            found = self._resolve(model)
            if len(model) <= _LONGEST_RESOLVED:
                if len(self._resolved) >= _MOST_RESOLVED:
                    self._resolved.clear()
                self._resolved[model] = found
            return found

    def _resolve(self, model: str) -> str | None:
        name = model.lower()
        bare = name.removeprefix(next(filter(name.startswith, PREFIXES), ""))
        for known in (name, bare):
            if known in self._aliases:
                return self._aliases[known]
        names = self._table.names
        if bare.startswith("ft:"):
            # ft:base:organisation:name:id. A fine-tuned model has a price of its own, never its base's.
            parts = bare.split(":")
            shorter = (":".join(parts[:count]) for count in range(len(parts), 1, -1))
            return names.get(name) or next((names[known] for known in shorter if known in names), None)
        return names.get(name) or names.get(bare) or self._resolve_snapshot(bare)

    def billed_as(self, asked: str, served: str) -> str:
        """Return the name to price a reply by: what served it, or what was asked for where only that has an alias.

        A server that names nothing is taken at the caller's word; one that names a model without a price isn't.
        """
        if not served or (asked.lower() in self._aliases and self.resolve(served) is None):
            return asked
        return served

    def _resolve_snapshot(self, name: str) -> str | None:
        match = _SNAPSHOT.fullmatch(name)
        if match is None:
            return None
        family, year = match["family"], match["year"]
        month, day = match["month"] or match["mm"], match["day"] or match["dd"]
        try:
            date(int(year or 2000), int(month), int(day))
        except ValueError:
            return None
        # A snapshot with a price of its own has it however its date is written: gpt-4o-0513 isn't billed as gpt-4o.
        own = re.compile(f"{re.escape(family)}-{year or '20..'}-{month}-{day}")
        return next(filter(own.fullmatch, self._table.names), None) or self._table.names.get(family)

    def tiers(self, model: str, on: date) -> Mapping[str, Price]:
        """Return the model's price in each tier that it is sold in on that day, by the table's tier names."""
        day = _written(on)
        for dated in self.history(model):
            if dated.since <= day:
                return dated.tiers
        return {}

    def find(self, model: str, tier: str | None, on: date, input_tokens: int = 0) -> Price | None:
        """Return the price of a request of `input_tokens` to `model`, served in `tier` on that day, or None."""
        price = self.tiers(model, on).get(TIERS.get((tier or "").lower(), ""))
        if price is None or price.long_context_over is None or input_tokens <= price.long_context_over:
            return price
        return price.long_context

    def cost(self, usage: Usage, model: str, tier: str | None, on: date, *, cache_ttl: str | None = None) -> Cost:
        """Return what the tokens cost, by the model and `service_tier` that served them and the day (UTC).

        `cache_ttl` is the request's `prompt_cache_options.ttl`. Above its default of 30 minutes, cache writes are
        dearer, at prices that the table doesn't hold: they are unpriced.
        """
        adds_up = _adds_up(usage)
        prompt, completion = (usage.prompt_tokens, usage.completion_tokens) if adds_up else _largest_counts(usage)
        price = self.find(model, tier, on, prompt)
        if price is None or _holds_unpriced(usage, price, cache_ttl):
            return UNPRICED
        if not adds_up:
            # How such counts divide can't be known: the most that they can mean, each token at its dearest.
            return _at_most(most(price, prompt, completion), price)
        details = usage.prompt_tokens_details
        cached, written, heard = details.cached_tokens, details.cache_write_tokens, details.audio_tokens
        spoken = usage.completion_tokens_details.audio_tokens
        picodollars = (
            (prompt - cached - written - heard) * price.input_pd
            + cached * _rate(price.cached_pd, price.input_pd)
            + written * _rate(price.cache_write_pd, price.input_pd)  # where it has no price, it costs no more
            + heard * _rate(price.audio_input_pd, 0)
            + (completion - spoken) * price.output_pd  # reasoning and predictions are inside
            + spoken * _rate(price.audio_output_pd, 0)
        )
        if cached and price.cached_pd is None:
            # Some tiers publish no cached price, and sources differ on what is billed: the input price is the most.
            return _at_most(picodollars, price)
        return Cost(picodollars=picodollars, certainty="exact", price=price)


_written = lru_cache(16)(date.isoformat)  # few days are asked for, and writing one takes longer than the rest


@cache
def _builtin() -> Prices:
    return Prices(_builtin_table())


@cache
def _builtin_table() -> Table:
    return read_table(Path(__file__).with_name("prices.json").read_bytes())


@cache
def _loaded(path: str) -> Prices:
    return Prices.load(path)


def most(price: Price, prompt_tokens: int, completion_tokens: int, *, hears: bool = True, speaks: bool = True) -> int:
    """Return the most, in picodollars, that so many tokens of any kind can cost at this price.

    hears, speaks: whether any of the prompt's, and of the completion's, may be audio.
    """
    dearest_input = max(price.input_pd, price.cached_pd or 0, price.cache_write_pd or 0)
    if hears:
        dearest_input = max(dearest_input, price.audio_input_pd or 0)
    dearest_output = max(price.output_pd, price.audio_output_pd or 0) if speaks else price.output_pd
    return prompt_tokens * dearest_input + completion_tokens * dearest_output


def _at_most(picodollars: int, price: Price) -> Cost:
    # At most nothing is nothing: a local model at $0 is exact, whatever its server counts.
    return Cost(picodollars=picodollars, certainty="bound" if picodollars else "exact", price=price)


def _rate(rate_pd: int | None, otherwise_pd: int) -> int:
    return otherwise_pd if rate_pd is None else rate_pd


def _largest_counts(usage: Usage) -> tuple[int, int]:
    """Return the prompt's and completion's tokens; where counts contradict one another, the most that they say."""
    details, reply = usage.prompt_tokens_details, usage.completion_tokens_details
    parts = max(details.cached_tokens, 0) + max(details.cache_write_tokens, 0) + max(details.audio_tokens, 0)
    prompt = max(usage.prompt_tokens, parts, 0)
    rest = usage.total_tokens - max(usage.prompt_tokens, 0)
    return prompt, max(usage.completion_tokens, reply.reasoning_tokens, reply.audio_tokens, rest, 0)


def _adds_up(usage: Usage) -> bool:
    """Say whether no count is negative or contradicts another one."""
    details, reply = usage.prompt_tokens_details, usage.completion_tokens_details
    cached, written, heard = details.cached_tokens, details.cache_write_tokens, details.audio_tokens
    return (
        0 <= reply.reasoning_tokens <= usage.completion_tokens
        and 0 <= reply.audio_tokens <= usage.completion_tokens
        and usage.total_tokens <= usage.prompt_tokens + usage.completion_tokens
        and cached >= 0
        and written >= 0
        and heard >= 0
        and cached + written + heard <= usage.prompt_tokens
        and not (heard and (cached or written))  # how much of the audio was cached, the API doesn't say
    )


def _holds_unpriced(usage: Usage, price: Price, cache_ttl: str | None) -> bool:
    details, reply = usage.prompt_tokens_details, usage.completion_tokens_details
    return (
        (details.audio_tokens > 0 and price.audio_input_pd is None)
        or (reply.audio_tokens > 0 and price.audio_output_pd is None)
        or (details.cache_write_tokens > 0 and cache_ttl not in (None, "30m"))
    )
