"""What is observed on the sky, as kernels over redshift: galaxies, their shapes, the lensed CMB.

A tracer is a sum of contributions; each has a kernel W(chi) [1/Mpc], a factor of l from the
derivatives on the sphere and an order of the Bessel function that the projection replaces:

    Delta_l(k) = f_l int dchi W(chi) T(k, a) j_l^(n)(k chi)

(Chisari et al. 2019, arXiv:1812.05995, section 2.4.1, whose signs these are). Lensing kernels are
exact through sums over the sources beyond every node, in curved space too:
f_K(chi' - chi) / f_K(chi') = f_K'(chi) - f_K(chi) f_K'(chi') / f_K(chi').
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.constants import HUBBLE_DISTANCE
from volvelle.cosmology.neutrinos import is_traced
from volvelle.power import Spectrum

from .errors import TracerError
from .evolution import Alignment, FunctionOfTime, Grown, Parameter, at_nodes
from .grid import Demand, Grid
from .redshift import Delta, Distribution

_KERNEL_SCALE = 0.05
_COARSE, _COARSE_ALIGNED = 8.0, 4.0  # of steps that sample n(z), for lensing and with alignments

Transfer = Callable[[Float[Array, " *k"], Float[Array, " *k"]], Float[Array, " *k"]]


class Contribution(eqx.Module):
    """One term of a tracer, at the nodes of a grid."""

    kernel: Float[Array, " n"]
    """W [1/Mpc]."""
    angular: int = eqx.field(static=True, default=0)
    """0: f_l = 1; 1: l (l + 1); 2: sqrt((l + 2)! / (l - 2)!)."""
    bessel: int = eqx.field(static=True, default=0)
    """-1: j_l(x) / x^2; 0, 1, 2: that derivative of j_l."""
    transfer: Transfer | None = None
    """T(k, a), element by element, or None for 1."""
    species: str = eqx.field(static=True, default="matter")
    """What it follows: ``matter``, or ``cb``, baryons and cold dark matter."""


class ColdRatio(eqx.Module):
    """sqrt(P_cb / P_matter), the transfer function from matter to baryons + cold dark matter.

    So crosses are sqrt(P_cb P_matter), which is exact for linear fields of one origin.
    """

    spectrum: Spectrum
    further: Transfer | None
    """A transfer function beside it."""

    def __call__(self, k: Float[Array, " *k"], a: Float[Array, " *k"]) -> Float[Array, " *k"]:
        spectrum = self.spectrum
        safe = jnp.clip(k, spectrum.lowest, spectrum.k_max), jnp.clip(a, spectrum.a_min, 1.0)
        ratio = jnp.sqrt(spectrum.cb(*safe) / spectrum.matter(*safe))
        return ratio if self.further is None else ratio * self.further(k, a)


def followed(terms: tuple[Contribution, ...], spectrum: Spectrum) -> tuple[Contribution, ...]:
    """Terms that follow baryons and cold dark matter, as terms with a transfer function."""
    return tuple(
        term
        if term.species == "matter"
        else Contribution(
            term.kernel,
            term.angular,
            term.bessel,
            ColdRatio(spectrum, term.transfer),
            term.species,
        )
        for term in terms
    )


class Detail(NamedTuple):
    """Where a tracer gets its structure along the line of sight from; static but for the sample."""

    sample: Distribution | None
    """The n(z) behind it, or None where only ``demand`` is known."""
    own: bool = True
    """Whether its kernel follows n(z), and not only the smooth sums over it that lens."""
    lenses: bool = True
    """Whether its kernel begins at the observer."""
    distorted: bool = False
    """Whether it has redshift-space distortions."""


class Tracer(eqx.Module):
    """Something on the sky that follows the matter; abstract.

    ``contributions`` gives its terms and ``demand`` what nodes they need; ``detail`` says where
    Limber's approximation fails; ``least_ell`` is the smallest multipole that it has.
    """

    @abstractmethod
    def contributions(self, cosmology: Cosmology, grid: Grid) -> tuple[Contribution, ...]:
        """The terms at the nodes of a grid."""

    @property
    @abstractmethod
    def demand(self) -> Demand:
        """The redshifts that matter and their finest structure; static."""

    @property
    def detail(self) -> Detail:
        """Its structure: unless said otherwise, all that is known is ``demand``."""
        return Detail(None, own=self.demand.z_fine > 0.0)

    @property
    def least_ell(self) -> int:
        """0, or 2 for a field of spin 2."""
        return 0

    @property
    def needs_growth(self) -> bool:
        """Whether ``contributions`` uses the growth of the grid."""
        return False

    def mean_density(self, cosmology: Cosmology, grid: Grid) -> Float[Array, " n"] | Parameter:
        """Bias of the mean by which a survey divides the field; 0 where it does not."""
        return 0.0


class NumberCounts(Tracer):
    """Number density of galaxies: bias, redshift-space distortions, magnification.

    Args:
        distribution: n(z) of the sample.
        bias: a number, or a function of (cosmology, a), such as ``PowerLaw``; one per bin as every
            bin is a tracer of its own.
        rsd: whether linear redshift-space distortions are included, -f j_l''.
        tracing: ``matter``, massive neutrinos included, as in CCL and the published analyses of
            galaxy surveys; or ``cb``, of which the bias of halos does not depend on the mass of
            neutrinos (Castorina et al. 2014, arXiv:1311.1212): take it where that mass varies.
            Magnification is by all matter.
        magnification: slope s of the number counts, dlog10 N / dm at the limit: a number, a
            function of (cosmology, a), or None without magnification; the term is
            (5 s - 2) times the convergence.

    Raises TracerError for a sample at one redshift, whose spectrum is infinite, and for an unknown
    ``tracing``.
    """

    distribution: Distribution
    bias: Parameter | FunctionOfTime = 1.0
    rsd: bool = eqx.field(static=True, default=False)
    magnification: Parameter | FunctionOfTime | None = None
    tracing: str = eqx.field(static=True, default="matter")

    def __check_init__(self) -> None:
        _check_tracing(self.tracing)
        if isinstance(self.distribution, Delta):
            raise TracerError(
                "NumberCounts of a Delta: galaxies at one redshift have an infinite Limber "
                "spectrum; expected a distribution of finite width"
            )

    @property
    def demand(self) -> Demand:
        sample = self.distribution
        return Demand(sample.z_max, sample.z_max, sample.scale, sample.order)

    @property
    def detail(self) -> Detail:
        return Detail(self.distribution, True, self.magnification is not None, self.rsd)

    @property
    def needs_growth(self) -> bool:
        return self.rsd or any(isinstance(e, Grown) for e in (self.bias, self.magnification))

    def contributions(self, cosmology: Cosmology, grid: Grid) -> tuple[Contribution, ...]:
        n = grid.sample(self.distribution)
        density = n * grid.hubble * at_nodes(self.bias, cosmology, grid)
        terms = [Contribution(density, species=self.tracing)]
        if self.rsd:
            assert grid.rate is not None
            velocity = -grid.rate * n * grid.hubble
            terms.append(Contribution(velocity, bessel=2, species=self.tracing))
        if self.magnification is not None:
            slope = at_nodes(self.magnification, cosmology, grid)
            weight = grid.share(self.distribution) * (5.0 * slope - 2.0)
            kernel = _poisson(cosmology, grid) * _efficiency(grid, weight)
            terms.append(Contribution(kernel, angular=1, bessel=-1))
        return tuple(terms)

    def mean_density(self, cosmology: Cosmology, grid: Grid) -> Float[Array, " n"] | Parameter:
        return at_nodes(self.bias, cosmology, grid)


class WeakLensing(Tracer):
    """Shear of galaxies, with intrinsic alignments and a multiplicative bias: (1 + m) gamma.

    Args:
        distribution: n(z) of the sources.
        alignment: an ``Alignment``, a function of (cosmology, a) that multiplies the density, or
            None.
        multiplicative_bias: m; it acts on the alignments too.

    Raises TracerError for alignments of sources at one redshift, whose spectrum is infinite.
    """

    distribution: Distribution
    alignment: Alignment | FunctionOfTime | None = None
    multiplicative_bias: Parameter = 0.0

    def __check_init__(self) -> None:
        if isinstance(self.distribution, Delta) and self.alignment is not None:
            raise TracerError(
                "intrinsic alignments of a Delta: shapes at one redshift have an infinite Limber "
                "spectrum; expected a distribution of finite width, or no alignment"
            )

    @property
    def demand(self) -> Demand:
        sample = self.distribution  # of which the smooth integral counts more than values
        step = sample.scale * (_COARSE if self.alignment is None else _COARSE_ALIGNED)
        return Demand(sample.z_max, sample.z_max, step, sample.order)

    @property
    def detail(self) -> Detail:
        return Detail(self.distribution, own=self.alignment is not None)

    @property
    def least_ell(self) -> int:
        return 2

    @property
    def needs_growth(self) -> bool:
        return isinstance(self.alignment, Grown)

    def contributions(self, cosmology: Cosmology, grid: Grid) -> tuple[Contribution, ...]:
        if isinstance(self.distribution, Delta):
            efficiency = _efficiency_to(grid, self.distribution.z)
        else:
            efficiency = _efficiency(grid, grid.share(self.distribution))
        kernel = _poisson(cosmology, grid) * efficiency
        if self.alignment is not None:
            strength = at_nodes(self.alignment, cosmology, grid)
            kernel += grid.sample(self.distribution) * grid.hubble * strength
        kernel *= 1.0 + self.multiplicative_bias
        return (Contribution(kernel, angular=2, bessel=-1),)


def _one_redshift(value: Any) -> float:
    if is_traced(value):
        raise TracerError(
            "z_source of CMBLensing is traced by JAX; expected a number, as it sets the nodes of "
            "the projection: keep it out of what is differentiated or compiled"
        )
    return float(value)


class CMBLensing(Tracer):
    """Convergence of the cosmic microwave background from ``z_source``, such as 1089.

    The redshift sets the nodes of the projection: it is a number, with no derivative.

    Raises TracerError for one that is not positive, or that JAX traces.
    """

    z_source: float = eqx.field(static=True, converter=_one_redshift)

    def __check_init__(self) -> None:
        if not 0.0 < self.z_source < np.inf:
            raise TracerError(f"z_source is {self.z_source}; expected a positive redshift")

    @property
    def demand(self) -> Demand:
        return Demand(self.z_source, 0.0, _KERNEL_SCALE)

    def contributions(self, cosmology: Cosmology, grid: Grid) -> tuple[Contribution, ...]:
        kernel = _poisson(cosmology, grid) * _efficiency_to(grid, self.z_source)
        return (Contribution(kernel, angular=1, bessel=-1),)


class CustomTracer(Tracer):
    """Any kernel times any transfer function.

    Args:
        kernel: W [1/Mpc] as a function of (cosmology, a), zero outside of its support.
        z_max: redshift beyond which W is zero.
        transfer: T(k, a) with k in 1/Mpc, element by element, or None for 1.
        angular: 0, 1 or 2 and bessel: -1, 0, 1 or 2, as ``Contribution`` has them.
        scale: finest structure of W in z.
        tracing: ``matter``, or ``cb``, baryons and cold dark matter.

    Raises TracerError for other values.
    """

    kernel: FunctionOfTime
    z_max: float = eqx.field(static=True)
    transfer: Transfer | None = None
    angular: int = eqx.field(static=True, default=0)
    bessel: int = eqx.field(static=True, default=0)
    scale: float = eqx.field(static=True, default=_KERNEL_SCALE)
    tracing: str = eqx.field(static=True, default="matter")

    def __check_init__(self) -> None:
        _check_tracing(self.tracing)
        if self.angular not in (0, 1, 2) or self.bessel not in (-1, 0, 1, 2):
            raise TracerError(
                f"angular is {self.angular} and bessel {self.bessel}; expected 0, 1 or 2 and "
                "-1, 0, 1 or 2"
            )
        if not 0.0 < self.z_max < np.inf or not self.scale > 0.0:
            raise TracerError(
                f"z_max is {self.z_max} and scale {self.scale}; expected positive numbers"
            )

    @property
    def demand(self) -> Demand:
        return Demand(self.z_max, self.z_max, self.scale)

    @property
    def least_ell(self) -> int:
        return 2 if self.angular == 2 else 0

    def contributions(self, cosmology: Cosmology, grid: Grid) -> tuple[Contribution, ...]:
        inside = grid.z <= self.z_max
        kernel = jnp.where(inside, self.kernel(cosmology, jnp.asarray(grid.a)), 0.0)
        terms = Contribution(kernel, self.angular, self.bessel, self.transfer, self.tracing)
        return (terms,)


def _check_tracing(tracing: str) -> None:
    if tracing not in ("matter", "cb"):
        raise TracerError(f"tracing is '{tracing}'; expected matter or cb")


def _poisson(cosmology: Cosmology, grid: Grid) -> Float[Array, " n"]:
    """(3/2) Omega_m H0^2 / c^2 (1 + z) f_K [1/Mpc]."""
    density = cosmology.Omega_m * cosmology.hubble_parameter**2 / HUBBLE_DISTANCE**2
    return jnp.asarray(1.5 * density * (1.0 + grid.z)) * grid.transverse


def _efficiency(grid: Grid, weight: Float[Array, " n"]) -> Float[Array, " n"]:
    """int_z^inf weight(z') f_K(chi' - chi) / f_K(chi') dz'."""
    both = jnp.stack([weight, weight * grid.cosine / grid.transverse])
    straight, bent = grid.beyond(both)
    return grid.cosine * straight - grid.transverse * bent


def _efficiency_to(grid: Grid, z_source: float) -> Float[Array, " n"]:
    """The same for sources at one redshift."""
    transverse, cosine = grid.distance(z_source)
    ratio = grid.cosine - grid.transverse * cosine / transverse
    return jnp.where(grid.z < z_source, ratio, 0.0)
