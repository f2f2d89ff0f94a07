"""How does a file become a part of a message: read, told by its bytes, checked, and put into the API's shape.

Sources: https://developers.openai.com/api/docs/guides/images-vision#image-input-requirements and
https://developers.openai.com/api/docs/guides/file-inputs, for types and sizes; the API's reference for the shapes.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from barechat.errors import ParameterError
from barechat.media import kind_of
from barechat.parameters import shown

if TYPE_CHECKING:
    from barechat import settings

Detail = Literal["auto", "low", "high", "original"]

_IMAGES = {"PNG": "image/png", "JPEG": "image/jpeg", "WebP": "image/webp", "GIF": "image/gif"}
_AUDIO = {"WAV": "wav", "MP3": "mp3"}
_FILES = {"PDF": "application/pdf"}
_MOST_BYTES = 384 * 2**20  # in base64 the 512 MB that a request may be long
_MOST_FILE_BYTES = 50 * 10**6
_LONGEST_PATH = 1000
_URL_SCHEMES = ("https://", "http://", "data:")


def image(source: settings.Path | bytes, *, detail: Detail | None = None) -> dict[str, Any]:
    """Return an image as a part of a message's content, beside text.

        client.chat([{"role": "user", "content": ["What is it?", image("chart.png")]}], model="gpt-4o-mini")

    source: a path or the bytes of a PNG, JPEG, WebP or GIF, which are sent along; or an https: or data: URL, which is
        passed on unread.
    detail: how closely the model looks, and so how many tokens it takes: low, high, original or auto; what auto means,
        the model says. Older models have no original.

    Raises:
        ParameterError: the file can't be read, is empty or too large, or is of another type; it says which.
    """
    if detail is not None and detail not in get_args(Detail):
        raise ParameterError(f"detail must be auto, low, high or original, not {shown(detail)}", param="detail")
    if isinstance(source, str) and source.lower().startswith(_URL_SCHEMES):
        url = source
    else:
        data, kind, _ = _load(source, "image", _IMAGES, _MOST_BYTES)
        url = _data_url(data, kind)
    return {"type": "image_url", "image_url": {"url": url} if detail is None else {"url": url, "detail": detail}}


def audio(source: settings.Path | bytes) -> dict[str, Any]:
    """Return speech or other sound as a part of a message's content, for a model that hears, such as gpt-audio.

    source: a path or the bytes of a WAV or MP3. The API takes no URL of one.

    Raises:
        ParameterError: the file can't be read, is empty or too large, or is of another type; it says which.
    """
    data, form, _ = _load(source, "audio", _AUDIO, _MOST_BYTES)
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": form}}


def file(source: settings.Path | bytes, *, filename: str | None = None) -> dict[str, Any]:
    """Return a PDF as a part of a message's content. The model gets its text, and an image of each page.

    source: a path or the bytes. The API takes no URL of one, and no other type: send text as text. One that
        was uploaded goes by its id, as `{"type": "file", "file": {"file_id": "file-…"}}`.
    filename: what the model is told that it is called; by default the path's last part, or document.pdf.

    Raises:
        ParameterError: the file can't be read, is empty or too large, or is of another type; it says which.
    """
    data, kind, name = _load(source, "file", _FILES, _MOST_FILE_BYTES)
    return {
        "type": "file",
        "file": {"filename": filename or name or "document.pdf", "file_data": _data_url(data, kind)},
    }


def _load(
    source: settings.Path | bytes, what: str, kinds: dict[str, str], most_bytes: int
) -> tuple[bytes, str, str | None]:
    """Return a file's bytes, what the API calls their kind, and the file's name if it has one."""
    if isinstance(source, bytes):
        data, called, name = source, "what was passed", None
        _check_size(len(data), what, called, most_bytes)
    else:
        data, name = _read(source, what, most_bytes)
        called = _named(source)
    kind = kind_of(data)
    if kind in kinds:
        return data, kinds[kind], name
    found = f"of no known type: it begins with {shown(data[:16])}" if kind is None else f"of type {kind}"
    raise ParameterError(f"{what}: the API takes {', '.join(kinds)} alone, and {called} is {found}", param=what)


def _named(source: object) -> str:
    """Return a path for an error's sentence: whole, unless it is so long that it can be none."""
    text = repr(str(source))
    return text if len(text) <= _LONGEST_PATH else shown(str(source))


def _read(source: settings.Path, what: str, most_bytes: int) -> tuple[bytes, str]:
    if isinstance(source, str) and source.lower().startswith(_URL_SCHEMES):
        raise ParameterError(f"{what}: the API takes no URL; fetch it, and pass the bytes or a path", param=what)
    try:
        path = Path(source)
        size, is_file = path.stat().st_size, path.is_file()
        data = path.read_bytes() if is_file and size <= most_bytes else b""
    except TypeError as error:
        raise ParameterError(f"{what} must be a path or bytes, not {type(source).__name__}", param=what) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ParameterError(f"{what}: {_named(source)} can't be read: {reason}", param=what) from error
    if not is_file:
        raise ParameterError(f"{what}: {_named(source)} is a directory or device, and no file", param=what)
    _check_size(size, what, _named(source), most_bytes)
    return data, path.name


def _check_size(size: int, what: str, called: str, most_bytes: int) -> None:
    if size == 0:
        raise ParameterError(f"{what}: {called} is empty", param=what)
    if size > most_bytes:
        raise ParameterError(f"{what}: {called} has {size:,} bytes; the API takes {most_bytes:,} at most", param=what)


def _data_url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
