"""The fixed grids on which solvers deliver functions of redshift and wavenumber."""

import numpy as np

BACKGROUND_Z = np.expm1(np.linspace(0.0, np.log1p(1200.0), 160))
"""Redshifts of ``hubble`` and ``transverse_comoving_distance``: uniform in ln(1+z), 0 to 1200."""

POWER_K = np.geomspace(1e-4, 10.0, 256)
"""Wavenumbers of the matter power spectra and of the transfer functions [1/Mpc]."""

POWER_Z = np.expm1(np.linspace(0.0, np.log1p(4.0), 33))
"""Redshifts of the matter power spectra and of growth, uniform in ln(1+z), from 0 to 4."""

EARLY_Z = np.expm1(np.linspace(np.log1p(4.0), np.log1p(100.0), 17))[1:]
"""Redshifts of the early power spectra, which go on from ``POWER_Z`` to 100, uniform in ln(1+z)."""

TRANSFER_Z = POWER_Z[::8].copy()
"""Redshifts of the transfer functions: 0, 0.50, 1.24, 2.34, 4."""

_REIONISATION = np.linspace(0.0, 30.0, 600, endpoint=False)
_RECOMBINATION = np.expm1(np.linspace(np.log1p(30.0), np.log1p(1e4), 400))
HISTORY_Z = np.concatenate([_REIONISATION, _RECOMBINATION])
"""Redshifts of ``ionisation_fraction`` and ``visibility``, 0 to 10^4: steps of 0.05 to z = 30, then
uniform in ln(1+z). A cubic spline through them gives back CLASS's table to 1e-4 (x_e: relative,
visibility: of its maximum)."""

for _grid in (BACKGROUND_Z, POWER_K, POWER_Z, EARLY_Z, TRANSFER_Z, HISTORY_Z):
    _grid.setflags(write=False)
