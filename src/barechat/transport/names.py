"""How a host's name becomes addresses: in a thread that can be left behind.

`getaddrinfo` takes no deadline and nothing wakes it up. On an executor's thread it would keep a program from ending
long after the call has given up: asyncio.run waits for those, and so does Python at exit.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Addresses = list[Any]
"""What `socket.getaddrinfo` returns."""


def addresses_of(host: str, port: int) -> Addresses | None:
    """Return the addresses of a host that is given by its address, or None of one that has to be looked up."""
    if not host.replace(".", "").isdigit() and ":" not in host:
        return None
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


def look_up(host: str, port: int, tell: Callable[[Addresses | OSError | UnicodeError], object]) -> None:
    """Resolve a name, and `tell` its addresses or what went wrong, in another thread, whenever that may be."""

    def resolve() -> None:
        try:
            tell(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:  # the latter from a name that DNS can't carry
            tell(error)

    try:
        threading.Thread(target=resolve, name="barechat-resolve", daemon=True).start()
    except RuntimeError as error:  # there are as many as the system allows
        tell(OSError(f"the name can't be looked up: {error}"))
