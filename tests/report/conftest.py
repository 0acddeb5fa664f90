"""A complete output folder of a run that never happened: Gaussian chains and toy spectra."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

SAMPLED = {
    "omega_b": (r"\Omega_\mathrm{b} h^2", "", 0.02236, 0.00015),
    "omega_cdm": (r"\Omega_\mathrm{c} h^2", "", 0.1202, 0.0014),
    "theta_star_100": (r"100\theta_*", "", 1.04109, 0.0003),
    "ln10A_s": (r"\ln(10^{10} A_\mathrm{s})", "", 3.045, 0.016),
    "n_s": (r"n_\mathrm{s}", "", 0.9649, 0.0044),
    "tau_reio": (r"\tau_\mathrm{reio}", "", 0.0544, 0.0078),
    "A_planck": (r"y_\mathrm{cal}", "", 1.0005, 0.0025),
}
DERIVED = {
    "H0": ("H_0", "km/s/Mpc", 67.27, 0.60),
    "Omega_m": (r"\Omega_\mathrm{m}", "", 0.3166, 0.0084),
    "sigma8": (r"\sigma_8", "", 0.8120, 0.0073),
    "S8": ("S_8", "", 0.834, 0.016),
    "r_drag": (r"r_\mathrm{drag}", "Mpc", 147.05, 0.30),
    "age": (r"\mathrm{Age}", "Gyr", 13.8, 0.024),
}
ALL = {**SAMPLED, **DERIVED}
FEW = ("omega_b", "n_s", "tau_reio", "H0", "age")
SHIFT = 0.012
SHIFT_ERROR = 0.009


def correlation(size: int) -> np.ndarray:
    """A positive correlation matrix with structure in it."""
    mixing = np.random.default_rng(4).normal(size=(size, size)) + 1.6 * np.eye(size)
    covariance = mixing @ mixing.T
    scale = np.sqrt(np.diag(covariance))
    return covariance / np.outer(scale, scale)


def summary_of_a_good_run(names: tuple[str, ...] = tuple(ALL)) -> dict[str, Any]:
    """The summary of a converged and certified run of some of the parameters."""
    sampled = [name for name in names if name in SAMPLED]
    parameters, rows, best = {}, {}, {}
    for name in names:
        label, unit, mean, std = ALL[name]
        parameters[name] = {
            "mean": mean, "std": std, "limits_68": [mean - std, mean + std],
            "limits_95": [mean - 2 * std, mean + 2 * std], "label": label, "unit": unit,
            "kind": "sampled" if name in SAMPLED else "derived",
            "emulator": {"mean": mean - SHIFT * std, "std": std * 0.997},
        }  # fmt: skip
        best[name] = mean + 0.2 * std
    for number, name in enumerate(sampled):
        rows[name] = {
            "mean_shift_sigma": SHIFT * (-1) ** number / (1 + number / 3),
            "mean_shift_error": SHIFT_ERROR, "width_ratio": 1.004, "width_ratio_error": 0.01,
        }  # fmt: skip
    return {
        "name": "planck-lcdm",
        "status": "converged",
        "simulated": False,
        "seed": 7,
        "parameters": parameters,
        "exact_calls": {"training": 96, "certificate": 100, "reused": 0, "failed": 0},
        "certificate": {
            "passed": True, "limit_sigma": 0.05, "ess_fraction": 0.992, "log_weight_std": 0.083,
            "n": 100, "pareto_k": 0.12, "words": [], "parameters": rows,
        },
        "best_fit": {
            "parameters": best,
            "chi2": {"planck_2018_plik_lite": 584.93, "planck_2018_low_l": 3.41},
            "n_data": {"planck_2018_plik_lite": 613, "planck_2018_low_l": 5},
        },
        "diagnostics": {
            "r_hat_max": 1.0034, "ess_min": 2210.0, "converged": True, "divergences": 0,
            "parameters": {name: {"r_hat": 1.002, "ess": 2210.0 + i}
                           for i, name in enumerate(sampled)},
        },
        "seconds": {"solve": 412.0, "fit": 31.0, "sample": 64.5, "certificate": 402.0,
                    "report": 11.2},
        "versions": {"volvelle": "0.1.0", "class": "3.3.1", "jax": "0.10.1", "python": "3.11.9"},
        "data": {
            "planck-2018-plik-lite": {"sha256": "a1" * 32, "simulated": False},
            "planck-2018-low-l": {"sha256": "b2" * 32, "simulated": False},
        },
        "cites": ["class", "halofit", "planck_2018_plik_lite", "planck_2018_low_l", "nuts"],
    }  # fmt: skip


def write_chains(folder: Path, names: tuple[str, ...], length: int) -> None:
    """Four chains by the emulator and a hundred re-weighted points of the same Gaussian."""
    rng = np.random.default_rng(11)
    chains = folder / "chains"
    chains.mkdir()
    values = [ALL[name] for name in names]
    mean = np.array([v[2] for v in values])
    std = np.array([v[3] for v in values])
    root = np.linalg.cholesky(correlation(len(names)))
    for number in range(1, 5):
        points = mean + std * (rng.normal(size=(length, len(names))) @ root.T)
        table = np.column_stack([np.ones(length), np.zeros(length), points])
        np.savetxt(chains / f"emulator.{number}.txt", table)
    white = rng.normal(size=(100, len(names))) @ root.T
    weights = np.exp(0.08 * rng.normal(size=100) + SHIFT * white[:, 0])
    table = np.column_stack([weights, np.zeros(100), mean + std * white])
    np.savetxt(chains / "reweighted.txt", table)
    lines = [f"{n}{'*' if n in DERIVED else ''}\t{ALL[n][0]}" for n in names]
    (chains / "emulator.paramnames").write_text("\n".join(lines) + "\n")
    (chains / "emulator.ranges").write_text("tau_reio 0.01 0.8\nA_planck N N\n")


def toy_spectrum(kind: str, multipole: np.ndarray) -> np.ndarray:
    """Acoustic peaks as a damped oscillation, D_l [muK^2]."""
    damping = np.exp(-((multipole / 1300.0) ** 1.2))
    phase = multipole * np.pi / 302
    if kind == "tt":
        rise = 1 - np.exp(-multipole / 60.0)
        peaks = 4500 * damping * rise * (0.55 - 0.45 * np.cos(2 * phase - 1.0))
        return 20 + 880 * np.exp(-multipole / 1600) + peaks
    if kind == "te":
        return 130 * damping * np.sin(2 * phase - 0.4) * (1 - np.exp(-multipole / 120))
    return 42 * np.exp(-(((multipole - 1000) / 800.0) ** 2)) * np.sin(phase + 0.4) ** 2 + 0.02


def write_spectra(folder: Path) -> None:
    rng = np.random.default_rng(2)
    theory, points = {}, {}
    multipole = np.arange(2509)
    for kind, bins, top in (("tt", 215, 2500), ("te", 199, 1996), ("ee", 199, 1996)):
        d_l = toy_spectrum(kind, multipole)
        with np.errstate(divide="ignore", invalid="ignore"):
            c_l = d_l * 2 * np.pi / (multipole * (multipole + 1))
        theory[f"lensed_{kind}"] = np.where(multipole < 2, 0.0, c_l)
        centre = np.linspace(32, top, bins)
        model = toy_spectrum(kind, centre)
        size = {"tt": 2600.0, "te": 60.0, "ee": 18.0}[kind]
        sigma = size * (0.45 / np.sqrt(centre) + 0.012 * np.exp((centre / 1250) ** 2))
        data = model + sigma * rng.normal(size=bins)
        points[f"planck_2018_plik_lite {kind.upper()}"] = {
            "l": centre.tolist(), "D_l": data.tolist(), "sigma": sigma.tolist(),
            "model": model.tolist(),
        }  # fmt: skip
    points["planck_2018_low_l TT"] = {
        "l": [8.5, 22.5], "D_l": [830.0, 850.0], "sigma": [[75.0, 50.0], [85.0, 55.0]],
        "model": toy_spectrum("tt", np.array([8.5, 22.5])).tolist(),
    }  # fmt: skip
    save_file(theory, folder / "best_fit.safetensors")
    (folder / "bandpowers.json").write_text(json.dumps(points))


def write_distances(folder: Path) -> None:
    rng = np.random.default_rng(3)
    z = [0.295, 0.51, 0.51, 0.706, 0.706, 0.93, 0.93, 1.32, 1.32, 2.33, 2.33]
    model = np.linspace(8, 38, len(z))
    sigma = 0.012 * model
    magnitude = np.linspace(35, 45, 22)
    sets = {
        "desi_dr2_bao": {
            "z": z, "quantity": ["DV_over_rs", *["DM_over_rs", "DH_over_rs"] * 5],
            "data": (model + sigma * rng.normal(size=len(z))).tolist(),
            "sigma": sigma.tolist(), "model": model.tolist(),
        },
        "union3": {
            "z": np.linspace(0.05, 2.2, 22).tolist(), "quantity": "mu",
            "data": (magnitude + 0.08 * rng.normal(size=22)).tolist(),
            "sigma": [0.08] * 22, "model": magnitude.tolist(),
        },
    }  # fmt: skip
    (folder / "distances.json").write_text(json.dumps(sets))


def write_two_point(folder: Path) -> None:
    rng, at = np.random.default_rng(4), np.geomspace(3.0, 250.0, 12)
    columns: dict[str, list[Any]] = {}
    for statistic, pairs in (
        ("w_theta", ["lens0 x lens0", "lens1 x lens1"]),
        ("gamma_t", ["lens0 x src0", "lens0 x src1", "lens1 x src0", "lens1 x src1"]),
        ("xi_plus", ["src0 x src1"]),
    ):
        for pair in pairs:
            model = 1e-4 * (at / 10.0) ** -0.8
            rows = {
                "statistic": [statistic] * 12, "axis": ["theta"] * 12, "pair": [pair] * 12,
                "at": at.tolist(), "data": (model * rng.normal(1.0, 0.1, 12)).tolist(),
                "sigma": (0.1 * model).tolist(), "model": model.tolist(),
            }  # fmt: skip
            for key, values in rows.items():
                columns.setdefault(key, []).extend(values)
    (folder / "two_point.json").write_text(json.dumps({"des_y1_3x2pt": columns}))


def write_profile(folder: Path, names: tuple[str, ...]) -> Path:
    """A profile of one or two parameters whose likelihood is a Gaussian, as its command writes."""
    axes = [ALL[n][2] + ALL[n][3] * np.linspace(-3.0, 3.0, 7) for n in names]
    points = []
    for at in itertools.product(*axes):
        pulls = [(x - ALL[n][2]) / ALL[n][3] for n, x in zip(names, at, strict=True)]
        points.append(
            {"at": list(at), "delta_chi2": float(np.sum(np.square(pulls))), "difference": 0.021,
             "slack": 0.0004, "flags": [],
             "parameters": {**{n: ALL[n][2] for n in FEW[:3]}, **dict(zip(names, at, strict=True))}}
        )  # fmt: skip
    low, high = ([ALL[n][2] + sign * ALL[n][3] for n in names] for sign in (-1, 1))
    ends = {"low_end": "crossing", "high_end": "crossing"}
    level = {"delta_chi2": 1.0, "intervals": [{"low": low[0], "high": high[0], **ends}]}
    if len(names) == 2:
        both = {key: [value, value] for key, value in ends.items()}
        level = {"delta_chi2": 2.3, "low": low, "high": high, **both}
    content = {
        "parameters": list(names), "simulated": False, "priors_left_out": [], "accuracy": 0.1,
        "met": True, "axes": [axis.tolist() for axis in axes], "points": points,
        "best_fit": {"parameters": {n: ALL[n][2] for n in FEW[:3]}, "chi2": 592.04},
        "levels": [level], "max_difference": 0.021, "max_slack": 0.0004,
        "rounds": [{"max_difference": 0.021, "unsettled": 0}],
    }  # fmt: skip
    path = folder / f"profile_{'_'.join(names)}.json"
    path.write_text(json.dumps(content))
    return path


def write_folder(folder: Path, names: tuple[str, ...] = tuple(ALL), length: int = 1000) -> Path:
    """A complete output folder with four chains of `length` samples."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary_of_a_good_run(names), indent=1))
    (folder / "config.yaml").write_text(
        "theory:\n  solver: class\nlikelihood:\n  planck_2018_plik_lite:\nseed: 7 # <lucky>\n"
    )
    write_chains(folder, names, length)
    write_spectra(folder)
    write_distances(folder)
    write_two_point(folder)
    history = [
        {"iteration": i, "exact_calls_total": n, "temperature": t, "seconds": 60.0,
         "held_out_log_likelihood_scatter": s, "posterior_shift_sigma": p}
        for i, (n, t, s, p) in enumerate(
            [(36, 8.0, 41.0, None), (51, 4.0, 5.1, 1.9), (66, 2.0, 0.9, 0.31),
             (81, 1.0, 0.19, 0.06), (96, 1.0, 0.09, 0.02)])
    ]  # fmt: skip
    (folder / "history.json").write_text(json.dumps(history))
    return folder


@pytest.fixture(scope="session")
def template_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("template") / "run", FEW, length=500)


@pytest.fixture
def run_folder(tmp_path: Path, template_folder: Path) -> Path:
    """The complete folder of a good run with few parameters, to be spoilt at will."""
    return Path(shutil.copytree(template_folder, tmp_path / "planck-lcdm"))


@pytest.fixture
def full_folder(tmp_path: Path) -> Path:
    """The complete folder of a good run with every parameter of the base model."""
    return write_folder(tmp_path / "planck-lcdm")


@pytest.fixture
def good_summary() -> dict[str, Any]:
    return summary_of_a_good_run()


@pytest.fixture
def change_summary(run_folder: Path) -> Callable[..., None]:
    """Apply a function to the mapping in `summary.json` of the folder."""

    def change(edit: Callable[[dict[str, Any]], object]) -> None:
        path = run_folder / "summary.json"
        summary = json.loads(path.read_text())
        edit(summary)
        path.write_text(json.dumps(summary))

    return change
