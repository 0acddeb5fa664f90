"""Parameter files of CLASS: round trips, other people's files, and what has no counterpart."""

from pathlib import Path

import numpy as np
import pytest

from universes import CASES
from volvelle.boltzmann import load_classy
from volvelle.cosmology import (
    ConversionError,
    abacus_summit,
    comoving_distance,
    planck18,
    read_class_ini,
    write_class_ini,
)

ROUND_TRIP = 1e-12


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("amplitude", [{}, {"A_s": None, "sigma8": 0.8}], ids=["A_s", "sigma8"])
def test_round_trip(tmp_path: Path, name: str, amplitude: dict) -> None:
    cosmology = CASES[name].replace(**amplitude)
    write_class_ini(cosmology, tmp_path / "one.ini", {"output": "tCl,lCl", "l_max_scalars": 2500})
    found, expected = read_class_ini(tmp_path / "one.ini").canonical(), cosmology.canonical()
    assert found.pop("neutrino_hierarchy") == expected.pop("neutrino_hierarchy")
    assert found == pytest.approx(expected, rel=ROUND_TRIP)


def test_extra_inputs_and_helium(tmp_path: Path) -> None:
    cosmology = planck18().replace(Y_he=0.25, extra={"Gamma_dcdm": 20.0, "omega_ini_dcdm": 0.01})
    write_class_ini(cosmology, tmp_path / "one.ini")
    assert read_class_ini(tmp_path / "one.ini").canonical() == cosmology.canonical()


def test_class_reads_what_is_written(tmp_path: Path) -> None:
    """classy with the file's own lines has the distances of the cosmology."""
    cosmology = CASES["all"]
    write_class_ini(cosmology, tmp_path / "one.ini")
    lines = [line.split(" = ") for line in (tmp_path / "one.ini").read_text().splitlines()]
    model = load_classy(None).Class()
    model.set({name: value for name, value in lines if name not in ("A_s", "n_s", "tau_reio")})
    model.compute(["background"])
    chi = model.comoving_distance(1.0)
    model.struct_cleanup()
    assert np.isclose(chi, float(comoving_distance(cosmology, 0.5)), rtol=1e-5)


OTHERS = """\
# somebody's file
root = output/mine_
h = 0.6736   # Hubble
omega_b = 0.02237
omega_cdm = 0.12
A_s = 2.083e-09
n_s = 0.9649
tau_reio = 0.0544
alpha_s = 0.0
k_pivot = 0.05
N_ur = 2.0328
N_ncdm = 1
m_ncdm = 0.06
w0_fld = -1.0
wa_fld = 0.0
output = mPk, tCl
P_k_max_h/Mpc = 10.
z_pk = 0., 1.
lensing = no
recombination = HyRec
background_verbose = 1
write parameters = yes
modes = s
ic = ad
this line has no equals sign
"""


def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "mine.ini"
    path.write_text(OTHERS)
    found, expected = read_class_ini(path).canonical(), abacus_summit().canonical()
    assert found.pop("neutrino_hierarchy") == expected.pop("neutrino_hierarchy")
    assert found == pytest.approx(expected, rel=1e-5)  # its N_eff is 2.0328 + 1.0132


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ic = ad,cdi", "ic in"),
        ("modes = s,t", "modes in"),
        ("reio_parametrization = reio_bins_tanh", "reio_camb"),
        ("h = 0.7", "twice"),
        ("omega_ncdm = 0.0006", "m_ncdm"),
        ("Omega_fld = 0.6", "Omega_Lambda to 0"),
        ("Omega_Lambda = 0.7", "closes the universe"),
        ("use_ppf = no", "use_ppf"),
        ("fluid_equation_of_state = EDE", "CLP"),
        ("expansion_model = lcdm", "expansion_model"),
    ],
)
def test_lines_without_counterpart(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "mine.ini"
    path.write_text(
        "\n".join(r for r in OTHERS.splitlines() if r[:3] not in ("ic ", "mod")) + f"\n{line}\n"
    )
    with pytest.raises(ConversionError, match=words):
        read_class_ini(path)


def test_other_values_of_what_is_so_anyway(tmp_path: Path) -> None:
    path = tmp_path / "mine.ini"
    path.write_text(OTHERS.replace("k_pivot = 0.05", "k_pivot = 0.002"))
    with pytest.raises(ConversionError, match="k_pivot is"):
        read_class_ini(path)
    path.write_text(OTHERS.replace("w0_fld = -1.0", "w0_fld = -0.9"))
    with pytest.raises(ConversionError, match="without Omega_Lambda = 0"):
        read_class_ini(path)
    path.write_text(OTHERS.replace("alpha_s = 0.0", "alpha_s = 0.01"))
    assert read_class_ini(path).extra == {"alpha_s": 0.01}


def test_settings_do_not_repeat_a_parameter(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="n_s"):
        write_class_ini(planck18(), tmp_path / "one.ini", {"n_s": 1.0})
