"""The best design: on functions with known tops, and of a survey, against a grid."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.inference import FisherError, ascend, forecast
from volvelle.power import EisensteinHu
from volvelle.probes import (
    ObservingTime,
    Sample,
    Smail,
    Survey,
    bands,
    moved_edges,
    photometric_bins,
    within,
)

UNIVERSE = {
    "Omega_cdm": 0.2644, "Omega_b": 0.0493, "h": 0.6736, "sigma8": 0.811, "n_s": 0.9649,
    "tau_reio": 0.06, "m_nu": 0.0,
}  # fmt: skip
AREA, RANGE, EDGES = 5000.0, (500.0, 20_000.0), np.array([0.1, 0.4, 1.5])
TIME = ObservingTime(AREA, overhead=0.3)
LIMITS, ELL = bands(30.0, 1000.0, 6)
DIFFERENCES = 1e-5
"""Relative error of central differences of a step of 1e-3."""


def test_a_known_top() -> None:
    told: list[tuple[int, int, float]] = []
    way = ascend(
        lambda u: 7.0 * jnp.exp(-((u[0] - 1.0) ** 2) - 4.0 * (u[1] + u[0]) ** 2),
        np.zeros(2),
        progress=lambda *each: told.append(each),
    )
    np.testing.assert_allclose(way.best, [1.0, -1.0], atol=1e-4)
    assert way.settled and way.merits[-1] == pytest.approx(7.0, rel=1e-8)
    assert np.all(np.diff(way.merits) > 0.0) and len(told) == len(way.points) - 1
    assert told[-1][0] == len(told) and told[-1][1] == 60
    short = ascend(lambda u: jnp.exp(-jnp.cosh(u[0] - 5.0) - u[1] ** 2), np.zeros(2), steps=1)
    assert not short.settled and len(short.points) == 2


def test_a_start_without_merit() -> None:
    with pytest.raises(FisherError, match="not finite at the start"):
        ascend(lambda u: jnp.sqrt(u[0]), np.array([-1.0]))


def survey(u: jax.Array) -> Survey:
    """Counts in two bins: the area against depth, and the edge between the bins."""
    area = within(u[0], AREA, *RANGE)
    parent = Smail(2.0, 1.0, 0.25 + TIME.z0_shift(area), z_max=2.5)
    bins = photometric_bins(parent, moved_edges(u[1:], jnp.asarray(EDGES)), 0.08)
    densities = 0.05 * TIME.density(area) * jnp.stack([each.share for each in bins])
    lenses = Sample("lenses", "counts", bins, densities, bias=jnp.asarray([1.5, 1.8]))
    power = EisensteinHu()
    return Survey(
        (lenses,), ELL, LIMITS, area / 41252.96125, ("counts",), power=power, limber="always"
    )


def merit(u: jax.Array) -> jax.Array:
    found = forecast(survey(u), UNIVERSE, ("Omega_cdm", "sigma8"))
    return found.fisher.figure_of_merit("Omega_cdm", "sigma8")


def test_a_survey_against_differences_and_a_grid() -> None:
    """Area, depth and an edge between bins at once."""
    value = jax.jit(merit)
    way = ascend(merit, np.zeros(2), steps=40)
    assert way.settled
    at = np.array([0.3, -0.2])
    slope = np.asarray(jax.jit(jax.jacfwd(merit))(jnp.asarray(at)))
    for n, up in enumerate(1e-3 * np.eye(2)):
        difference = float(value(at + up) - value(at - up)) / 2e-3
        assert slope[n] == pytest.approx(difference, rel=DIFFERENCES)
    axis = np.linspace(-3.0, 3.0, 7)
    grid = np.array([[float(value(jnp.asarray([a, b]))) for b in axis] for a in axis])
    assert way.merits.max() >= grid.max()
    # The top lies inside of the range: neither the widest nor the deepest survey is best.
    best = np.unravel_index(np.argmax(grid), grid.shape)
    assert 0 < best[0] < axis.size - 1
    assert abs(way.best[0] - axis[best[0]]) <= 1.0
    assert way.merits.max() > 1.02 * way.merits[0]
