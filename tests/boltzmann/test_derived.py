"""The search for h and the decoupling redshift, on functions whose answer is known."""

import numpy as np
import pytest

from volvelle.boltzmann.derived import (
    THETA_TOLERANCE,
    BackgroundTable,
    decoupling,
    find_hubble,
    rescaled_amplitude,
    transverse_distance,
)
from volvelle.boltzmann.errors import SolverError


@pytest.mark.parametrize("truth", [0.4, 0.55, 0.67, 0.72, 1.1])
def test_find_hubble(truth):
    def theta(h):
        return 1.04 * (h / 0.67) ** 0.2 * (1.0 + 0.05 * (h - 0.67))

    found = find_hubble(theta, theta(truth))
    assert theta(found) == pytest.approx(theta(truth), rel=2 * THETA_TOLERANCE)


def test_find_hubble_withstands_noise():
    calls = []

    def theta(h):
        calls.append(h)
        return 1.04 * (h / 0.67) ** 0.2 * (1.0 + 9e-9 * np.sin(1e12 * h))

    find_hubble(theta, 1.05)
    assert len(calls) < 10


def test_find_hubble_gives_up_in_words():
    with pytest.raises(SolverError, match="no h in"):
        find_hubble(lambda h: 1.04 * (h / 0.67) ** 0.01, 3.0)


def test_decoupling_without_reionisation():
    """kappa' = c (1+z)^n and H = (1+z)^1.5: the depth is elementary; z < 50 is ignored."""
    z = np.concatenate([np.linspace(0.0, 49.9, 500), np.linspace(50.0, 4000.0, 8000)])
    hubble = (1.0 + z) ** 1.5
    power, scale = 2.0, 1e-5
    opacity = scale * (1.0 + z) ** power
    expected = (1.0 + (power - 0.5) / scale) ** (1.0 / (power - 0.5)) - 1.0
    opacity[z < 10.0] *= 1e3
    distance = 2.0 * (1.0 - (1.0 + z) ** -0.5)
    table = BackgroundTable(z, hubble, distance, 1.0 - distance / 4.0, 0.0)
    star = decoupling(table, z, opacity)
    assert star.z_star == pytest.approx(expected, rel=1e-8)
    assert star.distance == pytest.approx(2.0 * (1.0 - (1.0 + expected) ** -0.5), rel=1e-9)


def test_transverse_distance_is_continuous_in_curvature():
    radial = np.linspace(0.0, 14000.0, 10)
    flat = transverse_distance(radial, 0.0)
    for curvature in (1e-14, -1e-14):
        np.testing.assert_allclose(transverse_distance(radial, curvature), flat, rtol=1e-6)


def test_amplitude_needs_a_positive_sigma8():
    assert rescaled_amplitude(2e-9, 0.8, 0.4) == pytest.approx(0.5e-9)
    with pytest.raises(SolverError, match="sigma8 = nan"):
        rescaled_amplitude(2e-9, float("nan"), 0.8)
