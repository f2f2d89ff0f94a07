"""Do ten thousand stopped calls leave anything, and does one that is interrupted anywhere?"""

from __future__ import annotations

import gc
import logging
import random
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from barechat import BarechatError, Client
from holding import PATIENT, open_files, own_threads, stop_many
from support import KEY, MODEL, ByteServer, chunked, head, piece

if TYPE_CHECKING:
    from barechat.receipt import Receipt

STOPPED = 10_000
INTERRUPTED = 5_000
SLOW = 20  # pieces of a streamed answer

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the system's list of descriptors")


def test_ten_thousand_calls_that_were_stopped_leave_nothing(kind: str) -> None:
    stop_many(kind, 1)  # what stays on purpose, or is made once
    gc.collect()
    before = open_files(), threading.active_count()
    stop_many(kind, STOPPED)
    gc.collect()
    assert (open_files(), threading.active_count()) == before
    assert own_threads() == []


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_call_that_is_interrupted_anywhere_is_filed_at_most_once_and_leaves_nothing(
    byte_server: ByteServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    pieces = [head("Transfer-Encoding: chunked", kind="text/event-stream")]
    pieces += [chunk for _ in range(SLOW) for chunk in chunked([piece("Hi ")])[:-1]]
    byte_server.answer(*pieces, *chunked([piece(finish_reason="stop") + b"data: [DONE]\n\n"]), closes=False)
    drawn = random.Random(7)  # noqa: S311 - not for secrets
    endings = {"whole": 0, "interrupted": 0, "lost": 0}
    filed: list[Receipt] = []
    files = open_files()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with Client(KEY, byte_server.url, timeouts=PATIENT) as client:
            for _ in range(INTERRUPTED):
                filed.clear()
                stream = client.stream("Hi", model=MODEL)
                stream.when_filed(filed.append)
                ending = "whole"
                try:
                    signal.setitimer(signal.ITIMER_REAL, drawn.uniform(1e-5, 5e-3))
                    with stream:
                        list(stream)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except KeyboardInterrupt:
                    ending = "interrupted"
                stream.close()
                assert len(filed) <= 1  # none if Ctrl-C came between taking the listener and calling it
                endings[ending if filed else "lost"] += 1
                assert client._running == set()
            assert client.chat("Hi", model=MODEL, timeouts=PATIENT).text.startswith("Hi")
        gc.collect()
        byte_server.wait_until_closed(byte_server.connections)
        assert open_files() == files
    except BarechatError as error:
        raise AssertionError("an interrupted call spoilt a later one") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert endings["interrupted"] > INTERRUPTED / 10
    assert endings["lost"] <= INTERRUPTED / 500
    assert own_threads() == []
