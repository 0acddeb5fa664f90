"""The ledger: every exact solution, stored the moment it is finished, and never solved twice."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from .errors import RequestError
from .ledger_file import connect, create_file, transaction
from .packing import (
    DamagedLedgerError,
    LedgerError,
    canonical_json,
    digest,
    model_key,
    pack,
    unpack,
)
from .request import Request, restrict

MERGE_ROWS = 100  # rows per transaction: one commit each would take minutes for a large ledger


@dataclass(frozen=True)
class LedgerEntry:
    """A solution, or the words of a failure; `seconds` [s] is its cost and `run` who paid it.

    `cached` tells what was looked up from what was solved now; `stored` is False for a failure that
    is not the model's own (a worker killed from outside), which the next run tries again.
    """

    theory: dict[str, Any] | None = None
    failure: str | None = None
    seconds: float = 0.0
    run: str = ""
    created: float = 0.0
    cached: bool = False
    stored: bool = True

    @property
    def failed(self) -> bool:
        """True if there is no solution."""
        return self.theory is None


@dataclass(frozen=True)
class SolverCount:
    """What a ledger holds of one version of a solver; `bytes` of arrays, `seconds` [s] paid."""

    solver: str
    version: str
    solutions: int
    failures: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class LedgerStatus:
    """Size of a ledger; `bytes` is the size of the file."""

    path: Path
    bytes: int
    solvers: tuple[SolverCount, ...] = field(default=())

    @property
    def solutions(self) -> int:
        """Number of solutions of all solvers."""
        return sum(count.solutions for count in self.solvers)

    @property
    def failures(self) -> int:
        """Number of failures of all solvers."""
        return sum(count.failures for count in self.solvers)


class _Row(NamedTuple):
    id: int
    model: str
    request: str
    arrays: bytes | None
    failure: str | None
    seconds: float
    created: float
    run: str
    sha256: str

    def digest(self) -> str:
        fields = self._asdict()
        for name in ("id", "arrays", "sha256"):
            del fields[name]
        return digest(fields, self.arrays)


_COLUMNS = ", ".join(_Row._fields)


class Ledger:
    """Exact solutions in one SQLite file, keyed by solver, settings and every parameter.

    Written by the parent process only; several runs may share the file, each waiting for the
    other's commits. Every method is one durable step: what has returned survives `kill -9`.
    Every row carries a sha256 that is verified whenever it is read.
    With `create=False` a missing file is an error. Raises LedgerError, DamagedLedgerError,
    BusyLedgerError.
    """

    def __init__(self, path: str | Path, create: bool = True) -> None:
        self.path = Path(path).expanduser().absolute()
        if create:
            create_file(self.path)
        with connect(self.path):
            pass  # says now what is wrong with the file

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r})"

    def lookup(
        self, identity: Mapping[str, str], parameters: Mapping[str, Any], request: Request
    ) -> LedgerEntry | None:
        """What is known of a model: a solution cut to `request`, a failure, or None.

        A solution of a larger request serves a smaller one; a failure of a smaller request stands
        for a larger one, which would ask for the same and more. Of an older revision of requests
        only what is still valid serves, and no failure: what failed may have been what changed.
        """
        key = model_key(identity, parameters)
        with connect(self.path) as connection:
            rows = self._rows(connection, key)
        for row in rows:
            if row.arrays is not None and self._request(row).covers(request):
                theory = restrict(unpack(row.arrays), request)
                return LedgerEntry(theory, None, row.seconds, row.run, row.created, cached=True)
        for row in rows:
            if row.failure is None or self._outdated(row):
                continue
            if request.covers(self._request(row)):
                return LedgerEntry(
                    None, row.failure, row.seconds, row.run, row.created, cached=True
                )
        return None

    def store(
        self,
        identity: Mapping[str, str],
        parameters: Mapping[str, Any],
        request: Request,
        theory: Mapping[str, Any],
        seconds: float,
        run: str,
    ) -> None:
        """Keep a solution; it replaces what it covers. Raises LedgerError for NaN or infinity."""
        arrays = pack(restrict(theory, request))
        self._store(identity, parameters, request, arrays, None, seconds, run)

    def store_failure(
        self,
        identity: Mapping[str, str],
        parameters: Mapping[str, Any],
        request: Request,
        message: str,
        seconds: float,
        run: str,
    ) -> None:
        """Keep the solver's own words about a model that it cannot solve."""
        self._store(identity, parameters, request, None, message, seconds, run)

    def status(self) -> LedgerStatus:
        """Counts per solver and version, and the size of the file."""
        with connect(self.path) as connection:
            rows = connection.execute(
                "SELECT solver, version, COUNT(arrays), COUNT(failure),"
                " COALESCE(SUM(LENGTH(arrays)), 0), SUM(seconds)"
                " FROM solutions JOIN models ON model = key"
                " GROUP BY solver, version ORDER BY solver, version"
            ).fetchall()
        counts = tuple(SolverCount(*row) for row in rows)
        return LedgerStatus(self.path, self.path.stat().st_size, counts)

    def check(self) -> int:
        """Verify the file's structure and every row; return the number of rows.

        Raises DamagedLedgerError with the number of bad rows and what to do.
        """
        with connect(self.path) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
            if verdict != "ok" or orphan is not None:
                words = verdict if verdict != "ok" else "a solution has lost its model"
                raise DamagedLedgerError(
                    f"ledger {self.path} is damaged ({' '.join(str(words).split())}): restore a "
                    "copy, or move the file away and let its models be solved again"
                )
            total = len(_identifiers(connection))
            damaged = self._damaged(connection)
        if damaged:
            raise DamagedLedgerError(
                f"ledger {self.path} is damaged: {len(damaged)} of {total} rows are not what was "
                f"written (first: row {damaged[0]}); {self._cure}"
            )
        return total

    def merge(self, other: Ledger | str | Path) -> int:
        """Take over what another ledger knows and this one does not; return the number of rows."""
        source = other if isinstance(other, Ledger) else Ledger(other, create=False)
        if source.path.samefile(self.path):
            raise LedgerError(f"ledger {self.path} cannot be merged into itself: give another one")
        added = 0
        with connect(source.path) as theirs, connect(self.path) as ours:
            for identifiers in _chunks(_identifiers(theirs), MERGE_ROWS):
                rows = [source._verified(row) for row in _read(theirs, identifiers)]
                models = {row.model: source._model(theirs, row.model) for row in rows}
                with transaction(ours):
                    added += sum(self._insert(ours, models[row.model], row) for row in rows)
        return added

    def prune(
        self,
        *,
        solver: str | None = None,
        version: str | None = None,
        failures: bool = False,
        older_than: timedelta | None = None,
        damaged: bool = False,
    ) -> int:
        """Remove the rows that meet all the conditions given; return their number.

        `failures` and `damaged` narrow the removal to such rows; removed failures are tried again
        when next asked for. Raises LedgerError without any condition: that would remove everything.
        """
        conditions: list[str] = ["failure IS NOT NULL"] if failures else []
        values: list[Any] = []
        for name, value in (("solver", solver), ("version", version)):
            if value is not None:
                conditions.append(f"model IN (SELECT key FROM models WHERE {name} = ?)")
                values.append(value)
        if older_than is not None:
            conditions.append("created < ?")
            values.append(time.time() - older_than.total_seconds())
        if not conditions and not damaged:
            raise LedgerError("prune without a condition would remove everything: give one")
        where = " AND ".join(conditions) or "TRUE"
        with connect(self.path) as connection:
            with transaction(connection):
                found = connection.execute(f"SELECT id FROM solutions WHERE {where}", values)
                chosen = {identifier for (identifier,) in found}
                if damaged:
                    chosen &= set(self._damaged(connection))
                _delete(connection, chosen)
                connection.execute(
                    "DELETE FROM models WHERE key NOT IN (SELECT model FROM solutions)"
                )
            if chosen:
                connection.execute("VACUUM")  # gives the space back
        return len(chosen)

    @property
    def _cure(self) -> str:
        return (
            "restore a copy, or drop the damaged rows (Ledger.prune(damaged=True)) "
            "and let their models be solved again"
        )

    def _rows(self, connection: sqlite3.Connection, key: str) -> list[_Row]:
        query = f"SELECT {_COLUMNS} FROM solutions WHERE model = ? ORDER BY id"
        found = connection.execute(query, (key,)).fetchall()
        return [self._verified(_Row(*row)) for row in found]

    def _verified(self, row: _Row) -> _Row:
        if row.digest() != row.sha256:
            raise DamagedLedgerError(
                f"ledger {self.path} is damaged: row {row.id} is not what was written; {self._cure}"
            )
        return row

    def _request(self, row: _Row) -> Request:
        try:
            return Request.from_json(row.request)
        except (ValueError, KeyError, TypeError, RequestError) as error:
            raise LedgerError(
                f"ledger {self.path}, row {row.id}: this Volvelle does not know the request "
                f"{row.request}: use the Volvelle that wrote it, or prune the row"
            ) from error

    def _outdated(self, row: _Row) -> bool:
        """Whether a row's request is of an older revision, of which a part is left out."""
        return self._request(row).to_json() != row.request

    def _model(self, connection: sqlite3.Connection, key: str) -> tuple[str, ...]:
        query = "SELECT key, solver, version, identity, parameters FROM models WHERE key = ?"
        model = connection.execute(query, (key,)).fetchone()
        if not _model_is_whole(model):
            raise DamagedLedgerError(
                f"ledger {self.path} is damaged: model {key[:12]} is not what was written; "
                f"{self._cure}"
            )
        return model

    def _store(
        self,
        identity: Mapping[str, str],
        parameters: Mapping[str, Any],
        request: Request,
        arrays: bytes | None,
        failure: str | None,
        seconds: float,
        run: str,
    ) -> None:
        missing = [name for name in ("solver", "version") if not identity.get(name)]
        if missing:
            raise LedgerError(f"the solver's identity lacks {missing[0]!r}: it needs one")
        key = model_key(identity, parameters)
        names = (identity["solver"], identity["version"])
        model = (key, *names, canonical_json(identity), canonical_json(parameters))
        row = _Row(0, key, request.to_json(), arrays, failure, float(seconds), time.time(), run, "")
        with connect(self.path) as connection, transaction(connection):
            self._insert(connection, model, row._replace(sha256=row.digest()))

    def _insert(self, connection: sqlite3.Connection, model: tuple[str, ...], row: _Row) -> bool:
        """Add a row unless what is there says as much; remove what the row makes superfluous."""
        wanted = self._request(row)
        if row.failure is not None and self._outdated(row):
            return False  # from another ledger; it stands for nothing
        superfluous = []
        for known in self._rows(connection, row.model):
            request = self._request(known)
            if known.failure is None:
                if request.covers(wanted):
                    return False
                if row.failure is None and wanted.covers(request):
                    superfluous.append(known.id)
            elif self._outdated(known):
                superfluous.append(known.id)
            elif row.failure is None:
                if wanted.covers(request):
                    superfluous.append(known.id)
            elif wanted.covers(request):
                return False
            elif request.covers(wanted):
                superfluous.append(known.id)
        _delete(connection, superfluous)
        connection.execute("INSERT OR IGNORE INTO models VALUES (?, ?, ?, ?, ?)", model)
        places = ", ".join("?" * len(_Row._fields))
        connection.execute(
            f"INSERT INTO solutions ({_COLUMNS}) VALUES ({places})", (None, *row[1:])
        )
        return True

    def _damaged(self, connection: sqlite3.Connection) -> list[int]:
        query = "SELECT key, solver, version, identity, parameters FROM models"
        whole = {model[0] for model in connection.execute(query) if _model_is_whole(model)}
        damaged = []
        for identifiers in _chunks(_identifiers(connection), MERGE_ROWS):
            for row in _read(connection, identifiers):
                if row.model not in whole or row.digest() != row.sha256:
                    damaged.append(row.id)
        return damaged


def _model_is_whole(model: tuple[str, ...] | None) -> bool:
    if model is None:
        return False
    key, solver, version, identity, parameters = model
    try:
        who, what = json.loads(identity), json.loads(parameters)
        return model_key(who, what) == key and (who["solver"], who["version"]) == (solver, version)
    except (ValueError, KeyError, TypeError, LedgerError):  # damaged text may not even be JSON
        return False


def _identifiers(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT id FROM solutions ORDER BY id").fetchall()]


def _read(connection: sqlite3.Connection, identifiers: list[int]) -> list[_Row]:
    places = ", ".join("?" * len(identifiers))
    query = f"SELECT {_COLUMNS} FROM solutions WHERE id IN ({places}) ORDER BY id"
    return [_Row(*row) for row in connection.execute(query, identifiers).fetchall()]


def _chunks(identifiers: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(identifiers), size):
        yield identifiers[start : start + size]


def _delete(connection: sqlite3.Connection, identifiers: Iterable[int]) -> None:
    connection.executemany("DELETE FROM solutions WHERE id = ?", [(id,) for id in identifiers])
