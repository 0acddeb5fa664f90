"""1000 background-only solutions through two Dask workers, against the best that two can do.

Scheduler, two workers of one thread and this program share the machine. In turns, a quarter at a
time, the same models are solved by CLASS through `DaskExecutor` and one after the other in this
process, each into a ledger of its own; at the end the two ledgers are compared bit by bit. Writes
docs/benchmarks/cluster.md; the ratios are what counts, the times are this machine's.

The ideal rate is that of two workers that never wait: two solutions in the mean time that one takes
in its worker. That mean is taken from the very solutions of the run, so that other programs on the
machine slow both alike. Beside it: twice the rate of the serial solutions of the same turn.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from distributed import LocalCluster

import volvelle
from volvelle.boltzmann import ClassSolver, Ledger, LedgerEntry, Request, solve_many
from volvelle.compute import DaskExecutor, Executor, SerialExecutor
from volvelle.cosmology import Cosmology, planck18

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "cluster.md"
WORKERS = 2
TURNS = 4
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
    failed = sum(entry.failed for entry in entries)
    if failed:
        sys.exit(f"{failed} of {len(entries)} solutions failed: {entries[0].failure}")
    return entries, taken


def equal(one: Ledger, other: Ledger, solver: ClassSolver, models: list[Cosmology]) -> bool:
    """Whether two ledgers hold the same numbers of all models, and nothing else."""
    identity = solver.identity()
    for model in models:
        pair = [book.lookup(identity, model.canonical(), REQUEST) for book in (one, other)]
        first, second = (entry.theory if entry is not None else None for entry in pair)
        if first is None or second is None or first.keys() != second.keys():
            return False
        if any(np.asarray(first[n]).tobytes() != np.asarray(second[n]).tobytes() for n in first):
            return False
    return one.status().solutions == other.status().solutions == len(models)


def main() -> int:
    """Measure, write the page; 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--solutions", type=int, default=1000)
    count = parser.parse_args().solutions
    solver = ClassSolver(non_linear="none", precision=PRECISION)
    models = [planck18().replace(h=float(h)) for h in np.linspace(0.6, 0.75, count)]
    warm = [planck18().replace(h=float(h)) for h in np.linspace(0.5, 0.55, 2 * WORKERS)]
    own: list[float] = []  # [s] per solution, in its worker
    alone: list[float] = []
    took = {"dask": 0.0, "serial": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        books = {
            name: Ledger(Path(folder) / f"{name}.sqlite") for name in ("dask", "serial", "warm")
        }
        with (
            LocalCluster(
                n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1"
            ) as cluster,
            DaskExecutor(cluster=cluster) as executor,
        ):
            solved(solver, warm, books["warm"], executor)  # interpreters start, CLASS is loaded
            for part in np.array_split(np.arange(count), TURNS):
                turn = [models[i] for i in part]
                entries, seconds = solved(solver, turn, books["dask"], executor)
                own += [entry.seconds for entry in entries]
                took["dask"] += seconds
                entries, seconds = solved(solver, turn, books["serial"], SerialExecutor())
                alone += [entry.seconds for entry in entries]
                took["serial"] += seconds
                print(
                    f"{len(own)}: {sum(own) / WORKERS / took['dask']:.3f} of the ideal", flush=True
                )
        same = equal(books["dask"], books["serial"], solver, models)
    ideal = sum(own) / WORKERS / took["dask"]
    serial = took["serial"] / WORKERS / took["dask"]
    met = ideal >= LEAST and same
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(count, ideal, serial, same, took, own, alone))
    print(PAGE.read_text())
    return 0 if met else 1


def page(
    count: int,
    ideal: float,
    serial: float,
    same: bool,
    took: dict[str, float],
    own: list[float],
    alone: list[float],
) -> str:
    """The page that docs/ shows."""
    load = os.getloadavg()[1]
    verdict = "yes" if ideal >= LEAST else "MISSED"
    return f"""# Exact solutions through a Dask cluster

Generated by `python benchmarks/cluster.py --solutions {count}`; Volvelle {volvelle.__version__},
Python {platform.python_version()}, {os.cpu_count()} cores, load of the last five minutes
{load:.1f}. Scheduler, two workers and the program that asks share the machine.

{count} background-only solutions of CLASS (`non_linear: none`, coarse sigma8), in {TURNS} turns;
the same models are solved serially in the program's own process, in turn with the cluster.

| what | measured | at least | met |
|---|---|---|---|
| rate over ideal rate | {ideal:.3f} | {LEAST} | {verdict} |
| rate over twice the serial rate | {serial:.3f} | - | - |
| ledgers equal bit by bit | {"yes" if same else "NO"} | yes | {"yes" if same else "MISSED"} |

- The ideal rate is that of two workers that never wait: 2 / (mean time of a solution in its
  worker). It is taken from the same solutions, so that whatever else the machine does slows both
  alike. It does not see what the scheduler and the program take from the workers' two cores. The
  second line does, and it also sees that two processes share what the serial one had to itself.
- Cluster: {took["dask"]:.0f} s in all, a solution takes {np.mean(own):.3f} s in its worker;
  serial: {took["serial"]:.0f} s, a solution takes {np.mean(alone):.3f} s.
- Starting the workers and loading CLASS is not counted.
"""


if __name__ == "__main__":
    sys.exit(main())
