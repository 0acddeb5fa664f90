"""How finely a tracer is structured along the line of sight: what decides where Limber will do.

All of it is static: from n(z) where that is known when a program is traced, whatever else is
differentiated, and from ``Demand`` where it is not. With W(q) the Fourier transform of a kernel
along the line of sight, the spectrum of a pair is

    C_l ~ int dq W_i(q) W_j(q)* P(sqrt(k^2 + q^2)),    k = (l + 1/2) / chi,

of which Limber's approximation has P(k). For P ~ k^-2, steeper than which it hardly is, the
difference is the mean of q^2 / (k^2 + q^2); that of redshift distortions is several times larger.
Kernels that lens have no structure, and an error that falls with (l + 1/2)^2.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import planck18
from volvelle.cosmology.neutrinos import is_traced

from .displaced import Shifted, Stretched
from .grid import fiducial_distances, fiducial_slope
from .redshift import Delta, Distribution
from .tracers import CustomTracer, Tracer

Multipoles = np.ndarray | Float[Array, " l"]

Q = np.geomspace(1e-5, 30.0, 500)
"""Wavenumbers along the line of sight [1/Mpc]."""
_SAMPLES = 1000
_MOST_AT_ONCE = 4_000_000
"""Of redshifts times numbers of a sample: a catalogue's kernels then take 30 MB."""
_OUTSIDE = 1e-6  # of the peak of n(z): less is no support
_BROAD = 0.5  # width of a lensing kernel over its centre
_SMOOTH = 4.0
"""Limber's error of lensing times (l + 1/2)^2: measured 0.6 (CMB) to 3 (shear)."""
_DISTORTED = 3.0
"""Limber's error with redshift distortions over that without: measured 2 to 3."""
_NEARER = 3e-3
_LEAST = 0.1
_STEPS_PER_SIGMA = 2.0
"""Of ``Demand.step`` in the standard deviation of an n(z) that is not known."""
_WEIGHTS = np.gradient(Q)

_Support = tuple[np.ndarray, np.ndarray, tuple[float, float]]
_SUPPORTS: dict[tuple, _Support] = {}
_MOST_KEPT = 256
"""Of ``_SUPPORTS``; the oldest goes first."""


@dataclass(frozen=True, eq=False)
class Extent:
    """One tracer along the line of sight, in the fiducial universe of ``grid``."""

    near: float
    """Distance [Mpc] from which it has a kernel, 0 for what lenses; and to which."""
    far: float
    z_far: float
    fine: tuple[float, float]
    """Distances [Mpc] between which its kernel must be followed closely."""
    sampled: np.ndarray | float
    """How closely: |n(q)| on ``Q`` of what is sampled, or the step [Mpc] where that is unknown."""
    own: bool
    """Whether the kernel is structured like that itself, and not only a smooth sum over it."""
    centre: float
    """Distance [Mpc] of the bulk of it."""
    bulk: float
    """Distance [Mpc] below which almost nothing of its structure lies."""
    amplitude: np.ndarray
    """|W(q)| on ``Q``, the integral of its square being 1."""
    distorted: bool

    @property
    def _content(self) -> tuple:
        values = (getattr(self, each.name) for each in fields(self))
        return tuple(v.tobytes() if isinstance(v, np.ndarray) else v for v in values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Extent) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    @property
    def width(self) -> float:
        """Root mean square of 1 / q [Mpc]."""
        return 1.0 / float(np.sqrt(np.sum(self.amplitude**2 * Q**2 * _WEIGHTS)))


def reach(amplitude: np.ndarray, tolerance: float, k: float) -> float:
    """q [1/Mpc] beyond which structure adds less than ``tolerance`` to a spectrum at this k."""
    density = amplitude**2 / (1.0 + (Q / k) ** 2) * _WEIGHTS
    beyond = np.cumsum(density[::-1])[::-1]
    return float(Q[min(np.searchsorted(-beyond, -tolerance), Q.size - 1)])


def extent(tracer: Tracer) -> Extent:
    """The extent of a tracer."""
    demand, detail = tracer.demand, tracer.detail
    table, distances = fiducial_distances(float(demand.z_max))
    far = float(distances[-1])

    def distance(z: float | np.ndarray) -> np.ndarray:
        return np.asarray(np.interp(z, table, distances))

    sample = None if isinstance(detail.sample, Delta) else detail.sample
    found = _known_kernel(tracer) if sample is None else profile(sample)
    if found is None:
        z = min(demand.z_fine, demand.z_max)
        step = demand.step * float(np.interp(z / 2.0, table, fiducial_slope(table)))
        fine = (0.0 if sample is None else float(distance(sample.z_min)), float(distance(z)))
        amplitude = _gaussian(_STEPS_PER_SIGMA * step)
        # Where it lies is not known: Limber is worst far away, and reaches furthest in k nearby.
        centre, bulk = fine[1], fine[0] + 0.1 * (fine[1] - fine[0])
        sampled, z_far = amplitude if detail.own else step, z
    else:
        chi, kernel = distance(found.z), found.values / fiducial_slope(found.z)
        amplitude = _transform(chi, kernel)
        if found.squeeze < 1.0:
            amplitude = _normal(np.interp(Q * found.squeeze, Q, amplitude))
        sampled = amplitude
        ends = np.clip(found.ends, 0.0, demand.z_max)
        (low, high), z_far = distance(ends), float(ends[1])
        weight = np.cumsum(kernel**2)
        centre = float(np.sum(kernel**2 * chi) / weight[-1])
        bulk = float(chi[np.searchsorted(weight, _NEARER * weight[-1])] - (chi[0] - low))
        fine = (float(low), float(high))
    lenses = detail.lenses and (found is None or sample is not None)
    if not detail.own:
        centre, bulk = far / 2.0, far
        amplitude = _gaussian(_BROAD * centre)
    return Extent(
        near=0.0 if lenses else fine[0],
        far=far if lenses else fine[1],
        z_far=demand.z_max if lenses else z_far,
        fine=fine,
        sampled=sampled,
        own=detail.own,
        centre=centre,
        bulk=max(bulk, _LEAST * centre),
        amplitude=amplitude,
        distorted=detail.distorted,
    )


class Profile(NamedTuple):
    """What is known of n(z), or of W(z) dchi/dz: values at the middles of equal steps."""

    z: np.ndarray
    values: np.ndarray
    ends: tuple[float, float]
    """Redshifts of the support, with the largest shift."""
    squeeze: float
    """The smallest stretch."""


def profile(sample: Distribution) -> Profile | None:
    """n(z) of a sample as far as it is known when tracing; None where its values are traced.

    A shift or a stretch may be traced: how large either may be is known.
    """
    margin, squeeze = 0.0, 1.0
    low, high = sample.z_min, sample.z_max
    while isinstance(sample, (Shifted, Stretched)):
        if isinstance(sample, Shifted):
            margin += sample.margin
        else:
            squeeze *= min(sample.limits[0], 1.0)
            margin += sample.z_max - sample.base.z_max
        sample = sample.base
    if any(is_traced(leaf) for leaf in jax.tree.leaves(sample)):
        return None
    z, values, ends = _support_of(sample)
    ends = (max(ends[0] - margin, low), min(ends[1] + margin, high))
    return Profile(z, values, ends, squeeze)


def _support_of(sample: Distribution) -> _Support:
    """See ``_support``; kept, as every call with such a sample asks for it, compiled or not."""
    leaves, structure = jax.tree.flatten(sample)
    arrays = [np.ascontiguousarray(leaf) for leaf in leaves]
    hashes = [sha256(str((leaf.dtype, leaf.shape)).encode() + leaf.tobytes()) for leaf in arrays]
    precision = jnp.result_type(float)
    key = (structure, precision, *(each.digest() for each in hashes))  # catalogues are large
    if key not in _SUPPORTS:
        while len(_SUPPORTS) >= _MOST_KEPT:
            _SUPPORTS.pop(next(iter(_SUPPORTS)), None)
        _SUPPORTS[key] = _sampled(sample)
    return _SUPPORTS[key]


def _sampled(sample: Distribution) -> _Support:
    size = sum(np.size(leaf) for leaf in jax.tree.leaves(sample))

    def density(edges: np.ndarray) -> np.ndarray:
        number = 1 + edges.size * size // _MOST_AT_ONCE
        with jax.ensure_compile_time_eval():
            parts = [np.asarray(sample.cumulative(p)) for p in np.array_split(edges, number)]
        return np.diff(np.concatenate(parts)) / np.diff(edges)

    z, values, ends = _support(density, sample.z_min, sample.z_max)
    return _shared(z), _shared(values), ends


def _known_kernel(tracer: Tracer) -> Profile | None:
    """A kernel of one's own in a fixed universe, where it can be had when tracing."""
    if not isinstance(tracer, CustomTracer):
        return None

    def density(edges: np.ndarray) -> np.ndarray:
        z = (edges[1:] + edges[:-1]) / 2.0
        with jax.ensure_compile_time_eval():
            kernel = tracer.kernel(planck18(), jnp.asarray(1.0 / (1.0 + z)))
        if is_traced(kernel):
            raise _NotKnown
        found = np.abs(np.asarray(kernel))
        if not 0.0 < found.max() < np.inf:
            raise _NotKnown
        return found * fiducial_slope(z)

    try:
        z, values, ends = _support(density, 0.0, tracer.z_max)
    except _NotKnown:
        return None
    return Profile(z, values, ends, 1.0)


class _NotKnown(Exception):
    """A kernel depends on what is traced, or is nothing or no number in that universe."""


def _support(
    density: Callable[[np.ndarray], np.ndarray], low: float, high: float
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Redshifts and values where they are not nothing, and the ends of that."""
    for _ in range(2):  # the second time finer, within the support
        edges = np.linspace(low, high, _SAMPLES + 1)
        values = density(edges)
        inside = np.flatnonzero(values > _OUTSIDE * values.max())
        low, high = float(edges[inside[0]]), float(edges[inside[-1] + 1])
    kept = slice(inside[0], inside[-1] + 1)
    return (edges[1:] + edges[:-1])[kept] / 2.0, values[kept], (low, high)


def _transform(chi: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """|W(q)| on ``Q`` of a kernel at increasing distances, up to half of what they resolve."""
    return _transformed(*(np.asarray(each, dtype=float).tobytes() for each in (chi, kernel)))


@lru_cache(maxsize=256)
def _transformed(distances: bytes, values: bytes) -> np.ndarray:
    chi, kernel = np.frombuffer(distances), np.frombuffer(values)
    even = np.linspace(chi[0], chi[-1], chi.size)
    step = even[1] - even[0]
    mass = np.interp(even, chi, kernel)
    top = np.searchsorted(Q, 0.5 * np.pi / step)
    phase = np.exp(1j * Q[:top, None] * (even - even[0]))
    amplitude = np.zeros(Q.size)
    amplitude[:top] = np.abs(phase @ mass) * np.sinc(Q[:top] * step / (2.0 * np.pi))
    return _shared(_normal(amplitude))


def _shared(values: np.ndarray) -> np.ndarray:
    """What a cache gives to many: not to be written."""
    values.flags.writeable = False
    return values


def _normal(amplitude: np.ndarray) -> np.ndarray:
    return amplitude / np.sqrt(np.sum(amplitude**2 * _WEIGHTS))


def _gaussian(sigma: float) -> np.ndarray:
    return _normal(np.exp(-0.5 * (Q * sigma) ** 2))


def limber_error(one: Extent, two: Extent, ell: Multipoles) -> Multipoles:
    """An estimate of the error of Limber's approximation, over sqrt(C_ii C_jj), for each l."""
    if one.own and two.own:
        centre = max(one.centre, two.centre)
    else:
        centre = min((one, two), key=lambda each: each.width).centre
    k = (ell + 0.5)[:, None] / centre
    product = one.amplitude * two.amplitude * _WEIGHTS
    found = (product * Q**2 / (Q**2 + k**2)).sum(axis=1)
    found = found * (_DISTORTED if one.distorted or two.distorted else 1.0)
    if one.own and two.own:
        return found
    smooth = _SMOOTH / (ell + 0.5) ** 2
    return jnp.maximum(found, smooth) if is_traced(ell) else np.maximum(found, smooth)


def settled_ell(each: Extent, tolerance: float) -> float:
    """The multipole from which Limber's approximation of its own spectrum is good enough."""
    ell = np.geomspace(1.0, 1e5, 200)
    good = np.flatnonzero(limber_error(each, each, ell) < tolerance)
    return float(ell[good[0]]) if good.size else float(ell[-1])
