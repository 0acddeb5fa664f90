"""Planck 2018 large scales (l < 30) as lognormal bins: 2 of TT, 3 of EE.

Prince & Dunkley 2021 (arXiv:2104.05715). The mean D_l = l(l+1) C_l / 2pi [muK^2] of each bin has
a shifted lognormal likelihood, fitted to Planck's Commander and SimAll likelihoods. As in the
authors' code the calibration is not applied here: it is 0.5% of bins known to 6%.
"""

from __future__ import annotations

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .. import data
from ..boltzmann import Request
from ..compute import require_float64
from .base import (
    Likelihood,
    Nuisance,
    NuisanceParameter,
    Theory,
    read_output,
)
from .errors import DataFormatError, LikelihoodOptionError
from .gaussian_algebra import check_finite, noise_of_means

NAME = "planck_2018_low_l"
DATA_SET = "planck-2018-low-l"
FILES = {"lensed_tt": "lognormal_fit_2bins_TT.txt", "lensed_ee": "lognormal_fit_3bins_EE.txt"}
L_MAX = 29


class LognormalBins(eqx.Module):
    """Bins of one spectrum: ``window`` (n, 30) turns C_l into the mean D_l x [muK^2], and
    ln(x - loc) is normal with mean mu and deviation sigma, each of shape (n,)."""

    window: Float[Array, "n n_l"]
    mu: Float[Array, " n"]
    sigma: Float[Array, " n"]
    loc: Float[Array, " n"]

    @classmethod
    def from_table(cls, table: np.ndarray) -> LognormalBins:
        """From rows l_min, l_max (inclusive), mu, sigma and, if there, loc [muK^2]."""
        if table.ndim != 2 or table.shape[1] not in (4, 5) or np.any(table[:, 1] > L_MAX):
            raise DataFormatError(
                f"{NAME}: expected rows lmin lmax mu sigma [loc] with lmax <= {L_MAX}, "
                f"got a table of shape {table.shape}"
            )
        check_finite(table, "a table of bins", NAME)
        l = np.arange(L_MAX + 1)  # noqa: E741  (the field's own name)
        to_band = l * (l + 1) / (2.0 * np.pi)
        inside = (l >= table[:, :1]) & (l <= table[:, 1:2])
        window = np.where(inside, to_band, 0.0) / inside.sum(axis=1, keepdims=True)
        loc = table[:, 4] if table.shape[1] == 5 else np.zeros(len(table))
        return cls(*(jnp.asarray(a) for a in (window, table[:, 2], table[:, 3], loc)))

    def log_prob(self, spectrum: Float[Array, " n_l"]) -> Float[Array, ""]:
        """ln of the normalised density of x, summed over bins; -inf where x <= loc."""
        x = self.window @ spectrum - self.loc
        inside = x > 0.0
        log_x = jnp.log(jnp.where(inside, x, 1.0))  # the inner where keeps gradients finite
        density = -log_x - 0.5 * ((log_x - self.mu) / self.sigma) ** 2
        norm = jnp.log(self.sigma * jnp.sqrt(2.0 * jnp.pi))
        return jnp.sum(jnp.where(inside, density - norm, -jnp.inf))

    @property
    def max_log_prob(self) -> Float[Array, ""]:
        """The value at the mode, ln(x - loc) = mu - sigma^2."""
        norm = jnp.log(self.sigma * jnp.sqrt(2.0 * jnp.pi))
        return jnp.sum(-self.mu + 0.5 * self.sigma**2 - norm)

    def simulate(self, spectrum: Float[Array, " n_l"], key: Array | None) -> LognormalBins:
        """Bins whose mode is the binned theory, scattered by sigma in ln x when a key is given."""
        mu = jnp.log(self.window @ spectrum - self.loc) + self.sigma**2
        if key is not None:
            mu = mu + self.sigma * jax.random.normal(key, mu.shape, dtype=jnp.float64)
        return replace(self, mu=mu)

    def noise(self) -> np.ndarray:
        """Noise of C_l [muK^2], l = 0..29: sigma exp(mu) per bin, spread over its l."""
        sigma = np.asarray(self.sigma) * np.exp(np.asarray(self.mu))
        return noise_of_means(np.asarray(self.window), sigma)


class LowL(Likelihood):
    """Lognormal bins of the large-scale TT and EE spectra.

    ln P = sum over bins of -ln(x - loc) - (ln(x - loc) - mu)^2 / (2 sigma^2) + const, a normalised
    density in x, the mean D_l [muK^2] of the bin.
    """

    bins: tuple[LognormalBins, ...]
    name: str = eqx.field(static=True)
    outputs: tuple[str, ...] = eqx.field(static=True)
    hashes: tuple[tuple[str, str], ...] = eqx.field(static=True)
    cites: tuple[str, ...] = eqx.field(static=True)
    simulated: bool = eqx.field(static=True)

    @classmethod
    def from_files(cls, TT: bool = True, EE: bool = True) -> LowL:
        """Read the public files of the data set ``planck-2018-low-l``.

        Raises LikelihoodOptionError, PrecisionError, and the errors of `volvelle.data.locate`.
        """
        if not (isinstance(TT, bool) and isinstance(EE, bool) and (TT or EE)):
            raise LikelihoodOptionError(
                f"{NAME} got TT={TT!r}, EE={EE!r}; give true or false, at least one true"
            )
        require_float64(NAME)
        outputs = (("lensed_tt",) if TT else ()) + (("lensed_ee",) if EE else ())
        files = data.locate(DATA_SET)
        tables = [np.loadtxt(files.files[FILES[output]], ndmin=2) for output in outputs]
        return cls(
            bins=tuple(LognormalBins.from_table(table) for table in tables),
            name=NAME,
            outputs=outputs,
            hashes=tuple((f"{DATA_SET}/{f}", h) for f, h in files.file_sha256.items()),
            cites=data.record(DATA_SET).cite_keys,
            simulated=False,
        )

    @property
    def requires(self) -> Request:
        """The spectra in use, to l = 29."""
        return Request(spectra=self.outputs, lmax=L_MAX, background=False)

    @property
    def nuisance(self) -> dict[str, NuisanceParameter]:
        """None."""
        return {}

    @property
    def data_sha256(self) -> dict[str, str]:
        """Hash of every data file."""
        return dict(self.hashes)

    @property
    def max_log_prob(self) -> Float[Array, ""]:
        """The sum of the bins' log-densities at their modes."""
        return jnp.sum(jnp.stack([bins.max_log_prob for bins in self.bins]))

    def log_prob(self, theory: Theory, nuisance: Nuisance) -> Float[Array, ""]:
        """The log-density; see the class."""
        spectra = [read_output(theory, name, self.name, L_MAX + 1) for name in self.outputs]
        parts = [b.log_prob(s) for b, s in zip(self.bins, spectra, strict=True)]
        return jnp.sum(jnp.stack(parts))

    def noise(self) -> dict[str, np.ndarray]:
        """Noise of C_l [muK^2], l = 0..29, by theory output."""
        return {name: b.noise() for name, b in zip(self.outputs, self.bins, strict=True)}

    def simulate(self, theory: Theory, nuisance: Nuisance, key: Array | None = None) -> LowL:
        """The same likelihood peaking at a theory, or scattered about it when a key is given."""
        keys = [None] * len(self.bins) if key is None else jax.random.split(key, len(self.bins))
        spectra = [read_output(theory, name, self.name, L_MAX + 1) for name in self.outputs]
        bins = tuple(b.simulate(s, k) for b, s, k in zip(self.bins, spectra, keys, strict=True))
        return replace(self, bins=bins, simulated=True)
