"""Growth of the displacements of Lagrangian perturbation theory, as particles follow it.

With Q = a^3 E, T = Q d/da and c = (3/2) Omega_m a,

    T^2 D1  = c D1
    T^2 D2  = c (D2 - D1^2)                 -> -3/7  D1^2 in an Einstein-de Sitter universe
    T^2 D3a = c (D3a - 2 D1^3)              -> -1/3  D1^3
    T^2 D3b = c (D3b + D1^3 - D1 D2)        ->  5/21 D1^3
    T^2 D3c = c D1^3                        ->  1/7  D1^3,  T D3c = D2 T D1 - D1 T D2

(Bouchet et al. 1995; Rampf & Buchert 2012). All of matter is the source, as all of it is in the
particles; radiation, curvature, dark energy and the energy of massive neutrinos are in E.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.background import Densities, densities, squared_expansion
from volvelle.cosmology.interpolation import hermite

ORDERS = ("1", "2", "3a", "3b", "3c")
"""The displacements, in the order of the last axis of every array here."""

FIRST, STEPS = 1e-5, 512
"""a at which the integration begins, and Runge-Kutta steps of ln a from there to today."""
_EDGES = np.log(FIRST), 0.0

Scales = Float[Array, " *a"]
Growths = Float[Array, "*a 5"]
Coupling = Callable[[Scales], Scales]


class ParticleGrowth(eqx.Module):
    """D, T D and T^2 D of every displacement, tabulated in ln a, with D1 = 1 today.

    Made by ``particle_growth``. Cubic Hermite interpolation with the slopes of the equations.
    """

    found: Densities
    Omega_m: Float[Array, ""]
    values: Float[Array, "n 5"]
    momenta: Float[Array, "n 5"]
    slopes: Float[Array, "n 5"]
    """dD / d ln a."""
    forces: Float[Array, "n 5"]
    """dT D / d ln a."""
    coupling: Coupling | None

    def E(self, a: Scales) -> Scales:
        """H / H0."""
        today = self.found.total(jnp.ones_like(a))
        return jnp.sqrt(squared_expansion(self.found, a) / today)

    def Q(self, a: Scales) -> Scales:
        """a^3 E, with which T = Q d/da."""
        return a**3 * self.E(a)

    def source(self, a: Scales) -> Scales:
        """c = (3/2) Omega_m a, times the coupling of a modified gravity."""
        return _source(self.Omega_m, self.coupling, a)

    def __call__(self, a: Scales) -> tuple[Growths, Growths, Growths]:
        """D, T D and T^2 D at a, with one more axis, in the order of ``ORDERS``.

        Before a = 1e-5 the values there.
        """
        step = (_EDGES[1] - _EDGES[0]) / STEPS
        x = jnp.maximum(jnp.log(a) - _EDGES[0], 0.0) / step
        n = jnp.clip(jnp.floor(x).astype(int), 0, STEPS - 1)
        left, right, rise, fall = (weight[..., None] for weight in hermite(x - n))

        def between(values: Growths, slopes: Growths) -> Growths:
            ends = left * values[n] + right * values[n + 1]
            return ends + step * (rise * slopes[n] + fall * slopes[n + 1])

        growth = between(self.values, self.slopes)
        momentum = between(self.momenta, self.forces)
        return growth, momentum, _acceleration(self.source(a)[..., None], growth)

    def scale_factor(self, first: Scales) -> Scales:
        """a at which D1 is ``first``, between its value at a = 1e-5 and 1; differentiable."""
        nodes = jnp.linspace(*_EDGES, STEPS + 1)
        x = jnp.interp(first, self.values[:, 0], nodes)

        def improved(x: Scales) -> Scales:
            growth, momentum, _ = self(jnp.exp(x))
            slope = momentum[..., 0] * jnp.exp(x) / self.Q(jnp.exp(x))
            return x - (growth[..., 0] - first) / jax.lax.stop_gradient(slope)

        for _ in range(2):
            x = improved(jax.lax.stop_gradient(x))
        return jnp.exp(x)


def particle_growth(cosmology: Cosmology, coupling: Coupling | None = None) -> ParticleGrowth:
    """Solve the equations of growth for one universe.

    Args:
        coupling: a modified gravity's effective Newton constant over Newton's, a function of a that
            multiplies the sources (and is to multiply the force as well); None for general
            relativity.

    Accuracy: 1e-6 in float64, 1e-5 in float32. Raises ParameterError without h, ExpansionError
    where H^2 <= 0 at any time before today; for traced parameters, NaN.
    """
    found = densities(cosmology)
    Omega_m = jnp.asarray(cosmology.Omega_m)
    x = np.linspace(*_EDGES, 2 * STEPS + 1)
    a = jnp.asarray(np.exp(x))
    rate = 1.0 / (a**2 * jnp.sqrt(squared_expansion(found, a) / found.total(jnp.ones(()))))
    source = _source(Omega_m, coupling, a)
    start = _start(found, Omega_m, a[0], rate[0])

    def change(state: Array, rate: Array, source: Array) -> Array:
        growth, momentum = state
        return rate * jnp.stack([momentum, _acceleration(source, growth)])

    states = integrated(change, start, x[2] - x[0], rate, source)
    powers = np.array([1.0, 2.0, 3.0, 3.0, 3.0])
    states = states / states[-1, 0, 0] ** powers
    slopes = jax.vmap(change)(states, rate[::2], source[::2])
    return ParticleGrowth(
        found=found,
        Omega_m=Omega_m,
        values=states[:, 0],
        momenta=states[:, 1],
        slopes=slopes[:, 0],
        forces=slopes[:, 1],
        coupling=coupling,
    )


def integrated(
    change: Callable[..., Array], start: Array, step: float, *given: Float[Array, "t *rest"]
) -> Array:
    """States [(t + 1)/2, ...] of d state/dx = change(state, *given(x)), by Runge & Kutta's fourth
    order.

    Args:
        start: the first one.
        step: in x; ``given`` are tables at its beginning, middle and end, step after step.
    """

    def threes(values: Array) -> Array:
        return jnp.stack([values[:-1:2], values[1::2], values[2::2]], 1)

    def advance(state: Array, given: tuple[Array, ...]) -> tuple[Array, Array]:
        begin, middle, end = ([each[i] for each in given] for i in range(3))
        k1 = change(state, *begin)
        k2 = change(state + step / 2.0 * k1, *middle)
        k3 = change(state + step / 2.0 * k2, *middle)
        k4 = change(state + step * k3, *end)
        state = state + step / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        return state, state

    later = jax.lax.scan(advance, start, tuple(threes(each) for each in given))[1]
    return jnp.concatenate([start[None], later])


def _source(Omega_m: Array, coupling: Coupling | None, a: Scales) -> Scales:
    source = 1.5 * Omega_m * a
    return source if coupling is None else source * coupling(a)


def _acceleration(source: Array, growth: Growths) -> Growths:
    """T^2 D by the equations of the module's docstring."""
    first, second, third_a, third_b, _ = jnp.moveaxis(growth, -1, 0)
    cube = first**3
    terms = (
        first,
        second - first**2,
        third_a - 2.0 * cube,
        third_b + cube - first * second,
        cube,
    )
    return source * jnp.stack(terms, -1)


def _start(found: Densities, Omega_m: Array, a: Array, rate: Array) -> Float[Array, "2 5"]:
    """D1 = y + 2/3, y the density of matter over that of radiation (Meszaros 1974).

    The higher orders start at their Einstein-de Sitter values; what they should have from the time
    before is a displacement of the first order that is 1e-4 of it today.
    """
    radiation = found.photons + found.massless + found.state * found.ratios.size
    y = Omega_m * found.total(jnp.ones(())) * a / radiation
    first, slope = y + 2.0 / 3.0, y
    limits = np.array([1.0, -3.0 / 7.0, -1.0 / 3.0, 5.0 / 21.0, 1.0 / 7.0])
    powers = np.array([1, 2, 3, 3, 3])
    growth = limits * first**powers
    return jnp.stack([growth, powers * growth * slope / first / rate])
