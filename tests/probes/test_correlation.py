"""Correlation functions against CCL, sums of Jacobi polynomials, and averages over bins."""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.special import eval_jacobi, eval_legendre, jv, lpmv

from sky import COSMOLOGY, ccl_universe, compiled_cl
from volvelle.probes import (
    Alignment,
    AngleError,
    MultipoleError,
    NumberCounts,
    Smail,
    WeakLensing,
    angular_cl,
    angular_transform,
    correlation_multipoles,
)

ccl = pytest.importorskip("pyccl")

SPLINE = 2e-5
"""Of C_l from 100 multipoles to all (measured: 5e-6)."""
AGREEMENT = 3e-4
"""With CCL's own sum and interpolation of C_l, relative; asked are 1e-3 (measured: 1.6e-4)."""
FLAT = 1e-3
"""With CCL's integral over l, relative (measured: 5e-6; where the first multipoles count 7e-4)."""
ROUNDING = 1e-9
LAST = 30_000
FEW = 2500
"""The largest multipole that SciPy's polynomials are summed to: their time grows as its square."""
ELL = correlation_multipoles(LAST)
EVERY = np.arange(2, LAST + 1)
THETA = np.geomspace(2.5, 250.0, 9)
EDGES = np.geomspace(2.5, 250.0, 11)
PAIR = {"w_theta": (0, 0), "gamma_t": (0, 1), "xi_plus": (1, 1), "xi_minus": (1, 1)}


@lru_cache(maxsize=1)
def spectra() -> dict[str, np.ndarray]:
    """C_l of each correlation function, at ``ELL``."""
    _, _, spectrum = ccl_universe()
    tracers = [NumberCounts(Smail(2.0, 1.5, 0.3), 1.5), WeakLensing(Smail(2.0, 1.5, 0.6))]
    found = compiled_cl(COSMOLOGY, ELL, tracers, spectrum)
    return {kind: np.asarray(found[pair]) for kind, pair in PAIR.items()}


def everywhere(kind: str) -> np.ndarray:
    """C_l at all multipoles, by a spline of its own."""
    x = np.log(ELL + 0.5)
    return CubicSpline(x, spectra()[kind] * ELL**2)(np.log(EVERY + 0.5)) / EVERY**2


def brute_force(kind: str, theta: np.ndarray) -> np.ndarray:
    """The sum over multipoles to ``FEW`` by SciPy's polynomials, at angles in arcmin."""
    result, ell = [], EVERY[EVERY <= FEW]
    cl = everywhere(kind)[: ell.size]
    for angle in np.radians(theta / 60.0):
        x = np.cos(angle)
        if kind == "w_theta":
            d = eval_legendre(ell, x)
        elif kind == "gamma_t":
            factor = (ell + 2.0) * (ell + 1.0) * ell * (ell - 1.0)
            # P_l^2 = (1 - x^2) / 4 (l + 1) (l + 2) P^(2,2)_(l-2)
            legendre = (1 - x**2) / 4 * (ell + 1.0) * (ell + 2.0)
            d = legendre * eval_jacobi(ell - 2, 2, 2, x) / np.sqrt(factor)
        elif kind == "xi_plus":
            d = ((1 + x) / 2) ** 2 * eval_jacobi(ell - 2, 0, 4, x)
        else:
            d = ((1 - x) / 2) ** 2 * eval_jacobi(ell - 2, 4, 0, x)
        result.append(np.sum((2 * ell + 1) / (4 * np.pi) * cl * d))
    return np.asarray(result)


def shortened(kind: str) -> np.ndarray:
    """The package's sum to the same multipole."""
    ell = np.append(ELL[ELL < FEW], FEW)
    cl = np.append(spectra()[kind][ELL < FEW], everywhere(kind)[FEW - 2])
    return np.asarray(angular_transform(kind, ell, theta=THETA)(cl))


def test_the_spline_gives_back_what_lies_between() -> None:
    _, _, spectrum = ccl_universe()
    tracers = [NumberCounts(Smail(2.0, 1.5, 0.3), 1.5), WeakLensing(Smail(2.0, 1.5, 0.6))]
    some = np.unique(np.geomspace(2, LAST, 120).astype(int))
    direct = compiled_cl(COSMOLOGY, some, tracers, spectrum)
    for kind, pair in PAIR.items():
        np.testing.assert_allclose(everywhere(kind)[some - 2], direct[pair], rtol=SPLINE)


@pytest.mark.parametrize("kind", PAIR)
def test_against_sums_of_jacobi_polynomials(kind: str) -> None:
    found, expected = shortened(kind), brute_force(kind, THETA)
    np.testing.assert_allclose(found, expected, rtol=SPLINE, atol=SPLINE * np.abs(expected).min())


def test_an_associated_legendre_function() -> None:
    """d^l_20 = sqrt((l - 2)! / (l + 2)!) P_l^2, at one l that both can do."""
    ell, theta = np.arange(2.0, 8.0), 3000.0
    matrix = angular_transform("gamma_t", ell, theta=[theta]).matrix
    cl = np.zeros(6)
    cl[3] = 1.0
    x = np.cos(np.radians(theta / 60.0))
    expected = 11.0 / (4.0 * np.pi) * lpmv(2, 5, x) / np.sqrt(7.0 * 6.0 * 5.0 * 4.0)
    assert (matrix @ cl)[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kind", ["w_theta", "gamma_t"])
def test_against_ccl(kind: str) -> None:
    """CCL's Legendre sums, to the same multipole. CCL has 1 / (l (l + 1)) for shear's
    sqrt((l - 2)! / (l + 2)!), which is put right by a factor here."""
    other, _, _ = ccl_universe()
    theta = THETA[::4]  # CCL takes seconds per angle
    cl = everywhere(kind)
    if kind == "gamma_t":
        square = EVERY * (EVERY + 1.0)
        cl = cl * np.sqrt(square / ((EVERY + 2.0) * (EVERY - 1.0)))
    before = other.cosmo.spline_params.ELL_MAX_CORR
    other.cosmo.spline_params.ELL_MAX_CORR = LAST
    truth = ccl.correlation(
        other,
        ell=np.concatenate([[0.0, 1.0], EVERY]),
        C_ell=np.concatenate([[0.0, 0.0], cl]),
        theta=theta / 60.0,
        type={"w_theta": "NN", "gamma_t": "NG"}[kind],
        method="legendre",
    )
    other.cosmo.spline_params.ELL_MAX_CORR = before
    found = angular_transform(kind, ELL, theta=theta)(spectra()[kind])
    np.testing.assert_allclose(found, truth, rtol=AGREEMENT)


@pytest.mark.parametrize(("kind", "order"), [("xi_plus", 0), ("xi_minus", 4), ("gamma_t", 2)])
def test_the_flat_sky_is_the_limit_of_small_angles(kind: str, order: int) -> None:
    """And gives the signs. CCL has no curved sky for shear."""
    theta = np.array([5.0, 15.0, 40.0])
    found = angular_transform(kind, ELL, theta=theta)(spectra()[kind])
    angle = np.radians(theta / 60.0)[:, None]
    terms = (EVERY + 0.5) / (2 * np.pi) * everywhere(kind) * jv(order, (EVERY + 0.5) * angle)
    np.testing.assert_allclose(found, terms.sum(axis=1), rtol=1e-3)


@pytest.mark.parametrize("kind", PAIR)
def test_a_flat_sky_against_ccl(kind: str) -> None:
    """CCL's integrals over Bessel functions. Its FFTLog is 2e-3 off these for w at a degree."""
    other, _, _ = ccl_universe()
    theta = np.array([5.0, 20.0, 60.0])
    before = other.cosmo.spline_params.ELL_MAX_CORR
    other.cosmo.spline_params.ELL_MAX_CORR = LAST
    truth = ccl.correlation(
        other, ell=EVERY, C_ell=everywhere(kind), theta=theta / 60.0,
        type={"w_theta": "NN", "gamma_t": "NG", "xi_plus": "GG+", "xi_minus": "GG-"}[kind],
        method="bessel",
    )  # fmt: skip
    other.cosmo.spline_params.ELL_MAX_CORR = before
    flat = angular_transform(kind, ELL, theta=theta, sky="flat")
    np.testing.assert_allclose(flat(spectra()[kind]), truth, rtol=FLAT)
    curved = angular_transform(kind, ELL, theta=theta)
    assert not np.allclose(flat.matrix, curved.matrix, rtol=1e-3, atol=0.0)


def test_bins_of_a_flat_sky() -> None:
    """Means over the bins of the function at angles."""
    low, high = 40.0, 60.0
    binned = angular_transform("xi_minus", ELL, edges=[low, high], sky="flat")
    x, w = np.polynomial.legendre.leggauss(120)
    theta = low + (high - low) * (x + 1.0) / 2.0
    weight = w * np.sin(np.radians(theta / 60.0))
    at = angular_transform("xi_minus", ELL, theta=theta, sky="flat")(spectra()["xi_minus"])
    mean = np.sum(at * weight) / np.sum(weight)
    assert binned(spectra()["xi_minus"])[0] == pytest.approx(mean, rel=ROUNDING)


@pytest.mark.parametrize("kind", PAIR)
def test_bins_against_brute_force_averages(kind: str) -> None:
    """Means over 400 angles per bin by Gauss's rule, with the weight sin(theta)."""
    found = angular_transform(kind, ELL, edges=EDGES)(spectra()[kind])
    x, w = np.polynomial.legendre.leggauss(400)
    for n in (0, 4, 9):
        low, high = EDGES[n], EDGES[n + 1]
        theta = low + (high - low) * (x + 1.0) / 2.0
        weight = w * np.sin(np.radians(theta / 60.0))
        values = angular_transform(kind, ELL, theta=theta)(spectra()[kind])
        mean = np.sum(values * weight) / np.sum(weight)
        assert found[n] == pytest.approx(float(mean), rel=ROUNDING)
    centres = angular_transform(kind, ELL, theta=np.sqrt(EDGES[1:] * EDGES[:-1]))
    assert np.max(np.abs(found / centres(spectra()[kind]) - 1.0)) > 5e-3  # bins do matter


def test_an_end_of_the_sum_that_matters_is_said() -> None:
    cl = spectra()["xi_minus"]
    transform = angular_transform("xi_minus", ELL, edges=[2.5, 3.0, 100.0, 120.0])
    small, _, large = transform.unsettled(cl)
    assert large < 1e-4 < small
    few = ELL[ELL <= 3000.0]
    short = angular_transform("xi_minus", few, edges=[2.5, 3.0, 100.0, 120.0])
    assert short.unsettled(cl[: few.size])[0] > 0.1


def test_linear_differentiable_and_batched() -> None:
    _, _, spectrum = ccl_universe()
    transform = angular_transform("xi_plus", ELL, edges=EDGES)

    @jax.jit
    def xi(amplitude: jax.Array) -> jax.Array:
        tracers = [WeakLensing(Smail(2.0, 1.5, 0.6), Alignment(amplitude))]
        cl = angular_cl(COSMOLOGY, ELL, tracers, spectrum, limber="always")
        return transform(cl.values[0])

    slope = jax.jacfwd(xi)(0.5)
    np.testing.assert_allclose(slope, (xi(0.51) - xi(0.49)) / 0.02, rtol=1e-6)
    cl = jnp.asarray(spectra()["xi_plus"])
    np.testing.assert_allclose(
        transform(jnp.stack([cl, 2.0 * cl])), jnp.stack([transform(cl), 2.0 * transform(cl)])
    )


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: angular_transform("xi", ELL, theta=THETA), AngleError, "kind"),
        (lambda: angular_transform("w_theta", ELL), AngleError, "either"),
        (lambda: angular_transform("w_theta", ELL, theta=THETA, sky="round"), AngleError, "sky is"),
        (lambda: angular_transform("w_theta", ELL, edges=EDGES, theta=THETA), AngleError, "either"),
        (lambda: angular_transform("w_theta", ELL, edges=EDGES[::-1]), AngleError, "increase"),
        (lambda: angular_transform("w_theta", ELL, edges=[1.0]), AngleError, "shape"),
        (lambda: angular_transform("w_theta", ELL, theta=[-1.0]), AngleError, "10800"),
        (lambda: angular_transform("xi_plus", ELL - 1.0, theta=[9.0]), MultipoleError, "begins"),
        (lambda: angular_transform("w_theta", ELL[3:], theta=[9.0]), MultipoleError, "begins"),
        (lambda: angular_transform("w_theta", ELL[::-1], theta=[9.0]), MultipoleError, "increase"),
        (lambda: angular_transform("w_theta", ELL * 9e4, theta=[9.0]), MultipoleError, "begins"),
        (lambda: correlation_multipoles(10), MultipoleError, "expected"),
        (
            lambda: angular_transform("w_theta", ELL, theta=[9.0])(jnp.ones(3)),
            MultipoleError,
            "multipoles",
        ),
    ],
)
def test_refusals(make: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()
