"""Beyond Limber's approximation: what is refused, what is flagged, and what is left out."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sky import COSMOLOGY, Lattice, ccl_universe, compiled_cl, narrowed
from volvelle.probes import (
    AngularSpectra,
    BeyondLimberError,
    KernelDensity,
    NumberCounts,
    Smail,
    WeakLensing,
    angular_cl,
)
from volvelle.probes.bands import make_band
from volvelle.probes.extent import extent

pytest.importorskip("pyccl")

NARROW = NumberCounts(KernelDensity([0.5], 0.02))


def test_refusals() -> None:
    _, _, spectrum = ccl_universe()
    curved = COSMOLOGY.replace(Omega_k=0.02)
    with pytest.raises(BeyondLimberError, match="flat universe"):
        angular_cl(curved, [10.0], [NARROW], spectrum, limber="never")
    with pytest.raises(BeyondLimberError, match="auto, always, never"):
        angular_cl(COSMOLOGY, [10.0], [NARROW], spectrum, limber="exact")
    with pytest.raises(BeyondLimberError, match="ell is traced"):
        jax.jit(lambda ell: angular_cl(COSMOLOGY, ell, [NARROW], spectrum, limber="never").values)(
            jnp.asarray([10.0])
        )
    sharp = extent(NumberCounts(KernelDensity(np.linspace(0.1, 1.0, 50), 0.0003)))
    with pytest.raises(BeyondLimberError, match="GB for 8000 multipoles"):
        make_band(tuple(np.arange(2.0, 8002.0)), (sharp,), (0,), 1e-3)


def test_curved_universes_have_limbers_and_say_so() -> None:
    _, _, spectrum = ccl_universe()
    curved = COSMOLOGY.replace(Omega_k=0.02)
    found = compiled_cl(curved, [10.0, 3000.0], [NARROW], spectrum, limber="auto")
    crude = compiled_cl(curved, [10.0, 3000.0], [NARROW], spectrum, limber="always")
    np.testing.assert_allclose(found.values, crude.values, rtol=1e-12)
    assert np.all(found.limber)
    np.testing.assert_array_equal(found.doubtful()[0], [True, False])


def test_a_traced_curvature_or_multipole() -> None:
    _, _, spectrum = ccl_universe()

    def f(curvature: jax.Array, mode: str) -> AngularSpectra:
        cosmology = COSMOLOGY.replace(Omega_k=curvature)
        return angular_cl(cosmology, [10.0, 2000.0], [NARROW], spectrum, limber=mode)

    auto = jax.jit(lambda curvature: f(curvature, "auto"))
    flat = compiled_cl(COSMOLOGY, [10.0, 2000.0], [NARROW], spectrum, limber="auto")
    np.testing.assert_allclose(auto(0.0).values, flat.values, rtol=1e-12)
    np.testing.assert_array_equal(auto(0.0).limber[0], [False, True])
    assert not np.any(auto(0.0).doubtful())
    crude = jax.jit(lambda curvature: f(curvature, "always"))
    np.testing.assert_allclose(auto(0.02).values, crude(0.02).values, rtol=1e-12)
    np.testing.assert_array_equal(auto(0.02).limber[0], [True, True])
    np.testing.assert_array_equal(auto(0.02).doubtful()[0], [True, False])
    slopes = [jax.jit(jax.jacfwd(lambda c, g=g: g(c).values))(0.0) for g in (auto, crude)]
    np.testing.assert_allclose(*slopes, rtol=1e-9)
    never = jax.jit(lambda curvature: f(curvature, "never").values)
    assert np.all(np.isfinite(never(0.0))) and np.all(np.isnan(never(0.02)))

    found = jax.jit(lambda ell: angular_cl(COSMOLOGY, ell, [NARROW], spectrum))(
        jnp.asarray([10.0, 3000.0])
    )
    assert np.all(found.limber)
    np.testing.assert_array_equal(found.doubtful()[0], [True, False])


@pytest.mark.parametrize(
    ("edges", "ell"),
    [((1e-5, 0.02, 1e-3), 30.0), ((5e-3, 200.0, 1e-3), 5.0), ((1e-5, 200.0, 0.67), 20.0)],
)
def test_what_lies_beyond_the_spectrum_is_left_out_and_said(edges: Any, ell: float) -> None:
    whole: Lattice = ccl_universe()[2]
    tracers = [NARROW, WeakLensing(Smail(2.0, 1.5, 0.3, z_max=2.5))]
    full = compiled_cl(COSMOLOGY, [ell], tracers, whole, limber="never")
    cut = compiled_cl(COSMOLOGY, [ell], tracers, narrowed(*edges), limber="never")
    lost = np.abs(1.0 - cut.values / full.values)
    assert np.all(lost[[0, 2]] > 0.02) and np.all(cut.flags()) and not np.any(full.flags())
    # Missing is relative to what is there, and all of one sign, as if P went on.
    assert np.all(cut.missing >= 0.7 * lost / (1.0 + lost))
    assert np.all(cut.missing[np.asarray([0, 2])] <= 4.0 * (lost / (1.0 - lost))[[0, 2]])
