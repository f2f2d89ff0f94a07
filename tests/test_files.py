"""barechat.files: a file goes into a message as the API spells it, or is refused by name before anything is sent."""

from __future__ import annotations

import base64
import inspect
import os
import typing
from typing import TYPE_CHECKING, Any

import pytest

from barechat import Budget, BudgetExceeded, Client, Ledger, ParameterError, audio, file, image
from barechat.files import Detail
from barechat.simulator import Simulator
from pictures import MP3, PDF, PICTURES, PNG, WAV, data_url, png

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WebP": "image/webp"}


def written(folder: Path, data: bytes, name: str = "it.bin") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def decoded(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2], validate=True)


@pytest.mark.parametrize("name", PICTURES)
def test_an_image_is_sent_as_a_data_url_of_the_type_that_its_bytes_say(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, PICTURES[name], "misnamed.txt")
    kind = next(mime for word, mime in TYPES.items() if word in name)
    part = image(path)
    assert part == {"type": "image_url", "image_url": {"url": data_url(PICTURES[name], kind)}}
    assert decoded(part["image_url"]["url"]) == PICTURES[name]
    assert part == image(str(path)) == image(PICTURES[name])


@pytest.mark.parametrize("url", ["https://example.com/a b.png?x=1", "HTTP://example.com", data_url(b"<svg/>")])
def test_an_images_url_is_passed_on_unread(url: str) -> None:
    assert image(url) == {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize("detail", typing.get_args(Detail))
def test_the_detail_is_sent_only_if_it_is_asked_for(detail: Detail) -> None:
    assert image(PNG, detail=detail)["image_url"]["detail"] == detail
    assert "detail" not in image(PNG)["image_url"]


@pytest.mark.parametrize("detail", ["High", "", 1, ["low"]])
def test_a_detail_that_the_api_does_not_know_is_refused(detail: Any) -> None:
    with pytest.raises(ParameterError, match="detail must be auto, low, high or original") as caught:
        image(PNG, detail=detail)
    assert caught.value.param == "detail"


def test_audio_is_sent_with_its_format(tmp_path: Path) -> None:
    wav = {"data": base64.b64encode(WAV).decode(), "format": "wav"}
    assert audio(written(tmp_path, WAV, "song.mp3")) == {"type": "input_audio", "input_audio": wav}
    assert audio(MP3)["input_audio"]["format"] == "mp3"


def test_a_pdf_is_sent_with_its_name(tmp_path: Path) -> None:
    path = written(tmp_path, PDF, "letter.pdf")
    part = file(path)
    assert part == {"type": "file", "file": {"filename": "letter.pdf", "file_data": data_url(PDF, "application/pdf")}}
    assert file(path, filename="other.pdf")["file"]["filename"] == "other.pdf"
    assert file(PDF)["file"]["filename"] == "document.pdf"


# Refused before anything is sent


@pytest.mark.parametrize(
    ("make", "data", "message"),
    [
        (image, PDF, "image: the API takes PNG, JPEG, WebP, GIF alone, and {} is of type PDF"),
        (image, b"\0\0\0\x18ftypheic", "image: .* and {} is of type HEIC"),
        (image, b"<svg/>", "image: .* and {} is of no known type: it begins with b'<svg/>'"),
        (audio, b"OggS\0", "audio: the API takes WAV, MP3 alone, and {} is of type Ogg"),
        (file, b"PK\3\4", "file: the API takes PDF alone, and {} is of type ZIP"),
        (file, b"", "file: {} is empty"),
        (image, b"", "image: {} is empty"),
        (file, PDF + bytes(50 * 10**6), "file: {} has 50,000,015 bytes; the API takes 50,000,000 at most"),
    ],
)
def test_a_file_that_the_api_does_not_take_is_refused_by_name(
    make: Callable[..., Any], data: bytes, message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, data, "a.png")
    for source, called in ((path, ".*a.png'"), (data, "what was passed")):
        with pytest.raises(ParameterError, match=message.format(called)) as caught:
            make(source)
        assert caught.value.param == make.__name__


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = written(tmp_path, PNG)
    os.truncate(path, 384 * 2**20 + 1)  # on most disks, a file of holes
    with pytest.raises(ParameterError, match="402,653,185 bytes; the API takes 402,653,184 at most"):
        image(path)
    path.unlink()  # nobody need search it for keys


@pytest.mark.parametrize("make", [image, audio, file])
def test_what_can_not_be_read_is_refused_with_the_reason(make: Callable[..., Any], tmp_path: Path) -> None:
    for source, reason in (
        (tmp_path / "none.png", "none.png' can't be read: No such file"),
        (str(tmp_path), "is a directory or device, and no file"),
        ("a\0b", "can't be read: .*null"),
        (5, "must be a path or bytes, not int"),
        (None, "must be a path or bytes, not NoneType"),
    ):
        with pytest.raises(ParameterError, match=reason):
            make(source)


@pytest.mark.parametrize("make", [audio, file])
def test_what_the_api_takes_no_url_of_has_to_be_fetched(make: Callable[..., Any]) -> None:
    with pytest.raises(ParameterError, match="the API takes no URL; fetch it"):
        make("https://example.com/a")


def test_a_device_is_no_file_and_is_not_waited_for() -> None:
    with pytest.raises(ParameterError, match=r"no file|can't be read"):
        image(os.devnull)


# Together


def content(*parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": ["What is it?", *parts]}]


def test_a_server_takes_the_parts_as_they_are() -> None:
    with Simulator() as simulator, Client(api_key="k", base_url=simulator.url) as client:
        reply = client.chat(content(image(PNG, detail="low"), image("https://example.com/a.png")), model="gpt-4o-mini")
        assert reply.text
        assert client.chat(content(audio(WAV)), model="gpt-audio", modalities=["text"]).text
        assert client.chat(content(file(PDF)), model="gpt-4o-mini").text


def test_a_budget_has_room_for_an_image_and_not_for_a_file(tmp_path: Path) -> None:
    with (
        Simulator() as simulator,
        Client(
            api_key="k",
            base_url=simulator.url,
            ledger=Ledger(tmp_path / "ledger.db"),
            budget=Budget("0.05"),
        ) as client,
    ):
        large = content(image(png(4000, 3000) + bytes(10**6)))
        assert client.chat(large, model="gpt-4o", max_completion_tokens=10).text
        with pytest.raises(BudgetExceeded):
            client.chat(content(file(PDF)), model="gpt-4o", max_completion_tokens=10)


def test_the_three_say_what_they_raise() -> None:
    assert all("ParameterError" in (inspect.getdoc(make) or "") for make in (image, audio, file))
