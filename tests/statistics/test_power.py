"""P(k), its multipoles, r(k), T(k), against sums over all modes; shot noise of catalogues."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import direct_sums
from volvelle.nbody import Mesh, density_contrast
from volvelle.statistics import (
    BinError,
    Density,
    DensityError,
    EmptyBinWarning,
    StatisticsError,
    cross_correlation,
    differentiable_power,
    linear_edges,
    log_edges,
    power_multipoles,
    power_spectrum,
    transfer,
)
from volvelle.statistics.modes import folded, product
from volvelle.statistics.painted_noise import noise_planes

BOX = 100.0
MESH = Mesh(16, BOX)
EXACT = 1e-11
SINGLE = 2e-6
EDGES = {
    "linear": linear_edges(MESH),
    "wide": linear_edges(MESH, 2.0),
    "whole": MESH.fundamental * np.arange(1.0, 9.0),
    "log": log_edges(MESH, 3, low=1.2 * MESH.fundamental),
}


@pytest.mark.parametrize("kind", EDGES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_power_is_the_sum_over_modes(
    field: np.ndarray, other: np.ndarray, kind: str, axis: int
) -> None:
    edges = EDGES[kind]
    a, b = Density.of_field(field, BOX), Density.of_field(other, BOX)
    for first, second, one in ((field, field, None), (field, other, b)):
        truth = direct_sums.power(first, second, BOX, edges * (1 - 1e-12), axis)
        found = power_multipoles(a, one, axis=axis, edges=edges)
        scale = np.abs(truth["poles"]).max()
        np.testing.assert_allclose(found.values, truth["poles"], atol=EXACT * scale)
        np.testing.assert_allclose(found.k, truth["k"], rtol=EXACT)
        np.testing.assert_array_equal(found.modes, truth["modes"])
        single = power_spectrum(a, one, edges=edges)
        np.testing.assert_allclose(single.values, truth["poles"][0], rtol=1e-9)
        np.testing.assert_array_equal(single.modes, found.modes)
    np.testing.assert_array_equal(single.shot_noise, 0.0)
    assert not single.empty.any()


def test_rounding_of_edges_moves_no_mode() -> None:
    """Edges at whole numbers of fundamentals, a little above and below them, in any box."""
    field = np.random.default_rng(1).standard_normal((8, 8, 8))
    for box in (100.0, 123.4, 1000.0 / 3.0):
        density = Density.of_field(field, box)
        edges = density.mesh.fundamental * np.arange(1.0, 5.0)
        expected = power_spectrum(density, edges=edges / (1 + 1e-12)).modes
        np.testing.assert_array_equal(expected, [26, 66, 158])
        for off in (1.0, 1 + 1e-15, 1 + 1e-12):
            found = power_spectrum(density, edges=edges[:3] * off).modes
            np.testing.assert_array_equal(found, expected[:2])


def test_the_default_bins_end_at_nyquist(field: np.ndarray) -> None:
    found = power_spectrum(Density.of_field(field, BOX))
    np.testing.assert_allclose(np.diff(found.edges), MESH.fundamental)
    assert found.edges[0] == pytest.approx(0.5 * MESH.fundamental)
    assert MESH.nyquist - MESH.fundamental < found.edges[-1] <= MESH.nyquist


def test_the_error_is_that_of_a_gaussian_field() -> None:
    """Over 200 white fields, in the third bin: 2 / modes = (0.11 P)^2, with its own error of 5%."""
    rng = np.random.default_rng(2)
    found = [
        power_spectrum(Density.of_field(rng.standard_normal((8, 8, 8)), BOX)) for _ in range(200)
    ]
    values = np.array([each.values[2] for each in found])
    expected = np.mean([each.error[2] for each in found])
    assert values.std() == pytest.approx(expected, rel=0.2)


def test_float32_stays_and_agrees(field: np.ndarray) -> None:
    single = Density.of_field(field.astype(np.float32), BOX)
    assert single.modes.dtype == np.complex64
    np.testing.assert_allclose(
        power_spectrum(single).values,
        power_spectrum(Density.of_field(field, BOX)).values,
        rtol=SINGLE,
    )


@pytest.mark.parametrize("make", [np.asarray, jnp.asarray, np.ndarray.tolist])
def test_densities_of_any_kind_of_array(field: np.ndarray, make: Callable) -> None:
    """A density is divided by its mean; a contrast keeps its scale."""
    truth = power_spectrum(Density.of_field(field, BOX)).values
    density = Density.of_field(make(3.0 * (1.0 + field)), BOX, contrast=False)
    np.testing.assert_allclose(power_spectrum(density).values, truth, rtol=1e-9)


def test_correlation_and_transfer(field: np.ndarray, other: np.ndarray) -> None:
    a, b = Density.of_field(field, BOX), Density.of_field(other, BOX)
    aa, bb, ab = power_spectrum(a), power_spectrum(b), power_spectrum(a, b)
    np.testing.assert_allclose(
        cross_correlation(a, b).values, ab.values / np.sqrt(aa.values * bb.values)
    )
    np.testing.assert_allclose(transfer(a, b).values, np.sqrt(aa.values / bb.values))
    np.testing.assert_allclose(cross_correlation(a, a).values, 1.0)
    doubled = Density.of_field(-2.0 * field, BOX)
    np.testing.assert_allclose(cross_correlation(a, doubled).values, -1.0)
    np.testing.assert_allclose(transfer(doubled, a).values, 2.0)


def test_noise_can_be_taken_from_correlation_and_transfer(field: np.ndarray) -> None:
    """Where the noise is more than all the power, nothing is left, and that is NaN."""
    power = power_spectrum(Density.of_field(field, BOX)).values
    noise = 0.5 * (power.min() + np.sort(power)[1])
    noisy = Density.of_field(field, BOX, shot_noise=noise)
    found = cross_correlation(noisy, noisy, subtract_noise=True).values
    np.testing.assert_allclose(found, np.where(power > noise, power / (power - noise), np.nan))
    ratio = transfer(noisy, Density.of_field(field, BOX), subtract_noise=True).values
    expected = np.sqrt(np.maximum(1 - noise / power, 0))
    np.testing.assert_allclose(ratio, np.where(power > noise, expected, np.nan))


@pytest.mark.parametrize("interlaced", [True, False])
@pytest.mark.parametrize("assignment", ["ngp", "cic", "tsc", "pcs"])
def test_shot_noise_of_painted_objects_is_known_to_nyquist(
    assignment: str, interlaced: bool
) -> None:
    """Of 40 random catalogues; the assignment's images raise it by up to 2 at Nyquist's."""
    rng, found = np.random.default_rng(5), []
    for _ in range(40):
        where = rng.uniform(0.0, BOX, (500, 3))
        density = Density.of_catalogue(
            where, BOX, cells=16, assignment=assignment, interlaced=interlaced
        )
        found.append(power_multipoles(density))
    values, noise = np.array([each.values for each in found]), found[0].shot_noise
    error = values.std(axis=0) / np.sqrt(40)
    assert np.all(np.abs(values.mean(axis=0) - noise) < 4.0 * error)
    assert np.all(error[0] < 0.15 * noise[0])
    assert noise[0, 0] == pytest.approx(BOX**3 / 500, rel=3e-2)
    np.testing.assert_allclose(found[0].subtracted, found[0].values - noise)


@pytest.mark.parametrize("interlaced", [True, False])
def test_shot_noise_of_every_mode(interlaced: bool) -> None:
    """Of 300 catalogues: on the planes of Nyquist's wavenumber, in the corners, and elsewhere."""
    rng, found = np.random.default_rng(6), []
    for _ in range(300):
        where = rng.uniform(0.0, BOX, (200, 3))
        density = Density.of_catalogue(where, BOX, cells=8, assignment="tsc", interlaced=interlaced)
        found.append(np.array(list(folded(product(density.modes), 8))) * BOX**3 / 8**6)
    noise = np.array(list(noise_planes(density)))
    nyquist = np.zeros((5, 5, 5), bool)
    nyquist[4] = nyquist[:, 4] = nyquist[:, :, 4] = True
    corner = ~nyquist & (sum(np.ogrid[:5, :5, :5]) > 7)
    inside = ~nyquist & ~corner
    inside[0, 0, 0] = False
    for chosen in (nyquist, corner, inside):
        sums = np.array([each[chosen].sum() for each in found])
        assert abs(sums.mean() - noise[chosen].sum()) < 4.0 * sums.std() / np.sqrt(300)
        assert sums.std() / np.sqrt(300) < 0.02 * sums.mean()


def test_shot_noise_of_weighted_objects(catalogue: np.ndarray) -> None:
    weights = np.where(np.arange(len(catalogue)) % 2, 1.0, 3.0)
    density = Density.of_catalogue(catalogue, BOX, cells=16, weights=weights)
    assert density.shot_noise == pytest.approx(BOX**3 * (5.0 / 4.0) / len(catalogue))
    assert density.triple_noise == pytest.approx(BOX**6 * (28 / 16) / len(catalogue) ** 2)
    found = power_spectrum(density)
    assert np.average(found.values, weights=found.modes) == pytest.approx(
        np.average(found.shot_noise, weights=found.modes), rel=0.1
    )


@pytest.mark.parametrize(("assignment", "limit"), [("cic", 5e-2), ("tsc", 5e-3), ("pcs", 5e-4)])
def test_catalogues_and_fields_agree(assignment: str, limit: float) -> None:
    """A plane wave of displaced particles: the mode that it has, by painting, is that of the exact
    sum over particles, to the images of the particles' own grid that the assignment leaves."""
    grid = np.stack(np.meshgrid(*[np.arange(32) * BOX / 32] * 3, indexing="ij"), -1).reshape(-1, 3)
    k = 2 * np.pi / BOX * 3
    where = grid.copy()
    where[:, 0] += 1.5 * np.sin(k * grid[:, 0] + 0.3)
    density = Density.of_catalogue(where, BOX, cells=16, assignment=assignment)
    exact = np.mean(np.exp(-1j * k * where[:, 0])) * 16**3
    assert abs(density.modes[3, 0, 0] - exact) < limit * abs(exact)
    field = Density.of_field(density.field(), BOX)
    np.testing.assert_allclose(field.modes, density.modes, atol=1e-9)


def test_positions_outside_are_wrapped_and_other_units_refused(catalogue: np.ndarray) -> None:
    moved = catalogue.copy()
    moved[:100] += BOX * np.array([1.0, 0.0, 0.0]) * (catalogue[:100, :1] < 20.0)
    one, two = (power_spectrum(Density.of_catalogue(c, BOX, cells=8)) for c in (catalogue, moved))
    np.testing.assert_allclose(one.values, two.values, rtol=1e-9)
    with pytest.raises(DensityError, match="give both in Mpc/h"):
        Density.of_catalogue(1e3 * catalogue, BOX, cells=8)


def test_an_assignment_of_a_field_is_divided_out(catalogue: np.ndarray) -> None:
    """As of the catalogue itself without interlacing."""
    from volvelle.nbody import paint

    painted = np.asarray(paint(MESH, catalogue, assignment="cic"))
    field = Density.of_field(painted, BOX, contrast=False, assignment="cic")
    own = Density.of_catalogue(catalogue, BOX, cells=16, assignment="cic", interlaced=False)
    np.testing.assert_allclose(field.modes, own.modes, atol=1e-9)


def test_empty_bins_are_said_and_flagged(field: np.ndarray) -> None:
    edges = MESH.fundamental * np.array([0.1, 0.9, 1.01, 1.2, 2.0])
    with pytest.warns(EmptyBinWarning, match="2 of 4 bins hold no mode and are NaN"):
        found = power_spectrum(Density.of_field(field, BOX), edges=edges)
    np.testing.assert_array_equal(found.empty, [True, False, True, False])
    np.testing.assert_array_equal(np.isnan(found.values), found.empty)
    np.testing.assert_array_equal(np.isnan(found.k), found.empty)


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ([0.1], "two finite numbers or more"),
        ([0.2, 0.1], "ascend"),
        ([-0.1, 0.1], "ascend from 0"),
        ([0.1, np.nan], "finite"),
        ([0.1, 1.0], "holds modes to 0.502655"),
    ],
)
def test_other_edges_are_refused(field: np.ndarray, edges: list[float], words: str) -> None:
    with pytest.raises(BinError, match=words):
        power_spectrum(Density.of_field(field, BOX), edges=edges)


def test_bins_that_are_none() -> None:
    with pytest.raises(BinError, match="at least 1"):
        linear_edges(MESH, 0.5)
    with pytest.raises(BinError, match="fits below"):
        linear_edges(MESH, 20.0)
    for number, low in ((0, None), (3, 0.0), (3, 9.0)):
        with pytest.raises(BinError, match="expected some, ascending"):
            log_edges(MESH, number, low)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f[:15], r"shape \(15, 16, 16\); expected \(n, n, n\) with an even n"),
        (lambda f: f[:15, :15, :15], "even n"),
        (lambda f: f[0], "expected"),
        (lambda f: f + np.where(f == f.max(), np.nan, 0.0), "1 of 4096 values .* NaN"),
        (lambda f: f * 1j, "real numbers"),
    ],
)
def test_fields_that_are_none(field: np.ndarray, change: Callable, words: str) -> None:
    with pytest.raises(DensityError, match=words):
        Density.of_field(change(field), BOX)


def test_other_things_that_do_not_fit(field: np.ndarray, catalogue: np.ndarray) -> None:
    density = Density.of_field(field, BOX)
    for other in (Density.of_field(field, 2 * BOX), Density.of_field(field[:8, :8, :8], BOX)):
        for measure in (power_spectrum, cross_correlation, transfer):
            with pytest.raises(DensityError, match="different meshes"):
                measure(density, other)
    with pytest.raises(StatisticsError, match="axis 3"):
        power_multipoles(density, axis=3)
    with pytest.raises(DensityError, match="a box of"):
        Density.of_field(field, -1.0)
    with pytest.raises(DensityError, match="expected a positive one"):
        Density.of_field(field - 5.0, BOX, contrast=False)
    with pytest.raises(DensityError, match="assignment is 'cloud'"):
        Density.of_field(field, BOX, assignment="cloud")
    with pytest.raises(DensityError, match="shot_noise is -1"):
        Density.of_field(field, BOX, shot_noise=-1.0)
    with pytest.raises(DensityError, match="15 cells"):
        Density.of_catalogue(catalogue, BOX, cells=15)
    with pytest.raises(DensityError, match=r"expected \(n, 3\)"):
        Density.of_catalogue(catalogue[:, :2], BOX, cells=8)
    with pytest.raises(DensityError, match="NaN"):
        Density.of_catalogue(np.where(catalogue > 99.9, np.nan, catalogue), BOX, cells=8)
    with pytest.raises(DensityError, match="add up to"):
        Density.of_catalogue(catalogue, BOX, cells=8, weights=np.zeros(len(catalogue)))
    with pytest.raises(DensityError, match="weights of shape"):
        Density.of_catalogue(catalogue, BOX, cells=8, weights=np.ones(3))
    with pytest.raises(DensityError, match="cannot be traced"):
        jax.jit(lambda f: Density.of_field(f, BOX).modes)(field)


def test_the_differentiable_power_is_the_measured_one(field: np.ndarray, other: np.ndarray) -> None:
    modes, second = jnp.fft.rfftn(jnp.asarray(field)), jnp.fft.rfftn(jnp.asarray(other))
    for kind in ("linear", "whole"):
        measured = power_spectrum(Density.of_field(field, BOX), edges=EDGES[kind])
        k, power = differentiable_power(MESH, modes, edges=EDGES[kind])
        np.testing.assert_allclose(k, measured.k, rtol=EXACT)
        np.testing.assert_allclose(power, measured.values, rtol=1e-9)
    measured = power_spectrum(Density.of_field(field, BOX), Density.of_field(other, BOX))
    np.testing.assert_allclose(
        differentiable_power(MESH, modes, second)[1], measured.values, rtol=1e-9
    )


def test_gradients_of_the_power_are_finite_differences(catalogue: np.ndarray) -> None:
    """In positions, through interlaced painting."""
    mesh, where = Mesh(8, BOX), jnp.asarray(catalogue[:200])
    direction = jnp.asarray(np.random.default_rng(1).standard_normal(where.shape))

    def loss(step: float) -> jax.Array:
        modes = density_contrast(mesh, where + step * direction, assignment="pcs")
        return jnp.sum(jnp.log(differentiable_power(mesh, modes)[1]))

    slope, h = jax.jit(jax.grad(loss))(0.0), 1e-3
    value = jax.jit(loss)
    assert float(slope) == pytest.approx(float(value(h) - value(-h)) / (2 * h), rel=1e-5)


def test_differentiable_power_refuses(field: np.ndarray) -> None:
    with pytest.raises(DensityError, match="modes have shape"):
        differentiable_power(MESH, jnp.zeros((8, 8, 5), complex))
    modes = jnp.fft.rfftn(jnp.asarray(field))
    with pytest.raises(BinError, match="1 bins hold no mode"):
        differentiable_power(MESH, modes, edges=[0.001, 0.002, 0.3])
    with pytest.raises(BinError, match="holds modes to"):
        differentiable_power(MESH, modes, edges=[0.1, 2.0])


def test_without_float64_catalogues_are_measured_in_float32(catalogue: np.ndarray) -> None:
    """To what positions in float32 leave; fields in float64 stay so."""
    double = Density.of_catalogue(catalogue, BOX, cells=16)
    with jax.enable_x64(False):
        single = Density.of_catalogue(catalogue, BOX, cells=16)
        field = Density.of_field(double.field(), BOX)
    assert single.modes.dtype == np.complex64
    assert field.modes.dtype == np.complex128
    np.testing.assert_allclose(
        power_spectrum(single).values, power_spectrum(double).values, rtol=1e-4
    )


def test_the_differentiable_power_in_batches_and_in_float32(
    field: np.ndarray, other: np.ndarray
) -> None:
    both = jnp.stack([jnp.fft.rfftn(jnp.asarray(each)) for each in (field, other)])
    many = jax.vmap(lambda modes: differentiable_power(MESH, modes)[1])(both)
    truth = [power_spectrum(Density.of_field(each, BOX)).values for each in (field, other)]
    np.testing.assert_allclose(many, truth, rtol=1e-9)
    with jax.enable_x64(False):
        modes = jnp.fft.rfftn(jnp.asarray(field, jnp.float32))
        single = jax.jit(lambda modes: differentiable_power(MESH, modes)[1])(modes)
        assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, truth[0], rtol=1e-5)
