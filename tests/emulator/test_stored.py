"""Stored emulators: those of earlier versions open, those that do not fit together do not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import mutants
from stored_files import forge
from volvelle.emulator import load_emulator
from volvelle.learning import StorageError
from volvelle.learning.storage import FORMAT

STORED = Path(__file__).parent / "stored"
ROUNDING = 1e-12  # float64 on another machine
SINGLE = 1e-6  # a network's float32


@pytest.mark.parametrize(
    "folder", sorted(STORED.glob("format_*/*")), ids=lambda p: "-".join(p.parts[-2:])
)
def test_files_of_earlier_versions_still_open(folder: Path, tmp_path: Path):
    """Opened, right, and stored again in the present format with the same bits."""
    number = int(folder.parent.name.removeprefix("format_"))
    assert json.loads((folder / "model.json").read_text())["format"] == number
    emulator, record = load_emulator(folder)
    emulator.save(tmp_path, record)
    again, same = load_emulator(tmp_path)
    assert same == record and record["solver"]["solver"] == "toy"
    tolerance = SINGLE if folder.name == "network" else ROUNDING
    for point in json.loads((folder / "expected.json").read_text()):
        for each in (emulator, again):
            found = each.predict(point["parameters"])
            for name, value in point["theory"].items():
                scale = np.max(np.abs(value))
                np.testing.assert_allclose(
                    found.theory[name], value, rtol=tolerance, atol=tolerance * scale
                )
            assert float(found.distance) == pytest.approx(point["distance"], rel=1e-10)
            # the variance is a small difference of large numbers
            assert float(found.delta_chi2) == pytest.approx(point["delta_chi2"], rel=1e-6)


def test_a_file_of_every_format_is_among_them():
    assert {p.parent.name for p in STORED.glob("format_*/*")} == {
        f"format_{n}" for n in range(1, FORMAT + 1)
    }


def test_a_file_of_the_first_format_is_checked_too(tmp_path: Path):
    shutil.copytree(STORED / "format_1" / "surrogates", tmp_path / "e")
    path = tmp_path / "e" / "model.json"
    path.write_text(path.read_text().replace('"skip"', '"skip0"', 1))
    with pytest.raises(StorageError, match="that this version does not know"):
        load_emulator(tmp_path / "e")


def at(path: str, value: object):
    """Put a node into the place ``path`` of the model."""

    def change(content: dict) -> None:
        node = content["model"]
        *way, last = path.split(".")
        for key in way:
            node = node["tuple"][int(key)] if key.isdigit() else node["fields"][key]
        holder, key = (node["tuple"], int(last)) if last.isdigit() else (node["fields"], last)
        holder[key] = value(holder[key]) if callable(value) else value

    return change


def value(plain: object) -> dict:
    return {"value": plain}


def values(*plain: object) -> dict:
    return {"tuple": [value(v) for v in plain]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at("blocks.0.outputs.0.shape", values(4)), "has 5 values for outputs of 4|of 3"),
        (at("blocks.0.outputs.0.shape", values(-5)), "has shape \\(-5,\\)"),
        (at("blocks.0.outputs.0.shape", values(2**30, 2**30, 2**30)), "values for outputs of"),
        (at("blocks.0.outputs.0.shape", value(5)), "shape holds a int, expected a list"),
        (at("blocks.0.outputs.0.skip", value(3)), "values for outputs of"),
        (at("blocks.0.outputs.0.skip", value(-1)), "with -1 known zeros"),
        (at("blocks.0.outputs.0.transform", value("cmbb")), "has transformation 'cmbb'"),
        (at("blocks.0.outputs.0.transform", value("ionisation")), "not on the .* redshifts"),
        (at("blocks.0.outputs.0.name", value("sigma8")), "expected different ones"),
        (at("blocks.0.outputs.0.name", value("x" * 2000)), "a text of 2000 characters"),
        (at("blocks.0.outputs.0.name", value("\x1b[2J")), "which cannot be printed"),
        (at("blocks.0.outputs", values()), "expected different ones"),
        (at("blocks.0.basis", lambda old: value(None)), "basis holds nothing, expected Basis"),
        (at("blocks", values()), "an output stands there twice|none"),
        (at("parameters", values("omega_cdm")), "features are not of 1 parameters"),
        (at("parameters", values("a", "a")), "none or twice"),
        (at("parameters", values("ln10A_s", "omega_cdm")), "the amplitude is one of"),
        (at("fixed", {"tuple": [values("omega_cdm", 1.0)]}), "none or twice"),
        (at("fixed", {"tuple": [values("m_nu")]}), "fixed.0 has 1 entries, expected 2"),
        (at("features.physical.masses", values(2)), "not among 2 parameters"),
        (at("features.physical.masses", values(0, 0)), "not among 2 parameters"),
        (at("features.physical.mass_scale", value(0.0)), "the scale 0.0 and the power"),
        (at("features.physical.mass_power", value(-1.0)), "the power -1.0"),
        (at("amplitude.definitions", {"tuple": [values("t", "9**9**b")]}), "'b'.*has no value"),
        (at("amplitude.definitions", {"tuple": [values("t", "f(1)")]}), "a function call"),
        (at("amplitude.definitions", {"tuple": [values("t", "1+" * 999)]}), "1998 characters"),
        (at("amplitude.definitions", values()), "the terms .* with a value"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(change, message: str, tmp_path: Path):
    mutants.write_tiny(tmp_path)
    forge(tmp_path, change)
    with pytest.raises(StorageError, match=message):
        load_emulator(tmp_path)


def test_another_class_in_a_field(tmp_path: Path):
    mutants.write_tiny(tmp_path)

    def swap(content: dict) -> None:
        block = content["model"]["fields"]["blocks"]["tuple"][0]["fields"]
        block["regressor"] = block["basis"]

    forge(tmp_path, swap)
    with pytest.raises(StorageError, match="lacks the array"):
        load_emulator(tmp_path)
    mutants.write_tiny(tmp_path)
    amplitude = json.loads((tmp_path / "model.json").read_text())["model"]["fields"]["amplitude"]
    forge(tmp_path, at("blocks.0.regressor", amplitude))
    with pytest.raises(StorageError, match="regressor holds a Amplitude, expected Regressor"):
        load_emulator(tmp_path)


def test_the_tiny_emulator_itself(tmp_path: Path):
    """What the tests above change is sound."""
    mutants.write_tiny(tmp_path)
    emulator, _ = load_emulator(tmp_path)
    assert {k: v.shape for k, v in emulator(jnp.array([0.12, 3.0])).items()} == {
        "lensed_tt": (5,),
        "sigma8": (),
    }


def test_an_emulator_that_no_data_constrain_does_not_know_its_error(tmp_path: Path):
    mutants.write_tiny(tmp_path)
    forge(tmp_path, at("blocks.0.in_data", value(False)))
    emulator, _ = load_emulator(tmp_path)
    prediction = emulator.predict({"omega_cdm": 0.12, "ln10A_s": 3.0})
    assert np.isnan(float(prediction.delta_chi2))
