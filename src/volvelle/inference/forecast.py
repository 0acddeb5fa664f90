"""What a survey will say about a universe: its Fisher matrix, and what systematics do to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import INPUT_PARAMETERS, Cosmology, nearest_names
from volvelle.cosmology.neutrinos import is_traced
from volvelle.inference.errors import DerivativeError, ParameterNamesError
from volvelle.inference.fisher import Fisher
from volvelle.inference.information import from_derivatives, parameter_bias, trace_term
from volvelle.likelihood import LikelihoodOptionError, hartlap_factor
from volvelle.power import Model
from volvelle.probes import AngularSpectra, BlockCovariance, Survey


class SurveyModel(eqx.Module):
    """A survey's data as a function of the parameters that vary.

    Args:
        survey: with fiducial values of its nuisance parameters.
        universe: fiducial values of the cosmology, by the names of ``Cosmology.from_parameters``.
        names: of those that vary, of the universe or the survey.
        hierarchy: of the neutrinos.

    Raises ParameterNamesError for a name that neither has.
    """

    survey: Survey
    universe: dict[str, Any]
    names: tuple[str, ...] = eqx.field(static=True)
    hierarchy: str = eqx.field(static=True, default="single")

    def __check_init__(self) -> None:
        known = [*self.universe, *self.survey.parameters]
        for name in self.names:
            if name not in known:
                near = nearest_names(name, known) or known
                raise ParameterNamesError(
                    f"no parameter '{name}' of this universe and survey; there are "
                    f"{', '.join(near)}"
                )

    @property
    def values(self) -> Float[Array, " d"]:
        """[d] fiducial values of those that vary."""
        found = self.universe | self.survey.parameters
        return jnp.stack([jnp.asarray(found[name], dtype=float) for name in self.names])

    def cosmology(self, x: Float[Array, " d"], changes: Mapping[str, Any] | None = None):
        """The universe; raises as ``Cosmology.from_parameters``."""
        values = self.universe | self._varied(x, self.universe) | dict(changes or {})
        own = {name: value for name, value in values.items() if name in INPUT_PARAMETERS}
        own |= {n: v for n, v in values.items() if n in ("Omega_b", "Omega_cdm")}
        return Cosmology.from_parameters(own, neutrino_hierarchy=self.hierarchy)

    def spectra(
        self,
        x: Float[Array, " d"],
        changes: Mapping[str, Any] | None = None,
        power: Model | None = None,
    ) -> AngularSpectra:
        """All spectra at parameters [d]; with values of fixed ones, or the power model, changed."""
        changed = dict(changes or {})
        cosmology = self.cosmology(x, {n: v for n, v in changed.items() if n in self.universe})
        nuisance = self.survey.parameters
        values = self._varied(x, nuisance) | {n: v for n, v in changed.items() if n in nuisance}
        return self.survey.all_spectra(cosmology, values, power)

    def _varied(self, x: Float[Array, " d"], of: Mapping[str, Any]) -> dict[str, Any]:
        return {name: x[n] for n, name in enumerate(self.names) if name in of}


class Forecast(eqx.Module):
    """What a survey says about parameters: of the data alone, without priors."""

    model: SurveyModel
    fisher: Fisher
    derivatives: Float[Array, "d p l"]
    """Of the used spectra."""
    covariance: BlockCovariance
    spectra: AngularSpectra
    """Of all pairs, at the fiducial values."""
    precision: float = eqx.field(static=True)
    """By which the Fisher matrix is smaller for a covariance estimated from simulations."""

    @property
    def size(self) -> int:
        """Number of data, those beyond a sample's last multipole not counted."""
        return used_data(self.model.survey)

    def bias(
        self,
        fisher: Fisher,
        changes: Mapping[str, Any] | None = None,
        power: Model | None = None,
    ) -> Float[Array, " d"]:
        """How far parameters are fitted off if fixed ones, or the power model, are not as assumed.

        Args:
            fisher: of the fit: this one's, with priors or without.
            changes: true values of parameters that are fixed in it.
            power: the true power model.

        Raises ParameterNamesError for unknown names and those that vary.
        """
        known = self.model.universe | self.model.survey.parameters
        for name in changes or {}:
            if name in self.model.names:
                raise ParameterNamesError(
                    f"{name} varies in the fit, which would find its true value; a systematic "
                    "changes what is fixed: take it out of what varies, or choose another"
                )
            if name not in known:
                near = nearest_names(name, list(known)) or list(known)
                raise ParameterNamesError(f"no parameter '{name}'; there are {', '.join(near)}")
        # outside of jit: one program then serves all systematics of one power model
        found = self.model.spectra(self.fisher.values, changes, power).values
        offset = (found - self.spectra.values)[self.model.survey.rows]
        shift = parameter_bias(fisher, self.derivatives, self.covariance, offset)
        return self.precision * shift


def forecast(
    survey: Survey,
    universe: Mapping[str, Any],
    names: Sequence[str],
    *,
    hierarchy: str = "single",
    varying: bool = False,
    simulations: int | None = None,
) -> Forecast:
    """The Fisher matrix of a survey, differentiable in all that describes it.

    Args:
        varying: whether the covariance varies with the parameters, as in a likelihood with its
            determinant; else it is that of the fiducial values.
        simulations: how many will make the covariance; the Hartlap factor is applied.

    Raises ParameterNamesError; LikelihoodOptionError for too few simulations, or where those of one
    universe are to make a covariance that varies; DerivativeError where a derivative is not finite;
    and what spectra and covariances raise.
    """
    model = SurveyModel(survey, dict(universe), tuple(names), hierarchy)
    at = model.values
    if varying and simulations is not None:
        raise LikelihoodOptionError(
            f"a covariance that varies with the parameters, from {simulations} simulations; those "
            "are of one universe: fix the covariance, or leave out the simulations"
        )
    precision = 1.0 if simulations is None else hartlap_factor(simulations, used_data(survey))

    def data(x: Array) -> tuple[Array, AngularSpectra]:
        found = model.spectra(x)
        return found.values, found

    slope, spectra = jax.jit(jax.jacfwd(data, has_aux=True))(at)
    derivatives = jnp.moveaxis(slope[survey.rows], -1, 0)
    _refuse_infinite(derivatives, names)
    covariance = survey.covariance(spectra)
    matrix = from_derivatives(derivatives, covariance)
    if varying:
        matrix = matrix + trace_term(
            lambda x: survey.covariance(model.spectra(x)), covariance, names, at
        )
    return Forecast(
        model=model,
        fisher=Fisher(tuple(names), at, precision * matrix),
        derivatives=derivatives,
        covariance=covariance,
        spectra=spectra,
        precision=precision,
    )


def used_data(survey: Survey) -> int:
    """Number of the used spectra's bands that every sample in them has."""
    last = np.concatenate([np.full(len(s.bins), s.ell_max) for s in survey.samples])
    i, j = np.triu_indices(last.size)
    ends = np.minimum(last[i], last[j])[survey.rows]
    return int(np.sum(np.asarray(survey.ell)[None] <= ends[:, None]))


def _refuse_infinite(derivatives: Array, names: Sequence[str]) -> None:
    if is_traced(derivatives):
        return
    bad = ~np.isfinite(np.asarray(derivatives)).all(axis=(1, 2))
    if np.any(bad):
        raise DerivativeError(
            f"the derivative of the spectra by {tuple(names)[int(np.argmax(bad))]} is not finite; "
            "move the fiducial values off the edges of the power model, or take another model"
        )
