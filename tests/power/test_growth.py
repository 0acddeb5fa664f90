"""Growth by scale against CLASS's transfer functions, and its limits."""

import jax.numpy as jnp
import numpy as np
import pytest

import volvelle.power as vp
from volvelle.boltzmann import POWER_K, load_classy
from volvelle.cosmology import growth_factor, growth_rate, planck18, to_class

AGAINST_CLASS = 2e-3
"""Of D(k, a) and f(k, a), k from 1e-3 to 5/Mpc, z to 3; CLASS has its default precision."""
K = POWER_K[(POWER_K > 1e-3) & (POWER_K < 5.0)][::12]
Z = np.array([0.5, 1.0, 3.0])


@pytest.mark.parametrize("change", [{"m_nu": 0.3}, {"m_nu": 0.06, "w0": -0.8, "Omega_k": 0.02}])
def test_against_class(change: dict[str, float]) -> None:
    cosmology = planck18().replace(**change)
    model = load_classy(None).Class()
    model.set({**to_class(cosmology), "output": "mPk", "P_k_max_1/Mpc": 11.0, "z_max_pk": 4.0})
    model.compute()
    a = 1.0 / (1.0 + Z)[:, None]
    for species, read in (("matter", model.pk_lin), ("cb", model.pk_cb_lin)):
        exact = np.array([[np.sqrt(read(k, z) / read(k, 0.0)) for k in K] for z in Z])
        found = vp.scale_dependent_growth(cosmology, K[None], a, species)
        np.testing.assert_allclose(found, exact, rtol=AGAINST_CLASS)
        step = 0.02
        rates = [
            [np.log(read(k, z - step) / read(k, z + step)) / np.log((1 + z + step) / (1 + z - step))
             for k in K] for z in Z
        ]  # fmt: skip
        found = vp.scale_dependent_growth_rate(cosmology, K[None], a, species)
        np.testing.assert_allclose(found, 0.5 * np.array(rates), atol=AGAINST_CLASS)
    model.struct_cleanup()


def test_without_mass_it_is_the_background() -> None:
    cosmology = planck18().replace(m_nu=0.0)
    a = jnp.asarray([0.25, 0.5, 1.0])
    at = np.array([0.5])
    found = vp.scale_dependent_growth(cosmology, at, a)
    np.testing.assert_allclose(found, growth_factor(cosmology, a), rtol=AGAINST_CLASS)
    found = vp.scale_dependent_growth_rate(cosmology, at, a)
    np.testing.assert_allclose(found, growth_rate(cosmology, a), rtol=AGAINST_CLASS)
    fit = vp.EisensteinHu()
    found = vp.scale_dependent_growth(cosmology, at, a, "matter", fit)
    np.testing.assert_allclose(found, growth_factor(cosmology, a), rtol=1e-9)


def test_refusals() -> None:
    with pytest.raises(vp.ModelError, match="growth is of linear fields"):
        vp.scale_dependent_growth(planck18(), 0.1, 0.5, "matter", vp.Halofit(vp.EisensteinHu()))
    with pytest.raises(vp.WavenumberError):
        vp.scale_dependent_growth(planck18(), 100.0, 0.5)
