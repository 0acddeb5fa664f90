"""Fisher matrices by two methods, finite differences of CCL, MOPED: figures 4 to 6 of
Campagne et al. 2023.

    python examples/12_fisher_and_moped.py --output figures

Two samples of sources and two of lenses, their ten angular spectra at 50 multipoles, Omega_cdm and
sigma8 free. Figure 5 needs pyccl (`pip install pyccl`), with which the package is developed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from volvelle.cosmology import Cosmology, to_ccl
from volvelle.inference import (
    Fisher,
    Moped,
    fisher_from_hessian,
    fisher_from_jacobian,
    gaussian_log_likelihood,
)
from volvelle.power import EisensteinHu, Halofit
from volvelle.probes import (
    AngularSpectra,
    BlockCovariance,
    NumberCounts,
    Smail,
    WeakLensing,
    angular_cl,
    gaussian_covariance,
    shape_noise,
    shot_noise,
)

NAMES, LABELS = ("Omega_cdm", "sigma8"), (r"$\Omega_\mathrm{c}$", r"$\sigma_8$")
FIDUCIAL = np.array([0.2589, 0.8159])
OTHERS = {"Omega_b": 0.0486, "h": 0.6774, "n_s": 0.9667, "tau_reio": 0.066, "m_nu": 0.0}
ELL = np.geomspace(10.0, 1000.0, 50)
SHAPES, BIAS, DENSITY, ELLIPTICITY, F_SKY = ((1.5, 2.0, 0.5), (1.5, 2.0, 1.0)), 1.3, 2.0, 0.26, 0.1
Z_MAX, POWER = 4.0, Halofit(EisensteinHu())
SAMPLES = [Smail(*shape, z_max=Z_MAX) for shape in SHAPES]
TRACERS = [*map(WeakLensing, SAMPLES), *(NumberCounts(sample, BIAS) for sample in SAMPLES)]
STEPS = (1e-6, 1e-2, 1e-1)
"""Of the finite differences, in both parameters."""
LEVELS = (2.30, 6.18, 11.83)
"""Delta chi2 of 68.3%, 95.4% and 99.7% in two parameters."""


def universe(x: np.ndarray | jax.Array) -> Cosmology:
    """At values of the two parameters."""
    return Cosmology(**dict(zip(NAMES, x, strict=True)), **OTHERS)


def spectra(x: np.ndarray | jax.Array) -> AngularSpectra:
    """All ten, by Limber's approximation, as CCL has it."""
    return angular_cl(universe(x), ELL, TRACERS, POWER, limber="always")


def mean(x: jax.Array) -> jax.Array:
    """The data [pairs, l] without noise."""
    return spectra(x).values


def noise() -> list[jax.Array]:
    """Of shapes and of positions."""
    return [shape_noise(DENSITY, ELLIPTICITY)] * 2 + [shot_noise(DENSITY)] * 2


def both_methods() -> tuple[Fisher, Fisher, BlockCovariance, jax.Array]:
    """Figure 4: by the Hessian of ln L and by the Jacobian of the mean."""
    found = jax.jit(spectra)(jnp.asarray(FIDUCIAL))
    covariance = gaussian_covariance(found, noise(), F_SKY)
    log_likelihood = gaussian_log_likelihood(found.values, mean, covariance)
    by_hessian = fisher_from_hessian(log_likelihood, NAMES, FIDUCIAL)
    by_jacobian = fisher_from_jacobian(mean, covariance, NAMES, FIDUCIAL)
    return by_hessian, by_jacobian, covariance, found.values


def ccl_mean(x: np.ndarray) -> np.ndarray:
    """The same data [pairs, l] by CCL; a clear word where it is not installed."""
    try:
        import pyccl
    except ImportError:
        sys.exit("figure 5 compares with CCL, which is not installed: pip install pyccl")
    other = pyccl.Cosmology(
        **to_ccl(universe(x)), transfer_function="eisenstein_hu", matter_power_spectrum="halofit"
    )
    z = np.linspace(0.0, Z_MAX, 1500)
    densities = [(z, np.asarray(sample(z))) for sample in SAMPLES]
    tracers = [pyccl.WeakLensingTracer(other, dndz=each) for each in densities]
    bias = (z, np.full_like(z, BIAS))
    tracers += [
        pyccl.NumberCountsTracer(other, has_rsd=False, dndz=each, bias=bias) for each in densities
    ]
    number = range(len(tracers))
    return np.array(
        [pyccl.angular_cl(other, tracers[i], tracers[j], ELL) for i in number for j in number[i:]]
    )


def by_differences(
    function: Callable[[np.ndarray], np.ndarray], step: float, covariance: BlockCovariance
) -> Fisher:
    """Figure 5: derivatives by central differences of fourth order."""
    rows = []
    for unit in np.eye(len(FIDUCIAL)):
        far, near = ([function(FIDUCIAL + k * step * unit) for k in (-n, n)] for n in (2, 1))
        rows.append((far[0] - 8.0 * near[0] + 8.0 * near[1] - far[1]) / (12.0 * step))
    slope = jnp.asarray(rows)
    matrix = jnp.einsum("ipl,jpl->ij", slope, covariance.solve(slope))
    return Fisher(NAMES, FIDUCIAL, matrix)


def grids(
    fisher: Fisher, made: Moped, covariance: BlockCovariance, data: jax.Array, number: int = 61
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Figure 6: both axes, and Delta chi2 of all data and of the two numbers of MOPED."""
    compressed = made.compress(data)

    def chi2(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = mean(x)
        return covariance.chi2(data - found), jnp.sum((compressed - made.compress(found)) ** 2)

    errors = np.asarray(fisher.marginal_errors)
    axes = [
        f + 4.5 * e * np.linspace(-1.0, 1.0, number) for f, e in zip(FIDUCIAL, errors, strict=True)
    ]
    points = jnp.asarray(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2))
    whole, small = jax.jit(lambda p: jax.lax.map(chi2, p))(points)
    return axes, np.asarray(whole).reshape(number, -1), np.asarray(small).reshape(number, -1)


def outline(fisher: Fisher) -> np.ndarray:
    """[200, 2] points of the ellipse of 68.3%."""
    angle = np.linspace(0.0, 2.0 * np.pi, 200)
    circle = np.sqrt(LEVELS[0]) * np.stack([np.cos(angle), np.sin(angle)])
    return FIDUCIAL + (np.linalg.cholesky(np.asarray(fisher.covariance)) @ circle).T


def draw(path: Path, curves: list[tuple[str, np.ndarray, str]]) -> None:
    """Ellipses with their names."""
    figure, axes = plt.subplots(figsize=(5.0, 4.0), layout="constrained")
    for n, (name, points, style) in enumerate(curves):
        color = "black" if n == 0 else f"C{n - 1}"
        axes.plot(*points.T, style, color=color, label=name, lw=2.5 if style == "-" else 1.5)
    axes.set(xlabel=LABELS[0], ylabel=LABELS[1])
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_grids(path: Path, axes_of: list[np.ndarray], whole: np.ndarray, small: np.ndarray) -> None:
    """Contours of the likelihood of all data, and of the compressed ones."""
    figure, axes = plt.subplots(figsize=(5.0, 4.0), layout="constrained")
    for chi2, color, style in ((whole, "black", "-"), (small, "C1", "--")):
        axes.contour(*axes_of, (chi2 - chi2.min()).T, LEVELS, colors=color, linestyles=style)
    axes.plot([], [], color="black", label=f"all {10 * ELL.size} data")
    axes.plot([], [], "--", color="C1", label="2 numbers of MOPED")
    axes.set(xlabel=LABELS[0], ylabel=LABELS[1])
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Draw all three."""
    parser = argparse.ArgumentParser(description="Figures 4 to 6 of Campagne et al. 2023.")
    parser.add_argument("--output", type=Path, default=Path("runs/fisher-and-moped"))
    folder = parser.parse_args().output
    jax.config.update("jax_enable_x64", True)
    folder.mkdir(parents=True, exist_ok=True)
    by_hessian, by_jacobian, covariance, data = both_methods()
    draw(
        folder / "fisher_methods.png",
        [
            ("Hessian of the log-likelihood", outline(by_hessian), "-"),
            ("Jacobian of the mean", outline(by_jacobian), "--"),
        ],
    )
    print(
        "errors:", dict(zip(NAMES, np.asarray(by_jacobian.marginal_errors).tolist(), strict=True))
    )
    made = Moped.of(mean, covariance, NAMES, FIDUCIAL)
    draw_grids(folder / "fisher_moped.png", *grids(by_jacobian, made, covariance, data))
    others = [(f"CCL, steps of {s:g}", by_differences(ccl_mean, s, covariance)) for s in STEPS]
    curves = [("Volvelle", outline(by_jacobian), "-")]
    draw(folder / "fisher_ccl.png", curves + [(n, outline(f), "--") for n, f in others])
    for name, fisher in others:
        ratio = np.asarray(fisher.marginal_errors / by_jacobian.marginal_errors)
        print(f"{name}: errors {ratio[0]:.4f} and {ratio[1]:.4f} of Volvelle's")


if __name__ == "__main__":
    main()
