"""Integrators: the coefficients of the drifts and kicks between given times.

Every scheme here is a sequence of stages, each with one evaluation of the force at most:

    x_res += X p_res                          (drift, up to the time a of the force)
    p_res  = alpha p_res + K [s g(x) - g_F]   (kick)

with s = c = (3/2) Omega_m a and alpha = 1 where the momentum is p = T x.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology.quadrature import gauss_legendre

from .errors import ScheduleError
from .growth import ParticleGrowth
from .times import midpoints

_NODES = 16
"""Of the integrals over a step; the result is exact to rounding for steps of 0.7 in ln a."""

Scales = Float[Array, " *a"]
Flags = Sequence[bool] | None


class Stages(eqx.Module):
    """What each stage multiplies with what, as arrays over stages; made by an ``Integrator``."""

    a: Scales
    """When the force is evaluated."""
    drift: Scales
    """X of the drift before it."""
    decay: Scales
    """alpha."""
    kick: Scales
    """K."""
    source: Scales
    """s."""
    kept: Array
    """Whether there is a force."""
    time: Scales
    """a at which the particles are handed out after this stage."""
    ahead: Scales
    """X of the drift from the force to ``time``."""
    back: Scales
    """The part of K beyond ``time``."""
    momentum: Scales
    """p at ``time`` over the momentum that is integrated."""
    start: Float[Array, ""]
    """p at the start over the momentum that is integrated."""
    all_kept: bool = eqx.field(static=True)
    staggered: bool = eqx.field(static=True)
    """Whether momenta are ahead of ``time`` after all but the last stage."""

    @property
    def number(self) -> int:
        """Of stages."""
        return self.a.shape[0]


class Integrator(eqx.Module):
    """A scheme; its fields are its choices."""

    frame: ClassVar[str]
    """What it is used with where none is given: ``lpt`` or ``none``."""
    any_frame: ClassVar[bool]
    """Whether others are possible, and stages without a force."""

    @abstractmethod
    def stages(
        self, growth: ParticleGrowth, times: Scales, spacing: str, flags: Flags = None
    ) -> Stages:
        """The stages between ``times``, the ends of steps that are equal in ``spacing``.

        ``flags``: for every evaluation of the force in turn whether it happens; all, if None.

        Raises ScheduleError for flags of another number, and where the scheme has none.
        """


def _step_sums(growth: ParticleGrowth, early: Scales, late: Scales, power: float) -> Scales:
    """The integral of a^power da / Q from ``early`` to ``late``."""
    nodes, weights = (jnp.asarray(each, early.dtype) for each in gauss_legendre(_NODES))
    width = jnp.log(late / early)
    a = early[:, None] * jnp.exp(width[:, None] * nodes)
    return jnp.sum(weights * a ** (power + 1.0) / growth.Q(a), -1) * width


def _checked(flags: Flags, number: int) -> np.ndarray:
    kept = np.ones(number, dtype=bool) if flags is None else np.asarray(flags)
    if kept.shape != (number,) or kept.dtype != bool:
        raise ScheduleError(
            f"force flags of shape {kept.shape} and type {kept.dtype}; expected {number} of True "
            "or False, one for each evaluation of the force"
        )
    return kept


class _Factors(eqx.Module):
    """K and X over an interval."""

    power: float | None = eqx.field(static=True)
    """n of Tassev's a^n; None for Quinn's integrals."""

    def kick(self, growth: ParticleGrowth, early: Scales, late: Scales, at: Scales) -> Scales:
        if self.power is None:
            return jnp.where(late > early, _step_sums(growth, early, late, 1.0), 0.0) / at
        n = self.power
        return (late**n - early**n) / (n * at ** (n - 1.0) * growth.Q(at))

    def drift(self, growth: ParticleGrowth, early: Scales, late: Scales, at: Scales) -> Scales:
        if self.power is None:
            return _step_sums(growth, early, late, 0.0)
        return _step_sums(growth, early, late, self.power) / at**self.power


def _leapfrog(
    factors: _Factors, growth: ParticleGrowth, times: Scales, spacing: str, flags: Flags
) -> Stages:
    """Forces at ``times``; each that is kept stands for the time up to halfway to the next one."""
    number = times.shape[0]
    kept = _checked(flags, number)
    where = np.flatnonzero(kept)
    first, last = (where[0], where[-1]) if where.size else (number, number)
    following = np.array([next((j for j in where if j > i), number - 1) for i in range(number)])
    latest = np.array([next((j for j in where[::-1] if j <= i), 0) for i in range(number)])
    preceding = np.concatenate([[0], latest[:-1]])
    early = midpoints(growth, spacing, times[preceding], times)
    late = midpoints(growth, spacing, times, times[following])
    index = np.arange(number)
    early = jnp.where(index == first, times[0], early)
    late = jnp.where(index == last, times[-1], late)
    # momenta belong to the end of the last kick, or to the start
    at = jnp.where(index < first, times[0], late[latest])[:-1]
    drift = factors.drift(growth, times[:-1], times[1:], at)
    zero = jnp.zeros_like(times)
    kick = jnp.where(kept, factors.kick(growth, early, late, times), 0.0)
    back = jnp.where(kept, factors.kick(growth, times, late, times), 0.0)
    return Stages(
        a=times,
        drift=jnp.concatenate([zero[:1], drift]),
        decay=jnp.ones_like(times),
        kick=kick,
        source=growth.source(times),
        kept=jnp.asarray(kept),
        time=times,
        ahead=zero,
        back=back.at[-1].set(0.0),
        momentum=jnp.ones_like(times),
        start=jnp.ones_like(times[0]),
        all_kept=bool(np.all(kept)),
        staggered=True,
    )


class KickDriftKick(Integrator):
    """Leapfrog with the exact integrals over a step (Quinn, Katz, Stadel & Lake 1997):

        K = int a da / Q / a_c,    X = int da / Q.

    Symplectic without a frame. N steps take N + 1 forces.
    """

    frame: ClassVar[str] = "none"
    any_frame: ClassVar[bool] = True

    def stages(
        self, growth: ParticleGrowth, times: Scales, spacing: str, flags: Flags = None
    ) -> Stages:
        """See ``Integrator``."""
        return _leapfrog(_Factors(None), growth, times, spacing, flags)


class COLA(Integrator):
    """Leapfrog of the residual in the frame of Lagrangian perturbation theory, or in another one.

    ``factors``: ``tassev``, of residual momenta that go with a^n between forces (Tassev,
    Zaldarriaga & Eisenstein 2013, appendix A),

        K = (a_f^n - a_i^n) / (n a_c^(n-1) Q(a_c)),    X = a_c^(-n) int a^n da / Q,

    or ``quinn``, as in ``KickDriftKick``. N steps take N + 1 forces.
    """

    factors: str = eqx.field(static=True, default="tassev")
    power: float = eqx.field(static=True, default=-2.5)
    """n."""
    frame: ClassVar[str] = "lpt"
    any_frame: ClassVar[bool] = True

    def __check_init__(self) -> None:
        if self.factors not in ("tassev", "quinn"):
            raise ScheduleError(f"factors is {self.factors!r}; expected tassev or quinn")
        if self.power == 0.0:
            raise ScheduleError("the power n of Tassev's factors is 0; expected another, -2.5 say")

    def stages(
        self, growth: ParticleGrowth, times: Scales, spacing: str, flags: Flags = None
    ) -> Stages:
        """See ``Integrator``."""
        power = self.power if self.factors == "tassev" else None
        return _leapfrog(_Factors(power), growth, times, spacing, flags)


def _in_growth(
    name: str, growth: ParticleGrowth, times: Scales, decay: Scales, flags: Flags
) -> Stages:
    """Drift, kick, drift in the time D1, of the momentum P = dx/dD1:

    P_1 = alpha P_0 + (1 - alpha) g(x_m) / D_m.
    """
    number = times.shape[0] - 1
    if not np.all(_checked(flags, number)):
        raise ScheduleError(f"{name} has a force in every step; flags are for COLA's steps")
    values, momenta, _ = growth(times)
    first = values[:, 0]
    middle = 0.5 * (first[:-1] + first[1:])
    ahead = first[1:] - middle
    return Stages(
        a=growth.scale_factor(middle),
        drift=(middle - first[:-1]) + jnp.concatenate([jnp.zeros_like(ahead[:1]), ahead[:-1]]),
        decay=decay,
        kick=(1.0 - decay) / middle,
        source=jnp.ones_like(middle),
        kept=jnp.ones(number, dtype=bool),
        time=times[1:],
        ahead=ahead,
        back=jnp.zeros_like(middle),
        momentum=momenta[1:, 0],
        start=momenta[0, 0],
        all_kept=True,
        staggered=False,
    )


class FastPM(Integrator):
    """Drift, kick, drift in D1 with alpha = T D1(a_0) / T D1(a_1) (Feng, Chu, Seljak & McDonald
    2016, in the form of Rampf, List & Hahn 2024): exact for Zel'dovich's waves. N forces."""

    frame: ClassVar[str] = "none"
    any_frame: ClassVar[bool] = False

    def stages(
        self, growth: ParticleGrowth, times: Scales, spacing: str, flags: Flags = None
    ) -> Stages:
        """See ``Integrator``."""
        momenta = growth(times)[1][:, 0]
        return _in_growth("FastPM", growth, times, momenta[:-1] / momenta[1:], flags)


class BullFrog(Integrator):
    """Drift, kick, drift in D1 with the alpha that is exact to second order of Lagrangian
    perturbation theory (Rampf, List & Hahn 2024, arXiv:2409.19049).

    From D1 = 0 in an Einstein-de Sitter universe the first alpha is -5/7.
    """

    frame: ClassVar[str] = "none"
    any_frame: ClassVar[bool] = False

    def stages(
        self, growth: ParticleGrowth, times: Scales, spacing: str, flags: Flags = None
    ) -> Stages:
        """See ``Integrator``."""
        values, momenta, _ = growth(times)
        alpha = bullfrog_decay(values[:, 0], values[:, 1], momenta[:, 1] / momenta[:, 0])
        return _in_growth("BullFrog", growth, times, alpha, flags)


def bullfrog_decay(first: Scales, second: Scales, slope: Scales) -> Scales:
    """alpha of every step from D1, D2 and dD2/dD1 at the ends of steps."""
    half = 0.5 * (first[1:] - first[:-1])
    middle = first[:-1] + half
    shift = (second[:-1] + slope[:-1] * half) / middle - middle
    return (slope[1:] - shift) / (slope[:-1] - shift)


INTEGRATORS: dict[str, Integrator] = {
    "kdk": KickDriftKick(),
    "cola": COLA(),
    "cola-quinn": COLA("quinn"),
    "fastpm": FastPM(),
    "bullfrog": BullFrog(),
}
"""Those that have a name."""


def named_integrator(integrator: Integrator | str) -> Integrator:
    """An integrator, or the one of that name; raises ScheduleError for another name."""
    if isinstance(integrator, Integrator):
        return integrator
    if integrator not in INTEGRATORS:
        raise ScheduleError(
            f"integrator is {integrator!r}; expected one of {', '.join(INTEGRATORS)}"
        )
    return INTEGRATORS[integrator]
