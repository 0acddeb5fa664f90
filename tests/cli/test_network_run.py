"""A run of kind 'network' from file to certificate, and the errors of its block."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest
import yaml

import volvelle
from volvelle.cli import Configuration
from volvelle.cli.errors import ConfigurationError
from volvelle.cli.setup import network_settings, user_activations
from volvelle.learning import NetworkSettings

from .conftest import Write, changed

PROGRAM = Path(__file__).parent / "toy_run.py"
PATIENCE = 300.0  # [s] on a loaded machine
TOY = {
    "output": "run",
    "params.omega_cdm": {"prior": {"min": 0.05, "max": 0.3}, "ref": {"loc": 0.12, "scale": 0.01}},
    "params.omega_b": 0.0224,
    "params.ln10A_s": {"prior": {"min": 2.0, "max": 4.0}, "ref": {"loc": 3.03, "scale": 0.1}},
    "likelihood": {
        "gaussian": {
            "mean": [0.316, 0.811],
            "covariance": [6.4e-5, 6.4e-5],
            "outputs": ["Omega_m", "sigma8"],
        }
    },
    "emulator": {
        "kind": "network",
        "accuracy": 1.0,
        "initial": 40,
        "batch": 20,
        "max_training": 60,
        "network": {"depth": 2, "width": 24, "epochs": 80, "folds": 2},
    },
    "sampler": {"nuts": {"chains": 2, "draws": 200, "warmup": 100}, "r_hat": 1.1, "ess_min": 50.0},
    "certificate": {"points": 20, "max_points": 20},
    "workers": 1,
    "ledger": "ledger.sqlite",
}


def test_from_file_to_certificate(tmp_path: Path):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(changed(TOY)))
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "0", "inf", "run", "run.yaml"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(volvelle.__file__).parents[1]),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    path = tmp_path / "run" / "summary.json"
    assert path.exists(), done.stdout + done.stderr
    summary = json.loads(path.read_text())
    # a network of sixty solutions need not pass, but it is certified like any other
    assert summary["status"] in ("converged", "certificate failed")
    assert summary["certificate"]["n"] == 20
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert history[-1]["surrogates"] == {"all": "network (2 x 24, cosmic_variance)"}
    model = json.loads((tmp_path / "run" / "emulator" / "model.json").read_text())
    assert model["record"]["settings"]["network"]["width"] == 24
    assert not (tmp_path / "run" / "training" / "network").exists(), "checkpoints of a finished run"


def test_settings_reach_the_network(write: Write):
    block = {"kind": "network", "network": {"depth": 3, "epochs": 50, "loss": "mse"}}
    configuration = Configuration.load(write({"emulator": block, "seed": 9}), files=False)
    expected = NetworkSettings(depth=3, epochs=50, loss="mse", seed=9)
    assert network_settings(configuration) == expected


def test_choices_reach_the_network(write: Write, tmp_path: Path):
    code = tmp_path / "mine.py"
    code.write_text(
        "import jax.numpy as jnp\n"
        "def f(x):\n    return jnp.tanh(x)\n"
        "def weights(ell, noise, names):\n    return 1.0 / noise\n"
    )
    chosen = {
        "activation": f"{code}:f",
        "loss": f"{code}:weights",
        "other_weight": 2.5,
        "scaling": "double_log",
    }
    block = {"kind": "network", "network": chosen}
    configuration = Configuration.load(write({"emulator": block}), files=False)
    assert network_settings(configuration) == NetworkSettings(**chosen)
    ((name, function),) = user_activations(configuration).items()
    assert name == f"{code}:f" and float(function(jnp.asarray(0.5))) == float(jnp.tanh(0.5))


def test_activations_by_name_need_no_import(write: Write):
    for block in ({}, {"kind": "network"}, {"kind": "network", "network": {"activation": "relu"}}):
        configuration = Configuration.load(write({"emulator": block}), files=False)
        assert user_activations(configuration) == {}


def test_defaults_are_the_papers(write: Write):
    configuration = Configuration.load(write({"emulator": {"kind": "network"}}), files=False)
    settings = network_settings(configuration)
    assert settings == NetworkSettings()
    assert (settings.depth, settings.width, settings.epochs) == (6, 512, 300)


def test_other_kinds_have_no_network(write: Write):
    assert network_settings(Configuration.load(write({}), files=False)) is None


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"network": {"depth": 3}}, "network is given but kind is auto; set kind: network"),
        ({"kind": "network", "network": {"with": 3}}, "did you mean width"),
        ({"kind": "network", "network": {"folds": 1}}, "emulator.network.folds"),
        (
            {"kind": "network", "network": {"loss": "mae"}},
            "emulator.network.loss: unknown loss 'mae'; choose cosmic_variance, data_noise, mse",
        ),
        (
            {"kind": "network", "network": {"loss": "no_such_module:f"}},
            "emulator.network.loss: no_such_module cannot be imported",
        ),
        ({"kind": "network", "network": {"loss": 3}}, "emulator.network.loss: expected text"),
        (
            {"kind": "network", "network": {"activation": "rlu"}},
            "emulator.network.activation: unknown activation 'rlu'; choose alsing, elu",
        ),
        (
            {"kind": "network", "network": {"activation": "none.py:f"}},
            "emulator.network.activation: there is no file",
        ),
        (
            {"kind": "network", "network": {"scaling": "logg"}},
            "emulator.network.scaling: expected one of standardise, min_max, log, double_log, "
            "constant, got 'logg'; did you mean log",
        ),
        (
            {"kind": "network", "network": {"other_weight": 0}},
            "emulator.network.other_weight: expected a number above 0, got 0",
        ),
        ({"kind": "network", "network": {"learning_rate": 0.0}}, "learning_rate"),
    ],
)
def test_wrong_blocks(write: Write, block: dict, words: str):
    with pytest.raises(ConfigurationError) as caught:
        Configuration.load(write({"emulator": block}), files=False)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
