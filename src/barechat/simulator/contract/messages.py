"""What is a message made of? The shapes of the roles' messages, their content parts and tool calls.

After the API's official description, and stricter where the API is known to be: names, and the lengths of ids.
Whether content may be left out depends on the other members, which is judged elsewhere, after all shapes.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from barechat.simulator.contract.shapes import Array, Choice, Either, Nullable, Object, Shape, Tagged, Text, object_of
from barechat.simulator.contract.wording import Path, Refusal, param_of

LONGEST_NAME: Final = 64
TEXT: Final = Text()
FUNCTION_NAME: Final = Text(pattern=re.compile(r"^[a-zA-Z0-9_-]+$"), is_filled=True, longest=LONGEST_NAME)

_WEB_ADDRESS: Final = re.compile(r"https?://[^\s/?#]\S*", re.IGNORECASE)
_DATA_URL: Final = re.compile(r"data:([^;,]*)[^,]*,.*", re.IGNORECASE | re.DOTALL)


class _ImageAddress(msgspec.Struct, frozen=True):
    """The address of an image: a web address, or the image itself as a data URL."""

    kind: str = "a string"

    def find_fault(self, value: Any, path: Path) -> Refusal | None:
        """Refuse other types, data URLs of something else, and what is neither."""
        if type(value) is not str:
            return TEXT.find_fault(value, path)
        data = _DATA_URL.fullmatch(value)
        if _WEB_ADDRESS.fullmatch(value) or (data is not None and data[1].lower().startswith("image/")):
            return None
        got = "a value without the 'data:' prefix" if data is None else f"unsupported MIME type '{data[1]}'"
        param = param_of(path)
        return Refusal(
            message=f"Invalid image URL: '{param}'. Expected a base64-encoded data URL with an image MIME type "
            f"(e.g. 'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU='), but got {got}.",
            param=param,
            code="invalid_value",
        )


_speaker: Final = Text(pattern=re.compile(r"^[^\s<|\\/>]+$"), is_filled=True, longest=LONGEST_NAME)
_call_id: Final = Text(longest=40)
_breakpoint: Final = object_of({"mode": Choice(("explicit",))}, "mode")


def _part(name: str, shape: Shape) -> Object:
    return object_of({name: shape, "prompt_cache_breakpoint": _breakpoint}, name)


def _content(parts: Mapping[str, Object]) -> Either:
    return Either(
        shapes={str: TEXT, list: Array(item=Tagged(shapes=parts), is_filled=True)},
        kind="one of a string or array of objects",
    )


_text_part: Final = {"text": _part("text", TEXT)}
_user_parts: Final = {
    **_text_part,
    "image_url": _part(
        "image_url", object_of({"url": _ImageAddress(), "detail": Choice(("auto", "low", "high"))}, "url")
    ),
    "input_audio": _part("input_audio", object_of({"data": TEXT, "format": Choice(("wav", "mp3"))}, "data", "format")),
    "file": _part("file", object_of({"filename": TEXT, "file_data": TEXT, "file_id": TEXT}, is_closed=True)),
}
_assistant_parts: Final = {**_text_part, "refusal": object_of({"refusal": TEXT}, "refusal")}

PLAIN_CONTENT: Final = _content(_text_part)

_tool_call: Final = Tagged(
    shapes={
        "function": object_of(
            {
                "id": _call_id,
                "function": object_of({"name": FUNCTION_NAME, "arguments": TEXT}, "name", "arguments"),
            },
            *("id", "function"),
        ),
        "custom": object_of(
            {"id": _call_id, "custom": object_of({"name": FUNCTION_NAME, "input": TEXT}, "name", "input")},
            *("id", "custom"),
        ),
    }
)

MESSAGE: Final = Tagged(
    tag="role",
    shapes={
        "system": object_of({"content": Nullable(PLAIN_CONTENT), "name": _speaker}),
        "assistant": object_of(
            {
                "content": Nullable(_content(_assistant_parts)),
                "refusal": Nullable(TEXT),
                "name": _speaker,
                "audio": Nullable(object_of({"id": TEXT}, "id")),
                "tool_calls": Array(item=_tool_call, is_filled=True),
                "function_call": Nullable(object_of({"arguments": TEXT, "name": FUNCTION_NAME}, "arguments", "name")),
            }
        ),
        "user": object_of({"content": Nullable(_content(_user_parts)), "name": _speaker}),
        "function": object_of({"content": Nullable(TEXT), "name": FUNCTION_NAME}, "content", "name"),
        "tool": object_of({"content": Nullable(PLAIN_CONTENT), "tool_call_id": _call_id}, "tool_call_id"),
        "developer": object_of({"content": PLAIN_CONTENT, "name": _speaker}, "content"),
    },
)
