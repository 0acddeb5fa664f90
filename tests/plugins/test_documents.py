"""The files that docs/plugins gives to copy, run with the emulator of ``universe.py``."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import universe
import yaml
from cobaya.run import run

from volvelle.plugins.cosmosis import MODULE
from volvelle.plugins.montepython import Class

DOCS = Path(__file__).parents[2] / "docs" / "plugins"
THEORY = "volvelle.plugins.cobaya.VolvelleTheory"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def test_the_file_for_cobaya(folder: Path, tmp_path: Path) -> None:
    """As it stands, but for the emulator and the likelihoods, whose data a test does not have."""
    (text,) = blocks("cobaya.md", "yaml")
    info: dict[str, Any] = yaml.safe_load(text)
    assert info["theory"][THEORY].keys() == {"emulator"}
    info["theory"][THEORY]["emulator"] = str(folder)

    def like(_self: Any) -> float:
        tt = _self.provider.get_Cl(ell_factor=True)["tt"][2:]
        return -0.5 * float(np.sum((tt / 2500.0 - 1.0) ** 2)) + 0.0 * _self.provider.get_param(
            "rdrag"
        )

    requires = {"Cl": {"tt": universe.LMAX}, "Hubble": {"z": [0.5]}, "rdrag": None}
    info["likelihood"] = {"mine": {"external": like, "requires": requires}}
    info["output"] = str(tmp_path / info["output"])
    _, sampler = run({**info, "sampler": {"evaluate": {"seed": 1}}})
    row = sampler.products()["sample"].data.iloc[0]
    assert np.isfinite(row["minuslogpost"])
    names = ("H0", "sigma8", "omegam", "volvelle_distance", "volvelle_delta_chi2", "volvelle_exact")
    assert all(np.isfinite(row[name]) for name in names)


def test_the_file_for_montepython(folder: Path) -> None:
    (text,) = blocks("montepython.md", "python")
    data = SimpleNamespace(parameters={}, cosmo_arguments={})
    exec(text, {"data": data})
    assert data.cosmo_arguments["volvelle_emulator"] == "runs/planck/emulator"
    given = {**data.cosmo_arguments, "volvelle_emulator": str(folder)}
    derived = []
    for name, (mean, _, _, _, scale, role) in data.parameters.items():
        if role == "cosmo":
            given[name] = mean * scale
        else:
            derived.append(name)
    cosmo = Class()
    cosmo.set(given)
    cosmo.compute()
    found = cosmo.get_current_derived_parameters(derived)
    assert set(found) == {*derived}
    assert found["volvelle_distance"] < 1.0 and found["volvelle_exact"] == 0.0
    cosmo.empty()


def test_the_files_for_cosmosis(folder: Path) -> None:
    from test_cosmosis import COSMOLOGY, Block, load

    first, second = blocks("cosmosis.md", "ini")
    params, values = (configparser.ConfigParser(interpolation=None) for _ in range(2))
    params.read_string(first)
    values.read_string(second)
    assert params["volvelle"]["file"].endswith(MODULE.name)
    options = {k: _typed(v) for k, v in params["volvelle"].items() if k != "file"}
    module = load()
    config = module.setup(Block("module_options", {**options, "emulator": str(folder)}))
    sampled = {}
    for name, text in values[COSMOLOGY].items():
        numbers = text.split()
        sampled[name] = _typed(numbers[len(numbers) // 2])
    block = Block(COSMOLOGY, sampled)
    assert module.execute(block, config) == 0
    for item in params["pipeline"]["extra_output"].split():
        assert block.has_value(*item.split("/")), item


def _typed(text: str) -> int | float | str:
    """As CosmoSIS reads an ini file."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@pytest.mark.real_data
@pytest.mark.filterwarnings(  # Cobaya's own reader of the covariance leaves its file to Python
    "ignore:unclosed file.*c_matrix_plik_v22:ResourceWarning"
)
def test_cobayas_own_likelihoods_with_real_data(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planck's plik-lite and DESI's BAO of Cobaya give what Volvelle's give for the same theory."""
    from cobaya.model import get_model

    from volvelle.likelihood import get_likelihood

    packages = tmp_path / "packages"
    sets = {
        "planck-2018-plik-lite": ("planck_2018_pliklite_native", "v1"),
        "desi-dr2-bao": ("bao_data/desi_bao_dr2", "v2.6"),
    }
    for ours, (theirs, version) in sets.items():
        place = packages / "data" / theirs
        place.mkdir(parents=True)
        for file in (real_data / ours).iterdir():
            (place / file.name).symlink_to(file)
        (packages / "data" / theirs.split("/")[0] / "version.dat").write_text(version)
    dataset = packages / "data" / "planck_2018_pliklite_native" / "plik_lite_v22.dataset"
    dataset.write_text(
        "data = cl_cmb_plik_v22.dat\nblmin = blmin.dat\nblmax = blmax.dat\nweights = bweight.dat\n"
        "cov_file_binary = c_matrix_plik_v22.dat\nbin_lmin_offset = 30\nnbintt = 215\n"
        "nbinte = 199\nnbinee = 199\nlmax = 2508\nuse_cl = tt te ee\n"
    )
    emulator = universe.train(tmp_path / "emulator", 40, 2508)
    planck, bao = "planck_2018_highl_plik.TTTEEE_lite_native", "bao.desi_dr2.desi_bao_all"
    values = universe.point(omega_cdm=0.1213)
    model = get_model(
        {
            "theory": {THEORY: {"emulator": str(emulator)}},
            "likelihood": {planck: None, bao: None},
            "params": {
                **{name: value for name, value in values.items() if name != "omega_cdm"},
                "omega_cdm": {"prior": {"min": 0.1, "max": 0.14}},
                "A_planck": 1.002,
            },
            "packages_path": str(packages),
        }
    )
    theirs = -2.0 * model.loglikes({"omega_cdm": 0.1213}, return_derived=False)
    theory = model.theory[THEORY].learned.solution(values).theory
    monkeypatch.setenv("VOLVELLE_DATA", str(real_data))
    own = (
        get_likelihood("planck_2018_plik_lite").chi2(theory, {"A_planck": 1.002}),
        get_likelihood("desi_dr2_bao").chi2(theory, {}),
    )
    np.testing.assert_allclose(theirs, [float(chi2) for chi2 in own], rtol=1e-7)
