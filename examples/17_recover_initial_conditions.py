"""Initial conditions of a small box, found again from its density today by a gradient.

    python examples/17_recover_initial_conditions.py --output figures

The white noise of 32^3 particles in 128 Mpc/h is sought by Adam from zero, so that the density that
COLA makes of it, smoothed over 4 Mpc/h, with noise of a tenth of its scatter, is the one that was
seen. Prints how the found and the true initial density are correlated, and writes recovered.png.
Half a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax

mpl.use("Agg")
import matplotlib.pyplot as plt

from volvelle.cosmology import planck18
from volvelle.nbody import (
    Mesh,
    Particles,
    density_contrast,
    from_white_noise,
    simulate,
    white_noise,
)
from volvelle.power import EisensteinHu

COSMOLOGY, SMOOTHING, NOISE = planck18(), 4.0, 0.1


def seen(mesh: Mesh) -> Callable[[jax.Array], jax.Array]:
    """From white noise to the smoothed density of today, in 5 forces."""

    def density(noise: jax.Array) -> jax.Array:
        initial = from_white_noise(COSMOLOGY, mesh, noise, power=EisensteinHu())
        end = simulate(COSMOLOGY, initial, start=0.2, steps=4)
        assert isinstance(end, Particles)
        delta = density_contrast(mesh, end.positions, interlaced=False)
        smooth = jnp.exp(-0.5 * SMOOTHING**2 * mesh.k_squared().astype(noise.dtype))
        return jnp.fft.irfftn(delta * smooth, s=mesh.shape)

    return density


def recovered(mesh: Mesh, data: jax.Array, steps: int) -> tuple[jax.Array, list[float]]:
    """The white noise of the highest posterior, and how its loss went down."""
    model, scatter = seen(mesh), NOISE * jnp.std(data)

    def loss(noise: jax.Array) -> jax.Array:
        misfit = jnp.sum(((model(noise) - data) / scatter) ** 2)
        return 0.5 * (misfit + jnp.sum(noise**2)) / data.size

    optimiser = optax.adam(optax.cosine_decay_schedule(0.1, steps))

    @jax.jit
    def improve(
        noise: jax.Array, state: optax.OptState
    ) -> tuple[jax.Array, optax.OptState, jax.Array]:
        value, slope = jax.value_and_grad(loss)(noise)
        change, state = optimiser.update(slope, state)
        return noise + change, state, value

    noise = jnp.zeros(mesh.shape, data.dtype)
    state, values = optimiser.init(noise), []
    for n in range(steps):
        noise, state, value = improve(noise, state)
        values.append(float(value))
        if n % 20 == 0:
            print(f"step {n:4d}  loss {values[-1]:.3f}", flush=True)
    return noise, values


def correlation(one: jax.Array, other: jax.Array, mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """k [h/Mpc] and r(k) of two fields, in bands a fundamental wavenumber wide."""
    first, second = (np.fft.rfftn(np.asarray(each)).ravel() for each in (one, other))
    k = np.sqrt(np.asarray(mesh.k_squared())).ravel()
    band = (k / mesh.fundamental + 0.5).astype(int)
    cross, left, right = (
        np.bincount(band, (a * b.conj()).real)
        for a, b in ((first, second), (first, first), (second, second))
    )
    inside = slice(1, mesh.cells // 2)
    return np.arange(len(cross))[inside] * mesh.fundamental, (cross / np.sqrt(left * right))[inside]


def main() -> None:
    """Make data, find their beginning, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("."), help="folder of the figure")
    parser.add_argument("--particles", type=int, default=32, help="per side")
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    mesh = Mesh(options.particles, 4.0 * options.particles)
    truth = white_noise(1, mesh)
    clean = jax.jit(seen(mesh))(truth)
    data = clean + NOISE * jnp.std(clean) * white_noise(2, mesh)
    found, values = recovered(mesh, data, options.steps)
    k, r = correlation(found, truth, mesh)
    large = k < 0.2
    print(f"loss {values[0]:.2f} to {values[-1]:.2f}")
    print(f"correlation with the true initial conditions, k < 0.2 h/Mpc: {np.min(r[large]):.3f}")

    initial = [
        from_white_noise(COSMOLOGY, mesh, each, power=EisensteinHu()).density
        for each in (truth, found)
    ]
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.4))
    panels = (("seen today", data), ("true beginning", initial[0]), ("found", initial[1]))
    for axis, (words, field) in zip(axes[:3], panels, strict=True):
        axis.imshow(np.asarray(field)[mesh.cells // 2].T, origin="lower", cmap="RdBu_r")
        axis.set_title(words, fontsize=9)
        axis.set_axis_off()
    axes[3].plot(k, r)
    axes[3].set_ylim(0.0, 1.02)
    axes[3].set_xlabel("k [h/Mpc]")
    axes[3].set_title("correlation of beginnings", fontsize=9)
    figure.tight_layout()
    options.output.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output / "recovered.png", dpi=130)
    print(f"wrote {options.output / 'recovered.png'}")


if __name__ == "__main__":
    main()
