"""Power spectra and variances as functions of a cosmology.

Each call makes the spectrum anew: for many calls at one cosmology take ``Model.spectrum`` once.
All are compiled, once per shape, and differentiable in the cosmology, k (or r), a and the arrays
of a model. Values of k and a outside of what the linear model knows are refused where they are
known, and give NaN where JAX traces them.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.neutrinos import is_exactly, is_traced

from .base import Model, Spectrum
from .continuation import SPECIES, Species
from .eisenstein_hu import EisensteinHu
from .errors import ModelError, PowerError
from .extended import ExtendedPower
from .halofit import Halofit
from .hmcode import HMcode2020
from .learned import learned_power
from .nonlinear import NonLinearModel
from .table import TabulatedPower
from .variance import eight, smoothed

Points = Float[Array, " *k"]
Given = Points | float
Choice = Model | None
LINEAR, NONLINEAR = ("learned", "extended", "eisenstein_hu"), ("hmcode", "halofit", "none")
"""Names of models in files."""


def linear_power(
    cosmology: Cosmology, k: Given, a: Given, model: Choice = None, species: Species = "matter"
) -> Points:
    """Linear P(k, a) [Mpc^3].

    Args:
        k: wavenumber [1/Mpc].
        a: scale factor, 1 today; arrays of k and a broadcast against each other.
        model: ``LearnedPower`` (the one that is shipped, if None), ``EisensteinHu``,
            ``TabulatedPower``, or another linear one.
        species: ``matter``, massive neutrinos included, or ``cb``, baryons + cold dark matter.

    Raises WavenumberError and RedshiftError outside of what the model knows, ModelError for a
    non-linear model or an unknown species, ParameterError without h.
    """
    model = learned_power() if model is None else model
    if isinstance(model, NonLinearModel):
        raise ModelError(f"{_name(model)} is non-linear; ask nonlinear_power, or its own .linear")
    return _power(cosmology, k, a, model, species)


def nonlinear_power(
    cosmology: Cosmology, k: Given, a: Given, model: Choice = None, species: Species = "matter"
) -> Points:
    """Non-linear P(k, a) [Mpc^3]; ``cb`` has the factor over linear of all matter.

    ``model``: ``Halofit``, ``HMcode2020`` (of the shipped linear one, if None), or a
    ``TabulatedPower`` that holds non-linear power.
    Other arguments and errors as ``linear_power``.
    """
    model = standard_model() if model is None else model
    if not isinstance(model, (NonLinearModel, TabulatedPower)):
        raise ModelError(f"{_name(model)} is linear; give Halofit(linear=...), say, around it")
    return _power(cosmology, k, a, model, species)


def scale_dependent_growth(
    cosmology: Cosmology, k: Given, a: Given, species: Species = "matter", model: Choice = None
) -> Points:
    """D(k, a) = sqrt(P(k, a) / P(k, 1)) of linear theory, 1 today.

    Massive neutrinos suppress growth below their free-streaming scale, and dark energy and
    radiation change it near the horizon; ``cosmology.growth_factor`` is that of the background,
    of baryons and cold dark matter alone at all scales. Arguments and errors as ``linear_power``.
    """
    return _growth(cosmology, k, a, species, model)[0]


def scale_dependent_growth_rate(
    cosmology: Cosmology, k: Given, a: Given, species: Species = "matter", model: Choice = None
) -> Points:
    """f(k, a) = dln D(k, a) / dln a. Arguments and errors as ``linear_power``."""
    return _growth(cosmology, k, a, species, model)[1]


def _growth(
    cosmology: Cosmology, k: Given, a: Given, species: Species, model: Choice
) -> tuple[Points, Points]:
    model = learned_power() if model is None else model
    if isinstance(model, NonLinearModel):
        raise ModelError(f"{_name(model)} is non-linear; growth is of linear fields: its .linear")
    spectrum = _made(model, cosmology, species)
    spectrum.checked(k, a)
    return _grown(spectrum, _real(k), _real(a), species)


def power_model(linear: str = "learned", nonlinear: str = "hmcode") -> Model:
    """The model that files name: ``learned``, ``extended`` or ``eisenstein_hu``; ``hmcode``,
    ``halofit`` or ``none``.

    Raises ModelError for other names.
    """
    if linear not in LINEAR:
        raise ModelError(f"linear is {linear!r}; expected one of {', '.join(LINEAR)}")
    if nonlinear not in NONLINEAR:
        raise ModelError(f"nonlinear is {nonlinear!r}; expected one of {', '.join(NONLINEAR)}")
    if linear == "eisenstein_hu":
        base: Model = EisensteinHu()
    else:
        base = learned_power() if linear == "learned" else ExtendedPower(learned_power())
    if nonlinear == "none":
        return base
    return HMcode2020(base) if nonlinear == "hmcode" else Halofit(base)


def standard_model() -> HMcode2020:
    """What is taken where no model of non-linear power is given: HMcode-2020 of the shipped linear
    one."""
    return HMcode2020(learned_power())


def nonlinear_spectrum(cosmology: Cosmology, model: Choice = None) -> Spectrum:
    """The spectrum of a model at one cosmology, compiled: for many calls with k and a.

    ``model``: any; HMcode-2020 of the shipped linear one, if None, as in ``nonlinear_power``.

    Raises DomainError for known parameters that the model is not made for, ParameterError
    without h.
    """
    return _made(standard_model() if model is None else model, cosmology, "matter")


def sigma_r(
    cosmology: Cosmology, r: Given, a: Given, model: Choice = None, species: Species = "matter"
) -> Points:
    """Root mean square of the linear field in spheres of radius r [Mpc] at a, elementwise.

    Beyond the wavenumbers that the model knows, P goes on with the shape of Eisenstein & Hu's
    smooth transfer function; for r >= 2 Mpc and a table to 10/Mpc the result is CLASS's to 1e-4.

    Raises RedshiftError outside of the model's times, PowerError for r <= 0, ModelError and
    ParameterError as ``linear_power``.
    """
    model = learned_power() if model is None else model
    if isinstance(model, NonLinearModel):
        raise ModelError(f"{_name(model)} is non-linear; sigma is of linear fields: its .linear")
    if not is_traced(r) and not np.all(np.asarray(r) > 0.0):
        raise PowerError(f"the radius is {r}; expected values above 0 [Mpc]")
    spectrum = _made(model, cosmology, species)
    spectrum.checked(spectrum.k_min, a)
    return _smoothed(as_arrays(cosmology), spectrum, _real(r), _real(a), species)


def sigma8(
    cosmology: Cosmology, a: Given, model: Choice = None, species: Species = "matter"
) -> Points:
    """sigma_r in spheres of 8 Mpc/h. Arguments and errors as ``sigma_r``."""
    model = learned_power() if model is None else model
    if isinstance(model, NonLinearModel):
        raise ModelError(f"{_name(model)} is non-linear; sigma8 is of linear fields: its .linear")
    spectrum = _made(model, cosmology, species)
    spectrum.checked(spectrum.k_min, a)
    return _eight(as_arrays(cosmology), spectrum, _real(a), species)


def _power(cosmology: Cosmology, k: Given, a: Given, model: Model, species: Species) -> Points:
    spectrum = _made(model, cosmology, species)
    spectrum.checked(k, a)
    return _evaluated(spectrum, _real(k), _real(a), species)


def _made(model: Model, cosmology: Cosmology, species: Species) -> Spectrum:
    if species not in SPECIES:
        raise ModelError(f"species is '{species}'; expected one of {', '.join(SPECIES)}")
    model.check(cosmology)
    return _spectrum(as_arrays(model), _with_known(cosmology))


def _with_known(cosmology: Cosmology) -> Cosmology:
    """Numbers as arrays but for those at which there is less to compute, which stay known."""
    kept = {name: n for name, n in _SIMPLE.items() if is_exactly(getattr(cosmology, name), n)}
    found = as_arrays(cosmology)
    return eqx.tree_at(lambda c: [getattr(c, name) for name in kept], found, [*kept.values()])


_SIMPLE = {"w0": -1.0, "wa": 0.0, "Omega_k": 0.0}
"""A cosmological constant and a flat universe."""


def _name(model: Model) -> str:
    return type(model).__name__


def _real(value: Any) -> Array:
    return jnp.asarray(value, dtype=jnp.result_type(float))


def as_arrays(tree: Any) -> Any:
    """Numbers as arrays, so that new values are no new program; whole ones may be choices."""
    known = (float, np.ndarray, np.floating, jax.Array)
    return jax.tree.map(lambda leaf: _real(leaf) if isinstance(leaf, known) else leaf, tree)


def as_arguments(tree: Any) -> Any:
    """``as_arrays`` for a program of its own; within another one what is known stays known."""
    if any(is_traced(leaf) for leaf in jax.tree.leaves(tree)):
        return tree
    return as_arrays(tree)


@eqx.filter_jit
def _spectrum(model: Model, cosmology: Cosmology) -> Spectrum:
    return model.spectrum(cosmology)


@eqx.filter_jit
def _evaluated(spectrum: Spectrum, k: Points, a: Points, species: Species) -> Points:
    return spectrum(k, a, species)


@eqx.filter_jit
def _grown(spectrum: Spectrum, k: Points, a: Points, species: Species) -> tuple[Points, Points]:
    k, a = jnp.broadcast_arrays(k, a)
    time = jnp.log(a)

    def logarithm(time: Points) -> Points:
        return 0.5 * jnp.log(spectrum(k, jnp.exp(time), species))

    value, rate = jax.jvp(logarithm, (time,), (jnp.ones_like(time),))
    return jnp.exp(value - logarithm(jnp.zeros_like(time))), rate


@eqx.filter_jit
def _smoothed(
    cosmology: Cosmology, spectrum: Spectrum, r: Points, a: Points, species: Species
) -> Points:
    return _within(spectrum, a, smoothed(cosmology, spectrum, r, a, species))


@eqx.filter_jit
def _eight(cosmology: Cosmology, spectrum: Spectrum, a: Points, species: Species) -> Points:
    return _within(spectrum, a, eight(cosmology, spectrum, a, species))


def _within(spectrum: Spectrum, a: Points, value: Points) -> Points:
    """``value``, and NaN at times that the spectrum does not know."""
    # a closed universe begins later than the model
    edge = spectrum(jnp.broadcast_to(spectrum.lowest, jnp.shape(a)), a)
    return jnp.where(jnp.isnan(edge), jnp.nan, value)
