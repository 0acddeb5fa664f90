"""Particles: ten forces against a hundred, massive neutrinos against linear theory, a gradient.

    python validation/nbody.py [--quick] [--particles 128]

Writes docs/validation/nbody.md and two figures. What is done is kept in runs/nbody-validation and
not done again. Some fifteen minutes on two cores with 128^3 particles.
"""

import time
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
    kept,
    table,
    within,
)

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from volvelle.cosmology import Cosmology, planck18
from volvelle.nbody import (
    InitialConditions,
    LinearNeutrinos,
    LinearResponse,
    Mesh,
    ParticleMesh,
    Particles,
    density_contrast,
    from_white_noise,
    gaussian,
    simulate,
    white_noise,
)
from volvelle.power import (
    EisensteinHu,
    HMcode2020,
    learned_power,
    linear_power,
    nonlinear_power,
    sigma8,
)

FOLDER = ROOT / "runs" / "nbody-validation"
CELL, SEED, START = 1.5, 7, 0.1
"""Side of a cell [Mpc/h]; a at which Lagrangian perturbation theory hands over."""
INTEGRATORS = {
    "cola": "COLA, Tassev's factors",
    "cola-quinn": "COLA, Quinn's factors",
    "fastpm": "FastPM",
    "bullfrog": "BullFrog",
    "kdk": "kick-drift-kick, no frame",
}
SPACINGS = {"linear": "a", "log": "ln a", "growth": "D1"}
K_MAX, WIDTH = 1.0, 0.05
"""[h/Mpc]"""
MASSES = (0.15, 0.6)
MASS_BOUNDS = {0.15: 2.0, 0.6: 4.0}
"""Of the suppression to k = 1 h/Mpc against HMcode-2020, in percent."""
LARGE = 0.05
"""k [h/Mpc] below which the suppression is to be CLASS's linear one."""


class Bands:
    """Averages over bands of k of a mesh, up to a wavenumber."""

    def __init__(self, mesh: Mesh, last: float, width: float = WIDTH) -> None:
        k = np.sqrt(np.asarray(mesh.k_squared())).ravel()
        edges = np.arange(0.5 * mesh.fundamental, last, max(width, mesh.fundamental))
        self.index, self.number = np.digitize(k, edges), len(edges) + 1
        self.weight = np.where(np.indices(mesh.fourier_shape)[2].ravel() % (mesh.cells // 2), 2, 1)
        count = np.bincount(self.index, self.weight, self.number)[1:-1]
        self.k = np.bincount(self.index, self.weight * k, self.number)[1:-1] / count

    def cross(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        values = (one * np.conj(other)).real.ravel() * self.weight
        return np.bincount(self.index, values, self.number)[1:-1]


def modes(particles: object) -> np.ndarray:
    """delta of a snapshot on the mesh of its grid."""
    assert isinstance(particles, Particles)
    return np.asarray(density_contrast(particles.mesh, particles.positions))


def ten_forces(size: int) -> tuple[list[Check], list[str]]:
    """P and r of every integrator and spacing at ten forces, against a hundred."""
    mesh, universe = Mesh(size, CELL * size), planck18()
    initial = gaussian(universe, mesh, SEED, power=EisensteinHu())
    bands = Bands(mesh, K_MAX)

    def end(name: str, spacing: str, steps: int) -> tuple[np.ndarray, float]:
        began = time.perf_counter()
        found = simulate(
            universe, initial, integrator=name, start=START, steps=steps, spacing=spacing
        )
        jax.block_until_ready(found)
        return modes(found), time.perf_counter() - began

    reference: list[np.ndarray] = []

    def against() -> np.ndarray:
        if not reference:
            reference.append(end("kdk", "linear", 100)[0])
        return reference[0]

    def compared(name: str, spacing: str, steps: int) -> dict[str, Any]:
        (found, seconds), truth = end(name, spacing, steps), against()
        power, other = bands.cross(found, found), bands.cross(truth, truth)
        return {
            "ratio": (power / other).tolist(),
            "r": (bands.cross(found, truth) / np.sqrt(power * other)).tolist(),
            "seconds": seconds,
        }

    results, rows = {}, []
    cases = [("bullfrog", "linear", 100)] + [
        (name, spacing, forces if name in ("fastpm", "bullfrog") else forces - 1)
        for forces in (10, 20)
        for name in INTEGRATORS
        for spacing in (SPACINGS if forces == 10 else ("linear",))
    ]
    for name, spacing, steps in cases:
        results[name, spacing, steps] = kept(
            FOLDER / f"{size}-{name}-{spacing}-{steps}.json",
            lambda n=name, s=spacing, k=steps: compared(n, s, k),
        )
    tens = {case: each for case, each in results.items() if case[2] in (9, 10)}
    for (name, spacing, steps), each in results.items():
        forces = steps if name in ("fastpm", "bullfrog") else steps + 1
        off, r = 100.0 * (np.array(each["ratio"]) - 1.0), np.array(each["r"])
        rows.append(
            (INTEGRATORS[name], SPACINGS[spacing], str(forces), f"{np.abs(off).max():.2f}",
             f"{off[-1]:+.2f}", f"{r.min():.5f}", f"{each['seconds']:.0f}")
        )  # fmt: skip
    worst = {case: max(abs(x - 1.0) for x in each["ratio"]) for case, each in tens.items()}
    best = min(worst, key=lambda case: worst[case])
    draw_forces(bands.k, tens)
    words = f"{INTEGRATORS[best[0]]}, equal steps of {SPACINGS[best[1]]}"
    checks = [
        at_most(f"ten forces, {words}: P at k <= 1 h/Mpc [%]", 100.0 * worst[best], 1.0),
        at_least(f"ten forces, {words}: r at k <= 1 h/Mpc", min(tens[best]["r"]), 0.999, 5),
    ]
    headers = ("", "steps of equal", "forces", "P: largest [%]", "at k = 1 [%]", "r: least", "s")
    head = (
        f"## Ten forces\n\n{size}^3 particles, cells of {CELL} Mpc/h, from a = {START:g} to today, "
        "against 100 steps of kick-drift-kick from the same start on the same mesh, k <= 1 h/Mpc. "
        "The first row says how far two ways of a hundred steps differ. Seconds are of the whole "
        f"simulation, its compilation included."
    )
    return checks, [head, table(headers, rows), "![ten forces](nbody.png)"]


def draw_forces(k: np.ndarray, tens: dict[tuple[str, str, int], dict[str, Any]]) -> None:
    """P and r over those of the reference; a column for each spacing."""
    figure, axes = plt.subplots(2, 3, figsize=(11, 6), sharex=True, sharey="row")
    for column, spacing in enumerate(SPACINGS):
        for n, name in enumerate(INTEGRATORS):
            each = next(v for (i, s, _), v in tens.items() if (i, s) == (name, spacing))
            axes[0, column].plot(k, each["ratio"], color=f"C{n}", label=INTEGRATORS[name])
            axes[1, column].semilogy(k, 1.0 - np.array(each["r"]), color=f"C{n}")
        axes[0, column].axhspan(0.99, 1.01, color="0.9", zorder=0)
        axes[0, column].set_title(f"equal steps of {SPACINGS[spacing]}", fontsize=9)
        axes[1, column].axhline(1e-3, color="0.7", lw=0.8)
        axes[1, column].set_xlabel("k [h/Mpc]")
    axes[0, 0].set_ylim(0.85, 1.08)
    axes[0, 0].set_ylabel("P / P of 100 steps")
    axes[1, 0].set_ylabel("1 - r")
    axes[0, 0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(PAGES / "nbody.png", dpi=130)


def universe_of(mass: float) -> Cosmology:
    """Omega_m = 0.3175 and A_s fixed, three equal masses, as Giusarma et al. 2019."""
    h, whole = 0.6711, 0.3175 * 0.6711**2
    light = Cosmology(
        omega_b=0.049 * h**2, omega_cdm=whole - 0.049 * h**2, h=h, A_s=2.13e-9, n_s=0.9624,
        tau_reio=0.0925, m_nu=mass, neutrino_hierarchy="degenerate" if mass else "single",
    )  # fmt: skip
    return light.replace(omega_cdm=light.omega_cdm - float(light.omega_nu))


def bands_of(mesh: Mesh) -> Bands:
    """Narrow ones, to K_MAX or nearly to the mesh's end."""
    return Bands(mesh, min(K_MAX, 0.95 * mesh.nyquist), mesh.fundamental)


def suppressed(mesh: Mesh, amplitude: float) -> dict[Any, np.ndarray]:
    """P of matter and cb over that of a universe without mass, from shared phases.

    ``amplitude`` multiplies the density of the start: a small one stays linear.
    """
    bands, size, box = bands_of(mesh), mesh.cells, mesh.box_size

    def sharpening(k: jax.Array, a: jax.Array) -> jax.Array:
        """The inverse of painting's and reading's windows, of triangular clouds."""
        windows = [np.sinc(0.5 * mesh.cell / np.pi * each) ** 3 for each in mesh.wavenumbers()]
        return jnp.asarray((windows[0] * windows[1] * windows[2]) ** -2.0)

    def run(mass: float, paired: bool) -> dict[str, np.ndarray]:
        universe, power = universe_of(mass), learned_power()
        initial = gaussian(
            universe, mesh, SEED, power=power, species="cb", fixed_amplitude=True, paired=paired
        )
        initial = InitialConditions(mesh, amplitude * initial.density)
        force = ParticleMesh(mesh, "tsc", modification=sharpening)
        choices = {"start": 0.05, "steps": 30, "spacing": "linear", "force": force}
        if amplitude < 1.0:  # in which the frame is exact but for neutrinos, and steps may be even
            choices["spacing"] = "growth"
        if mass == 0.0:
            found = modes(simulate(universe, initial, **choices))
            return {"cb": bands.cross(found, found)}
        cb = modes(simulate(universe, initial, neutrinos=power, **choices))
        response = LinearResponse.of(universe, mesh, 0.05, power)
        added = LinearNeutrinos(response, initial.modes, mesh)(1.0)
        matter = (1.0 - float(response.fraction)) * cb + np.asarray(added)
        return {"cb": bands.cross(cb, cb), "matter": bands.cross(matter, matter)}

    def both(mass: float) -> dict[str, Any]:
        """The sum of a pair of opposite phases."""
        pair = [run(mass, paired) for paired in (False, True)]
        return {name: (pair[0][name] + pair[1][name]).tolist() for name in pair[0]}

    spectra = {
        mass: kept(
            FOLDER / f"{size}-neutrinos-{box:g}-{amplitude:g}-{mass:g}.json",
            lambda mass=mass: both(mass),
        )
        for mass in (0.0, *MASSES)
    }
    return {
        (mass, species): np.array(spectra[mass][species]) / np.array(spectra[0.0]["cb"])
        for mass in MASSES
        for species in ("matter", "cb")
    }


def expected(mass: float, species: str, mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """The suppression of linear theory and of HMcode-2020, averaged as the modes of a band are."""
    universe, nothing, fit = universe_of(mass), universe_of(0.0), HMcode2020(learned_power())
    k = np.geomspace(mesh.fundamental * 0.99, mesh.nyquist * 1.8, 200)
    per_mpc = k * universe.hubble_parameter
    bands, at = bands_of(mesh), np.log(np.sqrt(np.maximum(np.asarray(mesh.k_squared()), 1e-9)))
    found = []
    for f, model in ((linear_power, None), (nonlinear_power, fit)):
        logs = [
            np.interp(at, np.log(k), np.log(np.asarray(f(each, per_mpc, 1.0, model, of))))
            for each, of in ((universe, species), (nothing, "matter"))
        ]
        heavy, light = (np.exp(0.5 * each) for each in logs)
        found.append(bands.cross(heavy, heavy) / bands.cross(light, light))
    return found[0], found[1]


def neutrinos(size: int) -> tuple[list[Check], list[str]]:
    """The suppression of large scales while they are linear, and of all as they are."""
    wide, narrow = Mesh(size, 512.0), Mesh(size, CELL * size)
    ratios, curves = suppressed(wide, 1e-3), suppressed(narrow, 1.0)
    large, k = bands_of(wide).k, bands_of(narrow).k
    found = float(sigma8(universe_of(0.15), 1.0))
    checks = [within("sigma8 of 0.15 eV (0.833 without mass)", found, 0.798, 0.001, 4)]
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for axis, species in zip(axes, ("matter", "cb"), strict=True):
        for n, mass in enumerate(MASSES):
            name = f"{mass:g} eV, P of {species}"
            first = large < LARGE
            off = ratios[mass, species] / expected(mass, species, wide)[0] - 1.0
            worst = 100.0 * np.abs(off[first]).max()
            checks.append(at_most(f"{name}: k < {LARGE:g} h/Mpc, linear [%]", worst, 0.2))
            found, (linear, fit) = curves[mass, species], expected(mass, species, narrow)
            worst = 100.0 * np.abs(found / fit - 1.0).max()
            words = f"{name}: k <= {k.max():.2f} h/Mpc against HMcode-2020 [%]"
            checks.append(at_most(words, worst, MASS_BOUNDS[mass]))
            axis.semilogx(large[first], ratios[mass, species][first], "o", ms=3, color=f"C{n}")
            axis.semilogx(k, found, color=f"C{n}", label=f"{mass:g} eV: particles")
            axis.semilogx(k, linear, ":", color=f"C{n}", label="linear")
            axis.semilogx(k, fit, "--", color=f"C{n}", label="HMcode-2020")
        axis.set_title(f"P of {species} over P without mass, z = 0", fontsize=9)
        axis.set_xlabel("k [h/Mpc]")
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(PAGES / "nbody-neutrinos.png", dpi=130)
    text = (
        f"## Massive neutrinos\n\n{size}^3 particles, COLA in 30 steps from a = 0.05, Omega_m = "
        "0.3175 and A_s the same for all, three equal masses, the same phases, a pair of opposite "
        "ones of fixed amplitude; the smoothing is divided out of "
        "the force; linear spectra are the learned ones. Large scales (dots) in 512 Mpc/h, with "
        "1/1000 of the density so that they are linear (at its own, mode coupling changes the "
        f"ratio by a percent at 0.05 h/Mpc, in HMcode as well); lines in {CELL * size:g} Mpc/h."
    )
    return checks, [text, "![suppression](nbody-neutrinos.png)"]


def gradients(size: int) -> tuple[list[Check], list[str]]:
    """Of a loss on the final density of ``size``^3 particles, in their white noise."""
    mesh, universe = Mesh(size, 2.0 * size), planck18()
    noise = white_noise(SEED, mesh, dtype=jnp.float64)
    force = ParticleMesh(mesh, "pcs")

    def loss(noise: jax.Array, steps: int) -> jax.Array:
        initial = from_white_noise(universe, mesh, noise, power=EisensteinHu())
        found = simulate(universe, initial, steps=steps, force=force)
        assert isinstance(found, Particles)
        delta = density_contrast(mesh, found.positions, interlaced=False)
        smooth = jnp.exp(-0.5 * 4.0**2 * mesh.k_squared())
        return jnp.sum(jnp.fft.irfftn(delta * smooth, s=mesh.shape) ** 2)

    def measured() -> dict[str, Any]:
        slope = jax.jit(jax.value_and_grad(loss), static_argnums=1)
        sizes = [
            slope.lower(noise, steps).compile().memory_analysis().temp_size_in_bytes
            for steps in (10, 40)
        ]
        value = jax.jit(loss, static_argnums=1)
        found, off = np.asarray(slope(noise, 10)[1]), []
        for seed in range(3):
            towards = np.random.default_rng(seed).normal(size=mesh.shape)
            wanted = (value(noise + 1e-4 * towards, 10) - value(noise - 1e-4 * towards, 10)) / 2e-4
            off.append(float(abs(np.sum(found * towards) / wanted - 1.0)))
        seconds = []
        for each in (value, slope):
            began = time.perf_counter()
            jax.block_until_ready(each(noise, 10))
            seconds.append(time.perf_counter() - began)
        return {"off": off, "bytes": sizes, "seconds": seconds}

    found = kept(FOLDER / f"{size}-gradient.json", measured)
    few, many = found["bytes"]
    checks = [
        at_most(f"gradient in {size}^3 of noise against differences", max(found["off"]), 1e-3, 8),
        at_most("memory of the gradient of 40 steps over that of 10", many / few, 1.2),
    ]
    text = (
        f"## Gradient\n\n{size}^3 particles in float64, 10 steps of COLA; three random directions. "
        f"{few / 2**20:.0f} MiB for 10 steps and {many / 2**20:.0f} MiB for 40; the gradient takes "
        f"{found['seconds'][1] / found['seconds'][0]:.1f} times as long as the simulation."
    )
    return checks, [text]


def main() -> None:
    """Simulate, compare, write."""
    parser = arguments(__doc__)
    parser.add_argument("--particles", type=int, default=128, help="per side")
    options = parser.parse_args()
    PAGES.mkdir(parents=True, exist_ok=True)
    size, small = (32, 16) if options.quick else (options.particles, 64)
    parts = [ten_forces(size), gradients(small), neutrinos(size)]
    checks = [check for found, _ in parts for check in found]
    finish(
        "nbody",
        ["# Particles", check_table(checks), *(text for _, texts in parts for text in texts)],
        checks,
    )


if __name__ == "__main__":
    main()
