"""Whom a client trusts over TLS, and how it shows who it is itself.

What can't be used is refused when the client is made, by the name of the file that is at fault.
"""

from __future__ import annotations

import os
import re
import ssl
from typing import TYPE_CHECKING

from barechat.errors import ConfigurationError
from barechat.settings import certificate_file

if TYPE_CHECKING:
    from barechat.settings import Certificate, Verify

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")  # the names by which OpenSSL finds an authority in a directory


def asked_context(verify: Verify, cert: Certificate | None, *, speaks_tls: bool) -> ssl.SSLContext | None:
    """Return the context that the arguments or SSL_CERT_FILE ask for, or None if they ask for nothing.

    The variable asks for nothing where neither the server nor its proxy speaks TLS: to read a system's takes 25 ms.

    Raises:
        ConfigurationError: a file or directory can't be used.
    """
    if verify is True and cert is None and not (speaks_tls and certificate_file()):
        return None
    return made_context(verify, cert)


def made_context(verify: Verify = True, cert: Certificate | None = None) -> ssl.SSLContext:  # noqa: FBT002 - as the client's own
    """Return a context for a client, as `asked_context` does, and the default where nothing is asked for."""
    if isinstance(verify, ssl.SSLContext):
        if cert is not None:
            raise ConfigurationError("cert: verify is an SSLContext of your own; load the certificate into that")
        return verify
    if verify is True:
        context = _default()
    elif verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif isinstance(verify, (str, os.PathLike)) and os.fspath(verify):
        context = _trusting(os.fspath(verify), "verify")
    else:
        raise ConfigurationError(
            "verify must be True, False, the path of a PEM file or a directory of certificates, or an ssl.SSLContext, "
            f"not {verify!r}"
        )
    if cert is not None:
        _show(context, cert)
    return context


def _default() -> ssl.SSLContext:
    file = certificate_file()
    if not file:
        return ssl.create_default_context()
    paths = ssl.get_default_verify_paths()  # SSL_CERT_DIR, or the system's, is trusted besides, as OpenSSL does
    return _trusting(file, "SSL_CERT_FILE", besides=paths.capath)


def _trusting(path: str, name: str, besides: str | None = None) -> ssl.SSLContext:
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - OpenSSL takes strings
            return ssl.create_default_context(cafile=path, capath=besides)
        if any(_HASHED.fullmatch(entry) for entry in os.listdir(path)):  # noqa: PTH208 - likewise
            return ssl.create_default_context(capath=path)
    except ssl.SSLError as error:
        raise ConfigurationError(f"{name}: {path!r} holds no certificates in PEM form ({error.reason})") from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{name}: {path!r} can't be read: {_why(error)}") from error
    raise ConfigurationError(
        f"{name}: the directory {path!r} has no certificates under their hashes, by which OpenSSL looks for them: "
        "run `openssl rehash` on it, or name one PEM file"
    )


def _show(context: ssl.SSLContext, cert: Certificate) -> None:
    """Load what the client shows of itself. The password is never told."""
    parts = (cert,) if isinstance(cert, (str, os.PathLike)) else cert
    paths = parts[:2] if isinstance(parts, tuple) else ()
    if not paths or len(parts) > 3 or not all(isinstance(path, (str, os.PathLike)) for path in paths):  # noqa: PLR2004 - see the message
        raise ConfigurationError(
            "cert must be the path of a PEM file, (certificate, key), or (certificate, key, password)"
        )
    names = [os.fspath(path) for path in paths]
    password = parts[2] if len(parts) == 3 else None  # noqa: PLR2004 - likewise
    for name in names:
        try:
            with open(name, "rb"):  # noqa: PTH123 - OpenSSL doesn't say which of the two it couldn't read
                pass
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"cert: {name!r} can't be read: {_why(error)}") from error
    try:
        # An empty password, so that OpenSSL doesn't ask for one at the terminal.
        context.load_cert_chain(names[0], names[-1], password or "")
    except (OSError, ValueError, TypeError) as error:
        where = f"{names[0]!r}" if len(names) == 1 else f"{names[0]!r} with the key in {names[1]!r}"
        raise ConfigurationError(
            f"cert: {where} can't be used ({getattr(error, 'reason', None) or type(error).__name__}): it must hold a "
            "certificate and its key in PEM form, and the password must be right if the key has one"
        ) from error


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
