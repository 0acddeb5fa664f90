"""What every registered solver must do."""

import pickle

import numpy as np
import pytest

from volvelle.boltzmann import (
    BACKGROUND_Z,
    HISTORY_Z,
    OUTPUTS,
    POWER_K,
    POWER_Z,
    SCALARS,
    SOLVERS,
    SPECTRA,
    Request,
    Solver,
    SolverError,
    get_solver,
    local_rms,
    restrict,
)
from volvelle.boltzmann.request import FUNCTIONS, ON_REQUEST
from volvelle.cosmology import planck18

SMALL = Request(spectra=("lensed_tt", "phiphi"), lmax=300, background=True)
SCALARS_ONLY = Request(spectra=(), background=False)

THETA_ROUND_TRIP = 3e-8  # three times the tolerance of the search for h, and the noise of theta_*
H_ROUND_TRIP = 1e-6  # d ln h = 5 d ln theta_*, and CAMB's theta_* has noise of 1e-7
SAME_MODEL = 3e-4  # of the local rms: integration noise of CLASS; TE has 1e-4
SIGMA8_ROUND_TRIP = 1e-5  # linear scaling is exact; the wavenumbers of CLASS differ with outputs
SAME_MATTER = 1e-6  # CAMB keeps transfer functions in single precision

pytestmark = pytest.mark.parametrize("name", SOLVERS)


def test_follows_the_protocol_and_pickles(name):
    solver = get_solver(name)
    assert isinstance(solver, Solver)
    assert pickle.loads(pickle.dumps(solver)) == solver
    assert solver.name == name


def test_identity_is_text_and_tells_settings_apart(name):
    first, second = get_solver(name).identity(), get_solver(name, non_linear="none").identity()
    assert all(isinstance(value, str) for value in first.values())
    assert set(first) >= {"solver", "version", "extension_sha256", "settings"}
    assert len(first["extension_sha256"]) == 64
    assert first["settings"] != second["settings"]
    assert first["extension_sha256"] == second["extension_sha256"]


def test_outputs_are_named_shaped_and_finite(name, fiducial):
    theory = fiducial(name)
    assert set(theory) == {*SPECTRA, "hubble", "transverse_comoving_distance", *SCALARS}
    for spectrum in SPECTRA:
        assert theory[spectrum].shape == (2509,)
        assert np.all(theory[spectrum][:2] == 0.0)
    assert theory["hubble"].shape == BACKGROUND_Z.shape
    assert all(isinstance(theory[scalar], float) for scalar in SCALARS)


def test_units(name, fiducial):
    theory = fiducial(name)
    peak = (theory["lensed_tt"] * np.arange(2509) * np.arange(1, 2510)).max() / (2 * np.pi)
    assert 5600 < peak < 5900  # [muK^2], the first acoustic peak
    deflection = theory["phiphi"][60] * (60 * 61) ** 2 / (2 * np.pi)
    assert 1.0e-7 < deflection < 1.6e-7
    assert theory["unlensed_bb"].max() == 0.0
    assert 145 < theory["r_drag"] < 149
    assert 13.7 < theory["age"] < 13.9
    assert 0.24 < theory["Y_he"] < 0.25


def test_background_is_consistent(name, fiducial):
    theory = fiducial(name)
    assert theory["hubble"][0] == pytest.approx(theory["H0"])
    assert theory["transverse_comoving_distance"][0] == 0.0
    slope = np.gradient(theory["transverse_comoving_distance"], BACKGROUND_Z, edge_order=2)
    # D_M' = c/H in a flat universe; second-order differences on this grid are good to 1e-3
    np.testing.assert_allclose(slope[1:-1], 299792.458 / theory["hubble"][1:-1], rtol=2e-3)
    assert theory["S8"] == pytest.approx(theory["sigma8"] * (theory["Omega_m"] / 0.3) ** 0.5)


def test_matter_density_counts_neutrinos(name, fiducial):
    # the solver adds the kinetic energy of the neutrinos: 5e-5 of 0.45% of the matter
    assert fiducial(name)["Omega_m"] == pytest.approx(float(planck18().Omega_m), rel=1e-6)


def test_theta_star_gives_back_h_and_the_same_spectra(name, fiducial):
    theory = fiducial(name)
    cosmology = planck18().replace(h=None, theta_star_100=theory["theta_star_100"])
    again = get_solver(name).solve(cosmology, Request())
    assert again["theta_star_100"] == pytest.approx(theory["theta_star_100"], rel=THETA_ROUND_TRIP)
    assert again["h"] == pytest.approx(theory["h"], rel=H_ROUND_TRIP)
    for spectrum in ("lensed_tt", "lensed_te", "lensed_ee", "phiphi"):
        error = np.abs(again[spectrum] - theory[spectrum]) / local_rms(theory[spectrum])
        assert error.max() < SAME_MODEL


def test_sigma8_is_what_was_asked(name):
    cosmology = planck18().replace(A_s=None, sigma8=0.8)
    theory = get_solver(name).solve(cosmology, SCALARS_ONLY)
    assert theory["sigma8"] == pytest.approx(0.8, rel=SIGMA8_ROUND_TRIP)


def test_massless_neutrinos(name):
    theory = get_solver(name).solve(planck18().replace(m_nu=0.0), SCALARS_ONLY)
    expected = (0.02236 + 0.1202) / 0.6727**2
    assert theory["Omega_m"] == pytest.approx(expected, rel=1e-6)


def test_helium_can_be_set(name):
    theory = get_solver(name).solve(planck18().replace(Y_he=0.3), SCALARS_ONLY)
    assert theory["Y_he"] == pytest.approx(0.3, rel=1e-12)


def test_matter_power(name):
    request = Request(spectra=(), background=False, power=True)
    theory = get_solver(name).solve(planck18(), request)
    linear, nonlinear = theory["matter_power"], theory["matter_power_nonlinear"]
    assert linear.shape == nonlinear.shape == (len(POWER_Z), len(POWER_K))
    large, small = np.searchsorted(POWER_K, [1e-3, 1.0])
    np.testing.assert_allclose(nonlinear[:, large], linear[:, large], rtol=1e-2)
    assert np.all(nonlinear[:, small] > 1.5 * linear[:, small])
    assert np.all(np.diff(linear, axis=0) < 0.0)  # growth


def test_functions_are_shaped_and_finite(name, functions):
    theory = functions(name, "standard")
    for output in (*FUNCTIONS, *ON_REQUEST):
        assert np.shape(theory[output]) == OUTPUTS[output].shape, output
    assert np.all(theory["transfer_b"] > 0.0) and np.all(theory["visibility"] >= 0.0)
    assert theory["ionisation_fraction"][0] == pytest.approx(1.16, abs=0.01)
    peak = HISTORY_Z[theory["visibility"].argmax()]
    assert 1070.0 < peak < 1100.0


def test_without_massive_neutrinos_cb_is_all_matter(name):
    request = Request.of(["cb_power", "matter_power", "sigma8_cb"])
    theory = get_solver(name).solve(planck18().replace(m_nu=0.0), request)
    np.testing.assert_allclose(theory["cb_power"], theory["matter_power"], rtol=SAME_MATTER)
    assert theory["sigma8_cb"] == pytest.approx(theory["sigma8"], rel=1e-12)
    assert set(theory) == {"cb_power", "matter_power", "sigma8_cb", *SCALARS}


OWN = {"class": ("rs_rec", 144.5), "camb": ("rstar", 144.4)}


def test_a_solvers_own_scalars(name):
    own, value = OWN[name]
    theory = get_solver(name).solve(planck18(), Request.of([own]))
    assert theory[own] == pytest.approx(value, rel=1e-3)


def test_unknown_scalars_are_refused_with_the_nearest(name):
    request = Request(spectra=("lensed_tt",), lmax=300, scalars=("z_rei",))
    solver, words = get_solver(name), "z_rei('| was not).*did you mean z_reio"
    with pytest.raises(SolverError, match=words):
        solver.check(planck18(), request)
    with pytest.raises(SolverError, match=words):
        solver.solve(planck18(), request)


def test_restricted_solution_equals_the_small_request(name, fiducial):
    small = restrict(fiducial(name), SMALL)
    assert small["lensed_tt"].shape == (301,)
    assert set(small) == set(SMALL.names())


def test_nonlinear_power_without_a_model_is_refused(name):
    request = Request(spectra=(), power=True)
    for wrong in (request, Request.of(["cb_power_nonlinear"])):
        with pytest.raises(SolverError, match="non_linear 'none'"):
            get_solver(name, non_linear="none").solve(planck18(), wrong)
        with pytest.raises(SolverError, match="non_linear 'none'"):
            get_solver(name, non_linear="none").check(planck18(), wrong)


def test_unknown_settings_are_refused(name):
    with pytest.raises(SolverError, match="non_linear is 'magic'"):
        get_solver(name, non_linear="magic")
    with pytest.raises(SolverError, match="colour"):
        get_solver(name, colour="blue")


def test_unknown_native_input_is_refused_in_the_solvers_words(name):
    cosmology = planck18().replace(extra={"phlogiston": 1.0})
    with pytest.raises(SolverError, match="phlogiston"):
        get_solver(name).solve(cosmology, SCALARS_ONLY)


def test_theta_star_out_of_reach(name):
    cosmology = planck18().replace(h=None, theta_star_100=3.0)
    with pytest.raises(SolverError, match=r"[Nn]o h|theta_star"):
        get_solver(name).solve(cosmology, SCALARS_ONLY)


def test_too_many_massive_neutrinos_is_a_solver_error(name):
    cosmology = planck18().replace(neutrino_hierarchy="degenerate", N_eff=2.0)
    with pytest.raises(SolverError, match="raise N_eff"):
        get_solver(name).solve(cosmology, SCALARS_ONLY)


def test_a_failure_leaves_the_solver_usable(name):
    solver = get_solver(name)
    with pytest.raises(SolverError):
        solver.solve(planck18().replace(extra={"phlogiston": 1.0}), SCALARS_ONLY)
    assert solver.solve(planck18(), SCALARS_ONLY)["h"] == pytest.approx(0.6727)


def test_neighbouring_models_have_no_step(name, fiducial):
    """A hair away in h, where an unguarded CLASS has other multipoles in its grid."""
    request = Request()
    cosmology = planck18().replace(h=0.6727 * (1.0 - 2.7e-8))
    again = get_solver(name).solve(cosmology, request)
    for spectrum in ("lensed_tt", "lensed_te", "lensed_ee"):
        reference = fiducial(name)[spectrum]
        assert (np.abs(again[spectrum] - reference) / local_rms(reference)).max() < SAME_MODEL
