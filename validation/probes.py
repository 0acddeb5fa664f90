"""Angular spectra and correlation functions against CCL, with one P(k, a) for both.

Spectra of counts, distortions with magnification, shear, alignments and CMB lensing by Limber's
approximation against CCL's; beyond it against plain quadrature with SciPy's Bessel functions;
w, gamma_t, xi_+ and xi_- against the sums over all multipoles of CCL's spectra, and CCL's own
transforms beside them. Writes docs/validation/probes.md and probes.png. Two minutes on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import PAGES, Check, arguments, at_most, check_table, finish, table  # isort: skip

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import itertools

import jax
import matplotlib.pyplot as plt
import numpy as np
import pyccl as ccl
from scipy.interpolate import CubicSpline
from scipy.special import jv

from brute_force import Sky, panels
from sky import COSMOLOGY, ccl_universe, compiled_cl
from volvelle.cosmology import comoving_distance
from volvelle.probes import (
    Alignment,
    CMBLensing,
    KernelDensity,
    NumberCounts,
    Smail,
    Tracer,
    WeakLensing,
    correlation_multipoles,
    gamma_t,
    w_theta,
    xi_minus,
    xi_plus,
)

RELATIVE, SIGMA = 1e-3, 0.1
"""The bounds: relative, and in standard deviations of one multipole over the whole sky."""
ELL = np.unique(np.geomspace(2, 3000, 30).astype(int))
Z = np.linspace(1e-4, 6.0, 6001)  # CCL interpolates between the values that it is given
NEAR, FAR = Smail(2.0, 1.5, 0.3), Smail(2.0, 1.5, 0.6)
TRACERS: dict[str, Tracer] = {
    "counts": NumberCounts(NEAR, 1.5),
    "counts, distorted and magnified": NumberCounts(NEAR, 1.3, rsd=True, magnification=0.6),
    "shear": WeakLensing(FAR),
    "shear with alignments": WeakLensing(FAR, Alignment(0.7, 1.2, 0.62), 0.02),
    "CMB lensing": CMBLensing(1089.0),
}
EDGES = np.geomspace(2.5, 40.0, 7)
"""Of angular bins [arcmin]: CCL's transform is of the flat sky."""
FUNCTIONS: dict[str, tuple[Callable[..., Any], str, int, tuple[str, str]]] = {
    "w_theta": (w_theta, "NN", 0, ("counts", "counts")),
    "gamma_t": (gamma_t, "NG", 2, ("counts", "shear")),
    "xi_plus": (xi_plus, "GG+", 0, ("shear", "shear")),
    "xi_minus": (xi_minus, "GG-", 4, ("shear", "shear")),
}
"""With CCL's name, the order of the flat sky's Bessel function, and the tracers."""
INTEGRALS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    0: lambda x: x * jv(1, x),
    2: lambda x: -x * jv(1, x) - 2.0 * jv(0, x),
    4: lambda x: (x - 8.0 / x) * jv(1, x) - 8.0 * jv(2, x),
}
"""Of x J_n(x): averages over the areas of bins, which the end of a sum makes ring."""
LAST = 50_000
LOW, Z_MAX, K_MAX = (2, 12, 40), 2.5, 0.2
"""Of the quadrature: multipoles, the largest redshift, and a wavenumber [1/Mpc] above which what is
left is Limber's."""


def ccl_tracers() -> dict[str, tuple[float, Any]]:
    """The same for CCL, with the factor 1 + m that it does not know."""
    other, _, _ = ccl_universe()
    near, far = ((Z, np.asarray(n(Z))) for n in (NEAR, FAR))
    one = np.ones_like(Z)
    before = ccl.gsl_params["LENSING_KERNEL_SPLINE_INTEGRATION"]
    ccl.gsl_params["LENSING_KERNEL_SPLINE_INTEGRATION"] = False
    many: dict[str, Any] = {"n_samples": 2000}
    found = {
        "counts": (
            1.0,
            ccl.NumberCountsTracer(other, dndz=near, bias=(Z, 1.5 * one), has_rsd=False, **many),
        ),
        "counts, distorted and magnified": (
            1.0,
            ccl.NumberCountsTracer(
                other, dndz=near, bias=(Z, 1.3 * one), has_rsd=True, mag_bias=(Z, 0.6 * one), **many
            ),
        ),
        "shear": (1.0, ccl.WeakLensingTracer(other, dndz=far, **many)),
        "shear with alignments": (
            1.02,
            ccl.WeakLensingTracer(
                other, dndz=far, ia_bias=(Z, 0.7 * ((1.0 + Z) / 1.62) ** 1.2), **many
            ),
        ),
        # with more samples CCL drops the kernel below 56 Mpc, 0.35% of this at l = 2
        "CMB lensing": (1.0, ccl.CMBLensingTracer(other, z_source=1089.0, n_samples=100)),
    }
    ccl.gsl_params["LENSING_KERNEL_SPLINE_INTEGRATION"] = before
    return found


def ccl_spectrum(tracers: dict[str, Any], one: str, two: str, ell: np.ndarray) -> np.ndarray:
    """C_l of a pair by CCL's Limber integral."""
    other, power, _ = ccl_universe()
    (m, first), (n, second) = tracers[one], tracers[two]
    cl = ccl.angular_cl(
        other, first, second, ell, p_of_k_a=power, limber_integration_method="spline"
    )
    return m * n * cl


def differences(
    found: np.ndarray, truth: np.ndarray, ell: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of [i, j, l]: relative to C_l or, where it is smaller, to a tenth of sqrt(C_ii C_jj); and in
    standard deviations of one multipole, sqrt((C_ii C_jj + C_ij^2) / (2 l + 1))."""
    diagonal = np.einsum("iil->il", truth)
    size = np.sqrt(diagonal[:, None] * diagonal)
    sigma = np.sqrt((size**2 + truth**2) / (2.0 * ell + 1.0))
    error = np.abs(found - truth)
    return error / np.maximum(np.abs(truth), 0.1 * size), error / sigma


def limber(tracers: dict[str, Any], ell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``differences`` to CCL of all pairs."""
    names = list(TRACERS)
    _, _, ours = ccl_universe()
    found = np.asarray(compiled_cl(COSMOLOGY, ell, list(TRACERS.values()), ours).matrix())
    truth = np.empty_like(found)
    for i, one in enumerate(names):
        for j, two in enumerate(names[: i + 1]):
            truth[i, j] = truth[j, i] = ccl_spectrum(tracers, one, two, ell)
    return differences(found, truth, ell)


def beyond() -> tuple[list[str], np.ndarray, np.ndarray]:
    """The same of spectra beyond Limber's approximation, to plain quadrature; what is relative is
    so to sqrt(C_ii C_jj)."""
    narrow, broad = KernelDensity([0.5], 0.02), Smail(2.0, 1.5, 0.2, z_max=Z_MAX)
    tracers = {
        "counts in a narrow bin": NumberCounts(narrow, 1.5),
        "counts, distorted and magnified": NumberCounts(broad, 1.3, rsd=True, magnification=0.7),
        "shear": WeakLensing(broad),
    }
    _, _, ours = ccl_universe()
    late, panel = float(comoving_distance(COSMOLOGY, 1.0 / (1.0 + Z_MAX))), 8.0 / K_MAX
    ends = np.linspace(1.0, late, int(late / panel))
    fine = np.expm1(np.linspace(0.0, np.log1p(Z_MAX), 20_000))
    edges = np.interp(ends, np.asarray(comoving_distance(COSMOLOGY, 1.0 / (1.0 + fine))), fine)
    sky = Sky(COSMOLOGY, ours, *panels(edges))
    fields = [
        sky.counts(narrow, 1.5),
        sky.counts(broad, 1.3) + sky.distortions(broad) + sky.lensed(broad, 5 * 0.7 - 2.0, 1),
        sky.lensed(broad, 1.0, 2),
    ]
    k, weights = panels(np.linspace(2e-5, K_MAX, int(K_MAX * late / 8.0)))
    truth = np.stack(
        [sky.spectra(ell, fields, k, weights) + sky.near(ell, fields, K_MAX) for ell in LOW], -1
    )
    spectra = compiled_cl(COSMOLOGY, LOW, list(tracers.values()), ours, limber="auto")
    found, ell = np.asarray(spectra.matrix()), np.asarray(LOW)
    diagonal = np.einsum("iil->il", truth)
    relative = np.abs(found - truth) / np.sqrt(diagonal[:, None] * diagonal)
    return list(tracers), relative, differences(found, truth, ell)[1]


def correlations(tracers: dict[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each function its relative differences to CCL's spectra, summed over all multipoles on the
    flat sky, and those of CCL's FFTLog; averages over the areas of bins.

    The flat sky is the curved one, at these angles, to 3e-4, when C_l is taken as one of l + 1/2.
    """
    other, _, ours = ccl_universe()
    some, every = correlation_multipoles(LAST, 200), np.arange(2.0, LAST + 1.0)
    x, w = np.polynomial.legendre.leggauss(64)
    theta = np.radians((EDGES[:-1, None] + np.diff(EDGES)[:, None] * (x + 1.0) / 2.0) / 60.0)
    area = w * np.sin(theta)
    result = {}
    for name, (function, kind, order, pair) in FUNCTIONS.items():
        own = [TRACERS[each] for each in dict.fromkeys(pair)]
        found = jax.jit(
            lambda f=function, t=own: f(COSMOLOGY, EDGES, t, ours, limber="always").values[0]
        )()
        few = ccl_spectrum(tracers, *pair, some) * some**2
        cl = CubicSpline(np.log(some + 0.5), few)(np.log(every + 0.5)) / every**2
        terms = cl / (2.0 * np.pi * (every + 0.5))
        edges = np.radians(EDGES / 60.0)
        whole = np.array([INTEGRALS[order]((every + 0.5) * edge) @ terms for edge in edges])
        sums = np.diff(whole) / (0.5 * np.diff(edges**2))
        theirs = ccl.correlation(
            other, ell=every + 0.5, C_ell=cl, theta=np.degrees(theta.ravel()), type=kind,
            method="fftlog",
        )  # fmt: skip
        fast = np.sum(theirs.reshape(theta.shape) * area, axis=1) / np.sum(area, axis=1)
        result[name] = np.asarray(found) / sums - 1.0, fast / sums - 1.0
        print(name, *result[name], flush=True)
    return result


def draw(
    ell: np.ndarray,
    relative: np.ndarray,
    sigma: np.ndarray,
    xi: dict[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    """Auto-spectra's differences, and those of correlation functions."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.8))
    for n, name in enumerate(TRACERS):
        axes[0].loglog(ell, relative[n, n], lw=0.9, label=name)
        axes[1].loglog(ell, sigma[n, n], lw=0.9)
    middle = np.sqrt(EDGES[1:] * EDGES[:-1])
    for name, (values, _) in xi.items():
        axes[2].loglog(middle, np.abs(values), ".-", lw=0.9, label=name)
    for axis, bound, label, below in (
        (axes[0], RELATIVE, "|C / CCL - 1|", "l"),
        (axes[1], SIGMA, "|C - CCL| / sigma(C_l)", "l"),
        (axes[2], RELATIVE, "|xi / CCL - 1|", "angle [arcmin]"),
    ):
        axis.axhline(bound, color="0.5", ls=":")
        axis.set(xlabel=below, ylabel=label)
    axes[0].legend(fontsize=6)
    axes[2].legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(PAGES / "probes.png", dpi=130)


def main() -> None:
    """Compare, draw, write."""
    options = arguments(__doc__).parse_args()
    ell = ELL[::4] if options.quick else ELL
    PAGES.mkdir(parents=True, exist_ok=True)
    tracers, names = ccl_tracers(), list(TRACERS)
    relative, sigma = limber(tracers, ell)
    low_names, low, low_sigma = beyond()
    xi = correlations(tracers)
    draw(ell, relative, sigma, xi)
    checks: list[Check] = []
    for n, name in enumerate(names):
        words = f"{name}, with itself and all others"
        checks.append(at_most(f"{words}: relative", float(np.max(relative[n])), RELATIVE, 6))
        checks.append(at_most(f"{words}: in sigma", float(np.max(sigma[n])), SIGMA, 4))
    checks += [
        at_most("beyond Limber: over sqrt(C_ii C_jj)", float(np.max(low)), RELATIVE, 6),
        at_most("beyond Limber: in sigma", float(np.max(low_sigma)), SIGMA, 4),
    ]
    for name, (values, _) in xi.items():
        checks.append(at_most(f"{name}: relative", float(np.max(np.abs(values))), RELATIVE, 6))
    pairs = [(i, j) for i in range(len(names)) for j in range(i + 1)]
    rows = [
        (f"{names[i]} x {names[j]}", f"{np.max(relative[i, j]):.1e}", f"{np.max(sigma[i, j]):.1e}")
        for i, j in pairs
    ]
    low_rows = [
        (f"{low_names[i]} x {low_names[j]}", *(f"{error:.1e}" for error in low[i, j]))
        for i in range(len(low_names))
        for j in range(i + 1)
    ]
    middle = [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(EDGES)]
    xi_rows = [
        (words, *(f"{value:.1e}" for value in values))
        for name, both in xi.items()
        for words, values in zip((name, f"{name}, CCL's FFTLog"), both, strict=True)
    ]
    finish(
        "probes",
        [
            "# Angular spectra and correlation functions against CCL",
            f"pyccl {ccl.__version__}. The universe of Planck 2018 without mass, and one table of "
            "P(k, a) for both codes: Eisenstein & Hu with halofit, sigma8 = 0.81.",
            check_table(checks),
            f"## Limber's approximation\n\nl = {ell[0]} to {ell[-1]}, largest differences: "
            "relative to C_l or, where that is smaller, to a tenth of sqrt(C_ii C_jj); and over "
            "the standard deviation of one multipole on the whole sky, without noise.",
            table(("", "relative", "in sigma"), rows),
            '## Beyond it\n\n`limber="auto"` against plain quadrature (tests/brute_force.py), over '
            "sqrt(C_ii C_jj).",
            table(("", *(f"l = {n}" for n in LOW)), low_rows),
            "## Correlation functions\n\nThe package's, in bins of these angles [arcmin], against "
            f"sums over all multipoles to {LAST} of CCL's spectra with SciPy's Bessel functions, "
            "on the flat sky with l + 1/2, averaged over bins. CCL's own transform of the same "
            "spectra, which goes on beyond the last multipole, is shown against the same sums; it "
            "is not taken as the truth.",
            table(("", *middle), xi_rows),
            "![differences](probes.png)",
        ],
        checks,
    )


if __name__ == "__main__":
    main()
