"""Volvelle's likelihoods in Cobaya: the same number as in Volvelle, from any theory code."""

import copy
from typing import Any

import jax.numpy as jnp
import pytest
import universe
from cobaya.log import LoggedError
from cobaya.model import get_model

from volvelle.boltzmann import ClassSolver
from volvelle.cosmology import Cosmology
from volvelle.likelihood import get_likelihood

PLUGIN = "volvelle.plugins.cobaya_likelihood.VolvelleLikelihood"
EMULATED = 1e-3  # of ln L: the error of the emulator at the centre of its training
CODES = 0.05  # of chi2: their settings of CLASS differ, by 7e-5 in r_drag
POINT = {"omega_b": 0.0224, "omega_cdm": 0.1175, "n_s": 0.966, "tau_reio": 0.055}


def model(theory: dict[str, Any], likelihood: dict[str, Any], params: dict[str, Any]) -> Any:
    info = {"theory": theory, "likelihood": likelihood, "params": params, "debug": 40}
    return get_model(copy.deepcopy(info))


@pytest.mark.real_data
def test_bao_with_class():
    """DESI's distances with Cobaya's own CLASS and with Volvelle's."""
    ours = get_likelihood("desi_dr2_bao")
    cosmology = Cosmology.from_parameters({**POINT, "H0": 68.5, "A_s": 2.1e-9})
    theory = ClassSolver().solve(cosmology, ours.requires)
    expected = float(ours.chi2({k: jnp.asarray(v) for k, v in theory.items()}, {}))
    theirs = {
        "omega_b": POINT["omega_b"],
        "omega_cdm": POINT["omega_cdm"],
        "H0": 68.5,
        "N_ncdm": 1,
        "m_ncdm": 0.06,
        "N_ur": 2.0328,
    }
    found = model({"classy": None}, {PLUGIN: {"name": "desi_dr2_bao"}}, theirs).loglikes({})
    assert -2.0 * float(found[0][0]) == pytest.approx(expected, abs=CODES)


@pytest.mark.real_data
def test_planck_with_the_plug_in(folder):
    """Nuisance parameters, and the refusal of a spectrum that is too short."""
    params: dict[str, Any] = dict(zip(universe.NAMES, universe.TRUTH.tolist(), strict=True))
    theory = {"volvelle.plugins.cobaya.VolvelleTheory": {"emulator": str(folder)}}
    with pytest.raises(LoggedError, match="learned to l = 150"):
        model(theory, {PLUGIN: {"name": "planck_2018_plik_lite"}}, params | {"A_planck": 1.0})
    low = model(theory, {PLUGIN: {"name": "planck_2018_low_l"}}, params)
    ours = get_likelihood("planck_2018_low_l")
    truth = dict(zip(universe.NAMES, universe.TRUTH, strict=True)) | universe.FIXED
    spectra = universe.outputs(Cosmology.from_parameters(truth), universe.LMAX)
    arrays = {name: jnp.asarray(spectra[name]) for name in ours.noise()}
    expected = float(ours.log_prob(arrays, {}))
    assert float(low.loglikes({})[0][0]) == pytest.approx(expected, abs=EMULATED)


def test_unknown_names_are_refused(folder):
    theory = {"volvelle.plugins.cobaya.VolvelleTheory": {"emulator": str(folder)}}
    with pytest.raises(LoggedError, match="planck"):
        params = dict(zip(universe.NAMES, universe.TRUTH.tolist(), strict=True))
        model(theory, {PLUGIN: {"name": "plank_2018_low_l"}}, params)
