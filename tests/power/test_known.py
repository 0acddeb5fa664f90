"""What is known while a program is made: a flat universe, a cosmological constant, wavenumbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.cosmology import Cosmology, planck18
from volvelle.power import EisensteinHu, Halofit, nonlinear_power, power_model
from volvelle.power.continuation import Continued
from volvelle.power.dark_energy import HorizonGrowth
from volvelle.power.learned import learned_power

K, A = np.geomspace(1e-4, 10.0, 40), np.array([1.0, 0.6, 0.2, 0.05])
HALOFIT = power_model("learned", "halofit")


def nothing_but(names: tuple[str, ...]):
    """A fiducial universe whose parameters of these names are the argument."""

    def made(x: jax.Array) -> Cosmology:
        return planck18().replace(**dict(zip(names, x, strict=True)))

    return made


FEW, MANY = ("h", "omega_cdm", "m_nu"), ("h", "omega_cdm", "m_nu", "Omega_k", "w0", "wa")


@pytest.mark.parametrize("model", [learned_power(), HALOFIT], ids=["linear", "halofit"])
def test_known_is_as_traced(model) -> None:
    """Values and gradients, of both species."""

    def summed(x: jax.Array, names: tuple[str, ...]) -> tuple[jax.Array, jax.Array]:
        spectrum = model.spectrum(nothing_but(names)(x))
        found = [jnp.log(spectrum(jnp.asarray(K), A[:, None], s)) for s in ("matter", "cb")]
        return sum(jnp.sum(jnp.sin(3.0 * each)) for each in found), jnp.stack(found)

    few = jnp.array([0.68, 0.121, 0.08])
    many = jnp.concatenate([few, jnp.array([0.0, -1.0, 0.0])])
    derivatives = jax.jit(jax.grad(summed, has_aux=True), static_argnums=1)
    (slope, known), (slopes, traced) = derivatives(few, FEW), derivatives(many, MANY)
    np.testing.assert_allclose(known, traced, rtol=0, atol=1e-10)
    np.testing.assert_allclose(slope, slopes[:3], rtol=1e-7)


def test_what_is_known_is_left_out() -> None:
    """Flatness and a cosmological constant, also where the other parameters are traced; not so
    where they are traced themselves."""
    seen = []

    def look(x: jax.Array, names: tuple[str, ...]) -> jax.Array:
        found = HALOFIT.spectrum(nothing_but(names)(x)).linear
        seen.append((found.known.curvature is None, found.known.horizon.surface is None))
        return x

    few = jnp.array([0.68, 0.121, 0.08])
    jax.eval_shape(lambda x: look(x, FEW), few)
    jax.eval_shape(lambda x: look(jnp.concatenate([x, jnp.array([0.0, -1.0, 0.0])]), MANY), few)
    assert seen == [(True, True), (False, False)]
    other = learned_power().spectrum(planck18().replace(Omega_k=0.01, w0=-0.9)).known
    assert other.curvature is not None and other.horizon.surface is not None


def test_a_cosmological_constant_does_not_cluster() -> None:
    traced = jax.jit(lambda w, k: learned_power().spectrum(
        planck18().replace(w0=w, Omega_k=k)).known.horizon.surface.value)  # fmt: skip
    for curvature in (0.0, 0.05, -0.05):
        assert np.max(np.abs(traced(-1.0, curvature))) < 1e-13
    assert np.max(np.abs(traced(-0.8, 0.0))) > 1e-3
    assert HorizonGrowth(None)(jnp.asarray(K), jnp.ones(())) == 0.0


@pytest.mark.parametrize("spread", [(1e-5, 5.0), (1e-3, 1.0), (1e-3, 300.0), (1e-6, 300.0)])
def test_known_wavenumbers_beyond_the_edges(spread: tuple[float, float]) -> None:
    """The same as traced ones, element by element."""
    cosmology, k = planck18(), np.geomspace(*spread, 50)
    power = Continued(cosmology, learned_power().spectrum(cosmology))
    at, falling = jnp.asarray(A[:, None]), k[::-1]
    traced = jax.jit(lambda k, a=at: power(k, a))
    np.testing.assert_allclose(power(k, at), traced(k), rtol=1e-12)
    np.testing.assert_allclose(power(falling, at), traced(falling), rtol=1e-12)
    late = jnp.linspace(0.5, 1.0, k.size)
    np.testing.assert_allclose(power(k, late), traced(k, late), rtol=1e-12)
    np.testing.assert_allclose(power(k[:4, None], at[:, 0]), traced(k)[:, :4].T, rtol=1e-12)


def test_new_values_are_no_new_program() -> None:
    """Of known parameters; a curved universe and other dark energy have one of their own."""
    traced = []

    class Counted(Halofit):
        def log_boost(self, *given, **named):
            traced.append(1)
            return super().log_boost(*given, **named)

    model, programs = Counted(EisensteinHu()), []
    for change in ({}, {"omega_b": 0.0221}, {"Omega_k": 0.01}, {"Omega_k": 0.02}, {"w0": -0.9}):
        cosmology = planck18().replace(**change)
        nonlinear_power(cosmology, 0.1, 1.0, model)
        jax.grad(lambda h, c=cosmology: nonlinear_power(c.replace(h=h), 0.1, 1.0, model))(0.7)
        programs.append(len(traced))
    assert programs == [programs[0], programs[0], *(2 * [2 * programs[0]]), 3 * programs[0]]
