"""Short ways to build a request."""

from __future__ import annotations

from typing import Any

import msgspec

from barechat.wire import request as wire

KEY = "sk-secret-0123456789"
BASE = "https://api.example.com/v1"
HI = [{"role": "user", "content": "Hi"}]


def endpoint(base: str = BASE, key: str = KEY, token: Any = None, **headers: str) -> wire.Endpoint:
    return wire.openai_endpoint(base, key, token, headers)


def azure(url: str, deployment: Any = None, version: Any = None, token: Any = None) -> wire.Endpoint:
    return wire.azure_endpoint(url, deployment, version, "" if token else KEY, token, {})


def build(messages: Any = "Hi", *, at: wire.Endpoint | None = None, **options: Any) -> wire.Request:
    settings: dict[str, Any] = {"model": "gpt-4o-mini", "extra": None, "headers": None, "streamed": False}
    settings |= {name: options.pop(name) for name in list(options) if name in (*settings, "ask_usage")}
    settings.setdefault("ask_usage", True)
    return wire.build(at or endpoint(), messages, parameters=options, **settings)


def sent(request: wire.Request) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(request.body)
    assert found == request.payload
    return found
