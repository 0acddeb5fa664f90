"""A mock data vector goes into the likelihood as it stands."""

from pathlib import Path

import healpy
import numpy as np
import pytest

from volvelle.cosmology import planck18
from volvelle.likelihood import get_likelihood
from volvelle.power import EisensteinHu, Halofit
from volvelle.probes import Table, WeakLensing, cap_window, super_sample_covariance
from volvelle.statistics import SkyError, SkySample, cap, mock_data_vector

ROUND = 0.02
"""Of a cap of pixels against a round one of the same area."""
Z = np.linspace(0.0, 2.0, 41)


def samples() -> dict[str, SkySample]:
    """White noise for maps: what is tested is the way from them to a likelihood."""
    rng = np.random.default_rng(1)
    area = healpy.nside2pixarea(16)
    made = {}
    for name, kind, mean, noise in (
        ("lens", "galaxy_density", 0.5, 1e-5),
        ("source", "galaxy_shear", 1.0, 1e-8),
    ):
        sky = np.sqrt(noise / area) * rng.standard_normal(healpy.nside2npix(16))
        table = Table(Z, np.exp(-0.5 * ((Z - mean) / 0.15) ** 2))
        made[name] = SkySample(kind, sky, table, noise)
    return made


def test_likelihood_reads_it(tmp_path: Path) -> None:
    edges = np.array([8, 16, 24, 32])
    universe, power = planck18(), Halofit(EisensteinHu())
    made = mock_data_vector(universe, samples(), edges, power=power)
    assert len(made.mean) == 9
    made.save_fits(str(tmp_path / "mock.fits"))
    likelihood = get_likelihood(
        "two_point", file=str(tmp_path / "mock.fits"), linear="eisenstein_hu"
    )
    values = {name: parameter.ref for name, parameter in likelihood.nuisance.items()}
    assert set(values) >= {"bias_lens", "m_source", "dz_lens"}
    assert np.isfinite(float(likelihood.log_prob({"cosmology": universe}, values)))


def test_long_waves_move_all_bands_together() -> None:
    """The super-sample covariance of a cap, as the probes have it, is added to the Gaussian one."""
    edges, power = np.array([8, 16, 24]), Halofit(EisensteinHu())
    mask, given = cap(16, [1.0, 0.0, 0.0], 60.0), {"source": samples()["source"]}
    arguments = (planck18(), given, edges, mask, power)
    alone = mock_data_vector(*arguments).covariance.dense
    both = mock_data_vector(*arguments, super_sample=True).covariance.dense
    tracers = [WeakLensing(given["source"].distribution)]
    ell = mock_data_vector(*arguments).get_ell_cl("galaxy_shear_cl_ee", "source", "source")[0]
    window = cap_window(float(mask.mean()))
    expected = super_sample_covariance(planck18(), ell, tracers, power, window=window).dense()
    np.testing.assert_allclose(both - alone, expected, rtol=ROUND)
    assert alone[0, 1] == 0.0 < both[0, 1]


def test_order_of_samples() -> None:
    with pytest.raises(SkyError, match="first"):
        mock_data_vector(planck18(), dict(reversed(samples().items())), [8, 16])
