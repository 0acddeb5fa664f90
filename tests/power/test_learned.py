"""The learned linear spectrum that is shipped: against CLASS, its exact parts, its refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.boltzmann import EARLY_Z, POWER_K, POWER_Z
from volvelle.cosmology import Cosmology, ParameterError, planck18
from volvelle.power.errors import DomainError
from volvelle.power.learned import PARAMETERS, Analytic, learned_power, learned_record
from volvelle.power.variance import eight
from volvelle.training.linear_power import (
    BANDS,
    BOX,
    REQUEST,
    Solutions,
    design,
    exact_solver,
    fit_linear_power,
    rest_of,
    universe,
)

K = jnp.asarray(POWER_K)
TODAY = jnp.ones(())


@pytest.fixture(scope="module")
def planck() -> tuple[Cosmology, dict]:
    cosmology = planck18()
    return cosmology, exact_solver().solve(cosmology, REQUEST)


def test_against_class(planck: tuple[Cosmology, dict]) -> None:
    """The fiducial universe lies amid the box: its errors are below those of the certificate,
    which are the 95th percentile of the box."""
    cosmology, exact = planck
    certificate = learned_record()["certificate"]
    spectrum = learned_power().spectrum(cosmology)
    for suffix, z, limits in (("", POWER_Z, "largest"), ("_early", EARLY_Z, "early")):
        for species in ("matter", "cb"):
            found = spectrum(K[None], 1.0 / (1.0 + jnp.asarray(z))[:, None], species)
            error = np.abs(np.asarray(found) / exact[f"{species}_power{suffix}"] - 1.0)
            for name, (low, high) in BANDS.items():
                inside = (low <= POWER_K) & (high > POWER_K)
                assert np.max(error[:, inside]) <= certificate[limits][name], (suffix, name)


def test_amplitude_and_tilt_are_exact() -> None:
    base = planck18()
    before = learned_power().spectrum(base)(K, TODAY)
    louder = learned_power().spectrum(base.replace(A_s=2.0 * base.A_s))(K, TODAY)
    np.testing.assert_allclose(louder / before, 2.0, rtol=1e-12)
    steeper = learned_power().spectrum(base.replace(n_s=base.n_s + 0.05))(K, TODAY)
    np.testing.assert_allclose(steeper / before, (POWER_K / 0.05) ** 0.05, rtol=1e-10)


def test_sigma8_is_the_one_that_was_given() -> None:
    given = planck18().replace(A_s=None, sigma8=0.77)
    spectrum = learned_power().spectrum(given)
    assert eight(given, spectrum, TODAY, "matter") == pytest.approx(0.77, rel=1e-10)

    def power(sigma8: float) -> jax.Array:
        return learned_power().spectrum(given.replace(sigma8=sigma8))(K[99], TODAY)

    slope = jax.grad(power)(0.77)
    assert slope == pytest.approx(2.0 * float(spectrum(K[99], TODAY)) / 0.77, rel=1e-9)


def test_without_mass_cb_is_all_matter() -> None:
    spectrum = learned_power().spectrum(planck18().replace(m_nu=0.0))
    difference = np.abs(np.asarray(spectrum(K, TODAY) / spectrum(K, TODAY, "cb")) - 1.0)
    for name, (low, high) in BANDS.items():  # the two are learned apart
        inside = (low <= POWER_K) & (high > POWER_K)
        assert np.max(difference[inside]) <= learned_record()["certificate"]["largest"][name], name


def test_gradients() -> None:
    """At the fiducial universe, where Omega_k = wa = 0, and without mass."""
    a = jnp.asarray([1.0, 0.5, 0.1])[:, None]
    for m_nu in (0.06, 0.0):
        base = planck18().replace(m_nu=m_nu)

        def f(theta: jax.Array, base: Cosmology = base) -> jax.Array:
            changed = base.replace(**dict(zip(PARAMETERS, theta, strict=True)))
            return jnp.log(learned_power().spectrum(changed)(K[None, ::16], a))

        f = jax.jit(f)
        centre = jnp.asarray([float(getattr(base, name)) for name in PARAMETERS])
        exact = np.asarray(jax.jit(jax.jacfwd(f))(centre))
        assert np.all(np.isfinite(exact))
        for n, name in enumerate(PARAMETERS):
            if name == "m_nu" and m_nu == 0.0:
                continue  # there is no universe on the other side
            step = 1e-4 * (BOX[name][1] - BOX[name][0])
            difference = (f(centre.at[n].add(step)) - f(centre.at[n].add(-step))) / (2.0 * step)
            np.testing.assert_allclose(
                exact[..., n], difference, rtol=1e-4, atol=1e-5 * np.max(np.abs(difference))
            )


@pytest.mark.parametrize(
    "change, words",
    [
        ({"omega_cdm": 0.3}, r"omega_cdm is 0\.3; the learned .* is known for 0\.07 to 0\.2"),
        ({"w0": -0.6, "wa": 0.9}, r"w0 \+ wa is 0\.3"),
        ({"omega_cdm": 0.2, "h": 0.5, "Omega_k": 0.08}, r"Omega_de is 0\.02"),
        ({"extra": {"Gamma_dcdm": 100.0}}, "Gamma_dcdm in extra"),
        ({"T_cmb": 2.8}, r"T_cmb is 2\.8 K"),
        ({"Y_he": 0.25}, "the helium of nucleosynthesis"),
        ({"neutrino_hierarchy": "degenerate"}, "one massive neutrino; neutrino_hierarchy is deg"),
    ],
)
def test_outside_of_the_domain(change: dict, words: str) -> None:
    with pytest.raises((DomainError, ParameterError), match=words):
        learned_power().spectrum(planck18().replace(**change))


def test_traced_values_outside_are_nan() -> None:
    f = jax.jit(lambda x: learned_power().spectrum(planck18().replace(omega_cdm=x))(0.1, 1.0))
    dense = planck18().replace(omega_cdm=0.2, Omega_k=0.08)
    corner = jax.jit(lambda h: learned_power().spectrum(dense.replace(h=h))(0.1, 1.0))
    assert np.isnan(corner(0.5)) and np.isfinite(corner(0.7))
    assert np.isnan(f(0.3)) and np.isfinite(f(0.12))
    spectrum = learned_power().spectrum(planck18())
    assert np.isnan(spectrum(20.0, 1.0)) and np.isnan(spectrum(0.1, 1e-4))


def test_a_closed_universe_has_a_longest_wave() -> None:
    closed = planck18().replace(Omega_k=-0.09)
    found = np.asarray(learned_power().spectrum(closed)(K, TODAY))
    lowest = np.sqrt(8.0 * float(Analytic.of(closed).curvature))
    np.testing.assert_array_equal(np.isnan(found), lowest > POWER_K)


def test_the_design_goes_on() -> None:
    points = design(0, 40)
    assert points[25:] == design(25, 15) and points != design(0, 40, seed=2)
    low, high = np.array(list(BOX.values())).T
    inside = np.array([list(point.values()) for point in points])
    assert np.all((inside > low) & (inside < high))
    assert all(point["w0"] + point["wa"] <= -0.5 for point in points)


def test_what_is_fitted_is_found_again(planck: tuple[Cosmology, dict]) -> None:
    """A rest that is linear in the features, in the place of CLASS's."""
    points = design(0, 30)
    cosmology, exact = planck
    z = np.concatenate([POWER_Z, EARLY_Z])
    entries = []
    for point in points:
        known = Analytic.of(universe(point))
        logs = known.log_power(K[None], 1.0 / (1.0 + jnp.asarray(z))[:, None])
        bump = 10.0 * point["omega_b"] * POWER_K / (POWER_K + 0.1) + 0.1 * point["m_nu"]
        tables = {}
        for name, value in zip(("matter_power", "cb_power"), logs, strict=True):
            table = np.exp(np.asarray(value) + bump)
            tables |= {name: table[: len(POWER_Z)], f"{name}_early": table[len(POWER_Z) :]}
        entries.append(type("Entry", (), {"theory": tables})())
    learned, left_out = fit_linear_power(Solutions(points[:-5], entries[:-5]))
    assert np.sqrt(np.mean(left_out**2)) < 1e-4
    for point, entry in zip(points[-5:], entries[-5:], strict=True):
        exists = np.asarray(Analytic.of(universe(point)).exists(K))
        found = learned.spectrum(universe(point))(K, TODAY)
        expected = entry.theory["matter_power"][0]
        np.testing.assert_allclose(found[exists], expected[exists], rtol=3e-4)
    point = {name: float(getattr(cosmology, name)) for name in PARAMETERS}
    rest = rest_of(point, exact, POWER_Z[:1])
    assert rest.shape == (2, 1, len(POWER_K)) and np.max(np.abs(rest)) < 0.15
