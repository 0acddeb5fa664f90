"""Depth from area at the same observing time, and coordinates that keep constraints."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.probes import ObservingTime, ProbeError, moved_edges, within


def test_depth_from_area() -> None:
    made = ObservingTime(10_000.0, overhead=0.1)
    assert float(made.depth(10_000.0)) == pytest.approx(0.0, abs=1e-12)
    assert float(made.density(10_000.0)) == pytest.approx(1.0)
    # Twice the area: 0.55 - 0.1 = 0.45 of the exposure.
    assert float(made.depth(20_000.0)) == pytest.approx(1.25 * np.log10(0.45))
    assert float(made.density(20_000.0)) == pytest.approx(0.45 ** (1.25 * 0.31))
    assert float(made.z0_shift(20_000.0)) == pytest.approx(0.0417 * 1.25 * np.log10(0.45))
    # The Science Book's own numbers: 46 x 10^(0.31 (i - 25)), z0 = 0.0417 i - 0.744.
    assert pytest.approx(float(ObservingTime(1.0, 0.0).density(10 ** (-0.3 / 1.25)))) == 10 ** (
        0.31 * 0.3
    )
    assert np.isnan(made.depth(110_001.0))  # the overhead takes all time
    with pytest.raises(ProbeError, match="overhead"):
        ObservingTime(1.0, overhead=-0.1)
    with pytest.raises(ProbeError, match="area"):
        ObservingTime(0.0)


def test_coordinates_keep_constraints() -> None:
    start = jnp.asarray([0.2, 0.5, 0.9, 1.6])
    np.testing.assert_allclose(moved_edges(jnp.zeros(2), start), start, rtol=1e-12)
    rng = np.random.default_rng(0)
    for u in rng.normal(scale=3.0, size=(20, 2)):
        edges = np.asarray(moved_edges(jnp.asarray(u), start))
        assert np.all(np.diff(edges) > 0.0) and edges[0] == 0.2 and edges[-1] == 1.6
    assert float(within(0.0, 10.0, 2.0, 30.0)) == pytest.approx(10.0, rel=1e-12)
    values = [float(within(u, 10.0, 2.0, 30.0)) for u in (-30.0, -1.0, 0.0, 1.0, 30.0)]
    assert np.all(np.diff(values) > 0.0) and values[0] >= 2.0 and values[-1] <= 30.0
    assert np.all(np.isfinite(jax.jacfwd(lambda u: moved_edges(u, start))(jnp.zeros(2))))
    with pytest.raises(ProbeError, match="low < start < high"):
        within(0.0, 1.0, 2.0, 3.0)
