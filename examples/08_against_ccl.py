"""Distances, P(k) and shear around galaxies beside CCL: figures 1 to 3 of Campagne et al. 2023.

    python examples/08_against_ccl.py --output figures

Both codes get the same universe: radiation, massless neutrinos, Eisenstein & Hu's linear power
normalised by sigma8, halofit. Each figure has the curves above and their ratio below. Needs pyccl
(`pip install pyccl`), with which the package is developed; nothing else here does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import jax
import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from volvelle.cosmology import Cosmology, comoving_distance, to_ccl
from volvelle.power import EisensteinHu, Halofit, linear_power, nonlinear_power
from volvelle.probes import NumberCounts, Smail, WeakLensing, angular_cl

UNIVERSE = {
    "Omega_cdm": 0.2545, "Omega_b": 0.0485, "h": 0.682, "sigma8": 0.801, "n_s": 0.971,
    "tau_reio": 0.06, "m_nu": 0.0,
}  # fmt: skip
LENSES, SOURCES = (2.0, 1.5, 0.25), (2.0, 1.5, 0.5)
BIAS = 1.5

Curve = tuple[str, np.ndarray, np.ndarray]
"""Name, ours, CCL's."""


def other_universe(cosmology: Cosmology) -> Any:
    """CCL's; a clear word where it is not installed."""
    try:
        import pyccl
    except ImportError:
        sys.exit("this example compares with CCL, which is not installed: pip install pyccl")
    return pyccl.Cosmology(
        **to_ccl(cosmology), transfer_function="eisenstein_hu", matter_power_spectrum="halofit"
    )


def distances(cosmology: Cosmology, other: Any) -> tuple[np.ndarray, list[Curve]]:
    """Figure 1: the radial comoving distance."""
    a = np.linspace(0.01, 0.999, 400)
    return a, [("", np.asarray(comoving_distance(cosmology, a)), other.comoving_radial_distance(a))]


def powers(cosmology: Cosmology, other: Any) -> tuple[np.ndarray, list[Curve]]:
    """Figure 2: linear and non-linear power today."""
    k, linear = np.geomspace(1e-3, 10.0, 400), EisensteinHu()
    return k, [
        (
            "linear",
            np.asarray(linear_power(cosmology, k, 1.0, linear)),
            other.linear_matter_power(k, 1.0),
        ),
        (
            "halofit",
            np.asarray(nonlinear_power(cosmology, k, 1.0, Halofit(linear))),
            other.nonlin_matter_power(k, 1.0),
        ),
    ]


def shears(cosmology: Cosmology, other: Any) -> tuple[np.ndarray, list[Curve]]:
    """Figure 3: the angular spectrum of shapes and positions."""
    import pyccl

    ell, z = np.geomspace(10.0, 3000.0, 60), np.linspace(0.0, 3.0, 1500)
    lenses, sources = Smail(*LENSES, z_max=3.0), Smail(*SOURCES, z_max=3.0)
    tracers = [NumberCounts(lenses, BIAS), WeakLensing(sources)]
    model, cross = Halofit(EisensteinHu()), [(0, 1)]
    pair = jax.jit(  # Limber's approximation everywhere, as CCL has it
        lambda at: angular_cl(at, ell, tracers, model, pairs=cross, limber="always").values[0]
    )
    counts = pyccl.NumberCountsTracer(
        other, has_rsd=False, dndz=(z, np.asarray(lenses(z))), bias=(z, np.full_like(z, BIAS))
    )
    shapes = pyccl.WeakLensingTracer(other, dndz=(z, np.asarray(sources(z))))
    return ell, [("", np.asarray(pair(cosmology)), pyccl.angular_cl(other, counts, shapes, ell))]


FIGURES = {
    "distance": (distances, "a", r"$\chi$ [Mpc]", "linear"),
    "power": (powers, "k [1/Mpc]", r"P [Mpc$^3$]", "log"),
    "shear": (shears, r"$\ell$", r"$C_\ell$, shapes and positions", "log"),
}


def draw(name: str, x: np.ndarray, curves: list[Curve], path: Path) -> float:
    """One figure; returns the largest relative difference."""
    _, along, up, scale = FIGURES[name]
    figure, (above, below) = plt.subplots(
        2, 1, sharex=True, height_ratios=(3, 1), figsize=(6.0, 5.0), layout="constrained"
    )
    largest = 0.0
    for n, (label, ours, theirs) in enumerate(curves):
        off = ours / theirs - 1.0
        largest = max(largest, float(np.max(np.abs(off))))
        above.plot(x, theirs, color=f"C{n}", lw=4, alpha=0.35, label=f"CCL {label}".strip())
        above.plot(x, ours, color=f"C{n}", lw=1, label=f"Volvelle {label}".strip())
        below.plot(x, off, color=f"C{n}", lw=1)
    above.set(xscale=scale, yscale=scale, ylabel=up)
    above.legend(frameon=False)
    below.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    below.set(xlabel=along, ylabel="difference / CCL")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return largest


def main() -> None:
    """Draw all three."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/against-ccl"))
    folder = parser.parse_args().output
    jax.config.update("jax_enable_x64", True)
    folder.mkdir(parents=True, exist_ok=True)
    cosmology = Cosmology(**UNIVERSE)
    other = other_universe(cosmology)
    for name, (compute, *_) in FIGURES.items():
        path = folder / f"{name}.png"
        largest = draw(name, *compute(cosmology, other), path)
        print(f"{path}: within {largest:.1e} of CCL")


if __name__ == "__main__":
    main()
