"""From points to universes, with parameters that follow from others."""

import math
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import toy
from volvelle.boltzmann import Ledger
from volvelle.compute import SerialExecutor
from volvelle.cosmology import ExpressionError, Parametrisation
from volvelle.inference import make_prior
from volvelle.likelihood import Likelihood, NuisanceParameter, TheoryError
from volvelle.training import Exact, Problem, TrainingError

ROUNDING = 1e-12  # of a sum over hundreds of multipoles, compiled or not
TEXTS = (("omega_cdm", "omega_m - omega_b"),)


class Compiled(Likelihood):
    """One that is not written in JAX, as a library in Fortran is not: it takes NumPy's numbers."""

    name: str = eqx.field(static=True, default="compiled")
    cites: tuple[str, ...] = eqx.field(static=True, default=())
    simulated: bool = eqx.field(static=True, default=False)

    @property
    def requires(self):
        return toy.REQUEST

    @property
    def nuisance(self):
        prior = {"dist": "norm", "loc": 1.0, "scale": 0.1}
        return {"scale": NuisanceParameter(prior=prior, ref=1.0, label="s")}

    @property
    def data_sha256(self):
        return {}

    @property
    def max_log_prob(self):
        return 0.0

    def log_prob(self, theory, nuisance):
        spectrum = np.asarray(theory["lensed_tt"], dtype=np.float64)
        return -math.fsum((float(nuisance["scale"]) * spectrum[2:5] - 1.0) ** 2)

    def noise(self):
        return {}


def problem() -> Problem:
    """The toy in omega_m and n_s; omega_cdm follows."""
    base = toy.problem(names=("omega_cdm", "n_s"))
    return replace(
        base,
        names=("omega_m", "n_s"),
        parametrisation=Parametrisation(TEXTS, dropped=("omega_m",)),
    )


def test_definitions_at_one_point_and_at_many():
    posed = problem()
    cosmology = posed.cosmology(np.array([0.15, 0.96]))
    assert cosmology.omega_cdm == pytest.approx(0.15 - 0.0224)
    assert cosmology.extra == {}
    x = np.random.default_rng(0).uniform(0.1, 0.2, (4, 3, 2))
    np.testing.assert_allclose(posed.defined(x)["omega_cdm"], x[..., 0] - 0.0224, rtol=1e-14)
    assert posed.defined_names == ("omega_cdm",)
    assert toy.problem().defined(np.ones((2, 6))) == {}


def test_values_that_do_not_exist_are_an_error():
    posed = replace(problem(), parametrisation=Parametrisation((("omega_cdm", "1/omega_m"),)))
    with pytest.raises(ExpressionError, match="omega_cdm: 1/omega_m: no finite real number"):
        posed.defined(np.array([[0.1, 0.9], [0.0, 0.9]]))


def test_a_point_without_a_universe_is_a_failure_among_others(tmp_path):
    """omega_cdm = omega_m - omega_b is negative in a corner of the priors: no reason to stop."""
    exact = Exact(problem(), Ledger(tmp_path / "ledger.sqlite"), SerialExecutor(), "run")
    entries = exact.solve(np.array([[0.15, 0.96], [0.01, 0.96], [0.14, 0.96]]))
    assert [entry.failed for entry in entries] == [False, True, False]
    assert "omega_cdm is -0.0124" in (entries[1].failure or "")
    assert not entries[1].stored
    assert exact.theory(entries[2])["Omega_m"] < exact.theory(entries[0])["Omega_m"]


def test_a_learned_likelihood_stands_for_the_real_one(tmp_path):
    """Its emulator takes every parameter and gives ln L; exact values stay those of the theory."""
    exact = Exact(toy.problem(), Ledger(tmp_path / "ledger.sqlite"), SerialExecutor(), "run")
    posed = replace(exact.problem, learns_likelihood=True)
    assert posed.emulated_names == posed.names
    x = posed.ref_loc
    (entry,) = exact.solve(x[None])
    theory = exact.theory(entry)
    value = exact.problem.log_likelihood(x, theory)
    assert posed.log_likelihood(x, theory) == pytest.approx(value, rel=ROUNDING)
    learned = posed.learned(x, theory)
    (name,) = (key for key in learned if key.startswith("log_likelihood_"))
    assert set(learned) - {name} == {key for key, number in theory.items() if np.ndim(number) == 0}
    assert posed.log_likelihood_of(x, learned) == pytest.approx(value, rel=ROUNDING)
    assert posed.noises() == [{name: np.array([1.0])}]
    posterior = posed.posterior(lambda x: {name: jnp.sum(x)})
    assert float(posterior.log_likelihood(jnp.asarray(x))) == pytest.approx(np.sum(x))
    plain = exact.problem
    assert plain.learned(x, theory).keys() == theory.keys()
    assert plain.log_likelihood_of(x, plain.learned(x, theory)) == value
    with pytest.raises(TheoryError, match=f"needs the theory output '{name}'"):
        posed.posterior(lambda x: {"sigma8": x[0]}).log_likelihood(jnp.asarray(x))


def test_a_likelihood_without_jax_can_only_be_learned():
    """It is called with plain numbers; where the theory is learned the refusal says what to do."""
    base = toy.problem()
    posed = replace(
        base,
        names=(*base.names, "scale"),
        priors=(*base.priors, make_prior({"dist": "norm", "loc": 1.0, "scale": 0.1})),
        ref_loc=np.append(base.ref_loc, 1.0),
        ref_scale=np.append(base.ref_scale, 0.1),
        likelihoods=(Compiled(),),
        learns_likelihood=True,
    )
    theory = {"lensed_tt": np.array([0.0, 0.0, 1.0, 2.0, 3.0]), "sigma8": 0.8}
    x = np.append(base.ref_loc, 2.0)
    learned = posed.learned(x, theory)
    assert learned == {"sigma8": 0.8, "log_likelihood_compiled": -35.0}
    with pytest.raises(TrainingError, match=r"compiled.* choose emulator: \{target: likelihood\}"):
        replace(posed, learns_likelihood=False).log_likelihood(x, theory)
