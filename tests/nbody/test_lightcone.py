"""Lightcones: crossings against closed forms and counts, replications, footprints, files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import healpy
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.cosmology import comoving_distance, planck18
from volvelle.nbody import (
    Cap,
    Crossings,
    Lightcone,
    LightconeError,
    Mesh,
    Moment,
    PixelMask,
    crossing_pieces,
    gaussian,
    observe,
    particle_growth,
    prepare,
    read_crossings,
    write_crossings,
)
from volvelle.nbody.lightcone import _crossed, _passage
from volvelle.power import EisensteinHu

UNIVERSE, BOX = planck18(), 100.0
TIMES = (0.6, 0.75, 0.88, 1.0)
SINGLE = 1e-6
"""Of scale factors and, times a box, of positions: what is kept is in float32."""


def lattice(n: int) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(n) * BOX / n] * 3, indexing="ij"), -1).reshape(-1, 3)


def followed(cone: Lightcone, moments: list[Moment]) -> Crossings:
    return Crossings.joined([cone.crossings(*pair) for pair in pairwise(moments)])


def at_rest(x: np.ndarray) -> list[Moment]:
    return [Moment(a, x, np.zeros_like(x)) for a in TIMES]


def distances(a: np.ndarray) -> np.ndarray:
    return UNIVERSE.h * np.asarray(comoving_distance(UNIVERSE, jnp.asarray(a, float)))


def waves(a: float, seed: int = 1) -> Moment:
    """Particles on the straight lines of Zel'dovich's approximation, some out of the box."""
    rng = np.random.default_rng(seed)
    slope, q = rng.normal(0.0, 8.0, (12**3, 3)), lattice(12)
    growth, momentum, _ = particle_growth(UNIVERSE)(jnp.array(a))
    return Moment(a, q + float(growth[0]) * slope, float(momentum[0]) * slope)


def test_a_lattice_at_rest_is_seen_once_and_where_it_is() -> None:
    cone = Lightcone.of(UNIVERSE, BOX, redshifts=(0.02, 0.12), observer=(13.0, 48.0, 71.0))
    x = lattice(8)
    found = followed(cone, at_rest(x))
    shifts = np.stack(np.meshgrid(*[np.arange(-5, 6) * BOX] * 3, indexing="ij"), -1)
    every = (x[:, None] + shifts.reshape(1, -1, 3)).reshape(-1, 3) - cone.observer
    r = np.linalg.norm(every, axis=1)
    assert found.count == np.sum((r >= cone.near) & (r < cone.far))
    names = np.concatenate([found.index[:, None], found.replication], axis=1)
    assert len(np.unique(names, axis=0)) == found.count
    where = x[found.index] + found.replication * BOX - cone.observer
    np.testing.assert_allclose(found.positions, where, atol=SINGLE * 500.0)
    some = slice(None, None, 50)
    np.testing.assert_allclose(distances(found.a[some]), found.distance[some], atol=3e3 * SINGLE)


def test_waves_cross_where_their_lines_meet_the_cone() -> None:
    """In steps of any length, as the interpolation is in D1."""
    cone = Lightcone.of(UNIVERSE, BOX, redshifts=(0.0, 0.2))
    found = followed(cone, [waves(a) for a in TIMES])
    assert found.count > 2000
    growth = particle_growth(UNIVERSE)(jnp.asarray(found.a, float))
    rng = np.random.default_rng(1)
    slope = rng.normal(0.0, 8.0, (12**3, 3))[found.index]
    q = lattice(12)[found.index] + found.replication * BOX - cone.observer
    np.testing.assert_allclose(found.positions, q + growth[0][:, :1] * slope, atol=1e-3)
    some = slice(None, None, 100)
    np.testing.assert_allclose(distances(found.a[some]), found.distance[some], atol=2e-3)
    speed = 100.0 / found.a[:, None] * growth[1][:, :1] * slope
    np.testing.assert_allclose(found.velocities, speed, rtol=1e-4, atol=0.01)
    along = np.sum(found.velocities * found.positions, axis=1) / found.distance / 299792.458
    shifted = (1.0 + found.redshift) * (1.0 + along) - 1.0
    np.testing.assert_allclose(found.observed_redshift, shifted, atol=1e-6)


def test_it_does_not_matter_how_particles_are_grouped() -> None:
    cone = Lightcone.of(UNIVERSE, BOX, redshifts=(0.0, 0.1))
    early, late = waves(0.88), waves(1.0)
    whole = cone.crossings(early, late)
    parts = []
    for part in np.array_split(np.random.default_rng(3).permutation(12**3), 5):
        ends = [Moment(m.a, m.positions[part], m.momenta[part]) for m in (early, late)]
        parts.append(cone.crossings(*ends, index=part))
    apart = Crossings.joined(parts)
    assert apart.count == whole.count
    order = [
        np.lexsort((*each.replication.T, each.index)) for each in (whole, apart)
    ]  # by particle, then replication
    for name in ("index", "replication", "a", "positions", "velocities"):
        one, other = (getattr(e, name)[o] for e, o in zip((whole, apart), order, strict=True))
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("replicate", [True, False])
def test_a_cuboid_is_crossed_between_the_times_that_are_told(replicate: bool) -> None:
    looks = Cap(10.0, 20.0, 8.0)
    deep = 0.3 if replicate else 0.03
    cone = Lightcone.of(
        UNIVERSE, BOX, redshifts=(0.0, deep), observer=(5.0, 5.0, 30.0), footprint=looks,
        replicate=replicate,
    )  # fmt: skip
    found, x = followed(cone, at_rest(lattice(10))), lattice(10)
    counted, unseen = 0, 0
    for corner in np.ndindex(2, 2, 2):
        low = np.array(corner) * 50.0
        seen = cone.seen(low, low + 49.0)
        inside = np.all((x >= low) & (x <= low + 49.0), axis=1)[found.index]
        counted += int(inside.sum())
        if seen is None:
            unseen += 1
            assert not inside.any()
        elif inside.any():
            first, last = seen
            assert first - SINGLE <= found.a[inside].min()
            assert found.a[inside].max() <= last + SINGLE
    assert counted == found.count > 5
    assert (unseen == 0) == replicate
    assert np.all(looks.contains(found.positions / found.distance[:, None]))


def test_footprints() -> None:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(4000, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    cap = Cap(100.0, -30.0, 25.0)
    inside = cap.contains(directions)
    assert inside.mean() == pytest.approx(cap.fraction, abs=4 * np.sqrt(cap.fraction / 4000))
    at = np.stack(healpy.pix2vec(32, np.arange(healpy.nside2npix(32))), -1)
    mask = PixelMask(cap.contains(at))
    assert np.mean(mask.contains(directions) == inside) > 0.97
    assert mask.fraction == pytest.approx(cap.fraction, rel=0.05)
    for each in (cap, mask):
        assert each.touches(cap.middle, 0.01)
        assert each.touches(-cap.middle, np.pi)
        assert not each.touches(-cap.middle, 0.1)


def test_pixels_that_lie_in_a_footprint_as_a_whole() -> None:
    cap = Cap(200.0, -20.0, 40.0)
    whole = cap.pixels(32)
    assert whole.mean() == pytest.approx(cap.fraction, rel=0.15) and whole.mean() < cap.fraction
    rim = healpy.boundaries(32, np.flatnonzero(whole), step=4)
    assert np.all(cap.contains(np.moveaxis(rim, 1, 2).reshape(-1, 3)))
    mask = PixelMask(whole)
    np.testing.assert_array_equal(mask.pixels(32), whole)
    assert mask.pixels(64).mean() == whole.mean()  # parts of pixels that are seen
    coarse = healpy.ud_grade(whole.astype(float), 16) == 1.0
    np.testing.assert_array_equal(mask.pixels(16), coarse)
    assert np.all(Cap(0.0, 0.0, 180.0).pixels(8)) and not np.any(Cap(0.0, 0.0, 1.0).pixels(8))
    with pytest.raises(LightconeError, match="a power of 2"):
        PixelMask(np.ones(12 * 10**2)).pixels(8)


def test_the_crossing_is_differentiable() -> None:
    """In positions and momenta, as the implicit function of the cone."""
    passage = _passage(UNIVERSE, particle_growth(UNIVERSE), jnp.array([0.88, 1.0]))
    early, late = waves(0.88), waves(1.0)
    given = [jnp.asarray(each)[:300] for each in (*early[1:], *late[1:])]
    offset = jnp.full(3, -0.5 * BOX)
    hit = _crossed(passage, *given, offset).hit
    assert int(hit.sum()) > 50

    def weighed(*given: jax.Array) -> jax.Array:
        found = _crossed(passage, *given, offset)
        parts = [found.positions @ jnp.array([1.0, 0.4, -0.7]), found.velocities[:, 0] * 1e-2]
        return jnp.sum(jnp.where(hit, parts[0] + parts[1] + 30.0 * found.a, 0.0))

    rng = np.random.default_rng(2)
    directions = [jnp.asarray(rng.normal(size=each.shape)) for each in given]
    slopes = jax.grad(weighed, (0, 1, 2, 3))(*given)
    along = sum(float(jnp.sum(s * d)) for s, d in zip(slopes, directions, strict=True))
    step = 1e-4
    ends = [
        weighed(*(x + sign * step * d for x, d in zip(given, directions, strict=True)))
        for sign in (1.0, -1.0)
    ]
    assert along == pytest.approx(float(ends[0] - ends[1]) / (2.0 * step), rel=1e-6)


@pytest.mark.parametrize("integrator", ["bullfrog", "cola"])
def test_a_simulation_is_observed_and_goes_on_to_the_same_bits(integrator: str) -> None:
    mesh = Mesh(8, BOX)
    initial = gaussian(UNIVERSE, mesh, 1, power=EisensteinHu())
    simulation = prepare(UNIVERSE, initial, start=0.5, steps=3, integrator=integrator)
    cone = Lightcone.of(UNIVERSE, BOX, redshifts=(0.0, 0.1))
    states, parts = zip(*observe(simulation, cone), strict=True)
    found = Crossings.joined(parts)
    assert found.count == pytest.approx(cone.volume / (BOX / 8) ** 3, rel=0.05)
    (_, again), *_ = list(observe(simulation, cone, states[-2]))
    assert again.count == parts[-1].count > 0
    np.testing.assert_array_equal(again.positions, parts[-1].positions)


def test_files_round_trip(tmp_path: Path) -> None:
    cone = Lightcone.of(UNIVERSE, BOX, redshifts=(0.0, 0.05))
    found = followed(cone, at_rest(lattice(6)))
    back = read_crossings(write_crossings(tmp_path / "cone.hdf5", found))
    for name in ("positions", "velocities", "a", "index", "replication"):
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name))
    pieces = list(crossing_pieces(tmp_path / "cone.hdf5", 50))
    assert [len(each.a) for each in pieces[:-1]] == [50] * (len(pieces) - 1) and len(pieces) > 1
    np.testing.assert_array_equal(Crossings.joined(pieces).index, found.index)
    write_crossings(tmp_path / "none.hdf5", Crossings.none())
    assert [len(each.a) for each in crossing_pieces(tmp_path / "none.hdf5")] == [0]
    (tmp_path / "other.hdf5").write_text("no")
    with pytest.raises(LightconeError, match="cannot be read as HDF5"):
        read_crossings(tmp_path / "other.hdf5")


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"redshifts": (0.5, 0.2)}, "redshifts 0.5 to 0.2"),
        ({"observer": (1.0, 2.0)}, "three coordinates in the box"),
        ({"observer": (1.0, 2.0, 300.0)}, "three coordinates in the box"),
        ({"redshifts": (0.0, 0.1), "replicate": False}, "whose walls are 50"),
    ],
)
def test_what_is_no_lightcone(choices: dict, words: str) -> None:
    with pytest.raises(LightconeError, match=words):
        Lightcone.of(UNIVERSE, BOX, **choices)


def test_what_a_simulation_does_not_cover() -> None:
    initial = gaussian(UNIVERSE, Mesh(8, BOX), 1, power=EisensteinHu())
    simulation = prepare(UNIVERSE, initial, start=0.5, end=0.9, steps=2, integrator="bullfrog")
    for redshifts, words in (((0.2, 1.5), "starts at redshift 1"), ((0.0, 0.5), "ends at redsh")):
        with pytest.raises(LightconeError, match=words):
            next(observe(simulation, Lightcone.of(UNIVERSE, BOX, redshifts=redshifts)))
    with pytest.raises(LightconeError, match="of a simulation in 100 Mpc/h"):
        next(observe(simulation, Lightcone.of(UNIVERSE, 2 * BOX, redshifts=(0.2, 0.5))))
    with pytest.raises(LightconeError, match="forward in time"):
        Lightcone.of(UNIVERSE, BOX).crossings(waves(1.0), waves(0.9))
    with pytest.raises(LightconeError, match="is flat"):
        Lightcone.of(UNIVERSE.replace(Omega_k=0.01), BOX)
    with pytest.raises(LightconeError, match="expected 12 nside"):
        PixelMask(np.ones(13))
    with pytest.raises(LightconeError, match="radius above 0"):
        Cap(0.0, 95.0, 10.0)
