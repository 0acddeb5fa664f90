"""The parameter object: construction, refusals, identity, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.cosmology import (
    INPUT_PARAMETERS,
    PARAMETERS,
    Cosmology,
    ParameterError,
    planck18,
)

BASE = {
    "omega_b": 0.02236,
    "omega_cdm": 0.1202,
    "H0": 67.27,
    "ln10A_s": 3.045,
    "n_s": 0.9649,
    "tau_reio": 0.0544,
}
ROUNDING = 1e-14  # a few operations in double precision
DIFFERENCE_TOLERANCE = 1e-7  # central differences with a relative step of 1e-4


def without(*names, **changes):
    return {n: v for n, v in BASE.items() if n not in names} | changes


def test_registry_names_are_unique_and_labelled():
    assert all(name == info.name and info.label for name, info in PARAMETERS.items())
    assert set(INPUT_PARAMETERS) < set(PARAMETERS)


def test_from_parameters_converts_H0_and_amplitude():
    cosmology = Cosmology.from_parameters(BASE)
    assert cosmology.h == pytest.approx(0.6727, rel=ROUNDING)
    assert cosmology.A_s == pytest.approx(np.exp(3.045) * 1e-10, rel=ROUNDING)
    assert cosmology.ln10A_s == pytest.approx(3.045, rel=ROUNDING)
    assert cosmology.canonical() == planck18().canonical()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (without(omega_cmd=0.12), "omega_cdm"),
        (without("omega_cdm", OMEGA_CDM=0.12), "omega_cdm"),
        (without(Omega_m=0.3), "derived"),
        (without("H0"), "none given; expected exactly one of h, H0, theta_star_100"),
        (without(h=0.67), "h and H0 given"),
        (without(theta_star_100=1.04), "H0 and theta_star_100 given"),
        (without(sigma8=0.8), "ln10A_s and sigma8 given"),
        (without("n_s"), "missing n_s"),
        (without(omega_b=-0.02), "omega_b is -0.02"),
        (without(H0=0.6727), "h is 0.006727"),
        (without(m_nu=-0.1), "m_nu is -0.1"),
        (without(w0=1.0), "w0 is 1"),
        (without(n_s="red"), "'red'; expected a number"),
        (without(n_s=float("nan")), "n_s is nan"),
        (without(m_nu=0.05, neutrino_hierarchy="normal"), "at least 0.058"),
        (without(neutrino_hierarchy="upside down"), "upside down"),
    ],
)
def test_refusals_say_what_is_wrong(parameters, words):
    with pytest.raises(Exception, match=r".") as caught:
        Cosmology.from_parameters(parameters)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_constructor_wants_exactly_one_of_each_pair():
    with pytest.raises(ParameterError, match="neither given; expected exactly one of A_s"):
        Cosmology(omega_b=0.02, omega_cdm=0.12, n_s=1.0, tau_reio=0.05, h=0.7)
    with pytest.raises(ParameterError, match="h and theta_star_100"):
        planck18().replace(theta_star_100=1.04)


def test_canonical_round_trip_is_exact():
    cosmology = planck18().replace(extra={"Gamma_dcdm": 1 / 3}, Y_he=0.245, A_s=2.1e-9 / 7)
    values = cosmology.canonical()
    assert all(type(value) in (float, str) for value in values.values())
    assert values["extra.Gamma_dcdm"] == 1 / 3
    assert "theta_star_100" not in values
    assert Cosmology.from_canonical(values).canonical() == values


def test_canonical_tells_models_apart():
    base = planck18()
    others = [
        base.replace(neutrino_hierarchy="normal"),
        base.replace(extra={"Gamma_dcdm": 0.0}),
        base.replace(Y_he=0.245),
        base.replace(h=None, theta_star_100=1.041),
    ]
    identities = [tuple(c.canonical().items()) for c in (base, *others)]
    assert len(set(identities)) == len(identities)


def test_gradient_through_construction_equals_difference():
    def matter(h, m_nu):
        return Cosmology.from_parameters(without("H0", h=h, m_nu=m_nu)).Omega_m

    for index, at in ((0, (0.67, 0.06)), (1, (0.67, 0.06)), (1, (0.67, 0.0))):
        gradient = jax.grad(matter, index)(*at)
        step = 1e-4 * max(at[index], 0.1)
        up = [value + step * (i == index) for i, value in enumerate(at)]
        down = [value - step * (i == index) * (at[1] > 0) for i, value in enumerate(at)]
        width = up[index] - down[index]
        difference = (matter(*up) - matter(*down)) / width
        assert gradient == pytest.approx(difference, rel=DIFFERENCE_TOLERANCE)


def test_gradient_with_respect_to_the_pytree():
    gradient = jax.grad(lambda c: c.Omega_m)(planck18())
    assert gradient.omega_b == pytest.approx(1 / 0.6727**2)
    assert gradient.n_s == 0.0


def test_works_under_jit_and_vmap():
    @jax.jit
    def matter(omega_cdm):
        return planck18().replace(omega_cdm=omega_cdm).Omega_m

    values = jax.vmap(matter)(jnp.array([0.11, 0.12]))
    assert values[1] - values[0] == pytest.approx(0.01 / 0.6727**2)


def test_derived_quantities_of_theta_star_models_need_a_solver():
    cosmology = planck18().replace(h=None, theta_star_100=1.041)
    with pytest.raises(ParameterError, match="a solver must find it"):
        _ = cosmology.Omega_m
