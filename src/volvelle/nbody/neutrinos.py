"""Massive neutrinos on the grid: their linear density pulls on baryons and cold dark matter.

With f = Omega_nu / Omega_m and R(k, a) = delta_m / delta_cb = sqrt(P_m / P_cb) of linear theory,
the density that pulls is

    (1 - f) delta_cb + [R(k, a) - (1 - f)] D1(k, a) delta_cb,linear(today)

(Brandbyge & Hannestad 2009), the first order grows in every mode by T^2 D1 = c R(k, a) D1, and the
second, of waves in which no neutrino takes part, by T^2 D2 = c (1 - f) (D2 - D1^2) with D1 of R =
1 - f. Nothing is taken for known of neutrinos but the two linear spectra, at all times from the
start of the simulation on; before those of the spectra, R is what it is at their first.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.interpolation import Curve, Nodes
from volvelle.cosmology.neutrinos import is_traced
from volvelle.power import Model, Spectrum, learned_power, nonlinear_spectrum
from volvelle.power.errors import RedshiftError, WavenumberError
from volvelle.power.functions import as_arguments

from .assignment import order_of, window
from .errors import ForceError, InitialConditionsError
from .frames import Displacement, Frame, Scalar
from .growth import FIRST, STEPS, ParticleGrowth, integrated, particle_growth
from .initial_conditions import InitialConditions, log_wavenumbers
from .lpt import lagrangian
from .mesh import Mesh
from .modes import Modes, real_dtype, resized
from .pm import ParticleMesh, inverse_square, spectral_slopes

_NODES = 64
"""Of ln k, for what changes slowly with it."""


class Constant(eqx.Module):
    """A coupling that is the same at all times."""

    value: Float[Array, ""]

    def __call__(self, a: Float[Array, " *a"]) -> Float[Array, " *a"]:
        """The value."""
        return jnp.broadcast_to(self.value, jnp.shape(a))


class LinearResponse(eqx.Module):
    """How baryons and cold dark matter grow, and neutrinos follow, mode by mode; made by ``of``."""

    fraction: Float[Array, ""]
    """f."""
    small: ParticleGrowth
    """Growth where neutrinos do not cluster."""
    ratio: Curve
    """D1(k, a) over that of ``small`` [ln k, ln a], at the times of ``nodes``."""
    momenta: Curve
    """T D1(k, a), likewise."""
    matter: Curve
    """R(k, a), likewise."""
    nodes: Nodes = eqx.field(static=True)
    """Of ln a."""

    @classmethod
    def of(
        cls, cosmology: Cosmology, mesh: Mesh, start: float, power: Model | None = None
    ) -> LinearResponse:
        """Solve the growth of every mode of a mesh.

        Args:
            mesh: whose wavenumbers are wanted [h/Mpc].
            start: a from which on.
            power: a linear model that has ``matter`` and ``cb`` (the learned one, if None).

        Raises InitialConditionsError where neutrinos have no mass, and where the model does not
        cover the box or the times from the start on.
        """
        if not is_traced(cosmology.m_nu) and float(cosmology.omega_nu) == 0.0:
            raise InitialConditionsError(
                "linear neutrinos of no mass: m_nu is 0; leave them out of the simulation"
            )
        spectrum = nonlinear_spectrum(cosmology, learned_power() if power is None else power)
        h = cosmology.hubble_parameter
        log_k = log_wavenumbers(mesh, _NODES)
        k = jnp.exp(jnp.asarray(log_k))[:, None] * h
        try:
            spectrum.checked(k, start)
        except (WavenumberError, RedshiftError) as error:
            raise InitialConditionsError(
                f"neutrinos from a = {start:g} in a box with wavenumbers from "
                f"{np.exp(log_k[0]):.4g} to {np.exp(log_k[-1]):.4g} h/Mpc: {error}"
            ) from error
        return _solved(as_arguments(cosmology), spectrum, Nodes.of(log_k), float(start))

    def growth(self, log_k: Float[Array, " *k"], a: Scalar) -> Float[Array, " *k"]:
        """D1(k, a) of baryons and cold dark matter, 1 today; k in h/Mpc."""
        return self._relative(self.ratio, log_k, a) * self.small(a)[0][0]

    def momentum(self, log_k: Float[Array, " *k"], a: Scalar) -> Float[Array, " *k"]:
        """T D1(k, a)."""
        return self._relative(self.momenta, log_k, a) * self.small(a)[1][0]

    def acceleration(self, log_k: Float[Array, " *k"], a: Scalar) -> Float[Array, " *k"]:
        """T^2 D1(k, a) = c R D1."""
        source = 1.5 * self.small.Omega_m * a * self._relative(self.matter, log_k, a)
        return source * self.growth(log_k, a)

    def neutrinos(self, log_k: Float[Array, " *k"], a: Scalar) -> Float[Array, " *k"]:
        """f delta_nu over today's linear delta_cb; k in h/Mpc."""
        excess = self._relative(self.matter, log_k, a) - (1.0 - self.fraction)
        return excess * self.growth(log_k, a)

    def _relative(self, curve: Curve, log_k: Float[Array, " *k"], a: Scalar) -> Float[Array, "*k"]:
        """A table in ln k at one time: first a column, then the spline of it."""
        n, t, _ = self.nodes.locate(jnp.log(a))
        column = [
            (1.0 - t) * each[:, n] + t * each[:, n + 1] for each in (curve.values, curve.slopes)
        ]
        values, slopes = (each.astype(log_k.dtype) for each in column)
        return Curve(curve.nodes, values, slopes)(log_k)


@eqx.filter_jit
def _solved(cosmology: Cosmology, spectrum: Spectrum, log_k: Nodes, start: float) -> LinearResponse:
    x = np.linspace(np.log(FIRST), 0.0, 2 * STEPS + 1)
    late = np.flatnonzero(x > np.log(spectrum.a_min))
    k = jnp.exp(jnp.asarray(log_k.array))[:, None] * cosmology.hubble_parameter
    k, a = jnp.broadcast_arrays(k, jnp.exp(jnp.asarray(x[late])))
    known = jnp.sqrt(spectrum(k, a) / spectrum(k, a, "cb")).T
    matter = jnp.concatenate([jnp.broadcast_to(known[0], (late[0], k.shape[0])), known])
    fraction = jnp.asarray(cosmology.omega_nu / cosmology.omega_m)
    small = particle_growth(cosmology, Constant(1.0 - fraction))
    growth, momenta = _grown(small, x, matter)
    keep = x[::2] >= np.log(start) - 0.1

    def table(values: Float[Array, "t k"]) -> Curve:
        return Curve.through(log_k, values[keep].T)

    return LinearResponse(
        fraction,
        small,
        table(growth / small.values[:, :1]),
        table(momenta / small.momenta[:, :1]),
        table(matter[::2]),
        Nodes.of(x[::2][keep]),
    )


def _grown(
    small: ParticleGrowth, x: np.ndarray, matter: Float[Array, "t k"]
) -> tuple[Array, Array]:
    """D1(k, a) and T D1 at every second x = ln a, D1 = 1 today, from the start of ``small``."""
    a = jnp.exp(jnp.asarray(x))
    rate = a / small.Q(a)  # d/dx = rate T
    source = 1.5 * small.Omega_m * a[:, None] * matter
    # the growing mode among radiation: D = y + 2/3, as in ``growth``
    start = jnp.stack([small.values[0, 0], small.momenta[0, 0]])[:, None] * jnp.ones(
        matter.shape[1]
    )

    def change(state: Array, rate: Array, source: Array) -> Array:
        return rate * jnp.stack([state[1], source * state[0]])

    found = integrated(change, start, x[2] - x[0], rate, source)
    return found[:, 0] / found[-1, 0], found[:, 1] / found[-1, 0]


class NeutrinoFrame(Frame):
    """Lagrangian perturbation theory of baryons and cold dark matter beside linear neutrinos.

    First order in every mode, made by three transforms whenever it is asked for; second order with
    the growth of small scales.
    """

    mesh: Mesh
    potential: Modes
    """Of today's linear density of baryons and cold dark matter."""
    second: Displacement | None
    response: LinearResponse

    def _combined(self, first: Array, second: Array) -> Displacement:
        slopes = spectral_slopes(
            self.mesh, self.potential * first.astype(real_dtype(self.potential))
        )
        total = slopes.reshape(3, -1).T
        if self.second is None:
            return total
        return total + second.astype(total.dtype) * self.second

    def displacement(self, a: Scalar) -> Displacement:
        """See ``Frame``."""
        first = self.response.growth(_log_k(self.mesh, self.potential), a)
        return self._combined(first, self.response.small(a)[0][1])

    def momentum(self, a: Scalar) -> Displacement:
        """See ``Frame``."""
        first = self.response.momentum(_log_k(self.mesh, self.potential), a)
        return self._combined(first, self.response.small(a)[1][1])

    def acceleration(self, a: Scalar) -> Displacement:
        """See ``Frame``."""
        first = self.response.acceleration(_log_k(self.mesh, self.potential), a)
        return self._combined(first, self.response.small(a)[2][1])


def _log_k(mesh: Mesh, modes: Modes) -> Float[Array, "n n half"]:
    """ln k [h/Mpc] of every mode; that of the fundamental at k = 0."""
    square = mesh.k_squared().astype(real_dtype(modes))
    return 0.5 * jnp.log(jnp.where(square > 0.0, square, mesh.fundamental**2))


class LinearNeutrinos(eqx.Module):
    """f delta_nu as a Fourier field of a mesh: what a force adds to the particles' density."""

    response: LinearResponse
    modes: Modes
    """Of today's linear density of baryons and cold dark matter, on ``mesh``."""
    mesh: Mesh

    def __call__(self, a: Any) -> Modes:
        """At scale factor a."""
        # beyond the particles' mesh there are no modes
        inside = self.response.ratio.nodes.values[-1]
        log_k = jnp.minimum(_log_k(self.mesh, self.modes), inside)
        factor = self.response.neutrinos(log_k, jnp.asarray(a))
        return self.modes * factor.astype(real_dtype(self.modes))


@eqx.filter_jit
def neutrino_frame(
    response: LinearResponse, initial: InitialConditions, order: int
) -> NeutrinoFrame:
    """The frame of initial conditions of baryons and cold dark matter (``species="cb"``).

    Raises InitialConditionsError for an order that is not 1 or 2.
    """
    if order not in (1, 2):
        raise InitialConditionsError(
            f"the order of LPT is {order!r}; expected 1 or 2 beside linear neutrinos"
        )
    mesh, modes = initial.mesh, initial.modes
    potential = -modes * inverse_square(mesh, real_dtype(modes))
    second = lagrangian(initial, 2).fields[1] if order == 2 else None
    return NeutrinoFrame(mesh, potential, second, response)


def with_neutrinos(force: Any, response: LinearResponse, initial: InitialConditions) -> Any:
    """The same mesh force of particles that are baryons and cold dark matter, with neutrinos.

    They are smoothed as the particles are by painting, so that both pull alike.

    Raises ForceError for a force that has no place for other matter's density.
    """
    if not (hasattr(force, "density") and hasattr(force, "fraction") and force.density is None):
        raise ForceError(
            f"{type(force).__name__} has no room for the neutrinos' density; expected a "
            "ParticleMesh without a density of its own"
        )
    modes = resized(initial.modes, force.mesh.cells)
    if isinstance(force, ParticleMesh):
        order = order_of(force.assignment)
        for k in force.mesh.wavenumbers():
            half = jnp.asarray(0.5 * force.mesh.cell * k, real_dtype(modes))
            modes = modes * window(order, half)
    added = LinearNeutrinos(response, modes, force.mesh)
    return eqx.tree_at(
        lambda f: (f.density, f.fraction),
        force,
        (added, 1.0 - response.fraction.astype(real_dtype(modes))),
        is_leaf=lambda leaf: leaf is None,
    )
