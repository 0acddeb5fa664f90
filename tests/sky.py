"""A universe, its P(k, a) and samples of galaxies, the same for this package and for CCL."""

from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology, planck18, to_ccl
from volvelle.power import Model, Spectrum
from volvelle.probes import AngularSpectra, angular_cl

COSMOLOGY = planck18().replace(m_nu=0.0)
LOG_K = np.linspace(np.log(1e-5), np.log(200.0), 1200)
LAYER = np.linspace(0.0, np.log(1101.0), 120)  # ln(1 + z)


class Lattice(Spectrum):
    """ln P on equal steps of ln k and ln(1 + z), by cubics through the four nearest nodes."""

    log_power: Float[Array, "z k"]
    k_min: float = eqx.field(static=True)
    k_max: float = eqx.field(static=True)
    a_min: float = eqx.field(static=True)

    def matter(self, k: Float[Array, " *k"], a: Float[Array, " *k"]) -> Float[Array, " *k"]:
        layers, columns = self.log_power.shape
        x = (jnp.log(k) - np.log(self.k_min)) / np.log(self.k_max / self.k_min) * (columns - 1)
        y = jnp.log(a) / np.log(self.a_min) * (layers - 1)
        i, wx = _four(x, columns)
        j, wy = _four(y, layers)
        total = jnp.zeros(jnp.broadcast_shapes(k.shape, a.shape))
        for up in range(4):
            for right in range(4):
                total = total + wy[up] * wx[right] * self.log_power[j + up, i + right]
        return jnp.exp(total)

    def cb(self, k: Float[Array, " *k"], a: Float[Array, " *k"]) -> Float[Array, " *k"]:
        return self.matter(k, a)


def _four(x: Array, number: int) -> tuple[Array, list[Array]]:
    start = jnp.clip(jnp.floor(x).astype(int) - 1, 0, number - 4)
    t = x - start
    weights = [
        -(t - 1.0) * (t - 2.0) * (t - 3.0) / 6.0,
        t * (t - 2.0) * (t - 3.0) / 2.0,
        -t * (t - 1.0) * (t - 3.0) / 2.0,
        t * (t - 1.0) * (t - 2.0) / 6.0,
    ]
    return start, weights


class Scaled(Model):
    """A lattice whose amplitude, tilt and width in k follow the cosmology, for gradients.

    No physics: any smooth function of every parameter will do.
    """

    base: Lattice
    fiducial: Cosmology

    def spectrum(self, cosmology: Cosmology) -> Lattice:
        shift = sum(
            jnp.log(getattr(cosmology, name) / getattr(self.fiducial, name))
            for name in ("omega_b", "omega_cdm", "h", "A_s", "n_s")
        )
        shift = shift + cosmology.m_nu + cosmology.w0 + 0.3 * cosmology.wa + cosmology.Omega_k
        tilt = (cosmology.n_s - self.fiducial.n_s) * (LOG_K - np.log(0.05))
        growth = 0.1 * shift * LAYER[:, None]
        values = self.base.log_power + shift + tilt + growth
        return Lattice(values, self.base.k_min, self.base.k_max, self.base.a_min)


@lru_cache(maxsize=4)
def ccl_universe(case: str = "flat") -> tuple[Any, Any, Lattice]:
    """CCL's cosmology and its P(k, a), Eisenstein & Hu 1998 with halofit, twice."""
    import pyccl as ccl

    given = {name: value for name, value in to_ccl(universe(case)).items() if name != "A_s"}
    given |= {"sigma8": 0.81, "transfer_function": "eisenstein_hu"}
    other = ccl.Cosmology(**given, matter_power_spectrum="halofit")
    a = np.exp(-LAYER)[::-1]
    k = np.exp(LOG_K)
    linear = np.log([other.linear_matter_power(k, each) for each in a])
    late = a > 0.1
    log_power = linear.copy()
    log_power[late] = np.log([other.nonlin_matter_power(k, each) for each in a[late]])
    # Between z = 9 and 3 one becomes the other: halofit is not made for earlier times.
    weight = np.clip((np.log(a) - np.log(0.1)) / np.log(2.5), 0.0, 1.0)[:, None]
    log_power = weight * log_power + (1.0 - weight) * linear
    table = ccl.Pk2D(a_arr=a, lk_arr=LOG_K, pk_arr=log_power, is_logp=True)
    with jax.ensure_compile_time_eval():  # who asks first may be tracing
        values = jnp.asarray(log_power[::-1])
    ours = Lattice(values, float(k[0] * (1 + 1e-12)), float(k[-1]), float(a[0]))
    return other, table, ours


def universe(case: str) -> Cosmology:
    """Universes to compare in."""
    return {
        "flat": COSMOLOGY,
        "neutrinos": planck18().replace(m_nu=0.3, neutrino_hierarchy="degenerate"),
        "thawing": COSMOLOGY.replace(w0=-0.8, wa=-0.3),
    }[case]


def compiled_cl(*arguments: Any, **settings: Any) -> AngularSpectra:
    """``angular_cl``, compiled as a whole: sooner done than operation by operation."""
    return jax.jit(lambda: angular_cl(*arguments, **settings))()
