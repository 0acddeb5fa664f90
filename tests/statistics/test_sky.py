"""Maps of a lightcone: shells, convergence and spectra, against brute force and healpy."""

from itertools import pairwise

import healpy
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.cosmology import comoving_distance, planck18
from volvelle.nbody import Mesh, from_white_noise, particle_growth, simulate
from volvelle.nbody.evolution import grid
from volvelle.nbody.lightcone import _crossed, _passage
from volvelle.power import EisensteinHu
from volvelle.probes import Delta, Smail, WeakLensing
from volvelle.statistics import (
    SkyError,
    angular_power,
    band_theory,
    born_kernel,
    cap,
    convergence,
    convergence_noise,
    convergence_tracer,
    shell_tracer,
    shells,
    smooth_convergence,
)
from volvelle.statistics.pixel_window import pixel_window

UNIVERSE = planck18()
LIGHT = 299792.458
NSIDE = 8
EDGES = np.array([100.0, 200.0, 350.0])
DENSITY = 1e-4
BANDS = np.array([2, 6, 12, 18, 24])
KERNEL = 1e-5
"""Of W between nodes in z."""
WINDOW = 5e-3
"""Of sixty maps' realised window to l = 14 at nside 8 (from 16 on finer waves alias),
which differs by 1% between eight."""
SMOOTH = 0.03
"""Of shells of 2.5 Mpc/h, and of two forms of a wide beam's tail."""
GRADIENT = 1e-5
"""Of a central difference in float64, away from the nodes of the kernel."""
STEP, THROUGH = 1e-5, 1e-4
"""Of a central difference in the white noise, and what it is worth beside steps that particles take
over the edges of the map."""
MOMENTS = np.array([0.95, 1.0])
"""Of the step in which all that is seen crosses."""
SIGMAS = 4.0
"""By which a mean of realisations may miss."""


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """Poisson's points [Mpc/h] around an observer."""
    rng = np.random.default_rng(3)
    side = 2.0 * EDGES[-1]
    return rng.uniform(-EDGES[-1], EDGES[-1], (rng.poisson(DENSITY * side**3), 3))


def test_shells_are_counts(points: np.ndarray) -> None:
    mask = cap(NSIDE, [1.0, 1.0, 0.0], 60.0)
    found = shells(points, EDGES, NSIDE, DENSITY, mask)
    radius = np.linalg.norm(points, axis=1)
    theta, phi = np.arccos(points[:, 2] / radius), np.arctan2(points[:, 1], points[:, 0])
    for n in range(2):
        chosen = (radius >= EDGES[n]) & (radius < EDGES[n + 1])
        pixel = healpy.ang2pix(NSIDE, theta[chosen], phi[chosen])
        brute = np.zeros(healpy.nside2npix(NSIDE), int)
        np.add.at(brute, pixel, 1)
        np.testing.assert_array_equal(found.counts[n], np.where(mask, brute, 0))
    assert found.f_sky == pytest.approx(0.25, abs=0.01)
    number = found.counts.sum(axis=1)
    assert np.all(np.abs(number - found.expected * mask.sum()) < SIGMAS * np.sqrt(number))
    assert not np.any(found.contrast[:, ~mask])


def test_poisson_points_have_shot_noise_and_no_more(points: np.ndarray) -> None:
    found = shells(points, EDGES, NSIDE, DENSITY)
    power = angular_power(found.contrast[1], BANDS, noise=found.shot_noise[1])
    assert np.all(np.abs(power.values) < SIGMAS * power.error)
    assert np.all(power.error < found.shot_noise[1])
    crossed = angular_power(found.contrast[0], BANDS, found.contrast[1])
    assert np.all(np.abs(crossed.values) < SIGMAS * crossed.error)


def test_window_of_pixels() -> None:
    ell = np.arange(41.0)
    spectrum = np.where(ell > 0.0, (ell + 1.0) ** -4, 0.0)
    rng = np.random.default_rng(5)
    ratios = []
    for _ in range(60):
        index = healpy.Alm.getlm(40)
        size = np.sqrt(spectrum[index[0]] / 2.0)
        alm = size * (rng.standard_normal(size.size) + 1j * rng.standard_normal(size.size))
        alm[index[1] == 0] = np.sqrt(2.0) * alm[index[1] == 0].real
        fine = healpy.alm2map(alm, 128)
        coarse = healpy.anafast(healpy.ud_grade(fine, NSIDE), lmax=14)
        ratios.append(coarse[2:] / healpy.alm2cl(alm)[2:15])
    realised = np.sqrt(np.mean(ratios, axis=0))
    np.testing.assert_allclose(pixel_window(NSIDE, 14)[2:], realised, rtol=WINDOW)


def test_spectrum_on_part_of_the_sky() -> None:
    """The mean over realisations is the spectrum that the maps were drawn from."""
    nside, edges = 16, np.array([8, 16, 24, 32])
    ell = np.arange(48.0)
    spectrum = np.where(ell > 1.0, 1.0 / (ell + 10.0) ** 2, 0.0)
    rng = np.random.default_rng(6)
    mask = cap(nside, [0.0, 0.0, 1.0], 90.0)
    degree, m = healpy.Alm.getlm(47)
    found = []
    for _ in range(40):
        size = np.sqrt(spectrum[degree] / 2.0) * pixel_window(nside, 47)[degree]
        alm = size * (rng.standard_normal(size.size) + 1j * rng.standard_normal(size.size))
        alm[m == 0] = np.sqrt(2.0) * alm[m == 0].real
        found.append(angular_power(healpy.alm2map(alm, nside), edges, mask=mask))
    weight = 2.0 * ell + 1.0
    truth = [np.average(spectrum[a:b], weights=weight[a:b]) for a, b in pairwise(edges)]
    values = np.array([each.values for each in found])
    scatter = values.std(axis=0)
    assert np.all(np.abs(values.mean(axis=0) - truth) < SIGMAS * scatter / np.sqrt(40))
    np.testing.assert_allclose(np.mean([e.error for e in found], axis=0), scatter, rtol=0.5)


def test_kernel_is_the_formula() -> None:
    chi, source = (float(comoving_distance(UNIVERSE, a)) for a in (1.0 / 1.5, 0.5))
    lens = 1.5 * UNIVERSE.Omega_m * (100.0 * UNIVERSE.h / LIGHT) ** 2
    expected = lens * chi * 1.5 * (1.0 - chi / source) / UNIVERSE.h  # [h/Mpc]
    place = jnp.asarray(chi * UNIVERSE.h)
    kernel = born_kernel(UNIVERSE, 1.0)
    assert float(kernel(place)) == pytest.approx(expected, rel=KERNEL)
    assert float(kernel(jnp.asarray(source * UNIVERSE.h * 1.01))) == 0.0
    fine = np.linspace(0.0, source * UNIVERSE.h, 20001)
    brute = np.trapezoid(np.asarray(kernel(jnp.asarray(fine))), fine)
    assert kernel.integral([0.0, 1e4])[0] == pytest.approx(brute, rel=1e-4)
    with pytest.raises(SkyError, match="flat"):
        born_kernel(UNIVERSE.replace(Omega_k=0.01), 1.0)


def test_convergence_of_shells_and_of_particles(points: np.ndarray) -> None:
    """The smooth sum over particles is the map of thin shells, smoothed by the same beam."""
    beam, nside = 0.3, 16
    thin = np.linspace(EDGES[0], EDGES[-1], 101)
    sources = Smail(2.0, 1.5, 0.3)
    centres = np.stack(healpy.pix2vec(nside, healpy.vec2pix(nside, *points.T)), axis=-1)
    points = centres * np.linalg.norm(points, axis=1, keepdims=True)
    found = shells(points, thin, nside, DENSITY)
    smooth = healpy.smoothing(convergence(UNIVERSE, found, sources), sigma=beam)
    pixel = np.arange(0, healpy.nside2npix(nside), 301)
    rays = np.stack(healpy.pix2vec(nside, pixel), axis=-1)
    ends = (float(thin[0]), float(thin[-1]))
    kernel = born_kernel(UNIVERSE, sources)
    kappa = smooth_convergence(kernel, points, jnp.asarray(rays), beam, DENSITY, ends)
    assert np.std(kappa - smooth[pixel]) < SMOOTH * np.std(smooth)
    noise = convergence_noise(UNIVERSE, found, sources)
    power = angular_power(convergence(UNIVERSE, found, sources), BANDS, noise=noise)
    assert np.all(np.abs(power.values) < SIGMAS * power.error)


def test_gradient_of_convergence() -> None:
    x = np.random.default_rng(8).normal(0.0, 100.0, (50, 3)) + np.array([180.0, 0.0, 0.0])
    kernel = born_kernel(UNIVERSE, 1.0)
    rays = jnp.asarray([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0]])

    @jax.jit
    def value(positions: jnp.ndarray) -> jnp.ndarray:
        seen = smooth_convergence(kernel, positions, rays, 0.2, DENSITY, (50.0, 1000.0))
        return jnp.sum(seen * jnp.array([1.0, -0.5]))

    slope = np.asarray(jax.grad(value)(x))
    step = 1e-4 * np.random.default_rng(9).standard_normal(x.shape)
    difference = float(value(x + step) - value(x - step)) / 2.0
    assert np.abs(slope).max() > 0.0
    assert float(np.sum(slope * step)) == pytest.approx(difference, rel=GRADIENT)


def test_gradient_of_convergence_through_a_simulation() -> None:
    """From white noise through forces and the lightcone to a map, in one derivative."""
    mesh, passage = (
        Mesh(8, 64.0),
        _passage(UNIVERSE, particle_growth(UNIVERSE), jnp.asarray(MOMENTS)),
    )
    kernel, rays = born_kernel(UNIVERSE, 0.02), jnp.asarray([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]])
    offset, density = jnp.full(3, -32.0), 1.0 / mesh.cell**3

    @jax.jit
    def value(noise: jnp.ndarray) -> jnp.ndarray:
        initial = from_white_noise(UNIVERSE, mesh, noise, power=EisensteinHu())
        both = simulate(
            UNIVERSE, initial, start=0.5, steps=2, snapshots=(float(MOMENTS[0]),), order=1,
            integrator="bullfrog", adjoint="direct",
        )  # fmt: skip
        ends = [(grid(mesh, noise.dtype) + each.displacement, each.momentum) for each in both]
        crossed = _crossed(passage, *ends[0], *ends[1], offset)
        beyond = jnp.array([1e3, 0.0, 0.0])
        positions = jnp.where(crossed.hit[:, None], crossed.positions, beyond)
        kappa = smooth_convergence(kernel, positions, rays, 0.4, density, (4.0, 30.0))
        return 1e3 * jnp.sum(kappa * jnp.array([1.0, -0.5]))

    rng = np.random.default_rng(4)
    noise, direction = rng.standard_normal((2, *mesh.shape))
    along = float(jnp.sum(jax.grad(value)(noise) * direction))
    difference = float(value(noise + STEP * direction) - value(noise - STEP * direction))
    assert along == pytest.approx(difference / (2.0 * STEP), rel=THROUGH)
    assert abs(along) > 1e-3


def test_shells_of_parts_are_those_of_the_whole() -> None:
    places = np.random.default_rng(3).normal(0.0, 120.0, (400, 3))
    whole = shells(places, EDGES, NSIDE, DENSITY)
    parts = [shells(each, EDGES, NSIDE, DENSITY) for each in (places[:150], places[150:])]
    np.testing.assert_array_equal(parts[0].plus(parts[1]).contrast, whole.contrast)
    with pytest.raises(SkyError, match="the same edges"):
        whole.plus(shells(places, [0.0, 100.0], NSIDE, DENSITY))


def test_theory_beside() -> None:
    power = EisensteinHu()
    whole = convergence_tracer(UNIVERSE, (0.0, 1e4), 1.0)
    near, far = 900.0, 1000.0
    tracers = [shell_tracer(UNIVERSE, near, far), whole, WeakLensing(Delta(1.0))]
    bands, autos = np.array([100, 150, 200]), [(0, 0), (1, 1), (2, 2)]
    found = band_theory(UNIVERSE, bands, tracers, power, pairs=autos, limber="always")
    np.testing.assert_allclose(found[1], found[2], rtol=1e-3)
    # Limber by hand: int W^2 P / chi^2 dchi in a thin shell.
    h = UNIVERSE.h
    chi = np.linspace(near, far, 201) / h
    a = np.exp(-np.linspace(0.0, 1.0, 2001))
    scale = np.interp(chi, np.asarray(comoving_distance(UNIVERSE, a)), a)
    weight = chi**2 / np.trapezoid(chi**2, chi)
    spectrum = power.spectrum(UNIVERSE)
    every = np.arange(100, 150)
    by_hand = [
        np.trapezoid(weight**2 / chi**2 * np.asarray(spectrum((n + 0.5) / chi, scale)), chi)
        for n in every
    ]
    assert found[0, 0] == pytest.approx(np.average(by_hand, weights=2 * every + 1), rel=5e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nside": 7}, "power of 2"),
        ({"edges": [2.0, 1.0]}, "ascending"),
        ({"density": 0.0}, "positive"),
        ({"positions": np.zeros((3, 2))}, "N, 3"),
        ({"mask": np.ones(5, bool)}, "pixels of bool"),
    ],
)
def test_what_shells_refuse(change: dict, message: str) -> None:
    good = {"positions": np.ones((3, 3)), "edges": EDGES, "nside": 4, "density": 1.0}
    with pytest.raises(SkyError, match=message):
        shells(**{**good, **change})


def test_what_spectra_refuse() -> None:
    empty = np.zeros(healpy.nside2npix(4))
    for edges in ([2, 13], [0, 4], [4, 4], [2.5, 4]):
        with pytest.raises(SkyError):
            angular_power(empty, edges)
    with pytest.raises(SkyError, match="direction"):
        cap(4, [0.0, 0.0, 0.0], 10.0)
