"""Maps of a simulated lightcone against the theory: convergence, and shells of matter.

    python validation/lightcone_maps.py [--quick]

Writes docs/validation/lightcone_maps.md and a figure. Spectra of every simulation are kept in
runs/lightcone-maps-validation and not made again. Some ten minutes on two cores.
"""

from __future__ import annotations

from itertools import pairwise

from common import PAGES, ROOT, Check, arguments, at_most, check_table, finish, kept, table  # isort: skip

import matplotlib.pyplot as plt
import numpy as np

from volvelle.cosmology import planck18
from volvelle.nbody import Lightcone, Mesh, ParticleMesh, gaussian, observe, prepare
from volvelle.power import HMcode2020, learned_power
from volvelle.statistics import (
    Shells,
    angular_power,
    band_theory,
    convergence,
    convergence_noise,
    convergence_tracer,
    shell_tracer,
    shells,
)

UNIVERSE = planck18()
FOLDER = ROOT / "runs" / "lightcone-maps-validation"
MODEL = HMcode2020(learned_power())
REDSHIFTS, SOURCES = (0.05, 0.15), 0.15
SEEDS, STEPS, NSIDE = (5, 6), 16, 256
EDGES = np.array([12, 20, 30, 45, 65, 90, 120, 160, 210, 270, 340])
BOUND, JUDGED = 5.0, (30, 90)
"""Percent; multipoles: above, the mesh of the force smooths; below, the box has few waves."""


def observed(particles: int, box: float, number: int, seed: int, paired: bool) -> Shells:
    """Shells of all the sky."""
    mesh = Mesh(particles, box)
    simulation = prepare(
        UNIVERSE,
        gaussian(UNIVERSE, mesh, seed, power=learned_power(), fixed_amplitude=True, paired=paired),
        end=1.0 / (1.0 + REDSHIFTS[0]),
        steps=STEPS,
        integrator="bullfrog",
        force=ParticleMesh(Mesh(2 * particles, box), "tsc"),
    )
    cone = Lightcone.of(UNIVERSE, box, redshifts=REDSHIFTS)
    edges, density = np.linspace(cone.near, cone.far, number + 1), particles**3 / box**3
    total = None
    for _, crossed in observe(simulation, cone):
        found = shells(crossed.positions, edges, NSIDE, density)
        counts = found.counts if total is None else total.counts + found.counts
        total = Shells(found.edges, counts, found.expected, found.mask)
    assert total is not None, "there are steps"
    return total


def spectra(shape: tuple[int, float, int], seed: int, paired: bool) -> dict[str, list[float]]:
    """C_l of the convergence and of the middle shell, from a file where it is there."""

    def measured() -> dict[str, list[float]]:
        found = observed(*shape, seed, paired)
        kappa, middle = convergence(UNIVERSE, found, SOURCES), shape[2] // 2
        noise = float(convergence_noise(UNIVERSE, found, SOURCES))
        of_shell = float(found.shot_noise[middle])
        return {
            "edges": found.edges.tolist(),
            "convergence": angular_power(kappa, EDGES, noise=noise).values.tolist(),
            "shell": angular_power(found.contrast[middle], EDGES, noise=of_shell).values.tolist(),
        }

    name = f"{shape[0]}-{shape[1]:g}-{shape[2]}-{seed}-{paired}.json"
    return kept(FOLDER / name, measured)


def judged(name: str, ratio: np.ndarray) -> Check:
    """Between the multipoles where both are valid, the worst band."""
    here = (EDGES[:-1] >= JUDGED[0]) & (EDGES[1:] <= JUDGED[1])
    words = f"{name}, {JUDGED[0]} <= l < {JUDGED[1]}: C_l against theory, worst band [%]"
    return at_most(words, float(100.0 * np.abs(ratio[here] - 1.0).max()), BOUND, 2)


def main() -> None:
    """Simulate, look, compare."""
    options = arguments(__doc__).parse_args()
    shape = (48, 240.0, 6) if options.quick else (128, 256.0, 10)
    particles, box, number = shape
    runs = [spectra(shape, seed, paired) for seed in SEEDS for paired in (False, True)]
    edges = np.array(runs[0]["edges"])
    near, far = float(edges[0]), float(edges[-1])
    ends = (float(edges[number // 2]), float(edges[number // 2 + 1]))
    both = {
        "convergence": (
            f"convergence, sources at z = {SOURCES:g}",
            convergence_tracer(UNIVERSE, (near, far), SOURCES),
        ),
        "shell": (
            f"shell from {ends[0]:.0f} to {ends[1]:.0f} Mpc/h",
            shell_tracer(UNIVERSE, *ends),
        ),
    }
    figure, panels = plt.subplots(2, 2, figsize=(10, 6), sharex=True, height_ratios=(2, 1))
    checks, rows = [], [[f"{low} to {high}"] for low, high in pairwise(EDGES)]
    ell = 2.0 / 3.0 * (EDGES[1:] ** 3 - EDGES[:-1] ** 3) / (EDGES[1:] ** 2 - EDGES[:-1] ** 2)
    for column, (key, (name, tracer)) in enumerate(both.items()):
        theory = band_theory(UNIVERSE, EDGES, [tracer], MODEL, limber="auto")[0]
        each = np.array([run[key] for run in runs]) / theory
        ratio, error = each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(len(each))
        checks.append(judged(name, ratio))
        for row, value, spread in zip(rows, ratio, error, strict=True):
            row.append(f"{100 * (value - 1):+.1f} ± {100 * spread:.1f}")
        above, below = panels[:, column]
        factor = ell * (ell + 1.0) / (2.0 * np.pi) * theory
        above.loglog(ell, factor, "k", label="theory, HMcode-2020")
        above.errorbar(ell, factor * ratio, factor * error, fmt="o", ms=4, label="simulations")
        above.set_title(name, fontsize=9)
        above.set_ylabel(r"$\ell(\ell+1)C_\ell/2\pi$")
        below.errorbar(ell, ratio, error, fmt="o", ms=4)
        below.axhspan(1.0 - BOUND / 100, 1.0 + BOUND / 100, alpha=0.15)
        for edge in JUDGED:
            below.axvline(edge, ls=":", color="grey")
        below.set_ylim(0.6, 1.4)
        below.set_xlabel(r"$\ell$")
        below.set_ylabel("over theory")
    panels[0, 0].legend()
    figure.tight_layout()
    figure.savefig(PAGES / "lightcone_maps.png", dpi=130)
    text = (
        f"{len(runs)} simulations of {particles}^3 particles in {box:g} Mpc/h, two pairs of "
        f"opposite phases and fixed amplitudes, {STEPS} steps of BullFrog, forces on "
        f"{2 * particles}^3 cells; all the sky from redshift {REDSHIFTS[0]:g} to "
        f"{REDSHIFTS[1]:g}, {near:.0f} to {far:.0f} Mpc/h, the box replicated, in {number} "
        f"shells at nside {NSIDE}. Shot noise of "
        "Poisson's points is subtracted, the window of pixels divided out. The theory is the "
        "learned linear power with HMcode-2020, of matter between the same distances, beyond "
        "Limber's approximation where that matters. Errors are those of the mean, by the scatter "
        "of the simulations. Below "
        f"l = {2 * np.pi * far / box:.0f} the box has no waves, and few up to a few times that; "
        f"above l = {JUDGED[1]} what the force's mesh smooths away is missing, first in the "
        f"nearest shells: a cell is {0.5 * box / particles:.2g} Mpc/h, particles "
        f"{box / particles:.2g} Mpc/h apart."
    )
    titles = [f"{name}: over theory, less 1 [%]" for name, _ in both.values()]
    parts = ["# Maps of a lightcone", check_table(checks), text, table(["l", *titles], rows)]
    finish("lightcone_maps", [*parts, "![spectra](lightcone_maps.png)"], checks)


if __name__ == "__main__":
    main()
