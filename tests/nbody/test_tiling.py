"""How a box is cut, what that costs, and what is refused."""

import numpy as np
import pytest

from volvelle.nbody import (
    Mesh,
    Tiling,
    TilingError,
    disk_needed,
    expected_errors,
    ground_memory,
    tile_memory,
)


def test_tiles_share_all_particles_out() -> None:
    tiling = Tiling(24, 48, 72.0, per_side=3, buffer=4, margin=1)
    assert (tiling.inner, tiling.width, tiling.domain, tiling.number) == (8, 16, 28, 27)
    assert tiling.overcompute == pytest.approx(8.0)
    assert tiling.extent == pytest.approx(2.0 / 3.0)
    assert tiling.potential == pytest.approx(27.0 / 8.0)
    ids = np.concatenate([tiling.interior(index) for index in tiling.indices()])
    np.testing.assert_array_equal(np.sort(ids), np.arange(24**3))
    assert tiling.first((0, 1, 2)) == (-4, 4, 12)


def test_lengths_become_particles() -> None:
    tiling = Tiling.of(Mesh(128, 192.0), 128, per_side=2)
    assert (tiling.buffer, tiling.margin) == (16, 4)
    assert tiling.extent == pytest.approx(0.75) and tiling.overcompute < 8.0
    assert Tiling.of(Mesh(128, 192.0), 128, 4, buffer=12.0).margin == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"per_side": 5}, "5 tiles per side of 32 particles per side; expected a number that div"),
        ({"per_side": 0}, "0 tiles per side"),
        ({"cells": 48}, "a mesh of 48 cells per side of 32 particles per side"),
        ({"buffer": 9}, "a buffer of 9 particles on each side of tiles of 8"),
        ({"per_side": 2, "buffer": 9}, "a buffer of 9 particles on each side of tiles of 16"),
        ({"per_side": 1}, "expected 2 to 0"),
        ({"margin": 5}, "a margin of 5 particles in a buffer of 6"),
    ],
)
def test_what_is_refused(changes: dict[str, int], words: str) -> None:
    given = {"cells": 64, "per_side": 4, "buffer": 6, "margin": 2, **changes}
    with pytest.raises(TilingError, match=words):
        Tiling(32, box_size=96.0, **given)


def test_costs_and_errors_go_the_way_they_must() -> None:
    mesh = Mesh(256, 384.0)
    small, large, deep = (
        Tiling.of(mesh, 256, per_side, buffer)
        for per_side, buffer in ((8, 12.0), (4, 12.0), (4, 18.0))
    )
    for one, other in ((large, small), (deep, large)):
        assert all(a < b for a, b in zip(expected_errors(one), expected_errors(other), strict=True))
        assert tile_memory(one) > tile_memory(other)
    fine = Tiling.of(mesh, 512, 4, 12.0)
    assert ground_memory(fine) > ground_memory(large)
    assert tile_memory(large, dtype="float64") > 1.2 * tile_memory(large)
    assert disk_needed(large, 11) > 6 * 4 * 256**3
