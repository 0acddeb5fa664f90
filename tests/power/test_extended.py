"""The learned power that goes on beyond its box: the same within, close to CLASS without."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.boltzmann import POWER_K, POWER_Z, Request, get_solver
from volvelle.cosmology import planck18
from volvelle.power import (
    DomainError,
    EisensteinHu,
    ExtendedPower,
    Halofit,
    linear_power,
    power_model,
    sigma8,
)
from volvelle.power.learned import LearnedSpectrum, learned_power

K = jnp.asarray(POWER_K)
A = 1.0 / (1.0 + jnp.asarray([0.0, 1.0]))[:, None]
OUTSIDE = planck18().replace(omega_b=0.034, omega_cdm=0.06, m_nu=0.8, Y_he=0.2454)
OFF = 0.05
"""Of P there, above k = 1e-3/Mpc, where no training reached; a fit is off by far more."""


@jax.jit
def extended(cosmology):
    return ExtendedPower(learned_power()).spectrum(cosmology)


evaluate = jax.jit(lambda spectrum, k, a, kind="matter": spectrum(k, a, kind), static_argnums=3)


@pytest.mark.parametrize("changes", [{}, {"m_nu": 0.0, "Omega_k": -0.03, "w0": -0.9}])
def test_within_the_box_it_is_the_learned_one(changes) -> None:
    cosmology = planck18().replace(**changes)
    own = jax.jit(lambda c: learned_power().spectrum(c))(cosmology)
    for kind in ("matter", "cb"):
        found, expected = evaluate(extended(cosmology), K, A, kind), evaluate(own, K, A, kind)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_outside_it_is_close_to_class() -> None:
    words = ("matter_power", "cb_power")
    exact = get_solver("class", non_linear="none").solve(OUTSIDE, Request.of(words))
    rows = [int(np.argmin(np.abs(np.asarray(POWER_Z) - z))) for z in (0.0, 1.0)]
    a = 1.0 / (1.0 + jnp.asarray(POWER_Z)[np.array(rows)])[:, None]
    seen = POWER_K > 1e-3
    off = []
    for kind, name in zip(("matter", "cb"), words, strict=True):
        found = evaluate(extended(OUTSIDE), K, a, kind)
        off.append(np.abs(np.asarray(found) / exact[name][rows] - 1.0)[:, seen])
    fit = linear_power(OUTSIDE, K, a, EisensteinHu())
    poor = np.abs(np.asarray(fit) / exact["matter_power"][rows] - 1.0)[:, seen]
    assert np.max(off) < OFF < 0.2 * np.max(poor)


@pytest.mark.parametrize(
    ("name", "edge"), [("omega_b", 0.028), ("omega_cdm", 0.2), ("m_nu", 0.6), ("h", 0.95)]
)
def test_edges_are_crossed_without_a_step(name: str, edge: float) -> None:
    low, middle, high = (
        np.log(evaluate(extended(planck18().replace(**{name: edge * factor})), K, jnp.ones(())))
        for factor in (1.0 - 1e-4, 1.0, 1.0 + 1e-4)
    )
    assert np.max(np.abs(high - middle)) < 3.0 * np.max(np.abs(middle - low)) + 1e-6
    assert np.max(np.abs(high - low)) < 1e-3


def test_the_derivative_in_the_mass_goes_on_at_the_edge() -> None:
    """A maximum is sought with derivatives, and may be there."""

    def slope(model):
        def value(mass):
            return jnp.log(linear_power(planck18().replace(m_nu=mass), 0.15, 1.0, model))

        return jax.jit(jax.grad(value))

    beyond, within = slope(ExtendedPower(learned_power())), slope(learned_power())
    assert float(beyond(0.6)) == pytest.approx(float(within(0.6)), rel=1e-9)
    assert float(beyond(0.6 + 1e-6)) == pytest.approx(float(beyond(0.6 - 1e-6)), rel=1e-4)


def test_derivatives_outside() -> None:
    def value(x):
        cosmology = OUTSIDE.replace(omega_b=x[0], omega_cdm=x[1], m_nu=x[2], h=x[3])
        return jnp.log(linear_power(cosmology, 0.15, 0.7, ExtendedPower(learned_power())))

    at = jnp.asarray([0.034, 0.06, 0.8, 0.97])
    exact = np.asarray(jax.jit(jax.jacfwd(value))(at))
    f = jax.jit(value)
    for i in range(4):
        step = 1e-4 * at[i]
        numeric = (f(at.at[i].add(step)) - f(at.at[i].add(-step))) / (2.0 * step)
        assert exact[i] == pytest.approx(float(numeric), rel=1e-4)


def test_sigma8_is_kept_and_what_it_stands_on_too() -> None:
    given = OUTSIDE.replace(A_s=None, sigma8=0.77)
    model = ExtendedPower(learned_power())
    assert float(sigma8(given, 1.0, model)) == pytest.approx(0.77, rel=1e-9)
    assert isinstance(power_model("extended", "halofit"), Halofit)
    assert isinstance(extended(given), LearnedSpectrum)


def test_other_edges_stay() -> None:
    model = ExtendedPower(learned_power())
    with pytest.raises(DomainError, match=r"Omega_k is 0\.2; the learned .* take a solver's"):
        model.spectrum(planck18().replace(Omega_k=0.2))
    with pytest.raises(DomainError, match=r"omega_b is 0\.034; .* take ExtendedPower"):
        learned_power().spectrum(planck18().replace(omega_b=0.034))
    assert np.isnan(evaluate(extended(planck18().replace(w0=-0.2)), 0.1, 1.0))
