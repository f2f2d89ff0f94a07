"""barechat.media: files are known by their bytes, images by their headers, and no bytes are too odd to be read."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from barechat.media import kind_of, pixels
from pictures import MP3, PDF, PICTURES, PNG, WAV, gif, jpeg, png, segment

BEGINNINGS = [*PICTURES.values(), WAV, MP3, PDF, gif((1, 1), (2, 2), extra=b"!\xfe\1x\0")]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_that_another_library_wrote_is_known_with_its_size(name: str) -> None:
    assert name.find(str(kind_of(PICTURES[name]))) >= 0
    assert pixels(PICTURES[name]) == (70, 50)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (WAV, "WAV"),
        (MP3, "MP3"),
        (b"\xff\xfb\x90\x64", "MP3"),  # a frame without a tag before it
        (b"\xff\xf1\x50\x80", None),  # AAC has the same sync word, in layer 0
        (b"\xff\xfeh\0i\0", None),  # text in UTF-16
        (PDF, "PDF"),
        (b"\n" * 1019 + PDF, "PDF"),
        (b"\n" * 1020 + PDF, None),
        (b"RIFF....AVI LIST", None),
        (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", "BMP"),
        (b"MM\0*", "TIFF"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x20ftypM4A ", "MP4"),
        (b"OggS\0", "Ogg"),
        (b"fLaC\0", "FLAC"),
        (b"PK\3\4", "ZIP"),
        (b"<svg>", None),
        (b"", None),
    ],
)
def test_a_file_is_known_by_its_first_bytes(data: bytes, kind: str | None) -> None:
    assert kind_of(data) == kind
    assert pixels(data) is None


@pytest.mark.parametrize(
    "before",
    [
        segment(0xE1, b"Exif" + jpeg(9, 9)),  # a thumbnail
        segment(0xC4, bytes(30)),  # a table, whose marker looks like a frame's
        b"\xff\xff\xff",
        segment(0xE2, bytes(65_000)) * 40,
    ],
)
def test_a_jpegs_size_is_that_of_its_frame_whatever_segments_come_first(before: bytes) -> None:
    assert pixels(jpeg(4032, 3024, before)) == (4032, 3024)


@pytest.mark.parametrize("before", [b"\xff\xd9", b"\xff\xda\0\4ab", b"\xff\xe0\0\1", b"\xff\0", b"odd", b"\xff\xd0"])
def test_a_jpeg_that_decoders_may_read_in_two_ways_has_no_size(before: bytes) -> None:
    assert pixels(jpeg(4032, 3024, before)) is None


def test_a_gif_is_as_large_as_its_screen_or_its_first_picture() -> None:
    comment = b"!\xfe\3abc\2de\0"
    assert pixels(gif((30, 20), (10, 10))) == (30, 20)
    assert pixels(gif((1, 1), (300, 200), at=(5, 6), extra=comment * 2)) == (305, 206)
    assert pixels(gif((30, 20), (10, 10), extra=b";")) is None


@pytest.mark.parametrize("data", [png(0, 5), jpeg(5, 0), gif((0, 0), (0, 0)), PNG[:12] + b"CgBI" + PNG[16:]])
def test_an_image_whose_header_says_no_size_has_none(data: bytes) -> None:
    assert pixels(data) is None


@pytest.mark.parametrize("name", ["lossy WebP", "lossless WebP"])
def test_a_webp_without_its_signature_has_no_size(name: str) -> None:
    data = PICTURES[name]
    assert pixels(data[:20] + bytes(10) + data[30:]) is None


@pytest.mark.parametrize("data", BEGINNINGS)
def test_a_file_cut_at_any_byte_has_its_own_size_or_none(data: bytes) -> None:
    for end in range(len(data)):
        assert pixels(data[:end]) in {None, pixels(data)}


@given(st.sampled_from(BEGINNINGS), st.integers(0, 40), st.binary(max_size=200))
@example(PICTURES["GIF"], 13, b"!\xfe" + b"\xff" * 40)
def test_any_bytes_have_a_size_or_none(beginning: bytes, end: int, rest: bytes) -> None:
    size = pixels(beginning[:end] + rest)
    assert size is None or min(size) > 0


@pytest.mark.parametrize("unit", [b"\xff", b"\xff\xe0\0\2", b"!\xfe\1x\0"])
def test_a_long_hostile_file_is_read_in_one_pass(unit: bytes) -> None:
    length = 2**20 // len(unit) * len(unit)
    for head in (b"\xff\xd8\xff\xe0\0\2", gif((1, 1), (1, 1))[:13]):
        assert pixels(head + unit * (length // len(unit))) is None
