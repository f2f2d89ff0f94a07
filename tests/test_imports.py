"""What an import loads, and what it leaves for later. Each in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

CASES = [
    (
        "import barechat",
        {"aiohttp", "asyncio", "urllib3", "msgspec", "click", "rich", "ssl", "barechat.simulator", "barechat.errors"},
    ),
    (
        "from barechat import Client; Client(api_key='k')",
        {
            "aiohttp",
            "click",
            "rich",
            "barechat.simulator",
            "barechat.async_client",
            "barechat.session",
            "barechat.parsing",
            "barechat.tool",
        },
    ),
    (
        "from barechat import AsyncClient",
        {"aiohttp", "urllib3", "click", "rich", "barechat.simulator", "barechat.transport.blocking"},
    ),
    (
        "import asyncio, barechat\nasyncio.run(barechat.AsyncClient('k').close())",
        {"aiohttp", "urllib3", "click", "rich", "barechat.simulator", "barechat.transport.blocking"},
    ),
    (
        "import barechat.cli.commands",
        {
            "rich",
            "prompt_toolkit",
            "platformdirs",
            "markdown_it",
            "msgspec",
            "urllib3",
            "barechat.client",
            "barechat.errors",
        },
    ),
    ("import barechat.simulator", {"barechat.errors", "barechat.records", "barechat.client", "urllib3", "click"}),
]


@pytest.mark.parametrize(("code", "unloaded"), CASES, ids=[case[0] for case in CASES])
def test_an_import_loads_no_more_than_it_must(code: str, unloaded: set[str]) -> None:
    check = f"{code}\nimport sys\nprint(sorted(set(sys.modules) & {unloaded!r}))"
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60, env=None
    )
    assert done.stdout.strip() == "[]"


def test_making_a_client_starts_no_thread_and_opens_no_socket() -> None:
    code = (
        "import sys, threading\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(event) if event.startswith('socket.') else None)\n"
        "from barechat import Client; Client(api_key='k', base_url='https://example.com/v1')\n"
        "assert threading.active_count() == 1\n"
        "assert not [event for event in opened if event in {'socket.connect', 'socket.getaddrinfo'}], opened\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)  # noqa: S603 - our own code
