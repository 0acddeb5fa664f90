"""Super-sample covariance: spectra of a survey move together with its own mean density.

    Cov(C_l^ij, C_l'^mn) = int dchi sigma_B^2(chi) (dC_l^ij / dchi d delta_b) (dC_l'^mn / ...),
    dC_l^ij / dchi d delta_b = Delta^i_l Delta^j_l / f_K^2 P (d ln P / d delta_b - b_i - b_j)

(Takada & Hu 2013, arXiv:1302.6994; Krause & Eifler 2017, arXiv:1601.05779, appendix), by Limber as
the spectra themselves; b is the bias of counts, which are measured against the survey's own mean
density, and 0 for shear and convergence. sigma_B^2 [Mpc] is the variance of linear matter over the
window on a shell at chi:

    sigma_B^2 = sum_l P_L((l + 1/2) / f_K, a) W_l / f_K^2,    W_l = sum_m |w_lm|^2

with w of integral 1 over the sky. The integral over nodes makes the covariance a product of a
[nodes, data] root with itself: of low rank and never negative.
"""

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.background import densities
from volvelle.cosmology.neutrinos import is_traced
from volvelle.power import Model, Spectrum, nonlinear_spectrum
from volvelle.power.continuation import Continued
from volvelle.power.functions import as_arguments, standard_model

from .covariance import LowRankCovariance
from .errors import CovarianceError, ResponseError
from .grid import Grid, make_grid, redshift_nodes
from .limber import follows_cold, project, sheet
from .response import DensityResponse, Response
from .spectra import Pairs, check_tracers, checked_ell, checked_pairs
from .tracers import Tracer, followed

_EXACT, _WIDTH = 64, 1.04
"""Multipoles of a window that count one by one, and the width of groups beyond."""
_SETTLED = 40.0
"""Largest multipole times the radius of a cap, for sigma_B^2 to 1e-4."""


class _Sources(NamedTuple):
    spectrum: Spectrum
    linear: Spectrum
    response: Response


def cap_window(f_sky: ArrayLike, largest: int = 2000) -> Float[Array, " l"]:
    """W_l of a circular survey, a cap of the sky, for ``super_sample_covariance``.

    Differentiable in f_sky.

    Args:
        f_sky: fraction of the sky.
        largest: multipole of the last value; 2000 is enough above f_sky = 1e-4.

    Returns W_l for l = 0 to ``largest``: sum_m |w_lm|^2 of a window of integral 1.

    Raises CovarianceError for a fraction that is none, or one too small for ``largest`` (NaN where
    it is traced).
    """
    if not is_traced(f_sky):
        given = float(np.asarray(f_sky))
        if not 0.0 < given <= 1.0:
            raise CovarianceError(f"f_sky is {given:g}; expected a fraction above 0, at most 1")
        if largest * np.arccos(1.0 - 2.0 * given) < _SETTLED:
            raise CovarianceError(
                f"f_sky is {given:g}: the window has structure beyond l = {largest}; raise largest"
            )
    fraction = jnp.asarray(f_sky, dtype=float)
    fraction = jnp.where((fraction > 0.0) & (fraction <= 1.0), fraction, jnp.nan)
    x = 1.0 - 2.0 * fraction  # cosine of the radius
    one = jnp.ones_like(x)

    def advance(carry: tuple[Array, Array], ell: Array) -> tuple[tuple[Array, Array], Array]:
        before, now = carry
        after = ((2.0 * ell + 1.0) * x * now - ell * before) / (ell + 1.0)
        return (now, after), before - after

    ell = jnp.arange(1.0, largest + 1.0)
    _, falls = jax.lax.scan(advance, (one, x), ell)  # P_(l-1) - P_(l+1)
    area = 4.0 * np.pi * fraction
    rest = np.pi / (2.0 * ell + 1.0) * (falls / area) ** 2
    return jnp.concatenate([jnp.full(1, 1.0 / (4.0 * np.pi)), rest])


def super_sample_covariance(
    cosmology: Cosmology,
    ell: ArrayLike,
    tracers: Sequence[Tracer],
    power: Model | Spectrum | None = None,
    *,
    window: ArrayLike,
    pairs: Sequence[tuple[int, int]] | None = None,
    response: Response | None = None,
    linear: Model | Spectrum | None = None,
    tolerance: float = 1e-3,
) -> LowRankCovariance:
    """Super-sample covariance of ``angular_cl(cosmology, ell, tracers, power)``.

    Add it to the Gaussian one: ``gaussian_covariance(...).plus(...)``. Differentiable in
    everything, the window included.

    Args:
        ell, tracers, pairs, tolerance: as for ``angular_cl``; one multipole per band.
        power: as for ``angular_cl``; a spectrum, or a model other than the package's own, needs
            ``response`` and ``linear``.
        window: [l] sum over m of |w_lm|^2 of the survey's window, which has integral 1 over the
            sky, for l = 0, 1, ...: ``cap_window(f_sky)``, or measured on a mask.
        response: d ln P / d delta_b as a function of (k, a), element by element; that of the
            power's own model (``DensityResponse``) if None.
        linear: linear power of the modes beyond the survey; that inside ``power`` if None.

    As in ``angular_cl`` integrals end where the power spectrum does (its ``flags`` say where that
    matters). Redshift distortions and magnification have the response of the density.

    Raises ResponseError for a power without response or linear part, CovarianceError for a window
    that is none (NaN where traced), and as ``angular_cl``.
    """
    tracers = tuple(tracers)
    check_tracers(tracers, tolerance)
    chosen = checked_pairs(pairs, len(tracers))
    used = sorted({n for pair in chosen for n in pair})
    ells = jnp.asarray(checked_ell(ell, [tracers[n] for n in used]))
    found = _sources(cosmology, power, response, linear)
    densities(cosmology)  # refuses what cannot be while it is known
    _checked_window(window)
    asked = (
        ells,
        {n: tracers[n] for n in used},
        found,
        cosmology,
        jnp.asarray(window, dtype=float),
    )
    return LowRankCovariance(_root(as_arguments(asked), chosen, float(tolerance)))


@eqx.filter_jit
def _root(asked: tuple, pairs: Pairs, tolerance: float) -> Float[Array, "l n p"]:
    """The root of the covariance, one column per node of redshift."""
    ells, tracers, found, cosmology, window = asked
    nodes = redshift_nodes(tuple(tracer.demand for tracer in tracers.values()), tolerance)
    grid = make_grid(cosmology, nodes, any(tracer.needs_growth for tracer in tracers.values()))
    variance = background_variance(cosmology, grid, found.linear, window)
    terms = {
        n: followed(tracer.contributions(cosmology, grid), found.spectrum)
        for n, tracer in tracers.items()
    }
    cold = any(follows_cold(each) for each in terms.values())
    projection = project(ells, grid, found.spectrum, cold=cold)
    sheets = {n: sheet(each, projection) for n, each in terms.items()}
    means = {n: tracer.mean_density(cosmology, grid) for n, tracer in tracers.items()}
    times = jnp.broadcast_to(np.maximum(grid.a, found.spectrum.a_min), projection.k.shape)
    answer = found.response(projection.k, times)
    # the weights of the nodes are above 0 for all that ``redshift_nodes`` makes
    scale = projection.known * jnp.sqrt(grid.hubble * variance / grid.weights)
    root = [sheets[i] * sheets[j] * scale * (answer - means[i] - means[j]) for i, j in pairs]
    return jnp.moveaxis(jnp.stack(root), 2, 0)


def background_variance(
    cosmology: Cosmology, grid: Grid, linear: Spectrum, window: ArrayLike
) -> Float[Array, " n"]:
    """sigma_B^2 [Mpc] at the nodes of a grid.

    Beyond the wavenumbers of ``linear`` P goes on with the shape of Eisenstein & Hu's smooth
    transfer function, as in ``power.sigma_r``. Raises CovarianceError as above.
    """
    given = _checked_window(window)
    middle, into = _groups(given.size)
    k = (middle[:, None] + 0.5) / grid.transverse
    a = jnp.broadcast_to(np.maximum(grid.a, linear.a_min), k.shape)
    power = Continued(cosmology, linear)(k, a)
    checked = jnp.where(given >= 0.0, given, jnp.nan)
    return (jnp.asarray(into) @ checked) @ power / grid.transverse**2


def _checked_window(window: ArrayLike) -> Float[Array, " l"]:
    given = jnp.asarray(window, dtype=float)
    if given.ndim != 1 or given.size == 0:
        raise CovarianceError(f"window has shape {given.shape}; expected W_l from l = 0 on")
    if not is_traced(given) and not np.all(np.asarray(given) >= 0.0):
        raise CovarianceError("window below 0 or not finite; expected sum_m |w_lm|^2")
    return given


@lru_cache(maxsize=8)
def _groups(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean multipoles of groups, and the matrix that sums over them."""
    edges = list(range(min(_EXACT, size)))
    while edges[-1] < size:
        edges.append(min(int(np.ceil(max(edges[-1], 1) * _WIDTH)), size))
    into = np.zeros((len(edges) - 1, size))
    for n, (low, high) in enumerate(itertools.pairwise(edges)):
        into[n, low:high] = 1.0
    return into @ np.arange(size) / into.sum(axis=1), into


def _sources(
    cosmology: Cosmology,
    power: Model | Spectrum | None,
    response: Response | None,
    linear: Model | Spectrum | None,
) -> _Sources:
    model = standard_model() if power is None else power
    if isinstance(model, Model):
        model.check(cosmology)
    if response is None:
        if isinstance(model, Spectrum):
            raise ResponseError(
                f"{type(model).__name__} is a spectrum, which does not know its model: give the "
                "model, or response and linear"
            )
        response = DensityResponse.of(cosmology, model)
    own = response if isinstance(response, DensityResponse) else None
    if linear is None and own is None:
        raise ResponseError("response is given without linear; say which power is linear")
    made = _made(cosmology, model) if own is None else own.spectrum
    if linear is None and own is not None:
        return _Sources(made, own.linear, response)
    assert linear is not None
    return _Sources(made, _made(cosmology, linear), response)


def _made(cosmology: Cosmology, power: Model | Spectrum) -> Spectrum:
    return power if isinstance(power, Spectrum) else nonlinear_spectrum(cosmology, power)
