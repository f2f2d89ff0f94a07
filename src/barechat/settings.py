"""Which key, URLs, timeouts and proxies a client uses; the only reader of environment variables.

OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID, OPENAI_PROJECT_ID; AZURE_OPENAI_API_KEY, AZURE_OPENAI_ENDPOINT;
HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY in either case.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from barechat.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import Final

OPENAI_URL = "https://api.openai.com/v1"


class _Default(float):
    """A number of seconds that nobody asked for."""


DEFAULT_TOTAL_S: Final = _Default(600.0)
_PROXY_ADVICE = "set it to http://host:port or https://host:port, or except the server in NO_PROXY"
_ENDLESS_S = 1e9  # thirty years; sockets and locks refuse timeouts that are much longer


@dataclass(frozen=True, init=False)
class Timeouts:
    """How long each part of a call may take, in seconds; None for no limit.

    connect_s: name resolution, TCP, proxy and TLS.
    first_byte_s: from sending a streamed request to its answer's first byte. A whole reply's first byte comes only
        when generation is done, so it has no such limit.
    idle_s: between two data events of a stream; keep-alive comments don't count.
    total_s: the whole call, all attempts and waits. 600 for whole replies; for streams only if given.

    Time spent in the caller's own loop counts towards none of them.
    """

    connect_s: float | None
    first_byte_s: float | None
    idle_s: float | None
    total_s: float | None

    def __init__(
        self,
        connect_s: float | None = 10.0,
        first_byte_s: float | None = 300.0,
        idle_s: float | None = 300.0,
        total_s: float | None = DEFAULT_TOTAL_S,
    ) -> None:
        given = {"connect_s": connect_s, "first_byte_s": first_byte_s, "idle_s": idle_s, "total_s": total_s}
        for name, value in given.items():
            if value is not None and not (_is_number(value) and value > 0):
                raise ConfigurationError(
                    f"Timeouts: {name} must be a number of seconds above 0, or None, not {value!r}"
                )
            if value is None or value > _ENDLESS_S:
                object.__setattr__(self, name, None)
            else:
                object.__setattr__(self, name, value if isinstance(value, _Default) else float(value))

    @property
    def stream_total_s(self) -> float | None:
        """How long a whole stream may take: `total_s` if it was asked for, else without limit."""
        return None if isinstance(self.total_s, _Default) else self.total_s


@dataclass(frozen=True, kw_only=True)
class Caps:
    """The most that is held in memory of one answer: its whole body, and one line of a stream, in bytes."""

    body_bytes: int = 64 * 2**20
    line_bytes: int = 16 * 2**20

    def __post_init__(self) -> None:
        for name, value in (("body_bytes", self.body_bytes), ("line_bytes", self.line_bytes)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigurationError(f"Caps: {name} must be a whole number of bytes above 0, not {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def api_key(given: str | None, variable: str = "OPENAI_API_KEY") -> str:
    """Return the key, from the argument or the environment. An explicit "" means: send none.

    Raises:
        ConfigurationError: there is no key, or it can't be sent in a header. The message never shows it.
    """
    key = given if given is not None else os.environ.get(variable, "")
    if given is None and not key:
        raise ConfigurationError(
            f"no API key: set {variable}, or pass api_key=…; for a server that needs none, pass api_key=''"
        )
    if not isinstance(key, str):
        raise ConfigurationError(f"api_key must be a string, not {type(key).__name__}")
    if key != key.strip() or not key.isascii() or not key.isprintable():
        raise ConfigurationError(
            "the API key has a space or line break at an end, or a character that no header can carry: "
            "was it read from a file? strip it"
        )
    return key


def base_url(given: str | None) -> str:
    """Return the base URL, from the argument, OPENAI_BASE_URL, or OpenAI's own."""
    return given if given is not None else os.environ.get("OPENAI_BASE_URL") or OPENAI_URL


def azure_endpoint(given: str | None) -> str:
    """Return the Azure endpoint, from the argument or AZURE_OPENAI_ENDPOINT."""
    endpoint = given if given is not None else os.environ.get("AZURE_OPENAI_ENDPOINT", "")
    if not endpoint:
        raise ConfigurationError("no Azure endpoint: set AZURE_OPENAI_ENDPOINT, or pass endpoint='https://…'")
    return endpoint


def account_headers(organization: str | None, project: str | None) -> dict[str, str]:
    """Return the headers that name an organization and a project, from the arguments or the environment."""
    names = {
        "OpenAI-Organization": organization if organization is not None else os.environ.get("OPENAI_ORG_ID"),
        "OpenAI-Project": project if project is not None else os.environ.get("OPENAI_PROJECT_ID"),
    }
    return {name: value for name, value in names.items() if value}


def proxy_for(scheme: str, host: str) -> str | None:
    """Return the URL of the proxy that the environment names for an origin, or None.

    Raises:
        ConfigurationError: what it names is no http or https proxy. The message never shows it: it may hold a password.
    """
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]  # noqa: PLC0415 - 30 ms to import; typeshed lacks the second

    proxies = getproxies_environment()
    if proxy_bypass_environment(host, proxies):
        return None
    for kind in (scheme, "all"):
        if proxies.get(kind):
            return _checked_proxy(proxies[kind], f"{kind.upper()}_PROXY")
    return None


def _checked_proxy(value: str, variable: str) -> str:
    """Return a proxy's URL, its scheme http where it has none, as curl takes it."""
    url = value if "://" in value else f"http://{value}"
    scheme = url.partition("://")[0].lower()
    if scheme not in {"http", "https"}:
        raise ConfigurationError(f"{variable} (or in lower case) is of a kind that isn't supported: {_PROXY_ADVICE}")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host.encode("ascii" if ":" in host else "idna")
        is_sound = bool(host) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        is_sound = False  # and no cause: what urlsplit quotes may be a part of the password
    if not is_sound:
        raise ConfigurationError(f"{variable} (or in lower case) has no host or port that can be read: {_PROXY_ADVICE}")
    return url
