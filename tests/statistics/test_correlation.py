"""xi(r) of fields and of catalogues, against sums over all pairs."""

from itertools import pairwise

import numpy as np
import pytest

import direct_sums
from volvelle.statistics import (
    BinError,
    Density,
    DensityError,
    EmptyBinWarning,
    correlation_function,
    pair_correlation,
)

BOX = 100.0


def by_pairs_of_points(
    a: np.ndarray, b: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """xi and mean distance of all pairs of mesh points [bins], edges in cells."""
    cells = len(a)
    points = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(-1, 3)
    apart = direct_sums.separations(points.astype(float), points.astype(float), cells)
    products = a.ravel()[:, None] * b.ravel()[None]
    chosen = [(apart >= low) & (apart < high) for low, high in pairwise(edges)]
    return (
        np.array([products[each].mean() for each in chosen]),
        np.array([apart[each].mean() for each in chosen]),
    )


def test_fields_are_summed_over_pairs_of_points(field: np.ndarray, other: np.ndarray) -> None:
    """Auto and cross, on 8^3 points."""
    a, b = field[:8, :8, :8], other[:8, :8, :8]
    a, b = a - a.mean(), b - b.mean()
    edges, cell = np.array([0.0, 0.5, 1.5, 2.2, 4.0]), BOX / 8
    one, two = Density.of_field(a, BOX), Density.of_field(b, BOX)
    for found, pair in (
        (correlation_function(one, edges=cell * edges), (a, a)),
        (correlation_function(one, two, edges=cell * edges), (a, b)),
    ):
        values, r = by_pairs_of_points(*pair, edges * (1 - 1e-12))
        np.testing.assert_allclose(found.values, values, atol=1e-12)
        np.testing.assert_allclose(found.r, cell * r, rtol=1e-12)
    assert correlation_function(one).edges[0] == pytest.approx(0.5 * cell)


def test_noise_of_painted_objects_is_left_out(catalogue: np.ndarray) -> None:
    """Random objects have xi = 0, at r = 0 as well."""
    found = correlation_function(
        Density.of_catalogue(catalogue, BOX, cells=16), edges=[0.0, 3.0, 10.0, 20.0, 40.0]
    )
    noise = 16**3 / len(catalogue)
    assert abs(found.values[0]) < 0.1 * noise
    assert np.all(np.abs(found.values[1:]) < 0.02 * noise)


def clustered() -> np.ndarray:
    """300 pairs and 300 single objects."""
    rng = np.random.default_rng(6)
    first = rng.uniform(0.0, BOX, (300, 3))
    second = first + rng.normal(0.0, 2.0, first.shape)
    return np.concatenate([first, second, rng.uniform(0.0, BOX, (300, 3))]) % BOX


EDGES = np.array([0.0, 2.0, 5.0, 12.0, 30.0, 50.0])


@pytest.mark.parametrize("weighted", [False, True])
def test_catalogues_are_sums_over_pairs(weighted: bool) -> None:
    where = clustered()
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(where)) if weighted else None
    w = np.ones(len(where)) if weights is None else weights
    found = pair_correlation(where, BOX, EDGES, weights=weights)
    apart = direct_sums.separations(where, where, BOX)
    i, j = np.triu_indices(len(where), 1)
    counts, _ = np.histogram(apart[i, j], EDGES, weights=(w[:, None] * w)[i, j])
    np.testing.assert_allclose(found.pairs, counts)
    volume = 4 * np.pi / 3 * np.diff(EDGES**3) / BOX**3
    total = 0.5 * (w.sum() ** 2 - np.sum(w**2))
    np.testing.assert_allclose(found.values, counts / (total * volume) - 1.0)
    assert found.values[0] > 3.0
    assert abs(found.values[-1]) < 0.02


def test_two_catalogues(catalogue: np.ndarray) -> None:
    where, other = clustered(), catalogue[:500] - BOX  # wrapped
    found = pair_correlation(where, BOX, EDGES[1:], other=other)
    counts, _ = np.histogram(direct_sums.separations(where, other % BOX, BOX), EDGES[1:])
    np.testing.assert_array_equal(found.pairs, counts)
    volume = 4 * np.pi / 3 * np.diff(EDGES[1:] ** 3) / BOX**3
    np.testing.assert_allclose(found.values, counts / (len(where) * 500 * volume) - 1.0)


def test_the_mesh_and_the_pairs_agree() -> None:
    """Where bins are wide against cells, to what painting does within them."""
    where, edges = clustered(), np.array([8.0, 16.0, 32.0, 50.0])
    mesh = correlation_function(Density.of_catalogue(where, BOX, cells=64), edges=edges)
    pairs = pair_correlation(where, BOX, edges)
    np.testing.assert_allclose(mesh.values, pairs.values, atol=6e-3)


def test_what_is_refused(field: np.ndarray, catalogue: np.ndarray) -> None:
    density = Density.of_field(field, BOX)
    for edges in ([1.0], [2.0, 1.0], [-1.0, 2.0], [1.0, 51.0], [1.0, np.nan]):
        with pytest.raises(BinError, match="edges"):
            correlation_function(density, edges=edges)
        with pytest.raises(BinError, match="edges"):
            pair_correlation(catalogue, BOX, edges)
    with pytest.raises(DensityError, match="different meshes"):
        correlation_function(density, Density.of_field(field, 2 * BOX))
    with pytest.raises(DensityError, match=r"expected \(n, 3\)"):
        pair_correlation(catalogue[:, :2], BOX, EDGES)
    with pytest.raises(DensityError, match="1 coordinates are NaN"):
        pair_correlation(np.array([[1.0, np.nan, 2.0]]), BOX, EDGES)
    with pytest.raises(DensityError, match="weights have shape"):
        pair_correlation(catalogue, BOX, EDGES, weights=np.ones(3))
    with pytest.warns(EmptyBinWarning, match="hold no pair"):
        empty = pair_correlation(catalogue[:2], BOX, [0.0, 1e-3])
    assert np.isnan(empty.values[0])
