"""What kind of file do these bytes begin, and how many pixels has their image: read from the bytes, never a name.

Any bytes are taken: what can't be read is None, no exception, and the time is that of one pass at most. Sources:
PNG, https://www.w3.org/TR/png-3/#11IHDR; JPEG, ITU-T T.81, annex B; GIF, https://www.w3.org/Graphics/GIF/spec-gif89a.txt;
WebP, RFC 9649; MP3, ISO/IEC 11172-3, 2.4.1.3; the rest, https://mimesniff.spec.whatwg.org.
"""

from __future__ import annotations

import re
from struct import unpack_from

_BEGINNINGS = {
    kind: re.compile(beginning, re.DOTALL)
    for kind, beginning in (
        ("PNG", rb"\x89PNG\r\n\x1a\n"),
        ("JPEG", rb"\xff\xd8\xff"),
        ("GIF", rb"GIF8[79]a"),
        ("WebP", rb"RIFF....WEBPVP8"),
        ("WAV", rb"RIFF....WAVE"),
        ("MP3", rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb][^\xf0-\xff]"),  # a tag, or a frame of layer III
        ("PDF", rb".{0,1019}%PDF-"),  # within the first 1,024 bytes, as Acrobat has it
        # What the API doesn't take, so that an error can say what it is.
        ("BMP", rb"BM....\x00{4}"),
        ("TIFF", rb"II\*\x00|MM\x00\*"),
        ("AVIF", rb"....ftypavi[fs]"),
        ("HEIC", rb"....ftyp(?:hei|hev|mif1|msf1)"),
        ("MP4", rb"....ftyp"),
        ("Ogg", rb"OggS"),
        ("FLAC", rb"fLaC"),
        ("ZIP", rb"PK\x03\x04"),
    )
}
_MARKER = re.compile(rb"\xff+([^\xff])")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset([0x00, 0x01, *range(0xD0, 0xDA)])
_SCAN = 0xDA


def kind_of(data: bytes) -> str | None:
    """Return what the bytes are: PNG, JPEG, GIF, WebP, WAV, MP3, PDF, or what else is known by name; else None."""
    return next((kind for kind, beginning in _BEGINNINGS.items() if beginning.match(data)), None)


def pixels(data: bytes) -> tuple[int, int] | None:
    """Return the width and height of a PNG, JPEG, GIF or WebP, or None if its header doesn't tell them."""
    read = {"PNG": _png, "JPEG": _jpeg, "GIF": _gif, "WebP": _webp}.get(kind_of(data) or "")
    size = read(data) if read else None
    return size if size and min(size) > 0 else None


def _png(data: bytes) -> tuple[int, int] | None:
    if len(data) < 24 or data[12:16] != b"IHDR":  # noqa: PLR2004 - the signature, a length, a name and two numbers
        return None
    width, height = unpack_from(">II", data, 16)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Go from segment to segment until the frame's header. A thumbnail is inside a segment, and so passed over."""
    at = 2
    while found := _MARKER.match(data, at):
        marker, at = found[1][0], found.end()
        length = int.from_bytes(data[at : at + 2])
        if marker in _WITHOUT_LENGTH or marker == _SCAN or length < 2 or len(data) < at + 7:  # noqa: PLR2004 - its own size
            break
        if marker in _FRAMES:
            height, width = unpack_from(">HH", data, at + 3)
            return width, height
        at += length
    return None


def _gif(data: bytes) -> tuple[int, int] | None:
    """Return the screen's size, or its first picture's where that is larger: some decoders widen the screen to it."""
    if len(data) < 13:  # noqa: PLR2004 - the header and the screen's descriptor
        return None
    width, height, flags = unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)  # past the table of colours
    while data[at : at + 1] == b"!":
        at += 2
        while size := int.from_bytes(data[at : at + 1]):
            at += 1 + size
        at += 1
    if data[at : at + 1] != b"," or len(data) < at + 9:
        return None
    left, top, across, down = unpack_from("<4H", data, at + 1)
    return max(width, left + across), max(height, top + down)


def _webp(data: bytes) -> tuple[int, int] | None:
    if len(data) < 30:  # noqa: PLR2004 - the longest of the three headers
        return None
    form = data[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if form == b"VP8L" and data[20:21] == b"\x2f":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if form == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None
