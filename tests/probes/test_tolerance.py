"""The number of nodes follows the tolerance that was asked for, whatever the samples are."""

import numpy as np
import pytest

from sky import COSMOLOGY, ccl_universe, compiled_cl
from volvelle.probes import (
    Alignment,
    CMBLensing,
    Histogram,
    KernelDensity,
    NumberCounts,
    Shifted,
    Smail,
    Table,
    Tracer,
    WeakLensing,
)
from volvelle.probes.grid import redshift_nodes

pytest.importorskip("pyccl")

NARROW_Z = np.linspace(0.2, 0.9, 141)
NARROW = Table(NARROW_Z, np.exp(-0.5 * ((NARROW_Z - 0.5) / 0.05) ** 2))
SMOOTH: list[Tracer] = [
    NumberCounts(Smail(2.0, 1.5, 0.3), 1.3, rsd=True, magnification=0.6),
    WeakLensing(Smail(2.0, 1.5, 0.6), Alignment(0.7, 1.2, 0.62), 0.02),
    CMBLensing(1089.0),
]
SETS: dict[str, list[Tracer]] = {
    "smooth": SMOOTH,
    "narrow": [
        NumberCounts(NARROW, 1.6, rsd=True),
        WeakLensing(Shifted(NARROW, 0.0033), Alignment(1.0)),
    ],
    "catalogue": [NumberCounts(KernelDensity(np.linspace(0.4, 0.9, 40) ** 1.3, 0.02))],
    "one bin": [NumberCounts(Histogram([0.4, 0.5], [1.0]))],
    "bins": [NumberCounts(Histogram(np.linspace(0.3, 0.8, 8), [1, 3, 6, 7, 5, 2, 1]))],
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("tolerance", [1e-2, 1e-3])
def test_the_tolerance_is_kept(name: str, tolerance: float) -> None:
    _, _, spectrum = ccl_universe()
    ell = np.asarray([2.0, 10.0, 50.0, 123.0, 400.0, 1200.0, 3000.0])
    found = compiled_cl(COSMOLOGY, ell, SETS[name], spectrum, tolerance=tolerance)
    finer = compiled_cl(COSMOLOGY, ell, SETS[name], spectrum, tolerance=tolerance / 30.0)
    auto = finer.matrix()
    size = np.asarray([np.sqrt(auto[i, i] * auto[j, j]) for i, j in found.pairs])
    assert np.max(np.abs(found.values - finer.values) / size) < tolerance
    demands = tuple(tracer.demand for tracer in SETS[name])
    assert redshift_nodes(demands, tolerance).size < redshift_nodes(demands, tolerance / 30).size
