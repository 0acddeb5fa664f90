"""The challenge of Leonard et al. 2023 (arXiv:2212.04291): its kernels, spectra and measure.

Ten samples of lenses and five of sources, 120 spectra at 103 multipoles.
"""

from itertools import combinations_with_replacement
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import simpson

from volvelle.cosmology import Cosmology
from volvelle.cosmology.interpolation import Curve, Nodes
from volvelle.power import TabulatedPower
from volvelle.probes import CustomTracer, Tracer

WIDTHS = ("full", "half", "quarter")
COSMOLOGY = Cosmology(
    Omega_b=0.0492,
    Omega_cdm=0.3156 - 0.0492,
    h=0.6727,
    A_s=2.12107e-9,
    n_s=0.9645,
    m_nu=0.0,
    N_eff=3.046,
    tau_reio=0.06,
)
"""That of the challenge, whose distances it has to 3e-7."""
LENSES, SOURCES = 10, 5
_F_SKY, _PER_ARCMIN2, _ELLIPTICITY = 0.4, (40.0, 27.0), 0.28


def power(folder: Path) -> TabulatedPower:
    """The non-linear P(k, z)."""
    read = np.load(folder / "pk.npz")
    return TabulatedPower(read["k"], read["z"], read["pk_nl"])


def tracers(folder: Path, width: str) -> list[Tracer]:
    """Lenses and sources."""
    read = np.load(folder / f"kernels_{width}width.npz")
    lenses = [_tracer(read["z_cl"], kernel, 0, 0) for kernel in read["kernels_cl"]]
    return lenses + [_tracer(read["z_sh"], kernel, 2, -1) for kernel in read["kernels_sh"]]


def _tracer(z: np.ndarray, kernel: np.ndarray, angular: int, bessel: int) -> Tracer:
    with jax.ensure_compile_time_eval():
        curve = Curve.through(Nodes.of(z), jnp.asarray(kernel))

    def known(cosmology: Cosmology, a: jax.Array) -> jax.Array:
        at = 1.0 / a - 1.0
        return jnp.where(at >= z[0], curve(jnp.clip(at, z[0], z[-1])), 0.0)

    return CustomTracer(known, float(z[-1]), angular=angular, bessel=bessel, scale=0.01)


def reference(folder: Path, width: str) -> tuple[np.ndarray, np.ndarray]:
    """Multipoles [l] and C_l [l, tracers, tracers] by brute force."""
    number = LENSES + SOURCES
    blocks = {
        "gg": list(combinations_with_replacement(range(LENSES), 2)),
        "gs": [(i, j) for i in range(LENSES) for j in range(LENSES, number)],
        "ss": list(combinations_with_replacement(range(LENSES, number), 2)),
    }
    found = np.zeros((0, number, number))
    for name, pairs in blocks.items():
        read = np.load(folder / f"benchmarks_nl_{width}_cl{name}.npz")
        ell = read["ls"]
        found = found if found.size else np.zeros((ell.size, number, number))
        for (i, j), cl in zip(pairs, read["cls"], strict=True):
            found[:, i, j] = found[:, j, i] = cl
    return ell, found


def delta_chi2(folder: Path, cl: np.ndarray, ell: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[l] of the difference, by the Gaussian covariance of the challenge.

    f_sky = 0.4; 40 lenses and 27 sources per square arcminute, divided as the samples of full
    width; a multipole stands for all up to the next.
    """
    read = np.load(folder / "dNdzs_fullwidth.npz")
    noise = []
    for name, density, variance in zip(
        ("cl", "sh"), _PER_ARCMIN2, (1.0, _ELLIPTICITY**2), strict=True
    ):
        share = simpson(read[f"dNdz_{name}"], x=read[f"z_{name}"], axis=0)
        share = share / share.sum() * density * (180.0 * 60.0 / np.pi) ** 2
        noise.append(variance / share)
    inverse = np.linalg.inv(truth + np.diag(np.concatenate(noise)))
    modes = 0.5 * np.diff(np.append(ell, ell[-1] ** 2 / ell[-2]) ** 2)
    product = (cl - truth) @ inverse
    return _F_SKY * modes * np.einsum("lij,lji->l", product, product)
