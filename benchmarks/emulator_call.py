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

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax
import jax.numpy as jnp
import numpy as np

from volvelle.boltzmann import CambSolver, Request
from volvelle.cosmology import Cosmology
from volvelle.emulator import load_emulator

jax.config.update("jax_enable_x64", True)

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "emulator_call.md"
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


def camb_model(names: tuple[str, ...], fixed: dict[str, float], x: np.ndarray) -> Cosmology:
    """The model of a point of the emulator."""
    values = dict(zip(names, map(float, x), strict=True))
    return Cosmology.from_parameters({**fixed, **values})


def measure(folder: Path) -> dict[str, float]:
    """Times by name [s], per call or per element of a batch."""
    emulator, record = load_emulator(folder)
    centre = np.asarray(emulator.domain.whitening.centre)
    if emulator.features.angular_scale is not None:
        centre = np.mean(np.array(record["points"]), axis=0)
    rng = np.random.default_rng(1)
    x = jnp.asarray(centre)
    many = jnp.asarray(centre * (1.0 + 1e-3 * rng.normal(size=(BATCH, len(centre)))))
    spectra = [s for s in SPECTRA if s in emulator.outputs]

    def value(point: jax.Array) -> jax.Array:
        theory = emulator(point)
        return jnp.concatenate([theory[name] for name in spectra])

    weight = 1.0 / np.maximum(np.abs(np.asarray(value(x))), 1e-30)

    def scalar(point: jax.Array) -> jax.Array:
        return jnp.sum((value(point) * weight) ** 2)

    one, batch = jax.jit(value), jax.jit(jax.vmap(value))
    both = jax.jit(jax.value_and_grad(scalar))
    width = len(np.asarray(one(x)))
    blocks = [
        b.basis.components
        for b in emulator.blocks
        if any(o.name in spectra for o in b.outputs) and hasattr(b.basis, "components")
    ]
    shapes = [tuple(np.shape(c)) for c in blocks]
    pairs = [(rng.normal(size=m), np.array(c)) for (m, _), c in zip(shapes, blocks, strict=True)]
    wide = [(rng.normal(size=(BATCH, m)), c) for (m, _), (_, c) in zip(shapes, pairs, strict=True)]
    paper = network(rng, len(centre), width // len(spectra))
    one_point, points = np.asarray(x), np.asarray(many)
    jobs: dict[str, Callable[[], object]] = {
        "value": lambda: one(x).block_until_ready(),
        "gradient": lambda: jax.block_until_ready(both(x)),
        "batch": lambda: batch(many).block_until_ready(),
        "bound": lambda: [s @ c for s, c in pairs],
        "bound batch": lambda: [s @ c for s, c in wide],
        "network": lambda: paper(one_point),
        "network batch": lambda: paper(points),
    }
    for job in jobs.values():
        job()  # compile
    times = {name: float("inf") for name in jobs}
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            times[name] = min(times[name], seconds(job))
    for name in ("batch", "bound batch", "network batch"):
        times[name] /= BATCH
    model = camb_model(emulator.parameters, dict(emulator.fixed), one_point)
    solver, request = CambSolver(), Request(spectra=SPECTRA)
    solver.solve(model, request)
    before = time.process_time()  # one long call: the median does not shield it from other programs
    solver.solve(model, request)
    times["CAMB"] = time.process_time() - before
    times["components"] = float(sum(m for m, _ in shapes))
    return times


def main() -> None:
    """Measure and write; status 1 when the gradient costs too much."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="folder", type=Path, default=ROOT / "runs" / "planck-lcdm")
    folder = parser.parse_args().folder / "emulator"
    if not folder.is_dir():
        sys.exit(f"{folder} is not there; run `make demo` first, or name a run with --from")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    t = measure(folder)
    ratio = t["gradient"] / t["value"]
    micro = {name: f"{1e6 * value:.1f}" for name, value in t.items()}
    rows = [
        ("emulator, value", micro["value"], "1"),
        ("emulator, value and gradient of a scalar", micro["gradient"], f"{ratio:.2f}"),
        (f"emulator, per element of a batch of {BATCH}", micro["batch"],
         f"{t['batch'] / t['value']:.2f}"),
        ("bound: components times coefficients, numpy", micro["bound"],
         f"{t['bound'] / t['value']:.2f}"),
        (f"bound, per element of a batch of {BATCH}", micro["bound batch"],
         f"{t['bound batch'] / t['value']:.2f}"),
        ("peer: the paper's network, its arithmetic alone, numpy", micro["network"],
         f"{t['network'] / t['value']:.2f}"),
        (f"the same, per element of a batch of {BATCH}", micro["network batch"],
         f"{t['network batch'] / t['value']:.2f}"),
        ("exact: CAMB, processor time", micro["CAMB"], f"{t['CAMB'] / t['value']:.0f}"),
    ]  # fmt: skip
    lines = [
        "# One call of the emulator",
        "",
        f"All of {', '.join(SPECTRA)} to l = 2508, from {t['components']:.0f} components, float64, "
        "one core; every number from the same process, interleaved, the best of "
        f"{ROUNDS} rounds. Made by `benchmarks/emulator_call.py`.",
        "",
        "| | time [us] | over the emulator's value |",
        "|---|---|---|",
        *[f"| {' | '.join(row)} |" for row in rows],
        "",
        f"Value and gradient cost {ratio:.2f} times the value; the bound is {MOST_GRADIENT:g}.",
        "",
    ]
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))
    sys.exit(0 if ratio <= MOST_GRADIENT else 1)


if __name__ == "__main__":
    main()
