"""Forces over several devices, forced on the host in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from volvelle.nbody import ForceError, Mesh, ParticleMesh, SlabParticleMesh


def test_forces_over_devices_are_those_of_one() -> None:
    script = str(Path(__file__).with_name("on_devices.py"))
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"}
    done = subprocess.run(
        [sys.executable, "-W", "error", script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_one_device_and_what_is_refused() -> None:
    mesh = Mesh(8, 20.0)
    x = np.random.default_rng(1).uniform(0.0, 20.0, (30, 3))
    found = SlabParticleMesh(mesh, devices=jax.devices()[:1])(x)
    np.testing.assert_allclose(found, ParticleMesh(mesh)(x), atol=1e-11)
    with pytest.raises(ForceError, match="'ngp' jumps"):
        SlabParticleMesh(mesh, "ngp")
