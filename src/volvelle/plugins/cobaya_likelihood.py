"""Volvelle's likelihoods in Cobaya, with any theory code.

likelihood:
  volvelle.plugins.cobaya_likelihood.VolvelleLikelihood:
    name: planck_2018_plik_lite
params:
  A_planck: {prior: {dist: norm, loc: 1, scale: 0.0025}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from cobaya.likelihood import Likelihood
from cobaya.log import LoggedError

from ..boltzmann import BACKGROUND_Z
from ..errors import VolvelleError
from ..likelihood import Likelihood as Ours
from ..likelihood import get_likelihood
from .cobaya import SPECTRA, UNLENSED
from .errors import PluginInputError

PAIR_OF = {ours: ("Cl", pair) for pair, ours in SPECTRA.items() if pair != "et"}
PAIR_OF |= {ours: ("unlensed_Cl", pair) for pair, ours in UNLENSED.items() if pair != "et"}
SCALAR_OF = {
    "H0": "H0",
    "Omega_m": "omegam",
    "sigma8": "sigma8",
    "r_drag": "rdrag",
    "age": "age",
    "Y_he": "YHe",
    "z_reio": "zrei",
}
"""Scalars that CAMB's and CLASS's wrappers in Cobaya give by one name."""


class VolvelleLikelihood(Likelihood):
    """One of Volvelle's likelihoods by its ``name``, with its ``options`` as in a Volvelle file.

    Its nuisance parameters are given in ``params``, as any of Cobaya's.
    """

    name: str = ""
    options: Mapping[str, Any] = {}

    likelihood: Ours

    def initialize(self) -> None:
        """Read the data; raises LoggedError for an unknown name or what Cobaya cannot serve."""
        super().initialize()
        jax.config.update("jax_enable_x64", True)
        try:
            self.likelihood = get_likelihood(self.name, **dict(self.options or {}))
            self._needs = self.likelihood.requires
            # the outputs that a likelihood reads are those of which it states the noise
            self._wanted = {name: self._source(name) for name in self.likelihood.noise()}
        except VolvelleError as error:
            raise LoggedError(self.log, "%s", error) from error
        self._log_prob = eqx.filter_jit(self.likelihood.log_prob)

    def _source(self, name: str) -> tuple[str, Any]:
        """What of Cobaya's holds an output; raises PluginInputError where nothing does."""
        if name in PAIR_OF:
            return PAIR_OF[name]
        if name == "hubble":
            return "Hubble", None
        if name == "transverse_comoving_distance":
            return "angular_diameter_distance", None
        if name in SCALAR_OF:
            return SCALAR_OF[name], None
        raise PluginInputError(
            f"{self.name} reads {name}, which Cobaya's theory codes do not give; run it in Volvelle"
        )

    def get_can_support_params(self) -> list[str]:
        """The nuisance parameters."""
        return list(self.likelihood.nuisance)

    def get_requirements(self) -> dict[Any, Any]:
        """What the likelihood reads, on Volvelle's grids; its nuisance parameters among it."""
        found: dict[Any, Any] = dict.fromkeys(self.likelihood.nuisance)
        for product, what in self._wanted.values():
            if product in ("Cl", "unlensed_Cl"):
                found.setdefault(product, {})[what] = self._needs.lmax
            elif product in ("Hubble", "angular_diameter_distance"):
                found[product] = {"z": BACKGROUND_Z}
            else:
                found[product] = None
        return found

    def logp(self, **params_values: float) -> float:
        """ln L at the provider's theory and these nuisance parameters."""
        theory = {name: jnp.asarray(self._output(name)) for name in self._wanted}
        nuisance = {name: jnp.asarray(params_values[name]) for name in self.likelihood.nuisance}
        try:
            return float(self._log_prob(theory, nuisance))
        except VolvelleError as error:  # Cobaya takes any other error for zero probability
            raise LoggedError(self.log, "%s", error) from error

    def _output(self, name: str) -> np.ndarray:
        product, what = self._wanted[name]
        provider: Any = self.provider
        if product in ("Cl", "unlensed_Cl"):
            spectra = getattr(provider, f"get_{product}")(ell_factor=False, units="muK2")
            return np.asarray(spectra[what][: self._needs.lmax + 1])
        if product == "Hubble":
            return np.asarray(provider.get_Hubble(BACKGROUND_Z, units="km/s/Mpc"))
        if product == "angular_diameter_distance":
            return np.asarray(provider.get_angular_diameter_distance(BACKGROUND_Z)) * (
                1.0 + BACKGROUND_Z
            )
        return np.asarray(provider.get_param(product))
