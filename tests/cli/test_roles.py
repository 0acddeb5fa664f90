"""What each parameter of a file is: sampled, fixed, defined by others, or the solver's own."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from volvelle.boltzmann import Ledger
from volvelle.cli import Configuration, ConfigurationError
from volvelle.cli.pipeline import estimate
from volvelle.cli.setup import make_problem, make_solver, warm_points
from volvelle.learning import StorageError
from volvelle.likelihood import get_likelihood
from volvelle.training import Problem, TrainingError

USER_CLASS = Path(__file__).parents[1] / "likelihood" / "line_likelihood.py"
LINE_ERROR = 0.01  # of its line_shift, by its prior
LOG = {"prior": {"min": 10, "max": 5000}, "scale": "log", "ref": {"loc": 100, "scale": 0.5}}
DECAY: dict[str, Any] = {
    "theory": {"class": {}},
    "params.omega_ini_dcdm": {"prior": {"min": 0, "max": 0.1}, "ref": {"loc": 0.01, "scale": 0.01}},
    "params.Gamma_dcdm": LOG,
}
NEUTRINOS: dict[str, Any] = {
    "theory": {"class": {"neutrino_hierarchy": "native"}},
    "params.N_ur": 2.0328,
    "params.N_ncdm": 1,
    "params.m_ncdm": {"prior": {"min": 0, "max": 10}, "ref": {"loc": 0.1, "scale": 0.1}},
    "params.deg_ncdm": {"prior": {"min": 0, "max": 10}, "ref": {"loc": 1, "scale": 0.3}},
}


def problem_of(configuration: Configuration) -> Problem:
    likelihoods = tuple(get_likelihood(n, **o) for n, o in configuration.likelihoods.items())
    return make_problem(configuration, make_solver(configuration), likelihoods)


def at_reference(problem: Problem) -> dict[str, Any]:
    return {**problem.cosmology(problem.ref_loc).canonical()}


def test_a_logarithmic_scale_samples_the_logarithm(write) -> None:
    found = Configuration.load(write(DECAY))
    sampled = {p.name: p for p in found.sampled}
    assert set(sampled) == {"omega_b", "omega_cdm", "omega_ini_dcdm", "log10_Gamma_dcdm"}
    log = sampled["log10_Gamma_dcdm"]
    assert log.prior == {"min": 1.0, "max": pytest.approx(math.log10(5000))}
    assert (log.ref_loc, log.ref_scale) == (2.0, 0.5)
    assert log.label == r"\log_{10} \Gamma_\mathrm{dcdm}"
    assert found.labels == {"Gamma_dcdm": r"\Gamma_\mathrm{dcdm}"}
    problem = problem_of(found)
    values = at_reference(problem)
    assert values["extra.Gamma_dcdm"] == pytest.approx(100.0, rel=1e-15)
    assert values["extra.omega_ini_dcdm"] == 0.01
    assert not any("log10" in name for name in values)
    assert problem.defined_names == ("Gamma_dcdm",)
    x = np.tile(problem.ref_loc, (3, 2, 1))
    np.testing.assert_allclose(problem.defined(x)["Gamma_dcdm"], 100.0, rtol=1e-14)


def test_neutrinos_in_the_words_of_class(write) -> None:
    found = Configuration.load(write(NEUTRINOS))
    assert found.neutrino_hierarchy == "native"
    values = at_reference(problem_of(found))
    assert {n.removeprefix("extra."): v for n, v in values.items() if n.startswith("extra.")} == {
        "N_ur": 2.0328,
        "N_ncdm": 1.0,
        "m_ncdm": 0.1,
        "deg_ncdm": 1.0,
    }
    assert not {"m_nu", "N_eff"} & set(values)


def test_parameters_for_expressions_only_do_not_reach_the_solver(write) -> None:
    changes = {
        "params.omega_m": {"prior": {"min": 0.12, "max": 0.2}, "ref": {"loc": 0.14, "scale": 0.01}},
        "params.omega_cdm": "omega_m - omega_b",
        "params.ln10A_s": {"value": "3 + dlnA", "latex": "L"},
        "params.dlnA": 0.05,
    }
    found = Configuration.load(write(changes))
    assert [p.name for p in found.sampled] == ["omega_b", "omega_m"]
    assert found.labels["ln10A_s"] == "L"
    problem = problem_of(found)
    values = at_reference(problem)
    assert values["omega_cdm"] == pytest.approx(0.14 - 0.0224)
    assert values["A_s"] == pytest.approx(math.exp(3.05) * 1e-10)
    assert not any(name.startswith("extra.") for name in values)
    assert problem.defined_names == ("omega_cdm",)  # ln10A_s does not vary


@pytest.mark.parametrize(("drop", "handed"), [(True, {}), (False, {"extra.alpha_s": 0.01})])
def test_the_file_says_where_a_name_of_two_meanings_goes(write, drop: bool, handed: dict) -> None:
    changes = {
        "theory": {"class": {}},
        "params.alpha_s": {"value": 0.01, "drop": drop},
        "params.n_s": "0.965 + alpha_s",
    }
    values = at_reference(problem_of(Configuration.load(write(changes))))
    assert {n: v for n, v in values.items() if n.startswith("extra.")} == handed


def test_an_input_of_camb_has_a_path_for_a_name(write) -> None:
    name = "Reion.delta_redshift"
    prior = {"prior": {"min": 0.1, "max": 1.5}, "ref": {"loc": 0.5, "scale": 0.1}, "scale": "log"}
    path = write({})
    text = path.read_text().replace("params:\n", f"params:\n  {name}: {json.dumps(prior)}\n")
    path.write_text(text)
    problem = problem_of(Configuration.load(path))
    assert problem.theory_names[0] == "log10_Reion_delta_redshift"
    assert at_reference(problem)[f"extra.{name}"] == pytest.approx(0.5)


def test_nuisance_parameters_stay_out_of_expressions(write, no_data) -> None:
    planck = {"likelihood": ["planck_2018_simulated"], "params.n_s": "0.965*A_planck"}
    with pytest.raises(ConfigurationError, match="uses A_planck, which belongs to the likelihood"):
        Configuration.load(write(planck))
    planck = {"likelihood": ["planck_2018_simulated"], "params.A_planck": "n_s/n_s"}
    with pytest.raises(ConfigurationError, match="neither expressions nor scale: log reach there"):
        Configuration.load(write(planck))


def earlier(folder: Path, names: list[str], points: list[list[float]], fixed: dict) -> Path:
    (folder / "emulator").mkdir(parents=True)
    record = {"parameters": names, "points": points, "fixed": fixed}
    (folder / "emulator" / "model.json").write_text(json.dumps({"record": record}))
    return folder


def test_a_dry_run_counts_what_a_warm_start_has_to_solve(write, tmp_path: Path) -> None:
    points = [[0.022, 0.12], [0.023, 0.121], [0.0235, 0.118], [0.0222, 0.119]]
    folder = earlier(tmp_path / "a", ["omega_b", "omega_cdm"], points, {})
    changes = {
        "emulator": {"warm_start": [str(folder)]}, "ledger": str(tmp_path / "ledger.sqlite"),
    }  # fmt: skip
    configuration = Configuration.load(write(changes))
    assert estimate(configuration)["exact_calls_training"] == 4
    problem = problem_of(configuration)
    ledger = Ledger(configuration.ledger)
    known = problem.cosmology(np.array(points[1])).canonical()
    identity = problem.solver.identity()
    ledger.store_failure(identity, known, problem.request, "no such universe", 1.0, "before")
    found = estimate(configuration)
    assert found["exact_calls_training"] == 3
    assert found["warm_start"] == "4 points, 3 of them not in the ledger"
    precision = {"theory.camb.precision": {"Accuracy.AccuracyBoost": 1.5}}
    assert estimate(Configuration.load(write(changes | precision)))["exact_calls_training"] == 4
    changes["emulator"]["max_training"] = 2
    with pytest.raises(TrainingError, match="warm start that the ledger does not serve is 3, more"):
        estimate(Configuration.load(write(changes)))


def test_a_warm_start_hands_an_unset_input_over_as_the_model_without_it(
    write, tmp_path: Path
) -> None:
    folder = earlier(tmp_path / "a", ["omega_b"], [[0.022], [0.023]], {"omega_cdm": 0.12})
    alpha: dict[str, Any] = {
        "prior": {"min": 0.0, "max": 0.1},
        "ref": {"loc": 0.02, "scale": 0.01},
        "unset": 0.0,
    }
    wanted = {"theory": {"class": {}}, "params.alpha_s": alpha}
    problem = problem_of(Configuration.load(write(wanted)))
    x = warm_points([folder], problem)
    assert x is not None
    np.testing.assert_array_equal(x, [[0.022, 0.12, 0.0], [0.023, 0.12, 0.0]])
    before = problem_of(Configuration.load(write({"theory": {"class": {}}})))
    for row in x:
        assert problem.cosmology(row).canonical() == before.cosmology(row[:2]).canonical()
    del alpha["unset"]
    problem = problem_of(Configuration.load(write(wanted)))
    with pytest.raises(StorageError, match="had no alpha_s; give unset: VALUE in params"):
        warm_points([folder], problem)


def test_a_warm_start_spreads_what_means_nothing_in_the_earlier_model(
    write, tmp_path: Path
) -> None:
    points = [[0.020 + 0.001 * i] for i in range(8)]
    folder = earlier(tmp_path / "a", ["omega_b"], points, {"omega_cdm": 0.12})
    decaying = {**DECAY["params.omega_ini_dcdm"], "unset": 0.0}
    rate = {**LOG, "unset_with": "omega_ini_dcdm"}
    changes = {
        "theory": {"class": {}},
        "params.omega_ini_dcdm": decaying,
        "params.Gamma_dcdm": rate,
    }
    problem = problem_of(Configuration.load(write(changes)))
    x = warm_points([folder], problem)
    assert x is not None and len(x) == len(points)
    i, j = (problem.names.index(n) for n in ("omega_ini_dcdm", "log10_Gamma_dcdm"))
    assert np.all(x[:, i] == 0.0)
    low, high = problem.ref_loc[j] - problem.ref_scale[j], problem.ref_loc[j] + problem.ref_scale[j]
    assert np.all(np.diff(np.sort(x[:, j])) > 0.9 * (high - low) / len(x))
    before = problem_of(Configuration.load(write({"theory": {"class": {}}})))
    for row in x:
        assert problem.cosmology(row).canonical() == before.cosmology(row[:2]).canonical()
    changes["params.omega_ini_dcdm"] = DECAY["params.omega_ini_dcdm"]
    with pytest.raises(ConfigurationError, match=r"omega_ini_dcdm is no parameter with unset: VAL"):
        Configuration.load(write(changes))


def test_a_warm_start_of_a_learned_likelihood_varies_the_nuisance_parameters(
    write, tmp_path: Path
) -> None:
    """The exact solutions of the earlier points serve at any value; one of each point does."""
    points = [[0.020 + 0.001 * i] for i in range(8)]
    folder = earlier(tmp_path / "a", ["omega_b"], points, {"omega_cdm": 0.12})
    likelihood = {"external": {"python": f"{USER_CLASS}:Line"}}
    for target, values in (("theory", 1), ("likelihood", len(points))):
        changes = {"likelihood": likelihood, "emulator.target": target}
        problem = problem_of(Configuration.load(write(changes)))
        x = warm_points([folder], problem)
        assert x is not None and problem.names[-1] == "line_shift"
        assert len(np.unique(x[:, -1])) == values
        half = problem.ref_scale[-1]  # of a learned one: the start covers its posterior
        assert half == pytest.approx(LINE_ERROR * (2.5 if target == "likelihood" else 1.0))
        assert np.ptp(x[:, -1]) == pytest.approx(2.0 * half * (values - 1) / len(points))
        assert np.all(problem.in_prior(x)) and len(x) == len(points)
        np.testing.assert_array_equal(np.sort(x[:, 0]), [row[0] for row in points])


def test_a_warm_start_knows_the_standard_values(write, tmp_path: Path) -> None:
    folder = earlier(tmp_path / "a", ["omega_b"], [[0.022]], {"omega_cdm": 0.12})
    w0 = {"prior": {"min": -2.0, "max": 0.0}, "ref": {"loc": -0.9, "scale": 0.1}}
    problem = problem_of(Configuration.load(write({"params.w0": w0})))
    np.testing.assert_array_equal(warm_points([folder], problem), [[0.022, 0.12, -1.0]])


def test_a_warm_start_outside_the_priors_is_said(write, tmp_path: Path) -> None:
    folder = earlier(tmp_path / "a", ["omega_b"], [[0.2], [0.3]], {"omega_cdm": 0.12})
    problem = problem_of(Configuration.load(write({})))
    with pytest.raises(StorageError, match=r"none of the 2 solutions of .* inside the priors"):
        warm_points([folder], problem)
