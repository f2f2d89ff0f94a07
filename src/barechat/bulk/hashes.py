"""Which of a million names have been met? A map of 64-bit numbers in as many bytes as it must be.

A dict of them takes ten times as much. These are sorted arrays, many and short, so that adding moves little.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from hashlib import blake2b

_SHARD_BITS = 12


def hash_of(*parts: bytes) -> int:
    """Return 64 bits that tell these bytes from others."""
    digest = blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return int.from_bytes(digest.digest(), "big")


class Hashes:
    """A map from hashes to numbers of up to 64 bits."""

    def __init__(self) -> None:
        self._keys = [array("Q") for _ in range(1 << _SHARD_BITS)]
        self._values = [array("Q") for _ in range(1 << _SHARD_BITS)]
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, key: int) -> int | None:
        """Return what stands for a hash, or None."""
        keys = self._keys[key >> (64 - _SHARD_BITS)]
        place = bisect_left(keys, key)
        if place < len(keys) and keys[place] == key:
            return self._values[key >> (64 - _SHARD_BITS)][place]
        return None

    def put(self, key: int, value: int) -> None:
        """Let a number stand for a hash, in place of any other."""
        shard = key >> (64 - _SHARD_BITS)
        keys, values = self._keys[shard], self._values[shard]
        place = bisect_left(keys, key)
        if place < len(keys) and keys[place] == key:
            values[place] = value
        else:
            keys.insert(place, key)
            values.insert(place, value)
            self._count += 1

    def drop(self, key: int) -> None:
        """Forget a hash that is there."""
        shard = key >> (64 - _SHARD_BITS)
        place = bisect_left(self._keys[shard], key)
        del self._keys[shard][place], self._values[shard][place]
        self._count -= 1
