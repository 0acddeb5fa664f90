"""From the parameters of an inference to a universe."""

import pytest

from volvelle.cosmology import (
    Cosmology,
    ExpressionError,
    ParameterError,
    Parametrisation,
    in_order,
)

GIVEN = {"omega_b": 0.0224, "h": 0.67, "n_s": 0.965, "tau_reio": 0.054, "A_s": 2.1e-9}


def test_definitions_auxiliaries_and_the_solvers_own_inputs():
    definitions = in_order(
        {"omega_cdm": "omega_m - omega_b - omega_ini_dcdm", "Gamma_dcdm": "10**log10_Gamma"}
    )
    found = Parametrisation(definitions, dropped=("omega_m", "log10_Gamma"))
    given = {**GIVEN, "omega_m": 0.15, "omega_ini_dcdm": 0.02, "log10_Gamma": 2.0}
    cosmology = found.cosmology(given)
    assert cosmology.omega_cdm == pytest.approx(0.15 - 0.0224 - 0.02)
    assert cosmology.extra == {"omega_ini_dcdm": 0.02, "Gamma_dcdm": 100.0}
    assert found.follow_from(("omega_m",)) == ("omega_cdm",)
    assert set(found.follow_from(("omega_m", "log10_Gamma"))) == {"omega_cdm", "Gamma_dcdm"}


def test_an_unset_input_is_the_model_without_it():
    found = Parametrisation(unset=(("alpha_s", 0.0),))
    given = {**GIVEN, "omega_cdm": 0.12}
    without = Parametrisation().cosmology(given)
    assert found.cosmology({**given, "alpha_s": 0.0}).canonical() == without.canonical()
    assert found.cosmology({**given, "alpha_s": 0.01}).extra == {"alpha_s": 0.01}


def test_an_idle_input_goes_with_the_one_that_it_belongs_to():
    definitions = (("Gamma_dcdm", "10**log10_Gamma"),)
    found = Parametrisation(
        definitions,
        ("log10_Gamma",),
        unset=(("omega_ini_dcdm", 0.0),),
        idle=(("Gamma_dcdm", "omega_ini_dcdm"),),
    )
    given = {**GIVEN, "omega_cdm": 0.12, "log10_Gamma": 2.0}
    without = Parametrisation().cosmology({**GIVEN, "omega_cdm": 0.12})
    assert found.cosmology({**given, "omega_ini_dcdm": 0.0}).canonical() == without.canonical()
    decaying = found.cosmology({**given, "omega_ini_dcdm": 0.01})
    assert decaying.extra == {"omega_ini_dcdm": 0.01, "Gamma_dcdm": 100.0}


def test_what_leads_out_of_all_universes_is_an_error():
    found = Parametrisation((("omega_cdm", "omega_m - omega_b"),), ("omega_m",))
    with pytest.raises(ParameterError, match=r"omega_cdm is -0\.0"):
        found.cosmology({**GIVEN, "omega_m": 0.01})
    broken = Parametrisation((("omega_cdm", "1/omega_m"),), ("omega_m",))
    with pytest.raises(ExpressionError, match="omega_cdm: 1/omega_m"):
        broken.cosmology({**GIVEN, "omega_m": 0.0})


def test_native_neutrinos():
    found = Parametrisation()
    given = {**GIVEN, "omega_cdm": 0.12, "N_ur": 2.0328, "N_ncdm": 1.0, "m_ncdm": 0.1}
    cosmology = found.cosmology(given, "native")
    assert (cosmology.m_nu, cosmology.N_eff) == (None, None)
    canonical = cosmology.canonical()
    assert canonical["neutrino_hierarchy"] == "native"
    assert not {"m_nu", "N_eff"} & set(canonical)
    assert Cosmology.from_canonical(canonical).canonical() == canonical
    for name in ("omega_nu", "omega_m", "Omega_m", "neutrino_masses"):
        with pytest.raises(ParameterError, match="set by the solver's own inputs"):
            getattr(cosmology, name)
    with pytest.raises(ParameterError, match="m_nu cannot be given with neutrino_hierarchy native"):
        found.cosmology({**given, "m_nu": 0.06}, "native")
