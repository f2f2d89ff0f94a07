"""How much of a prompt has been seen before? The API's prompt cache: whole blocks of a repeated prefix."""

import hashlib
from collections import OrderedDict
from typing import Final

import msgspec

from barechat.simulator.request import Request

# The API's own sizes: https://platform.openai.com/docs/guides/prompt-caching
_FEWEST_TOKENS: Final = 1024
_BLOCK_TOKENS: Final = 128
_MOST_BLOCKS: Final = 100_000


class CacheUse(msgspec.Struct, frozen=True):
    """The prompt tokens that were read from the cache, and those that were written to it."""

    read: int = 0
    written: int = 0


NO_CACHE: Final = CacheUse()


class PromptCache:
    """Remembers the prompts of each key and model, the least recently used forgotten first."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def use(self, request: Request) -> CacheUse:
        """Return what the cache has of a prompt, and put it there."""
        if request.prompt_tokens < _FEWEST_TOKENS:
            return NO_CACHE
        blocks = list(_blocks(request))
        known = next((index for index, block in enumerate(blocks) if block not in self._seen), len(blocks))
        for block in blocks:
            self._seen[block] = None
            self._seen.move_to_end(block)
        while len(self._seen) > _MOST_BLOCKS:
            self._seen.popitem(last=False)
        # A block is counted in words of the JSON too, so there may be more blocks than tokens.
        whole = min(len(blocks), request.prompt_tokens // _BLOCK_TOKENS) * _BLOCK_TOKENS
        read = min(known * _BLOCK_TOKENS, whole)
        return CacheUse(read if read >= _FEWEST_TOKENS else 0, whole - read)


def _blocks(request: Request) -> list[bytes]:
    """Return a digest for each whole block of the prompt, each standing for all that is before it too."""
    # Tools come first in a prompt, as in the API's.
    words = msgspec.json.encode([request.get("tools"), request.get("response_format")]).decode().split()
    for message, text in zip(request.messages, request.texts, strict=True):
        words += [str(message.get("role")), *text.split()]
    running = hashlib.sha256(f"{request.key}\0{request.model}\0{request.get('prompt_cache_key')}".encode())
    digests: list[bytes] = []
    for start in range(0, len(words) - _BLOCK_TOKENS + 1, _BLOCK_TOKENS):
        running.update("\0".join(words[start : start + _BLOCK_TOKENS]).encode("utf-8", "surrogatepass"))
        digests.append(running.digest())
    return digests
