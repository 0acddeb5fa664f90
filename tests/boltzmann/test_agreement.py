"""CLASS and CAMB mean the same by every parameter. The long list is validation/class_camb.py."""

import numpy as np
import pytest

from volvelle.boltzmann import SCALARS, Request, get_solver, local_rms
from volvelle.cosmology import planck18

SPECTRUM_TOLERANCE = 0.003  # of the local rms: what either code is good to at its usual accuracy
# relative; each with its reason
SCALAR_TOLERANCE = {
    "H0": 1e-10,  # CLASS is given an h rounded in the twelfth digit
    "h": 1e-10,
    "Omega_m": 2e-6,  # CLASS counts the kinetic energy of neutrinos
    "sigma8": 6e-4,  # CLASS's momentum bins and fluid for massive neutrinos: low by 3e-4 at 0.06 eV
    "S8": 6e-4,
    "theta_star_100": 3e-5,  # helium tables differ by 1.6e-3; Recfast is a fit to HyRec
    "r_drag": 6e-5,  # CAMB leaves reionisation out of the drag depth
    "age": 4e-5,  # CAMB's integral
    "z_star": 3e-5,
    "Y_he": 3e-3,  # PArthENoPE (CLASS) and PRIMAT (CAMB)
}
BACKGROUND_TOLERANCE = 1e-6


def test_spectra(fiducial):
    reference, solution = fiducial("class"), fiducial("camb")
    for name in ("lensed_tt", "lensed_te", "lensed_ee"):
        error = np.abs(solution[name] - reference[name]) / local_rms(reference[name])
        assert error.max() <= SPECTRUM_TOLERANCE, f"{name}: {error.max():.2e} at {error.argmax()}"


def test_background_and_scalars(fiducial):
    reference, solution = fiducial("class"), fiducial("camb")
    for name in SCALARS:
        assert solution[name] == pytest.approx(reference[name], rel=SCALAR_TOLERANCE[name])
    for name in ("hubble", "transverse_comoving_distance"):
        np.testing.assert_allclose(solution[name], reference[name], rtol=BACKGROUND_TOLERANCE)


@pytest.mark.parametrize(
    "changes",
    [
        {"m_nu": 0.3, "neutrino_hierarchy": "degenerate", "N_eff": 3.5, "Omega_k": 0.01},
        {"m_nu": 0.12, "neutrino_hierarchy": "inverted", "w0": -0.9, "wa": 0.1},
    ],
)
def test_extensions_mean_the_same(changes):
    cosmology = planck18().replace(**changes)
    request = Request(spectra=(), lmax=50)
    reference = get_solver("class").solve(cosmology, request)
    solution = get_solver("camb").solve(cosmology, request)
    for name in ("theta_star_100", "r_drag", "age", "Omega_m"):
        limit = 10 * SCALAR_TOLERANCE[name] if name == "Omega_m" else SCALAR_TOLERANCE[name]
        assert solution[name] == pytest.approx(reference[name], rel=limit)
    for name in ("hubble", "transverse_comoving_distance"):
        # kinetic energy of light neutrinos enters the closure of CLASS only
        np.testing.assert_allclose(solution[name], reference[name], rtol=5e-6)


def test_local_rms_of_a_constant_band():
    ell = np.arange(1000)
    with np.errstate(divide="ignore", invalid="ignore"):
        spectrum = np.where(ell > 1, 3.0 / (ell * (ell + 1.0)), 0.0)
    np.testing.assert_allclose(local_rms(spectrum)[2:], spectrum[2:])
    assert np.all(np.isinf(local_rms(spectrum)[:2]))
