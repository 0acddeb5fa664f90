"""The frozen emulator against its peers: a call, its gradient, a batch; one core, interleaved.

cosmopower_jax runs in this process with its published networks, jaxcapse (which needs an older JAX)
in one of its own that takes turns with this one. Every peer that is not installed is named as such.
Writes docs/benchmarks/peers.md.

    python benchmarks/peers.py --from runs/planck-lcdm --jaxcapse-python OTHER/bin/python
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
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
from emulator_call import ROUNDS, SPECTRA, seconds

from volvelle.emulator import load_emulator

jax.config.update("jax_enable_x64", True)

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "peers.md"
PROBES = ("cmb_tt", "cmb_te", "cmb_ee", "cmb_pp")
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


def ours(folder: Path, dtype: Any) -> Jobs:
    """The emulator of a run, in double or single precision."""
    emulator, record = load_emulator(folder)
    centre = np.mean(np.array(record["points"]), axis=0)[: len(emulator.parameters)]
    cast = jax.tree.map(lambda a: a.astype(dtype) if eqx.is_inexact_array(a) else a, emulator)

    def value(x: jax.Array) -> jax.Array:
        theory = cast(x)
        return jnp.concatenate([theory[name] for name in SPECTRA])

    return jobs_of(value, jnp.asarray(centre, dtype))


def single_precision_error(folder: Path) -> float:
    """Largest relative error of a C_l [local rms of its spectrum] that single precision makes."""
    from volvelle.boltzmann.derived import local_rms

    emulator, record = load_emulator(folder)
    points = np.array(record["points"])[:, : len(emulator.parameters)]
    small = jax.tree.map(
        lambda a: a.astype(jnp.float32) if eqx.is_inexact_array(a) else a, emulator
    )
    double = jax.vmap(emulator)(jnp.asarray(points))
    single = jax.vmap(small)(jnp.asarray(points, jnp.float32))
    worst = 0.0
    for name in SPECTRA:
        exact = np.asarray(double[name])
        scale = np.array([local_rms(row) for row in exact])
        worst = max(worst, float(np.max(np.abs(np.asarray(single[name]) - exact) / scale)))
    return worst


def cosmopower() -> tuple[str, Jobs] | None:
    """cosmopower_jax with its published networks of four spectra, l = 2..2508, if installed."""
    try:
        package = importlib.import_module("cosmopower_jax.cosmopower_jax")
    except ImportError:
        return None
    networks = [package.CosmoPowerJAX(probe=probe, verbose=False) for probe in PROBES]

    def value(x: jax.Array) -> jax.Array:
        return jnp.concatenate([jnp.ravel(each.predict(x)) for each in networks])

    x = jnp.asarray([0.0224, 0.12, 0.67, 0.055, 0.965, 3.045])
    from importlib.metadata import version

    return f"cosmopower_jax {version('cosmopower_jax')}", jobs_of(value, x)


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


def page(times: dict[str, dict[str, float]], absent: list[str], loss: float) -> str:
    """Times and ratios to ours in double precision."""
    reference = next(iter(times.values()))
    lines = [
        "# The frozen emulator and its peers",
        "",
        f"{', '.join(SPECTRA)} to l = 2508 in one call, on one core; all interleaved, the best of "
        f"{ROUNDS} rounds. Made by `benchmarks/peers.py`. In brackets: over ours in double "
        "precision.",
        "",
        "| | value [us] | value and gradient [us] | batch of 1024, per element [us] |",
        "|---|---|---|---|",
    ]
    for name, row in times.items():
        cells = [f"{1e6 * row[task]:.3g} ({row[task] / reference[task]:.2f})" for task in TASKS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Value and gradient cost {reference['gradient'] / reference['value']:.2f} times the value "
        "(bound: 3). Single precision changes no C_l by more than "
        f"{loss:.1e} of the local rms of its spectrum.",
        "",
        "cosmopower_jax has its published networks (four times 4 x 512, single precision); the "
        "networks of jaxcapse have the published shape (5 x 64) and random weights: their "
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
    jobs = {
        "Volvelle, float64": ours(folder, jnp.float64),
        "Volvelle, float32": ours(folder, jnp.float32),
    }
    absent = []
    peer = cosmopower()
    if peer is None:
        absent.append("cosmopower_jax")
    else:
        jobs[peer[0]] = peer[1]
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
    text = page(times, absent, single_precision_error(folder))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
