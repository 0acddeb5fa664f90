"""What an observer in the box sees: particles when they cross the observer's past lightcone.

A particle at x(a) crosses when |x(a) + n L - observer| = chi(a), for every replication n of the
periodic box by itself. Between the ends of a step x is the cubic polynomial in D1 that has their
positions and momenta, which for growing waves of first order is exact. Nothing depends on how
particles are grouped: the whole box, or tiles of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology, comoving_distance

from .crossings import Crossings
from .errors import LightconeError
from .footprint import Footprint
from .growth import ParticleGrowth, particle_growth

_DEGREE = 10
"""Of the polynomials of distance and time over a step; exact to 1e-9 of a step of 0.5 in a."""
_NEWTON = 5
"""Iterations from the straight line between the ends: to rounding, as curves over a step go."""
_GROUP = 2**19
"""Particles that are looked at together."""
_TABLE = 4096
_FAR_SIDE = 32
"""nside of the directions in which a cone is held against the walls of its box."""

Positions = Float[Array, "N 3"]
Scalar = Float[Array, ""]


class Moment(NamedTuple):
    """Particles at one time."""

    a: float
    positions: np.ndarray | Positions
    """[N, 3], continuous: not taken back into the box [Mpc/h]."""
    momenta: np.ndarray | Positions
    """[N, 3], a^2 dx/dt / H0 at the same time [Mpc/h]."""


class Lightcone(eqx.Module):
    """The past lightcone of an observer in a periodic box; made by ``of``."""

    cosmology: Cosmology
    growth: ParticleGrowth
    box_size: float
    observer: np.ndarray
    """[3] [Mpc/h]."""
    near: float
    far: float
    """Comoving distances between which it is seen [Mpc/h]."""
    redshifts: tuple[float, float] = eqx.field(static=True)
    footprint: Footprint | None
    replicate: bool = eqx.field(static=True)
    table: np.ndarray
    """a, ascending, and its distance [Mpc/h]."""

    @classmethod
    def of(
        cls,
        cosmology: Cosmology,
        box_size: float,
        *,
        redshifts: tuple[float, float] = (0.0, 1.0),
        observer: tuple[float, float, float] | None = None,
        footprint: Footprint | None = None,
        replicate: bool = True,
    ) -> Lightcone:
        """A lightcone between two redshifts.

        Args:
            box_size: of the simulation [Mpc/h].
            redshifts: the nearest and the farthest.
            observer: [Mpc/h]; the middle of the box, if None.
            footprint: the part of the sky that is seen; all of it, if None.
            replicate: whether the box goes on beyond its walls as often as the cone is deep; where
                it does not, the cone has to lie within the box.

        Raises LightconeError for redshifts that are no range, an observer outside of the box, a
        cone that leaves a box which is not replicated, and a curved universe, in which a box with
        straight axes has no distances beyond a small part of the radius of curvature;
        PrecisionError where JAX computes in float32.
        """
        low, high = (float(z) for z in redshifts)
        if not 0.0 <= low < high:
            raise LightconeError(
                f"a lightcone of redshifts {low:g} to {high:g}; expected a nearest of at least 0 "
                "and a farthest beyond it"
            )
        place = np.full(3, 0.5 * box_size) if observer is None else np.array(observer, float)
        if place.shape != (3,) or not np.all((place >= 0.0) & (place <= box_size)):
            raise LightconeError(
                f"an observer at {observer}; expected three coordinates in the box, from 0 to "
                f"{box_size:g} Mpc/h"
            )
        if float(cosmology.Omega_k) != 0.0:
            raise LightconeError(
                f"a lightcone with Omega_k = {float(cosmology.Omega_k):g}; a box with straight "
                "axes is flat: take Omega_k = 0"
            )
        h = float(cosmology.hubble_parameter)
        a = 1.0 / (1.0 + np.linspace(0.98 * low, 1.02 * high, _TABLE)[::-1])
        table = np.stack([a, h * np.asarray(comoving_distance(cosmology, jnp.asarray(a)))])
        ends = jnp.array([1.0 / (1.0 + low), 1.0 / (1.0 + high)])
        near, far = (float(chi) * h for chi in comoving_distance(cosmology, ends))
        made = cls(
            cosmology, particle_growth(cosmology), float(box_size), place, near, far, (low, high),
            footprint, replicate, table,
        )  # fmt: skip
        made._check_walls()
        return made

    @property
    def sky_fraction(self) -> float:
        """Of the whole sky."""
        return 1.0 if self.footprint is None else self.footprint.fraction

    @property
    def volume(self) -> float:
        """Comoving [(Mpc/h)^3]."""
        return self.sky_fraction * 4.0 / 3.0 * np.pi * (self.far**3 - self.near**3)

    def scale_factor(self, distance: float) -> float:
        """a at a comoving distance [Mpc/h] of the cone."""
        a, chi = self.table
        return float(np.interp(-distance, -chi, a))

    def distance(self, a: float) -> float:
        """Comoving, at a scale factor [Mpc/h]; the farthest beyond the cone's redshifts."""
        return float(np.interp(a, *self.table))

    def seen(self, low: np.ndarray, high: np.ndarray) -> tuple[float, float] | None:
        """The first and the last a at which a cuboid of the box is crossed; None if never.

        Args:
            low, high: its corners, with a margin for how far particles move [Mpc/h]; it may reach
                beyond the box.
        """
        ends = [
            (max(nearest, self.near), min(farthest, self.far))
            for _, nearest, farthest in self._replications(low, high, self.near, self.far)
        ]
        if not ends:
            return None
        return (
            self.scale_factor(max(far for _, far in ends)),
            self.scale_factor(min(near for near, _ in ends)),
        )

    def crossings(
        self, before: Moment, after: Moment, index: np.ndarray | None = None
    ) -> Crossings:
        """Particles that cross between two moments.

        Args:
            before, after: the same particles at the ends of a step.
            index: what the particles are called; their places in the arrays, if None.

        Raises LightconeError where the second moment is not after the first.
        """
        if not 0.0 < before.a < after.a:
            raise LightconeError(
                f"a step from a = {before.a:g} to {after.a:g}; expected it to go forward in time"
            )
        ends = jnp.array([before.a, after.a])
        passage = _passage(self.cosmology, self.growth, ends)
        chi0, chi1 = (float(chi) for chi in passage.ends)
        if chi0 <= self.near or chi1 >= self.far:
            return Crossings.none()
        names = np.arange(len(before.positions)) if index is None else np.asarray(index)
        arrays = [np.asarray(each) for each in (*before[1:], *after[1:])]
        found = []
        for first in range(0, len(names), _GROUP):
            part = [_padded(each[first : first + _GROUP], len(names)) for each in arrays]
            own = names[first : first + _GROUP]
            corners = np.stack([part[0][: len(own)], part[2][: len(own)]])
            low, high = corners.min((0, 1)), corners.max((0, 1))
            for n, _, _ in self._replications(low, high, chi1, chi0):
                offset = jnp.asarray(n * self.box_size - self.observer)
                found.append(self._kept(_crossed(passage, *part, offset), own, n))
        return Crossings.joined(found)

    def _kept(self, crossed: _Crossed, names: np.ndarray, n: np.ndarray) -> Crossings:
        at = np.flatnonzero(np.asarray(crossed.hit))
        y = np.asarray(crossed.positions)[at]
        chi = np.linalg.norm(y, axis=1)
        seen = (chi >= self.near) & (chi < self.far)
        if self.footprint is not None:
            seen &= self.footprint.contains(y / np.maximum(chi, 1e-30)[:, None])
        if not self.replicate:
            x = y + self.observer
            seen &= np.all((x >= 0.0) & (x < self.box_size), axis=1)
        at, y = at[seen], y[seen]
        return Crossings(
            positions=y.astype(np.float32),
            velocities=np.asarray(crossed.velocities)[at].astype(np.float32),
            a=np.asarray(crossed.a)[at].astype(np.float32),
            index=names[at].astype(np.int64),
            replication=np.broadcast_to(n.astype(np.int16), (len(at), 3)),
        )

    def _replications(
        self, low: np.ndarray, high: np.ndarray, near: float, far: float
    ) -> Iterator[tuple[np.ndarray, float, float]]:
        """Those of a cuboid that may be seen between two distances, with their own."""
        near, far = max(near, self.near), min(far, self.far)
        size = self.box_size
        ranges = []
        for axis in range(3):
            first = np.ceil((self.observer[axis] - far - high[axis]) / size)
            last = np.floor((self.observer[axis] + far - low[axis]) / size)
            if not self.replicate:
                first = max(first, np.floor(-high[axis] / size) + 1.0)
                last = min(last, np.ceil((size - low[axis]) / size) - 1.0)
            ranges.append(np.arange(first, last + 1.0))
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        n = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 3)
        away = middle + n * size - self.observer
        nearest = np.linalg.norm(np.maximum(np.abs(away) - half, 0.0), axis=1)
        farthest = np.linalg.norm(np.abs(away) + half, axis=1)
        radius = float(np.linalg.norm(half))
        for i in np.flatnonzero((farthest >= near) & (nearest <= far)):
            if self._faces(away[i], radius):
                yield n[i], float(nearest[i]), float(farthest[i])

    def _faces(self, away: np.ndarray, radius: float) -> bool:
        """Whether a sphere may lie in the footprint."""
        distance = float(np.linalg.norm(away))
        if self.footprint is None or distance <= radius:
            return True
        return self.footprint.touches(away / distance, float(np.arcsin(radius / distance)))

    def _check_walls(self) -> None:
        """A box that is not replicated holds the whole cone."""
        if self.replicate:
            return
        import healpy

        pixels = np.arange(healpy.nside2npix(_FAR_SIDE))
        directions = np.stack(healpy.pix2vec(_FAR_SIDE, pixels), -1)
        if self.footprint is not None:
            directions = directions[self.footprint.contains(directions)]
        with np.errstate(divide="ignore"):
            ahead = np.where(directions > 0.0, self.box_size - self.observer, self.observer)
            reach = float(np.min(ahead / np.abs(directions)))
        if reach < self.far:
            raise LightconeError(
                f"a lightcone to redshift {self.redshifts[1]:g}, {self.far:.5g} Mpc/h, in a box of "
                f"{self.box_size:g} Mpc/h without replication, whose walls are {reach:.5g} Mpc/h "
                "away in the footprint; move the observer, take a smaller redshift or footprint, a "
                "larger box, or replicate it"
            )


class Watch:
    """What crosses a lightcone between one moment of the same particles and the next."""

    def __init__(self, cone: Lightcone, first: Moment | None = None) -> None:
        """``first``: the moment before the first call; that call's own, if None."""
        self.cone, self.before = cone, first

    def __call__(self, now: Moment, index: np.ndarray | None = None) -> Crossings:
        """The crossings since the last call; ``index`` as in ``Lightcone.crossings``.

        None where no time has gone by, as in a leapfrog's first kick.
        """
        before, self.before = self.before, now
        if before is None or before.a == now.a:
            return Crossings.none()
        return self.cone.crossings(before, now, index)


class _Passage(eqx.Module):
    """Distance, time and momenta through a step, in u = (D1 - D1_0) / (D1_1 - D1_0)."""

    ends: Float[Array, 2]
    """chi at the ends [Mpc/h]."""
    chi: Float[Array, " degree"]
    a: Float[Array, " degree"]
    rate: Float[Array, " degree"]
    """T D1 over the width of the step in D1, all by Chebyshev's coefficients."""
    slopes: Float[Array, 2]
    """1 / rate at the ends."""


class _Crossed(NamedTuple):
    """All particles of one replication, whether they cross or not."""

    hit: Array
    positions: Positions
    """Relative to the observer [Mpc/h]."""
    velocities: Positions
    """Peculiar [km/s]."""
    a: Array


@eqx.filter_jit
def _passage(cosmology: Cosmology, growth: ParticleGrowth, ends: Float[Array, 2]) -> _Passage:
    h = cosmology.hubble_parameter
    values, momenta, _ = growth(ends)
    width = values[1, 0] - values[0, 0]
    nodes = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
    a = growth.scale_factor(values[0, 0] + width * 0.5 * (1.0 + nodes))
    a = jnp.clip(a, ends[0], ends[1])  # beyond today by the interpolation's error
    inverse = jnp.asarray(np.linalg.inv(np.polynomial.chebyshev.chebvander(nodes, _DEGREE)))
    return _Passage(
        ends=h * comoving_distance(cosmology, ends),
        chi=inverse @ (h * comoving_distance(cosmology, a)),
        a=inverse @ a,
        rate=inverse @ (growth(a)[1][:, 0] / width),
        slopes=width / momenta[:, 0],
    )


@jax.jit
def _crossed(
    passage: _Passage, x0: Positions, p0: Positions, x1: Positions, p1: Positions, offset: Array
) -> _Crossed:
    """Every particle's crossing, by Newton's method; differentiable as the implicit function."""
    kind = passage.chi.dtype
    y0, y1 = x0.astype(kind) + offset, x1.astype(kind) + offset
    m0, m1 = p0.astype(kind) * passage.slopes[0], p1.astype(kind) * passage.slopes[1]
    f0, f1 = (_length(y) - chi for y, chi in zip((y0, y1), passage.ends, strict=True))
    hit = (f0 < 0.0) & (f1 >= 0.0)

    def path(u: Array) -> tuple[Positions, Positions]:
        """Position and its change with u."""
        t = u[:, None]
        s = 1.0 - t
        y = s * s * ((1.0 + 2.0 * t) * y0 + t * m0) + t * t * ((3.0 - 2.0 * t) * y1 - s * m1)
        slope = 6.0 * t * s * (y1 - y0) + s * (1.0 - 3.0 * t) * m0 + t * (3.0 * t - 2.0) * m1
        return y, slope

    def nearer(u: Array) -> Array:
        """One iteration, through which the last one differentiates."""
        y, slope = path(u)
        chi, fall = jax.jvp(lambda u: _series(passage.chi, u), (u,), (jnp.ones_like(u),))
        r = _length(y)
        steep = jax.lax.stop_gradient(jnp.sum(y * slope, -1) / jnp.maximum(r, 1e-10) - fall)
        return jnp.clip(u - (r - chi) / jnp.where(hit, steep, 1.0), 0.0, 1.0)

    u = jnp.where(hit, f0 / jnp.where(hit, f0 - f1, 1.0), 0.5)
    for _ in range(_NEWTON):
        u = nearer(jax.lax.stop_gradient(u))
    y, slope = path(u)
    a = _series(passage.a, u)
    velocity = slope * (_series(passage.rate, u) * 100.0 / a)[:, None]
    return _Crossed(hit, y, velocity, a)


def _length(y: Positions) -> Array:
    square = jnp.sum(y * y, -1)
    return jnp.sqrt(jnp.maximum(square, 1e-20))


def _series(coefficients: Array, u: Array) -> Array:
    """A Chebyshev series on [0, 1], by Clenshaw's recurrence."""
    x = 2.0 * u - 1.0
    one = two = jnp.zeros_like(x)
    for c in coefficients[:0:-1]:
        one, two = c + 2.0 * x * one - two, one
    return coefficients[0] + x * one - two


def _padded(part: np.ndarray, whole: int) -> np.ndarray:
    """To the size of a group, so that one program serves all; NaN crosses nothing."""
    size = min(whole, _GROUP)
    if len(part) == size:
        return part
    return np.concatenate([part, np.full((size - len(part), 3), np.nan, part.dtype)])
