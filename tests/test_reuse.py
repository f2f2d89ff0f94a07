"""Both clients' connections: which may be used for the next request, and which never."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from support import AsyncCaller, ByteServer, Connect, Sent, whole_answer, whole_body

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("comes", ["at once", "later"])
def test_what_nobody_asked_for_is_never_taken_for_an_answer(
    comes: str, connect: Connect, byte_server: ByteServer
) -> None:
    first, unasked, second = (whole_answer(whole_body(text)) for text in ("One", "Unasked", "Two"))
    told, sent = threading.Event(), threading.Event()

    def late() -> Iterator[bytes]:
        yield first
        assert told.wait(10)
        yield unasked
        sent.set()

    pieces: Any = [first + unasked] if comes == "at once" else late()
    byte_server.answers += [Sent(pieces, closes=False), Sent([second], closes=False)]
    caller = connect(byte_server.url)
    assert caller.chat().text == "One"
    told.set()
    if comes == "later":
        assert sent.wait(10)
    if comes == "later" and isinstance(caller, AsyncCaller):
        caller.run(asyncio.to_thread(byte_server.wait_until_closed, 1))  # its loop hears of it, and hangs up
    assert caller.chat().text == "Two"
    assert caller.chat().text == "Two"
    assert [request.connection for request in byte_server.requests] == [1, 2, 2]
