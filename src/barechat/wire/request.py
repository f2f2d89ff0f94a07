"""How messages and parameters become a checked request: URL, headers, JSON body, and the same as a curl command.

Sources: https://platform.openai.com/docs/api-reference/chat/create and, for Azure's two URL forms,
https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn
from urllib.parse import quote, urlsplit

import msgspec

from barechat import __version__
from barechat.errors import ConfigurationError, ParameterError
from barechat.notices import warn
from barechat.parameters import shown
from barechat.records import Message
from barechat.wire.body import plain, spelt

_EXAMPLE_URL = "https://api.openai.com/v1"
Token = Callable[[], str | Awaitable[str]]
Messages = str | Sequence[Mapping[str, Any] | Message]

_LOOPBACK = re.compile(r"localhost|127(\.[0-9]+){3}|\[?::1\]?")
# OpenAI's reasoning models refuse max_tokens, whatever stands before their names.
_REFUSES_MAX_TOKENS = re.compile(r"(?:.*[/:])?(?:o[1-9]|gpt-[5-9]|gpt-[1-9][0-9])(?:[-.:].*)?")
_SECRET_HEADER = re.compile(
    r"authorization|proxy-authorization|cookie|set-cookie|(?:.*-)?(?:key|token|secret)", re.IGNORECASE
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OUR_HEADERS = frozenset({"content-length", "transfer-encoding"})
_SPELLING = {name.lower(): name for name in ("Authorization", "Proxy-Authorization", "X-Client-Request-Id", "api-key")}
_SEGMENT_SAFE = "!$&'()*+,;=:@"  # RFC 3986, section 3.3: what a path's segment may hold besides letters and digits
_MESSAGE_DEPTH = 4  # messages, a message, its content, a part, the part's text


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where requests go, and how they say who sends them. `key` and `token` are in no repr, and it doesn't pickle.

    `style` is openai (`{base}/chat/completions`), azure (classic: the deployment in the path and an api-version in the
    query) or azure-v1 (`{base}/chat/completions`, the deployment as the body's model).
    """

    base: str
    style: Literal["openai", "azure", "azure-v1"] = "openai"
    key: str = field(default="", repr=False)
    token: Token | None = field(default=None, repr=False)
    deployment: str | None = None
    api_version: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # the caller's
    whole_headers: Mapping[str, str] = field(init=False, repr=False)  # of every request for a whole reply
    stream_headers: Mapping[str, str] = field(init=False, repr=False)  # of every request for a stream

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole_headers", _merged(_common_headers("application/json"), self.headers))
        object.__setattr__(self, "stream_headers", _merged(_common_headers("text/event-stream"), self.headers))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client holds the key, and doesn't pickle; make one where it is needed")

    def url(self, model: str | None) -> str:
        """Return the URL that a call of `model` is posted to."""
        query = f"?api-version={quote(self.api_version, safe='')}" if self.api_version else ""
        if self.style != "azure":
            return f"{self.base}/chat/completions{query}"
        deployment = self.deployment or model
        if not deployment:
            raise ParameterError("no deployment: pass model=…, or deployment=… to Client.azure", param="model")
        if deployment in {".", ".."}:
            raise ParameterError(f"the deployment {deployment!r} would change the URL's path", param="model")
        return f"{self.base}/openai/deployments/{quote(deployment, safe=_SEGMENT_SAFE)}/chat/completions{query}"

    def credentials(self, token: str | None = None) -> dict[str, str]:
        """Return the header that carries the key, or the token that was asked for this attempt; {} for neither."""
        if token is not None:
            return {"Authorization": f"Bearer {token}"}
        if not self.key:
            return {}
        return {"Authorization": f"Bearer {self.key}"} if self.style == "openai" else {"api-key": self.key}


def openai_endpoint(base: str, key: str, token: Token | None, headers: Mapping[str, str]) -> Endpoint:
    """Check a base URL and return its endpoint."""
    return Endpoint(base=_checked_url(base, "base_url"), key=key, token=token, headers=check_headers(headers))


def azure_endpoint(
    endpoint: str,
    deployment: str | None,
    api_version: str | None,
    key: str,
    token: Token | None,
    headers: Mapping[str, str],
) -> Endpoint:
    """Return an Azure endpoint: v1 without an api_version, or where the endpoint's own path ends in /openai/v1."""
    base = _checked_url(endpoint, "endpoint")
    for name, value in (("deployment", deployment), ("api_version", api_version)):
        if value is not None and not (isinstance(value, str) and value.isprintable()):
            raise ConfigurationError(f"{name} must be a string of printable characters, not {shown(value)}")
    is_v1 = base.endswith("/openai/v1")
    if not api_version and not is_v1:
        base, is_v1 = f"{base}/openai/v1", True
    return Endpoint(
        base=base,
        style="azure-v1" if is_v1 else "azure",
        key=key,
        token=token,
        deployment=deployment,
        api_version=api_version,
        headers=check_headers(headers),
    )


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request, ready but for the headers that are new with each attempt."""

    url: str
    headers: Mapping[str, str]
    payload: Mapping[str, Any]
    body: bytes
    model: str
    streamed: bool
    asks_usage: bool  # we added stream_options by ourselves, and may take it back

    @property
    def n(self) -> int | None:
        """How many choices were asked for; None if the request doesn't say."""
        n = self.payload.get("n")
        return n if isinstance(n, int) else None

    def __repr__(self) -> str:
        return f"<Request of {self.model} to {self.url}>"  # its headers may hold secrets, and its body what is private

    def without_usage(self) -> Request:
        """Return the same request without the stream_options that we had added."""
        payload = dict(self.payload)
        options = {name: value for name, value in payload.pop("stream_options").items() if name != "include_usage"}
        if options:
            payload["stream_options"] = options
        return msgspec.structs.replace(self, payload=payload, body=msgspec.json.encode(payload), asks_usage=False)


def build(
    endpoint: Endpoint,
    messages: Messages,
    model: str | None,
    parameters: Mapping[str, Any],
    extra: Mapping[str, Any] | None,
    headers: Mapping[str, str] | None,
    *,
    streamed: bool,
    ask_usage: bool,
) -> Request:
    """Return the request for a chat call whose parameters have been checked.

    Raises:
        ParameterError: a message, parameter or header can't be sent; it names which.
    """
    payload: dict[str, Any] = {"model": _checked_model(endpoint, model), "messages": checked_messages(messages)}
    if payload["model"] is None:
        del payload["model"]
    payload.update(parameters)
    _use_current_limit_name(payload, endpoint.deployment)
    _expand_json_mode(payload)
    if extra is not None:
        if not isinstance(extra, Mapping):
            raise ParameterError(f"extra must be a dict, not {type(extra).__name__}", param="extra")
        payload.update(extra)
    return seal(endpoint, payload, headers, streamed=streamed, ask_usage=ask_usage)


def seal(
    endpoint: Endpoint,
    payload: Mapping[str, Any],
    headers: Mapping[str, str] | None,
    *,
    streamed: bool,
    ask_usage: bool = False,
    is_plain: bool = False,
) -> Request:
    """Return the request that carries `payload`, with `stream` set as the call needs it.

    is_plain: whether it has been through `plain` already, and will not change.

    Raises:
        ParameterError: something in it can't be sent; it names what.
    """
    body: dict[str, Any] = dict(payload) if is_plain else plain(payload, "")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ParameterError("messages must be a list with at least one message", param="messages")
    model = body.get("model") or endpoint.deployment
    if not isinstance(model, str):
        raise ParameterError(f"model must be a string, not {shown(model)}", param="model")
    if endpoint.style == "azure-v1":
        body["model"] = model
    if streamed:
        body["stream"] = True
    elif body.get("stream"):
        raise ParameterError("this call is for whole replies: leave stream out, or call stream(…)", param="stream")
    options = body.get("stream_options", {})
    asks_usage = streamed and ask_usage and isinstance(options, dict) and "include_usage" not in options
    if asks_usage:
        body["stream_options"] = {**options, "include_usage": True}
    common = endpoint.stream_headers if streamed else endpoint.whole_headers
    return Request(
        url=endpoint.url(model),
        headers=common if headers is None else _merged(common, check_headers(headers)),
        payload=body,
        body=msgspec.json.encode(body),
        model=model,
        streamed=streamed,
        asks_usage=asks_usage,
    )


def curl(endpoint: Endpoint, request: Request) -> str:
    """Return the request as a curl command for a POSIX shell, the key as a variable of the environment."""
    variable = "OPENAI_API_KEY" if endpoint.style == "openai" else "AZURE_OPENAI_API_KEY"
    shown = replace(endpoint, key=f"${variable}" if endpoint.key else "")
    token = f"${variable}" if endpoint.style == "openai" else "$AZURE_OPENAI_TOKEN"
    credentials = shown.credentials(token if endpoint.token else None)
    lines = ["curl --no-buffer" if request.streamed else "curl", _quoted(request.url)]
    lines += [f'-H "{name}: {value}"' for name, value in credentials.items()]
    lines += [f"-H {_quoted(f'{name}: {value}')}" for name, value in mask(request.headers).items()]
    lines.append(f"--data-binary {_quoted(request.body.decode())}")
    return f"{lines[0]} " + " \\\n  ".join(lines[1:])


def mask(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with every secret's value replaced."""
    return {name: "***" if _SECRET_HEADER.fullmatch(name) else value for name, value in headers.items()}


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's headers, or raise ParameterError for one that HTTP can't carry. No value is shown."""
    if not isinstance(headers, Mapping):
        raise ParameterError(f"headers must be a dict, not {type(headers).__name__}", param="headers")
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ParameterError(f"headers: {shown(name)} is no header name", param="headers")
        if name.lower() in _OUR_HEADERS:
            raise ParameterError(f"headers: {name} follows from the body; leave it out", param="headers")
        if not isinstance(value, str) or not value.isprintable() or not _fits_latin1(value):
            raise ParameterError(f"headers: the value of {name} must be a string of one line", param="headers")
    return dict(headers)


def _common_headers(accept: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Accept": accept,
        "Accept-Encoding": "identity",  # so that a trace can be read; gzip is understood all the same
        "User-Agent": f"barechat/{__version__}",
    }


def _merged(*sources: Mapping[str, str]) -> dict[str, str]:
    """Return headers as one dict, in which a later one replaces its namesake of any case."""
    merged: dict[str, tuple[str, str]] = {}
    for source in sources:
        for name, value in source.items():
            lower = name.lower()
            merged[lower] = (_SPELLING.get(lower, name), value)
    return dict(merged.values())


def is_plain_remote(url: str) -> bool:
    """Say whether a URL would carry the key unencrypted to another machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not _LOOPBACK.fullmatch(parts.hostname or "")


def _fits_latin1(text: str) -> bool:
    return all(ord(character) < 256 for character in text)  # noqa: PLR2004 - Latin-1's size


def _checked_url(url: str, name: str) -> str:
    """Return an http(s) URL without its trailing slash."""
    if not isinstance(url, str):
        raise ConfigurationError(f"{name} must be a string, not {type(url).__name__}")
    try:
        parts = urlsplit(url)
        port_is_sound = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ConfigurationError(f"{name} is not a URL: its host or port can't be read") from error
    # No message shows the value: it might be the key, passed in the wrong place.
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_sound:
        raise ConfigurationError(f"{name} must begin with https:// (or http://) and a host, as in {_EXAMPLE_URL}")
    if parts.username is not None or not url.isprintable() or any(character in url for character in "?# "):
        raise ConfigurationError(f"{name} must be a plain URL: no user, query, fragment or space in it")
    if ":" not in parts.hostname:  # an IPv6 address has no labels
        try:
            parts.hostname.encode("idna")
        except UnicodeError as error:
            raise ConfigurationError(
                f"{name} has a host that DNS can't carry: a part between its dots is empty, longer than 63 characters "
                "or of characters that no name may have"
            ) from error
    return url.rstrip("/")


def _checked_model(endpoint: Endpoint, model: str | None) -> str | None:
    if model is None and endpoint.deployment is not None:
        return None  # the URL names it, or `seal` does
    if not isinstance(model, str) or not model:
        raise ParameterError(f"model must be the name of a model, not {shown(model)}", param="model")
    return model


def checked_messages(messages: Messages) -> list[Any]:
    """Return the messages as a list, each with a role and a content that JSON can carry, strings in it as parts."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    if not isinstance(messages, (list, Sequence)) or isinstance(messages, (bytes, bytearray)):
        raise ParameterError(
            f"messages must be a string or a list of messages, not {type(messages).__name__}", param="messages"
        )
    checked: list[Any] = []
    for position, message in enumerate(messages):
        facts = message if type(message) is dict else _facts_of(message, f"messages[{position}]")
        role, content = facts.get("role"), facts.get("content")
        if not isinstance(role, str) or not role:
            where = f"messages[{position}].role"
            raise ParameterError(f"{where} must be a word such as 'user', not {shown(role)}", param=where)
        is_text = content is None or isinstance(content, str)
        new = content if is_text else _checked_parts(content, f"messages[{position}].content")
        checked.append(message if new is content else {**facts, "content": new})
    return checked


def _facts_of(message: Any, where: str) -> Mapping[str, Any]:
    if isinstance(message, Message):
        return spelt(message, where)
    if not isinstance(message, Mapping):
        raise ParameterError(f"{where} must be a dict with a role, not {type(message).__name__}", param=where)
    return message


def _checked_parts(content: Any, where: str) -> Any:
    if not isinstance(content, Sequence) or isinstance(content, (bytes, bytearray, memoryview)):
        kind = type(content).__name__
        raise ParameterError(f"{where} must be a string, a list of parts or None, not {kind}", param=where)
    for position, part in enumerate(content):
        if not isinstance(part, (Mapping, str)):
            where = f"{where}[{position}]"
            kind = type(part).__name__
            raise ParameterError(f"{where} must be a string or a dict with a type, not {kind}", param=where)
    if not any(isinstance(part, str) for part in content):
        return content
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]


def _use_current_limit_name(payload: dict[str, Any], deployment: str | None) -> None:
    """Send max_tokens under its new name where the model refuses the old one."""
    model = payload.get("model") or deployment
    if "max_tokens" in payload and isinstance(model, str) and _REFUSES_MAX_TOKENS.fullmatch(model):
        payload["max_completion_tokens"] = payload.pop("max_tokens")
        warn(f"{model} refuses max_tokens; sent as max_completion_tokens, which counts reasoning tokens too")


def _expand_json_mode(payload: dict[str, Any]) -> None:
    """Expand response_format's short forms, and hold JSON mode to the API's condition."""
    shape = payload.get("response_format")
    if shape is None:
        return
    if isinstance(shape, str):
        kinds = {"json": "json_object", "json_object": "json_object", "text": "text"}
        if shape not in kinds:
            raise ParameterError(
                f"response_format must be 'json', 'text' or a dict, not {shape!r}", param="response_format"
            )
        payload["response_format"] = shape = {"type": kinds[shape]}
    if isinstance(shape, Mapping) and shape.get("type") == "json_object" and not _says_json(payload["messages"]):
        raise ParameterError(
            "JSON mode needs a message that says JSON, as the API demands: tell the model, in a system or user "
            "message, to answer in JSON",
            param="messages",
        )


def _says_json(value: Any, depth: int = 0) -> bool:
    if isinstance(value, str):
        return "json" in value.lower()
    if depth == _MESSAGE_DEPTH:  # no message is deeper, unless it holds itself
        return False
    if isinstance(value, Message):
        return _says_json(value.content, depth + 1)
    if isinstance(value, Mapping):
        return any(_says_json(value.get(name), depth + 1) for name in ("content", "text"))
    return isinstance(value, Sequence) and any(_says_json(item, depth + 1) for item in value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
