"""The 3x2pt of DES Y1 (data set des-y1-3x2pt) by this package and by CCL, at the same parameters.

CCL: its own angular spectra and FFTLog, with this package's P(k, a), with CLASS and halofit as CCL
calls them, and with CAMB's halofit. Parameters: near the published ones (arXiv:1708.01530), and
two universes away from them. Writes docs/validation/des_y1.md. Two minutes on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

from common import Check, arguments, at_most, check_table, finish, table  # isort: skip

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import jax
import jax.numpy as jnp
import numpy as np

import ccl_two_point as by_ccl
from volvelle import data
from volvelle.cosmology import Cosmology
from volvelle.likelihood import TwoPoint, get_likelihood, read_sacc
from volvelle.likelihood.des_y1 import DATA_SET, FILE

BIASES = (1.42, 1.65, 1.60, 1.92, 2.00)
UNIVERSES = {
    "near the published one": {"Omega_m": 0.267, "A_s": 2.1e-9, "h": 0.682, "m_nu": 0.06},
    "more matter, less clumpy": {"Omega_m": 0.33, "A_s": 1.6e-9, "h": 0.65, "m_nu": 0.06},
    "heavy neutrinos": {"Omega_m": 0.28, "A_s": 2.3e-9, "h": 0.70, "m_nu": 0.3},
}
POWERS = {
    "CLASS, halofit": {
        "transfer_function": "boltzmann_class",
        "matter_power_spectrum": "halofit",
    },
    "CAMB, its halofit": {
        "transfer_function": "boltzmann_camb",
        "matter_power_spectrum": "camb",
        "extra_parameters": {"camb": {"halofit_version": "takahashi"}},
    },
}
CHI2, APART = 2.0, 0.1


def universe(Omega_m: float, h: float, m_nu: float, A_s: float) -> Cosmology:
    """With Omega_b = 0.048, n_s = 0.97."""
    neutrinos = m_nu / 93.14 / h**2
    return Cosmology(
        h=h,
        Omega_b=0.048,
        Omega_cdm=Omega_m - 0.048 - neutrinos,
        A_s=A_s,
        n_s=0.97,
        tau_reio=0.06,
        m_nu=m_nu,
    )


def main() -> None:
    """Compare and write the page."""
    arguments(__doc__).parse_args()
    likelihood = get_likelihood("des_y1_3x2pt")
    read = read_sacc(data.locate(DATA_SET).files[FILE], "des_y1_3x2pt")
    values = {name: each.ref for name, each in likelihood.nuisance.items()}
    values |= {"A_IA": 0.44, "eta_IA": -0.7}
    values |= {f"bias_lens{n}": bias for n, bias in enumerate(BIASES)}
    assert isinstance(likelihood, TwoPoint)
    whiten = likelihood.whiten
    predict = jax.jit(lambda cosmology: likelihood.model({"cosmology": cosmology}, values))

    def chi2(model: np.ndarray) -> float:
        return float(jnp.sum(whiten(jnp.asarray(read.mean - model)) ** 2))

    rows: list[list[str]] = []
    checks: list[Check] = []
    for name, given in UNIVERSES.items():
        cosmology = universe(**given)
        own = np.asarray(predict(cosmology))
        rows.append([name, "this package", f"{chi2(own):.2f}", "", ""])
        found = {"this package's P": by_ccl.same_power(cosmology, likelihood.power)}
        found |= {n: by_ccl.own_power(cosmology, **power) for n, power in POWERS.items()}
        for power, theirs in found.items():
            model = by_ccl.prediction(theirs, read, values)
            difference = chi2(model) - chi2(own)
            apart = float(jnp.sum(whiten(jnp.asarray(model - own)) ** 2))
            rows.append(
                [name, f"CCL, {power}", f"{chi2(model):.2f}", f"{difference:+.2f}", f"{apart:.3f}"]
            )
            if name == next(iter(UNIVERSES)):
                checks.append(at_most(f"chi2, against CCL with {power}", abs(difference), CHI2))
            checks.append(at_most(f"predictions apart, {name}, {power}", apart, APART))
    head = ["parameters", "prediction", "chi2 of 457", "difference", "chi2 between predictions"]
    finish(
        "des_y1",
        [
            "# DES Y1 3x2pt beside CCL",
            check_table(checks),
            table(head, rows),
            "Nuisance parameters at their references but for biases, A_IA = 0.44 and eta_IA = "
            "-0.7. The difference in chi2 is mostly twice the product of the residual and of what "
            "the predictions differ by: it is large where the fit is bad. The last column does "
            "not know of the data, and says how far two codes are apart.",
        ],
        checks,
    )


if __name__ == "__main__":
    main()
