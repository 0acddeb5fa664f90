"""Power spectra from tables, interpolated bicubically in ln k and ln(1 + z)."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.boltzmann import EARLY_Z, POWER_K, POWER_Z
from volvelle.cosmology import Cosmology
from volvelle.cosmology.interpolation import Nodes, hermite
from volvelle.cosmology.neutrinos import is_traced

from .base import Model, Spectrum
from .errors import TableError

Points = Float[Array, " *k"]
Values = Float[Array, "z k"]


class Surface(eqx.Module):
    """A function of x = ln k and y = ln(1 + z) between nodes of each."""

    x: Nodes = eqx.field(static=True)
    y: Nodes = eqx.field(static=True)
    value: Values
    along: Values
    """Its slope f_x."""
    up: Values
    """f_y; this and the next are apart, so that what looks at no other times does not need them."""
    both: Values
    """f_xy."""

    @classmethod
    def through(cls, x: Nodes, y: Nodes, values: Values) -> "Surface":
        """Bicubic through ``values``, with the slopes of splines along each axis."""
        values = jnp.asarray(values)
        up = jnp.asarray(y.slopes) @ values
        return cls(x, y, values, x.differentiate(values), up, x.differentiate(up))

    def __call__(self, x: Points, y: Points | np.ndarray) -> Points:
        """f, elementwise; beyond the ends, the outermost cubics.

        Where ``y`` is an array of NumPy, and x has a column for each, a constant matrix takes the
        table there: its derivative is a product, not a scatter.
        """
        if x.ndim == 1 and y.ndim == 2 and y.shape[1] == 1:
            return self._on_grid(x, y[:, 0])
        if x.ndim == 2 and y.shape == x.shape[1:]:
            return self._in_columns(x, self._rows(y))
        (i, t, width), (j, u, height) = self.x.locate(x), self.y.locate(jnp.asarray(y))
        wx, wy = hermite(t), hermite(u)
        total = jnp.zeros(jnp.broadcast_shapes(x.shape, y.shape))
        for up in (0, 1):
            for right in (0, 1):
                at = (j + up, i + right)
                along = wx[right] * self.value[at] + width * wx[2 + right] * self.along[at]
                slope = wx[right] * self.up[at] + width * wx[2 + right] * self.both[at]
                total = total + wy[up] * along + height * wy[2 + up] * slope
        return total

    def _on_grid(self, x: Float[Array, " k"], y: Float[Array, " z"] | np.ndarray) -> Values:
        """f of every y and x, one axis after the other: rows are looked up, not numbers, as the
        derivative of looking up scatters."""
        value, slope = (each.T for each in self._rows(y))
        return _between(self.x, x, value[None], slope[None])[0].T

    def _rows(self, y: Float[Array, " n"] | np.ndarray) -> Float[Array, "2 n k"]:
        """f and f_x at every y and the nodes of x."""
        if isinstance(y, np.ndarray):
            matrix = jnp.asarray(self.y.matrix(y))
            return jnp.stack([matrix @ self.value, matrix @ self.along])
        values, slopes = jnp.stack([self.value, self.along]), jnp.stack([self.up, self.both])
        return _between(self.y, y, values, slopes)

    def _in_columns(self, x: Float[Array, "l n"], found: Float[Array, "2 n k"]) -> Array:
        """f at many x for every y, one row of the table for each of them."""
        rows = jnp.moveaxis(found, 0, -1)
        i, t, width = self.x.locate(x.T)

        def ends(row: Float[Array, "k 2"], first: Array) -> Float[Array, "l 2 2"]:
            return jax.vmap(lambda n: jax.lax.dynamic_slice(row, (n, 0), (2, 2)))(first)

        found = jax.vmap(ends)(rows, i)  # [n, l, end, (value, slope)]
        low, high, rise, end = hermite(t)
        value = low * found[..., 0, 0] + high * found[..., 1, 0]
        return (value + width * (rise * found[..., 0, 1] + end * found[..., 1, 1])).T


def _between(nodes: Nodes, x: Points, values: Array, slopes: Array) -> Array:
    """Cubics through values [c, n, m] with slopes along n, at x: [c, x, m]."""
    n, t, width = nodes.locate(x)
    low, high, rise, end = (each[:, None] for each in hermite(t))
    found = low * values[:, n] + high * values[:, n + 1]
    return found + width[:, None] * (rise * slopes[:, n] + end * slopes[:, n + 1])


class TabulatedSpectrum(Spectrum):
    """ln P of matter and of baryons + cold dark matter between nodes in ln k and ln(1 + z)."""

    k_min: float = eqx.field(static=True)
    k_max: float = eqx.field(static=True)
    a_min: float = eqx.field(static=True)
    log_matter: Surface
    log_cb: Surface

    @classmethod
    def through(cls, k: Nodes, z: Nodes, log_matter: Values, log_cb: Values) -> "TabulatedSpectrum":
        """A spectrum through ln P at nodes of ``k`` = ln k and ``z`` = ln(1 + z), from z = 0."""
        low, high = np.exp(k.values[0]), np.exp(k.values[-1])
        matter = Surface.through(k, z, log_matter)
        cb = matter if log_cb is log_matter else Surface.through(k, z, log_cb)
        return cls(float(low), float(high), float(np.exp(-z.values[-1])), matter, cb)

    def matter(self, k: Points, a: Points) -> Points:
        """P of all matter."""
        return jnp.exp(self.log_matter(jnp.log(k), -jnp.log(a)))

    def cb(self, k: Points, a: Points) -> Points:
        """P of baryons and cold dark matter."""
        return jnp.exp(self.log_cb(jnp.log(k), -jnp.log(a)))


class TabulatedPower(Model):
    """A table of P(k, z), whatever the cosmology that it is asked for: the caller's own.

    ln P is interpolated by cubics in ln k and ln(1 + z); nodes as dense as a solver's give back
    what lies between to 1e-4 (``boltzmann.POWER_K`` and ``POWER_Z``).
    """

    k: Nodes = eqx.field(static=True)
    z: Nodes = eqx.field(static=True)
    matter: Values
    cb: Values | None

    def __init__(self, k: Any, z: Any, matter: Any, cb: Any = None) -> None:
        """A table.

        Args:
            k: wavenumbers, increasing, two or more [1/Mpc].
            z: redshifts, increasing from 0, two or more.
            matter: P of all matter, shape (z, k) [Mpc^3].
            cb: P of baryons and cold dark matter, the same shape; None where it is the matter's.

        Raises TableError for nodes or shapes that are none, and for values that are not above 0.
        """
        self.k = _nodes("k", k, np.log, above=0.0)
        self.z = _nodes("z", z, np.log1p, above=-1.0)
        if self.z.values[0] != 0.0:
            raise TableError(f"the first redshift is {np.asarray(z)[0]:.6g}; expected 0 (today)")
        self.matter = self._checked("matter", matter)
        self.cb = None if cb is None else self._checked("cb", cb)

    def _checked(self, name: str, power: Any) -> Values:
        shape = (len(self.z.values), len(self.k.values))
        if np.shape(power) != shape:
            raise TableError(f"{name} has shape {np.shape(power)}; expected {shape}, of (z, k)")
        if not is_traced(power) and not np.all((np.asarray(power) > 0.0) & np.isfinite(power)):
            raise TableError(f"{name} holds values that are not above 0, or not finite")
        return jnp.asarray(power, dtype=jnp.result_type(float))

    @classmethod
    def of_theory(cls, theory: Mapping[str, Any]) -> "TabulatedPower":
        """The table of a solver's or emulator's ``matter_power`` and, where there, ``cb_power``.

        With ``matter_power_early`` (and ``cb_power_early``) it goes on from z = 4 to 100. Raises
        TableError without ``matter_power``, and with one of the two powers alone before z = 4.
        """
        if "matter_power" not in theory:
            raise TableError("the theory has no matter_power; ask the solver for it")
        names = tuple(name for name in ("matter_power", "cb_power") if name in theory)
        early = [f"{name}_early" for name in names]
        missing = [name for name in early if name not in theory]
        tables = [theory[name] for name in names]
        if len(missing) == len(early):
            return cls(POWER_K, POWER_Z, *tables)
        if missing:
            raise TableError(f"the theory has no {missing[0]}; ask the solver for it beside others")
        z = np.concatenate([POWER_Z, EARLY_Z])
        pairs = zip(tables, early, strict=True)
        whole = [jnp.concatenate([late, jnp.asarray(theory[name])]) for late, name in pairs]
        return cls(POWER_K, z, *whole)

    def spectrum(self, cosmology: Cosmology) -> TabulatedSpectrum:
        """The table; ``cosmology`` is not looked at."""
        matter = jnp.log(self.matter)
        cb = matter if self.cb is None else jnp.log(self.cb)
        return TabulatedSpectrum.through(self.k, self.z, matter, cb)


class ContinuedSpectrum(Spectrum):
    """A table, and before its first time what it is there times another spectrum's growth."""

    k_min: float = eqx.field(static=True)
    k_max: float = eqx.field(static=True)
    a_min: float = eqx.field(static=True)
    table: TabulatedSpectrum
    before: Spectrum

    def matter(self, k: Points, a: Points) -> Points:
        """P of all matter."""
        return self._continued(k, a, "matter")

    def cb(self, k: Points, a: Points) -> Points:
        """P of baryons and cold dark matter."""
        return self._continued(k, a, "cb")

    def _continued(self, k: Points, a: Points | np.ndarray, species: str) -> Points:
        known = isinstance(a, np.ndarray)
        first, at = self.table.a_min, np if known else jnp
        late = at.where(a < first, first, a)
        found = getattr(self.table, species)(k, late)
        if known and np.all(a >= first):
            return found
        early = at.where(a < first, a, first)
        inside = jnp.clip(k, self.before.lowest, self.before.k_max)
        then, there = (self.before(inside, each, species) for each in (early, first + 0.0 * early))
        return found * (then / there)


class ContinuedPower(Model):
    """A table of P(k, z) and, before its first time, the growth of another model.

    P(k, z) = P_table(k, z_1) P_other(k, z) / P_other(k, z_1) where z > z_1, the table's last.
    """

    table: TabulatedPower
    before: Model

    def spectrum(self, cosmology: Cosmology) -> ContinuedSpectrum:
        """Both; errors are those of the other model."""
        table, before = self.table.spectrum(cosmology), self.before.spectrum(cosmology)
        return ContinuedSpectrum(table.k_min, table.k_max, before.a_min, table, before)


def _nodes(name: str, given: Any, scale: Callable[..., Any], above: float) -> Nodes:
    if is_traced(given):
        raise TableError(f"the nodes of {name} are traced; give NumPy arrays, made outside of jit")
    values = np.asarray(given, dtype=float)
    if values.ndim != 1 or not np.all(values > above) or not np.all(np.isfinite(values)):
        raise TableError(f"{name} is no one-dimensional array of finite values above {above:g}")
    try:
        return Nodes.of(scale(values))
    except ValueError as error:
        raise TableError(f"{name}: {error}") from None
