"""What does the simulator show of itself over TLS? A certificate made on the spot, and its authority for clients.

It needs the extra `tls`, and loads that and `ssl` only when they are used.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    import ssl

_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A server's side of TLS, and the PEM text of the authority that clients have to trust."""

    context: "ssl.SSLContext"
    authority_pem: str

    @contextlib.contextmanager
    def authority_file(self) -> Iterator[Path]:
        """Give the authority's PEM in a file, readable by its owner only, until the end of the `with` statement."""
        with tempfile.TemporaryDirectory(prefix="barechat-simulator-") as directory:
            path = Path(directory) / "authority.pem"
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(self.authority_pem)
            yield path


def make_certificate(host: str) -> Certificate:
    """Make a certificate for loopback's names and the host, by an authority of its own.

    Raises ImportError, saying what to install, without trustme.
    """
    import ssl  # noqa: PLC0415 - only for those who use it

    try:
        import trustme  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise ImportError("TLS needs trustme: pip install 'barechat[tls]'", name="trustme") from error
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*dict.fromkeys((*_LOOPBACK_NAMES, host))).configure_cert(context)
    return Certificate(context=context, authority_pem=authority.cert_pem.bytes().decode("ascii"))
