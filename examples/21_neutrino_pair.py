"""A pair of simulations with and without massive neutrinos, from the same phases.

    python examples/21_neutrino_pair.py --output runs/neutrino-pair --mass 0.3

Omega_m and A_s are the same in both, as in the Quijote simulations and in Giusarma et al. 2019, so
that all differences are the neutrinos'. 128^3 particles in 192 Mpc/h, by COLA in 20 steps from
a = 0.05; the particles of the second universe are baryons and cold dark matter, pulled on by the
neutrinos' linear density. Writes massless.hdf5 and massive.hdf5 (GADGET's HDF5), and
neutrino_pair.png: slices of both and what became of P(k), beside linear theory, HMcode-2020 and
halofit with neutrinos. Minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from volvelle.cosmology import Cosmology
from volvelle.nbody import (
    Mesh,
    ParticleMesh,
    Particles,
    Snapshot,
    gaussian,
    paint,
    simulate,
    write_snapshot,
)
from volvelle.power import Halofit, HMcode2020, learned_power, linear_power, nonlinear_power
from volvelle.statistics import Density, PowerSpectrum, power_spectrum


def universe(mass: float) -> Cosmology:
    """Quijote's, with neutrinos of three equal masses of this sum [eV] in place of dark matter."""
    h, omega_b, omega_m = 0.6711, 0.049 * 0.6711**2, 0.3175 * 0.6711**2
    found = Cosmology(
        omega_b=omega_b, omega_cdm=omega_m - omega_b, h=h, A_s=2.13e-9, n_s=0.9624,
        tau_reio=0.0925, m_nu=mass, neutrino_hierarchy="degenerate",
    )  # fmt: skip
    return found.replace(omega_cdm=found.omega_cdm - float(found.omega_nu))


def simulated(cosmology: Cosmology, mesh: Mesh, seed: int, steps: int) -> Particles:
    """Baryons and cold dark matter today."""
    power, massive = learned_power(), float(cosmology.omega_nu) > 0.0
    initial = gaussian(
        cosmology, mesh, seed, power=power, species="cb" if massive else "matter",
        fixed_amplitude=True,
    )  # fmt: skip
    force = ParticleMesh(Mesh(2 * mesh.cells, mesh.box_size), "tsc")
    found = simulate(
        cosmology, initial, start=0.05, steps=steps, force=force,
        neutrinos=power if massive else None,
    )  # fmt: skip
    assert isinstance(found, Particles)
    return found


def write(path: Path, particles: Particles, cosmology: Cosmology) -> None:
    """As GADGET does."""
    snapshot = Snapshot(
        np.asarray(particles.positions),
        np.asarray(particles.velocities),
        a=float(particles.a),
        box_size=particles.mesh.box_size,
        Omega_m=float(cosmology.Omega_m),
        Omega_de=float(cosmology.Omega_de),
        h=float(cosmology.hubble_parameter),
    )
    print(f"wrote {write_snapshot(path, snapshot)}")


def suppression(k: np.ndarray, heavy: Cosmology, light: Cosmology) -> dict[str, np.ndarray]:
    """P of baryons and cold dark matter over P without mass, by theory; k in h/Mpc."""
    at = k * heavy.hubble_parameter
    linear = learned_power()
    models = {"HMcode-2020": HMcode2020(linear), "halofit (Bird)": Halofit(linear)}
    ratios = {
        "linear": linear_power(heavy, at, 1.0, linear, "cb")
        / linear_power(light, at, 1.0, linear, "cb")
    }
    for name, model in models.items():
        ratios[name] = nonlinear_power(heavy, at, 1.0, model, "cb") / nonlinear_power(
            light, at, 1.0, model, "cb"
        )
    return {name: np.asarray(ratio) for name, ratio in ratios.items()}


def main() -> None:
    """Simulate both, write, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("."), help="folder of what is written")
    parser.add_argument("--mass", type=float, default=0.3, help="sum of the masses [eV]")
    parser.add_argument("--particles", type=int, default=128, help="per side")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not 0.0 < options.mass <= 0.6:
        parser.error(f"--mass {options.mass}: expected a mass above 0, to 0.6 eV")
    jax.config.update("jax_enable_x64", True)  # for the learned spectrum; particles are float32
    options.output.mkdir(parents=True, exist_ok=True)
    mesh = Mesh(options.particles, 1.5 * options.particles)
    spectra: list[PowerSpectrum] = []
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.4))
    universes = {"massless": universe(0.0), "massive": universe(options.mass)}
    for axis, (name, cosmology) in zip(axes, universes.items(), strict=False):
        particles = simulated(cosmology, mesh, options.seed, options.steps)
        write(options.output / f"{name}.hdf5", particles, cosmology)
        density = Density.of_catalogue(
            np.asarray(particles.positions), mesh.box_size, cells=2 * mesh.cells
        )
        spectra.append(power_spectrum(density))
        clouds = np.asarray(paint(mesh, particles.positions, assignment="tsc"))
        slab = clouds[: max(1, mesh.cells // 16)].mean(axis=0)
        edge = (0.0, mesh.box_size)
        axis.imshow(
            np.log10(np.maximum(slab, 0.05)).T, origin="lower", extent=edge * 2, cmap="magma"
        )
        axis.set_title(f"{float(cosmology.m_nu):g} eV")
        axis.set_xlabel("y [Mpc/h]")
    light, heavy = spectra
    shown = light.k < mesh.nyquist
    k, ratio = light.k[shown], (heavy.values / light.values)[shown]
    axes[2].semilogx(k, ratio, "k", label="simulations")
    theory = suppression(k, universes["massive"], universes["massless"])
    for (name, values), style in zip(theory.items(), (":", "--", "-."), strict=True):
        axes[2].semilogx(k, values, style, label=name)
    at = int(np.argmin(np.abs(k - 0.3)))
    print(f"P of {options.mass:g} eV over P of 0 eV at k = {k[at]:.2f} h/Mpc: {ratio[at]:.4f}, "
          f"HMcode-2020 {theory['HMcode-2020'][at]:.4f}")  # fmt: skip
    axes[2].set_xlabel("k [h/Mpc]")
    axes[2].set_ylabel("P of cb over P without mass")
    axes[2].legend()
    figure.tight_layout()
    figure.savefig(options.output / "neutrino_pair.png", dpi=130)
    print(f"wrote {options.output / 'neutrino_pair.png'}")


if __name__ == "__main__":
    main()
