"""One call of all CMB spectra to l = 2508 on one core, against bounds and peers in this process.

Value, value and gradient, and batches of the demo's emulator. Beside it, in the same process and on
the same core: the matrix product that no emulator of as many components can do without, the
arithmetic of the network of Nygaard et al. 2022 (6 x 512, splined), and CAMB itself. Writes
docs/benchmarks/emulator_call.md; the ratios are what counts, the times are this machine's.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax
import jax.numpy as jnp
import numpy as np

from volvelle.boltzmann import CambSolver, Request
from volvelle.cosmology import Cosmology
from volvelle.emulator import Emulator, load_emulator

jax.config.update("jax_enable_x64", True)

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "emulator_call.md"
LMAX = 2508
SPECTRA = ("lensed_tt", "lensed_te", "lensed_ee", "phiphi")
ROUNDS = 7  # interleaved; the smallest median counts, as noise only adds
ROUND_SECONDS = 0.3
BATCH = 256
LAYERS, WIDTH = 6, 512  # the network of Nygaard et al. 2022, section 2
NODES = 100  # multipoles per spectrum that it predicts, splined to all others
MOST_GRADIENT = 3.0  # value and gradient over value


def seconds(function: Callable[[], object]) -> float:
    """Median time of a call [s], over calls that fill one round."""
    times: list[float] = []
    started = time.perf_counter()
    while not times or time.perf_counter() - started < ROUND_SECONDS:
        before = time.perf_counter()
        function()
        times.append(time.perf_counter() - before)
    return float(np.median(times))


def network(rng: np.random.Generator, inputs: int, outputs: int) -> Callable[[np.ndarray], object]:
    """The arithmetic of the paper's network for one point or a batch [n, d], in float32."""
    sizes = [inputs] + [WIDTH] * LAYERS + [NODES * len(SPECTRA)]
    weights = [
        rng.normal(size=(a, b)).astype(np.float32) / np.float32(np.sqrt(a))
        for a, b in itertools.pairwise(sizes)
    ]
    spline = rng.normal(size=(NODES, outputs)).astype(np.float32)

    def call(x: np.ndarray) -> np.ndarray:
        y = x.astype(np.float32)
        for matrix in weights[:-1]:
            y = y @ matrix
            y = (0.5 + 0.5 / (1.0 + np.exp(-y))) * y  # activation of eq. 2.3
        y = y @ weights[-1]
        return y.reshape(*y.shape[:-1], len(SPECTRA), NODES) @ spline

    return call


def centre_of(record: dict[str, Any]) -> np.ndarray:
    """A point in the middle of the training solutions."""
    return np.mean(np.array(record["points"]), axis=0)


def emulator_jobs(emulator: Emulator, centre: np.ndarray) -> dict[str, Callable[[], object]]:
    """One call, its gradient, and a batch of the emulator."""
    rng = np.random.default_rng(1)
    x = jnp.asarray(centre)
    many = jnp.asarray(centre * (1.0 + 1e-3 * rng.normal(size=(BATCH, len(centre)))))

    def value(point: jax.Array) -> jax.Array:
        theory = emulator(point)
        return jnp.concatenate([theory[name] for name in SPECTRA])

    weight = 1.0 / np.maximum(np.abs(np.asarray(value(x))), 1e-30)
    one, batch = jax.jit(value), jax.jit(jax.vmap(value))
    both = jax.jit(jax.value_and_grad(lambda point: jnp.sum((value(point) * weight) ** 2)))
    return {
        "value": lambda: one(x).block_until_ready(),
        "gradient": lambda: jax.block_until_ready(both(x)),
        "batch": lambda: batch(many).block_until_ready(),
    }


def bound_jobs(emulator: Emulator) -> tuple[dict[str, Callable[[], object]], int]:
    """The product of components and coefficients, for a point and a batch; how many there are."""
    rng = np.random.default_rng(2)
    components = [
        np.array(block.basis.components)
        for block in emulator.blocks
        if any(output.name in SPECTRA for output in block.outputs)
    ]
    pairs = [(rng.normal(size=len(c)), c) for c in components]
    wide = [(rng.normal(size=(BATCH, len(c))), c) for c in components]
    jobs: dict[str, Callable[[], object]] = {
        "bound": lambda: [s @ c for s, c in pairs],
        "bound batch": lambda: [s @ c for s, c in wide],
    }
    return jobs, sum(map(len, components))


def network_jobs(inputs: int) -> dict[str, Callable[[], object]]:
    """The paper's network for a point and a batch."""
    rng = np.random.default_rng(3)
    call = network(rng, inputs, LMAX + 1)
    point, points = rng.normal(size=inputs), rng.normal(size=(BATCH, inputs))
    return {"network": lambda: call(point), "network batch": lambda: call(points)}


def camb_seconds(model: Cosmology) -> float:
    """Processor time of one solution [s]; a long call is not shielded by the median."""
    solver, request = CambSolver(), Request(spectra=SPECTRA, lmax=LMAX)
    solver.solve(model, request)
    before = time.process_time()
    solver.solve(model, request)
    return time.process_time() - before


def measure(folder: Path) -> tuple[dict[str, float], int]:
    """Times by name [s], per call or per element of a batch; the number of components."""
    emulator, record = load_emulator(folder)
    centre = centre_of(record)
    bounds, components = bound_jobs(emulator)
    jobs = {**emulator_jobs(emulator, centre), **bounds, **network_jobs(len(centre))}
    for job in jobs.values():
        job()  # compile
    times = dict.fromkeys(jobs, float("inf"))
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            times[name] = min(times[name], seconds(job))
    for name in ("batch", "bound batch", "network batch"):
        times[name] /= BATCH
    values = dict(zip(emulator.parameters, map(float, centre), strict=True))
    times["CAMB"] = camb_seconds(Cosmology.from_parameters({**dict(emulator.fixed), **values}))
    return times, components


def page(t: dict[str, float], components: int) -> str:
    """The table of times and ratios."""
    words = {
        "value": "emulator, value",
        "gradient": "emulator, value and gradient of a scalar",
        "batch": f"emulator, per element of a batch of {BATCH}",
        "bound": "bound: components times coefficients, numpy",
        "bound batch": f"the same, per element of a batch of {BATCH}",
        "network": "peer: the paper's network, its arithmetic alone, numpy in float32",
        "network batch": f"the same, per element of a batch of {BATCH}",
        "CAMB": "exact: CAMB, processor time",
    }
    rows = [
        f"| {words[name]} | {1e6 * t[name]:.3g} | {t[name] / t['value']:.3g} |" for name in words
    ]
    lines = [
        "# One call of the emulator",
        "",
        f"All of {', '.join(SPECTRA)} to l = {LMAX}, from {components} components, float64, one "
        f"core; every number from the same process, interleaved, the best of {ROUNDS} rounds. Made "
        "by `benchmarks/emulator_call.py`.",
        "",
        "| | time [us] | over the emulator's value |",
        "|---|---|---|",
        *rows,
        "",
        f"Value and gradient cost {t['gradient'] / t['value']:.2f} times the value; the bound is "
        f"{MOST_GRADIENT:g}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and write; status 1 when the gradient costs too much."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--from", dest="folder", type=Path, default=ROOT / "runs" / "planck-lcdm")
    folder = parser.parse_args().folder / "emulator"
    if not folder.is_dir():
        sys.exit(f"{folder} is not there; run `make demo` first, or name a run with --from")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    t, components = measure(folder)
    text = page(t, components)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print(text)
    sys.exit(0 if t["gradient"] <= MOST_GRADIENT * t["value"] else 1)


if __name__ == "__main__":
    main()
