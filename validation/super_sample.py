"""How power answers to the mean density of a survey, and what that costs.

Responses d ln P / d delta_b of the package's models, beside the same by the derivative in h of flat
universes (Terasawa et al. 2023, arXiv:2310.13330) and by the amplitude of linear power alone; what
super-sample covariance takes off the signal to noise of the example in docs/probes.md; what the end
of the learned power costs xi_-. Writes docs/validation/super_sample.md; three minutes of a core.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from common import arguments, at_most, check_table, finish, table

from volvelle.cosmology import planck18
from volvelle.power import Halofit, HMcode2020, Model, learned_power
from volvelle.power.collapse import Collapse
from volvelle.probes import (
    Alignment,
    NumberCounts,
    Shifted,
    Smail,
    WeakLensing,
    angular_cl,
    cap_window,
    gaussian_covariance,
    shape_noise,
    shot_noise,
    super_sample_covariance,
    xi_minus,
)
from volvelle.probes.response import DensityResponse

COSMOLOGY = planck18().replace(m_nu=0.0)
K = np.array([0.1, 0.5, 1.0, 2.0, 5.0])
MODELS: dict[str, Model] = {
    "HMcode-2020": HMcode2020(learned_power()),
    "halofit": Halofit(learned_power()),
}
AGREE, AGREED_TO = 0.1, 2.0
"""Of halofit's response by two methods, up to a wavenumber [1/Mpc]."""


def own(model: Model, a: float) -> np.ndarray:
    """The response that the package takes."""
    at = jnp.full(K.size, a)
    return np.asarray(jax.jit(lambda: DensityResponse.of(COSMOLOGY, model)(K, at))())


def _tilted(model: Model, a: float, growth: Callable[[], jax.Array]) -> np.ndarray:
    """2 - 1/3 d ln(k^3 P) / d ln k and a growth part."""
    spectrum, step = jax.jit(lambda: model.spectrum(COSMOLOGY))(), 1e-3
    at = jnp.full(K.size, a)
    up, down = (jnp.log(spectrum.matter(K * np.exp(d), at)) for d in (step, -step))
    return np.asarray(1.0 - (up - down) / (6.0 * step) + jax.jit(growth)())


def by_hubble(model: Model, a: float) -> np.ndarray:
    """Growth as 26/21 of the answer to h in flat universes over twice that of ln D."""
    at, h = jnp.full(K.size, a), float(COSMOLOGY.h)

    def power(h: jax.Array) -> jax.Array:
        return jnp.log(model.spectrum(COSMOLOGY.replace(h=h)).matter(K, at))

    def early(h: jax.Array) -> jax.Array:
        return jnp.log(Collapse.of(COSMOLOGY.replace(h=h)).early(jnp.asarray(a)))

    return _tilted(model, a, lambda: 13.0 / 21.0 * jax.jacfwd(power)(h) / jax.jacfwd(early)(h))


def by_amplitude(model: Model, a: float) -> np.ndarray:
    """Growth as 26/21 of the answer to the amplitude of linear power."""
    at = jnp.full(K.size, a)

    def power(x: jax.Array) -> jax.Array:
        other = COSMOLOGY.replace(A_s=COSMOLOGY.A_s * jnp.exp(x))
        return jnp.log(model.spectrum(other).matter(K, at))

    return _tilted(model, a, lambda: 26.0 / 21.0 * jax.jacfwd(power)(0.0))


def losses() -> tuple[list[list[str]], int]:
    """Share of the signal to noise that goes, of every pair of the page's example; and the rank."""
    lenses = NumberCounts(Smail(2.0, 1.5, 0.3), bias=1.6, rsd=True, magnification=0.4)
    shifted = Shifted(Smail(2.0, 1.5, 0.6), 0.01)
    sources = WeakLensing(shifted, Alignment(0.5, 1.0), multiplicative_bias=0.01)
    ell, edges = np.geomspace(10, 3000, 50), np.geomspace(9, 3100, 51)
    model = HMcode2020(learned_power())
    names = {(0, 0): "counts", (0, 1): "counts with shear", (1, 1): "shear"}
    rows, rank = [], 0
    for pair, words in names.items():
        used = sorted(set(pair))
        tracers = [(lenses, sources)[n] for n in used]
        noise = [(shot_noise(0.5), shape_noise(5.0, 0.26))[n] for n in used]
        spectra = jax.jit(lambda t=tracers: angular_cl(planck18(), ell, t, model))()
        gaussian = gaussian_covariance(spectra, noise, f_sky=0.1, edges=edges)
        beyond = super_sample_covariance(planck18(), ell, tracers, model, window=cap_window(0.1))
        rank = max(rank, beyond.root.shape[0])
        row = spectra.pairs.index((0, len(used) - 1))
        signal = np.asarray(spectra.values[row])
        chosen = np.arange(row * ell.size, (row + 1) * ell.size)
        found = [
            signal @ np.linalg.solve(np.asarray(each.dense())[np.ix_(chosen, chosen)], signal)
            for each in (gaussian, gaussian.plus(beyond))
        ]
        rows.append([words, f"{1.0 - np.sqrt(found[1] / found[0]):.0%}"])
    return rows, rank


def main() -> None:
    """Compute, write."""
    arguments(__doc__).parse_args()
    rows, agreement = [], 0.0
    for a, words in ((1.0, "z = 0"), (0.5, "z = 1")):
        for name, model in MODELS.items():
            found = {
                name: own(model, a),
                f"{name}, by the derivative in h": by_hubble(model, a),
                f"{name}, by the amplitude alone": by_amplitude(model, a),
            }
            rows += [[f"{n}, {words}", *(f"{x:.2f}" for x in each)] for n, each in found.items()]
            if name == "halofit":
                one, two, _ = found.values()
                agreement = max(agreement, float(np.max(np.abs(two / one - 1.0)[K <= AGREED_TO])))
    lost, rank = losses()
    shear = [WeakLensing(Smail(2.0, 1.5, 0.6))]
    edges = np.geomspace(2.5, 250.0, 21)
    missing = jax.jit(lambda: xi_minus(planck18(), edges, shear).missing)()
    checks = [at_most("halofit's response by two methods, to 2/Mpc", agreement, AGREE)]
    finish(
        "super_sample",
        [
            "# The response to the mean density of a survey",
            check_table(checks),
            "d ln P / d delta_b, Planck's universe with massless neutrinos, k in 1/Mpc:",
            table(("", *(f"{k:g}" for k in K)), rows),
            "Share of the signal to noise that super-sample covariance takes in the example of "
            f"docs/probes.md (rank {rank}):",
            table(("", "lost"), lost),
            "What lies beyond the end of the learned power, 10/Mpc, of xi_- of sources at "
            f"z_0 = 0.6 in the first bin above 2.5 arcmin: {float(missing[0, 0]):.1%}.",
        ],
        checks,
    )


if __name__ == "__main__":
    main()
