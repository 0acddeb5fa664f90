"""The reader printed in the documentation gives what the emulator gives."""

from __future__ import annotations

import json
import pickle
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import mutants
from volvelle.emulator import (
    EmulatorError,
    Statement,
    build_emulator,
    export_emulator,
    import_network,
    load_emulator,
    read_foreign,
)
from volvelle.emulator.export import _activation
from volvelle.learning import NetworkSettings
from volvelle.learning.activation import FIXED, FixedActivation

ROOT = Path(__file__).parents[2]
STORED = Path(__file__).parent / "stored"
PAGE = ROOT / "docs" / "emulator-files.md"
ROUNDING = 1e-10
SINGLE = 1e-5  # a network computes in single precision, the script in double


def script() -> str:
    (text,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    return text


@pytest.fixture(scope="module")
def evaluate() -> Any:
    space: dict[str, Any] = {}
    exec(script(), space)
    return space["evaluate"]


def assert_same(found: dict, wanted: dict, tolerance: float, names: tuple[str, ...]) -> None:
    assert set(found) == set(names)
    for name in names:
        value = np.asarray(wanted[name])
        assert found[name].shape == value.shape
        scale = np.max(np.abs(value))
        np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("kind", ["surrogates", "network"])
def test_the_script_of_the_page(kind: str, evaluate: Any, tmp_path: Path):
    """Gaussian process, polynomial, angular scale; then the paper's network."""
    emulator, record = load_emulator(STORED / "format_1" / kind)
    names = export_emulator(emulator, tmp_path / "e.npz", record=record)
    assert names == emulator.outputs
    tolerance = ROUNDING if kind == "surrogates" else SINGLE
    for point in json.loads((STORED / "format_1" / kind / "expected.json").read_text()):
        found, distance = evaluate(tmp_path / "e.npz", point["parameters"])
        assert_same(found, point["theory"], tolerance, names)
        assert distance == pytest.approx(point["distance"], rel=1e-8)


def test_the_script_stays_short_and_needs_numpy_only():
    lines = [line for line in script().splitlines() if line.strip()]
    assert len(lines) <= 30 and max(map(len, lines)) <= 100
    imports = re.findall(r"import (.*)", script())
    assert imports == ["json, math", "numpy as np"]


@pytest.mark.parametrize("scaling", ["min_max", "log", "double_log", "constant"])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_every_scaling_of_a_network(scaling: str, activation: str, evaluate: Any, tmp_path: Path):
    """Positive spectra and a number: logarithms nest in the basis of the first."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-1.0, 1.0, size=(24, 2))
    ell = np.arange(9.0)
    theories = [
        {
            "lensed_tt": np.where(ell < 2, 0.0, (2.0 + a) * np.exp(-ell * (3.0 + b) / 20.0)),
            "sigma8": np.array(0.8 + 0.1 * a * b),
        }
        for a, b in x
    ]
    settings = NetworkSettings(
        depth=2, width=5, epochs=40, folds=0, scaling=scaling, activation=activation
    )
    emulator, _ = build_emulator(("a", "b"), {}, x, theories, [], None, "network", settings)
    names = export_emulator(emulator, tmp_path / "e.npz")
    for point in x[:3]:
        found, _ = evaluate(tmp_path / "e.npz", dict(zip("ab", point, strict=True)))
        assert_same(found, emulator(jnp.asarray(point)), SINGLE, names)


@pytest.mark.parametrize("name", sorted(FIXED))
def test_every_activation_of_the_page(name: str):
    space: dict[str, Any] = {}
    exec(script(), space)
    v = np.linspace(-4.0, 4.0, 33)
    kind, arrays, before, factor, shift = _activation(FixedActivation(name))
    steps = [[kind, *map(str, arrays)]]
    found = shift + factor * space["follow"](steps, before * v, {str(n): n for n in arrays})
    np.testing.assert_allclose(found, FIXED[name](jnp.asarray(v)), atol=1e-12)


def test_transformations_and_masses(evaluate: Any, tmp_path: Path):
    """A logarithm, an amplitude A_s sampled itself, a depth, and a neutrino mass."""
    rng = np.random.default_rng(4)
    centre, width = np.array([0.1, 2.1e-9, 0.06]), np.array([0.01, 1e-10, 0.05])
    x = centre + width * rng.uniform(-1.0, 1.0, size=(20, 3))
    redshift = np.linspace(0.0, 1.0, 33)
    theories = [
        {
            "sigma8_z": np.sqrt(a) * np.exp(-redshift * (1.0 + c)) * (1.0 + m),
            "z_reio": np.array(7.0 + 10.0 * c + m),
            "theta_star_100": np.array(1.04 + c),
        }
        for c, a, m in x
    ]
    names = ("omega_cdm", "A_s", "m_nu")
    emulator, _ = build_emulator(names, {}, x, theories, [], None, "polynomial")
    assert emulator.features.physical.masses == (2,)
    exported = export_emulator(emulator, tmp_path / "e.npz")
    for point in x[:3]:
        found, _ = evaluate(tmp_path / "e.npz", dict(zip(names, point, strict=True)))
        assert_same(found, emulator(jnp.asarray(point)), ROUNDING, exported)


def test_some_outputs_only(evaluate: Any, tmp_path: Path):
    emulator, _ = load_emulator(STORED / "format_1" / "surrogates")
    assert export_emulator(emulator, tmp_path / "e.npz", ["lensed_ee"]) == ("lensed_ee",)
    point = dict(zip(emulator.parameters, (0.12, 0.67, 3.045), strict=True))
    found, _ = evaluate(tmp_path / "e.npz", point)
    assert set(found) == {"lensed_ee"}
    with pytest.raises(EmulatorError, match="'phiphi' was not learned"):
        export_emulator(emulator, tmp_path / "e.npz", ["phiphi"])


def test_the_script_refuses_what_it_cannot_take(evaluate: Any, tmp_path: Path):
    """Unknown names, other values of what was held fixed, missing parameters; as the emulator."""
    emulator, record = load_emulator(STORED / "format_1" / "surrogates")
    emulator = replace(emulator, fixed=(("m_nu", 0.06), ("w0", -1.0)))
    export_emulator(emulator, tmp_path / "e.npz", record=record)
    point = dict(zip(emulator.parameters, (0.12, 0.67, 3.045), strict=True))
    found, _ = evaluate(tmp_path / "e.npz", {**point, "m_nu": 0.06, "w0": -1.0})
    assert_same(found, evaluate(tmp_path / "e.npz", point)[0], 0.0, emulator.outputs)
    for name, value in (("m_nu", 0.1), ("w0", 1.0), ("omega_k", 0.0)):
        with pytest.raises(ValueError, match=f"{name} is no parameter; held fixed"):
            evaluate(tmp_path / "e.npz", {**point, name: value})
        with pytest.raises(EmulatorError):
            emulator.predict({**point, name: value})
    with pytest.raises(KeyError):
        evaluate(tmp_path / "e.npz", dict(list(point.items())[1:]))


@pytest.mark.parametrize("output", ["tt_nodes", "lensed_tt"])
def test_unit_and_modes_of_an_imported_network(output: str, evaluate: Any, tmp_path: Path):
    """A name of its own has the unit stated at the import and the file's own multipoles."""
    from foreign_files import CENTRE, MODES, OURS, RANGES, RENAME, Net

    content = Net(10).plain()
    if output == "tt_nodes":
        content[11] = 10 * MODES
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    said = Statement(output, "K^2", rename=RENAME, ranges=RANGES, fixed={"m_nu": 0.06})
    emulator, record = import_network(read_foreign(tmp_path / "a.pkl"), said)
    export_emulator(emulator, tmp_path / "e.npz", record=record)
    point = dict(zip(OURS, CENTRE, strict=True))
    found, _ = evaluate(tmp_path / "e.npz", point)
    assert_same(found, emulator(jnp.asarray(CENTRE)), 1e-6, (output,))
    file = np.load(tmp_path / "e.npz")
    meta = json.loads(str(file["meta"]))
    ((written,),) = (part["outputs"] for part in meta["parts"])
    grids = [file[name].tolist() for name in meta["grids"][output]]
    if output == "tt_nodes":
        assert written["unit"] == "K^2" and grids == [(10.0 * MODES).tolist()]
    else:
        assert written["unit"] == "muK^2" and grids == []
    with pytest.raises(ValueError, match="m_nu is no parameter"):
        evaluate(tmp_path / "e.npz", {**point, "m_nu": 0.1})


def test_what_cannot_be_exported_is_refused(tmp_path: Path):
    with pytest.raises(EmulatorError, match=r"tau_reio is defined by an expression \(a \* omega"):
        export_emulator(mutants.tiny(), tmp_path / "e.npz")
    assert not (tmp_path / "e.npz").exists()


def test_users_functions_are_refused(tmp_path: Path):
    own = Path(__file__).parents[1] / "learning"
    rng = np.random.default_rng(5)
    x = rng.uniform(-1.0, 1.0, size=(24, 2))
    theories = [{"sigma8": np.array(a + b)} for a, b in x]
    for key, function in (
        ("activation", "own_functions.py:bend"),
        ("architecture", "own_networks.py:residual"),
    ):
        settings = NetworkSettings(
            depth=1, width=4, epochs=2, folds=0, **{key: f"{own}/{function}"}
        )
        emulator, _ = build_emulator(("a", "b"), {}, x, theories, [], None, "network", settings)
        with pytest.raises(EmulatorError, match=r"of the user's own.*cannot be exported"):
            export_emulator(emulator, tmp_path / "e.npz")


def test_the_page_is_read_by_a_fresh_interpreter(tmp_path: Path):
    """No module of Volvelle's is needed."""
    import subprocess

    emulator, _ = load_emulator(STORED / "format_1" / "surrogates")
    export_emulator(emulator, tmp_path / "e.npz")
    point = dict(zip(emulator.parameters, (0.12, 0.67, 3.045), strict=True))
    text = script() + (
        f"\nimport sys\nfound, distance = evaluate({str(tmp_path / 'e.npz')!r}, {point})\n"
        "assert not [m for m in sys.modules if m.startswith(('volvelle', 'jax'))]\n"
        "print(float(found['sigma8']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    wanted = float(emulator.output(point, "sigma8"))
    assert float(done.stdout) == pytest.approx(wanted, rel=ROUNDING)
