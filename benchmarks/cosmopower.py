"""cosmopower_jax's published networks as a theory: named parameters in, spectra by our names out.

Compared with CLASS spectrum by spectrum, they are those of massless neutrinos and linear lensing:
``peers.py`` gives their error against these settings and against those of a run.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp

PROBES = {"lensed_tt": "tt", "lensed_te": "te", "lensed_ee": "ee", "phiphi": "pp"}
PARAMETERS = ("omega_b", "omega_cdm", "h", "tau_reio", "n_s", "ln10A_s")
UNIT = 2.7255e6**2  # [muK^2] of the first three, which are in units of T_cmb^2


@dataclass(frozen=True)
class Cosmopower:
    """Four networks, l = 2..2508 each."""

    networks: Mapping[str, Any]

    @classmethod
    def installed(cls) -> Cosmopower | None:
        """It, or None."""
        try:
            package = importlib.import_module("cosmopower_jax.cosmopower_jax")
        except ImportError:
            return None
        load = package.CosmoPowerJAX
        return cls({name: load(f"cmb_{probe}", verbose=False) for name, probe in PROBES.items()})

    @property
    def name(self) -> str:
        """With its version."""
        return f"cosmopower_jax {version('cosmopower_jax')}"

    def raw(self, x: jax.Array) -> jax.Array:
        """Everything in one vector, in its own units, at a vector of ``PARAMETERS``."""
        return jnp.concatenate([jnp.ravel(each.predict(x)) for each in self.networks.values()])

    def __call__(self, values: Mapping[str, Any]) -> dict[str, jax.Array]:
        """Spectra at named parameters, from l = 0."""
        x = jnp.stack([jnp.asarray(values[name], dtype=float) for name in PARAMETERS])
        found = {}
        for name, network in self.networks.items():
            spectrum = jnp.ravel(jnp.asarray(network.predict(x), dtype=jnp.float64))
            unit = 1.0 if name == "phiphi" else UNIT
            found[name] = unit * jnp.concatenate([jnp.zeros(2), spectrum])
        return found
