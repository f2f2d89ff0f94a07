"""Which tests are traced for the core's coverage? Those of its own files; tracing all was a third of the suite's time.

A pytest plugin. It can hide nothing: a branch of the core that only another file's tests take fails `make test`, which
asks for 100 %, and then that file belongs here.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

TRACED: Final = {
    *("test_bad_input", "test_body", "test_bound", "test_budget", "test_chunks", "test_chunks_parts"),
    *("test_clients", "test_closing", "test_deadlines", "test_drive", "test_encoding", "test_estimate"),
    *(
        "test_exchange",
        "test_images",
        "test_ledger_calls",
        "test_limits",
        "test_meter",
        "test_parameters",
        "test_prices",
    ),
    *("test_prices_overlay", "test_reply", "test_request", "test_request_urls", "test_retry", "test_secrets"),
    *("test_sse", "test_surrogates", "test_table", "test_trace", "test_usage"),
}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run another file's test without the trace function that coverage has set, if it has."""
    if item.path.stem in TRACED:
        return (yield)
    here, in_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(here)
        threading.settrace(in_threads)
