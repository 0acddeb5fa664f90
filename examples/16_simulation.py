"""A simulation: 128^3 particles in a box of 256 Mpc/h by COLA, in ten forces.

    python examples/16_simulation.py --output figures

Initial conditions from the learned linear spectrum, second-order Lagrangian perturbation theory to
a = 0.1, nine steps to today. Writes simulation.png: a slice of the density, and P(k) beside linear
theory and HMcode-2020. Minutes on two cores, most of a minute on one that is free.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from volvelle.cosmology import Cosmology, planck18
from volvelle.nbody import Mesh, Particles, density_contrast, gaussian, paint, prepare
from volvelle.power import linear_power, nonlinear_power


def simulated(cosmology: Cosmology, mesh: Mesh, seed: int) -> Particles:
    """Stage by stage, with a line for each; ``simulate`` is the same at once."""
    simulation = prepare(cosmology, gaussian(cosmology, mesh, seed), start=0.1, steps=9)
    state = simulation.init()
    while not simulation.done(state):
        began = time.perf_counter()
        state = jax.block_until_ready(simulation.step(state))
        a = float(simulation.stages.time[int(state.stage) - 1])
        print(f"a = {a:.2f}  {time.perf_counter() - began:.1f} s", flush=True)
    return simulation.particles(state)


def spectrum(modes: np.ndarray, mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """k [h/Mpc] and P [(Mpc/h)^3] in bands a fundamental wavenumber wide."""
    k = np.sqrt(np.asarray(mesh.k_squared())).ravel()
    half = np.indices(mesh.fourier_shape)[2].ravel()
    weight = np.where((half == 0) | (half == mesh.cells // 2), 1.0, 2.0)
    band = (k / mesh.fundamental + 0.5).astype(int)
    count, whole, power = (
        np.bincount(band, weight * each)
        for each in (np.ones_like(k), k, np.abs(modes.ravel()) ** 2)
    )
    inside = slice(1, mesh.cells // 2)
    return (whole / count)[inside], (power / count * mesh.volume / mesh.cells**6)[inside]


def main() -> None:
    """Simulate, measure, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("."), help="folder of the figure")
    parser.add_argument("--particles", type=int, default=128, help="per side")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)  # for the learned spectrum; particles are float32
    cosmology, mesh = planck18(), Mesh(options.particles, 2.0 * options.particles)
    end = simulated(cosmology, mesh, options.seed)
    modes = np.asarray(density_contrast(mesh, end.positions))
    k, power = spectrum(modes, mesh)
    h = cosmology.hubble_parameter
    linear, fit = (
        np.asarray(f(cosmology, k * h, 1.0)) * h**3 for f in (linear_power, nonlinear_power)
    )
    speed = float(np.sqrt(np.mean(np.sum(np.asarray(end.velocities) ** 2, 1))))
    print(f"rms velocity {speed:.0f} km/s; P over HMcode at k = {k[10]:.2f} h/Mpc: "
          f"{power[10] / fit[10]:.3f}")  # fmt: skip

    density = np.asarray(paint(mesh, end.positions, assignment="tsc"))
    slab = np.mean(density[: max(1, mesh.cells // 16)], axis=0)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8))
    image = left.imshow(
        np.log10(np.maximum(slab, 0.05)).T,
        origin="lower",
        extent=(0, mesh.box_size, 0, mesh.box_size),
        cmap="magma",
    )
    left.set_xlabel("y [Mpc/h]")
    left.set_ylabel("z [Mpc/h]")
    figure.colorbar(image, ax=left, label=r"log$_{10}$(1 + $\delta$)")
    right.loglog(k, power, "k", label="particles")
    right.loglog(k, linear, ":", label="linear")
    right.loglog(k, fit, "--", label="HMcode-2020")
    right.set_xlabel("k [h/Mpc]")
    right.set_ylabel(r"P [(Mpc/h)$^3$]")
    right.legend()
    figure.tight_layout()
    options.output.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output / "simulation.png", dpi=130)
    print(f"wrote {options.output / 'simulation.png'}")


if __name__ == "__main__":
    main()
