"""What both transports say alike: which deadline passed, a refused certificate, headers under lower-case names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barechat.errors import ConnectionFailed, DeadlineExceeded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from barechat.steps import Deadline

# After an answer's end: long enough for the last bytes of a chunked body, which mostly come with the answer.
DRAIN_S = 0.1
DRAIN_BYTES = 65536

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


def certificate_refused(error: Exception) -> ConnectionFailed:
    """Return the error of a TLS certificate that can't be verified.

    Raise it from the `ssl.SSLCertVerificationError`: by that cause it is told from failures that another try may cure.
    """
    return ConnectionFailed(
        f"the server's TLS certificate can't be verified: {getattr(error, 'verify_message', '') or error}. Nothing was "
        "sent, and trying again won't help: if its authority is your own, name that's PEM file in SSL_CERT_FILE",
        sent=False,
    )


def merged(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers under lower-case names, those that came twice joined by a comma (RFC 9110, section 5.2)."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found
