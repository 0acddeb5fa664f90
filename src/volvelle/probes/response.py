"""How the power spectrum answers to the mean density of a survey: d ln P / d delta_b.

A region of mean overdensity delta_b is a universe of its own, with curvature: structure grows
faster, lengths are shorter, and what fluctuates is measured against the global mean (Takada & Hu
2013, arXiv:1302.6994; Li, Hu & Takada 2014, arXiv:1401.0385). With its own scale factor
a_W = a (1 - delta_b / 3), the same omega_m and dark energy, and
d omega_k = -5/3 omega_m delta_b / D, where D is a among matter,

    d ln P / d delta_b = 2 - 1/3 d ln(k^3 P) / d ln k - 1/3 d ln P / d ln a
                           - 5/6 Omega_m / D(a) d ln P / d ln h,

the last derivative along h and Omega_k = 2 d ln h, at fixed omegas. P is the non-linear model
itself, differentiated exactly; its linear part answers by growth alone, so that on linear scales
this is 68/21 - 1/3 d ln(k^3 P) / d ln k. Scaling the amplitude of linear power in its place is off
by 10% at k = 0.5 h/Mpc (Wagner et al. 2015, arXiv:1503.03487) and by 60% at 5/Mpc, today.
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.power import EisensteinHu, LearnedPower, Model, NonLinearModel, Spectrum
from volvelle.power.collapse import Collapse
from volvelle.power.functions import as_arguments
from volvelle.power.nonlinear import Z_LAST

from .errors import ResponseError

_LINEAR = (EisensteinHu, LearnedPower)
_FIRST = 1.0 / (1.0 + Z_LAST)
"""Before, curvature acts as it does then: 13/21 of growth, and non-linear tables have ended."""

Points = Float[Array, " *k"]
Response = Callable[[Points, Points], Points]
"""d ln P / d delta_b of (k, a), element by element; k in 1/Mpc."""


class Regrown(Model):
    """A linear spectrum that is made, with the growth of another universe of the same omegas."""

    base: Spectrum
    growth: Collapse

    def spectrum(self, cosmology: Cosmology) -> "RegrownSpectrum":
        """The same shape, grown as ``cosmology`` has it. Raises ParameterError without h."""
        base = self.base
        other = Collapse.of(cosmology)
        return RegrownSpectrum(base.k_min, base.k_max, base.a_min, base, self.growth, other)


class RegrownSpectrum(Spectrum):
    """A spectrum times the square of a ratio of growth factors."""

    k_min: float = eqx.field(static=True)
    k_max: float = eqx.field(static=True)
    a_min: float = eqx.field(static=True)
    base: Spectrum
    before: Collapse
    after: Collapse

    @property
    def first_mode(self) -> Array | float:
        """That of the spectrum."""
        return self.base.first_mode

    def _ratio(self, a: Points) -> Points:
        return (self.after.early(a) / self.before.early(a)) ** 2

    def matter(self, k: Points, a: Points) -> Points:
        """P of all matter."""
        return self.base.matter(k, a) * self._ratio(a)

    def cb(self, k: Points, a: Points) -> Points:
        """P of baryons and cold dark matter."""
        return self.base.cb(k, a) * self._ratio(a)


class DensityResponse(eqx.Module):
    """d ln P / d delta_b of a model in one universe, inside of the edges of its spectrum."""

    spectrum: Spectrum
    curved: Spectrum
    """Its derivative along ln h and the curvature that keeps all else."""
    linear: Spectrum
    collapse: Collapse
    Omega_m: Float[Array, ""]

    @classmethod
    def of(cls, cosmology: Cosmology, model: Model) -> "DensityResponse":
        """The spectrum of a model with its derivative, made once.

        Raises ResponseError for a model that is neither linear nor around a linear one, and as
        ``Model.spectrum``.
        """
        if not isinstance(model, (NonLinearModel, *_LINEAR)):
            raise ResponseError(
                f"{type(model).__name__} does not say how it answers to the density of the "
                "universe: give response, a function of (k, a), and the linear power"
            )
        return _responding(*as_arguments((cosmology, model)))

    @classmethod
    def _made(cls, cosmology: Cosmology, model: Model) -> "DensityResponse":
        first = model.linear if isinstance(model, NonLinearModel) else model
        linear, collapse = first.spectrum(cosmology), Collapse.of(cosmology)
        regrown = Regrown(linear, collapse)
        h, Omega_k = cosmology.hubble_parameter, cosmology.Omega_k

        def make(x: Array) -> Spectrum:
            other = cosmology.replace(h=h * (1.0 + x), Omega_k=Omega_k + 2.0 * x * (1.0 - Omega_k))
            if not isinstance(model, NonLinearModel):
                return regrown.spectrum(other)
            return eqx.tree_at(lambda m: m.linear, model, regrown).spectrum(other)

        spectrum, curved = eqx.filter_jvp(make, (jnp.zeros(()),), (jnp.ones(()),))
        return cls(spectrum, curved, linear, collapse, jnp.asarray(cosmology.Omega_m))

    @eqx.filter_jit
    def __call__(self, k: Points, a: Points) -> Points:
        """Element by element; k in 1/Mpc."""
        late = jnp.maximum(a, _FIRST)
        per_density = -5.0 / 6.0 * self.Omega_m / self.collapse.early(late)

        def logarithm(spectrum: Spectrum, log_k: Points, log_a: Points) -> Points:
            return jnp.log(spectrum.matter(jnp.exp(log_k), jnp.exp(log_a)))

        at = (jnp.log(k), jnp.log(a))
        third = tuple(jnp.full_like(each, -1.0 / 3.0) for each in at)
        shape = eqx.filter_jvp(lambda x, y: logarithm(self.spectrum, x, y), at, third)[1]
        growth = eqx.filter_jvp(
            lambda s: logarithm(s, at[0], jnp.log(late)), (self.spectrum,), (self.curved,)
        )[1]
        return 1.0 + shape + per_density * growth


@eqx.filter_jit
def _responding(cosmology: Cosmology, model: Model) -> DensityResponse:
    return DensityResponse._made(cosmology, model)
