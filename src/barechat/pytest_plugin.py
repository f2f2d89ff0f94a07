"""What does pytest get from an installed barechat? The fixture `simulator`.

Every pytest run where barechat is installed imports this file, so it imports nothing more than it must.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat.simulator import Simulator


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Serve the Chat Completions API on loopback for one test: no key, no cost, no network.

    A client of `simulator.url` gets the same reply to the same request; `simulator.fail_next(status=429)` makes the
    next request fail, and `simulator.requests` holds a record of each that has ended.
    """
    from barechat.simulator import Simulator  # noqa: PLC0415 - see the top

    with Simulator() as running:
        yield running
