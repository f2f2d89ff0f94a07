"""barechat.money.images: no image takes more than its bound, by the guide's own examples and rules."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barechat.money.images import most_tokens, picture_of
from barechat.money.prices import Prices
from barechat.records import Patches, Tiles
from pictures import PICTURES, PNG, data_url, jpeg, png

TODAY = date(2026, 11, 26)
SIZES = [1, 31, 32, 33, 511, 512, 513, 767, 768, 769, 1000, 1024, 1025, 1474, 2047, 2048, 2049, 2050, 4096, 8000, 65535]


def rule_of(model: str) -> Tiles | Patches | None:
    price = Prices.builtin().find(model, None, TODAY)
    assert price is not None
    return price.image


def part(url: object, detail: object = None) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url} if detail is None else {"url": url, "detail": detail}}


def tokens(model: str, width: int, height: int, detail: object = None) -> int | None:
    picture = picture_of(part(data_url(png(width, height)), detail))
    assert picture is not None
    return most_tokens(picture, rule_of(model))


def linked(model: str, detail: object = None) -> int | None:
    picture = picture_of(part("https://example.com/a.png", detail))
    assert picture is not None
    return most_tokens(picture, rule_of(model))


# The documentation's worked examples


def test_tiles_are_those_of_the_documentations_examples() -> None:
    # "A 1024 x 1024 square image in detail: high mode costs 765 tokens": 768 x 768, 4 tiles, 170 * 4 + 85
    assert tokens("gpt-4o", 1024, 1024, "high") == 765
    # "A 2048 x 4096 image in detail: high mode costs 1105 tokens": 1024 x 2048, then 768 x 1536, 170 * 6 + 85
    assert tokens("gpt-4o", 2048, 4096, "high") == 1105
    # 4096 x 8192 in low detail "costs 85 tokens"
    assert tokens("gpt-4o", 4096, 8192, "low") == 85


def test_patches_are_those_of_the_documentations_examples() -> None:
    # gpt-5.4, high: "ceil(1024 x 1.2) = 1229 tokens", and 2048 x 2048 is reduced: "ceil(2500 x 1.2) = 3000 tokens"
    assert tokens("gpt-5.4", 1024, 1024, "high") == 1229
    assert tokens("gpt-5.4", 2048, 2048, "high") == 3000
    # On gpt-6-astra 6000 x 6000 is "35,344 patches" in original detail, "2,500 patches" in high
    assert tokens("gpt-6-astra", 6000, 6000, "original") == math.ceil(35_344 * 1.2)
    assert tokens("gpt-6-astra", 6000, 6000, "high") == 3000


@pytest.mark.parametrize(
    ("model", "width", "height", "billed"),
    [
        # What people were billed, all but the image's tokens taken off: topics 1262691, 1281361, 1377015.
        ("gpt-4o", 128, 64, 267 - 12),
        ("gpt-4o-mini", 128, 64, 8512 - 12),
        ("o3", 128, 64, 236 - 11),
        ("gpt-4.1", 2049, 513, 1453 - 8),
        ("gpt-4.1", 2050, 513, 773 - 8),
        ("gpt-4.1-mini", 4000, 1474, 2488),
        ("gpt-5-nano", 768, 576, math.ceil(432 * 1.5)),
    ],
)
def test_no_image_was_billed_at_more_than_its_bound(model: str, width: int, height: int, billed: int) -> None:
    most = tokens(model, width, height)
    assert most is not None
    assert billed <= most


# The rules as they are published, with their own floating point


def documented_tiles(rule: Tiles, width: int, height: int) -> int:
    scale = min(1, 2048 / max(width, height))
    across, down = width * scale, height * scale
    scale = min(1, 768 / min(across, down))
    return rule.base + rule.tile * math.ceil(int(across * scale) / 512) * math.ceil(int(down * scale) / 512)


def documented_patches(rule: Patches, cap: int, side: int, width: int, height: int) -> int:
    scale = min(1, side / max(width, height))
    width, height = max(round(width * scale), 1), max(round(height * scale), 1)
    if math.ceil(width / 32) * math.ceil(height / 32) > cap:
        shrink = math.sqrt(32**2 * cap / (width * height))
        across, down = width * shrink / 32, height * shrink / 32
        shrink *= min(math.floor(across) / across, math.floor(down) / down)
        width, height = int(width * shrink), int(height * shrink)
    return math.ceil(math.ceil(width / 32) * math.ceil(height / 32) * float(rule.multiplier))


@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("height", SIZES)
def test_the_bound_is_no_less_than_the_published_rule_at_any_size(width: int, height: int) -> None:
    tiles, patches = rule_of("gpt-4o"), rule_of("gpt-4.1-nano")
    assert isinstance(tiles, Tiles)
    assert isinstance(patches, Patches)
    assert documented_tiles(tiles, width, height) <= (tokens("gpt-4o", width, height) or 0) <= (linked("gpt-4o") or 0)
    for cap in (1536, 6144):
        published = documented_patches(patches, cap, 2048, width, height)
        assert published <= (tokens("gpt-4.1-nano", width, height) or 0) <= (linked("gpt-4.1-nano") or 0)


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_an_image_turned_by_its_exif_takes_the_same(width: int, height: int) -> None:
    for model in ("gpt-4o", "gpt-5.4"):
        assert tokens(model, width, height) == tokens(model, height, width)


# By detail, and what isn't known


def test_an_image_behind_a_url_takes_what_the_largest_does_with_its_detail() -> None:
    # 768 x 2048 is 2 x 4 tiles: 85 + 8 * 170
    assert linked("gpt-4o") == linked("gpt-4o", "auto") == linked("gpt-4o", "high") == 1445
    assert linked("gpt-4o", "low") == 85
    # 256, 2,500 and 10,000 patches * 1.2
    assert [linked("gpt-5.5", detail) for detail in ("low", "high", "original", None)] == [308, 3000, 12000, 12000]


@pytest.mark.parametrize("detail", ["original", "ultra", "base", "multiplier", 1, ["low"], ""])
def test_a_detail_that_a_models_rule_has_not_is_not_known(detail: object) -> None:
    assert tokens("gpt-4o", 1, 1, detail) is None
    assert linked("gpt-4.1-mini", detail) is None


def test_a_model_without_a_rule_tells_nothing() -> None:
    assert rule_of("gpt-6-sol") is None
    assert linked("gpt-6-sol", "low") is None


@pytest.mark.parametrize("name", PICTURES)
def test_a_pictures_size_is_read_from_its_data_url_whatever_type_that_declares(name: str) -> None:
    url = data_url(PICTURES[name], "image/whatever;charset=x")
    picture = picture_of(part(url))
    assert picture is not None
    assert (picture.size, picture.body_bytes) == ((70, 50), len(url.partition(",")[2]))


@pytest.mark.parametrize(
    "image",
    [
        part(None),
        part(5),
        part(""),
        part("x"),
        part("ftp://example.com/a.png"),
        part("data:image/png,abc"),
        part("data:image/png;base64"),
        part(data_url(b"<svg/>", "image/svg+xml")),
        part(data_url(PNG)[:-1]),
        part(data_url(PNG) + " "),
        part(data_url(PNG).replace("iVBOR", "iVBO\u00e9")),
        part(data_url(jpeg(0, 0))),
        {"type": "image_url"},
        {"type": "image_url", "image_url": "https://example.com/a.png"},
    ],
)
def test_an_image_whose_size_can_not_be_read_is_none(image: dict[str, Any]) -> None:
    assert picture_of(image) is None
