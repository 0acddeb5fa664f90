"""Limber's approximation in curved universes against their own radial waves."""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
import pytest

from curved_waves import Curved
from sky import compiled_cl
from volvelle.cosmology import Cosmology, comoving_distance, growth_factor, planck18
from volvelle.power import EisensteinHu, Spectrum, TabulatedPower
from volvelle.probes import (
    Alignment,
    CMBLensing,
    KernelDensity,
    NumberCounts,
    Tracer,
    WeakLensing,
)

FLAT = planck18().replace(m_nu=0.0)
ELL, FAR, K_MAX = 40, 2.0, 0.15
LENSES, SOURCES = (KernelDensity(np.array([z]), width) for z, width in ((0.8, 0.12), (1.2, 0.15)))
BIAS, SLOPE, ALIGNED = 1.5, 0.8, 1.0
SHAPES = 5e-14 * 2.77537e11
"""C_1 rho_crit: Mpc^3 / (h^2 solar masses) times h^2 solar masses / Mpc^3."""
TOLERANCE = 1e-4
TRACERS: dict[str, Tracer] = {
    "counts": NumberCounts(LENSES, BIAS),
    "distorted and magnified": NumberCounts(LENSES, BIAS, rsd=True, magnification=SLOPE),
    "magnified": NumberCounts(LENSES, 0.0, magnification=SLOPE),
    "shear": WeakLensing(SOURCES),
    "aligned": WeakLensing(SOURCES, Alignment(ALIGNED, 0.0)),
    "CMB": CMBLensing(FAR),
}
SAME, OTHERWISE = 1e-3, 0.01
"""Over sqrt(C_ii C_jj): by how much more than in a flat universe Limber's approximation may be off
(measured: 5.5e-4); and how much curvature changes the spectrum
of a tracer with itself at least."""
REFERENCE = 3e-4
"""Largest difference (measured: 6e-5) of the waves from what is computed beyond Limber's
approximation in a flat universe."""


def damped(universe: Cosmology) -> Spectrum:
    """The same P(k) today in all universes, which ends before the waves do, and their growth."""
    k, z = np.geomspace(1e-4, 1.0, 600), np.linspace(0.0, 12.0, 200)
    today = np.asarray(EisensteinHu().spectrum(FLAT).today(jnp.asarray(k)))
    today = today * np.exp(-((k / 0.05) ** 2))
    growth = np.asarray(growth_factor(universe, jnp.asarray(1.0 / (1.0 + z))))[:, None]
    return TabulatedPower(k, z, today * growth**2).spectrum(universe)


@lru_cache(maxsize=4)
def of_waves(curvature: float) -> np.ndarray:
    """[tracers, tracers]."""
    universe = FLAT.replace(Omega_k=curvature)
    sky = Curved(universe, float(comoving_distance(universe, 1.0 / (1.0 + FAR))), K_MAX)
    spacing = np.pi / sky.last / 4.0
    k = spacing * np.arange(2, int(K_MAX / spacing))
    if sky.curvature > 0.0:  # waves that fit in
        k = k[np.sqrt(k**2 + sky.curvature) > (ELL + 1) * np.sqrt(sky.curvature)]
    counts, velocity = (0, 0, sky.counts(LENSES, BIAS)), (0, 1, sky.distortions(LENSES))
    magnified = (1, 1, sky.lensed(LENSES, 5.0 * SLOPE - 2.0))
    shear, shapes = (2, 1, sky.lensed(SOURCES)), (2, 1, sky.aligned(SOURCES, SHAPES * ALIGNED))
    cmb = (1, 1, sky.lensed_from(FAR))
    fields = [[counts], [counts, velocity, magnified], [magnified], [shear], [shear, shapes], [cmb]]
    spectrum = damped(universe)
    return sky.spectra(ELL, fields, k, lambda each: spectrum(each, jnp.ones(each.shape)))


def errors(curvature: float, limber: str) -> tuple[np.ndarray, np.ndarray]:
    """[pairs], over sqrt(C_ii C_jj), and the spectra in these units."""
    universe, waves = FLAT.replace(Omega_k=curvature), of_waves(curvature)
    tracers = list(TRACERS.values())
    found = compiled_cl(
        universe, [float(ELL)], tracers, damped(universe), limber=limber, tolerance=TOLERANCE
    )
    size = np.sqrt(np.diag(waves))
    values = np.asarray(found.matrix()[..., 0])
    return (values - waves) / np.outer(size, size), values


def test_the_waves_are_right_where_space_is_flat() -> None:
    assert np.max(np.abs(errors(0.0, "never")[0])) < REFERENCE


@pytest.mark.parametrize("curvature", [-0.1, 0.1])
def test_limbers_approximation_is_as_good_as_in_a_flat_universe(curvature: float) -> None:
    (bent, spectra), (flat, before) = errors(curvature, "always"), errors(0.0, "always")
    assert np.max(np.abs(bent - flat)) < SAME
    assert np.all(np.abs(np.diag(spectra / before) - 1.0) > OTHERWISE)
