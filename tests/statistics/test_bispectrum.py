"""The bispectrum against a sum over all closed triangles, and what its noise is."""

import numpy as np
import pytest

import direct_sums
from volvelle.statistics import (
    Density,
    TriangleError,
    bispectrum,
    bispectrum_angles,
    power_spectrum,
)

BOX = 100.0
KF = 2 * np.pi / BOX
SIDES = np.array([[2.0, 2.0, 2.0], [2.0, 3.0, 4.0], [3.0, 2.0, 1.0], [4.0, 4.0, 1.0]])
"""In fundamentals."""


@pytest.mark.parametrize("width", [1.0, 1.6])
def test_bispectrum_is_the_sum_over_triangles(field: np.ndarray, width: float) -> None:
    found = bispectrum(Density.of_field(field, BOX), KF * SIDES, width=KF * width)
    for row, sides in enumerate(SIDES):
        shells = [(side - width / 2, side + width / 2) for side in sides]
        truth, number = direct_sums.triangles(field, BOX, shells)
        assert found.triangles[row] == number
        assert found.values[row] == pytest.approx(truth.real, rel=1e-8)
        assert abs(truth.imag) < 1e-10 * abs(truth)


def test_sides_and_powers_of_shells(field: np.ndarray) -> None:
    density = Density.of_field(field, BOX)
    found = bispectrum(density, KF * SIDES)
    shells = power_spectrum(density, edges=KF * (np.arange(5) + 0.5))
    index = SIDES.astype(int) - 1
    np.testing.assert_allclose(found.power, shells.values[index])
    np.testing.assert_allclose(found.k, shells.k[index])
    p = shells.values[index].T
    np.testing.assert_allclose(
        found.reduced, found.values / (p[0] * p[1] + p[1] * p[2] + p[2] * p[0])
    )


def test_angles_between_two_sides(field: np.ndarray) -> None:
    """theta = 0: k3 = k1 + k2."""
    density, theta = Density.of_field(field, BOX), np.array([0.0, np.pi / 2, 2.5])
    found = bispectrum_angles(density, 2 * KF, 2.5 * KF, theta)
    third = [4.5, np.sqrt(10.25), np.sqrt(10.25 + 10.0 * np.cos(2.5))]
    np.testing.assert_allclose(found.sides[:, 2], KF * np.array(third))
    np.testing.assert_array_equal(found.theta, theta)
    same = bispectrum(density, found.sides)
    np.testing.assert_array_equal(found.values, same.values)


def test_the_order_of_sides_does_not_matter(field: np.ndarray) -> None:
    density = Density.of_field(field, BOX)
    one, two = bispectrum(density, KF * SIDES), bispectrum(density, KF * SIDES[:, [2, 0, 1]])
    np.testing.assert_allclose(one.values, two.values, rtol=1e-9)
    np.testing.assert_array_equal(one.triangles, two.triangles)


def test_less_memory_gives_the_same_from_fewer_fields(field: np.ndarray) -> None:
    """All triangles of five shells: with room for three, for six, for all."""
    density = Density.of_field(field, BOX)
    sides = np.array([(a, b, c) for a in range(1, 5) for b in range(a, 5) for c in range(b, 5)])
    sides = KF * sides[sides[:, 2] <= sides[:, 0] + sides[:, 1]]
    whole = bispectrum(density, sides)
    field_of_shell = 16**3 * 8 + 9**3 * 8  # and the octant of the number of triangles
    with pytest.raises(TriangleError, match=r"0\.266 MB holds fewer than three .* 0\.27 MB"):
        bispectrum(density, sides, memory=6.9 * field_of_shell)
    for kept in (3, 4):
        less = bispectrum(density, sides, memory=(4.1 + kept) * field_of_shell)
        np.testing.assert_array_equal(less.values, whole.values)


def test_shells_are_dropped_and_made_again(
    field: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within three at a time; with room for all, each is made once."""
    from volvelle.statistics.bispectrum import _Shells

    made: list[int] = []
    largest: list[int] = []
    original = _Shells._made

    def counted(self: _Shells, shell: int) -> tuple[np.ndarray, np.ndarray]:
        made.append(shell)
        largest.append(len(self._cache) + 1)
        return original(self, shell)

    monkeypatch.setattr(_Shells, "_made", counted)
    density = Density.of_field(field, BOX)
    sides = KF * np.array([(a, b, c) for a in (2, 3) for b in (3, 4) for c in (1, 2, 3, 4)])
    bispectrum(density, sides)
    assert sorted(made) == sorted(set(made))
    made.clear()
    largest.clear()
    bispectrum(density, sides, memory=7.5 * (16**3 * 8 + 9**3 * 8))  # four are for the work
    assert len(made) > len(set(made))
    assert max(largest) == 3
    made.clear()
    shared = KF * np.array([(2.0, 3.0, third) for third in (1.5, 2.5, 3.5, 4.5)])
    bispectrum(density, shared, memory=7.5 * (16**3 * 8 + 9**3 * 8))
    assert sorted(made) == sorted(set(made))  # the two that all of them have are kept


def test_noise_of_random_objects() -> None:
    """Mean of 60 random catalogues: B = 1/n^2 + 3 P/n = 1/n^2, as their P without noise is 0."""
    rng, measured, stated = np.random.default_rng(3), [], []
    sides = KF * np.array([[3.0, 3.0, 3.0], [4.0, 4.0, 4.0], [3.0, 4.0, 5.0]])
    for _ in range(60):
        where = rng.uniform(0.0, BOX, (300, 3))
        density = Density.of_catalogue(where, BOX, cells=24, weights=None)
        found = bispectrum(density, sides, width=2 * KF)
        measured.append(found.values)
        stated.append(found.shot_noise)
    density_squared = (BOX**3 / 300) ** 2
    error = np.std(measured, axis=0) / np.sqrt(60)
    assert np.all(error < 0.15 * density_squared)
    np.testing.assert_array_less(np.abs(np.mean(measured, axis=0) - density_squared), 3.5 * error)
    left = np.mean(np.array(measured) - np.array(stated), axis=0)
    assert np.all(np.abs(left) < 3.5 * np.std(np.array(measured) - stated, axis=0) / np.sqrt(60))


def test_float32_agrees(field: np.ndarray) -> None:
    single = bispectrum(Density.of_field(field.astype(np.float32), BOX), KF * SIDES)
    double = bispectrum(Density.of_field(field, BOX), KF * SIDES)
    np.testing.assert_allclose(single.values, double.values, rtol=1e-4)
    np.testing.assert_array_equal(single.triangles, double.triangles)


@pytest.mark.parametrize(
    ("sides", "width", "words"),
    [
        ([[2.0, 2.0, 5.5]], None, "close by its periodicity"),
        ([[1.0, 1.0, 4.0]], None, "close no triangle"),
        ([[0.4, 2.0, 2.0]], None, "begins below 0"),
        ([[2.0, 2.0, 2.0]], 0.0, "expected a positive one"),
        ([[2.0, 2.0]], None, r"expected finite numbers \(m, 3\)"),
        ([[2.0, 2.0, np.nan]], None, "expected finite numbers"),
        ([[1.2, 1.2, 1.2]], 0.1, "no mode lies between"),
        ([[1.0, 1.0, 1.0]], 0.1, "no triangle of modes has sides near"),
    ],
)
def test_triangles_that_are_refused(
    field: np.ndarray, sides: list, width: float | None, words: str
) -> None:
    density = Density.of_field(field, BOX)
    wide = None if width is None else KF * width
    with pytest.raises(TriangleError, match=words):
        bispectrum(density, KF * np.array(sides), width=wide)


def test_angles_that_are_none(field: np.ndarray) -> None:
    with pytest.raises(TriangleError, match="angles from 0 to pi"):
        bispectrum_angles(Density.of_field(field, BOX), 2 * KF, 2 * KF, [4.0])
