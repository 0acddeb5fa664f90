"""Inputs in a solver's own words: what it refuses, its neutrinos, decaying dark matter."""

import pytest

from volvelle.boltzmann import Request, SolverError, get_solver
from volvelle.boltzmann.class_outputs import output_words
from volvelle.boltzmann.library import load_classy
from volvelle.cosmology import Cosmology, planck18, to_camb, to_class

SCALARS_ONLY = Request(spectra=(), background=False)
THETA = 3e-8  # three times the tolerance of the search for h
SAME_SECTOR = 1e-10  # the same numbers by another way: rounding alone
CONTINUOUS = 5e-5  # of sigma8: a species, however little of it, changes CLASS's steps; 1.5e-5 here
SAME_SIGMA8 = 2e-6  # of ranges from 5/Mpc on, and of steps that C_l or redshifts bring; 5e-7 here


def with_extra(**extra: float) -> Cosmology:
    return planck18().replace(extra=extra)


def native(**extra: float) -> Cosmology:
    return planck18().replace(neutrino_hierarchy="native", m_nu=None, N_eff=None, extra=extra)


@pytest.mark.parametrize("name", ["class", "camb"])
def test_known_inputs_pass_whatever_has_to_be_searched_for(name):
    get_solver(name).check(planck18(), Request())
    changes = {"h": None, "theta_star_100": 1.041, "A_s": None, "sigma8": 0.8}
    get_solver(name).check(planck18().replace(**changes), Request())


@pytest.mark.parametrize(
    ("name", "extra", "words"),
    [
        ("class", {"Gama_dcdm": 1.0}, "Class did not read input parameter.s.: Gama_dcdm"),
        ("class", {"Gamma_dcdm": 1.0}, "Class did not read input parameter.s.: Gamma_dcdm"),
        ("class", {"r": 0.1}, "Class did not read input parameter.s.: r"),  # scalar modes only
        ("class", {"H0": 67.0}, "You can only enter one of 'h' or 'H0'"),
        ("class", {"Omega_b": 0.05}, "You can only enter one of 'Omega_b' or 'omega_b'"),
        ("class", {"N_ur": 2.0}, "N_ur of CLASS is set already, from the cosmology"),
        ("camb", {"InitPower.nrunn": 0.1}, "CAMB has no parameter 'InitPower.nrunn'"),
        ("camb", {"replace": 0.1}, "CAMB has no parameter 'replace'"),
        ("camb", {"omegam": 0.3}, "CAMB's 'omegam' cannot be set"),
        ("camb", {"max_l": 2500.5}, "CAMB's 'max_l' is 2500.5; it takes whole numbers"),
        ("camb", {"InitPower.ns": 0.9}, "InitPower.ns of CAMB is set already, from the cosmology"),
        ("camb", {"omnuh2": 0.001}, "omnuh2 of CAMB is set already, from the cosmology"),
    ],
)
def test_what_a_solver_does_not_know_is_refused_in_its_words(name, extra, words):
    with pytest.raises(SolverError, match=words) as caught:
        get_solver(name).check(with_extra(**extra), Request())
    assert "\n" not in str(caught.value)


def test_a_fraction_of_a_neutrino_species_is_refused():
    """CLASS would read the whole part and say nothing."""
    with pytest.raises(SolverError, match=r"N_ncdm is 1\.5, .* whole number"):
        get_solver("class").check(native(N_ncdm=1.5, m_ncdm=0.06), Request())


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("camb", "H0", 70.0),
        ("camb", "omk", 0.1),
        ("camb", "InitPower.ns", 0.9),
        ("camb", "max_l", 5000),
        ("camb", "max_eta_k", 9e4),
        ("camb", "NonLinear", "NonLinear_none"),
        ("camb", "InitPower.r", 0.1),  # of no effect without tensors
        ("class", "non_linear", "hmcode"),
        ("class", "output", "tCl"),
        ("class", "l_max_scalars", 5000),
    ],
)
def test_settings_that_would_be_overwritten_or_overwrite_are_refused(name, setting, value):
    """No setting is read and then ignored, and none changes the cosmology behind its back."""
    with pytest.raises(SolverError, match=setting):
        get_solver(name, extra={setting: value}).check(planck18(), Request())


def test_settings_of_the_non_linear_model_of_camb_arrive():
    name = "NonLinearModel.HMCode_logT_AGN"
    solver, camb = get_solver("camb", non_linear="hmcode"), pytest.importorskip("camb")
    params = solver._input(camb, with_extra(**{name: 8.1}), Request())
    assert params.NonLinearModel.HMCode_logT_AGN == 8.1
    assert params.NonLinearModel.halofit_version == "mead2020"


def test_tensors_of_camb_join_the_spectra():
    request = Request.of(["lensed_bb", "unlensed_bb"], 100)
    settings = {"WantTensors": 1, "InitPower.r": 0.1}
    theory = get_solver("camb", extra=settings).solve(planck18(), request)
    ell = 80  # D_l of tensors peaks there, 0.067 (r/1) muK^2
    primordial = ell * (ell + 1) / 6.2832 * theory["unlensed_bb"][ell]
    assert 0.005 < primordial < 0.01
    assert theory["lensed_bb"][ell] > theory["unlensed_bb"][ell]


def test_known_native_inputs_pass():
    get_solver("class").check(with_extra(alpha_s=0.01, xi_idr=0.1), Request())
    get_solver("camb").check(with_extra(**{"InitPower.nrun": 0.01, "Alens": 1.1}), Request())


def test_the_standard_neutrinos_of_class_in_its_own_words():
    solver = get_solver("class", non_linear="none")
    N_ur = float(to_class(planck18())["N_ur"])
    same = solver.solve(native(N_ur=N_ur, N_ncdm=1, m_ncdm=0.06, deg_ncdm=1.0), SCALARS_ONLY)
    standard = solver.solve(planck18(), SCALARS_ONLY)
    for name, value in standard.items():
        assert same[name] == pytest.approx(value, rel=SAME_SECTOR), name


def test_the_standard_neutrinos_of_camb_in_its_own_words():
    fields = to_camb(planck18())
    names = ("num_nu_massless", "num_nu_massive", "nu_mass_eigenstates", "omnuh2")
    extra = {name: fields[name] for name in names}
    arrays = ("nu_mass_degeneracies", "nu_mass_fractions", "nu_mass_numbers")
    extra |= {name: fields[name][0] for name in arrays}
    solver = get_solver("camb", non_linear="none")
    same, standard = (solver.solve(c, SCALARS_ONLY) for c in (native(**extra), planck18()))
    for name, value in standard.items():
        assert same[name] == pytest.approx(value, rel=SAME_SECTOR), name


@pytest.mark.parametrize(
    ("edge", "near"),
    [
        ({"m_ncdm": 0.0, "deg_ncdm": 1.0}, {"m_ncdm": 1e-6, "deg_ncdm": 1.0}),
        ({"m_ncdm": 0.5, "deg_ncdm": 0.0}, {"m_ncdm": 0.5, "deg_ncdm": 1e-7}),
    ],
    ids=["massless", "absent"],
)
def test_edges_of_the_neutrino_sector_are_models_like_others(edge, near):
    solver = get_solver("class", non_linear="none")
    sector = {"N_ur": 2.0328, "N_ncdm": 1}
    at, beside = (solver.solve(native(**sector, **e), SCALARS_ONLY) for e in (edge, near))
    assert at["sigma8"] == pytest.approx(beside["sigma8"], rel=CONTINUOUS)


def test_decaying_dark_matter_at_a_given_angular_scale():
    base = planck18().replace(h=None, theta_star_100=1.0411, omega_cdm=0.115)
    solver = get_solver("class", non_linear="none")
    decaying = base.replace(extra={"omega_ini_dcdm": 0.005, "Gamma_dcdm": 100.0})
    stable = base.replace(extra={"omega_ini_dcdm": 0.005, "Gamma_dcdm": 1e-3})
    cold = base.replace(omega_cdm=0.12)
    a, b, c = (solver.solve(each, SCALARS_ONLY) for each in (decaying, stable, cold))
    for theory in (a, b, c):
        assert theory["theta_star_100"] == pytest.approx(1.0411, rel=THETA)
    assert b["sigma8"] == pytest.approx(c["sigma8"], rel=1e-4)  # hardly any decay
    assert b["Omega_m"] == pytest.approx(c["Omega_m"], rel=1e-4)
    assert a["Omega_m"] < c["Omega_m"] - 0.005  # what decayed is no matter any more
    assert a["H0"] > c["H0"] + 0.1
    nothing = base.replace(extra={"omega_ini_dcdm": 0.0, "Gamma_dcdm": 100.0})
    solver.check(nothing, Request())


def test_non_linear_power_that_class_leaves_linear_is_refused():
    request = Request.of(["cb_power_nonlinear"])
    solver = get_solver("class", precision={"halofit_min_k_max": 1.0})
    words = "no non-linear scale within its range of wavenumbers from z = 4"
    with pytest.raises(SolverError, match=words):
        solver.solve(planck18(), request)


TENSORS = {"modes": "s,t", "l_max_tensors": 50}


@pytest.mark.parametrize(
    ("settings", "extra", "outputs"),
    [
        ({"extra": TENSORS, "non_linear": "none"}, {"r": 0.1}, ["lensed_bb"]),
        (
            {"extra": {"hmcode_version": "2020_baryonic_feedback"}, "non_linear": "hmcode"},
            {"log10T_heat_hmcode": 7.8},
            ["matter_power_nonlinear"],
        ),
        ({"extra": {"ic": "ad,bi"}, "non_linear": "none"}, {"f_bi": 0.1}, ["sigma8"]),
    ],
    ids=["tensors", "feedback", "isocurvature"],
)
def test_the_searches_read_what_is_read_beside_outputs_only(settings, extra, outputs):
    """theta_* and sigma8 are searched for with the inputs of the solution itself."""
    solver, module = get_solver("class", **settings), load_classy(None)
    request = Request.of(outputs, 10)
    asked = with_extra(**extra).replace(h=None, theta_star_100=1.041, A_s=None, sigma8=0.8)
    solver.check(asked, request)
    found = solver._with_amplitude(module, solver._with_hubble(module, asked, request), request)
    assert found.h == pytest.approx(0.673, rel=0.01)
    assert found.A_s == pytest.approx(2.03e-9, rel=0.05)


def test_sigma8_of_class_does_not_depend_on_what_else_is_asked():
    solver = get_solver("class", non_linear="none")
    alone = solver.solve(planck18(), SCALARS_ONLY)
    beside = solver.solve(planck18(), Request.of(["matter_power"]))
    assert alone["sigma8"] == pytest.approx(beside["sigma8"], rel=SAME_SIGMA8)
    spectra = Request.of(["lensed_tt"], 2508)
    assert output_words(SCALARS_ONLY, "none")["P_k_max_1/Mpc"] == 5.0
    assert output_words(spectra, "none")["P_k_max_1/Mpc"] == 5.0


@pytest.mark.parametrize(
    "precision",
    [{"non_linear": "none"}, {"lensing": "no"}, {"l_max_scalars": 500}, {"P_k_max_1/Mpc": 1.0}],
)
@pytest.mark.parametrize("request_", [Request(), SCALARS_ONLY], ids=["spectra", "scalars"])
def test_precision_of_class_overrides_nothing_that_follows_from_the_request(precision, request_):
    (name,) = precision
    with pytest.raises(SolverError, match=f"{name} of CLASS follows from what is asked"):
        get_solver("class", precision=precision).check(planck18(), request_)


def test_the_range_of_non_linear_models_is_the_users():
    """It is what an error advises; where no model is asked for, CLASS has no such input."""
    solver = get_solver("class", precision={"halofit_min_k_max": 40.0})
    request = Request.of(["matter_power_nonlinear"])
    assert solver._input(planck18(), request)["halofit_min_k_max"] == 40.0
    solver.check(planck18(), request)
    solver.check(planck18(), SCALARS_ONLY)
    other = get_solver("class", non_linear="none", precision={"halofit_min_k_max": 40.0})
    with pytest.raises(SolverError, match=r"did not read input parameter.s.: halofit_min_k_max"):
        other.check(planck18(), SCALARS_ONLY)


@pytest.mark.parametrize("name", ["DarkEnergy.w", "DarkEnergy.wa"])
def test_dark_energy_of_camb_is_set_once(name):
    with pytest.raises(SolverError, match=f"{name} of CAMB is set already"):
        get_solver("camb").check(with_extra(**{name: -0.5}).replace(w0=-0.9), Request())
    with pytest.raises(SolverError, match=f"{name} of CAMB is set already"):
        get_solver("camb", extra={name: -0.5}).check(planck18().replace(wa=0.1), Request())
    get_solver("camb").check(with_extra(**{"DarkEnergy.w": -0.9}), Request())


@pytest.mark.parametrize(
    ("outputs", "model"),
    [
        (["sigma8", "matter_power", "cb_power", "f_sigma8"], None),
        (["unlensed_tt"], None),
        (["lensed_tt"], "halofit"),
        (["phiphi"], "halofit"),
        (["matter_power_nonlinear"], "halofit"),
        (["rs_rec"], "halofit"),
    ],
)
def test_class_has_a_non_linear_model_where_an_output_depends_on_it(outputs, model):
    assert output_words(Request.of(outputs), "halofit").get("non_linear") == model


def test_linear_power_is_had_where_no_non_linear_scale_is():
    few = planck18().replace(A_s=8e-10, m_nu=0.9, neutrino_hierarchy="degenerate")
    theory = get_solver("class").solve(few, Request.of(["matter_power"]))
    assert theory["sigma8"] == pytest.approx(0.4068, rel=1e-3)


def test_the_content_of_files_that_settings_name_is_in_the_key(tmp_path):
    table = tmp_path / "helium.dat"
    solver = get_solver("class", extra={"sBBN file": str(table)})
    absent = solver.identity()
    table.write_text("1 2 3\n")
    first = solver.identity()
    table.write_text("1 2 3 4\n")
    second = solver.identity()
    assert len({each["settings"] for each in (absent, first, second)}) == 3
    assert "files" not in get_solver("class").identity()["settings"]
