"""The ledger's file: schema, creation, connections, and SQLite's errors in plain words."""

from __future__ import annotations

import functools
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import platformdirs

from .packing import BusyLedgerError, DamagedLedgerError, LedgerError

LEDGER_VARIABLE = "VOLVELLE_LEDGER"
APPLICATION = 0x566F6C76  # "Volv": tells a ledger from any other SQLite file
SCHEMA = 1
BUSY_SECONDS = 30.0  # a transaction takes milliseconds; a lock held this long is no transaction
CREATION_SECONDS = (
    2.0  # another process may be between creating the file and writing its first page
)

TABLES = """
CREATE TABLE models (
    key TEXT PRIMARY KEY,      -- sha256 of the canonical JSON of identity and parameters
    solver TEXT NOT NULL,
    version TEXT NOT NULL,
    identity TEXT NOT NULL,    -- canonical JSON
    parameters TEXT NOT NULL   -- canonical JSON
);
CREATE TABLE solutions (
    id INTEGER PRIMARY KEY,
    model TEXT NOT NULL REFERENCES models (key),
    request TEXT NOT NULL,     -- JSON
    arrays BLOB,               -- safetensors
    failure TEXT,              -- the solver's own words
    seconds REAL NOT NULL,     -- what the solution cost
    created REAL NOT NULL,     -- seconds since 1970, UTC
    run TEXT NOT NULL,         -- who paid for it
    sha256 TEXT NOT NULL,      -- of all of the above but id
    CHECK ((arrays IS NULL) <> (failure IS NULL))
);
CREATE INDEX solutions_of_model ON solutions (model);
"""


def default_ledger() -> Path:
    """The ledger of exact solutions: ``VOLVELLE_LEDGER``, else a file in the user's data folder."""
    named = os.environ.get(LEDGER_VARIABLE)
    if named:
        return Path(named).expanduser()
    return platformdirs.user_data_path("volvelle") / "ledger.sqlite"


@functools.cache
def _empty_ledger() -> bytes:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLES)
        connection.execute(f"PRAGMA application_id={APPLICATION}")
        connection.execute(f"PRAGMA user_version={SCHEMA}")
        return connection.serialize()


def create_file(path: Path) -> None:
    """Write an empty ledger unless the file exists.

    The file is created exclusively and written in one piece, so that an empty file met later is
    damage and not a beginning (SQLite alone takes a file truncated to nothing for a new database).
    """
    if path.is_file():
        return
    if path.exists():
        raise LedgerError(f"ledger {path} is not a file: give the path of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            file.write(_empty_ledger())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if path.is_file():  # another process was faster
            return
        raise LedgerError(f"cannot create ledger {path}: {error.strerror}") from error


@contextmanager
def connect(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one operation, so that a ledger may cross threads, forks and pickles.

    The rollback journal is chosen over WAL: WAL needs memory shared between processes, which
    network file systems lack, and leaves recent solutions in a second file that a copy of the first
    would miss; its speed buys nothing where a commit takes milliseconds and a solution seconds.
    With this journal, EXTRA makes a commit survive a loss of power (FULL may roll the last back).
    """
    _refuse_stump(path)
    try:
        uri = f"{path.resolve().as_uri()}?mode=rw"
        with closing(
            sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        ) as connection:
            # Damaged text must reach the row's hash, not stop at its decoding.
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("PRAGMA synchronous=EXTRA")
            connection.execute("PRAGMA foreign_keys=ON")
            _check_header(connection, path)
            yield connection
    except sqlite3.Error as error:
        raise _translate(error, path) from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; takes the writer's lock at once, waiting up to BUSY_SECONDS."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _refuse_stump(path: Path) -> None:
    deadline = time.monotonic() + CREATION_SECONDS
    while True:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise LedgerError(f"cannot read ledger {path}: {error.strerror}") from error
        if size >= len(_empty_ledger()):
            return
        if time.monotonic() > deadline:
            raise DamagedLedgerError(
                f"ledger {path} is damaged: {size} bytes are less than an empty ledger has; "
                "give another path, restore a copy, or move the file away and let its models be "
                "solved again"
            )
        time.sleep(0.01)


def _check_header(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise LedgerError(f"{path} is an SQLite file but no ledger: give another path")
    if version != SCHEMA:
        raise LedgerError(
            f"ledger {path} has format {version}, this Volvelle reads {SCHEMA}: "
            "use the Volvelle that wrote it, or another path"
        )


def _translate(error: sqlite3.Error, path: Path) -> LedgerError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusyLedgerError(
            f"ledger {path} was locked by another process for {BUSY_SECONDS:g} s: "
            "wait for that one, or give this run a ledger of its own"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedLedgerError(
            f"ledger {path} is damaged ({error}): restore a copy, "
            "or move the file away and let its models be solved again"
        )
    return LedgerError(f"ledger {path} cannot be used ({error}): mend that, or give another path")
