"""The same Cobaya run with CLASS and with an emulator of CLASS: only the theory block differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cobaya.run import run

from volvelle.boltzmann import ClassSolver, Request, get_solver
from volvelle.boltzmann.class_solver import PRECISION
from volvelle.cosmology import Cosmology
from volvelle.emulator import build_emulator
from volvelle.plugins import exact

THEORY = "volvelle.plugins.cobaya.VolvelleTheory"
LMAX = 1000
FIXED = {"omega_b": 0.0224, "h": 0.67, "n_s": 0.965, "tau_reio": 0.054, "m_nu": 0.0}
FIXED["A_s"] = 2.1e-9
CENTRE, HALF_WIDTH, N = 0.12, 0.002, 6
REQUEST = Request(spectra=("lensed_tt", "lensed_te", "lensed_ee", "phiphi"), lmax=LMAX)
ERROR = 0.02  # of each C_l^TT in the likelihood, so that one step of the chain is a few Delta chi2
CHI2 = 0.05
"""Allowed difference in chi2 (measured: 0.016 at chi2 = 0.8, a displacement by 0.009 sigma of a
thousand multipoles together): CLASS's own noise, and that Cobaya's CLASS does not round h for
CLASS's grid in l as Volvelle's does."""
DISTANCE = 1e-5  # relative, of H and D_A (measured: 3e-7)
Z = [0.3, 0.9, 2.1]


@pytest.fixture(scope="module")
def class_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An emulator of CLASS in one parameter."""
    solver = ClassSolver(non_linear="none")
    x = CENTRE + HALF_WIDTH * np.cos(np.pi * (np.arange(N) + 0.5) / N)[:, None]
    theories = [
        dict(solver.solve(Cosmology.from_parameters({**FIXED, "omega_cdm": value}), REQUEST))
        for value in x[:, 0].tolist()
    ]
    noise = {
        "lensed_tt": np.where(np.arange(LMAX + 1) < 2, np.inf, ERROR * theories[0]["lensed_tt"])
    }
    emulator, _ = build_emulator(("omega_cdm",), FIXED, x, theories, [noise], kind="polynomial")
    folder = tmp_path_factory.mktemp("class") / "emulator"
    record = {
        "solver": solver.identity(),
        "request": REQUEST.to_json(),
        "neutrino_hierarchy": "single",
        "parameters": ["omega_cdm"],
        "fixed": FIXED,
        "definitions": {},
        "points": x.tolist(),
    }
    emulator.save(folder, record)
    return folder


@pytest.fixture(autouse=True)
def solver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CLASS itself, in the place of this folder's closed form."""
    monkeypatch.setattr(exact, "get_solver", get_solver)
    monkeypatch.setenv("VOLVELLE_LEDGER", str(tmp_path / "ledger.sqlite"))


def chain(theory: dict[str, Any], truth: np.ndarray | None) -> tuple[Any, list[dict[str, Any]]]:
    """A Metropolis run of a few steps; what the likelihood read at each of them."""
    seen: list[dict[str, Any]] = []

    def like(_self: Any) -> float:
        read = _self.provider
        cl = read.get_Cl(ell_factor=True, units="muK2")
        seen.append(
            {
                **{name: cl[name][2 : LMAX + 1] for name in ("tt", "te", "ee", "pp")},
                "hubble": read.get_Hubble(Z),
                "distance": read.get_angular_diameter_distance(Z),
                "radial": read.get_comoving_radial_distance(Z),
                "rdrag": read.get_param("rdrag"),
            }
        )
        data = seen[0]["tt"] if truth is None else truth
        return float(-0.5 * np.sum(((seen[-1]["tt"] - data) / (ERROR * data)) ** 2))

    requires = {
        "Cl": dict.fromkeys(("tt", "te", "ee", "pp"), LMAX),
        "Hubble": {"z": Z},
        "angular_diameter_distance": {"z": Z},
        "comoving_radial_distance": {"z": Z},
        "rdrag": None,
    }
    prior = {"min": CENTRE - HALF_WIDTH, "max": CENTRE + HALF_WIDTH}
    info = {
        "theory": theory,
        "likelihood": {"mine": {"external": like, "requires": requires}},
        "params": {
            "omega_b": FIXED["omega_b"],
            "omega_cdm": {"prior": prior, "ref": CENTRE, "proposal": 0.00002},
            "H0": 67.0,
            "n_s": FIXED["n_s"],
            "tau_reio": FIXED["tau_reio"],
            "A_s": FIXED["A_s"],
        },
        "sampler": {
            "mcmc": {
                "max_samples": 3,
                "seed": 3,
                "burn_in": 0,
                "learn_proposal": False,
                "measure_speeds": False,
            }
        },
    }
    _, sampler = run(info)
    return sampler.products()["sample"].data, seen


def test_the_same_run_with_class(class_folder: Path) -> None:
    """The chains visit the same points, with the same likelihood, and read the same theory."""
    mine, learned = chain({THEORY: {"emulator": str(class_folder)}}, None)
    classy = {"extra_args": {"non_linear": "none", "l_max_scalars": 2508, **PRECISION}}
    theirs, solved = chain({"classy": classy}, learned[0]["tt"])
    assert len(mine) == len(theirs) >= 3
    np.testing.assert_allclose(mine["omega_cdm"], theirs["omega_cdm"], rtol=1e-14)
    np.testing.assert_array_equal(mine["weight"], theirs["weight"])
    np.testing.assert_allclose(mine["chi2__mine"], theirs["chi2__mine"], atol=CHI2)
    assert mine["chi2__mine"].max() > 0.01, "the steps are too small to see a difference"
    for ours, exactly in zip(learned, solved, strict=True):
        for name in ("tt", "te", "ee", "pp"):
            scale = np.max(np.abs(exactly[name]))
            np.testing.assert_allclose(ours[name], exactly[name], atol=1e-3 * scale, err_msg=name)
        for name in ("hubble", "distance", "radial", "rdrag"):
            np.testing.assert_allclose(ours[name], exactly[name], rtol=DISTANCE, err_msg=name)
