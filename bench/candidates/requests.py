"""requests and the standard library's json, as most guides write it; it has no async client."""

import json
from collections.abc import Iterator
from typing import Any

import requests
from bench.answers import KEY, MODEL, messages


def _payload(number: int, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": messages(number), **more}


class Blocking:
    def __init__(self, url: str, authority: str | None) -> None:
        self._url = f"{url}/chat/completions"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {KEY}"
        self._session.verify = authority or True

    def call(self, number: int) -> str:
        answer = self._session.post(self._url, json=_payload(number), timeout=600)
        text: str = answer.json()["choices"][0]["message"]["content"]
        return text

    def stream(self, number: int) -> Iterator[str]:
        payload = _payload(number, stream=True, stream_options={"include_usage": True})
        with self._session.post(self._url, json=payload, timeout=600, stream=True) as answer:
            for line in answer.iter_lines(chunk_size=None):
                if line.startswith(b"data: ") and line != b"data: [DONE]":
                    choices = json.loads(line[6:])["choices"]
                    if choices and (text := choices[0]["delta"].get("content")):
                        yield text
