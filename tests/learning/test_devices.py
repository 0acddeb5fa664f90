"""Training on two devices gives the network of one, up to rounding."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import volvelle

OWN = f"{Path(__file__).parent / 'own_networks.py'}:shuffled"
ROUNDING = 1e-4  # of the predictions: single precision through a few hundred steps
PATIENCE = 300.0  # [s] on a loaded machine
PROGRAM = """
import sys
import jax; jax.config.update("jax_enable_x64", True)
import numpy as np
import volvelle.learning.fit as fit
from volvelle.learning import NetworkSettings, fit_network
seen = []
step = fit._step
def watched(perceptron, optimiser, rate, x, s, loss):
    seen.append(len(getattr(x, "sharding", None).device_set) if hasattr(x, "sharding") else 1)
    return step(perceptron, optimiser, rate, x, s, loss)
fit._step = watched
x = np.random.default_rng(0).uniform(-1.0, 1.0, (50, 2))
s = np.stack([np.sin(2.0 * x[:, 0]), x[:, 0] * x[:, 1]], axis=1)
batch = int(sys.argv[2])
settings = NetworkSettings(sys.argv[3], depth=2, width=16, epochs=20, batch=batch, patience=20)
network, losses = fit_network(x, s, settings)
assert all(len(leaf.devices()) == 1 for leaf in jax.tree.leaves(network))
predicted = np.asarray(jax.vmap(network)(x))
np.savez(sys.argv[1], predicted=predicted, losses=losses, seen=seen, devices=len(jax.devices()))
"""


def trained(path: Path, devices: int, batch: int, architecture: str) -> dict[str, np.ndarray]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(batch), architecture],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(volvelle.__file__).parents[1]),
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "",
            "JAX_NUM_CPU_DEVICES": str(devices),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return dict(np.load(path))


@pytest.mark.parametrize(
    ("batch", "used", "architecture"),
    [(8, 2, "perceptron"), (9, 1, "perceptron"), (8, 2, OWN)],
    ids=["shared", "odd", "own architecture"],
)
def test_same_network(tmp_path: Path, batch: int, used: int, architecture: str):
    one = trained(tmp_path / "one.npz", 1, batch, architecture)
    two = trained(tmp_path / "two.npz", 2, batch, architecture)
    assert one["devices"] == 1 and two["devices"] == 2
    assert set(one["seen"]) == {1} and set(two["seen"]) == {used}
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=ROUNDING)
    np.testing.assert_allclose(two["predicted"], one["predicted"], rtol=ROUNDING, atol=ROUNDING)


def test_one_device_has_the_whole_batch():
    from volvelle.learning.fit import _shared

    if len(jax.devices()) == 1:
        assert _shared(32) is None
