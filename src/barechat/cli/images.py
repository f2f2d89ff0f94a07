"""How does an image become a part of a message? Its file is read, told by its first bytes, and sent along in base64."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from barechat.errors import ParameterError

if TYPE_CHECKING:
    from pathlib import Path

_KINDS = {
    "png": rb"\x89PNG\r\n\x1a\n",
    "jpeg": rb"\xff\xd8\xff",
    "gif": rb"GIF8[79]a",
    "webp": rb"RIFF....WEBP",
}


def image(source: Path) -> dict[str, Any]:
    """Return an image as a part of a message's content.

    Raises:
        ParameterError: the file can't be read, or is of a type that the API doesn't take.
    """
    try:
        data = source.read_bytes()
    except OSError as error:
        raise ParameterError(f"the image {source} can't be read: {error.strerror or error}") from error
    kind = next((kind for kind, begins in _KINDS.items() if re.match(begins, data, re.DOTALL)), None)
    if kind is None:
        raise ParameterError(f"{source} is no PNG, JPEG, WebP or GIF")
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{base64.b64encode(data).decode()}"}}
