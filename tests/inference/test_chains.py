"""Chains on disk, read back by the programs they are written for."""

import warnings

import numpy as np
import pytest

from volvelle.inference import save_arviz, save_getdist

NAMES = ("omega_b", "sigma8")
LABELS = (r"\omega_b", r"\sigma_8")
MEANS = np.array([0.0224, 0.81])


@pytest.fixture
def samples() -> np.ndarray:
    rng = np.random.default_rng(0)
    return MEANS + [1e-4, 0.01] * rng.normal(size=(3, 400, 2))


def test_getdist_reads_what_was_written(samples, tmp_path):
    getdist = pytest.importorskip("getdist")
    weights = [np.random.default_rng(i).uniform(0.5, 2.0, 400) for i in range(3)]
    minus = [np.full(400, 7.0 + i) for i in range(3)]
    save_getdist(
        tmp_path / "emulator",
        NAMES,
        LABELS,
        list(samples),
        minus,
        weights,
        {"omega_b": (0.005, 0.1)},
        frozenset({"sigma8"}),
    )
    assert len(list(tmp_path.glob("emulator.?.txt"))) == 3
    read = getdist.loadMCSamples(str(tmp_path / "emulator"), settings={"ignore_rows": 0})
    flat, weight = samples.reshape(-1, 2), np.concatenate(weights)
    np.testing.assert_allclose(read.getMeans(), np.average(flat, axis=0, weights=weight), rtol=1e-9)
    assert read.getParamNames().list() == list(NAMES)
    assert read.getParamNames().labels() == list(LABELS)
    assert read.getParamNames().parWithName("sigma8").isDerived
    assert not read.getParamNames().parWithName("omega_b").isDerived
    assert read.ranges.getLower("omega_b") == 0.005 and read.ranges.getUpper("omega_b") == 0.1
    assert read.ranges.getLower("sigma8") is None
    np.testing.assert_allclose(np.sort(read.loglikes), np.sort(np.concatenate(minus)))


def test_arviz_reads_what_was_written(samples, tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing a major refactor")
        arviz = pytest.importorskip("arviz")
    log_prob = np.random.default_rng(1).normal(size=(3, 400))
    save_arviz(tmp_path / "chains.nc", NAMES, samples, log_prob, 0.1 * log_prob)
    read = arviz.from_netcdf(str(tmp_path / "chains.nc"), engine="h5netcdf")
    assert dict(read.posterior.sizes) == {"chain": 3, "draw": 400}
    for i, name in enumerate(NAMES):
        np.testing.assert_array_equal(read.posterior[name].values, samples[:, :, i])
    np.testing.assert_array_equal(read.sample_stats["lp"].values, log_prob)
    np.testing.assert_array_equal(read.sample_stats["log_weight"].values, 0.1 * log_prob)
    assert float(arviz.rhat(read).to_array().max()) < 1.1
    assert not list(tmp_path.glob(".*")), "no temporary file is left"
