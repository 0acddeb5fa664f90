"""`emulator.outputs`: what may be asked for, and what reaches the solver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from volvelle.boltzmann import Ledger, get_solver
from volvelle.cli import Configuration, ConfigurationError
from volvelle.cli.setup import make_likelihoods, make_problem
from volvelle.compute import SerialExecutor
from volvelle.emulator import load_emulator

from .conftest import Write
from .test_pipeline import TOY, call, summary_of
from .test_pipeline import write as write_run

ZEQ, ZEQ_ERROR = 3380.0, 30.0  # what the data say of it
SAMPLING = 0.2  # of a mean in its error and of a width, from 600 draws
LEARNED = 1e-3  # two outputs of two surrogates that are the same number

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"emulator.outputs": "sigma8_z"}, "emulator.outputs: expected a list"),
    ({"emulator.outputs": [3]}, "emulator.outputs[0]: expected text, got 3"),
    ({"emulator.outputs": ["z_rei"]}, "did you mean z_reio"),
    ({"emulator.outputs": ["hubble", "luminosity_distance"]}, "it is transverse_comoving_distance"),
    (
        {"emulator.outputs": ["cb_power_nonlinear"], "theory.camb": {"non_linear": "none"}},
        "cb_power_nonlinear cannot be had with non_linear 'none'",
    ),
    ({"emulator.lmax": 1}, "emulator.lmax: expected a number of at least 2, got 1"),
    (
        {"emulator.lmax": 4000, "emulator.outputs": ["z_reio"]},
        "emulator: lmax is 4000, but outputs lists no spectrum that it could be of; ",
    ),
]


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_wrong_outputs_are_refused(write: Write, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Configuration.load(write(changes))
    assert words in str(error.value) and "\n" not in str(error.value)
    assert "emulator" in str(error.value)


def test_outputs_reach_the_request(write: Write, tmp_path: Path) -> None:
    names = ["matter_power", "f_sigma8", "z_reio", "zeq", "unlensed_tt"]
    path = write({"emulator.outputs": names, "emulator.lmax": 900})
    configuration = Configuration.load(path)
    solver = get_solver("camb")
    likelihoods, _ = make_likelihoods(
        configuration, solver, Ledger(tmp_path / "l.sqlite"), SerialExecutor(), "run"
    )
    request = make_problem(configuration, solver, likelihoods).request
    assert request.spectra == ("unlensed_tt",) and request.lmax == 900
    assert request.functions == ("matter_power", "f_sigma8")
    assert request.scalars == ("z_reio", "zeq") and request.background and not request.power


def test_without_outputs_the_request_is_what_it_was(write: Write, tmp_path: Path) -> None:
    configuration, solver = Configuration.load(write({})), get_solver("camb")
    likelihoods, _ = make_likelihoods(
        configuration, solver, Ledger(tmp_path / "l.sqlite"), SerialExecutor(), "run"
    )
    text = '{"background": true, "lmax": 2508, "power": false, "spectra": []}'
    assert make_problem(configuration, solver, likelihoods).request.to_json() == text


def test_a_likelihood_may_read_the_solvers_own_scalars(write: Write, tmp_path: Path) -> None:
    configuration = Configuration.load(write({"likelihood.gaussian.outputs": ["zeq", "sigma8"]}))
    solver = get_solver("camb")
    likelihoods, _ = make_likelihoods(
        configuration, solver, Ledger(tmp_path / "l.sqlite"), SerialExecutor(), "run"
    )
    assert make_problem(configuration, solver, likelihoods).request.scalars == ("zeq",)


def test_a_run_learns_and_reports_them(tmp_path: Path) -> None:
    """z_reio has a posterior, and the solver's own zeq that of the data given for it; the emulator
    answers for all outputs."""
    emulator = {**TOY["emulator"], "outputs": ["sigma8_z", "z_reio"]}
    data = {"mean": [ZEQ, 0.811], "covariance": [ZEQ_ERROR**2, 6.4e-5]}
    likelihood = {"gaussian": {**data, "outputs": ["zeq", "sigma8"]}}
    write_run(tmp_path, likelihood=likelihood, emulator=emulator, simulate_if_missing=False)
    status, printed = call(tmp_path)
    assert status == 0, printed
    parameters = summary_of(tmp_path)["parameters"]
    assert parameters["z_reio"]["label"] == r"z_\mathrm{reio}"
    assert parameters["zeq"]["kind"] == "derived"
    assert parameters["zeq"]["mean"] == pytest.approx(ZEQ, abs=SAMPLING * ZEQ_ERROR)
    assert parameters["zeq"]["std"] == pytest.approx(ZEQ_ERROR, rel=SAMPLING)
    learned, _ = load_emulator(tmp_path / "run" / "emulator")
    point = {name: parameters[name]["mean"] for name in learned.parameters}
    theory = learned.predict(point).theory
    assert theory["sigma8_z"][0] == pytest.approx(float(theory["sigma8"]), rel=LEARNED)
    assert float(theory["z_reio"]) == pytest.approx(parameters["z_reio"]["mean"], rel=0.01)
