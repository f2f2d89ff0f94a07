"""`barechat prices`: what models cost, on a day."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click

from barechat.cli.forms import format_option
from barechat.cli.wording import per_million

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat.money.prices import Prices
    from barechat.records import Price

_NEAR = 3
_HEADINGS = ["input", "cached", "write", "output"]
_RATES = {"input": "input_pd", "cached": "cached_pd", "cache_write": "cache_write_pd", "output": "output_pd"}
_AUDIO = {"audio_input": "audio_input_pd", "audio_output": "audio_output_pd"}
_WIDTH = 7  # of a figure: with the longest name, a line is 80 wide


@click.command()
@click.argument("model", required=False)
@click.option("--on", "day", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="The day (UTC), by default today.")
@format_option("table", "json")
def prices(model: str | None, day: datetime | None, form: str) -> int:
    """List what models cost, in dollars per million tokens.

    With a MODEL, all its tiers, sizes and sources: by any name that a server may give it, a snapshot's or a fine-tuned
    model's too.

    The prices are barechat's own, and over them those of the file that BARECHAT_PRICES names.
    """
    from barechat.errors import ConfigurationError  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.money.prices import Prices  # noqa: PLC0415 - likewise

    try:
        table = Prices.default()
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    on = datetime.now(UTC).date() if day is None else day.date()
    if model is not None and not table.tiers(model, on):
        raise click.ClickException(_why_unpriced(table, model, on))
    if form == "json":
        click.echo(json.dumps(_as_json(table, model, on), indent=2))
    else:
        click.echo("\n".join(_listed(table, on) if model is None else _told(table, model, on)))
    return 0


def _why_unpriced(table: Prices, model: str, on: date) -> str:
    history = table.history(model)
    if history:
        return f"no price of {model} is known on {on}: the first is since {history[-1].since}"
    import difflib  # noqa: PLC0415 - for wrong names alone

    near = difflib.get_close_matches(model.lower(), table.models, n=_NEAR)
    hint = f" Known are {', '.join(near)}." if near else " `barechat prices` lists those that are known."
    return f"no price is known for {model!r}: it is unpriced, and never $0.{hint}"


def _listed(table: Prices, on: date) -> Iterator[str]:
    """Yield a line a model, in its standard tier."""
    width = max(map(len, table.models))
    yield f"Dollars per million tokens on {on}, standard tier"
    yield ""
    yield f"{'model':<{width}}{_cells(_HEADINGS)}{'context':>10} since"
    for model in table.models:
        price = table.tiers(model, on).get("standard")
        if price is None:
            continue
        window = "" if price.context_window is None else f"{price.context_window:,}"
        yield f"{model:<{width}}{_figures(price)}{window:>10} {_since(price.since)}"
        if price.audio_input_pd is not None:
            yield f"{'  audio':<{width}}{_audio_figures(price)}"
    yield ""
    yield "`barechat prices MODEL` shows the other tiers of one, long context, and sources."
    yield f"This is the table {table.version}."


def _told(table: Prices, model: str, on: date) -> Iterator[str]:
    """Yield all that is known of one model on that day."""
    tiers = table.tiers(model, on)
    width = 16
    known = next(iter(tiers.values()))
    yield f"Dollars per million tokens of {known.model} on {on}"
    if model.lower() != known.model:
        yield f"{model!r} is priced as {known.model}"
    yield ""
    yield f"{'tier':<{width}}{_cells(_HEADINGS)}"
    for tier, price in tiers.items():
        yield f"{tier:<{width}}{_figures(price)}"
        if price.audio_input_pd is not None:
            yield f"{'  audio':<{width}}{_audio_figures(price)}"
        if price.long_context_over is not None:
            over = f"  over {price.long_context_over:,}"
            yield f"{over:<{width}}{_figures(price.long_context) if price.long_context else '  not sold'}"
    yield ""
    sizes = {"context window": known.context_window, "longest reply": known.max_output}
    told = [f"{name} {size:,} tokens" for name, size in sizes.items() if size is not None]
    yield ", ".join([f"since {_since(known.since)}", *told])
    yield f"source: {known.source}"
    others = [dated.since for dated in table.history(model) if dated.since != known.since]
    if others:
        yield f"other prices: --on {', --on '.join(others)}"


def _as_json(table: Prices, model: str | None, on: date) -> dict[str, Any]:
    wanted = table.models if model is None else (table.resolve(model) or model,)
    models = []
    for name in wanted:
        tiers = table.tiers(name, on)
        if tiers:
            known = next(iter(tiers.values()))
            facts = {field: getattr(known, field) for field in ("since", "context_window", "max_output", "source")}
            models.append({"model": name, **facts, "tiers": {tier: _spelt(price) for tier, price in tiers.items()}})
    return {"version": table.version, "on": on.isoformat(), "unit": "dollars per million tokens", "models": models}


def _spelt(price: Price) -> dict[str, Any]:
    rates = {kind: getattr(price, field) for kind, field in (_RATES | _AUDIO).items()}
    spelt: dict[str, Any] = {kind: per_million(rate) for kind, rate in rates.items() if rate is not None}
    if price.long_context_over is not None:
        dearer = price.long_context
        spelt["long_context"] = {"over": price.long_context_over, **(_spelt(dearer) if dearer else {})}
    return spelt


def _figures(price: Price) -> str:
    return _cells([_or_dash(getattr(price, field)) for field in _RATES.values()])


def _audio_figures(price: Price) -> str:
    return _cells([_or_dash(price.audio_input_pd), "", "", _or_dash(price.audio_output_pd)])


def _or_dash(rate_pd: int | None) -> str:
    return "-" if rate_pd is None else per_million(rate_pd)


def _cells(texts: list[str]) -> str:
    return "".join(f"{text:>{_WIDTH}}" for text in texts)


def _since(day: str) -> str:
    return "always" if day == date.min.isoformat() else day
