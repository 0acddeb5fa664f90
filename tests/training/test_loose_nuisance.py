"""Many nuisance parameters with flat priors, forty times wider than what the data leave."""

import math
from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import toy
from volvelle.boltzmann import Ledger
from volvelle.compute import SerialExecutor
from volvelle.inference import log_likelihoods_at, make_prior
from volvelle.likelihood import Likelihood, NuisanceParameter
from volvelle.training import Exact, Problem, Trainer, TrainingSettings

SAMPLES = 20
BIAS, ERROR = 1.6, 0.01
"""Of every sample of galaxies; the relative error of its power."""
FLAT = {"min": 0.8, "max": 3.0}
THREE = ("omega_cdm", "n_s", "ln10A_s")
FEW = 60  # solutions in three parameters; 34 measured


class Galaxies(Likelihood):
    """The amplitude of every sample: its bias times the toy's power."""

    amplitude: float
    name: str = eqx.field(static=True, default="galaxies")
    cites: tuple[str, ...] = eqx.field(static=True, default=())
    simulated: bool = eqx.field(static=True, default=True)

    @property
    def requires(self):
        return toy.REQUEST

    @property
    def nuisance(self):
        return {
            f"bias_{i}": NuisanceParameter(prior=FLAT, ref=1.9, label=f"b_{i}")
            for i in range(SAMPLES)
        }

    @property
    def data_sha256(self):
        return {}

    @property
    def max_log_prob(self):
        return 0.0

    def log_prob(self, theory, nuisance):
        biases = jnp.stack([nuisance[name] for name in self.nuisance])
        seen = biases * jnp.sum(theory["lensed_tt"]) / self.amplitude
        return -0.5 * jnp.sum(((seen - BIAS) / (ERROR * BIAS)) ** 2)

    def noise(self):
        return {}


class Called(Galaxies):
    """The same by a library that knows no gradients."""

    def log_prob(self, theory, nuisance):
        def outside(biases, power):
            pulls = (biases * power - BIAS) / (ERROR * BIAS)
            return np.asarray(-0.5 * np.sum(pulls**2))

        biases = jnp.stack([nuisance[name] for name in self.nuisance])
        power = jnp.sum(theory["lensed_tt"]) / self.amplitude
        shape = jax.ShapeDtypeStruct((), biases.dtype)
        return jax.pure_callback(outside, shape, biases, power, vmap_method="sequential")


def problem(likelihood: type[Galaxies]) -> Problem:
    """Three parameters of the toy, and the biases."""
    base = toy.problem(names=THREE)
    amplitude = float(np.sum(toy.solve(toy.TRUTH[None])[0]["lensed_tt"]))
    galaxies = likelihood(amplitude)
    names = tuple(galaxies.nuisance)
    width = (FLAT["max"] - FLAT["min"]) / math.sqrt(12.0)
    return replace(
        base,
        names=THREE + names,
        priors=base.priors + tuple(make_prior(FLAT) for _ in names),
        ref_loc=np.concatenate([base.ref_loc, np.full(SAMPLES, 1.9)]),
        ref_scale=np.concatenate([base.ref_scale, np.full(SAMPLES, width)]),
        likelihoods=(*base.likelihoods, galaxies),
    )


def trainer(folder: Path, likelihood: type[Galaxies]) -> Trainer:
    exact = Exact(problem(likelihood), Ledger(folder / "l.sqlite"), SerialExecutor(), "run")
    return Trainer(exact, TrainingSettings(), folder / "iterations")


def test_walkers_find_the_posterior_and_few_solutions_do(tmp_path):
    found = trainer(tmp_path, Galaxies)
    assert found.run() and len(found.asked) <= FEW
    assert found.emulator is not None
    posterior = found.exact.problem.posterior(found.emulator)
    walkers = found._explore(1.0, 1, 1.3)
    values = log_likelihoods_at(posterior, walkers)
    best = log_likelihoods_at(posterior, np.r_[toy.TRUTH[[1, 3, 4]], np.full(SAMPLES, BIAS)][None])
    d = len(found.exact.problem.names)
    # ln P of a Gaussian is -chi2/2 of d numbers: mean d/2, variance d/2
    assert np.mean(best - values) == pytest.approx(0.5 * d, abs=0.1 * d)
    assert np.max(best - values) < 0.5 * d + 6.0 * math.sqrt(0.5 * d)
    np.testing.assert_allclose(np.std(walkers[:, len(THREE) :], axis=0), BIAS * ERROR, rtol=0.4)


def test_without_gradients_the_references_widths_are_taken(tmp_path):
    found = trainer(tmp_path, Called)
    found._advance(found._propose(0, None))
    assert found.emulator is not None and found.exact.problem.loose
    posterior = found.exact.problem.posterior(found.emulator)
    _, scatter = found._surroundings(posterior, 1.0)
    expected = found.exact.problem.ref_scale[len(THREE) :]
    np.testing.assert_allclose(np.sqrt(scatter.diagonal())[len(THREE) :], expected)


def test_informed_references_are_kept():
    base = problem(Galaxies)
    scale = base.ref_scale.copy()
    scale[len(THREE) :] = 0.05
    assert base.loose and not replace(base, ref_scale=scale).loose
