"""What did a load take, from here to there? Within the process that a candidate has for itself."""

import gc
import json
import os
import time
from typing import Any, NoReturn

from bench.answers import PIECE
from bench.process import cpu_s, peak_kib


class Measure:
    """CPU (kernel included), time, and the server's CPU, from here to `end`."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._server = order["server"]
        gc.collect()
        self._server_s = cpu_s(self._server)
        self._began = time.perf_counter()
        self._cpu_s = time.process_time()

    def end(self, units: int, **more: Any) -> NoReturn:
        """Print what so many units took, and end the process."""
        own_s, seconds, server_s = time.process_time() - self._cpu_s, time.perf_counter() - self._began, None
        if self._server_s is not None:
            server_s = (cpu_s(self._server) or 0.0) - self._server_s
        found = {"cpu_s": own_s, "seconds": seconds, "units": units, "server_s": server_s, "peak_kib": peak_kib()}
        print(json.dumps({**found, **more}), flush=True)
        os._exit(0)


def check(text: str, pieces: int) -> None:
    """Raise an error if it isn't the answer: a figure made of such answers would mean nothing."""
    if text != PIECE * pieces:
        raise RuntimeError(f"not the answer: {text[:200]!r}")
