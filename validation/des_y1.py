"""The 3x2pt of DES Y1 (data set des-y1-3x2pt) by this package and by CCL, at the same parameters.

CCL: its own angular spectra and FFTLog, with this package's P(k, a), with CLASS and halofit as CCL
calls them, and with CAMB's halofit. Parameters: the published means of Omega_m and S8
(arXiv:1708.01530) and the best fit of example 22, both with that fit's nuisance parameters; and
three universes away from them. Writes docs/validation/des_y1.md. Five minutes on one core.
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
from volvelle.power import Model, sigma8

BIASES = (1.42, 1.65, 1.60, 1.92, 2.00)
AWAY = {"A_IA": 0.44, "eta_IA": -0.7} | {f"bias_lens{n}": bias for n, bias in enumerate(BIASES)}
"""Nuisance parameters of the universes away from the fits; the others at their references."""
UNIVERSES = {
    "less clumpy": {"Omega_m": 0.267, "A_s": 2.1e-9, "h": 0.682, "m_nu": 0.06},
    "more matter, less clumpy": {"Omega_m": 0.33, "A_s": 1.6e-9, "h": 0.65, "m_nu": 0.06},
    "heavy neutrinos": {"Omega_m": 0.28, "A_s": 2.3e-9, "h": 0.70, "m_nu": 0.3},
}
FITTED = {
    "A_IA": 0.5134, "eta_IA": -1.1882,
    "bias_lens0": 1.4100, "bias_lens1": 1.6103, "bias_lens2": 1.6021, "bias_lens3": 1.9218,
    "bias_lens4": 1.9810, "m_src0": 0.01368, "m_src1": 0.01439, "m_src2": 0.00849,
    "m_src3": 0.01057, "dz_lens0": 0.00912, "dz_lens1": -0.00424, "dz_lens2": 0.00828,
    "dz_lens3": 0.00037, "dz_lens4": 0.00006, "dz_src0": -0.00090, "dz_src1": -0.02945,
    "dz_src2": 0.00727, "dz_src3": -0.02425,
}  # fmt: skip
"""Of the best fit of example 22."""
BEST = {"Omega_m": 0.25332, "A_s": 2.54845e-9, "h": 0.90919, "m_nu": 0.6, "Omega_b": 0.063743,
        "n_s": 1.07}  # fmt: skip
"""The universe of that fit."""
PUBLISHED = {"Omega_m": 0.267, "h": 0.73, "m_nu": 0.06}
S8 = 0.773
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
HELIUM_ENDS = 0.04
"""Largest omega_b of the tables of nucleosynthesis that CCL leaves helium to."""
CHI2, APART = 2.0, 0.1


def universe(
    Omega_m: float, h: float, m_nu: float, A_s: float, Omega_b: float = 0.048, n_s: float = 0.97
) -> Cosmology:
    """The cosmology of these; helium as example 22 has it."""
    neutrinos = m_nu / 93.14 / h**2
    return Cosmology(
        h=h, Omega_b=Omega_b, Omega_cdm=Omega_m - Omega_b - neutrinos, A_s=A_s, n_s=n_s,
        tau_reio=0.06, m_nu=m_nu, Y_he=0.2454,
    )  # fmt: skip


def published(linear: Model) -> Cosmology:
    """With the published means of Omega_m and S8."""
    trial = universe(**PUBLISHED, A_s=2e-9)
    wanted = S8 / np.sqrt(PUBLISHED["Omega_m"] / 0.3)
    return universe(**PUBLISHED, A_s=2e-9 * (wanted / float(sigma8(trial, 1.0, linear))) ** 2)


def main() -> None:
    """Compare and write the page."""
    arguments(__doc__).parse_args()
    likelihood = get_likelihood("des_y1_3x2pt", linear="extended")
    read = read_sacc(data.locate(DATA_SET).files[FILE], "des_y1_3x2pt")
    reference = {name: each.ref for name, each in likelihood.nuisance.items()}
    assert isinstance(likelihood, TwoPoint)
    cases = {
        "published Omega_m and S8": (published(likelihood.power.linear), FITTED),
        "best fit of example 22": (universe(**BEST), FITTED),
        **{name: (universe(**given), reference | AWAY) for name, given in UNIVERSES.items()},
    }
    whiten = likelihood.whiten

    @jax.jit
    def predict(cosmology: Cosmology, values: dict[str, float]) -> jax.Array:
        return likelihood.model({"cosmology": cosmology}, values)

    def chi2(model: np.ndarray) -> float:
        return float(jnp.sum(whiten(jnp.asarray(read.mean - model)) ** 2))

    rows: list[list[str]] = []
    checks: list[Check] = []
    for name, (cosmology, values) in cases.items():
        own = np.asarray(predict(cosmology, values))
        rows.append([name, "this package", f"{chi2(own):.2f}", "", ""])
        found = {"this package's P": by_ccl.same_power(cosmology, likelihood.power)}
        if float(cosmology.omega_b) < HELIUM_ENDS:
            found |= {n: by_ccl.own_power(cosmology, **power) for n, power in POWERS.items()}
        for power, theirs in found.items():
            model = by_ccl.prediction(theirs, read, values)
            difference = chi2(model) - chi2(own)
            apart = float(jnp.sum(whiten(jnp.asarray(model - own)) ** 2))
            rows.append(
                [name, f"CCL, {power}", f"{chi2(model):.2f}", f"{difference:+.2f}", f"{apart:.3f}"]
            )
            words = f"{name}, {power}"
            checks.append(at_most(f"difference in chi2, {words}", abs(difference), CHI2))
            checks.append(at_most(f"predictions apart, {words}", apart, APART))
    head = ["parameters", "prediction", "chi2 of 457", "difference", "chi2 between predictions"]
    finish(
        "des_y1",
        [
            "# DES Y1 3x2pt beside CCL",
            check_table(checks),
            table(head, rows),
            "Nuisance parameters of the first two are those of the fit, of the others at their "
            "references but for biases, A_IA = 0.44 and eta_IA = -0.7. That fit's omega_b, 0.053, "
            "is beyond the tables of nucleosynthesis by which CLASS and CAMB know the helium that "
            "CCL does not hand on: there CCL has this package's P only. The difference in chi2 is "
            "mostly twice the product of the residual and of what the predictions differ by: it "
            "is large where the fit is bad. The last column does not know of the data, and says "
            "how far two codes are apart.",
        ],
        checks,
    )


if __name__ == "__main__":
    main()
