"""A ledger whose file can't be used: the error says why, calls go on without it, and what they left is filed later."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from barechat import Budget, Client, ConfigurationError, Ledger
from barechat.ledger.schema import check_version
from ledgers import rows, run_python
from support import KEY, MODEL, AsyncCaller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barechat.simulator import Simulator
    from support import Connect

CAP: Any = {"max_completion_tokens": 20}
Fault = contextlib.AbstractContextManager[None]


def executed(path: str | Path, *statements: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        db.execute(statement)
    return db


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with contextlib.closing(executed(path, "BEGIN EXCLUSIVE")):
        yield


@contextlib.contextmanager
def moved(path: Path) -> Iterator[None]:
    aside = path.rename(path.with_suffix(".aside"))
    yield
    aside.rename(path)


@contextlib.contextmanager
def a_directory(path: Path) -> Iterator[None]:
    with moved(path):
        path.mkdir()
        yield
        path.rmdir()


@contextlib.contextmanager
def written_over(path: Path, begin: int, data: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(before[:begin] + data + before[begin + len(data) :])
    yield
    path.write_bytes(before)


@contextlib.contextmanager
def newer(path: Path) -> Iterator[None]:
    executed(path, "INSERT INTO migrations VALUES ('of-tomorrow', 0)").close()
    yield
    executed(path, "DELETE FROM migrations WHERE name = 'of-tomorrow'").close()


FAULTS: dict[str, tuple[Callable[[Path], Fault], str]] = {
    "locked": (locked, "is locked by another program: end it"),
    "gone": (moved, "is gone: it was moved or deleted while in use. Put it back"),
    "a directory": (a_directory, "is a directory: name a file in it"),
    "no database": (lambda path: written_over(path, 0, b"Dear diary, " * 10), "is no SQLite file: name another path"),
    "corrupt pages": (lambda path: written_over(path, 4096, b"\xff" * 40_000), "is corrupt: move it aside"),
    "of a newer barechat": (newer, "was written by a newer barechat (it has of-tomorrow): upgrade"),
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.db", locked_s=0.05)
    yield made
    made.close()


@pytest.mark.parametrize("name", FAULTS)
def test_calls_go_on_and_are_filed_later_and_those_with_a_budget_are_told_why_not(
    connect: Connect, simulator: Simulator, ledger: Ledger, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caller = connect(simulator.url, ledger=ledger)
    held = connect(simulator.url, ledger=ledger, budget=Budget("5"))
    begin, said = FAULTS[name]
    sentence = re.escape(f"the ledger {ledger.path} {said}")
    caller.chat()
    held.chat(**CAP)
    ledger.close()
    with begin(Path(ledger.path)):
        caller.chat()
        with pytest.raises(ConfigurationError, match=sentence):
            ledger.flush()
        caller.chat()
        with pytest.raises(ConfigurationError, match=sentence):
            held.chat(**CAP)
        assert len(simulator.requests) == 4
        closing = caller.client.close()  # which waits for the disk, and doesn't fail
        if isinstance(caller, AsyncCaller):
            caller.run(closing)  # type: ignore[arg-type]
        told = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
        (warning,) = (message for message in told if "kept in memory, to be filed later" in message)
        assert re.match(sentence, warning)
    ledger.flush()
    assert rows(ledger, "error").count(None) == 4
    assert ledger.check() == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_bulk_run_goes_on_too_though_its_attempts_were_to_stand_there_first(
    simulator: Simulator, ledger: Ledger, name: str
) -> None:
    with Client(KEY, simulator.url, ledger=ledger) as client:
        client.chat("Hi", model=MODEL)
        ledger.close()
        with FAULTS[name][0](Path(ledger.path)):
            assert [result.error for result in client.bulk(["Hi", "Ho"], model=MODEL)] == [None, None]
    assert rows(ledger, "state") == ["settled"] * 3


def test_a_file_that_is_replaced_while_in_use_is_noticed_and_the_new_one_is_written(
    ledger: Ledger, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the rows would go to a file that nobody can find any more."""
    with Client(KEY, simulator.url, ledger=ledger) as client:
        client.chat("Hi", model=MODEL)
        ledger.flush()
        for path in Path(ledger.path).parent.iterdir():
            path.unlink()
        Ledger(ledger.path)
        client.chat("Hi", model=MODEL)
    assert len(rows(ledger, "key")) == 1
    assert "was moved, deleted or replaced while in use" in caplog.text


FULL = """
import resource, sys
from barechat import Budget, Client, ConfigurationError, Ledger

path, url = sys.argv[1:]
ledger = Ledger(path)
client = Client("a-key", url, ledger=ledger)
held = Client("a-key", url, ledger=ledger, budget=Budget("5"))
client.chat("Hi", model="gpt-4o-mini")
ledger.flush()
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
for _ in range(3):
    client.chat("Hi", model="gpt-4o-mini")
for act in ledger.flush, lambda: held.chat("Hi", model="gpt-4o-mini", max_completion_tokens=5):
    try:
        act()
    except ConfigurationError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
ledger.flush()
"""


def test_on_a_full_disk_calls_go_on_too(simulator: Simulator, ledger: Ledger) -> None:
    pytest.importorskip("resource")
    lines = run_python(FULL, ledger.path, simulator.url)
    assert len(lines) == 2
    assert all(re.match(r"the ledger .* can't be (read or )?written: .*disk", line) for line in lines)
    assert rows(ledger, "error").count(None) == 4
    assert ledger.check() == []


READ_ONLY = """
import os, sys
from barechat import ConfigurationError, Ledger

path = sys.argv[1]
if os.getuid() == 0:
    os.setuid(65534)  # whom permissions bind
try:
    Ledger(path)
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs a system with permissions")
@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_a_file_that_may_not_be_written_is_refused_at_once(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path)
    path.chmod(mode)
    for folder in (tmp_path, *tmp_path.parents):  # pytest's own are for nobody else's eyes
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)
    (line,) = run_python(READ_ONLY, path)
    assert line.startswith(f"the ledger {path} can't be written: it, or its directory, is read-only; change that")


def test_a_path_that_can_t_be_a_ledger_is_refused_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("Dear diary")
    executed(tmp_path / "other.db", "CREATE TABLE a (b)").close()
    for path, said in {
        tmp_path: "is a directory",
        tmp_path / "none" / "ledger.db": f"there is no directory {tmp_path / 'none'}; make it first",
        tmp_path / "text": "is no SQLite file",
        tmp_path / "other.db": "no barechat ledger: name another path",
    }.items():
        with pytest.raises(ConfigurationError, match=re.escape(said)) as caught:
            Ledger(path)
        assert str(path) in str(caught.value)
    for wrong in ("", b"ledger.db", None, 5):
        with pytest.raises(ConfigurationError, match="the path of a file"):
            Ledger(wrong)  # type: ignore[arg-type]


def test_a_sqlite_without_what_a_ledger_needs_is_named(tmp_path: Path) -> None:
    check_version((3, 33, 0))
    with pytest.raises(ConfigurationError, match=r"needs SQLite 3\.33\.0 or newer, and this Python has 3\.32\.3"):
        check_version((3, 32, 3))


@pytest.mark.skipif(os.name != "posix", reason="needs a system with permissions")
def test_the_file_and_what_sqlite_puts_beside_it_are_their_owner_s_alone(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "ledger.db")
    ledger = Ledger(tmp_path / "link.db")
    ledger.flush()
    files = [path for path in tmp_path.iterdir() if not path.is_symlink()]
    assert {path.name for path in files} >= {"ledger.db", "ledger.db-wal"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    ledger.close()
