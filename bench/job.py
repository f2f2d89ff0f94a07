"""What does one candidate spend on one load? A fresh process for each: `python -m bench.job ORDER`, JSON in and out.

It imports no more than it must, so that its memory is the candidate's. What isn't counted comes first: importing,
making the client, and a warm-up that opens every connection. It ends without closing anything, as nobody waits for it.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any, NoReturn, Protocol

from bench.answers import TEXT
from bench.measure import Measure, check
from bench.process import peak_kib


class Blocking(Protocol):
    """What a candidate does where it blocks. The number makes each question another one."""

    def __init__(self, url: str, authority: str | None) -> None:
        """Make one client, that trusts the authority of that file, to be used for all calls."""
        ...

    def call(self, number: int) -> str:
        """Return a whole reply's text."""
        ...

    def stream(self, number: int) -> Iterator[str]:
        """Yield a stream's pieces of text."""
        ...


def calls(order: dict[str, Any], client: Blocking) -> NoReturn:
    """One call after another."""
    for number in range(order["warm_up"]):
        client.call(number)
    measure = Measure(order)
    for number in range(order["count"]):
        if client.call(number) != TEXT:
            raise RuntimeError("not the answer")
    measure.end(order["count"])


def streams(order: dict[str, Any], client: Blocking) -> NoReturn:
    """One stream after another; units are tokens."""
    for number in range(order["warm_up"]):
        check("".join(client.stream(number)), order["tokens"])
    measure = Measure(order)
    for number in range(order["count"]):
        check("".join(client.stream(number)), order["tokens"])
    measure.end(order["count"] * order["tokens"])


def main() -> None:
    """Do what is ordered: nothing at all, or a function of this file or of `job_async`."""
    order = json.loads(sys.argv[1])
    if not order:
        print(json.dumps({"peak_kib": peak_kib()}))
        return
    candidate: Any = importlib.import_module(f"bench.candidates.{order['candidate']}")
    if order["is_async"]:
        from bench import job_async  # noqa: PLC0415 - asyncio takes a few MiB

        job_async.run(order, candidate.Async)
    {"calls": calls, "streams": streams}[order["shape"]](order, candidate.Blocking(order["url"], order["authority"]))


if __name__ == "__main__":
    main()
