"""CLASS and CAMB mean the same by every parameter. The long list is validation/class_camb.py."""

import numpy as np
import pytest

from volvelle.boltzmann import (
    HISTORY_Z,
    POWER_K,
    POWER_Z,
    SCALARS,
    TRANSFER_Z,
    Request,
    get_solver,
    local_rms,
)
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
MODELS = {"standard": 0.0, "massive neutrinos": 0.0, "curved": 0.01}
"""Of the fixture ``functions``, with their Omega_k."""
# CLASS's bins and fluid for massive neutrinos suppress P by twice what they do to sigma8, and 0.3
# eV in three states by three times what 0.06 eV in one does; without mass 8e-4 is left (k = 0.04)
FUNCTION_TOLERANCE = {
    "matter_power": 2.5e-3,
    "cb_power": 2.5e-3,
    "matter_power_early": 1.1e-2,  # neutrinos half relativistic at z = 100 weigh differently
    "cb_power_early": 2.5e-3,
    "sigma8_z": 6e-4,
    "f_sigma8": 6.5e-4,  # a derivative in z: CLASS's steps in time make 2e-5 of it
    "transfer_b": 1.5e-3,
    "transfer_cdm": 1.2e-3,
    "transfer_tot": 1.2e-3,
}
MASSIVE = 3.0  # times the above at 0.3 eV
# CLASS applies halofit to P_cb as if there were no neutrinos, CAMB multiplies by the correction of
# total matter: 3% at 0.3 eV, k = 10/Mpc; elsewhere they fit the non-linear scale to 1% or so
CB_NONLINEAR_TOLERANCE = {"standard": 0.01, "massive neutrinos": 0.05, "curved": 0.02}
Z_REIO_TOLERANCE = 5e-4  # helium tables, and CAMB's optical depth leaves residual ionisation out
# relative in x_e: the foot of the step goes as exp(4 z_reio); Recfast against HyRec elsewhere
IONISATION_TOLERANCE = {
    (0.0, 6.0): 5e-4,
    (6.0, 15.0): 0.02,
    (15.0, 100.0): 0.01,
    (100.0, 1e5): 3e-3,
}
VISIBILITY_TOLERANCE = 3e-4  # of its maximum; z_* differs by 1.4e-5, on a flank of 80 in z
SIGMA8_CB_TOLERANCE = 2e-3  # as sigma8 at 0.3 eV
TRANSFER_TOLERANCE = (
    3e-4  # P from the transfer functions: CLASS splines both in time, at k = 10/Mpc
)


def test_spectra(fiducial):
    reference, solution = fiducial("class"), fiducial("camb")
    for name in ("lensed_tt", "lensed_te", "lensed_ee"):
        error = np.abs(solution[name] - reference[name]) / local_rms(reference[name])
        assert error.max() <= SPECTRUM_TOLERANCE, f"{name}: {error.max():.2e} at {error.argmax()}"


@pytest.mark.parametrize("name", ["class", "camb"])
def test_spectra_do_not_depend_on_where_they_are_cut(name, fiducial):
    """Lensing brings power from far beyond the largest l, to BB above all."""
    names = ("lensed_tt", "lensed_te", "lensed_ee", "lensed_bb", "unlensed_tt")
    cut = get_solver(name).solve(planck18(), Request.of(names, 600))
    for spectrum in names:
        reference = fiducial(name)[spectrum][:601]
        error = np.abs(cut[spectrum] - reference) / local_rms(reference)
        assert error.max() <= SPECTRUM_TOLERANCE, f"{spectrum}: {error.max():.2e}"


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


@pytest.mark.parametrize("model", MODELS)
def test_functions(functions, model):
    reference, solution = functions("class", model), functions("camb", model)
    factor = MASSIVE if model == "massive neutrinos" else 1.0
    for name, limit in FUNCTION_TOLERANCE.items():
        np.testing.assert_allclose(
            solution[name], reference[name], rtol=limit * factor, err_msg=name
        )
    np.testing.assert_allclose(
        solution["cb_power_nonlinear"],
        reference["cb_power_nonlinear"],
        rtol=CB_NONLINEAR_TOLERANCE[model],
    )
    assert solution["z_reio"] == pytest.approx(reference["z_reio"], rel=Z_REIO_TOLERANCE)
    assert solution["sigma8_cb"] == pytest.approx(reference["sigma8_cb"], rel=SIGMA8_CB_TOLERANCE)
    for (low, high), limit in IONISATION_TOLERANCE.items():
        z = (low <= HISTORY_Z) & (high > HISTORY_Z)
        x_e = "ionisation_fraction"
        np.testing.assert_allclose(solution[x_e][z], reference[x_e][z], rtol=limit)
    error = np.abs(solution["visibility"] - reference["visibility"])
    assert error.max() <= VISIBILITY_TOLERANCE * reference["visibility"].max()


@pytest.mark.parametrize("name", ["class", "camb"])
@pytest.mark.parametrize("model", MODELS)
def test_functions_belong_together(functions, name, model):
    """P = 2 pi^2 k T^2 P_R; P_cb from T_b and T_cdm; growth and its start."""
    theory, cosmology = functions(name, model), planck18()
    primordial = float(cosmology.A_s) * (POWER_K / 0.05) ** (float(cosmology.n_s) - 1.0)
    factor = 2.0 * np.pi**2 * POWER_K * primordial
    omega_b, omega_cdm = float(cosmology.omega_b), float(cosmology.omega_cdm)
    cb = (omega_b * theory["transfer_b"] + omega_cdm * theory["transfer_cdm"]) / (
        omega_b + omega_cdm
    )
    at = np.isin(POWER_Z, TRANSFER_Z)
    for transfer, power in ((theory["transfer_tot"], "matter_power"), (cb, "cb_power")):
        np.testing.assert_allclose(
            factor * transfer**2, theory[power][at], rtol=TRANSFER_TOLERANCE, err_msg=power
        )
    assert theory["sigma8_z"][0] == pytest.approx(theory["sigma8"], rel=1e-12)
    # f = Omega_m(z)^0.55 to a few parts in a thousand, neutrinos take 3/5 of their fraction
    z = POWER_Z
    matter, curvature = theory["Omega_m"] * (1 + z) ** 3, MODELS[model]
    dark = 1.0 - theory["Omega_m"] - curvature
    fraction = matter / (matter + curvature * (1 + z) ** 2 + dark)
    np.testing.assert_allclose(theory["f_sigma8"] / theory["sigma8_z"], fraction**0.55, rtol=0.02)
    # z_reio is where hydrogen and helium are half ionised
    step = 0.5 * (1.0 + theory["Y_he"] / (3.9715 * (1.0 - theory["Y_he"])))
    at_step = np.interp(theory["z_reio"], HISTORY_Z, theory["ionisation_fraction"])
    assert at_step == pytest.approx(step, rel=2e-3)  # plus the ionisation left by recombination


def test_local_rms_of_a_constant_band():
    ell = np.arange(1000)
    with np.errstate(divide="ignore", invalid="ignore"):
        spectrum = np.where(ell > 1, 3.0 / (ell * (ell + 1.0)), 0.0)
    np.testing.assert_allclose(local_rms(spectrum)[2:], spectrum[2:])
    assert np.all(np.isinf(local_rms(spectrum)[:2]))
