"""Mass splittings and the neutrino density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.cosmology import (
    Cosmology,
    NeutrinoError,
    ParameterError,
    comoving_distance,
    growth_rate,
    hubble,
    minimal_sum,
    neutrino_masses,
    omega_nu,
    planck18,
)
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


def test_masses_of_their_own():
    """A list, an array or traced numbers; a sum in its place is one, and the other way round."""
    base = planck18()
    two = base.replace(m_nu=[0.02, 0.1])
    assert two.neutrino_hierarchy == "masses" and two.M_nu == pytest.approx(0.12)
    assert two.omega_nu == pytest.approx(base.replace(m_nu=0.12).omega_nu)
    assert two.replace(h=0.7).neutrino_masses.shape == (2,)
    assert two.replace(m_nu=0.1, neutrino_hierarchy="normal").neutrino_masses.shape == (3,)
    assert two.replace(m_nu=0.1).neutrino_hierarchy == "single"
    assert base.replace(m_nu=jnp.array([0.1] * 3)).M_nu == pytest.approx(0.3)
    values = two.canonical()
    assert (values["m_nu.1"], values["m_nu.2"]) == (0.02, 0.1)
    assert Cosmology.from_canonical(values).canonical() == values
    assert base.replace(m_nu=(0.1, 0.02)).canonical() == values  # the same universe
    slope = jax.grad(lambda m: base.replace(m_nu=[m, 0.1]).omega_nu)(0.02)
    assert slope == pytest.approx(omega_nu(1.0, base.T_cmb))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"m_nu": []}, NeutrinoError, "m_nu is an empty list"),
        ({"m_nu": [0.1, -0.1]}, ParameterError, r"m_nu is -0\.1"),
        ({"m_nu": [0.1, "heavy"]}, ParameterError, "'heavy'; expected a number"),
        ({"m_nu": 0.1, "neutrino_hierarchy": "masses"}, NeutrinoError, "a single number"),
        ({"m_nu": [0.1, 0.2], "neutrino_hierarchy": "normal"}, ParameterError, "list of 2 masses"),
    ],
)
def test_what_is_no_list_of_masses(changes, error, words):
    with pytest.raises(error, match=words):
        planck18().replace(**changes)


def test_no_room_for_states_with_mass():
    """Those without are massless ones, of which N_eff holds a part."""
    with pytest.raises(NeutrinoError, match=r"leaves -1\.009 massless neutrinos beside 4 massive"):
        hubble(planck18().replace(m_nu=[0.1] * 4), 0.5)
    fewer = hubble(planck18().replace(m_nu=[0.1] * 3 + [0.0]), 0.5)
    equal = hubble(planck18().replace(m_nu=0.3, neutrino_hierarchy="degenerate"), 0.5)
    assert fewer == pytest.approx(float(equal), rel=1e-14)
    traced = jax.jit(lambda m: hubble(planck18().replace(m_nu=m), 0.5))
    assert np.isnan(traced(jnp.full(4, 0.1)))
    assert traced(jnp.array([0.1, 0.1, 0.1, 0.0])) == pytest.approx(float(equal), rel=1e-14)


def test_derivatives_in_each_mass():
    """Of expansion, distance and growth, against differences of fourth order, one-sided at 0.

    They are 0 there, where N_eff is kept: a state's energy grows with the square of its mass.
    """
    base, a = planck18().replace(N_eff=4.2), jnp.asarray([0.9, 0.1, 1e-3])

    @jax.jit
    def f(masses):
        one = base.replace(m_nu=masses)
        return jnp.stack([g(one, a) for g in (hubble, comoving_distance, growth_rate)])

    centre = jnp.asarray([0.0, 0.02, 0.1, 0.3])
    exact, value = np.asarray(jax.jit(jax.jacfwd(f))(centre)), f(centre)
    for n in range(1, 4):
        step = 0.02 * float(centre[n])
        one, two = (
            (f(centre.at[n].add(d * step)) - f(centre.at[n].add(-d * step))) / (2.0 * d * step)
            for d in (1.0, 2.0)
        )
        floor = 1e-9 * np.max(np.abs(value), axis=1, keepdims=True) / step
        difference = (4.0 * one - two) / 3.0
        assert np.all(np.abs(exact[..., n] - difference) <= 1e-4 * np.abs(difference) + floor)
    one, two = (f(centre.at[0].set(d * 1e-6)) - value for d in (1.0, 2.0))
    light = np.abs(4.0 * one - two) / 2e-6
    scale = np.max(np.abs(value), axis=1, keepdims=True)
    assert np.all(exact[..., 0] == 0.0) and np.all(light <= 1e-6 * scale)
