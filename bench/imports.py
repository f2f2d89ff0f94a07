"""How long does a program take to its first call? Importing a client and making one, over what Python itself takes."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

from bench.compare import compared, installed
from bench.results import Row

_STATEMENTS: Final = {
    "import": {
        "bare": "import urllib3, msgspec",
        "barechat": "import barechat",
        "openai": "import openai",
        "httpx": "import httpx",
        "requests": "import requests",
        "litellm": "import litellm",
    },
    "import and first client": {
        "bare": "import urllib3, msgspec; urllib3.PoolManager()",
        "barechat": "from barechat import Client; Client(api_key='k')",
        "openai": "from openai import OpenAI; OpenAI(api_key='k')",
        "httpx": "import httpx; httpx.Client()",
        "requests": "import requests; requests.Session()",
    },
    "import and first async client": {
        "bare": "import aiohttp, msgspec",
        "barechat": "from barechat import AsyncClient; AsyncClient(api_key='k')",
        "openai": "from openai import AsyncOpenAI; AsyncOpenAI(api_key='k')",
        "httpx": "import httpx; httpx.AsyncClient()",
    },
}
_TIMES: Final = 3  # in each run: these are short


def measure(runs: int, only: Sequence[str]) -> list[Row]:
    """Return CPU and time of each, over those of an empty program that was started beside it."""
    cases = {
        (name, candidate): statement
        for name, statements in _STATEMENTS.items()
        for candidate, statement in statements.items()
        if candidate in installed(only or [one for one in statements if one != "litellm"])
    }
    for statement in cases.values():
        _start(statement)  # which compiles it
    cpu_ms: dict[str, dict[str, list[float]]] = {name: {} for name in _STATEMENTS}
    wall_ms: dict[str, dict[str, list[float]]] = {name: {} for name in _STATEMENTS}
    for _ in range(runs * _TIMES):
        empty_s = _start("pass")
        for (name, candidate), statement in cases.items():
            taken_s = _start(statement)
            cpu_ms[name].setdefault(candidate, []).append((taken_s[0] - empty_s[0]) * 1000)
            wall_ms[name].setdefault(candidate, []).append((taken_s[1] - empty_s[1]) * 1000)
    return [
        row
        for name in _STATEMENTS
        for unit, figures in (("CPU ms", cpu_ms[name]), ("ms", wall_ms[name]))
        for row in compared(name, f"{unit} over bare Python", figures)
    ]


def _start(statement: str) -> tuple[float, float]:
    """Return the CPU and the time that a program takes, in seconds."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", statement])
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{statement} failed, as it says above")
    return used.ru_utime + used.ru_stime, seconds
