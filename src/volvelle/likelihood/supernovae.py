"""Type Ia supernovae as magnitudes in redshift bins: Union3 and binned Pantheon.

Rubin et al. 2023 (arXiv:2311.12098), Scolnic et al. 2018 (arXiv:1710.00845).
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
from .bao import reference_background
from .base import (
    GaussianLikelihood,
    Nuisance,
    NuisanceParameter,
    Theory,
    read_output,
)
from .errors import DataFormatError
from .gaussian_algebra import check_finite, noise_of_nodes, scattered, whitening
from .interpolation import spline_matrix

DATA_SETS = {
    "union3": ("union3", "lcparam_full.txt", "mag_covmat.txt"),
    "pantheon_binned": ("pantheon-binned", "lcparam_DS17f.txt", "sys_DS17f.txt"),
}
COLUMNS = ("zcmb", "zhel", "mb", "dmb")


class Supernovae(GaussianLikelihood):
    """Gaussian likelihood of magnitudes with the offset marginalised over a flat prior.

    With r = m - 5 log10[(1 + z_hel) D_M(z_cmb) / Mpc] and 1 a vector of ones, the offset (absolute
    magnitude and H0 together) integrates out to
    ln P = -1/2 [r^T C^-1 r - (1^T C^-1 r)^2 / (1^T C^-1 1)], the minimum over the offset.

    ``whitener`` W gives C^-1 = W^T W and ``offset`` is the unit vector along W 1.
    """

    z_cmb: Float[Array, " n"]
    z_hel: Float[Array, " n"]
    data: Float[Array, " n"]
    whitener: Float[Array, "n n"]
    offset: Float[Array, " n"]
    sigma: Float[Array, " n"]
    spline: Float[Array, "n n_grid"]
    name: str = eqx.field(static=True)
    hashes: tuple[tuple[str, str], ...] = eqx.field(static=True)
    cites: tuple[str, ...] = eqx.field(static=True)
    simulated: bool = eqx.field(static=True)

    @classmethod
    def from_files(cls, name: str) -> Supernovae:
        """Read the public files behind ``union3`` or ``pantheon_binned``.

        Raises PrecisionError, DataFormatError, and the errors of `volvelle.data.locate`.
        """
        require_float64(name)
        data_set, light_curves, systematics = DATA_SETS[name]
        files = data.locate(data_set)
        z_cmb, z_hel, magnitude, error = _read_columns(files.files[light_curves].read_text(), name)
        numbers = np.array(files.files[systematics].read_text().split(), dtype=float)
        for values, what in ((z_cmb, "zcmb"), (z_hel, "zhel"), (magnitude, "mb"), (error, "dmb")):
            check_finite(values, what, name)
        n = len(z_cmb)
        if len(numbers) != n * n + 1 or numbers[0] != n:
            raise DataFormatError(
                f"{name}: expected {n} and then {n}x{n} covariances, got {len(numbers)} numbers"
            )
        covariance = numbers[1:].reshape(n, n) + np.diag(error**2)
        whitener = whitening(covariance, name)
        ones = whitener @ np.ones(n)
        return cls(
            z_cmb=jnp.asarray(z_cmb),
            z_hel=jnp.asarray(z_hel),
            data=jnp.asarray(magnitude),
            whitener=jnp.asarray(whitener),
            offset=jnp.asarray(ones / np.linalg.norm(ones)),
            sigma=jnp.asarray(np.sqrt(np.diag(covariance))),
            spline=jnp.asarray(spline_matrix(z_cmb)),
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
        """None: the offset is marginalised."""
        return {}

    def model(self, theory: Theory) -> Float[Array, " n"]:
        """5 log10[(1 + z_hel) D_M / Mpc] [mag], up to the free offset."""
        n = self.spline.shape[1]
        distance = read_output(theory, "transverse_comoving_distance", self.name, n)
        return 5.0 * jnp.log10((1.0 + self.z_hel) * (self.spline @ distance))

    def projected(self, residual: Float[Array, " n"]) -> Float[Array, " n"]:
        """W r without its part along the offset."""
        white = self.whitener @ residual
        return white - self.offset * (self.offset @ white)

    def whitened_residual(self, theory: Theory, nuisance: Nuisance) -> Float[Array, " n"]:
        """W (d - t) without its part along the offset."""
        return self.projected(self.data - self.model(theory))

    def noise(self) -> dict[str, np.ndarray]:
        """Noise of D_M [Mpc] per node of the grid; an offset in magnitude carries none."""
        jacobian = np.asarray(
            jax.jacrev(self.model)(reference_background())["transverse_comoving_distance"]
        )
        projected = np.asarray(
            jax.vmap(self.projected, in_axes=1, out_axes=1)(jnp.eye(len(jacobian)))
        )
        sigma = np.sum(projected**2, axis=0) ** -0.5
        return {"transverse_comoving_distance": noise_of_nodes(jacobian, sigma)}

    def simulate(self, theory: Theory, nuisance: Nuisance, key: Array | None = None) -> Supernovae:
        """The same likelihood with data made from a theory, with noise when a key is given."""
        drawn = scattered(self.model(theory), self.whitener, key)
        return replace(self, data=drawn, simulated=True)


def _read_columns(text: str, name: str) -> list[np.ndarray]:
    """The columns `COLUMNS` of a light-curve table whose first line names its columns."""
    header, *rows = [line.split() for line in text.splitlines() if line.strip()]
    names = [column.lstrip("#") for column in header]
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        raise DataFormatError(f"{name}: the light-curve table has no column {', '.join(missing)}")
    places = [names.index(column) for column in COLUMNS]
    if any(len(row) <= max(places) for row in rows):  # trailing columns may be left out
        raise DataFormatError(f"{name}: rows of the light-curve table lack {', '.join(COLUMNS)}")
    return [np.array([float(row[place]) for row in rows]) for place in places]
