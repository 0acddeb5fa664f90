"""Mass splittings and the neutrino density."""

import jax
import numpy as np
import pytest

from volvelle.cosmology import NeutrinoError, minimal_sum, neutrino_masses, omega_nu
from volvelle.cosmology.neutrinos import (
    DELTA_M21_SQUARED,
    DELTA_M31_SQUARED_NORMAL,
    DELTA_M32_SQUARED_INVERTED,
    neutrino_masses_exact,
)

MASS_TOLERANCE = 1e-12  # Newton's last step is below rounding of masses of order 0.05 eV
SPLITTING_TOLERANCE = 1e-9  # a difference of squares loses three digits
DENSITY_TOLERANCE = 1e-4  # 93.14 eV is quoted to four digits


@pytest.mark.parametrize("m_nu", [0.0595, 0.07, 0.15, 0.6])
def test_normal_splittings(m_nu):
    m1, m2, m3 = neutrino_masses(m_nu, "normal")
    assert m1 + m2 + m3 == pytest.approx(m_nu, abs=MASS_TOLERANCE)
    assert m2**2 - m1**2 == pytest.approx(DELTA_M21_SQUARED, rel=SPLITTING_TOLERANCE)
    assert m3**2 - m1**2 == pytest.approx(DELTA_M31_SQUARED_NORMAL, rel=SPLITTING_TOLERANCE)


@pytest.mark.parametrize("m_nu", [0.1, 0.15, 0.6])
def test_inverted_splittings(m_nu):
    m3, m1, m2 = neutrino_masses(m_nu, "inverted")
    assert m1 + m2 + m3 == pytest.approx(m_nu, abs=MASS_TOLERANCE)
    assert m2**2 - m1**2 == pytest.approx(DELTA_M21_SQUARED, rel=SPLITTING_TOLERANCE)
    assert m3**2 - m2**2 == pytest.approx(DELTA_M32_SQUARED_INVERTED, rel=SPLITTING_TOLERANCE)


@pytest.mark.parametrize("hierarchy", ["normal", "inverted"])
def test_minimum_of_the_hierarchy(hierarchy):
    smallest = minimal_sum(hierarchy)
    assert neutrino_masses_exact(smallest, hierarchy)[0] == pytest.approx(0.0, abs=1e-10)
    with pytest.raises(NeutrinoError, match=f"the {hierarchy} hierarchy needs at least"):
        neutrino_masses(smallest - 1e-6, hierarchy)


@pytest.mark.parametrize("hierarchy", ["single", "degenerate", "normal", "inverted"])
def test_masses_with_and_without_jax_agree(hierarchy):
    np.testing.assert_allclose(
        neutrino_masses(0.2, hierarchy), neutrino_masses_exact(0.2, hierarchy), rtol=1e-12
    )


@pytest.mark.parametrize("hierarchy", ["single", "degenerate", "normal", "inverted"])
def test_gradient_of_masses_equals_difference(hierarchy):
    gradient = jax.jacfwd(lambda m: neutrino_masses(m, hierarchy))(0.12)
    difference = (neutrino_masses(0.1201, hierarchy) - neutrino_masses(0.1199, hierarchy)) / 2e-4
    np.testing.assert_allclose(gradient, difference, rtol=1e-4)
    assert gradient.sum() == pytest.approx(1.0)


def test_density_per_mass():
    assert 1.0 / omega_nu(1.0, 2.7255) == pytest.approx(93.14, rel=DENSITY_TOLERANCE)
