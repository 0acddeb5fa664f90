"""xi_+, xi_-, gamma_t and w of a cosmology: the transform of angular_cl, its pairs and its ends."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from power_references import one_sided
from sky import COSMOLOGY, ccl_universe, compiled_cl
from volvelle.cosmology import Cosmology
from volvelle.power import (
    DomainError,
    EisensteinHu,
    HMcode2020,
    Model,
    Spectrum,
    learned_power,
    linear_power,
)
from volvelle.power.learned import _shipped
from volvelle.probes import (
    AngleError,
    CMBLensing,
    NumberCounts,
    PairError,
    Smail,
    Tracer,
    TracerError,
    WeakLensing,
    angular_cl,
    angular_transform,
    correlation_multipoles,
    gamma_t,
    w_theta,
    xi_minus,
    xi_plus,
)

pytest.importorskip("pyccl")

SETTLED = 2e-3
"""Of xi_- in narrow bins at a few arcmin: the last third of the multipoles (measured: 1.4e-3)."""
EDGES = np.array([2.5, 4.0, 9.0, 30.0, 100.0])
NEAR, FAR = Smail(2.0, 1.5, 0.3), Smail(2.0, 1.5, 0.6)
TRACERS: list[Tracer] = [
    WeakLensing(FAR),
    NumberCounts(NEAR, 1.5),
    WeakLensing(NEAR),
    CMBLensing(1089.0),
]
FUNCTIONS = {"xi_plus": xi_plus, "xi_minus": xi_minus, "gamma_t": gamma_t, "w_theta": w_theta}
PAIRS = {
    "xi_plus": ((0, 0), (0, 2), (2, 2)),
    "xi_minus": ((0, 0), (0, 2), (2, 2)),
    "gamma_t": ((1, 0), (3, 0), (1, 2), (3, 2)),
    "w_theta": ((1, 1), (1, 3), (3, 3)),
}


def compiled(name: str, *arguments: Any, **settings: Any) -> Any:
    return jax.jit(lambda: FUNCTIONS[name](*arguments, **settings))()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_the_transform_of_spectra(name: str) -> None:
    """With many more multipoles, and pairs of the spins that the function has."""
    _, _, spectrum = ccl_universe()
    found = compiled(name, COSMOLOGY, EDGES, TRACERS, spectrum, limber="always")
    assert found.pairs == PAIRS[name] and found.values.shape == (len(found.pairs), 4)
    ell = correlation_multipoles(200_000, 200)
    pairs = PAIRS[name][:2]
    spectra = compiled_cl(COSMOLOGY, ell, TRACERS, spectrum, pairs=pairs)
    expected = angular_transform(name, ell, edges=EDGES)(spectra.values)
    np.testing.assert_allclose(found.values[:2], expected, rtol=3e-4)
    np.testing.assert_allclose(found[pairs[1][::-1]], found.values[1], rtol=0)
    assert not np.any(found.flags(SETTLED))


@pytest.mark.parametrize("edges", [[5.0, 6.0, 7.0], [20.0, 25.0, 30.0], [0.5, 0.7, 10.0]])
def test_the_multipoles_follow_the_bins(edges: list[float]) -> None:
    _, _, spectrum = ccl_universe()
    found = compiled("xi_minus", COSMOLOGY, edges, [WeakLensing(FAR)], spectrum)
    assert np.all(found.unsettled < 1.5 * SETTLED)


def test_what_the_power_spectrum_lacks_is_said() -> None:
    """The learned power ends at 10/Mpc, which small angles of xi_- see."""
    found = compiled("xi_minus", COSMOLOGY, EDGES, [WeakLensing(FAR)], HMcode2020(learned_power()))
    assert found.missing[0, 0] > 0.01 > found.missing[0, 2] and found.flags()[0, 0]


def test_given_pairs_and_settings() -> None:
    _, _, spectrum = ccl_universe()
    found = compiled("gamma_t", COSMOLOGY, EDGES, TRACERS, spectrum, pairs=[(2, 1)], tolerance=1e-2)
    assert found.pairs == ((2, 1),)
    finer = compiled("gamma_t", COSMOLOGY, EDGES, TRACERS, spectrum, pairs=[(1, 2)])
    np.testing.assert_allclose(found.values, finer.values, rtol=1e-2)
    assert np.any(found.values != finer.values)
    with pytest.raises(PairError, match="not among"):
        found[0, 0]


def test_differentiable_with_one_trace() -> None:
    _, _, spectrum = ccl_universe()
    traces = []

    @jax.jit
    def f(bias: jax.Array) -> jax.Array:
        traces.append(1)
        tracers = [NumberCounts(NEAR, bias), WeakLensing(FAR)]
        return gamma_t(COSMOLOGY, EDGES, tracers, spectrum).values[0]

    np.testing.assert_allclose(f(jnp.asarray(2.0)), 2.0 * f(jnp.asarray(1.0)), rtol=1e-12)
    assert len(traces) == 1
    np.testing.assert_allclose(jax.jacfwd(f)(1.5), f(jnp.asarray(1.0)), rtol=1e-12)


def test_the_matrix_is_made_once() -> None:
    ell = correlation_multipoles(3000)
    first = angular_transform("w_theta", ell, edges=EDGES)
    assert angular_transform("w_theta", list(ell), edges=list(EDGES)).matrix is first.matrix
    with pytest.raises(ValueError, match="read-only"):
        first.matrix[0, 0] = 1.0


def test_no_power_is_hmcode_of_the_learned_one() -> None:
    """For spectra and for correlation functions."""
    ell = np.geomspace(20.0, 500.0, 5)
    default = compiled_cl(COSMOLOGY, ell, TRACERS[:2])
    named = compiled_cl(COSMOLOGY, ell, TRACERS[:2], HMcode2020(learned_power()))
    np.testing.assert_allclose(default.values, named.values, rtol=1e-12)
    xi = compiled("gamma_t", COSMOLOGY, EDGES[2:], TRACERS[:2])
    same = compiled("gamma_t", COSMOLOGY, EDGES[2:], TRACERS[:2], HMcode2020(learned_power()))
    np.testing.assert_allclose(xi.values, same.values, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: xi_plus(COSMOLOGY, EDGES, []), TracerError, "tracers are"),
        (lambda: xi_plus(COSMOLOGY, EDGES, [NumberCounts(NEAR)]), TracerError, "shear with shear"),
        (lambda: w_theta(COSMOLOGY, EDGES, [WeakLensing(NEAR)]), TracerError, "no two"),
        (lambda: gamma_t(COSMOLOGY, EDGES, TRACERS, pairs=[(0, 2)]), PairError, "is not"),
        (lambda: gamma_t(COSMOLOGY, EDGES, TRACERS, pairs=[(0, 7)]), PairError, "numbers of"),
        (lambda: xi_plus(COSMOLOGY, [3.0, 2.0], TRACERS), AngleError, "increase"),
        (lambda: xi_plus(COSMOLOGY, [3.0], TRACERS), AngleError, "shape"),
        (
            lambda: jax.jit(lambda e: xi_plus(COSMOLOGY, e, TRACERS).values)(EDGES),
            AngleError,
            "traced",
        ),
    ],
)
def test_refusals(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_the_learned_power_may_be_read_while_jax_traces() -> None:
    """As where the first call of a program is compiled; what was read is no tracer."""
    learned_power.cache_clear()
    _shipped.cache_clear()
    jax.eval_shape(lambda: angular_cl(COSMOLOGY, [30.0], [NumberCounts(NEAR)]).values)
    assert np.isfinite(float(linear_power(COSMOLOGY, 0.1, 1.0)))


class Own(Model):
    """A model of somebody else: with a function and a whole number among its fields."""

    shape: Callable[[Any], Any]
    order: int

    def spectrum(self, cosmology: Cosmology) -> Spectrum:
        _, _, spectrum = ccl_universe()
        return self.shape([spectrum] * self.order)


def test_models_of_other_people() -> None:
    """Not compiled as a whole by the caller."""
    _, _, spectrum = ccl_universe()
    model = Own(lambda many: many[-1], 3)
    found = angular_cl(COSMOLOGY, [30.0], [NumberCounts(NEAR)], model, limber="always")
    expected = compiled_cl(COSMOLOGY, [30.0], [NumberCounts(NEAR)], spectrum)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-12)


def test_a_cosmology_outside_of_the_learned_domain_is_refused() -> None:
    with pytest.raises(DomainError, match="omega_b"):
        angular_cl(COSMOLOGY.replace(omega_b=0.04), [10.0], TRACERS)


PARAMETERS = ("omega_b", "omega_cdm", "h", "A_s", "n_s", "m_nu", "w0", "wa", "Omega_k")
PARAMETERS += ("N_eff", "T_cmb")
ORDINARY = (0.0224, 0.12, 0.67, 2.1e-9, 0.965, 0.1, -0.95, 0.1, 0.02, 3.044, 2.7255)
AWKWARD = (0.0224, 0.12, 0.67, 2.1e-9, 0.965, 0.0, -1.0, 0.0, 0.0, 3.044, 2.7255)
WIDE = np.array([60.0, 120.0, 240.0])
"""Angles that few multipoles do for [arcmin]."""


def logarithms(theta: jax.Array) -> jax.Array:
    """ln of all four functions in two wide bins, from Eisenstein & Hu's power."""
    cosmology = COSMOLOGY.replace(**dict(zip(PARAMETERS, theta, strict=True)))
    tracers = [NumberCounts(NEAR, 1.5), WeakLensing(FAR)]
    found = [
        function(cosmology, WIDE, tracers, EisensteinHu(), limber="always").values[0]
        for function in FUNCTIONS.values()
    ]
    return jnp.log(jnp.stack(found))


def test_gradients_in_the_cosmology() -> None:
    """Differences of fourth order; at Omega_k = 0, w = -1 and m_nu = 0 (one-sided) too."""
    f, slopes = jax.jit(logarithms), jax.jit(jax.jacfwd(logarithms))
    for centre in (ORDINARY, AWKWARD):
        theta = jnp.asarray(centre)
        exact = np.asarray(slopes(theta))
        assert exact.shape == (4, 2, 11) and np.all(np.isfinite(exact))
        for i, name in enumerate(PARAMETERS):
            if name == "m_nu" and theta[i] == 0.0:
                numeric = one_sided(f, theta, i)
            else:
                step = 1e-3 * (abs(centre[i]) or 1.0)
                one, two = (
                    (f(theta.at[i].add(d * step)) - f(theta.at[i].add(-d * step))) / (2.0 * step)
                    for d in (1.0, 2.0)
                )
                numeric = np.asarray(8.0 * one - two) / 6.0
            scale = np.max(np.abs(numeric))
            assert scale > 1e-3
            np.testing.assert_allclose(
                exact[..., i], numeric, rtol=1e-4, atol=1e-5 * scale, err_msg=name
            )
