"""What is the most that one attempt at a request can cost, before it is sent.

A token is at least one byte of the request's body, so the body bounds a prompt of text and function tools. An image
takes the tokens of its model's published rule, in place of its bytes. What has no rule (audio, files, an image that
can't be read) is bounded by the model's context window. The reply is bounded by the cap that is sent, else by the
model's largest output. The rate is the dearest that may be served: any tier, any kind of input token, long context.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from barechat.money.images import Picture, most_tokens, picture_of
from barechat.money.prices import TIERS, most
from barechat.records import UNPRICED, Cost

if TYPE_CHECKING:
    from datetime import date

    from barechat.money.prices import Prices
    from barechat.records import Price

FRAMING_TOKENS = 512
"""For what a server adds around the messages: roles, separators, its own few words about tools."""

_FEES = frozenset({"web_search_options", "plugins", "data_sources", "models"})
"""Parameters that let the server bill more than this model's tokens: a fee a search, or another model."""

_BEYOND_TEXT = _FEES | {"audio", "modalities", "prompt_cache_options", "tools"}
"""A request without any of these parameters is of text, as far as its messages are."""

_TEXT_PARTS = ("text", "refusal")
_OWN_TOOLS = ("function", "custom")


def bound(request: Mapping[str, Any], body_bytes: int, model: str, prices: Prices, on: date) -> Cost:
    """Return the most that one attempt at `request` can cost on that day; certainty "bound", or unpriced.

    `request` is the JSON body as a mapping, `body_bytes` its length in bytes of UTF-8, unescaped. Unpriced: an
    unknown model or tier, audio or server-side tools without a price, and sizes that neither the request nor the
    table bounds. It holds for any server that honours the cap that it was sent.
    """
    tiers = prices.tiers(model, on)
    choices = 1 if request.get("n") is None else _count(request["n"])
    asked = str(request.get("service_tier") or "auto").lower()
    if not tiers or choices is None or (asked not in ("auto", "default") and TIERS.get(asked) not in tiers):
        return UNPRICED
    if _may_bill_more(request):
        return UNPRICED
    read = _read(request, body_bytes, choices)
    costs = [_largest(read, price) for price in tiers.values()]
    dearest = max(costs, key=lambda cost: cost.picodollars or 0)
    return UNPRICED if UNPRICED in costs else dearest


def is_text(request: Mapping[str, Any]) -> bool:
    """Say whether a request holds text and function tools alone, so that its bytes tell of its tokens."""
    if not _BEYOND_TEXT.isdisjoint(request) and (_speaks(request) or _may_bill_more(request)):
        return False
    messages = request.get("messages")
    for message in messages if isinstance(messages, (list, tuple)) else ():
        if isinstance(message, (dict, Mapping)) and not _is_of_text(message):
            return False
    return True


def _is_of_text(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    is_text = isinstance(content, str) or all(part.get("type") in _TEXT_PARTS for part in _mappings(content))
    return is_text and message.get("audio") is None


class _Size(msgspec.Struct, frozen=True):
    """What a request tells of its size, whatever the price: of its prompt, and of the reply that it asks for."""

    text_bytes: int  # all of the body but its images' own bytes
    pictures: list[Picture | None]  # None for each part that nobody can count
    hears: bool
    speaks: bool
    choices: int
    reply_cap: int  # of one choice; 0 for none
    predicts: bool


def _read(request: Mapping[str, Any], body_bytes: int, choices: int) -> _Size:
    pictures: list[Picture | None] = []
    text_bytes, hears = body_bytes, False
    for kind, part in _parts(request):
        if kind not in _TEXT_PARTS:
            picture = picture_of(part) if kind == "image_url" else None
            text_bytes -= 0 if picture is None else picture.body_bytes
            pictures.append(picture)
            hears = hears or kind == "input_audio"
    return _Size(
        text_bytes=text_bytes,
        pictures=pictures,
        hears=hears,
        speaks=_speaks(request),
        choices=choices,
        reply_cap=max(_count(request.get(name)) or 0 for name in ("max_completion_tokens", "max_tokens")),
        predicts=request.get("prediction") is not None,
    )


def _largest(size: _Size, price: Price) -> Cost:
    hears, speaks = size.hears, size.speaks
    if (hears and price.audio_input_pd is None) or (speaks and price.audio_output_pd is None):
        return UNPRICED
    asked = _prompt_tokens(size, price)
    reply = _reply_tokens(size, price)
    if asked is None or reply is None:
        is_free = most(price, 1, 1) == 0  # of whatever size
        return Cost(picodollars=0, certainty="bound", price=price) if is_free else UNPRICED
    if size.predicts:
        # Rejected predictions are billed as output, and whether they count against the cap isn't documented.
        reply += size.text_bytes
    served = [price]
    if price.long_context_over is not None and asked > price.long_context_over:
        if price.long_context is None:
            asked = price.long_context_over  # in long context, another tier serves, which has its own bound
        else:
            served.append(price.long_context)
    costs = [most(row, asked, reply * size.choices, hears=hears, speaks=speaks) for row in served]
    dearest = max(costs)
    return Cost(picodollars=dearest, certainty="bound", price=served[costs.index(dearest)])


def _prompt_tokens(size: _Size, price: Price) -> int | None:
    window, written = price.context_window, size.text_bytes + FRAMING_TOKENS
    if size.pictures:
        counts = [None if picture is None else most_tokens(picture, price.image) for picture in size.pictures]
        if window is not None:
            window *= price.image_factor
        if None in counts:
            return window
        written += sum(filter(None, counts))
    return written if window is None else min(written, window)


def _reply_tokens(size: _Size, price: Price) -> int | None:
    """Return the largest reply of one choice: the cap that is sent (of two, the larger), else the model's own."""
    if size.reply_cap:
        return size.reply_cap
    return price.context_window if price.max_output is None else price.max_output


def _may_bill_more(request: Mapping[str, Any]) -> bool:
    options = request.get("prompt_cache_options")
    ttl = options.get("ttl") if isinstance(options, Mapping) else None
    return (
        (not _FEES.isdisjoint(request) and any(request.get(name) is not None for name in _FEES))
        or any(tool.get("type") not in _OWN_TOOLS for tool in _mappings(request.get("tools")))
        or ttl not in (None, "30m")  # longer cache writes are dearer; the table has the price of 30 minutes
    )


def _speaks(request: Mapping[str, Any]) -> bool:
    modalities = request.get("modalities")
    return request.get("audio") is not None or (isinstance(modalities, (list, tuple)) and "audio" in modalities)


def _parts(request: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each part of the messages, by its type."""
    for message in _mappings(request.get("messages")):
        if message.get("audio") is not None:
            yield "input_audio", {}  # an earlier spoken reply, named by its id
        for part in _mappings(message.get("content")):
            yield str(part.get("type")), part


def _mappings(value: object) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, (list, tuple)):
        return ()
    return [item for item in value if isinstance(item, (dict, Mapping))]


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
