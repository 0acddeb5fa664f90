"""Presets against the other numbers of the tables that they are from, and astropy's."""

import jax
import numpy as np
import pytest

import volvelle.cosmology as vc

astropy = pytest.importorskip("astropy.cosmology")

PUBLISHED = {
    # Omega_m, age [Gyr]; arXiv:1807.06209 table 2, the fourth to the sixth column
    "planck18": (0.3166, 13.800),
    "planck18_lensing": (0.3153, 13.797),
    "planck18_lensing_bao": (0.3111, 13.787),
}
REALISATIONS = {
    "planck18_lensing_bao": "Planck18",
    "planck15": "Planck15",
    "planck13": "Planck13",
    "wmap9": "WMAP9",
}
DIGITS = 5e-4
"""Of published means, which are rounded and not of one point."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_derived_numbers_of_the_table(name: str) -> None:
    cosmology = getattr(vc, name)()
    matter, age = PUBLISHED[name]
    assert float(cosmology.Omega_m) == pytest.approx(matter, rel=2e-3)
    assert float(vc.age(cosmology)) == pytest.approx(age, rel=DIGITS)


@pytest.mark.parametrize("name", REALISATIONS)
def test_realisations_of_astropy(name: str) -> None:
    ours, theirs = getattr(vc, name)(), getattr(astropy, REALISATIONS[name])
    h2 = float(ours.h) ** 2
    assert float(ours.H0) == pytest.approx(theirs.H0.value, rel=1e-12)
    assert ours.omega_b / h2 == pytest.approx(theirs.Ob0, rel=DIGITS)
    assert (ours.omega_b + ours.omega_cdm) / h2 == pytest.approx(theirs.Om0, rel=DIGITS)
    assert (ours.n_s, ours.tau_reio) == (theirs.meta["n"], theirs.meta["tau"])
    assert ours.sigma8 in (None, theirs.meta["sigma8"])
    assert ours.m_nu == sum(theirs.m_nu.value) and ours.T_cmb == theirs.Tcmb0.value
    z = np.array([0.1, 1.0, 10.0])
    found = np.asarray(vc.comoving_distance(ours, 1.0 / (1.0 + z)))
    np.testing.assert_allclose(found, theirs.comoving_distance(z).value, rtol=DIGITS)


@pytest.mark.parametrize("name", ["planck18", "planck18_lensing_bao", "planck15", "abacus_summit"])
def test_sigma8_of_the_learned_power(name: str) -> None:
    """0.8120, 0.8102 and 0.8159 in the tables; that of c000 of AbacusSummit is 0.807952."""
    from volvelle.power import sigma8

    published = {"planck18": 0.8120, "planck18_lensing_bao": 0.8102, "planck15": 0.8159}
    found = float(sigma8(getattr(vc, name)(), 1.0))
    assert found == pytest.approx(published.get(name, 0.807952), rel=2e-3)


def test_the_neutrinos_of_abacus_summit() -> None:
    cosmology = vc.abacus_summit()
    assert float(cosmology.omega_nu) == pytest.approx(0.00064420, rel=1e-4)
    assert vc.massless_number(cosmology) == pytest.approx(2.0328, abs=1e-4)
    assert jax.grad(lambda m: cosmology.replace(m_nu=m).Omega_m)(0.06) > 0.0
