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
)
from volvelle.likelihood import Gaussian
from volvelle.training.adaptive import DOUBTFUL, FAILED
from volvelle.training.certificate import Certificate
from volvelle.training.problem import outline
from volvelle.training.reweighting import ParameterShift
from volvelle.training.rounds import Rounds, Settings

CENTRE, SIGMA = 0.3, 0.02


class Power(eqx.Module):
    """Omega_m is the square root of the parameter: NaN below 0."""

    def __call__(self, x: Any) -> dict[str, Any]:
        return {"Omega_m": jnp.sqrt(x[0])}


def rounds(method: Any, x: list[float], log_like: list[float]) -> tuple[Rounds, Posterior]:
    problem = SimpleNamespace(ref_scale=np.array([0.05]), foreign=None)
    exact = SimpleNamespace(problem=problem)
    trainer: Any = SimpleNamespace(x=np.array(x)[:, None], log_like=np.array(log_like), exact=exact)
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


def test_the_certificate_says_how_many_there_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that fail and one that passes; a round of doubtful samples has none."""
    found, posterior = rounds(Metropolis(), [0.2, 0.28], [-9.0, -0.5])
    trainer: Any = found.trainer
    trainer.emulator, trainer.exact.problem.learns_likelihood = Power(), False
    trainer.exact.problem.posterior = lambda emulator: posterior
    trainer.run, trainer.takes = (lambda warm: True), (lambda n: True)
    doubts, shifts, added = iter([None, np.ones((1, 1)), None, None]), iter([0.2, 0.1, 0.0]), []
    trainer.doubtful, trainer.add = (lambda flat: next(doubts)), (lambda x, why: added.append(why))
    monkeypatch.setattr(Rounds, "_sample", lambda *_: SimpleNamespace(flat=np.ones((9, 1))))
    monkeypatch.setattr(Rounds, "_certify", lambda *_: certificate(next(shifts)))
    outcome = found.run()
    assert added == [FAILED, DOUBTFUL, FAILED]
    assert outcome.certificate.summary()["number"] == 3
    words = "This is certificate number 3: the 2 before failed and joined the training."
    assert outcome.certificate.words().endswith(words)
    assert "certificate number" not in certificate(0.0).words()
