"""Painting and reading by either backend: what they are, what they conserve, their derivatives."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import BSpline

from volvelle.nbody import Mesh, MeshError, ParticleError, paint, read
from volvelle.nbody import painting_jax as plain
from volvelle.nbody.assignment import ORDERS
from volvelle.nbody.painting_jax import Sums

MESH = Mesh(8, 20.0)
SMOOTH = ("cic", "tsc", "pcs")
EXACT = 1e-12
"""Float64 rounding of sums of some hundred terms."""
STEP, SLOPES = 1e-5, 1e-7
"""[Mpc/h] of central differences, and how well they agree with derivatives."""


def particles(number: int = 60, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions up to a box away from the box, weights, and two fields."""
    rng = np.random.default_rng(seed)
    fields = rng.normal(size=(2, *MESH.shape))
    return rng.uniform(-20.0, 40.0, (number, 3)), rng.uniform(0.5, 2.0, number), fields


def matrix(mesh: Mesh, x: np.ndarray, assignment: str) -> np.ndarray:
    """Weights [N, n, n, n] of all mesh points, from SciPy's B-splines and a sum over images."""
    order = ORDERS[assignment]
    spline = BSpline.basis_element(np.arange(order + 1) - 0.5 * order, extrapolate=False)
    points = np.arange(mesh.cells)[:, None] + mesh.cells * np.arange(-9, 10)
    u = x.T / mesh.cell
    along = np.nan_to_num(spline(points[None, None] - u[:, :, None, None])).sum(axis=-1)
    return np.einsum("pi,pj,pk->pijk", *along)


@pytest.mark.parametrize("cells", [2, 8])
@pytest.mark.parametrize("assignment", ORDERS)
def test_against_a_brute_force_deposit(assignment: str, cells: int, backend: str) -> None:
    x, w, _ = particles()
    mesh = Mesh(cells, 20.0)
    weights = matrix(mesh, x, assignment)
    field = np.random.default_rng(2).normal(size=(2, *mesh.shape))
    painted, found = paint(mesh, x, w, assignment), read(mesh, field, x, assignment)
    np.testing.assert_allclose(painted, np.tensordot(w, weights, 1), atol=EXACT)
    np.testing.assert_allclose(
        found, np.tensordot(weights, field, ([1, 2, 3], [1, 2, 3])).copy(), atol=EXACT
    )
    np.testing.assert_allclose(painted.sum(), w.sum(), rtol=EXACT)
    np.testing.assert_allclose(paint(mesh, x, None, assignment).sum(), len(x), rtol=EXACT)
    np.testing.assert_allclose(read(mesh, field[0], x, assignment), found[:, 0], atol=EXACT)
    np.testing.assert_allclose(
        np.vdot(painted, field[0]), np.vdot(w, found[:, 0]), rtol=1e-10, err_msg="transposes"
    )


@pytest.mark.parametrize("assignment", SMOOTH)
def test_the_box_is_periodic(assignment: str, backend: str) -> None:
    x, w, _ = particles()
    inside = np.mod(x, MESH.box_size)
    expected = paint(MESH, inside, w, assignment)
    far = inside + MESH.box_size * np.random.default_rng(3).integers(-40, 40, x.shape)
    np.testing.assert_allclose(paint(MESH, far, w, assignment), expected, atol=1e-10)
    corners = MESH.box_size * np.array([[0, 0, 0], [1, 0, 0], [-1, 1, 2]])
    for corner in corners:
        alone = np.asarray(paint(MESH, corner[None], None, assignment))
        assert np.unravel_index(np.argmax(alone), alone.shape) == (0, 0, 0)
        np.testing.assert_allclose(
            alone, paint(MESH, [[0.0, 0.0, 0.0]], None, assignment), atol=EXACT
        )


@pytest.mark.parametrize("assignment", ORDERS)
def test_single_precision_at_the_edges(assignment: str, backend: str) -> None:
    """Nothing is lost or written elsewhere within 1e-6 cells of the box's faces."""
    near = [0.0, -1e-38, -1e-6 * MESH.cell, 1e-6 * MESH.cell]
    near += [MESH.box_size + each for each in near] + [
        np.nextafter(np.float32(20.0), np.float32(0))
    ]
    x = np.stack(np.meshgrid(near, near, [0.3, 19.9], indexing="ij"), -1).reshape(-1, 3)
    x = jnp.asarray(x, jnp.float32)
    painted = paint(MESH, x, None, assignment)
    assert painted.dtype == jnp.float32
    expected = np.sum(matrix(MESH, np.asarray(x, float), assignment), axis=0)
    if assignment == "ngp":  # z = 0.3 and 19.9 are nearest to the first plane too
        np.testing.assert_allclose(painted, expected)
    np.testing.assert_allclose(painted, expected, atol=1e-4)
    np.testing.assert_allclose(painted.sum(), len(x), rtol=1e-6)


@pytest.mark.parametrize("assignment", SMOOTH)
def test_moving_by_whole_cells_rolls_the_field(assignment: str, backend: str) -> None:
    x, w, fields = particles()
    shift = np.array([3, -1, 2])
    painted, moved = (paint(MESH, x + s * MESH.cell, w, assignment) for s in (0 * shift, shift))
    np.testing.assert_allclose(moved, np.roll(painted, shift, (0, 1, 2)), atol=1e-11)
    rolled = np.roll(fields[0], shift, (0, 1, 2))
    there = read(MESH, rolled, x + shift * MESH.cell, assignment)
    np.testing.assert_allclose(there, read(MESH, fields[0], x, assignment), atol=1e-11)


def misfit(assignment: str, x: jax.Array, w: jax.Array, f: jax.Array) -> jax.Array:
    """A scalar of positions, weights and fields through painting and reading."""
    painted = jnp.sin(paint(MESH, x, w, assignment)) * particles(seed=7)[2][0]
    return jnp.sum(painted) + jnp.sum(jnp.sin(read(MESH, f, x, assignment)) * w[:, None])


STATES = tuple(jnp.asarray(each) for each in particles())
ALONG = tuple(jnp.asarray(np.random.default_rng(4).normal(size=each.shape)) for each in STATES)


def moved(step: float) -> tuple[jax.Array, ...]:
    return tuple(a + step * b for a, b in zip(STATES, ALONG, strict=True))


def test_derivatives_are_finite_differences(backend: str) -> None:
    """In all arguments."""
    function = jax.jit(partial(misfit, "pcs"))
    gradient = jax.jit(jax.grad(function, (0, 1, 2)))(*STATES)
    slope = sum(float(jnp.vdot(a, b)) for a, b in zip(gradient, ALONG, strict=True))
    expected = float(function(*moved(STEP)) - function(*moved(-STEP))) / (2.0 * STEP)
    np.testing.assert_allclose(slope, expected, rtol=SLOPES)


def test_forward_mode_and_the_hessian() -> None:
    """The forward derivative is the reverse one; plain JAX takes over for the second."""
    gradient = jax.jit(jax.grad(partial(misfit, "tsc"), (0, 1, 2)))
    slope = sum(float(jnp.vdot(a, b)) for a, b in zip(gradient(*STATES), ALONG, strict=True))
    forward = jax.jit(lambda *given: jax.jvp(partial(misfit, "tsc"), given, ALONG)[1])
    np.testing.assert_allclose(forward(*STATES), slope, rtol=1e-10)
    curved = jax.jit(lambda *given: jax.jvp(gradient, given, ALONG)[1])(*STATES)
    ends = (gradient(*moved(step)) for step in (STEP, -STEP))
    for found, first, second in zip(curved, *ends, strict=True):
        np.testing.assert_allclose(found, (first - second) / (2.0 * STEP), atol=1e-5)


@partial(jax.jit, static_argnums=0)
def slopes_of_plain_sums(on: Sums, x: jax.Array, w: jax.Array, f: jax.Array) -> tuple:
    """By JAX, through the code of the plain sums."""

    def function(x: jax.Array, w: jax.Array, f: jax.Array) -> jax.Array:
        painted = plain.spread(on, x, w[:, None])[0]
        return jnp.vdot(painted, f[0]) + jnp.sum(plain.gather(on, x, f) ** 2)

    return jax.grad(function, (0, 1, 2))(x, w, f)


@pytest.mark.parametrize("assignment", ["ngp", "cic", "pcs"])
def test_derivatives_are_those_of_jax_through_the_plain_sums(assignment: str, backend: str) -> None:
    def own(x: jax.Array, w: jax.Array, f: jax.Array) -> jax.Array:
        painted = jnp.vdot(paint(MESH, x, w, assignment), f[0])
        return painted + jnp.sum(read(MESH, f, x, assignment) ** 2)

    found = jax.jit(jax.grad(own, (0, 1, 2)))(*STATES)
    on = Sums(MESH.cells, MESH.box_size, ORDERS[assignment])
    for one, other in zip(found, slopes_of_plain_sums(on, *STATES), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-11)
    assert assignment != "ngp" or not np.any(found[0])


def test_batches(backend: str) -> None:
    """vmap over any argument, twice, and of gradients."""
    sets = [particles(seed=s) for s in range(3)]
    x, w, f = (np.stack(each) for each in zip(*sets, strict=True))
    painted = np.stack([paint(MESH, a, b, "tsc") for a, b, _ in sets])
    painter = partial(paint, MESH, assignment="tsc")
    np.testing.assert_allclose(jax.vmap(painter)(x, w), painted, atol=EXACT)
    several = jax.vmap(painter, (None, 0))(x[0], w)
    np.testing.assert_allclose(several[1], paint(MESH, x[0], w[1], "tsc"), atol=EXACT)
    twice = jax.vmap(jax.vmap(lambda g, y: read(MESH, g, y, "tsc"), (0, None)), (None, 0))(f, x)
    np.testing.assert_allclose(twice[2, 1], read(MESH, f[1], x[2], "tsc"), atol=EXACT)
    slopes = jax.vmap(jax.grad(lambda y, g: jnp.sum(read(MESH, g, y, "tsc") ** 2)), (0, 0))
    one = jax.grad(lambda y: jnp.sum(read(MESH, f[2], y, "tsc") ** 2))(jnp.asarray(x[2]))
    np.testing.assert_allclose(slopes(x, f)[2], one, atol=EXACT)


def test_more_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    mesh, x = Mesh(16, 20.0), rng.uniform(-5.0, 25.0, (20_000, 3)).astype(np.float32)
    f = rng.normal(size=(2, *mesh.shape)).astype(np.float32)
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        slope = jax.grad(lambda y: jnp.sum(read(mesh, f, y, "pcs") ** 2))(jnp.asarray(x))
        found.append((paint(mesh, x, None, "pcs"), read(mesh, f, x, "pcs"), slope))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_mesh_beyond_flat_indices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than 2^31 points, here of more than a hundred: rows are indexed apart."""
    x, w, fields = (jnp.asarray(each) for each in particles())
    on = Sums(MESH.cells, MESH.box_size, 3)
    expected = plain.spread(on, x, w[:, None]), plain.gather(on, x, fields)
    monkeypatch.setattr(plain, "FLAT_LIMIT", 100)
    np.testing.assert_allclose(plain.spread(on, x, w[:, None]), expected[0], atol=EXACT)
    np.testing.assert_allclose(plain.gather(on, x, fields), expected[1], atol=EXACT)


def test_lists_integers_and_one_weight(backend: str) -> None:
    ours = paint(MESH, [[0, 0, 0], [5, 5, 5]], 2, "cic")
    np.testing.assert_allclose([ours[0, 0, 0], ours[2, 2, 2]], 2.0, rtol=EXACT)
    np.testing.assert_allclose(read(MESH, ours, [[5, 5, 5]]), [2.0], rtol=EXACT)
    half = paint(MESH, jnp.full((1, 3), 5.0, jnp.bfloat16))
    np.testing.assert_allclose(half, 0.5 * paint(MESH, [[5, 5, 5]], 2), rtol=EXACT)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: paint(MESH, np.zeros((3, 2))), ParticleError, r"shape \(3, 2\); expected"),
        (lambda: paint(MESH, [0.0, 1.0, 2.0]), ParticleError, r"shape \(3,\); expected"),
        (lambda: paint(MESH, [["a", "b", "c"]]), ParticleError, "no array of numbers"),
        (lambda: paint(MESH, np.zeros((1, 3)) * 1j), ParticleError, "complex"),
        (lambda: paint(MESH, [[0.0, np.nan, np.inf]]), ParticleError, "2 of 3 coordinates are NaN"),
        (lambda: paint(MESH, np.zeros((3, 3)), [1.0, 2.0]), ParticleError, r"for 3 particles"),
        (lambda: paint(MESH, np.zeros((1, 3)), [np.nan]), ParticleError, "1 of 1 weights"),
        (
            lambda: paint(MESH, np.zeros((1, 3)), None, "cics"),
            MeshError,
            "expected one of ngp, cic",
        ),
        (lambda: read(MESH, np.zeros((8, 8, 9)), np.zeros((1, 3))), MeshError, r"\(8, 8, 8\)"),
        (lambda: read(MESH, np.zeros(MESH.shape, complex), [[0.0] * 3]), MeshError, "complex"),
        (lambda: read(MESH, np.zeros((1, 1, *MESH.shape)), [[0.0] * 3]), MeshError, "shape"),
        (lambda: Mesh(7, 10.0), MeshError, "7 cells per side; expected an even number"),
        (lambda: Mesh(0, 10.0), MeshError, "even number from 2 on"),
        (lambda: Mesh(8.5, 10.0), MeshError, "whole number of cells"),  # type: ignore[arg-type]
        (lambda: Mesh(8, -1.0), MeshError, "positive, finite size"),
        (lambda: Mesh(8, np.inf), MeshError, "positive, finite size"),
    ],
)
def test_what_is_refused(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_traced_positions_that_are_no_numbers_spoil_the_field(backend: str) -> None:
    painted = jax.jit(partial(paint, MESH))(jnp.array([[0.0, np.nan, 0.0], [5.0, 5.0, 5.0]]))
    assert not bool(jnp.isfinite(painted).all())


def test_wavenumbers() -> None:
    kx, ky, kz = MESH.wavenumbers()
    assert (kx.shape, ky.shape, kz.shape) == ((8, 1, 1), (1, 8, 1), (1, 1, 5))
    assert -kx.min() == kz.max() == pytest.approx(MESH.nyquist) == 4.0 * MESH.fundamental
    np.testing.assert_allclose(MESH.k_squared()[1, 2, 3], 14.0 * MESH.fundamental**2)
    assert MESH.volume == 8000.0 and MESH.cell == 2.5
