"""Which tables a ledger's file has, and how it is opened: made if it isn't there, brought up to date, or refused.

A file is one barechat ledger: nothing else is opened, and one that a newer barechat has written is left as it is.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
from typing import TYPE_CHECKING

from barechat.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APPLICATION_ID = 0x62617265  # "bare"
LOCKED_S = 10.0
"""How long to wait for another program's transaction."""
OLDEST_SQLITE = (3, 33, 0)
"""The first with UPDATE FROM."""

_FIRST = """
CREATE TABLE owners (  -- the processes that have held money
    id INTEGER PRIMARY KEY,
    pid INTEGER NOT NULL,
    started TEXT NOT NULL,  -- of the process, in its system's own form, or ''
    boot TEXT NOT NULL,  -- of the system, or ''
    UNIQUE (pid, started, boot)
);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    at REAL NOT NULL,  -- seconds since 1970
    state TEXT NOT NULL CHECK (state IN ('held', 'kept', 'settled')),  -- running; outcome unknown; ended
    model TEXT NOT NULL,
    served TEXT,
    tier TEXT,
    served_tier TEXT,
    tags TEXT NOT NULL,  -- a JSON object
    session TEXT,
    status INTEGER,
    error TEXT,
    code TEXT,
    request_id TEXT,
    client_request_id TEXT,
    input_tokens INTEGER,
    output_tokens INTEGER,
    usage TEXT,  -- as the server sent it
    cache_ttl TEXT,
    held_pd INTEGER,
    cost_pd INTEGER,  -- NULL: unpriced
    certainty TEXT,
    elapsed_s REAL,
    first_byte_s REAL,
    price_version TEXT,
    overran INTEGER NOT NULL DEFAULT 0,
    repriced_at REAL,
    first_cost_pd INTEGER,  -- before it was repriced
    owner INTEGER REFERENCES owners
);
CREATE INDEX attempts_at ON attempts (at);
CREATE INDEX attempts_open ON attempts (state) WHERE state <> 'settled';
CREATE TABLE budgets (
    id INTEGER PRIMARY KEY,
    tag TEXT NOT NULL,  -- '' for all calls
    per TEXT NOT NULL,
    period TEXT NOT NULL,  -- '2026-11-26', '2026-11', or '' for all of time
    limit_pd INTEGER NOT NULL,
    spent_pd INTEGER NOT NULL DEFAULT 0,
    held_pd INTEGER NOT NULL DEFAULT 0,
    pruned_pd INTEGER NOT NULL DEFAULT 0,  -- of spent_pd, by attempts that were pruned
    is_closed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tag, per, period)
);
CREATE TABLE draws (  -- what an attempt holds of a budget, or has spent of it
    attempt INTEGER NOT NULL REFERENCES attempts,
    budget INTEGER NOT NULL REFERENCES budgets,
    held_pd INTEGER NOT NULL,
    spent_pd INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (attempt, budget)
) WITHOUT ROWID;
CREATE INDEX draws_held ON draws (budget) WHERE held_pd > 0;
CREATE TABLE standing (  -- budgets that the command's calls carry
    tag TEXT NOT NULL,
    per TEXT NOT NULL,
    limit_pd INTEGER NOT NULL,
    PRIMARY KEY (tag, per)
);
"""

MIGRATIONS = {"first": _FIRST}
"""By name, in order. One that has been released never changes; what comes next is added."""


def opened(path: str, locked_s: float = LOCKED_S, *, make: bool = True) -> sqlite3.Connection:
    """Return a connection to the ledger at `path`, for one thread, that begins and commits only when told to.

    The file is made, if it isn't there and `make` says so, for its owner's eyes only (0600).

    Raises:
        ConfigurationError: the file can't be written, or isn't a ledger that this barechat can read.
    """
    check_version(sqlite3.sqlite_version_info)
    with faults_of(path):
        _check_path(path, make=make)
        db = sqlite3.connect(path, isolation_level=None, timeout=locked_s, check_same_thread=False)
        try:
            db.execute("SELECT json_extract('[1]', '$[0]')")  # which a build can lack before 3.38
            _check(db, path)
            _have_write_ahead_log(db, path, locked_s)
            db.execute("PRAGMA busy_timeout = 0")  # we wait ourselves: see `begin`
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA temp_store = MEMORY")
            _migrate(db, path, locked_s)
        except BaseException:
            db.close()
            raise
    return db


def opened_to_read(path: str) -> sqlite3.Connection:
    """Return a connection that only reads. It never waits for a writer, nor does one wait for it.

    Raises:
        ConfigurationError: there is no such file, or it isn't a ledger that this barechat can read.
    """
    if not os.path.exists(path):  # noqa: PTH110 - SQLite's own message doesn't say so
        raise ConfigurationError(f"there is no ledger at {path}")
    with faults_of(path):
        db = sqlite3.connect(path, isolation_level=None, timeout=LOCKED_S)
        try:
            db.execute("PRAGMA query_only = ON")
            _check(db, path)
            _missing(db, path)
        except BaseException:
            db.close()
            raise
    return db


def begin(db: sqlite3.Connection, locked_s: float = LOCKED_S, is_over: Callable[[], bool] = lambda: False) -> None:
    """Begin a transaction that writes, once no other program has one.

    SQLite's own waiting sleeps ever longer, up to 100 ms, and so starves whoever has waited the longest.

    is_over: asked now and then while it waits, whether it has waited long enough.
    """
    _once_unlocked(db, "BEGIN IMMEDIATE", locked_s, is_over)


def _once_unlocked(
    db: sqlite3.Connection, statement: str, locked_s: float, is_over: Callable[[], bool] = lambda: False
) -> sqlite3.Cursor:
    give_up_at = time.monotonic() + locked_s
    while True:
        try:
            return db.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or is_over() or time.monotonic() >= give_up_at:
                raise
            time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311 - so that two don't wait in step


def check_version(version: tuple[int, ...]) -> None:
    """Raise a ConfigurationError if a SQLite of this version lacks what a ledger needs."""
    if version < OLDEST_SQLITE:
        has, needs = (".".join(map(str, numbers)) for numbers in (version, OLDEST_SQLITE))
        raise ConfigurationError(
            f"a Ledger needs SQLite {needs} or newer, and this Python has {has}: use another build of Python"
        )


def file_number(path: str) -> tuple[int, int] | None:
    """Return what tells the file at `path` from others that have been there; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - not opened: to close it would let go of this process's locks on it
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def faults_of(path: str) -> Iterator[None]:
    """Make SQLite's errors, and the system's about the file, ours: they say what is wrong with it, and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise meant(error, path) from error
    except OSError as error:
        raise ConfigurationError(
            f"the ledger {path} can't be opened: {error.strerror or error}. Name a path that may be written"
        ) from error


_READ_ONLY = "can't be written: it, or its directory, is read-only; change that, or name another path"
_MEANINGS = {
    sqlite3.SQLITE_NOTADB: "is no SQLite file: name another path",
    sqlite3.SQLITE_CORRUPT: "is corrupt: move it aside and make a new one (`sqlite3 FILE .recover` may save its rows)",
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_FULL: "can't be written: the disk is full; make room on it",
    sqlite3.SQLITE_IOERR: "can't be read or written: its disk failed, or is full; look at the disk",
    sqlite3.SQLITE_BUSY: "is locked by another program: end it, or its transaction",
    sqlite3.SQLITE_CANTOPEN: "can't be opened: is its directory there, and may it be written?",
}


def meant(error: sqlite3.Error, path: str) -> ConfigurationError:
    """Return what an error of SQLite's says of the file."""
    code = getattr(error, "sqlite_errorcode", None)
    known = _MEANINGS.get(code & 0xFF) if code is not None else None
    return ConfigurationError(f"the ledger {path} {known or f'failed: {error}'}")


def _check_path(path: str, *, make: bool) -> None:
    """Refuse what SQLite would only say of that it "can't open" it, and make the file if it is to be made."""
    if os.path.isdir(path):  # noqa: PTH112 - as text, for SQLite
        raise ConfigurationError(f"the ledger {path} is a directory: name a file in it")
    directory = os.path.dirname(os.path.realpath(path))  # noqa: PTH120 - likewise
    if not os.path.isdir(directory):  # noqa: PTH112 - likewise
        raise ConfigurationError(f"the ledger {path} can't be made: there is no directory {directory}; make it first")
    if make:
        with contextlib.suppress(FileExistsError):  # which isn't opened: to close it would let go of SQLite's locks
            os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    elif file_number(path) is None:
        raise ConfigurationError(
            f"the ledger {path} is gone: it was moved or deleted while in use. Put it back, or begin a new one with "
            "Ledger(path); what its budgets had spent went with it"
        )
    if not os.access(path, os.W_OK):  # of such a file SQLite says so only when it is written
        raise ConfigurationError(f"the ledger {path} {_READ_ONLY}")


def _have_write_ahead_log(db: sqlite3.Connection, path: str, locked_s: float) -> None:
    # SQLite's own waiting doesn't cover this, and several processes may make the file at once.
    (mode,) = _once_unlocked(db, "PRAGMA journal_mode = WAL", locked_s).fetchone()
    if mode != "wal":
        raise ConfigurationError(
            f"the ledger {path} can't have a write-ahead log (its journal is {mode!r}): put it on a disk of this "
            "machine, not on a network's"
        )


def _check(db: sqlite3.Connection, path: str) -> None:
    # In this order: whoever makes the file at the same time commits its tables and its number together.
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if tables and application != APPLICATION_ID:
        raise ConfigurationError(f"{path} is a SQLite file, but no barechat ledger: name another path")


def _missing(db: sqlite3.Connection, path: str) -> list[str]:
    """Return the migrations that a file lacks."""
    (made,) = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'migrations'").fetchone()
    done = {name for (name,) in db.execute("SELECT name FROM migrations")} if made else set()
    unknown = sorted(done - MIGRATIONS.keys())
    if unknown:
        raise ConfigurationError(
            f"the ledger {path} was written by a newer barechat (it has {', '.join(unknown)}): upgrade, or name "
            "another path"
        )
    return [name for name in MIGRATIONS if name not in done]


def _migrate(db: sqlite3.Connection, path: str, locked_s: float) -> None:
    if not _missing(db, path):
        return
    begin(db, locked_s)
    try:
        for name in _missing(db, path):  # again: another process may have come first
            db.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, at REAL NOT NULL)")
            for statement in _statements(MIGRATIONS[name]):
                db.execute(statement)
            db.execute("INSERT INTO migrations VALUES (?, ?)", (name, time.time()))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """Yield a script's statements: `executescript` would commit what was begun."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
