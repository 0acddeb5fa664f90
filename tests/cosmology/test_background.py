"""Expansion, distances, times and growth against CLASS and CCL, in ordinary and odd universes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

import volvelle.cosmology as vc
from universes import BASE, CASES, A, Z, class_background
from volvelle.cosmology import CosmologyError, ExpansionError, ScaleFactorError
from volvelle.cosmology.background import densities, relativistic_energy
from volvelle.cosmology.distances import curved_distance

EXACT = 2e-6
"""Relative, of H and times: CLASS has CODATA 2006, which moves the radiation by 5e-6."""
DISTANCE = 1e-6
"""Relative; asked are 1e-5 (measured: 1e-7)."""
SOUND = 5e-6
"""Relative; as EXACT, and omega_b / omega_gamma with it."""
GROWTH = 1e-5
"""Relative, to z = 100; asked are 1e-4 (measured: 4e-6)."""
AGAINST_CCL = 1e-5
"""Relative, of distances (measured: 7e-6 at z = 0.001, 5e-7 from 0.01 on)."""
GRADIENT = 1e-4
MASS_STEP = 1e-6
"""Of the one-sided difference at m_nu = 0 [eV]."""
PARAMETERS = ("omega_b", "omega_cdm", "h", "m_nu", "N_eff", "w0", "wa", "Omega_k", "T_cmb")
FUNCTIONS = (
    "hubble",
    "comoving_distance",
    "transverse_comoving_distance",
    "angular_diameter_distance",
    "luminosity_distance",
    "lookback_time",
    "age",
    "sound_horizon",
    "growth_factor",
    "growth_rate",
    "matter_fraction",
    "dark_energy_equation",
)


@jax.jit
def everything(cosmology: vc.Cosmology) -> dict[str, jax.Array]:
    """Every function at the times ``A``, and the sound horizon as CLASS bends it; one program for
    all universes of a hierarchy."""
    found = {function: getattr(vc, function)(cosmology, A) for function in FUNCTIONS}
    bent = curved_distance(found["sound_horizon"], densities(cosmology))
    return found | {"bent_sound_horizon": bent, "age_today": vc.age(cosmology)}


@pytest.mark.parametrize("name", CASES)
def test_against_class(name: str) -> None:
    found, truth = everything(CASES[name]), class_background(name)
    np.testing.assert_allclose(found["hubble"], truth.hubble, rtol=EXACT)
    np.testing.assert_allclose(found["comoving_distance"], truth.chi, rtol=DISTANCE)
    for function, power in (
        ("transverse_comoving_distance", 0),
        ("luminosity_distance", 1),
        ("angular_diameter_distance", -1),
    ):
        expected = truth.transverse * (1.0 + Z) ** power
        np.testing.assert_allclose(found[function], expected, rtol=DISTANCE)
    np.testing.assert_allclose(found["age"], truth.age, rtol=EXACT)
    past = found["age_today"] - found["age"]
    np.testing.assert_allclose(found["lookback_time"], past, rtol=1e-9, atol=1e-9)
    early = Z > 900.0
    sound = found["bent_sound_horizon"][early]  # as CLASS's is, in a curved universe
    np.testing.assert_allclose(sound, truth.sound_horizon[early], rtol=SOUND)
    late = Z <= 100.0  # before, CLASS's own start leaves a decaying mode (3e-4 at z = 1100)
    np.testing.assert_allclose(found["growth_factor"][late], truth.growth[late], rtol=GROWTH)
    np.testing.assert_allclose(found["growth_rate"][late], truth.rate[late], rtol=GROWTH)


@pytest.mark.parametrize("name", ["planck", "heavy", "closed", "early dark energy"])
def test_distances_against_ccl(name: str) -> None:
    """CCL's own are least good at z = 0.001, and it has the neutrinos' density from a table."""
    ccl = pytest.importorskip("pyccl")
    other = ccl.Cosmology(**vc.to_ccl(CASES[name]), transfer_function="eisenstein_hu")
    chi = ccl.comoving_radial_distance(other, A)
    np.testing.assert_allclose(vc.comoving_distance(CASES[name], A), chi, rtol=AGAINST_CCL)
    bent = ccl.comoving_angular_distance(other, A)
    found = vc.transverse_comoving_distance(CASES[name], A)
    np.testing.assert_allclose(found, bent, rtol=AGAINST_CCL)


@pytest.mark.parametrize("y", [0.0, 1e-3, 0.1, 0.3, 1.0, 10.0, 1e4])
def test_phase_space_integral(y: float) -> None:
    def integrand(q: float) -> float:
        return q**2 * np.sqrt(q**2 + y**2) / (np.exp(q) + 1.0)

    exact = sum(
        quad(integrand, *ends, epsabs=0.0, epsrel=1e-12)[0]
        for ends in ((0.0, 0.5), (0.5, 5.0), (5.0, 80.0))
    )
    assert relativistic_energy(jnp.asarray(y)) == pytest.approx(
        exact / (7.0 * np.pi**4 / 120.0), rel=2e-6
    )


def _values(theta: jax.Array, cosmology: vc.Cosmology) -> jax.Array:
    """Every function at z = 0.001 to 1100, of a vector of ``PARAMETERS``."""
    a = jnp.asarray([1.0 / 1.001, 0.9, 0.5, 0.1, 1.0 / 1101.0])
    changed = cosmology.replace(**dict(zip(PARAMETERS, theta, strict=True)))
    return jnp.stack([getattr(vc, function)(changed, a) for function in FUNCTIONS])


values, jacobian = jax.jit(_values), jax.jit(jax.jacfwd(_values))


def centre_of(cosmology: vc.Cosmology) -> jax.Array:
    return jnp.asarray([float(getattr(cosmology, name)) for name in PARAMETERS])


@pytest.mark.parametrize("case", ["planck", "massless", "all"])
def test_gradients(case: str) -> None:
    """Of every function in every parameter, also at m_nu, Omega_k, wa = 0, against differences of
    fourth order. A negative sum of masses does not exist: its derivative at 0 is a limit."""
    f, centre = partial(values, cosmology=CASES[case]), centre_of(CASES[case])
    value, exact = np.asarray(f(centre)), np.asarray(jacobian(centre, cosmology=CASES[case]))
    assert np.all(np.isfinite(exact))
    scale = np.max(np.abs(value), axis=1, keepdims=True)
    for n, name in enumerate(PARAMETERS):
        if name == "m_nu" and centre[n] == 0.0:
            one, two = (f(centre.at[n].set(d * MASS_STEP)) - value for d in (1.0, 2.0))
            side = (4.0 * one - two) / (2.0 * MASS_STEP)
            assert np.all(np.abs(exact[..., n] - side) <= 1e-6 * scale)
            continue
        step = 1e-3 * max(abs(float(centre[n])), 0.2)
        one, two = (
            (f(centre.at[n].add(d * step)) - f(centre.at[n].add(-d * step))) / (2.0 * d * step)
            for d in (1.0, 2.0)
        )
        difference = (4.0 * one - two) / 3.0
        allowed = GRADIENT * np.abs(difference) + 1e-11 * np.abs(value) / step + 1e-9 * scale
        assert np.all(np.abs(exact[..., n] - difference) <= allowed), name


def test_backward_gradients_are_the_forward_ones() -> None:
    """Of a sum with weights of their own for every function and time."""
    centre = centre_of(BASE)
    exact = np.asarray(jacobian(centre, cosmology=BASE))
    size = np.max(np.abs(exact), axis=(1, 2))
    weights = np.random.default_rng(1).standard_normal(exact.shape[:2]) / size[:, None]
    backward = jax.jit(jax.grad(lambda x: jnp.sum(weights * _values(x, BASE))))(centre)
    forward = np.einsum("fa,fan->n", weights, exact)
    np.testing.assert_allclose(backward, forward, rtol=1e-8, atol=1e-8 * np.max(np.abs(forward)))


@jax.jit
def slopes(cosmology: vc.Cosmology) -> tuple[jax.Array, jax.Array]:
    """d chi / d a and d ln D / d ln a at the times ``A``."""

    def logarithm(x: jax.Array) -> jax.Array:
        return jnp.log(vc.growth_factor(cosmology, jnp.exp(x)))

    a = jnp.asarray(A)
    chi = jax.vmap(jax.grad(partial(vc.comoving_distance, cosmology)))(a)
    return chi, jax.vmap(jax.grad(logarithm))(jnp.log(a))


@pytest.mark.parametrize("name", CASES)
def test_gradient_in_time(name: str) -> None:
    """d chi / d a = -c / (a^2 H), and f is the slope of ln D."""
    chi, rate = slopes(CASES[name])
    expected = -vc.LIGHT_SPEED / (A**2 * vc.hubble(CASES[name], A))
    np.testing.assert_allclose(chi, expected, rtol=1e-7)
    np.testing.assert_allclose(rate, vc.growth_rate(CASES[name], A), rtol=1e-5)


def test_limits() -> None:
    """Einstein-de Sitter: chi = 2 c / H0 (1 - sqrt(a)), t = 2 / (3 H), D = a, f = 1."""
    h2 = 0.7**2
    flat = vc.Cosmology(
        h=0.7, omega_b=0.05, omega_cdm=h2 - 0.05, sigma8=0.8, n_s=1.0, tau_reio=0.05, m_nu=0.0,
        N_eff=0.0 + 1.0133, T_cmb=0.11,
    )  # fmt: skip
    a = np.asarray([0.05, 0.2, 0.7, 1.0])
    radius = vc.LIGHT_SPEED / 70.0
    chi = vc.comoving_distance(flat, a)
    np.testing.assert_allclose(chi, 2.0 * radius * (1.0 - np.sqrt(a)), rtol=1e-4)
    np.testing.assert_allclose(vc.growth_factor(flat, a), a, rtol=1e-4)
    np.testing.assert_allclose(vc.growth_rate(flat, a), 1.0, rtol=1e-4)


@jax.jit
def bend(curvature: jax.Array | float) -> tuple[jax.Array, jax.Array]:
    """D_M at the times ``A`` and z = 999, and its slope in Omega_k."""

    def distance(x: jax.Array) -> jax.Array:
        a = np.append(A, 1e-3)
        return vc.transverse_comoving_distance(BASE.replace(Omega_k=x), a)

    return jax.jvp(distance, (jnp.asarray(curvature),), (jnp.ones(()),))


@pytest.mark.parametrize("change", [1e-9, -1e-9])
def test_curvature_is_continuous_at_zero(change: float) -> None:
    """d D_M / d Omega_k at 0 has the same value from both sides: -chi' + chi^3 H0^2 / (6 c^2)."""
    flat, bent, slope = bend(0.0)[0], bend(change)[0], bend(0.0)[1]
    np.testing.assert_allclose((bent - flat) / change, slope, rtol=1e-3)
    sides = np.asarray([-0.0105, -0.0095, 0.0095, 0.0105])
    far = np.asarray([bend(x)[0][-1] for x in sides])
    straight = np.polyval(np.polyfit(sides, far, 2), 0.0)
    assert straight == pytest.approx(float(flat[-1]), rel=1e-5)


def test_shapes_and_tracing() -> None:
    traces = 0

    @jax.jit
    def both(cosmology: vc.Cosmology, a: jax.Array) -> jax.Array:
        nonlocal traces
        traces += 1
        return vc.growth_factor(cosmology, a) * vc.comoving_distance(cosmology, a)

    a = jnp.full((2, 3), 0.5)
    assert both(BASE, a).shape == (2, 3)
    both(BASE.replace(h=0.7, m_nu=0.1), a / 2.0)
    assert traces == 1
    many = jax.vmap(lambda h: vc.comoving_distance(BASE.replace(h=h), a))(jnp.linspace(0.6, 0.8, 5))
    assert many.shape == (5, 2, 3)
    one = vc.comoving_distance(BASE.replace(h=0.6), 0.5)
    assert one.shape == () and one == pytest.approx(float(many[0, 0, 0]), rel=1e-14)
    assert vc.growth_factor(BASE, 1.0) == pytest.approx(1.0, abs=1e-14)
    assert vc.comoving_distance(BASE, 1.0) == 0.0


@pytest.mark.parametrize("function", FUNCTIONS)
def test_lists_of_times(function: str) -> None:
    found = getattr(vc, function)(BASE, [0.5, 0.9])
    np.testing.assert_array_equal(found, getattr(vc, function)(BASE, np.asarray([0.5, 0.9])))
    assert found.shape == (2,)


def test_a_universe_that_is_not_there() -> None:
    """H^2 < 0: in the future of an open phantom universe, and before the bounce of one with much
    dark energy. A negative dark energy is a universe as long as H^2 > 0."""
    future = BASE.replace(Omega_k=0.9, w0=-1.5)
    assert future.Omega_de < 0.0 and vc.hubble(future, 1.0) == pytest.approx(67.27)
    with pytest.raises(ExpansionError, match=r"H\^2 is -.* at a = 3, .* Omega_de = -"):
        vc.hubble(future, [1.0, 3.0])
    with pytest.raises(ExpansionError, match=r"expected H\^2 above 0"):
        vc.matter_fraction(future, 3.0)
    assert np.isnan(jax.jit(vc.hubble)(future, 3.0))
    bounce = BASE.replace(Omega_k=-0.9, omega_cdm=0.01, omega_b=0.01)
    for function in ("comoving_distance", "luminosity_distance", "lookback_time", "growth_factor"):
        with pytest.raises(ExpansionError):
            getattr(vc, function)(bounce, 0.1)
    assert np.isnan(jax.jit(vc.growth_factor)(bounce, 0.1))  # its equation has d ln H^2 alone
    turned = BASE.replace(omega_cdm=0.5)
    assert turned.Omega_de < 0.0 and np.isfinite(vc.comoving_distance(turned, 0.1))


def test_wrong_times() -> None:
    for function in FUNCTIONS:
        for a in (0.0, -0.5, np.nan, np.asarray([0.5, -1.0])):
            with pytest.raises(ScaleFactorError, match=r"scale factor a is .*; expected"):
                getattr(vc, function)(BASE, a)
    impossible = jax.jit(lambda a: [getattr(vc, function)(BASE, a) for function in FUNCTIONS])
    assert all(np.isnan(value) for value in impossible(-0.5))
    for function in ("comoving_distance", "growth_factor", "lookback_time"):
        with pytest.raises(ScaleFactorError, match=r"a is 1\.5; expected values between 0 and 1"):
            getattr(vc, function)(BASE, 1.5)
    assert vc.hubble(BASE, 1.5) < vc.hubble(BASE, 1.0)


def test_what_only_a_solver_knows() -> None:
    angle = BASE.replace(h=None, theta_star_100=1.041)
    with pytest.raises(CosmologyError, match="given by theta_star_100; a solver must find it"):
        vc.hubble(angle, 0.5)
    native = BASE.replace(m_nu=None, N_eff=None, neutrino_hierarchy="native", extra={"N_ur": 3.0})
    with pytest.raises(CosmologyError, match="set by the solver's own inputs"):
        vc.comoving_distance(native, 0.5)


def test_fractions_of_the_critical_density() -> None:
    other = {"h": 0.7, "A_s": 2e-9, "n_s": 0.96, "tau_reio": 0.05}
    given = vc.Cosmology(Omega_b=0.05, Omega_cdm=0.25, **other)
    assert given.omega_b == pytest.approx(0.05 * 0.49) and given.omega_cdm == pytest.approx(0.1225)
    assert vc.Cosmology.from_parameters(
        {"Omega_b": 0.05, "omega_cdm": 0.1225, **other}
    ).omega_b == (pytest.approx(0.0245))
    with pytest.raises(vc.ParameterError, match=r"Omega_b is a fraction .*; omega_b is given too"):
        vc.Cosmology(Omega_b=0.05, omega_b=0.02, omega_cdm=0.12, **other)
    with pytest.raises(vc.ParameterError, match=r"Omega_cdm is a fraction .*; give h beside it"):
        vc.Cosmology(Omega_cdm=0.2, omega_b=0.02, **{**other, "h": None}, theta_star_100=1.04)
    with pytest.raises(vc.ParameterError, match="missing omega_cdm"):
        vc.Cosmology(omega_b=0.02, **other)
    made = vc.Cosmology(Omega_b=0.05, Omega_cdm=0.25, m_nu=0.3, Omega_k=0.02, **other)
    assert made.Omega_b == pytest.approx(0.05) and made.Omega_cdm == pytest.approx(0.25)
    found = densities(made)
    rest = found.photons + found.massless + found.massive(jnp.ones(()))
    assert made.Omega_de == pytest.approx(1.0 - 0.3 - 0.02 - float(rest) / 0.49, abs=1e-12)
    moved = made.replace(Omega_cdm=0.3, h=0.6)
    assert moved.Omega_cdm == pytest.approx(0.3) and moved.omega_b == made.omega_b
    with pytest.raises(vc.ParameterError, match="omega_b is given too"):
        made.replace(Omega_b=0.05, omega_b=0.02)
    with pytest.raises(vc.ParameterError, match="give h beside it"):
        made.replace(h=None, theta_star_100=1.04, Omega_b=0.05)
    with pytest.raises(vc.ParameterError, match="a solver must find it"):
        _ = made.replace(h=None, theta_star_100=1.04).Omega_de
    slope = jax.grad(lambda x: vc.Cosmology(Omega_b=x, Omega_cdm=0.25, **other).omega_b)(0.05)
    assert slope == pytest.approx(0.49)
