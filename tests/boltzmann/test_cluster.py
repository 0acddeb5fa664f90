"""Exact solutions on a Dask cluster: nothing is lost or solved again, nothing wrong is stored."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from dask_cluster import dask_cluster, kill, wait_until
from volvelle.boltzmann import ClassSolver
from volvelle.boltzmann.ledger import Ledger
from volvelle.boltzmann.request import Request
from volvelle.boltzmann.solve import solve_many
from volvelle.compute import DaskExecutor, ExecutorError, SerialExecutor, UnfitWorkerError
from volvelle.cosmology import planck18
from volvelle.errors import VolvelleError

HERE = Path(__file__).parent
REQUEST = Request(spectra=("lensed_tt",), lmax=30)
OTHER_CLASS = "import classy\nclassy.__version__ = 'v3.0.1'\n"


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


@pytest.fixture
def cluster(tmp_path):
    with dask_cluster(tmp_path, HERE) as made:
        yield made


def calls(log: Path) -> list[float]:
    """The models that were begun, one number per beginning."""
    return sorted(float(path.name.rsplit("-", 1)[0]) for path in log.iterdir())


def models(fake, count: int) -> list:
    return [fake.FakeCosmology(0.1 + n / 100) for n in range(count)]


def same(one: Ledger, other: Ledger, fake, solver, wanted) -> bool:
    """Whether two ledgers hold the same solutions of models, bit by bit."""
    for model in wanted:
        pair = [book.lookup(solver.identity(), model.canonical(), REQUEST) for book in (one, other)]
        assert all(entry is not None for entry in pair), model
        first, second = (entry.theory for entry in pair)
        if first.keys() != second.keys() or any(
            np.asarray(first[name]).tobytes() != np.asarray(second[name]).tobytes()
            for name in first
        ):
            return False
    return one.status().solutions == other.status().solutions


def test_a_worker_killed_while_solving(fake, ledger, log, cluster, tmp_path):
    victim, _ = cluster.worker(), cluster.worker()
    solver, wanted = fake.FakeSolver(str(log), seconds=0.2), models(fake, 10)
    stored = []

    def progress(done, total, failed, cached, seconds_left):
        stored.append(ledger.status().solutions)
        if done == 4:
            kill(victim)

    with DaskExecutor(cluster.address, say=lambda _: None) as executor:
        entries = solve_many(solver, wanted, REQUEST, ledger, executor, "run", progress)
    assert not any(entry.failed for entry in entries)
    assert stored == list(range(11))  # each stored as it is finished
    # begun twice: what the victim ran, and what lay finished there and was not fetched yet
    assert len(calls(log)) - 10 <= 3
    serial = Ledger(tmp_path / "serial.sqlite")
    (tmp_path / "serial").mkdir()
    alone = fake.FakeSolver(str(tmp_path / "serial"))
    solve_many(alone, wanted, REQUEST, serial, SerialExecutor(), "run")
    assert same(ledger, serial, fake, solver, wanted)


def test_the_scheduler_lost_while_solving(fake, ledger, log, cluster):
    scheduler, worker = cluster.running[0], cluster.worker()
    solver, wanted = fake.FakeSolver(str(log), seconds=0.2), models(fake, 10)
    finished = []

    def progress(done, total, failed, cached, seconds_left):
        if done == 3 and not finished:
            kill(scheduler)
            worker.wait(60)  # a worker leaves when its scheduler is gone
            finished.extend(calls(log))
            cluster.scheduler()
            cluster.worker()

    with DaskExecutor(cluster.address, say=lambda _: None) as executor:
        entries = solve_many(solver, wanted, REQUEST, ledger, executor, "run", progress)
    assert not any(entry.failed for entry in entries) and ledger.status().solutions == 10
    # the three that were stored are begun once; of the others, those begun before are begun again
    twice = [h for h in set(finished) if calls(log).count(h) == 2]
    assert len(twice) == len(finished) - 3 and len(calls(log)) == 10 + len(twice)


def test_a_cluster_that_is_lost_for_good_and_the_run_repeated(fake, ledger, log, cluster):
    scheduler, worker = cluster.running[0], cluster.worker()
    solver, wanted = fake.FakeSolver(str(log), seconds=0.2), models(fake, 6)

    def progress(done, total, failed, cached, seconds_left):
        if done == 3:
            kill(scheduler)
            worker.wait(60)

    with (
        DaskExecutor(cluster.address, reconnect=0.5, say=lambda _: None) as executor,
        pytest.raises(ExecutorError, match="repeat the command: what is finished is kept"),
    ):
        solve_many(solver, wanted, REQUEST, ledger, executor, "run", progress)
    assert ledger.status().solutions == 3
    entries = solve_many(solver, wanted, REQUEST, ledger, SerialExecutor(), "again")
    assert [entry.cached for entry in entries].count(True) == 3


def test_a_model_that_hangs_is_ended_and_not_stored(fake, ledger, log, cluster):
    cluster.worker()
    hanging = fake.FakeSolver(str(log), seconds=60.0)
    with DaskExecutor(cluster.address, time_limit=1.0, say=lambda _: None) as executor:
        entries = solve_many(hanging, models(fake, 1), REQUEST, ledger, executor, "run")
    quick = fake.FakeSolver(str(log))
    with DaskExecutor(cluster.address, say=lambda _: None) as executor:
        again = solve_many(quick, models(fake, 2), REQUEST, ledger, executor, "run")
    assert "past its limit of 1 s" in entries[0].failure and not entries[0].stored
    assert not any(entry.failed for entry in again)
    assert ledger.status().solutions == 2 and ledger.status().failures == 0


def test_what_the_solver_does_to_itself_is_a_failure_of_the_model(fake, ledger, log, cluster):
    cluster.worker()
    solver = fake.FakeSolver(str(log))
    wanted = [fake.FakeCosmology(h) for h in (fake.CRASHING, fake.BAD, 0.5)]
    with DaskExecutor(cluster.address, say=lambda _: None) as executor:
        entries = solve_many(solver, wanted, REQUEST, ledger, executor, "run")
    assert "SIGSEGV" in entries[0].failure and entries[0].stored
    assert "shooting failed" in entries[1].failure and not entries[2].failed
    assert len(calls(log)) == 3


def other_version(folder: Path) -> Path:
    """A folder whose fake solver is older than that of the tests."""
    folder.mkdir()
    source = (HERE / "fake_solver.py").read_text()
    changed = source.replace('"version": self.version', '"version": "0.9"')
    assert changed != source
    (folder / "fake_solver.py").write_text(changed)
    return folder


def test_a_worker_of_another_version_is_refused(fake, ledger, log, cluster, tmp_path):
    cluster.worker(shim=other_version(tmp_path / "old"))
    cluster.worker()
    said = []
    solver, wanted = fake.FakeSolver(str(log), seconds=0.05), models(fake, 12)
    with DaskExecutor(cluster.address, say=said.append) as executor:
        wait_until(lambda: executor.workers == 2)
        entries = solve_many(solver, wanted, REQUEST, ledger, executor, "run")
        assert executor.workers == 1
    assert not any(entry.failed for entry in entries) and len(calls(log)) == 12
    (refused,) = (line for line in said if "refused" in line)
    assert "another fake there: version 0.9 there, 1.0 here" in refused
    assert ledger.status().solutions == 12 and len(ledger.status().solvers) == 1


def test_only_workers_of_another_version(fake, ledger, log, cluster, tmp_path):
    cluster.worker(shim=other_version(tmp_path / "old"))
    solver = fake.FakeSolver(str(log))
    with (
        DaskExecutor(cluster.address, say=lambda _: None) as executor,
        pytest.raises(ExecutorError, match=r"no worker of .* is fit .*version 0\.9 there, 1\.0 h"),
    ):
        solve_many(solver, models(fake, 3), REQUEST, ledger, executor, "run")
    assert not calls(log) and ledger.status().solutions == 0


def test_a_worker_of_another_class(ledger, cluster, tmp_path):
    pytest.importorskip("classy")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "sitecustomize.py").write_text(OTHER_CLASS)
    cluster.worker(shim=tmp_path / "old")
    with (
        DaskExecutor(cluster.address, say=lambda _: None) as executor,
        pytest.raises(ExecutorError, match=r"another class there: version 3\.0\.1 there, 3\."),
    ):
        solve_many(ClassSolver(), [planck18()], Request(), ledger, executor, "run")
    assert ledger.status().solutions == 0 and ledger.status().failures == 0


def test_a_worker_on_which_the_solver_cannot_be_made(fake, ledger, log):
    class Elsewhere(fake.FakeSolver):
        looks = 0

        def identity(self):
            type(self).looks += 1
            if self.looks > 1:
                raise VolvelleError("the data of fake are not there")
            return super().identity()

    with pytest.raises(UnfitWorkerError, match="no fake there: the data of fake are not there"):
        solve_many(Elsewhere(str(log)), models(fake, 2), REQUEST, ledger, SerialExecutor(), "run")
    assert not calls(log)


def test_a_solver_that_changes_under_a_running_program(fake, ledger, log):
    class Changing(fake.FakeSolver):
        looks = 0

        def identity(self):
            type(self).looks += 1
            return {**super().identity(), "version": str(min(type(self).looks, 2))}

    with pytest.raises(UnfitWorkerError, match=r"solver changed .*version 2 there, 1 here.*repeat"):
        solve_many(Changing(str(log)), models(fake, 2), REQUEST, ledger, SerialExecutor(), "run")
    assert not calls(log) and ledger.status().solutions == 0
