"""Where Limber's approximation is taken, by the tolerance that is asked for."""

from typing import Any

import jax
import numpy as np
import pytest

from sky import COSMOLOGY, ccl_universe, compiled_cl
from volvelle.probes import (
    Alignment,
    AngularSpectra,
    CMBLensing,
    Histogram,
    KernelDensity,
    NumberCounts,
    Shifted,
    Smail,
    Stretched,
    Table,
    Tracer,
    WeakLensing,
    angular_cl,
)
from volvelle.probes.choice import choose

pytest.importorskip("pyccl")

Z = np.linspace(0.2, 0.9, 141)
TABLE = Table(Z, np.exp(-0.5 * ((Z - 0.5) / 0.05) ** 2))
NARROW = NumberCounts(KernelDensity([0.5], 0.02))
ELL = np.asarray([2.0, 20.0, 50.0, 80.0, 250.0, 900.0])


def sets(name: str, one: jax.Array) -> list[Tracer]:
    """Samples, of which some values are traced: ``one`` is 1."""
    if name == "table":
        shifted = Shifted(TABLE, 0.0033 * one, 0.05)
        aligned = WeakLensing(shifted, Alignment(one))
        return [NumberCounts(shifted, 1.6, rsd=True), aligned, CMBLensing(1089.0)]
    if name == "bins":
        counts = Histogram(np.linspace(0.3, 0.8, 8), [1, 3, 6, 7, 5, 2, 1])
        return [NumberCounts(counts), NumberCounts(Histogram([0.4, 0.5], [1.0]))]
    unknown = Smail(2.0, 1.5, 0.3 * one, z_max=2.5)
    stretched = Stretched(Smail(2.0, 1.5, 0.35, z_max=2.5), one, limits=(0.8, 1.2))
    return [
        NumberCounts(unknown, 1.3, rsd=True),
        WeakLensing(unknown),
        WeakLensing(stretched, Alignment(one)),
    ]


def computed(name: str, **settings: Any) -> AngularSpectra:
    _, _, spectrum = ccl_universe()
    return jax.jit(lambda one: angular_cl(COSMOLOGY, ELL, sets(name, one), spectrum, **settings))(
        1.0
    )


@pytest.mark.parametrize("name", ["table", "bins", "unknown"])
def test_the_tolerance_is_kept_and_joins_the_two(name: str) -> None:
    """On either side of where one takes over from the other, all within the tolerance."""
    tolerance = 1e-2
    found = computed(name, tolerance=tolerance)
    finer = computed(name, tolerance=tolerance / 10.0, limber="never")
    auto = finer.matrix()
    size = np.asarray([np.sqrt(auto[i, i] * auto[j, j]) for i, j in found.pairs])
    assert np.max(np.abs(found.values - finer.values) / size) < tolerance
    limber = np.asarray(found.limber)
    assert np.any(limber) and np.any(~limber)
    # Every pair has the one below some multipole and the other above it.
    assert not np.any(limber[:, :-1] & ~limber[:, 1:])
    assert not np.any(np.where(limber, 0.0, found.limber_error))
    assert not np.any(found.doubtful(tolerance))


def test_a_smaller_tolerance_goes_further_beyond() -> None:
    _, _, spectrum = ccl_universe()
    ell = [10.0, 100.0, 400.0]
    number = [
        int(np.sum(~compiled_cl(COSMOLOGY, ell, [NARROW], spectrum, **settings).limber))
        for settings in (
            {"tolerance": 0.1, "limber": "auto"},
            {"tolerance": 3e-3, "limber": "auto"},
            {"limber": "always"},
        )
    ]
    assert number == [1, 2, 0]


def test_correlated_or_not_a_pair_is_the_same() -> None:
    """Pairs alone, in any order, are those of all."""
    _, _, spectrum = ccl_universe()
    tracers = [NARROW, NumberCounts(TABLE, rsd=True), WeakLensing(TABLE)]
    every = compiled_cl(COSMOLOGY, [4.0, 40.0], tracers, spectrum, limber="auto")
    some = compiled_cl(
        COSMOLOGY, [40.0, 4.0], tracers, spectrum, limber="auto", pairs=[(2, 0), (1, 1)]
    )
    auto = every.matrix()
    for i, j in some.pairs:
        size = np.sqrt(auto[i, i] * auto[j, j])[::-1]
        np.testing.assert_allclose(some[i, j] / size, every[i, j][::-1] / size, atol=1e-3)


@pytest.mark.parametrize("middle", [0.31, 0.43, 0.5, 0.57, 0.64, 0.77, 0.9, 1.03])
def test_two_sets_of_tables_only_where_they_save_work(middle: float) -> None:
    """Where all tracers are needed at all multipoles the work of both is the same to rounding."""
    tracers: dict[int, Tracer] = {0: NumberCounts(KernelDensity([middle], 0.02))}
    for ell in ([5.0, 25.0], [3.0, 7.0, 11.0, 13.7], [2.1, 4.3, 9.9]):
        choice = choose("never", COSMOLOGY, np.asarray(ell), tracers, ((0, 0),), 1e-3)
        assert [part.ell for part in choice.parts] == [tuple(ell)]
