"""Voids: found again where they were put, strictly apart, and as empty as they say."""

import numpy as np
import pytest

import direct_sums
from volvelle.statistics import Density, RadiusError, find_voids

CELLS = 32
"""Of one Mpc/h."""


def holes(centres: list, radii: list, depth: float = -0.95) -> np.ndarray:
    """A density with spheres of 1 + depth in an even background of mean 1."""
    points = np.stack(np.meshgrid(*[np.arange(CELLS)] * 3, indexing="ij"), -1).reshape(-1, 3)
    field = np.ones(CELLS**3)
    for centre, radius in zip(centres, radii, strict=True):
        apart = direct_sums.separations(points, np.array([centre], float), CELLS)[:, 0]
        field[apart <= radius] = 1.0 + depth
    return field.reshape(CELLS, CELLS, CELLS)


@pytest.fixture(scope="module")
def random() -> Density:
    """A field with many voids of all sizes."""
    rng = np.random.default_rng(11)
    k = 2 * np.pi * np.sqrt(np.sum(direct_sums.wavenumbers(CELLS) ** 2, axis=-1)) / CELLS
    white = np.fft.fftn(rng.standard_normal((CELLS,) * 3))
    smooth = np.fft.ifftn(white * np.exp(-0.5 * (2.5 * k) ** 2)).real
    field = np.exp(3.0 * smooth / smooth.std())
    return Density.of_field(field, float(CELLS), contrast=False)


@pytest.mark.parametrize("kernel", ["cells", "sphere"])
def test_spheres_are_found_where_they_are(kernel: str) -> None:
    """One of them across the corner of the box."""
    centres, radii = [[31, 1, 0], [16, 16, 14], [16, 4, 20]], [6.0, 5.0, 4.0]
    density = Density.of_field(holes(centres, radii), float(CELLS), contrast=False)
    found = find_voids(density, [4.0, 5.0, 6.0, 7.0], kernel=kernel)  # type: ignore[arg-type]
    assert sorted(found.radii) == [4.0, 5.0, 6.0]
    assert found.radii.tolist() == sorted(found.radii, reverse=True)
    np.testing.assert_array_equal(found.searched, [7.0, 6.0, 5.0, 4.0])
    np.testing.assert_array_equal(found.counts, [0, 1, 1, 1])
    np.testing.assert_array_equal(found.centres, centres)


@pytest.mark.parametrize("kernel", ["cells", "sphere"])
@pytest.mark.parametrize("threshold", [-0.7, -0.5])
def test_no_two_voids_overlap(random: Density, kernel: str, threshold: float) -> None:
    radii = np.array([4.0, 4.4, 5.0, 5.7, 6.3, 7.1])
    found = find_voids(random, radii, threshold=threshold, kernel=kernel)  # type: ignore[arg-type]
    assert len(found.radii) > 15
    apart = direct_sums.separations(found.centres, found.centres, CELLS)
    least = found.radii[:, None] + found.radii[None]
    np.fill_diagonal(apart, np.inf)
    assert np.all(apart >= least * (1 - 1e-9))
    assert np.all(found.delta < threshold)
    assert 0.0 < found.filling < 0.74
    assert len(np.unique(found.radii)) > 2


def test_the_achieved_density_is_the_mean_inside(random: Density) -> None:
    """With the kernel of cells it is what was asked for; the sphere's differs."""
    field = random.field()
    own = find_voids(random, [4.0, 5.0, 6.2], threshold=-0.6)
    np.testing.assert_allclose(own.achieved, own.delta, atol=1e-10)
    assert own.achieved.max() < -0.6
    other = find_voids(random, [4.0, 5.0, 6.2], threshold=-0.6, kernel="sphere")
    for found in (own, other):
        for radius in np.unique(found.radii):
            means = direct_sums.balls(field, radius)
            chosen = found.radii == radius
            where = tuple(found.centres[chosen].astype(int).T)
            np.testing.assert_allclose(found.achieved[chosen], means[where], atol=1e-10)
    assert np.abs(other.achieved - other.delta).max() > 1e-3


def greedy(density: Density, radii: list[float], threshold: float) -> list[tuple]:
    """The definition, candidate by candidate, with distances to all that were taken before."""
    field, taken = density.field(), []
    for radius in sorted(radii, reverse=True):
        means = direct_sums.balls(field, radius)
        order = np.argsort(means.ravel(), kind="stable")
        for index in order[: int(np.sum(means < threshold))]:
            centre = np.array(np.unravel_index(index, means.shape), float)
            clear = all(
                direct_sums.separations(centre[None], other[None], CELLS)[0, 0] >= radius + size
                for other, size in taken
            )
            if clear:
                taken.append((centre, radius))
    return [(*centre, radius) for centre, radius in taken]


def test_the_search_is_the_definition(random: Density) -> None:
    radii = [4.0, 5.0, 6.5]
    found = find_voids(random, radii, threshold=-0.8)
    rows = np.column_stack([found.centres, found.radii])
    np.testing.assert_array_equal(rows, greedy(random, radii, -0.8))


def test_the_size_function_counts_voids(random: Density) -> None:
    """N / (V dR); the least radius has no next."""
    found = find_voids(random, [4.0, 5.0, 6.0])
    sizes = found.size_function()
    np.testing.assert_allclose(sizes.values * CELLS**3 * 1.0, found.counts[:2])
    np.testing.assert_allclose(sizes.radius, [5.5, 4.5])
    np.testing.assert_allclose(sizes.error * CELLS**3, np.sqrt(found.counts[:2]))
    assert found.counts.sum() == len(found.radii)


def test_fields_without_voids() -> None:
    density = Density.of_field(np.zeros((32, 32, 32)), 32.0)
    found = find_voids(density, [4.0])
    assert found.centres.shape == (0, 3)
    assert found.filling == 0.0
    with pytest.raises(RadiusError, match="two radii or more"):
        found.size_function()


@pytest.mark.parametrize(
    ("radii", "threshold", "words"),
    [
        ([], -0.7, "no radius"),
        ([3.9], -0.7, r"expected 4 cells \(4\) or more"),
        ([8.0], -0.7, "less than a quarter of the box"),
        ([np.nan], -0.7, "a radius of nan"),
        ([-1.0], -0.7, "a radius of -1"),
        ([5.0], 0.1, "between -1 and 0"),
        ([5.0], -1.0, "between -1 and 0"),
    ],
)
def test_what_is_refused(random: Density, radii: list, threshold: float, words: str) -> None:
    with pytest.raises(RadiusError, match=words):
        find_voids(random, radii, threshold=threshold)
