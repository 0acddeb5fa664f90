"""1000 background-only solutions through two Dask workers, against the best that two can do.

Scheduler, two workers of one thread and this program share the machine. In turns the same models
are solved by CLASS through `DaskExecutor`, by two plain processes (`ProcessExecutor`) and one after
the other in this process, each into a ledger of its own. The ledgers are compared bit by bit.
Writes docs/benchmarks/cluster.md after every turn; the ratios are what counts, the times are this
machine's.

The ideal rate is that of two workers that never wait: two solutions in the mean time that one takes
in its worker. That mean is taken from the very solutions of the run, so that other programs on the
machine slow both alike. Beside it: the rate of the two plain processes in the same turns.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from distributed import LocalCluster

import volvelle
from volvelle.boltzmann import (
    ClassSolver,
    Ledger,
    LedgerEntry,
    Request,
    failure_summary,
    solve_many,
)
from volvelle.compute import DaskExecutor, Executor, ProcessExecutor, SerialExecutor
from volvelle.cosmology import Cosmology, planck18

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "cluster.md"
WORKERS = 2
TURNS = 10
LEAST = 0.9  # of the ideal rate
REQUEST = Request(spectra=(), background=True)
PRECISION = {  # sigma8, which every solution holds, to a percent: short solutions are the hard case
    "k_per_decade_for_pk": 3,
    "k_per_decade_for_bao": 3,
    "reionization_optical_depth_tol": 1e-2,
    "tol_perturbations_integration": 1e-3,
}


def solved(
    solver: ClassSolver, models: list[Cosmology], ledger: Ledger, executor: Executor
) -> tuple[list[LedgerEntry], float]:
    """Entries of models, and the time that they took together [s]."""
    started = time.perf_counter()
    entries = solve_many(solver, models, REQUEST, ledger, executor, "benchmark")
    taken = time.perf_counter() - started
    failed, words = failure_summary(entries)
    if failed:
        sys.exit(f"{failed} of {len(entries)} solutions failed: {words}")
    return entries, taken


def equal(one: Ledger, other: Ledger, solver: ClassSolver, models: list[Cosmology]) -> bool:
    """Whether two ledgers hold the same numbers of all these models."""
    identity = solver.identity()
    for model in models:
        pair = [book.lookup(identity, model.canonical(), REQUEST) for book in (one, other)]
        first, second = (entry.theory if entry is not None else None for entry in pair)
        if first is None or second is None or first.keys() != second.keys():
            return False
        if any(np.asarray(first[n]).tobytes() != np.asarray(second[n]).tobytes() for n in first):
            return False
    return True


@dataclass
class Measured:
    """What is known after some turns: times [s] of solutions, and of all turns together."""

    count: int
    own: list[float] = field(default_factory=list)
    processes: list[float] = field(default_factory=list)
    dask: float = 0.0
    plain: float = 0.0
    equal: bool = True

    @property
    def ideal(self) -> float:
        """Rate of the cluster over that of workers that never wait."""
        return sum(self.own) / WORKERS / self.dask

    @property
    def peer(self) -> float:
        """Rate of the cluster over that of plain processes."""
        return self.plain / self.dask

    @property
    def met(self) -> bool:
        """Whether all bounds are."""
        return self.ideal >= LEAST and self.equal


def main() -> int:
    """Measure, write the page; 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--solutions", type=int, default=1000)
    count = parser.parse_args().solutions
    solver = ClassSolver(non_linear="none", precision=PRECISION)
    models = [planck18().replace(h=float(h)) for h in np.linspace(0.6, 0.75, count)]
    warm = [planck18().replace(h=float(h)) for h in np.linspace(0.5, 0.55, 2 * WORKERS)]
    found = Measured(count)
    with tempfile.TemporaryDirectory() as folder:
        names = ("dask", "plain", "serial", "warm")
        books = {name: Ledger(Path(folder) / f"{name}.sqlite") for name in names}
        with (
            LocalCluster(
                n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1"
            ) as cluster,
            DaskExecutor(cluster=cluster) as executor,
            ProcessExecutor(WORKERS) as processes,
        ):
            for each, book in ((executor, "warm"), (processes, "serial")):
                solved(solver, warm, books[book], each)  # interpreters start, CLASS is loaded
            for part in np.array_split(np.arange(count), TURNS):
                turn = [models[i] for i in part]
                entries, seconds = solved(solver, turn, books["dask"], executor)
                found.own += [entry.seconds for entry in entries]
                found.dask += seconds
                entries, seconds = solved(solver, turn, books["plain"], processes)
                found.processes += [entry.seconds for entry in entries]
                found.plain += seconds
                solved(solver, turn, books["serial"], SerialExecutor())
                for other in ("plain", "serial"):
                    found.equal &= equal(books["dask"], books[other], solver, turn)
                PAGE.parent.mkdir(parents=True, exist_ok=True)
                PAGE.write_text(page(found))
                print(
                    f"{len(found.own)} solutions: {found.ideal:.3f} of the ideal rate", flush=True
                )
            found.equal &= books["dask"].status().solutions == count
    PAGE.write_text(page(found))
    print(PAGE.read_text())
    return 0 if found.met else 1


def page(found: Measured) -> str:
    """The page that docs/ shows."""
    load = os.getloadavg()[1]
    verdict = "yes" if found.ideal >= LEAST else "MISSED"
    done = len(found.own)
    ledgers = ("yes", "yes") if found.equal else ("NO", "MISSED")
    stopped = "" if done == found.count else f"STOPPED after {done} of them.\n"
    return f"""# Exact solutions through a Dask cluster

Generated by `python benchmarks/cluster.py --solutions {found.count}`; Volvelle
{volvelle.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, load of the last
five minutes {load:.1f}. Scheduler, two workers and the program that asks share the machine.

{found.count} background-only solutions of CLASS (`non_linear: none`, coarse sigma8), in {TURNS}
turns: by the cluster, by two plain processes, and one after the other in the program itself.
{stopped}

| what | measured | at least | met |
|---|---|---|---|
| rate over ideal rate | {found.ideal:.3f} | {LEAST} | {verdict} |
| rate over that of two plain processes | {found.peer:.3f} | - | - |
| the three ledgers equal bit by bit | {ledgers[0]} | yes | {ledgers[1]} |

- The ideal rate is that of two workers that never wait: 2 / (mean time of a solution in its
  worker). It is taken from the same solutions, so that whatever else the machine does slows both
  alike. It does not see what the scheduler and the program take from the workers' two cores; the
  second line does, as far as the machine's load is the same for both.
- Cluster: {found.dask:.0f} s in all, a solution takes {np.mean(found.own):.3f} s in its worker;
  plain processes: {found.plain:.0f} s, a solution takes {np.mean(found.processes):.3f} s.
- Starting the workers and loading CLASS is not counted.
"""


if __name__ == "__main__":
    sys.exit(main())
