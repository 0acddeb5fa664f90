"""Angular power spectra of all pairs of tracers."""

from collections.abc import Sequence
from itertools import combinations_with_replacement

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.background import densities
from volvelle.cosmology.neutrinos import is_traced
from volvelle.power import Model, Spectrum, nonlinear_spectrum
from volvelle.power.functions import as_arguments

from .beyond_limber import project_beyond
from .choice import Part, choose
from .errors import MultipoleError, PairError, TracerError
from .grid import make_grid, redshift_nodes
from .limber import Projection, above, depends_on_ell, follows_cold, prefactor, project, sheet
from .tracers import Contribution, Tracer, followed

Pairs = tuple[tuple[int, int], ...]
Terms = tuple[Contribution, ...]

_NEVER = 1e30  # [1/Mpc] no wavenumber is as large; an infinite one has no derivative


def place_of(pair: tuple[int, int], pairs: Pairs) -> int:
    """Where a pair stands among those computed, in either order; raises PairError."""
    for n, known in enumerate(pairs):
        if tuple(pair) in (known, known[::-1]):
            return n
    raise PairError(f"the pair {tuple(pair)} is not among those computed: {pairs}")


class AngularSpectra(eqx.Module):
    """C_l of pairs of tracers."""

    ell: Float[Array, " l"]
    values: Float[Array, "p l"]
    """In the order of ``pairs``."""
    missing: Float[Array, "p l"]
    """How much of each value could be missing, relative: the part of the integral beyond the edges
    in k and a of the power spectrum, if P went on there as the power law of its edge; and what is
    nearer than 4 Mpc, which matters at low l where n(z) is not 0 at z = 0."""
    pairs: Pairs = eqx.field(static=True)
    limber: Bool[Array, "p l"] | None = None
    """Where a value is Limber's approximation; None where nobody said."""
    limber_error: Float[Array, "p l"] | None = None
    """An estimate of the error of that approximation, over sqrt(C_ii C_jj); 0 elsewhere."""

    def __getitem__(self, pair: tuple[int, int]) -> Float[Array, " l"]:
        """C_l of two tracers, by their numbers, in either order."""
        return self.values[place_of(pair, self.pairs)]

    def flags(self, tolerance: float = 1e-3) -> Array:
        """[pairs, l]: where more than a fraction ``tolerance`` could be missing, or is unknown."""
        return ~(self.missing <= tolerance)

    def doubtful(self, tolerance: float = 1e-3) -> Array:
        """[pairs, l]: where Limber's approximation was taken although it may err by more.

        Everywhere, if nobody said how a spectrum was made.
        """
        if self.limber_error is None:
            return jnp.ones(self.values.shape, bool)
        return ~(self.limber_error <= tolerance)

    def matrix(self) -> Float[Array, "t t l"]:
        """C_l of every two tracers. Raises PairError unless all pairs were computed."""
        number = 1 + max(max(pair) for pair in self.pairs)
        index = np.full((number, number), -1)
        for n, (i, j) in enumerate(self.pairs):
            index[i, j] = index[j, i] = n
        if np.any(index < 0):
            i, j = np.argwhere(index < 0)[0]
            raise PairError(
                f"the pair ({i}, {j}) was not computed: leave ``pairs`` out for all of them"
            )
        return self.values[index]


def angular_cl(
    cosmology: Cosmology,
    ell: ArrayLike,
    tracers: Sequence[Tracer],
    power: Model | Spectrum | None = None,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    tolerance: float = 1e-3,
    limber: str = "auto",
) -> AngularSpectra:
    """Angular power spectra, by Limber's approximation where it is good enough.

    Differentiable in everything; the derivative in a curvature that is zero is Limber's.

    Args:
        ell: multipoles [l], of any spacing, integer or not.
        tracers: what is observed; a bin of a survey is one tracer.
        power: a model of P(k, a), or the spectrum of this cosmology; HMcode-2020 of the learned
            linear power, if None, as in ``power.nonlinear_power``.
        pairs: numbers of the tracers to correlate; all pairs i <= j unless given.
        tolerance: error relative to sqrt(C_ii C_jj), through the number of nodes and, with
            ``auto``, through the multipole from which Limber's approximation is taken.
        limber: ``auto``, ``always`` or ``never``. What goes beyond it needs a flat universe and
            multipoles that are not traced: where they are not so, ``auto`` takes Limber's
            approximation and says how far that may be off (``doubtful``), and ``never`` is
            refused. Where a traced Omega_k is not 0, ``auto`` does the same and ``never`` gives
            NaN; the derivative in it is Limber's.

    Multipoles that are traced and too small give NaN.

    Raises MultipoleError for l < 0, and l < 2 with shear; PairError, TracerError for wrong
    arguments; BeyondLimberError for what cannot be had beyond Limber's approximation; and what
    ``cosmology.hubble`` and ``power`` raise.
    """
    tracers = tuple(tracers)
    check_tracers(tracers, tolerance)
    chosen = checked_pairs(pairs, len(tracers))
    used = sorted({n for pair in chosen for n in pair})
    ells = checked_ell(ell, [tracers[n] for n in used])
    choice = choose(limber, cosmology, ells, {n: tracers[n] for n in used}, chosen, tolerance)
    densities(cosmology)  # refuses what cannot be while it is known
    spectrum = power if isinstance(power, Spectrum) else nonlinear_spectrum(cosmology, power)
    job = _Job(jnp.asarray(ells), {n: tracers[n] for n in used}, spectrum, chosen, float(tolerance))
    curvature = jnp.asarray(cosmology.Omega_k) if is_traced(cosmology.Omega_k) else None
    job, cosmology = as_arguments((job, cosmology))
    values, missing, approximate = _computed(
        job, cosmology, curvature, jnp.asarray(choice.beyond), choice.parts, limber == "never"
    )
    return AngularSpectra(
        ell=jnp.asarray(ells),
        values=values,
        missing=missing,
        limber=approximate,
        limber_error=jnp.where(approximate, choice.error, 0.0),
        pairs=chosen,
    )


class _Job(eqx.Module):
    """What is asked for, whatever the cosmology."""

    ell: Float[Array, " l"]
    tracers: dict[int, Tracer]
    spectrum: Spectrum
    pairs: Pairs = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)

    def projected(self, cosmology: Cosmology) -> tuple[Projection, dict[int, Terms]]:
        """Limber's projection, and the contributions at its nodes."""
        demands = tuple(tracer.demand for tracer in self.tracers.values())
        growth = any(tracer.needs_growth for tracer in self.tracers.values())
        grid = make_grid(cosmology, redshift_nodes(demands, self.tolerance), growth)
        terms = {
            n: followed(each.contributions(cosmology, grid), self.spectrum)
            for n, each in self.tracers.items()
        }
        cold = any(follows_cold(each) for each in terms.values())
        made = project(self.ell, grid, self.spectrum, tolerance=self.tolerance, cold=cold)
        return made, terms

    def beyond(
        self,
        cosmology: Cosmology,
        projected: tuple[Projection, dict[int, Terms]],
        parts: tuple[Part, ...],
    ) -> tuple[Array, Array]:
        """[pairs, l] without Limber's approximation where that is chosen, and what may miss."""
        projection, terms = projected
        orders = tuple(sorted({max(term.bessel, 0) for each in terms.values() for term in each}))
        shape = (len(self.pairs), self.ell.size)
        values, missing = jnp.zeros(shape), jnp.zeros(shape)
        highest = jnp.full(self.ell.size, _NEVER)
        for part in parts:
            band = part.band(orders, self.tolerance)
            chosen = [self.tracers[n] for n in part.tracers]
            found = project_beyond(band, cosmology, chosen, self.spectrum)
            where = {n: m for m, n in enumerate(part.tracers)}
            rows = [p for p, pair in enumerate(self.pairs) if set(pair) <= set(part.tracers)]
            first, second = np.asarray([[where[n] for n in self.pairs[p]] for p in rows]).T
            index = np.asarray(part.index)
            at = (np.asarray(rows)[:, None], index)
            values = values.at[at].set(found.values[:, first, second].T)
            missing = missing.at[at].set(found.missing[:, first, second].T)
            highest = highest.at[index].set(found.highest)
        near, also = _products(above(projection, highest), terms, self.pairs)
        return values + near, missing + also


@eqx.filter_jit
def _computed(
    job: _Job,
    cosmology: Cosmology,
    curvature: Array | None,
    beyond: Bool[Array, "p l"],
    parts: tuple[Part, ...],
    exactly: bool,
) -> tuple[Array, Array, Array]:
    """[pairs, l] of values, of the fraction that could be missing, and of where they are Limber's.

    ``curvature`` is Omega_k where nobody knows it; ``exactly``: NaN where it allows no more than
    Limber's approximation.
    """
    projected = job.projected(cosmology)
    values, missing = _products(*projected, job.pairs)
    approximate = ~beyond
    if parts:
        flat = cosmology if curvature is None else cosmology.replace(Omega_k=0.0)
        if curvature is not None:
            projected = job.projected(flat)
        exact, also = job.beyond(flat, projected, parts)
        if curvature is not None:
            exact = values + exact - _products(*projected, job.pairs)[0]
            curved = curvature != 0.0
            if exactly:
                exact = jnp.where(curved, jnp.nan, exact)
            else:
                approximate = approximate | curved
        values = jnp.where(approximate, values, exact)
        missing = jnp.where(approximate, missing, also)
    size = jnp.where(missing == 0.0, 1.0, jnp.abs(values))
    return values, jax.lax.stop_gradient(missing / size), approximate


def _products(projection: Projection, terms: dict[int, Terms], pairs: Pairs) -> tuple:
    """[pairs, l] of the integrals of a projection, and of what could be missing of them."""
    whole = {n for n in terms if depends_on_ell(terms[n])}
    plain = tuple(pair for pair in pairs if not whole & set(pair))
    rest = tuple(pair for pair in pairs if whole & set(pair))
    values, missing = _join(_factored(projection, terms, plain), _general(projection, terms, rest))
    order = np.asarray([(plain + rest).index(pair) for pair in pairs])
    if np.all(order == np.arange(order.size)):
        return values, missing
    return values[order], missing[order]


def _factored(projection: Projection, terms: dict[int, Terms], pairs: Pairs) -> tuple:
    """Pairs whose kernels are factors of l times functions of chi: one product of matrices."""
    kinds = [
        (n, (term.angular, term.bessel), term.species, term.kernel)
        for n in sorted({n for pair in pairs for n in pair})
        for term in terms[n]
    ]
    parts: dict[tuple[int, tuple[int, int], str], Array] = {}
    for n, kind, species, kernel in kinds:
        key = (n, kind, species)
        parts[key] = parts[key] + kernel if key in parts else kernel
    names = list(parts)
    products, factors, rows, cold = [], [], [], []
    for row, (i, j) in enumerate(pairs):
        for first, one in enumerate(names):
            for second, two in enumerate(names):
                if one[0] == i and two[0] == j:
                    products.append((first, second))
                    factors.append((one[1], two[1]))
                    rows.append(row)
                    cold.append((one[2] == "cb") + (two[2] == "cb"))
    shape = (len(pairs), projection.ell.size)
    if not products:
        return jnp.zeros(shape), jnp.zeros(shape)
    kernels = jnp.stack([parts[name] for name in names])
    first, second = np.asarray(products).T
    product = kernels[first] * kernels[second]
    table = {kind: prefactor(projection.ell, *kind) for pair in factors for kind in pair}
    factor = jnp.stack([table[one] * table[two] for one, two in factors])
    known = _summed(product, projection.known, projection.cold, cold) * factor
    size = jnp.abs(jax.lax.stop_gradient(product))
    unknown = _summed(size, projection.unknown, projection.cold, cold) * factor
    if len(rows) == len(pairs):
        return known, unknown
    into = np.zeros((len(pairs), len(rows)))
    into[rows, np.arange(len(rows))] = 1.0
    return into @ known, into @ unknown


def _summed(product: Array, sheet: Array, cold: Array | None, powers: list[int]) -> Array:
    """[rows, l]: products of kernels over the nodes, with a power of ``cold`` per row."""
    if cold is None:
        return product @ sheet.T
    result = jnp.zeros((product.shape[0], sheet.shape[0]))
    for power in sorted(set(powers)):
        rows = np.flatnonzero(np.asarray(powers) == power)
        result = result.at[rows].set(product[rows] @ (sheet * cold**power).T)
    return result


def _general(projection: Projection, terms: dict[int, Terms], pairs: Pairs) -> tuple:
    """Pairs of which a kernel depends on l in any way."""
    sheets = {n: sheet(terms[n], projection) for n in sorted({n for p in pairs for n in p})}
    values, missing = [], []
    for i, j in pairs:
        product = sheets[i] * sheets[j]
        values.append(jnp.sum(product * projection.known, axis=-1))
        magnitude = jnp.abs(jax.lax.stop_gradient(product))
        missing.append(jnp.sum(magnitude * projection.unknown, axis=-1))
    if not pairs:
        return jnp.zeros((0, projection.ell.size)), jnp.zeros((0, projection.ell.size))
    return jnp.stack(values), jnp.stack(missing)


def _join(one: tuple, two: tuple) -> tuple:
    return jnp.concatenate([one[0], two[0]]), jnp.concatenate([one[1], two[1]])


def check_tracers(tracers: tuple[Tracer, ...], tolerance: float) -> None:
    """Raise TracerError for what is no tracer, or no tolerance."""
    if not tracers or not all(isinstance(tracer, Tracer) for tracer in tracers):
        raise TracerError(f"tracers are {tracers!r}; expected one or more Tracers in a list")
    if not 1e-8 <= tolerance <= 0.1:
        raise TracerError(f"tolerance is {tolerance}; expected a number from 1e-8 to 0.1")


def checked_pairs(pairs: Sequence[tuple[int, int]] | None, number: int) -> Pairs:
    """All pairs i <= j of a number of tracers, or those given; raises PairError."""
    if pairs is None:
        return tuple(combinations_with_replacement(range(number), 2))
    chosen = tuple((int(i), int(j)) for i, j in pairs)
    if not chosen or len({tuple(sorted(pair)) for pair in chosen}) < len(chosen):
        raise PairError(f"pairs are {chosen}; expected one or more, each once")
    if any(not 0 <= n < number for pair in chosen for n in pair):
        raise PairError(f"pairs are {chosen}; expected numbers of tracers from 0 to {number - 1}")
    return chosen


def checked_ell(ell: ArrayLike, tracers: Sequence[Tracer]) -> np.ndarray | Float[Array, " l"]:
    """Multipoles that all tracers have, an array of NumPy where they are known; NaN for traced ones
    that are too small. Raises MultipoleError."""
    traced = is_traced(ell)
    ells = jnp.asarray(ell, dtype=float) if traced else np.asarray(ell, dtype=float)
    least = max(tracer.least_ell for tracer in tracers)
    if ells.ndim != 1 or ells.size == 0:
        raise MultipoleError(f"ell has shape {ells.shape}; expected a list of multipoles")
    if traced:
        return jnp.where(ells >= least, ells, jnp.nan)
    if not np.all(np.asarray(ells) >= least):
        reason = ": shear has no monopole and dipole" if least == 2 else ""
        raise MultipoleError(f"ell is {float(np.min(ells)):g}; expected {least} or more{reason}")
    return ells
