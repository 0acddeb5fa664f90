"""Lagrangian perturbation theory against waves, sums over pairs, and its own equation."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from small_boxes import MESH, small_box, wave
from volvelle.nbody import InitialConditions, InitialConditionsError, lagrangian

N = MESH.cells
LIMITS = (1.0, -3.0 / 7.0, -1.0 / 3.0, 5.0 / 21.0, 1.0 / 7.0)
"""D over powers of D1 in an Einstein-de Sitter universe."""
POWERS = (1, 2, 3, 3, 3)


def long_waves(seed: int, below: int = 3) -> np.ndarray:
    """A field of unit variance with waves of at most ``below`` - 1 per side: products of three have
    no aliases."""
    modes = np.fft.rfftn(np.random.default_rng(seed).normal(size=MESH.shape))
    axis = np.abs(np.fft.fftfreq(N, 1.0 / N)) < below
    modes *= axis[:, None, None] * axis[:, None] * axis[: N // 2 + 1]
    modes[0, 0, 0] = 0.0
    field = np.fft.irfftn(modes)
    return field / field.std()


def derivative(field: np.ndarray, axis: int) -> np.ndarray:
    """Of a field of few waves, by its transform."""
    k = 2j * np.pi / MESH.box_size * np.fft.fftfreq(N, 1.0 / N)
    shape = [1, 1, 1]
    shape[axis] = N
    return np.fft.ifft(np.fft.fft(field, axis=axis) * k.reshape(shape), axis=axis).real


def deformation(displacement: np.ndarray) -> np.ndarray:
    """d psi_i / d q_j, [3, 3, n, n, n]."""
    fields = np.asarray(displacement).T.reshape(3, *MESH.shape)
    return np.array([[derivative(field, j) for j in range(3)] for field in fields])


def test_a_plane_wave_is_zeldovichs() -> None:
    """s1 = -(A/k) sin(k q), and nothing beyond it."""
    found = lagrangian(InitialConditions(MESH, wave(MESH, 1.0)), order=3)
    k = MESH.fundamental
    wanted = -np.sin(k * MESH.cell * np.arange(N)) / k
    first = np.asarray(found.fields[0]).reshape(N, N, N, 3)
    np.testing.assert_allclose(first[:, 3, 4, 0], wanted, atol=1e-12)
    np.testing.assert_allclose(first[..., 1:], 0.0, atol=1e-12)
    for higher in found.fields[1:]:
        np.testing.assert_allclose(higher, 0.0, atol=1e-12)


def test_the_second_order_by_sums_over_pairs() -> None:
    """div s2 = sum over pairs of modes of [1 - (p q / p q)^2] delta_p delta_q / 2."""
    density = small_box().density
    found = np.fft.fftn(
        np.trace(deformation(lagrangian(InitialConditions(MESH, density)).fields[1]))
    )
    modes = np.fft.fftn(np.asarray(density)) / N**3
    modes[N // 2], modes[:, N // 2], modes[:, :, N // 2] = 0.0, 0.0, 0.0
    index = range(-7, 8)
    for target in ((1, 2, -1), (0, 0, 4), (7, -6, 5)):
        total = 0.0
        for p in itertools.product(index, index, index):
            q = tuple(np.array(target) - p)
            if max(map(abs, q)) < 8 and any(p) and any(q):
                cosine = np.dot(p, q) ** 2 / np.dot(p, p) / np.dot(q, q)
                total = total + 0.5 * (1.0 - cosine) * modes[p] * modes[q]
        np.testing.assert_allclose(found[target] / N**3, total, rtol=1e-9, atol=1e-13)


def test_aliases_where_they_are_asked_for() -> None:
    """Without the finer mesh short waves change the result; long waves do not."""
    for field, same in ((long_waves(1), True), (small_box().density, False)):
        initial = InitialConditions(MESH, field)
        one, other = (lagrangian(initial, dealiased=each).fields[1] for each in (True, False))
        off = np.abs(np.asarray(one - other)).max() / np.abs(np.asarray(one)).max()
        assert bool(off < 1e-12) == same, off


def residuals(order: int, amplitude: float, density: np.ndarray) -> tuple[float, float]:
    """What is left of the equations of motion and of no vorticity, Einstein-de Sitter, D1 = 1.

    J div_x (T^2 x) = (3/2) (J - 1), which is 0 = cof(J)_ij d_j (T^2 psi_i) - 1.5 (J - 1), and
    eps_ijk (T x_l,j) x_l,k = 0. The time derivatives: T^2 a^n = n (n + 1/2) a^(n + 1).
    """
    fields = lagrangian(InitialConditions(MESH, amplitude * density), order).fields
    values = [limit * deformation(np.asarray(s)) for limit, s in zip(LIMITS, fields, strict=False)]
    strain = sum(values) + np.eye(3)[:, :, None, None, None]
    speeds = sum(n * each for n, each in zip(POWERS, values, strict=False))
    pushes = sum(n * (n + 0.5) * each for n, each in zip(POWERS, values, strict=False))
    moved = np.moveaxis(strain, (0, 1), (-2, -1))
    volume = np.linalg.det(moved)
    cofactor = np.moveaxis(volume[..., None, None] * np.linalg.inv(moved), (-2, -1), (1, 0))
    motion = np.sum(cofactor * pushes, (0, 1)) - 1.5 * (volume - 1.0)
    turning = np.einsum("ljxyz,lkxyz->jkxyz", speeds, strain)
    vorticity = turning - np.swapaxes(turning, 0, 1)
    return float(np.std(motion)), float(np.std(vorticity))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_what_is_left_is_of_the_next_order(order: int) -> None:
    """Halving the density halves what is left of the exact equations order + 1 times.

    Vorticity begins at the third order (the second has none), so that s3c is needed.
    """
    density = long_waves(2)
    (big, swirl), (small, less) = (residuals(order, each, density) for each in (0.02, 0.01))
    assert np.log2(big / small) == pytest.approx(order + 1, abs=0.1)
    if order == 1:
        assert max(swirl, less) < 1e-15
    else:
        assert np.log2(swirl / less) == pytest.approx({2: 3, 3: 4}[order], abs=0.1)


def test_the_transverse_part_has_no_divergence_and_the_others_no_curl() -> None:
    *longitudinal, transverse = lagrangian(small_box(), order=3).fields
    strain = deformation(transverse)
    assert np.abs(np.trace(strain)).max() < 1e-10 * np.abs(strain).max()
    for each in longitudinal:
        strain = deformation(each)
        assert np.abs(strain - np.swapaxes(strain, 0, 1)).max() < 1e-10 * np.abs(strain).max()


def test_orders_and_precision() -> None:
    with pytest.raises(InitialConditionsError, match="expected 1, 2 or 3"):
        lagrangian(small_box(), order=4)
    single = InitialConditions(MESH, jnp.asarray(small_box().density, jnp.float32))
    fields = jax.jit(lambda initial: lagrangian(initial, 3).fields)(single)
    wanted = lagrangian(small_box(), 3).fields
    for one, other in zip(fields, wanted, strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(np.asarray(other)).max())
