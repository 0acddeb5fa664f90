"""The coefficients of every scheme, and the order at which its results converge."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from small_boxes import EINSTEIN_DE_SITTER, MESH, PLANCK, small_box, wave
from volvelle.nbody import (
    COLA,
    INTEGRATORS,
    SPACINGS,
    BullFrog,
    FastPM,
    InitialConditions,
    KickDriftKick,
    Mesh,
    ParticleMesh,
    ScheduleError,
    particle_growth,
    simulate,
    step_times,
)
from volvelle.nbody.integrators import bullfrog_decay

GROWTH = jax.jit(particle_growth)(PLANCK)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_times(spacing: str) -> None:
    times = np.asarray(step_times(GROWTH, 0.1, 0.9, 8, spacing))
    clock = {"linear": times, "log": np.log(times), "growth": GROWTH(times)[0][:, 0]}[spacing]
    np.testing.assert_allclose(np.diff(clock), (clock[-1] - clock[0]) / 8, rtol=1e-7)
    assert (times[0], times[-1]) == (0.1, 0.9)
    met = np.asarray(step_times(GROWTH, 0.1, 0.9, 8, spacing, through=(0.31, 0.5)))
    assert {0.31, 0.5} <= set(met) and met.size == 9 and np.all(np.diff(met) > 0.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"start": 0.5, "end": 0.3}, "from a = 0.5 to 0.3"),
        ({"start": 0.5, "end": 0.5}, "start < end"),
        ({"start": 1e-4}, "0.001 <= start"),
        ({"start": 0.1, "end": 1.1}, "end <= 1"),
        ({"start": 0.1, "steps": 0}, "0 steps"),
        ({"start": 0.1, "steps": 2.5}, "whole number"),
        ({"start": 0.1, "steps": 1, "through": (0.5,)}, "at least 2"),
        ({"start": 0.1, "through": (0.05,)}, "snapshots at a = 0.05"),
        ({"start": 0.1, "spacing": "cubic"}, "expected one of linear, log, growth"),
    ],
)
def test_times_that_make_no_simulation(given: dict, words: str) -> None:
    with pytest.raises(ScheduleError, match=words):
        step_times(GROWTH, **given)


def test_quinns_factors_are_the_integrals() -> None:
    times = step_times(GROWTH, 0.1, 1.0, 3)
    stages = KickDriftKick().stages(GROWTH, times, "linear")
    half = [0.1, 0.25, 0.55, 0.85, 1.0]
    for i in range(4):
        kick = quad(lambda a: a / float(GROWTH.Q(jnp.array(a))), half[i], half[i + 1])[0]
        np.testing.assert_allclose(stages.kick[i], kick / times[i], rtol=1e-7)
        kick = quad(lambda a: a / float(GROWTH.Q(jnp.array(a))), times[i], half[i + 1])[0]
        np.testing.assert_allclose(stages.back[i], kick / times[i], rtol=1e-7, atol=1e-12)
    drift = quad(lambda a: 1.0 / float(GROWTH.Q(jnp.array(a))), times[1], times[2])[0]
    np.testing.assert_allclose(stages.drift[2], drift, rtol=1e-7)
    assert float(stages.drift[0]) == 0.0
    np.testing.assert_allclose(stages.source, 1.5 * PLANCK.Omega_m * times, rtol=1e-12)


def test_tassevs_factors() -> None:
    times = step_times(GROWTH, 0.1, 1.0, 3)
    stages = COLA().stages(GROWTH, times, "linear")
    n, q = -2.5, float(GROWTH.Q(times[1]))
    wanted = (0.55**n - 0.25**n) / (n * 0.4 ** (n - 1) * q)
    np.testing.assert_allclose(stages.kick[1], wanted, rtol=1e-9)
    drift = quad(lambda a: a**n / float(GROWTH.Q(jnp.array(a))), 0.4, 0.7)[0] / 0.55**n
    np.testing.assert_allclose(stages.drift[2], drift, rtol=1e-7)
    with pytest.raises(ScheduleError, match="tassev or quinn"):
        COLA("leapfrog")
    with pytest.raises(ScheduleError, match="n of Tassev's"):
        COLA(power=0.0)


def test_bullfrogs_first_step_in_einstein_de_sitter() -> None:
    """alpha = -5/7 from D1 = 0 (Rampf, List & Hahn 2024), and FastPM's as they are small."""
    first = jnp.array([0.0, 0.3])
    alpha = bullfrog_decay(first, -3.0 / 7.0 * first**2, -6.0 / 7.0 * first)
    np.testing.assert_allclose(alpha, -5.0 / 7.0, rtol=1e-12)
    growth = particle_growth(EINSTEIN_DE_SITTER)
    times = jnp.array([0.5, 0.501])
    decay = BullFrog().stages(growth, times, "growth").decay
    np.testing.assert_allclose(decay, FastPM().stages(growth, times, "growth").decay, rtol=1e-5)
    np.testing.assert_allclose(decay, (0.5 / 0.501) ** 1.5, rtol=1e-5)


def test_kept_kicks_stand_for_the_time_around_them() -> None:
    """The kicks of every mask add up to the whole time, each up to halfway to its neighbours."""
    times = step_times(GROWTH, 0.1, 1.0, 6)
    whole = KickDriftKick().stages(GROWTH, times, "linear")
    flags = (True, False, True, False, False, True, True)
    found = KickDriftKick().stages(GROWTH, times, "linear", flags)
    assert not found.all_kept and np.array_equal(found.kept, flags)
    np.testing.assert_array_equal(np.asarray(found.kick)[~np.array(flags)], 0.0)
    marks = [0.1, 0.25, 0.625, 0.925, 1.0]
    for i, low, high in zip((0, 2, 5, 6), marks[:-1], marks[1:], strict=True):
        kick = quad(lambda a: a / float(GROWTH.Q(jnp.array(a))), low, high)[0] / times[i]
        np.testing.assert_allclose(found.kick[i], kick, rtol=1e-6)
    np.testing.assert_allclose(np.sum(found.kick * times), np.sum(whole.kick * times), rtol=1e-7)
    with pytest.raises(ScheduleError, match="expected 7 of True"):
        KickDriftKick().stages(GROWTH, times, "linear", flags[:5])
    for scheme in (FastPM(), BullFrog()):
        with pytest.raises(ScheduleError, match="a force in every step"):
            scheme.stages(GROWTH, times, "growth", flags[:6])


SMOOTH = ParticleMesh(MESH, "pcs")
"""Cubic splines: with the kinks of linear ones convergence is not clean."""


def test_times_that_depend_on_the_universe() -> None:
    with pytest.raises(ScheduleError, match="times are traced"):
        jax.jit(lambda start: step_times(GROWTH, start))(0.1)


@pytest.mark.parametrize("name", INTEGRATORS)
def test_second_order(name: str) -> None:
    """Halving the steps leaves a quarter of the distance to the limit."""
    initial = small_box()
    ends = [
        simulate(PLANCK, initial, integrator=name, steps=n, end=0.4, spacing="log", force=SMOOTH)
        for n in (12, 24, 48)
    ]
    for of in ("displacement", "momentum"):
        values = [np.asarray(getattr(end, of)) for end in ends]
        first, second = (np.std(a - b) for a, b in itertools.pairwise(values))
        assert np.log2(first / second) == pytest.approx(2.0, abs=0.1), of


@pytest.mark.parametrize("name", ["fastpm", "bullfrog"])
def test_zeldovichs_wave_is_exact_in_few_steps(name: str) -> None:
    """Whatever the steps, up to the mesh's own error: an exact force is handed in.

    Of a wave along x, g = D1(a) s1(q) at x(q): in terms of x its inverse, by Newton's method.
    """
    mesh = Mesh(16, 100.0)
    initial = InitialConditions(mesh, wave(mesh, 0.9))
    k = mesh.fundamental

    def force(positions: jax.Array, a: jax.Array) -> jax.Array:
        amplitude = 0.9 / k * GROWTH(a)[0][0]
        q = positions[:, 0]
        for _ in range(12):
            miss = q - amplitude * jnp.sin(k * q) - positions[:, 0]
            q = q - miss / (1.0 - amplitude * k * jnp.cos(k * q))
        pull = -amplitude * jnp.sin(k * q)
        return jnp.stack([pull, jnp.zeros_like(pull), jnp.zeros_like(pull)], -1)

    found = simulate(PLANCK, initial, integrator=name, steps=3, spacing="growth", force=force)
    line = np.asarray(found.displacement).reshape(16, 16, 16, 3)[:, 2, 3, 0]
    wanted = -0.9 / k * np.sin(k * mesh.cell * np.arange(16))
    np.testing.assert_allclose(line, wanted, atol=1e-6 * 0.9 / k)
    speed = np.asarray(found.momentum).reshape(16, 16, 16, 3)[:, 2, 3, 0]
    rate = float(GROWTH(jnp.array(1.0))[1][0])
    np.testing.assert_allclose(speed, rate * wanted, atol=1e-5 * 0.9 / k)
