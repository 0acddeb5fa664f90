"""The learned linear power beyond what it was trained for: before z = 100, unequal masses, and
outside of its box (`ExtendedPower`).

Writes docs/validation/linear_power_beyond.md. Some minutes on one core, most of them CLASS with
several massive neutrinos.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from common import Check, arguments, at_most, check_table, finish, table

from volvelle.boltzmann import POWER_K, POWER_Z, Ledger, default_ledger, load_classy, solve_many
from volvelle.compute import ProcessExecutor
from volvelle.cosmology import Cosmology, comoving_distance, planck18, to_class
from volvelle.power import EisensteinHu, ExtendedPower, learned_power, linear_power
from volvelle.training.linear_power import BANDS
from volvelle.training.linear_power_design import (
    REQUEST,
    exact_solver,
)

UNIVERSES = {
    "fiducial": planck18(),
    "omega_cdm = 0.09": planck18().replace(omega_cdm=0.09),
    "omega_cdm = 0.16, N_eff = 3.5": planck18().replace(omega_cdm=0.16, N_eff=3.5),
}
EARLY = {300.0: 0.05, 990.0: 0.2, 1085.0: 0.25}
"""Redshifts, and what is promised there of P: from z = 1089 on CLASS refuses."""
MASSES = ([0.02, 0.1], [0.05, 0.25])
"""Of two states [eV]."""
SEVERAL = 6e-3
"""As with three states (linear_power.md); CLASS's own error is some 2e-3 per state at high k."""
OUTSIDE: dict[str, dict[str, Any]] = {
    "omega_b = 0.014": {"omega_b": 0.014},
    "omega_b = 0.035": {"omega_b": 0.035},
    "omega_b = 0.045": {"omega_b": 0.045},
    "omega_cdm = 0.05": {"omega_cdm": 0.05},
    "omega_cdm = 0.25": {"omega_cdm": 0.25},
    "m_nu = 0.9": {"m_nu": 0.9},
    "m_nu = 0.9, three states": {"m_nu": 0.9, "neutrino_hierarchy": "degenerate"},
    "h = 0.45": {"h": 0.45},
    "N_eff = 5.5": {"N_eff": 5.5},
    "omega_b = 0.035, m_nu = 0.9": {"omega_b": 0.035, "m_nu": 0.9},
    "omega_b = 0.012, omega_cdm = 0.06, m_nu = 0.8, h = 0.55": {
        "omega_b": 0.012,
        "omega_cdm": 0.06,
        "m_nu": 0.8,
        "h": 0.55,
    },
}
"""What of the fiducial universe is changed; helium is that of the fiducial one, as CLASS's table of
nucleosynthesis ends within these values of omega_b."""
OUTSIDE_BOUND = 0.1
"""Of P to z = 4 above k = 1e-3/Mpc, in all of them."""
BANDS_FROM = 1e-3
HELIUM = 0.2454
LENSED_FROM = 100.0


def _by_band(error: np.ndarray) -> list[str]:
    bands = [(low <= POWER_K) & (high > POWER_K) for low, high in BANDS.values()]
    return [f"{np.max(error[..., band]):.1e}" for band in bands]


def early_errors(cosmology: Cosmology) -> dict[float, np.ndarray]:
    """|P / CLASS - 1| at ``POWER_K``, of total matter, by redshift."""
    model = load_classy(None).Class()
    model.set({**to_class(cosmology), "output": "mPk", "P_k_max_1/Mpc": 10.5,
               "z_max_pk": max(EARLY)})  # fmt: skip
    model.compute()
    spectrum = learned_power().spectrum(cosmology)
    errors = {}
    for z in EARLY:
        exact = model.get_pk_array(POWER_K.copy(), np.array([z]), len(POWER_K), 1, False)
        found = spectrum(jnp.asarray(POWER_K), jnp.full(len(POWER_K), 1.0 / (1.0 + z)))
        errors[z] = np.abs(np.asarray(found) / exact - 1.0)
    model.struct_cleanup()
    return errors


def lensing_share() -> list[list[str]]:
    """Share of C_l^kappakappa of the fiducial universe from before ``LENSED_FROM``, and 999."""
    cosmology = planck18()
    spectrum = learned_power().spectrum(cosmology)
    z = np.expm1(np.linspace(np.log(1.02), np.log(1090.0), 4000))
    a = 1.0 / (1.0 + z)
    chi = np.asarray(comoving_distance(cosmology, a))
    star = float(comoving_distance(cosmology, 1.0 / 1090.0))
    rows = []
    for ell in (10, 100, 1000):
        power = np.nan_to_num(np.asarray(spectrum((ell + 0.5) / chi, a)))
        integrand = (((star - chi) / star) * (1.0 + z)) ** 2 * power * np.gradient(chi)
        shares = [integrand[z > first].sum() / integrand.sum() for first in (LENSED_FROM, 999.0)]
        rows.append([f"{ell}", *(f"{share:.1e}" for share in shares)])
    return rows


def unequal(ledger: Ledger, executor: ProcessExecutor) -> list[np.ndarray]:
    """Errors [matter and cb, z, k] of universes with states of unequal masses, to z = 4."""
    chosen = [planck18().replace(m_nu=masses) for masses in MASSES]
    entries = solve_many(
        exact_solver(finer=True), chosen, REQUEST, ledger, executor, "linear-power"
    )
    a = 1.0 / (1.0 + jnp.asarray(POWER_Z))[:, None]
    errors = []
    for cosmology, entry in zip(chosen, entries, strict=True):
        spectrum = learned_power().spectrum(cosmology)
        found = [spectrum(jnp.asarray(POWER_K), a, name) for name in ("matter", "cb")]
        exact = (entry.theory["matter_power"], entry.theory["cb_power"])
        errors.append(np.abs(np.stack(found) / np.stack(exact) - 1.0))
    return errors


def outside(ledger: Ledger, executor: ProcessExecutor) -> tuple[np.ndarray, np.ndarray]:
    """Errors of `ExtendedPower` [universe, matter and cb, z, k] to z = 4, and of Eisenstein & Hu's
    fit for matter [universe, z, k]."""
    chosen = [planck18().replace(Y_he=HELIUM, **changes) for changes in OUTSIDE.values()]
    entries = solve_many(
        exact_solver(finer=True), chosen, REQUEST, ledger, executor, "linear-power"
    )
    a = 1.0 / (1.0 + jnp.asarray(POWER_Z))[:, None]
    errors, fit = [], []
    for cosmology, entry in zip(chosen, entries, strict=True):
        spectrum = ExtendedPower(learned_power()).spectrum(cosmology)
        found = [spectrum(jnp.asarray(POWER_K), a, name) for name in ("matter", "cb")]
        exact = (entry.theory["matter_power"], entry.theory["cb_power"])
        errors.append(np.abs(np.stack(found) / np.stack(exact) - 1.0))
        fitted = linear_power(cosmology, jnp.asarray(POWER_K), a, EisensteinHu())
        fit.append(np.abs(np.asarray(fitted) / exact[0] - 1.0))
    return np.stack(errors), np.stack(fit)


def main() -> None:
    """Solve, compare, write."""
    given = arguments(__doc__).parse_args()
    early = {words: early_errors(cosmology) for words, cosmology in UNIVERSES.items()}
    with ProcessExecutor(1) as executor:
        ledger = Ledger(given.ledger or default_ledger())
        masses = unequal(ledger, executor)
        beyond, fit = outside(ledger, executor)
    checks: list[Check] = []
    for z, bound in EARLY.items():
        worst = max(float(np.max(errors[z])) for errors in early.values())
        checks.append(at_most(f"z = {z:g}: the worst", worst, bound))
    worst = max(float(np.max(errors)) for errors in masses)
    checks.append(at_most("two unequal masses, z <= 4: the worst", worst, SEVERAL, 4))
    seen = POWER_K > BANDS_FROM
    worst = float(np.max(beyond[..., seen]))
    checks.append(at_most("outside of the box, z <= 4: the worst", worst, OUTSIDE_BOUND))
    head = tuple(f"{name} /Mpc" for name in BANDS)
    finish(
        "linear_power_beyond",
        [
            "# The learned linear power beyond its training",
            check_table(checks),
            "It is learned to z = 100. Before, the rest that is learned stays as it is, the growth "
            "of waves within the horizon goes on, and what radiation does to those near it is "
            "added (`volvelle.power.early`). |P / CLASS - 1| of total matter, CLASS with its "
            "default settings; beyond z = 1089 CLASS gives none:",
            table(
                ("", "z", *head),
                [
                    [words, f"{z:g}", *_by_band(error)]
                    for words, errors in early.items()
                    for z, error in errors.items()
                ],
            ),
            "Share of the lensing convergence of the CMB from before (Limber, linear):",
            table(("l", f"z = {LENSED_FROM:g}", "z = 999"), lensing_share()),
            "Two states of unequal masses, added up from what was learned with one, to z = 4, "
            "matter and cb:",
            table(
                ("masses [eV]", *head),
                [
                    [", ".join(f"{mass:g}" for mass in each), *_by_band(error)]
                    for each, error in zip(MASSES, masses, strict=True)
                ],
            ),
            "Outside of the box of the training, to z = 4, matter and cb, by `ExtendedPower` "
            "(`linear: extended`): the part that needs no learning is that of the universe itself, "
            "what is learned that of the nearest point of the box, linear in masses beyond. In "
            "the last column the fit of Eisenstein & Hu, matter, all k above 1e-3/Mpc:",
            table(
                ("", *head, "fit"),
                [
                    [words, *_by_band(error), f"{np.max(other[..., seen]):.1e}"]
                    for words, error, other in zip(OUTSIDE, beyond, fit, strict=True)
                ],
            ),
        ],
        checks,
    )


if __name__ == "__main__":
    main()
