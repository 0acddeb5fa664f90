"""Round trips through the parameters of CLASS and CAMB; astropy and CCL dictionaries."""

import pytest

from volvelle.cosmology import (
    N_EFF_PER_MASSIVE_STATE,
    ConversionError,
    from_camb,
    from_class,
    planck18,
    to_astropy,
    to_camb,
    to_ccl,
    to_class,
)

ROUND_TRIP = 1e-12  # a handful of multiplications and divisions

MODELS = {
    "fiducial": {},
    "massless": {"m_nu": 0.0},
    "degenerate": {"m_nu": 0.3, "neutrino_hierarchy": "degenerate"},
    "normal": {"m_nu": 0.1, "neutrino_hierarchy": "normal"},
    "inverted": {"m_nu": 0.12, "neutrino_hierarchy": "inverted"},
    "two masses": {"m_nu": [0.02, 0.1]},
    "four masses": {"m_nu": [0.1, 0.1, 0.2, 0.3], "N_eff": 4.2},
    "dark energy": {"w0": -0.9, "wa": 0.1},
    "curved": {"Omega_k": 0.01, "N_eff": 3.5, "T_cmb": 2.72},
    "sigma8": {"A_s": None, "sigma8": 0.8, "Y_he": 0.24},
}


@pytest.mark.parametrize("changes", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("forth, back", [(to_class, from_class), (to_camb, from_camb)])
def test_round_trip(changes, forth, back):
    cosmology = planck18().replace(**changes)
    values, expected = back(forth(cosmology)).canonical(), cosmology.canonical()
    assert values.pop("neutrino_hierarchy") == expected.pop("neutrino_hierarchy")
    assert values == pytest.approx(expected, rel=ROUND_TRIP)


def test_masses_of_several_states():
    """Equal ones are one species of CLASS and CAMB; those without mass are massless states."""
    given = to_class(planck18().replace(m_nu=[0.2, 0.0, 0.1, 0.1]))
    assert (given["m_ncdm"], given["deg_ncdm"]) == ("0.2,0.1", "1.0,2.0")
    assert given["N_ur"] == pytest.approx(3.044 - 3.0 * N_EFF_PER_MASSIVE_STATE)
    assert to_ccl(planck18().replace(m_nu=[0.2, 0.0, 0.1]))["m_nu"] == [0.2, 0.1]
    many = planck18().replace(m_nu=[0.01 * n for n in range(1, 7)], N_eff=7.0)
    assert to_class(many)["N_ncdm"] == 6
    with pytest.raises(ConversionError, match=r"6 different masses .*; CAMB has room for 5"):
        to_camb(many)
    with pytest.raises(ConversionError, match=r"4 massive states need 4\.05"):
        to_class(planck18().replace(m_nu=[0.1] * 4))
    with pytest.raises(ConversionError, match="N_eff or give mass to fewer"):
        to_astropy(planck18().replace(m_nu=[0.1] * 4))


def test_extra_goes_to_class_and_back():
    cosmology = planck18().replace(extra={"Gamma_dcdm": 20.0})
    assert to_class(cosmology)["Gamma_dcdm"] == 20.0
    assert from_class(to_class(cosmology)).extra == {"Gamma_dcdm": 20.0}


def test_extra_must_not_repeat_a_parameter():
    with pytest.raises(ConversionError, match="omega_b"):
        to_class(planck18().replace(extra={"omega_b": 0.02}))


def test_massless_states_complete_N_eff():
    assert to_class(planck18())["N_ur"] == pytest.approx(3.044 - N_EFF_PER_MASSIVE_STATE)
    camb = to_camb(planck18().replace(m_nu=0.3, neutrino_hierarchy="degenerate"))
    total = camb["num_nu_massless"] + sum(camb["nu_mass_degeneracies"])
    assert total == pytest.approx(3.044)
    with pytest.raises(ConversionError, match="raise N_eff"):
        to_class(planck18().replace(N_eff=2.5, neutrino_hierarchy="degenerate"))


def test_class_input_in_other_words():
    cosmology = from_class(
        {
            "H0": 70,
            "Omega_b": 0.05,
            "omega_cdm": 0.12,
            "ln10^{10}A_s": 3.0,
            "n_s": 0.96,
            "tau_reio": 0.06,
            "N_ur": 0.00441,
            "N_ncdm": 1,
            "deg_ncdm": 3,
            "m_ncdm": 0.1,
        }
    )
    assert cosmology.neutrino_hierarchy == "degenerate"
    assert cosmology.m_nu == pytest.approx(0.3)
    assert cosmology.omega_b == pytest.approx(0.05 * 0.49)
    assert cosmology.ln10A_s == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"output": "tCl"}, "output"),
        ({"N_ncdm": 1, "m_ncdm": 0.1, "T_ncdm": 0.5}, "T_ncdm"),
        ({"N_ncdm": 1, "m_ncdm": 0.1, "deg_ncdm": 1.5}, "whole numbers"),
        ({"N_ncdm": 2, "m_ncdm": 0.1, "deg_ncdm": 1.0}, "m_ncdm holds 1 numbers and N_ncdm is 2"),
        ({"N_ncdm": 1, "m_ncdm": "0.1,0.2"}, "m_ncdm holds 2 numbers and N_ncdm is 1"),
        ({"H0": 67.0}, "h and H0 are given; expected one"),
        ({"Omega_b": 0.05}, "omega_b and Omega_b are given"),
        ({"ln10^{10}A_s": 3.0}, "A_s and ln10"),
        ({"omega_ur": 1e-5}, "omega_ur is 1e-05; give N_ur"),
        ({"N_eff": 2.5}, "old name of N_ur"),
        ({"Omega_g": 5e-5}, "give T_cmb"),
    ],
)
def test_class_inputs_without_counterpart(changes, words):
    given = to_class(planck18().replace(m_nu=0.0)) | changes
    with pytest.raises(ConversionError, match=words):
        from_class(given)


@pytest.mark.parametrize("convert", [to_astropy, to_ccl])
def test_what_only_one_solver_knows_reaches_no_other(convert):
    """It would be another universe."""
    cosmology = planck18().replace(extra={"omega_ini_dcdm": 0.01, "Gamma_dcdm": 30.0})
    with pytest.raises(ConversionError, match="omega_ini_dcdm, Gamma_dcdm in extra"):
        convert(cosmology)


def test_theta_star_needs_a_solver():
    cosmology = planck18().replace(h=None, theta_star_100=1.041)
    for conversion in (to_class, to_camb, to_astropy, to_ccl):
        with pytest.raises(ConversionError, match="theta_star_100"):
            conversion(cosmology)


def test_astropy_and_ccl_close_the_universe():
    cosmology = planck18().replace(Omega_k=0.01, m_nu=0.12, neutrino_hierarchy="inverted")
    astropy, ccl = to_astropy(cosmology), to_ccl(cosmology)
    assert astropy["Om0"] + float(cosmology.omega_nu) / cosmology.h**2 == pytest.approx(
        float(cosmology.Omega_m)
    )
    assert 0.67 < astropy["Ode0"] < 0.69
    assert sum(astropy["m_nu"]) == pytest.approx(0.12)
    assert len(ccl["m_nu"]) == 3
    assert ccl["Omega_c"] + ccl["Omega_b"] == pytest.approx(astropy["Om0"])


def test_native_neutrinos_reach_class_only():
    extra = {"N_ur": 2.0328, "N_ncdm": 1, "m_ncdm": 0.1, "deg_ncdm": 2.0}
    cosmology = planck18().replace(neutrino_hierarchy="native", m_nu=None, N_eff=None, extra=extra)
    given = to_class(cosmology)
    assert {name: given[name] for name in extra} == extra
    assert isinstance(given["N_ncdm"], int)
    assert "T_ncdm" not in given
    assert "omnuh2" not in to_camb(cosmology)
    for convert in (to_astropy, to_ccl):
        with pytest.raises(ConversionError, match="neutrino_hierarchy is native"):
            convert(cosmology)


def test_no_decay_without_decaying_matter():
    base = planck18()
    extra = {"omega_ini_dcdm": 0.0, "Gamma_dcdm": 20.0}
    assert "Gamma_dcdm" not in to_class(base.replace(extra=extra))
    assert "Gamma_dcdm" in to_class(base.replace(extra={**extra, "omega_ini_dcdm": 1e-9}))
