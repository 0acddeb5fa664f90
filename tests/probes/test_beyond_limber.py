"""Spectra beyond Limber's approximation against plain quadrature."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from brute_force import Sky, panels
from sky import COSMOLOGY, Lattice, ccl_universe, compiled_cl
from volvelle.cosmology import Cosmology, comoving_distance, hubble
from volvelle.cosmology.constants import LIGHT_SPEED
from volvelle.probes import (
    Alignment,
    AngularSpectra,
    CMBLensing,
    CustomTracer,
    KernelDensity,
    NumberCounts,
    Smail,
    Tracer,
    WeakLensing,
)
from volvelle.probes.evolution import ALIGNMENT

pytest.importorskip("pyccl")

AGREEMENT = 1e-3
"""Of sqrt(C_ii C_jj): the default tolerance."""
SIGMA = 0.1
"""Of cosmic variance, over the whole sky."""
Z_MAX = 2.5
NARROW = KernelDensity([0.5], 0.02)
NEAR = Smail(2.0, 1.5, 0.2, z_max=Z_MAX)
FAR = Smail(2.0, 1.5, 0.35, z_max=Z_MAX)
TRACERS: dict[str, Tracer] = {
    "narrow": NumberCounts(NARROW, 1.5),
    "distorted": NumberCounts(KernelDensity([0.55], 0.02), 1.5, rsd=True, magnification=0.1),
    "broad": NumberCounts(NEAR, 1.3, rsd=True, magnification=0.7),
    "shear": WeakLensing(NEAR),
    "aligned": WeakLensing(FAR, Alignment(0.8, 1.1, 0.5), 0.02),
    "cmb": CMBLensing(1089.0),
}
ELL = (2, 12, 40)
K_MAX = 0.2


def sloped(cosmology: Cosmology, a: jax.Array) -> jax.Array:
    """A kernel of one's own: a narrow sample."""
    return 1.4 * NARROW(1.0 / a - 1.0) * hubble(cosmology, a) / LIGHT_SPEED


TRACERS["custom"] = CustomTracer(sloped, Z_MAX, bessel=1)
NAMES = tuple(TRACERS)


@lru_cache(maxsize=1)
def truth() -> np.ndarray:
    """[tracers, tracers, l]."""
    _, _, spectrum = ccl_universe()
    far, late = (float(comoving_distance(COSMOLOGY, 1.0 / (1.0 + z))) for z in (1089.0, Z_MAX))
    panel = 8.0 / K_MAX  # [Mpc]
    ends = np.linspace(1.0, late, int(late / panel))
    ends = np.concatenate([ends, np.linspace(late, far, int((far - late) / panel))[1:]])
    table = np.expm1(np.linspace(0.0, np.log(1090.0), 60_000))
    edges = np.interp(ends, np.asarray(comoving_distance(COSMOLOGY, 1.0 / (1.0 + table))), table)
    sky = Sky(COSMOLOGY, spectrum, *panels(edges))
    second = KernelDensity([0.55], 0.02)
    shear = sky.lensed(FAR, 1.0, 2) + sky.aligned(FAR, 0.8 * ALIGNMENT, 1.1, 0.5)
    fields = [
        sky.counts(NARROW, 1.5),
        sky.counts(second, 1.5) + sky.distortions(second) + sky.lensed(second, 0.5 - 2.0, 1),
        sky.counts(NEAR, 1.3) + sky.distortions(NEAR) + sky.lensed(NEAR, 3.5 - 2.0, 1),
        sky.lensed(NEAR, 1.0, 2),
        [(angular, bessel, 1.02 * kernel) for angular, bessel, kernel in shear],
        sky.lensed_from(1089.0),
        [(0, 1, kernel) for _, _, kernel in sky.counts(NARROW, 1.4)],
    ]
    slow, fast = np.linspace(2e-5, 0.05, int(0.05 * far / 8.0)), int((K_MAX - 0.05) * late / 8.0)
    k, weights = panels(np.concatenate([slow, np.linspace(0.05, K_MAX, fast)[1:]]))
    found = [sky.spectra(ell, fields, k, weights) + sky.near(ell, fields, K_MAX) for ell in ELL]
    return np.stack(found, axis=-1)


@lru_cache(maxsize=4)
def spectra(mode: str) -> AngularSpectra:
    _, _, spectrum = ccl_universe()
    return compiled_cl(COSMOLOGY, ELL, list(TRACERS.values()), spectrum, limber=mode)


def size_of(auto: np.ndarray) -> np.ndarray:
    diagonal = np.einsum("iil->il", auto)
    return np.sqrt(diagonal[:, None] * diagonal[None])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["auto", "never"])
def test_against_plain_quadrature(mode: str, name: str) -> None:
    """A tracer with itself and all others, l = 2 to 40."""
    n, expected = NAMES.index(name), truth()
    error = np.abs(np.asarray(spectra(mode).matrix()) - expected)[n]
    size = size_of(expected)[n]
    assert np.max(error / size) < AGREEMENT, np.max(error / size, axis=1)
    variance = np.sqrt((size**2 + expected[n] ** 2) / (2.0 * np.asarray(ELL) + 1.0))
    assert np.max(error / variance) < SIGMA
    flags = np.zeros(expected.shape, dtype=bool)
    for (i, j), row in zip(spectra(mode).pairs, np.asarray(spectra(mode).flags()), strict=True):
        flags[i, j] = flags[j, i] = row
    # what is missing is a fraction of the value, which nearly vanishes for some pairs
    assert not np.any(flags[n] & (np.abs(expected[n]) > AGREEMENT * size))


def test_limber_alone_would_not_do_and_its_error_is_no_surprise() -> None:
    crude = spectra("always")
    error = np.abs(np.asarray(crude.matrix()) - truth()) / size_of(truth())
    assert np.max(error[:6, :6, 0]) > 0.5 and np.max(error[:6, :6, 2]) > 0.01
    found = np.stack([error[pair] for pair in crude.pairs])
    # Estimates are there to tell 1e-3; what is nearer to 1 is only known to be large.
    assert np.all((crude.limber_error > found / 1.5) | (np.asarray(crude.limber_error) > 0.1))
    assert np.all(crude.limber) and np.any(crude.doubtful())
    assert not np.any(spectra("never").limber) and not np.any(spectra("auto").doubtful())


def test_a_transfer_function_is_within_the_integral() -> None:
    """One that falls with k as with chi, against P itself so changed."""
    _, _, spectrum = ccl_universe()

    class Suppressed(Lattice):
        def matter(self, k: jax.Array, a: jax.Array) -> jax.Array:
            return super().matter(k, a) * transfer(k, a) ** 2

    def transfer(k: jax.Array, a: jax.Array) -> jax.Array:
        return a**0.3 / (1.0 + k / 0.05)

    changed = Suppressed(spectrum.log_power, spectrum.k_min, spectrum.k_max, spectrum.a_min)
    plain = CustomTracer(sloped, Z_MAX)
    with_it = CustomTracer(sloped, Z_MAX, transfer=transfer)
    tracers = [with_it, plain]
    found = compiled_cl(COSMOLOGY, [2.0, 30.0], tracers, spectrum, limber="never")
    expected = compiled_cl(COSMOLOGY, [2.0, 30.0], [plain], changed, limber="never")
    np.testing.assert_allclose(found[0, 0], expected[0, 0], rtol=1e-9)
    assert np.all(found[0, 1] / jnp.sqrt(found[0, 0] * found[1, 1]) > 0.9)
    same = compiled_cl(
        COSMOLOGY, [2.0, 30.0], [NumberCounts(NARROW, 1.4)], spectrum, limber="never"
    )
    np.testing.assert_allclose(same[0, 0], found[1, 1], rtol=AGREEMENT)
