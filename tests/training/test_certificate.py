"""The certificate catches an emulator that is wrong, corrects it, and passes one that is right."""

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from scipy.stats import norm

import toy
from volvelle.boltzmann import Ledger, LedgerEntry
from volvelle.compute import SerialExecutor
from volvelle.emulator import build_emulator
from volvelle.inference import Chains, pareto_smooth
from volvelle.training import Exact, TrainingError, certificate, certify, smooth_log_weights
from volvelle.training.certificate import WIDTH_LIMIT, fresh_points
from volvelle.training.reweighting import ParameterShift, shifts

DRAWS = 1000
DERIVED = ("sigma8", "H0")
SIGMAS = 3.5  # errors within which a corrected mean must be right, for eight parameters


class Spoiled(eqx.Module):
    """An emulator that takes its argument for another, ``shift`` away, or now here, now there."""

    emulator: eqx.Module
    shift: Array
    rough: bool = False

    def __call__(self, x: Array) -> dict[str, Array]:
        sign = jnp.sign(jnp.sin(50.0 * x[3] / toy.SIGMA[3])) if self.rough else 1.0
        return self.emulator(x + sign * self.shift)

    def batch(self, x: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        return self.emulator.batch(x + np.asarray(self.shift), names)


@pytest.fixture(scope="module")
def emulator():
    rng = np.random.default_rng(0)
    factor = np.linalg.cholesky(toy.covariance())
    x = toy.TRUTH + 2.5 * rng.uniform(-1.5, 1.5, (110, 6)) @ factor.T
    return build_emulator(
        toy.NAMES, {}, x, toy.solve(x), [toy.likelihood().noise()], kind="polynomial"
    )[0]


@pytest.fixture
def exact(tmp_path) -> Exact:
    return Exact(toy.problem(), Ledger(tmp_path / "ledger.sqlite"), SerialExecutor(), "run")


def chains_around(mean: np.ndarray, seed: int = 0) -> Chains:
    """Draws of the (here Gaussian) posterior of an emulator whose data point at ``mean``."""
    rng = np.random.default_rng(seed)
    samples = rng.multivariate_normal(mean, toy.covariance(), (4, DRAWS))
    return Chains(toy.NAMES, samples, np.zeros((4, DRAWS)), 0.8, 0, 0)


def certificate_of(exact, emulator, sigmas: float, rough: bool = False, **settings):
    """Of an emulator spoiled by ``sigmas`` in ln10A_s; without a mean shift where it is rough."""
    shift = np.zeros(6)
    shift[4] = sigmas * toy.SIGMA[4]
    posterior = exact.problem.posterior(Spoiled(emulator, jnp.asarray(shift), rough))
    defaults = {"limit": 0.05, "points": 100, "max_points": 400, "seed": 7}
    chains = chains_around(toy.TRUTH - (0.0 if rough else 1.0) * shift)
    avoid = settings.pop("avoid", np.empty((0, 6)))
    return chains, certify(
        exact, posterior, chains, DERIVED, avoid=avoid, **{**defaults, **settings}
    )


def test_perfect_emulator_passes(exact, emulator):
    _, found = certificate_of(exact, emulator, 0.0)
    assert found.passed and found.n == 100
    for name, shift in found.parameters.items():
        assert abs(shift.mean_shift_sigma) < 0.01, name
        assert shift.width_ratio == pytest.approx(1.0, abs=0.01)
    assert found.ess_fraction > 0.99 and found.log_weight_std < 0.05
    assert "is certified" in found.words()
    assert set(found.parameters) == {*toy.NAMES, *DERIVED}


def test_one_sigma_error_is_caught_and_corrected(exact, emulator):
    """The independent check of the certificate itself."""
    chains, found = certificate_of(exact, emulator, 1.0, points=250)
    assert not found.passed and "NOT certified" in found.words()
    spoiled = found.parameters["ln10A_s"]
    assert spoiled.mean_shift_sigma > 0.5
    assert spoiled.mean_shift_sigma == pytest.approx(1.0, abs=SIGMAS * spoiled.mean_shift_error)
    for i, name in enumerate(toy.NAMES):
        shift = found.parameters[name]
        corrected = chains.flat[:, i].mean() + shift.mean_shift_sigma * toy.SIGMA[i]
        off = (corrected - toy.TRUTH[i]) / toy.SIGMA[i]
        assert abs(off) < SIGMAS * shift.mean_shift_error + 0.05, name  # the chain's own noise
        assert shift.mean_shift_error < 0.2, "the smooth part leaves little to the points"
    assert found.log_weight_std == pytest.approx(
        np.sqrt(toy.SIGMA[4] ** 2 / conditional()), rel=0.5
    )


def conditional() -> float:
    """Variance of ln10A_s with all else fixed: what a shift of one sigma costs in ln L."""
    return 1.0 / np.linalg.inv(toy.covariance())[4, 4]


def test_a_wrong_derived_parameter_is_caught(exact, emulator):
    """The data do not see sigma8: only the exact values of the derived parameters tell."""

    class WrongSigma8(eqx.Module):
        emulator: eqx.Module

        def __call__(self, x):
            return self.emulator(x)

        def batch(self, x, names):
            return {k: v + 0.01 * (k == "sigma8") for k, v in self.emulator.batch(x, names).items()}

    posterior = exact.problem.posterior(WrongSigma8(emulator))
    found = certify(
        exact,
        posterior,
        chains_around(toy.TRUTH),
        DERIVED,
        limit=0.05,
        points=60,
        max_points=60,
        seed=1,
        avoid=np.empty((0, 6)),
    )
    assert not found.passed
    assert found.parameters["sigma8"].mean_shift_sigma < -0.5
    assert found.parameters["n_s"].within(0.05, 0.05)


def test_points_are_added_until_the_errors_tell(exact, emulator):
    _, found = certificate_of(exact, emulator, 0.1, rough=True, limit=0.1, points=20)
    assert 20 < found.n < 400
    assert all(p.excess(0.1, WIDTH_LIMIT) <= 1.0 for p in found.parameters.values())
    assert found.passed
    assert len(found.entries) == found.n
    assert len(list(exact.ledger.status().solvers)) == 1
    assert exact.ledger.status().solvers[0].solutions == found.n, "every call is in the ledger"


@pytest.mark.parametrize(
    ("shift", "error", "width", "width_error", "excess"),
    [
        (0.0, 0.05, 1.0, 0.025, 1.0),  # just within
        (0.05, 0.02, 1.01, 0.01, 0.8),
        (0.0, 0.1, 1.0, 0.0, 2.5),
        (0.0, 0.0, 0.97, 0.03, 3.0),  # a width that a mean says nothing of
        (0.09, 0.02, 1.0, 0.0, 1.0),  # a fifth of the limit: close to it, and known well enough
        (0.0, np.nan, 1.0, 0.0, np.nan),
    ],
)
def test_how_many_times_too_large_an_error_is(shift, error, width, width_error, excess):
    found = ParameterShift(shift, error, width, width_error).excess(0.1, 0.05)
    assert found == pytest.approx(excess, nan_ok=True)


def test_points_end_at_their_maximum(exact, emulator):
    _, found = certificate_of(exact, emulator, 0.2, rough=True, limit=0.1, points=20, max_points=33)
    assert found.n == 33


class Stretched(eqx.Module):
    """An emulator whose outputs move faster than the solver's: its posterior is too narrow."""

    emulator: eqx.Module
    factor: float

    def __call__(self, x: Array) -> dict[str, Array]:
        return self.emulator(toy.TRUTH + self.factor * (x - toy.TRUTH))

    def batch(self, x: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        return self.emulator.batch(toy.TRUTH + self.factor * (x - toy.TRUTH), names)


def test_a_width_that_is_wrong_costs_no_further_points(exact, emulator):
    """No mean is off by its limit, and a few means are not known well enough either."""
    factor = 1.15
    posterior = exact.problem.posterior(Stretched(emulator, factor))
    rng = np.random.default_rng(0)
    samples = rng.multivariate_normal(toy.TRUTH, toy.covariance() / factor**2, (4, DRAWS))
    chains = Chains(toy.NAMES, samples, np.zeros((4, DRAWS)), 0.8, 0, 0)
    settings = {"limit": 0.05, "points": 100, "max_points": 400, "seed": 7}
    found = certify(exact, posterior, chains, DERIVED, avoid=np.empty((0, 6)), **settings)
    assert found.n == 100 and not found.passed
    errors = [p.mean_shift_error for p in found.parameters.values()]
    assert max(errors) > 0.2 * 0.05, "else the points were enough for the means"
    worst = max(found.parameters.values(), key=lambda p: p.width_ratio)
    assert worst.width_ratio == pytest.approx(factor, abs=3.0 * worst.width_ratio_error)


def test_a_hopeless_emulator_costs_no_further_points(exact, emulator):
    _, found = certificate_of(exact, emulator, 1.5, limit=0.05, points=100, max_points=2000)
    assert not found.passed and found.n < 2000


def test_fresh_points_are_never_training_points(exact, emulator):
    chains = chains_around(toy.TRUTH)
    avoid = fresh_points(chains, np.empty((0, 6)), 7)[:300]
    _, found = certificate_of(exact, emulator, 0.0, points=50, avoid=avoid)
    trained = {row.tobytes() for row in avoid}
    assert found.n == 50
    assert not any(row.tobytes() in trained for row in found.points)
    in_chains = {row.tobytes() for row in chains.flat}
    assert all(row.tobytes() in in_chains for row in found.points)


def test_what_the_solver_refuses_has_no_weight(tmp_path, emulator):
    """An edge of the exact posterior 1.3 sigma out, of which the emulator knows nothing."""

    def exact_failing(edge: float, name: str) -> Exact:
        solver = toy.ToySolver(fails_above=toy.TRUTH[1] + edge * toy.SIGMA[1])
        return Exact(toy.problem(solver), Ledger(tmp_path / name), SerialExecutor(), "run")

    _, found = certificate_of(exact_failing(1.3, "few"), emulator, 0.0, points=200)
    failed = sum(entry.failed for entry in found.entries)
    assert 0 < failed < 40 and found.n == len(found.entries) and found.unknown == 0
    assert not found.passed
    assert found.summary()["excluded"] == failed
    assert f"{failed} of them the exact solver or its likelihood excludes" in found.words()
    cut = norm(0.0, 1.0)
    expected = -cut.pdf(1.3) / cut.cdf(1.3)  # mean of a unit Gaussian below 1.3
    shift = found.parameters[toy.NAMES[1]]
    assert shift.mean_shift_sigma == pytest.approx(expected, abs=SIGMAS * shift.mean_shift_error)


def test_what_was_not_finished_is_left_out_and_said(exact, emulator):
    """A worker that dies says nothing of the model."""

    class Dying(Exact):
        def solve(self, x):
            found = super().solve(x)
            lost = LedgerEntry(None, "WorkerDied", 1.0, "run", 0.0, stored=False)
            return [lost if i % 10 == 0 else entry for i, entry in enumerate(found)]

    dying = Dying(exact.problem, exact.ledger, exact.executor, "run")
    _, found = certificate_of(dying, emulator, 0.0)
    assert found.passed and found.n == 90 and found.unknown == 10
    assert "10 more were not finished and are left out" in found.words()


def test_too_many_failures_are_an_error(tmp_path, emulator):
    solver = toy.ToySolver(fails_above=toy.TRUTH[1])
    failing = Exact(toy.problem(solver), Ledger(tmp_path / "l"), SerialExecutor(), "run")
    with pytest.raises(TrainingError, match="toy: shooting failed"):
        certificate_of(failing, emulator, 0.0)


def test_undefined_exact_likelihood_is_not_certified(exact, emulator, monkeypatch):
    monkeypatch.setattr(type(exact.problem), "log_likelihood", lambda self, x, t: float("nan"))
    _, found = certificate_of(exact, emulator, 0.0, points=20)
    assert not found.passed and found.n == 20


def test_smooth_weights_carry_the_shift_to_the_whole_chain(exact, emulator):
    chains, found = certificate_of(exact, emulator, 0.3, limit=0.5, points=150)
    weights = np.exp(smooth_log_weights(found, chains))
    assert weights.shape == (4, DRAWS) and weights.max() == 1.0
    mean = np.average(chains.flat, axis=0, weights=weights.ravel())
    off = (mean - toy.TRUTH) / toy.SIGMA
    assert abs(off[4]) < 0.1, "0.3 before"
    assert np.all(np.abs(off) < 0.15)


def test_a_width_beyond_its_limit_is_said(exact, emulator):
    """The means may all be right."""
    _, found = certificate_of(exact, emulator, 0.0)
    name, shift = next(iter(found.parameters.items()))
    assert "width" not in found.words()
    wider = replace(shift, width_ratio=1.1, width_ratio_error=0.01)
    refused = replace(found, parameters={**found.parameters, name: wider})
    assert not refused.passed
    assert f"width of {name} by a factor of 1.100 +- 0.010; the limit is 5%" in refused.words()


def test_a_tail_that_cannot_be_fitted_is_no_reason_for_trust(exact, emulator):
    """Twenty weights have no k; they count only where they hardly scatter."""
    _, found = certificate_of(exact, emulator, 0.0, points=20, max_points=20)
    assert np.isnan(found.pareto_k) and found.reliable and found.log_weight_std < 0.05
    rough = np.random.default_rng(0).normal(size=20)
    scattered = replace(found, raw_log_weights=rough)
    assert not scattered.reliable and not scattered.passed
    assert "too few to tell whether they have a heavy tail" in scattered.words()
    assert replace(scattered, pareto_k=0.1).reliable


def test_samples_that_were_drawn_twice_have_their_tail_fitted(exact, emulator):
    """Chains that were resampled by weights repeat samples, and the largest weights tie."""
    shift = np.zeros(6)
    shift[4] = 0.5 * toy.SIGMA[4]
    posterior = exact.problem.posterior(Spoiled(emulator, jnp.asarray(shift), True))
    distinct = chains_around(toy.TRUTH).flat[:30]
    twice = distinct[np.random.default_rng(0).integers(0, 30, (4, DRAWS))]
    chains = Chains(toy.NAMES, twice, np.zeros((4, DRAWS)), 0.8, 0, 0)
    settings = {"limit": 0.25, "points": 100, "max_points": 100, "seed": 7}
    found = certify(exact, posterior, chains, DERIVED, avoid=np.empty((0, 6)), **settings)
    assert found.n == 100 and len(np.unique(found.points, axis=0)) <= 30
    assert np.isnan(pareto_smooth(found.raw_log_weights)[1]), "the largest of all tie"
    assert np.isfinite(found.pareto_k)


def test_errors_know_how_many_samples_the_chains_count_as(exact, emulator, monkeypatch):
    """Chains that remember nine tenths of their last step: one in nineteen counts."""
    memory = 0.9
    rng = np.random.default_rng(0)
    steps = rng.multivariate_normal(np.zeros(6), toy.covariance(), (4, DRAWS))
    for i in range(1, DRAWS):
        steps[:, i] = memory * steps[:, i - 1] + np.sqrt(1.0 - memory**2) * steps[:, i]
    chains = Chains(toy.NAMES, toy.TRUTH + steps, np.zeros((4, DRAWS)), 0.8, 0, 0)
    counted = []

    def seen(*given):
        counted.append(given[5])
        return shifts(*given)

    monkeypatch.setattr(certificate, "shifts", seen)
    settings = {"limit": 0.05, "points": 50, "max_points": 50, "seed": 7}
    certify(
        exact,
        exact.problem.posterior(emulator),
        chains,
        DERIVED,
        avoid=np.empty((0, 6)),
        **settings,
    )
    assert counted == [int(chains.diagnostics.ess_min)]
    assert counted[0] == pytest.approx(4 * DRAWS * (1 - memory) / (1 + memory), rel=0.4)
