"""Which key, URLs, timeouts and proxies a client uses; the only reader of environment variables.

OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID, OPENAI_PROJECT_ID; AZURE_OPENAI_API_KEY, AZURE_OPENAI_ENDPOINT;
BARECHAT_PRICES, BARECHAT_LEDGER, BARECHAT_SESSIONS; HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY in either case;
SSL_CERT_FILE (and SSL_CERT_DIR, read by OpenSSL).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias
from urllib.parse import unquote_to_bytes, urlsplit

from barechat.errors import ConfigurationError

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network
    from typing import Final

OPENAI_URL = "https://api.openai.com/v1"


class _Default(float):
    """A number of seconds that nobody asked for."""


DEFAULT_TOTAL_S: Final = _Default(600.0)
_PROXY_ADVICE = "set it to http://host:port or https://host:port, or except the server in NO_PROXY"
_PORTS = {"http": 80, "https": 443}
_EXCEPTION = re.compile(r"(?:\[(?P<address>[^]]*)\]|(?P<name>[^:]*))(?::(?P<port>[0-9]+))?")
_ENDLESS_S = 1e9  # thirty years; sockets and locks refuse timeouts that are much longer


class TlsContext(Protocol):
    """An `ssl.SSLContext`, told by its shape: whoever needs no TLS needn't import ssl, and a browser has none."""

    def cert_store_stats(self) -> dict[str, int]:
        """Return how many certificates are trusted."""
        ...


Path: TypeAlias = str | os.PathLike[str]
Verify: TypeAlias = bool | Path | TlsContext
Certificate: TypeAlias = Path | tuple[Path, Path] | tuple[Path, Path, str | bytes | None]


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy: its URL without user and password, and apart from it, in no repr, what authenticates them."""

    url: str
    authorization: str | None = field(default=None, repr=False)

    @property
    def speaks_tls(self) -> bool:
        """Whether the way to the proxy itself is TLS."""
        return self.url.startswith("https:")

    @property
    def headers(self) -> dict[str, str]:
        """What authenticates a request to it."""
        return {} if self.authorization is None else {"Proxy-Authorization": self.authorization}


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
            f"no API key: set {variable}, to anything for a server that needs none; in Python, api_key=… goes before "
            "it, and api_key='' sends none"
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


def price_file() -> str:
    """Return the price file that BARECHAT_PRICES names, or ""."""
    return os.environ.get("BARECHAT_PRICES", "")


def ledger_file() -> str | None:
    """Return the command's ledger that BARECHAT_LEDGER names, "" for none, or None where it isn't set."""
    return os.environ.get("BARECHAT_LEDGER")


def sessions_directory() -> str:
    """Return the directory of the command's conversations that BARECHAT_SESSIONS names, or ""."""
    return os.environ.get("BARECHAT_SESSIONS", "")


def certificate_file() -> str:
    """Return the file of trusted certificates that SSL_CERT_FILE names, or ""."""
    return os.environ.get("SSL_CERT_FILE", "")


def proxy_for(scheme: str, host: str, port: int | None = None, given: str | None = None) -> Proxy | None:
    """Return the proxy for an origin, from the argument or the environment, or None. An explicit "" means: none.

    A proxy that is given stands for every origin, whatever NO_PROXY excepts.

    Raises:
        ConfigurationError: what is named is no http or https proxy. The message never shows it: it may hold a password.
    """
    if given is not None:
        if not isinstance(given, str):
            raise ConfigurationError(f"proxy must be a URL as a string, or None, not {type(given).__name__}")
        return _checked_proxy(given, "proxy") if given else None
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies_environment  # noqa: PLC0415 - 30 ms to import

    proxies = getproxies_environment()
    if _is_excepted(proxies.get("no", ""), host, port or _PORTS.get(scheme)):
        return None
    for kind in (scheme, "all"):
        if proxies.get(kind):
            return _checked_proxy(proxies[kind], f"{kind.upper()}_PROXY (or in lower case)")
    return None


def _is_excepted(exceptions: str, host: str, port: int | None) -> bool:
    """Say whether NO_PROXY excepts an origin: by its name or a domain above it, its address or network, or "*"."""
    host = host.lower().rstrip(".")
    address = _network(host)
    for entry in re.split(r"[\s,]+", exceptions.lower()):
        found = _EXCEPTION.fullmatch(entry)
        name = entry if found is None else found["address"] or found["name"]  # None: an IPv6 address without brackets
        if found is not None and found["port"] and int(found["port"]) != port:
            continue
        network = _network(name)
        if address is not None and network is not None:
            if address.version == network.version and address.network_address in network:
                return True
            continue
        domain = name.removeprefix("*").strip(".")
        if name == "*" or (domain and (host == domain or host.endswith(f".{domain}"))):
            return True
    return False


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """Return an address or a network, or None if it is a name."""
    if not text[-1:].isdigit() and ":" not in text:
        return None
    from ipaddress import ip_network  # noqa: PLC0415 - most hosts are names

    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _checked_proxy(value: str, name: str) -> Proxy:
    """Return a proxy, its scheme http where it has none, as curl takes it."""
    url = value if "://" in value else f"http://{value}"
    scheme = url.partition("://")[0].lower()
    if scheme.startswith("socks"):
        raise ConfigurationError(f"{name} names a SOCKS proxy, which isn't supported: {_PROXY_ADVICE}")
    if scheme not in {"http", "https"}:
        raise ConfigurationError(f"{name} is of a kind that isn't supported: {_PROXY_ADVICE}")
    host, port, user, at = "", None, "", ""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = f"[{host.encode('ascii').decode()}]" if ":" in host else host.encode("idna").decode()
        user, at, _ = parts.netloc.rpartition("@")
    except ValueError:
        host = ""  # and no cause: what urlsplit quotes may be a part of the password
    if not host or port == 0 or not url.isprintable() or " " in url:
        raise ConfigurationError(f"{name} has no host or port that can be read: {_PROXY_ADVICE}")
    return Proxy(f"{scheme}://{host}{'' if port is None else f':{port}'}", _basic(user) if at else None)


def _basic(credentials: str) -> str:
    """Return what authenticates a user and password of a URL, as curl sends it: their bytes, percent-decoded."""
    from base64 import b64encode  # noqa: PLC0415 - most need none

    user, _, password = credentials.partition(":")
    return f"Basic {b64encode(unquote_to_bytes(user) + b':' + unquote_to_bytes(password)).decode()}"
