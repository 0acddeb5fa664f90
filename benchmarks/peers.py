"""The frozen emulator against its peers: a call, its gradient, a batch; one core, interleaved.

cosmopower_jax runs in this process with its published networks, jaxcapse (which needs an older JAX)
in one of its own that takes turns with this one. Every peer that is not installed is named as such.
The solver of the run solves some samples of its posterior here as well: that is its time, and the
truth for everyone's error. Writes docs/benchmarks/peers.md.

    python benchmarks/peers.py --from runs/planck-lcdm --jaxcapse-python OTHER/bin/python
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from cosmopower import PARAMETERS, Cosmopower
from emulator_call import LMAX, ROUNDS, SPECTRA, seconds

from volvelle import Configuration
from volvelle.boltzmann import Request, Solver, local_rms
from volvelle.cli.setup import make_solver
from volvelle.cosmology import Cosmology
from volvelle.emulator import load_emulator

jax.config.update("jax_enable_x64", True)

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "peers.md"
POINTS = 6  # samples of the posterior that are solved exactly
BATCH = 1024
TASKS = ("value", "gradient", f"batch {BATCH}")

Jobs = dict[str, Callable[[], float]]
"""Task to a function that measures its time per call [s]."""


def jobs_of(value: Callable[[jax.Array], jax.Array], x: jax.Array) -> Jobs:
    """The three tasks for a function of a vector that gives all spectra as one vector."""
    one, batch = jax.jit(value), jax.jit(jax.vmap(value))
    scale = 1.0 / jnp.maximum(jnp.abs(value(x)), 1e-30)
    both = jax.jit(jax.value_and_grad(lambda point: jnp.sum((value(point) * scale) ** 2)))
    many = jnp.tile(x, (BATCH, 1))
    calls: list[Callable[[], object]] = [
        lambda: jax.block_until_ready(one(x)),
        lambda: jax.block_until_ready(both(x)),
        lambda: jax.block_until_ready(batch(many)),
    ]
    for call in calls:
        call()  # compile
    return {
        task: (lambda call=call: seconds(call)) for task, call in zip(TASKS, calls, strict=True)
    }


def precise(folder: Path, dtype: Any) -> Any:
    """The emulator of a run, in double or single precision."""
    emulator, _ = load_emulator(folder)
    return jax.tree.map(lambda a: a.astype(dtype) if eqx.is_inexact_array(a) else a, emulator)


def ours(folder: Path, dtype: Any) -> Jobs:
    """The tasks for the emulator of a run."""
    emulator, record = load_emulator(folder)
    centre = np.mean(np.array(record["points"]), axis=0)[: len(emulator.parameters)]
    cast = precise(folder, dtype)

    def value(x: jax.Array) -> jax.Array:
        theory = cast(x)
        return jnp.concatenate([theory[name] for name in SPECTRA])

    return jobs_of(value, jnp.asarray(centre, dtype))


@dataclass(frozen=True)
class Truth:
    """Samples of a run's posterior that a solver solved here: their parameters, spectra by name,
    and the processor time of one [s]."""

    solver: str
    points: list[dict[str, float]]
    spectra: list[dict[str, np.ndarray]]
    seconds: float

    @classmethod
    def of(cls, solver: Solver, points: list[dict[str, float]]) -> Truth:
        """Solve; h is known of the points then."""
        known, spectra, times = [], [], []
        for point in points:
            before = time.process_time()
            cosmology = Cosmology.from_parameters(point)
            theory = solver.solve(cosmology, Request(spectra=SPECTRA, lmax=LMAX))
            times.append(time.process_time() - before)
            known.append({**point, "h": float(theory["h"])})
            spectra.append({name: np.asarray(theory[name]) for name in SPECTRA})
        return cls(solver.name, known, spectra, float(np.median(times)))

    def error(self, predict: Callable[[dict[str, float]], dict[str, Any]]) -> tuple[float, float]:
        """68th percentile over l, spectra and points, and largest, in units of the local rms."""
        found = []
        for point, exact in zip(self.points, self.spectra, strict=True):
            spectra = predict(point)
            for name in SPECTRA:
                difference = np.abs(np.asarray(spectra[name], dtype=float) - exact[name])
                found.append((difference / local_rms(exact[name]))[2:])
        return float(np.percentile(found, 68.0)), float(np.max(found))


def samples_of(run: Path) -> list[dict[str, float]]:
    """A few samples of a run's posterior, with the parameters that were fixed."""
    emulator, _ = load_emulator(run / "emulator")
    samples = np.loadtxt(run / "chains" / "emulator.1.txt")
    rows = samples[:: max(1, len(samples) // POINTS), 2:][:POINTS]
    fixed = dict(emulator.fixed)
    return [{**fixed, **dict(zip(emulator.parameters, map(float, r), strict=False))} for r in rows]


def our_prediction(folder: Path, dtype: Any) -> Callable[[dict[str, float]], dict[str, Any]]:
    """Spectra at named parameters."""
    cast = precise(folder, dtype)
    return lambda point: cast(jnp.asarray([point[name] for name in cast.parameters], dtype))


def single_precision_error(folder: Path) -> float:
    """Largest relative error of a C_l [local rms of its spectrum] that single precision makes."""
    emulator, record = load_emulator(folder)
    points = np.array(record["points"])[:, : len(emulator.parameters)]
    small = precise(folder, jnp.float32)
    double = jax.vmap(emulator)(jnp.asarray(points))
    single = jax.vmap(small)(jnp.asarray(points, jnp.float32))
    worst = 0.0
    for name in SPECTRA:
        exact = np.asarray(double[name])
        scale = np.array([local_rms(row) for row in exact])
        worst = max(worst, float(np.max(np.abs(np.asarray(single[name]) - exact) / scale)))
    return worst


class Other:
    """A peer in a process of its own, which computes only while it is asked."""

    def __init__(self, python: str) -> None:
        worker = Path(__file__).with_name("jaxcapse_worker.py")
        self.process = subprocess.Popen(
            [python, str(worker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.name = self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            sys.exit("the process of jaxcapse ended; run benchmarks/jaxcapse_worker.py by hand")
        return line

    def ask(self, task: str) -> float:
        """Seconds per call of a task."""
        assert self.process.stdin is not None
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()
        return float(self._line())

    def jobs(self) -> Jobs:
        """The three tasks."""
        return {task: (lambda task=task: self.ask(task)) for task in TASKS}


def page(
    times: dict[str, dict[str, float]],
    errors: dict[str, tuple[float, float]],
    truth: Truth,
    absent: list[str],
    loss: float,
    elsewhere: tuple[float, float] | None,
) -> str:
    """Times with their ratios to ours in double precision, and errors; ``elsewhere``: those of
    cosmopower_jax against the settings of the run."""
    reference = next(iter(times.values()))
    lines = [
        "# The frozen emulator and its peers",
        "",
        f"{', '.join(SPECTRA)} to l = {LMAX} in one call, on one core; all interleaved, the best "
        f"of {ROUNDS} rounds. Made by `benchmarks/peers.py`. In brackets: over ours in double "
        f"precision. Errors: of C_l at {len(truth.points)} samples of the posterior, against "
        f"{truth.solver} in this process, in units of the local rms of the spectrum.",
        "",
        "| | value [us] | value and gradient [us] | batch of 1024, per element [us] "
        "| error, 68% | largest |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in times.items():
        cells = [f"{1e6 * row[task]:.3g} ({row[task] / reference[task]:.2f})" for task in TASKS]
        cells += [f"{error:.1e}" for error in errors[name]] if name in errors else ["", ""]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    ratio = truth.seconds / reference["value"]
    lines += [
        f"| {truth.solver}, processor time | {1e6 * truth.seconds:.3g} ({ratio:.3g}) | | | | |",
        "",
        f"Value and gradient cost {reference['gradient'] / reference['value']:.2f} times the value "
        "(bound: 3). Single precision changes no C_l by more than "
        f"{loss:.1e} of the local rms of its spectrum.",
        "",
        "cosmopower_jax has its published networks (four times 4 x 512, single precision); its "
        "error is against massless neutrinos and linear lensing, for which they were trained"
        + (
            f"; against the run's own settings it is {elsewhere[0]:.1e} (68%), {elsewhere[1]:.1e}."
            if elsewhere
            else "."
        ),
        "",
        "The networks of jaxcapse have the published shape (5 x 64) and random weights: their "
        "arithmetic is timed, not their accuracy.",
    ]
    lines += [f"{name} is not installed: no comparison." for name in absent]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure in turns and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--from", dest="folder", type=Path, default=ROOT / "runs" / "planck-lcdm")
    parser.add_argument("--jaxcapse-python", help="a Python that can import jaxcapse")
    given = parser.parse_args()
    folder = given.folder / "emulator"
    if not folder.is_dir():
        sys.exit(f"{folder} is not there; run `make demo` first, or name a run with --from")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    kinds = {"Volvelle, float64": jnp.float64, "Volvelle, float32": jnp.float32}
    jobs = {name: ours(folder, dtype) for name, dtype in kinds.items()}
    solver = make_solver(Configuration.load(given.folder / "config.yaml", files=False))
    samples = samples_of(given.folder)
    truth = Truth.of(solver, samples)
    errors = {name: truth.error(our_prediction(folder, dtype)) for name, dtype in kinds.items()}
    absent, elsewhere = [], None
    peer = Cosmopower.installed()
    if peer is None:
        absent.append("cosmopower_jax")
    else:
        jobs[peer.name] = jobs_of(peer.raw, jnp.asarray([truth.points[0][p] for p in PARAMETERS]))
        massless = [{**point, "m_nu": 0.0} for point in samples]
        errors[peer.name] = Truth.of(replace(solver, non_linear="none"), massless).error(peer)
        elsewhere = truth.error(peer)
    if given.jaxcapse_python is None:
        absent.append("jaxcapse")
    else:
        other = Other(given.jaxcapse_python)
        jobs[other.name] = other.jobs()
    times = {name: dict.fromkeys(TASKS, float("inf")) for name in jobs}
    for _ in range(ROUNDS):
        for name, tasks in jobs.items():
            for task, measure in tasks.items():
                times[name][task] = min(times[name][task], measure())
    for row in times.values():
        row[TASKS[2]] /= BATCH
    text = page(times, errors, truth, absent, single_precision_error(folder), elsewhere)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
