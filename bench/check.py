"""Do the candidates do the same job? Each is asked for a reply and a stream, blocking and async.

`python -m bench.check` prints who did, a line each; an answer that isn't the server's ends it with an error.
"""

import asyncio
import importlib
import os
from typing import Any

from bench.answers import PIECE, TEXT
from bench.compare import BLOCKING_ONLY, MODULES, installed
from bench.measure import check
from bench.server import serve_fixed

_TOKENS = 3


def main() -> None:
    """Ask them all."""
    with serve_fixed() as server:
        for name in installed(tuple(MODULES)):
            candidate = importlib.import_module(f"bench.candidates.{MODULES[name]}")
            for answer in ("whole", f"burst-{_TOKENS}", f"paced-{_TOKENS}-1"):
                url = f"{server.url}/{answer}/v1"
                _ask(candidate.Blocking(url, None), is_whole=answer == "whole")
                if name not in BLOCKING_ONLY:
                    asyncio.run(_ask_async(candidate, url, is_whole=answer == "whole"))
            print(name, flush=True)
    os._exit(0)  # nobody closes a candidate


def _ask(client: Any, *, is_whole: bool) -> None:
    if is_whole:
        check(client.call(0), len(TEXT) // len(PIECE))
    else:
        check("".join(client.stream(0)), _TOKENS)


async def _ask_async(candidate: Any, url: str, *, is_whole: bool) -> None:
    client = candidate.Async(url, None)
    if is_whole:
        check(await client.call(0), len(TEXT) // len(PIECE))
    else:
        check("".join([text async for text in client.stream(0)]), _TOKENS)


if __name__ == "__main__":
    main()
