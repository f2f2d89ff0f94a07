"""Which models does the simulator know? Their names, sizes and habits.

Names, windows and outputs are those that OpenAI publishes; `created` is the day of release, roughly.
"""

import re
from typing import Final

import msgspec

_DATE: Final = re.compile(r"-\d{4}-\d{2}-\d{2}\Z")
_FINE_TUNED: Final = "ft:"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model: its sizes, and whether and how hard it reasons when a request doesn't say.

    `snapshot` is the name that its answers give, `output_tokens` its largest output; `writes_cache` says whether it
    bills what it writes to its prompt cache.
    """

    name: str
    snapshot: str
    context_tokens: int
    output_tokens: int
    reasons: bool = False
    effort: str = "none"
    writes_cache: bool = False
    owned_by: str = "system"
    created: int


def _chat(name: str, date: str, created: int, context_tokens: int, output_tokens: int) -> Model:
    return Model(
        name=name,
        snapshot=f"{name}-{date}" if date else name,
        context_tokens=context_tokens,
        output_tokens=output_tokens,
        created=created,
    )


def _reasoning(name: str, date: str, created: int, context_tokens: int, output_tokens: int) -> Model:
    """Return a model that reasons unless it is told not to."""
    return msgspec.structs.replace(
        _chat(name, date, created, context_tokens, output_tokens), reasons=True, effort="medium"
    )


def _late(name: str, created: int) -> Model:
    """Return a model since gpt-5.6, which reasons only when it is told to and bills cache writes."""
    return msgspec.structs.replace(_chat(name, "", created, 1_050_000, 128_000), reasons=True, writes_cache=True)


MODELS: Final[tuple[Model, ...]] = (
    _chat("gpt-4o-2024-05-13", "", 1715368132, 128_000, 4_096),
    _chat("gpt-4o", "2024-08-06", 1715367049, 128_000, 16_384),
    _chat("gpt-4o-mini", "2024-07-18", 1721172741, 128_000, 16_384),
    _chat("gpt-4.1", "2025-04-14", 1744316542, 1_047_576, 32_768),
    _chat("gpt-4.1-mini", "2025-04-14", 1744318173, 1_047_576, 32_768),
    _chat("gpt-4.1-nano", "2025-04-14", 1744321707, 1_047_576, 32_768),
    _reasoning("o1", "2024-12-17", 1734375816, 200_000, 100_000),
    _reasoning("o3", "2025-04-16", 1744225308, 200_000, 100_000),
    _reasoning("o4-mini", "2025-04-16", 1744225351, 200_000, 100_000),
    _reasoning("gpt-5", "2025-08-07", 1754425777, 400_000, 128_000),
    _reasoning("gpt-5-mini", "2025-08-07", 1754425928, 400_000, 128_000),
    _reasoning("gpt-5-nano", "2025-08-07", 1754426384, 400_000, 128_000),
    _late("gpt-5.6", 1783555200),
    _late("gpt-5.6-luna", 1783555200),
    _late("gpt-5.6-terra", 1783555200),
    _late("gpt-5.6-sol", 1783555200),
    _late("gpt-6-astra", 1788393600),
    _late("gpt-6-sol", 1790035200),
    _late("gpt-6-luna", 1790035200),
    _late("gpt-6.1-sol", 1790640000),
    _late("gpt-6.1-terra", 1792972800),
)
_BY_NAME: Final = {model.name: model for model in MODELS}


def find_model(name: str) -> Model | None:
    """Return the model of this name, None for one that isn't known.

    A snapshot (`gpt-4o-2024-11-20`), a fine-tuned model (`ft:gpt-4o:org::id`) and a name with a provider before
    it (`openai/gpt-4o`) are their base model, whose answers give the name that was asked for.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    base = name.rpartition("/")[2]
    if base.startswith(_FINE_TUNED):
        base = base.split(":")[1]
    model = _BY_NAME.get(base) or _BY_NAME.get(_DATE.sub("", base))
    return None if model is None else msgspec.structs.replace(model, snapshot=name)
