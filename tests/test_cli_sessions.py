"""`barechat sessions`: which conversations are kept by name."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from barechat.cli.sessions import directory, file_name, kept
from commands import run

if TYPE_CHECKING:
    from pathlib import Path

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Why is\nthe sky blue, and not rather green or purple?"}]},
    {"role": "assistant", "content": "Rayleigh."},
    {"role": "user", "content": "Who?"},
    {"role": "assistant", "content": "A lord."},
]


def keep(where: Path, name: str, at: int, content: str) -> None:
    path = where / f"{name}.json"
    path.write_text(content)
    os.utime(path, (at, at))


def test_sessions_are_listed_with_the_latest_first(tmp_path: Path) -> None:
    keep(tmp_path, "sky", 86_400, json.dumps(TALK))
    keep(tmp_path, "new.1", 2 * 86_400, json.dumps(TALK[:3]))
    keep(tmp_path, "broken", 43_200, "{")
    (tmp_path / "history").touch()
    keep(tmp_path, ".hidden", 0, "[]")
    result = run("sessions", BARECHAT_SESSIONS=str(tmp_path), TZ="UTC")
    assert result.stdout.splitlines() == [
        "new.1      1 turn  1970-01-03 00:00  Why is the sky blue, and not rather g...",
        "sky       2 turns  1970-01-02 00:00  Why is the sky blue, and not rather g...",
        "broken             1970-01-01 12:00  can't be read",
    ]
    assert result.returncode == 0


def test_sessions_are_listed_as_json(tmp_path: Path) -> None:
    keep(tmp_path, "sky", 86_400, json.dumps(TALK))
    result = run("sessions", "--format", "json", BARECHAT_SESSIONS=str(tmp_path))
    assert json.loads(result.stdout) == [
        {
            "name": "sky",
            "turns": 2,
            "changed": "1970-01-02T00:00:00+00:00",
            "opening": "Why is the sky blue, and not rather g...",
            "path": str(tmp_path / "sky.json"),
        }
    ]


@pytest.mark.skipif(os.name == "nt", reason="links as POSIX has them")
def test_a_link_that_leads_nowhere_is_passed_over(tmp_path: Path) -> None:
    keep(tmp_path, "sky", 86_400, json.dumps(TALK))
    (tmp_path / "lost.json").symlink_to(tmp_path / "none")
    (tmp_path / "loop.json").symlink_to(tmp_path / "loop.json")
    result = run("sessions", "--format", "json", BARECHAT_SESSIONS=str(tmp_path))
    assert ([one["name"] for one in json.loads(result.stdout)], result.returncode) == (["sky"], 0)


def test_a_file_that_is_deleted_while_they_are_listed_is_passed_over(tmp_path: Path) -> None:
    for name in ("one", "other"):
        keep(tmp_path, name, 86_400, json.dumps(TALK))
    found = kept(tmp_path)
    left = {"one", "other"} - {next(found).name}
    (tmp_path / f"{left.pop()}.json").unlink()
    assert list(found) == []


def test_where_there_are_none_is_told(tmp_path: Path) -> None:
    result = run("sessions", BARECHAT_SESSIONS=str(tmp_path / "none"))
    assert (result.stdout, result.returncode) == ("", 0)
    assert "barechat chat -c NAME" in result.stderr


@pytest.mark.parametrize("name", ["sky", "Sky-2.final", "_", "Größe", "a" * 100])
def test_a_name_is_a_file_of_its_own(name: str) -> None:
    assert file_name(name) == f"{name}.json"


@pytest.mark.parametrize("name", ["", ".", "..", ".sky", "-c", "a/b", "a\\b", "a b", "a\n", "a:b", "a" * 101])
def test_a_name_that_would_be_another_s_file_or_none_is_refused(name: str) -> None:
    with pytest.raises(Exception, match="can't be a session's name"):
        file_name(name)


def test_sessions_are_kept_in_the_user_s_data_directory_or_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert directory().parts[-2:] == ("barechat", "sessions")
    monkeypatch.setenv("BARECHAT_SESSIONS", str(tmp_path))
    assert directory() == tmp_path
