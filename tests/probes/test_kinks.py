"""Samples in tables, whose kinks move over the nodes, and samples that begin at the observer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import cumulative_simpson

from sky import COSMOLOGY, ccl_universe, compiled_cl
from volvelle.cosmology import comoving_distance, hubble
from volvelle.cosmology.constants import HUBBLE_DISTANCE, LIGHT_SPEED
from volvelle.power import Spectrum
from volvelle.probes import (
    Alignment,
    Distribution,
    Histogram,
    NumberCounts,
    Shifted,
    Smail,
    Stretched,
    Table,
    Tracer,
    TracerError,
    WeakLensing,
    angular_cl,
)
from volvelle.probes.grid import redshift_nodes

pytest.importorskip("pyccl")

SLOPE = 5e-3
"""Of derivatives by a shift (measured: 3e-3 for lensing, 1.4e-3 for counts)."""
ELL = np.array([2.0, 10.0, 100.0, 1000.0])
BASE = Smail(2.0, 1.5, 0.1, z_max=2.0)
NEAREST: dict[str, Distribution] = {
    "shifted": Shifted(BASE, -0.15, 0.2),
    "stretched": Stretched(BASE, 1.9),
}


def sampled(step: float, width: float) -> Table:
    z = np.arange(0.2, 0.9, step)
    return Table(z, np.exp(-0.5 * ((z - 0.5) / width) ** 2))


@pytest.mark.parametrize("kind", ["counts", "shear", "aligned"])
def test_derivatives_by_a_shift_are_those_of_the_spectra_and_not_of_the_nodes(kind: str) -> None:
    """Fitted to values over many steps: differences of a step see what the derivative sees."""
    _, _, spectrum = ccl_universe()
    table = sampled(0.02, 0.05)

    def found(shift: jax.Array) -> jax.Array:
        moved = Shifted(table, shift, 0.05)
        tracer: dict[str, Tracer] = {
            "counts": NumberCounts(moved),
            "shear": WeakLensing(moved),
            "aligned": WeakLensing(moved, Alignment(1.0)),
        }
        return jnp.log(
            angular_cl(COSMOLOGY, [30.0, 300.0], [tracer[kind]], spectrum, limber="always").values[
                0
            ]
        )

    shifts = np.linspace(0.0, 0.02, 11)
    values = np.array([jax.jit(found)(shift) for shift in shifts])
    fit = np.polynomial.polynomial.polyfit(shifts, values, 3)
    expected = np.polynomial.polynomial.polyval(shifts, np.polynomial.polynomial.polyder(fit)).T
    slopes = np.array([jax.jit(jax.jacfwd(found))(shift) for shift in shifts])
    np.testing.assert_allclose(slopes[1:-1], expected[1:-1], rtol=SLOPE)


def whole(sample: Distribution, ell: float, spectrum: Spectrum, lensing: bool) -> float:
    """C_l by Limber from 0.04 Mpc on."""
    z = np.concatenate(
        [np.geomspace(1e-5, 1e-2, 2001)[:-1], np.linspace(1e-2, sample.z_max, 20001)]
    )
    a, n = 1.0 / (1.0 + z), np.asarray(sample(z))
    chi = np.asarray(comoving_distance(COSMOLOGY, a))
    rate = np.asarray(hubble(COSMOLOGY, a)) / LIGHT_SPEED
    kernel, factor = n * rate, 1.0
    if lensing:
        below = [cumulative_simpson(f, x=z, initial=0.0) for f in (n, n / chi)]
        straight, bent = (each[-1] - each for each in below)
        kernel = 1.5 * float(COSMOLOGY.Omega_m * COSMOLOGY.hubble_parameter**2)
        kernel = kernel / HUBBLE_DISTANCE**2 * (1.0 + z) * chi * (straight - chi * bent)
        factor = (ell + 2.0) * (ell + 1.0) * ell * (ell - 1.0) / (ell + 0.5) ** 4
    k = (ell + 0.5) / chi
    known = (k > spectrum.lowest) & (k < spectrum.k_max)
    power = np.zeros_like(k)
    power[known] = np.asarray(spectrum(jnp.asarray(k[known]), jnp.asarray(a[known])))
    return factor * float(np.trapezoid(kernel**2 * power / chi**2 / rate, z))


@pytest.mark.parametrize("name", NEAREST)
def test_what_is_nearest_lenses_and_is_said_to_be_missing(name: str) -> None:
    """Sources before the first node have their share of the normalisation; their own clustering at
    low l is left out, and ``missing`` says how much it could be."""
    _, _, spectrum = ccl_universe()
    sample = NEAREST[name]
    spectra = compiled_cl(COSMOLOGY, ELL, [NumberCounts(sample), WeakLensing(sample)], spectrum)
    shear = np.array([whole(sample, ell, spectrum, True) for ell in ELL])
    np.testing.assert_allclose(spectra[1, 1], shear, rtol=3e-3)
    counts = np.array([whole(sample, ell, spectrum, False) for ell in ELL])
    lost = 1.0 - np.asarray(spectra[0, 0]) / counts
    assert lost[0] > 0.1 and np.all(spectra.flags()[0, :3])
    assert np.all(spectra.missing[0] >= 0.7 * lost)
    assert np.all(spectra.missing[0, :3] <= 4.0 * (lost / (1.0 - lost))[:3])
    assert not np.any(spectra.flags()[2, 2:])


def bell(z: np.ndarray) -> Table:
    return Table(z, np.exp(-0.5 * ((z - 0.4) / 0.1) ** 2))


def test_uneven_tables_and_ends_with_a_jump() -> None:
    """Nodes as the kinks and jumps ask for, whatever the smallest step; one pair of close redshifts
    asked for 5e7 of them, and a table that ends with a jump for too few."""
    _, _, spectrum = ccl_universe()
    even = np.linspace(0.0, 2.0, 101)
    samples = {
        "fine": bell(np.linspace(0.0, 2.0, 801)),
        "equal factors": bell(np.append(0.0, np.geomspace(1e-3, 2.0, 300))),
        "jump": Table([0.4, 0.5], [1.0, 1.0]),
        "bin": Histogram([0.4, 0.5], [1.0]),
        "even": bell(even),
        "close": bell(np.unique(np.append(even, 0.4000001))),
    }
    for name, sample in samples.items():
        assert redshift_nodes((NumberCounts(sample).demand,), 1e-3).size < 3000, name
    tracers = [NumberCounts(sample) for sample in samples.values()]
    for n in range(0, 6, 2):  # each alone: nodes are those of all tracers of a call
        alone = [
            compiled_cl(COSMOLOGY, [10.0, 300.0], [tracer], spectrum)[0, 0]
            for tracer in tracers[n : n + 2]
        ]
        np.testing.assert_allclose(*alone, rtol=2e-3)
    with pytest.raises(TracerError, match=r"give n.z. at fewer redshifts, its scale"):
        redshift_nodes((NumberCounts(Table(even, np.ones(101), scale=1e-6)).demand,), 1e-3)
