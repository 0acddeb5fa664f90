"""Cobaya's model as a black box, and the sampler that learns it from within Cobaya."""

import copy
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cobaya.log import LoggedError
from cobaya.run import run
from cobaya_toys import SIGMA_A, SIGMA_B

from volvelle.boltzmann import Ledger
from volvelle.inference import LogUniform, Normal, Uniform
from volvelle.plugins.cobaya_model import CobayaModel
from volvelle.plugins.errors import ForeignError

TILT = 2.0
MONTE_CARLO = 0.1  # of sigma: 2 chains of 500 draws
INFO: dict[str, Any] = {
    "theory": {"cobaya_toys.ToyTheory": {"bias": 0.0}},
    "likelihood": {"cobaya_toys.ToyLikelihood": None},
    "prior": {"tilt": f"lambda a: {TILT} * a"},
    "params": {
        "a": {"prior": {"min": -3, "max": 4}, "ref": {"dist": "norm", "loc": 1, "scale": 0.2}},
        "b": {"prior": {"dist": "norm", "loc": 0, "scale": 1}, "ref": 0.1, "proposal": 0.1},
        "twice": {"latex": "2h"},
        "sum": {"derived": "lambda a, b: a + b"},
    },
}
WITHOUT_OUTPUT = logging.WARNING


def info(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(INFO), "debug": WITHOUT_OUTPUT, **changes}


def exact_moments() -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of (a, b): all terms are Gaussian, the tilt moves the mean only."""
    precision = np.array(
        [[SIGMA_A**-2, SIGMA_A**-2], [SIGMA_A**-2, SIGMA_A**-2 + SIGMA_B**-2 + 1.0]]
    )
    linear = np.array([SIGMA_A**-2 + TILT, SIGMA_A**-2])
    covariance = np.linalg.inv(precision)
    return covariance @ linear, covariance


def test_black_box_of_a_model():
    box = CobayaModel.of(INFO)
    assert box.sampled == ("a", "b") and box.derived == ("twice", "sum")
    value, derived = box.evaluate({"a": 1.5, "b": -0.1})
    expected = -0.5 * ((0.4 / SIGMA_A) ** 2 + (0.1 / SIGMA_B) ** 2) + TILT * 1.5
    assert value == pytest.approx(expected, rel=1e-12)
    assert derived == pytest.approx({"twice": 3.0, "sum": 1.4})
    assert box.priors() == (Uniform(-3.0, 4.0), Normal(0.0, 1.0))
    assert box.reference() == ((1.0, 0.5), (0.1, 0.25))
    again = pickle.loads(pickle.dumps(box))
    assert again == box and again.identity() == box.identity()
    other = CobayaModel.of(info(theory={"cobaya_toys.ToyTheory": {"bias": 0.1}}))
    assert other.identity() != box.identity()
    assert other == box.with_theory({"cobaya_toys.ToyTheory": {"bias": 0.1}})


def test_the_hosts_logging_stays_as_it_is():
    before = logging.getLogger().level
    _ = CobayaModel.of(INFO).model
    assert logging.getLogger().level == before


def test_learned_sampled_and_certified_from_within_cobaya(tmp_path: Path):
    """Of a known posterior, external prior included; a repeated run evaluates nothing again."""
    options = {"chains": 2, "draws": 500, "workers": 1, "ledger": str(tmp_path / "ledger.sqlite")}
    sampler = {"volvelle.plugins.cobaya_sampler.Volvelle": options}
    output = str(tmp_path / "chains" / "toy")
    _, made = run(info(sampler=sampler, output=output))
    found = made.products()
    assert found["certificate"].passed
    assert set(found["certificate"].parameters) == {"a", "b", "twice", "sum"}
    mean, covariance = exact_moments()
    sigma = np.sqrt(np.diag(covariance))
    sample = found["sample"]
    np.testing.assert_allclose(sample.mean(["a", "b"]), mean, atol=MONTE_CARLO * sigma.min())
    np.testing.assert_allclose(np.sqrt(np.diag(sample.cov(["a", "b"]))), sigma, rtol=0.1)
    assert sample.mean("twice") == pytest.approx(2.0 * sample.mean("a"), rel=1e-6)
    folder = tmp_path / "chains" / "toy_volvelle"
    assert (folder / "certificate.json").exists() and (folder / "reweighted.1.txt").exists()
    solved = Ledger(tmp_path / "ledger.sqlite").status().solvers[0].solutions
    run(info(sampler=sampler, output=output, resume=True))
    assert Ledger(tmp_path / "ledger.sqlite").status().solvers[0].solutions == solved


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior": {"own": lambda a: a}}, "Python object"),
        (
            {"params": {**INFO["params"], "b": {"prior": {"dist": "cauchy"}}}},
            "prior of b .* expected uniform",
        ),
    ],
)
def test_what_cannot_be_learned_is_refused(tmp_path, changes, message):
    sampler = {"volvelle.plugins.cobaya_sampler.Volvelle": {"ledger": str(tmp_path / "l.sqlite")}}
    with pytest.raises(LoggedError, match=message):
        run(info(sampler=sampler, **changes))


def test_failures_are_said_in_cobayas_words(tmp_path):
    broken = CobayaModel.of(info(theory={"cobaya_toys.Broken": None}))
    assert broken.evaluate({"a": 0.0, "b": 0.0})[0] == -np.inf
    with pytest.raises(ForeignError, match=r"cannot make the model.*no_such_module"):
        CobayaModel.of(info(likelihood={"no_such_module.Likelihood": None})).identity()
    (tmp_path / "bad.yaml").write_text("likelihood: [")
    with pytest.raises(ForeignError, match="cannot be read by Cobaya"):
        CobayaModel.load(tmp_path / "bad.yaml")
    for content in (b"- a", b"\xff\xfe\x00a"):
        (tmp_path / "bad.yaml").write_bytes(content)
        with pytest.raises(ForeignError, match="cannot be read by Cobaya"):
            CobayaModel.load(tmp_path / "bad.yaml")


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("", "likelihood"),
        ("likelihood: one", "likelihood"),
        ("likelihood: {one: null}", "params"),
        ("likelihood: {one: null}\nparams: 3", "params"),
    ],
)
def test_a_file_that_is_no_input_of_cobayas(tmp_path, text, block):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ForeignError, match=rf"bad.yaml has no block {block}: .*cobaya-run"):
        CobayaModel.load(tmp_path / "bad.yaml")


def test_priors_of_cobaya():
    params = {
        "a": {"prior": [0.5, 2.0], "ref": 1.0, "proposal": 0.1},
        "b": {"prior": {"dist": "loguniform", "a": 0.01, "b": 1.0}},
    }
    box = CobayaModel.of(info(params=params))
    assert box.priors() == (Uniform(0.5, 2.0), LogUniform(0.01, 1.0))
    value, width = box.reference()[1]
    assert value == pytest.approx(0.1, rel=1e-9) and 0.0 < width < 0.5
