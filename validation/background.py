"""Expansion, distances and growth against CLASS and CCL, and their derivatives.

Writes docs/validation/background.md and background.png. A minute on one core.
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from common import PAGES, ROOT, Check, at_most, check_table, finish, table

sys.path.insert(0, str(ROOT / "tests"))

import volvelle.cosmology as vc
from universes import CASES, PRECISION, A, Z, class_background

DISTANCE, GROWTH, DERIVATIVE = 1e-5, 1e-4, 1e-4
"""The bounds: of distances, of growth (to z = 100), and of the derivatives of both."""
PARAMETERS = ("omega_b", "omega_cdm", "h", "N_eff", "w0", "wa", "Omega_k", "T_cmb", "m_nu")
"""The last is every mass, where each state has its own."""
FUNCTIONS = (
    "hubble",
    "comoving_distance",
    "transverse_comoving_distance",
    "angular_diameter_distance",
    "luminosity_distance",
    "lookback_time",
    "age",
    "sound_horizon",
    "growth_factor",
    "growth_rate",
)
MASS_STEP = 1e-6
"""Of the one-sided difference at m_nu = 0 [eV]: masses are felt from some 1e-4 eV on."""
LATE = Z <= 100.0


def against_class(name: str) -> dict[str, np.ndarray]:
    """Relative differences at the redshifts ``Z``."""
    cosmology, truth = CASES[name], class_background(name)
    return {
        "H": vc.hubble(cosmology, A) / truth.hubble - 1.0,
        "chi": vc.comoving_distance(cosmology, A) / truth.chi - 1.0,
        "D_M": vc.transverse_comoving_distance(cosmology, A) / truth.transverse - 1.0,
        "age": vc.age(cosmology, A) / truth.age - 1.0,
        "D": (vc.growth_factor(cosmology, A) / truth.growth - 1.0)[LATE],
        "f": (vc.growth_rate(cosmology, A) / truth.rate - 1.0)[LATE],
    }


def against_ccl(name: str) -> tuple[float, float, float]:
    """Largest relative difference of chi, of D_M and of D; CCL has no growth with massive
    neutrinos."""
    import pyccl

    cosmology = CASES[name]
    other = pyccl.Cosmology(**vc.to_ccl(cosmology), transfer_function="eisenstein_hu")
    differences = [
        float(np.max(np.abs(found / theirs - 1.0)))
        for found, theirs in (
            (vc.comoving_distance(cosmology, A), pyccl.comoving_radial_distance(other, A)),
            (
                vc.transverse_comoving_distance(cosmology, A),
                pyccl.comoving_angular_distance(other, A),
            ),
        )
    ]
    if cosmology.M_nu > 0.0:
        return differences[0], differences[1], np.nan
    near = Z <= 10.0
    growth = pyccl.growth_factor(other, A[near])
    difference = np.abs(vc.growth_factor(cosmology, A[near]) / growth - 1.0)
    return differences[0], differences[1], float(np.max(difference))


def _values(theta: jax.Array, cosmology: vc.Cosmology) -> jax.Array:
    """[functions, redshifts] of a vector of ``PARAMETERS``."""
    others, own = len(PARAMETERS) - 1, cosmology.neutrino_hierarchy == vc.MASSES
    given = dict(zip(PARAMETERS, theta[:others], strict=False))
    changed = cosmology.replace(**given, m_nu=theta[others:] if own else theta[others])
    return jnp.stack([getattr(vc, function)(changed, jnp.asarray(A)) for function in FUNCTIONS])


values, jacobian = jax.jit(_values), jax.jit(jax.jacfwd(_values))


def derivative_errors(name: str) -> dict[str, float]:
    """Of each function: largest error of a derivative in any parameter, z = 0.001 to 1100.

    Relative to the difference quotient of fourth order or, where that is small, to a thousandth of
    the largest one over redshift. At m_nu = 0 the quotient is of second order, from one side; there
    the derivative is 0, as the energy grows with the square of the mass, and the error is relative
    to 1% of the function per eV.
    """
    centre = jnp.concatenate([jnp.ravel(getattr(CASES[name], p)) for p in PARAMETERS])
    exact = np.asarray(jacobian(centre, CASES[name]))

    def moved(n: int, step: float) -> np.ndarray:
        return np.asarray(values(centre.at[n].add(step), CASES[name]))

    value = moved(0, 0.0)
    worst = dict.fromkeys(FUNCTIONS, 0.0)
    for n in range(centre.size):
        mass = n >= len(PARAMETERS) - 1
        if mass and float(centre[n]) == 0.0:  # a negative mass does not exist
            one, two = (moved(n, d * MASS_STEP) - value for d in (1.0, 2.0))
            difference = (4.0 * one - two) / (2.0 * MASS_STEP)
            least = 1e-2 * np.max(np.abs(value), axis=1, keepdims=True)
        else:
            step = 1e-3 * max(abs(float(centre[n])), 0.2)
            one, two = (
                (moved(n, d * step) - moved(n, -d * step)) / (2.0 * d * step) for d in (1.0, 2.0)
            )
            difference = (4.0 * one - two) / 3.0
            least = 1e-3 * np.max(np.abs(difference), axis=1, keepdims=True)
        floor = np.maximum(np.abs(difference), least) + 1e-6 * np.abs(value)
        error = np.max(np.abs(exact[..., n] - difference) / floor, axis=1)
        for function, found in zip(FUNCTIONS, error, strict=True):
            worst[function] = max(worst[function], float(found))
    return worst


def draw(curves: dict[str, dict[str, np.ndarray]]) -> None:
    """Differences to CLASS against 1 + z."""
    figure, axes = plt.subplots(2, 1, figsize=(7, 6), sharex=True)
    for name, found in curves.items():
        axes[0].loglog(1.0 + Z, np.abs(found["D_M"]), label=name, lw=0.9)
        axes[1].loglog(1.0 + Z[LATE], np.abs(found["D"]), lw=0.9)
    for axis, label, bound in ((axes[0], "D_M", DISTANCE), (axes[1], "D", GROWTH)):
        axis.axhline(bound, color="0.5", ls=":")
        axis.set_ylabel(f"|{label} / CLASS - 1|")
    axes[0].legend(fontsize=7, ncol=2)
    axes[1].set_xlabel("1 + z")
    figure.tight_layout()
    figure.savefig(PAGES / "background.png", dpi=130)


def main() -> None:
    """Compare, draw, write."""
    curves = {name: against_class(name) for name in CASES}
    draw(curves)
    checks: list[Check] = []
    for key, bound in (("H", DISTANCE), ("chi", DISTANCE), ("D_M", DISTANCE), ("age", DISTANCE),
                       ("D", GROWTH), ("f", GROWTH)):  # fmt: skip
        worst = max(float(np.max(np.abs(found[key]))) for found in curves.values())
        checks.append(at_most(f"{key}, largest difference to CLASS", worst, bound, 8))
    ccl = {name: against_ccl(name) for name in CASES}
    for n, key in enumerate(("chi", "D_M")):
        worst = max(found[n] for found in ccl.values())
        checks.append(at_most(f"{key}, largest difference to CCL", worst, DISTANCE, 8))
    errors = {name: derivative_errors(name) for name in CASES}
    for function in FUNCTIONS:
        worst = max(found[function] for found in errors.values())
        checks.append(at_most(f"derivatives of {function}", worst, DERIVATIVE, 8))
    rows: list[list[Any]] = []
    for name, found in curves.items():
        largest = [f"{np.max(np.abs(values)):.1e}" for values in found.values()]
        others = [f"{value:.1e}" if np.isfinite(value) else "-" for value in ccl[name]]
        rows.append([name, *largest, *others])
    settings = ", ".join(f"`{key}: {value:g}`" for key, value in PRECISION.items())
    head = ("", *(f"{key}, CLASS" for key in next(iter(curves.values()))))
    head = (*head, "chi, CCL", "D_M, CCL", "D, CCL")
    finish(
        "background",
        [
            "# Background: expansion, distances, growth",
            f"{len(CASES)} universes (tests/universes.py), with none, one, two, three and four "
            "massive neutrinos, z = 0.001 to 1100, growth to z = 100 (before, "
            "CLASS's own start leaves a decaying mode: 3e-4 at z = 1100). CLASS with "
            f"{settings}.",
            check_table(checks),
            "Largest relative differences. CCL takes neutrinos' densities from a table, is least "
            "precise at z = 0.001, and has no growth factor with massive neutrinos:",
            table(head, rows),
            "![differences](background.png)",
            "Derivatives, in eight parameters and every mass, z = 0.001 to 1100: automatic ones "
            "against difference quotients of fourth order of the same functions, where the "
            "derivative is not below a thousandth of its largest value over redshift. At m_nu = 0 "
            "the quotient is one-sided, "
            f"with a step of {MASS_STEP:g} eV, and the error relative to 1% of the function per "
            "eV: the derivative is 0 there.",
        ],
        checks,
    )


if __name__ == "__main__":
    main()
