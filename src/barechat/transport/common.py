"""What both transports say alike: what ended a request, and what a certificate or proxy that refuses means."""

from __future__ import annotations

import re
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING

from barechat.errors import BarechatError, ConnectionFailed, DeadlineExceeded, ProtocolBroken
from barechat.wire.retry import RETRY_STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat.steps import Deadline

# After an answer's end: long enough for the last bytes of a chunked body, which mostly come with the answer.
DRAIN_S = 0.1
DRAIN_BYTES = 65536
PIECE_BYTES = 65536  # what is read at once at most

_UNWANTED = re.compile("ALERT_.*(?:CERTIFICATE|UNKNOWN_CA)")
_STATUSES = frozenset(HTTPStatus)


class NotHttp(Exception):
    """What came is no answer of HTTP/1. Its text says why."""


class Cut(Exception):
    """The connection ended before the answer did. Its text is for the caller."""


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


def translated(
    error: Exception, *, sent: bool | None, expired: Deadline | None, server: str = "the server"
) -> BarechatError:
    """Return what an exception means that ended a request. `expired` is the deadline that did, if it was one."""
    if expired is not None:
        return deadline_exceeded(expired, sent=sent)
    if isinstance(error, BarechatError):
        return error
    if (refused := tls_fault(error)) is not None:
        return tls_refused(refused)
    if isinstance(error, NotHttp):
        return ProtocolBroken(f"the server's answer is not HTTP: {error}")
    if sent is False:
        return ConnectionFailed(f"could not connect to {server}: {why(error)}. Nothing was sent.", sent=False)
    return ConnectionFailed(str(error) if isinstance(error, Cut) else f"the connection broke: {why(error)}", sent=sent)


def why(error: Exception) -> str:
    """Return the innermost reason alone, without a library's object addresses."""
    while error.args and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    reason = getattr(error, "reason", None)
    return str(reason if isinstance(reason, Exception) else error) or type(error).__name__


def tls_fault(error: BaseException) -> ssl.SSLError | None:
    """Return TLS's own word on a certificate that one side doesn't accept, or None if the fault is another."""
    for part in parts(error):  # by their very type: a library's own ones lack the words
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


def proxy_failed(url: str, error: Exception) -> ConnectionFailed:
    """Return the error of a proxy that can't be reached, or that broke off instead of connecting.

    What it answered isn't quoted: it may repeat what it was sent, and that includes a password.
    """
    said = "its answer is not HTTP" if isinstance(error, NotHttp) else " ".join(why(error).split())[:200]
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
