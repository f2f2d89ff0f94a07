"""How a key is kept out of what a server, or what stands between, may have echoed: errors, logs and traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barechat.errors import BarechatError

# What is shorter stands for a key where none is needed ("none", "ollama"); it is in half of all sentences.
_SHORTEST = 8


def redact(error: BarechatError, secret: str) -> None:
    """Take the key out of an error, which a server, or what stands between, may have echoed."""
    error.args = (without(secret, str(error)),)
    error.code, error.type, error.param = (without(secret, text) for text in (error.code, error.type, error.param))
    if error.body is not None:
        error.body = (without(secret, error.body.decode("latin-1")) or "").encode("latin-1")
    cause, seen = error.__cause__ or error.__context__, {id(error)}  # such chains can be rings
    while cause is not None and id(cause) not in seen:
        if without(secret, str(cause)) != str(cause):  # a foreign exception's words can't be changed for sure
            error.__cause__ = error.__context__ = None
            return
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__


def without(secret: str, text: str | None) -> str | None:
    """Return a text without the secret, nor its beginning where the text was cut within it."""
    if not text or len(secret) < _SHORTEST:
        return text
    text = text.replace(secret, "***")
    while (start := text.find(secret[:_SHORTEST])) >= 0:
        end = start + _SHORTEST
        while end < len(text) and text[end] == secret[end - start]:
            end += 1
        text = f"{text[:start]}***{text[end:]}"
    return text
