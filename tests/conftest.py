"""Fixtures of the upper floors: a byte server, and clients of both kinds; `simulator` comes with barechat itself."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

import pytest

from barechat import guide
from leaks import pytest_runtest_makereport
from support import KEY, ByteServer, Caller, Connect, make_caller
from tracing import pytest_runtest_protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat.simulator import Simulator

# What pytest calls: no test leaves the key behind, and only the core's are traced.
__all__ = ["pytest_runtest_makereport", "pytest_runtest_protocol"]


def pytest_configure(config: pytest.Config) -> None:
    """Have everything logged, so that the search for the key finds it there too."""
    config.option.log_level = config.option.log_level or "DEBUG"


def pytest_collection_finish() -> None:
    """Let no full collection, which some tests ask for, look again at what was imported: 50 ms each time."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's own keys, URLs, proxies and certificates out of the tests, and them out of the user's ledger.

    Where SSL_CERT_FILE is set, each client reads it when it is made: a system's takes 25 ms, most of a small test.
    """
    for name in list(os.environ):
        is_ours = name.upper().startswith(("OPENAI_", "AZURE_OPENAI_", "BARECHAT_", "SSL_CERT_"))
        if is_ours or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("BARECHAT_LEDGER", "")


@pytest.fixture
def byte_server() -> Iterator[ByteServer]:
    with ByteServer() as running:
        yield running


@pytest.fixture(params=["blocking", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two clients: every test that uses it, or what is made of it, runs with both."""
    return str(request.param)


@pytest.fixture
def connect(kind: str) -> Iterator[Connect]:
    """Make callers of a base URL; they are closed at the end."""
    made: list[Caller] = []

    def make(base_url: str, **options: Any) -> Caller:
        made.append(make_caller(kind, base_url, **options))
        return made[-1]

    yield make
    for caller in made:
        caller.close()


@pytest.fixture
def caller(connect: Connect, simulator: Simulator) -> Caller:
    """A caller of the simulator that tries again at once."""
    return connect(simulator.url)


@pytest.fixture
def default_client(monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> Iterator[None]:
    """The guide's default client is one of the simulator."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", simulator.url)
    guide.default_client.cache_clear()
    yield
    guide.default_client().close()
    guide.default_client.cache_clear()
