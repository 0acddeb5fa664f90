"""Cobaya itself, with the emulator of ``universe.py`` in its theory block."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import universe
from cobaya.log import LoggedError
from cobaya.model import get_model
from cobaya.run import run

from volvelle.boltzmann import POWER_K, SolverNotInstalledError
from volvelle.plugins import exact

THEORY = "volvelle.plugins.cobaya.VolvelleTheory"
LEARNED = 2e-4
Z = np.array([0.3, 0.9, 2.1])
TRUE = universe.exact(universe.point())
SIGMA = 0.01 * TRUE["lensed_tt"][2:]


def spectra(_self: Any = None) -> float:
    """A user's likelihood, as any for CAMB or CLASS: 1% errors on TT."""
    tt = _self.provider.get_Cl(ell_factor=False)["tt"][2 : universe.LMAX + 1]
    return float(-0.5 * np.sum(((tt - TRUE["lensed_tt"][2:]) / SIGMA) ** 2))


def info(folder: Path, requires: Any = None, like: Any = None, **options: Any) -> dict[str, Any]:
    """A Cobaya input: sampled densities, CAMB's and CLASS's names mixed."""
    requires = {"Cl": {"tt": universe.LMAX}} if requires is None else requires
    external = like or (lambda _self: spectra(_self))
    return {
        "theory": {THEORY: {"emulator": str(folder), **options}},
        "likelihood": {"mine": {"external": external, "requires": requires}},
        "params": {
            "ombh2": 0.0224,
            "omch2": {"prior": {"min": 0.1, "max": 0.14}, "ref": 0.12, "proposal": 0.0003},
            "logA": {
                "prior": {"min": 2.5, "max": 3.5},
                "ref": 3.045,
                "proposal": 0.002,
                "drop": True,
            },
            "As": {"value": "lambda logA: 1e-10*np.exp(logA)"},
            "theta_star_100": 1.041,
            "ns": 0.965,
            "tau": 0.054,
            "H0": {"derived": True},
            "sigma8": {"derived": True},
            "omegam": {"derived": True},
            "rdrag": {"derived": True},
            "volvelle_distance": {"derived": True},
            "volvelle_delta_chi2": {"derived": True},
            "volvelle_exact": {"derived": True},
        },
    }


def nothing(_self: Any = None) -> float:
    return 0.0


def model_of(folder: Path, requires: Any = None, **options: Any) -> Any:
    return get_model(info(folder, requires, lambda _self: 0.0, **options))


def at(model: Any, **changes: float) -> Any:
    """The theory of a model, computed at a point."""
    model.logposterior({"omch2": 0.12, "logA": 3.045, **changes})
    return model.theory[THEORY]


def test_evaluate(folder: Path) -> None:
    updated, sampler = run({**info(folder), "sampler": {"evaluate": None}})
    row = sampler.products()["sample"].data.iloc[0]
    assert abs(row["chi2__mine"]) < universe.LMAX * (LEARNED / 0.01) ** 2
    for name, ours in (("H0", "H0"), ("omegam", "Omega_m"), ("rdrag", "r_drag")):
        assert row[name] == pytest.approx(TRUE[ours], rel=LEARNED)
    assert row["sigma8"] == pytest.approx(TRUE["sigma8"], rel=LEARNED)
    assert row["volvelle_distance"] < 1.0
    assert 0.0 < row["volvelle_delta_chi2"] < 1.0
    assert row["volvelle_exact"] == 0.0
    assert "emulator" in str(updated["theory"][THEORY]["version"])


def test_mcmc(folder: Path) -> None:
    """The chain's points have the likelihood of the exact theory."""
    sampler = {"mcmc": {"max_samples": 150, "seed": 1, "burn_in": 0, "learn_proposal": False}}
    _, chain = run({**info(folder), "sampler": sampler})
    data = chain.products()["sample"].data
    assert len(data) > 30
    for _, row in data.iloc[:: len(data) // 10].iterrows():
        values = universe.point(omega_cdm=row["omch2"], ln10A_s=row["logA"])
        tt = universe.exact(values)["lensed_tt"][2:]
        chi2 = np.sum(((tt - TRUE["lensed_tt"][2:]) / SIGMA) ** 2)
        assert row["chi2__mine"] == pytest.approx(chi2, abs=0.01 + 0.05 * chi2**0.5)


def test_everything_that_was_learned(folder: Path) -> None:
    pairs = [(0.3, 0.9), (0.9, 0.3)]
    requires = {
        "Cl": dict.fromkeys(("tt", "te", "ee", "pp"), universe.LMAX),
        "Hubble": {"z": Z},
        "angular_diameter_distance": {"z": Z},
        "angular_diameter_distance_2": {"z_pairs": pairs},
        "comoving_radial_distance": {"z": Z},
        "sigma8_z": {"z": Z},
        "fsigma8": {"z": Z},
        "Pk_grid": {"z": Z, "k_max": 5.0, "nonlinear": False},
        "Pk_interpolator": {"z": [0, 1, 2, 3], "k_max": 10.0, "nonlinear": False},
        "rdrag": None,
        "z_reio": None,
    }
    theory = at(model_of(folder, requires))
    cl, dl = theory.get_Cl(), theory.get_Cl(ell_factor=True, units="muK2")
    ell = cl["ell"]
    assert ell[0] == 0
    for pair in ("tt", "te", "ee"):
        true = TRUE[f"lensed_{pair}"]
        np.testing.assert_allclose(cl[pair], true, atol=LEARNED * np.max(np.abs(true)))
        np.testing.assert_allclose(dl[pair], cl[pair] * ell * (ell + 1) / 2 / np.pi, rtol=1e-12)
    np.testing.assert_allclose(cl["pp"], TRUE["phiphi"], rtol=LEARNED)
    np.testing.assert_allclose(dl["pp"], cl["pp"] * (ell * (ell + 1)) ** 2 / 2 / np.pi, rtol=1e-12)
    kelvin, number = theory.get_Cl(units="K2"), theory.get_Cl(units="1")
    np.testing.assert_allclose(kelvin["tt"], 1e-12 * cl["tt"], rtol=1e-12)
    np.testing.assert_allclose(number["tt"] * 2.7255e6**2, cl["tt"], rtol=1e-12)
    np.testing.assert_allclose(kelvin["pp"], cl["pp"], rtol=1e-12)
    hubble = TRUE["H0"] * universe.expansion(Z, TRUE["Omega_m"])
    np.testing.assert_allclose(theory.get_Hubble(Z), hubble, rtol=LEARNED)
    np.testing.assert_allclose(
        theory.get_Hubble(Z, units="1/Mpc"), hubble / 299792.458, rtol=LEARNED
    )
    radial = theory.get_comoving_radial_distance(Z)
    np.testing.assert_allclose(theory.get_angular_diameter_distance(Z), radial / (1 + Z))
    np.testing.assert_allclose(
        theory.get_angular_diameter_distance_2(pairs), [(radial[1] - radial[0]) / 1.9, 0.0]
    )
    np.testing.assert_allclose(theory.get_sigma8_z(Z), TRUE["sigma8"] / (1 + Z), rtol=LEARNED)
    np.testing.assert_allclose(theory.get_fsigma8(Z), TRUE["sigma8"] / (1 + Z), rtol=LEARNED)
    k, z, power = theory.get_Pk_grid(nonlinear=False)
    np.testing.assert_allclose(power, TRUE["matter_power"], rtol=5 * LEARNED)
    assert power.shape == (len(z), len(k))
    spline = theory.get_Pk_interpolator(nonlinear=False)
    np.testing.assert_allclose(spline.P(0.0, POWER_K[100]), power[0, 100], rtol=1e-6)
    assert theory.get_param("rdrag") == pytest.approx(TRUE["r_drag"], rel=LEARNED)
    assert theory.get_param("z_reio") == pytest.approx(TRUE["z_reio"], rel=LEARNED)
    assert theory.get_param("A_s") == pytest.approx(1e-10 * np.exp(3.045))
    angle = universe.point()["theta_star_100"]  # CAMB's input is a hundredth, its output is not
    assert theory.get_param("thetastar") == pytest.approx(angle, rel=1e-12)


@pytest.mark.parametrize(
    "requires, words",
    [
        ({"Cl": {"bb": 100}}, "lensed_bb was not learned; this emulator has lensed_tt"),
        ({"Cl": {"tp": 100}}, "Cl tp was not learned"),
        ({"unlensed_Cl": {"tt": 100}}, "unlensed_tt was not learned"),
        ({"lensed_scal_Cl": {"tt": 100}}, "lensed_scal_Cl of mine is not provided"),
        ({"Cl": {"tt": 151}}, "lensed_tt is asked for to l = 151, it was learned to l = 150"),
        ({"Hubble": {"z": [1300.0]}}, "hubble is asked for at z = 1300|Hubble is asked for"),
        ({"comoving_radial_distance": {"z": [-0.1]}}, "asked for at z = -0.1"),
        ({"angular_diameter_distance_2": {"z_pairs": [(0.1, 1500.0)]}}, "at z = 1500"),
        ({"sigma8_z": {"z": [5.0]}}, "sigma8_z is asked for at z = 5"),
        ({"Pk_grid": {"z": [0.0], "k_max": 1.0}}, "matter_power_nonlinear was not learned"),
        ({"Pk_grid": {"z": [0.0], "k_max": 20.0, "nonlinear": False}}, "at k = 20 1/Mpc"),
        ({"Pk_grid": {"z": [9.0], "k_max": 1.0, "nonlinear": False}}, "at z = 9"),
        (
            {
                "Pk_grid": {
                    "z": [0.0],
                    "k_max": 1.0,
                    "nonlinear": False,
                    "vars_pairs": [("Weyl", "Weyl")],
                }
            },
            "P\\(k\\) of Weyl, Weyl was not learned",
        ),
        ({"sigma_R": {"z": [0.0], "R": [8.0]}}, "sigma_R is not among"),
        ({"Omega_b": {"z": [0.0]}}, "Omega_b is not among"),
        ({"source_Cl": {"sources": {}}}, "source_Cl of mine is not provided"),
    ],
)
def test_what_was_not_learned_is_refused_at_once(
    folder: Path, requires: dict[str, Any], words: str
) -> None:
    with pytest.raises(LoggedError, match=words):
        model_of(folder, requires)


def test_a_number_that_nobody_has(folder: Path) -> None:
    with pytest.raises(LoggedError, match="zeq"):
        model_of(folder, {"zeq": None})


def test_z_beyond_the_table_after_the_requirements(folder: Path) -> None:
    """Cobaya takes most errors inside a likelihood for zero probability; this one stops the run."""

    def careless(_self: Any) -> float:
        return float(_self.provider.get_Hubble([2000.0])[0])

    model = get_model(info(folder, {"Hubble": {"z": [1.0]}}, careless))
    with pytest.raises(LoggedError, match="at z = 2000"):
        model.logposterior({"omch2": 0.12, "logA": 3.045})


def test_outside_is_solved(folder: Path) -> None:
    model = model_of(folder)
    theory = at(model, omch2=0.139)
    true = universe.exact(universe.point(omega_cdm=0.139))
    np.testing.assert_allclose(theory.get_Cl()["tt"], true["lensed_tt"], rtol=1e-12)
    assert theory.get_param("volvelle_exact") == 1.0
    assert theory.get_param("volvelle_distance") > 1.0
    assert theory.get_param("H0") == true["H0"]


def test_outside_is_flagged(folder: Path) -> None:
    theory = at(model_of(folder, outside="flag"), omch2=0.139)
    assert theory.get_param("volvelle_exact") == 0.0
    assert theory.get_param("volvelle_distance") > 1.0


def test_outside_has_no_probability(folder: Path) -> None:
    model = model_of(folder, outside="reject")
    assert model.loglike({"omch2": 0.139, "logA": 3.045}, return_derived=False) == -np.inf
    assert model.theory[THEORY].learned.counts.rejected == 1


def test_outside_stops(folder: Path) -> None:
    model = model_of(folder, outside="raise")
    with pytest.raises(LoggedError, match="times the edge of the region"):
        model.logposterior({"omch2": 0.139, "logA": 3.045})


def test_a_point_without_a_solution(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = info(folder, None, lambda _self: 0.0)
    given["params"]["omch2"]["prior"]["max"] = 0.3
    model = get_model(given)
    assert model.loglike({"omch2": 0.25, "logA": 3.045}, return_derived=False) == -np.inf


@pytest.mark.parametrize(
    "change, words",
    [
        ({"ns": None}, "missing n_s; this emulator takes omega_b"),
        ({"mnu": 0.1}, "m_nu = 0.1 was given, but this emulator was trained at m_nu = 0.06"),
        ({"cosmomc_theta": 0.0104}, "cosmomc_theta is not the angle of this emulator"),
        ({"omegach2": 0.12}, "omch2 and omegach2 are the same parameter"),
        ({"nonsense": 1.0}, "nonsense"),
    ],
)
def test_wrong_parameters(folder: Path, change: dict[str, Any], words: str) -> None:
    given = info(folder)
    given["params"] = {k: v for k, v in {**given["params"], **change}.items() if v is not None}
    with pytest.raises(LoggedError, match=words):
        get_model(given).logposterior({"omch2": 0.12, "logA": 3.045})


def test_constants_as_for_class(folder: Path) -> None:
    constants = {"N_ur": 2.0308, "N_ncdm": 1, "m_ncdm": 0.06}
    assert at(model_of(folder, extra_args=constants)).get_param("m_nu") == pytest.approx(0.06)
    with pytest.raises(LoggedError, match="lens_potential_accuracy is no parameter"):
        model_of(folder, extra_args={"lens_potential_accuracy": 1})


def test_no_emulator_named(folder: Path) -> None:
    with pytest.raises(LoggedError, match="give `emulator:`"):
        model_of(Path(""), emulator="")
    with pytest.raises(LoggedError, match="`path` is"):
        model_of(folder, path="/code/camb")


@pytest.mark.parametrize("damage", ["truncated", "one byte"])
def test_damaged_weights(folder: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "emulator"
    shutil.copytree(folder, copy)
    (weights,) = copy.glob("weights-*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-5] ^= 4
    weights.write_bytes(bytes(content[:-1000] if damage == "truncated" else content))
    with pytest.raises(LoggedError, match="is damaged: SHA-256"):
        model_of(copy)


def test_another_version_of_the_solver(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = universe.ClosedForm(version="2.0")
    monkeypatch.setattr(exact, "get_solver", lambda name, **settings: other)
    with pytest.raises(LoggedError, match=r"trained with CAMB 1\.0, installed is CAMB 2\.0"):
        model_of(folder)
    assert at(model_of(folder, outside="flag")).get_param("volvelle_distance") < 1.0


def test_without_a_solver(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, **settings: Any) -> None:
        raise SolverNotInstalledError("CAMB cannot be imported")

    monkeypatch.setattr(exact, "get_solver", absent)
    model = model_of(folder)
    assert model.theory[THEORY].learned.outside == "raise"
    with pytest.raises(LoggedError, match="choose outside"):
        model.logposterior({"omch2": 0.139, "logA": 3.045})
