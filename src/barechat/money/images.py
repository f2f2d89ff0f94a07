"""How many tokens does an image take of a prompt, at most: by its model's published rule, its detail and its size.

The rules are those of https://developers.openai.com/api/docs/guides/images-vision#calculating-costs, where what they
leave to a server goes to the larger count: resizing only ever shrinks an image, so that it covers no more squares than
it did, and sizes between whole pixels are rounded so that they cover more. A bill may differ by one token from the
rule; the image's part in the body has bytes to spare for it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from barechat.media import pixels
from barechat.records import Patches, Tiles

_FITS_WITHIN = 2048  # pixels a side, before tiles are counted
_SHORT_SIDE = 768
_TILE = 512
_PATCH = 32


@dataclass(frozen=True)
class Picture:
    """An image as a request asks for it: its size in pixels, None behind a URL, and the bytes of the body it fills."""

    detail: Any
    size: tuple[int, int] | None
    body_bytes: int


def picture_of(part: Mapping[str, Any]) -> Picture | None:
    """Return the image of an image_url part, or None if it is neither behind a URL nor one whose size can be read."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else None
    if not isinstance(image, Mapping) or not isinstance(url, str):
        return None
    detail = "auto" if image.get("detail") is None else image["detail"]
    head, _, encoded = url.partition(",")
    if head.lower().startswith(("https://", "http://")):
        return Picture(detail, None, 0)
    if not (head.lower().startswith("data:") and head.lower().endswith(";base64")):
        return None
    try:
        size = pixels(base64.b64decode(encoded, validate=True))
    except ValueError:
        return None
    return None if size is None else Picture(detail, size, len(encoded))


def most_tokens(picture: Picture, rule: Tiles | Patches | None) -> int | None:
    """Return the most tokens that are billed for an image, or None if the rule doesn't tell."""
    if isinstance(rule, Tiles):
        return _of_tiles(picture, rule)
    if isinstance(rule, Patches):
        return _of_patches(picture, rule)
    return None


def _of_tiles(picture: Picture, rule: Tiles) -> int | None:
    if picture.detail == "low":
        return rule.base
    if picture.detail not in ("high", "auto"):
        return None
    across, down = (_FITS_WITHIN, _SHORT_SIDE) if picture.size is None else _scaled(picture.size)
    return rule.base + rule.tile * ceil(across / _TILE) * ceil(down / _TILE)


def _scaled(size: tuple[int, int]) -> tuple[int, int]:
    """Return the long and the short side of an image that is made to fit 2,048 pixels, then 768 on its short side."""
    long, short = max(size), min(size)
    at_least = short
    if long > _FITS_WITHIN:
        at_least, short, long = short * _FITS_WITHIN // long, _divided(short * _FITS_WITHIN, long), _FITS_WITHIN
    if at_least > _SHORT_SIDE:
        long, short = _divided(long * _SHORT_SIDE, at_least), _SHORT_SIDE
    return long, short


def _of_patches(picture: Picture, rule: Patches) -> int | None:
    cap: int | None = getattr(rule, picture.detail) if picture.detail in ("low", "high", "auto", "original") else None
    if cap is None:
        return None
    patches = cap
    if picture.size is not None:
        width, height = picture.size
        patches = min(cap, _divided(width, _PATCH) * _divided(height, _PATCH))
    return ceil(patches * Fraction(rule.multiplier))


def _divided(number: int, by: int) -> int:
    return -(-number // by)
