"""A user's likelihood, as it would stand in a user's own file."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from volvelle.boltzmann import Request
from volvelle.likelihood import Likelihood, NuisanceParameter


class Line(Likelihood):
    """S8-like: sigma8 sqrt(Omega_m / 0.3) + shift is measured to be ``mean`` +- ``sigma``."""

    mean: float = 0.8
    sigma: float = 0.02
    name: str = eqx.field(static=True, default="line")
    cites: tuple[str, ...] = eqx.field(static=True, default=())
    simulated: bool = eqx.field(static=True, default=False)

    @property
    def requires(self):
        return Request(spectra=(), background=False)

    @property
    def max_log_prob(self):
        return 0.0

    @property
    def nuisance(self):
        prior = {"dist": "norm", "loc": 0.0, "scale": 0.01}
        return {"line_shift": NuisanceParameter(prior=prior, ref=0.0, label=r"\delta")}

    @property
    def data_sha256(self):
        return {}

    def log_prob(self, theory, nuisance):
        value = theory["sigma8"] * jnp.sqrt(theory["Omega_m"] / 0.3) + nuisance["line_shift"]
        return -0.5 * ((value - self.mean) / self.sigma) ** 2

    def noise(self):
        return {"sigma8": np.asarray(self.sigma), "Omega_m": np.asarray(0.01)}


class Compiled(Line):
    """The same as a library that is not written in JAX gives it: of plain numbers only."""

    name: str = eqx.field(static=True, default="compiled")

    def log_prob(self, theory, nuisance):
        value = float(theory["sigma8"]) * math.sqrt(float(theory["Omega_m"]) / 0.3)
        return -0.5 * ((value + float(nuisance["line_shift"]) - self.mean) / self.sigma) ** 2

    def noise(self):
        return {}


class Open(Likelihood):
    """Derives from the right class and gives nothing of what it asks for."""


class NegativeNoise(Line):
    def noise(self):
        return {"sigma8": np.asarray(-1.0)}


class StrangeNoise(Line):
    def noise(self):
        return {"lensed_bb": np.ones(3)}


class NoTuple(Line):
    cites: list = eqx.field(static=True, default_factory=list)


class Unrelated:
    """Not a likelihood."""
