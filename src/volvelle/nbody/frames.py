"""Frames of reference: where particles are expected to be, so that only the rest is integrated.

A particle is at x = q + F(a) + x_res with momentum p = p_F(a) + p_res, where p_F = T F and
g_F = T p_F. A kick changes p_res by K (c g - g_F), g the force at a, with both at the same time and
the same K (Tassev, Zaldarriaga & Eisenstein 2013): a perfect frame leaves exactly nothing to do,
whatever K.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .errors import FrameError
from .growth import ParticleGrowth
from .integrators import Stages
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
    """A frame and what is recorded, or learned, beyond it: momenta after every kick of a stepping.

    The acceleration that stands for a kick is the change of the momentum over that step's own
    interval over its K, and displacements follow by that stepping's drifts: with a run's own
    residual momenta the run comes back to rounding, whichever of its forces are evaluated. COCA's
    frame is this one on LPT with momenta that are predicted (Bartlett et al. 2024).
    """

    base: Frame
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
        base: Frame,
        stages: Stages,
        start: Displacement,
        momenta: Float[Array, "n+1 N 3"],
    ) -> "RecordedFrame":
        """The frame of these momenta, drifting from a displacement.

        Args:
            base: the frame that all of this is relative to.
            stages: the stepping, of ``COLA`` or ``KickDriftKick`` with a force at every stage.
            start: displacement at the first time [Mpc/h].
            momenta: of the start, then after each kick [Mpc/h].

        Raises FrameError for another stepping, and for shapes that do not belong together.
        """
        if not (stages.staggered and stages.all_kept):
            raise FrameError(
                "a frame of momenta between kicks belongs to steps of COLA or KickDriftKick with a "
                "force at every stage; these are others"
            )
        wanted = (stages.number + 1, *np.shape(start))
        if np.shape(momenta) != wanted:
            raise FrameError(
                f"momenta of shape {np.shape(momenta)}; expected {wanted}: of the start and after "
                f"each of {stages.number} kicks"
            )
        momenta = jnp.asarray(momenta)
        moves = stages.drift.astype(momenta.dtype)[:, None, None] * momenta[:-1]
        displacements = jnp.asarray(start) + jnp.cumsum(moves, 0)
        earlier = stages.kick - stages.back
        return cls(base, stages.a, displacements, momenta, stages.kick, earlier)

    def displacement(self, a: Scalar) -> Displacement:
        """At a recorded time; NaN at others."""
        i, known = self._at(a)
        return self.base.displacement(a) + jnp.where(known, self.displacements[i], jnp.nan)

    def momentum(self, a: Scalar) -> Displacement:
        """At a recorded time, when part of its kick is done; NaN at others."""
        i, known = self._at(a)
        part = (self.earlier[i] / self.kicks[i]).astype(self.momenta.dtype)
        value = self.momenta[i] + part * (self.momenta[i + 1] - self.momenta[i])
        return self.base.momentum(a) + jnp.where(known, value, jnp.nan)

    def acceleration(self, a: Scalar) -> Displacement:
        """Of a recorded time's kick; NaN at others."""
        i, known = self._at(a)
        change = self.momenta[i + 1] - self.momenta[i]
        rate = change / self.kicks[i].astype(change.dtype)
        return self.base.acceleration(a) + jnp.where(known, rate, jnp.nan)

    def _at(self, a: Scalar) -> tuple[Array, Array]:
        distance = jnp.abs(self.times - a)
        i = jnp.argmin(distance)
        return i, distance[i] < _SAME_TIME * a
