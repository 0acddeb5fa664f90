"""The fixed grids on which solvers deliver functions of redshift and wavenumber."""

import numpy as np

BACKGROUND_Z = np.expm1(np.linspace(0.0, np.log1p(1200.0), 160))
"""Redshifts of ``hubble`` and ``transverse_comoving_distance``: uniform in ln(1+z), 0 to 1200."""

POWER_K = np.geomspace(1e-4, 10.0, 256)
"""Wavenumbers of the matter power spectra [1/Mpc]."""

POWER_Z = np.expm1(np.linspace(0.0, np.log1p(4.0), 33))
"""Redshifts of the matter power spectra, uniform in ln(1+z), from 0 to 4."""

for _grid in (BACKGROUND_Z, POWER_K, POWER_Z):
    _grid.setflags(write=False)
