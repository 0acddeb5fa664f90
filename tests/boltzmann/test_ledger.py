"""The ledger: what it keeps, what it serves, and how it says that it is damaged."""

import json
import pickle
import sqlite3
import threading
import time
from datetime import timedelta

import numpy as np
import pytest

from volvelle.boltzmann import ledger_file
from volvelle.boltzmann.ledger import _COLUMNS, Ledger, _Row
from volvelle.boltzmann.packing import (
    BusyLedgerError,
    DamagedLedgerError,
    LedgerError,
    canonical_json,
    model_key,
)
from volvelle.boltzmann.request import SPECTRA, Request

IDENTITY = {"solver": "fake", "version": "1.0", "settings": "{}"}
MODEL = {"h": 0.1 + 0.2, "omega_b": 0.022, "neutrino_hierarchy": "single"}
SMALL = Request(spectra=("lensed_tt",), lmax=10, background=False)
OTHER = Request(spectra=("lensed_ee",), lmax=10, background=False)
LARGE = Request(spectra=("lensed_tt", "lensed_ee"), lmax=20, background=True)


def theory(request: Request, value: float = 1.5) -> dict:
    outputs: dict = dict.fromkeys(request.names(), value)
    for name in request.names():
        if name in SPECTRA:
            outputs[name] = value * np.arange(request.lmax + 1)
        elif name in ("hubble", "transverse_comoving_distance"):
            outputs[name] = value * np.ones(160)
    return outputs


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "folder" / "ledger.sqlite")


def execute(ledger: Ledger, statement: str, *values) -> list:
    with ledger_file.connect(ledger.path) as connection:
        return connection.execute(statement, values).fetchall()


def rows(ledger: Ledger) -> int:
    return execute(ledger, "SELECT COUNT(*) FROM solutions")[0][0]


def test_round_trip_is_exact(ledger):
    stored = theory(LARGE, value=1 / 3)
    ledger.store(IDENTITY, MODEL, LARGE, stored, 4.5, "run-1")
    entry = Ledger(ledger.path).lookup(IDENTITY, MODEL, LARGE)
    assert not entry.failed and entry.cached and entry.seconds == 4.5 and entry.run == "run-1"
    assert list(entry.theory) == list(LARGE.names())
    for name, value in stored.items():
        assert np.shape(entry.theory[name]) == np.shape(value)
        assert np.array_equal(entry.theory[name], value)


def test_every_part_of_the_key_counts(ledger):
    ledger.store(IDENTITY, MODEL, SMALL, theory(SMALL), 1.0, "run")
    assert ledger.lookup(IDENTITY, {**MODEL, "h": 0.3}, SMALL) is None  # 0.1 + 0.2 is not 0.3
    assert ledger.lookup({**IDENTITY, "version": "1.1"}, MODEL, SMALL) is None
    assert ledger.lookup({**IDENTITY, "settings": '{"tol":1}'}, MODEL, SMALL) is None
    assert ledger.lookup(IDENTITY, {**MODEL, "neutrino_hierarchy": "normal"}, SMALL) is None
    assert ledger.lookup(dict(reversed(IDENTITY.items())), MODEL, SMALL) is not None


def test_equal_numbers_make_equal_keys():
    same = [0, 0.0, -0.0, np.float64(0.0), np.array(0.0), np.int64(0)]
    assert len({model_key(IDENTITY, {"m_nu": number}) for number in same}) == 1
    assert canonical_json({"b": 0.1 + 0.2, "a": None}) == '{"a":null,"b":0.30000000000000004}'


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), np.ones(2), object(), b"text"])
def test_what_cannot_be_a_key(bad):
    with pytest.raises(LedgerError, match="ledger key"):
        canonical_json({"h": bad})


def test_larger_solution_serves_smaller_requests(ledger):
    ledger.store(IDENTITY, MODEL, LARGE, theory(LARGE), 1.0, "run")
    for request in (SMALL, OTHER):
        entry = ledger.lookup(IDENTITY, MODEL, request)
        assert set(entry.theory) == set(request.names())
        assert len(entry.theory[request.spectra[0]]) == request.lmax + 1
    assert ledger.lookup(IDENTITY, MODEL, Request(lmax=30)) is None


def test_larger_solution_replaces_smaller_ones(ledger):
    ledger.store(IDENTITY, MODEL, SMALL, theory(SMALL), 1.0, "first")
    ledger.store(IDENTITY, MODEL, OTHER, theory(OTHER), 1.0, "second")
    assert rows(ledger) == 2
    ledger.store(IDENTITY, MODEL, LARGE, theory(LARGE), 1.0, "third")
    assert rows(ledger) == 1 and ledger.lookup(IDENTITY, MODEL, SMALL).run == "third"
    ledger.store(IDENTITY, MODEL, SMALL, theory(SMALL), 1.0, "fourth")
    assert rows(ledger) == 1 and ledger.lookup(IDENTITY, MODEL, SMALL).run == "third"


def test_failure_stands_for_larger_requests_only(ledger):
    ledger.store_failure(IDENTITY, MODEL, LARGE, "shooting failed", 0.5, "run")
    entry = ledger.lookup(IDENTITY, MODEL, LARGE)
    assert entry.failed and entry.failure == "shooting failed" and entry.stored
    assert ledger.lookup(IDENTITY, MODEL, Request(lmax=30)).failed
    assert ledger.lookup(IDENTITY, MODEL, SMALL) is None
    ledger.store(IDENTITY, MODEL, SMALL, theory(SMALL), 1.0, "run")
    assert not ledger.lookup(IDENTITY, MODEL, SMALL).failed
    assert ledger.lookup(IDENTITY, MODEL, LARGE).failed
    ledger.store(IDENTITY, MODEL, LARGE, theory(LARGE), 1.0, "run")
    assert rows(ledger) == 1 and not ledger.lookup(IDENTITY, MODEL, LARGE).failed


def test_failure_of_a_smaller_request_replaces_that_of_a_larger_one(ledger):
    for request in (LARGE, SMALL, LARGE):
        ledger.store_failure(IDENTITY, MODEL, request, "no", 0.5, "run")
    assert rows(ledger) == 1 and ledger.lookup(IDENTITY, MODEL, SMALL).failed


def old_failure(ledger: Ledger) -> None:
    """A failure of short spectra as it was written before their revision."""
    ledger.store_failure(IDENTITY, MODEL, SMALL, "too short", 1.0, "run")
    (row,) = (_Row(*each) for each in execute(ledger, f"SELECT {_COLUMNS} FROM solutions"))
    fields = json.loads(row.request)
    del fields["revision"]
    row = row._replace(request=json.dumps(fields, sort_keys=True))
    execute(ledger, "UPDATE solutions SET request = ?, sha256 = ?", row.request, row.digest())


def test_failure_of_an_older_revision_stands_for_nothing(ledger, tmp_path):
    """Without its short spectra it would stand for every request of the model."""
    old_failure(ledger)
    assert rows(ledger) == 1
    assert ledger.lookup(IDENTITY, MODEL, LARGE) is None
    assert ledger.lookup(IDENTITY, MODEL, SMALL) is None
    fresh = Ledger(tmp_path / "fresh.sqlite")
    fresh.store_failure(IDENTITY, MODEL, LARGE, "by itself", 1.0, "run")
    assert fresh.merge(ledger) == 0
    assert fresh.lookup(IDENTITY, MODEL, LARGE).failure == "by itself"
    ledger.store_failure(IDENTITY, MODEL, LARGE, "still", 1.0, "run")
    assert ledger.lookup(IDENTITY, MODEL, LARGE).failure == "still" and rows(ledger) == 1


def test_numbers_that_are_none_never_enter(ledger):
    bad = theory(SMALL)
    bad["lensed_tt"][3] = np.nan
    with pytest.raises(LedgerError, match="lensed_tt holds NaN"):
        ledger.store(IDENTITY, MODEL, SMALL, bad, 1.0, "run")
    assert rows(ledger) == 0


def test_identity_needs_solver_and_version(ledger):
    with pytest.raises(LedgerError, match="'version'"):
        ledger.store_failure({"solver": "fake"}, MODEL, SMALL, "no", 1.0, "run")


def fill(ledger: Ledger, count: int, run: str = "run", version: str = "1.0") -> None:
    identity = {**IDENTITY, "version": version}
    for n in range(count):
        ledger.store(identity, {"h": n}, SMALL, theory(SMALL, float(n)), 2.0, run)
    ledger.store_failure(identity, {"h": -1}, SMALL, "no", 1.0, run)


def test_status(ledger):
    fill(ledger, 3)
    fill(ledger, 2, version="2.0")
    status = ledger.status()
    assert (status.solutions, status.failures) == (5, 2)
    assert status.bytes == ledger.path.stat().st_size
    first, second = status.solvers
    assert (first.solver, first.version, first.solutions, first.failures) == ("fake", "1.0", 3, 1)
    assert first.seconds == 7.0 and first.bytes > 0 and second.version == "2.0"


def test_merge_is_idempotent_and_keeps_the_larger_solution(ledger, tmp_path):
    other = Ledger(tmp_path / "other.sqlite")
    fill(ledger, 2)
    fill(other, 4, run="theirs")
    other.store(IDENTITY, {"h": 0}, LARGE, theory(LARGE), 1.0, "theirs")
    assert ledger.merge(other.path) == 3  # two new models, one larger solution
    assert ledger.merge(other) == 0
    assert (ledger.status().solutions, ledger.status().failures) == (4, 1)
    assert ledger.lookup(IDENTITY, {"h": 1}, SMALL).run == "run"
    assert ledger.lookup(IDENTITY, {"h": 3}, SMALL).run == "theirs"
    assert not ledger.lookup(IDENTITY, {"h": 0}, LARGE).failed
    assert ledger.check() == 5


def test_merge_refuses_itself_and_what_is_not_there(ledger, tmp_path):
    with pytest.raises(LedgerError, match="into itself"):
        ledger.merge(ledger.path)
    with pytest.raises(LedgerError, match="cannot read ledger"):
        ledger.merge(tmp_path / "absent.sqlite")
    assert not (tmp_path / "absent.sqlite").exists()


def test_prune(ledger):
    fill(ledger, 3)
    fill(ledger, 2, version="2.0")
    with pytest.raises(LedgerError, match="without a condition"):
        ledger.prune()
    assert ledger.prune(solver="other") == 0
    assert ledger.prune(older_than=timedelta(hours=1)) == 0
    assert ledger.prune(version="2.0", failures=True) == 1
    assert ledger.prune(failures=True) == 1
    size = ledger.path.stat().st_size
    assert ledger.prune(solver="fake", version="2.0") == 2
    assert ledger.prune(older_than=timedelta(0)) == 3
    assert ledger.path.stat().st_size < size and ledger.status().solvers == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE solutions SET seconds = 3 WHERE id = 2",
        "UPDATE solutions SET run = 'somebody' WHERE id = 2",
        "UPDATE solutions SET request = replace(request, '10', '11') WHERE id = 2",
        "UPDATE solutions SET run = CAST(x'ff00ff' AS TEXT) WHERE id = 2",
        "UPDATE solutions SET arrays = CAST(substr(arrays, 1, 200) AS BLOB) WHERE id = 2",
    ],
)
def test_damaged_row_is_said_and_can_be_dropped(ledger, statement):
    fill(ledger, 3)
    execute(ledger, statement)
    with pytest.raises(DamagedLedgerError, match=r"ledger\.sqlite.*row 2 is not what was written"):
        ledger.lookup(IDENTITY, {"h": 1}, SMALL)
    with pytest.raises(DamagedLedgerError, match=r"1 of 4 rows .*prune\(damaged=True\)"):
        ledger.check()
    assert not ledger.lookup(IDENTITY, {"h": 2}, SMALL).failed
    assert ledger.prune(damaged=True) == 1
    assert ledger.check() == 3 and ledger.lookup(IDENTITY, {"h": 1}, SMALL) is None


def test_damaged_model_is_said_and_not_merged(ledger, tmp_path):
    fill(ledger, 2)
    execute(ledger, "UPDATE models SET parameters = '{\"h\":7.0}' WHERE rowid = 1")
    with pytest.raises(DamagedLedgerError, match="1 of 3 rows"):
        ledger.check()
    with pytest.raises(DamagedLedgerError, match=r"model .* is not what was written"):
        Ledger(tmp_path / "new.sqlite").merge(ledger)
    assert ledger.prune(damaged=True) == 1 and ledger.check() == 2


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.9])
def test_truncated_file_is_said(ledger, keep, monkeypatch):
    monkeypatch.setattr(ledger_file, "CREATION_SECONDS", 0.05)
    fill(ledger, 20)
    data = ledger.path.read_bytes()
    ledger.path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(DamagedLedgerError, match=r"ledger\.sqlite is damaged"):
        Ledger(ledger.path)


def test_overwritten_pages_are_said(ledger):
    fill(ledger, 40)
    data = bytearray(ledger.path.read_bytes())
    for start in range(4096, len(data), 4096):
        data[start : start + 200] = b"\xa5" * 200
    ledger.path.write_bytes(data)
    with pytest.raises(DamagedLedgerError, match="restore a copy, or move the file away"):
        ledger.check()
    with pytest.raises(DamagedLedgerError):
        ledger.store(IDENTITY, {"h": 99}, SMALL, theory(SMALL), 1.0, "run")


def test_every_flipped_byte_of_the_arrays_is_found(ledger):
    stored = theory(SMALL, 1 / 3)
    ledger.store(IDENTITY, MODEL, SMALL, stored, 1.0, "run")
    data = ledger.path.read_bytes()
    array = stored["lensed_tt"].tobytes()
    start = data.index(array)
    for position in range(start, start + len(array), 7):
        spoiled = bytearray(data)
        spoiled[position] ^= 0x10
        ledger.path.write_bytes(spoiled)
        with pytest.raises(DamagedLedgerError):
            ledger.check()


def test_files_that_are_no_ledger(tmp_path, monkeypatch):
    text = tmp_path / "notes.txt"
    text.write_text("no database at all " * 2000)
    with pytest.raises(DamagedLedgerError, match="file is not a database"):
        Ledger(text)
    text.write_text("no database at all")
    monkeypatch.setattr(ledger_file, "CREATION_SECONDS", 0.0)
    with pytest.raises(DamagedLedgerError, match="give another path, restore a copy, or move"):
        Ledger(text)
    foreign = tmp_path / "foreign.sqlite"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE t (x)")
    connection.executemany("INSERT INTO t VALUES (?)", [("x" * 3000,)] * 20)
    connection.commit()
    connection.close()
    with pytest.raises(LedgerError, match="no ledger"):
        Ledger(foreign)
    with pytest.raises(LedgerError, match="not a file"):
        Ledger(tmp_path)
    (tmp_path / "blocked").write_text("")
    with pytest.raises(LedgerError, match="cannot create ledger"):
        Ledger(tmp_path / "blocked" / "ledger.sqlite")


def test_format_of_a_later_version(ledger):
    execute(ledger, f"PRAGMA user_version={ledger_file.SCHEMA + 1}")
    with pytest.raises(LedgerError, match="use the Volvelle that wrote it"):
        Ledger(ledger.path)


def test_removed_file_is_not_made_anew_in_silence(ledger):
    ledger.path.unlink()
    with pytest.raises(LedgerError, match="cannot read ledger"):
        ledger.lookup(IDENTITY, MODEL, SMALL)


def test_second_writer_waits_and_readers_go_on(ledger):
    ledger.store(IDENTITY, MODEL, SMALL, theory(SMALL), 1.0, "run")
    held = threading.Event()

    def hold():
        with ledger_file.connect(ledger.path) as connection, ledger_file.transaction(connection):
            held.set()
            time.sleep(0.6)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    start = time.monotonic()
    assert ledger.lookup(IDENTITY, MODEL, SMALL) is not None
    read = time.monotonic() - start
    ledger.store(IDENTITY, {"h": 1}, SMALL, theory(SMALL), 1.0, "run")
    written = time.monotonic() - start
    thread.join()
    assert read < 0.5 < written


def test_lock_that_does_not_end_is_said(ledger, monkeypatch):
    monkeypatch.setattr(ledger_file, "BUSY_SECONDS", 0.1)
    with (
        ledger_file.connect(ledger.path) as connection,
        ledger_file.transaction(connection),
        pytest.raises(BusyLedgerError, match="locked by another process"),
    ):
        ledger.store(IDENTITY, MODEL, SMALL, theory(SMALL), 1.0, "run")
    assert rows(ledger) == 0


def test_transaction_that_fails_leaves_nothing(ledger):
    with (
        pytest.raises(KeyError),
        ledger_file.connect(ledger.path) as connection,
        ledger_file.transaction(connection),
    ):
        connection.execute("INSERT INTO models VALUES ('k', 's', 'v', '{}', '{}')")
        raise KeyError
    assert execute(ledger, "SELECT COUNT(*) FROM models") == [(0,)]


def test_pickled_ledger_is_the_same_file(ledger):
    fill(ledger, 1)
    assert pickle.loads(pickle.dumps(ledger)).status().solutions == 1


def test_two_processes_may_create_at_once(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    path.touch()  # what another process sees between creation and the first page

    def finish():
        time.sleep(0.2)
        path.write_bytes(ledger_file._empty_ledger())

    thread = threading.Thread(target=finish)
    thread.start()
    assert Ledger(path).status().solutions == 0
    thread.join()
