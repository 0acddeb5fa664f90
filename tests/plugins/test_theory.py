"""What all plug-ins share: names, values, the domain, exact solutions, tables, refusals."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import universe

from volvelle.boltzmann import (
    BACKGROUND_Z,
    CambSolver,
    ClassSolver,
    Ledger,
    Solver,
    SolverError,
    SolverNotInstalledError,
    get_solver,
)
from volvelle.emulator import OutsideDomainError
from volvelle.errors import VolvelleError
from volvelle.learning import StorageError
from volvelle.learning.storage import sign
from volvelle.plugins import (
    BeyondTableError,
    ExactSolutionError,
    LearnedTheory,
    NotLearnedError,
    PluginInputError,
    Solution,
    SolverVersionError,
    exact,
)
from volvelle.training import TrainingError

LEARNED = 2e-4
"""Relative: what a polynomial through 80 solutions is worth in so smooth a universe."""
SPLINE = 1e-5
"""Relative: of distances between the nodes, against an integral (measured: 4e-6 at z = 0.01)."""
FAR = {"omega_cdm": 0.16}


def test_a_prediction_is_the_exact_solution(theory: LearnedTheory) -> None:
    values = universe.point(omega_cdm=0.123, tau_reio=0.06)
    found, true = theory.solution(values), universe.exact(values)
    for name in universe.REQUEST.names():
        scale = np.max(np.abs(true[name]))
        assert np.max(np.abs(found.get(name) - true[name])) < LEARNED * scale, name
    assert not found.exact
    assert found.distance < 1.0
    assert theory.counts.predicted == 1


@pytest.mark.parametrize(
    "names",
    [
        {"omega_b": ("ombh2", 1), "omega_cdm": ("omch2", 1), "ln10A_s": ("logA", 1)},
        {"n_s": ("ns", 1), "tau_reio": ("tau", 1), "theta_star_100": ("thetastar", 0.01)},
        {"ln10A_s": ("ln10^{10}A_s", 1), "theta_star_100": ("100*theta_star", 1)},
        {"ln10A_s": ("ln_A_s_1e10", 1), "omega_b": ("omegabh2", 1)},
    ],
)
def test_other_codes_names(theory: LearnedTheory, names: dict[str, tuple[str, float]]) -> None:
    own = universe.point(omega_cdm=0.122)
    given = {names.get(n, (n, 1))[0]: v * names.get(n, (n, 1))[1] for n, v in own.items()}
    assert theory.inputs.values(given) == pytest.approx(own, rel=1e-14)


@pytest.mark.parametrize("name, factor", [("A_s", 1.0), ("As", 1.0), ("10^9A_s", 1e9)])
def test_amplitudes(theory: LearnedTheory, name: str, factor: float) -> None:
    own = universe.point()
    amplitude = 1e-10 * np.exp(own.pop("ln10A_s"))
    found = theory.solution({**own, name: amplitude * factor})
    reference = theory.solution(universe.point())
    np.testing.assert_allclose(found.get("lensed_tt"), reference.get("lensed_tt"), rtol=1e-12)
    assert found.parameters["A_s"] == pytest.approx(amplitude, rel=1e-12)


@pytest.mark.parametrize("name, factor", [("H0", 100.0), ("h", 1.0), ("hubble", 100.0)])
def test_the_hubble_constant_in_the_angle_place(
    theory: LearnedTheory, name: str, factor: float
) -> None:
    """The input is sought that gives the learned H0."""
    own = universe.point(omega_cdm=0.118, theta_star_100=1.0405)
    h = universe.exact(own)["h"]
    given = {**own, name: h * factor}
    angle = given.pop("theta_star_100")
    found = theory.solution(given)
    assert float(found.get("h")) == pytest.approx(h, rel=LEARNED)
    assert found.parameters["theta_star_100"] == pytest.approx(angle, rel=LEARNED)


def test_hubble_and_sigma8_together(theory: LearnedTheory) -> None:
    given = universe.point(omega_cdm=0.118)
    true = universe.exact(given)
    del given["theta_star_100"], given["ln10A_s"]
    found = theory.solution({**given, "H0": true["H0"], "sigma8": true["sigma8"]})
    np.testing.assert_allclose(found.get("sigma8"), true["sigma8"], rtol=1e-10)
    np.testing.assert_allclose(found.get("H0"), true["H0"], rtol=1e-10)
    np.testing.assert_allclose(found.get("lensed_tt"), true["lensed_tt"], rtol=10 * LEARNED)


def test_fractions_of_the_critical_density(theory: LearnedTheory) -> None:
    given = universe.point()
    del given["theta_star_100"], given["omega_b"]
    h = 0.67
    values = theory.inputs.values({**given, "H0": 100.0 * h, "Omega_b": 0.0224 / h**2})
    assert values["omega_b"] == pytest.approx(0.0224)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"mnu": 0.06, "nnu": 3.044, "num_massive_neutrinos": 1}, None),
        ({"N_ur": 2.0308, "N_ncdm": 1, "m_ncdm": 0.06}, None),
        ({"N_ur": 2.0308, "m_ncdm": 0.06, "T_ncdm": 0.71611}, None),
        ({"omk": 0.0, "w": -1.0, "TCMB": 2.7255, "k_pivot": 0.05}, None),
        ({"mnu": 0.1}, "m_nu = 0.1 was given, but this emulator was trained at m_nu = 0.06"),
        ({"N_ur": 2.0328, "N_ncdm": 1, "m_ncdm": 0.06}, "N_eff = 3.04600.* was given"),
        ({"N_ur": 3.044}, "m_nu = 0 was given"),
        (
            {"num_massive_neutrinos": 3},
            "given as degenerate, this emulator was trained with single",
        ),
        ({"num_massive_neutrinos": 2}, "num_massive_neutrinos is 2"),
        ({"w": -0.9}, "w0 = -0.9 was given, but this emulator was trained at w0 = -1"),
        ({"k_pivot": 0.002}, "k_pivot is 0.002"),
        ({"Omega_b": 0.05}, "give h or H0 beside it"),
        ({"100*theta_s": 1.04}, "100\\*theta_s is not the angle of this emulator"),
        ({"cosmomc_theta": 0.0104}, "cosmomc_theta is not the angle"),
        ({"ns": 0.96}, "n_s and ns are the same parameter"),
        ({"A_s": 2e-9}, "A_s and ln10A_s are the same parameter"),
        ({"H0": 67.0, "h": 0.67}, "H0 and h are the same parameter"),
        ({"H0": 67.0}, "H0 follows from the other parameters"),
        ({"sigma8": 0.8}, "sigma8 follows from the other parameters"),
        ({"Omega_m": 0.3}, "Omega_m is no parameter of this emulator"),
        ({"tau_rei": 0.05}, "did you mean tau_reio"),
    ],
)
def test_what_is_given_beside_the_inputs(
    theory: LearnedTheory, given: dict[str, float], words: str | None
) -> None:
    """The training's own values are taken, everything else is refused by name."""
    if words is None:
        assert theory.solution({**universe.point(), **given}).distance < 1.0
    else:
        with pytest.raises(PluginInputError, match=words):
            theory.solution({**universe.point(), **given})


@pytest.mark.parametrize("name", universe.NAMES)
def test_a_missing_parameter_is_no_zero(theory: LearnedTheory, name: str) -> None:
    given = universe.point()
    del given[name]
    with pytest.raises(PluginInputError, match=f"missing {name}"):
        theory.solution(given)


def test_outside_is_solved_once_and_counted(
    theory: LearnedTheory, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    values = universe.point(**FAR)
    with caplog.at_level(logging.WARNING, "volvelle"):
        found = theory.solution(values)
    assert found.exact
    assert found.distance > 1.0
    np.testing.assert_array_equal(found.get("lensed_tt"), universe.exact(values)["lensed_tt"])
    assert "solved exactly" in caplog.text and "omega_cdm = 0.16" in caplog.text
    theory.solution(universe.point())
    again = theory.solution(values)
    np.testing.assert_array_equal(found.get("lensed_te"), again.get("lensed_te"))
    assert (theory.counts.solved, theory.counts.looked_up, theory.counts.outside) == (1, 1, 2)
    assert Ledger(tmp_path / "ledger.sqlite").status().solutions == 1
    assert "2 outside, 1 solved, 1 looked up" in theory.account()


def test_the_exact_solution_is_at_the_hubble_constant_given(theory: LearnedTheory) -> None:
    given = universe.point(**FAR)
    del given["theta_star_100"]
    found = theory.solution({**given, "H0": 66.0})
    assert found.exact
    assert float(found.get("H0")) == 66.0
    assert found.parameters["theta_star_100"] == pytest.approx(
        universe.exact({**given, "H0": 66.0})["theta_star_100"]
    )


@pytest.mark.parametrize("outside", ["reject", "flag"])
def test_no_input_gives_such_a_sigma8(folder: Path, outside: str) -> None:
    """A flag needs a prediction, and there is none."""
    given = universe.point()
    del given["ln10A_s"]
    with pytest.raises(OutsideDomainError, match="no value of its inputs gives it"):
        LearnedTheory(folder, outside=outside).solution({**given, "sigma8": -0.1})


@pytest.mark.parametrize("outside", ["raise", "reject"])
def test_outside_is_refused(folder: Path, outside: str) -> None:
    theory = LearnedTheory(folder, outside=outside)
    with pytest.raises(OutsideDomainError, match=r"omega_cdm = 0.16.* times the edge"):
        theory.solution(universe.point(**FAR))
    assert theory.counts.rejected == (outside == "reject")


def test_outside_is_flagged(folder: Path) -> None:
    theory = LearnedTheory(folder, outside="flag")
    found = theory.solution(universe.point(**FAR))
    assert not found.exact
    assert found.distance > 1.0
    assert found.delta_chi2 > theory.solution(universe.point()).delta_chi2
    assert theory.counts.flagged == 1


def test_a_failed_solution_is_an_error(theory: LearnedTheory) -> None:
    with pytest.raises(SolverError, match="no such universe"):
        theory.solution(universe.point(omega_cdm=0.25))


def test_an_unfinished_solution_is_no_verdict(
    theory: LearnedTheory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An accident inside the solver stops a run; it is not taken for a model without solution."""

    def accident(self: object, cosmology: object, request: object) -> None:
        raise KeyError("disk")

    monkeypatch.setattr(universe.ClosedForm, "solve", accident)
    with pytest.raises(ExactSolutionError, match=r"was not finished.*disk"):
        theory.solution(universe.point(**FAR))


@pytest.mark.parametrize(
    "solver",
    [
        ClassSolver(non_linear="none", precision={"l_max_g": 20}, extra={"gauge": "newtonian"}),
        CambSolver(lens_potential_accuracy=1.0, precision={"Accuracy.AccuracyBoost": 1.5}),
        CambSolver(extra={"WantTensors": 1, "InitPower.r": 0.1}),
    ],
)
def test_the_training_solver_from_its_record(
    solver: Solver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of a record make the very solver that they are of."""
    monkeypatch.setattr(exact, "get_solver", get_solver)
    record = {"solver": solver.identity()}
    found = exact.training_solver(record, logging.getLogger("volvelle"), trusted=True)
    assert found.identity() == solver.identity()
    assert exact.non_linear_model(record) == solver.non_linear  # type: ignore[attr-defined]


def test_texts_in_a_strangers_settings_reach_no_solver_untrusted() -> None:
    """CLASS runs what `command` says; a folder of a library is code."""
    for settings in ({"extra": {"command": "run me"}}, {"path": "/somewhere"}):
        identity = {"solver": "class", "version": "3", "settings": json.dumps(settings)}
        with pytest.raises(TrainingError, match="may name files and commands"):
            exact.training_solver({"solver": identity}, logging.getLogger("volvelle"))


def test_another_build_of_the_same_version(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    identity = {**universe.ClosedForm().identity(), "extension_sha256": "other"}
    monkeypatch.setattr(universe.ClosedForm, "identity", lambda self: identity)
    with caplog.at_level(logging.WARNING, "volvelle"):
        assert LearnedTheory(folder).outside == "exact"
    assert "another build" in caplog.text


def test_the_users_own_functions(folder: Path) -> None:
    """Named as for a training; what cannot be imported is refused."""
    assert LearnedTheory(folder, functions=["math:sqrt"]).solution(universe.point()).distance < 1.0
    with pytest.raises(VolvelleError, match="math has no 'nothing'"):
        LearnedTheory(folder, functions=["math:nothing"])


@pytest.mark.parametrize("omega_k", [-0.05, 0.05])
def test_a_curved_universe(omega_k: float) -> None:
    """The distance along the line of sight, and between two redshifts, from D_M."""
    radial = 3000.0 * np.log1p(BACKGROUND_Z)
    root = np.sqrt(abs(omega_k)) * 70.0 / 299792.458
    curved = (np.sinh if omega_k > 0 else np.sin)(root * radial) / root
    keep = {"H0": np.array(70.0), "transverse_comoving_distance": curved}
    solution = Solution(keep, {"Omega_k": omega_k}, 0.0, 0.0, False)
    z = np.array([0.1, 1.3])
    np.testing.assert_allclose(solution.radial_distance(z), 3000.0 * np.log1p(z), rtol=1e-7)
    difference = 3000.0 * np.log(2.3 / 1.1)
    expected = (np.sinh if omega_k > 0 else np.sin)(root * difference) / root / 2.3
    assert solution.angular_distance_between(0.1, 1.3) == pytest.approx(expected, rel=1e-6)


def test_an_unknown_choice(folder: Path) -> None:
    with pytest.raises(PluginInputError, match="expected exact, raise, reject, flag"):
        LearnedTheory(folder, outside="ignore")


def test_another_version_of_the_solver(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = universe.ClosedForm(version="2.0")
    monkeypatch.setattr(exact, "get_solver", lambda name, **settings: other)
    for outside in (None, "exact"):
        with pytest.raises(SolverVersionError, match=r"trained with CAMB 1\.0, installed .* 2\.0"):
            LearnedTheory(folder, outside=outside)
    assert LearnedTheory(folder, outside="reject").solution(universe.point()).distance < 1.0


def test_other_settings_of_the_solver(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = universe.ClosedForm(settings='{"interface": "2"}')
    monkeypatch.setattr(exact, "get_solver", lambda name, **settings: other)
    with pytest.raises(SolverVersionError, match="other settings"):
        LearnedTheory(folder)


def test_no_solver(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def absent(name: str, **settings: object) -> None:
        raise SolverNotInstalledError("CAMB cannot be imported")

    monkeypatch.setattr(exact, "get_solver", absent)
    with pytest.raises(SolverNotInstalledError):
        LearnedTheory(folder, outside="exact")
    with caplog.at_level(logging.INFO, "volvelle"):
        theory = LearnedTheory(folder)
    assert "CAMB cannot be imported" in caplog.text
    assert "trained with CAMB 1.0" in caplog.text
    assert theory.outside == "raise"
    assert theory.solution(universe.point()).distance < 1.0
    with pytest.raises(OutsideDomainError):
        theory.solution(universe.point(**FAR))


def test_a_class_folder_for_an_emulator_of_camb(folder: Path) -> None:
    with pytest.raises(PluginInputError, match="drop class_path"):
        LearnedTheory(folder, class_path="/somewhere/class")


@pytest.mark.parametrize("damage", ["truncated", "one byte"])
def test_damaged_weights(folder: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "emulator"
    shutil.copytree(folder, copy)
    (weights,) = copy.glob("weights-*.safetensors")
    content = bytearray(weights.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(StorageError, match="is damaged: SHA-256"):
        LearnedTheory(copy)


def test_an_emulator_of_likelihoods(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "emulator"
    shutil.copytree(folder, copy)
    content = json.loads((copy / "model.json").read_text())
    content["record"]["parameters"] = content["record"]["parameters"][:-1]
    sign(content, (copy / content["weights"]).read_bytes())
    (copy / "model.json").write_text(json.dumps(content))
    with pytest.raises(PluginInputError, match="holds learned likelihoods"):
        LearnedTheory(copy)


def test_a_record_that_does_not_say_what_the_solver_gets(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "emulator"
    shutil.copytree(folder, copy)
    content = json.loads((copy / "model.json").read_text())
    content["record"]["definitions"] = {"Gamma": "10**x"}
    del content["record"]["parametrisation"]
    sign(content, (copy / content["weights"]).read_bytes())
    (copy / "model.json").write_text(json.dumps(content))
    with pytest.raises(PluginInputError, match="of an older version"):
        LearnedTheory(copy)
    assert LearnedTheory(copy, outside="raise").solution(universe.point()).distance < 1.0


def test_distances_are_integrals(theory: LearnedTheory) -> None:
    from scipy.integrate import quad

    found = theory.solution(universe.point())
    true = universe.exact(universe.point())
    matter, unit = true["Omega_m"], 299792.458 / true["H0"]
    for z in (0.01, 0.38, 1.0, 5.3, 1089.0, 1200.0):
        integral = quad(lambda v: 1.0 / universe.expansion(v, matter), 0.0, z, epsrel=1e-12)[0]
        allowed = LEARNED + SPLINE
        assert found.radial_distance(z) == pytest.approx(unit * integral, rel=allowed)
        assert found.angular_distance(z) == pytest.approx(unit * integral / (1 + z), rel=allowed)
        hubble = true["H0"] * universe.expansion(np.array(z), matter)
        assert found.hubble(z) == pytest.approx(float(hubble), rel=allowed)
    between = found.angular_distance_between(0.5, 1.5)
    difference = (found.radial_distance(1.5) - found.radial_distance(0.5)) / 2.5
    assert between == pytest.approx(float(difference), rel=1e-12)


def test_power_between_the_nodes(theory: LearnedTheory) -> None:
    found = theory.solution(universe.point())
    sigma8 = universe.exact(universe.point())["sigma8"]
    z, k = np.array([0.0, 0.33, 3.9]), np.array([1.1e-4, 0.123, 9.9])
    shape = 2.5e4 * (k / 0.01) / (1.0 + (k / 0.01) ** 2) ** 1.2 * (sigma8 / 0.811) ** 2
    np.testing.assert_allclose(
        found.power("matter_power", z, k), shape / (1.0 + z) ** 2, rtol=2 * LEARNED
    )
    np.testing.assert_allclose(found.function("sigma8_z", z), sigma8 / (1.0 + z), rtol=LEARNED)


@pytest.mark.parametrize(
    "ask",
    [
        lambda s: s.hubble(1200.5),
        lambda s: s.hubble([0.1, -0.1]),
        lambda s: s.angular_distance(np.nan),
        lambda s: s.function("sigma8_z", 4.1),
        lambda s: s.power("matter_power", 4.1, 0.1),
        lambda s: s.power("matter_power", 0.1, 11.0),
        lambda s: s.power("matter_power", 0.1, 9e-5),
        lambda s: s.spectrum("lensed_tt", universe.LMAX + 1),
    ],
)
def test_nothing_is_extrapolated(theory: LearnedTheory, ask) -> None:
    solution = theory.solution(universe.point())
    with pytest.raises(BeyondTableError, match="it was learned"):
        ask(solution)


def test_a_spectrum_that_was_never_learned(theory: LearnedTheory) -> None:
    with pytest.raises(NotLearnedError, match="lensed_bb was not learned; this emulator has"):
        theory.require("lensed_bb")
    with pytest.raises(NotLearnedError, match="lensed_bb was not learned"):
        theory.solution(universe.point()).spectrum("lensed_bb")
