"""Solving many: order, reuse, failures, progress, and what a `kill -9` leaves behind."""

import importlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import volvelle
from volvelle.boltzmann.ledger import Ledger, LedgerEntry
from volvelle.boltzmann.request import Request
from volvelle.boltzmann.solve import failure_summary, solve_many
from volvelle.compute import ProcessExecutor, SerialExecutor, UnfitWorkerError

HERE = Path(__file__).parent
SOURCE = Path(volvelle.__file__).parents[1]
REQUEST = Request(spectra=("lensed_tt",), lmax=30)
PATIENCE = 30.0  # [s] how long a loaded machine may take to start two interpreters


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("fake_solver")


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


@pytest.fixture
def log(tmp_path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def processes():
    with ProcessExecutor(2) as executor:
        yield executor


def calls(log: Path) -> int:
    return len(list(log.iterdir()))


def models(fake, *values: float) -> list:
    return [fake.FakeCosmology(value) for value in values]


def test_order_and_each_model_once(fake, ledger, log, processes):
    solver = fake.FakeSolver(str(log))
    wanted = models(fake, 0.5, 0.1, 0.5, 0.3, 0.1)
    entries = solve_many(solver, wanted, REQUEST, ledger, processes, "run-1")
    for model, entry in zip(wanted, entries, strict=True):
        expected = fake.theory(model.h, REQUEST)
        assert set(entry.theory) == set(expected) and entry.run == "run-1"
        assert all(np.array_equal(entry.theory[name], expected[name]) for name in expected)
    assert [entry.cached for entry in entries] == [False, False, True, False, True]
    assert calls(log) == 3 and ledger.status().solutions == 3
    again = solve_many(solver, wanted, REQUEST, ledger, SerialExecutor(), "run-2")
    assert calls(log) == 3 and all(entry.cached and entry.run == "run-1" for entry in again)
    for before, after in zip(entries, again, strict=True):
        assert all(np.array_equal(before.theory[n], after.theory[n]) for n in before.theory)
        assert all(type(before.theory[n]) is type(after.theory[n]) for n in before.theory)


def test_larger_request_is_solved_once_more_and_replaces(fake, ledger, log):
    solver = fake.FakeSolver(str(log))
    larger = Request(spectra=("lensed_tt", "phiphi"), lmax=40, power=True)
    for request in (REQUEST, larger, REQUEST):
        solve_many(solver, models(fake, 0.5), request, ledger, SerialExecutor(), "run")
    assert calls(log) == 2 and ledger.status().solutions == 1


def test_failures_are_recorded_and_not_retried(fake, ledger, log, processes):
    solver = fake.FakeSolver(str(log))
    wanted = models(fake, fake.BAD, 0.4, fake.CRASHING, fake.NOT_FINITE, 0.6)
    entries = solve_many(solver, wanted, REQUEST, ledger, processes, "run")
    assert [entry.failed for entry in entries] == [True, False, True, True, False]
    assert entries[0].failure == "fake: shooting failed\nat line 12"
    assert "killed by SIGSEGV" in entries[2].failure
    assert entries[3].failure == "fake returned NaN or infinity in lensed_tt"
    assert all(entry.stored for entry in entries) and ledger.status().failures == 3
    again = solve_many(solver, wanted, REQUEST, ledger, processes, "run")
    assert [entry.failure for entry in again] == [entry.failure for entry in entries]
    assert calls(log) == 5
    assert ledger.prune(failures=True) == 3
    solve_many(solver, wanted, REQUEST, ledger, processes, "run")
    assert calls(log) == 8


def test_what_is_not_the_models_fault_is_not_kept(fake, ledger, log, processes):
    solver = fake.FakeSolver(str(log))
    wanted = models(fake, fake.KILLED, fake.BROKEN)
    entries = solve_many(solver, wanted, REQUEST, ledger, processes, "run")
    assert "SIGKILL" in entries[0].failure
    assert entries[1].failure == "ZeroDivisionError: a mistake in the program"
    assert not any(entry.stored for entry in entries) and ledger.status().failures == 0


def test_missing_library_stops_at_once(fake, ledger, log):
    solver = fake.FakeSolver(str(log))
    with pytest.raises(UnfitWorkerError, match="no library called fake"):
        wanted = models(fake, fake.ABSENT, 0.5)
        solve_many(solver, wanted, REQUEST, ledger, SerialExecutor(), "run")
    assert calls(log) == 1 and ledger.status().failures == 0


def test_progress(fake, ledger, log):
    solver = fake.FakeSolver(str(log), seconds=0.01)
    solve_many(solver, models(fake, 0.1), REQUEST, ledger, SerialExecutor(), "run")
    seen = []
    wanted = models(fake, 0.1, 0.2, fake.BAD, 0.2)
    solve_many(
        solver, wanted, REQUEST, ledger, SerialExecutor(), "run", lambda *now: seen.append(now)
    )
    assert [now[:4] for now in seen] == [(1, 4, 0, 1), (3, 4, 0, 2), (4, 4, 1, 2)]
    assert seen[0][4] is None and seen[1][4] >= 0.01 and seen[2][4] == 0.0


def test_interrupt_keeps_what_is_finished(fake, ledger, log, processes):
    solver = fake.FakeSolver(str(log))

    def interrupt(done, *_):
        if done == 2:
            raise KeyboardInterrupt

    wanted = models(fake, 0.1, 0.2, 0.3, 0.4)
    with pytest.raises(KeyboardInterrupt):
        solve_many(solver, wanted, REQUEST, ledger, processes, "run", interrupt)
    assert ledger.status().solutions == 2
    solve_many(solver, wanted, REQUEST, ledger, processes, "run")
    assert ledger.status().solutions == 4


def test_nothing_to_solve(fake, ledger, log):
    solver = fake.FakeSolver(str(log))
    assert solve_many(solver, [], REQUEST, ledger, SerialExecutor(), "run") == []


def test_failure_summary():
    entries = [LedgerEntry(failure=words) for words in ("a", "b", "b")] + [LedgerEntry(theory={})]
    assert failure_summary(entries) == (3, "b")
    assert failure_summary(entries[3:]) == (0, "")
    more = [LedgerEntry(failure=f"omega_b = {x} is too high") for x in (0.041, 4.2e-2, 0.05)]
    assert failure_summary(entries + more) == (6, "omega_b = 0.041 is too high")


PROGRAM = """
    import sys
    from fake_solver import FakeCosmology, FakeSolver
    from volvelle.boltzmann.ledger import Ledger
    from volvelle.boltzmann.request import Request
    from volvelle.boltzmann.solve import solve_many
    from volvelle.compute import ProcessExecutor

    ledger, log = sys.argv[1:]
    request = Request(spectra=("lensed_tt",), lmax=30)
    models = [FakeCosmology(0.5 + n / 100) for n in range(16)]
    solver = FakeSolver(log, seconds=0.15)
    with ProcessExecutor(2) as executor:
        entries = solve_many(solver, models, request, Ledger(ledger), executor, sys.argv[0])
    print(sum(entry.cached for entry in entries), sum(entry.failed for entry in entries))
"""


def test_kill_loses_only_what_is_in_flight(tmp_path, log):
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, str(script), str(tmp_path / "ledger.sqlite"), str(log)]
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{HERE}"}
    with subprocess.Popen(command, env=environment) as program:
        deadline = time.monotonic() + PATIENCE
        while calls(log) < 7 and time.monotonic() < deadline:
            time.sleep(0.005)
        program.send_signal(signal.SIGKILL)
    begun = calls(log)
    assert 7 <= begun < 16
    time.sleep(0.4)  # longer than a solution: workers that had outlived the program would go on
    assert calls(log) == begun
    ledger = Ledger(tmp_path / "ledger.sqlite")
    kept = ledger.status().solutions
    assert begun - 2 <= kept <= begun and ledger.check() == kept
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.stdout == f"{kept} 0\n", done.stderr
    assert calls(log) == begun + 16 - kept and ledger.check() == 16


def test_two_processes_write_one_ledger(fake, ledger, processes):
    tasks = [(str(ledger.path), run, 25) for run in ("a", "b")]
    outcomes = list(processes.map(fake.write_rows, tasks))
    assert all(outcome.ok for _, outcome in outcomes), outcomes
    assert ledger.check() == 50


def test_kill_in_the_middle_of_writing(ledger):
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{HERE}"}
    said = 0
    for attempt in range(3):
        task = (str(ledger.path), str(attempt), 10_000)
        command = [sys.executable, "-c", f"import fake_solver; fake_solver.write_rows({task!r})"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as program:
            said += len(program.stderr.read(5 + attempt))
            program.send_signal(signal.SIGKILL)
            said += len(program.stderr.read())
        # A commit may be done and not yet said, so one row per kill is open.
        assert said <= ledger.check() <= said + attempt + 1
