"""Spheres: smoothing, the PDF and its variance, sigma(R), and the differentiable PDF."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import direct_sums
from volvelle.nbody import Mesh
from volvelle.power.filters import top_hat
from volvelle.statistics import (
    BinError,
    Density,
    DensityError,
    RadiusError,
    density_pdf,
    differentiable_pdf,
    power_spectrum,
    sigma,
    smoothed,
)

BOX = 100.0
MESH = Mesh(16, BOX)
RADIUS = 15.0


@pytest.mark.parametrize("radius", [2.0, 2.5, 5.0])
def test_the_kernel_of_cells_is_a_mean_over_points(field: np.ndarray, radius: float) -> None:
    found = smoothed(Density.of_field(field, BOX), radius * MESH.cell, "cells")
    np.testing.assert_allclose(found, direct_sums.balls(field, radius), atol=1e-12)


def test_the_sphere_is_that_of_fourier_space(field: np.ndarray) -> None:
    k = 2 * np.pi / BOX * np.sqrt(np.sum(direct_sums.wavenumbers(16) ** 2, axis=-1))
    truth = np.fft.ifftn(np.fft.fftn(field) * top_hat(k * RADIUS)).real
    found = smoothed(Density.of_field(field, BOX), RADIUS)
    np.testing.assert_allclose(found, truth - truth.mean(), atol=1e-12)


def test_the_positive_kernel_does_not_ring() -> None:
    """One full cell in an empty box: delta is -1 elsewhere, and the sphere goes below."""
    density = np.zeros((32, 32, 32))
    density[0, 0, 0] = 1.0
    one = Density.of_field(density, BOX, contrast=False)
    assert smoothed(one, 4.0 * one.mesh.cell, "cells").min() >= -1.0 - 1e-12
    assert smoothed(one, 4.0 * one.mesh.cell, "sphere").min() < -3.0


@pytest.mark.parametrize("kernel", ["sphere", "cells"])
def test_the_pdf_is_a_histogram_with_its_moments(field: np.ndarray, kernel: str) -> None:
    density = Density.of_field(field, BOX)
    values = smoothed(density, RADIUS, kernel)  # type: ignore[arg-type]
    found = density_pdf(density, RADIUS, kernel=kernel)  # type: ignore[arg-type]
    truth, _ = np.histogram(values, found.edges, density=True)
    np.testing.assert_allclose(found.values, truth)
    assert found.cells.sum() == values.size
    assert np.sum(found.values * np.diff(found.edges)) == pytest.approx(1.0)
    assert found.mean == pytest.approx(0.0, abs=1e-14)
    assert found.variance == pytest.approx(values.var())
    assert found.skewness == pytest.approx(np.mean(values**3) / values.var() ** 2)
    assert found.outside == 0.0


def test_the_variance_is_the_integral_of_the_power(field: np.ndarray) -> None:
    """Over all modes, by hand and by sigma(R); and over P(k), which leaves out the corners beyond
    Nyquist's wavenumber, of bins with one |k| each."""
    density = Density.of_field(field, BOX)
    found = density_pdf(density, RADIUS)
    square = np.sum(direct_sums.wavenumbers(16) ** 2, axis=-1)
    each = (
        np.abs(np.fft.fftn(field)) ** 2 * top_hat(np.sqrt(square) * MESH.fundamental * RADIUS) ** 2
    )
    assert found.variance == pytest.approx((each.sum() - each[0, 0, 0]) / 16**6, rel=1e-10)
    assert found.variance == pytest.approx(sigma(density, RADIUS).values[0] ** 2, rel=1e-10)
    lengths = np.unique(square.astype(int))
    edges = np.sqrt(lengths[(lengths > 0) & (lengths <= 64)] - 0.5) * MESH.fundamental
    power = power_spectrum(density, edges=edges)
    integral = np.sum(power.values * power.modes * top_hat(power.k * RADIUS) ** 2) / BOX**3
    inside = each[(square < 64) & (square > 0)].sum() / 16**6
    assert integral == pytest.approx(inside, rel=1e-10)
    assert found.variance == pytest.approx(integral, rel=0.01)


def test_sigma_of_radii(field: np.ndarray) -> None:
    density = Density.of_field(field, BOX)
    found = sigma(density, [5.0, 10.0, 30.0])
    truth = [smoothed(density, radius).std() for radius in (5.0, 10.0, 30.0)]
    np.testing.assert_allclose(found.values, truth, rtol=1e-10)
    np.testing.assert_array_equal(found.shot_variance, 0.0)
    np.testing.assert_allclose(found.subtracted, found.values)


def test_noise_in_the_variance() -> None:
    """Random objects in spheres: 1 / (n V) less 1 / N, as the mean is known, and of the modes that
    the mesh has (96% of it)."""
    rng, values, noise = np.random.default_rng(4), [], 0.0
    for _ in range(30):
        where = rng.uniform(0.0, BOX, (1000, 3))
        density = Density.of_catalogue(where, BOX, cells=32)
        found = sigma(density, 24.0)
        values.append(found.values[0] ** 2)
        noise = found.shot_variance[0]
    expected = BOX**3 / 1000 / (4 * np.pi / 3 * 24.0**3) - 1e-3
    assert noise == pytest.approx(expected, rel=0.05)
    assert np.mean(values) == pytest.approx(noise, abs=3.5 * np.std(values) / np.sqrt(30))
    assert density_pdf(density, 24.0).shot_variance == pytest.approx(noise)


def test_cells_outside_of_given_edges_are_counted(field: np.ndarray) -> None:
    density = Density.of_field(field, BOX)
    values = smoothed(density, RADIUS)
    middle = float(np.median(values))
    found = density_pdf(density, RADIUS, edges=[middle, values.max() + 1.0])
    assert found.outside == pytest.approx(0.5, abs=1e-3)
    empty = density_pdf(density, RADIUS, edges=[-5.0, -4.0, 5.0])
    np.testing.assert_allclose(empty.values, [0.0, 1.0 / 9.0])


def test_the_soft_pdf_tends_to_the_measured_one(field: np.ndarray) -> None:
    density, edges = Density.of_field(field, BOX), np.linspace(-0.5, 0.5, 11)
    hard = density_pdf(density, RADIUS, edges=edges)
    middles, soft = differentiable_pdf(MESH, jnp.asarray(field), RADIUS, edges, width=1e-7)
    np.testing.assert_allclose(soft, hard.values, atol=1e-6)
    np.testing.assert_allclose(middles, hard.delta)
    wide = differentiable_pdf(MESH, jnp.asarray(field), RADIUS, edges)[1]
    assert np.abs(np.asarray(wide) - hard.values).max() < 0.1 * hard.values.max()


def test_gradients_of_the_soft_pdf_are_finite_differences(field: np.ndarray) -> None:
    edges, where = np.linspace(-0.5, 0.5, 6), jnp.asarray(field)
    direction = jnp.asarray(np.random.default_rng(1).standard_normal(field.shape))

    @jax.jit
    def loss(step: float) -> jax.Array:
        _, values = differentiable_pdf(MESH, where + step * direction, RADIUS, edges)
        return values @ jnp.arange(5.0) ** 2

    slope, h = float(jax.grad(loss)(0.0)), 1e-4
    assert slope == pytest.approx(float(loss(h) - loss(-h)) / (2 * h), rel=1e-5)


@pytest.mark.parametrize(
    ("radius", "kernel", "words"),
    [
        (0.0, "sphere", "more than 0"),
        (50.0, "sphere", "less than half of the box, 50"),
        (np.nan, "sphere", "a radius of nan"),
        (5.0, "cells", r"less than a cell, 6\.25"),
        (20.0, "gauss", "kernel is 'gauss'"),
    ],
)
def test_spheres_that_a_mesh_does_not_hold(
    field: np.ndarray, radius: float, kernel: str, words: str
) -> None:
    density = Density.of_field(field, BOX)
    for measure in (smoothed, density_pdf):
        with pytest.raises(RadiusError, match=words):
            measure(density, radius, kernel=kernel)  # type: ignore[operator]
    with pytest.raises(RadiusError, match=words):
        differentiable_pdf(MESH, field, radius, [0.0, 1.0], kernel=kernel)  # type: ignore[arg-type]
    if kernel == "sphere":
        with pytest.raises(RadiusError, match=words):
            sigma(density, radius)


def test_edges_that_are_none(field: np.ndarray) -> None:
    density = Density.of_field(field, BOX)
    for edges in ([0.0], [1.0, 0.0], [0.0, np.nan]):
        with pytest.raises(BinError, match="two or more, finite and ascending"):
            density_pdf(density, RADIUS, edges=edges)
        with pytest.raises(BinError, match="two or more, finite and ascending"):
            differentiable_pdf(MESH, field, RADIUS, edges)
    with pytest.raises(BinError, match="everywhere"):
        density_pdf(Density.of_field(np.zeros((8, 8, 8)), BOX), 20.0)
    with pytest.raises(BinError, match="width of 0"):
        differentiable_pdf(MESH, field, RADIUS, [0.0, 1.0], width=0.0)
    with pytest.raises(DensityError, match="the field has shape"):
        differentiable_pdf(MESH, field[:8], RADIUS, [0.0, 1.0])


def test_the_soft_pdf_in_float32(field: np.ndarray) -> None:
    edges = np.linspace(-0.3, 0.4, 8)
    double = differentiable_pdf(MESH, jnp.asarray(field), RADIUS, edges)[1]
    with jax.enable_x64(False):
        single = differentiable_pdf(MESH, jnp.asarray(field, jnp.float32), RADIUS, edges)[1]
        assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, double, atol=1e-4)
