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
        self._profile = _profiler() if order.get("profile") else None
        gc.collect()
        self._server_s = cpu_s(self._server)
        self._began = time.perf_counter()
        self._cpu_s = time.process_time()
        if self._profile is not None:
            self._profile.enable()

    def end(self, units: int, **more: Any) -> NoReturn:
        """Print what so many units took, and end the process."""
        if self._profile is not None:
            self._profile.disable()
            more["functions"] = _functions(self._profile)
        own_s, seconds, server_s = time.process_time() - self._cpu_s, time.perf_counter() - self._began, None
        if self._server_s is not None:
            server_s = (cpu_s(self._server) or 0.0) - self._server_s
        found = {"cpu_s": own_s, "seconds": seconds, "units": units, "server_s": server_s, "peak_kib": peak_kib()}
        print(json.dumps({**found, **more}), flush=True)
        os._exit(0)


def _profiler() -> Any:
    import cProfile  # noqa: PLC0415 - only for those who ask

    gc.disable()  # else its time is that of whoever was there
    return cProfile.Profile(time.process_time, subcalls=False)


def _functions(profile: Any) -> list[dict[str, Any]]:
    """Return each function's place, calls and own time."""
    return [
        {"where": _place(entry.code), "calls": entry.callcount, "own_s": entry.inlinetime}
        for entry in profile.getstats()
    ]


def _place(code: Any) -> str:
    return code if isinstance(code, str) else f"{code.co_filename}:{code.co_qualname}"


def check(text: str, pieces: int) -> None:
    """Raise an error if it isn't the answer: a figure made of such answers would mean nothing."""
    if text != PIECE * pieces:
        raise RuntimeError(f"not the answer: {text[:200]!r}")
