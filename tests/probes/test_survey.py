"""Tomographic bins, and a survey's spectra, noise and covariance."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from volvelle.cosmology import Cosmology
from volvelle.power import EisensteinHu
from volvelle.probes import (
    Alignment,
    Delta,
    DistributionError,
    NumberCounts,
    PhotometricBin,
    ProbeError,
    Sample,
    Shifted,
    Smail,
    Survey,
    TracerError,
    WeakLensing,
    angular_cl,
    bands,
    equal_counts,
    gaussian_covariance,
    photometric_bins,
    shape_noise,
    shot_noise,
)

PARENT = Smail(2.0, 1.5, 0.5, z_max=3.0)
SCATTER = 0.04
ELL, EDGES = np.array([20.0, 100.0, 500.0]), np.array([10.0, 50.0, 200.0, 800.0])


def by_quadrature(z: float, low: float, high: float) -> float:
    """Objects at z whose measured redshift, Gaussian about it, lies between the edges."""
    inside = norm(z, SCATTER * (1.0 + z))
    return float(PARENT(np.asarray(z))) * float(inside.cdf(high) - inside.cdf(low))


def test_a_bin_of_measured_redshifts() -> None:
    made = PhotometricBin(PARENT, 0.5, 0.8, SCATTER)
    z = np.linspace(0.2, 1.3, 12)
    total = quad(lambda x: by_quadrature(x, 0.5, 0.8), 0.0, 3.0, points=[0.5, 0.8], limit=200)[0]
    assert float(made.share) == pytest.approx(total, rel=1e-8)
    expected = [by_quadrature(x, 0.5, 0.8) / total for x in z]
    np.testing.assert_allclose(made(z), expected, rtol=1e-7, atol=1e-8)
    below = quad(lambda x: by_quadrature(x, 0.5, 0.8), 0.0, 0.6, points=[0.5], limit=200)[0]
    assert float(made.cumulative(0.6)) == pytest.approx(below / total, rel=1e-8)
    assert 0.1 < made.z_min < 0.5 < 0.8 < made.z_max < 1.5


def test_bins_share_out_the_sample() -> None:
    edges = equal_counts(PARENT, 4, 0.0, 3.0)
    share = [float(PARENT.cumulative(b) - PARENT.cumulative(a)) for a, b in pairwise(edges)]
    np.testing.assert_allclose(share, 0.25, rtol=1e-3)
    found = photometric_bins(PARENT, edges, SCATTER)
    # Some are scattered below 0 or beyond 3, and are in no bin.
    assert 0.99 < sum(float(each.share) for each in found) < 1.0


def test_differentiable_in_edges() -> None:
    def f(edges: jax.Array) -> jax.Array:
        made = photometric_bins(PARENT, edges, SCATTER)
        return made[0].share * 2.0 + made[1](jnp.asarray(0.7)) + made[0](jnp.asarray(0.55))

    at, step = jnp.asarray([0.2, 0.6, 1.1]), 1e-5
    exact = jax.jit(jax.grad(f))(at)
    for n, up in enumerate(step * np.eye(3)):
        difference = float(f(at + up) - f(at - up)) / (2 * step)
        assert float(exact[n]) == pytest.approx(difference, rel=1e-6, abs=1e-8)


def survey(**changes: object) -> Survey:
    lenses = Sample(
        "lenses", "counts", photometric_bins(PARENT, [0.2, 0.6], 0.03), jnp.asarray([2.0]),
        bias=jnp.asarray([1.5]), dz=jnp.asarray([0.01]), ell_max=200.0,
    )  # fmt: skip
    sources = Sample(
        "sources", "shear", photometric_bins(PARENT, [0.3, 0.8, 1.5], 0.05),
        jnp.asarray([4.0, 3.0]), m=jnp.asarray([0.01, 0.0]), alignment=(0.5, 1.0), ellipticity=0.3,
    )  # fmt: skip
    given = {"samples": (lenses, sources), "ell": ELL, "edges": EDGES, "f_sky": 0.2}
    return Survey(**(given | {"power": EisensteinHu(), "limber": "always"} | changes))


def test_a_survey_is_its_tracers() -> None:
    made = survey()
    assert list(made.parameters) == [
        "bias_lenses_1", "dz_lenses_1", "m_sources_1", "m_sources_2", "A_IA_sources",
        "eta_IA_sources",
    ]  # fmt: skip
    cosmology = Cosmology(
        Omega_cdm=0.26, Omega_b=0.05, h=0.67, sigma8=0.8, n_s=0.96, tau_reio=0.06, m_nu=0.0
    )
    found = jax.jit(lambda: made.all_spectra(cosmology, {"bias_lenses_1": 2.0}))()
    bins = photometric_bins(PARENT, [0.3, 0.8, 1.5], 0.05)
    tracers = [
        NumberCounts(Shifted(photometric_bins(PARENT, [0.2, 0.6], 0.03)[0], 0.01, 0.1), 2.0),
        WeakLensing(bins[0], Alignment(0.5, 1.0), 0.01),
        WeakLensing(bins[1], Alignment(0.5, 1.0), 0.0),
    ]
    expected = jax.jit(
        lambda: angular_cl(cosmology, ELL, tracers, EisensteinHu(), limber="always")
    )()
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-12)
    # Noise, and a sample that ends: the covariance of what is left is that of what is left.
    white = [float(shot_noise(2.0)), float(shape_noise(4.0, 0.3)), float(shape_noise(3.0, 0.3))]
    np.testing.assert_allclose(made.noise[:, :2], np.repeat(np.array(white)[:, None], 2, axis=1))
    whole = made.covariance(found)
    plain = gaussian_covariance(found, white, 0.2, edges=EDGES)
    np.testing.assert_allclose(whole.blocks[:2], plain.blocks[:2], rtol=1e-12)
    shear = survey(spectra=("shear",))
    np.testing.assert_array_equal(shear.rows, [3, 4, 5])
    np.testing.assert_allclose(shear.covariance(found).blocks, plain.blocks[:, 3:, 3:], rtol=1e-12)
    np.testing.assert_array_equal(survey(spectra=("cross", "counts")).rows, [0, 1, 2])
    vector = np.zeros((6, 3))
    vector[:, 2] = np.asarray(found.values)[:, 2]  # where the lenses have no data
    only = np.zeros((3, 3))
    only[:, 2] = vector[3:, 2]
    lost = float(whole.chi2(jnp.asarray(vector)))
    assert lost == pytest.approx(float(shear.covariance(found).chi2(jnp.asarray(only))), rel=1e-6)


def test_bands() -> None:
    edges, middle = bands(10.0, 1000.0, 3)
    np.testing.assert_allclose(edges, [10.0, 46.415888, 215.443469, 1000.0], rtol=1e-8)
    modes = np.arange(10, 47)
    weighted = np.sum(modes * (2 * modes + 1)) / np.sum(2 * modes + 1)
    assert middle[0] == pytest.approx(weighted, rel=0.02)
    assert np.all((middle > edges[:-1]) & (middle < edges[1:]))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: PhotometricBin(PARENT, 0.8, 0.5, 0.05), DistributionError, "low < high"),
        (lambda: PhotometricBin(PARENT, 0.5, 0.8, 0.0), DistributionError, "scatter"),
        (lambda: PhotometricBin(Delta(1.0), 0.5, 0.8, 0.1), DistributionError, "Delta"),
        (lambda: PhotometricBin(PARENT, 5.0, 6.0, 0.05), DistributionError, "inside"),
        (
            lambda: jax.jit(lambda s: PhotometricBin(PARENT, 0.5, 0.8, s).share)(0.1),
            DistributionError,
            "scatter is traced",
        ),
        (lambda: photometric_bins(PARENT, [0.5], 0.1), DistributionError, "two or more"),
        (lambda: equal_counts(PARENT, 3, 4.0, 5.0), DistributionError, "no objects"),
        (lambda: Sample("a", "stars", (PARENT,), jnp.ones(1)), TracerError, "'stars'"),
        (lambda: Sample("a", "counts", (PARENT,), jnp.ones(1)), TracerError, "no bias"),
        (
            lambda: Sample("a", "shear", (PARENT,), jnp.ones(1), bias=jnp.ones(1)),
            TracerError,
            "bias of shear",
        ),
        (
            lambda: Sample("a", "shear", (PARENT,), jnp.ones(1), m=jnp.ones(2)),
            TracerError,
            "one number for each of 1 bins",
        ),
        (lambda: survey(spectra=()), TracerError, "no spectra"),
        (lambda: survey(samples=(survey().samples[0],) * 2), TracerError, "different names"),
    ],
)
def test_refusals(make: Callable[[], object], error: type[ProbeError], words: str) -> None:
    with pytest.raises(error, match=words):
        make()
