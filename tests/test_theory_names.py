"""The names under which the theory is typed: they exist, in their folders, with their arguments."""

import inspect
import re
from pathlib import Path

import pytest

import volvelle
import volvelle.cosmology as cosmology
import volvelle.power as power
import volvelle.probes as probes

NAMES = {
    cosmology: """Cosmology hubble comoving_distance transverse_comoving_distance
        angular_diameter_distance luminosity_distance lookback_time growth_factor growth_rate
        planck18 to_class from_class to_camb from_camb to_astropy from_astropy to_ccl from_ccl
        read_class_ini write_class_ini""",
    power: "linear_power nonlinear_power sigma8 EisensteinHu Halofit HMcode2020 TabulatedPower",
    probes: """NumberCounts WeakLensing CMBLensing angular_cl gaussian_covariance
        super_sample_covariance xi_plus xi_minus gamma_t w_theta""",
}
FIRST = {
    "angular_cl": ("cosmology", "ell", "tracers"),
    "comoving_distance": ("cosmology", "a"),
    "linear_power": ("cosmology", "k", "a"),
    "nonlinear_power": ("cosmology", "k", "a"),
    "sigma8": ("cosmology", "a"),
    "xi_plus": ("cosmology", "edges", "tracers"),
}


@pytest.mark.parametrize("folder", NAMES, ids=lambda folder: folder.__name__)
def test_names(folder):
    for name in NAMES[folder].split():
        assert callable(getattr(folder, name)) and name in folder.__all__, name
        if name in FIRST:
            assert (
                tuple(inspect.signature(getattr(folder, name)).parameters)[: len(FIRST[name])]
                == (FIRST[name])
            )


def test_presets_at_the_top():
    """Every preset of the table in docs/background.md."""
    table = (Path(__file__).parents[1] / "docs" / "background.md").read_text()
    presets = re.findall(r"^\| `([a-z0-9_]+)` \| .* \| (?:arXiv|the same)", table, re.MULTILINE)
    assert len(presets) == 7
    for name in presets:
        assert getattr(volvelle, name) is getattr(cosmology, name) and name in volvelle.__all__


def test_every_way_to_give_a_universe():
    """h, the densities in either form, either amplitude, and all the rest."""
    rest = {"n_s": 0.965, "tau_reio": 0.054, "h": 0.7, "m_nu": 0.06, "N_eff": 3.044}
    rest |= {"w0": -0.9, "wa": 0.1, "Omega_k": 0.01}
    made = [
        cosmology.Cosmology(**densities, **amplitude, **rest)
        for densities in (
            {"omega_b": 0.0245, "omega_cdm": 0.1225},
            {"Omega_b": 0.05, "Omega_cdm": 0.25},
            {"omega_b": 0.0245, "Omega_cdm": 0.25},
        )
        for amplitude in ({"A_s": 2.1e-9}, {"sigma8": 0.8})
    ]
    matter = {round(float(each.Omega_m), 12) for each in made}
    assert len(matter) == 1
