"""Galaxies that trace baryons and cold dark matter, beside lensing by all matter."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sky import COSMOLOGY, ccl_universe, compiled_cl
from volvelle.cosmology import planck18, to_ccl
from volvelle.power import Spectrum, learned_power
from volvelle.probes import (
    CustomTracer,
    NumberCounts,
    Smail,
    Tracer,
    TracerError,
    WeakLensing,
    angular_cl,
    cap_window,
    super_sample_covariance,
)

ccl = pytest.importorskip("pyccl")

AGREEMENT = 1e-3
"""With CCL, as in test_angular (measured: 3e-4)."""
NEAR, FAR = Smail(2.0, 1.5, 0.3), Smail(2.0, 1.5, 0.6)
ELL = np.array([20.0, 60.0, 150.0, 400.0])


class Split(Spectrum):
    """Any spectrum, with more power in baryons and cold dark matter by (1 + 0.2 k / (k + 0.1))^2,
    or (``whole``) with that, to the power ``whole``, as the power of matter."""

    base: Spectrum
    whole: float | None = eqx.field(static=True, default=None)

    @property
    def k_min(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.base.k_min

    @property
    def k_max(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.base.k_max

    @property
    def a_min(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.base.a_min

    def _more(self, k: jax.Array, a: jax.Array) -> jax.Array:
        return 1.0 + 0.2 * a * k / (k + 0.1)

    def matter(self, k: jax.Array, a: jax.Array) -> jax.Array:
        power = self.base.matter(k, a)
        return power if self.whole is None else power * self._more(k, a) ** self.whole

    def cb(self, k: jax.Array, a: jax.Array) -> jax.Array:
        return self.base.matter(k, a) * self._more(k, a) ** 2


def tracers(tracing: str, rsd: bool = False) -> list[Tracer]:
    counts = NumberCounts(NEAR, 1.4, rsd=rsd, magnification=0.7, tracing=tracing)
    return [counts, WeakLensing(FAR)]


def test_against_brute_force() -> None:
    """Each spectrum is that of matter alone with P replaced by what the pair follows."""
    _, _, base = ccl_universe()
    plain = [NumberCounts(NEAR, 1.4), WeakLensing(FAR)]
    found = compiled_cl(
        COSMOLOGY, ELL, [NumberCounts(NEAR, 1.4, tracing="cb"), plain[1]], Split(base)
    )
    for pair, whole in (((0, 0), 2.0), ((0, 1), 1.0), ((1, 1), 0.0)):
        expected = compiled_cl(COSMOLOGY, ELL, plain, Split(base, whole))
        np.testing.assert_allclose(found[pair], expected[pair], rtol=1e-12)
    before = compiled_cl(COSMOLOGY, ELL, plain, base)
    assert np.all(np.asarray(found.values[:2] / before.values[:2]) > 1.02)


@pytest.mark.parametrize("rsd", [False, True])
def test_every_term_by_the_long_way(rsd: bool) -> None:
    """With magnification (which follows matter) and distortions (which do not), against terms of
    a transfer function that is written out."""
    _, _, base = ccl_universe()
    found = compiled_cl(COSMOLOGY, ELL, tracers("cb", rsd), Split(base))
    first = NumberCounts(NEAR, 1.4, rsd=rsd)

    class Long(Tracer):
        inner: NumberCounts
        lenses: NumberCounts

        def contributions(self, cosmology: Any, grid: Any) -> Any:
            terms = self.inner.contributions(cosmology, grid)
            more = lambda k, a: 1.0 + 0.2 * a * k / (k + 0.1)  # noqa: E731
            bent = tuple(
                eqx.tree_at(lambda t: t.transfer, t, more, is_leaf=lambda x: x is None)
                for t in terms
            )
            return bent + self.lenses.contributions(cosmology, grid)[-1:]

        @property
        def demand(self) -> Any:
            return self.inner.demand

        @property
        def needs_growth(self) -> bool:
            return self.inner.needs_growth

    long = Long(first, NumberCounts(NEAR, 1.4, magnification=0.7))
    expected = compiled_cl(COSMOLOGY, ELL, [long, WeakLensing(FAR)], base)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-9)


def test_massive_neutrinos_against_ccl() -> None:
    """0.3 eV: the learned power of matter and of cb, the same tables for CCL."""
    cosmology = planck18().replace(m_nu=0.3)
    spectrum = learned_power().spectrum(cosmology)
    found = compiled_cl(
        cosmology, ELL, [NumberCounts(NEAR, 1.4, tracing="cb"), WeakLensing(FAR)], spectrum
    )
    given = {n: v for n, v in to_ccl(cosmology).items() if n != "A_s"}
    other = ccl.Cosmology(**given, sigma8=0.8, transfer_function="eisenstein_hu")
    k = np.geomspace(1.0001e-4, 9.999, 600)
    a = 1.0 / (1.0 + np.geomspace(1.0, 10.0, 90)[::-1] - 1.0)
    powers = [np.asarray(spectrum(*np.meshgrid(k, a), species)) for species in ("matter", "cb")]
    assert np.max(powers[1] / powers[0]) > 1.04
    z = np.linspace(1e-4, 6.0, 6001)
    one = ccl.NumberCountsTracer(
        other, dndz=(z, np.asarray(NEAR(z))), bias=(z, np.full_like(z, 1.4)), has_rsd=False
    )
    two = ccl.WeakLensingTracer(other, dndz=(z, np.asarray(FAR(z))), n_samples=2000)
    for pair, table in (
        ((0, 0), powers[1]),
        ((0, 1), np.sqrt(powers[0] * powers[1])),
        ((1, 1), powers[0]),
    ):
        power = ccl.Pk2D(a_arr=a, lk_arr=np.log(k), pk_arr=np.log(table), is_logp=True)
        truth = ccl.angular_cl(
            other,
            *(one if n == 0 else two for n in pair),
            ELL,
            p_of_k_a=power,
            limber_integration_method="spline",
        )
        np.testing.assert_allclose(found[pair], truth, rtol=AGREEMENT)
    default = compiled_cl(cosmology, ELL, [NumberCounts(NEAR, 1.4)], spectrum)
    ratio = np.asarray(found[0, 0] / default[0, 0])
    assert 1.005 < ratio[0] < ratio[-1] and ratio[-1] > 1.04  # free streaming


def test_beyond_limber() -> None:
    """The product that the sheet of cb makes: with ``whole`` = 2 matter is what cb was, and counts
    that follow matter then, of the same bias, are those that followed cb."""
    _, _, base = ccl_universe()
    ell = np.array([2.0, 5.0, 12.0])
    cold = [NumberCounts(NEAR, 1.4, tracing="cb", rsd=True)]
    found = angular_cl(COSMOLOGY, ell, cold, Split(base), limber="never")
    assert not np.any(found.limber)
    plain = [NumberCounts(NEAR, 1.4, rsd=True)]
    expected = angular_cl(COSMOLOGY, ell, plain, Split(base, 2.0), limber="never")
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-3)
    ignored = angular_cl(COSMOLOGY, ell, plain, Split(base), limber="never")
    assert np.all(found.values > 1.003 * ignored.values)


def limber_cl(tracers: list[Tracer], spectrum: Spectrum) -> jax.Array:
    return angular_cl(COSMOLOGY, ELL, tracers, spectrum, limber="always").values


def test_power_is_evaluated_once_per_species() -> None:
    calls = []

    class Counted(Split):
        def matter(self, k: jax.Array, a: jax.Array) -> jax.Array:
            calls.append("matter")
            return super().matter(k, a)

        def cb(self, k: jax.Array, a: jax.Array) -> jax.Array:
            calls.append("cb")
            return super().cb(k, a)

    _, _, base = ccl_universe()
    made = [NumberCounts(NEAR, b, tracing="cb") for b in (1.0, 2.0, 3.0)] + [WeakLensing(FAR)] * 2
    jax.eval_shape(lambda: limber_cl(made, Counted(base)))
    assert sorted(calls) == ["cb", "matter"]
    calls.clear()
    plain = [NumberCounts(NEAR), WeakLensing(FAR)]
    jax.eval_shape(lambda: limber_cl(plain, Counted(base)))
    assert calls == ["matter"]


def test_super_sample_covariance_follows() -> None:
    """Responses alike, the spectra of either kind."""
    _, _, base = ccl_universe()
    settings: Any = {"window": cap_window(0.1), "response": lambda k, a: 3.0 + 0.0 * k}

    def root(counts: Tracer, spectrum: Spectrum) -> jax.Array:
        return jax.jit(
            lambda: (
                super_sample_covariance(
                    COSMOLOGY, ELL, [counts], spectrum, linear=base, **settings
                ).root
            )
        )()

    one = root(NumberCounts(NEAR, 1.4, tracing="cb"), Split(base))
    np.testing.assert_allclose(one, root(NumberCounts(NEAR, 1.4), Split(base, 2.0)), rtol=1e-10)


def test_gradients_where_neutrinos_are_massless() -> None:
    """The ratio of the learned spectra goes through 1 smoothly."""

    def f(m_nu: jax.Array) -> jax.Array:
        cosmology = planck18().replace(m_nu=m_nu)
        counts = [NumberCounts(NEAR, 1.4, tracing="cb")]
        return jnp.log(angular_cl(cosmology, ELL[:2], counts, learned_power()).values[0])

    both = jax.jit(lambda m: (f(m), jax.jacfwd(f)(m)))
    numeric = (both(0.061)[0] - both(0.059)[0]) / 0.002
    np.testing.assert_allclose(both(0.06)[1], numeric, rtol=1e-4)
    assert np.all(np.isfinite(both(0.0)[1]))


def test_refusals() -> None:
    with pytest.raises(TracerError, match="tracing is 'stars'"):
        NumberCounts(NEAR, tracing="stars")
    assert NumberCounts(NEAR).tracing == "matter"
    assert CustomTracer(lambda c, a: a, 1.0).least_ell == 0
