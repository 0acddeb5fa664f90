"""P is evaluated at some nodes only, and nobody sees it."""

import jax
import numpy as np
import pytest

from sky import COSMOLOGY, ccl_universe
from volvelle.power import EisensteinHu, Spectrum
from volvelle.probes import Alignment, CMBLensing, NumberCounts, Table, WeakLensing, angular_cl
from volvelle.probes import limber as limber_module
from volvelle.probes.grid import redshift_nodes
from volvelle.probes.thinning import thinned

ELL = np.geomspace(2.0, 3000.0, 20)
SHARE = 0.2
"""Of the tolerance that the nodes of P may take (measured: 0.03 to 0.1)."""
TOLERANCE = 1e-3


def tracers() -> list:
    z = np.arange(0.3, 0.8, 0.01)
    narrow = Table(z, np.exp(-0.5 * ((z - 0.55) / 0.06) ** 2) * (1.0 + 0.3 * (np.arange(50) % 2)))
    return [
        NumberCounts(narrow, 1.5, rsd=True, magnification=0.3),
        WeakLensing(narrow, Alignment(0.7, 0.4)),
        CMBLensing(1089.0),
    ]


def test_all_nodes_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """With baryonic oscillations, edges in k and in time within the integrals, and l by l
    kernels."""
    _, _, lattice = ccl_universe()

    def spectra(spectrum: Spectrum) -> np.ndarray:
        jax.clear_caches()  # nodes are chosen when a program is made
        return np.asarray(angular_cl(COSMOLOGY, ELL, tracers(), spectrum, limber="always").matrix())

    for spectrum in (lattice, EisensteinHu().spectrum(COSMOLOGY)):
        some = spectra(spectrum)
        with monkeypatch.context() as patch:
            patch.setattr(limber_module, "thinned", lambda *_: None)
            all_ = spectra(spectrum)
        size = np.sqrt(np.einsum("iil->il", all_))
        assert not np.any(some == all_)
        assert np.max(np.abs(some - all_) / (size[:, None] * size)) < SHARE * TOLERANCE


def test_fewer_nodes_and_none_where_all_are_needed() -> None:
    demands = tuple(tracer.demand for tracer in tracers())
    nodes = redshift_nodes(demands, TOLERANCE)
    found = thinned(tuple(nodes), TOLERANCE)
    assert found is not None and len(found.index) < 0.5 * nodes.size
    assert found.index[0] == 0 and found.index[-1] == nodes.size - 1
    np.testing.assert_allclose(found.matrix.sum(axis=0), 1.0, atol=1e-10)
    smooth = redshift_nodes(demands[2:], TOLERANCE)
    assert thinned(tuple(smooth), TOLERANCE) is None
