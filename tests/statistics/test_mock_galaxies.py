"""Mock galaxies: their bias, n(z), redshifts, and files that others read."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.table import Table as AstropyTable

from volvelle.cosmology import comoving_distance, planck18
from volvelle.nbody import Mesh, Particles, gaussian, simulate
from volvelle.power import EisensteinHu
from volvelle.probes import Smail
from volvelle.statistics import (
    Density,
    SkyError,
    bias_weights,
    gaussian_smoothed,
    mock_galaxies,
    power_spectrum,
    write_galaxies,
)

UNIVERSE = planck18()
BIAS = 0.05
"""Of the ratio of spectra over the waves of one small box."""
SIMULATED = 0.1
"""Of b - 1: smoothing takes 1 - exp(-k^2 R^2 / 2) of it, up to 6% at k = 0.086 h/Mpc and R = 4, and
terms beyond linear order and the few waves of one box add as much."""
MEAN = 5e-3
"""Of the weights' mean over one realisation, in which cells repeat a smooth field."""
LIGHT = 299792.458


def cone(number: int = 20000) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Uniform particles from z = 0.2 to 0.8, at rest: positions, distances, a, density."""
    rng = np.random.default_rng(2)
    a = np.linspace(0.5, 0.9, 2000)
    chi = np.asarray(comoving_distance(UNIVERSE, a)) * float(UNIVERSE.h)
    near, far = chi[-400], chi[200]
    distance = np.cbrt(rng.uniform(near**3, far**3, number))
    rays = rng.standard_normal((number, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    density = number / (4.0 / 3.0 * np.pi * (far**3 - near**3))
    return rays * distance[:, None], distance, np.interp(-distance, -chi, a), density


@pytest.mark.parametrize("bias", [0.5, 1.5, 2.5])
def test_bias_of_large_scales(bias: float) -> None:
    """Zel'dovich's displacements of a small Gaussian field, in a periodic line of sheets."""
    rng = np.random.default_rng(1)
    cells, waves = 2**16, 40
    short = 0.3 * rng.standard_normal(cells)
    k = np.arange(1, waves + 1)
    q = np.arange(cells) / cells
    phase = rng.uniform(0.0, 2.0 * np.pi, waves)
    angle = 2.0 * np.pi * k * q[:, None] + phase
    long, moved = 0.01 * np.cos(angle).sum(axis=1), -0.01 * (np.sin(angle) / (2 * np.pi * k)).sum(1)
    delta = long + short
    weight = bias_weights(delta, bias, float(np.var(delta)))
    wave = np.exp(-2j * np.pi * k * (q + moved)[:, None])
    galaxies, matter = (weight / weight.mean()) @ wave, wave.sum(axis=0)
    found = np.sum(galaxies * matter.conj()).real / np.sum(np.abs(matter) ** 2)
    assert found == pytest.approx(bias, abs=BIAS * bias)


def test_redshifts_and_numbers() -> None:
    positions, distance, a, density = cone()
    sample = Smail(2.0, 1.5, 0.3)
    velocities = 300.0 * positions / distance[:, None]
    arguments = (UNIVERSE, positions, velocities, a, sample)
    found = mock_galaxies(*arguments, 250.0, density, seed=4)
    z = 1.0 / a - 1.0
    inside = float(sample.cumulative(z.max()) - sample.cumulative(z.min()))
    expected = 250.0 * 4.0 * np.pi * inside
    assert abs(len(found.ra) - expected) < 5.0 * np.sqrt(expected)
    share = np.mean(found.z_cosmological < 0.45)
    low = float(sample.cumulative(0.45) - sample.cumulative(z.min())) / inside
    assert share == pytest.approx(low, abs=5.0 * np.sqrt(low * (1.0 - low) / len(found.ra)))
    np.testing.assert_allclose(
        (1.0 + found.z_observed) / (1.0 + found.z_cosmological), 1.0 + 300.0 / LIGHT, rtol=1e-12
    )
    with pytest.raises(SkyError, match="more particles"):
        mock_galaxies(*arguments, 1e9, density)
    with pytest.raises(SkyError, match="weights"):
        mock_galaxies(*arguments, 500.0, density, weights=np.ones(3))


def test_files_are_read_by_others(tmp_path: Path) -> None:
    positions, _, a, density = cone()
    arguments = (UNIVERSE, positions, 0.0 * positions, a, Smail(2.0, 1.5, 0.3))
    found = mock_galaxies(*arguments, 100.0, density)
    table = AstropyTable.read(write_galaxies(tmp_path / "mock.fits", found))
    with h5py.File(write_galaxies(tmp_path / "mock.hdf5", found)) as file:
        for name in ("ra", "dec", "z_cosmological", "z_observed", "weight"):
            np.testing.assert_array_equal(file[name][()], getattr(found, name))
            np.testing.assert_array_equal(table[name], getattr(found, name))
    with pytest.raises(SkyError, match="fits"):
        write_galaxies(tmp_path / "mock.txt", found)


def test_bias_in_a_simulated_box() -> None:
    """Particles of a simulation, weighted by the linear density where they started: P_gm / P_mm."""
    mesh, power = Mesh(32, 256.0), EisensteinHu()
    initial = gaussian(UNIVERSE, mesh, 5, power=power)
    particles = simulate(UNIVERSE, initial, steps=4, integrator="bullfrog", order=1)
    assert isinstance(particles, Particles)
    positions = np.asarray(particles.positions)
    matter = Density.of_catalogue(positions, 256.0, cells=32)
    edges = np.array([0.5, 3.5]) * mesh.fundamental
    below = power_spectrum(matter, edges=edges).values[0]
    linear = gaussian_smoothed(initial.density, mesh, 4.0).ravel()
    for bias in (0.6, 1.8):
        weights = bias_weights(linear, bias, float(np.var(linear)))
        assert weights.mean() == pytest.approx(1.0, rel=MEAN)
        galaxies = Density.of_catalogue(positions, 256.0, cells=32, weights=weights)
        above = power_spectrum(galaxies, matter, edges=edges).values[0]
        assert above / below == pytest.approx(bias, abs=SIMULATED * abs(bias - 1.0))
