"""What both transports say alike: a deadline that passed, a certificate or proxy that refuses, an answer's headers."""

from __future__ import annotations

import re
import ssl
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from barechat.errors import ConnectionFailed, DeadlineExceeded
from barechat.wire.retry import RETRY_STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from barechat.steps import Deadline

# After an answer's end: long enough for the last bytes of a chunked body, which mostly come with the answer.
DRAIN_S = 0.1
DRAIN_BYTES = 65536

_UNWANTED = re.compile("ALERT_.*(?:CERTIFICATE|UNKNOWN_CA)")
_STATUSES = frozenset(HTTPStatus)

_MISSED = {
    "connect": "no connection",
    "first_byte": "no first byte of the answer",
    "idle": "nothing new in the stream",
    "total": "no whole answer",
}


def deadline_exceeded(deadline: Deadline, *, sent: bool | None) -> DeadlineExceeded:
    """Return the error of a deadline that has passed."""
    setting = deadline.setting or f"Timeouts.{deadline.which}_s"
    return DeadlineExceeded(
        f"{_MISSED[deadline.which]} within {deadline.after_s:g} s ({setting})",
        which=deadline.which,
        sent=sent,
    )


def tls_fault(error: BaseException) -> ssl.SSLError | None:
    """Return TLS's own word on a certificate that one side doesn't accept, or None if the fault is another."""
    for part in parts(error):  # by their very type: aiohttp's own ones lack the words
        if type(part) is ssl.SSLCertVerificationError:
            return part
        if type(part) is ssl.SSLError and _UNWANTED.search(part.reason or ""):
            return part
    return None


def tls_refused(fault: ssl.SSLError) -> ConnectionFailed:
    """Return the error of such a fault. Another try would end the same way."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        said = (
            f"the server's TLS certificate can't be verified: {fault.verify_message or fault}. Nothing was sent, and "
            "trying again won't help: if its authority is your own, pass its PEM file as verify=…, or name it in "
            "SSL_CERT_FILE"
        )
    else:
        said = (
            f"the server refused the client's certificate, or the lack of one ({fault.reason}). The request wasn't "
            "read, and trying again won't help: pass a certificate that the server knows as cert=…"
        )
    return ConnectionFailed(said, sent=False, retryable=False)


def parts(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all those that a library has wrapped in it."""
    yield error
    for part in (*error.args, error.__cause__):
        if isinstance(part, BaseException):
            yield from parts(part)


def proxy_failed(url: str, reason: str) -> ConnectionFailed:
    """Return the error of a proxy that can't be reached, or that broke off instead of connecting."""
    said = " ".join(reason.split())[:200]
    return ConnectionFailed(f"could not connect through the proxy {url}: {said}. Nothing was sent.", sent=False)


def proxy_refused(url: str, status: int) -> ConnectionFailed:
    """Return the error of a proxy that answered, and that with a status other than 200.

    The proxy's own words are left out: it may repeat what it was sent, and that includes a password.
    """
    words = HTTPStatus(status).phrase if status in _STATUSES else "of its own"
    advice = " Check the user and password in its URL." if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED else ""
    return ConnectionFailed(
        f"the proxy {url} refused to connect: {status} {words}. Nothing reached the server.{advice}",
        sent=False,
        retryable=status in RETRY_STATUSES,
    )


def merged(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers under lower-case names, those that came twice joined by a comma (RFC 9110, section 5.2).

    What isn't ASCII is read as UTF-8, as far as it goes.
    """
    found: dict[str, str] = {}
    for raw_name, raw in headers:
        name = _known(raw_name) if len(raw_name) <= _LONGEST_KNOWN else _lower(raw_name)
        value = raw.decode("utf-8", "replace").strip(" \t")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()


_LONGEST_KNOWN = 100
_known = lru_cache(500)(_lower)  # a server's headers have the same names each time
