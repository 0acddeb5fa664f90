"""Frames of reference: where particles are expected to be, so that only the rest is integrated.

A particle is at x = q + F(a) + x_res with momentum p = p_F(a) + p_res, where p_F = T F and
g_F = T p_F. A kick changes p_res by K (c g - g_F), g the force at a, with both at the same time and the same K
(Tassev, Zaldarriaga & Eisenstein 2013): a perfect frame leaves exactly nothing to do, whatever K.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology.neutrinos import is_traced

from .errors import FrameError
from .growth import ParticleGrowth
from .lpt import Lagrangian

Displacement = Float[Array, "N 3"]
Scalar = Float[Array, ""]

_SAME_TIME = 1e-5
"""Relative distance of a from a recorded time that is that time: beyond rounding in float32."""


class Frame(eqx.Module):
    """Displacements, momenta and accelerations of all particles as functions of a.

    Differentiable in the arrays that it holds; asked with a traced a.
    """

    @abstractmethod
    def displacement(self, a: Scalar) -> Displacement | float:
        """F from the points of the grid [Mpc/h]."""

    @abstractmethod
    def momentum(self, a: Scalar) -> Displacement | float:
        """p_F = T F = a^2 dF/dt / H0 [Mpc/h]."""

    @abstractmethod
    def acceleration(self, a: Scalar) -> Displacement | float:
        """g_F = T p_F [Mpc/h]."""


class Rest(Frame):
    """No frame: particles are where they start, and all motion is integrated."""

    def displacement(self, a: Scalar) -> float:
        """Nothing."""
        return 0.0

    def momentum(self, a: Scalar) -> float:
        """Nothing."""
        return 0.0

    def acceleration(self, a: Scalar) -> float:
        """Nothing."""
        return 0.0


class LPTFrame(Frame):
    """Lagrangian perturbation theory, the frame of COLA, to the order of the fields."""

    lagrangian: Lagrangian
    growth: ParticleGrowth

    def displacement(self, a: Scalar) -> Displacement:
        """D1 s1 + D2 s2 + ..."""
        return self.lagrangian.combined(self.growth(a)[0])

    def momentum(self, a: Scalar) -> Displacement:
        """T D1 s1 + T D2 s2 + ..."""
        return self.lagrangian.combined(self.growth(a)[1])

    def acceleration(self, a: Scalar) -> Displacement:
        """c [D1 s1 + (D2 - D1^2) s2 + ...]."""
        return self.lagrangian.combined(self.growth(a)[2])


class RecordedFrame(Frame):
    """A trajectory known by its momenta after every kick of a reference stepping.

    The acceleration that stands for a kick is the change of the momentum over that step's own
    interval over its K, and displacements follow by the reference's drifts: run again, with forces
    at any of its times, the reference comes back to rounding. A frame that is learned as momenta at
    the steps is made by ``through``.
    """

    times: Float[Array, " n"]
    displacements: Float[Array, "n N 3"]
    momenta: Float[Array, "n+1 N 3"]
    """Before the first kick, and after each."""
    kicks: Float[Array, " n"]
    earlier: Float[Array, " n"]
    """The part of each K that lies before the time of its force."""

    @classmethod
    def through(
        cls,
        times: Float[Array, " n"],
        drifts: Float[Array, " n"],
        kicks: Float[Array, " n"],
        earlier: Float[Array, " n"],
        start: Displacement,
        momenta: Float[Array, "n+1 N 3"],
    ) -> "RecordedFrame":
        """The frame of these momenta, drifting from a displacement.

        Args:
            times: of the forces, increasing.
            drifts: X of the drift that ends at each time; 0 first.
            kicks: K of each step's interval, and ``earlier``, its part up to the time of the force
                (``Stages`` has all four as ``a``, ``drift``, ``kick`` and ``kick - back``).
            start: displacement at the first time [Mpc/h].
            momenta: of the start, then after each kick [Mpc/h].

        Raises FrameError for shapes that do not belong together and times that do not increase.
        """
        n = np.shape(times)[0]
        wanted = (n + 1, *np.shape(start))
        if np.shape(momenta) != wanted or any(
            np.shape(each) != (n,) for each in (drifts, kicks, earlier)
        ):
            raise FrameError(
                f"momenta of shape {np.shape(momenta)} at {n} times; expected {wanted}: those of the "
                "start and after each kick, and one drift and kick for each time"
            )
        if not is_traced(times) and not np.all(np.diff(times) > 0.0):
            raise FrameError("the recorded times do not increase; give those of a run in its order")
        momenta = jnp.asarray(momenta)
        moves = jnp.asarray(drifts).astype(momenta.dtype)[:, None, None] * momenta[:-1]
        displacements = jnp.asarray(start) + jnp.cumsum(moves, 0)
        return cls(jnp.asarray(times), displacements, momenta, kicks, earlier)

    def displacement(self, a: Scalar) -> Displacement:
        """At a recorded time; NaN at others."""
        i, known = self._at(a)
        return jnp.where(known, self.displacements[i], jnp.nan)

    def momentum(self, a: Scalar) -> Displacement:
        """At a recorded time, when part of its kick is done; NaN at others."""
        i, known = self._at(a)
        part = (self.earlier[i] / self.kicks[i]).astype(self.momenta.dtype)
        value = self.momenta[i] + part * (self.momenta[i + 1] - self.momenta[i])
        return jnp.where(known, value, jnp.nan)

    def acceleration(self, a: Scalar) -> Displacement:
        """Of a recorded time's kick; NaN at others."""
        i, known = self._at(a)
        change = self.momenta[i + 1] - self.momenta[i]
        return jnp.where(known, change / self.kicks[i].astype(change.dtype), jnp.nan)

    def _at(self, a: Scalar) -> tuple[Array, Array]:
        distance = jnp.abs(self.times - a)
        i = jnp.argmin(distance)
        return i, distance[i] < _SAME_TIME * a
