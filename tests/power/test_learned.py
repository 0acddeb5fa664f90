"""The learned linear spectrum that is shipped: against CLASS, its exact parts, its refusals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from volvelle.boltzmann import EARLY_Z, POWER_K, POWER_Z, LedgerEntry, Request
from volvelle.cosmology import Cosmology, ParameterError, planck18
from volvelle.power.analytic import Analytic, stretched
from volvelle.power.errors import DomainError
from volvelle.power.learned import (
    LearnedPower,
    LearnedSpectrum,
    _between,
    _shipped,
    learned_power,
    learned_record,
)
from volvelle.power.learned_features import PARAMETERS
from volvelle.power.variance import eight
from volvelle.training import long_waves
from volvelle.training.linear_power import (
    BANDS,
    SPLITS,
    add_massless,
    add_pairs,
    correct_linear_power,
    fit_linear_power,
    learn_long_waves,
    rest_of,
)
from volvelle.training.linear_power_design import (
    BOX,
    LIGHT_SEED,
    REQUEST,
    Solutions,
    design,
    exact_solver,
    light_design,
    massless_design,
    several_design,
    universe,
)
from volvelle.training.long_waves import LONG_K, LONG_REQUEST, LongWaves, solve_judges

K = jnp.asarray(POWER_K)
TODAY = jnp.ones(())


@jax.jit
def spectrum_of(cosmology: Cosmology) -> LearnedSpectrum:
    return learned_power().spectrum(cosmology)


known_of = jax.jit(Analytic.of)
logarithms = jax.jit(lambda known, k, a: known.log_power(k, a))
evaluate = jax.jit(lambda spectrum, k, a, kind="matter": spectrum(k, a, kind), static_argnums=3)


@pytest.fixture(scope="module")
def planck() -> tuple[Cosmology, dict]:
    cosmology = planck18()
    return cosmology, exact_solver(finer=True).solve(cosmology, REQUEST)


def test_against_class(planck: tuple[Cosmology, dict]) -> None:
    """The fiducial universe lies amid the box: its errors are below those of the certificate,
    which are the 95th percentile of the box."""
    cosmology, exact = planck
    certificate = learned_record()["certificate"]
    spectrum = spectrum_of(cosmology)
    for suffix, z, limits in (("", POWER_Z, "largest"), ("_early", EARLY_Z, "early")):
        for species in ("matter", "cb"):
            found = evaluate(spectrum, K[None], 1.0 / (1.0 + jnp.asarray(z))[:, None], species)
            error = np.abs(np.asarray(found) / exact[f"{species}_power{suffix}"] - 1.0)
            for name, (low, high) in BANDS.items():
                inside = (low <= POWER_K) & (high > POWER_K)
                assert np.max(error[:, inside]) <= certificate[limits][name], (suffix, name)


def test_without_mass_against_class() -> None:
    """All that was learned has one massive state: none is the limit."""
    cosmology = planck18().replace(m_nu=0.0)
    exact = exact_solver(finer=True).solve(cosmology, Request.of(["matter_power"]))["matter_power"]
    found = evaluate(spectrum_of(cosmology), K[None], 1.0 / (1.0 + jnp.asarray(POWER_Z))[:, None])
    assert np.max(np.abs(np.asarray(found) / exact - 1.0)) < 1e-3


def test_first_asked_for_under_jit() -> None:
    """The weights are read from disk when they are first needed, which may be while JAX traces."""
    _shipped.cache_clear()
    found = jax.jit(lambda h: learned_power().spectrum(planck18().replace(h=h))(0.1, 1.0))(0.67)
    assert found == pytest.approx(float(spectrum_of(planck18().replace(h=0.67))(0.1, 1.0)))


def test_amplitude_and_tilt_are_exact() -> None:
    base = planck18()
    before = evaluate(spectrum_of(base), K, TODAY)
    louder = evaluate(spectrum_of(base.replace(A_s=2.0 * base.A_s)), K, TODAY)
    np.testing.assert_allclose(louder / before, 2.0, rtol=1e-12)
    steeper = evaluate(spectrum_of(base.replace(n_s=base.n_s + 0.05)), K, TODAY)
    np.testing.assert_allclose(steeper / before, (POWER_K / 0.05) ** 0.05, rtol=1e-10)


def test_sigma8_is_the_one_that_was_given() -> None:
    given = planck18().replace(A_s=None, sigma8=0.77)
    spectrum = spectrum_of(given)
    assert eight(given, spectrum, TODAY, "matter") == pytest.approx(0.77, rel=1e-10)

    def power(sigma8: float) -> jax.Array:
        return learned_power().spectrum(given.replace(sigma8=sigma8))(K[99], TODAY)

    slope = jax.jit(jax.grad(power))(0.77)
    assert slope == pytest.approx(2.0 * float(spectrum(K[99], TODAY)) / 0.77, rel=1e-9)


def test_without_mass_cb_is_all_matter() -> None:
    spectrum = spectrum_of(planck18().replace(m_nu=0.0))
    ratio = evaluate(spectrum, K, TODAY) / evaluate(spectrum, K, TODAY, "cb")
    np.testing.assert_allclose(ratio, 1.0, rtol=1e-12)


def test_gradients() -> None:
    """At the fiducial universe, where Omega_k = wa = 0, and without mass."""
    a = jnp.asarray([1.0, 0.5, 0.1])[:, None]

    @jax.jit
    def f(theta: jax.Array) -> jax.Array:
        changed = planck18().replace(**dict(zip(PARAMETERS, theta, strict=True)))
        return jnp.log(learned_power().spectrum(changed)(K[None, ::16], a))

    derivative = jax.jit(jax.jacfwd(f))
    fiducial = jnp.asarray([float(getattr(planck18(), name)) for name in PARAMETERS])
    mass = PARAMETERS.index("m_nu")
    for centre in (fiducial, fiducial.at[mass].set(0.0)):
        exact = np.asarray(derivative(centre))
        assert np.all(np.isfinite(exact))
        for n, name in enumerate(PARAMETERS):
            if n == mass and centre[n] == 0.0:
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
    ],
)
def test_outside_of_the_domain(change: dict, words: str) -> None:
    with pytest.raises((DomainError, ParameterError), match=words):
        learned_power().spectrum(planck18().replace(**change))


def test_traced_values_outside_are_nan() -> None:
    @jax.jit
    def f(omega_cdm: float, curvature: float, h: float) -> jax.Array:
        made = planck18().replace(omega_cdm=omega_cdm, Omega_k=curvature, h=h)
        return learned_power().spectrum(made)(0.1, 1.0)

    assert np.isnan(f(0.3, 0.0, 0.7)) and np.isfinite(f(0.12, 0.0, 0.7))
    assert np.isnan(f(0.2, 0.08, 0.5)) and np.isfinite(f(0.2, 0.08, 0.7))
    spectrum = spectrum_of(planck18())
    assert np.isnan(spectrum(20.0, 1.0)) and np.isnan(spectrum(0.1, 1e-4))


def test_a_closed_universe_has_a_longest_wave() -> None:
    closed = planck18().replace(Omega_k=-0.09)
    found = np.asarray(evaluate(spectrum_of(closed), K, TODAY))
    lowest = np.sqrt(8.0 * float(known_of(closed).curvature))
    np.testing.assert_array_equal(np.isnan(found), lowest > POWER_K)


def test_states_without_mass_are_one() -> None:
    """Three massless states are none, however their rests are added up."""
    base = planck18().replace(m_nu=0.0)
    three = base.replace(neutrino_hierarchy="degenerate")
    found = [evaluate(spectrum_of(each), K, TODAY) for each in (base, three)]
    np.testing.assert_allclose(found[1], found[0], rtol=3e-5)  # radiation: N_eff of the states


def test_masses_are_the_hierarchy_that_has_them() -> None:
    """And a mass that goes to 0 leaves the others."""
    base = planck18()
    equal = base.replace(m_nu=0.3, neutrino_hierarchy="degenerate")
    for one, other, tolerance in (
        (base.replace(m_nu=[0.1] * 3), equal, 1e-9),
        # where masses are rounded off (``analytic``), one of 0 keeps a share of 3e-4
        (base.replace(m_nu=[0.1, 0.1, 0.1, 0.0]), equal, 1e-4),
    ):
        found = [evaluate(spectrum_of(each), K, TODAY) for each in (one, other)]
        np.testing.assert_allclose(*found, rtol=tolerance)
    with pytest.raises(DomainError, match=r"m_nu is 0\.8; the learned"):
        learned_power().spectrum(base.replace(m_nu=[0.4, 0.4]))


def test_hierarchies_differ_by_free_streaming() -> None:
    """At one sum of masses light states stream farther and turn non-relativistic later: more is
    suppressed on large scales, less on small ones."""
    base = planck18().replace(m_nu=0.3)
    one = np.asarray(evaluate(spectrum_of(base), K, TODAY))
    three = np.asarray(
        evaluate(spectrum_of(base.replace(neutrino_hierarchy="degenerate")), K, TODAY)
    )
    ratio = three / one
    assert ratio[np.argmin(np.abs(POWER_K - 0.02))] < 0.99
    assert np.all(ratio[POWER_K > 1.0] > 1.005) and np.all(np.abs(ratio - 1.0) < 0.04)


def test_hierarchies_against_class() -> None:
    """Three states, at Planck's universe with 0.12 eV."""
    cosmology = planck18().replace(m_nu=0.12, neutrino_hierarchy="degenerate")
    exact = exact_solver(finer=True).solve(cosmology, Request.of(["matter_power"]))["matter_power"]
    found = evaluate(spectrum_of(cosmology), K[None], 1.0 / (1.0 + jnp.asarray(POWER_Z))[:, None])
    error = np.max(np.abs(np.asarray(found) / exact - 1.0), axis=0)
    assert np.max(error) < 1e-3 and np.max(error[POWER_K > 1.0]) < 5e-4


def test_oscillations_keep_their_phase() -> None:
    """k r_s at a node among the oscillations does not depend on the sound horizon; far from them
    nodes do not move, and nowhere do two change places."""
    log_k = jnp.log(K)
    short, long = (np.asarray(stretched(log_k, sound)) for sound in (130.0, 165.0))
    among = (POWER_K > 0.05) & (POWER_K < 0.3)
    np.testing.assert_allclose((long - short)[among], np.log(165.0 / 130.0), rtol=0.02)
    assert abs(short[0] - log_k[0]) < 1e-5 and abs(short[-1] - log_k[-1]) < 2e-3
    for sound in (80.0, 270.0):
        assert np.all(np.diff(stretched(log_k, sound)) > 0.0)


def test_oscillations_between_few_nodes() -> None:
    """As at 0.34/Mpc, 2.7 nodes per oscillation: the share that a spline loses of it."""
    log_k = np.log(POWER_K)
    wave = 2.0 * np.pi / (2.7 * (log_k[1] - log_k[0]))
    fine, matrix = _between(tuple(log_k))
    inside = slice(100, -100)
    lost = []
    for found in (
        matrix @ np.sin(wave * log_k),
        CubicSpline(log_k, np.sin(wave * log_k))(fine.array),
    ):
        x, y = fine.array[inside], found[inside]
        basis = np.stack([np.sin(wave * x), np.cos(wave * x)], axis=1)
        lost.append(1.0 - np.hypot(*np.linalg.lstsq(basis, y, rcond=None)[0]))
    assert lost[0] < 1.0 / 60.0 and 0.09 < lost[1] < 0.13


def test_the_design_goes_on() -> None:
    points = design(0, 40)
    assert points[25:] == design(25, 15) and points != design(0, 40, seed=2)
    low, high = np.array(list(BOX.values())).T
    inside = np.array([list(point.values()) for point in points])
    assert np.all((inside > low) & (inside < high))
    assert all(point["w0"] + point["wa"] <= -0.5 for point in points)
    light = light_design(2, 5)
    assert light[0]["m_nu"] == pytest.approx(0.1 * design(2, 1, LIGHT_SEED)[0]["m_nu"])
    assert all(point["m_nu"] <= 0.06 for point in light)


def entries_of(
    points: list[dict[str, Any]], offset: float = 0.0, light: float = 0.0, pairs: float = 0.0
) -> list:
    """In the place of CLASS's: rests that are linear in the parameters; ``offset`` is what coarse
    settings are off by at large k, ``light`` what light neutrinos add there, ``pairs`` what three
    equal states do, per eV^2 of two masses' product."""
    z = np.concatenate([POWER_Z, EARLY_Z])
    entries = []
    for point in points:
        known = known_of(universe(point))
        logs = logarithms(known, K[None], 1.0 / (1.0 + jnp.asarray(z))[:, None])
        bump = 5.0 * point["omega_b"] * POWER_K**2 / (POWER_K**2 + 0.01) + 0.1 * point["m_nu"]
        bump += offset * (1.0 + point["m_nu"]) * POWER_K / (POWER_K + 1.0)
        bump += light * np.exp(-point["m_nu"] / 0.1) * POWER_K / (POWER_K + 1.0)
        if "neutrino_hierarchy" in point:
            bump += pairs * point["m_nu"] ** 2 / 3.0 * POWER_K / (POWER_K + 0.1)
        tables = {}
        for name, value in zip(("matter_power", "cb_power"), logs, strict=True):
            table = np.exp(np.asarray(value) + bump)
            tables |= {name: table[: len(POWER_Z)], f"{name}_early": table[len(POWER_Z) :]}
        entries.append(type("Entry", (), {"theory": tables})())
    return entries


def assert_found(learned: LearnedPower, points: list[dict[str, float]]) -> None:
    fitted = jax.jit(lambda cosmology: learned.spectrum(cosmology))
    for point, entry in zip(points, entries_of(points), strict=True):
        exists = np.asarray(known_of(universe(point)).exists(K))
        found = evaluate(fitted(universe(point)), K, TODAY)
        expected = entry.theory["matter_power"][0]
        np.testing.assert_allclose(found[exists], expected[exists], rtol=3e-4)


@pytest.fixture(scope="module")
def fitted() -> tuple[LearnedPower, np.ndarray]:
    points = design(0, 45)
    return fit_linear_power(Solutions(points, entries_of(points)))


def test_what_is_fitted_is_found_again(
    fitted: tuple[LearnedPower, np.ndarray], planck: tuple[Cosmology, dict]
) -> None:
    points = design(0, 50)
    cosmology, exact = planck
    learned, left_out = fitted
    assert np.sqrt(np.mean(left_out**2)) < 1e-4
    assert_found(learned, points[45:])
    point = {name: float(getattr(cosmology, name)) for name in PARAMETERS}
    rest = rest_of(point, exact, POWER_Z[:1])
    assert rest.shape == (2, 1, len(POWER_K)) and np.max(np.abs(rest)) < 0.15


def test_few_finer_solutions_correct_many() -> None:
    points = design(0, 70)
    coarse = Solutions(points[:45], entries_of(points[:45], offset=5e-3))
    learned, _ = fit_linear_power(coarse)
    with pytest.raises(AssertionError):
        assert_found(learned, points[65:])
    finer = Solutions(points[45:65], entries_of(points[45:65]))
    corrected, left_out = correct_linear_power(learned, coarse.points, finer)
    assert_found(corrected, points[65:])
    assert len(left_out) == 20 and np.sqrt(np.mean(left_out**2)) < 1e-4


def test_long_waves_have_solutions_of_their_own() -> None:
    points = design(0, 50)
    learned, _ = fit_linear_power(Solutions(points[:45], entries_of(points[:45], offset=2.0)))
    entries = entries_of(points[:45])
    for entry in entries:
        entry.theory = {name: table[:, : LONG_K.size] for name, table in entry.theory.items()}
    found, left_out = learn_long_waves(learned, Solutions(points[:45], entries))
    k, end = POWER_K, SPLITS[0]
    long, rest = (k > 1e-3) & (k < 0.75 * end), k > 2.0 * end
    assert left_out.shape == (45, 2, len(learned.log_z), np.sum(k < end))
    of = jax.jit(lambda model, cosmology: model.spectrum(cosmology))
    for point, entry in zip(points[45:], entries_of(points[45:]), strict=True):
        before, after = (
            np.asarray(evaluate(of(model, universe(point)), K, TODAY)) for model in (learned, found)
        )
        exact = entry.theory["matter_power"][0]
        assert np.all(np.abs(before / exact - 1.0)[long] > 1e-3)
        np.testing.assert_allclose(after[long], exact[long], rtol=3e-4)
        np.testing.assert_allclose(after[rest], before[rest], rtol=1e-5)


def test_solutions_without_mass_are_added() -> None:
    """They are found again, and what was learned with mass stays, to a tenth of what is new."""
    heavy = [point for point in design(0, 100) if point["m_nu"] > 0.3][:40]
    new = massless_design(100, 25)
    assert all(point["m_nu"] == 0.0 for point in new)
    learned, _ = fit_linear_power(Solutions(heavy, entries_of(heavy, light=1e-2)))
    more = Solutions(new[:20], entries_of(new[:20], light=1e-2))
    found, left_out = add_massless(learned, heavy, more)
    assert left_out.shape == (20, 2, len(learned.log_z), len(POWER_K))
    of = jax.jit(lambda model, cosmology: model.spectrum(cosmology))
    for point, entry in zip(new[20:], entries_of(new[20:], light=1e-2), strict=True):
        exact = entry.theory["cb_power"][0]
        exists = np.asarray(known_of(universe(point)).exists(K))
        before, after = (
            np.asarray(evaluate(of(model, universe(point)), K, TODAY)) for model in (learned, found)
        )
        assert np.max(np.abs(before / exact - 1.0)[exists]) > 4e-3
        np.testing.assert_allclose(after[exists], exact[exists], rtol=1e-3)
    for point in heavy[:3]:
        before, after = (
            np.asarray(evaluate(of(model, universe(point)), K, TODAY)) for model in (learned, found)
        )
        exists = np.isfinite(before)
        np.testing.assert_allclose(after[exists], before[exists], rtol=1e-3)


def test_what_pairs_of_states_add_is_learned(fitted: tuple[LearnedPower, np.ndarray]) -> None:
    """Of three equal states, and as much less of others as the products of their masses are."""
    alone, _ = fitted
    points = several_design(0, 30)
    assert points[20:] == several_design(20, 10)
    assert all(0.2 < p["m_nu"] < 0.6 and p["N_eff"] > 3.1 for p in points)
    found, left_out = add_pairs(alone, Solutions(points[:25], entries_of(points[:25], pairs=0.1)))
    assert left_out.shape == (25, 2, len(alone.log_z), len(POWER_K))
    of = jax.jit(lambda model, cosmology: model.spectrum(cosmology))
    for point, entry in zip(points[25:], entries_of(points[25:], pairs=0.1), strict=True):
        exists = np.asarray(known_of(universe(point)).exists(K))
        exact = entry.theory["matter_power"][0]
        before, after = (
            np.abs(np.asarray(evaluate(of(model, universe(point)), K, TODAY)) / exact - 1.0)[exists]
            for model in (alone, found)
        )
        # 3e-4 of it is what the fit of single states leaves
        assert np.max(before) > 1e-3 and np.max(after) < 5e-4
    base = planck18()
    for masses, product in (([0.1] * 3, 0.03), ([0.2, 0.1], 0.02), ([0.3], 0.0)):
        before, after = (
            np.asarray(evaluate(of(model, base.replace(m_nu=masses)), K, TODAY))
            for model in (alone, found)
        )
        added = 0.1 * product * POWER_K / (POWER_K + 0.1)
        np.testing.assert_allclose(np.log(after / before), added, atol=3e-5)


def test_long_waves_alone_are_those_of_all_waves(planck: tuple[Cosmology, dict]) -> None:
    cosmology, exact = planck
    for solver in (LongWaves(), LongWaves.judging()):
        found = solver.solve(cosmology, LONG_REQUEST)
        assert set(found) == set(LONG_REQUEST.names())
        for name, table in found.items():
            np.testing.assert_allclose(table, exact[name][:, : LONG_K.size], rtol=3e-5)
    assert LongWaves().identity() != LongWaves.judging().identity()


def test_judges_have_long_waves_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where CLASS failed at the long waves of one of them."""
    points = design(0, 3)

    def entries(offset: float, size: int) -> list[LedgerEntry]:
        names = LONG_REQUEST.functions
        return [
            LedgerEntry(
                {name: np.full((2, size), n + offset) for name in names}, None, 1.0, "", 0.0
            )
            for n in range(3)
        ]

    finer = Solutions(points, entries(0.1, POWER_K.size))
    long = Solutions(points[::2], entries(0.2, LONG_K.size)[::2])
    monkeypatch.setattr(long_waves, "solve_design", lambda *_, **__: finer)
    monkeypatch.setattr(long_waves, "solved", lambda *_: long)
    ledger: Any = None
    judges = solve_judges(points, ledger, ledger)
    assert judges.points == points[::2]
    for n, entry in zip((0, 2), judges.entries, strict=True):
        for table in (entry.theory or {}).values():
            assert table.shape == (2, POWER_K.size)
            assert np.all(table[:, : LONG_K.size] == n + 0.2)
            assert np.all(table[:, LONG_K.size :] == n + 0.1)
        assert set(entry.theory or {}) == set(LONG_REQUEST.names())
