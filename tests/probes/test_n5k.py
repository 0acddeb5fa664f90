"""The challenge of Leonard et al. 2023: its measure of accuracy, on its own kernels."""

from pathlib import Path

import jax
import numpy as np
import pytest

import challenge
from volvelle.probes import angular_cl

LIMIT = 0.2
"""Of Delta chi2 over l <= 200, as the challenge asks; measured 0.106, 0.026 and 0.022."""


@pytest.mark.real_data
@pytest.mark.parametrize("width", ["full", "quarter"])
def test_delta_chi2(real_data: Path, width: str) -> None:
    folder = real_data / "n5k"
    ell, truth = challenge.reference(folder, width)
    low = ell[ell <= 200.0]
    tracers, power = challenge.tracers(folder, width), challenge.power(folder)
    cl = jax.jit(lambda: angular_cl(challenge.COSMOLOGY, low, tracers, power))()
    found = truth.copy()
    found[: low.size] = np.moveaxis(np.asarray(cl.matrix()), -1, 0)
    assert challenge.delta_chi2(folder, found, ell, truth).sum() < LIMIT
    size = np.sqrt(np.einsum("lii,ljj->lij", truth, truth))
    lenses = slice(0, challenge.LENSES)
    error = np.abs(found - truth)[:, lenses, lenses] / size[:, lenses, lenses]
    assert np.max(error) < 1e-3
    assert not np.any(cl.flags()) and not np.any(cl.doubtful())
    assert np.any(cl.limber) and not np.any(np.asarray(cl.limber)[:, 0])
