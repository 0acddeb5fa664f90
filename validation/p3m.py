"""P3M: P(k) to k = 5 h/Mpc against more and softer particles, COLA's convergence to plain leapfrog.

    python validation/p3m.py [--quick]

Writes docs/validation/p3m.md and a figure. States are kept in runs/p3m-validation every 50 steps,
and an interrupted command goes on from there. About an hour of one core, nearly all of it the
reference.
"""

import time
from collections.abc import Sequence
from typing import Any

from common import (  # isort: skip
    PAGES,
    ROOT,
    Check,
    arguments,
    at_least,
    at_most,
    check_table,
    finish,
    table,
)

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from volvelle.cosmology import planck18
from volvelle.nbody import P3M, Mesh, State, gaussian, prepare
from volvelle.power import EisensteinHu
from volvelle.statistics import Density, power_spectrum

FOLDER = ROOT / "runs" / "p3m-validation"
SEED, START, BOX, SMALL_BOX = 3, 0.02, 32.0, 16.0
"""Phases; a; [Mpc/h]."""
SOFTENING = 1.0 / 30.0
"""Of the particles' distance, as ``volvelle simulate`` has it."""
K_MAX, BOUND = 5.0, 5.0
"""[h/Mpc]; percent."""
EVERY = 50


def positions(
    name: str, size: int, box: float, steps: int, integrator: str, softening: float
) -> np.ndarray:
    """Unwrapped positions today [Mpc/h], from a file where it is there.

    ``softening`` is in Mpc/h; the mesh of the force is twice as fine as the particles' grid.
    """
    path, draft = FOLDER / f"{name}.npz", FOLDER / f"{name}-state.npz"
    if path.exists():
        return np.load(path)["positions"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    universe, mesh = planck18(), Mesh(size, box)
    simulation = prepare(
        universe,
        gaussian(universe, mesh, SEED, power=EisensteinHu()),
        start=START,
        steps=steps,
        integrator=integrator,
        force=P3M(Mesh(2 * size, box), softening),
    )
    state, began = simulation.init(), time.perf_counter()
    if draft.exists():
        state = State(*(jnp.asarray(each) for each in np.load(draft).values()))
    while not simulation.done(state):
        state = jax.block_until_ready(simulation.step(state))
        if int(state.stage) % EVERY == 0:
            print(f"{name}: {int(state.stage)} of {simulation.stages.number} forces, "
                  f"{time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip
            keep(draft, displacement=state.displacement, momentum=state.momentum, stage=state.stage)
    found = simulation.particles(state)
    grid = np.stack(np.meshgrid(*[np.arange(size) * mesh.cell] * 3, indexing="ij"), -1)
    keep(path, positions=grid.reshape(-1, 3) + np.asarray(found.displacement, np.float64))
    draft.unlink(missing_ok=True)
    return np.load(path)["positions"]


def keep(path: Any, **arrays: Any) -> None:
    """Written whole or not at all."""
    half = path.with_suffix(".half.npz")
    plain: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    np.savez(half, **plain)
    half.replace(path)


def spectrum(x: np.ndarray, box: float, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """k [h/Mpc] and P [(Mpc/h)^3] in bands of a tenth of k, shot noise and all."""
    density = Density.of_catalogue(np.mod(x, box), box, cells=cells, assignment="pcs")
    found = power_spectrum(density)
    edges = np.append(
        np.arange(1.0, 10.0) * density.mesh.fundamental - 0.5 * density.mesh.fundamental,
        np.geomspace(9.5 * density.mesh.fundamental, np.pi * cells / box, 28),
    )
    band = np.digitize(found.k, edges)
    modes = np.asarray(found.modes, float)
    count, whole, power = (
        np.bincount(band, modes * each, len(edges) + 1)[1:-1]
        for each in (np.ones_like(modes), found.k, found.values)
    )
    filled = count > 0
    return whole[filled] / count[filled], power[filled] / count[filled]


def resolution(sizes: Sequence[int], steps: Sequence[int]) -> tuple[list[Check], list[str]]:
    """The default softening against a reference of more particles, half of it, more steps."""
    spacing = BOX / sizes[0]
    spectra = {}
    for name, size, number, softening in (
        ("run", sizes[0], steps[0], SOFTENING * spacing),
        ("reference", sizes[1], steps[1], 0.5 * SOFTENING * spacing),
    ):
        x = positions(f"{name}-{size}-{number}", size, BOX, number, "kdk", softening)
        spectra[name] = spectrum(x, BOX, 256)
    (k, power), (_, truth) = spectra["run"], spectra["reference"]
    ratio, seen = power / truth, k <= K_MAX
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(6.4, 6.0))
    above.loglog(k, truth, "k", label=f"{sizes[1]}^3, {steps[1]} steps")
    above.loglog(k, power, "--", label=f"{sizes[0]}^3, {steps[0]} steps")
    above.set_ylabel("P [(Mpc/h)^3]")
    above.legend()
    below.semilogx(k, ratio)
    below.axhspan(1.0 - BOUND / 100, 1.0 + BOUND / 100, alpha=0.15)
    below.axvline(K_MAX, ls=":", color="grey")
    below.set_ylim(0.85, 1.15)
    below.set_xlabel("k [h/Mpc]")
    below.set_ylabel("over the reference")
    figure.tight_layout()
    figure.savefig(PAGES / "p3m.png", dpi=130)
    worst = 100.0 * np.abs(ratio[seen] - 1.0).max()
    rows = [
        [f"{each:g}", f"{100.0 * (np.interp(each, k, ratio) - 1.0):+.2f}"]
        for each in (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    ]
    text = (
        f"## Resolution\n\n{sizes[0]}^3 particles in {BOX:g} Mpc/h, a softening of a thirtieth of "
        f"their distance, mesh twice as fine, {steps[0]} steps of kick-drift-kick, equal in a, "
        f"from a = {START:g}; the reference has {sizes[1]}^3 particles of the same phases, half "
        f"the softening and {steps[1]} steps. P of Eisenstein & Hu; shot noise is in both.\n\n"
    )
    text += table(["k [h/Mpc]", "P over the reference's, less 1 [%]"], rows)
    return [at_most(f"P(k) to k = {K_MAX:g} h/Mpc against the reference [%]", worst, BOUND, 2)], [
        text,
        "![P(k)](p3m.png)",
    ]


def convergence(size: int, numbers: Sequence[int]) -> tuple[list[Check], list[str]]:
    """COLA and a leapfrog without frame, of the same P3M force, as steps grow."""
    softening = 0.1 * SMALL_BOX / size
    runs = {
        (name, number): positions(
            f"{name}-{size}-{number}", size, SMALL_BOX, number, name, softening
        )
        for name in ("kdk", "cola", "cola-quinn")
        for number in numbers
    }
    k, truth = spectrum(runs["kdk", numbers[-1]], SMALL_BOX, 4 * size)
    seen = k <= K_MAX
    rows, apart = [], []
    for number in numbers:
        cells = [str(number)]
        for name in ("kdk", "cola", "cola-quinn"):
            x = runs[name, number] - runs["kdk", numbers[-1]]
            median = float(np.median(np.linalg.norm(x, axis=1)))
            off = spectrum(runs[name, number], SMALL_BOX, 4 * size)[1][seen] / truth[seen]
            cells.append(f"{100.0 * np.abs(off - 1.0).max():.2f}")
            cells[-1] += f" ({1e3 * median:.1f})"
            if name == "cola":
                apart.append(median)
        rows.append(cells)
    text = (
        f"## COLA with P3M\n\n{size}^3 particles in {SMALL_BOX:g} Mpc/h, softening a tenth of "
        "their distance. Largest difference of P(k) to k = 5 h/Mpc from that of the most steps "
        "without a frame [%], and in brackets the median distance of a particle from where that "
        "same run puts it [kpc/h].\n\n"
    )
    text += table(["steps", "kick-drift-kick", "COLA, Tassev's", "COLA, Quinn's"], rows)
    fall = apart[0] / apart[-1]
    wanted = 0.5 * numbers[-1] / numbers[0]
    words = f"COLA comes nearer to plain P3M from {numbers[0]} to {numbers[-1]} steps, times"
    return [at_least(words, fall, wanted, 1)], [text]


def main() -> None:
    """Simulate, compare, write."""
    options = arguments(__doc__).parse_args()
    PAGES.mkdir(parents=True, exist_ok=True)
    if options.quick:
        parts = [convergence(16, (20, 40, 80)), resolution((32, 48), (60, 120))]
    else:
        parts = [convergence(32, (50, 100, 200, 400)), resolution((64, 96), (300, 600))]
    checks = [check for found, _ in parts for check in found]
    finish(
        "p3m",
        ["# P3M", check_table(checks), *(text for _, texts in parts for text in texts)],
        checks,
    )


if __name__ == "__main__":
    main()
