"""Where sampling starts after a training, without a training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.boltzmann import BACKGROUND_Z, Request
from volvelle.inference import (
    Metropolis,
    Nested,
    Posterior,
    UndefinedError,
    Uniform,
    log_probs_at,
)
from volvelle.likelihood import Gaussian
from volvelle.training.adaptive import DOUBTFUL, FAILED
from volvelle.training.certificate import Certificate
from volvelle.training.problem import outline
from volvelle.training.reweighting import ParameterShift
from volvelle.training.rounds import Rounds, Settings

CENTRE, SIGMA = 0.3, 0.02


class Power(eqx.Module):
    """Omega_m is the square root of the parameter, or of more or less: NaN below 0."""

    less: float = 0.0

    def __call__(self, x: Any) -> dict[str, Any]:
        return {"Omega_m": jnp.sqrt(x[0] - self.less)}


def rounds(method: Any, x: list[float], log_like: list[float]) -> tuple[Rounds, Posterior]:
    problem = SimpleNamespace(ref_scale=np.array([0.05]), foreign=None)
    exact = SimpleNamespace(problem=problem)
    known = {"x": np.array(x)[:, None], "log_like": np.array(log_like)}
    trainer: Any = SimpleNamespace(exact=exact, judged=np.ones(len(x), bool), **known)
    settings = Settings(method, 2, 100, (), 0.05, 20, 40, 1)
    like = Gaussian.from_values([CENTRE**0.5], [(SIGMA / 2 / CENTRE**0.5) ** 2], ["Omega_m"])
    posterior = Posterior(("a",), (Uniform(-1.0, 1.0),), (like,), Power(), 1)
    return Rounds(trainer, settings, Path("unused")), posterior


def test_methods_without_gradients_start_from_an_ensemble_or_as_they_are() -> None:
    found, posterior = rounds(Metropolis(), [0.2, 0.28, 0.9], [-9.0, -0.5, np.nan])
    start = found._start(posterior)
    assert start.x[0] == pytest.approx(CENTRE, abs=0.2 * SIGMA)
    width = float(posterior.from_real(jnp.asarray(start.u + start.factor[0]))[0]) - start.x[0]
    assert width == pytest.approx(SIGMA, rel=0.5)  # of 64 walkers
    found, posterior = rounds(Nested(), [0.2, 0.28, 0.9], [-9.0, -0.5, np.nan])
    assert found._start(posterior).x[0] == 0.28
    found.trainer.judged[1] = False  # at the end of a prior, from where there is no way
    assert found._start(posterior).x[0] == 0.2


def test_a_start_where_ln_l_is_nan_is_named() -> None:
    found, posterior = rounds(Metropolis(), [-0.2, 0.9], [-0.5, np.nan])
    with pytest.raises(UndefinedError, match=r"ln L of gaussian is NaN at the start: a = -0\.2"):
        found._start(posterior)


def test_an_outline_has_the_shapes_of_a_solution() -> None:
    request = Request(spectra=("lensed_tt",), lmax=40, background=True, scalars=("zeq",))
    theory = outline(request)(jnp.ones(2))
    assert set(theory) == set(request.names())
    assert theory["lensed_tt"].shape == (41,) and theory["zeq"].shape == ()
    assert theory["hubble"].shape == np.shape(BACKGROUND_Z)


def certificate(shift: float) -> Certificate:
    zeros = np.zeros(4)
    parameters = {"a": ParameterShift(shift, 0.001, 1.0, 0.001)}
    return Certificate(("a",), 0.05, zeros[:, None], zeros, zeros, parameters, np.nan, ())


def drawn(x: np.ndarray, posterior: Posterior) -> Any:
    """Samples, as a chain has them."""
    return SimpleNamespace(flat=x, log_prob=log_probs_at(posterior, x))


def test_doubtful_samples_are_solved_by_the_chains_that_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each batch makes another emulator, whose posterior the same samples tell of by weights, as
    long as these are even enough."""
    found, posterior = rounds(Metropolis(), [0.2, 0.28], [-9.0, -0.5])
    x = np.linspace(CENTRE - 3.0 * SIGMA, CENTRE + 3.0 * SIGMA, 201)[:, None]
    trainer: Any = found.trainer
    moves, asked = iter([0.1, 0.2, 3.0]), []

    def add(points: np.ndarray, reason: str) -> None:
        assert reason == DOUBTFUL
        trainer.emulator = Power(next(moves) * SIGMA)

    def doubtful(flat: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        asked.append(weights)
        return flat[:2]

    trainer.add, trainer.doubtful = add, doubtful
    trainer.exact.problem.posterior = lambda emulator: eqx.tree_at(
        lambda p: p.theory, posterior, emulator
    )
    assert found._solve_doubtful(drawn(x, posterior))
    assert asked[0] is None and len(asked) == 3  # the third emulator's posterior is elsewhere
    spread = SIGMA / 2.0 / CENTRE**0.5
    before = ((np.sqrt(x[:, 0]) - CENTRE**0.5) / spread) ** 2
    for weights, moved in zip(asked[1:], (0.1, 0.2), strict=True):
        after = ((np.sqrt(x[:, 0] - moved * SIGMA) - CENTRE**0.5) / spread) ** 2
        expected = np.exp(0.5 * (before - after))
        np.testing.assert_allclose(weights, expected / expected.max(), rtol=1e-9)


def test_the_certificate_says_how_many_there_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that fail and one that passes; a round of doubtful samples has none."""
    found, posterior = rounds(Metropolis(), [0.2, 0.28], [-9.0, -0.5])
    trainer: Any = found.trainer
    trainer.emulator, trainer.exact.problem.learns_likelihood = Power(), False
    trainer.exact.problem.posterior = lambda emulator: posterior
    trainer.run, trainer.takes = (lambda warm: True), (lambda n: True)
    point = np.full((1, 1), 0.3)
    doubts, shifts, added = iter([None, point, None, None, None]), iter([0.2, 0.1, 0.0]), []
    trainer.doubtful = lambda flat, weights: next(doubts)
    trainer.add = lambda x, why: added.append(why)
    monkeypatch.setattr(Rounds, "_sample", lambda *_: drawn(np.full((9, 1), 0.3), posterior))
    monkeypatch.setattr(Rounds, "_certify", lambda *_: certificate(next(shifts)))
    outcome = found.run()
    assert added == [FAILED, DOUBTFUL, FAILED]
    assert outcome.certificate.summary()["number"] == 3
    words = "This is certificate number 3: the 2 before failed and joined the training."
    assert outcome.certificate.words().endswith(words)
    assert "certificate number" not in certificate(0.0).words()
