"""Painting, reading and forces on one core: 128^3 particles on a mesh of 256^3, float32.

Particles are displaced from their grid by a Gaussian field of 6 Mpc/h rms per axis in a box of 256
Mpc/h. The compiled kernel runs on one thread, XLA too. JaxPM paints and reads the same particles in
this process, in turns; without it its columns are left out. Its public functions want as many
particles as cells; what is timed are the functions that they call, and these at equal numbers too.

    pip install --no-deps jaxpm jax-cosmo jaxdecomp diffrax
    python benchmarks/painting.py

Then a particle-mesh step (paint, solve, read) over the time of its Fourier transforms alone, and
P3M for the same particles and for clustered ones, of which 40% lie in 3000 clumps of up to 3
Mpc/h. Writes docs/benchmarks/painting.md.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax
import jax.numpy as jnp
import numpy as np

from volvelle.nbody import P3M, Mesh, ParticleMesh, density_contrast, paint, painting_backend, read
from volvelle.nbody.compiled import VARIABLE
from volvelle.nbody.pairs import pull

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "painting.md"
SIDE, CELLS, BOX = 128, 256, 256.0
SPREAD, SOFTENING = 6.0, 0.05
"""Of displacements and of pairs [Mpc/h]."""
ROUNDS = 7
NEEDED = {"kernel": 10.0, "peer": 2.0, "step": 2.5}
"""Million particles per second; pure JAX over JaxPM; a step over its transforms."""

Row = tuple[str, list[str]]


def displaced(side: int) -> np.ndarray:
    """Particles [N, 3] [Mpc/h] in the order of their grid."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(side) * BOX / side] * 3, indexing="ij"), -1)
    waves = [np.fft.fftfreq(side)[:, None, None], np.fft.fftfreq(side)[None, :, None]]
    waves.append(np.fft.rfftfreq(side)[None, None, :])
    k2 = waves[0] ** 2 + waves[1] ** 2 + waves[2] ** 2
    k2[0, 0, 0] = 1.0
    field = np.fft.rfftn(rng.normal(size=(side,) * 3)) * k2**-0.75 * np.exp(-50.0 * k2)
    moved = np.stack([np.fft.irfftn(1j * k / k2 * field) for k in waves], -1)
    return (grid + moved * (SPREAD / moved.std())).reshape(-1, 3).astype(np.float32)


def clustered(x: np.ndarray) -> np.ndarray:
    """The same with 40% of the particles in clumps of very different sizes."""
    rng = np.random.default_rng(1)
    centres = rng.uniform(0.0, BOX, (3000, 3))
    chosen = rng.permutation(len(x))[: int(0.4 * len(x))]
    clump = (rng.pareto(1.2, len(chosen)) * 20.0).astype(int) % len(centres)
    direction = rng.normal(size=(len(chosen), 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = np.minimum(0.15 * rng.pareto(2.0, len(chosen)), 3.0)
    found = x.copy()
    found[chosen] = centres[clump] + radius[:, None] * direction
    return found


class Timed:
    """A program and the processor time of its calls: other work may share the core."""

    def __init__(self, function: Callable[..., Any], *given: Any) -> None:
        self.given = tuple(jnp.asarray(each) for each in given)
        self.function = jax.jit(function)
        self.result = jax.block_until_ready(self.function(*self.given))
        self.times: list[float] = []

    def call(self) -> None:
        before = time.process_time()
        jax.block_until_ready(self.function(*self.given))
        self.times.append(time.process_time() - before)

    @property
    def seconds(self) -> float:
        """The least."""
        return min(self.times)


def in_turns(*programs: Timed, rounds: int = ROUNDS) -> None:
    for _ in range(rounds):
        for each in programs:
            each.call()


def with_backend(name: str, function: Callable[..., Any], *given: Any) -> Timed:
    """A program by the compiled kernel ('on') or by pure JAX ('off')."""
    os.environ[VARIABLE] = name
    try:
        return Timed(function, *given)
    finally:
        os.environ.pop(VARIABLE)


def peer(cells: int) -> tuple[str, Callable[..., Any], Callable[..., Any]] | str:
    """JaxPM's painting and reading, or why it is not there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports pkg_resources
            from importlib.metadata import version

            from jaxpm import painting
    except ImportError as error:
        return f"JaxPM is not installed here ({error})"
    scale, shape = cells / BOX, (cells,) * 3

    def painted(x: jax.Array) -> jax.Array:
        return painting._cic_paint_impl(jnp.zeros(shape, jnp.float32), x * scale)

    def found(field: jax.Array, x: jax.Array) -> jax.Array:
        return painting._cic_read_impl(field, x * scale)

    return f"JaxPM {version('jaxpm')}", painted, found


def painting_rows(x: np.ndarray, cells: int) -> tuple[list[Row], dict[str, float]]:
    """Million particles per second of painting and reading by all who can."""
    mesh = Mesh(cells, BOX)
    field = np.random.default_rng(2).normal(size=mesh.shape).astype(np.float32)
    programs = {
        "compiled kernel": (
            with_backend("on", partial(paint, mesh), x),
            with_backend("on", partial(read, mesh), field, x),
        ),
        "pure JAX": (
            with_backend("off", partial(paint, mesh), x),
            with_backend("off", partial(read, mesh), field, x),
        ),
    }
    theirs = peer(cells)
    if not isinstance(theirs, str):
        programs[theirs[0]] = (Timed(theirs[1], x), Timed(theirs[2], field, x))
    in_turns(*(each for pair in programs.values() for each in pair))
    first = programs["compiled kernel"]
    for pair in programs.values():
        for one, other in zip(first, pair, strict=True):
            np.testing.assert_allclose(one.result, other.result, atol=2e-3)
    speeds = {n: [len(x) / p.seconds / 1e6 for p in pair] for n, pair in programs.items()}
    rows = [(name, [f"{s:.1f}" for s in speed]) for name, speed in speeds.items()]
    ratio = {}
    if not isinstance(theirs, str):
        for n, kind in enumerate(("paint", "read")):
            ratio[kind] = speeds["pure JAX"][n] / speeds[theirs[0]][n]
    return rows, {**ratio, "slowest": min(speeds["compiled kernel"])}


def transforms(mesh: Mesh) -> tuple[Timed, Timed, Timed]:
    """One transform, one back, and three back at once, of arrays that are there."""
    field = np.random.default_rng(2).normal(size=mesh.shape).astype(np.float32)
    forward = Timed(jnp.fft.rfftn, field)
    back = partial(jnp.fft.irfftn, s=mesh.shape, axes=(-3, -2, -1))
    return forward, Timed(back, forward.result), Timed(back, jnp.stack([forward.result] * 3))


def step_rows(x: np.ndarray, cells: int) -> tuple[list[Row], float]:
    """Seconds of a step and of its transforms, and the ratio of the spectral one."""
    mesh = Mesh(cells, BOX)
    forward, one, three = transforms(mesh)
    spectral = Timed(ParticleMesh(mesh), x)
    finite = Timed(ParticleMesh(mesh, gradient="finite-difference"), x)
    in_turns(forward, one, three, spectral, finite)
    rows, ratios = [], []
    for name, step, back in (("spectral", spectral, three), ("finite-difference", finite, one)):
        alone = forward.seconds + back.seconds
        ratios.append(step.seconds / alone)
        rows.append((name, [f"{step.seconds:.2f} s", f"{alone:.2f} s", f"{ratios[-1]:.2f}"]))
    return rows, ratios[0]


def p3m_rows(sets: dict[str, np.ndarray]) -> list[Row]:
    """Seconds of a force by P3M, of its pairs, and of a particle-mesh force with cubic splines."""
    rows = []
    for cells in (SIDE, CELLS):
        mesh = Mesh(cells, BOX)
        force = P3M(mesh, SOFTENING)
        for name, x in sets.items():
            programs = (
                Timed(force, x),
                Timed(partial(pull, force.pairs()), x),
                Timed(ParticleMesh(mesh, "pcs"), x),
            )
            in_turns(*programs, rounds=2)
            rows.append((f"{name}, mesh {cells}^3", [f"{p.seconds:.2f} s" for p in programs]))
    return rows


def table(head: list[str], rows: list[Row]) -> list[str]:
    lines = ["| " + " | ".join(["", *head]) + " |", "|---" * (len(head) + 1) + "|"]
    return [*lines, *("| " + " | ".join([name, *row]) + " |" for name, row in rows), ""]


def main() -> None:
    x = displaced(SIDE)
    theirs = peer(CELLS)
    text = ["# Painting, reading and forces", ""]
    text += [(__doc__ or "").split("\n\n", 1)[1].strip().replace("``", "`"), ""]
    text += [f"CIC: {SIDE}^3 particles, million particles per second", ""]
    text[-2] = "## " + text[-2]
    shuffled = np.random.default_rng(3).permutation(x)
    met: dict[str, Any] = {}
    for title, particles, cells in (
        (f"mesh {CELLS}^3, in the order of the grid", x, CELLS),
        (f"mesh {CELLS}^3, in random order", shuffled, CELLS),
        (f"mesh {SIDE}^3, in the order of the grid", x, SIDE),
    ):
        rows, found = painting_rows(particles, cells)
        text += [title, "", *table(["paint", "read"], rows)]
        met[title] = found
        print("\n".join(text[-6:]), flush=True)
    first = met[f"mesh {CELLS}^3, in the order of the grid"]
    text += [f"Asked for, on the first: the kernel {NEEDED['kernel']:.0f} at least, pure JAX"]
    text += [f"{NEEDED['peer']:.0f} times JaxPM at least. Found: {first['slowest']:.1f}; "]
    if isinstance(theirs, str):
        text[-1] += f"{theirs}; install it as above."
    else:
        text[-1] += f"{first['paint']:.1f} times in painting, {first['read']:.1f} in reading."
    text += ["", "## A particle-mesh step over its Fourier transforms", ""]
    head = ["step", "transforms", "ratio"]
    rows, ratio = step_rows(x, CELLS)
    text += [f"{SIDE}^3 particles, mesh {CELLS}^3", "", *table(head, rows)]
    rows, full = step_rows(displaced(CELLS), CELLS)
    text += [f"{CELLS}^3 particles, mesh {CELLS}^3", "", *table(head, rows)]
    text += [f"Asked for: {NEEDED['step']}. Found, spectral: {ratio:.2f} with {SIDE}^3 particles, "]
    text[-1] += f"{full:.2f} with {CELLS}^3."
    text += ["", f"## P3M, {SIDE}^3 particles, softening {SOFTENING} Mpc/h, cutoff 4 cells", ""]
    sets = {"displaced": x, "clustered": clustered(x)}
    text += table(["P3M", "its pairs", "ParticleMesh, PCS"], p3m_rows(sets))
    text += ["Times are the least processor seconds of calls in turns on one core."]
    contrast = Timed(partial(density_contrast, Mesh(CELLS, BOX)), x)
    in_turns(contrast, rounds=3)
    text += [f"`density_contrast`, TSC, interlaced and deconvolved: {contrast.seconds:.2f} s."]
    text += [f"Painting was by: {painting_backend().split(' (')[0]}.", ""]
    PAGE.write_text("\n".join(text))
    print("\n".join(text))


if __name__ == "__main__":
    main()
