"""The pytest plugin, in a pytest of its own: the fixture works, is told of, and costs nothing until it is used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_pytest(directory: Path, test: str, *options: str) -> str:
    """Run one test file with this plugin and no other, and return what pytest says."""
    (directory / "pytest.ini").write_text("[pytest]\n", "utf-8")
    (directory / "test_it.py").write_text(test, "utf-8")
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-m", "pytest", "-p", "barechat.pytest_plugin", "-p", "no:cacheprovider", *options],
        cwd=directory,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


USES_IT = """
import json
import urllib.request

def ask(simulator):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello?"}]}
    request = urllib.request.Request(f"{simulator.url}/chat/completions", json.dumps(body).encode())
    request.add_header("Authorization", "Bearer any-key-will-do")
    with urllib.request.urlopen(request) as response:
        return json.load(response)["choices"][0]["message"]["content"]

def test_one(simulator):
    simulator.fail_next(2, reply="It will rain.")
    assert ask(simulator) == "It will rain."

def test_two(simulator):
    assert simulator.requests == []
    assert ask(simulator) != "It will rain."
"""


def test_each_test_gets_a_simulator_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert "2 passed" in run_pytest(tmp_path, USES_IT, "-W", "error")


def test_a_run_that_does_not_use_it_loads_neither_the_simulator_nor_what_that_needs(tmp_path: Path) -> None:
    heavy = {"barechat.simulator", "barechat.errors", "aiohttp", "asyncio", "msgspec", "ssl", "urllib3"}
    test = f"import sys\n\ndef test_it():\n    assert not {heavy!r} & set(sys.modules)\n"
    assert "1 passed" in run_pytest(tmp_path, test)


def test_the_list_of_fixtures_tells_what_it_is(tmp_path: Path) -> None:
    listed = run_pytest(tmp_path, "", "--fixtures")
    assert "simulator -- " in listed
    assert "Serve the Chat Completions API on loopback for one test" in listed
