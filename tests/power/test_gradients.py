"""Derivatives of what the learned power gives, and of growth by scale, against differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import volvelle.power as vp
from power_references import one_sided
from volvelle.cosmology import Cosmology, planck18

PARAMETERS = (
    "omega_b", "omega_cdm", "h", "m_nu", "N_eff", "w0", "wa", "Omega_k", "n_s", "A_s",
)  # fmt: skip
FIDUCIAL = planck18().replace(w0=-0.95, wa=0.1, Omega_k=0.01)
AWKWARD = planck18().replace(m_nu=0.0)
"""No mass, Omega_k = wa = 0 and w = -1 exactly; times include today."""
K = jnp.asarray([0.004, 0.15, 2.0])
A = jnp.asarray([1.0, 0.4])[:, None]
RADII = jnp.asarray([3.0, 8.0, 40.0])
ROWS = ("D", "f of cb", "linear cb", "non-linear", "sigma8", "sigma_r of cb")
TOLERANCE = 1e-4
"""Relative to the derivative, and to a tenth of its largest value in k and a."""
MOVED = 1e-4
"""Least derivative in the mass of every row [1/eV]: baryons and cold dark matter hardly notice
neutrinos that stay relativistic until today (measured: 8e-4)."""
MASS_STEP, MASS_ROUNDING = 1e-5, 3e-10
"""At m_nu = 0: within the first [eV] the learned power is straight to 1e-4; it is rounded to 1e-10
in the mass, as rests of many components cancel."""


def everything(theta: jax.Array) -> jax.Array:
    """[rows, a, k], of no model given: the learned one, and HMcode-2020 of it.

    Not compiled as a whole: the parts are, and the spectrum is then one program for all of them.
    """
    cosmology = planck18().replace(**dict(zip(PARAMETERS, theta, strict=True)))
    rows = [
        vp.scale_dependent_growth(cosmology, K, A),
        vp.scale_dependent_growth_rate(cosmology, K, A, "cb"),
        jnp.log(vp.linear_power(cosmology, K, A, species="cb")),
        jnp.log(vp.nonlinear_power(cosmology, K, A)),
        vp.sigma8(cosmology, A) * jnp.ones(3),
        vp.sigma_r(cosmology, RADII, A, species="cb"),
    ]
    return jnp.stack(rows)


@pytest.mark.parametrize("centre", [FIDUCIAL, AWKWARD], ids=["fiducial", "awkward"])
def test_in_every_parameter(centre: Cosmology) -> None:
    at = jnp.asarray([float(getattr(centre, name)) for name in PARAMETERS])
    exact, here = np.asarray(jax.jacfwd(everything)(at)), np.asarray(everything(at))
    assert np.all(np.isfinite(exact))
    assert np.all(np.max(np.abs(exact), axis=(1, 2))[:, PARAMETERS.index("m_nu")] > MOVED)
    for n, name in enumerate(PARAMETERS):
        if name == "m_nu" and at[n] == 0.0:
            step, rounding = MASS_STEP, MASS_ROUNDING
            numeric = one_sided(everything, at, n, step)
        else:
            step, rounding = 1e-3 * (abs(float(at[n])) or 1.0), 1e-14
            one, two = (
                (everything(at.at[n].add(d * step)) - everything(at.at[n].add(-d * step)))
                / (2.0 * d * step)
                for d in (1.0, 2.0)
            )
            numeric = np.asarray((4.0 * one - two) / 3.0)
        size = np.max(np.abs(numeric), axis=(1, 2), keepdims=True)
        least = rounding * np.maximum(np.abs(here), 1.0) / step / TOLERANCE
        error = np.abs(exact[..., n] - numeric)
        error /= np.maximum(np.maximum(np.abs(numeric), 0.1 * size), least)
        worst = np.unravel_index(np.argmax(error), error.shape)
        assert np.max(error) < TOLERANCE, (name, ROWS[worst[0]], worst, np.max(error))
