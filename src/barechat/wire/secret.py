"""How a key is kept out of what a server, or what stands between, may have echoed: errors, logs and traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from barechat.errors import BarechatError

# What is shorter stands for a key where none is needed ("none", "ollama"); it is in half of all sentences.
SHORTEST = 8


def secrets_of(headers: Mapping[str, str]) -> frozenset[str]:
    """Return what a request authenticates itself with, as far as it is long enough to be a secret."""
    values = [value for name, value in headers.items() if name.lower() in {"authorization", "api-key"}]
    return frozenset(secret for value in values if len(secret := value.removeprefix("Bearer ")) >= SHORTEST)


def without(secrets: Iterable[str], text: str | None) -> str | None:
    """Return a text without the secrets, nor the beginning of one where the text was cut within it."""
    if not text:
        return text
    for secret in secrets:
        text = text.replace(secret, "***")
        while (start := text.find(secret[:SHORTEST])) >= 0:
            end = start + SHORTEST
            while end < len(text) and text[end] == secret[end - start]:
                end += 1
            text = f"{text[:start]}***{text[end:]}"
    return text


def redact(error: BarechatError, secrets: Iterable[str]) -> None:
    """Take the secrets out of an error's facts, and drop a foreign cause that tells one."""
    error.args = (without(secrets, str(error)),)
    error.code, error.type, error.param = (without(secrets, text) for text in (error.code, error.type, error.param))
    if error.body is not None:
        error.body = (without(secrets, error.body.decode("latin-1")) or "").encode("latin-1")
    cause, seen = error.__cause__ or error.__context__, {id(error)}  # such chains can be rings
    while cause is not None and id(cause) not in seen:
        if without(secrets, str(cause)) != str(cause):  # a foreign exception's words can't be changed for sure
            error.__cause__ = error.__context__ = None
            return
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
