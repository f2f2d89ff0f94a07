"""What does each model cost, since when, and who says so? Writes docs/prices.md from the price table: `make docs`.

Which rows are due to be read again depends on the day, so it is said on standard output, and not on the page.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from barechat.cli.wording import per_million
from barechat.money.prices import Prices
from barechat.records import Patches, Tiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat.money.table import DatedPrices
    from barechat.records import Price

PAGE: Final = Path(__file__).parent.parent / "docs" / "prices.md"
TABLE: Final[dict[str, Any]] = json.loads(resources.files("barechat.money").joinpath("prices.json").read_text("utf-8"))
_STALE_AFTER: Final = timedelta(days=90)
_INTRODUCTION: Final = """\
# Prices

What barechat takes each model to cost, in dollars per million tokens. `make docs` writes this page from the table that
comes with the library; `barechat prices` prints it ([cli.md](cli.md#barechat-prices)).

- A figure stands here when two sources agree on it. A model or tier that doesn't stand here is `unpriced`, never $0,
  and so is whatever bills more than a model's tokens (searches, for one).
- A row holds from its day until the model's next. *cached* without a figure: none is published; a reply with cached
  tokens then costs at most the input price. *write*: tokens written to the cache, for 30 minutes; without a figure they
  cost the input price. Reasoning is output.
- *over 272,000*: above so many input tokens, these prices hold for the whole request. A tier without such a row is
  `unpriced` there, if another of its model has one.
- A dated snapshot (`gpt-4o-2024-08-06`, `gpt-4o-0806`) costs what its model does unless it stands here itself; so does
  a name behind `openai/`, `openrouter/openai/` or `azure/`. A fine-tuned model (`ft:gpt-4o-2024-08-06:acme::id`) costs
  what `ft:` and its base do. Anyone else's prefix, and any other ending, is a name of its own.
- These are the prices of api.openai.com. OpenAI's regional endpoints cost a tenth more for the models since gpt-5.4:
  who uses them, writes that into a file of their own.

## Prices of your own

For a local model, another vendor's, or a special agreement, write a JSON file:

```json
{"rows": [
  {"model": "llama-3.3-70b", "tiers": {"standard": {"input": "0", "output": "0"}}},
  {"model": "deepseek-chat", "since": "2025-09-29", "context_window": 128000, "max_output": 8192,
    "tiers": {"standard": {"input": "0.28", "cached": "0.028", "output": "0.42"}}}
]}
```

It lies over the table: `Client(prices=Prices.load("prices.json"))`, or its path in the environment's `BARECHAT_PRICES`,
which `Client`, `CostTracker` and the command read by themselves. A model in the file replaces all days and tiers of
that model here; all other models stay as they are. $0 on purpose is exact.

- `model`: the name, as the server or the request spells it; case doesn't count. `also`: other names of the same model.
- `tiers`: `standard`, `flex`, `priority` or `batch`, each with its `input` and `output`, and where they exist `cached`,
  `cache_write`, `audio_input` and `audio_output`: dollars per million tokens, as decimal strings.
- `since`: the first day (UTC) of these prices; without it, always.
- `context_window`, `max_output`: in tokens. They say what a request can cost at most where it sends no cap, or
  something that nobody can count: audio, files, images without a rule.
- `image`: the rule by which an image takes tokens, as in `{"kind": "tiles", "base": 85, "tile": 170}` or
  `{"kind": "patches", "multiplier": "1.2", "low": 256, "high": 2500}`, where [Images](#images) says what these mean.
- `image_factor`: without a rule, the most tokens that are billed for one that an image takes of the context window;
  3 if it isn't said.
- `long_context`, as in `{"over": 272000, "input": "2", "output": "1.5"}`: above so many input tokens the whole request
  costs so many times as much. A tier with `"long_context": false` isn't sold there; its `long_cached` is a cached price
  that isn't the factor's.
- `read`, `note`, `sources`: when and where the price was found (`sources` are keys of the file's own `"sources"`).

A misspelt field, or a price that isn't a whole number of picodollars a token, is refused when the file is read.

## The table
"""

_IMAGES: Final = """
## Images

How many tokens an image takes at most, for [budgets](money.md#budgets) and for what an interrupted call may have cost.

- *Tiles*: the image is made to fit 2,048 by 2,048 pixels, then 768 on its short side, never larger; it takes the base,
  and the tile's tokens for each 512 by 512 pixels that it covers. With detail `low`, the base alone.
- *Patches*: the multiplier times the 32 by 32 pixels that the image covers, up to the most that its detail allows.
- An image behind a URL takes what the largest does. Of a model that isn't here, with a detail that isn't, or where its
  size can't be read, an image may fill the context window.

Copies of OpenAI's guide differ from month to month, and from what is billed: the larger figure stands here. Since
gpt-5.6, detail `auto` (which is also what no detail means) allows 65,535 pixels a side: with an image behind a URL, ask
for `high`, or a budget holds a whole context window. The limit of 30,000 patches, above which OpenAI now refuses an
image, isn't enforced everywhere.

| models | rule | low | high | auto | original |
|---|---|--:|--:|--:|--:|"""


def make_page() -> str:
    """Return the page."""
    prices = Prices.builtin()
    lines = [
        "| model | tier | input | cached | write | output | since | sources |",
        "|---|---|--:|--:|--:|--:|---|---|",
        *(row for model in prices.models for dated in prices.history(model) for row in _rows(dated)),
    ]
    sources = [f"- *{name}*: {text}" for name, text in TABLE["sources"].items()]
    notes = [f"- {row['model']}, {row['since']}: {row['note']}" for row in TABLE["rows"] if "note" in row]
    parts = [
        _INTRODUCTION,
        "\n".join(lines),
        _IMAGES,
        "\n".join(_image_rules()),
        "\n## Sources\n",
        "\n".join(sources),
        "\n## Notes\n",
        "\n".join(notes),
    ]
    return "\n".join(parts) + "\n"


def _image_rules() -> list[str]:
    models: dict[Tiles | Patches, list[str]] = {}
    prices = Prices.builtin()
    for model in prices.models:
        rule = prices.history(model)[0].tiers["standard"].image
        if rule is not None:
            models.setdefault(rule, []).append(model)
    return [_row(", ".join(names), *_image_figures(rule)) for rule, names in models.items()]


def _image_figures(rule: Tiles | Patches) -> list[str]:
    if isinstance(rule, Tiles):
        return [f"tiles of {rule.tile:,}", f"{rule.base:,}", f"{rule.base:,} + tiles", f"{rule.base:,} + tiles", ""]
    caps = (rule.low, rule.high, rule.auto, rule.original)
    return [f"patches by {rule.multiplier}", *("" if cap is None else f"{cap:,}" for cap in caps)]


def _rows(dated: DatedPrices) -> Iterator[str]:
    for number, (tier, price) in enumerate(dated.tiers.items()):
        source = "" if number else price.source.replace("; read ", ", ")
        yield _row(price.model, tier, *_figures(price), price.since, source)
        if price.audio_input_pd is not None:
            yield _row("", "audio", _dollars(price.audio_input_pd), "", "", _dollars(price.audio_output_pd), "", "")
        if price.long_context is not None:
            yield _row("", f"over {price.long_context_over:,}", *_figures(price.long_context), "", "")


def _figures(price: Price) -> list[str]:
    return [_dollars(rate) for rate in (price.input_pd, price.cached_pd, price.cache_write_pd, price.output_pd)]


def _dollars(rate_pd: int | None) -> str:
    return "" if rate_pd is None else per_million(rate_pd)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def stale_rows(today: date) -> list[str]:
    """Return a line for each row of the table that was read more than 90 days before `today`."""
    return [
        f"{row['model']}, {row['since']}: read {row['read']}"
        for row in TABLE["rows"]
        if today - date.fromisoformat(row["read"]) > _STALE_AFTER
    ]


if __name__ == "__main__":
    PAGE.write_text(make_page(), "utf-8", newline="\n")
    due = stale_rows(datetime.now(UTC).date())
    sys.stdout.writelines(f"{line}\n" for line in (["Prices read more than 90 days ago:", *due] if due else []))
