"""Born's approximation: the convergence that a lightcone's matter adds up to, on straight rays.

    kappa(n) = int dchi W(chi) delta(chi n, a(chi)),
    W = (3/2) Omega_m H0^2 / c^2 (chi / a) int_chi dz n(z) (chi(z) - chi) / chi(z)

in a flat universe (Bartelmann & Schneider 2001, Phys. Rep. 340, 291).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.neutrinos import is_traced
from volvelle.probes import CustomTracer, Delta, Distribution, WeakLensing
from volvelle.probes.grid import make_grid

from .errors import SkyError
from .shells import Shells, checked_distances

_NODES = 1000  # in z up to the last source: W is right to 1e-4
_ORDER = 32  # of the integral over a shell
_SCALE = 0.01  # in z, of theory: the kernel of a lightcone ends at its edges


class BornKernel(eqx.Module):
    """W(chi), tabulated to the last source."""

    distance: Float[Array, " n"]
    """[Mpc/h]."""
    weight: Float[Array, " n"]
    """W chi^-1 [(h/Mpc)^2], which hardly changes from node to node."""

    def __call__(self, distance: Float[Array, " *x"]) -> Float[Array, " *x"]:
        """W [h/Mpc] at comoving distances [Mpc/h], 0 beyond the sources."""
        return distance * jnp.interp(distance, self.distance, self.weight, right=0.0)

    def integral(self, edges: Any) -> np.ndarray:
        """[n] of W over each shell between edges [n + 1] [Mpc/h]."""
        ends = checked_distances(edges)
        nodes, weights = np.polynomial.legendre.leggauss(_ORDER)
        last = float(self.distance[-1])  # the kernel's derivative jumps there, or W itself
        low, high = np.minimum(ends[:-1], last), np.minimum(ends[1:], last)
        half = 0.5 * (high - low)[:, None]
        places = low[:, None] + half * (1.0 + nodes)
        return np.sum(np.asarray(self(jnp.asarray(places))) * weights * half, axis=1)


def born_kernel(cosmology: Cosmology, sources: float | Distribution) -> BornKernel:
    """W for sources at one redshift, or with n(z).

    Raises SkyError in a curved universe, in which a box of particles has no place (a traced Omega_k
    is not looked at).
    """
    if not is_traced(cosmology.Omega_k) and float(cosmology.Omega_k) != 0.0:
        raise SkyError(
            f"Omega_k is {float(cosmology.Omega_k):g}; distances in a box are those of a flat "
            "universe: set it to 0"
        )
    sample = sources if isinstance(sources, Distribution) else Delta(float(sources))  # pyright: ignore[reportCallIssue]
    z = np.linspace(0.0, sample.z_max, _NODES + 1)[1:]
    grid = make_grid(cosmology, z, growth=False)
    (term,) = WeakLensing(sample).contributions(cosmology, grid)
    h = cosmology.hubble_parameter
    ratio = term.kernel / grid.chi / h**2
    # At the observer W / chi tends to a constant.
    first = 2.0 * ratio[0] - ratio[1]
    return BornKernel(
        jnp.concatenate([jnp.zeros(1), grid.chi * h]), jnp.concatenate([first[None], ratio])
    )


def convergence(cosmology: Cosmology, found: Shells, sources: float | Distribution) -> np.ndarray:
    """[npix] convergence of shells: every contrast times the integral of W over its shell.

    Args:
        sources: their redshift, or n(z).

    Matter outside of the shells counts as homogeneous. Raises SkyError as ``born_kernel``.
    """
    return born_kernel(cosmology, sources).integral(found.edges) @ found.contrast


def convergence_noise(
    cosmology: Cosmology, found: Shells, sources: float | Distribution
) -> np.ndarray:
    """The white spectrum [] that shot noise of the particles adds to ``convergence``."""
    return born_kernel(cosmology, sources).integral(found.edges) ** 2 @ found.shot_noise


def smooth_convergence(
    kernel: BornKernel,
    positions: Float[Array, "p 3"],
    directions: Float[Array, "d 3"],
    beam: float,
    density: float,
    edges: tuple[float, float],
) -> Float[Array, " d"]:
    """[d] convergence seen through a Gaussian beam, differentiable in positions and cosmology.

        kappa(n) = sum_p W(chi_p) B(n, n_p) / (nbar chi_p^2) - int W dchi,
        B = exp(-|n - n_p|^2 / 2 s^2) / [2 pi s^2 (1 - exp(-2 / s^2))]

    Args:
        positions: relative to the observer [Mpc/h].
        directions: unit vectors, all the beam within the footprint of the particles.
        beam: s, its standard deviation [rad].
        density: mean comoving number of particles [(h/Mpc)^3].
        edges: nearest and farthest distance that the particles cover [Mpc/h].

    Raises SkyError for a beam that is not positive.
    """
    if not beam > 0.0:
        raise SkyError(f"beam is {beam}; expected a positive standard deviation [rad]")
    near, far = checked_distances(edges)
    distance = jnp.sqrt(jnp.sum(positions**2, axis=1))
    inside = (distance >= near) & (distance < far)
    safe = jnp.where(inside, distance, far)
    weight = jnp.where(inside, kernel(safe) / (density * safe**2), 0.0)
    rays = positions / safe[:, None]
    norm = 2.0 * np.pi * beam**2 * -np.expm1(-2.0 / beam**2)

    def seen(direction: Float[Array, " 3"]) -> Float[Array, ""]:
        separation = jnp.sum((rays - direction) ** 2, axis=1)
        return jnp.sum(weight * jnp.exp(-0.5 * separation / beam**2)) / norm

    nodes, weights = np.polynomial.legendre.leggauss(_ORDER)
    half = 0.5 * (far - near)
    mean = half * jnp.sum(weights * kernel(jnp.asarray(near + half * (1.0 + nodes))))
    return jax.lax.map(jax.checkpoint(seen), directions) - mean


class _Seen(eqx.Module):
    """W [1/Mpc] as a function of time, between two distances [Mpc/h]."""

    kernel: BornKernel
    scale: Float[Array, " n"]
    distance: Float[Array, " n"]
    edges: tuple[float, float] = eqx.field(static=True)

    def __call__(self, cosmology: Cosmology, a: Float[Array, " *a"]) -> Float[Array, " *a"]:
        chi = jnp.interp(1.0 / a - 1.0, self.scale, self.distance)
        inside = (chi >= self.edges[0]) & (chi <= self.edges[1] * (1.0 + 1e-9))
        return jnp.where(inside, self.kernel(chi) * cosmology.hubble_parameter, 0.0)


def convergence_tracer(
    cosmology: Cosmology,
    edges: tuple[float, float],
    sources: float | Distribution,
    tracing: str = "matter",
) -> CustomTracer:
    """Theory beside ``convergence``: W between the nearest and farthest distance [Mpc/h].

    ``tracing``: ``matter``, or ``cb``, baryons and cold dark matter, where these are all that the
    shells have. Its kernel is that of this cosmology; with ``probes.angular_cl`` it gives C_l of
    kappa. Raises SkyError as ``born_kernel``.
    """
    kernel = born_kernel(cosmology, sources)
    near, far = checked_distances(edges)
    z_max = sources.z_max if isinstance(sources, Distribution) else float(sources)
    z = np.linspace(0.0, z_max, _NODES + 1)
    last = min(float(np.interp(far, np.asarray(kernel.distance), z)), z_max)
    seen = _Seen(kernel, jnp.asarray(z), kernel.distance, (float(near), float(far)))
    return CustomTracer(
        kernel=seen, z_max=last, angular=1, bessel=-1, scale=_SCALE, tracing=tracing
    )
