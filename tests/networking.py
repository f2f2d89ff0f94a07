"""What the networks' tests stand on: certificates made on the spot, and a proxy that tells what it heard."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import trustme

from framings import TEXT, framed
from support import ByteServer, Caller

if TYPE_CHECKING:
    from pathlib import Path

OPENED = b"HTTP/1.1 200 Connection established\r\n\r\n"
ANSWERS = [framed("whole", "length"), framed("streamed", "chunked")]


def ask_both_ways(caller: Caller) -> None:
    """Ask for a whole reply and for a stream, and see that both come."""
    assert caller.chat().text == TEXT
    with caller.stream() as stream:
        assert "".join(stream) == TEXT


@dataclass
class Authority:
    """An authority of certificates, and the files that a client is given."""

    directory: Path
    name: str = "127.0.0.1"
    asks: bool = False  # for the client's certificate too

    def __post_init__(self) -> None:
        self._authority = trustme.CA()
        self.pem = self.directory / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.pem))
        client = self._authority.issue_cert("me@example.com")
        self.cert, self.key, self.both = (self.directory / f"{name}.pem" for name in ("cert", "key", "both"))
        client.cert_chain_pems[0].write_to_path(str(self.cert))
        client.private_key_pem.write_to_path(str(self.key))
        client.private_key_and_cert_chain_pem.write_to_path(str(self.both))

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(self.name).configure_cert(context)
        if self.asks:
            context.verify_mode = ssl.CERT_REQUIRED
            self._authority.configure_trust(context)
        return context

    def server(self) -> ByteServer:
        return ByteServer(list(ANSWERS), tls=self.context())


@dataclass
class Proxy:
    """A proxy on loopback that connects whoever asks to one port, and keeps what it heard.

    `reply` is its answer to CONNECT; any but `OPENED` ends there, with the connection left open if `stalls`.
    Without `tunnels` it hands on from the first byte: a second address of the server's.
    """

    port: int = 0
    reply: bytes = OPENED
    stalls: bool = False
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    tunnels: bool = True
    heads: list[str] = field(default_factory=list)
    heard: bytes = b""
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, 0), family=family)
        self._closing, self._told = socket.socketpair()
        self.address = f"{f'[{self.host}]' if ':' in self.host else self.host}:{self._listener.getsockname()[1]}"
        self.url = f"http{'s' if self.tls else ''}://{self.address}"
        self._start(self._accept)
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.close()
        for thread in self._threads:
            thread.join()
        self._told.close()
        self._listener.close()

    def _start(self, target: Any, *args: Any) -> None:
        self._threads.append(threading.Thread(target=target, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while self._told not in select.select([self._listener, self._told], [], [])[0]:
            self._start(self._serve, self._listener.accept()[0])

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
            stack.enter_context(sock)
            if self.tunnels:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += sock.recv(1) or b"\r\n\r\n"
                self.heads.append(head.decode("latin-1"))
                _read_body(sock, head)  # what is left unread resets the connection, and the reply may go with it
                sock.sendall(self.reply)
            if self.stalls:
                select.select([self._told], [], [])
            elif self.reply == OPENED:
                self._hand_on(sock, stack.enter_context(socket.create_connection(("127.0.0.1", self.port))))

    def _hand_on(self, near: socket.socket, far: socket.socket) -> None:
        others = {near: far, far: near}
        while True:
            waiting = isinstance(near, ssl.SSLSocket) and near.pending()
            ready = [near] if waiting else select.select([near, far, self._told], [], [])[0]
            if self._told in ready:
                return
            for sock in ready:
                data = sock.recv(65536)
                if not data:
                    return
                if sock is near:
                    self.heard += data
                others[sock].sendall(data)


def _read_body(sock: socket.socket, head: bytes) -> None:
    length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)\r\n", head)
    left = int(length[1]) if length else 0
    while left > 0:
        left -= len(sock.recv(left)) or left
