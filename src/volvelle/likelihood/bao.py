"""Baryon acoustic oscillations: DESI's distances over the sound horizon, DR1 and DR2.

DESI 2024 VI (arXiv:2404.03002), DESI DR2 II (arXiv:2503.14738).
"""

from __future__ import annotations

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .. import data
from ..boltzmann import BACKGROUND_Z, Request
from ..compute import require_float64
from ..cosmology import LIGHT_SPEED
from .base import (
    GaussianLikelihood,
    Nuisance,
    NuisanceParameter,
    Theory,
    read_output,
)
from .errors import DataFormatError
from .gaussian_algebra import check_finite, conditional_sigma, noise_of_nodes, scattered, whitening
from .interpolation import spline_matrix

QUANTITIES = ("DM_over_rs", "DH_over_rs", "DV_over_rs")
DATA_SETS = {
    "desi_dr2_bao": ("desi-dr2-bao", "desi_gaussian_bao_ALL_GCcomb"),
    "desi_dr1_bao": ("desi-dr1-bao", "desi_2024_gaussian_bao_ALL_GCcomb"),
}
# Any background near the data serves for the derivatives in `noise`: Planck 2018 VI, table 2.
REFERENCE_H0, REFERENCE_OMEGA_M, REFERENCE_R_DRAG = 67.36, 0.3153, 147.1
BACKGROUND = ("hubble", "transverse_comoving_distance", "r_drag")


class Bao(GaussianLikelihood):
    """Gaussian likelihood of D_M/r_d, D_H/r_d = c/(H r_d) and D_V/r_d = (z D_M^2 D_H)^(1/3)/r_d.

    ``quantity`` (n,) indexes `QUANTITIES`; ``spline`` (n, n_grid) interpolates to the redshifts.
    """

    z: Float[Array, " n"]
    quantity: Array
    data: Float[Array, " n"]
    whitener: Float[Array, "n n"]
    sigma: Float[Array, " n"]
    spline: Float[Array, "n n_grid"]
    name: str = eqx.field(static=True)
    hashes: tuple[tuple[str, str], ...] = eqx.field(static=True)
    cites: tuple[str, ...] = eqx.field(static=True)
    simulated: bool = eqx.field(static=True)

    @classmethod
    def from_files(cls, name: str) -> Bao:
        """Read the public files behind ``desi_dr2_bao`` or ``desi_dr1_bao``.

        Raises PrecisionError, DataFormatError, and the errors of `volvelle.data.locate`.
        """
        require_float64(name)
        data_set, stem = DATA_SETS[name]
        files = data.locate(data_set)
        rows = [
            line.split()
            for line in files.files[f"{stem}_mean.txt"].read_text().splitlines()
            if line.strip() and not line.startswith("#")
        ]
        unknown = {row[-1] for row in rows} - set(QUANTITIES)
        if unknown or any(len(row) != 3 for row in rows):
            raise DataFormatError(
                f"{name}: expected rows z, value, one of {', '.join(QUANTITIES)}; "
                f"got {', '.join(sorted(unknown)) or 'another number of columns'}"
            )
        z = np.array([float(row[0]) for row in rows])
        check_finite(z, "the redshift", name)
        values = np.array([float(row[1]) for row in rows])
        check_finite(values, "the data vector", name)
        covariance = np.loadtxt(files.files[f"{stem}_cov.txt"])
        if covariance.shape != (len(z), len(z)):
            raise DataFormatError(
                f"{name}: {len(z)} values and a covariance of shape {covariance.shape}"
            )
        return cls(
            z=jnp.asarray(z),
            quantity=jnp.asarray([QUANTITIES.index(row[2]) for row in rows]),
            data=jnp.asarray(values),
            whitener=jnp.asarray(whitening(covariance, name)),
            sigma=jnp.asarray(np.sqrt(np.diag(covariance))),
            spline=jnp.asarray(spline_matrix(z)),
            name=name,
            hashes=tuple((f"{data_set}/{f}", h) for f, h in files.file_sha256.items()),
            cites=data.record(data_set).cite_keys,
            simulated=False,
        )

    @property
    def requires(self) -> Request:
        """The background."""
        return Request(spectra=(), background=True)

    @property
    def nuisance(self) -> dict[str, NuisanceParameter]:
        """None."""
        return {}

    def model(self, theory: Theory) -> Float[Array, " n"]:
        """The predicted ratios, in the order of ``data``."""
        n = self.spline.shape[1]
        hubble = read_output(theory, "hubble", self.name, n)
        distance = read_output(theory, "transverse_comoving_distance", self.name, n)
        r_drag = read_output(theory, "r_drag", self.name)
        d_m = self.spline @ distance
        d_h = self.spline @ (LIGHT_SPEED / hubble)
        d_v = jnp.cbrt(self.z * d_m**2 * d_h)
        return jnp.select([self.quantity == 0, self.quantity == 1], [d_m, d_h], d_v) / r_drag

    def whitened_residual(self, theory: Theory, nuisance: Nuisance) -> Float[Array, " n"]:
        """W (d - t)."""
        return self.whitener @ (self.data - self.model(theory))

    def noise(self) -> dict[str, np.ndarray]:
        """Noise of H [km/s/Mpc] and D_M [Mpc] per node of the grid, and of r_drag [Mpc]."""
        jacobian = jax.jacrev(self.model)(reference_background())
        sigma = conditional_sigma(np.asarray(self.whitener))
        return {
            name: noise_of_nodes(np.asarray(jacobian[name]).reshape(len(sigma), -1), sigma)
            if name != "r_drag"
            else np.asarray(np.sum((np.asarray(jacobian[name]) / sigma) ** 2) ** -0.5)
            for name in BACKGROUND
        }

    def simulate(self, theory: Theory, nuisance: Nuisance, key: Array | None = None) -> Bao:
        """The same likelihood with data made from a theory, with noise when a key is given."""
        drawn = scattered(self.model(theory), self.whitener, key)
        return replace(self, data=drawn, simulated=True)


def reference_background() -> dict[str, Array]:
    """A flat LCDM background on the grid, for derivatives only (no radiation, no neutrinos)."""
    z = np.asarray(BACKGROUND_Z, dtype=float)
    x = np.log1p(z)
    hubble = REFERENCE_H0 * np.sqrt(REFERENCE_OMEGA_M * (1 + z) ** 3 + 1 - REFERENCE_OMEGA_M)
    integrand = LIGHT_SPEED / hubble * (1 + z)  # dD = c/H dz = c/H (1+z) dx
    steps = 0.5 * (integrand[1:] + integrand[:-1]) * np.diff(x)
    return {
        "hubble": jnp.asarray(hubble),
        "transverse_comoving_distance": jnp.asarray(np.concatenate([[0.0], np.cumsum(steps)])),
        "r_drag": jnp.asarray(REFERENCE_R_DRAG),
    }
