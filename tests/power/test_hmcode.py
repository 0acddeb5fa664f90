"""HMcode-2020 against CAMB on CAMB's own linear power, its parts, gradients, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from power_references import BASE, CASES, LOG10_T_AGN, against_camb, arrays, boost

from power_references import check_gradients, made  # isort: skip
from volvelle.cosmology import Cosmology
from volvelle.power import EisensteinHu, HMcode2020, ModelError
from volvelle.power.collapse import Collapse
from volvelle.power.halo_profile import nfw
from volvelle.power.hmcode import _cold_ratio

CAMB = 1.5e-3
"""Relative, k <= 10 h/Mpc and z <= 3; asked are 5e-3, with heavy neutrinos 1e-2 (measured: 1e-3).
CAMB's tables are of 64 to 512 nodes, linear in ln k."""
GRADIENT = 1e-4
"""Relative to the largest slope in a parameter; the tables' own errors move with the parameters."""
TEMPERATURES = {"mead2020": None, "mead2020_feedback": LOG10_T_AGN}
POINTS = (np.array([0.05, 0.2, 1.0, 5.0, 1.0]), np.array([1.0, 0.8, 0.6, 0.5, 0.3]))


@pytest.mark.parametrize("version", TEMPERATURES)
@pytest.mark.parametrize("name", CASES)
def test_against_camb(name: str, version: str) -> None:
    heat = TEMPERATURES[version]
    off, _ = against_camb(name, version, lambda linear: HMcode2020(linear, heat))
    assert np.max(np.abs(off)) < CAMB


def test_gradients() -> None:
    """At w = -1 and Omega_k = 0, with and without massive neutrinos; the linear model included.
    The steps are small: where halos form just now the model has a corner, which moves from one node
    of the integral over masses to the next, and differences over 0.1% see it (1e-3)."""
    model = HMcode2020(EisensteinHu())

    def f(cosmology: Cosmology) -> jax.Array:
        return jnp.log(model.spectrum(cosmology)(*POINTS))

    check_gradients(f, [BASE, CASES["massless"]], GRADIENT, step=1e-4)


def test_second_derivatives_of_the_cold_ratio_without_mass() -> None:
    """Where powers of the neutrinos' fraction have none of their own: of Fisher matrices by
    Hessians."""

    def ratio(theta: jax.Array) -> jax.Array:
        cosmology = BASE.replace(m_nu=theta[0], omega_cdm=theta[1])
        ratio = _cold_ratio(cosmology, Collapse.of(cosmology), jnp.asarray([1.0, 0.4]))
        return jnp.log(ratio[:, 200::60])  # at large scales they change with sqrt(m_nu)

    at, step = jnp.asarray([0.0, 0.12]), 1e-6
    slope, second = jax.jit(jax.jacfwd(ratio)), jax.jit(jax.jacfwd(jax.jacfwd(ratio)))
    near = at.at[0].add(step)
    np.testing.assert_allclose(slope(at), slope(near), rtol=1e-4, atol=1e-6)
    difference = (slope(near) - slope(at)) / step
    np.testing.assert_allclose(second(at)[..., 0], difference, rtol=1e-2, atol=1e-6)
    for mass in (0.01, 0.09, 0.4):  # on both sides of the series' end
        there = at.at[0].set(mass)
        difference = (slope(there.at[0].add(step)) - slope(there.at[0].add(-step))) / (2.0 * step)
        np.testing.assert_allclose(second(there)[..., 0], difference, rtol=1e-6, atol=1e-8)


def test_gradient_in_the_temperature_of_agn() -> None:
    def f(temperature: jax.Array) -> jax.Array:
        model = HMcode2020(EisensteinHu(), temperature)
        return jnp.log(model.spectrum(BASE)(jnp.asarray(3.0), jnp.asarray(0.7)))

    both = jax.jit(jax.value_and_grad(f))
    difference = (both(7.801)[0] - both(7.799)[0]) / 0.002
    assert both(7.8)[1] == pytest.approx(float(difference), rel=1e-5)
    assert difference < -0.05  # hotter gas leaves less power


def test_linear_on_large_scales_and_early() -> None:
    spectrum = made(arrays(HMcode2020(EisensteinHu())), arrays(BASE))
    large = boost(spectrum, np.array([1e-6, 1e-4, 1e-3]), np.ones(3))
    assert np.all(np.abs(large - 1.0) < [1e-5, 1e-5, 1e-4])
    early = boost(spectrum, np.array([0.05, 0.5, 1.0]), np.full(3, 1.0 / 21.0))
    assert np.all(np.abs(early - 1.0) < [1e-3, 2e-2, 5e-2])


def test_profile_against_its_integral() -> None:
    """4 pi int r^2 rho sin(k r) / (k r) of the profile itself, by SciPy."""
    for c in (0.5, 4.0, 20.0):
        mass = np.log1p(c) - c / (1.0 + c)
        for kappa in (1e-4, 0.03, 0.7, 5.0, 60.0):
            exact = quad(
                lambda x, kappa=kappa: np.sin(kappa * x) / kappa / (1.0 + x) ** 2, 0.0, c,
                limit=4000, epsabs=1e-13, epsrel=1e-11,
            )[0]  # fmt: skip
            found = float(nfw(jnp.asarray(kappa), jnp.asarray(c)))
            assert found == pytest.approx(exact / mass, rel=2e-5, abs=1e-9), (c, kappa)
    step = 1e-6
    for n in range(2):
        slope = jax.grad(nfw, argnums=n)(0.8, 5.0)
        up, down = (nfw(0.8 + d * (n == 0), 5.0 + d * (n == 1)) for d in (step, -step))
        assert slope == pytest.approx(float((up - down) / (2.0 * step)), rel=1e-4)


def test_spherical_collapse_of_einstein_de_sitter() -> None:
    flat = BASE.replace(h=0.7, omega_b=0.05, omega_cdm=0.49 - 0.05, m_nu=0.0)
    collapse, a = Collapse.of(flat), jnp.asarray([0.3, 1.0])
    delta_c, delta_v = collapse.thresholds(a)
    np.testing.assert_allclose(delta_c, 1.686470, rtol=2e-4)  # the fit itself has 1e-4 left
    np.testing.assert_allclose(delta_v, 18.0 * np.pi**2, rtol=2e-3)
    np.testing.assert_allclose(collapse.today(a), a, rtol=1e-3)
    np.testing.assert_allclose(collapse.early(a), a, rtol=1e-3)
    np.testing.assert_allclose(collapse.matter_fraction(a), 1.0, rtol=1e-3)
    for cosmology in (BASE, CASES["dark energy"]):
        other, a = Collapse.of(cosmology), jnp.asarray([0.02, 0.3, 0.77, 1.0])
        np.testing.assert_allclose(jnp.exp(other.formation(other.today(a))), a, rtol=1e-6)


def test_dolag() -> None:
    """1 with a cosmological constant in a flat universe, to the accuracy of Omega_m^0.55."""
    a = jnp.asarray([1.0 / 12.0, 0.2, 0.5, 1.0])
    np.testing.assert_allclose(Collapse.of(BASE).dolag(a), 1.0, atol=2e-3)
    assert float(Collapse.of(BASE.replace(w0=-0.7)).dolag(a)[-1]) > 1.03
    assert float(Collapse.of(BASE.replace(w0=-0.7)).dolag(a)[0]) == 1.0


def test_what_is_refused() -> None:
    with pytest.raises(ModelError, match=r"log10_T_AGN is 6\.0; expected 7 to 8\.6"):
        HMcode2020(EisensteinHu(), 6.0)
    with pytest.raises(ModelError, match="log10_T_AGN is 78"):
        HMcode2020(EisensteinHu(), jnp.asarray(78.0))
