"""How does a request go over a socket? Its head is written at once, and its body goes along with it.

http.client would check each header again, put it into bytes by itself, and send the head and the body apart.
"""

from __future__ import annotations

import errno
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barechat.settings import Proxy
    from barechat.steps import Send

ONE_PIECE_BYTES = 65536  # to join more than this to its head costs more than to send it by itself
_PORTS = {"http": 80, "https": 443}
_SAFE = "/%?:@!$&'()*+,;=~"  # what a target may hold as it is (RFC 3986, section 3.3), and what is escaped already


class Socket(Protocol):
    """What is written to: a socket, or TLS over one."""

    def sendall(self, data: bytes, /) -> object:
        """Send it all."""
        ...


def request_head(step: Send, proxy: Proxy | None) -> bytes:
    """Return a request's head. `proxy` is one that hands requests on without a tunnel."""
    host, target = _addressed(step.url)
    headers = step.headers
    if "host" not in map(str.lower, headers):
        headers = {"Host": host, **headers}
    if proxy is not None:
        target = f"http://{host}{target}"  # the whole URL: RFC 9112, section 3.2.2
        headers = {**headers, **proxy.headers}
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    head = f"POST {target} HTTP/1.1\r\n{lines}Content-Length: {len(step.body)}\r\n\r\n"
    return head.encode("latin-1")


def tunnel_request(host: str, port: int, headers: Mapping[str, str]) -> bytes:
    """Return what asks a proxy for a way through, and for nothing else: it hears the server's name and its own key."""
    name = host.strip("[]").encode("ascii" if ":" in host else "idna").decode()
    target = f"{f'[{name}]' if ':' in name else name}:{port}"
    lines = "".join([f"{field}: {value}\r\n" for field, value in {"Host": target, **headers}.items()])
    return f"CONNECT {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def send_request(sock: Socket, head: bytes, body: bytes) -> bool:
    """Send a request, and say whether all of it has left: a server may answer before it has read it, and close."""
    try:
        if len(body) <= ONE_PIECE_BYTES:
            sock.sendall(head + body)
        else:
            sock.sendall(head)
            sock.sendall(body)
    except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
        return False
    except OSError as error:
        if error.errno != errno.EPROTOTYPE:  # which macOS says while the other side is closing
            raise
        return False
    return True


@lru_cache(100)  # a client's URLs are few
def _addressed(url: str) -> tuple[str, str]:
    """Return a URL's host, as in the header of that name, and its target: its path and query."""
    parts = urlsplit(url)
    name = (parts.hostname or "").rstrip(".")
    host = f"[{name.partition('%')[0]}]" if ":" in name else name if name.isascii() else name.encode("idna").decode()
    if parts.port not in {None, _PORTS.get(parts.scheme)}:
        host += f":{parts.port}"
    return host, quote(parts.path + (f"?{parts.query}" if parts.query else ""), safe=_SAFE)
