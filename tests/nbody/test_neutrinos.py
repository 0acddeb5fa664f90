"""Linear neutrinos beside particles of baryons and cold dark matter."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from small_boxes import PLANCK, POWER, sharpened
from volvelle.nbody import (
    ForceError,
    InitialConditions,
    InitialConditionsError,
    LinearResponse,
    Mesh,
    ParticleMesh,
    Particles,
    SimulationError,
    gaussian,
    neutrino_frame,
    prepare,
    simulate,
)
from volvelle.power import TabulatedPower, learned_power, linear_power

HEAVY = PLANCK.replace(m_nu=0.4)
MESH = Mesh(24, 400.0)
START = 0.05
FRACTION = float(HEAVY.omega_nu / HEAVY.omega_m)
GROWTH = 2e-4
"""Of D1(k, a) against CLASS's P_cb, k > 0.01/Mpc (measured: 7e-5, at 100 times the horizon's k)."""


@pytest.fixture(scope="module")
def solved() -> TabulatedPower:
    """CLASS's spectra of matter and baryons + cold dark matter, as the learned power has them."""
    k, z = np.geomspace(2e-3, 5.0, 120), np.expm1(np.linspace(0.0, np.log(100.0), 50))
    grid = [jnp.asarray(each) for each in np.broadcast_arrays(k, 1.0 / (1.0 + z[:, None]))]
    return TabulatedPower(
        k, z, *(linear_power(HEAVY, *grid, learned_power(), of) for of in ("matter", "cb"))
    )


@pytest.fixture(scope="module")
def response(solved: TabulatedPower) -> LinearResponse:
    return LinearResponse.of(HEAVY, MESH, START, solved)


@pytest.fixture(scope="module")
def initial(solved: TabulatedPower) -> InitialConditions:
    """A thousandth of the real density: linear at all scales."""
    whole = gaussian(HEAVY, MESH, 3, power=solved, species="cb", dtype=jnp.float64)
    return InitialConditions(MESH, 1e-3 * whole.density)


K = np.geomspace(MESH.fundamental, 1.7 * MESH.nyquist, 9)


@pytest.mark.parametrize("a", [0.05, 0.1, 0.3, 0.7])
def test_growth_is_that_of_the_boltzmann_solver(
    solved: TabulatedPower, response: LinearResponse, a: float
) -> None:
    """Of the ODE with neutrinos as a source, against P_cb at two times; and R against P_m."""
    spectrum = solved.spectrum(HEAVY)
    k = jnp.asarray(K * HEAVY.h)
    now, then, total = (
        spectrum(k, jnp.full(9, at), of) for at, of in ((1.0, "cb"), (a, "cb"), (a, "matter"))
    )
    growth = response.growth(jnp.log(K), jnp.array(a))
    np.testing.assert_allclose(growth, jnp.sqrt(then / now), rtol=GROWTH)
    matter = (1.0 - FRACTION) * growth + response.neutrinos(jnp.log(K), jnp.array(a))
    np.testing.assert_allclose(matter, jnp.sqrt(total / now), rtol=GROWTH)


def test_small_scales_grow_without_neutrinos(response: LinearResponse) -> None:
    """As slowly as with (1 - f) of gravity: faster on large scales, by up to (3/5) f ln(1/a)."""
    growth = np.asarray(response.growth(jnp.log(K), jnp.array(0.1)))
    assert np.all(np.diff(growth) > 0.0)  # what grew less since then was more then
    assert growth[-1] < float(response.small(jnp.array(0.1))[0][0])


def test_the_frame_obeys_its_equations(
    response: LinearResponse, initial: InitialConditions
) -> None:
    """p = T F and g = T p."""
    frame, a = neutrino_frame(response, initial, 2), jnp.array(0.3)
    for value, slope in (("displacement", "momentum"), ("momentum", "acceleration")):
        read = getattr(frame, value)
        found = frame.response.small.Q(a) * jax.jacfwd(lambda a, read=read: read(a)[:20])(a)
        wanted = getattr(frame, slope)(a)[:20]
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("frame", ["lpt", "none"])
def test_linear_growth(solved: TabulatedPower, initial: InitialConditions, frame: str) -> None:
    """Every mode ends at the density of today that its start was traced back from, to 0.2%."""
    end = simulate(
        HEAVY, initial, neutrinos=solved, start=START, steps=100, spacing="log",
        frame=frame, force=sharpened(MESH),
    )  # fmt: skip
    assert isinstance(end, Particles)
    moved = np.fft.rfftn(np.asarray(end.displacement).reshape(24, 24, 24, 3)[..., 0])
    k = MESH.wavenumbers()[0][:, 0, 0]
    for index in ((1, 0, 0), (1, 1, 0)):
        wanted = 1j * k[index[0]] / float(MESH.k_squared()[index]) * initial.modes[index]
        assert abs(moved[index] / wanted - 1.0) < 2e-3, index


def test_their_pull_is_missed_where_it_is_left_out(
    solved: TabulatedPower, initial: InitialConditions
) -> None:
    """From the same start, particles with (1 - f) of gravity and nothing else end 2% short."""
    kdk = {"start": START, "steps": 40, "spacing": "log", "integrator": "kdk"}
    whole = prepare(HEAVY, initial, neutrinos=solved, force=sharpened(MESH), **kdk)
    light = ParticleMesh(
        MESH, "pcs", modification=sharpened(MESH).modification, fraction=1.0 - FRACTION
    )
    without = prepare(HEAVY, initial, force=light, **kdk)
    start = whole.init()
    spreads = [
        float(np.std(np.asarray(each.particles(each.run(start)).displacement)))
        for each in (whole, without)
    ]
    assert 0.975 < spreads[1] / spreads[0] < 0.985


def test_phases_are_shared_with_a_run_without(initial: InitialConditions) -> None:
    """The same seed, with and without mass: densities in phase, mode by mode."""
    light = gaussian(PLANCK.replace(m_nu=0.0), MESH, 3, power=POWER, dtype=jnp.float64)
    turn = np.angle(np.asarray(light.modes) * np.conj(np.asarray(initial.modes)))
    np.testing.assert_allclose(turn[1:8, 1:8, 1:8], 0.0, atol=1e-9)


def test_gradients_with_neutrinos(solved: TabulatedPower, initial: InitialConditions) -> None:
    """In their mass, through growth, frame and force, against finite differences."""

    def end(mass: jax.Array) -> jax.Array:
        found = simulate(HEAVY.replace(m_nu=mass), initial, neutrinos=solved, start=0.2, steps=3)
        assert isinstance(found, Particles)
        return jnp.sum(found.displacement**2)

    value, slope = jax.jit(end), jax.jit(jax.grad(end))
    wanted = (value(jnp.array(0.401)) - value(jnp.array(0.399))) / 0.002
    np.testing.assert_allclose(slope(jnp.array(0.4)), wanted, rtol=1e-3)


def test_what_is_refused(initial: InitialConditions) -> None:
    with pytest.raises(InitialConditionsError, match="m_nu is 0"):
        LinearResponse.of(PLANCK.replace(m_nu=0.0), MESH, START, POWER)
    table = TabulatedPower(np.geomspace(1e-3, 10.0, 20), [0.0, 3.0], np.ones((2, 20)))
    with pytest.raises(InitialConditionsError, match=r"from a = 0\.05 in a box.*known for a from"):
        prepare(HEAVY, initial, neutrinos=table, start=START)
    for choices in ({"integrator": "fastpm"}, {"coupling": lambda a: 1.1 * a**0}):
        with pytest.raises(SimulationError, match="take COLA or KickDriftKick"):
            prepare(HEAVY, initial, neutrinos=POWER, **choices)
    with pytest.raises(ForceError, match="no room for the neutrinos"):
        prepare(HEAVY, initial, neutrinos=POWER, force=lambda x, a: x)
    with pytest.raises(InitialConditionsError, match="1 or 2 beside linear neutrinos"):
        prepare(HEAVY, initial, neutrinos=POWER, order=3)
