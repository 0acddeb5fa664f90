"""The CosmoSIS module, with a data block that keeps the real one's contract.

CosmoSIS itself needs a Fortran compiler; its ``DataBlock`` is imitated from its Python source:
names without case, items that are put or replaced, grids that must fit their axes.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import universe
import yaml

from volvelle.boltzmann import POWER_K
from volvelle.plugins import exact
from volvelle.plugins.cosmosis import MODULE

LEARNED = 2e-4
COSMOLOGY = "cosmological_parameters"
TRUE = universe.exact(universe.point())
H = TRUE["h"]
VALUES = {
    "ombh2": 0.0224,
    "omch2": 0.12,
    "h0": H,
    "a_s": 1e-10 * np.exp(3.045),
    "n_s": 0.965,
    "tau": 0.054,
    "mnu": 0.06,
    "omega_k": 0.0,
    "w": -1.0,
    "num_massive_neutrinos": 1,
}


class Block:
    """What a module sees of CosmoSIS's DataBlock."""

    def __init__(self, section: str, values: dict[str, Any]) -> None:
        self.values = {(section, name.lower()): value for name, value in values.items()}

    def has_value(self, section: str, name: str) -> bool:
        return (section.lower(), name.lower()) in self.values

    def __getitem__(self, key: tuple[str, str]) -> Any:
        section, name = key
        return self.values[section.lower(), name.lower()]

    def __setitem__(self, key: tuple[str, str], value: Any) -> None:
        section, name = key
        kinds = (bool, int, float, str)
        array = isinstance(value, np.ndarray) and value.dtype.kind in "if" and value.ndim >= 1
        assert array or type(value) in kinds, f"{name}: CosmoSIS knows no {type(value)}"
        self.values[section.lower(), name.lower()] = value

    def _typed(self, kind: type, section: str, name: str, default: Any) -> Any:
        value = self.values.get((section.lower(), name.lower()), default)
        assert type(value) is kind, f"{name} is {value!r}, which is no {kind.__name__}"
        return value

    def get_string(self, section: str, name: str, default: str | None = None) -> str:
        return self._typed(str, section, name, default)

    def get_int(self, section: str, name: str, default: int | None = None) -> int:
        return self._typed(int, section, name, default)

    def get_double(self, section: str, name: str, default: float | None = None) -> float:
        return self._typed(float, section, name, default)

    def put_grid(
        self, section: str, name_x: str, x: Any, name_y: str, y: Any, name_z: str, z: Any
    ) -> None:
        assert z.shape == (x.size, y.size)
        for name, value in ((name_x, x), (name_y, y), (name_z, z)):
            self[section, name] = value


def load() -> Any:
    """As CosmoSIS loads a file: by its name, from its folder, at the front of the path."""
    sys.path.insert(0, str(MODULE.parent))
    try:
        return importlib.import_module(MODULE.stem)
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def module() -> Any:
    return load()


def set_up(module: Any, folder: Path | str, **options: Any) -> Any:
    return module.setup(Block("module_options", {"emulator": str(folder), **options}))


def run(module: Any, config: Any, **changes: Any) -> tuple[int, Block]:
    """Execute at the truth with some values changed; None takes one out."""
    values = {name: v for name, v in {**VALUES, **changes}.items() if v is not None}
    block = Block(COSMOLOGY, values)
    return module.execute(block, config), block


def test_everything_in_its_section_and_unit(module: Any, folder: Path) -> None:
    config = set_up(module, folder)
    status, block = run(module, config)
    assert status == 0
    ell = block["cmb_cl", "ell"]
    assert (ell[0], ell[-1], ell.dtype.kind) == (2, universe.LMAX, "i")
    factor = ell * (ell + 1) / 2 / np.pi
    for pair, name in (("tt", "lensed_tt"), ("ee", "lensed_ee"), ("te", "lensed_te")):
        expected = TRUE[name][2:] * factor
        allowed = LEARNED * np.max(np.abs(expected))
        np.testing.assert_allclose(block["cmb_cl", pair], expected, atol=allowed)
    np.testing.assert_allclose(block["cmb_cl", "pp"], TRUE["phiphi"][2:] * factor, rtol=LEARNED)
    assert not block.has_value("cmb_cl", "bb")
    z = block["distances", "z"]
    hubble = TRUE["H0"] * universe.expansion(z, TRUE["Omega_m"]) / 299792.458
    np.testing.assert_allclose(block["distances", "h"], hubble, rtol=LEARNED)
    d_m = block["distances", "d_m"]
    np.testing.assert_allclose(block["distances", "d_a"], d_m / (1 + z), rtol=1e-12)
    np.testing.assert_allclose(block["distances", "d_l"], d_m * (1 + z), rtol=1e-12)
    np.testing.assert_allclose(np.gradient(d_m, z)[1:-1], 1 / hubble[1:-1], rtol=1e-3)
    modulus = block["distances", "mu"]
    assert modulus[0] == -np.inf
    np.testing.assert_allclose(10 ** ((modulus[1:] - 25) / 5), d_m[1:] * (1 + z[1:]))
    assert block["distances", "rs_zdrag"] == pytest.approx(TRUE["r_drag"], rel=LEARNED)
    z = block["growth_parameters", "z"]
    np.testing.assert_allclose(
        block["growth_parameters", "sigma_8"], TRUE["sigma8"] / (1 + z), rtol=LEARNED
    )
    np.testing.assert_allclose(block["growth_parameters", "d_z"], 1 / (1 + z), rtol=LEARNED)
    np.testing.assert_allclose(block["growth_parameters", "f_z"], 1.0, rtol=2 * LEARNED)
    h = block[COSMOLOGY, "h0"]
    np.testing.assert_allclose(block["matter_power_lin", "k_h"] * h, POWER_K, rtol=1e-12)
    expected = TRUE["matter_power"] * H**3
    np.testing.assert_allclose(block["matter_power_lin", "p_k"], expected, rtol=10 * LEARNED)
    assert not block.has_value("matter_power_nl", "p_k")
    assert block[COSMOLOGY, "sigma_8"] == pytest.approx(TRUE["sigma8"], rel=LEARNED)
    assert block[COSMOLOGY, "omega_m"] == pytest.approx(TRUE["Omega_m"], rel=LEARNED)
    assert block[COSMOLOGY, "omega_b"] == pytest.approx(0.0224 / H**2, rel=LEARNED)
    assert block["volvelle", "distance"] < 1.0
    assert block["volvelle", "exact"] == 0.0
    assert module.cleanup(config) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"h0": None, "hubble": 100 * H},
        {"hubble": 100 * H},
        {"ombh2": None, "omega_b": 0.0224 / H**2},
        {"omch2": None, "omega_c": 0.12 / H**2},
        {"a_s": None, "log1e10As": 3.045},
        {"log1e10As": 3.045},
        {"h0": None, "theta_star_100": 1.041},
        {"nrun": 0.0, "k_s": 0.05},
    ],
)
def test_the_names_of_cosmosis(module: Any, folder: Path, changes: dict[str, Any]) -> None:
    status, block = run(module, set_up(module, folder), **changes)
    assert status == 0
    np.testing.assert_allclose(
        block["cmb_cl", "tt"],
        TRUE["lensed_tt"][2:] * block["cmb_cl", "ell"] * (block["cmb_cl", "ell"] + 1) / 2 / np.pi,
        rtol=20 * LEARNED,
    )


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"n_s": None}, "missing n_s"),
        ({"mnu": 0.1}, "m_nu = 0.1 was given"),
        ({"num_massive_neutrinos": 3}, "given as degenerate"),
        ({"mnu": None, "omnuh2": 0.0006}, "omnuh2 is given in cosmological_parameters without mnu"),
        ({"mnu": None, "omega_nu": 0.0013}, "omega_nu is given .* without mnu; give the sum"),
        ({"w": -0.9}, "w0 = -0.9 was given"),
        ({"nrun": 0.01}, "nrun is 0.01"),
        ({"hubble": 70.0}, "h0 and hubble in cosmological_parameters say different things"),
        ({"log1e10As": 3.0}, "a_s and log1e10as in cosmological_parameters say different"),
        ({"theta_star_100": 1.04}, "H0 follows from the other parameters"),
        ({"h0": None, "cosmomc_theta": 1.04}, "cosmomc_theta is not the angle"),
    ],
)
def test_wrong_parameters_end_the_process(
    module: Any, folder: Path, changes: dict[str, Any], words: str
) -> None:
    """CosmoSIS takes any other exception for a point of no probability."""
    with pytest.raises(SystemExit, match=words):
        run(module, set_up(module, folder), **changes)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"emulator": ""}, "give `emulator =`"),
        ({"emulator": "/nowhere"}, "holds no stored model"),
        ({"outside": "ignore"}, "outside is 'ignore'"),
        ({"zmax_background": 1300.0}, "expected redshifts up to 1200"),
        ({"zmax_growth": 5.0}, "expected redshifts up to 4"),
        ({"nz_growth": 1}, "at least 2 of them"),
    ],
)
def test_wrong_options(module: Any, folder: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SystemExit, match=words):
        set_up(module, **{"folder": folder, **options}) if "emulator" not in options else (
            module.setup(Block("module_options", options))
        )


def test_the_largest_redshift(module: Any, folder: Path) -> None:
    config = set_up(module, folder, zmax_background=1200.0, nz_background=50, zmax_growth=2.0)
    _, block = run(module, config)
    assert block["distances", "z"][-1] == pytest.approx(1200.0)
    assert block["growth_parameters", "z"][-1] == 2.0


def test_outside_of_the_domain(module: Any, folder: Path) -> None:
    far = {"omch2": 0.16}
    status, block = run(module, set_up(module, folder), **far)
    assert status == 0
    assert block["volvelle", "exact"] == 1.0
    values = universe.point(omega_cdm=0.16, h=H)
    del values["theta_star_100"]
    true, ell = universe.exact(values), block["cmb_cl", "ell"]
    np.testing.assert_allclose(
        block["cmb_cl", "tt"], true["lensed_tt"][2:] * ell * (ell + 1) / 2 / np.pi, rtol=1e-12
    )
    status, block = run(module, set_up(module, folder, outside="flag"), **far)
    assert (status, block["volvelle", "exact"]) == (0, 0.0)
    assert block["volvelle", "distance"] > 1.0
    assert run(module, set_up(module, folder, outside="reject"), **far)[0] == 1
    with pytest.raises(SystemExit, match="times the edge"):
        run(module, set_up(module, folder, outside="raise"), **far)
    assert run(module, set_up(module, folder), omch2=0.25)[0] == 1


@pytest.mark.parametrize("damage", ["truncated", "one byte"])
def test_damaged_weights(module: Any, folder: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "emulator"
    shutil.copytree(folder, copy)
    (weights,) = copy.glob("weights-*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(bytes(content[: len(content) // 3] if damage == "truncated" else content))
    with pytest.raises(SystemExit, match="is damaged: SHA-256"):
        set_up(module, copy)


def test_another_version_of_the_solver(
    module: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = universe.ClosedForm(version="2.0")
    monkeypatch.setattr(exact, "get_solver", lambda name, **settings: other)
    with pytest.raises(SystemExit, match=r"trained with CAMB 1\.0, installed is CAMB 2\.0"):
        set_up(module, folder)
    assert run(module, set_up(module, folder, outside="reject"))[0] == 0


def test_its_description_is_true(module: Any, folder: Path) -> None:
    """module.yaml names the options that are read, and every section that is written."""
    described = yaml.safe_load(MODULE.with_name("module.yaml").read_text())
    asked: set[str] = set()

    class Spy(Block):
        def _typed(self, kind: type, section: str, name: str, default: Any) -> Any:
            asked.add(name)
            return super()._typed(kind, section, name, default)

    config = module.setup(Spy("module_options", {"emulator": str(folder)}))
    assert set(described["params"]) == asked
    _, block = run(module, config)
    for section, names in described["outputs"].items():
        for name in names:
            assert block.has_value(section, name), f"{section} {name}"
    assert (MODULE.parent / described["interface"]) == MODULE
