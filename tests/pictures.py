"""Pictures and other files to send: 70 by 50 pixels as Pillow 12 wrote them, and headers of any size."""

from __future__ import annotations

import base64
from struct import pack
from typing import Final

_WRITTEN: Final = {
    "PNG": (
        "iVBORw0KGgoAAAANSUhEUgAAAEYAAAAyCAIAAABu/zoEAAAARUlEQVR42u3PAREAAAQEsKd/ZwJo4LYGq8k3HSUlJSUlJSUlJSUlJSUl"
        "JSUlJSUlJSUlJSUlJSUlJSUlJSUlJSUlJaVjAURsAWNUlshMAAAAAElFTkSuQmCC"
    ),
    "JPEG": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP//////////////////////////////////////////////////////////////////////"
        "////////////////wAALCAAyAEYBAREA/8QAFQABAQAAAAAAAAAAAAAAAAAAAAL/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/9oACAEBAAA/"
        "AJAAAAAAAAAAAAAAAAAAAAB//9k="
    ),
    "progressive JPEG": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP//////////////////////////////////////////////////////////////////////"
        "////////////////wgALCAAyAEYBAREA/8QAFQABAQAAAAAAAAAAAAAAAAAAAAH/2gAIAQEAAAABgAAAAAAAAAB//8QAFBABAAAAAAAA"
        "AAAAAAAAAAAAUP/aAAgBAQABBQJ//8QAFBABAAAAAAAAAAAAAAAAAAAAUP/aAAgBAQAGPwJ//8QAFBABAAAAAAAAAAAAAAAAAAAAUP/a"
        "AAgBAQABPyF//9oACAEBAAAAEAAAAAAAAAAB/8QAFBABAAAAAAAAAAAAAAAAAAAAUP/aAAgBAQABPxB//9k="
    ),
    "GIF": (
        "R0lGODdhRgAyAIEAAP8AAAAAAAAAAAAAACwAAAAARgAyAEAIYQABCBxIsKDBgwgTKlzIsKHDhxAjSpxIsaLFixgzatzIsaPHjyBDihxJ"
        "sqTJkyhTqlzJsqXLlzBjypxJs6bNmzhz6tzJs6fPn0CDCh1KtKjRo0iTKl3KtKnTp1CjSp3qMCAAOw=="
    ),
    "lossy WebP": (
        "UklGRk4AAABXRUJQVlA4IEIAAADwAwCdASpGADIAP83m8HK/uDMsIagD8DmJaQDVuAT5w4cOHDhw4a4AAP7UmW5vByu/8UPNb2DtNx7g"
        "22qUgDCkAAA="
    ),
    "lossless WebP": ("UklGRiIAAABXRUJQVlA4TBUAAAAvRUAMAAcQ/Y/+B4CE8P+9FtH/FAgA"),
    "WebP with alpha": (
        "UklGRngAAABXRUJQVlA4WAoAAAAQAAAARQAAMQAAQUxQSBAAAAABB1DAiAgACeH/ey2i/ykQVlA4IEIAAADwAwCdASpGADIAP83m8HK/"
        "uDMsIagD8DmJaQDVuAT5w4cOHDhw4a4AAP7UmW5vByu/8UPNb2DtNx7g22qUgDCkAAA="
    ),
}
PICTURES: Final = {name: base64.b64decode(text) for name, text in _WRITTEN.items()}
PNG: Final = PICTURES["PNG"]
WAV: Final = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0data\0\0\0\0"
MP3: Final = b"ID3\4\0\0\0\0\0\0"
PDF: Final = b"%PDF-1.7\n%%EOF\n"


def png(width: int, height: int) -> bytes:
    """Return a PNG's beginning that says it is of this size."""
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + pack(">II", width, height) + b"\x08\2\0\0\0"


def jpeg(width: int, height: int, *before: bytes) -> bytes:
    """Return a JPEG's beginning that says it is of this size, after the segments `before`."""
    return b"\xff\xd8" + b"".join(before) + b"\xff\xc0\0\x11\x08" + pack(">HH", height, width) + b"\3" + bytes(9)


def segment(marker: int, content: bytes) -> bytes:
    """Return a JPEG's segment."""
    return bytes([0xFF, marker]) + pack(">H", len(content) + 2) + content


def gif(
    screen: tuple[int, int], picture: tuple[int, int], *, at: tuple[int, int] = (0, 0), extra: bytes = b""
) -> bytes:
    """Return a GIF's beginning: the screen's size, then extensions, then the first picture's place and size."""
    return b"GIF89a" + pack("<HHBBB", *screen, 0, 0, 0) + extra + b"," + pack("<4H", *at, *picture) + b"\0"


def data_url(data: bytes, kind: str = "image/png") -> str:
    """Return the bytes as a data URL."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
