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
from volvelle.cli.setup import network_settings, user_functions
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
    ((name, function),) = user_functions(configuration).items()
    assert name == f"{code}:f" and float(function(jnp.asarray(0.5))) == float(jnp.tanh(0.5))


def test_an_architecture_is_tried_and_passed_on(write: Write, tmp_path: Path):
    code = tmp_path / "mine.py"
    code.write_text(
        "import equinox as eqx, jax\n"
        "def mlp(key, inputs, outputs, depth, width):\n"
        "    return eqx.nn.MLP(inputs, outputs, width, depth, jax.nn.silu, key=key)\n"
        "def other(key, inputs, outputs, depth, width):\n"
        "    return eqx.nn.MLP(inputs, 'scalar', width, depth, jax.nn.silu, key=key)\n"
    )
    chosen = {"architecture": f"{code}:mlp", "depth": 2, "width": 8}
    block = {"kind": "network", "network": chosen}
    configuration = Configuration.load(write({"emulator": block}), files=False)
    assert network_settings(configuration) == NetworkSettings(**chosen)
    ((name, function),) = user_functions(configuration).items()
    assert name == f"{code}:mlp" and function.__name__ == "mlp"
    preset = {"preset": "connect-2022", "network": chosen}  # whose activation is the perceptron's
    configuration = Configuration.load(write({"emulator": preset}), files=False)
    settings = network_settings(configuration)
    assert settings is not None and (settings.width, settings.batch) == (8, 512)
    for change, words in (
        ({"architecture": f"{code}:other"}, "gives shape () for 2 outputs; expected (2,)"),
        ({"activation": "alsing"}, "activation is alsing, but the architecture"),
    ):
        wrong = {"kind": "network", "network": chosen | change}
        with pytest.raises(ConfigurationError) as caught:
            Configuration.load(write({"emulator": wrong}), files=False)
        assert words in str(caught.value) and "emulator.network" in str(caught.value)


def test_the_papers_architecture_changes_no_hash(write: Write):
    plain = {"kind": "network", "network": {"depth": 3}}
    named = {"kind": "network", "network": {"depth": 3, "architecture": "perceptron"}}
    one, two = (Configuration.load(write({"emulator": b}), files=False) for b in (plain, named))
    assert one.hash == two.hash


def test_functions_of_installed_packages(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    info = tmp_path / "site" / "our_networks-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "our_networks.py").write_text(
        "import equinox as eqx, jax.numpy as jnp\n"
        "def mlp(key, inputs, outputs, depth, width):\n"
        "    return eqx.nn.MLP(inputs, outputs, width, depth, key=key)\n"
        "def bend(x):\n    return jnp.arctan(x)\n"
        "def weights(ell, noise, names):\n    return 1.0 / noise\n"
    )
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-networks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[volvelle.architectures]\nour_mlp = our_networks:mlp\n"
        "[volvelle.activations]\nour_bend = our_networks:bend\nrelu = our_networks:bend\n"
        "[volvelle.losses]\nour_weights = our_networks:weights\nbroken = our_networks:nothing\n"
    )
    monkeypatch.syspath_prepend(str(info.parent))

    def load(**network: str) -> Configuration:
        block = {"kind": "network", "network": {"depth": 1, "width": 4, **network}}
        return Configuration.load(write({"emulator": block}), files=False)

    import our_networks  # pyright: ignore[reportMissingImports]

    configuration = load(architecture="our_mlp", loss="our_weights")
    assert user_functions(configuration) == {"our_mlp": our_networks.mlp}
    assert user_functions(load(activation="our_bend")) == {"our_bend": our_networks.bend}
    for key, name, words in (
        ("activation", "relu", "activation 'relu' is ambiguous: Volvelle's own and our_networks"),
        ("loss", "broken", "our_networks:nothing of package our-networks (volvelle.losses), which"),
        ("architecture", "mlp", "choose perceptron, our_mlp of installed packages, or your own"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            load(**{key: name})
        assert words in str(caught.value) and "\n" not in str(caught.value)


def test_activations_by_name_need_no_import(write: Write):
    for block in ({}, {"kind": "network"}, {"kind": "network", "network": {"activation": "relu"}}):
        configuration = Configuration.load(write({"emulator": block}), files=False)
        assert user_functions(configuration) == {}


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
