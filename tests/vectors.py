"""Test data that others wrote: streams, errors, headers and URLs, each with its source, in data/vectors."""

from __future__ import annotations

import base64
import json
import random
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Case = dict[str, Any]
DATA = Path(__file__).with_name("data")
SMALL = 2500  # bytes; larger streams are split at random, not at every byte


@cache
def cases(name: str) -> list[Case]:
    """Return the cases of data/vectors/`name`.json."""
    found: list[Case] = json.loads((DATA / "vectors" / f"{name}.json").read_text("utf-8"))["cases"]
    return found


def case_id(case: Case) -> str:
    return str(case["id"])


def parts(encoded: list[str]) -> list[bytes]:
    return [base64.b64decode(part) for part in encoded]


def splits(data: bytes) -> Iterator[list[bytes]]:
    """Yield `data` in pieces: whole, a byte at a time, in two at every position (if small), at random by seed."""
    yield [data]
    if len(data) <= SMALL:
        yield [data[at : at + 1] for at in range(len(data))]
        for at in range(1, len(data)):
            yield [data[:at], data[at:]]
    for seed in range(5):
        yield drawn(data, seed)


def in_short(data: bytes) -> Iterator[list[bytes]]:
    """Yield `data` whole, a byte at a time, and at random by three seeds: for what stands on a decoder of `splits`."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for seed in range(3):
        yield drawn(data, seed)


def drawn(data: bytes, seed: int) -> list[bytes]:
    """Return `data` in pieces whose sizes are drawn from the seed; some are empty."""
    sizes = random.Random(seed)  # noqa: S311 - not for secrets
    pieces, at = [], 0
    while at < len(data):
        size = sizes.choice((0, 1, 2, 3, 17, 250, 4096))
        pieces.append(data[at : at + size])
        at += size
    return pieces
