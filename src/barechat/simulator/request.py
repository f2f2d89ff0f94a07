"""What was asked? A request's bytes, path and key as facts that the other files judge."""

import hashlib
import urllib.parse
from typing import Any

import msgspec

# Neither changes what is said, only how it is sent: a whole and a streamed answer have the same text.
_DELIVERY_ONLY = ("stream", "stream_options")
_SUFFIX = "/chat/completions"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request to the chat completions endpoint.

    `body` is None when the bytes are no JSON object, and `json` says whether they were JSON at all.
    `digest` names the same request sent again, streamed or not.
    """

    body: dict[str, Any] | None
    json: bool
    digest: bytes
    key: str | None = None

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
    def max_tokens(self) -> int | None:
        """The most tokens that each choice may have."""
        limits = (self.get("max_completion_tokens"), self.get("max_tokens"))
        return next((limit for limit in limits if isinstance(limit, int)), None)

    @property
    def texts(self) -> list[str]:
        """The text of each message, in order; "" where there is none."""
        messages = self.get("messages")
        return [_text_of(message) for message in messages] if isinstance(messages, list) else []


def is_chat_path(path: str) -> bool:
    """Say whether a (still percent-encoded) path is a chat completions endpoint, under any prefix."""
    return path.endswith(_SUFFIX)


def read_request(raw: bytes, path: str, key: str | None = None) -> Request:
    """Read a request's body; an Azure deployment in the path is the model of a body that names none."""
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return Request(body=None, json=False, digest=hashlib.sha256(raw).digest(), key=key)
    if not isinstance(body, dict):
        return Request(body=None, json=True, digest=hashlib.sha256(raw).digest(), key=key)
    if body.get("model") is None and (deployment := _deployment(path)):
        body["model"] = deployment
    said = {name: value for name, value in body.items() if name not in _DELIVERY_ONLY}
    canonical = msgspec.json.encode(said, order="deterministic")
    return Request(body=body, json=True, digest=hashlib.sha256(canonical).digest(), key=key)


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


def _text_of(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(part for part in parts if isinstance(part, str))
