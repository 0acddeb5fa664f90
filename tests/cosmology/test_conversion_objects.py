"""Objects of astropy, CCL and CAMB: round trips, distances, and what has no counterpart."""

import dataclasses

import numpy as np
import pytest

from universes import CASES
from volvelle.cosmology import (
    ConversionError,
    Cosmology,
    from_astropy,
    from_camb,
    from_ccl,
    planck18,
    planck18_lensing_bao,
    to_astropy,
    to_camb,
    to_ccl,
    transverse_comoving_distance,
)

astropy = pytest.importorskip("astropy.cosmology")
pyccl = pytest.importorskip("pyccl")
camb = pytest.importorskip("camb")

ROUND_TRIP = 1e-12
CCL_DISTANCES = 1e-6
"""CCL's spline of distances (measured: 5e-7, at z = 0.01)."""
ASTROPY_DISTANCES = {"massless": 1e-7, "heavy": 2e-4, "all": 3e-3, "four masses": 7e-4}
"""astropy's neutrinos have another temperature, and energies of a fit; with N_eff = 3.5 ("all") or
4.2 it gives more than one state to each massive neutrino (measured: 1e-8, 1.3e-4, 2.1e-3, 5e-4).
"""
ASTROPY_USUAL = 6e-5
CURVATURE = 1e-7  # astropy's constants of nature: 6e-8 of Omega_k at 0.9 eV
Z = np.array([0.01, 0.1, 1.0, 10.0, 1000.0])
SIGMA8 = {"A_s": None, "sigma8": 0.8}


def same(found: Cosmology, expected: Cosmology, without: tuple[str, ...] = ()) -> None:
    one, two = (
        {n: v for n, v in c.canonical().items() if n not in without} for c in (found, expected)
    )
    assert one.pop("neutrino_hierarchy") == two.pop("neutrino_hierarchy")
    assert one == pytest.approx(two, rel=ROUND_TRIP, abs=ROUND_TRIP)


def distances(cosmology: Cosmology) -> np.ndarray:
    return np.asarray(transverse_comoving_distance(cosmology, 1.0 / (1.0 + Z)))


@pytest.mark.parametrize("name", CASES)
def test_astropy(name: str) -> None:
    """Back exactly, with the same curvature and distances."""
    cosmology = CASES[name]
    model = astropy.w0waCDM(**to_astropy(cosmology))
    back = from_astropy(model, n_s=cosmology.n_s, tau_reio=cosmology.tau_reio, A_s=cosmology.A_s)
    same(back, cosmology)
    assert model.Ok0 == pytest.approx(float(cosmology.Omega_k), abs=CURVATURE)
    found = model.comoving_transverse_distance(Z).value
    limit = ASTROPY_DISTANCES.get(name, ASTROPY_USUAL)
    np.testing.assert_allclose(found, distances(cosmology), rtol=limit)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("amplitude", [{}, SIGMA8], ids=["A_s", "sigma8"])
def test_ccl(name: str, amplitude: dict) -> None:
    """Back exactly, with the same distances."""
    cosmology = CASES[name].replace(**amplitude)
    model = pyccl.Cosmology(**to_ccl(cosmology), transfer_function="eisenstein_hu")
    same(from_ccl(model, tau_reio=cosmology.tau_reio), cosmology)
    found = model.comoving_angular_distance(1.0 / (1.0 + Z))
    np.testing.assert_allclose(found, distances(cosmology), rtol=CCL_DISTANCES)


@pytest.mark.parametrize(
    ("split", "hierarchy"),
    [("single", "single"), ("equal", "degenerate"), ("normal", "normal"), ("inverted", "inverted")],
)
def test_masses_that_ccl_splits(split: str, hierarchy: str) -> None:
    model = pyccl.Cosmology(
        Omega_c=0.25,
        Omega_b=0.05,
        h=0.7,
        n_s=0.96,
        sigma8=0.8,
        m_nu=0.15,
        mass_split=split,
        transfer_function="bbks",
    )
    found = from_ccl(model, tau_reio=0.06)
    assert (found.neutrino_hierarchy, found.m_nu) == (hierarchy, 0.15)
    np.testing.assert_allclose(
        model.comoving_angular_distance(1.0 / (1.0 + Z)), distances(found), rtol=CCL_DISTANCES
    )
    massless = pyccl.CosmologyVanillaLCDM(transfer_function="bbks")
    assert from_ccl(massless, tau_reio=0.06).m_nu == 0.0


@pytest.mark.parametrize("kind", ["FlatLambdaCDM", "LambdaCDM", "FlatwCDM", "wCDM", "Flatw0waCDM"])
def test_kinds_of_astropy(kind: str) -> None:
    given = {"H0": 70.0, "Om0": 0.3, "Ob0": 0.05, "Tcmb0": 2.7255, "Neff": 3.044}
    given |= {"m_nu": [0.0, 0.0, 0.06]}
    given |= {} if kind.startswith("Flat") else {"Ode0": 0.68}
    given |= {"w0": -0.9} if "w" in kind.lower() else {}
    given |= {"wa": 0.2} if "wa" in kind else {}
    model = getattr(astropy, kind)(**given)
    found = from_astropy(model, n_s=0.96, tau_reio=0.06, sigma8=0.8)
    assert (found.w0, found.wa) == (given.get("w0", -1.0), given.get("wa", 0.0))
    assert found.Omega_k == pytest.approx(model.Ok0, abs=CURVATURE)
    assert kind.startswith("Flat") == (found.Omega_k == 0.0)
    assert found.sigma8 == 0.8 and found.omega_cdm == pytest.approx(0.25 * 0.49)
    np.testing.assert_allclose(
        model.comoving_transverse_distance(Z).value, distances(found), rtol=ASTROPY_USUAL
    )


def test_a_realisation_of_astropy() -> None:
    model = astropy.Planck18
    found = from_astropy(
        model, n_s=model.meta["n"], tau_reio=model.meta["tau"], sigma8=model.meta["sigma8"]
    )
    expected = planck18_lensing_bao()
    for name in ("omega_b", "omega_cdm", "h", "n_s", "tau_reio", "m_nu"):
        assert getattr(found, name) == pytest.approx(float(getattr(expected, name)), rel=3e-4)


CAMB_CASES = ["planck", "massless", "normal", "inverted", "heavy", "open", "thawing", "all"]
CAMB_CASES += ["two masses", "four masses"]


@pytest.mark.parametrize("name", CAMB_CASES)
def test_camb_parameters_of_the_solver(name: str) -> None:
    """CAMBparams as this package fills them; their helium is a number."""
    from volvelle.boltzmann import CambSolver

    params = CambSolver()._params(camb, CASES[name])
    same(from_camb(params), CASES[name], without=("Y_he",))
    assert from_camb(params).Y_he == params.YHe
    same(from_camb(to_camb(CASES[name])), CASES[name])


def test_camb_with_its_own_neutrinos() -> None:
    params = camb.set_params(
        H0=67.0, ombh2=0.022, omch2=0.12, mnu=0.06, omk=0.01, As=2e-9, ns=0.96, tau=0.06, w=-0.9
    )
    found = from_camb(params)
    assert float(found.omega_nu) == pytest.approx(params.omnuh2, rel=ROUND_TRIP)
    assert found.N_eff == pytest.approx(3.044) and found.m_nu == pytest.approx(0.06, rel=2e-3)
    assert (found.w0, found.Omega_k) == (-0.9, 0.01) and found.A_s == pytest.approx(2e-9)
    for N_eff, standard in ((2.5, 3.044), (4.0, 3.044), (3.044, 3.046), (3.5, 3.046)):
        params = camb_params(nnu=N_eff, standard_neutrino_neff=standard, num_massive_neutrinos=2)
        found = from_camb(params)
        assert float(found.omega_nu) == pytest.approx(params.omnuh2, rel=ROUND_TRIP)
        assert found.N_eff == pytest.approx(N_eff) and found.M_nu == pytest.approx(0.06, rel=2e-3)
    normal = from_camb(camb_params(mnu=0.3, neutrino_hierarchy="normal"))
    # CAMB's normal hierarchy has two different masses
    assert normal.M_nu == pytest.approx(0.3, rel=2e-3) and normal.neutrino_hierarchy == "masses"
    assert normal.neutrino_masses[0] == normal.neutrino_masses[1]


def astropy_model(kind: str = "LambdaCDM", **changes):
    given = {"H0": 70.0, "Om0": 0.3, "Ode0": 0.7, "Ob0": 0.05, "Tcmb0": 2.7255, "Neff": 3.044}
    return getattr(astropy, kind)(**(given | changes))


def ccl_model(**changes):
    given = {"Omega_c": 0.25, "Omega_b": 0.05, "h": 0.7, "n_s": 0.96, "sigma8": 0.8}
    return pyccl.Cosmology(**(given | {"transfer_function": "bbks"} | changes))


def camb_params(**changes):
    given = {"H0": 67.0, "ombh2": 0.022, "omch2": 0.12, "tau": 0.06, "As": 2e-9}
    return camb.set_params(**(given | changes))


def tabulated():
    params = camb_params()
    params.set_dark_energy_w_a(np.linspace(0.01, 1.0, 20), np.full(20, -0.9))
    return params


def at_redshift():
    params = camb_params()
    params.Reion.set_zrei(8.0)
    return params


def clustering():
    params = camb_params()
    params.set_dark_energy(w=-0.9, cs2=0.1)
    return params


def wide_reionisation():
    params = camb_params()
    params.Reion.delta_redshift = 1.5
    return params


def changed(name: str, value):
    params = camb_params()
    setattr(params, name, value)
    return params


def ccl_calculator():
    """A universe of its own, under parameters that are another's."""
    a = np.linspace(0.01, 1.0, 50)
    given = {"Omega_c": 0.25, "Omega_b": 0.05, "h": 0.7, "n_s": 0.96, "sigma8": 0.8}
    own = {"a": a, "chi": 9000.0 * (1.0 - a), "h_over_h0": a**-1.5}
    return pyccl.CosmologyCalculator(**given, background=own)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: astropy_model("w0wzCDM", w0=-1.0, wz=0.1), "w0wzCDM"),
        (lambda: astropy_model(Ob0=0.0), "Ob0"),
        (lambda: astropy_model(Tcmb0=0.0), "Tcmb0"),
        (lambda: astropy_model(Neff=0.5), "Neff"),
        (lambda: {"H0": 70.0}, "dict is given"),
    ],
)
def test_astropy_without_counterpart(make, words: str) -> None:
    with pytest.raises(ConversionError, match=words):
        from_astropy(make(), n_s=0.96, tau_reio=0.06, A_s=2e-9)


def test_too_many_states_for_astropy() -> None:
    with pytest.raises(ConversionError, match="raise N_eff"):
        to_astropy(planck18().replace(N_eff=2.5, neutrino_hierarchy="degenerate"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: ccl_model(mg_parametrization=pyccl.modified_gravity.MuSigmaMG(mu_0=0.1)),
            "gravity",
        ),
        (lambda: ccl_model(Omega_g=0.0), "Omega_g"),
        (lambda: ccl_model(T_ncdm=0.7), "T_ncdm"),
        (ccl_calculator, "background of CCL are tables"),
        (lambda: planck18(), "expected a pyccl.Cosmology"),
    ],
)
def test_ccl_without_counterpart(make, words: str) -> None:
    with pytest.raises(ConversionError, match=words):
        from_ccl(make(), tau_reio=0.06)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (tabulated, "w\\(a\\)"),
        (at_redshift, "optical depth"),
        (clustering, r"cs2 of CAMB's dark energy is 0\.1"),
        (wide_reionisation, r"Reion\.delta_redshift of CAMB is 1\.5; a Cosmology has 0\.5"),
        (lambda: changed("scalar_initial_condition", "initial_iso_CDM"), "initial_adiabatic"),
        (lambda: changed("share_delta_neff", True), "share_delta_neff"),
        (lambda: camb_params(nrun=0.01), "power law"),
        (lambda: camb_params(pivot_scalar=0.002), "pivot_scalar"),
        (lambda: dataclasses.make_dataclass("Other", [])(), "expected a dictionary"),
    ],
)
def test_camb_without_counterpart(make, words: str) -> None:
    with pytest.raises(ConversionError, match=words):
        from_camb(make())
