"""Power spectra against CAMB: Eisenstein & Hu, halofit and HMcode-2020, for nine universes.

The non-linear models stand on CAMB's own linear power, so that nothing but them is compared. Writes
docs/validation/power.md and power.png. About five minutes on one core, most of it compiling.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import PAGES, Check, arguments, at_most, check_table, finish, table  # isort: skip

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from power_references import BASE, CASES, LOG10_T_AGN, Z, against_camb, arrays, camb_power
from power_references import K as TABLE_K
from volvelle.cosmology import Cosmology
from volvelle.power import EisensteinHu, Halofit, HMcode2020, Model, linear_power

VERSIONS: dict[str, tuple[str, Callable[[Model], Model]]] = {
    "takahashi": ("halofit, Takahashi et al. 2012", lambda linear: Halofit(linear)),
    "original": ("halofit, Smith et al. 2003", lambda linear: Halofit(linear, "smith")),
    "mead2020": ("HMcode-2020", lambda linear: HMcode2020(linear)),
    "mead2020_feedback": (
        f"HMcode-2020, log10 T_AGN = {LOG10_T_AGN}",
        lambda linear: HMcode2020(linear, LOG10_T_AGN),
    ),
}
BOUND = 0.5
"""Of the non-linear models, in percent."""
HEAVY = "heavy neutrinos"
HEAVY_BOUND = 1.0
"""The same with 0.4 eV of neutrinos, beyond what the models were calibrated for."""


def nonlinear(names: list[str]) -> tuple[list[Check], str, dict[str, dict[str, np.ndarray]]]:
    """Largest differences at k <= 10 h/Mpc, z <= 3, and those at z = 0 and 1 for the figure."""
    rows, curves = [], {}
    for name in names:
        for version, (_, model) in VERSIONS.items():
            off = 100.0 * against_camb(name, version, model)[0]
            curves.setdefault(version, {})[name] = off
        rows.append((name, *(f"{np.max(np.abs(of[name])):.3f}" for of in curves.values())))
        print(rows[-1], flush=True)
    checks = []
    light = [name for name in names if name != HEAVY]
    groups = [(light, f"{len(light)} universes", BOUND)]
    if HEAVY in names:
        groups.append(([HEAVY], HEAVY, HEAVY_BOUND))
    for chosen, words, bound in groups:
        worst = max(float(np.max(np.abs(of[name]))) for of in curves.values() for name in chosen)
        checks.append(at_most(f"largest of {words} and {len(VERSIONS)} models [%]", worst, bound))
    return checks, table(("", *(words for words, _ in VERSIONS.values())), rows), curves


def linear(names: list[str]) -> tuple[str, dict[str, np.ndarray]]:
    """Eisenstein & Hu over CAMB at z = 0."""
    rows, curves = [], {}
    for name in names:
        truth = camb_power(name).matter[0]
        off = 100.0 * (
            np.asarray(linear_power(CASES[name], TABLE_K, 1.0, EisensteinHu())) / truth - 1
        )
        curves[name] = off
        bands = ((1e-3, 0.01), (0.02, 0.3), (0.5, 10.0))
        inside = [(low <= TABLE_K) & (high >= TABLE_K) for low, high in bands]
        rows.append((name, *(f"{np.max(np.abs(off[here])):.1f}" for here in inside)))
    headers = ("", "k = 0.001 to 0.01", "0.02 to 0.3", "0.5 to 10 / Mpc")
    return table(headers, rows), curves


def clock(f: Callable[..., Any], *given: Any) -> tuple[float, float]:
    """CPU seconds of the first call, and the median of the next 20."""
    seconds = []
    for _ in range(21):
        start = time.process_time()
        jax.block_until_ready(f(*given))
        seconds.append(time.process_time() - start)
    return seconds[0], float(np.median(seconds[1:]))


def timings(models: dict[str, Model]) -> str:
    """Of the spectrum with 5000 values of it, and of these with the gradient of their sum."""
    k, a = jnp.geomspace(1e-3, 10.0, 5000), jnp.linspace(0.3, 1.0, 5000)

    def value(cosmology: Cosmology, model: Model) -> jax.Array:
        return jnp.sum(jnp.log(model.spectrum(cosmology)(k, a)))

    rows = []
    for name, model in models.items():
        given = (arrays(BASE), arrays(model))
        first, often = clock(eqx.filter_jit(value), *given)
        slope_first, slope_often = clock(eqx.filter_jit(eqx.filter_value_and_grad(value)), *given)
        rows.append(
            (name, f"{first:.1f}", f"{slope_first:.1f}", f"{1e3 * often:.1f}",
             f"{1e3 * slope_often:.1f}", f"{slope_often / often:.1f}")
        )  # fmt: skip
        print(rows[-1], flush=True)
    headers = ("", "compile [s]", "with gradient [s]", "value [ms]", "with gradient [ms]", "ratio")
    return table(headers, rows)


def draw(first: dict[str, np.ndarray], curves: dict[str, dict[str, np.ndarray]]) -> None:
    """Ratios to CAMB against k, one panel per model; non-linear ones at z = 0 and z = 1."""
    figure, axes = plt.subplots(1 + len(VERSIONS), 1, figsize=(8, 12), sharex=True)
    for name, off in first.items():
        axes[0].semilogx(TABLE_K, off, lw=0.8, label=name)
    axes[0].set_title("Eisenstein & Hu 1998, z = 0", fontsize=9)
    axes[0].legend(fontsize=7, ncol=3)
    axes[0].set_ylim(-15, 15)
    for axis, (version, (words, _)) in zip(axes[1:], VERSIONS.items(), strict=True):
        for n, (name, off) in enumerate(curves[version].items()):
            k, h = camb_power(name).k, float(CASES[name].h)
            here = k[(k > 0.005 * h) & (k <= 10.0 * h)]
            for z, style in ((0.0, "-"), (1.0, ":")):
                axis.semilogx(here, off[list(Z).index(z)], style, lw=0.8, color=f"C{n}")
        axis.set_title(f"{words}, z = 0 (lines) and 1 (dots)", fontsize=9)
        axis.set_ylim(-0.3, 0.3)
    for axis in axes:
        axis.axhline(0.0, color="0.7", lw=0.6, zorder=0)
        axis.set_ylabel("P / CAMB - 1 [%]", fontsize=8)
        axis.set_xlim(1e-3, 10.0)
    axes[-1].set_xlabel("k [1/Mpc]")
    figure.tight_layout()
    figure.savefig(PAGES / "power.png", dpi=130)


def main() -> None:
    """Compare, measure, write."""
    import camb

    options = arguments(__doc__).parse_args()
    names = ["planck", "closed"] if options.quick else list(CASES)
    PAGES.mkdir(parents=True, exist_ok=True)
    first, first_curves = linear(names)
    checks, rest, curves = nonlinear(names)
    draw(first_curves, curves)
    base = EisensteinHu()
    clocks = timings(
        {"Eisenstein & Hu": base, "halofit": Halofit(base), "HMcode-2020": HMcode2020(base),
         "HMcode-2020 with feedback": HMcode2020(base, LOG10_T_AGN)}
    )  # fmt: skip
    cases = "; ".join(f"{name}: {differs(CASES[name])}" for name in names if name != "planck")
    finish(
        "power",
        [
            "# Power spectra against CAMB",
            f"CAMB {camb.__version__}. The universes differ from Planck 2018 by: {cases}.",
            check_table(checks),
            "## Non-linear models\n\nOn CAMB's own linear power, 0.005 < k <= 10 h/Mpc, z <= 3; "
            "largest difference of P [%].",
            rest,
            "## Eisenstein & Hu\n\nWith A_s, z = 0; largest difference of P [%]. It is the fit's "
            "own: with CCL's version of the same fit it agrees to 5e-6.",
            first,
            "## Time\n\nCPU seconds on one thread: all that is made once per cosmology, and 5000 "
            "values of P(k, a). The gradient is that of their sum in all parameters.",
            clocks,
            "![ratios](power.png)",
        ],
        checks,
    )


def differs(cosmology: Cosmology) -> str:
    """What is not as in the base, in words."""
    own, base = cosmology.canonical(), BASE.canonical()
    return ", ".join(f"{name} = {own[name]}" for name in own if own[name] != base.get(name))


if __name__ == "__main__":
    main()
