"""What was asked? A request's bytes, path and key as facts that the other files judge."""

import functools
import hashlib
import urllib.parse
from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

# Neither changes what is said, only how it is sent: a whole and a streamed answer have the same text.
_DELIVERY_ONLY = ("stream", "stream_options")
_SUFFIX: Final = "/chat/completions"
_MODELS: Final = "/models"
# What a prompt costs in the simulator: a token a word, three a message, and round figures for what isn't text.
_MESSAGE_TOKENS: Final = 3
_LOW_DETAIL_IMAGE_TOKENS: Final = 85
_IMAGE_TOKENS: Final = 765
_AUDIO_TOKENS: Final = 100
_FILE_TOKENS: Final = 500
_BYTES_A_TOOL_TOKEN: Final = 4


class Request(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One request to the chat completions endpoint.

    `body` is None when the bytes are no JSON object, and `json` says whether they were JSON at all.
    `digest` names the same request sent again, streamed or not; `reused` says whether its connection had carried
    another before.
    """

    body: dict[str, Any] | None
    json: bool
    digest: bytes
    key: str | None = None
    reused: bool = False

    def get(self, name: str) -> Any:
        """Return a parameter's value, None when it is absent, null or the body is no object."""
        return None if self.body is None else self.body.get(name)

    @property
    def model(self) -> str | None:
        """The model asked for, when it is named by a string."""
        model = self.get("model")
        return model if isinstance(model, str) else None

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return self.get("stream") is True

    @property
    def include_usage(self) -> bool:
        """Whether the stream is to end with the usage."""
        options = self.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    @property
    def include_obfuscation(self) -> bool:
        """Whether a stream's chunks may be padded, as they are unless the request says otherwise."""
        options = self.get("stream_options")
        return not isinstance(options, dict) or options.get("include_obfuscation") is not False

    def without(self, names: Collection[str]) -> "Request":
        """Return the request with some parameters passed over."""
        if self.body is None or not any(name in self.body for name in names):
            return self
        return msgspec.structs.replace(
            self, body={name: value for name, value in self.body.items() if name not in names}
        )

    @property
    def count(self) -> int:
        """How many choices are wanted."""
        count = self.get("n")
        return count if isinstance(count, int) and count > 0 else 1

    @property
    def max_tokens(self) -> int | None:
        """The most tokens that each choice may have."""
        limits = (self.get("max_completion_tokens"), self.get("max_tokens"))
        return next((limit for limit in limits if isinstance(limit, int)), None)

    @functools.cached_property
    def messages(self) -> list[dict[str, Any]]:
        """The messages that are objects, in order."""
        messages = self.get("messages")
        return [one for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []

    @functools.cached_property
    def texts(self) -> list[str]:
        """The text of each message, in order; "" where there is none."""
        return [_text_of(message) for message in self.messages]

    @property
    def prompt(self) -> str:
        """The text of the last user message, "" without one."""
        turns = zip(reversed(self.messages), reversed(self.texts), strict=True)
        return next((text for message, text in turns if message.get("role") == "user"), "")

    @functools.cached_property
    def prompt_tokens(self) -> int:
        """What the prompt counts: its words, and round figures for images, audio, files and tools."""
        words = sum(_MESSAGE_TOKENS + len(text.split()) for text in self.texts)
        tools = [self.get(name) for name in ("tools", "functions") if self.get(name)]
        schemas = len(msgspec.json.encode(tools)) // _BYTES_A_TOOL_TOKEN if tools else 0
        return _MESSAGE_TOKENS + words + sum(map(_part_tokens, self._parts())) + schemas

    @property
    def prompt_audio_tokens(self) -> int:
        """How many of the prompt's tokens are audio."""
        return sum(_AUDIO_TOKENS for part in self._parts() if part.get("type") == "input_audio")

    def _parts(self) -> Iterator[dict[str, Any]]:
        for message in self.messages:
            content = message.get("content")
            if isinstance(content, list):
                yield from (part for part in content if isinstance(part, dict))


def is_chat_path(path: str) -> bool:
    """Say whether a (still percent-encoded) path is a chat completions endpoint, under any prefix."""
    return path.endswith(_SUFFIX)


def methods_of(path: str) -> tuple[str, ...]:
    """Return the methods that a (still percent-encoded) path takes, none if there is nothing at it."""
    if is_chat_path(path):
        return ("POST",)
    return () if find_models_path(path) is None else ("GET", "HEAD")


def find_models_path(path: str) -> str | None:
    """Return the model that a (still percent-encoded) path of the models endpoint names, "" for the whole list.

    None for any other path.
    """
    if path.endswith(_MODELS):
        return ""
    _, found, name = path.rpartition(f"{_MODELS}/")
    return urllib.parse.unquote(name) if found else None


def read_request(raw: bytes, path: str, key: str | None = None, *, reused: bool = False) -> Request:
    """Read a request's body; an Azure deployment in the path is the model of a body that names none."""
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return Request(body=None, json=False, digest=hashlib.sha256(raw).digest(), key=key, reused=reused)
    if not isinstance(body, dict):
        return Request(body=None, json=True, digest=hashlib.sha256(raw).digest(), key=key, reused=reused)
    if body.get("model") is None and (deployment := _deployment(path)):
        body["model"] = deployment
    said = {name: value for name, value in body.items() if name not in _DELIVERY_ONLY}
    canonical = msgspec.json.encode(said, order="deterministic")
    return Request(body=body, json=True, digest=hashlib.sha256(canonical).digest(), key=key, reused=reused)


def find_key(authorization: str | None, api_key: str | None) -> str | None:
    """Return the key that the request carries, as `Authorization: Bearer KEY` or Azure's `api-key: KEY`."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return api_key or None


def _deployment(path: str) -> str | None:
    """Return the deployment in `…/openai/deployments/{deployment}/chat/completions`."""
    _, found, deployment = path.removesuffix(_SUFFIX).rpartition("/openai/deployments/")
    return urllib.parse.unquote(deployment) if found and "/" not in deployment else None


def _part_tokens(part: dict[str, Any]) -> int:
    kind = part.get("type")
    if kind == "image_url":
        image = part.get("image_url")
        is_low = isinstance(image, dict) and image.get("detail") == "low"
        return _LOW_DETAIL_IMAGE_TOKENS if is_low else _IMAGE_TOKENS
    return {"input_audio": _AUDIO_TOKENS, "file": _FILE_TOKENS}.get(str(kind), 0)


def _text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(part for part in parts if isinstance(part, str))
