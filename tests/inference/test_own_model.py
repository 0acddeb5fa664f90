"""The example of a user's own numpyro model: it runs, and says how it went."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import volvelle

pytest.importorskip("numpyro")
EXAMPLE = Path(__file__).parents[2] / "examples" / "10_own_numpyro_model.py"
SOURCE = Path(volvelle.__file__).parents[1]
TRUTH = {"S8": 0.82, "Omega_cdm": 0.26, "bias": 1.5}


@pytest.mark.parametrize("mass", ["block"])
def test_it_finds_what_was_put_in_and_prints_its_diagnostics(mass):
    words = [sys.executable, str(EXAMPLE), "--mass", mass, "--draws", "80", "--warmup", "80"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "JAX_PLATFORMS": "cpu"}
    environment.pop("XLA_FLAGS", None)  # it samples longer than it compiles
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600)
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[1:7]}
    for name, true in TRUTH.items():
        mean, sigma, shown, r_hat, ess = map(float, rows[name])
        assert shown == true and abs(mean - true) < 4.0 * sigma
        assert 0.0 < sigma < 0.2 and r_hat < 1.2 and ess > 20.0
    assert set(rows) == {*TRUTH, "sigma8", "shift_lenses", "shift_sources"}
    assert re.search(r"\d+ gradients for the draws, \d+ divergences, worst ESS", done.stdout)
    assert done.stdout.rstrip().endswith("converged") == (done.returncode == 0)
    assert ("NOT CONVERGED" in done.stdout) == (done.returncode == 1)
