"""How a key is kept out of what a server, or what stands between, may have echoed: errors, logs and traces."""

from __future__ import annotations

import contextlib
import json
from base64 import b64decode
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from barechat.wire.request import mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from barechat.errors import BarechatError

# What is shorter stands for a key where none is needed ("none", "ollama"); it is in half of all sentences.
SHORTEST = 8
_HIDDEN = "***"


def secrets_of(headers: Mapping[str, str]) -> frozenset[str]:
    """Return what a request authenticates itself with, as far as it is long enough to be a secret."""
    found: set[str] = set()
    for name in _secret_names(tuple(headers)):
        found.update(_secrets_in(name, headers[name]))
    return frozenset(found)


def without(secrets: AbstractSet[str], text: str | None) -> str | None:
    """Return a text without the secrets, nor the beginning of one where the text was cut within it."""
    if not text or not any(map(text.__contains__, _heads(frozenset(secrets)))):
        return text
    text = without_whole(secrets, text)
    for form in _forms(secrets):
        while (start := text.find(form[:SHORTEST])) >= 0:
            end = start + SHORTEST
            while end < len(text) and text[end] == form[end - start]:
                end += 1
            text = f"{text[:start]}{_HIDDEN}{text[end:]}"
    return text


def without_whole(secrets: AbstractSet[str], text: str) -> str:
    """Return a text without the secrets that stand in it as a whole."""
    for form in _forms(secrets):
        text = text.replace(form, _HIDDEN)
    return text


def begun(secrets: AbstractSet[str], text: str) -> int:
    """Return how many of a text's last characters may be the beginning of a secret whose rest is still to come."""
    return max((_begun(form, text) for form in _forms(secrets)), default=0)


def redact(error: BarechatError, secrets: AbstractSet[str]) -> None:
    """Take the secrets out of an error's facts, and drop a foreign cause that tells one."""
    error.args = (without(secrets, str(error)),)
    error.code, error.type, error.param = (without(secrets, text) for text in (error.code, error.type, error.param))
    if error.body is not None:
        error.body = (without(secrets, error.body.decode("latin-1")) or "").encode("latin-1")
    # A foreign exception's words can't be changed for sure.
    if any(without(secrets, text) != text for cause in _causes(error) for text in _texts(cause)):
        error.__cause__ = error.__context__ = None


def _begun(form: str, text: str) -> int:
    start = text.find(form[0], max(len(text) - len(form) + 1, 0))
    while start >= 0 and not form.startswith(text[start:]):
        start = text.find(form[0], start + 1)
    return len(text) - start if start >= 0 else 0


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield all exceptions behind an error, each once: such chains can fork, and be rings."""
    seen, found = {id(error)}, [error.__cause__, error.__context__]
    while found:
        cause = found.pop()
        if cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            found += [cause.__cause__, cause.__context__]


def _texts(cause: BaseException) -> Iterator[str]:
    """Yield all that an exception shows: a decoder's holds the whole body, though its words don't quote it."""
    yield str(cause)
    for part in (*cause.args, *vars(cause).values()):
        yield part.decode("latin-1") if isinstance(part, bytes) else part if isinstance(part, str) else repr(part)


@lru_cache(256)
def _secret_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple([name for name, value in mask(dict.fromkeys(names, "")).items() if value])


@lru_cache(4)  # a few clients' keys, and no more: a key isn't to outlive its client by much
def _secrets_in(name: str, value: str) -> tuple[str, ...]:
    """Return a header's secrets, as in "Bearer SECRET"; in "Basic …", the password is one by itself."""
    scheme, _, secret = value.partition(" ") if name.lower().endswith("authorization") else ("", "", value)
    found = [secret.strip() or value]
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            found.append(b64decode(secret).decode().partition(":")[2])
    return tuple([part for part in found if len(part) >= SHORTEST])


def _forms(secrets: AbstractSet[str]) -> list[str]:
    return _forms_of_all(frozenset(secrets))


@lru_cache(4)  # likewise
def _forms_of_all(secrets: frozenset[str]) -> list[str]:
    """Return the secrets in all the ways in which they may be echoed, the longest first: one may begin another."""
    return sorted((form for secret in secrets for form in _forms_of(secret)), key=len, reverse=True)


@lru_cache(4)
def _heads(secrets: frozenset[str]) -> frozenset[str]:
    """Return how all forms begin: a text without any of these holds no secret, nor the beginning of one."""
    return frozenset(form[:SHORTEST] for form in _forms_of_all(secrets))


def _forms_of(secret: str) -> frozenset[str]:
    """Return a secret as it is, in JSON (a slash may be escaped there) and in a URL."""
    in_json = json.dumps(secret)[1:-1]
    in_url = quote(secret, safe="")
    return frozenset({secret, in_json, in_json.replace("/", "\\/"), in_url, in_url.replace("%2F", "/")})
