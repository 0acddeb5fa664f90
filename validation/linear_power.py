"""The shipped linear power spectrum against fresh solutions of CLASS, and CLASS against itself.

Writes docs/validation/linear_power.md and linear_power.png. From the ledger a few minutes; the
solutions, where they are not known, a quarter of an hour of two cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from common import PAGES, Check, arguments, at_most, check_table, finish, table

from volvelle.boltzmann import (
    POWER_K,
    POWER_Z,
    ClassSolver,
    Ledger,
    default_ledger,
)
from volvelle.compute import ProcessExecutor
from volvelle.cosmology import planck18
from volvelle.power import EisensteinHu, learned_power, learned_record, scale_dependent_growth
from volvelle.power.learned_features import PARAMETERS
from volvelle.training.linear_power import BANDS, SPLITS, judge
from volvelle.training.linear_power_design import (
    FINER,
    FRESH_LIGHT_SEED,
    FRESH_SEED,
    PRECISION,
    REQUEST,
    Solutions,
    design,
    fresh_several_design,
    light_design,
    massless_design,
    universe,
)
from volvelle.training.long_waves import (
    DENSER,
    LONG,
    LONG_K,
    LONG_REQUEST,
    LongWaves,
    solve_judges,
)

BOUND = 1e-3
"""Asked for at any k, to z = 4."""
LONGEST = "k < 1e-3"
"""The band of the longest waves, of ``BANDS``."""
WORST, WORST_LONGEST = 1.5e-3, 2e-3
"""Of the worst of all solutions, above and in that band."""
SEVERAL = 3e-3
"""Of the worst with three massive states."""
GROWTH_BOUND = 2e-3
"""Asked for D(k, a)."""
FRESH, FRESH_LIGHT, FRESH_MASSLESS, FRESH_SEVERAL = 30, 10, 10, 8
MASSLESS = {"l_max_g": 50, "l_max_pol_g": 30, "l_max_ur": 200,
            "ur_fluid_trigger_tau_over_tau_k": 150.0,
            "radiation_streaming_trigger_tau_over_tau_k": 200.0,
            "tol_perturbations_integration": 1e-7,
            "perturbations_sampling_stepsize": 0.03}  # fmt: skip
MASSIVE = {"l_max_ncdm": 120, "ncdm_fluid_trigger_tau_over_tau_k": 151.0}
MODES = {"k_per_decade_for_pk": 40.0, "k_per_decade_for_bao": 90.0}
"""Finer than ``FINER``, by which its own error is found."""


def own_error() -> list[list[str]]:
    """CLASS with the judges' settings, and with those of the many, against finer ones, by band."""
    base = planck18()
    rows = []
    for words, cosmology, finer in (
        ("no mass", base.replace(m_nu=0.0), MASSLESS),
        ("0.06 eV", base, MASSIVE),
        ("0.3 eV in one state", base.replace(m_nu=0.3), MASSIVE),
        ("no mass, omega_b = 0.027", base.replace(m_nu=0.0, omega_b=0.027), MODES),
        ("closed, Omega_k = -0.08", base.replace(m_nu=0.0, Omega_k=-0.08), MODES),
    ):
        made = [
            ClassSolver(non_linear="none", precision=precision).solve(cosmology, REQUEST)
            for precision in (dict(FINER), dict(PRECISION), {**FINER, **finer})
        ]
        for solution, settings in zip(made, ("", ", the first settings"), strict=False):
            with np.errstate(divide="ignore", invalid="ignore"):
                error = np.abs(solution["matter_power"] / made[-1]["matter_power"] - 1.0)
            rows.append([words + settings, *_by_band(error)])
    return rows + long_waves_error()


def long_waves_error() -> list[list[str]]:
    """The long waves' settings, and those with more modes that judge, against FINER with twice as
    many modes as these, where they are sought: from the first mode of a closed universe on."""
    twice = {"k_per_decade_for_bao": 2.0 * DENSER, "k_per_decade_for_pk": 2.0 * DENSER}
    best = LongWaves(settings={**FINER, **twice})
    rows = []
    for words, cosmology in (
        ("closed, Omega_k = -0.04, long waves", planck18().replace(m_nu=0.0, Omega_k=-0.04)),
        ("0.3 eV in one state, long waves", planck18().replace(m_nu=0.3)),
    ):
        exact = best.solve(cosmology, LONG_REQUEST)["matter_power"]
        for solver, settings in (
            (LongWaves.judging(), ", judges"),
            (LongWaves(), ", learned from"),
        ):
            found = solver.solve(cosmology, LONG_REQUEST)["matter_power"]
            with np.errstate(divide="ignore", invalid="ignore"):
                error = np.abs(found / exact - 1.0)
            rows.append([words + settings, *_by_band(error)])
    return rows


def _by_band(error: np.ndarray) -> list[str]:
    k = POWER_K[: error.shape[-1]]
    inside = [(low <= k) & (high > k) for low, high in BANDS.values()]
    return [f"{np.nanmax(error[..., each]):.1e}" if np.any(each) else "" for each in inside]


def hierarchies(
    ledger: Ledger, executor: ProcessExecutor
) -> tuple[list[list[str]], dict[str, float]]:
    """Universes with three massive states against CLASS: rows of a table, and the worst by
    band."""
    base = planck18()
    light = {name: float(getattr(base, name)) for name in PARAMETERS} | {"m_nu": 0.12}
    orders = ("degenerate", "normal", "inverted")
    points = fresh_several_design(FRESH_SEVERAL)
    points += [{**light, "neutrino_hierarchy": name} for name in orders]
    fresh = solve_judges(points, ledger, executor)
    rows, worst = [], dict.fromkeys(BANDS, 0.0)
    for point, entry in zip(fresh.points, fresh.entries, strict=True):
        judged = judge(learned_power(), Solutions([point], [entry]))
        words = f"{point['neutrino_hierarchy']}, {point['m_nu']:.2f} eV"
        rows.append([words, *(f"{judged['worst'][name]:.1e}" for name in BANDS)])
        worst = {name: max(worst[name], judged["worst"][name]) for name in BANDS}
    return rows, worst


def bounds(
    found: dict[str, Any],
    light: dict[str, Any],
    massless: dict[str, Any],
    several: dict[str, float],
    growth: float,
) -> list[Check]:
    """What was asked for, and what is promised of the worst."""
    checks = [
        at_most(f"{name} /Mpc, z <= 4: 95% of the solutions", found["largest"][name], BOUND, 5)
        for name in BANDS
    ]
    both = {
        name: max(judged["worst"][name] for judged in (found, light, massless)) for name in BANDS
    }
    for errors, words, bound, longest in (
        (both, "the worst", WORST, WORST_LONGEST),
        (several, "the worst with three massive states", SEVERAL, SEVERAL),
    ):
        above = max(error for name, error in errors.items() if name != LONGEST)
        checks.append(at_most(f"1e-3 to 10 /Mpc, z <= 4: {words}", above, bound, 5))
        checks.append(at_most(f"{LONGEST} /Mpc, z <= 4: {words}", errors[LONGEST], longest, 5))
    checks.append(at_most("D(k, a) of matter and cb: the worst", growth, GROWTH_BOUND, 5))
    return checks


def growth_errors(fresh: Solutions) -> np.ndarray:
    """Largest error of D(k, a) of each fresh solution, from CLASS's transfer functions."""
    a = 1.0 / (1.0 + POWER_Z)[:, None]
    errors = []
    for point, entry in zip(fresh.points, fresh.entries, strict=True):
        largest = 0.0
        for name in ("matter", "cb"):
            with np.errstate(invalid="ignore"):  # a closed universe has no longest waves
                exact = np.sqrt(entry.theory[f"{name}_power"] / entry.theory[f"{name}_power"][:1])
            found = scale_dependent_growth(universe(point), POWER_K[None], a, name)
            largest = max(largest, float(np.nanmax(np.abs(np.asarray(found) / exact - 1.0))))
        errors.append(largest)
    return np.array(errors)


def draw(fresh: Solutions) -> None:
    """Errors of today's matter power at every fresh solution, and of Eisenstein & Hu's fit."""
    figure, axis = plt.subplots(figsize=(7, 4))
    k, today = jnp.asarray(POWER_K), jnp.ones(())
    for n, (point, entry) in enumerate(zip(fresh.points, fresh.entries, strict=True)):
        exact = entry.theory["matter_power"][0]
        for model, colour in ((EisensteinHu(), "0.75"), (learned_power(), "C0")):
            found = np.asarray(model.spectrum(universe(point))(k, today))
            label = {"0.75": "Eisenstein & Hu", "C0": "learned"}[colour] if n == 0 else None
            with np.errstate(divide="ignore", invalid="ignore"):
                axis.loglog(POWER_K, np.abs(found / exact - 1.0), color=colour, lw=0.6, label=label)
    axis.axhline(BOUND, color="k", ls=":", lw=0.8)
    axis.set(xlabel="k [1/Mpc]", ylabel="|P / CLASS - 1|, z = 0", ylim=(1e-6, 1.0))
    axis.legend()
    figure.tight_layout()
    figure.savefig(PAGES / "linear_power.png", dpi=130)


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}: {settings[name]:g}`" for name in sorted(settings))


def main() -> None:
    """Solve what is missing, compare, write."""
    parser = arguments(__doc__)
    given = parser.parse_args()
    ledger = Ledger(given.ledger or default_ledger())
    with ProcessExecutor() as executor:
        judges = [
            solve_judges(points, ledger, executor)
            for points in (
                design(0, FRESH, FRESH_SEED),
                light_design(0, FRESH_LIGHT, FRESH_LIGHT_SEED),
                massless_design(FRESH, FRESH_MASSLESS, FRESH_SEED),
            )
        ]
        several, several_worst = hierarchies(ledger, executor)
    found, light, none = (judge(learned_power(), fresh) for fresh in judges)
    growth = growth_errors(judges[0])
    draw(judges[0])
    checks = bounds(found, light, none, several_worst, float(np.max(growth)))
    rows = [
        [words, *(f"{judged[key][name]:.1e}" for name in BANDS)]
        for judged, key, words in (
            (found, "rms", "rms, z <= 4"),
            (found, "largest", "95% of the solutions, z <= 4"),
            (found, "worst", "the worst, z <= 4"),
            (found, "early", "95%, z = 4 to 100"),
            (light, "worst", "up to 0.06 eV: the worst, z <= 4"),
            (light, "early", "up to 0.06 eV: 95%, z = 4 to 100"),
            (none, "worst", "no mass: the worst, z <= 4"),
            (none, "early", "no mass: 95%, z = 4 to 100"),
            (learned_record()["certificate_several"], "early",
             "three massive states: 95%, z = 4 to 100"),
        )
    ]  # fmt: skip
    head, record = ("", *(f"{name} /Mpc" for name in BANDS)), learned_record()
    finish(
        "linear_power",
        [
            "# The learned linear power spectrum",
            f"Trained on {record['solutions']} solutions of CLASS in eight parameters, corrected "
            f"by {record['finer_solutions']} finer ones; below {1e3 * SPLITS[0]:g}e-3/Mpc trained "
            f"on {record['long_solutions']} solutions of the longest waves alone; then on "
            f"{record['massless_solutions']} more without mass, and on "
            f"{record['several_solutions']} with three massive states. Judged by "
            f"{found['solutions']} finer ones, uniform in the box, by {light['solutions']} with "
            "light neutrinos and by "
            f"{none['solutions']} without mass: matter and cb, all wavenumbers of a band and all "
            "redshifts; of each solution the largest error counts.",
            check_table(checks),
            table(head, rows),
            "![errors](linear_power.png)",
            "CLASS's own error: the settings of the judges, and those of the first solutions, "
            "against finer ones than both, largest to z = 4:",
            table(head, own_error()),
            f"Settings of the first solutions: {_words(PRECISION)}; of the correction and the "
            f"judges also {_words(dict(FINER.items() - PRECISION.items()))}; of the long waves "
            f"these and {_words(dict(LONG.items() - FINER.items()))}. Below 1e-3/Mpc CLASS "
            "interpolates badly between few modes in curved universes: the judges have "
            f"{DENSER:g} per decade below {LONG_K[-1]:.2g}/Mpc.",
            "Three massive states, added up from what was learned with one, and with what was "
            "learned of pairs, to z = 4:",
            table(head, several),
            "Before z = 100, and with unequal masses: "
            "[beyond the training](linear_power_beyond.md).",
        ],
        checks,
    )


if __name__ == "__main__":
    main()
