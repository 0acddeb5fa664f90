"""Cobaya with Volvelle's emulator: its chains against exact solutions, and against CLASS's chains.

1. Planck 2018 plik-lite and low-l: Cobaya's own mcmc with the emulator of example 1, certified by
   `volvelle certify` with at least 200 exact solutions.
2. DESI BAO and Union3 supernovae, where CLASS is quick: two full chains, with the emulator and with
   Cobaya's own CLASS.

    python validation/cobaya_chains.py

Run `make demo` first (or name another run of example 1 with --from). Writes
docs/validation/cobaya_chains.md. Some twenty minutes; chains and solutions are kept, and an
interrupted script goes on.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from common import (
    DEMO,
    ROOT,
    Check,
    arguments,
    at_least,
    at_most,
    bound,
    check_table,
    finish,
    run,
    summary_of,
    table,
    versions,
)

from volvelle.inference import ChainFiles, read_chains

THEORY = "volvelle.plugins.cobaya.VolvelleTheory"
LIKELIHOOD = "volvelle.plugins.cobaya_likelihood.VolvelleLikelihood"
LIMIT = 0.05  # [sigma] |shift| + 2 errors
POINTS = 200
DISTANCE = "volvelle_distance"  # from the centre of the domain, in units of its edge
AGREEMENT = 4.0  # Monte-Carlo errors that two chains' means may differ by
WORK = ROOT / "runs" / "validation" / "cobaya"
BBN = {"dist": "norm", "loc": 0.02233, "scale": 0.00036}
QUICK = {
    "theory": {"class": {}},
    "params": {
        "omega_b": {"prior": BBN, "ref": {"loc": 0.02233, "scale": 0.001}},
        "omega_cdm": {"prior": {"min": 0.05, "max": 0.25}, "ref": {"loc": 0.12, "scale": 0.02}},
        "H0": {"prior": {"min": 50, "max": 90}, "ref": {"loc": 68, "scale": 3}},
        "n_s": 0.965,
        "ln10A_s": 3.045,
        "tau_reio": 0.055,
        "m_nu": 0.06,
    },
    "likelihood": ["desi_dr2_bao", "union3"],
}
"""Part 2 as a file of Volvelle's."""
NEUTRINOS = {"N_ncdm": 1, "m_ncdm": 0.06, "N_ur": 2.0308}
"""One massive state and N_eff = 3.044, in CLASS's words."""


def likelihoods(names: list[str]) -> dict[str, Any]:
    """Volvelle's likelihoods as Cobaya's."""
    return {name: {"class": LIKELIHOOD, "name": name} for name in names}


def chain(name: str, info: dict[str, Any], stop: float) -> tuple[ChainFiles, float]:
    """A finished chain of Cobaya's, made where it is missing, and its wall time [s]."""
    from cobaya.run import run as run_cobaya

    root, seconds = WORK / name, WORK / f"{name}.seconds"
    if not seconds.exists():
        started = time.monotonic()
        mcmc = {"Rminus1_stop": stop, "Rminus1_cl_stop": 0.2, "seed": 1, **info.pop("mcmc", {})}
        run_cobaya({**info, "sampler": {"mcmc": mcmc}, "output": str(root), "force": True})
        seconds.write_text(f"{time.monotonic() - started:.1f}")
    return read_chains(root), float(seconds.read_text())


def covariance(folder: Path, names: list[str]) -> dict[str, Any]:
    """Of the samples of a run of Volvelle's, as Cobaya's mcmc takes it."""
    samples = read_chains(folder / "chains" / "emulator")
    matrix = np.cov(samples.columns(names), rowvar=False)
    return {"covmat": matrix, "covmat_params": names}


def parameters(file: dict[str, Any]) -> dict[str, Any]:
    """Of a configuration file, in Cobaya's words."""
    found: dict[str, Any] = {}
    for name, given in file["params"].items():
        if not isinstance(given, dict):
            found[name] = given
            continue
        ref = {"dist": "norm", **given["ref"]}
        ref["scale"] = 0.2 * ref["scale"]  # Volvelle's is the half width of a box
        found[name] = {"prior": given["prior"], "ref": ref, "proposal": 0.1 * ref["scale"]}
    return found


def certified(root: Path, solver: str, ledger: Path | None) -> dict[str, Any]:
    """The certificate of `volvelle certify`, made where it is missing."""
    from volvelle.cli.certify_job import CertifyRequest, certify_chain_files
    from volvelle.cli.computing import compute_from

    path = root.with_name(f"{root.name}_certified") / "certificate.json"
    if not path.exists():
        certify_chain_files(
            CertifyRequest(
                chain=root,
                solver=solver,
                points=POINTS,
                max_points=2 * POINTS,
                accuracy=LIMIT,
                burn_in=None,
                output=None,
                packages_path=None,
                montepython=None,
                ledger=ledger,
                compute=compute_from(None, None),
                seed=1,
            )
        )
    return json.loads(path.read_text())


def planck(folder: Path, ledger: Path | None) -> tuple[list[str], list[Check]]:
    """Part 1."""
    file = yaml.safe_load((folder / "config.yaml").read_text())
    summary = summary_of(folder)
    params = parameters(file)
    params["A_planck"] = {"prior": {"dist": "norm", "loc": 1, "scale": 0.0025}, "ref": 1.0}
    params["A_planck"]["proposal"] = 0.001
    params |= {"H0": None, "sigma8": None, DISTANCE: None}
    sampled = [
        name for name, given in params.items() if isinstance(given, dict) and "prior" in given
    ]
    info = {
        "theory": {THEORY: {"emulator": str(folder / "emulator"), "outside": "flag"}},
        "likelihood": likelihoods(list(file["likelihood"])),
        "params": params,
        "mcmc": covariance(folder, sampled),
    }
    files, seconds = chain("planck", info, 0.005)
    verdict = certified(files.root, summary["solver"]["solver"], ledger)
    rows = [
        (
            name,
            f"{each['mean_shift_sigma']:+.3f} ± {each['mean_shift_error']:.3f}",
            f"{each['width_ratio']:.3f} ± {each['width_ratio_error']:.3f}",
        )
        for name, each in verdict["parameters"].items()
    ]
    checks = [
        at_most(
            "Planck: largest shift of a mean, two errors added [sigma]", _bound(verdict), LIMIT
        ),
        at_least("Planck: exact solutions that certify it", verdict["n"], POINTS, 0),
    ]
    total = int(files.weights.sum())
    outside = _outside(files)
    words = (
        f"Cobaya's mcmc drew {total} steps after burn-in ({len(files.rows)} accepted, as many as "
        f"{files.independent(sampled)} independent ones) in {seconds:.0f} s, burn-in included, on "
        f"one core; {outside:.2%} of them, by weight, lie outside of the emulator's domain, where "
        f"predictions are flagged. {verdict['n']} of its points were solved by "
        f"{versions(summary)}: "
        f"{verdict['words']}"
    )
    head = ("", "shift of the mean [sigma]", "width, exact / emulator")
    return ["## Planck 2018 lite and low l", words, table(head, rows)], checks


def _bound(certificate: dict[str, Any]) -> float:
    return bound({"certificate": certificate})


def quick(ledger: Path | None) -> tuple[list[str], list[Check]]:
    """Part 2."""
    folder = WORK / "bao-sn"
    summary = run(QUICK, folder, ledger)
    params = parameters(QUICK)
    data = likelihoods(QUICK["likelihood"])
    sampled = ["omega_b", "omega_cdm", "H0"]
    start = covariance(folder, sampled)
    learned = {
        "theory": {THEORY: {"emulator": str(folder / "emulator"), "outside": "flag"}},
        "likelihood": data,
        "params": params | {DISTANCE: None},
        "mcmc": dict(start),
    }
    only = {name: params[name] for name in sampled}
    exact = {
        "theory": {"classy": {"extra_args": NEUTRINOS}},
        "likelihood": data,
        "params": only,
        "mcmc": dict(start),
    }
    ours, our_seconds = chain("bao-sn-emulator", learned, 0.01)
    theirs, their_seconds = chain("bao-sn-class", exact, 0.01)
    rows, checks = [], []
    for name in sampled:
        a, b = (_moments(files, name, sampled) for files in (ours, theirs))
        error = np.hypot(a[2], b[2])
        off = abs(a[0] - b[0]) / error
        checks.append(
            at_most(f"BAO and supernovae, {name}: means differ by [errors]", off, AGREEMENT)
        )
        rows.append((name, *(f"{m:.5g} ± {s:.2g}" for m, s, _ in (a, b)), f"{off:.1f}"))
    per = [s / files.weights.sum() for s, files in ((our_seconds, ours), (their_seconds, theirs))]
    words = (
        f"Full chains to R - 1 = 0.01: {our_seconds:.0f} s with the emulator, "
        f"{their_seconds:.0f} s with Cobaya's own CLASS; per kept step {1e3 * per[0]:.2f} and "
        f"{1e3 * per[1]:.1f} ms, a ratio of {per[1] / per[0]:.0f}. The emulator's training took "
        f"{summary['exact_calls']['training']} exact solutions; {_outside(ours):.2%} of the "
        "samples lie outside of its domain, where predictions are flagged."
    )
    head = ("", "emulator", "CLASS", "difference / error")
    return ["## DESI DR2 BAO and Union3", words, table(head, rows)], checks


def _outside(files: ChainFiles) -> float:
    """Share of the samples outside of the emulator's domain."""
    return float(np.average(files.column(DISTANCE) > 1.0, weights=files.weights))


def _moments(files: ChainFiles, name: str, sampled: list[str]) -> tuple[float, float, float]:
    """Mean, width, and the mean's Monte-Carlo error."""
    values, weights = files.column(name), files.weights
    mean = np.average(values, weights=weights)
    sigma = np.sqrt(np.average((values - mean) ** 2, weights=weights))
    return float(mean), float(sigma), float(sigma / np.sqrt(files.independent(sampled)))


def main() -> None:
    """Both parts, one page."""
    parser = arguments(__doc__)
    parser.add_argument("--from", dest="folder", type=Path, default=DEMO)
    given = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    first, first_checks = planck(given.folder.resolve(), given.ledger)
    second, second_checks = quick(given.ledger)
    checks = [*first_checks, *second_checks]
    title = "# Cobaya with an emulator"
    finish("cobaya_chains", [title, check_table(checks), *first, *second], checks)


if __name__ == "__main__":
    main()
