"""A whole run in the toy universe with each design but the adaptive one (see test_pipeline)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from volvelle import load_emulator

from .test_pipeline import GAUSSIAN, TOY, call, summary_of, write

ITERATIVE = {"initial": 24, "first": 16, "points": 30}
NOTHING_FAILS = 1.0  # of omega_cdm
USER_CLASS = Path(__file__).parents[1] / "likelihood" / "line_likelihood.py"


def finished(folder: Path, emulator: dict[str, Any]) -> tuple[int, dict[str, Any], str]:
    """Exit status, summary and all that was printed."""
    write(folder, likelihood=GAUSSIAN, emulator=emulator)
    status, printed = call(folder, fails_above=NOTHING_FAILS)
    assert (folder / "run" / "summary.json").exists(), printed
    return status, summary_of(folder), printed


def history_of(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "run" / "history.json").read_text())


def test_hypersphere(tmp_path: Path) -> None:
    design = {"hypersphere": {"points": 30}}
    status, summary, printed = finished(tmp_path, {"kind": "polynomial", "design": design})
    assert (status, summary["status"]) == (0, "converged"), printed
    assert summary["exact_calls"]["training"] == 30
    assert summary["design"]["name"] == "hypersphere"
    assert summary["design"]["settings"]["points"] == 30
    (iteration,) = history_of(tmp_path)
    assert iteration["reason"] == "hypersphere"
    model = json.loads((tmp_path / "run" / "emulator" / "model.json").read_text())
    assert model["record"]["design"] == "hypersphere"
    assert len(model["record"]["points"]) == 30


def test_latin_hypercube_whose_certificate_fails_trains_nothing_more(tmp_path: Path) -> None:
    """Both posteriors are reported, the emulator's and the re-weighted one."""
    emulator = {
        "kind": "polynomial",
        "accuracy": 0.002,
        "design": {"latin_hypercube": {"points": 5}},
    }
    status, summary, printed = finished(tmp_path, emulator)
    assert (status, summary["status"]) == (1, "certificate failed"), printed
    assert summary["exact_calls"]["training"] == 5, "though max_training is 500"
    (iteration,) = history_of(tmp_path)
    assert iteration["reason"] == summary["design"]["name"] == "latin_hypercube"
    assert "THE CERTIFICATE FAILED: the numbers below are re-weighted" in printed
    assert "join the training set" not in printed
    for name in ("Omega_m", "sigma8"):
        entry = summary["parameters"][name]
        assert entry["emulator"]["mean"] != entry["mean"]
    assert (tmp_path / "run" / "chains" / "reweighted.1.txt").exists()


def test_iterative(tmp_path: Path) -> None:
    design = {"iterative": {**ITERATIVE, "halt": {"new_points": 0.5}}}
    status, summary, printed = finished(tmp_path, {"kind": "polynomial", "design": design})
    assert (status, summary["status"]) == (0, "converged"), printed
    history = history_of(tmp_path)
    assert [entry["exact_calls_total"] for entry in history[:3]] == [24, 40, 70]
    assert [entry["training_set"] for entry in history[:3]] == [24, 16, 30]
    assert summary["design"]["name"] == "iterative"
    assert summary["design"]["settings"]["halt"]["new_points"] == 0.5
    assert summary["diagnostics"]["training_met_its_target"] is True
    assert summary["diagnostics"]["training_ended"] is None
    assert "The training ended before" not in (tmp_path / "run" / "report.html").read_text()


def test_the_preset_scaled_down_and_cut_short(tmp_path: Path) -> None:
    """Two orders of magnitude fewer points and nodes; everything else is the paper's."""
    emulator = {
        "preset": "connect-2022",
        "accuracy": 1.0,
        "max_training": 60,
        "network": {"depth": 2, "width": 24, "epochs": 80, "batch": 16},
        "design": {"iterative": {**ITERATIVE, "halt": {"r_minus_1": None, "new_points": 0.01}}},
    }
    _, summary, printed = finished(tmp_path, emulator)
    assert summary["status"] in ("converged", "certificate failed"), printed
    assert summary["design"]["preset"] == "connect-2022"
    settings = summary["design"]["settings"]
    assert (settings["temperature"], settings["network"]["loss"]) == (5.0, "cosmic_variance")
    assert settings["network"]["folds"] == 0
    history = history_of(tmp_path)
    assert history[-1]["surrogates"] == {"all": "network (2 x 24, cosmic_variance)"}
    assert history[-1]["left_out_log_likelihood_scatter"] is None, "no cross-validation"
    report = (tmp_path / "run" / "report.html").read_text()
    assert "# with preset connect-2022:" in report and "#     patience: 300" in report
    sentence = (
        "The training ended before its own target was met: the last iteration was cut: after 60 "
        "exact solutions its budget (max_training: 60) leaves too little."
    )
    assert summary["diagnostics"]["training_met_its_target"] is False
    assert history[-1]["ending"] == summary["diagnostics"]["training_ended"]
    assert history[-1]["ending"] in sentence
    assert sentence in " ".join(printed.split()) and sentence in report


def test_a_learned_likelihood_is_certified_by_the_real_one(tmp_path: Path) -> None:
    """Nuisance parameter included; the real ln L at the same points says how good it is."""
    emulator = {"kind": "gaussian_process", "target": "likelihood", "accuracy": 0.1}
    write(tmp_path, emulator=emulator)
    status, printed = call(tmp_path, fails_above=NOTHING_FAILS)
    assert status == 0, printed
    summary = summary_of(tmp_path)
    assert (status, summary["status"]) == (0, "converged"), printed
    assert set(summary["parameters"]) >= {"omega_cdm", "ln10A_s", "A_planck", "H0", "sigma8"}
    assert 0.0 < summary["certificate"]["log_weight_std"] < 0.5
    model = json.loads((tmp_path / "run" / "emulator" / "model.json").read_text())
    assert model["record"]["parameters"] == ["omega_cdm", "ln10A_s"]
    learned, _ = load_emulator(tmp_path / "run" / "emulator")
    assert learned.parameters == ("omega_cdm", "ln10A_s", "A_planck")
    assert "log_likelihood_planck_2018_simulated" in learned.outputs
    status, printed = call(tmp_path, "profile", "run", "omega_cdm")
    assert status == 2
    assert "gives the likelihood itself, and a profile needs the theory" in " ".join(
        printed.split()
    )


def test_a_likelihood_that_is_not_written_in_jax_is_learned(tmp_path: Path) -> None:
    """From exact solutions to the best fit's chi2 nothing traces or differentiates it."""
    external = {"python": f"{USER_CLASS}:Compiled", "mean": 0.83, "sigma": 0.02}
    write(
        tmp_path,
        likelihood={**GAUSSIAN, "external": external},
        params={**TOY["params"], "line_shift": 0.0},
        emulator={
            "kind": "polynomial",
            "target": "likelihood",
            "accuracy": 0.1,
            "design": {"hypersphere": {"points": 40, "width": 0.6}},
        },
    )
    status, printed = call(tmp_path, fails_above=NOTHING_FAILS)
    assert status == 0, printed
    summary = summary_of(tmp_path)
    assert summary["status"] == "converged"
    assert 0.0 < summary["certificate"]["log_weight_std"] < 0.5
    learned, _ = load_emulator(tmp_path / "run" / "emulator")
    assert {"log_likelihood_gaussian", "log_likelihood_compiled"} <= set(learned.outputs)
    assert set(summary["best_fit"]["chi2"]) == {"gaussian", "compiled"}
