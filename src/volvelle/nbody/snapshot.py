"""The particles of a simulation at one time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from volvelle.cosmology import Cosmology

from .errors import ParticleError
from .simulation import Particles

HUBBLE = 100.0
"""H0 [km/s / (Mpc/h)]."""
CRITICAL = 27.753662724
"""Critical density today, 3 H0^2 / (8 pi G) [1e10 Msun/h / (Mpc/h)^3]."""

Values = Any
"""NumPy or JAX arrays."""


class Snapshot(eqx.Module):
    """Particles at scale factor a in a periodic box.

    Args:
        positions: comoving, of shape (n, 3) [Mpc/h].
        velocities: peculiar, a dx/dt, of shape (n, 3) [km/s].
        a: scale factor.
        box_size: side of the box [Mpc/h].
        Omega_m: matter today over the critical density, neutrinos included.
        Omega_de: dark energy today over the critical density; what is missing to 1 is curvature.
        h: H0 / (100 km/s/Mpc).
        masses: one for all, or of shape (n,) [1e10 Msun/h]; without any, equal ones that make up
            Omega_m in this box.
        ids: whole numbers of shape (n,), or None.

    Raises ParticleError where shapes do not fit together, numbers make no sense, or values are
    known and not finite.
    """

    positions: Values
    velocities: Values
    a: Values
    box_size: Values
    Omega_m: Values
    Omega_de: Values
    h: Values
    masses: Values
    ids: Values = None

    def __init__(
        self,
        positions: Values,
        velocities: Values,
        *,
        a: Values,
        box_size: Values,
        Omega_m: Values,
        Omega_de: Values,
        h: Values,
        masses: Values = None,
        ids: Values = None,
    ) -> None:
        self.positions, self.velocities = _array(positions), _array(velocities)
        self.a, self.box_size, self.h = a, box_size, h
        self.Omega_m, self.Omega_de = Omega_m, Omega_de
        shape = np.shape(self.positions)
        if len(shape) != 2 or shape[1] != 3 or shape[0] == 0:
            raise ParticleError(f"positions have shape {shape}; expected (n, 3) with n >= 1")
        if np.shape(self.velocities) != shape:
            raise ParticleError(
                f"velocities have shape {np.shape(self.velocities)}, positions {shape}; "
                "both need to be (n, 3)"
            )
        for name in ("a", "box_size", "h", "Omega_m"):
            _check_positive(name, getattr(self, name))
        if masses is None:
            masses = CRITICAL * Omega_m * box_size**3 / shape[0]
        self.masses = masses if np.ndim(masses) == 0 else _array(masses)
        if np.shape(self.masses) not in ((), shape[:1]):
            raise ParticleError(
                f"masses have shape {np.shape(self.masses)}; expected a number or ({shape[0]},)"
            )
        self.ids = None if ids is None else _array(ids)
        if ids is not None and np.shape(self.ids) != shape[:1]:
            raise ParticleError(f"ids have shape {np.shape(self.ids)}; expected ({shape[0]},)")
        for name in ("positions", "velocities", "masses", "Omega_de"):
            _check_finite(name, getattr(self, name))

    @classmethod
    def from_momenta(cls, positions: Values, momenta: Values, **others: Values) -> Snapshot:
        """Particles from p = a^2 dx/dt / H0 [Mpc/h], which integrators step: v = H0 p / a.

        ``others``: as of the class.
        """
        return cls(positions, _array(momenta) * (HUBBLE / others["a"]), **others)

    @classmethod
    def of(cls, particles: Particles, cosmology: Cosmology, ids: Values = None) -> Snapshot:
        """What ``simulate`` returns, with masses that make up the matter of its universe."""
        return cls.from_momenta(
            particles.positions,
            particles.momentum,
            a=particles.a,
            box_size=particles.mesh.box_size,
            Omega_m=cosmology.Omega_m,
            Omega_de=cosmology.Omega_de,
            h=cosmology.hubble_parameter,
            ids=ids,
        )

    @property
    def count(self) -> int:
        """Number of particles."""
        return np.shape(self.positions)[0]

    @property
    def momenta(self) -> Values:
        """p = a^2 dx/dt / H0 = a v / H0, of shape (n, 3) [Mpc/h]."""
        return self.velocities * (self.a / HUBBLE)

    @property
    def redshift(self) -> Values:
        """z = 1/a - 1."""
        return 1.0 / self.a - 1.0

    @property
    def hubble(self) -> Values:
        """H(a) [km/s / (Mpc/h)] of matter, curvature and a cosmological constant; no radiation."""
        curvature = 1.0 - self.Omega_m - self.Omega_de
        square = self.Omega_m / self.a**3 + curvature / self.a**2 + self.Omega_de
        return HUBBLE * square**0.5

    def redshift_space(self, axis: int = 2, hubble: Values = None) -> Values:
        """Positions seen from far along an axis, s = x + v_axis / (a H), of shape (n, 3) [Mpc/h].

        Args:
            axis: of the line of sight: 0, 1 or 2.
            hubble: H(a) [km/s / (Mpc/h)], if it is not ``self.hubble`` (dark energy that varies).

        They are wrapped into the box. Raises ParticleError for another axis.
        """
        if axis not in (0, 1, 2):
            raise ParticleError(f"axis {axis!r} is none of a box; expected 0, 1 or 2")
        rate = self.a * (self.hubble if hubble is None else hubble)
        seen = self.positions[:, axis] + self.velocities[:, axis] / rate
        columns = [self.positions[:, each] for each in range(3)]
        columns[axis] = seen
        backend: Any = jnp if isinstance(seen, jax.Array) else np
        return backend.stack(columns, axis=1) % self.box_size


def _array(values: Values) -> Values:
    return values if isinstance(values, jax.Array) else np.asarray(values)


def _check(name: str, values: Values, test: Callable[[Any], Any], words: str) -> None:
    """Refuse numbers that are known and fail the test."""
    try:
        known = np.asarray(values)
    except jax.errors.TracerArrayConversionError:
        return
    if not np.all(test(known)):
        raise ParticleError(f"{name} {words}; got {_shown(known)}")


def _shown(array: np.ndarray) -> str:
    if array.ndim == 0:
        return f"{array!s}"
    return f"{int(np.sum(~np.isfinite(array)))} that are not, of {array.size}"


def _check_positive(name: str, value: Values) -> None:
    _check(name, value, lambda each: np.isfinite(each) & (each > 0.0), "has to be positive")


def _check_finite(name: str, values: Values) -> None:
    _check(name, values, np.isfinite, "need to be finite numbers")
